# SPDX-License-Identifier: Apache-2.0
"""Why two cells of a migrated table differ: in form alone, by a cause that has a name, or really. Pure.

Two systems write one value in two ways (Oracle's '' is NULL, CHAR is filled up, a date has a time). A `Form` is what the
kinds of a pair of columns have in common; `normalize` brings a cell of either side to what its counterpart becomes too,
if they differ by causes alone, so that rows can be matched by it. Nothing is guessed from values where the kinds say
otherwise: a text `1.50` and a text `1.5` are different.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

from evidence.rows.line import Cell, Token
from evidence.rows.values import Kind


class Cause(StrEnum):
    """Why two cells differ."""

    EMPTY_NULL = "empty-null"
    TRAILING_BLANKS = "trailing-blanks"
    LINE_ENDS = "line-ends"
    SCALE = "scale"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE_TIME = "date-time"
    FRACTION = "fraction"
    ZONE = "zone"
    UUID = "uuid"
    JSON = "json"
    DIFFERENT = "different"


class Form(StrEnum):
    """What two kinds have in common."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    MOMENT = "moment"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"
    TEXT = "text"


_FLOATS: Final = frozenset({Kind.FLOAT8, Kind.FLOAT4})
_NUMBERS: Final = frozenset({Kind.INT, Kind.DECIMAL}) | _FLOATS
_MOMENTS: Final = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.TIMESTAMPOFFSET})
_FREE: Final = frozenset({Kind.TEXT, Kind.ANY, Kind.OTHER})
"""Kinds that may hold what the other side has as a kind of its own."""
_TRUE: Final = frozenset({b"t", b"true", b"1", b"y", b"yes", "是".encode()})
_FALSE: Final = frozenset({b"f", b"false", b"0", b"n", b"no", "否".encode()})
_CLASSES: Final = {b"i:": Kind.INT, b"r:": Kind.FLOAT8, b"t:": Kind.TEXT, b"b:": Kind.BYTES}
_MIDNIGHT: Final = b"00:00:00"


def form_of(before: Kind, after: Kind) -> Form:
    """Give what values of two kinds are compared as."""
    kinds = {before, after}
    if Kind.BOOL in kinds:
        return Form.BOOLEAN
    if Kind.UUID in kinds:
        return Form.UUID
    if Kind.JSON in kinds:
        return Form.JSON
    for form, members in ((Form.NUMBER, _NUMBERS), (Form.MOMENT, _MOMENTS), (Form.BYTES, {Kind.BYTES})):
        if kinds & members and kinds <= members | _FREE:
            return form
    return Form.TEXT


def find_cause(form: Form, before: tuple[Kind, Cell], after: tuple[Kind, Cell]) -> Cause | None:
    """Tell why two cells differ; None if they do not."""
    (kind_a, a), (kind_b, b) = _unwrap(*before), _unwrap(*after)
    if a is None or b is None:
        return None if a is b else Cause.EMPTY_NULL if not a and not b else Cause.DIFFERENT
    if isinstance(a, Token) or isinstance(b, Token):
        return None if _hash_of(kind_a, a) == _hash_of(kind_b, b) else Cause.DIFFERENT
    if (kind_a is Kind.BYTES) != (kind_b is Kind.BYTES) and form is not Form.UUID:
        # A text that looks like the bytes' canonical form is not these bytes.
        return None if _raw(kind_a, a) == _raw(kind_b, b) else Cause.DIFFERENT
    if before[0] is after[0] is Kind.ANY and kind_a is not kind_b:
        is_number = {kind_a, kind_b} <= _NUMBERS
        return (_tell_number(kind_a, a, kind_b, b) if is_number else None) or Cause.DIFFERENT
    if a == b:
        return None
    return _TELL[form](kind_a, a, kind_b, b) or _tell_text(a, b) or Cause.DIFFERENT


