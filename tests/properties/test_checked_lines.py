# SPDX-License-Identifier: Apache-2.0
"""`check_lines` over a block refuses exactly what `parse_line` and `check_value` refuse line by line."""

import random
import re
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence.errors import FormatError
from evidence.rows.check import RowCheck, _is_regular, check_lines
from evidence.rows.commit import commit_lines
from evidence.rows.line import MAX_CELL_BYTES, Cell, Token, encode_line, parse_line, shorten_line
from evidence.rows.schema import RAW_TEXT_NOTE, Column, Schema
from evidence.rows.values import Kind, check_value, format_float4, format_float8
from tests.builders.floats import single
from tests.unit.evidence.rows.test_values import BAD, GOOD

SLOW = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
KINDS = list(Kind)
TOKENS = [Token(bytes(range(32)), 70_000), Token(bytes(32), 0, b"t:"), Token(bytes(32), 10**18, b"b:")]
SCALES = st.sampled_from([None, None, 2, 0, -3])


def first_wrong(schema: Schema, block: bytes) -> tuple[int, str | None] | None:
    """Give row and column of the first cell that the definition refuses; column None: the line itself."""
    for number, line in enumerate(block.split(b"\n")[:-1]):
        try:
            cells = parse_line(line, schema)
        except FormatError:
            return number, None
        for column, cell in zip(schema.columns, cells, strict=True):
            if isinstance(cell, bytes):
                try:
                    check_value(column.kind, column.scale, cell, raw_text=schema.is_raw_text(column.name))
                except FormatError:
                    return number, column.name
        if len(line) > MAX_CELL_BYTES and shorten_line(line, schema)[1]:
            return number, None
    return None


def check_same(schema: Schema, block: bytes) -> None:
    wrong = first_wrong(schema, block)
    ends = commit_lines(bytes(32), block).ends
    for check in (partial(check_lines, schema, block), partial(RowCheck(schema).check, block, ends)):
        if wrong is None:
            check()
            continue
        with pytest.raises(FormatError) as caught:
            check()
        said = str(caught.value)
        assert said.startswith(f"row {wrong[0]} of "), (wrong, said)
        if wrong[1] is not None:
            assert f"column {wrong[1]!r} " in said


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=7))
    columns = tuple(
        Column(f"c{i}", kind, True, "x", draw(SCALES) if kind is Kind.DECIMAL else None) for i, kind in enumerate(kinds)
    )
    raw = draw(st.lists(st.sampled_from([column.name for column in columns]), max_size=2))
    return Schema("t", columns, (), tuple(RAW_TEXT_NOTE + name for name in raw))


def cells(kind: Kind, all_are_good: bool) -> st.SearchStrategy[Cell]:
    good: list[st.SearchStrategy[Cell]] = [st.sampled_from(GOOD[kind]), st.none(), st.sampled_from(TOKENS)]
    if kind in (Kind.TEXT, Kind.OTHER):
        good.append(st.text(max_size=12).map(str.encode))
    if all_are_good:
        return st.one_of(good[0], *good)
    wrong = st.sampled_from(BAD.get(kind) or [b"\xff"])
    return st.one_of(*good, wrong, st.binary(max_size=6), st.sampled_from(GOOD[Kind.INT]))


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Schema, bytes]:
    """Give a schema and lines: good ones as a rule, and mistakes of every kind."""
    schema = draw(schemas())
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        all_are_good = draw(st.integers(0, 4)) > 0
        line = encode_line([draw(cells(column.kind, all_are_good)) for column in schema.columns])
        if draw(st.integers(0, 9)) == 0:
            at = draw(st.integers(0, len(line)))
            line = (
                line[:at] + draw(st.sampled_from([b"\t", b"\\", b"\\N", b"\r", b"\x00", b"\t\\N", b"\xff"])) + line[at:]
            )
        lines.append(line.replace(b"\n", b"") + b"\n")
    return schema, b"".join(lines)


@SLOW
@given(blocks())
def test_blocks_are_judged_as_their_lines_are(made: tuple[Schema, bytes]) -> None:
    check_same(*made)


@SLOW
@given(st.sampled_from(KINDS), SCALES, st.binary(max_size=24).map(lambda raw: raw.replace(b"\n", b"")))
def test_any_bytes_as_the_only_cell_are_judged_the_same(kind: Kind, scale: int | None, raw: bytes) -> None:
    schema = Schema("t", (Column("c", kind, True, "x", scale if kind is Kind.DECIMAL else None),))
    check_same(schema, raw + b"\n")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [None, 0, 2, -1])
def test_every_known_good_and_bad_value_is_judged_the_same_in_every_place(kind: Kind, scale: int | None) -> None:
    column = Column("c", kind, True, "x", scale if kind is Kind.DECIMAL else None)
    text = Column("d", Kind.TEXT, True, "x")
    for value in [*GOOD[kind], *BAD.get(kind, []), None, *TOKENS]:
        for columns, row in (
            ((column,), [value]), ((column, text), [value, b"x"]), ((text, column), [b"x", value]),
            ((column, text), [value, None]), ((text, column, text), [None, value, None]),
        ):  # fmt: skip
            named = tuple(Column(f"{c.name}{i}", c.kind, True, "x", c.scale) for i, c in enumerate(columns))
            check_same(Schema("t", named), encode_line(row) + b"\n")


@pytest.mark.parametrize(
    "line", [b"", b"\\N", b"\\N\t\\N", b"1\t\\N", b"1\t\\\\N", b"1\t", b"\t1", b"1\t2\t3", b"\\N\t2", b"1\t\\@sha256:"]
)
def test_fields_that_lack_or_are_too_many_are_judged_the_same(line: bytes) -> None:
    for kinds in ((Kind.INT, Kind.TEXT), (Kind.TEXT, Kind.TEXT), (Kind.TEXT,), (Kind.ANY, Kind.BITS)):
        check_same(Schema("t", tuple(Column(f"c{i}", k, True, "x") for i, k in enumerate(kinds))), line + b"\n")


