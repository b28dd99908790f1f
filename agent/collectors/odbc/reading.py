# SPDX-License-Identifier: Apache-2.0
"""The rows of one table as blocks of canonical lines.

Rows come from one query as the driver gives them; columns are converted a batch at a time, then
`evidence.rows.line.encode_rows` writes the lines. A table with long columns is read in *pages* by its locator: the query
gives NULL and a length instead of a cell over the limit, and such cells are fetched in parts when the page has ended, for
a session has one result at a time. Without a locator, cells come whole, up to `WHOLE_ROW` for those of a row together; a
larger one costs the table, which is said. Nothing is ever cut short.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from agent.collectors.base import BlobSink
from agent.collectors.lost import lose_because
from agent.collectors.odbc.cells import CellError
from agent.collectors.odbc.large import LargeCells
from agent.collectors.odbc.session import Row, Session
from agent.collectors.odbc.tables import OfferedTable, ReadColumn
from evidence.rows.line import MAX_CELL_BYTES, Cell, encode_line, encode_rows
from evidence.rows.values import Kind

WHOLE_ROW: Final = 16 << 20
"""What the long cells of a row may hold together (bytes, or characters of a text) in a table without a locator."""

_BLOCK_BYTES: Final = 1 << 20
_HELD: Final = 2 << 20
_LONG: Final = 512 << 10
"""What the long cells of a row may hold together before they are fetched apart."""
_FIRST_PAGE: Final = 256
_LEAST_PAGE: Final = 16
_MOST_PAGE: Final = 4096


class TableReading:
    """One reading of one table. Attribute: `raw_columns`, names of text columns that had something else than UTF-8."""

    def __init__(self, session: Session, offered: OfferedTable, blobs: BlobSink, watch: Callable[[], None]) -> None:
        """`watch` is called between batches, and may raise."""
        self._session = session
        self._offered = offered
        self._watch = watch
        self._large = LargeCells(session, offered, blobs, watch)
        columns = offered.columns
        self._width = len(columns)
        self._converts = [column.converter() for column in columns]
        self._texts = [i for i, column in enumerate(columns) if column.cast.kind not in _NEVER_RAW]
        self._long = [i for i, column in enumerate(columns) if column.is_long]
        room = _LONG if offered.locator is not None else WHOLE_ROW
        shared = max(MAX_CELL_BYTES, room // max(1, len(self._long)))
        self._limits = [min(shared, _most_of(columns[i])) for i in self._long]
        self.raw_columns: set[str] = set()

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole lines. Raises: TableLostError, StatementError, DriverError, what `watch` raises."""
        lines: list[bytes] = []
        size = 0
        for part in self._read_pages() if self._long and self._offered.locator is not None else self._read_stream():
            lines.append(part)
            size += len(part)
            if size >= _BLOCK_BYTES:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)

    def _expressions(self) -> list[str]:
        """Give what is selected: the cells, the lengths of long ones, and by what the row is found again."""
        cells = [column.sql for column in self._offered.columns]
        lengths = [self._offered.columns[i].length for i in self._long]
        for i, length, limit in zip(self._long, lengths, self._limits, strict=True):
            cells[i] = f"CASE WHEN {length} > {limit} THEN NULL ELSE {cells[i]} END"
        locator = self._offered.locator
        return [*cells, *lengths, *(locator.texts if self._long and locator is not None else ())]

    def _read_stream(self) -> Iterator[bytes]:
        with self._session.stream(self._offered.query(self._expressions())) as stream:
            while rows := stream.take():
                self._watch()
                yield from self._encode(rows)

    def _read_pages(self) -> Iterator[bytes]:
        after: Sequence[str] = ()
        size = _FIRST_PAGE
        while True:
            held, count, is_cut, last = self._read_page(after, size)
            yield from held
            if last is None or (count < size and not is_cut):
                return
            after = self._place_of(last)
            size = max(_LEAST_PAGE, count) if is_cut else min(_MOST_PAGE, size * 2)

    def _read_page(self, after: Sequence[str], size: int) -> tuple[Iterator[bytes], int, bool, Row | None]:
        """Read a page, or as much of it as may be held; give its lines, how many rows, whether cut, and the last row."""
        held: list[Row] = []
        characters = 0
        is_cut = False
        with self._session.stream(self._offered.page(self._expressions(), after, size)) as stream:
            while not is_cut and (rows := stream.take()):
                self._watch()
                held += rows
                characters += sum(len(cell or "") for row in rows for cell in row)
                is_cut = characters >= _HELD and len(held) < size
        return self._encode(held), len(held), is_cut, held[-1] if held else None

    def _encode(self, rows: list[Row]) -> Iterator[bytes]:
        """Give the lines of rows, in parts of bounded size. Raises: TableLostError."""
        if not rows:
            return
        lengths_at = self._width
        columns: list[list[Cell]] = []
        for i, texts in enumerate(zip(*rows, strict=True)):
            if i == lengths_at:
                break
            columns.append(self._convert(i, texts))
        large = {
            number
            for number, row in enumerate(rows)
            if any(int(row[lengths_at + k] or 0) > limit for k, limit in enumerate(self._limits))
        }
        done: list[Sequence[Cell]] = list(zip(*columns, strict=True))
        if not large:
            yield encode_rows(done)  # type: ignore[arg-type]  # no row has a token
            return
        start = 0
        for number in sorted(large):
            if start < number:
                yield encode_rows(done[start:number])  # type: ignore[arg-type]  # these rows have no token
            yield encode_line(self._fetch(rows[number], done[number])) + b"\n"
            start = number + 1
        if start < len(done):
            yield encode_rows(done[start:])  # type: ignore[arg-type]  # these rows have no token

    def _convert(self, i: int, texts: Sequence[str | None]) -> list[Cell]:
        convert = self._converts[i]
        column = self._offered.columns[i].source.name
        try:
            cells: list[Cell] = [None if text is None else convert(text) for text in texts]
        except (CellError, ValueError) as err:
            raise lose_because(self._offered.schema.name, f"column {column} has {err}, as the driver gives it") from err
        if (
            i in self._texts
            and column not in self.raw_columns
            and any(not _is_utf8(cell) for cell in cells if isinstance(cell, bytes))
        ):
            self.raw_columns.add(column)
        return cells

    def _fetch(self, row: Row, cells: Sequence[Cell]) -> list[Cell]:
        """Fetch the large cells of a row."""
        fetched = list(cells)
        for k, i in enumerate(self._long):
            length = int(row[self._width + k] or 0)
            if length <= self._limits[k]:
                continue
            column = self._offered.columns[i]
            if self._offered.locator is None:
                raise lose_because(
                    self._offered.schema.name,
                    f"column {column.source.name} has a value of {length} bytes or characters, and without a key it is read "
                    f"whole, up to {self._limits[k]}",
                )
            cell = self._large.put(column, length, self._place_of(row))
            fetched[i] = cell.cell
            if not cell.is_utf8:
                self.raw_columns.add(column.source.name)
        return fetched

    def _place_of(self, row: Row) -> list[str]:
        values = [value or "" for value in row[self._width + len(self._long) :]]
        try:
            return self._offered.locate(values)
        except ValueError as err:
            raise lose_because(self._offered.schema.name, f"its key has {err}, as the driver gives it") from err


_NEVER_RAW: Final = frozenset(Kind) - {Kind.TEXT, Kind.JSON, Kind.OTHER, Kind.INTERVAL, Kind.ANY}


def _most_of(column: ReadColumn) -> int:
    long = column.cast.long
    return long.most if long is not None and long.most is not None else WHOLE_ROW


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
