# SPDX-License-Identifier: Apache-2.0
"""From Oracle's types to kinds, and what must be selected so that a cell is text that is nearly canonical. Pure.

Numbers and times are printed by the server (TO_CHAR with formats of our own, so that no setting matters); binary floats come
as the driver's doubles, which are exact; LOBs come as locators, and where they are short as text beside them, for a locator
costs a round trip each. '' is NULL in Oracle: it cannot be told apart, and the notes say so.
Source: Oracle SQL Language Reference, "Format Models"; formats.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from agent.collectors.odbc.cells import CellError, convert_decimal, convert_text, converter
from agent.collectors.odbc.dialect import Form
from evidence.rows.values import Kind, format_float4, format_float8

SHORT_TEXT: Final = 1000
SHORT_BYTES: Final = 2000
"""LOBs up to so many characters or bytes come with their row: a VARCHAR2 may have 4,000 bytes."""

_DAY: Final = "SYYYY-MM-DD HH24:MI:SS"
_NLS: Final = "'NLS_NUMERIC_CHARACTERS=''.,'''"
_TEXTS: Final = frozenset({"VARCHAR2", "NVARCHAR2", "CHAR", "NCHAR", "VARCHAR"})
_PADDED: Final = frozenset({"CHAR", "NCHAR"})


class Lob(Enum):
    """What kind of locator a column gives."""

    NONE = "none"
    TEXT = "text"
    BYTES = "bytes"


class Locator(Protocol):
    """A LOB, asked by its locator. Offsets count from 1: bytes, or UTF-16 units of a text."""

    def size(self) -> int:
        """Give its size."""

    def read(self, offset: int = 1, amount: int | None = None) -> str | bytes:
        """Give a piece."""


Value = str | bytes | float | Locator | None
Convert = Callable[[Value], bytes]


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as ALL_TAB_COLS has it. `bytes_`: the most that a value has, without LOBs."""

    name: str
    type: str
    declared: str
    bytes_: int
    precision: int | None
    scale: int | None
    is_null: bool
    is_generated: bool
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read: its kind, the SQL of its cells, what makes them canonical. `lob`: its locator comes too.

    For a LOB, `sql` is the locator and `short` the SQL of a short value, NULL for a longer one.
    """

    kind: Kind
    scale: int | None
    sql: str
    convert: Convert
    lob: Lob = Lob.NONE
    short: str = ""
    note: str = ""


def read_as(column: SourceColumn, name: str) -> Reading:
    """Give how a column is read; `name` is the column for SQL."""
    kind = base_type(column.type)
    if kind in ("NUMBER", "FLOAT"):
        return _read_number(column, name)
    if kind in _TEXTS:
        note = f"padded {column.name}" if kind in _PADDED else ""
        return Reading(Kind.TEXT, None, name, _text, note=note)
    if kind in ("CLOB", "NCLOB"):
        # TO_CHAR would put what the database's own character set lacks out of an NCLOB.
        return _read_clob(Kind.TEXT, name, "TO_NCHAR" if kind == "NCLOB" else "TO_CHAR")
    if kind in ("JSON", "VECTOR"):
        written = "JSON_SERIALIZE" if kind == "JSON" else "VECTOR_SERIALIZE"
        return _read_clob(Kind.JSON if kind == "JSON" else Kind.OTHER, f"{written}({name} RETURNING CLOB)")
    if kind == "BLOB":
        short = f"CASE WHEN DBMS_LOB.GETLENGTH({name}) <= {SHORT_BYTES} THEN RAWTOHEX(DBMS_LOB.SUBSTR({name}, {SHORT_BYTES}, 1)) END"
        return Reading(Kind.BYTES, None, name, _plain(Kind.BYTES, Form.HEX), Lob.BYTES, short)
    if kind == "XMLTYPE":
        return _read_clob(Kind.TEXT, f"XMLSERIALIZE(CONTENT {name} AS CLOB)")
    if kind in _SIMPLE:
        value, sql, convert = _SIMPLE[kind]
        return Reading(value, None, sql.replace("{c}", name), convert)
    if kind == "BFILE":
        return Reading(
            Kind.OTHER,
            None,
            f"CASE WHEN {name} IS NOT NULL THEN 'BFILE' END",
            _text,
            note=f"outside of the database {column.name}",
        )
    # An object, a collection: its content as XML.
    return _read_clob(
        Kind.OTHER, f"CASE WHEN {name} IS NOT NULL THEN XMLSERIALIZE(CONTENT XMLTYPE({name}) AS CLOB) END"
    )


def base_type(type_name: str) -> str:
    """Give a type's name without what it was declared with.

    >>> [base_type(t) for t in ("TIMESTAMP(6) WITH LOCAL TIME ZONE", "INTERVAL DAY(2) TO SECOND(6)", "NUMBER")]
    ['TIMESTAMP WITH LOCAL TIME ZONE', 'INTERVAL DAY TO SECOND', 'NUMBER']
    """
    parts = [part.partition(")")[2] if ")" in part else part for part in type_name.upper().split("(")]
    return " ".join("".join(parts).split())


def convert_moment(value: Value) -> bytes:
    """Write a timestamp that begins with its year's sign.

    >>> convert_moment(" 2026-11-22 01:02:03.500000000"), convert_moment("-0044-03-15 00:00:00")
    (b'2026-11-22 01:02:03.5', b'0044-03-15 00:00:00 BC')
    """
    text = _str(value)
    return _moment(text[1:] + (" BC" if text.startswith("-") else ""))


def convert_utc(value: Value) -> bytes:
    """Write a timestamp that was printed in UTC and begins with its year's sign."""
    text = _str(value)
    return _utc(text[1:] + (" BC" if text.startswith("-") else ""))


