# SPDX-License-Identifier: Apache-2.0
"""Channels against real servers: TLS, logins, refusals, programs; and no secret in any message or log."""

import json
import logging
import os
import select
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from socket import create_server

import pytest

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.channels import ChannelError, Sender, make_sender
from center.alerts.course import Item, What
from center.alerts.letters import FORMAT, MOST_SUBJECT, Letter, compose
from center.alerts.secrets import SecretError, read_secret
from center.receive.tls import create_tls
from center.settings.alerts import CommandChannel, MailChannel, WebhookChannel
from evidence.encode import parse_json
from terminal.language import Language, Text
from tests.builders.listeners import MailBox, run_hook, run_mail
from tests.builders.scenes import NOW
from tests.servers.ports import free_port

ORIGIN = "archives.example/jinsuo"
ALERT = Alert(
    Kind.LATE, "X013/his", Severity.ERROR, NOW, Text(zh="快照没有到", en="has not come"), Text(zh="打电话", en="call")
)
ITEMS = [Item(What.RAISED, NOW, ALERT), Item(What.TEST, NOW, None)]
LETTER = compose(ITEMS, ORIGIN, Language.ZH, NOW)


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    files = create_tls(tmp_path / "tls", "127.0.0.1", NOW)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


@pytest.fixture
def box(tls: ssl.SSLContext) -> Iterator[MailBox]:
    with run_mail(tls, login=True) as opened:
        yield opened


def mail(port: int, folder: Path, password: str = "right", **changes: object) -> Sender:
    facts: dict[str, object] = {
        "name": "mail", "kind": "mail", "host": "127.0.0.1", "port": port, "ca_file": "tls/center.crt", "user": "jinsuo",
        "password": "env:MAIL", "sender": "jinsuo@archives.example", "to": ("duty@archives.example",),
    }  # fmt: skip
    return make_sender(MailChannel(**(facts | changes)), folder, {"MAIL": password})  # type: ignore[arg-type]  # as the test says


def plain_mail(port: int, folder: Path, *to: str) -> Sender:
    settings = MailChannel(
        name="mail", kind="mail", host="127.0.0.1", port=port, tls="none", sender="jinsuo@archives.example",
        to=to or ("duty@archives.example",),
    )  # fmt: skip
    return make_sender(settings, folder, {})


def test_a_mail_goes_over_tls_with_a_login_and_arrives_whole(box: MailBox, tmp_path: Path) -> None:
    mail(box.port, tmp_path).send(LETTER)
    (letter,) = box.letters
    assert letter["Subject"] == LETTER.subject
    assert letter.get_content().replace("\r\n", "\n") == LETTER.text
    assert box.logins == [("jinsuo", "right")]


def test_a_mail_server_whose_certificate_is_anothers_gets_no_password(box: MailBox, tmp_path: Path) -> None:
    create_tls(tmp_path / "other", "127.0.0.1", NOW)
    with pytest.raises(ChannelError, match="certificate verify failed"):
        mail(box.port, tmp_path, ca_file="other/center.crt").send(LETTER)
    assert box.logins == []
    assert box.letters == []


def test_a_wrong_password_is_told_without_it(box: MailBox, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ChannelError, match="535") as caught:
        mail(box.port, tmp_path, "planted-hunter2").send(LETTER)
    assert "planted-hunter2" not in f"{caught.value} {caught.value.hint} {caplog.text}"
    assert box.letters == []


def test_a_server_without_tls_gets_no_password(tmp_path: Path) -> None:
    create_tls(tmp_path / "tls", "127.0.0.1", NOW)
    with run_mail() as box:
        with pytest.raises(ChannelError, match="STARTTLS"):
            mail(box.port, tmp_path).send(LETTER)
        assert box.letters == []


def test_a_mail_that_the_server_refuses_is_kept(tmp_path: Path) -> None:
    with run_mail() as box:
        box.refuse = "554 no"
        sender = plain_mail(box.port, tmp_path)
        with pytest.raises(ChannelError, match="554"):
            sender.send(LETTER)
        box.refuse = None
        sender.send(LETTER)
        assert len(box.letters) == 1


