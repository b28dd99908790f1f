# SPDX-License-Identifier: Apache-2.0
"""Statements: the grammar of each kind, its one spelling, what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.digest import EMPTY_ROOT, Sha256, sha256
from evidence.errors import EvidenceError, FormatError
from evidence.manifest.statement import (
    Channel,
    Consistency,
    GapCause,
    GapStatement,
    KeyStatement,
    PlanStatement,
    SnapshotStatement,
    Statement,
    WithdrawalStatement,
    key_name,
    parse_statement,
    statement_digest,
)
from tests.builders.bundles import OTHER_UNIT, UNIT

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEFORE = sha256(b"before")
SNAPSHOT = SnapshotStatement(
    "X013", "his", 17, BEFORE, NOON, NOON + timedelta(minutes=12), Consistency.CONSISTENT, "pg 0/3A2F118",
    Channel.ONLINE, 112, 5_094_311, 812_345_678, sha256(b"manifest"), sha256(b"root"),
)  # fmt: skip
GAP = GapStatement(
    "X013", "his", 18, BEFORE, NOON, NOON, GapCause.SPOOL, "磁盘已满，丢弃两天", (sha256(b"a"), sha256(b"b"))
)
PLAN = PlanStatement("X013", "his", 1, None, NOON, sha256(b"plan.pdf"))
WITHDRAWAL = WithdrawalStatement("X013", "his", 19, BEFORE, NOON, sha256(b"wrong one"), "wrong database")
KEY = KeyStatement("X013", "his", 20, BEFORE, NOON, UNIT.key, OTHER_UNIT.key.renamed("X013"), 21, True)
ALL: list[Statement] = [SNAPSHOT, GAP, PLAN, WITHDRAWAL, KEY, replace(KEY, attested=False), replace(GAP, given_up=())]

TEXT = (
    "jinsuo/statement@v1\nkind snapshot\nunit X013\nsource his\nsequence 17\n"
    f"previous {BEFORE.hex()}\nbegan 2026-11-22T12:00:00.000000Z\nended 2026-11-22T12:12:00.000000Z\n"
    "consistency consistent\nposition pg 0/3A2F118\nchannel online\ntables 112\nrows 5094311\nbytes 812345678\n"
    f"manifest-sha256 {sha256(b'manifest').hex()}\nroot {sha256(b'root').hex()}\n"
)


def test_snapshot_statement_is_written_as_the_design_shows_it() -> None:
    assert SNAPSHOT.encode() == TEXT.encode()


@pytest.mark.parametrize("statement", ALL, ids=lambda s: f"{s.kind}")
def test_statement_of_each_kind_reads_as_it_is_written(statement: Statement) -> None:
    assert parse_statement(statement.encode()) == statement


@pytest.mark.parametrize("statement", ALL, ids=lambda s: f"{s.kind}")
def test_text_cut_at_any_byte_is_refused(statement: Statement) -> None:
    text = statement.encode()
    for size in range(len(text)):
        # A gap may list fewer statements given up: cut after a whole digest line it is another whole statement.
        if isinstance(statement, GapStatement) and text[:size].endswith(b"\n") and text[:size].count(b"\n") >= 10:
            continue
        with pytest.raises(FormatError):
            parse_statement(text[:size])


@pytest.mark.parametrize("statement", ALL, ids=lambda s: f"{s.kind}")
def test_no_flipped_bit_gives_the_same_statement(statement: Statement) -> None:
    text = statement.encode()
    for position in range(8 * len(text)):
        flipped = bytearray(text)
        flipped[position // 8] ^= 1 << position % 8
        try:
            other = parse_statement(bytes(flipped))
        except EvidenceError:
            continue
        assert other != statement and other.encode() == bytes(flipped)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sequence 17", "sequence 017"),
        ("sequence 17", "sequence +17"),
        ("sequence 17", "sequence  17"),
        ("sequence 17", "sequence 17 "),
        ("sequence 17", "sequence １７"),
        ("sequence 17", "sequence 0"),
        ("unit X013\nsource his", "source his\nunit X013"),
        ("unit X013\n", ""),
        ("unit X013\n", "unit X013\nunit X013\n"),
        ("unit X013", "unit X/13"),
        ("unit X013", "unit "),
        ("source his", "source hí s"),
        ("kind snapshot", "kind changes"),
        ("jinsuo/statement@v1", "jinsuo/statement@v2"),
        ("12:00:00.000000Z", "12:00:00.00000Z"),
        ("12:00:00.000000Z", "12:00:00.000000+00:00"),
        ("2026-11-22T12:00", "2026-11-31T12:00"),
        ("ended 2026-11-22T12:12", "ended 2026-11-22T11:59"),
        ("consistency consistent", "consistency Consistent"),
        ("channel online", "channel pigeon"),
        ("position pg 0/3A2F118", "position "),
        ("position pg 0/3A2F118", "position \u2028"),
        ("position pg 0/3A2F118", "position a\tb"),
        ("root ", "extra 1\nroot "),
        ("tables 112", "tables 65537"),
        ("rows 5094311", "rows 9007199254740992"),
        ("\n", "\r\n"),
    ],
)
def test_other_spellings_and_impossible_values_are_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(FormatError):
        parse_statement(TEXT.replace(old, new, 1).encode())


def test_upper_case_digest_is_refused() -> None:
    with pytest.raises(FormatError, match="lower-case"):
        parse_statement(TEXT.replace(BEFORE.hex(), BEFORE.hex().upper()).encode())


@pytest.mark.parametrize("tail", ["\n", "x\n", " "])
def test_trailing_bytes_are_refused(tail: str) -> None:
    with pytest.raises(FormatError):
        parse_statement((TEXT + tail).encode())


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(FormatError, match="UTF-8"):
        parse_statement(TEXT.encode().replace(b"pg", b"\xff\xfe"))


def test_the_first_statement_alone_has_no_previous_one() -> None:
    with pytest.raises(FormatError, match="sequences start at 1"):
        replace(SNAPSHOT, previous=None)
    with pytest.raises(FormatError, match="sequences start at 1"):
        replace(SNAPSHOT, sequence=1)
    assert b"previous -\n" in replace(SNAPSHOT, sequence=1, previous=None).encode()


def test_snapshot_without_tables_has_the_empty_root() -> None:
    with pytest.raises(FormatError, match="no snapshot has 0 tables"):
        replace(SNAPSHOT, tables=0, rows=0, bytes_=0)
    assert replace(SNAPSHOT, tables=0, rows=0, bytes_=0, root=EMPTY_ROOT).tables == 0


def test_gap_names_no_statement_twice() -> None:
    with pytest.raises(FormatError, match="different"):
        replace(GAP, given_up=(sha256(b"a"), sha256(b"a")))


def test_key_change_to_the_same_key_or_for_earlier_statements_is_refused() -> None:
    with pytest.raises(FormatError, match="another key"):
        replace(KEY, new=UNIT.key)
    with pytest.raises(FormatError, match="another key"):
        replace(KEY, from_sequence=19)
    with pytest.raises(FormatError, match="named X013"):
        replace(KEY, new=OTHER_UNIT.key)


def test_digest_is_over_the_text_alone() -> None:
    assert statement_digest(TEXT.encode()) == sha256(TEXT.encode())


def test_key_name_joins_unit_and_source() -> None:
    assert key_name("X013", "his") == "X013/his"


_digests = st.binary(min_size=32, max_size=32).map(Sha256)
_counts = st.integers(0, 2**53 - 1)
_times = st.datetimes(timezones=st.just(UTC))
_names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
_words = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs", "Cn")), min_size=1, max_size=50
).filter(lambda s: s == s.strip())


@given(
    _names, _names, st.integers(2, 2**53 - 1), _digests, st.tuples(_times, _times), _words, _counts, _counts, _digests
)
def test_every_snapshot_statement_round_trips(
    unit: str,
    source: str,
    sequence: int,
    digest: Sha256,
    times: tuple[datetime, datetime],
    position: str,
    rows: int,
    size: int,
    root: Sha256,
) -> None:
    statement = SnapshotStatement(
        unit, source, sequence, digest, min(times), max(times), Consistency.LIVE, position, Channel.MEDIA, 7, rows,
        size, digest, root,
    )  # fmt: skip

    assert parse_statement(statement.encode()) == statement
