# SPDX-License-Identifier: Apache-2.0
"""Rows of SQLite as canonical lines."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.collectors.sqlite.lines import CHUNK_BYTES, CHUNK_ROWS, LineWriter, MistypedError, Row, format_real
from evidence.rows.line import Cell, Token, encode_line
from evidence.rows.values import Kind, format_float8

TEXTS = st.binary(max_size=8).map(bytearray) | st.sampled_from(
    [
        bytearray(b)
        for b in (b"\\N", b"\\", b"\\x00", b"t:", b"a\tb", b"\n", b"\0", b"\x08\x0b\x0c\r", b"s:\\N", b"i:5", b"")
    ]
)
FLOATS = st.floats(allow_nan=False)
INTS = st.integers(-(2**63), 2**63 - 1)
BLOBS = st.binary(max_size=8)
TOKENS = st.builds(Token, st.binary(min_size=32, max_size=32), st.integers(0, 2**40), st.just(b"b:"))
BARE_TOKENS = st.builds(Token, st.binary(min_size=32, max_size=32), st.integers(0, 2**40))
VALUES = {
    Kind.INT: INTS,
    Kind.FLOAT8: FLOATS,
    Kind.TEXT: TEXTS | BARE_TOKENS,
    Kind.BYTES: BLOBS | BARE_TOKENS,
    Kind.ANY: INTS | FLOATS | TEXTS | BLOBS | TOKENS,
}
TABLES = st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5).flatmap(
    lambda kinds: st.tuples(
        st.just(kinds), st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in kinds)), max_size=12)
    )
)


def canonical(kind: Kind, value: object) -> Cell:
    """The reference: formats.md, value by value."""
    prefix = b""
    if kind is Kind.ANY:
        prefix = {int: b"i:", float: b"r:", bytearray: b"t:", bytes: b"b:"}.get(type(value), b"")
    if value is None or isinstance(value, Token):
        return value
    if isinstance(value, int):
        return prefix + str(value).encode()
    if isinstance(value, float):
        return prefix + format_float8(value)
    if isinstance(value, bytearray):
        return prefix + bytes(value)
    assert isinstance(value, bytes)
    return prefix + b"\\x" + value.hex().encode()


@given(TABLES, st.integers(0, 1))
@settings(max_examples=400, deadline=None)
def test_lines_are_those_of_the_reference(table: tuple[list[Kind], list[Row]], extra: int) -> None:
    kinds, rows = table
    expected = b"".join(encode_line([canonical(k, v) for k, v in zip(kinds, row, strict=True)]) + b"\n" for row in rows)
    given_rows = iter([(*row, 77) if extra else row for row in rows])
    assert LineWriter(kinds, extra).write(given_rows) == expected


@given(FLOATS)
@settings(max_examples=2000, deadline=None)
def test_real_is_written_as_the_evidence_writes_it(x: float) -> None:
    assert format_real(x) == format_float8(x)


def test_reals_at_the_bounds_of_the_quick_way_are_written_as_the_evidence_writes_them() -> None:
    for bound in (1e-4, 1e15, 1e16, 2.0**53, 1e-5, 1e23, 0.1, 5e-324, 1.7976931348623157e308):
        for x in (bound, math.nextafter(bound, 0), math.nextafter(bound, math.inf)):
            assert format_real(x) == format_float8(x)
            assert format_real(-x) == format_float8(-x)
    assert format_real(-0.0) == b"-0"
    assert format_real(struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000000))[0]) == b"Infinity"


def test_write_takes_a_bounded_number_of_rows_and_leaves_the_rest() -> None:
    rows = iter([(i,) for i in range(CHUNK_ROWS + 1)])
    writer = LineWriter([Kind.INT])
    assert writer.write(rows).count(b"\n") == CHUNK_ROWS
    assert writer.write(rows) == b"%d\n" % CHUNK_ROWS
    assert writer.write(rows) == b""


@pytest.mark.parametrize("text", [b"x", b"\\"])
def test_write_takes_few_rows_where_they_are_large(text: bytes) -> None:
    rows = iter([(bytearray(text * CHUNK_BYTES),) for _ in range(3)])
    writer = LineWriter([Kind.TEXT])
    assert [writer.write(rows).count(b"\n") for _ in range(4)] == [1, 1, 1, 0]


def test_value_of_a_type_that_a_strict_column_cannot_hold_is_refused() -> None:
    with pytest.raises(MistypedError) as caught:
        LineWriter([Kind.ANY, Kind.INT]).write(iter([(1, bytearray(b"x"))]))
    assert caught.value.column == 1
