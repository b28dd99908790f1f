# SPDX-License-Identifier: Apache-2.0
"""Real servers that alerts are sent to: SMTP (aiosmtpd) and HTTP, on loopback, which keep what comes, and fail on command."""

import email.policy
import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.servers.ports import free_port


@dataclass
class MailBox:
    """An SMTP server; `letters` are what it took. `refuse`: the answer that it gives instead, such as `451 later`.

    `refused`: the answer to an address.
    """

    port: int
    letters: list[EmailMessage] = field(default_factory=list)
    refuse: str | None = None
    logins: list[tuple[str, str]] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(
        self, _server: object, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take an address."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: Session, envelope: Envelope) -> str:
        """Take a letter."""
        if self.refuse is not None:
            return self.refuse
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any
    ) -> AuthResult:  # Any: as the library has it
        """Check a login."""
        assert isinstance(data, LoginPassword)
        login = (data.login.decode(), data.password.decode())
        self.logins.append(login)
        return AuthResult(success=login == ("jinsuo", "right"), handled=False)

    @property
    def texts(self) -> list[str]:
        """Give the texts of the letters."""
        return [letter.get_content() for letter in self.letters]


@contextmanager
def run_mail(tls: ssl.SSLContext | None = None, login: bool = False) -> Iterator[MailBox]:
    """Run an SMTP server; with `tls` it offers STARTTLS and insists on it, with `login` on a login too."""
    box = MailBox(free_port())
    controller = Controller(
        box, hostname="127.0.0.1", port=box.port, tls_context=tls, require_starttls=tls is not None,
        auth_required=login, authenticator=box.authenticate if login else None,
    )  # fmt: skip
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@dataclass
class Hook:
    """An HTTP server; `posts` are bodies and headers of what it took, `came` is set by each. `status`: its answer."""

    url: str = ""
    posts: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    tries: int = 0
    status: int = 200
    came: threading.Event = field(default_factory=threading.Event)

    @property
    def documents(self) -> list[dict[str, Any]]:  # Any: JSON
        """Give the documents that came."""
        return [json.loads(body) for body, _ in self.posts]

    @property
    def told(self) -> Counter[tuple[str, str]]:
        """Count what was told: (what, id of the alert)."""
        items = [item for document in self.documents for item in document["items"]]
        return Counter((item["what"], item["alert"]["id"] if item["alert"] else "-") for item in items)


@contextmanager
def run_hook() -> Iterator[Hook]:
    """Run an HTTP server."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.tries += 1
            if hook.status == 200:
                hook.posts.append((body, dict(self.headers)))
                hook.came.set()
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, name="hook")
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
