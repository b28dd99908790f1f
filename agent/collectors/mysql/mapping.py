# SPDX-License-Identifier: Apache-2.0
"""From the server's types to kinds: what must be selected and converted for the canonical form, and what orders. Pure.

Texts are canonical as they come where the column keeps UTF-8. Of other character sets the server makes UTF-8; what it
cannot decode it would replace by `?`, in silence: so a text that has more `?` in UTF-8 than in its own bytes comes as
those bytes behind a byte FF, which no UTF-8 has, and the schema says so. Spatial values are the server's own bytes: the
SRID (4 bytes, little-endian), then WKB. MariaDB's JSON is a text with a check, known by that.

Order: the server's own order of a key is the canonical one for numbers, bytes, bits, dates and times of day up to year
9999; for texts only under a collation of UTF-8 that compares code points and does not pad (`…_nopad_bin`, `…_0900_bin`).
Source: design section 2, "Order"; MySQL manual chapters 10 and 11; decision 0030.
"""

import re
from dataclasses import dataclass
from typing import Final

from agent.collectors.mysql.catalog import SourceColumn
from agent.collectors.mysql.cells import (
    Convert,
    convert_bits,
    convert_bytes,
    convert_float4,
    convert_float8,
    convert_fraction,
    convert_utc,
    convert_utc_fraction,
)
from evidence.rows.values import Kind

_INTS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "integer", "bigint"})
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"})
_SPATIAL: Final = frozenset({
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geometrycollection", "geomcollection",
})  # fmt: skip
_UTF8: Final = frozenset({"utf8", "utf8mb3", "utf8mb4", "ascii"})
_WIDE: Final = frozenset({"ucs2", "utf16", "utf16le", "utf32"})
_CODE_POINTS: Final = re.compile(r"(?:(?:utf8|utf8mb3|utf8mb4|ascii)_(?:\w+_)?nopad_bin|utf8mb4_0900_bin)")
_WIDTH: Final = re.compile(r"bit\((\d+)\)")
_KINDS: Final = {
    "decimal": Kind.DECIMAL, "numeric": Kind.DECIMAL, "float": Kind.FLOAT4, "double": Kind.FLOAT8, "real": Kind.FLOAT8,
    "bit": Kind.BITS, "date": Kind.DATE, "time": Kind.TIME, "datetime": Kind.TIMESTAMP, "timestamp": Kind.TIMESTAMPTZ,
    "year": Kind.INT, "json": Kind.JSON, "uuid": Kind.UUID,
}  # fmt: skip
_ORDERS: Final = frozenset({Kind.INT, Kind.DECIMAL, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.BITS, Kind.BYTES})
_CONVERTS: Final[dict[Kind, Convert]] = {
    Kind.BYTES: convert_bytes,
    Kind.FLOAT4: convert_float4,
    Kind.FLOAT8: convert_float8,
}
_LEAST_LONG: Final = 65_536
OWN_BYTES: Final = b"\xff"
"""Stands before a text of a column that `keeps_other_text`, if it comes in its own bytes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read: its kind, the SQL of its cells, and what makes them canonical (None: they are)."""

    kind: Kind
    scale: int | None
    expression: str
    convert: Convert | None


def read_as(column: SourceColumn, name: str) -> Reading:
    """Give how a column is read; `name` is the column for SQL."""
    kind = kind_of(column)
    return Reading(kind, scale_of(column), expression_of(column, name), _convert_of(column, kind))


def kind_of(column: SourceColumn) -> Kind:
    """Give the kind of a column's values."""
    if column.type in _INTS:
        return Kind.INT
    if column.type in _TEXTS:
        return Kind.JSON if column.is_json else Kind.TEXT
    if column.type in _BYTES or column.type in _SPATIAL:
        return Kind.BYTES
    return _KINDS.get(column.type, Kind.OTHER)


def scale_of(column: SourceColumn) -> int | None:
    """Give the declared scale of a decimal; None for other kinds."""
    return column.scale if kind_of(column) is Kind.DECIMAL else None


def expression_of(column: SourceColumn, name: str) -> str:
    """Give the SQL of a column's cells; `name` is the column, or a part of its value, for SQL."""
    kind = kind_of(column)
    if kind is Kind.FLOAT4 or (kind is Kind.FLOAT8 and (_is_filled(column) or "(" in column.declared)):
        # Not `+ 0e0`, which makes 0 of -0.
        return f"{name} * 1e0"
    if column.type == "year" or _is_filled(column):
        return f"{name} + 0"
    if keeps_other_text(column):
        return _utf8_or_own(name, column.charset or "")
    return name


def keeps_other_text(column: SourceColumn) -> bool:
    """Tell whether a column keeps text in another character set than UTF-8."""
    return column.charset is not None and column.charset not in _UTF8 and column.charset != "binary"


