# SPDX-License-Identifier: Apache-2.0
r"""A row as one line of bytes, and the order of rows. Pure.

    line = fields in column order joined by TAB; NULL `\N`; large cell `\@sha256:<64 hex>:<size>`; in other fields
    backslash, BS, FF, LF, CR, TAB, VT, NUL are written \\ \b \f \n \r \t \v \0; nothing else is escaped;
    trailing `\N` fields after the first field are not written.

One row has one line: `parse_line` refuses every other spelling. No error says what a cell holds: errors come to stand in
logs. Source: design section 2.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from evidence.errors import FormatError, TreeError
from evidence.kernel import find_kernel
from evidence.rows.schema import Schema
from evidence.rows.values import Kind, OrderKey, check_value, order_key

NULL: Final = b"\\N"
MAX_CELL_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 1_048_576
MAX_KEPT_BYTES: Final = 128
MAX_HINT_BYTES: Final = 256

_ESCAPES: Final = {
    0x5C: b"\\\\", 0x08: b"\\b", 0x0C: b"\\f", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t", 0x0B: b"\\v", 0x00: b"\\0",
}  # fmt: skip
_UNESCAPES: Final = {escaped[1:]: bytes((byte,)) for byte, escaped in _ESCAPES.items()}
_SPECIAL = re.compile(rb"[\x00\x08-\x0d\\]")
_ESCAPED = re.compile(rb"\\(.?)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00\x08-\x0d]")
_TOKEN = re.compile(rb"\\@sha256:([0-9a-f]{64}):(0|[1-9][0-9]{0,18})")
_ANY_PREFIXES = (b"t:", b"b:")


@dataclass(frozen=True, slots=True)
class Token:
    """Stands for a large cell: the SHA-256 and the size in bytes of its raw value. `prefix` is `t:` or `b:` of an any-kind cell."""

    sha256: bytes
    size: int
    prefix: bytes = b""

    def encode(self) -> bytes:
        """Write the token as it stands on the line, its prefix before it."""
        return b"%s\\@sha256:%s:%d" % (self.prefix, self.sha256.hex().encode(), self.size)


Cell: TypeAlias = "bytes | Token | None"
"""A canonical value before escaping, a token, or NULL."""


def encode_field(cell: Cell) -> bytes:
    """Write one field."""
    if cell is None:
        return NULL
    if isinstance(cell, Token):
        return cell.encode()
    return _SPECIAL.sub(lambda m: _ESCAPES[m[0][0]], cell) if _SPECIAL.search(cell) else cell


def encode_line(cells: Sequence[Cell]) -> bytes:
    r"""Write a row of at least one cell, without LF.

    >>> encode_line([b"2", b"a\tb\\c", None, None])
    b'2\ta\\tb\\\\c'
    """
    fields = [encode_field(cell) for cell in cells]
    while len(fields) > 1 and fields[-1] == NULL:
        fields.pop()
    return b"\t".join(fields)


def encode_rows(rows: Iterable[Sequence[bytes | None]]) -> bytes:
    r"""Write many rows of canonical values as lines, each ended by LF: what a collector yields as a block.

    >>> encode_rows([(b"1", None), (b"2", b"a\tb")])
    b'1\n2\ta\\tb\n'
    """
    compiled = find_kernel()
    return compiled.encode_rows(rows) if compiled is not None else join_rows(rows)


def join_rows(rows: Iterable[Sequence[bytes | None]]) -> bytes:
    """Do what `encode_rows` does, row by row: the reference."""
    return b"".join([encode_line(row) + b"\n" for row in rows])


def parse_field(field: bytes, what: str) -> Cell:
    """Read one field. Raises: FormatError if it is not the one spelling of a value."""
    if field == NULL:
        return None
    if b"\\" not in field:
        if _CONTROL.search(field):
            raise FormatError(f"{what} has a control character that must be escaped, in {len(field)} bytes")
        return field
    prefix = field[:2] if field[:2] in _ANY_PREFIXES and field[2:4] == b"\\@" else b""
    token = _TOKEN.fullmatch(field, len(prefix))
    if token is not None:
        return Token(bytes.fromhex(token[1].decode()), int(token[2]), prefix)
    if _CONTROL.search(field):
        raise FormatError(f"{what} has a control character that must be escaped, in {len(field)} bytes")
    try:
        return _ESCAPED.sub(lambda m: _UNESCAPES[m[1]], field)
    except KeyError as err:
        raise FormatError(f"{what} has an escape that is not one of ours, in {len(field)} bytes") from err


def parse_line(line: bytes, schema: Schema) -> list[Cell]:
    """Read a line as one cell per column of `schema`; fields that are not written are NULL.

    Whether values are canonical for their kinds is `evidence.rows.values.check_value`'s business.
    Raises: FormatError if the line is not the one spelling of a row of that many columns.
    """
    fields = line.split(b"\t")
    if len(fields) > len(schema.columns):
        raise FormatError(
            f"a line of {schema.name!r} has {len(fields)} fields, its schema {len(schema.columns)} columns"
        )
    if len(fields) > 1 and fields[-1] == NULL:
        raise FormatError(f"a line of {schema.name!r} ends in a NULL that must not be written")
    cells = [
        parse_field(f, f"column {c.name!r} of {schema.name!r}") for f, c in zip(fields, schema.columns, strict=False)
    ]
    for cell, column in zip(cells, schema.columns, strict=False):
        if isinstance(cell, Token) and bool(cell.prefix) != (column.kind is Kind.ANY):
            raise FormatError(
                f"a token in column {column.name!r} of {schema.name!r} has a prefix that is not of its kind"
            )
    return cells + [None] * (len(schema.columns) - len(cells))


@dataclass(frozen=True, slots=True)
class KeySpec:
    """How the rows of a table are ordered: positions and kinds of its key columns; none: by the lines' bytes.

    `name` identifies the spec in caches of verified objects: `0:int,3:text`, or `-`.
    """

    columns: tuple[int, ...]
    kinds: tuple[Kind, ...]

    @classmethod
    def of(cls, schema: Schema) -> "KeySpec":
        """Give the order that `schema` declares."""
        indexes = tuple(schema.index(name) for name in schema.key)
        return cls(indexes, tuple(schema.columns[i].kind for i in indexes))

    @property
    def name(self) -> str:
        """Give the spec as a short text."""
        return ",".join(f"{c}:{k}" for c, k in zip(self.columns, self.kinds, strict=True)) or "-"

    def key_of(self, line: bytes) -> bytes:
        """Give the escaped key fields joined by TAB, in key order; keyless: the line itself."""
        if not self.columns:
            return line
        if self.columns == (0,):
            return line.partition(b"\t")[0]
        fields = line.split(b"\t")
        return b"\t".join(fields[i] if i < len(fields) else NULL for i in self.columns)

    def hint_of(self, line: bytes) -> bytes:
        """Give what a node says of a child's first row: at most 256 bytes of its key."""
        return self.key_of(line)[:MAX_HINT_BYTES]

    def order_of(self, key: bytes) -> tuple[OrderKey, ...]:
        """Give what compares as rows are ordered, from what `key_of` gave.

        Raises: TreeError if a key cell is NULL or tokened; FormatError if it is not a value.
        """
        if not self.columns:
            return (key,)
        parts: list[OrderKey] = []
        for field, kind in zip(key.split(b"\t"), self.kinds, strict=True):
            cell = parse_field(field, "a key")
            if not isinstance(cell, bytes):
                raise TreeError("a key has a cell that is NULL or a token; such a table has key []")
            parts.append(_order_cell(kind, cell))
        return tuple(parts)


