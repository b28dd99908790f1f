# SPDX-License-Identifier: Apache-2.0
"""Canonical values as SQLite's storage classes, and back. Pure.

    bool             INTEGER 0, 1
    int              INTEGER
    float8, float4   REAL
    bytes            BLOB
    any              INTEGER, REAL, TEXT or BLOB, as the prefix says
    all other        TEXT in canonical form

What SQLite cannot hold so is a BLOB of the canonical form: integers over 64 bits, NaN (SQLite would store NULL), -0
(it would store 0). So a column of any kind but bytes and any gives a BLOB only for such a value, and reading is the
exact inverse of writing. Source: sqlite.org/datatype3.html, floatingpoint.html.
"""

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from evidence.rows.values import Kind, format_float4, format_float8

LOWEST_INT: Final = -(2**63)
HIGHEST_INT: Final = 2**63 - 1
_UNHELD_FLOATS = (b"NaN", b"-0")


class SqlText(bytes):
    """The bytes of a TEXT; plain `bytes` are a BLOB."""

    __slots__ = ()


Value: TypeAlias = "int | float | str | SqlText | bytes | None"
"""What is bound or read; `str` only when bound."""


Write = Callable[[bytes], Value]
Read = Callable[[object], bytes]


def writer_of(kind: Kind) -> Write:
    """Give what turns a canonical value of `kind` into what holds it."""
    return _WRITERS.get(kind, _write_text)


def reader_of(kind: Kind) -> Read:
    """Give what turns what is held (not NULL) into the canonical value; what no writer makes stays different."""
    return _READERS.get(kind, _read_text)


def raw_to_sqlite(kind: Kind, prefix: bytes, raw: bytes) -> Value:
    """Give what holds a large cell whose raw bytes are `raw`."""
    return raw if kind is Kind.BYTES or prefix == b"b:" else _write_text(raw)


def _write_bool(value: bytes) -> Value:
    return 1 if value == b"t" else 0


def _write_int(value: bytes) -> Value:
    number = int(value)
    return number if LOWEST_INT <= number <= HIGHEST_INT else value


def _write_float(value: bytes) -> Value:
    return value if value in _UNHELD_FLOATS else float(value)


def _write_bytes(value: bytes) -> Value:
    return bytes.fromhex(value[2:].decode("ascii"))


def _write_text(value: bytes) -> Value:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return SqlText(value)


def _write_any(value: bytes) -> Value:
    prefix, value = value[:2], value[2:]
    if prefix == b"i:" and LOWEST_INT <= int(value) <= HIGHEST_INT:
        return int(value)
    if prefix == b"r:":
        return float(value)
    return _write_bytes(value) if prefix == b"b:" else _write_text(value)


def _read_text(value: object) -> bytes:
    if isinstance(value, bytes):
        return bytes(value)
    return format_float8(value) if isinstance(value, float) else str(value).encode()


def _read_bool(value: object) -> bytes:
    return (b"f", b"t")[value] if value in (0, 1) and isinstance(value, int) else _read_text(value)


def _read_float4(value: object) -> bytes:
    return format_float4(_single(value)) if isinstance(value, float) else _read_text(value)


def _read_bytes(value: object) -> bytes:
    return b"\\x" + value.hex().encode() if type(value) is bytes else _read_text(value)


def _read_any(value: object) -> bytes:
    if isinstance(value, SqlText):
        return b"t:" + value
    if isinstance(value, bytes):
        return b"b:\\x" + value.hex().encode()
    if isinstance(value, float):
        return b"r:" + format_float8(value)
    return b"i:" + str(value).encode()


def _single(value: float) -> float:
    try:
        number: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return value
    return number


_WRITERS: Final[dict[Kind, Write]] = {
    Kind.BOOL: _write_bool,
    Kind.INT: _write_int,
    Kind.FLOAT8: _write_float,
    Kind.FLOAT4: _write_float,
    Kind.BYTES: _write_bytes,
    Kind.ANY: _write_any,
}
_READERS: Final[dict[Kind, Read]] = {
    Kind.BOOL: _read_bool,
    Kind.FLOAT4: _read_float4,
    Kind.BYTES: _read_bytes,
    Kind.ANY: _read_any,
}
