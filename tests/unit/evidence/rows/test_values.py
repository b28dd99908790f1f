# SPDX-License-Identifier: Apache-2.0
"""Kinds of values: each has one canonical form, and is ordered as the design says."""

import math
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evidence.errors import FormatError
from evidence.rows.values import Kind, check_value, format_float4, format_float8, order_key
from tests.builders.floats import single

GOOD: dict[Kind, list[bytes]] = {
    Kind.BOOL: [b"t", b"f"],
    Kind.INT: [b"0", b"-1", b"18446744073709551615", b"9" * 40],
    Kind.DECIMAL: [
        b"0",
        b"0.00",
        b"-0.01",
        b"1.00",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"123456789012345678901234567890.5",
    ],
    Kind.FLOAT8: [
        b"0",
        b"-0",
        b"0.1",
        b"1e+15",
        b"100000000000000",
        b"1e-07",
        b"0.0001",
        b"5e-324",
        b"NaN",
        b"-Infinity",
        b"1.7976931348623157e+308",
        b"9.999999999999999e+22",
    ],
    Kind.FLOAT4: [b"0", b"-0", b"0.1", b"1e+06", b"100000", b"1.6777216e+07", b"1e-45", b"3.4028235e+38", b"Infinity"],
    Kind.TEXT: [b"", "张三".encode(), b"\x00\t\\N", b" "],
    Kind.JSON: [b'{"a": 1}', b"null"],
    Kind.BYTES: [b"\\x", b"\\x00ff"],
    Kind.BITS: [b"", b"0", b"00101"],
    Kind.DATE: [b"2026-02-28", b"0044-03-15 BC", b"infinity", b"-infinity", b"0000-00-00", b"12026-01-01"],
    Kind.TIME: [b"03:04:05", b"03:04:05.1", b"24:00:00", b"-838:59:59", b"838:59:59.000001"],
    Kind.TIMESTAMP: [b"2026-01-02 03:04:05", b"2026-01-02 03:04:05.123456789", b"0044-03-15 12:00:00 BC", b"infinity"],
    Kind.TIMESTAMPTZ: [
        b"2026-01-02 03:04:05+00",
        b"2026-01-02 03:04:05.5+00",
        b"0044-03-15 12:00:00+00 BC",
        b"-infinity",
    ],
    Kind.TIMESTAMPOFFSET: [b"2026-01-02 03:04:05+08:00", b"2026-01-02 03:04:05.5-03:30"],
    Kind.INTERVAL: [b"1 year 2 mons -3 days 04:05:06.7", b"00:00:00"],
    Kind.UUID: [b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    Kind.ANY: [b"i:1", b"i:-7", b"r:1.5", b"r:Infinity", b"t:", "t:张".encode(), b"b:\\x", b"b:\\x31"],
    Kind.OTHER: [b"{1,2}", b"192.168.0.1/24"],
}
BAD: dict[Kind, list[bytes]] = {
    Kind.BOOL: [b"", b"true", b"T", b"1", b"t\n"],
    Kind.INT: [
        b"",
        b"+7",
        b"007",
        b"-0",
        b" 7",
        b"7 ",
        b"1_000",
        "１２".encode(),
        "٣".encode(),
        b"1.0",
        b"1e3",
        b"7\n",
        b"0x7",
    ],
    Kind.DECIMAL: [
        b"",
        b"-0",
        b"-0.00",
        b".5",
        b"5.",
        b"01.0",
        b"1e3",
        b"+1",
        b"nan",
        b"inf",
        b"1,5",
        b"1.0\n",
        b"- 1",
    ],
    Kind.FLOAT8: [
        b"",
        b"1.0",
        b"+1",
        b"1e15",
        b"1E+15",
        b"0.10",
        b".1",
        b"1e+023",
        b"1e23",
        b"nan",
        b"inf",
        b"1e+999",
        b"1_0",
        b"0.00001",
        b"1000000000000000",
        b"1e+1",
        b"00",
    ],
    Kind.FLOAT4: [b"1000000", b"0.10", b"3.5e+38", b"1e+39", b"0.100000001", b"16777216", b"-NaN"],
    Kind.TEXT: [b"\xff", b"\xed\xa0\x80", b"\xc0\x80"],
    Kind.JSON: [b"\xfe"],
    Kind.BYTES: [b"", b"00", b"\\x0", b"\\xAB", b"\\X00", b"\\x 00"],
    Kind.BITS: [b"2", b"b'0'", b"01 "],
    Kind.DATE: [b"26-02-28", b"2026-2-28", b"2026/02/28", b"2026-02-28 AD", b"+infinity", b"2026-02-28T00:00:00"],
    Kind.TIME: [b"3:04:05", b"03:04", b"03:04:05.10", b"03:04:05.", b"03:04:05.1234567891", b"+03:04:05"],
    Kind.TIMESTAMP: [b"2026-01-02T03:04:05", b"2026-01-02 03:04:05.50", b"2026-01-02 03:04:05+00", b"2026-01-02"],
    Kind.TIMESTAMPTZ: [
        b"2026-01-02 03:04:05",
        b"2026-01-02 03:04:05+08",
        b"2026-01-02 03:04:05+00:00",
        b"2026-01-02 03:04:05Z",
    ],
    Kind.TIMESTAMPOFFSET: [b"2026-01-02 03:04:05 +08:00", b"2026-01-02 03:04:05+08", b"infinity"],
    Kind.UUID: [
        b"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        b"a0eebc999c0b4ef8bb6d6bb9bd380a11",
        b"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
    ],
    Kind.ANY: [b"", b"1", b"i:+1", b"r:1.50", b"t:\xff", b"b:31", b"n:", b"I:1"],
    Kind.OTHER: [b"\xff"],
}


def test_every_kind_is_covered() -> None:
    assert set(GOOD) == set(Kind)
    assert set(Kind) - set(BAD) == {Kind.INTERVAL}


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in GOOD.items() for v in values])
def test_canonical_value_is_taken(kind: Kind, value: bytes) -> None:
    check_value(kind, None, value)


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in BAD.items() for v in values])
def test_other_spelling_is_refused_by_name_and_kind(kind: Kind, value: bytes) -> None:
    with pytest.raises(FormatError, match=f"kind {kind}"):
        check_value(kind, None, value)


