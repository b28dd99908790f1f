# SPDX-License-Identifier: Apache-2.0
"""One state of a SQLite database, behind the protocol of views. Does I/O; asks a monotonic clock for its age.

Rows come as the rowid or key index gives them. No value longer than `MAX_INLINE_BYTES` is ever loaded whole where it
can be avoided: the connection's length limit stops the query at such a row, the row is then read cell by cell
(typeof() and incremental blob I/O touch no overflow pages), large cells go to the sink as streams, and the query goes
on behind the row. Where that is not possible (WITHOUT ROWID, shadowed rowids, UTF-16, generated columns), cells are
loaded whole, one row at a time.
"""

import codecs
import io
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO, Final, cast

from agent.collectors.base import BlobSink, Document, Omission, Table, TableSize
from agent.collectors.budget import Budget
from agent.collectors.sqlite.catalog import Catalog, SourceTable, quote
from agent.collectors.sqlite.lines import LineWriter, MistypedError, Row, Value
from agent.collectors.sqlite.opening import Mode, Opened, is_too_big, lose
from agent.errors import AgentError, TableLostError
from evidence.manifest.statement import Consistency
from evidence.rows.schema import RAW_TEXT_NOTE
from evidence.rows.values import Kind
from terminal.language import Text

MAX_INLINE_BYTES: Final = 1 << 20
"""Cells up to this size stand on the line in full; not less than the design's 65,536, over which all are tokened."""

_PART_BYTES: Final = 256 << 10
_BLOCK_BYTES: Final = 1 << 20
_NO_CHECKPOINT: Final = Text(
    zh="在空闲时段读取，或调大 snapshot_age_limit（这段时间里检查点要等待）",
    en="read at a quieter hour, or raise snapshot_age_limit (checkpoints wait so long)",
)
_TRANSACTION: Final = Text(zh="读事务", en="read transaction")
_UNLIMITED: Final = 0x7FFFFFFF
_STEPS: Final = 10_000
"""Of SQLite's machine, between two looks at the clock."""