def normalize(form: Form, kind: Kind, cell: Cell) -> bytes:
    """Give what a cell has in common with all that differ from it by a cause alone; NULL and '' are empty."""
    kind, value = _unwrap(kind, cell)
    if value is None:
        return b""
    if isinstance(value, Token):
        return b"\0" + value.sha256
    try:
        return _NORMALIZE[form](kind, value)
    except (ValueError, InvalidOperation, OverflowError, RecursionError):
        return _plain(kind, value)


def _unwrap(kind: Kind, cell: Cell) -> tuple[Kind, Cell]:
    """Take the class from the value of an any-kind cell; it is the kind then."""
    if kind is not Kind.ANY or cell is None:
        return kind, cell
    if isinstance(cell, Token):
        return _CLASSES[cell.prefix], Token(cell.sha256, cell.size)
    return _CLASSES[cell[:2]], cell[2:]


def _hash_of(kind: Kind, cell: bytes | Token) -> bytes:
    return cell.sha256 if isinstance(cell, Token) else hashlib.sha256(_raw(kind, cell)).digest()


def _raw(kind: Kind, value: bytes) -> bytes:
    return bytes.fromhex(value[2:].decode("ascii")) if kind is Kind.BYTES else value


def _tell_number(kind_a: Kind, a: bytes, kind_b: Kind, b: bytes) -> Cause | None:
    is_float = kind_a in _FLOATS or kind_b in _FLOATS
    if _decimal(a) is not None and _decimal(a) == _decimal(b):
        return Cause.FLOAT if is_float else Cause.SCALE
    if not is_float:
        return None
    try:
        x, y = float(a), float(b)
        if x == y:
            return Cause.FLOAT
        narrow = Kind.FLOAT4 in (kind_a, kind_b)
        return Cause.FLOAT if narrow and struct.pack("<f", x) == struct.pack("<f", y) else None
    except (ValueError, OverflowError):
        return None


def _tell_boolean(kind_a: Kind, a: bytes, kind_b: Kind, b: bytes) -> Cause | None:  # noqa: ARG001 - one of a table
    x, y = _boolean(a), _boolean(b)
    return Cause.BOOLEAN if x is not None and x == y else None


def _tell_moment(kind_a: Kind, a: bytes, kind_b: Kind, b: bytes) -> Cause | None:  # noqa: ARG001 - one of a table
    day_a, clock_a, zone_a = _split_moment(a)
    day_b, clock_b, zone_b = _split_moment(b)
    if day_a == day_b and {clock_a, clock_b} == {b"", _MIDNIGHT} and b"" in (zone_a, zone_b):
        return Cause.DATE_TIME
    try:
        x, y = _instant(a), _instant(b)
    except ValueError:
        return Cause.ZONE if (day_a, clock_a) == (day_b, clock_b) and zone_a != zone_b else None
    if x == y:
        return Cause.ZONE if zone_a != zone_b else None
    if zone_a != zone_b and b"" in (zone_a, zone_b) and (day_a, clock_a) == (day_b, clock_b):
        return Cause.ZONE
    short, long = sorted((clock_a, clock_b), key=len)
    is_cut = (day_a, zone_a) == (day_b, zone_b) and len(short) >= len(_MIDNIGHT) and long.startswith(short)
    return Cause.FRACTION if is_cut else None


def _tell_uuid(kind_a: Kind, a: bytes, kind_b: Kind, b: bytes) -> Cause | None:  # noqa: ARG001 - one of a table
    return Cause.UUID if _uuid(a) == _uuid(b) else None


def _tell_json(kind_a: Kind, a: bytes, kind_b: Kind, b: bytes) -> Cause | None:  # noqa: ARG001 - one of a table
    try:
        return Cause.JSON if _json(a) == _json(b) else None
    except (ValueError, RecursionError):
        return None


def _tell_nothing(kind_a: Kind, a: bytes, kind_b: Kind, b: bytes) -> Cause | None:  # noqa: ARG001 - no causes
    return None


