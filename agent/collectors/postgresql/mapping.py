# SPDX-License-Identifier: Apache-2.0
"""From PostgreSQL's types to kinds, and what must be selected so that COPY prints the canonical form. Pure.

Under the pinned settings COPY's text is canonical for nearly every type (formats.md, "Kinds of values"). Exceptions are
selected as something else: money as its decimal, `"char"` beyond ASCII as PostgreSQL 16 prints it. All that has no kind
of its own (arrays, ranges, composites, inet, timetz …) is the server's text of it, kind other.

Order: PostgreSQL's own order of a key is the canonical one where `Native` says so; text only under a collation that
compares bytes, and only if the server keeps UTF-8, for it compares what it keeps.
Source: design section 2, "Order"; PostgreSQL documentation chapter 8; src/backend/utils/adt.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from evidence.rows.values import Kind

_KINDS: Final = {
    "bool": Kind.BOOL,
    "int2": Kind.INT, "int4": Kind.INT, "int8": Kind.INT, "oid": Kind.INT, "xid": Kind.INT, "xid8": Kind.INT,
    "cid": Kind.INT,
    "numeric": Kind.DECIMAL, "money": Kind.DECIMAL,
    "float4": Kind.FLOAT4, "float8": Kind.FLOAT8,
    "text": Kind.TEXT, "varchar": Kind.TEXT, "bpchar": Kind.TEXT, "name": Kind.TEXT, "char": Kind.TEXT,
    "xml": Kind.TEXT,
    "json": Kind.JSON, "jsonb": Kind.JSON,
    "bytea": Kind.BYTES,
    "bit": Kind.BITS, "varbit": Kind.BITS,
    "date": Kind.DATE, "time": Kind.TIME, "timestamp": Kind.TIMESTAMP, "timestamptz": Kind.TIMESTAMPTZ,
    "interval": Kind.INTERVAL,
    "uuid": Kind.UUID,
}  # fmt: skip
_NATIVE: Final = frozenset({"bool", "int2", "int4", "int8", "oid", "xid8", "numeric", "money", "uuid", "bytea", "time"})
_DATED: Final = frozenset({"date", "timestamp", "timestamptz"})
_COLLATED: Final = frozenset({"text", "varchar", "name"})
_STRINGS: Final = "S"
_ENUM: Final = "e"
_SENT: Final = frozenset({"text", "varchar", "bpchar"})
_INLINE_BYTES: Final = 2000
"""Values are compressed or moved out of line only in rows longer than about 2,000 bytes (TOAST_TUPLE_THRESHOLD)."""

_LITERAL_BYTES: Final = 8192
"""No index of the server holds a longer key, but for one that it compresses."""


class Native(Enum):
    """Whether `ORDER BY column` gives the canonical order."""

    ALWAYS = "always"
    WITHIN_FOUR_DIGITS = "if no year is outside 0001 to 9999 and nothing is infinite"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class SourceType:
    """A column's base type (domains resolved). `schema` is where the type lives.

    `is_bytewise`: the column's collation compares bytes. `is_long`: values may lie out of line, that is, be large.
    """

    oid: int
    schema: str
    name: str
    sort: str
    category: str
    modifier: int
    is_bytewise: bool
    is_long: bool

    @property
    def is_builtin(self) -> bool:
        """Tell whether PostgreSQL itself brings the type."""
        return self.schema == "pg_catalog"


def kind_of(source: SourceType) -> Kind:
    """Give the kind of a column's values.

    Enums and types of extensions that count as strings (citext) are text.
    """
    if source.is_builtin and source.name in _KINDS:
        return _KINDS[source.name]
    return Kind.TEXT if source.sort == _ENUM or source.category == _STRINGS else Kind.OTHER


def scale_of(source: SourceType, money_scale: int) -> int | None:
    """Give the declared scale of a decimal; None if it has none, or the kind is another.

    numeric's modifier is 4 + (precision << 16 | scale), the scale in eleven bits with sign (since PostgreSQL 15).
    """
    if not source.is_builtin:
        return None
    if source.name == "money":
        return money_scale
    if source.name != "numeric" or source.modifier < 4:
        return None
    return (((source.modifier - 4) & 0x7FF) ^ 1024) - 1024


def native_order(source: SourceType, keeps_utf8: bool) -> Native:
    """Tell whether the server's order of a key column is the canonical one."""
    if not source.is_builtin:
        return Native.NEVER
    if source.name in _NATIVE or (source.name in _COLLATED and source.is_bytewise and keeps_utf8):
        return Native.ALWAYS
    return Native.WITHIN_FOUR_DIGITS if source.name in _DATED else Native.NEVER


def expression_of(source: SourceType, column: str) -> str:
    """Give the SQL whose COPY text is canonical; `column` is quoted."""
    if source.is_builtin and source.name == "money":
        return f"{column}::numeric"
    if source.is_builtin and source.name == "char":
        # Before 16, a byte above 127 comes out as it is, which no encoding allows.
        code = f"{column}::int4"
        octal = " || ".join(f"((({code} + 256) >> {shift}) & 7)::text" for shift in (6, 3, 0))
        return f"CASE WHEN {code} < 0 THEN '\\' || {octal} ELSE {column}::text END"
    return column


def find_literal(source: SourceType, value: bytes) -> str | None:
    """Write a canonical value of a type that has an order as SQL; None if that cannot be done in a few bytes of UTF-8."""
    if len(value) > _LITERAL_BYTES or not source.is_builtin:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    quoted = "'" + text.replace("'", "''") + "'"
    # A decimal is what `expression_of` selects of it.
    return (
        f'{quoted}::pg_catalog."numeric"::money' if source.name == "money" else f'{quoted}::pg_catalog."{source.name}"'
    )


def is_padded(source: SourceType) -> bool:
    """Tell whether values are padded with blanks, as the source states them."""
    return source.is_builtin and source.name == "bpchar" and source.modifier > 4


def may_exceed(source: SourceType, size_bytes: int) -> bool:
    """Tell whether a value's raw size may be over `size_bytes`."""
    if not source.is_long or source.sort == _ENUM or (source.is_builtin and source.name == "numeric"):
        return False
    if source.is_builtin and source.name in ("varchar", "bpchar") and source.modifier > 4:
        # At most four bytes a character.
        return (source.modifier - 4) * 4 > size_bytes
    return True


def raw_expression(source: SourceType, column: str) -> str:
    """Give the SQL (bytea) of a cell's raw value: binary as its bytes, all else as the text that COPY prints.

    `format` calls the type's output function as COPY does; a cast to text may be another function (inet).
    """
    if source.is_builtin and source.name == "bytea":
        return column
    if source.is_builtin and source.name in _SENT:
        return f"{source.name}send({column})"
    return f"textsend(format('%s', {column}))"


def marked_expression(source: SourceType, column: str, size_bytes: int, marker: str) -> str:
    """Give the SQL that prints a cell as COPY does, or `marker` (SQL of a text) if its raw value is over `size_bytes`.

    `pg_column_size` looks at the row alone; only what may be large by it is measured, which for text and bytea again
    reads nothing out of line.
    """
    name = source.name if source.is_builtin else ""
    plain = measure = f"format('%s', {column})"
    mark = marker
    if name == "bytea":
        plain, measure, mark = column, column, f"convert_to({marker}, 'UTF8')"
    elif name in _SENT:
        plain, measure, mark = column, f"{column}::text" if name == "varchar" else column, f"({marker})::{name}"
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN pg_column_size({column}) > {_INLINE_BYTES} "
        f"AND octet_length({measure}) > {size_bytes} THEN {mark} ELSE {plain} END"
    )