@pytest.mark.parametrize(
    ("scale", "good", "bad"),
    [(2, b"1.50", b"1.5"), (0, b"1", b"1.0"), (-2, b"100", b"100.0"), (10, b"0.0000000001", b"0.000000001")],
)
def test_declared_scale_gives_exactly_that_many_digits(scale: int, good: bytes, bad: bytes) -> None:
    check_value(Kind.DECIMAL, scale, good)
    with pytest.raises(FormatError):
        check_value(Kind.DECIMAL, scale, bad)


def test_raw_text_may_be_any_bytes_where_the_schema_says_so() -> None:
    check_value(Kind.TEXT, None, b"\xff\xfe", raw_text=True)
    check_value(Kind.ANY, None, b"t:\xff", raw_text=True)


def _floats_of_bits(size: int, code: str) -> st.SearchStrategy[float]:
    return st.binary(min_size=size, max_size=size).map(lambda raw: float(struct.unpack(f">{code}", raw)[0]))


@given(st.one_of(st.floats(), _floats_of_bits(8, "d")))
@example(1e23)
@example(5e-324)
@example(2.0**53)
@example(2.0**53 - 1)
@example(9007199254740993.0)
@example(1e22)
@example(1.7976931348623157e308)
@example(2.2250738585072014e-308)
def test_double_reads_back_as_itself_and_is_canonical(x: float) -> None:
    text = format_float8(x)

    check_value(Kind.FLOAT8, None, text)
    assert math.isnan(x) or (float(text) == x and math.copysign(1, float(text)) == math.copysign(1, x))


@given(_floats_of_bits(4, "f"))
@example(16777216.0)
@example(single(1e-45))
@example(single(3.4028235e38))
def test_single_reads_back_as_itself_and_is_canonical(x: float) -> None:
    text = format_float4(x)

    check_value(Kind.FLOAT4, None, text)
    assert math.isnan(x) or single(float(text.decode())) == x


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x != 0))
@example(1e23)
@example(9007199254740993.0)
@example(5e-324)
@example(1.7976931348623157e308)
def test_double_has_no_shorter_digits_strictly_inside_its_interval(x: float) -> None:
    """Checked against the definition, with exact fractions, not against another printer."""
    mantissa, _, exponent = format_float8(abs(x)).partition(b"e")
    digits = mantissa.replace(b".", b"").strip(b"0") or b"0"
    exact = Fraction(abs(x))
    low = (exact + Fraction(math.nextafter(abs(x), 0.0))) / 2
    above = math.nextafter(abs(x), math.inf)
    high = (exact + (Fraction(above) if above != math.inf else Fraction(2) ** 1024)) / 2
    assert low < Fraction(format_float8(abs(x)).decode()) < high

    place = math.floor(math.log10(abs(x))) + 1
    for guess in (place - 1, place, place + 1):
        unit = Fraction(10) ** (guess - (len(digits) - 1))
        for candidate in (exact // unit, exact // unit + 1):
            shorter = candidate * unit
            if len(str(candidate)) < len(digits) and low < shorter < high:
                raise AssertionError(f"{float(shorter)} is shorter than {digits!r}")
    assert exponent == b"" or exponent[:1] in b"+-"


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_small_integers_are_written_exactly(n: int) -> None:
    assert format_float8(float(n)) == str(n).encode()


@given(st.integers(), st.integers())
def test_integers_are_ordered_as_numbers(a: int, b: int) -> None:
    assert (order_key(Kind.INT, b"%d" % a) < order_key(Kind.INT, b"%d" % b)) == (a < b)


@given(*[st.decimals(allow_nan=False, allow_infinity=False, places=3)] * 2)
def test_decimals_are_ordered_as_numbers(a: Decimal, b: Decimal) -> None:
    assert (order_key(Kind.DECIMAL, str(a).encode()) < order_key(Kind.DECIMAL, str(b).encode())) == (a < b)


@given(st.binary(), st.binary())
def test_everything_else_is_ordered_by_bytes(a: bytes, b: bytes) -> None:
    assert (order_key(Kind.TEXT, a) < order_key(Kind.TEXT, b)) == (a < b)


@given(st.sampled_from(sorted(Kind)), st.binary(max_size=30))
def test_no_bytes_make_the_check_fail_otherwise(kind: Kind, value: bytes) -> None:
    try:
        check_value(kind, None, value)
    except FormatError:
        return
    assert kind not in (Kind.INT, Kind.BOOL) or value.strip() == value
