# SPDX-License-Identifier: Apache-2.0
r"""Which PostgreSQL type holds a column exactly, and how its fields are written for COPY and read again. Pure.

A PostgreSQL source's columns keep their own types, where the target has them. Of any other source, all values of a
column are looked at first (`Survey`), and the nearest type that holds every one of them exactly is taken:

    bool → boolean · int → bigint, wider: numeric · decimal → numeric (keeps the digits after the point as written)
    float8, float4 → double precision, real · bytes → bytea · bits → bit varying · uuid → uuid
    json → json (keeps the text) · date, time, timestamp, timestamptz → the same, up to microseconds
    any, if all values are of one class: bigint, double precision, text or bytea; if mixed: text, with the prefixes
    all other → text

A column with a value that its type cannot hold (a zero date, 838 hours, nanoseconds, broken JSON) is text in canonical
form; one with a text that has NUL or is not UTF-8, which PostgreSQL's text refuses, is bytea of the raw bytes. The
report says so. Source: postgresql.org/docs/15/datatype.html, sql-copy.html.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from center.restore.target import note_binary, note_classes
from evidence.rows.line import NULL, Cell, Token, encode_field, parse_field
from evidence.rows.schema import Column
from evidence.rows.values import Kind
from terminal.language import NOTHING, Text

_TIME = re.compile(rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?")
_MOST_WHOLE_DIGITS: Final = 131_072
_MOST_FRACTION_DIGITS: Final = 16_383
_MOST_JSON_BYTES: Final = 1 << 20
_PLAIN: Final = {
    Kind.BOOL: "boolean",
    Kind.INT: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.FLOAT8: "double precision",
    Kind.FLOAT4: "real",
    Kind.TEXT: "text",
    Kind.JSON: "json",
    Kind.BYTES: "bytea",
    Kind.BITS: "bit varying",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.TIMESTAMP: "timestamp",
    Kind.TIMESTAMPTZ: "timestamptz",
    Kind.UUID: "uuid",
}
_ANY: Final = {b"i:": Kind.INT, b"r:": Kind.FLOAT8, b"t:": Kind.TEXT, b"b:": Kind.BYTES}

Translate = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class PgColumn:
    """A column of the target. `write` and `read` translate fields that are not NULL; None: they are the same.

    `is_binary`: large cells go in as bytea; `expression` is what COPY selects.
    """

    name: str
    type: str
    kind: Kind
    prefix: bytes = b""
    is_binary: bool = False
    write: Translate | None = None
    read: Translate | None = None
    cast: str = ""


@dataclass(slots=True)
class Survey:
    """What must be known of all values of a column to choose its type."""

    kind: Kind
    prefixes: set[bytes] = field(default_factory=set)
    is_wide: bool = False
    is_unfit: bool = False
    is_not_text: bool = False

    def look(self, value: bytes) -> None:
        """Take in a canonical value."""
        kind = self.kind
        if kind is Kind.ANY:
            self.prefixes.add(value[:2])
            kind, value = _ANY[value[:2]], value[2:]
        if kind is Kind.INT:
            self.is_wide = self.is_wide or (len(value) > 18 and not -(2**63) <= int(value) < 2**63)
        elif kind in _FITS:
            self.is_unfit = self.is_unfit or not _FITS[kind](value)
        elif kind in (Kind.TEXT, Kind.JSON, Kind.OTHER, Kind.INTERVAL):
            self.is_not_text = self.is_not_text or not _is_pg_text(value)
            if kind is Kind.JSON:
                self.is_unfit = self.is_unfit or not _is_json(value)

    def look_at_large(self, token: Token, chunks: Iterable[bytes]) -> None:
        """Take in a large cell by its raw bytes."""
        if token.prefix:
            self.prefixes.add(token.prefix)
        if self.kind is Kind.BYTES or token.prefix == b"b:":
            return
        # JSON that large is not checked: as text it is exact too.
        self.is_unfit = self.is_unfit or self.kind in (Kind.JSON, Kind.INT, Kind.DECIMAL)
        self.is_not_text = self.is_not_text or not is_utf8_stream(chunks, with_nul=False)


def plan_column(name: str, column: Column, survey: Survey, *, is_content: bool = False) -> tuple[PgColumn, Text]:
    """Give the column that holds all values seen, and a note if it is not of the kind's own type."""
    kind, prefix = column.kind, b""
    note = NOTHING
    if kind is Kind.ANY:
        if len(survey.prefixes) > 1:
            note = note_classes(name)
        else:
            prefix = next(iter(survey.prefixes), b"t:")
            kind = _ANY[prefix]
    if survey.is_not_text or is_content:
        return _raw_column(name, column.kind), note_binary(name, "bytea", None if is_content else _NO_TEXT)
    if survey.is_unfit:
        return PgColumn(name, "text", column.kind), Text(
            zh=f"列 {name!r} 为 text：{column.kind} 中有 PostgreSQL 的类型不能原样存放的值",
            en=f"column {name!r} is text: {column.kind} has values that PostgreSQL's type cannot hold as they are",
        )
    type_ = "numeric" if kind is Kind.INT and survey.is_wide else _PLAIN.get(kind, "text")
    if prefix:
        return _classed_column(name, type_, prefix), note
    return PgColumn(name, type_, column.kind, is_binary=kind is Kind.BYTES), note


