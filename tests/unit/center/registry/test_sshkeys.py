# SPDX-License-Identifier: Apache-2.0
"""Lines of authorized_keys: strict about keys, gentle with lines of others, logged before they count."""

import stat
from base64 import b64encode
from pathlib import Path

import pytest

from center.errors import ConflictError, RefusedError, StoreError
from center.registry.sshkeys import AuthorizedKeys, Change, PublicKey, UnitKey, parse_public_key
from evidence.manifest.entry import Act

TARGET = "127.0.0.1:8443"
FOREIGN = "# a remark\nno-pty ssh-rsa AAAAB3NzaC1yc2E= somebody else\n\n"


def make_text(seed: int) -> str:
    return b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([seed]) * 32).decode()


def make_key(seed: int = 1) -> PublicKey:
    return PublicKey(make_text(seed))


class Book:
    """A file of keys, and what was logged."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ssh" / "authorized_keys"
        self.acts: list[Act] = []
        self.keys = AuthorizedKeys(self.path, self.record)
        self.is_refusing = False

    def record(self, kind: str, act: Act) -> None:
        assert kind == "unit"
        if self.is_refusing:
            raise StoreError("the ledger does not sign", hint="wait")
        self.acts.append(act)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_a_line_leads_to_the_center_and_to_nothing_else(book: Book) -> None:
    assert book.keys.add("X013", make_key(), TARGET, by="op") is Change.ADDED
    assert book.path.read_text() == (
        'restrict,port-forwarding,permitopen="127.0.0.1:8443",permitlisten="127.0.0.1:1",command="/bin/false" '
        f"ssh-ed25519 {make_text(1)} jinsuo:X013\n"
    )
    assert stat.S_IMODE(book.path.stat().st_mode) & 0o022 == 0
    assert book.acts == [Act("ssh key", "X013", "added", "op", f"{make_key().fingerprint} to {TARGET}")]
    assert book.keys.units() == [UnitKey("X013", make_key(), TARGET)]


def test_the_same_again_changes_and_logs_nothing(book: Book) -> None:
    book.keys.add("X013", make_key(), TARGET, by="op")
    before = book.path.stat()
    assert book.keys.add("X013", make_key(), TARGET, by="op") is Change.UNCHANGED
    assert book.path.stat().st_ino == before.st_ino
    assert len(book.acts) == 1


def test_a_new_key_or_place_takes_the_old_one_s(book: Book) -> None:
    book.keys.add("X013", make_key(1), TARGET, by="op")
    book.keys.add("X014", make_key(2), TARGET, by="op")
    assert book.keys.add("X013", make_key(3), TARGET, by="op") is Change.REPLACED
    assert book.keys.add("X013", make_key(3), "[::1]:8443", by="op") is Change.REPLACED
    assert book.keys.units() == [UnitKey("X014", make_key(2), TARGET), UnitKey("X013", make_key(3), "[::1]:8443")]
    assert make_text(1) not in book.path.read_text()


def test_lines_of_others_stay_as_they_are(book: Book) -> None:
    book.path.parent.mkdir()
    book.path.write_text(FOREIGN)
    book.keys.add("X013", make_key(), TARGET, by="op")
    assert book.path.read_text().startswith(FOREIGN)
    assert book.keys.remove("X013", by="op")
    assert book.path.read_text() == FOREIGN
    assert [act.outcome for act in book.acts] == ["added", "removed"]
    assert not book.keys.remove("X013", by="op")


def test_one_key_stands_for_one_unit(book: Book) -> None:
    book.keys.add("X013", make_key(), TARGET, by="op")
    with pytest.raises(ConflictError, match="jinsuo:X013"):
        book.keys.add("X014", make_key(), TARGET, by="op")
    book.path.write_text(f"ssh-ed25519 {make_text(1)} root@elsewhere\n")
    with pytest.raises(ConflictError, match="root@elsewhere"):
        book.keys.add("X014", make_key(), TARGET, by="op")
    assert len(book.acts) == 1


def test_what_cannot_be_logged_is_not_done(book: Book) -> None:
    book.keys.add("X013", make_key(), TARGET, by="op")
    before = book.path.read_bytes()
    book.is_refusing = True
    with pytest.raises(StoreError):
        book.keys.add("X014", make_key(2), TARGET, by="op")
    with pytest.raises(StoreError):
        book.keys.remove("X013", by="op")
    assert book.path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        f"ssh-ed25519 {make_text(1)} jinsuo:X013",
        f'restrict,port-forwarding,permitopen="127.0.0.1:22" ssh-ed25519 {make_text(1)} jinsuo:X013',
        f'command="sh -c x" ssh-ed25519 {make_text(1)} jinsuo:X013',
        "ssh-ed25519 AAAA jinsuo:X013",
    ],
)
def test_a_line_that_somebody_altered_is_named_and_mended_by_adding_it_again(book: Book, line: str) -> None:
    book.path.parent.mkdir()
    book.path.write_text(line + "\n")
    assert [(one.unit, one.is_whole) for one in book.keys.units()] == [("X013", False)]
    assert book.keys.add("X013", make_key(), TARGET, by="op") is Change.REPLACED
    assert book.keys.units() == [UnitKey("X013", make_key(), TARGET)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA x",
        f"ssh-rsa {make_text(1)}",
        f"no-pty ssh-ed25519 {make_text(1)}",
        f"ssh-ed25519 {make_text(1)[:-1]}",
        f"ssh-ed25519 {make_text(1)}AAAA",
        f"ssh-ed25519 {make_text(1)[:-2]}B=",
        f"ssh-ed25519 {make_text(1)}\nssh-ed25519 {make_text(2)}\n",
        f'ssh-ed25519 {b64encode(b"x" * 51).decode()} "quoted"',
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="no public key"):
        parse_public_key(text)


def test_a_private_key_is_sent_back() -> None:
    with pytest.raises(RefusedError, match="private key"):
        parse_public_key("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")


def test_a_comment_of_the_agent_s_does_not_get_into_the_file(book: Book) -> None:
    key = parse_public_key(f'ssh-ed25519 {make_text(1)} evil",command="sh" jinsuo:X999\n')
    book.keys.add("X013", key, TARGET, by="op")
    assert "evil" not in book.path.read_text()


def test_a_file_that_is_none_is_told(book: Book) -> None:
    book.path.parent.mkdir()
    book.path.write_bytes(b"\xff\xfe" * 10)
    with pytest.raises(StoreError, match="not UTF-8"):
        book.keys.units()
