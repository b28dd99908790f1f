# SPDX-License-Identifier: Apache-2.0
"""Entries of the log and the center's own texts: one spelling, bounds."""

from datetime import UTC, datetime

import pytest

from evidence.digest import sha256
from evidence.errors import EvidenceError, FormatError, LimitError
from evidence.manifest.entry import MAX_ENTRY_BYTES, Act, Entry, Level, StoredAct, parse_act, parse_entry, parse_stored
from evidence.note.signed import sign_note
from tests.builders.bundles import OPERATOR, MadeSnapshot

NOTE = MadeSnapshot(contents={}).note().encode()
RECEIVED = datetime(2026, 11, 22, 1, 12, 33, 120_000, tzinfo=UTC)
ENTRY = Entry("statement", Level.REGISTERED, RECEIVED, NOTE)
ACT = Act("fixity check", "store", "成功", "管理员 李", "yearly inspection")
STORED = StoredAct("X013", "his", 17, sha256(b"statement"))


def test_entry_is_a_head_an_empty_line_and_the_note_verbatim() -> None:
    head = b"jinsuo/entry@v1\nkind statement\nlevel registered\nreceived 2026-11-22T01:12:33.120000Z\n\n"

    assert ENTRY.encode() == head + NOTE


def test_entry_reads_as_it_is_written() -> None:
    assert parse_entry(ENTRY.encode()) == ENTRY


def test_entry_cut_at_any_byte_is_refused() -> None:
    data = ENTRY.encode()
    for size in range(len(data)):
        with pytest.raises(FormatError):
            parse_entry(data[:size])


def test_no_flipped_bit_gives_the_same_entry() -> None:
    data = ENTRY.encode()
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        try:
            other = parse_entry(bytes(flipped))
        except EvidenceError:
            continue
        assert other != ENTRY and other.encode() == bytes(flipped)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"kind statement", b"kind Statement"),
        (b"kind statement", b"kind "),
        (b"level registered", b"level accepted"),
        (b"level registered\n", b""),
        (b"level registered\n", b"level registered\nlevel registered\n"),
        (b"120000Z", b"12Z"),
        (b"jinsuo/entry@v1", b"jinsuo/entry@v2"),
        (b"\n\n", b"\n"),
    ],
)
def test_other_heads_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(FormatError):
        parse_entry(ENTRY.encode().replace(old, new, 1))


def test_note_that_is_none_is_refused() -> None:
    with pytest.raises(FormatError):
        Entry("statement", Level.STORED, RECEIVED, b"no signature\n")


def test_stored_entry_has_the_level_stored() -> None:
    with pytest.raises(FormatError, match="stored"):
        Entry("stored", Level.REGISTERED, RECEIVED, NOTE)


def test_entry_over_its_bound_is_refused_both_ways() -> None:
    text = b"x" * 65_400 + b"\n"
    note = sign_note(text, [OPERATOR]).encode()
    with pytest.raises(LimitError, match=r"65\d\d\d bytes"):
        Entry("check", Level.NONE, RECEIVED, note).encode()
    with pytest.raises(LimitError):
        parse_entry(ENTRY.encode() + b"x" * MAX_ENTRY_BYTES)


def test_act_and_stored_texts_read_as_they_are_written() -> None:
    assert parse_act(ACT.encode()) == ACT
    assert parse_stored(STORED.encode()) == STORED
    assert STORED.encode().startswith(b"jinsuo/stored@v1\nunit X013\nsource his\nsequence 17\nstatement ")


@pytest.mark.parametrize("value", ["", " ", "two\nlines", "a\x00b", "trailing ", "\u2029", "x" * 4097, "张" * 1400])
def test_act_of_more_than_a_line_is_refused(value: str) -> None:
    with pytest.raises(FormatError):
        Act("event", "object", "outcome", "by", value)


def test_texts_of_one_grammar_are_not_read_by_another() -> None:
    with pytest.raises(FormatError):
        parse_act(STORED.encode())
    with pytest.raises(FormatError):
        parse_stored(ACT.encode())


def test_stored_note_for_sequence_zero_is_refused() -> None:
    with pytest.raises(FormatError, match="start at 1"):
        StoredAct("X013", "his", 0, sha256(b""))
