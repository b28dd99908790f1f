# SPDX-License-Identifier: Apache-2.0
"""Announcements of TLS keys: one encoding, one signer, and a chain that is only followed forward."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evidence.digest import Sha256
from evidence.errors import EvidenceError, FormatError, LimitError, SignatureError, UnknownSignerError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.note.signed import sign_note
from evidence.wire.announcement import (
    TlsAnnouncement,
    encode_announcements,
    follow_announcements,
    parse_announcement,
    parse_announcements,
    sign_announcement,
    verify_announcement,
)

LOG = Ed25519Signer.from_seed("archives.example/log", KeyType.ED25519, bytes(range(32)))
OTHER = Ed25519Signer.from_seed("archives.example/log", KeyType.ED25519, bytes(range(1, 33)))
FROM = datetime(2026, 11, 22, 1, tzinfo=UTC)
KEYS = [Sha256(bytes([i]) * 32) for i in range(5)]


def announce(old: int, new: int, signer: Ed25519Signer = LOG) -> bytes:
    return sign_announcement(TlsAnnouncement(LOG.key.name, KEYS[old], KEYS[new], FROM), signer).encode()


def test_an_announcement_has_this_text() -> None:
    text = TlsAnnouncement("archives.example/log", KEYS[1], KEYS[2], FROM).encode()
    assert text.decode() == (
        f"jinsuo/tls@v1\norigin archives.example/log\nreplaces {'01' * 32}\nspki-sha256 {'02' * 32}\n"
        "from 2026-11-22T01:00:00.000000Z\n"
    )
    assert parse_announcement(text) == TlsAnnouncement("archives.example/log", KEYS[1], KEYS[2], FROM)


def test_what_the_log_has_signed_verifies() -> None:
    assert verify_announcement(announce(0, 1), LOG.key).spki == KEYS[1]


def test_another_key_of_the_same_name_announces_nothing() -> None:
    with pytest.raises(UnknownSignerError):
        verify_announcement(announce(0, 1, OTHER), LOG.key)


def test_the_logs_key_under_another_name_announces_nothing() -> None:
    text = TlsAnnouncement("other.example/log", KEYS[0], KEYS[1], FROM).encode()
    with pytest.raises(SignatureError, match="other.example/log"):
        verify_announcement(sign_note(text, [LOG]).encode(), LOG.key)
    with pytest.raises(FormatError, match="cannot announce"):
        sign_announcement(TlsAnnouncement("other.example/log", KEYS[0], KEYS[1], FROM), LOG)


def test_a_second_signature_is_refused() -> None:
    text = TlsAnnouncement(LOG.key.name, KEYS[0], KEYS[1], FROM).encode()
    with pytest.raises(FormatError, match="one signature, found 2"):
        verify_announcement(sign_note(text, [LOG, OTHER]).encode(), LOG.key)


def test_another_text_of_the_logs_key_is_no_announcement() -> None:
    with pytest.raises(FormatError, match="must begin with"):
        verify_announcement(sign_note(b"archives.example/log\n5\nAAAA\n", [LOG]).encode(), LOG.key)


def test_no_cut_and_no_flipped_bit_verifies() -> None:
    raw = announce(0, 1)
    for end in range(len(raw)):
        with pytest.raises(EvidenceError):
            verify_announcement(raw[:end], LOG.key)
    for place in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(EvidenceError):
            verify_announcement(bytes(flipped), LOG.key)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"from 2026-11-22T01:00:00.000000Z", b"from 2026-11-22T01:00:00Z"),
        (b"spki-sha256 02", b"spki-sha256 0A"),
        (b"from ", b"until "),
        (b"\nfrom", b"\nnote -\nfrom"),
        (b"02" * 32, b"01" * 32),
        (b"02" * 32, b"02" * 31),
    ],
)
def test_any_other_spelling_is_refused(old: bytes, new: bytes) -> None:
    text = TlsAnnouncement(LOG.key.name, KEYS[1], KEYS[2], FROM).encode()
    assert old in text
    with pytest.raises(EvidenceError):
        parse_announcement(text.replace(old, new))


def test_a_chain_is_followed_from_the_pin_that_one_has() -> None:
    notes = [announce(0, 1), announce(1, 2), announce(2, 3)]
    for pin in range(4):
        followed = follow_announcements(notes, LOG.key, KEYS[pin])
        assert [each.spki for each in followed] == KEYS[pin + 1 : 4]


def test_an_older_announcement_shown_again_leads_nowhere() -> None:
    assert follow_announcements([announce(0, 1)], LOG.key, KEYS[2]) == ()
    # Nor back to a key that was left, whoever shows the notes in whatever order.
    notes = [announce(0, 1), announce(1, 2), announce(2, 0), announce(2, 1)]
    assert [each.spki for each in follow_announcements(notes, LOG.key, KEYS[0])] == KEYS[1:3]


def test_one_false_note_among_true_ones_is_not_passed_over() -> None:
    with pytest.raises(UnknownSignerError):
        follow_announcements([announce(0, 1), announce(3, 4, OTHER)], LOG.key, KEYS[0])


def test_the_answer_has_one_encoding_and_a_bound() -> None:
    notes = (announce(0, 1), announce(1, 2))
    raw = encode_announcements(notes)
    assert parse_announcements(raw) == notes
    assert parse_announcements(encode_announcements([])) == ()
    for wrong in (raw[:-1], raw + b"\n", raw.replace(b"tls-keys@v1", b"tls-keys@v2"), b"{}", b"[]"):
        with pytest.raises(EvidenceError):
            parse_announcements(wrong)
    with pytest.raises(LimitError):
        encode_announcements([announce(0, 1)] * 65)
    with pytest.raises(LimitError):
        parse_announcements(b" " * (256 << 10) + b" ")


def test_a_key_does_not_replace_itself() -> None:
    good = TlsAnnouncement(LOG.key.name, KEYS[0], KEYS[1], FROM)
    with pytest.raises(FormatError):
        replace(good, spki=KEYS[0])
    with pytest.raises(FormatError):
        replace(good, spki=Sha256(b"short"))
