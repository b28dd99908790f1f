# SPDX-License-Identifier: Apache-2.0
"""The proof of a migration: tables of two systems matched, differences counted by cause."""

import pytest

from center.compare.causes import Cause
from center.compare.migration import TableMatch, Unmatched, compare_systems, parse_pair
from center.errors import NotFoundError
from evidence.rows.line import Cell, encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.language import Text
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent

ORACLE = Schema(
    "HIS.PATIENT",
    (
        Column("ID", Kind.DECIMAL, False, "NUMBER(10)"),
        Column("NAME", Kind.TEXT, True, "CHAR(8)"),
        Column("BORN", Kind.TIMESTAMP, True, "DATE"),
        Column("FEE", Kind.DECIMAL, True, "NUMBER"),
        Column("ACTIVE", Kind.DECIMAL, True, "NUMBER(1)"),
        Column("NOTE", Kind.TEXT, True, "VARCHAR2(20)"),
    ),
    ("ID",),
)
POSTGRESQL = Schema(
    "public.patient",
    (
        Column("note", Kind.TEXT, True, "text"),
        Column("id", Kind.INT, False, "integer"),
        Column("name", Kind.TEXT, True, "text"),
        Column("born", Kind.DATE, True, "date"),
        Column("fee", Kind.DECIMAL, True, "numeric(10,2)", 2),
        Column("active", Kind.BOOL, True, "boolean"),
    ),
    ("id",),
)
OLD: list[list[Cell]] = [
    [b"2", "张三    ".encode(), b"1980-01-02 00:00:00", b"12.5", b"1", None],
    [b"10", b"b       ", b"1980-01-02 00:00:00", b"12", b"0", b"same"],
    [b"11", b"gone    ", None, None, None, None],
]
NEW: list[list[Cell]] = [
    [b"", b"2", "张三".encode(), b"1980-01-02", b"12.50", b"t"],
    [b"same", b"10", b"b", b"1980-01-02", b"12.01", b"f"],
    [b"more", b"9", b"c", None, None, None],
]


def _content(schema: Schema, rows: list[list[Cell]]) -> TableContent:
    return TableContent(schema, [encode_line(row) for row in rows])


def _compare(old: list[TableContent], new: list[TableContent], **pairs: str) -> list[TableMatch | Unmatched]:
    before, after = SourceHistory(source="his").take(*old), SourceHistory(source="new").take(*new)
    return list(compare_systems(before, after, pairs or None))


def test_a_migrated_table_is_matched_and_differences_are_grouped_by_cause() -> None:
    (match,) = _compare([_content(ORACLE, OLD)], [_content(POSTGRESQL, NEW)])
    assert isinstance(match, TableMatch)
    assert (match.before, match.after, match.by) == ("HIS.PATIENT", "public.patient", ("ID",))
    assert dict(match.counts()) == {
        Cause.TRAILING_BLANKS: 2, Cause.DATE_TIME: 2, Cause.SCALE: 1, Cause.BOOLEAN: 2, Cause.EMPTY_NULL: 1,
        Cause.DIFFERENT: 1,
    }  # fmt: skip
    assert (match.equal, match.differing, match.only_before, match.only_after) == (0, 2, 1, 1)
    assert (match.first_before, match.first_after) == ([("11",)], [("9",)])
    different = match.groups["FEE", Cause.DIFFERENT]
    assert [(e.key, e.before, e.after) for e in different.examples] == [(("10",), "12", "12.01")]
    assert not match.is_equal(frozenset(Cause) - {Cause.DIFFERENT})


def test_what_differs_in_form_alone_is_equal_when_the_causes_are_accepted() -> None:
    (match,) = _compare([_content(ORACLE, OLD[:1])], [_content(POSTGRESQL, NEW[:1])])
    assert isinstance(match, TableMatch)
    causes = frozenset(match.counts())
    assert not match.is_equal()
    assert match.is_equal(causes)
    for cause in causes:
        assert not match.is_equal(causes - {cause})


@pytest.mark.parametrize(
    "content", [nasty.every_kind(), nasty.composite(), nasty.keyless(), nasty.large_cells(), nasty.any_kind()]
)
def test_the_same_rows_are_equal_whatever_they_hold(content: TableContent) -> None:
    (match,) = _compare([content], [content])
    assert isinstance(match, TableMatch)
    assert match.is_equal(), match.groups
    assert match.equal == len(content.lines)


