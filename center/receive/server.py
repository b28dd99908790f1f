# SPDX-License-Identifier: Apache-2.0
"""The receiver's process: the ASGI application under granian, TLS on one address, until it is told to stop.

granian's embedded server: TLS and HTTP run in its own threads outside Python, our loop in the calling thread, blocking
work in the application's threads; one process, so that a kill leaves nothing behind that holds port or ledger. A stop
(SIGTERM, Ctrl-C, or `stop`) lets what is being done finish. Source: docs/decisions; granian 2.
"""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server as Granian

from center.errors import CenterError
from center.receive.api import Api
from center.receive.tls import TlsFiles, check_tls
from terminal.language import Text

STOP_TIMEOUT_S: Final = 30
HEAD_TIMEOUT_MS: Final = 30_000
MOST_BUFFERED: Final = 128 << 10
"""Per connection; also the bound of a request's head, whose largest honest one is a few kilobytes."""
_BACKLOG: Final = 512
_PROBE_S: Final = 0.01
_TURN_S: Final = 20.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_THREADS: Final = Path("/proc/self/task")
_THREADS_END_S: Final = 5.0
log = logging.getLogger(__name__)


class AddressError(CenterError):
    """The address cannot be listened on."""

    code = "JS-3204"


class Receiver:
    """Serve one application on one address. Attribute `port`: the one that is listened on."""

    def __init__(self, api: Api, host: str, port: int, tls: TlsFiles, connections: int = 256) -> None:
        """Check address and certificate; nothing is served yet. Port 0 takes any free one.

        `connections`: how many are served at once; more wait.

        Raises: AddressError, StoreError.
        """
        check_tls(tls)
        self._api = api
        self._host = host
        self.port = _check_address(host, port)
        self._tls = tls
        self._connections = connections
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Granian | None = None
        self._is_stopping = False
        self._lock = threading.Lock()

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until stopped; `ready` is told the address once connections are taken. Raises: AddressError.

        In the main thread SIGTERM and SIGINT stop it.
        """
        asyncio.run(self._run(ready))

    def stop(self) -> None:
        """Stop serving, from any thread; `run` returns when what is being done is done."""
        with self._lock:
            self._is_stopping = True
            if self._loop is not None and self._server is not None:
                self._loop.call_soon_threadsafe(self._server.stop)

    def is_alive(self) -> bool:
        """Tell whether what serves gets its turns; waits for one for so long, from any thread but its own."""
        with self._lock:
            loop = self._loop
        turn = threading.Event()
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(turn.set)
        except RuntimeError:  # closed meanwhile
            return False
        return turn.wait(_TURN_S)

    async def _run(self, ready: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        server = self._make_server()
        address = f"https://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"
        with self._lock:
            if self._is_stopping:
                return
            self._loop, self._server = loop, server
        owns_process = threading.current_thread() is threading.main_thread()
        if owns_process:
            for number in _SIGNALS:
                loop.add_signal_handler(number, server.stop)
        before = _foreign_threads()
        log.info("receiver starts", extra={"address": address})
        announcing = loop.create_task(self._announce(lambda: ready(address)))
        try:
            await server.serve()
        except OSError as err:
            raise _address_error(self._host, self.port, err) from err
        finally:
            announcing.cancel()
            with self._lock:
                self._loop = self._server = None
        if owns_process:
            _await_end_of_threads(before)
        log.info("receiver stopped", extra={"address": address})

    async def _announce(self, ready: Callable[[], None]) -> None:
        """Call `ready` once a connection is taken: granian listens some time after the application's startup."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        while True:
            try:
                _, writer = await asyncio.open_connection(host, self.port)
            except OSError:
                await asyncio.sleep(_PROBE_S)
                continue
            writer.close()
            ready()
            return

    def _make_server(self) -> Granian:
        server = Granian(
            self._api,
            address=self._host,
            port=self.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_TIMEOUT_MS, max_buffer_size=MOST_BUFFERED),
            websockets=False,
            backlog=_BACKLOG,
            backpressure=self._connections,
            log_enabled=False,
            ssl_cert=self._tls.certificate,
            ssl_key=self._tls.key,
        )
        server.workers_kill_timeout = STOP_TIMEOUT_S
        return server


def _foreign_threads() -> set[int]:
    """Give the system's ids of this process's threads that are not Python's own; empty where they cannot be seen."""
    # a thread begun elsewhere that has called Python is listed too, as a dummy
    known = {it.native_id for it in threading.enumerate() if not isinstance(it, threading._DummyThread)}
    try:
        return {int(entry.name) for entry in _THREADS.iterdir()} - known
    except OSError:  # Windows, where such a thread ends without harm
        return set()


def _await_end_of_threads(before: set[int]) -> None:
    """Wait until the threads that granian began have ended, for a few seconds at most.

    granian wakes our loop from a thread of its own, which may still be on its way out of that call when the loop
    has ended. A thread that wants the interpreter while it is being taken down is unwound by CPython, Rust aborts
    on that, and a stop that lost nothing would end as SIGABRT.
    """
    end = time.monotonic() + _THREADS_END_S
    while _foreign_threads() - before and time.monotonic() < end:
        time.sleep(_PROBE_S)


def _check_address(host: str, port: int) -> int:
    """Give the port to listen on, having tried it. Raises: AddressError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return cast(int, probe.getsockname()[1])  # the module declares it Any
    except OSError as err:
        raise _address_error(host, port, err) from err


def _address_error(host: str, port: int, err: OSError) -> AddressError:
    return AddressError(
        Text(
            zh=f"无法在 {host}:{port} 上监听：{err.strerror or err}",
            en=f"the receiver cannot listen on {host}:{port}: {err.strerror or err}",
        ),
        hint=Text(
            zh="端口可能被其他程序占用，或地址不是本机的：见 center.yaml 的 `listen`",
            en="another program may use the port, or the address is not this machine's: see `listen` in center.yaml",
        ),
    )
