# SPDX-License-Identifier: Apache-2.0
"""The ways by which a letter reaches people: mail, a webhook, a command. Each `send` returns when the other end has it.

Each waits a bounded time and holds nobody else up. The passwords are looked up for each letter, so a changed one counts at
once, and stand in no message: what a server answers is cut short, and a command's output is not read.
Source: RFC 5321, 3207, 2047; RFC 2104.
"""

import logging
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Protocol

import httpx

from center.alerts.alert import Severity
from center.alerts.letters import Letter
from center.alerts.secrets import SecretError, read_secret
from center.errors import CenterError
from center.settings.alerts import CommandChannel, MailChannel, WebhookChannel
from evidence.digest import hmac_sha256
from terminal.errors import EXIT_RETRY
from terminal.language import Text

TIMEOUT_S: Final = 20.0
HEADER_SIGNATURE: Final = "Jinsuo-Signature"
HEADER_LETTER: Final = "Jinsuo-Letter"
_MOST_SAID: Final = 200
_MOST_WAITS: Final = 5
"""So often an address that is to wait is waited for: half an hour, by the pauses of the post. Greylisting asks for some minutes."""
log = logging.getLogger(__name__)


class ChannelError(CenterError):
    """A channel did not take a letter: it is kept, and tried again."""

    code = "JS-3221"
    exit_code = EXIT_RETRY


class Sender(Protocol):
    """One channel. `least`: letters hold nothing below it."""

    name: str
    least: Severity

    def send(self, letter: Letter) -> None:
        """Hand a letter over. Raises: ChannelError, SecretError; it may have come all the same."""


@dataclass(frozen=True, slots=True)
class _Owed:
    """A letter that some have: `to` were told to wait, for the last of `waits` times."""

    letter: str
    to: tuple[str, ...]
    waits: int