class SqliteView:
    """One state of a SQLite database. Not thread-safe; may be handed from thread to thread."""

    consistency: Consistency = Consistency.CONSISTENT
    # PRAGMA data_version and the header's change counter mean nothing outside a connection, or not in WAL mode.
    position: str = "-"
    is_copy: bool = False

    def __init__(self, opened: Opened, catalog: Catalog, limit_s: float, clock: Callable[[], float]) -> None:
        self.blocks_writers = opened.mode is Mode.ROLLBACK
        self._opened = opened
        self._catalog = catalog
        self._budget = Budget(clock, limit_s, what=_TRANSACTION, hint=_NO_CHECKPOINT)
        self._raw_columns: dict[str, set[str]] = {}
        self._readers: list[_Reader] = []
        self._reading = "the first table"

    def close(self) -> None:
        """End every reading, also one that was broken off and is still referenced (by a traceback, say).

        A statement that is not reset keeps the read lock although its connection is closed, and the application out.
        """
        for reader in self._readers:
            reader.close()

    def tables(self) -> Sequence[Table]:
        """Give the tables; after reading, `not-utf-8` notes stand in the schemas of those that need them."""
        return [self._noted(source.table) for source in self._catalog.tables]

    def sizes(self, is_over: Callable[[], bool]) -> Mapping[str, TableSize]:
        """Give the pages of each table, by walking all pages (`dbstat`), where SQLite has that and time allows."""
        tables = self._catalog.tables
        pages: dict[str, int] = {}
        connection = self._opened.connection
        connection.set_progress_handler(is_over, _STEPS)
        try:
            rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat('main') GROUP BY name").fetchall()
            pages = {bytes(name).decode("utf-8", "replace"): size for name, size in rows}
        except sqlite3.Error:
            pages = {}  # not compiled in, cut short, or a damaged page: reading will say
        finally:
            connection.set_progress_handler(None, 0)
        return {s.table.schema.name: TableSize(s.table.estimated_rows, pages.get(s.name)) for s in tables}

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of lines. Raises: TableLostError, SourceDownError, SourceChangedError, BudgetError."""
        source = next(s for s in self._catalog.tables if s.table.schema.name == table.schema.name)
        self._reading = f"table {table.schema.name}"
        reader = _Reader(self._opened.connection, source, blobs, self._catalog.is_utf8)
        self._readers.append(reader)
        try:
            yield from self._blocks(reader, source)
        except sqlite3.Error as err:
            # A database that changed under an idle read looks damaged; what it is, is changed.
            self._opened.check_still()
            raise self._lose(err, source) from err
        except MistypedError as err:
            raise _mistyped(err, source) from err
        self._opened.check_still()

    def attend(self) -> None:
        """Look at the transaction's age. Raises: BudgetError."""
        self._budget.check(self._reading)

    def documents(self) -> Sequence[Document]:
        """Give `ddl.sql`, and `sequences.sql` where AUTOINCREMENT is used."""
        return self._catalog.documents

    def omitted(self) -> Sequence[Omission]:
        """Give virtual, shadow, excluded and unreadable tables."""
        return self._catalog.omitted

    def notes(self) -> Sequence[str]:
        """Give what a reader of the manifest must know."""
        return self._catalog.notes

    def _blocks(self, reader: "_Reader", source: SourceTable) -> Iterator[bytes]:
        name = source.table.schema.name
        block: list[bytes] = []
        size = 0
        self._budget.check(f"table {name}")
        for chunk in reader.chunks():
            self._budget.check(f"table {name}")
            if not chunk.isascii() and not _is_utf8(chunk):
                self._find_raw(source, chunk)
            block.append(chunk)
            size += len(chunk)
            if size >= _BLOCK_BYTES:
                yield b"".join(block)
                block, size = [], 0
        if reader.raw_columns:
            self._raw_columns.setdefault(name, set()).update(reader.raw_columns)
        if block:
            yield b"".join(block)

    def _find_raw(self, source: SourceTable, chunk: bytes) -> None:
        """Remember which columns of a chunk have texts that are not UTF-8."""
        found = self._raw_columns.setdefault(source.table.schema.name, set())
        for line in chunk.split(b"\n"):
            if not _is_utf8(line):
                found.update(c for c, f in zip(source.columns, line.split(b"\t"), strict=False) if not _is_utf8(f))

    def _noted(self, table: Table) -> Table:
        raw = self._raw_columns.get(table.schema.name)
        if not raw:
            return table
        # In the order of the columns, so that the schema does not depend on which row came first.
        notes = tuple(RAW_TEXT_NOTE + c.name for c in table.schema.columns if c.name in raw)
        return replace(table, schema=replace(table.schema, notes=(*table.schema.notes, *notes)))

    def _lose(self, err: sqlite3.Error, source: SourceTable) -> AgentError:
        return lose(err, self._opened.path, source.table.schema.name)


