# SPDX-License-Identifier: Apache-2.0
"""Kinds of values, their one canonical form, and how they are ordered. Pure.

A canonical value is bytes *before* escaping. Forms: formats.md, "Kinds of values"; the mapping from each source's
types is the collectors' business. Floats print as PostgreSQL prints them: the shortest decimal strictly inside the
rounding interval, nearest to the value (Ryu without accepting bounds), where Python's `repr` accepts the bounds.
"""

import re
import struct
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, TypeAlias

from evidence.errors import FormatError


class Kind(StrEnum):
    """The kinds of values that a column can have."""

    BOOL = "bool"
    INT = "int"
    DECIMAL = "decimal"
    FLOAT8 = "float8"
    FLOAT4 = "float4"
    TEXT = "text"
    JSON = "json"
    BYTES = "bytes"
    BITS = "bits"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    TIMESTAMPOFFSET = "timestampoffset"
    INTERVAL = "interval"
    UUID = "uuid"
    ANY = "any"
    OTHER = "other"


UNORDERED_KINDS: Final = frozenset({Kind.FLOAT8, Kind.FLOAT4, Kind.ANY})
"""A key never has these: their equality is not that of their text in every source."""

OrderKey: TypeAlias = int | bytes | tuple[int, Decimal]

_ZERO = Decimal(0)
_DATE = rb"(?:[0-9]{4,})-[0-9]{2}-[0-9]{2}"
_CLOCK = rb"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,8}[1-9])?"
_PATTERNS: Final[dict[Kind, re.Pattern[bytes]]] = {
    Kind.BOOL: re.compile(rb"[tf]"),
    Kind.INT: re.compile(rb"0|-?[1-9][0-9]*"),
    Kind.BYTES: re.compile(rb"\\x(?:[0-9a-f]{2})*"),
    Kind.BITS: re.compile(rb"[01]*"),
    Kind.DATE: re.compile(_DATE + rb"(?: BC)?|-?infinity"),
    Kind.TIME: re.compile(rb"-?[0-9]{2,}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,8}[1-9])?"),
    Kind.TIMESTAMP: re.compile(_DATE + rb" " + _CLOCK + rb"(?: BC)?|-?infinity"),
    Kind.TIMESTAMPTZ: re.compile(_DATE + rb" " + _CLOCK + rb"\+00(?: BC)?|-?infinity"),
    Kind.TIMESTAMPOFFSET: re.compile(_DATE + rb" " + _CLOCK + rb"[+-][0-9]{2}:[0-9]{2}"),
    Kind.UUID: re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}
_DECIMAL = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?")
_NOT_FINITE = frozenset({b"NaN", b"Infinity", b"-Infinity"})
_FLOAT = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]{2,3})?")


def check_value(kind: Kind, scale: int | None, value: bytes, *, raw_text: bool = False) -> None:
    """Raises: FormatError unless `value` is in the canonical form of `kind`.

    `scale` counts the digits of a decimal after the point (None: as the source writes it); `raw_text` lets a text be
    something else than UTF-8, where the schema says so.
    """
    if not _is_canonical(kind, scale, value, raw_text):
        raise FormatError(f"{value[:60]!r} is not the canonical form of a value of kind {kind}")


def order_key(kind: Kind, value: bytes) -> OrderKey:
    """Give what compares as the design orders canonical values of `kind`.

    Integers and decimals compare numerically (-Infinity, numbers, Infinity, NaN), all else by bytes. Values of one
    kind only are comparable.
    """
    if kind is Kind.INT:
        return int(value)
    if kind is Kind.DECIMAL:
        if value in _NOT_FINITE:
            return ((-1, 1, 2)[(b"-Infinity", b"Infinity", b"NaN").index(value)], _ZERO)
        return (0, Decimal(value.decode("ascii")))
    return value


def format_float8(x: float) -> bytes:
    """Write a double canonically.

    >>> [format_float8(v).decode() for v in (0.1, 1e15, 100000.0, 1e-7, 1e23, -0.0)]
    ['0.1', '1e+15', '100000', '1e-07', '9.999999999999999e+22', '-0']
    """
    if x != x or x in (float("inf"), float("-inf")):
        return _format_not_finite(x)
    # Below 2^53 no decimal of 17 digits lies on the bound of a rounding interval, so `repr` agrees.
    if abs(x) < 2.0**53:
        digits, exponent = _digits_of(repr(abs(x)))
    else:
        bits = struct.unpack(">Q", struct.pack(">d", abs(x)))[0]
        below, above = (struct.unpack(">d", struct.pack(">Q", bits + step))[0] for step in (-1, 1))
        upper = Fraction(above) if above != float("inf") else Fraction(2) ** 1024
        digits, exponent = _shortest(Fraction(abs(x)), Fraction(below), upper)
    return _layout(_is_negative(x), digits, exponent, 15)


