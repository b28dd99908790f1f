# SPDX-License-Identifier: Apache-2.0
"""The collector for one MySQL or MariaDB source: opens views, examines the source, says which rights it needs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.collectors.base import Finding
from agent.collectors.mysql.checks import examine, find_data_folder
from agent.collectors.mysql.grants import write_grants
from agent.collectors.mysql.settings import MysqlSettings
from agent.collectors.mysql.view import MysqlView
from terminal.language import Text


class MysqlCollector:
    """Read one database. Never writes to it. `clock` is monotonic, in seconds."""

    def __init__(self, settings: MysqlSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock

    @contextmanager
    def open_view(self) -> Iterator[MysqlView]:
        """Open one state of the database. Raises: LoginError, SourceDownError, SourceError."""
        view = MysqlView(self._settings, self._clock)
        try:
            yield view
        finally:
            view.close()

    def check(self) -> Sequence[Finding]:
        """Examine server, rights and tables; never raises for what it finds."""
        return examine(self._settings)

    def grants(self) -> Text:
        """Give the SQL that makes the read-only account."""
        return write_grants(self._settings)

    def data_folder(self) -> Path | None:
        """Give the server's data directory; None if it cannot be asked."""
        return find_data_folder(self._settings)
