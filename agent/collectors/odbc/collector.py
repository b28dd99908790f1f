# SPDX-License-Identifier: Apache-2.0
"""The collector for one source over ODBC: opens views, examines the source, says which rights it needs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agent.collectors.base import Finding
from agent.collectors.odbc.checks import examine, write_grants
from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.dialects import DIALECTS
from agent.collectors.odbc.settings import OdbcSettings
from agent.collectors.odbc.view import OdbcView
from terminal.language import Text


class OdbcCollector:
    """Read one database over ODBC. Never writes to it. `clock` is monotonic, in seconds."""

    def __init__(
        self, settings: OdbcSettings, dialect: Dialect | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`dialect` None: the one that the settings name."""
        self._settings = settings
        self._dialect = dialect or DIALECTS[settings.dialect]
        self._clock = clock

    @contextmanager
    def open_view(self) -> Iterator[OdbcView]:
        """Open one state of the database. Raises: LoginError, SourceDownError, DriverError, SourceError."""
        view = OdbcView(self._settings, self._dialect, self._clock)
        try:
            yield view
        finally:
            view.close()

    def check(self) -> Sequence[Finding]:
        """Examine driver, server, rights and tables; never raises for what it finds."""
        return examine(self._settings, self._dialect)

    def grants(self) -> Text:
        """Give the SQL that makes the read-only account."""
        return write_grants(self._settings, self._dialect)
