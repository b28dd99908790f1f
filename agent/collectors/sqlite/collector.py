# SPDX-License-Identifier: Apache-2.0
"""The collector for one SQLite source: opens views, examines the source, says which rights it needs."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from agent.collectors.base import Finding, Probe, Severity
from agent.collectors.bilingual import in_both
from agent.collectors.mounts import read_mounts
from agent.collectors.sqlite.catalog import Catalog, read_catalog
from agent.collectors.sqlite.checks import judge
from agent.collectors.sqlite.opening import Mode, Opened, open_beside, open_read, refuse
from agent.collectors.sqlite.settings import SqliteSettings
from agent.collectors.sqlite.view import SqliteView
from agent.errors import AgentError, SourceChangedError
from terminal.language import Text


class SqliteCollector:
    """Read one SQLite database. Never writes to it, creates nothing beside it. `clock` is monotonic, in seconds."""

    def __init__(self, settings: SqliteSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._open_mode: Mode | None = None

    @contextmanager
    def open_view(self) -> Iterator[SqliteView]:
        """Open one state of the database. Raises: SourceError, SourceDownError, SourceChangedError."""
        opened = open_read(self._settings.path, self._settings.busy_timeout_s)
        self._open_mode = opened.mode
        try:
            catalog = self._read_catalog(opened)
            with closing(SqliteView(opened, catalog, self._settings.snapshot_age_limit_s, self._clock)) as view:
                yield view
        finally:
            opened.close()
            self._open_mode = None

    @contextmanager
    def open_probe(self) -> Iterator[Probe | None]:
        """Open a connection that reads one page, in a transaction of its own each time; None for a file nobody uses."""
        connection = open_beside(self._settings.path, self._open_mode)
        if connection is None:
            yield None
            return

        def ask() -> None:
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.Error as err:
                raise refuse(err, self._settings.path) from err

        with closing(connection):
            yield ask

    def check(self) -> Sequence[Finding]:
        """Examine the file, its mode and its tables; never raises for what it finds."""
        subject = str(self._settings.path)
        try:
            opened = open_read(self._settings.path, min(self._settings.busy_timeout_s, 5.0))
            try:
                catalog = self._read_catalog(opened)
            finally:
                opened.close()
        except SourceChangedError as err:
            again = Text(zh="再检查一次：它正好在此刻被打开", en="examine again: it was opened at this moment")
            return [Finding(Severity.WARN, subject, err.message, again)]
        except AgentError as err:
            return [Finding(Severity.FAIL, subject, err.message, err.remedy)]
        return list(judge(self._settings.path, opened.mode, catalog, read_mounts()))

    def grants(self) -> Text:
        """Give the rights that the agent's account needs."""
        path = self._settings.path
        return in_both(
            f"zh|采集端的账户要能读取 {path}，应用运行时还有 {path}-wal 和\n"
            f"zh|{path}-shm。不需要写的权限，对它们和所在目录都不需要。例如：\n"
            f"en|The agent's account needs to read {path}, and while the application runs also {path}-wal and\n"
            f"en|{path}-shm. It needs no right to write, neither to them nor to their folder. For example:\n"
            f"  setfacl -m u:jinsuo:r {path}\n"
            f"zh|  setfacl -d -m u:jinsuo:r {path.parent}    （应用会重新生成 -wal 和 -shm）\n"
            f"en|  setfacl -d -m u:jinsuo:r {path.parent}    (for -wal and -shm, which the application makes anew)\n"
        )

    def _read_catalog(self, opened: Opened) -> Catalog:
        try:
            catalog = read_catalog(opened.connection, self._settings)
        except sqlite3.Error as err:
            opened.check_still()
            raise refuse(err, opened.path) from err
        opened.check_still()
        return catalog
