# SPDX-License-Identifier: Apache-2.0
"""One reading of one table, over as many transactions as those who wait for it make necessary.

    lock and compare ─► COPY, watched ─► all rows: done
          ▲                  │ somebody waits for the lock: the session is ended by the lookout, what had come is taken
          └── WHERE key > the last row's ◄──┘

All transactions take the same snapshot over, and each compares the table with it anew, under its lock; so the rows are
those of a reading that nobody disturbed, or the table is lost. Where rows do not come in the order of a key, nobody can
say where to go on: then, or when it had to give way too often, the table is busy, and read again after the others.

Several sessions may do that together: each takes the lock and compares, then they COPY ranges of the key, whose rows are
taken in its order. Whoever waits for the table waits for all of them, and all are ended.
Source: decisions 0078, 0082.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.base import BlobSink
from agent.collectors.budget import Budget
from agent.collectors.lost import busy_because
from agent.collectors.postgresql.connect import use_raw_encoding
from agent.collectors.postgresql.copy import BrokenOffError
from agent.collectors.postgresql.joined import JoinedCopies
from agent.collectors.postgresql.large import MarkedCells, find_raw_columns, keeps_long_cells
from agent.collectors.postgresql.lookout import Lookout
from agent.collectors.postgresql.ranges import Ranges
from agent.collectors.postgresql.reader import Reader
from agent.collectors.postgresql.tables import OfferedTable

_POLL_S: Final = 1.0


class TableReading:
    """One reading. Attribute: `raw_columns`, names of text columns that had something else than UTF-8."""

    def __init__(
        self, offered: OfferedTable, reader: Reader, holder: Connection, lookout: Lookout, budget: Budget,
        check_still: Callable[[Connection, OfferedTable], None],
        find_ranges: Callable[[Connection, OfferedTable, int], Ranges],
        heed: Callable[[], None], *, is_raw: bool, most_give_ways: int,
    ) -> None:  # fmt: skip
        """`is_raw`: the database's texts have no encoding and are taken as bytes.

        `heed` is asked while nothing comes.
        """
        self._offered = offered
        self._heed = heed
        self._reader = reader
        self._holder = holder
        self._lookout = lookout
        self._budget = budget
        self._check_still = check_still
        self._find_ranges = find_ranges
        self._is_raw = is_raw
        self._most = most_give_ways
        self._columns = [column.name for column in offered.schema.columns]
        self._ranges: Ranges | None = None
        self._done = 0
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
        with contextlib.ExitStack() as stack:
            session = self._begin(stack, self._reader.reading())
            ranges, first = self._look_for_ranges(session), self._done
            cells: MarkedCells | None = None
            if keeps_long_cells(session, self._offered):
                cells = MarkedCells(self._offered, self._holder, blobs, is_raw=self._is_raw)
            query = cells.query if cells is not None else partial(self._offered.query, None)

            def query_of(number: int) -> str:
                # What is behind the last row that came begins in the first range that is left.
                return f"COPY ({query(after if number == first else (), ranges.condition(number))}) TO STDOUT"

            sessions = min(self._reader.most, len(ranges) - first)
            copies = JoinedCopies(query_of, first, len(ranges), sessions)
            self._let_copy(copies, session, stack)
            if sessions > 1:
                # Its session comes first: where the server grants few, reading can do without a second one, not without this.
                self._lookout.await_look()
            for count in range(1, sessions):
                beside = self._reader.beside(count)
                if beside is None:
                    break
                self._let_copy(copies, self._begin(stack, beside), stack)
            for block in self._take(copies):
                whole = cells.put_tokens(block) if cells is not None else block
                if self._is_raw:
                    # A database with an encoding gives UTF-8; looking at every byte of it costs a tenth of the reading.
                    self.raw_columns |= find_raw_columns(self._columns, whole)
                if cells is not None:
                    self.raw_columns |= cells.raw_columns
                yield whole

    def _begin(self, stack: contextlib.ExitStack, reading: contextlib.AbstractContextManager[Connection]) -> Connection:
        """Let a session hold the table's lock under the snapshot, and give it."""
        session = stack.enter_context(reading)
        self._check_still(session, self._offered)
        if self._is_raw:
            use_raw_encoding(session)
        return session

    def _look_for_ranges(self, session: Connection) -> Ranges:
        """Give where the table is cut, once for the reading. Raises: BrokenOffError if somebody waited for it meanwhile."""
        if self._ranges is not None:
            return self._ranges
        is_given_up = threading.Event()

        def let_go(end_session: Callable[[], object]) -> None:
            is_given_up.set()
            end_session()

        try:
            with self._lookout.holding(session.info.backend_pid, let_go):
                self._ranges = self._find_ranges(session, self._offered, self._reader.most)
        except psycopg2.Error as err:
            if is_given_up.is_set():
                raise BrokenOffError from err
            raise
        return self._ranges

    def _let_copy(self, copies: JoinedCopies, session: Connection, stack: contextlib.ExitStack) -> None:
        # The session is watched before the next one asks for the same lock: somebody may wait for it in between, and then
        # that one waits behind him.
        pid = session.info.backend_pid
        stream = stack.enter_context(copies.add(session))
        stack.enter_context(self._lookout.holding(pid, stream.break_off))

    def _take(self, copies: JoinedCopies) -> Iterator[bytes]:
        while True:
            self._budget.check(f"table {self._offered.schema.name}")
            self._lookout.check()
            try:
                block = copies.take(max(0.01, min(_POLL_S, self._budget.left_s())))
            except TimeoutError:
                self._heed()
                continue
            finally:
                self._done = copies.number
            if block is None:
                return
            self._last = block[block.rfind(b"\n", 0, -1) + 1 : -1]
            yield block
