# SPDX-License-Identifier: Apache-2.0
"""Canonical values as Arrow's, and back. Pure; knows no pyarrow.

    bool → bool · int → int64 · float8, float4 → float64, float32 · bytes → binary · date → date32
    decimal → decimal of the values' one scale, up to 76 digits · time, timestamp → microseconds
    timestamptz → microseconds in UTC · any, if all values are of one class: int64, float64, string or binary
    all other → string, or binary if a value is not UTF-8

A column is of such a type only if each of its values came back from it as it was (`Survey`); else it is a string in
canonical form. Source: Apache Arrow, "Columnar format"; Apache Parquet, "Logical types".
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from center.restore.pg_plan import is_utf8_stream
from center.restore.target import note_binary
from evidence.rows.line import Token
from evidence.rows.schema import Column
from evidence.rows.values import Kind, format_float4, format_float8
from terminal.language import NOTHING, Text

_MOST_DIGITS: Final = 76
_ANY: Final = {b"i:": Kind.INT, b"r:": Kind.FLOAT8, b"t:": Kind.TEXT, b"b:": Kind.BYTES}

Write = Callable[[bytes], object]
Read = Callable[[object], bytes]


@dataclass(frozen=True, slots=True)
class Held:
    """How a column is held: Arrow's type by name (`decimal:P,S` with digits), and the way in and out."""

    type: str
    write: Write
    read: Read
    prefix: bytes = b""
    is_binary: bool = False


@dataclass(slots=True)
class Survey:
    """What must be known of all values of a column to choose its type."""

    kind: Kind
    prefixes: set[bytes] = field(default_factory=set)
    scales: set[int] = field(default_factory=set)
    digits: int = 1
    is_unfit: bool = False
    is_not_text: bool = False

    def look(self, value: bytes) -> None:
        """Take in a canonical value."""
        kind = self.kind
        if kind is Kind.ANY:
            self.prefixes.add(value[:2])
            kind, value = _ANY[value[:2]], value[2:]
        if kind is Kind.DECIMAL:
            whole, _, fraction = value.lstrip(b"-").partition(b".")
            self.is_unfit = self.is_unfit or not whole.isdigit()
            self.scales.add(len(fraction))
            self.digits = max(self.digits, len(whole))
        elif kind in _HELD:
            self.is_unfit = self.is_unfit or not _comes_back(_HELD[kind], value)
        else:
            self.is_not_text = self.is_not_text or not is_utf8_stream([value])

    def look_at_large(self, token: Token, chunks: Iterable[bytes]) -> None:
        """Take in a large cell by its raw bytes."""
        if token.prefix:
            self.prefixes.add(token.prefix)
        if self.kind is Kind.BYTES or token.prefix == b"b:":
            return
        self.is_unfit = self.is_unfit or self.kind in _HELD or self.kind is Kind.DECIMAL
        self.is_not_text = self.is_not_text or not is_utf8_stream(chunks)


def plan_column(column: Column, survey: Survey, *, is_content: bool) -> tuple[Held, Text]:
    """Give how a column is held, and a note if it is not as its kind's own type."""
    kind, prefix = column.kind, b""
    if survey.is_not_text or is_content:
        return _RAW, note_binary(column.name, "binary", None if is_content else _NO_TEXT)
    if kind is Kind.ANY:
        if len(survey.prefixes) > 1:
            return _TEXT, Text(
                zh=f"列 {column.name!r} 为 string，值前有类别标记",
                en=f"column {column.name!r} is a string with a prefix for the class of each value",
            )
        prefix = next(iter(survey.prefixes), b"t:")
        kind = _ANY[prefix]
    held = _decimal(survey) if kind is Kind.DECIMAL else _HELD.get(kind)
    if survey.is_unfit or (held is None and kind is Kind.DECIMAL):
        return _TEXT, Text(
            zh=f"列 {column.name!r} 为 string：{kind} 中有 Arrow 的类型不能原样存放的值",
            en=f"column {column.name!r} is a string: {kind} has values that Arrow's type cannot hold as they are",
        )
    held = held or _TEXT
    if not prefix:
        return held, NOTHING
    write, read = held.write, held.read
    return Held(held.type, lambda v: write(v[2:]), lambda v: prefix + read(v), prefix, held.is_binary), NOTHING


def _comes_back(held: Held, value: bytes) -> bool:
    try:
        return held.read(held.write(value)) == value
    except (ValueError, OverflowError):
        return False


def _decimal(survey: Survey) -> Held | None:
    scale = next(iter(survey.scales), 0)
    if len(survey.scales) > 1 or survey.digits + scale > _MOST_DIGITS:
        return None
    return Held(f"decimal:{survey.digits + scale},{scale}", lambda v: Decimal(v.decode()), lambda v: f"{v:f}".encode())


def _write_int(value: bytes) -> object:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError(number)
    return number


def _single(value: bytes) -> object:
    number: float = struct.unpack("<f", struct.pack("<f", float(value)))[0]
    return number


def _read_float8(value: object) -> bytes:
    assert isinstance(value, float)
    return format_float8(value)


def _read_float4(value: object) -> bytes:
    assert isinstance(value, float)
    return format_float4(value)


def _write_bytes(value: bytes) -> object:
    return bytes.fromhex(value[2:].decode("ascii"))


def _read_bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return b"\\x" + value.hex().encode()


def _read_moment(value: object) -> bytes:
    assert isinstance(value, date | time | datetime)
    if type(value) is date:
        return value.isoformat().encode()
    text = value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


def _read_utc(value: object) -> bytes:
    assert isinstance(value, datetime)
    # Arrow gives a zone of its own making.
    return _read_moment((value - (value.utcoffset() or timedelta())).replace(tzinfo=None)) + b"+00"


def _write_utc(value: bytes) -> object:
    if not value.endswith(b"+00"):
        raise ValueError(value)
    return datetime.fromisoformat(value[:-3].decode()).replace(tzinfo=UTC)


def _write_time(value: bytes) -> object:
    return time.fromisoformat(value.decode())


def _write_stamp(value: bytes) -> object:
    return datetime.fromisoformat(value.decode())


def _write_date(value: bytes) -> object:
    return date.fromisoformat(value.decode())


def _write_text(value: bytes) -> object:
    return value.decode("utf-8")


def _read_text(value: object) -> bytes:
    assert isinstance(value, str)
    return value.encode("utf-8")


def _read_raw(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


_TEXT: Final = Held("string", _write_text, _read_text)
_RAW: Final = Held("binary", lambda value: value, _read_raw, is_binary=True)
_HELD: Final[dict[Kind, Held]] = {
    Kind.BOOL: Held("bool", lambda value: value == b"t", lambda value: b"t" if value else b"f"),
    Kind.INT: Held("int64", _write_int, lambda value: str(value).encode()),
    Kind.FLOAT8: Held("float64", lambda value: float(value), _read_float8),
    Kind.FLOAT4: Held("float32", _single, _read_float4),
    Kind.BYTES: Held("binary", _write_bytes, _read_bytes, is_binary=True),
    Kind.DATE: Held("date", _write_date, _read_moment),
    Kind.TIME: Held("time", _write_time, _read_moment),
    Kind.TIMESTAMP: Held("timestamp", _write_stamp, _read_moment),
    Kind.TIMESTAMPTZ: Held("timestamptz", _write_utc, _read_utc),
}


_NO_TEXT = Text(zh="有值不是 UTF-8", en="a value is not UTF-8")
