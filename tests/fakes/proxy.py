# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy on loopback that knows CONNECT alone; it may ask for an account, refuse, or talk nonsense on command."""

import socket
import threading
from base64 import b64encode
from contextlib import suppress

_READ_SIZE = 1 << 16


class ConnectProxy:
    """A context manager. Attributes: `port`; `account`, USER:PASSWORD that is asked for, or None; `answer`, said to
    everybody instead of going on, or None; `targets`, what was asked for; `carried`, all bytes that went through outward.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.account: str | None = None
        self.answer: bytes | None = None
        self.targets: list[str] = []
        self.carried = bytearray()
        self._open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> "ConnectProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._open):
            _shut(end)
        self._thread.join(60)

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            far = self._answer(near)
            if far is None:
                return
            with far:
                self._open.add(far)
                back = threading.Thread(target=self._relay, args=(far, near, None), daemon=True)
                back.start()
                self._relay(near, far, self.carried)
                back.join(60)

    def _answer(self, near: socket.socket) -> socket.socket | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = near.recv(1)
            if not byte:
                return None
            head += byte
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.targets.append(target)
        if self.answer is not None:
            near.sendall(self.answer)
            return None
        if self.account is not None:
            wanted = b"Proxy-Authorization: Basic " + b64encode(self.account.encode())
            if wanted not in head.split(b"\r\n"):
                near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return None
        assert method == "CONNECT"
        host, _, port = target.rpartition(":")
        try:
            far = socket.create_connection((host.strip("[]"), int(port)), 60)
        except OSError:
            near.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return None
        far.settimeout(None)
        near.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        return far

    def _relay(self, source: socket.socket, sink: socket.socket, keep: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(_READ_SIZE):
                if keep is not None:
                    keep += data
                sink.sendall(data)
        for end in (source, sink):
            _shut(end)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