def undecoded(column: SourceColumn, name: str) -> str:
    """Give the SQL that tells whether the server cannot make UTF-8 of a text of a column that `keeps_other_text`."""
    utf8 = f"CONVERT({name} USING utf8mb4)"
    if column.charset in _WIDE:
        return f"CAST(CONVERT({utf8} USING {column.charset}) AS BINARY) <> CAST({name} AS BINARY)"
    return f"{_count_marks(f'CAST({utf8} AS BINARY)')} <> {_count_marks(f'CAST({name} AS BINARY)')}"


def may_be_long(column: SourceColumn) -> bool:
    """Tell whether a value may have more than 65,535 bytes in the server."""
    if kind_of(column) not in (Kind.TEXT, Kind.JSON, Kind.BYTES) or column.type in ("enum", "set"):
        return False
    if column.type in _SPATIAL or column.type == "json":
        return True
    return column.octets is None or column.octets >= _LEAST_LONG


def most_bytes(column: SourceColumn) -> int:
    """Give about how many bytes a cell may have that is not long, on its way to us."""
    # A character of another set may take three bytes where it took one.
    return min(3 * (column.octets or 64), 3 * _LEAST_LONG) if kind_of(column) is not Kind.BYTES else column.octets or 64


def orders(column: SourceColumn) -> bool:
    """Tell whether the server's order of a key column is the canonical one."""
    kind = kind_of(column)
    if kind is Kind.TEXT and column.type not in ("enum", "set"):
        return column.collation is not None and _CODE_POINTS.fullmatch(column.collation) is not None
    return kind in _ORDERS and column.type not in _SPATIAL


def locates(column: SourceColumn) -> bool:
    """Tell whether `locator_literal` can name a value of a column exactly, for the server to find it again."""
    kind = kind_of(column)
    return (kind in _ORDERS or kind is Kind.TIME or kind is Kind.TEXT) and column.type not in (
        "enum", "set", "year", *_SPATIAL,
    )  # fmt: skip


def locator_expression(column: SourceColumn, name: str) -> str:
    """Give the SQL of the value that `locator_literal` takes."""
    if kind_of(column) is Kind.TEXT:
        return f"CAST({name} AS BINARY)"
    return f"{name} + 0" if kind_of(column) in (Kind.BITS, Kind.INT, Kind.DECIMAL) else name


def locator_literal(column: SourceColumn, value: bytes) -> str:
    """Write a value of a column for comparisons with it; `value` came by `locator_expression`."""
    kind = kind_of(column)
    if kind in (Kind.INT, Kind.DECIMAL, Kind.BITS):
        return value.decode("ascii")
    if kind is Kind.BYTES:
        return f"X'{value.hex()}'"
    # The column's own collation is the one that compares.
    charset = column.charset if kind is Kind.TEXT else "utf8mb4"
    return f"_{charset} X'{value.hex()}'"


def is_padded(column: SourceColumn) -> bool:
    """Tell whether values are filled up: BINARY with zero bytes. CHAR comes without the blanks at its end."""
    return column.type == "binary"


def is_spatial(column: SourceColumn) -> bool:
    """Tell whether values are shapes."""
    return column.type in _SPATIAL


def _is_filled(column: SourceColumn) -> bool:
    return "zerofill" in column.declared.lower()


def _convert_of(column: SourceColumn, kind: Kind) -> Convert | None:
    if kind is Kind.BITS:
        width = _WIDTH.match(column.declared)
        return convert_bits(int(width[1]) if width else 1)
    if kind in (Kind.TIME, Kind.TIMESTAMP):
        return convert_fraction if column.precision else None
    if kind is Kind.TIMESTAMPTZ:
        return convert_utc_fraction if column.precision else convert_utc
    return _CONVERTS.get(kind)


def _utf8_or_own(name: str, charset: str) -> str:
    utf8, own = f"CONVERT({name} USING utf8mb4)", f"CAST({name} AS BINARY)"
    marked = f"CONCAT(X'{OWN_BYTES.hex()}', {own})"
    if charset in _WIDE:
        return f"IF(CAST(CONVERT({utf8} USING {charset}) AS BINARY) = {own}, {utf8}, {marked})"
    bytes_ = f"CAST({utf8} AS BINARY)"
    same = f"{_count_marks(bytes_)} = {_count_marks(own)}"
    return f"IF(INSTR({bytes_}, X'3F') = 0, {utf8}, IF({same}, {utf8}, {marked}))"


def _count_marks(text: str) -> str:
    """Count `?`, which in every set but the wide ones is one byte, 3F, and part of no other character."""
    return f"(OCTET_LENGTH({text}) - OCTET_LENGTH(REPLACE({text}, X'3F', '')))"
