# SPDX-License-Identifier: Apache-2.0
"""The rows of one table on their way into a target and back: large cells are put in, and taken out again.

A line names a large cell by hash (`evidence.rows.line.Token`). A target holds the content; what is read back is turned
into the same line by the same rule (`shorten_line`), so the copy's root can be the original's. The content of `@files`
is always a token, whatever its size. Memory: one row with its large cells.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from evidence.rows.line import MAX_CELL_BYTES, Cell, KeySpec, Token, encode_line, parse_line, shorten_line
from evidence.rows.schema import Schema
from evidence.rows.values import Kind

if TYPE_CHECKING:
    from center.registry.snapshots import Snapshot, SnapshotTable

FILES_TABLE: Final = "@files"
SEQUENCES_TABLE: Final = "@sequences"
_CONTENT: Final = "content"
_READ_FROM: Final = ("read from MySQL ", "read from MariaDB ")


class TableRows:
    """One table of a snapshot, to be read as often as needed."""

    def __init__(self, snapshot: "Snapshot", table: "SnapshotTable") -> None:
        self._snapshot = snapshot
        self.table = table
        self.schema: Schema = table.schema
        self.name: str = table.claim.name
        self.ordering = KeySpec.of(table.schema)

    @property
    def is_postgresql(self) -> bool:
        """Tell whether the source is PostgreSQL, whose type texts another PostgreSQL understands."""
        # The position is `-` where the account may not see the log's; MariaDB has sequences too, of another shape.
        if self._snapshot.manifest.position.startswith("pg "):
            return True
        if not self._snapshot.has_table(SEQUENCES_TABLE):
            return False
        return "last_value" in {c.name for c in self._snapshot.table(SEQUENCES_TABLE).schema.columns}

    @property
    def is_mysql(self) -> bool:
        """Tell whether the source is MySQL or MariaDB, whose type texts another one understands."""
        manifest = self._snapshot.manifest
        return manifest.position.startswith("mysql ") or any(note.startswith(_READ_FROM) for note in manifest.notes)

    @property
    def is_files(self) -> bool:
        """Tell whether this is the table of a file tree."""
        return self.name == FILES_TABLE

    def lines(self) -> Iterator[bytes]:
        """Yield the lines in order, without LF."""
        return self._snapshot.lines(self.table)

    def cells(self, line: bytes) -> list[Cell]:
        """Give one cell per column; large ones are still tokens."""
        return parse_line(line, self.schema)

    def blob(self, token: Token) -> Iterator[bytes]:
        """Yield the raw bytes of a large cell; they are checked against the token at the end."""
        return self._snapshot.blob(token)

    def raw(self, token: Token) -> bytes:
        """Give the raw bytes of a large cell: a text's UTF-8, a binary's own."""
        return b"".join(self.blob(token))


def is_always_token(schema: Schema, index: int) -> bool:
    """Tell whether the cells of a column stand on the line as tokens whatever their size: the content of files."""
    return schema.name == FILES_TABLE and schema.columns[index].name == _CONTENT


def join_cells(schema: Schema, cells: Sequence[Cell]) -> bytes:
    """Give the canonical line of cells that a target gave back whole."""
    if schema.name == FILES_TABLE:
        cells = [
            Token(hashlib.sha256(cell).digest(), len(cell))
            if isinstance(cell, bytes) and is_always_token(schema, i)
            else cell
            for i, cell in enumerate(cells)
        ]
    line = encode_line(cells)
    return shorten_line(line, schema)[0] if len(line) > MAX_CELL_BYTES else line


def raw_as_value(kind: Kind, token: Token, raw: bytes) -> bytes:
    """Give the canonical value whose raw bytes are `raw`."""
    if kind is Kind.BYTES or token.prefix == b"b:":
        return token.prefix + b"\\x" + raw.hex().encode()
    return token.prefix + raw
