# SPDX-License-Identifier: Apache-2.0
"""Sessions with Oracle: opened by python-oracledb, with what changes texts pinned, answers bounded in time.

Thin, the driver speaks to 12.1 and later by itself. Thick, an Instant Client does, for all of a process or for none of it.
Only SELECT is ever sent, but for settings of the session.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import oracledb

from agent.collectors.oracle.catalog import Row
from agent.collectors.oracle.failures import refuse_connection
from agent.collectors.oracle.settings import OracleSettings

PINNED: Final = (
    "ALTER SESSION SET TIME_ZONE = '+00:00' NLS_NUMERIC_CHARACTERS = '.,' NLS_CALENDAR = 'GREGORIAN' NLS_SORT = BINARY "
    "NLS_COMP = BINARY NLS_LANGUAGE = AMERICAN NLS_TERRITORY = AMERICA",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
)
_TEXT_TYPES: Final = ("DB_TYPE_VARCHAR", "DB_TYPE_CHAR", "DB_TYPE_LONG")
_clients = threading.Lock()


class OracleError(Exception):
    """The server or the driver refused; the words begin with the code."""


class Session:
    """A session. One thread at a time; `close` it."""

    def __init__(self, settings: OracleSettings) -> None:
        """Connect. Raises: SourceError and its kin."""
        try:
            if settings.client is not None:
                # Again and again is allowed, with the same folder.
                with _clients:
                    oracledb.init_oracle_client(lib_dir=str(settings.client))
            self._connection: Any = oracledb.connect(
                user=settings.user,
                password=settings.password,
                host=settings.host,
                port=settings.port,
                service_name=settings.service,
                tcp_connect_timeout=settings.connect_timeout_s,
            )
        except oracledb.Error as err:
            raise refuse_connection(str(err), settings) from err
        self._connection.call_timeout = round(settings.stall_limit_s * 1000)
        self._connection.outputtypehandler = _handle_type
        try:
            for statement in PINNED:
                self._execute(statement).close()
        except OracleError as err:
            self.close()
            raise refuse_connection(str(err), settings) from err

    @property
    def version(self) -> tuple[int, ...]:
        """Give the server's version."""
        return tuple(int(part) for part in str(self._connection.version).split("."))

    @property
    def title(self) -> str:
        """Give product and version, for people."""
        return f"Oracle {self._connection.version}, {'thin' if self._connection.thin else 'thick'} driver"

    def query(self, sql: str) -> list[Row]:
        """Give all rows of a query of bounded size. Raises: OracleError."""
        with self.stream(sql, 500) as rows:
            return list(rows)

    def read_definition(self, sql: str) -> str:
        """Give the text, a LOB, in the one cell that a query gives. Raises: OracleError."""
        cursor = self._execute(sql)
        try:
            return "".join(str(cell.read() if isinstance(cell, oracledb.LOB) else cell) for (cell,) in cursor)
        except oracledb.Error as err:
            raise OracleError(str(err)) from err
        finally:
            with suppress(oracledb.Error):
                cursor.close()

    @contextmanager
    def stream(self, sql: str, at_once: int) -> Iterator[Iterator[Row]]:
        """Give the rows of a query, `at_once` in a round trip. Raises: OracleError, also while they are taken."""
        cursor = self._execute(sql, at_once)
        try:
            yield _take(cursor)
        finally:
            with suppress(oracledb.Error):
                cursor.close()

    def close(self) -> None:
        """End the session."""
        with suppress(oracledb.Error):
            self._connection.close()

    def _execute(self, sql: str, at_once: int = 100) -> Any:
        cursor = self._connection.cursor()
        cursor.arraysize = at_once
        cursor.prefetchrows = at_once + 1
        try:
            cursor.execute(sql)
        except oracledb.Error as err:
            raise OracleError(str(err)) from err
        return cursor


class Lob:
    """A LOB by its locator, good while its row is at hand."""

    def __init__(self, locator: Any) -> None:
        self._locator = locator

    def size(self) -> int:
        """Give its size, in bytes or UTF-16 units. Raises: OracleError."""
        try:
            return int(self._locator.size())
        except oracledb.Error as err:
            raise OracleError(str(err)) from err

    def read(self, offset: int = 1, amount: int | None = None) -> str | bytes:
        """Give a piece. Raises: OracleError, UnicodeDecodeError if a character would be split."""
        try:
            piece: str | bytes = self._locator.read(offset, amount)
        except oracledb.Error as err:
            raise OracleError(str(err)) from err
        return piece


def _take(cursor: Any) -> Iterator[Row]:
    try:
        for row in cursor:
            yield tuple(Lob(cell) if isinstance(cell, oracledb.LOB) else cell for cell in row)
    except oracledb.Error as err:
        raise OracleError(str(err)) from err


def _handle_type(cursor: Any, metadata: Any) -> Any:
    """Keep bytes of texts that are not UTF-8, as surrogates of their own."""
    if metadata.type_code in {getattr(oracledb, name) for name in _TEXT_TYPES}:
        return cursor.var(
            metadata.type_code,
            size=metadata.internal_size or 0,
            arraysize=cursor.arraysize,
            encoding_errors="surrogateescape",
        )
    return None