class _Reader:
    """Read the rows of one table as chunks of lines, once."""

    def __init__(self, connection: sqlite3.Connection, source: SourceTable, blobs: BlobSink, is_utf8: bool) -> None:
        self._connection = connection
        self._source = source
        self._blobs = blobs
        self._streams = source.rowid is not None and is_utf8
        kinds = [c.kind for c in source.table.schema.columns]
        self._writer = LineWriter(kinds, extra=int(source.hidden_rowid))
        self._kinds = kinds
        self.raw_columns: set[str] = set()
        self._cursor = connection.cursor()

    def close(self) -> None:
        """Let go of the rows."""
        self._cursor.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield lines, some hundred at a time. Raises: sqlite3.Error, MistypedError."""
        rows = self._rows()
        while chunk := self._writer.write(rows):
            yield chunk

    def _rows(self) -> Iterator[Row]:
        if not self._streams:
            yield from self._cursor.execute(self._source.select())
            return
        last: Row | None = None
        while True:
            cursor = self._cursor = self._connection.cursor()
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_INLINE_BYTES)
            try:
                for row in cursor.execute(self._source.select(self._behind(last)), self._place(last)):
                    last = row
                    yield row
                return
            except sqlite3.DataError as err:
                # The module steps one row ahead, so the row after `last` may be lost with the error: go on from `last`.
                if not is_too_big(err):
                    raise
            finally:
                # A run that was broken off has closed the connection before this generator is collected.
                with suppress(sqlite3.ProgrammingError):
                    cursor.close()
                    self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _UNLIMITED)
            last = self._read_cells(last)
            yield last

    def _behind(self, last: Row | None) -> str:
        """Give the condition for the rows behind `last`."""
        if last is None:
            return ""
        places = ["CAST(? AS TEXT)" if type(v) is bytearray else "?" for v in self._place(last)]
        return f"WHERE ({', '.join(self._source.order)}) > ({', '.join(places)})"

    def _place(self, last: Row | None) -> Row:
        """Give the values of `last` that the rows are ordered by."""
        return () if last is None else tuple(last[i] for i in self._source.order_places)

    def _read_cells(self, last: Row | None) -> Row:
        """Read the row behind `last` cell by cell, large ones into the sink."""
        source = self._source
        types = ", ".join(f"typeof({quote(c)})" for c in source.columns)
        query = source.select(self._behind(last), f"{source.rowid}, {types}") + " LIMIT 1"
        rowid, *found = self._connection.execute(query, self._place(last)).fetchone()
        cells = [self._read_cell(i, rowid, bytes(kind)) for i, kind in enumerate(found)]
        return (*cells, rowid) if source.hidden_rowid else tuple(cells)

    def _read_cell(self, i: int, rowid: int, kind: bytes) -> Value:
        source, column = self._source, self._source.columns[i]
        if kind not in (b"text", b"blob") or not source.plain[i]:
            query = source.select(f"WHERE {source.rowid} = ?", quote(column))
            cell: Value = self._connection.execute(query, (rowid,)).fetchone()[0]
            return cell
        with self._connection.blobopen(source.name, column, rowid, readonly=True) as blob:
            if len(blob) <= MAX_INLINE_BYTES:
                raw = blob.read()
                return bytearray(raw) if kind == b"text" else raw
            stream = _CellStream(blob, is_text=kind == b"text")
            # A buffered reader has all of BinaryIO but `mode` and `name`, which no sink asks for.
            token = self._blobs.put(cast(BinaryIO, io.BufferedReader(stream, _PART_BYTES)))
        if not stream.is_utf8:
            self.raw_columns.add(column)
        prefix = kind[:1] + b":" if self._kinds[i] is Kind.ANY else b""
        return replace(token, prefix=prefix)


class _CellStream(io.RawIOBase):
    """The bytes of a large cell; tells afterwards whether a text was UTF-8."""

    def __init__(self, blob: sqlite3.Blob, *, is_text: bool) -> None:
        super().__init__()
        self._blob = blob
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self.is_utf8 = True

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # narrower than Buffer
        """Fill `buffer`; 0 at the end."""
        part = self._blob.read(len(buffer))
        buffer[: len(part)] = part
        if self._decoder is not None:
            try:
                self._decoder.decode(part, final=not part)
            except UnicodeDecodeError:
                self.is_utf8, self._decoder = False, None
        return len(part)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _mistyped(err: MistypedError, source: SourceTable) -> TableLostError:
    column = source.columns[err.column]
    return TableLostError(
        Text(
            zh=f"STRICT 表 {source.table.schema.name} 已损坏：列 {column!r} 的类型另有规定，却出现 {err}",
            en=f"STRICT table {source.table.schema.name} is damaged: its {err} where {column!r} has another type",
        ),
        hint=Text(
            zh="运行 `PRAGMA integrity_check`，并恢复应用最近一份完好的副本",
            en="run `PRAGMA integrity_check` and restore the application's last good copy",
        ),
        reason=f"damaged: a value in column {column} is not of the column's type",
    )
