# SPDX-License-Identifier: Apache-2.0
"""One reading of one table, over as many transactions as those who wait for it make necessary.

    lock and compare ─► COPY, watched ─► all rows: done
          ▲                  │ somebody waits for the lock: the session is ended by the lookout, what had come is taken
          └── WHERE key > the last row's ◄──┘

All transactions take the same snapshot over, and each compares the table with it anew, under its lock; so the rows are
those of a reading that nobody disturbed, or the table is lost. Where rows do not come in the order of a key, nobody can
say where to go on: then, or when it had to give way too often, the table is busy, and read again after the others.
Source: decision 0078.
"""

from collections.abc import Callable, Iterator
from typing import Final

from psycopg2.extensions import connection as Connection

from agent.collectors.base import BlobSink
from agent.collectors.lost import busy_because
from agent.collectors.postgresql.connect import use_raw_encoding
from agent.collectors.postgresql.copy import BrokenOffError, CopyStream
from agent.collectors.postgresql.large import MarkedCells, find_raw_columns, keeps_long_cells
from agent.collectors.postgresql.limits import Budget
from agent.collectors.postgresql.lookout import Lookout
from agent.collectors.postgresql.reader import Reader
from agent.collectors.postgresql.tables import OfferedTable

_POLL_S: Final = 1.0


class TableReading:
    """One reading. Attribute: `raw_columns`, names of text columns that had something else than UTF-8."""

    def __init__(
        self, offered: OfferedTable, reader: Reader, holder: Connection, lookout: Lookout, budget: Budget,
        check_still: Callable[[Connection, OfferedTable], None], *, is_raw: bool, most_give_ways: int,
    ) -> None:  # fmt: skip
        """`is_raw`: the database's texts have no encoding and are taken as bytes."""
        self._offered = offered
        self._reader = reader
        self._holder = holder
        self._lookout = lookout
        self._budget = budget
        self._check_still = check_still
        self._is_raw = is_raw
        self._most = most_give_ways
        self._columns = [column.name for column in offered.schema.columns]
        self._last = b""
        self.raw_columns: set[str] = set()

    def blocks(self, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of lines. Raises: TableLostError, TableBusyError, BudgetError, psycopg2.Error."""
        after: list[str] = []
        for _ in range(self._most):
            try:
                yield from self._read_behind(after, blobs)
            except BrokenOffError:
                after = self._find_place(after)
            else:
                return
        raise busy_because(
            self._offered.source.full_name, f"reading gave way {self._most} times to others who waited for it"
        )

    def _find_place(self, after: list[str]) -> list[str]:
        """Give the key of the last row that came. Raises: TableBusyError if reading must begin anew."""
        if not self._last:
            return after
        place = self._offered.locate(self._last)
        if not place:
            raise busy_because(
                self._offered.source.full_name,
                "reading gave way to others who waited for it, and rows without an order cannot be read from the middle",
            )
        return place

    def _read_behind(self, after: list[str], blobs: BlobSink) -> Iterator[bytes]:
        with self._reader.reading() as session:
            self._check_still(session, self._offered)
            cells: MarkedCells | None = None
            if keeps_long_cells(session, self._offered):
                cells = MarkedCells(self._offered, self._holder, blobs, is_raw=self._is_raw)
            if self._is_raw:
                use_raw_encoding(session)
            sql = cells.query(after) if cells is not None else self._offered.query(after=after)
            for block in self._copy(session, sql):
                whole = cells.put_tokens(block) if cells is not None else block
                if self._is_raw:
                    # A database with an encoding gives UTF-8; looking at every byte of it costs a tenth of the reading.
                    self.raw_columns |= find_raw_columns(self._columns, whole)
                if cells is not None:
                    self.raw_columns |= cells.raw_columns
                yield whole

    def _copy(self, session: Connection, sql: str) -> Iterator[bytes]:
        name, pid = self._offered.schema.name, session.info.backend_pid
        with CopyStream(session, f"COPY ({sql}) TO STDOUT") as stream, self._lookout.holding(pid, stream.break_off):
            while True:
                self._budget.check(name)
                self._lookout.check()
                try:
                    block = stream.take(max(0.01, min(_POLL_S, self._budget.left_s())))
                except TimeoutError:
                    continue
                if block is None:
                    return
                self._last = block[block.rfind(b"\n", 0, -1) + 1 : -1]
                yield block
