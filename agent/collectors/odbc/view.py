# SPDX-License-Identifier: Apache-2.0
"""One state of a database that is read over ODBC, as far as its dialect can hold one, behind the protocol of views.

    1. connect, pin what changes texts, ask the requirements     3. the position, the catalog
    2. begin what the dialect calls one state                    4. each table: its rows; give its lock back; is it still
                                                                    what the catalog said?
All tables are read by one session, for ODBC has no way to hand a state from session to session. The driver lives in a
process of its own; if that dies, the state is gone with it, and so is the view. Source: decisions 0038 and 0039.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from agent.collectors.base import BlobSink, Document, Omission, Omissions, Table, go_on
from agent.collectors.budget import OLD_VERSIONS, VIEW, Budget
from agent.collectors.lost import lose_because
from agent.collectors.naming import check_names
from agent.collectors.odbc.catalog import SourceTable, read_tables
from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.failures import is_down, lose, refuse
from agent.collectors.odbc.limits import Patience
from agent.collectors.odbc.process import StatementError
from agent.collectors.odbc.reading import WHOLE_ROW, TableReading
from agent.collectors.odbc.session import Session
from agent.collectors.odbc.settings import OdbcSettings
from agent.collectors.odbc.tables import OfferedTable, offer_table
from agent.errors import DriverError, SourceError
from evidence.manifest.statement import Consistency
from evidence.rows.schema import RAW_TEXT_NOTE
from terminal.language import Text

_NAMED: Final = 20
"""How many tables a note names."""
_ORDER: Final = (Consistency.CONSISTENT, Consistency.PER_TABLE, Consistency.LIVE)


class OdbcView:
    """One state of a database. Not thread-safe; `close` it."""

    blocks_writers: bool = False

    def __init__(self, settings: OdbcSettings, dialect: Dialect, clock: Callable[[], float]) -> None:
        """Begin, and read the catalog. Raises: SourceError and its kin."""
        self._settings = settings
        self._dialect = dialect
        self._omissions = Omissions()
        self._raw_columns: dict[str, set[str]] = {}
        self._notes: list[str] = []
        self._ddl: bytes | None = None
        self._what = "the catalog"
        self._budget = Budget(clock, settings.snapshot_age_limit_s, what=VIEW, hint=OLD_VERSIONS)
        self._patience: Patience | None = None
        self.heed: Callable[[], None] = go_on
        self._session = Session(settings, dialect, self._wait)
        try:
            self._begin(clock)
        except StatementError as err:
            self.close()
            raise refuse(err, settings) from err
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Session:
        """Open a session beside the one that reads."""
        return Session(self._settings, self._dialect, lambda: self._budget.check(self._what))

    def _begin(self, clock: Callable[[], float]) -> None:
        dialect, session = self._dialect, self._session
        self.consistency, begins = meet_requirements(session, dialect, self._settings)
        session.begin(begins, is_whole=dialect.begins_itself)
        for statement in dialect.first:
            session.execute(statement)
        self.position = self._find_position()
        if dialect.session_id is not None and dialect.waiting is not None:
            own = session.query(dialect.session_id)[0][0] or ""
            self._patience = Patience(dialect, own, self._connect, clock, self._settings.give_way_after_s)
        self._sources = read_tables(session, dialect)
        self._offered = self._offer(self._sources)
        self._loose = [o.schema.name for o in self._offered.values() if not o.source.is_transactional]
        if self._loose and self.consistency is Consistency.CONSISTENT:
            self.consistency = Consistency.PER_TABLE

    def tables(self) -> Sequence[Table]:
        """Give the tables; after reading, `not-utf-8` notes stand in the schemas of those that need them."""
        return [self._noted(offered.table()) for offered in self._offered.values()]

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of lines. Raises: TableLostError, SourceDownError, BudgetError, DriverError."""
        name = table.schema.name
        self._what = name
        offered = self._offered[name]
        self._watch()
        try:
            with self._around():
                reading = TableReading(self._session, offered, blobs, self._watch)
                for block in reading.blocks():
                    if reading.raw_columns:
                        self._raw_columns.setdefault(name, set()).update(reading.raw_columns)
                    yield block
                self._check_still(offered)
                if reading.raw_columns:
                    self._raw_columns.setdefault(name, set()).update(reading.raw_columns)
        except StatementError as err:
            raise lose(err, self._settings, name) from err

    def attend(self) -> None:
        """Look at the age of the view, and at who waits for its locks. Raises: as `read`."""
        self._watch()

    def documents(self) -> Sequence[Document]:
        """Give `catalog.json`, the catalog as it was read, and `ddl.sql` where the server writes it."""
        documents = [Document("catalog.json", _describe(self._sources))]
        if self._ddl is None:
            self._ddl = self._read_ddl()
        return [*documents, Document("ddl.sql", self._ddl)] if self._ddl else documents

    def omitted(self) -> Sequence[Omission]:
        """Give what cannot be read or was not asked for, with reasons. Views are no data and are not listed."""
        return list(self._omissions.items)

    def notes(self) -> Sequence[str]:
        """Give what a reader of the manifest must know."""
        notes = [f"read from {self._session.server} over ODBC by {self._session.driver}, dialect {self._dialect.name}"]
        if self._dialect.seen is None:
            notes.append(
                f"the dialect {self._dialect.name} has not yet been run against a live server by those who wrote it"
            )
        if self._loose and self.consistency is Consistency.PER_TABLE:
            notes.append(
                f"not in the snapshot but each read at its own time, for they know no transactions: {_name_some(self._loose)}"
            )
        whole = [
            o.schema.name for o in self._offered.values() if o.locator is None and any(c.is_long for c in o.columns)
        ]
        if whole:
            notes.append(
                f"without a key, long cells of a row of these tables are read whole, up to {WHOLE_ROW >> 20} Mi bytes or "
                f"characters: {_name_some(whole)}"
            )
        return [" ".join(note.split()) for note in (*notes, *self._dialect.notes, *self._notes)]

    def close(self) -> None:
        """End the sessions and their processes."""
        self._session.close()
        if self._patience is not None:
            self._patience.close()

    def _watch(self) -> None:
        """Look at the clock and at who waits: between batches, and while the driver works."""
        self._budget.check(self._what)
        if self._patience is not None:
            self._patience.check(self._what)

    def _wait(self) -> None:
        """Look around while the driver works."""
        self._watch()
        self.heed()

    @contextmanager
    def _around(self) -> Iterator[None]:
        """Give the locks of what is read inside back, where the dialect can."""
        if self._dialect.around is None:
            yield
            return
        before, after = self._dialect.around
        self._session.execute(before)
        try:
            yield
        except BaseException:
            # Whatever it was is what matters; a session that is over holds no lock.
            with suppress(StatementError, DriverError):
                self._session.execute(after)
            raise
        self._session.execute(after)

    def _check_still(self, offered: OfferedTable) -> None:
        """Make sure, under the lock that reading took, that the table's storage is that of the catalog."""
        if self._dialect.fingerprint is None:
            return
        found = self._session.query(offered.source.fill(self._dialect.fingerprint, self._dialect))[0][0]
        if found != offered.source.fingerprint:
            raise lose_because(offered.schema.name, "it was truncated, rewritten or replaced after the snapshot began")

    def _find_position(self) -> str:
        if self._dialect.position is None:
            return "-"
        word, query = self._dialect.position
        try:
            rows = self._session.query(query)
        except StatementError as err:
            if is_down(err):
                raise
            self._notes.append("the account may not see the position of the log")
            return "-"
        parts = [cell.strip() for cell in rows[0] if cell and cell.strip()] if rows else []
        if not parts or len(parts) != len(rows[0]) or any(not part.isprintable() or " " in part for part in parts):
            return "-"
        return f"{word} {':'.join(parts)}"

    def _offer(self, sources: Sequence[SourceTable]) -> dict[str, OfferedTable]:
        offered: list[OfferedTable] = []
        for source in sources:
            outcome = offer_table(source, self._settings, self._dialect)
            if isinstance(outcome, Omission):
                self._omissions.add(outcome.name, outcome.reason)
            else:
                offered.append(outcome)
        for omission in check_names(
            self._settings.tables, [o.schema.name for o in offered], {source.full_name for source in sources}
        ):
            self._omissions.add(omission.name, omission.reason)
        return {o.schema.name: o for o in offered}

    def _read_ddl(self) -> bytes:
        dialect = self._dialect
        texts: list[str] = []
        try:
            if dialect.ddl_whole is not None:
                texts += [row[-1] or "" for row in self._session.query(dialect.ddl_whole)]
            if dialect.ddl is not None:
                for offered in self._offered.values():
                    rows = self._session.query(offered.source.fill(dialect.ddl, dialect))
                    texts += [f"{row[-1] or ''};" for row in rows]
        except StatementError as err:
            if is_down(err):
                raise refuse(err, self._settings) from err
            self._notes.append(
                "the account may not see how tables are defined: ddl.sql is missing, catalog.json is there"
            )
            return b""
        return "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogatepass")

    def _noted(self, table: Table) -> Table:
        raw = self._raw_columns.get(table.schema.name)
        if not raw:
            return table
        # In the order of the columns, so that the schema does not depend on which row came first.
        notes = tuple(RAW_TEXT_NOTE + c.name for c in table.schema.columns if c.name in raw)
        return replace(table, schema=replace(table.schema, notes=(*table.schema.notes, *notes)))


