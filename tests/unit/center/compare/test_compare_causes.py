# SPDX-License-Identifier: Apache-2.0
"""Why two cells differ, and that what differs by a cause alone is matched, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.compare.causes import Cause, Form, find_cause, form_of, normalize
from evidence.rows.line import Cell, Token
from evidence.rows.values import Kind

LARGE = Token(b"\1" * 32, 70_000)

CASES: list[tuple[Kind, Cell, Kind, Cell, Cause | None]] = [
    (Kind.TEXT, None, Kind.TEXT, b"", Cause.EMPTY_NULL),
    (Kind.TEXT, None, Kind.TEXT, b" ", Cause.DIFFERENT),
    (Kind.TEXT, b"a  ", Kind.TEXT, b"a", Cause.TRAILING_BLANKS),
    (Kind.TEXT, b" a", Kind.TEXT, b"a", Cause.DIFFERENT),
    (Kind.TEXT, b"a\r\nb", Kind.TEXT, b"a\nb", Cause.LINE_ENDS),
    (Kind.TEXT, b"A", Kind.TEXT, b"a", Cause.DIFFERENT),
    (Kind.TEXT, b"1.50", Kind.TEXT, b"1.5", Cause.DIFFERENT),
    (Kind.DECIMAL, b"1.50", Kind.DECIMAL, b"1.5", Cause.SCALE),
    (Kind.DECIMAL, b"1.00", Kind.INT, b"1", Cause.SCALE),
    (Kind.DECIMAL, b"1.50", Kind.TEXT, b"1.5", Cause.SCALE),
    (Kind.INT, b"1", Kind.INT, b"2", Cause.DIFFERENT),
    (Kind.INT, b"9007199254740993", Kind.DECIMAL, b"9007199254740992", Cause.DIFFERENT),
    (Kind.FLOAT8, b"1e+15", Kind.DECIMAL, b"1000000000000000", Cause.FLOAT),
    (Kind.FLOAT4, b"0.1", Kind.FLOAT8, b"0.10000000149011612", Cause.FLOAT),
    (Kind.FLOAT8, b"0.1", Kind.FLOAT8, b"0.10000000149011612", Cause.DIFFERENT),
    (Kind.FLOAT8, b"NaN", Kind.DECIMAL, b"0", Cause.DIFFERENT),
    (Kind.BOOL, b"t", Kind.INT, b"1", Cause.BOOLEAN),
    (Kind.TEXT, b"Y", Kind.BOOL, b"t", Cause.BOOLEAN),
    (Kind.TEXT, "否".encode(), Kind.BOOL, b"f", Cause.BOOLEAN),
    (Kind.BOOL, b"t", Kind.INT, b"0", Cause.DIFFERENT),
    (Kind.BOOL, b"f", Kind.INT, b"2", Cause.DIFFERENT),
    (Kind.DATE, b"2026-11-22", Kind.TIMESTAMP, b"2026-11-22 00:00:00", Cause.DATE_TIME),
    (Kind.DATE, b"2026-11-22", Kind.TIMESTAMP, b"2026-11-22 08:00:00", Cause.DIFFERENT),
    (Kind.TIMESTAMP, b"2026-11-22 01:02:03.1234567", Kind.TIMESTAMP, b"2026-11-22 01:02:03.123456", Cause.FRACTION),
    (Kind.TIMESTAMP, b"2026-11-22 01:02:03.1234561", Kind.TIMESTAMP, b"2026-11-22 01:02:03.1234562", Cause.DIFFERENT),
    (Kind.TIMESTAMP, b"2026-11-22 01:02:03", Kind.TIMESTAMP, b"2026-11-22 01:02:04", Cause.DIFFERENT),
    (Kind.TIMESTAMPOFFSET, b"2026-11-22 09:02:03+08:00", Kind.TIMESTAMPTZ, b"2026-11-22 01:02:03+00", Cause.ZONE),
    (Kind.TIMESTAMPOFFSET, b"2026-11-22 09:02:03+08:00", Kind.TIMESTAMP, b"2026-11-22 09:02:03", Cause.ZONE),
    (Kind.TIMESTAMPTZ, b"2026-11-22 01:02:03+00", Kind.TIMESTAMP, b"2026-11-22 09:02:03", Cause.DIFFERENT),
    (Kind.DATE, b"0000-00-00", Kind.DATE, None, Cause.DIFFERENT),
    (Kind.TEXT, b"{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", Kind.UUID, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", Cause.UUID),
    (Kind.BYTES, b"\\xa0eebc999c0b4ef8bb6d6bb9bd380a11", Kind.UUID, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", Cause.UUID),
    (Kind.JSON, b'{"a": 1, "b": [1.0]}', Kind.JSON, b'{"b":[1.0],"a":1}', Cause.JSON),
    (Kind.JSON, b'{"a": 1}', Kind.JSON, b'{"a": "1"}', Cause.DIFFERENT),
    (Kind.JSON, b"1", Kind.JSON, b"[1]", Cause.DIFFERENT),
    (Kind.JSON, b'{"a": 1.0}', Kind.JSON, b'{"a": 1}', Cause.DIFFERENT),
    (Kind.JSON, b'{"a":1,"a":2}', Kind.JSON, b'{"a":2}', Cause.DIFFERENT),
    (Kind.ANY, b"i:5", Kind.INT, b"5", None),
    (Kind.ANY, b"t:x ", Kind.TEXT, b"x", Cause.TRAILING_BLANKS),
    (Kind.ANY, b"i:5", Kind.ANY, b"t:5", Cause.DIFFERENT),
    (Kind.ANY, b"i:5", Kind.ANY, b"r:5", Cause.FLOAT),
    (Kind.ANY, b"b:\\x616263", Kind.TEXT, b"abc", None),
    (Kind.BYTES, b"\\x616263", Kind.TEXT, b"abc", None),
    (Kind.BYTES, b"\\x616263", Kind.TEXT, b"\\x616263", Cause.DIFFERENT),
    (Kind.BYTES, b"\\x00", Kind.BYTES, b"\\x0000", Cause.DIFFERENT),
    (Kind.TEXT, LARGE, Kind.TEXT, LARGE, None),
    (Kind.TEXT, LARGE, Kind.TEXT, b"x", Cause.DIFFERENT),
    (Kind.TEXT, LARGE, Kind.TEXT, None, Cause.DIFFERENT),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "a", "other", "b", "cause"), CASES)
def test_a_difference_has_its_cause_from_either_side(
    kind: Kind, a: Cell, other: Kind, b: Cell, cause: Cause | None
) -> None:
    form = form_of(kind, other)
    assert form == form_of(other, kind)
    assert find_cause(form, (kind, a), (other, b)) == cause
    assert find_cause(form, (other, b), (kind, a)) == cause


@pytest.mark.parametrize(("kind", "a", "other", "b", "cause"), CASES)
def test_rows_are_matched_by_what_has_a_cause_alone(
    kind: Kind, a: Cell, other: Kind, b: Cell, cause: Cause | None
) -> None:
    form = form_of(kind, other)
    # A cut fraction and a float of another width are other values: a key of these is not matched.
    is_same = cause not in (Cause.DIFFERENT, Cause.FRACTION) and not (
        cause is Cause.FLOAT and Kind.FLOAT4 in (kind, other)
    )
    # Values of two classes are matched by what is written, and then differ.
    if kind is other is Kind.ANY:
        return
    is_local = cause is Cause.ZONE and Kind.TIMESTAMP in (kind, other)
    if (a, b) != (None, b" ") and not is_local:
        assert (normalize(form, kind, a) == normalize(form, other, b)) == is_same


@given(st.binary(max_size=12), st.binary(max_size=12), st.sampled_from(list(Form)))
def test_no_bytes_break_the_comparison_and_equal_ones_are_equal(a: bytes, b: bytes, form: Form) -> None:
    assert find_cause(form, (Kind.TEXT, a), (Kind.TEXT, a)) is None
    assert (find_cause(form, (Kind.TEXT, a), (Kind.TEXT, b)) is None) == (a == b)
    normalize(form, Kind.TEXT, a)
