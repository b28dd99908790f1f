# SPDX-License-Identifier: Apache-2.0
"""One state of a MySQL or MariaDB database, behind the protocol of views.

    1. the watcher reads the catalog and the DDL     3. the watcher reads the catalog again: what differs is tried
    2. the snapshot begins                              anew, and left out if it still differs
    4. each table: lock it, compare it with the catalog once more, read it, give the lock back

Tables of engines without transactions (MyISAM, Aria, MEMORY, CSV …) do not belong to the snapshot: if one is offered,
the view is of class `per-table`, and the notes name them. Between batches the view looks at the clock, for the server
keeps old versions of rows for us; a thread looks whether somebody waits for our lock, and gives way, for behind him all
others queue. Source: lessons.md, "Dangers to the live database"; decisions 0030, 0031, 0078.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import MySQLdb

from agent.collectors.base import BlobSink, Document, Omission, Omissions, Strain, Table, TableSize
from agent.collectors.budget import OLD_VERSIONS, Budget
from agent.collectors.mysql.catalog import SourceTable, read_server, read_tables
from agent.collectors.mysql.connect import Session
from agent.collectors.mysql.ddl import write_ddl
from agent.collectors.mysql.failures import Error, lose, refuse
from agent.collectors.mysql.lookout import Lookout
from agent.collectors.mysql.mapping import keeps_other_text, may_be_long
from agent.collectors.mysql.reading import WHOLE_CELL_BYTES, TableReading
from agent.collectors.mysql.rights import read_rights
from agent.collectors.mysql.sequences import SEQUENCES, list_sequences, read_sequences
from agent.collectors.mysql.settings import MysqlSettings
from agent.collectors.mysql.snapshot import Snapshot
from agent.collectors.mysql.tables import OfferedTable, check_still, offer_table
from agent.collectors.naming import check_names
from agent.errors import SourceChangedError
from evidence.manifest.statement import Consistency
from evidence.rows.names import encode_name
from evidence.rows.schema import RAW_TEXT_NOTE

_ATTEMPTS: Final = 3
_NAMED: Final = 20
"""How many tables a note names."""


class MysqlView:
    """One state of a database. Not thread-safe; `close` it."""

    consistency: Consistency = Consistency.CONSISTENT
    blocks_writers: bool = False

    def __init__(self, settings: MysqlSettings, clock: Callable[[], float]) -> None:
        """Take the snapshot and read the catalog. Raises: SourceError and its kin."""
        self._settings = settings
        self._clock = clock
        self._omissions = Omissions()
        self._raw_columns: dict[str, set[str]] = {}
        self._sequence_lines: bytes | None = None
        self._snapshot: Snapshot | None = None
        self._watcher = Session(settings)
        self._reading = "the first table"
        self._lookout = Lookout(settings, clock)
        try:
            self._begin(self._watcher)
        except MySQLdb.Error as err:
            self.close()
            raise refuse(Error.of(err), settings.address) from err
        except BaseException:
            self.close()
            raise

    def _begin(self, watcher: Session) -> None:
        self._server = read_server(watcher, self._settings.database)
        self._is_whole = read_rights(watcher, self._server).may("SELECT", self._server.database)
        sources, altered = self._take_snapshot(watcher)
        assert self._snapshot is not None
        self._lookout.start(self._snapshot)
        self.position = self._snapshot.position
        self._offered = self._offer(sources, altered)
        self._untransactional = [o.schema.name for o in self._offered.values() if not o.source.is_transactional]
        if self._untransactional:
            self.consistency = Consistency.PER_TABLE
        self._sequences = self._select_sequences(watcher)

    def _take_snapshot(self, watcher: Session) -> tuple[list[SourceTable], set[str]]:
        """Begin the snapshot while nothing is altered; give the tables, and the names of those that were all the same."""
        database = self._server.database
        for attempt in range(1, _ATTEMPTS + 1):
            before = {table.name: table for table in read_tables(watcher, database)}
            self._ddl = write_ddl(watcher, database, list(before.values()))
            self._budget = Budget(self._clock, self._settings.snapshot_age_limit_s, hint=OLD_VERSIONS)
            self._snapshot = Snapshot(self._settings, watcher, self._server)
            after = read_tables(watcher, database)
            altered = {table.name for table in after if not table.is_defined_as(before.get(table.name))}
            altered |= set(before) - {table.name for table in after}
            if not altered or attempt == _ATTEMPTS:
                gone = [table for name, table in before.items() if name not in {t.name for t in after}]
                return [*after, *gone], altered
            self._snapshot.close()
            self._snapshot = None
        raise AssertionError("the last attempt returns")

    def tables(self) -> Sequence[Table]:
        """Give the tables; after reading, `not-utf-8` notes stand in the schemas of those that need them."""
        tables = [offered.table() for offered in self._offered.values()]
        if self._sequences:
            tables.append(Table(SEQUENCES, True, len(self._sequences)))
        return [self._noted(table) for table in tables]

    @property
    def is_copy(self) -> bool:
        """Tell whether a server is read that takes no changes of its own, as replicas are."""
        return self._server.is_read_only

    def sizes(self, is_over: Callable[[], bool]) -> Mapping[str, TableSize]:  # noqa: ARG002 - the catalog was read
        """Give what information_schema says of the data of each table, without secondary indexes."""
        return {
            name: TableSize(offered.source.estimated_rows, offered.source.data_bytes)
            for name, offered in self._offered.items()
        }

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of lines. Raises: TableLostError, SourceDownError, BudgetError, SourceChangedError."""
        name = table.schema.name
        self._reading = f"table {name}"
        self._budget.check(f"table {name}")
        try:
            if name == SEQUENCES.name:
                yield self._read_sequences()
            else:
                yield from self._read_table(self._offered[name], blobs)
        except (MySQLdb.Error, SourceChangedError) as err:
            assert self._snapshot is not None
            # A query that was killed for others says only that.
            self._snapshot.check()
            if isinstance(err, SourceChangedError):
                raise
            raise lose(Error.of(err), self._settings.address, name) from err

    def attend(self) -> None:
        """Look at the snapshot's age, and that somebody looks out for those who wait. Raises: as `read`."""
        self._budget.check(self._reading)
        self._lookout.check()

    def strain(self) -> Strain:
        """Give what waiting this view has caused."""
        return self._lookout.strain

    def documents(self) -> Sequence[Document]:
        """Give `ddl.sql`."""
        return [Document("ddl.sql", self._ddl.body)]

    def omitted(self) -> Sequence[Omission]:
        """Give what cannot be read or was not asked for, with reasons. Views are no data and are not listed."""
        return list(self._omissions.items)

    def notes(self) -> Sequence[str]:
        """Give what a reader of the manifest must know."""
        assert self._snapshot is not None
        notes = [f"read from {self._server.title}", *self._snapshot.notes]
        if self._server.is_read_only:
            notes.append("the server is read_only, as replicas are: it may lag behind, and the position is its own")
        if not self._is_whole:
            notes.append(
                f"the account has no right to SELECT from the whole of database {self._server.database}: tables that "
                "it may not see are missing here, and the server does not tell which"
            )
        if self._untransactional:
            notes.append(
                "not in the snapshot but each read at its own time, for their engines know no transactions: "
                + _name_some(self._untransactional)
            )
        versioned = [o.schema.name for o in self._offered.values() if o.source.type == "SYSTEM VERSIONED"]
        if versioned:
            notes.append(f"without the history of their rows, for they are system-versioned: {_name_some(versioned)}")
        whole = [o.schema.name for o in self._offered.values() if _reads_whole_cells(o)]
        if whole:
            notes.append(
                f"without a key, cells of these tables are read whole, up to {WHOLE_CELL_BYTES >> 20} MiB: "
                + _name_some(whole)
            )
        if any(keeps_other_text(c) for o in self._offered.values() for c in o.source.columns):
            notes.append("texts in other character sets than UTF-8 stand here as the server gives them in UTF-8")
        if self._ddl.note:
            notes.append(self._ddl.note)
        return [" ".join(note.split()) for note in notes]

    def close(self) -> None:
        """End all sessions."""
        self._lookout.close()
        if self._snapshot is not None:
            self._snapshot.close()
        self._watcher.close()

    def _offer(self, sources: Sequence[SourceTable], altered: set[str]) -> dict[str, OfferedTable]:
        offered: list[OfferedTable] = []
        for source in sources:
            outcome = offer_table(source, self._settings)
            if isinstance(outcome, OfferedTable) and source.name in altered:
                outcome = Omission(source.full_name, "it was created, altered or dropped while the snapshot began")
            if isinstance(outcome, Omission):
                self._omissions.add(outcome.name, outcome.reason)
            else:
                offered.append(outcome)
        for omission in check_names(
            self._settings.tables, [o.schema.name for o in offered], {source.full_name for source in sources}
        ):
            self._omissions.add(omission.name, omission.reason)
        return {o.schema.name: o for o in offered}

    def _select_sequences(self, watcher: Session) -> list[str]:
        if self._settings.tables.is_excluded(SEQUENCES.name):
            return []
        database = self._server.database
        names = list_sequences(watcher, database)
        return [name for name in names if self._settings.tables.exclusion_of(encode_name([database, name])) is None]

    def _read_sequences(self) -> bytes:
        # Once, for they go on: the same table read twice gives the same rows.
        if self._sequence_lines is None:
            self._sequence_lines = read_sequences(self._watcher, self._server.database, self._sequences)
        return self._sequence_lines

    def _read_table(self, offered: OfferedTable, blobs: BlobSink) -> Iterator[bytes]:
        assert self._snapshot is not None
        snapshot, name, own = self._snapshot, offered.schema.name, offered.source.name

        def watch() -> None:
            self._budget.check(f"table {name}")
            self._lookout.check()

        watch()
        with snapshot.reading():
            try:
                check_still(snapshot.reader, self._watcher, offered)
                is_dear = not offered.source.is_transactional
                self._lookout.hold(name, own, is_dear=is_dear, is_kept=snapshot.keeps_locks)
                reading = TableReading(offered, snapshot, self._server, blobs, watch)
                for block in reading.blocks():
                    if reading.raw_columns:
                        self._raw_columns.setdefault(name, set()).update(reading.raw_columns)
                    yield block
            finally:
                self._lookout.release()

    def _noted(self, table: Table) -> Table:
        raw = self._raw_columns.get(table.schema.name)
        if not raw:
            return table
        # In the order of the columns, so that the schema does not depend on which row came first.
        notes = tuple(RAW_TEXT_NOTE + c.name for c in table.schema.columns if c.name in raw)
        return replace(table, schema=replace(table.schema, notes=(*table.schema.notes, *notes)))


def _reads_whole_cells(offered: OfferedTable) -> bool:
    return offered.locator is None and any(may_be_long(column) for column in offered.source.columns)


def _name_some(names: Sequence[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_NAMED]) + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")
