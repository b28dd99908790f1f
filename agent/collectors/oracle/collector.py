# SPDX-License-Identifier: Apache-2.0
"""The collector for one Oracle source: opens views, examines the source, says which rights it needs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agent.collectors.base import Finding
from agent.collectors.oracle.checks import examine, write_grants
from agent.collectors.oracle.settings import OracleSettings
from agent.collectors.oracle.view import OracleView
from terminal.language import Text


class OracleCollector:
    """Read one database. Never writes to it. `clock` is monotonic, in seconds."""

    def __init__(self, settings: OracleSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock

    @contextmanager
    def open_view(self) -> Iterator[OracleView]:
        """Open one state of the database. Raises: LoginError, SourceDownError, SourceError."""
        view = OracleView(self._settings, self._clock)
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
