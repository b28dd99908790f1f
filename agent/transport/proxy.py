# SPDX-License-Identifier: Apache-2.0
"""The way through an HTTP proxy: CONNECT, then bytes as they are; for HTTPS and for SSH alike.

The proxy learns where to, and by whom if it asks for an account; TLS, or SSH, ends behind it. Its answer is bounded, and
read byte by byte up to the empty line: what follows belongs to whom we wanted. Source: RFC 9110 section 9.3.6 (CONNECT),
RFC 7617 (Basic).
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from agent.errors import CenterDownError, ProxyError
from agent.transport.way import Backend
from terminal.language import Text

_MOST_HEAD_BYTES: Final = 16 << 10
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r?\n")
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
_LATER_HINT: Final = Text(
    zh="数据不会丢失，稍后自动重试；若持续，请问代理的管理者", en="nothing is lost; if it lasts, ask who runs the proxy"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the account that it asks for; `find_password` looks it up for each connection (SecretError)."""

    host: str
    port: int
    user: str | None = None
    find_password: Callable[[], str] | None = None

    @property
    def name(self) -> str:
        """Give its host and port as one writes them."""
        return join_address(self.host, self.port)

    def let_through(self, stream: httpcore.NetworkStream, host: str, port: int, timeout_s: float | None) -> None:
        """Ask the proxy at the end of `stream` for host and port; what comes next on it is from there.

        Raises: ProxyError, CenterDownError if it will not or cannot; SecretError; httpcore's errors if the line breaks.
        """
        target = join_address(host, port)
        stream.write(self._request(target), timeout_s)
        self._check(_read_head(stream, timeout_s), target)

    def _request(self, target: str) -> bytes:
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self.user is not None:
            password = "" if self.find_password is None else self.find_password()
            account = b64encode(f"{self.user}:{password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {account}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _check(self, head: bytes, target: str) -> None:
        match = _STATUS.match(head)
        if match is None:
            raise CenterDownError(
                Text(
                    zh=f"代理 {self.name} 的应答不是 HTTP 代理的应答",
                    en=f"what answers at {self.name} does not answer as an HTTP proxy",
                ),
                hint=Text(
                    zh="检查 agent.yaml 中的 road.proxy；数据不会丢失",
                    en="check `road.proxy` in agent.yaml; nothing is lost",
                ),
            )
        status = int(match[1])
        if 200 <= status < 300:
            return
        if status in _LATER:
            raise CenterDownError(
                Text(
                    zh=f"代理 {self.name} 现在连不上 {target}（状态 {status}）",
                    en=f"the proxy {self.name} cannot reach {target} now (status {status})",
                ),
                hint=_LATER_HINT,
            )
        if status == 407:
            hint = Text(
                zh="核对 agent.yaml 中 road.proxy 的 user 与 password", en="check `user` and `password` of `road.proxy`"
            )
        else:
            hint = Text(
                zh=f"请代理的管理者放行到 {target} 的 CONNECT", en=f"ask who runs it to allow CONNECT to {target}"
            )
        raise ProxyError(
            Text(
                zh=f"代理 {self.name} 不让通往 {target}（状态 {status}）",
                en=f"the proxy {self.name} does not let us through to {target} (status {status})",
            ),
            hint=hint,
        )


def _read_head(stream: httpcore.NetworkStream, timeout_s: float | None) -> bytes:
    head = bytearray()
    while not head.endswith((b"\r\n\r\n", b"\n\n")) and len(head) < _MOST_HEAD_BYTES:
        byte = stream.read(1, timeout_s)
        if not byte:
            break
        head += byte
    return bytes(head)


def join_address(host: str, port: int) -> str:
    """Write host and port as one writes them; an IPv6 address in brackets.

    >>> join_address("::1", 8443)
    '[::1]:8443'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _ProxyBackend(Backend):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: as the base class
    ) -> httpcore.NetworkStream:  # fmt: skip
        proxy = self._proxy
        stream = self._sockets.connect_tcp(proxy.host, proxy.port, timeout, local_address, socket_options)
        try:
            proxy.let_through(stream, host, port, timeout)
        except BaseException:
            stream.close()
            raise
        return stream


@dataclass(frozen=True, slots=True)
class ProxyWay:
    """Through a proxy to the center."""

    proxy: Proxy

    @property
    def through(self) -> str:
        """Give the proxy's address."""
        return f" (proxy {self.proxy.name})"

    def open(self) -> Backend:
        """Give a backend."""
        return _ProxyBackend(self.proxy)