def format_float4(x: float) -> bytes:
    """Write a single-precision value (given as the double that equals it) canonically.

    >>> [format_float4(struct.unpack("f", struct.pack("f", v))[0]).decode() for v in (0.1, 1e6, 16777216.0)]
    ['0.1', '1e+06', '1.6777216e+07']
    """
    if x != x or x in (float("inf"), float("-inf")):
        return _format_not_finite(x)
    if x == 0:
        return b"-0" if _is_negative(x) else b"0"
    bits = struct.unpack(">I", struct.pack(">f", abs(x)))[0]
    below, above = (struct.unpack(">f", struct.pack(">I", bits + step))[0] for step in (-1, 1))
    upper = Fraction(above) if above != float("inf") else Fraction(2) ** 128
    digits, exponent = _shortest(Fraction(abs(x)), Fraction(below), upper)
    return _layout(_is_negative(x), digits, exponent, 6)


def _is_canonical(kind: Kind, scale: int | None, value: bytes, raw_text: bool) -> bool:
    pattern = _PATTERNS.get(kind)
    if pattern is not None:
        return pattern.fullmatch(value) is not None
    if kind is Kind.DECIMAL:
        return _is_decimal(scale, value)
    if kind in (Kind.FLOAT8, Kind.FLOAT4):
        return _is_float(kind, value)
    if kind is Kind.ANY:
        return _is_any(value, raw_text)
    return raw_text or _is_utf8(value)


def _is_decimal(scale: int | None, value: bytes) -> bool:
    if value in _NOT_FINITE:
        return True
    match = _DECIMAL.fullmatch(value)
    if match is None or (value.startswith(b"-") and not value.strip(b"-0.")):
        return False
    return scale is None or len(match[1] or b"") == max(scale, 0)


def _is_float(kind: Kind, value: bytes) -> bool:
    if value in _NOT_FINITE:
        return True
    if not _FLOAT.fullmatch(value) or len(value) > 32:
        return False
    x = float(value)
    if kind is Kind.FLOAT8:
        return x not in (float("inf"), float("-inf")) and format_float8(x) == value
    try:
        single = struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return False
    return single not in (float("inf"), float("-inf")) and format_float4(single) == value


def _is_any(value: bytes, raw_text: bool) -> bool:
    inner = {b"i:": Kind.INT, b"r:": Kind.FLOAT8, b"t:": Kind.TEXT, b"b:": Kind.BYTES}.get(value[:2])
    return inner is not None and _is_canonical(inner, None, value[2:], raw_text)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_negative(x: float) -> bool:
    return struct.pack(">d", x)[0] >= 0x80


def _format_not_finite(x: float) -> bytes:
    return b"NaN" if x != x else b"Infinity" if x > 0 else b"-Infinity"


def _digits_of(text: str) -> tuple[str, int]:
    """Give the significant digits and the exponent of the first of them, from what `repr` wrote."""
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = len(whole) - 1 + int(power or 0) - (len(whole + fraction) - len(digits))
    return digits.rstrip("0") or "0", exponent if digits else 0


def _shortest(x: Fraction, below: Fraction, above: Fraction) -> tuple[str, int]:
    """Give the shortest digits strictly between the midpoints to the neighbours, nearest to x > 0."""
    low, high = (x + below) / 2, (x + above) / 2
    exponent = _digits_of(repr(float(x)))[1] + 1  # an upper guess; the loop below corrects it
    while Fraction(10) ** exponent > x:
        exponent -= 1
    for count in range(1, 19):
        unit = Fraction(10) ** (exponent - count + 1)
        floor = x // unit
        inside = [n for n in (floor, floor + 1) if low < n * unit < high]
        if inside:
            best = min(inside, key=lambda n: (abs(n * unit - x), n % 2))
            text = str(best)
            return text.rstrip("0"), exponent + len(text) - count
    raise AssertionError("a float has at most 17 digits")


def _layout(negative: bool, digits: str, exponent: int, fixed_below: int) -> bytes:
    sign = "-" if negative else ""
    if not -4 <= exponent < fixed_below:
        point = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}".encode()
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}".encode()
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}{'.' if fraction else ''}{fraction}".encode()