OLD, NEW = "old@archives.example", "new@archives.example"


def test_an_address_that_is_to_wait_gets_the_mail_later_and_the_others_get_it_once(tmp_path: Path) -> None:
    with run_mail() as box:
        sender = plain_mail(box.port, tmp_path, OLD, NEW)
        box.refused = {NEW: "450 greylisted, try again later"}
        for _ in range(2):
            with pytest.raises(ChannelError, match=f"{NEW}: 450"):
                sender.send(LETTER)
        box.refused = {}
        sender.send(LETTER)
        sender.send(compose(ITEMS[1:], ORIGIN, Language.ZH, NOW))
        assert box.recipients == [[OLD], [NEW], [OLD, NEW]]


def test_an_address_that_never_takes_its_mail_holds_the_channel_up_no_longer_than_greylisting(tmp_path: Path) -> None:
    with run_mail() as box:
        sender = plain_mail(box.port, tmp_path, OLD, NEW)
        box.refused = {NEW: "452 the mailbox is full"}
        for _ in range(5):
            with pytest.raises(ChannelError, match=f"{NEW}: 452"):
                sender.send(LETTER)
        sender.send(LETTER)
        box.refused = {NEW: "550 no such user"}
        sender.send(LETTER)
        assert box.recipients == [[OLD], [OLD]]


def test_nobody_at_the_other_end_is_told_in_both_languages(tmp_path: Path) -> None:
    port = free_port()
    for sender in (
        plain_mail(port, tmp_path),
        make_sender(WebhookChannel(name="hook", kind="webhook", url=f"http://127.0.0.1:{port}/"), tmp_path, {}),
    ):
        with pytest.raises(ChannelError) as caught:
            sender.send(LETTER)
        assert caught.value.sentence(Language.ZH).startswith(f"告警渠道 {sender.name} 没有收下")


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_webhook_that_does_not_say_yes_did_not_take_it(tmp_path: Path, status: int) -> None:
    with run_hook() as hook:
        sender = make_sender(WebhookChannel(name="hook", kind="webhook", url=hook.url), tmp_path, {})
        hook.status = status
        with pytest.raises(ChannelError, match=f"status {status}"):
            sender.send(LETTER)
        hook.status = 200
        sender.send(LETTER)
        ((body, headers),) = hook.posts
        assert body == LETTER.document
        assert headers["Jinsuo-Letter"] == LETTER.id
        assert "Jinsuo-Signature" not in headers


def test_what_is_no_http_is_no_yes(tmp_path: Path) -> None:
    import threading

    with closing(create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(ChannelError):
            make_sender(WebhookChannel(name="hook", kind="webhook", url=url), tmp_path, {}).send(LETTER)
        thread.join()


def command(folder: Path, script: str, **changes: object) -> Sender:
    argv = (sys.executable, "-c", script)
    return make_sender(CommandChannel(name="sms", kind="command", argv=argv, **changes), folder, {})  # type: ignore[arg-type]  # as above


def test_a_command_reads_the_document_and_runs_without_a_shell(tmp_path: Path) -> None:
    command(tmp_path, "import sys; open('got $HOME; ls', 'wb').write(sys.stdin.buffer.read())").send(LETTER)
    assert (tmp_path / "got $HOME; ls").read_bytes() == LETTER.document
    assert json.loads(LETTER.document)["subject"] == LETTER.subject


@pytest.mark.parametrize(
    ("script", "timeout", "says"),
    [("raise SystemExit(7)", 120, "exit code 7"), ("import time; time.sleep(600)", 1, "no end within 1 s")],
)
def test_a_command_that_fails_or_hangs_did_not_take_it(tmp_path: Path, script: str, timeout: int, says: str) -> None:
    with pytest.raises(ChannelError, match=says):
        command(tmp_path, script, timeout=timeout).send(LETTER)


def test_what_a_command_that_hangs_has_started_is_ended_with_it(tmp_path: Path) -> None:
    # A shell is there at once, on a busy machine too.
    argv = ("/bin/sh", "-c", "sleep 600 & echo $! > pid; wait")
    sender = make_sender(CommandChannel(name="sms", kind="command", argv=argv, timeout=2), tmp_path, {})
    with pytest.raises(ChannelError, match="no end"):
        sender.send(LETTER)
    pid = int((tmp_path / "pid").read_text())
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([watched], [], [], 60)[0], "it has ended"
    os.close(watched)


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    sender = make_sender(CommandChannel(name="sms", kind="command", argv=("/nowhere/sms",)), tmp_path, {})
    with pytest.raises(ChannelError, match="No such file"):
        sender.send(LETTER)


def test_a_secret_is_found_where_its_reference_leads(tmp_path: Path) -> None:
    path = tmp_path / "mail.password"
    path.write_text("口令 one\n", encoding="utf-8")
    path.chmod(0o600)
    assert read_secret("file:mail.password", tmp_path, {}) == "口令 one"
    assert read_secret(f"file:{path}", Path("elsewhere"), {}) == "口令 one"
    assert read_secret("env:MAIL", tmp_path, {"MAIL": "two"}) == "two"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff", b"x" * 5000])
def test_a_secret_that_is_none_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretError, match="must be one line") as caught:
        read_secret("file:secret", tmp_path, {})
    assert "lines" not in str(caught.value)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2")
    path.chmod(0o644)
    with pytest.raises(SecretError, match="others can read"):
        read_secret("file:secret", tmp_path, {})


