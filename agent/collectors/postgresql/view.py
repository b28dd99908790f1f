# SPDX-License-Identifier: Apache-2.0
"""One state of a PostgreSQL database, behind the protocol of views.

Three sessions, or more if the settings let several read a large table side by side:

    holder    exported the snapshot and holds it; looks at catalogs and slices of large cells, and keeps no lock of a table
    reader    takes the snapshot over anew for every table: BEGIN, SET TRANSACTION SNAPSHOT, check, COPY, COMMIT
    lookout   sees who waits for what the reader (or pg_dump) has locked, and lets go of it

So a lock lasts as long as the reading of its table, or until somebody else wants it, and a table that fails takes nothing
with it. Between blocks the view looks at the clock, for the snapshot keeps the cluster's vacuum waiting.
Source: lessons.md, "Dangers to the live database"; decisions 0011, 0078.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.base import BlobSink, Document, Omission, Omissions, Strain, Table, TableSize, go_on
from agent.collectors.budget import Budget
from agent.collectors.naming import check_names
from agent.collectors.postgresql import extras
from agent.collectors.postgresql.catalog import RelationKind, SourceTable, list_unreadable, read_server, read_tables
from agent.collectors.postgresql.connect import execute, open_connection, query
from agent.collectors.postgresql.documents import Ddl, DdlReader
from agent.collectors.postgresql.failures import lose, refuse
from agent.collectors.postgresql.large import aside
from agent.collectors.postgresql.lookout import Lookout
from agent.collectors.postgresql.ranges import find_ranges
from agent.collectors.postgresql.reader import Reader
from agent.collectors.postgresql.reading import TableReading
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.collectors.postgresql.tables import OfferedTable, check_still, dates_fit, offer_table
from agent.errors import TableLostError
from evidence.manifest.statement import Consistency
from evidence.rows.schema import RAW_TEXT_NOTE
from terminal.language import Text

# The snapshot is taken before the position is read: all that it shows was written before that position.
_NO_VACUUM: Final = Text(
    zh="在空闲时段读取，或读备库，或调大 snapshot_age_limit：这段时间里 vacuum 清理不了任何东西",
    en="read at a quieter hour or from a standby, or raise snapshot_age_limit: vacuum cleans nothing up for so long",
)
_EXPORT: Final = """
    SELECT pg_export_snapshot(),
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"""


class PostgresqlView:
    """One state of a PostgreSQL database. Not thread-safe; `close` it."""

    consistency: Consistency = Consistency.CONSISTENT
    blocks_writers: bool = False

    def __init__(self, settings: PostgresqlSettings, clock: Callable[[], float]) -> None:
        """Take the snapshot and read the catalogs. Raises: SourceError and its kin."""
        self._settings = settings
        self._clock = clock
        self._omissions = Omissions()
        self._raw_columns: dict[str, set[str]] = {}
        self._reader: Reader | None = None
        self._ddl: DdlReader | None = None
        self._documents: Ddl | None = None
        self._sequence_lines: bytes | None = None
        self._tables: list[Table] | None = None
        self._lookout: Lookout | None = None
        self._lock_wait_s = 0.0
        self._reading = "the first table"
        self.heed: Callable[[], None] = go_on
        self._holder = open_connection(settings)
        try:
            self._begin(self._holder)
        except psycopg2.Error as err:
            self.close()
            raise refuse(err, settings.address) from err
        except BaseException:
            self.close()
            raise

    def _begin(self, holder: Connection) -> None:
        settings = self._settings
        execute(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._budget = Budget(self._clock, settings.snapshot_age_limit_s, hint=_NO_VACUUM)
        ((snapshot, lsn),) = query(holder, _EXPORT)
        self.position = f"pg {lsn}" if lsn else "-"
        self._reader = Reader(settings, snapshot)
        with aside(holder):
            self._read_catalogs(holder, snapshot)

    def _read_catalogs(self, holder: Connection, snapshot: str) -> None:
        settings = self._settings
        self._server = read_server(holder)
        self._ddl = DdlReader(settings, snapshot, list_unreadable(holder))
        self._lookout = Lookout(settings, self._clock, self._ddl)
        self._lookout.start()
        self._ddl.start(self._server)
        sources = read_tables(holder)
        self._offered = self._offer(sources)
        self._sequences = self._select_sequences(sources)
        wants_objects = settings.large_objects and not settings.tables.is_excluded(extras.LARGE_OBJECTS.name)
        self._has_objects = wants_objects and extras.count_large_objects(holder) > 0
        self._unread_views = 0 if settings.materialized_views else _count_views(sources)

    def tables(self) -> Sequence[Table]:
        """Give the tables; after reading, `not-utf-8` notes stand in the schemas of those that need them."""
        if self._tables is None:
            self._tables = [offered.table(self._fits(offered)) for offered in self._offered.values()]
            if self._sequences:
                self._tables.append(Table(extras.SEQUENCES, True, len(self._sequences)))
            if self._has_objects:
                self._tables.append(Table(extras.LARGE_OBJECTS, True))
        return [self._noted(table) for table in self._tables] if self._raw_columns else self._tables

    @property
    def is_copy(self) -> bool:
        """Tell whether a standby is read."""
        return self._server.is_standby

    def sizes(self, is_over: Callable[[], bool]) -> Mapping[str, TableSize]:  # noqa: ARG002 - one query, bounded itself
        """Give what rows and out-of-line values take, without indexes; nothing where somebody holds a table's lock."""
        assert self._reader is not None
        oids = [oid for offered in self._offered.values() for oid in offered.source.storage.oids]
        try:
            # In the reader's session: a refusal there leaves the snapshot alive.
            with self._reader.reading() as session:
                rows = query(session, "SELECT o::int8, pg_table_size(o) FROM unnest(%s::oid[]) AS u(o)", [oids])
        except psycopg2.Error as err:
            if not isinstance(lose(err, self._settings.address, "-"), TableLostError):
                raise refuse(err, self._settings.address) from err
            rows = []
        known = {oid: size for oid, size in rows if size is not None}
        return {
            name: TableSize(
                offered.source.estimated_rows,
                sum(known[oid] for oid in offered.source.storage.oids) if known.keys() >= set(offered.source.storage.oids)
                else None,
            )
            for name, offered in self._offered.items()
        }  # fmt: skip

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of lines. Raises: TableLostError, SourceDownError, BudgetError, SourceChangedError."""
        name = table.schema.name
        self._reading = f"table {name}"
        self._budget.check(f"table {name}")
        try:
            if name == extras.SEQUENCES.name:
                yield self._read_sequences()
            elif name == extras.LARGE_OBJECTS.name:
                for block in extras.read_large_objects(self._holder, blobs):
                    self._budget.check(f"table {name}")
                    yield block
            else:
                yield from self._read_table(self._offered[name], blobs)
        except psycopg2.Error as err:
            raise lose(err, self._settings.address, name) from err

    def attend(self) -> None:
        """Look at the snapshot's age, and that somebody looks out for those who wait. Raises: as `read`."""
        self._budget.check(self._reading)
        if self._lookout is not None:
            self._lookout.check()

    def strain(self) -> Strain:
        """Give what waiting this view has caused and suffered."""
        seen = Strain() if self._lookout is None else self._lookout.strain
        refused = 0 if self._reader is None else self._settings.read_sessions - self._reader.most
        return replace(seen, lock_wait_s=self._lock_wait_s, refused_sessions=refused)

    def documents(self) -> Sequence[Document]:
        """Give `ddl.sql`. Raises: SourceError and its kin."""
        if self._documents is None:
            assert self._ddl is not None
            assert self._lookout is not None
            try:
                left_s = max(10.0, self._budget.left_s())
                self._documents = self._ddl.finish(self._holder, left_s, self._lookout, self.heed)
            except psycopg2.Error as err:
                raise refuse(err, self._settings.address) from err
        return [Document("ddl.sql", self._documents.body)]

    def omitted(self) -> Sequence[Omission]:
        """Give what cannot be read or was not asked for, with reasons. Plain views are no data and are not listed."""
        return list(self._omissions.items)

    def notes(self) -> Sequence[str]:
        """Give what a reader of the manifest must know."""
        notes = []
        if self._server.is_raw:
            notes.append("the database's encoding is SQL_ASCII: it keeps texts as the bytes that it was given")
        elif not self._server.keeps_utf8:
            notes.append(
                f"the database's encoding is {self._server.encoding}; texts stand here as it gives them in UTF-8"
            )
        if self._server.is_standby:
            notes.append("read from a standby")
        if self._unread_views:
            notes.append(f"{self._unread_views} materialized views were not read: they can be filled from the tables")
        if self._documents is not None and self._documents.note:
            notes.append(self._documents.note)
        return notes

    def close(self) -> None:
        """End all sessions and pg_dump."""
        if self._lookout is not None:
            self._lookout.close()
        if self._ddl is not None:
            self._ddl.stop()
        if self._reader is not None:
            self._reader.close()
        self._holder.close()

    def _offer(self, sources: Sequence[SourceTable]) -> dict[str, OfferedTable]:
        offered: list[OfferedTable] = []
        for source in sources:
            if source.kind is RelationKind.MATERIALIZED_VIEW and not self._settings.materialized_views:
                continue
            outcome = offer_table(source, self._settings, self._server)
            if isinstance(outcome, Omission):
                self._omissions.add(outcome.name, outcome.reason)
            else:
                offered.append(outcome)
        for omission in check_names(
            self._settings.tables, [o.schema.name for o in offered], {source.full_name for source in sources}
        ):
            self._omissions.add(omission.name, omission.reason)
        return {o.schema.name: o for o in offered}

    def _select_sequences(self, sources: Sequence[SourceTable]) -> list[extras.Sequence]:
        """Give the sequences of tables that are wanted, and those of no table that are."""
        if self._settings.tables.is_excluded(extras.SEQUENCES.name):
            return []
        owners = {source.oid: source.full_name for source in sources}
        return [
            sequence
            for sequence in extras.list_sequences(self._holder)
            if self._settings.tables.exclusion_of(owners.get(sequence.owner or 0, sequence.full_name)) is None
        ]

    def _read_sequences(self) -> bytes:
        # Once, for they go on: the same table read twice gives the same rows.
        if self._sequence_lines is None:
            self._sequence_lines = extras.read_sequences(self._holder, self._sequences)
        return self._sequence_lines

    def _fits(self, offered: OfferedTable) -> bool:
        """Tell whether the dates of the key allow the server's order; if that cannot be known, reading will say why."""
        if not (offered.orders and offered.dated):
            return True
        assert self._reader is not None
        assert self._lookout is not None
        gave_way = threading.Event()

        def let_go(end_session: Callable[[], object]) -> None:
            gave_way.set()
            end_session()

        try:
            with self._reader.reading() as session:
                self._check_still(session, offered)
                # Without an index that begins with it, the server reads the whole table for a date.
                with self._lookout.holding(session.info.backend_pid, let_go):
                    return dates_fit(session, offered)
        except TableLostError:
            return False
        except psycopg2.Error as err:
            meaning = lose(err, self._settings.address, offered.schema.name)
            if gave_way.is_set() or isinstance(meaning, TableLostError):
                return False
            raise meaning from err

    def _read_table(self, offered: OfferedTable, blobs: BlobSink) -> Iterator[bytes]:
        assert self._reader is not None
        assert self._lookout is not None
        reading = TableReading(
            offered, self._reader, self._holder, self._lookout, self._budget, self._check_still, find_ranges, self.heed,
            is_raw=self._server.is_raw, most_give_ways=self._settings.most_give_ways,
        )  # fmt: skip
        for block in reading.blocks(blobs):
            self._note_raw(offered.schema.name, reading.raw_columns)
            yield block

    def _check_still(self, session: Connection, offered: OfferedTable) -> None:
        """Take the lock of a table, and see that it is the one that was offered."""
        began = self._clock()
        try:
            check_still(session, offered)
        finally:
            self._lock_wait_s = max(self._lock_wait_s, self._clock() - began)

    def _note_raw(self, name: str, columns: set[str]) -> None:
        if columns:
            self._raw_columns.setdefault(name, set()).update(columns)

    def _noted(self, table: Table) -> Table:
        raw = self._raw_columns.get(table.schema.name)
        if not raw:
            return table
        # In the order of the columns, so that the schema does not depend on which row came first.
        notes = tuple(RAW_TEXT_NOTE + c.name for c in table.schema.columns if c.name in raw)
        return replace(table, schema=replace(table.schema, notes=(*table.schema.notes, *notes)))


def _count_views(sources: Sequence[SourceTable]) -> int:
    return sum(source.kind is RelationKind.MATERIALIZED_VIEW for source in sources)
