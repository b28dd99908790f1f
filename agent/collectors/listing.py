# SPDX-License-Identifier: Apache-2.0
"""Which kinds of sources and dialects there are, what each needs, whether that is here, and against what each has been run.

The one place that says so: `jinsuo-agent sources` prints it, and a test compares the documents with it. Looks for modules
without importing them; asks the driver manager for its drivers in a process of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, get_args

from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.dialects import DIALECTS
from agent.collectors.odbc.process import DriverProcess, StatementError
from agent.collectors.sqlserver.dialect import SQLSERVER
from agent.errors import DriverError
from agent.settings.sources import AnySource
from terminal.language import Text

NOT_YET: Final = "not yet run against a live server"

_PYODBC: Final = "jinsuo[odbc]"


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source, or a dialect of kind `odbc`. `seen`: against which server it has been run, None: none yet."""

    kind: str
    dialect: str | None
    title: Text
    needs: Text
    is_installed: bool
    seen: str | None

    @property
    def verdict(self) -> str:
        """Give what is said of it in English, everywhere in the same words."""
        return f"yes ({self.seen})" if self.seen else NOT_YET


Drivers = Callable[[], Sequence[str] | None]
"""Give the names of the ODBC drivers that are installed; None: there is no driver manager, or no pyodbc."""


def _plain(name: str) -> Text:
    """Give a name that is the same in both languages."""
    return Text(zh=name, en=name)


_NATIVE: Final = (
    ("postgresql", _plain("PostgreSQL 12+"), "jinsuo[postgresql]", "psycopg2", "PostgreSQL 15"),
    ("mysql", _plain("MySQL, MariaDB"), "jinsuo[mysql]", "MySQLdb", "MariaDB 10.11"),
    ("sqlite", _plain("SQLite"), "", "sqlite3", "SQLite 3.40"),
    (
        "oracle",
        Text("Oracle 12.1+；11g 用 Instant Client", "Oracle 12.1+; 11g by an Instant Client"),
        "jinsuo[oracle]",
        "oracledb",
        None,
    ),
    ("files", Text("文件", "files"), "", "", "Linux"),
    ("command", Text("转储命令", "dump commands"), "", "", "Linux, pg_dump 15"),
)


def list_sources(drivers: Drivers, has_module: Callable[[str], bool] | None = None) -> list[SourceKind]:
    """Give all kinds of sources that settings may name, then the dialects of kind `odbc`."""
    has = has_module or (lambda name: find_spec(name) is not None)
    known = {get_args(model.model_fields["kind"].annotation)[0] for model in get_args(AnySource)}
    found = drivers()
    kinds = [
        SourceKind(kind, None, title, _plain(needs), not module or has(module), seen)
        for kind, title, needs, module, seen in _NATIVE
        if kind in known
    ]
    kinds.append(_describe(SQLSERVER, "sqlserver", None, found))
    kinds += [_describe(dialect, "odbc", name, found) for name, dialect in DIALECTS.items()]
    return kinds


def find_drivers() -> Sequence[str] | None:
    """Ask the driver manager; None if it or pyodbc is not there."""
    try:
        process = DriverProcess("the driver manager", 30, lambda: None)
    except DriverError:
        return None
    try:
        return [str(name) for name in process.ask(b"D")["drivers"]]
    except (StatementError, DriverError):
        return None
    finally:
        process.close()


def _describe(dialect: Dialect, kind: str, name: str | None, drivers: Sequence[str] | None) -> SourceKind:
    is_there = drivers is not None and any(dialect.driver.lower() in driver.lower() for driver in (*drivers, ""))
    needs = Text(zh=f"{_PYODBC}、{dialect.needs.zh}", en=f"{_PYODBC}, {dialect.needs.en}")
    return SourceKind(kind, name, dialect.title, needs, is_there, dialect.seen)