def is_own_type(type_: str) -> bool:
    """Tell whether values of this type can be put back as they were printed."""
    # Before PostgreSQL 16, "char" prints bytes above 127 as it does not read them.
    return type_ != '"char"'


def keep_type(name: str, column: Column) -> PgColumn:
    """Give the column in the source's own type, for a PostgreSQL source."""
    # money prints with the locale's currency; as a numeric it is its canonical form.
    cast = "::pg_catalog.numeric" if column.kind is Kind.DECIMAL else ""
    return PgColumn(name, column.type, column.kind, is_binary=column.kind is Kind.BYTES, cast=cast)


def encode_fields(columns: list[PgColumn], fields: list[bytes], large: Callable[[PgColumn, Token], bytes]) -> bytes:
    """Give a line for COPY FROM from the fields of a canonical line; `large` gives the field for a token."""
    written = []
    for column, part in zip(columns, fields, strict=False):
        if part == NULL:
            written.append(part)
            continue
        at = len(column.prefix)
        if b"\\@" in part[:4]:
            cell = parse_field(part, column.name)
            if isinstance(cell, Token):
                written.append(large(column, cell))
                continue
        written.append(column.write(part) if column.write else part[at:])
    written += [NULL] * (len(columns) - len(fields))
    return b"\t".join(written)


def decode_fields(columns: list[PgColumn], line: bytes) -> Iterator[Cell]:
    """Yield the cells of a line of COPY TO."""
    for column, part in zip(columns, line.split(b"\t"), strict=True):
        if part == NULL:
            yield None
        else:
            yield parse_field(column.read(part) if column.read else column.prefix + part, column.name)


def encode_raw(raw: bytes) -> bytes:
    """Give the COPY field of a bytea."""
    return b"\\\\x" + raw.hex().encode()


def _raw_column(name: str, kind: Kind) -> PgColumn:
    def write(part: bytes) -> bytes:
        cell = parse_field(part, name)
        assert isinstance(cell, bytes)
        return encode_raw(cell)

    def read(part: bytes) -> bytes:
        return encode_field(bytes.fromhex(part[3:].decode("ascii")))

    return PgColumn(name, "bytea", kind, is_binary=True, write=write, read=read)


def _classed_column(name: str, type_: str, prefix: bytes) -> PgColumn:
    return PgColumn(name, type_, Kind.ANY, prefix=prefix, is_binary=prefix == b"b:")


def _is_pg_text(value: bytes) -> bool:
    if b"\0" in value:
        return False
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_utf8_stream(chunks: Iterable[bytes], *, with_nul: bool = True) -> bool:
    """Tell whether chunks are UTF-8 together, and have no NUL unless `with_nul`; all of them are taken."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_text = True
    for chunk in chunks:
        try:
            is_text = is_text and (with_nul or b"\0" not in chunk) and decoder.decode(chunk) is not None
        except UnicodeDecodeError:
            is_text = False
    try:
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return is_text


def _is_json(value: bytes) -> bool:
    def refuse(text: str) -> None:
        raise ValueError(text)

    if len(value) > _MOST_JSON_BYTES:
        return False
    try:
        json.loads(value.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _is_date(value: bytes) -> bool:
    try:
        return date.fromisoformat(value.decode("ascii")).isoformat().encode() == value
    except ValueError:
        return False


def _is_timestamp(value: bytes) -> bool:
    day, _, clock = value.partition(b" ")
    return _is_date(day) and _TIME.fullmatch(clock) is not None


def _is_timestamptz(value: bytes) -> bool:
    return value.endswith(b"+00") and _is_timestamp(value[:-3])


def _is_numeric(value: bytes) -> bool:
    whole, _, fraction = value.partition(b".")
    return len(whole) <= _MOST_WHOLE_DIGITS and len(fraction) <= _MOST_FRACTION_DIGITS


_FITS: Final[dict[Kind, Callable[[bytes], bool]]] = {
    Kind.DATE: _is_date,
    Kind.TIME: lambda value: value == b"24:00:00" or _TIME.fullmatch(value) is not None,
    Kind.TIMESTAMP: _is_timestamp,
    Kind.TIMESTAMPTZ: _is_timestamptz,
    Kind.DECIMAL: _is_numeric,
}


_NO_TEXT = Text(zh="有值含 NUL 或不是 UTF-8，文本类型不收", en="a value has NUL or is not UTF-8, which text refuses")
