# SPDX-License-Identifier: Apache-2.0
"""The rows of one table as blocks of canonical lines. This is where the time of a MySQL snapshot goes.

Rows come from one query, as the server sends them. Each column that needs it is converted as a whole (a list at a time),
then `evidence.rows.line.encode_rows` writes the lines. How many rows are taken at once is bounded by what they could hold
at most, so memory is, too.

A table with long cells is read in *pages* by its key: the query gives NULL and a length instead of a cell over the
limit, and such a cell is fetched in slices when the page has ended, for a session has one result at a time (with the lock
guard a second session fetches, and there are no pages). Pages grow while there are no such cells, and shrink where they
are. Without a key to find a row by, cells up to 32 MiB come whole; a larger one costs the table, which is said.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from agent.collectors.base import BlobSink
from agent.collectors.lost import lose_because
from agent.collectors.mysql.catalog import Server, quote
from agent.collectors.mysql.connect import Row
from agent.collectors.mysql.large import LargeCells
from agent.collectors.mysql.mapping import (
    OWN_BYTES,
    keeps_other_text,
    locator_expression,
    locator_literal,
    may_be_long,
    most_bytes,
)
from agent.collectors.mysql.snapshot import Snapshot
from agent.collectors.mysql.tables import OfferedTable
from evidence.rows.line import MAX_CELL_BYTES, Cell, Token, encode_line, encode_rows

WHOLE_CELL_BYTES: Final = 32 << 20
"""The largest cell of a table without a key."""

_BLOCK_BYTES: Final = 1 << 20
_BATCH_BYTES: Final = 2 << 20
_MOST_ROWS: Final = 1000
_LONG_BYTES: Final = 1 << 20
"""What the long cells of a row may hold together before they are fetched apart."""
_MOST_LONG_BYTES: Final = 256 << 10
_FIRST_PAGE: Final = 256
_LEAST_PAGE: Final = 16
_MOST_PAGE: Final = 4096

Column = list[Cell]


class TableReading:
    """One reading of one table. Attribute: `raw_columns`, names of text columns that had something else than UTF-8."""

    def __init__(
        self, offered: OfferedTable, snapshot: Snapshot, server: Server, blobs: BlobSink, watch: Callable[[], None]
    ) -> None:
        """`watch` is called between batches, and may raise."""
        self._offered = offered
        self._snapshot = snapshot
        self._blobs = blobs
        self._watch = watch
        self._max_packet = server.max_packet
        columns = offered.source.columns
        self._width = len(columns)
        self._long = [i for i, column in enumerate(columns) if may_be_long(column)]
        self._converts = [(i, r.convert) for i, r in enumerate(offered.readings) if r.convert is not None]
        self._others = [i for i, column in enumerate(columns) if keeps_other_text(column)]
        self._limits = {i: self._limit_of(i) for i in self._long}
        row_bytes = sum(self._limits.get(i) or most_bytes(column) for i, column in enumerate(columns))
        self._rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // max(row_bytes, 1)))
        session = snapshot.aside or snapshot.reader
        self._large = LargeCells(session, offered, blobs, self._max_packet, watch)
        self.raw_columns: set[str] = set()

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole lines of about 1 to 4 MiB. Raises: TableLostError, MySQLdb.Error, what `watch` raises."""
        lines: list[bytes] = []
        size = 0
        in_pages = self._long and self._offered.locator is not None and self._snapshot.aside is None
        for batch in self._read_pages() if in_pages else self._read_stream():
            lines.append(batch)
            size += len(batch)
            if size >= _BLOCK_BYTES:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)

    def _limit_of(self, i: int) -> int:
        """Give the size up to which a long cell comes with its row; never less than that of a token."""
        if self._offered.locator is not None:
            return max(MAX_CELL_BYTES, min(_MOST_LONG_BYTES, _LONG_BYTES // len(self._long)))
        if keeps_other_text(self._offered.source.columns[i]):
            # The result of a conversion may not be over the packet, or it is NULL.
            return min(WHOLE_CELL_BYTES, self._max_packet // 4)
        return WHOLE_CELL_BYTES

    def _expressions(self) -> list[str]:
        """Give what is selected: the cells, the lengths of long ones, and by what the row is found again."""
        columns = self._offered.source.columns
        cells = [reading.expression for reading in self._offered.readings]
        lengths = []
        for i, limit in self._limits.items():
            length = f"OCTET_LENGTH(t.{quote(columns[i].name)})"
            lengths.append(length)
            cells[i] = f"IF({length} > {limit}, NULL, {cells[i]})"
        located = [locator_expression(c, f"t.{quote(c.name)}") for c in self._offered.located_by] if self._long else []
        return [*cells, *lengths, *located]

    def _read_stream(self) -> Iterator[bytes]:
        stream = self._snapshot.stream(self._offered.query(self._expressions()))
        while rows := stream.take(self._rows):
            self._watch()
            yield self._encode(rows)

    def _read_pages(self) -> Iterator[bytes]:
        expressions = self._expressions()
        after: Sequence[str] = ()
        size = _FIRST_PAGE
        while True:
            stream = self._snapshot.stream(self._offered.page(expressions, after, size))
            held: list[Row] = []
            held_bytes = count = 0
            is_cut = False
            while rows := stream.take(self._rows):
                self._watch()
                count += len(rows)
                if not held and not self._has_large(rows):
                    after = self._locate(rows[-1])
                    yield self._encode(rows)
                    continue
                held += rows
                held_bytes += sum(len(value or b"") for row in rows for value in row)
                if held_bytes >= _BATCH_BYTES:
                    stream.drain()
                    is_cut = True
                    break
            for start in range(0, len(held), self._rows):
                yield self._encode(held[start : start + self._rows])
            if held:
                after = self._locate(held[-1])
            if count < size and not is_cut:
                return
            if is_cut:
                size = max(_LEAST_PAGE, count)
            elif not held:
                size = min(size * 2, _MOST_PAGE)

    def _locate(self, row: Row) -> list[str]:
        values = row[self._width + len(self._long) :]
        return [locator_literal(c, value or b"") for c, value in zip(self._offered.located_by, values, strict=True)]

    def _has_large(self, rows: Sequence[Row]) -> bool:
        places = [(i, self._width + j) for j, i in enumerate(self._long)]
        return any(row[i] is None and row[length] is not None for row in rows for i, length in places)

    def _encode(self, rows: Sequence[Row]) -> bytes:
        if not self._converts and not self._long and not self._others:
            return self._noted(encode_rows(rows))
        columns: list[Column] = [list(column) for column in zip(*rows, strict=True)]
        for i in self._others:
            self._take_own(columns[i], i)
        has_tokens = False
        for j, i in enumerate(self._long):
            has_tokens |= self._put_long(rows, columns[i], i, j)
        for i, convert in self._converts:
            columns[i] = [convert(cell) if isinstance(cell, bytes) else cell for cell in columns[i]]
        cells = zip(*columns[: self._width], strict=True)
        if has_tokens:
            return self._noted(b"".join([encode_line(row) + b"\n" for row in cells]))
        return self._noted(encode_rows(cells))

    def _take_own(self, cells: Column, i: int) -> None:
        """Take the mark from texts that came in their own bytes."""
        for n, cell in enumerate(cells):
            if isinstance(cell, bytes) and cell.startswith(OWN_BYTES):
                cells[n] = cell[len(OWN_BYTES) :]
                self._note_raw(i)

    def _put_long(self, rows: Sequence[Row], cells: Column, i: int, j: int) -> bool:
        """Put what is large of column `i`, the `j`th of the long ones, into the sink; tell whether there was any."""
        place = self._width + j
        found = False
        for n, row in enumerate(rows):
            cell = cells[n]
            if cell is None and row[place] is not None:
                cells[n] = self._put_apart(row, i, int(row[place] or 0))
            elif isinstance(cell, bytes) and len(cell) > MAX_CELL_BYTES:
                if not is_utf8(cell):
                    self._note_raw(i)
                cells[n] = self._blobs.put(io.BytesIO(cell))
            else:
                continue
            found = found or isinstance(cells[n], Token)
        return found

    def _put_apart(self, row: Row, i: int, size: int) -> bytes | Token:
        column = self._offered.source.columns[i]
        if self._offered.locator is None:
            raise lose_because(
                self._offered.source.full_name,
                f"a cell of column {column.name} has {size} bytes, and without a key it cannot be read in slices",
            )
        large = self._large.put(column, self._locate(row))
        if large.is_raw:
            self._note_raw(i)
        return large.cell

    def _note_raw(self, i: int) -> None:
        if self._offered.readings[i].convert is None:
            self.raw_columns.add(self._offered.source.columns[i].name)

    def _noted(self, block: bytes) -> bytes:
        """Look for texts that are not UTF-8: a column of UTF-8 may hold them from before the server checked."""
        if block.isascii() or is_utf8(block):
            return block
        for line in block.split(b"\n"):
            if not is_utf8(line):
                for column, field in zip(self._offered.source.columns, line.split(b"\t"), strict=False):
                    if not is_utf8(field):
                        self.raw_columns.add(column.name)
        return block


def is_utf8(raw: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
