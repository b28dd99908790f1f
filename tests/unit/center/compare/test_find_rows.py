# SPDX-License-Identifier: Apache-2.0
"""Rows of a snapshot, by any of their columns."""

import hashlib

import pytest

from center.compare import find_rows, parse_key
from center.compare.rows import canonical_values, cell_text
from center.errors import NotFoundError
from evidence.errors import FormatError
from evidence.rows.line import Token, encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.errors import UsageError
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent


def _find(content: TableContent, *where: str) -> list[bytes]:
    snapshot = SourceHistory().take(content)
    return [row.line for row in find_rows(snapshot, content.schema.name, where)]


def test_a_whole_key_is_looked_up_without_reading_the_table() -> None:
    schema = Schema("t", (Column("id", Kind.INT, False, "int"), Column("x", Kind.TEXT, True, "text")), ("id",))
    history = SourceHistory()
    snapshot = history.take(TableContent(schema, [b"%d\t%s" % (i, b"x" * 500) for i in range(5000)]))
    snapshot.tables()
    history.objects.reads = 0
    assert [r.line for r in find_rows(snapshot, "t", ["id=4321"])] == [b"4321\t" + b"x" * 500]
    assert history.objects.reads < 6
    assert list(find_rows(snapshot, "t", ["id=5001"])) == []
    assert list(find_rows(snapshot, "t", ["id=4321", "x=y"])) == []


def test_rows_are_found_by_any_columns_in_order() -> None:
    assert _find(nasty.composite(), "code=中", "price=9.01") == []
    assert _find(nasty.composite(), "code=中", "visit=+0100") == [
        "n100\t中\t100\t9.00".encode(),
        "n100\t中\t100\t10.00".encode(),
    ]
    assert _find(nasty.composite(), "price=9", "visit=100", "code=中") == ["n100\t中\t100\t9.00".encode()]


def test_null_empty_and_the_text_that_looks_like_null_are_three_things() -> None:
    schema = Schema("t", (Column("a", Kind.TEXT, True, "text"), Column("b", Kind.INT, True, "int")))
    lines = [encode_line([b"\\N", b"1"]), encode_line([None, b"2"]), encode_line([b"", b"3"])]
    content = TableContent(schema, lines)
    assert _find(content, "a=\\N") == [lines[1]]
    assert _find(content, "a=\\\\N") == [lines[0]]
    assert _find(content, "a=") == [lines[2]]


def test_a_column_whose_name_has_an_equals_sign_can_be_named() -> None:
    schema = Schema("t", (Column("a", Kind.TEXT, True, "text"), Column("a=b", Kind.TEXT, True, "text")))
    assert _find(TableContent(schema, [b"b=c\tx", b"y\tc"]), "a=b=c") == [b"y\tc"]


def test_a_value_of_a_sqlite_column_is_found_in_every_class_it_may_have() -> None:
    content = nasty.any_kind()
    assert [line.split(b"\t")[0] for line in _find(content, "mixed=1")] == [b"0", b"6"]
    assert [line.split(b"\t")[0] for line in _find(content, "mixed=t:1")] == [b"6"]


def test_a_large_cell_is_found_by_its_text_and_by_its_hash() -> None:
    content = nasty.large_cells()
    text = "病程记录：患者今日体温正常。\n" * 3000
    assert [line[:2] for line in _find(content, f"body={text}")] == [b"1\t"]
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert [line[:2] for line in _find(content, f"body=sha256:{digest}")] == [b"1\t"]
    assert [line[:2] for line in _find(content, f"body={'x' * 65_536}")] == [b"2\t"]


@pytest.mark.parametrize(
    ("kind", "scale", "text", "values"),
    [
        (Kind.INT, None, "+007", {b"7"}),
        (Kind.INT, None, "-0", {b"0"}),
        (Kind.INT, None, "1.0", set()),
        (Kind.INT, None, "٣", set()),
        (Kind.DECIMAL, 2, "12.5", {b"12.50"}),
        (Kind.DECIMAL, 2, "-0", {b"0.00"}),
        (Kind.DECIMAL, 2, "12.505", set()),
        (Kind.DECIMAL, 0, "1e2", {b"100"}),
        (Kind.DECIMAL, None, "1.50", {b"1.50"}),
        (Kind.DECIMAL, 3, ".5", {b"0.500"}),
        (Kind.DECIMAL, -2, "1200", {b"1200"}),
        (Kind.FLOAT8, None, "1e15", {b"1e+15"}),
        (Kind.FLOAT4, None, "0.1", {b"0.1"}),
        (Kind.FLOAT4, None, "1e99", set()),
        (Kind.BOOL, None, "TRUE", {b"t"}),
        (Kind.BYTES, None, "0xFF", {b"\\xff"}),
        (Kind.BYTES, None, "f", set()),
        (Kind.UUID, None, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", {b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}),
        (Kind.DATE, None, "2026-11-22", {b"2026-11-22"}),
        (Kind.DATE, None, "22.11.2026", set()),
        (Kind.ANY, None, "5", {b"i:5", b"r:5", b"t:5"}),
        (Kind.ANY, None, "i:x", {b"t:i:x"}),
    ],
)
def test_what_a_person_types_is_brought_to_canonical_form(
    kind: Kind, scale: int | None, text: str, values: set[bytes]
) -> None:
    assert canonical_values(Column("c", kind, True, "", scale), text) == values


def test_wrong_conditions_are_refused_with_what_to_write() -> None:
    with pytest.raises(UsageError, match="has no `=`"):
        _find(nasty.composite(), "visit")
    with pytest.raises(NotFoundError) as caught:
        _find(nasty.composite(), "vizit=1")
    assert caught.value.hint == "did you mean: visit"
    with pytest.raises(UsageError, match="'abc' is not a value of column 'visit', which is of kind int"):
        _find(nasty.composite(), "visit=abc")
    with pytest.raises(NotFoundError):
        list(find_rows(SourceHistory().take(nasty.composite()), "nope", []))


def test_a_key_is_typed_one_value_for_each_column() -> None:
    schema = nasty.composite().schema
    assert parse_key(schema, ["007", "a\tb", "9"]) == b"7\ta\\tb\t9.00"
    with pytest.raises(UsageError, match="has 3 columns"):
        parse_key(schema, ["7"])
    with pytest.raises(UsageError, match="has no key"):
        parse_key(nasty.keyless().schema, ["7"])
    with pytest.raises(UsageError, match="does not name one key"):
        parse_key(schema, ["7", "\\N", "9"])


def test_cells_are_written_for_people() -> None:
    assert cell_text(None) is None
    assert cell_text(b"\xd5\xc5 \xe5\xbc\xa0") == "\\xd5\\xc5 张"
    assert cell_text(Token(bytes(32), 5)) == "\\@sha256:" + "00" * 32 + ":5"


def test_an_unreadable_wanted_value_names_kind_and_column() -> None:
    from center.compare.rows import parse_wanted

    with pytest.raises(FormatError, match="of kind bits"):
        parse_wanted(Column("flags", Kind.BITS, True, "bit(3)"), "012")