def meet_requirements(session: Session, dialect: Dialect, settings: OdbcSettings) -> tuple[Consistency, Sequence[str]]:
    """Give the class of consistency that there is, and what begins it. Raises: SourceError, StatementError."""
    consistency, begins = dialect.consistency, dialect.begins
    for requirement in dialect.requirements:
        rows = session.query(requirement.query)
        found = rows[0][0] if rows else None
        if found in requirement.values:
            continue
        instead = requirement.instead
        if instead is None or _ORDER.index(settings.accepts) < _ORDER.index(instead[0]):
            message = Text(
                zh=f"{settings.address}：{requirement.message.zh}（得到 {found!r}）",
                en=f"{settings.address}: {requirement.message.en} (found {found!r})",
            )
            raise SourceError(message, hint=requirement.hint)
        consistency, begins = instead
    return consistency, begins


def _describe(sources: Sequence[SourceTable]) -> bytes:
    described = [
        {
            "schema": s.schema, "name": s.name, "key": list(s.key), "obstacle": s.obstacle,
            "columns": [
                {"name": c.name, "type": c.type, "declared": c.declared, "octets": c.octets, "scale": c.scale,
                 "null": c.is_null, "generated": c.is_generated, "comment": c.comment}
                for c in s.columns
            ],
        }
        for s in sources
    ]  # fmt: skip
    return json.dumps(described, ensure_ascii=True, indent=1).encode() + b"\n"


def _name_some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