def check_order(spec: KeySpec, before: bytes, after: bytes) -> None:
    """Raises: TreeError unless key `before` precedes key `after` (keyless: does not follow it)."""
    first, second = spec.order_of(before), spec.order_of(after)
    if first < second or (not spec.columns and first == second):
        return
    word = "equals" if first == second else "does not follow"
    raise TreeError(f"rows are out of order: a key {word} the one before it")


def shorten_line(line: bytes, schema: Schema) -> tuple[bytes, list[tuple[Token, bytes]]]:
    """Put tokens for large cells (design section 2); give the line and the tokens with the raw values they stand for.

    Lines of at most 65,536 bytes have none: callers need not ask for them.
    """
    cells = parse_line(line, schema)
    blobs: list[tuple[Token, bytes]] = []

    def shorten(i: int) -> None:
        cell = cells[i]
        assert isinstance(cell, bytes)
        prefix, raw = _raw_value(schema.columns[i].kind, cell)
        token = Token(hashlib.sha256(raw).digest(), len(raw), prefix)
        cells[i] = token
        blobs.append((token, raw))

    for i, cell in enumerate(cells):
        if isinstance(cell, bytes) and len(cell) > MAX_CELL_BYTES < len(_raw_value(schema.columns[i].kind, cell)[1]):
            shorten(i)
    keys = {schema.index(name) for name in schema.key}
    while len(encode_line(cells)) > MAX_LINE_BYTES:
        widths = [(len(encode_field(c)), -i) for i, c in enumerate(cells) if isinstance(c, bytes) and i not in keys]
        width, negative = max(widths, default=(0, 0))
        if width <= MAX_KEPT_BYTES:
            break
        shorten(-negative)
    return encode_line(cells), blobs


def _raw_value(kind: Kind, cell: bytes) -> tuple[bytes, bytes]:
    """Give the any-kind prefix and the raw value of a canonical cell: binary as its bytes, all else as its text."""
    prefix = b""
    if kind is Kind.ANY and cell[:2] in _ANY_PREFIXES:
        prefix, cell = cell[:2], cell[2:]
    if kind is Kind.BYTES or prefix == b"b:":
        return prefix, bytes.fromhex(cell[2:].decode("ascii"))
    return prefix, cell


def _order_cell(kind: Kind, cell: bytes) -> OrderKey:
    try:
        if kind in (Kind.INT, Kind.DECIMAL):
            check_value(kind, None, cell)
        return order_key(kind, cell)
    except (FormatError, ValueError, ArithmeticError) as err:
        raise FormatError(f"a key cell of {len(cell)} bytes is not of kind {kind}") from err