def test_the_common_kinds_take_the_fast_way() -> None:
    """Else the cost that decision 0028 states would be another."""
    kinds = [k for k in KINDS if k not in (Kind.FLOAT8, Kind.FLOAT4)]
    schema = Schema("t", tuple(Column(f"c{i}", k, True, "x") for i, k in enumerate(kinds)))
    for i in range(12):
        cell_of = {k: [v for v in GOOD[k] if k is not Kind.TEXT or b"\xff" not in v] for k in kinds}
        line = encode_line([cell_of[k][i % len(cell_of[k])] for k in kinds]) + b"\n"
        assert _is_regular(schema, line), line
        # The kernel leaves years of five digits and BC to the reference.
        block = encode_line([cell_of[k][0] for k in kinds]) + b"\n"
        assert RowCheck(schema).find_doubtful(block, commit_lines(bytes(32), block).ends) == []


def test_an_error_names_row_and_column_and_never_the_value() -> None:
    schema = Schema("患者", (Column("id", Kind.INT, False, "x"), Column("生日", Kind.DATE, True, "x")))
    with pytest.raises(FormatError) as caught:
        check_lines(schema, b"1\t1980-01-01\n2\tgeheim-4711\n")
    assert str(caught.value) == "row 1 of '患者': column '生日' has 11 bytes that are no canonical date"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    with pytest.raises(FormatError, match=r"^row 0 of '患者': .* has 3 fields, its schema 2 columns"):
        check_lines(schema, b"1\t1980-01-01\tgeheim\n")


def test_a_block_that_does_not_end_a_line_is_refused() -> None:
    schema = Schema("t", (Column("c", Kind.TEXT, True, "x"),))
    check_lines(schema, b"")
    with pytest.raises(FormatError, match="does not end"):
        check_lines(schema, b"a\nb")


@pytest.mark.parametrize(
    "line",
    [
        b"x" * (1 << 20) + b"\x01\x08", b"\\n" * (1 << 19) + b"\\", b"1" * (1 << 20) + b"x", b"\t" * (1 << 20),
        b"-0." + b"0" * (1 << 20), (b"\\N\t" * 300_000), b"\\\\x" + b"0" * ((1 << 20) + 1),
    ],
)  # fmt: skip
def test_a_long_line_is_judged_the_same_in_time_that_is_linear(line: bytes) -> None:
    """A quadratic way would take a million times a million steps here, and not come back."""
    kinds = [Kind.TEXT, Kind.DECIMAL, Kind.ANY, Kind.BYTES, Kind.BITS, Kind.INT]
    for first in kinds:
        columns = [Column(f"c{i}", kind, True, "x") for i, kind in enumerate([first, *kinds])]
        check_same(Schema("t", tuple(columns)), line + b"\n")


def test_the_widest_table_can_be_checked() -> None:
    columns = tuple(Column(f"c{i}", KINDS[i % len(KINDS)], True, "x") for i in range(4096))
    schema = Schema("t", columns)
    line = encode_line([GOOD[column.kind][0] for column in columns])
    check_lines(schema, line + b"\n" + line + b"\n")
    with pytest.raises(FormatError, match=re.escape("row 1 of 't'")):
        check_lines(schema, line + b"\n" + line + b"\t1\n")


FINITE = st.floats(allow_nan=False, allow_infinity=False)
SINGLES = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=2000, deadline=None)
@given(FINITE, SINGLES, st.integers(-3, 3))
def test_the_kernel_vouches_for_no_float_that_the_reference_refuses(double: float, one: float, step: int) -> None:
    schema = Schema("t", (Column("a", Kind.FLOAT8, True, "x"), Column("b", Kind.FLOAT4, True, "x")))
    for a, b in ((format_float8(double), format_float4(one)), (repr(double).encode(), repr(one).encode())):
        digits = re.sub(rb"[0-9](?=e|$)", lambda m: b"%d" % ((int(m[0]) + step) % 10), a, count=1)
        check_same(schema, a + b"\t" + b + b"\n")
        check_same(schema, digits + b"\t" + b + b"\n")


@pytest.mark.parametrize("exponent", range(-130, 38))
def test_floats_on_and_beside_powers_of_two_and_ten_are_judged_the_same(exponent: int) -> None:
    schema = Schema("t", (Column("a", Kind.FLOAT8, True, "x"), Column("b", Kind.FLOAT4, True, "x")))
    for base in (2.0**exponent, 10.0**exponent, 3 * 2.0**exponent, 10.0**exponent * (1 + 2**-52)):
        one = single(base)
        texts = {repr(base), f"{base:.16e}", f"{base:.17g}", format_float8(base).decode()}
        for text in texts:
            check_same(schema, text.encode() + b"\t" + format_float4(one).decode().encode() + b"\n")
            check_same(schema, b"1\t" + text.encode() + b"\n")


def test_common_floats_take_the_fast_way() -> None:
    schema = Schema("t", (Column("a", Kind.FLOAT8, True, "x"), Column("b", Kind.FLOAT4, True, "x")))
    chance = random.Random(4)
    rows = [
        (format_float8(chance.uniform(-1e6, 1e6)), format_float4(single(chance.uniform(-1e3, 1e3))))
        for _ in range(2000)
    ]
    block = b"".join(a + b"\t" + b + b"\n" for a, b in rows)
    assert RowCheck(schema).find_doubtful(block, commit_lines(bytes(32), block).ends) == []
