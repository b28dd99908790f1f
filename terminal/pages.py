# SPDX-License-Identifier: Apache-2.0
"""A small server of read-only pages on loopback: status pages and figures for whoever sits at this machine.

Plain HTTP, `GET` and `HEAD` alone, no state, no input but the path. It listens on a loopback address only, and answers
only requests that name one: a web page elsewhere whose name was made to lead here (DNS rebinding) gets nothing. Whoever must
read from another machine puts a proxy of their own before it. A page that fails is a 500 and a line in the log.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import Final
from urllib.parse import urlsplit

from terminal.loopback import is_loopback

SOCKET_TIMEOUT_S: Final = 10
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    content_type: str
    body: bytes


Ask = Callable[[str], Page]
"""Give a page; told what languages the reader prefers (`Accept-Language`, or "")."""


class PageServer:
    """Shows `pages` by path. Attribute `port`: the one that is listened on."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Ask]) -> None:
        """Take the address. Raises: OSError if it cannot be listened on; ValueError if it is not of loopback."""
        if not is_loopback(host):
            raise ValueError(f"{host} is not an address of this machine alone")
        kind = _Server6 if ":" in host else ThreadingHTTPServer
        self._server = kind((host, port), _make_handler(pages))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="pages", daemon=True)

    def start(self) -> None:
        """Serve, in a thread of its own, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and give the address back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve as long as the block lasts."""
        self.start()
        try:
            yield
        finally:
            self.close()


class _Server6(ThreadingHTTPServer):
    address_family = AF_INET6


def _make_handler(pages: Mapping[str, Ask]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SOCKET_TIMEOUT_S
        server_version = "jinsuo"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            if not _names_loopback(self.headers.get("Host", "")):
                self.send_error(421)
                return
            ask = pages.get(self.path.partition("?")[0])
            if ask is None:
                self.send_error(404)
                return
            try:
                page = ask(self.headers.get("Accept-Language", ""))
            except Exception:
                # The top of a request: the daemon lives, the trace is in the log.
                log.exception("a page failed", extra={"path": self.path})
                self.send_error(500)
                return
            self.send_response(200)
            for name, value in (
                ("Content-Type", page.content_type),
                ("Content-Length", str(len(page.body))),
                ("Content-Security-Policy", _POLICY),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
            ):
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(page.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of a request."""

    return Handler


def _names_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