def test_a_secret_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="cannot be read"):
        read_secret("file:nowhere", tmp_path, {})
    with pytest.raises(SecretError, match="has no MAIL"):
        read_secret("env:MAIL", tmp_path, {})


def test_a_letter_has_the_worst_first_and_its_document_says_the_same() -> None:
    mild = Item(
        What.RAISED,
        NOW,
        Alert(Kind.CLOCK, "X014", Severity.WARNING, NOW, Text(zh="快", en="fast"), Text(zh="校", en="set")),
    )
    over = Item(What.CLEARED, NOW, ALERT)
    letter = compose([over, ITEMS[1], mild, ITEMS[0]], ORIGIN, Language.EN, NOW)
    assert letter.subject == f"[{ORIGIN}] alert: has not come (and 3 more)"
    document = parse_json(letter.document, "a letter")
    assert isinstance(document, dict)
    assert (document["format"], document["id"], document["text"]) == (FORMAT, letter.id, letter.text)
    items = document["items"]
    assert isinstance(items, list)
    assert [item["what"] for item in items if isinstance(item, dict)] == ["raised", "raised", "cleared", "test"]
    assert "alerts ack late:X013/his" in letter.text


def test_a_long_name_of_a_center_leaves_room_for_what_happened() -> None:
    letter = compose(ITEMS, "a" * 200, Language.EN, NOW)
    assert len(letter.subject) <= MOST_SUBJECT
    assert "alert: has not come" in letter.subject


def test_the_id_of_a_letter_follows_from_its_items_alone() -> None:
    later = compose(list(reversed(ITEMS)), ORIGIN, Language.EN, NOW + timedelta(hours=1))
    assert later.id == LETTER.id
    assert compose(ITEMS[:1], ORIGIN, Language.EN, NOW).id != LETTER.id


@pytest.mark.parametrize("name", ["a\r\nBcc: all@archives.example", "\x1b[2J", "名" * 300, "\u202eflip", "a\x00b"])
def test_no_name_breaks_a_subject_or_moves_a_cursor(name: str, tmp_path: Path) -> None:
    alert = Alert(
        Kind.SCHEMA, "X013/his#4", Severity.ERROR, NOW, Text(zh=f"消失 {name}", en=name), Text(zh=name, en=name)
    )
    letter = compose([Item(What.RAISED, NOW, alert)], ORIGIN, Language.EN, NOW)
    assert len(letter.subject) <= MOST_SUBJECT
    assert letter.subject.isprintable()
    with run_mail() as box:
        plain_mail(box.port, tmp_path).send(letter)
        (got,) = box.letters
        assert got["Bcc"] is None
        assert box.recipients == [["duty@archives.example"]]
        assert got["Subject"] == letter.subject
    assert isinstance(letter, Letter)
