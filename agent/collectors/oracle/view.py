# SPDX-License-Identifier: Apache-2.0
"""One state of an Oracle database, behind the protocol of views.

The state is a system change number, asked for once; every query reads `AS OF` it, from the undo that the server keeps. No
transaction is held and no lock is taken: if the undo is gone (ORA-01555), the reading is given up and says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from agent.collectors.base import BlobSink, Document, Omission, Omissions, Table
from agent.collectors.budget import OLD_VERSIONS, VIEW, Budget
from agent.collectors.naming import check_names
from agent.collectors.oracle.catalog import SourceTable, read_tables
from agent.collectors.oracle.connect import OracleError, Session
from agent.collectors.oracle.failures import is_down, lose, refuse
from agent.collectors.oracle.reading import TableReading
from agent.collectors.oracle.settings import OracleSettings
from agent.collectors.oracle.tables import OfferedTable, offer_table
from agent.errors import SourceError
from evidence.manifest.statement import Consistency
from evidence.rows.schema import RAW_TEXT_NOTE
from terminal.language import Text

SCN_QUERIES: Final = (
    "SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE",
    "SELECT TO_CHAR(DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER) FROM DUAL",
)
"""The one needs a right to V_$DATABASE, the other to execute DBMS_FLASHBACK."""


class OracleView:
    """One state of a database. Not thread-safe; `close` it."""

    consistency: Consistency = Consistency.CONSISTENT
    blocks_writers: bool = False

    def __init__(self, settings: OracleSettings, clock: Callable[[], float]) -> None:
        """Take the system change number and read the dictionary. Raises: SourceError and its kin."""
        self._settings = settings
        self._omissions = Omissions()
        self._raw_columns: dict[str, set[str]] = {}
        self._notes: list[str] = []
        self._ddl: bytes | None = None
        self._reading = "the dictionary"
        self._budget = Budget(clock, settings.snapshot_age_limit_s, what=VIEW, hint=OLD_VERSIONS)
        self._session = Session(settings)
        try:
            self.scn = find_scn(self._session, settings)
            self.position = f"scn {self.scn}"
            sources = read_tables(self._session)
            self._offered = self._offer(sources)
        except OracleError as err:
            self.close()
            raise refuse(str(err), settings) from err
        except BaseException:
            self.close()
            raise

    def tables(self) -> Sequence[Table]:
        """Give the tables; after reading, `not-utf-8` notes stand in the schemas of those that need them."""
        return [self._noted(offered.table()) for offered in self._offered.values()]

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of lines. Raises: TableLostError, SourceDownError, BudgetError."""
        name = table.schema.name
        self._reading = f"table {name}"
        self.attend()
        reading = TableReading(self._session, self._offered[name], self.scn, blobs, self.attend)
        try:
            for block in reading.blocks():
                if reading.raw_columns:
                    self._raw_columns.setdefault(name, set()).update(reading.raw_columns)
                yield block
        except OracleError as err:
            raise lose(str(err), self._settings, name) from err

    def attend(self) -> None:
        """Look at the age of the view. Raises: BudgetError."""
        self._budget.check(self._reading)

    def documents(self) -> Sequence[Document]:
        """Give `ddl.sql`, where the account may see it."""
        if self._ddl is None:
            self._ddl = self._read_ddl()
        return [Document("ddl.sql", self._ddl)] if self._ddl else []

    def omitted(self) -> Sequence[Omission]:
        """Give what cannot be read or was not asked for, with reasons. Views are no data and are not listed."""
        return list(self._omissions.items)

    def notes(self) -> Sequence[str]:
        """Give what a reader of the manifest must know."""
        return [
            f"read from {self._session.title}",
            "Oracle sources have not yet been run against a live server by those who wrote this collector",
            "Oracle keeps no empty text: where an application wrote one, it is NULL here",
            *self._notes,
        ]

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _offer(self, sources: Sequence[SourceTable]) -> dict[str, OfferedTable]:
        offered: list[OfferedTable] = []
        for source in sources:
            outcome = offer_table(source, self._settings)
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
        texts: list[str] = []
        try:
            for offered in self._offered.values():
                texts.append(f"{self._session.read_definition(ddl_query(offered.source))};\n")
        except OracleError as err:
            if is_down(str(err)):
                raise refuse(str(err), self._settings) from err
            self._notes.append(
                "the account may not see how tables are defined (SELECT_CATALOG_ROLE): ddl.sql is missing"
            )
            return b""
        return "".join(texts).encode("utf-8", "surrogatepass")

    def _noted(self, table: Table) -> Table:
        raw = self._raw_columns.get(table.schema.name)
        if not raw:
            return table
        notes = tuple(RAW_TEXT_NOTE + c.name for c in table.schema.columns if c.name in raw)
        return replace(table, schema=replace(table.schema, notes=(*table.schema.notes, *notes)))


def find_scn(session: Session, settings: OracleSettings) -> str:
    """Give the system change number as of which all is read. Raises: SourceError, OracleError if the line broke."""
    for query in SCN_QUERIES:
        try:
            ((scn,),) = session.query(query)
        except OracleError as err:
            if is_down(str(err)):
                raise
            continue
        if isinstance(scn, str) and scn.isascii() and scn.isdigit():
            return scn
    raise SourceError(
        Text(
            zh=f"账户 {settings.user!r} 看不到 {settings.address} 的系统变更号（SCN）",
            en=f"the account {settings.user!r} may not see the system change number of {settings.address}",
        ),
        hint=Text(zh="执行 `jinsuo-agent grants` 打印的语句", en="run what `jinsuo-agent grants` prints"),
    )


def ddl_query(source: SourceTable) -> str:
    """Give the query for a table's definition."""
    name, owner = (text.replace("'", "''") for text in (source.name, source.owner))
    return f"SELECT DBMS_METADATA.GET_DDL('TABLE', '{name}', '{owner}') FROM DUAL"  # noqa: S608 - quotes doubled