def _tell_text(a: bytes, b: bytes) -> Cause | None:
    if a.rstrip(b" ") == b.rstrip(b" "):
        return Cause.TRAILING_BLANKS
    return Cause.LINE_ENDS if a.replace(b"\r\n", b"\n") == b.replace(b"\r\n", b"\n") else None


def _plain(kind: Kind, value: bytes) -> bytes:
    return _raw(kind, value) if kind is Kind.BYTES else value.replace(b"\r\n", b"\n").rstrip(b" ")


def _normalize_number(kind: Kind, value: bytes) -> bytes:  # noqa: ARG001 - one of a table
    number = Decimal(value.decode("ascii").strip())
    if not number.is_finite() or abs(number.adjusted()) > 400:
        return value
    return f"{number.normalize():f}".encode() if number else b"0"


def _normalize_boolean(kind: Kind, value: bytes) -> bytes:
    found = _boolean(value)
    return _plain(kind, value) if found is None else (b"f", b"t")[found]


def _normalize_moment(kind: Kind, value: bytes) -> bytes:  # noqa: ARG001 - one of a table
    moment, fraction = _instant(value)
    return moment.isoformat().encode() + b"." + fraction


def _decimal(value: bytes) -> Decimal | None:
    try:
        number = Decimal(value.decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        return None
    return number if number.is_finite() else None


def _boolean(value: bytes) -> bool | None:
    word = value.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _split_moment(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Give day, clock and zone of a canonical moment; clock and zone may be empty."""
    day, _, rest = value.partition(b" ")
    at = next((i for i, c in enumerate(rest) if c in b"+-"), len(rest))
    return day, rest[:at], rest[at:]


def _instant(value: bytes) -> tuple[datetime, bytes]:
    """Give a moment in UTC, one without a zone as if it were, and the digits of its fraction. Raises: ValueError."""
    day, clock, zone = _split_moment(value)
    main, _, fraction = (clock or _MIDNIGHT).partition(b".")
    found = datetime.strptime(f"{day.decode()} {main.decode()}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - the zone is below
    if len(zone) == 6:
        shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        found -= shift if zone.startswith(b"+") else -shift
    return found, fraction.rstrip(b"0")


def _uuid(value: bytes) -> bytes:
    return value.removeprefix(b"\\x").strip(b"{} ").replace(b"-", b"").lower()


@dataclass(frozen=True, slots=True)
class _Number:
    """A number of JSON as it is written."""

    text: str


def _json(value: bytes) -> str:
    """Give JSON with its members in order and without blanks; numbers as they are written. Raises: ValueError."""

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a member stands twice")
        return dict(pairs)

    def refuse(word: str) -> object:
        raise ValueError(f"{word} is not JSON")

    parsed = json.loads(value, parse_float=_Number, parse_int=_Number, parse_constant=refuse, object_pairs_hook=check)
    return _write_json(parsed)


def _write_json(parsed: object) -> str:
    if isinstance(parsed, _Number):
        return parsed.text
    if isinstance(parsed, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_write_json(parsed[name])}" for name in sorted(parsed)) + "}"
    if isinstance(parsed, list):
        return "[" + ",".join(map(_write_json, parsed)) + "]"
    return json.dumps(parsed)


_TELL: Final[dict[Form, Callable[[Kind, bytes, Kind, bytes], Cause | None]]] = {
    Form.NUMBER: _tell_number,
    Form.BOOLEAN: _tell_boolean,
    Form.MOMENT: _tell_moment,
    Form.UUID: _tell_uuid,
    Form.JSON: _tell_json,
    Form.BYTES: _tell_nothing,
    Form.TEXT: _tell_nothing,
}
_NORMALIZE: Final[dict[Form, Callable[[Kind, bytes], bytes]]] = {
    Form.NUMBER: _normalize_number,
    Form.BOOLEAN: _normalize_boolean,
    Form.MOMENT: _normalize_moment,
    Form.UUID: lambda _, value: _uuid(value),
    Form.JSON: lambda _, value: _json(value).encode(),
    Form.BYTES: _raw,
    Form.TEXT: _plain,
}
