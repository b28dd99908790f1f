# SPDX-License-Identifier: Apache-2.0
r"""Which MySQL type holds a column exactly, and how its values are written as SQL and read again. Pure.

Columns of a MySQL or MariaDB source keep their own types where `my_types` knows them. Of any other source all values of
a column are looked at first (`Survey`), and the nearest type that holds every one of them exactly is taken:

    bool → tinyint(1) · int → bigint, bigint unsigned, decimal(65) · decimal → decimal, if all have one scale
    float8, float4 → double, float (finite, not -0) · bytes → longblob · bits → bit, if all have one width up to 64
    date, time, timestamp → date, time, datetime, from the year 1000 on (or the zero date), up to microseconds
    timestamptz → timestamp, if all lie in its range (1970 to 2038), else datetime in UTC
    uuid → char(36) · any, if all values are of one class: bigint, double, longtext, longblob
    all other → longtext in utf8mb4, compared by code points; in a key varchar, for only that can be indexed

A column with a value that its type cannot hold is longtext in canonical form; one with a text that is not UTF-8 is
longblob of the raw bytes. The report says so. Source: MySQL manual chapter 11, MariaDB "Data Types"; decision 0046.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from center.restore.my_survey import CLASSES, PATTERNS, TEXTS, Survey
from center.restore.my_types import OwnType, bits_expression, find_own_type
from center.restore.target import note_binary, note_classes
from evidence.rows.schema import Column
from evidence.rows.values import Kind, format_float4, format_float8
from terminal.language import NOTHING, Text

_LAST_BIGINT, _LAST_UNSIGNED = 2**63 - 1, 2**64 - 1
_MOST_DIGITS: Final = 65
_MOST_SCALE: Final = 30
_MOST_BITS: Final = 64
_MOST_INDEXED: Final = 3072
_LOB: Final = re.compile(r"(?:tiny|medium|long)?(?:text|blob)|json")

Translate = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class MyColumn:
    """A column of the target.

    `write` makes SQL of a canonical value, `read` the canonical value of what `expression` gives. `prefix` is the class
    that all values of an any-kind column have. `is_binary`: the raw bytes of values are kept. `longest` counts the bytes
    of the longest value seen; `indexed` those that a key takes at most, None where no key can be had.
    """

    name: str
    type: str
    kind: Kind
    write: Translate
    read: Translate
    expression: str = "{}"
    prefix: bytes = b""
    is_binary: bool = False
    longest: int = 0
    indexed: int | None = 8


def plan_column(
    name: str, column: Column, survey: Survey, *, is_key: bool, is_own: bool, is_content: bool, text: str
) -> tuple[MyColumn, Text]:
    """Give the column that holds all values seen, and a note if it is not of the kind's own type.

    `text` is what makes a type a text type that compares by code points; `is_own`: keep the source's own type.
    """
    planned, note = _choose(name, column, survey, is_key=is_key, is_content=is_content, text=text)
    own = _find_own(column, survey, is_key) if is_own else None
    if own is not None:
        declared = f"{own.sql} {text}" if own.is_text else own.sql
        write, read, expression = write_of(column.kind), read_of(column.kind), own.expression
        planned = MyColumn(
            name, declared, column.kind, write, read, expression, is_binary=column.kind is Kind.BYTES,
            indexed=_indexed(column.kind, survey),
        )  # fmt: skip
        note = NOTHING
    return replace(planned, longest=survey.longest), note


def _find_own(column: Column, survey: Survey, is_key: bool) -> OwnType | None:
    """Give the source's own type if it can hold what was seen; the server refuses what this cannot tell."""
    own = find_own_type(column.type)
    if own is None or survey.is_not_text or (is_key and (survey.has_large or _LOB.fullmatch(own.sql))):
        return None
    return None if survey.is_unfit and column.kind in (Kind.FLOAT8, Kind.FLOAT4) else own