class MailSender:
    """Mail by SMTP, one for all addresses."""

    def __init__(self, settings: MailChannel, folder: Path, environ: Mapping[str, str]) -> None:
        self.name = settings.name
        self.least = Severity[settings.least.upper()]
        self._settings = settings
        self._folder = folder
        self._environ = environ
        self._owed: _Owed | None = None

    def send(self, letter: Letter) -> None:
        """Hand a letter to the mail server. An address that it refuses is logged, if it took another.

        An address that is to wait (4xx: greylisting) is a failure, and the next try of the same letter goes to it alone.
        """
        owed = self._owed if self._owed is not None and self._owed.letter == letter.id else None
        refused = self._hand_over(letter, self._settings.to if owed is None else owed.to, is_first=owed is None)
        for address in refused:
            log.warning("mail address refused", extra={"channel": self.name, "address": address})
        later = {address: answer for address, answer in refused.items() if 400 <= answer[0] < 500}
        waits = 0 if owed is None else owed.waits
        self._owed = None
        if later and waits < _MOST_WAITS:
            self._owed = _Owed(letter.id, tuple(later), waits + 1)
            address, answer = next(iter(later.items()))
            raise _failure(self.name, f"{address}: {_describe(smtplib.SMTPResponseException(*answer))}")

    def _hand_over(self, letter: Letter, to: Sequence[str], *, is_first: bool) -> Mapping[str, tuple[int, bytes]]:
        """Give the answers to those whom the server refused; of all only where others have the letter. Raises: ChannelError."""
        settings = self._settings
        password = "" if settings.password is None else read_secret(settings.password, self._folder, self._environ)
        try:
            with self._connect() as server:
                if settings.tls == "starttls":
                    server.starttls(context=self._context())
                if settings.user is not None:
                    server.login(settings.user, password)
                return server.send_message(self._write(letter), to_addrs=list(to))
        except smtplib.SMTPRecipientsRefused as err:
            if is_first:
                raise _failure(self.name, _describe(err)) from err
            return err.recipients
        except (OSError, smtplib.SMTPException, ssl.SSLError, ValueError) as err:
            raise _failure(self.name, _describe(err)) from err

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        own = socket.gethostname()  # what smtplib would take asks the DNS, which may hang just when it matters
        if settings.tls == "tls":
            return smtplib.SMTP_SSL(settings.host, settings.port, own, timeout=TIMEOUT_S, context=self._context())
        return smtplib.SMTP(settings.host, settings.port, own, timeout=TIMEOUT_S)

    def _context(self) -> ssl.SSLContext:
        return _trust(self._settings.ca_file, self._folder)

    def _write(self, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        sender = Address(addr_spec=self._settings.sender)
        message["From"] = sender
        message["To"] = [Address(addr_spec=address) for address in self._settings.to]
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(letter.at.astimezone(UTC))
        message["Message-ID"] = f"<{letter.id}.{self.name}@{sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text, charset="utf-8", cte="base64")
        return message


class WebhookSender:
    """A POST of the letter's JSON. With a secret, `Jinsuo-Signature: sha256=<hex HMAC-SHA256 of the body>`."""

    def __init__(self, settings: WebhookChannel, folder: Path, environ: Mapping[str, str]) -> None:
        self.name = settings.name
        self.least = Severity[settings.least.upper()]
        self._settings = settings
        self._folder = folder
        self._environ = environ

    def send(self, letter: Letter) -> None:
        """Post a letter; any 2xx is a yes. The answer's body is not read."""
        headers = {"Content-Type": "application/json", HEADER_LETTER: letter.id}
        if self._settings.secret is not None:
            secret = read_secret(self._settings.secret, self._folder, self._environ)
            headers[HEADER_SIGNATURE] = "sha256=" + hmac_sha256(secret.encode(), letter.document).hex()
        try:
            context = _trust(self._settings.ca_file, self._folder)
            with (
                httpx.Client(verify=context, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
                client.stream("POST", self._settings.url, content=letter.document, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, OSError, httpx.InvalidURL) as err:
            raise _failure(self.name, _describe(err)) from err
        if not 200 <= status < 300:
            raise _failure(self.name, f"status {status}")


class CommandSender:
    """A program, run without a shell; it reads the JSON from its standard input, and says by its exit code how it went."""

    def __init__(self, settings: CommandChannel, folder: Path) -> None:
        self.name = settings.name
        self.least = Severity[settings.least.upper()]
        self._settings = settings
        self._folder = folder

    def send(self, letter: Letter) -> None:
        """Run the program; exit code 0 is a yes. After `timeout` it is ended, with all that it has started."""
        try:
            program = subprocess.Popen(  # noqa: S603 - the operator names it; no shell, nothing of the data in argv
                list(self._settings.argv), cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as err:
            raise _failure(self.name, _describe(err)) from err
        with program:
            try:
                program.communicate(letter.document, timeout=self._settings.timeout)
            except subprocess.TimeoutExpired as err:
                _end(program)
                raise _failure(self.name, f"no end within {self._settings.timeout} s") from err
            except BaseException:
                _end(program)
                raise
        if program.returncode != 0:
            raise _failure(self.name, f"exit code {program.returncode}")


def _end(program: subprocess.Popen[bytes]) -> None:
    """End a program with its group, so that no gateway's leftovers pile up try by try."""
    if sys.platform == "win32":  # pragma: no cover
        program.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


def make_sender(
    settings: MailChannel | WebhookChannel | CommandChannel, folder: Path, environ: Mapping[str, str]
) -> Sender:
    """Give the sender of a channel; relative paths are taken from `folder`."""
    if isinstance(settings, MailChannel):
        return MailSender(settings, folder, environ)
    if isinstance(settings, WebhookChannel):
        return WebhookSender(settings, folder, environ)
    return CommandSender(settings, folder)


def guard(send: Callable[[Letter], None], name: str, letter: Letter) -> None:
    """Send, and let nothing but ChannelError and SecretError out: a channel's fault is never the daemon's."""
    try:
        send(letter)
    except (ChannelError, SecretError):
        raise
    except Exception as err:
        # The top of a delivery: a library's surprise is logged with its trace, and the letter is kept.
        log.exception("channel failed", extra={"channel": name})
        raise _failure(name, type(err).__name__) from err


def _trust(ca_file: str | None, folder: Path) -> ssl.SSLContext:
    """Give a context that trusts the system's authorities, or those of `ca_file` alone. Raises: OSError."""
    return ssl.create_default_context(cafile=None if ca_file is None else str(folder / ca_file))


def _failure(name: str, why: str) -> ChannelError:
    return ChannelError(
        Text(zh=f"告警渠道 {name} 没有收下：{why}", en=f"the channel {name} did not take the alert: {why}"),
        hint=Text(
            zh="消息已保留，会再试；检查 center.yaml 中该渠道，再运行 jinsuo-center alerts test",
            en="it is kept and tried again; check the channel in center.yaml, then run `jinsuo-center alerts test`",
        ),
    )


def _describe(err: Exception) -> str:
    """Say what went wrong in one short line; what was sent, and so the password, is not in it."""
    if isinstance(err, smtplib.SMTPResponseException):
        said = err.smtp_error.decode("utf-8", "replace") if isinstance(err.smtp_error, bytes) else str(err.smtp_error)
        text = f"{err.smtp_code} {said}"
    elif isinstance(err, OSError):
        text = err.strerror or str(err)
    else:
        text = str(err) or type(err).__name__
    return " ".join(text.split())[:_MOST_SAID]
