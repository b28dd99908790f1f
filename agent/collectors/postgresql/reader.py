# SPDX-License-Identifier: Apache-2.0
"""The sessions that read tables: a transaction per table, each under the snapshot that another session holds.

A table's lock is given back with its transaction, and a table that fails leaves a session that can read the next; if
the session itself is spoilt (a COPY broken off, a line cut), the next table gets a new one. As many are kept for the next
table as one is read by; if the server refuses one of those that are to read beside the first, reading goes on without it, and
this view asks for no more.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.connect import abort, execute, open_connection
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.errors import SourceChangedError, SourceError
from terminal.language import Text

_GONE: Final = frozenset({"22023", "42704", "58P01", "55000"})
"""What SET TRANSACTION SNAPSHOT says if nobody holds the snapshot any more; which of them depends on the version."""


class Reader:
    """Read under snapshot `snapshot`; `close` it. Readings that overlap have a session each.

    Attribute: `most`, by how many sessions a table may be read; fewer than the settings say, if the server refused one.
    """

    def __init__(self, settings: PostgresqlSettings, snapshot: str) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self.most = settings.read_sessions
        self._idle: list[Connection] = []
        self._busy: list[Connection] = []
        self._is_closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a session in a transaction under the snapshot. Raises: SourceError and its kin, psycopg2.Error."""
        with self._reading(self._idle.pop() if self._idle else open_connection(self._settings)) as connection:
            yield connection

    def beside(self, count: int) -> contextlib.AbstractContextManager[Connection] | None:
        """Give what `reading` gives beside `count` sessions that read the same table; None if the server refuses one more."""
        try:
            connection = self._idle.pop() if self._idle else open_connection(self._settings)
        except SourceError:
            # Full, or not for this account: those that there are read the same rows.
            self.most = count
            return None
        return self._reading(connection)

    @contextlib.contextmanager
    def _reading(self, connection: Connection) -> Iterator[Connection]:
        self._busy.append(connection)
        try:
            execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._take_over(connection)
            yield connection
        finally:
            self._busy.remove(connection)
            self._put_back(connection)

    def close(self) -> None:
        """End all sessions; what still reads gets an error, and closes its own."""
        self._is_closed = True
        for connection in self._busy:
            abort(connection)
        while self._idle:
            self._idle.pop().close()

    def _put_back(self, connection: Connection) -> None:
        if self._is_closed:
            # A session may outlive being aborted, if its query had just ended; nobody would close it later.
            connection.close()
            return
        try:
            execute(connection, "ROLLBACK")
        except psycopg2.Error:
            connection.close()
            return
        if len(self._idle) < self.most:
            self._idle.append(connection)
        else:
            connection.close()

    def _take_over(self, connection: Connection) -> None:
        try:
            execute(connection, f"SET TRANSACTION SNAPSHOT '{self._snapshot}'")
        except psycopg2.Error as err:
            if err.pgcode not in _GONE:
                raise
            raise SourceChangedError(
                Text(
                    zh=f"{self._settings.address} 不再持有该快照：{str(err).strip()}",
                    en=f"{self._settings.address} no longer holds the snapshot: {str(err).strip()}",
                ),
                hint=Text(
                    zh="持有它的会话被服务器结束了，原因见服务器日志。请重新读取",
                    en="the server ended the session that held it; its log says why. Read again",
                ),
            ) from err