def _choose(
    name: str, column: Column, survey: Survey, *, is_key: bool, is_content: bool, text: str
) -> tuple[MyColumn, Text]:
    kind, prefix, note = column.kind, b"", NOTHING
    if survey.is_not_text or is_content:
        return _raw_column(name, kind, survey, is_key), note_binary(name, "binary", None if is_content else _NO_TEXT)
    if kind is Kind.ANY:
        if len(survey.prefixes) > 1:
            note = note_classes(name)
        else:
            prefix = next(iter(survey.prefixes), b"t:")
            kind = CLASSES[prefix]
    type_ = None if survey.is_unfit else _typed(kind, survey)
    if type_ is None and kind in _TYPED:
        note = Text(
            zh=f"列 {name!r} 为文本：{kind} 中有该类型不能原样存放的值",
            en=f"column {name!r} is text: {kind} has values that the server's type cannot hold as they are",
        )
    if kind is Kind.TIMESTAMPTZ and type_ is not None and type_.startswith("datetime"):
        note = Text(
            zh=f"列 {name!r} 为 UTC 的 datetime：timestamp 只容 1970 至 2038 年",
            en=f"column {name!r} is datetime in UTC: timestamp holds the years 1970 to 2038 only",
        )
    if type_ is None:
        sql = f"varchar({_characters(survey)}) {text}" if is_key else f"longtext {text}"
        plain = MyColumn(name, sql, column.kind, write_text, _same, indexed=_indexed_text(survey))
        return (_classed(plain, prefix), note)
    if kind is Kind.BYTES and is_key:
        type_ = f"varbinary({max(1, survey.longest // 2)})"
    found = MyColumn(
        name, type_, column.kind, write_of(kind), read_of(kind), _expression(kind, survey),
        is_binary=kind is Kind.BYTES, indexed=_indexed(kind, survey),
    )  # fmt: skip
    return _classed(found, prefix), note


def write_text(value: bytes) -> bytes:
    """Write a text or bytes as a string of SQL, for a session with backslash escapes and in utf8mb4."""
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\0", b"\\0") + b"'"


def write_binary(raw: bytes) -> bytes:
    """Write raw bytes as SQL."""
    return b"X'" + raw.hex().encode() + b"'" if raw else b"''"


def write_of(kind: Kind) -> Translate:
    """Give what makes SQL of canonical values that a type of its own holds."""
    return _WRITERS.get(kind, write_text)


def read_of(kind: Kind) -> Translate:
    """Give what makes canonical values of what the server prints; what no writer makes stays different."""
    return _READERS.get(kind, _same)


