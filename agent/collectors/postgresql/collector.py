# SPDX-License-Identifier: Apache-2.0
"""The collector for one PostgreSQL source: opens views, examines the source, says which rights it needs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from agent.collectors.base import Finding, Probe
from agent.collectors.postgresql.checks import examine, write_grants
from agent.collectors.postgresql.connect import open_connection, query
from agent.collectors.postgresql.dangers import find_data_folder
from agent.collectors.postgresql.failures import refuse
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.collectors.postgresql.view import PostgresqlView
from terminal.language import Text


class PostgresqlCollector:
    """Read one PostgreSQL database. Never writes to it. `clock` is monotonic, in seconds."""

    def __init__(self, settings: PostgresqlSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock

    @contextmanager
    def open_view(self) -> Iterator[PostgresqlView]:
        """Open one state of the database. Raises: LoginError, SourceDownError, SourceError."""
        view = PostgresqlView(self._settings, self._clock)
        try:
            yield view
        finally:
            view.close()

    @contextmanager
    def open_probe(self) -> Iterator[Probe]:
        """Open a session that asks the server a trifle, outside of any transaction. Raises: as `open_view`."""
        connection = open_connection(self._settings)

        def ask() -> None:
            try:
                query(connection, "SELECT 1")
            except psycopg2.Error as err:
                raise refuse(err, self._settings.address) from err

        try:
            yield ask
        finally:
            connection.close()

    def check(self) -> Sequence[Finding]:
        """Examine server, rights and tables; never raises for what it finds."""
        return examine(self._settings)

    def grants(self) -> Text:
        """Give the SQL that makes the read-only account."""
        return write_grants(self._settings)

    def data_folder(self) -> Path | None:
        """Give the server's data directory, which it tells to members of pg_read_all_settings; None to others."""
        return find_data_folder(self._settings)