def test_tables_without_a_key_are_matched_by_all_columns_as_often_as_rows_are_there() -> None:
    schema = Schema("t", (Column("a", Kind.TEXT, True, "text"), Column("b", Kind.INT, True, "int")))
    other = Schema("t", (Column("b", Kind.INT, True, "int"), Column("a", Kind.TEXT, True, "text")))
    old: list[list[Cell]] = [[b"", b"1"], [None, b"1"], [b"x", b"2"], [b"x", b"2"], [b"y", b"3"]]
    new: list[list[Cell]] = [[b"1", None], [b"1", b""], [b"2", b"x"], [b"3", b"z"]]
    (match,) = _compare([_content(schema, old)], [_content(other, new)])
    assert isinstance(match, TableMatch)
    assert (match.equal, match.differing, match.only_before, match.only_after) == (3, 0, 2, 1)
    assert match.first_before == [("x", "2"), ("y", "3")]


def test_keys_of_control_characters_are_matched_in_one_order() -> None:
    schema = Schema("t", (Column("k", Kind.TEXT, False, "text"), Column("j", Kind.TEXT, False, "text")), ("k", "j"))
    rows: list[list[Cell]] = [[b"a" + bytes([c]), bytes([d])] for c in range(0, 64, 3) for d in range(0, 40, 7)]
    rows += [[b"a", b""], [b"", b"a"], [b"\t", b"\t\t"]]
    (match,) = _compare([_content(schema, rows)], [_content(schema, rows[::-1])])
    assert isinstance(match, TableMatch)
    assert match.is_equal()


def test_columns_and_tables_that_one_side_lacks_are_differences() -> None:
    old = _content(
        Schema("A.t", (Column("x", Kind.INT, False, "int"), Column("y", Kind.INT, True, "int")), ("x",)), [[b"1", b"2"]]
    )
    new = _content(
        Schema("b.T", (Column("X", Kind.INT, False, "int"), Column("z", Kind.INT, True, "int")), ("X",)), [[b"1", b"2"]]
    )
    match, alone = _compare([old, nasty.keyless("gone")], [new])[::-1]
    assert isinstance(match, TableMatch)
    assert (match.missing, match.added, match.equal) == (("y",), ("z",), 1)
    assert not match.is_equal(frozenset(Cause))
    assert alone == Unmatched("gone", True)


def test_a_table_that_was_not_read_is_no_equal_table() -> None:
    before = SourceHistory().take(nasty.keyless("a"), omitted={"secret": "no rights"})
    after = SourceHistory().take(nasty.keyless("a"))
    assert Unmatched("secret", True, Text(zh="未读：no rights", en="not read: no rights")) in list(
        compare_systems(before, after)
    )


def test_several_tables_of_one_name_must_be_paired_by_hand() -> None:
    events = _compare([nasty.keyless("a.t"), nasty.keyless("b.t")], [nasty.keyless("c.t")])
    assert all(isinstance(e, Unmatched) and "--table" in e.reason.en for e in events)
    (match,) = _compare([nasty.keyless("a.t"), nasty.keyless("b.t")], [nasty.keyless("c.t")], **{"b.t": "c.t"})
    assert isinstance(match, TableMatch)
    assert match.is_equal()


def test_tables_of_the_same_whole_name_are_matched_by_it() -> None:
    events = _compare([nasty.keyless("A.T"), nasty.keyless("b.t")], [nasty.keyless("a.t"), nasty.keyless("B.T")])
    assert [(e.before, e.after) for e in events if isinstance(e, TableMatch)] == [("A.T", "a.t"), ("b.t", "B.T")]
    assert len(events) == 2


def test_counters_that_one_product_alone_has_are_no_difference() -> None:
    sequences = TableContent(Schema("@sequences", (Column("name", Kind.TEXT, False, "text"),), ("name",)), [b"s"])
    assert len(_compare([nasty.keyless("t")], [nasty.keyless("t"), sequences])) == 1
    assert len(_compare([nasty.keyless("t"), sequences], [nasty.keyless("t"), sequences])) == 2


def test_a_pair_is_old_equals_new_and_both_must_be_there() -> None:
    assert parse_pair("a=b") == ("a", "b")
    assert parse_pair("a") == ("a", "a")
    for text in ("", "=b", "a="):
        with pytest.raises(NotFoundError):
            parse_pair(text)
    with pytest.raises(NotFoundError, match="no table"):
        _compare([nasty.keyless("a")], [nasty.keyless("a")], a="nope")