def _typed(kind: Kind, survey: Survey) -> str | None:
    """Give the type for a kind that has one of its own, or None."""
    if kind is Kind.INT:
        return _int_type(survey)
    if kind is Kind.DECIMAL:
        (scale,) = survey.scales if len(survey.scales) == 1 else ((0,) if not survey.scales else (None,))
        if scale is None or scale > _MOST_SCALE or survey.whole + scale > _MOST_DIGITS:
            return None
        return f"decimal({survey.whole + scale},{scale})"
    if kind is Kind.BITS:
        width = max(survey.widths, default=1)
        return f"bit({width})" if len(survey.widths) < 2 and 1 <= width <= _MOST_BITS else None
    if kind in (Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        word = "time" if kind is Kind.TIME else "datetime"
        if kind is Kind.TIMESTAMPTZ and not survey.is_beyond_stamp:
            word = "timestamp"
        return f"{word}({survey.precision})" if survey.precision else word
    return _PLAIN.get(kind)


def _int_type(survey: Survey) -> str | None:
    if survey.lowest >= -_LAST_BIGINT - 1 and survey.highest <= _LAST_BIGINT:
        return "bigint"
    if survey.lowest >= 0 and survey.highest <= _LAST_UNSIGNED:
        return "bigint unsigned"
    return "decimal(65,0)" if max(-survey.lowest, survey.highest) < 10**_MOST_DIGITS else None


def _raw_column(name: str, kind: Kind, survey: Survey, is_key: bool) -> MyColumn:
    type_ = f"varbinary({max(1, survey.longest)})" if is_key else "longblob"
    return MyColumn(name, type_, kind, write_binary, _same, is_binary=True, indexed=max(1, survey.longest))


def _classed(column: MyColumn, prefix: bytes) -> MyColumn:
    if not prefix:
        return column
    write, read = column.write, column.read
    return replace(column, prefix=prefix, write=lambda value: write(value[2:]), read=lambda value: prefix + read(value))


def _characters(survey: Survey) -> int:
    return max(1, survey.characters, 0 if survey.kind in TEXTS or survey.kind is Kind.ANY else survey.longest)


def _indexed_text(survey: Survey) -> int | None:
    size = 4 * _characters(survey)
    return None if survey.has_large or size > _MOST_INDEXED else size


def _indexed(kind: Kind, survey: Survey) -> int | None:
    if kind in TEXTS:
        return _indexed_text(survey)
    size = {Kind.BYTES: survey.longest, Kind.DECIMAL: 30, Kind.UUID: 36}.get(kind, 9)
    return None if survey.has_large or size > _MOST_INDEXED else size


def _expression(kind: Kind, survey: Survey) -> str:
    if kind is Kind.BITS:
        return bits_expression(max(survey.widths, default=1))
    # Its own text has six digits; not `+ 0e0`, which makes 0 of -0.
    return "{} * 1e0" if kind is Kind.FLOAT4 else "{}"


def _write_float(value: bytes) -> bytes:
    # As a string: a number without exponent would be a decimal.
    return b"'" + value + b"'"


def _write_float4(value: bytes) -> bytes:
    # The double that equals it: the server would round twice on the way from fewer digits.
    return _write_float(repr(struct.unpack("<f", struct.pack("<f", float(value)))[0]).encode())


def _write_bytes(value: bytes) -> bytes:
    return b"X'" + value[2:] + b"'" if len(value) > 2 else b"''"


def _read_float4(value: bytes) -> bytes:
    return format_float4(float(value))


def _read_fraction(value: bytes) -> bytes:
    return value.rstrip(b"0").rstrip(b".") if b"." in value else value


def _same(value: bytes) -> bytes:
    return value


_PLAIN: Final = {
    Kind.BOOL: "tinyint(1)",
    Kind.FLOAT8: "double",
    Kind.FLOAT4: "float",
    Kind.BYTES: "longblob",
    Kind.DATE: "date",
    Kind.UUID: "char(36) CHARACTER SET ascii COLLATE ascii_bin",
}
_TYPED: Final = frozenset({*_PLAIN, *PATTERNS, Kind.INT, Kind.DECIMAL, Kind.BITS})
_WRITERS: Final[dict[Kind, Translate]] = {
    Kind.BOOL: lambda value: b"1" if value == b"t" else b"0",
    Kind.INT: _same,
    Kind.DECIMAL: _same,
    Kind.FLOAT8: _write_float,
    Kind.FLOAT4: _write_float4,
    Kind.BYTES: _write_bytes,
    Kind.BITS: lambda value: b"b'" + value + b"'",
    Kind.TIMESTAMPTZ: lambda value: b"'" + value[:-3] + b"'",
}
_READERS: Final[dict[Kind, Translate]] = {
    Kind.BOOL: lambda value: {b"1": b"t", b"0": b"f"}.get(value, value),
    Kind.FLOAT8: lambda value: format_float8(float(value)),
    Kind.FLOAT4: _read_float4,
    Kind.BYTES: lambda value: b"\\x" + value.hex().encode(),
    Kind.TIME: _read_fraction,
    Kind.TIMESTAMP: _read_fraction,
    Kind.TIMESTAMPTZ: lambda value: _read_fraction(value) + b"+00",
}


_NO_TEXT = Text(zh="有值不是 UTF-8，文本类型不收", en="a value is not UTF-8, which text refuses")