def _read_number(column: SourceColumn, name: str) -> Reading:
    sql = f"TO_CHAR({name}, 'TM9', {_NLS})"
    if column.type.upper() == "NUMBER" and column.scale == 0:
        return Reading(Kind.INT, None, sql, _plain(Kind.INT))
    scale = column.scale if column.type.upper() == "NUMBER" else None
    return Reading(Kind.DECIMAL, scale, sql, lambda value: convert_decimal(_str(value), scale))


def _read_clob(kind: Kind, sql: str, printed_by: str = "TO_CHAR") -> Reading:
    short = f"CASE WHEN DBMS_LOB.GETLENGTH({sql}) <= {SHORT_TEXT} THEN {printed_by}({sql}) END"
    return Reading(kind, None, sql, _text, Lob.TEXT, short)


def _str(value: Value) -> str:
    if not isinstance(value, str):
        raise CellError(f"a value of type {type(value).__name__} where text belongs")
    return value


def _text(value: Value) -> bytes:
    text = _str(value)
    try:
        # Bytes that are not UTF-8 were kept by the driver as surrogates of their own.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return convert_text(text)


def _plain(kind: Kind, form: Form = Form.PLAIN) -> Convert:
    inner = converter(kind, form)
    return lambda value: inner(_str(value))


def _float8(value: Value) -> bytes:
    if not isinstance(value, float):
        raise CellError(f"a value of type {type(value).__name__} where a double belongs")
    return format_float8(value)


def _float4(value: Value) -> bytes:
    if not isinstance(value, float):
        raise CellError(f"a value of type {type(value).__name__} where a double belongs")
    return format_float4(value)


def _raw(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise CellError(f"a value of type {type(value).__name__} where bytes belong")
    return b"\\x" + value.hex().encode()


_moment: Final = converter(Kind.TIMESTAMP, Form.PLAIN)
_utc: Final = converter(Kind.TIMESTAMPTZ, Form.PLAIN)
_OFFSET: Final = converter(Kind.TIMESTAMPOFFSET, Form.PLAIN)


def _offset(value: Value) -> bytes:
    return _OFFSET(_str(value).removeprefix(" "))


_SIMPLE: Final[dict[str, tuple[Kind, str, Convert]]] = {
    "BINARY_DOUBLE": (Kind.FLOAT8, "{c}", _float8),
    "BINARY_FLOAT": (Kind.FLOAT4, "{c}", _float4),
    "DATE": (Kind.TIMESTAMP, f"TO_CHAR({{c}}, '{_DAY}')", convert_moment),
    "TIMESTAMP": (Kind.TIMESTAMP, f"TO_CHAR({{c}}, '{_DAY}.FF9')", convert_moment),
    "TIMESTAMP WITH TIME ZONE": (Kind.TIMESTAMPOFFSET, f"TO_CHAR({{c}}, '{_DAY}.FF9 TZH:TZM')", _offset),
    "TIMESTAMP WITH LOCAL TIME ZONE": (Kind.TIMESTAMPTZ, f"TO_CHAR({{c}}, '{_DAY}.FF9')", convert_utc),
    "INTERVAL YEAR TO MONTH": (Kind.INTERVAL, "TO_CHAR({c})", _text),
    "INTERVAL DAY TO SECOND": (Kind.INTERVAL, "TO_CHAR({c})", _text),
    "RAW": (Kind.BYTES, "RAWTOHEX({c})", _plain(Kind.BYTES, Form.HEX)),
    "LONG": (Kind.TEXT, "{c}", _text),
    "LONG RAW": (Kind.BYTES, "{c}", _raw),
    "BOOLEAN": (Kind.BOOL, "CASE WHEN {c} IS NULL THEN NULL WHEN {c} THEN 't' ELSE 'f' END", _plain(Kind.BOOL)),
    "ROWID": (Kind.OTHER, "ROWIDTOCHAR({c})", _text),
    "UROWID": (Kind.OTHER, "CAST({c} AS VARCHAR2(4000))", _text),
}
