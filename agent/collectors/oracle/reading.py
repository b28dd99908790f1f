# SPDX-License-Identifier: Apache-2.0
"""The rows of one table as blocks of canonical lines; large LOBs go to the sink in pieces, by their locators.

A short LOB came as text beside its locator. Of a longer one the locator is asked while the row is at hand; what is over
65,536 bytes is a stream into the sink. LONG and LONG RAW, which Oracle itself gave up, come whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, Protocol, cast

from agent.collectors.base import BlobSink
from agent.collectors.lost import lose_because
from agent.collectors.odbc.cells import CellError
from agent.collectors.oracle.catalog import Row
from agent.collectors.oracle.mapping import Lob, Locator, Value
from agent.collectors.oracle.tables import OfferedTable
from agent.collectors.parts import PartStream
from evidence.rows.line import MAX_CELL_BYTES, Cell, encode_line, encode_rows
from evidence.rows.values import Kind

_BLOCK_BYTES: Final = 1 << 20
_BATCH_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 1000
_PIECE: Final = 512 << 10
_LONG_BYTES: Final = 32_768
"""What a column without a stated size is taken to hold."""
_DOUBTFUL: Final = ("?", "¿", "\ufffd")


class Rows(Protocol):
    """What gives the rows of a query: a session."""

    def stream(self, sql: str, at_once: int) -> AbstractContextManager[Iterator[Row]]:
        """Give the rows of a query, `at_once` in a round trip. Raises: OracleError, also while they are taken."""


class TableReading:
    """One reading of one table. Attribute: `raw_columns`, names of text columns that had something else than UTF-8."""

    def __init__(
        self, session: Rows, offered: OfferedTable, scn: str, blobs: BlobSink, watch: Callable[[], None]
    ) -> None:
        """`watch` is called between batches, and may raise."""
        self._session = session
        self._offered = offered
        self._scn = scn
        self._blobs = blobs
        self._watch = watch
        self._readings = offered.readings
        self._lobs = [i for i, reading in enumerate(offered.readings) if reading.lob is not Lob.NONE]
        sizes = [column.bytes_ if column.bytes_ > 0 else _LONG_BYTES for column in offered.source.columns]
        self._rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // max(1, sum(sizes) + 4000 * len(self._lobs))))
        self.raw_columns: set[str] = set()

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole lines. Raises: TableLostError, OracleError, what `watch` raises."""
        lines: list[bytes] = []
        size = 0
        with self._session.stream(self._offered.query(self._scn), self._rows) as rows:
            for batch in self._batches(rows):
                self._watch()
                lines.append(self._encode(batch))
                size += len(lines[-1])
                if size >= _BLOCK_BYTES:
                    yield b"".join(lines)
                    lines, size = [], 0
        if lines:
            yield b"".join(lines)

    def _batches(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) >= self._rows:
                yield batch
                batch = []
        if batch:
            yield batch

    def _encode(self, rows: Sequence[Row]) -> bytes:
        done = [[self._cell(row, i) for i in range(len(self._readings))] for row in rows]
        if all(cell is None or isinstance(cell, bytes) for cells in done for cell in cells):
            return encode_rows(cast(list[list[bytes | None]], done))
        return b"".join([encode_line(cells) + b"\n" for cells in done])

    def _cell(self, row: Row, i: int) -> Cell:
        value: Value = row[i]
        reading = self._readings[i]
        if value is None:
            return None
        name = self._offered.source.columns[i].name
        try:
            if reading.lob is not Lob.NONE:
                short: Value = row[len(self._readings) + self._lobs.index(i)]
                cell = self._fetch(cast(Locator, value), i) if short is None else reading.convert(short)
            else:
                cell = reading.convert(value)
        except (CellError, UnicodeError) as err:
            raise lose_because(
                self._offered.schema.name, f"column {name} has a value that is not spelled as its type is ({_say(err)})"
            ) from err
        if isinstance(cell, bytes) and reading.kind in _TEXTS and not _is_utf8(cell):
            self.raw_columns.add(name)
        return cell

    def _fetch(self, locator: Locator, i: int) -> Cell:
        """Fetch a LOB that did not come with its row; an empty one is not NULL."""
        size = locator.size()
        is_text = self._readings[i].lob is Lob.TEXT
        parts = read_text(locator, size) if is_text else read_bytes(locator, size)
        stream = PartStream(parts, is_text=is_text)
        file = cast(BinaryIO, stream.buffered())
        if size <= MAX_CELL_BYTES:
            raw = file.read()
            return raw if is_text else b"\\x" + raw.hex().encode()
        token = self._blobs.put(file)
        if not stream.is_utf8:
            self.raw_columns.add(self._offered.source.columns[i].name)
        return token


def read_bytes(locator: Locator, size: int) -> Iterator[bytes]:
    """Give the bytes of a LOB in pieces. Raises: CellError if a piece is not as long as it must be."""
    for offset in range(1, size + 1, _PIECE):
        count = min(_PIECE, size + 1 - offset)
        piece = locator.read(offset, count)
        if not isinstance(piece, bytes) or len(piece) != count:
            raise CellError(f"a piece of {len(piece)} bytes where {count} belong")
        yield piece


def read_text(locator: Locator, size: int) -> Iterator[bytes]:
    """Give the UTF-8 of a LOB of `size` UTF-16 units, in pieces that split no character.

    A piece that ends within a surrogate pair cannot be decoded: drivers raise, or put a mark for the half. Either way the
    piece that is one unit shorter ends before the pair.
    Raises: CellError if the pieces are not as long as they must be.
    """
    offset = 1
    while offset <= size:
        count = min(_PIECE, size + 1 - offset)
        text = _read_piece(locator, offset, count, is_last=offset + count > size)
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
        if not 0 < units <= count or units < count - 1:
            raise CellError(f"a piece of {units} units where {count} belong")
        offset += units
        yield text.encode("utf-8", "surrogatepass")


def _read_piece(locator: Locator, offset: int, count: int, *, is_last: bool) -> str:
    try:
        piece = locator.read(offset, count)
    except UnicodeDecodeError:
        if count < 2:
            raise
        piece = locator.read(offset, count - 1)
    else:
        if not is_last and count > 1 and str(piece).endswith(_DOUBTFUL):
            piece = locator.read(offset, count - 1)
    if not isinstance(piece, str):
        raise CellError("bytes where text belongs")
    return piece


def _say(err: Exception) -> str:
    # What a decoding error says holds the cell.
    return str(err) if isinstance(err, CellError) else "it cannot be decoded"


_TEXTS: Final = frozenset({Kind.TEXT, Kind.JSON, Kind.OTHER, Kind.INTERVAL})


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
