# SPDX-License-Identifier: Apache-2.0
r"""A row as the archivist sees it: a line with its schema, and how cells and values are written for people.

Pure. A value that a person types is brought to the canonical form of its column's kind before it is compared
(`canonical_values`); nothing is compared that is not canonical. `\N` is NULL, as on the line; a text that really is
`\N` is typed `\\N`.
"""

import contextlib
import hashlib
import re
import struct
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from evidence.errors import FormatError
from evidence.rows.line import Cell, Token, parse_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind, check_value, format_float4, format_float8

NULL_WORD = "\\N"
_LITERAL_NULL_WORD = "\\\\N"
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_HEX = re.compile(r"(?:\\x|0x)?((?:[0-9a-fA-F]{2})*)", re.ASCII)
_BY_HASH = re.compile(r"(?:\\@)?sha256:([0-9a-f]{64})(?::[0-9]+)?", re.ASCII)
_BOOLS = {"t": b"t", "true": b"t", "1": b"t", "f": b"f", "false": b"f", "0": b"f"}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table, read by its schema."""

    schema: Schema
    line: bytes
    cells: tuple[Cell, ...]

    @classmethod
    def read(cls, schema: Schema, line: bytes) -> "Row":
        """Read a line of a table with `schema`. Raises: FormatError."""
        return cls(schema, line, tuple(parse_line(line, schema)))

    @property
    def key(self) -> tuple[Cell, ...]:
        """Give the key's cells in key order; keyless: nothing."""
        return tuple(self.cell(name) for name in self.schema.key)

    def cell(self, column: str) -> Cell:
        """Give the cell of `column`. Raises: KeyError."""
        return self.cells[self.schema.index(column)]

    def texts(self) -> dict[str, str | None]:
        """Give what people read, by column; NULL is None."""
        return {c.name: cell_text(cell) for c, cell in zip(self.schema.columns, self.cells, strict=True)}


def cell_text(cell: Cell) -> str | None:
    r"""Write a cell for people and JSON: NULL as None, a large cell by hash and size, odd bytes as `\xNN`."""
    if cell is None:
        return None
    if isinstance(cell, Token):
        return cell.encode().decode("ascii")
    return cell.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a cell of one column is compared with: NULL, some canonical values, or the SHA-256 of a large cell."""

    null: bool = False
    values: frozenset[bytes] = frozenset()
    hashes: frozenset[bytes] = frozenset()

    def matches(self, cell: Cell) -> bool:
        """Tell whether `cell` is one of what is wanted."""
        if cell is None:
            return self.null
        if isinstance(cell, Token):
            return cell.sha256 in self.hashes
        return cell in self.values


def parse_wanted(column: Column, text: str) -> Wanted:
    """Read what a person typed for `column`.

    Raises: FormatError if no value of the column's kind is written so.
    """
    if text == NULL_WORD:
        return Wanted(null=True)
    by_hash = _BY_HASH.fullmatch(text)
    hashes = {bytes.fromhex(by_hash[1])} if by_hash else set()
    text = NULL_WORD if text == _LITERAL_NULL_WORD else text
    values = canonical_values(column, text)
    if not values and not hashes:
        raise FormatError(f"{text!r:.60} is not a value of column {column.name!r}, which is of kind {column.kind}")
    # A large cell stands on the line by the hash of its raw bytes: of the text, or of what the hex says.
    hashes |= {hashlib.sha256(_raw(column.kind, value)).digest() for value in values}
    return Wanted(values=values, hashes=frozenset(hashes))


def canonical_values(column: Column, text: str) -> frozenset[bytes]:
    """Give the canonical values of `column` that a person may mean by `text`; none if it is not a value of its kind."""
    if column.kind is Kind.ANY:
        if text[:2] in ("i:", "r:", "t:", "b:"):
            exact = text.encode("utf-8", "surrogateescape")
            return frozenset((exact,)) if _is_canonical(column, exact) else frozenset((b"t:" + exact,))
        kinds = {b"i:": Kind.INT, b"r:": Kind.FLOAT8, b"t:": Kind.TEXT}
        found = {prefix + v for prefix, kind in kinds.items() for v in _canonical(kind, None, text)}
        return frozenset(found)
    return frozenset(_canonical(column.kind, column.scale, text))


def _canonical(kind: Kind, scale: int | None, text: str) -> list[bytes]:
    value: bytes | None = text.encode("utf-8", "surrogateescape")
    if kind is Kind.INT:
        value = str(int(text)).encode() if _INTEGER.fullmatch(text) and len(text) < 4000 else None
    elif kind is Kind.DECIMAL:
        return _canonical_decimals(scale, text)
    elif kind in (Kind.FLOAT8, Kind.FLOAT4):
        value = _canonical_float(kind, text)
    elif kind is Kind.BOOL:
        value = _BOOLS.get(text.lower())
    elif kind is Kind.BYTES:
        match = _HEX.fullmatch(text)
        value = b"\\x" + match[1].lower().encode() if match else None
    elif kind is Kind.UUID:
        value = text.lower().encode("utf-8", "surrogateescape")
    if value is None:
        return []
    return [value] if _is_canonical(Column("", kind, True, "", scale), value) else []


def _canonical_decimals(scale: int | None, text: str) -> list[bytes]:
    if text in ("NaN", "Infinity", "-Infinity"):
        return [text.encode()]
    try:
        number = Decimal(text)
    except InvalidOperation:
        return []
    if not number.is_finite() or abs(number.adjusted()) > 20_000:
        return []
    if scale is None:
        plain = f"{number:f}".lstrip("+").encode()
        return [plain] if _is_canonical(Column("", Kind.DECIMAL, True, ""), plain) else []
    exact = number.as_tuple()
    shift = max(scale, 0) + int(exact.exponent)
    digits = "".join(map(str, exact.digits))
    if shift < 0 and digits[shift:].strip("0"):
        return []
    digits = (digits + "0" * shift if shift >= 0 else digits[:shift]).rjust(max(scale, 0) + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale > 0 else (digits, "")
    sign = "-" if exact.sign and digits.strip("0") else ""
    return [f"{sign}{whole.lstrip('0') or '0'}{'.' if fraction else ''}{fraction}".encode()]


def _canonical_float(kind: Kind, text: str) -> bytes | None:
    try:
        number = float(text)
        if kind is Kind.FLOAT8:
            return format_float8(number)
        return format_float4(struct.unpack("<f", struct.pack("<f", number))[0])
    except (ValueError, OverflowError):
        return None


def _is_canonical(column: Column, value: bytes) -> bool:
    with contextlib.suppress(FormatError):
        check_value(column.kind, column.scale, value, raw_text=True)
        return True
    return False


def _raw(kind: Kind, value: bytes) -> bytes:
    if kind is Kind.ANY:
        kind, value = (Kind.BYTES if value[:2] == b"b:" else Kind.TEXT), value[2:]
    return bytes.fromhex(value[2:].decode("ascii")) if kind is Kind.BYTES else value
