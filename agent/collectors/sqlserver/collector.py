# SPDX-License-Identifier: Apache-2.0
"""The collector for one SQL Server source: that of ODBC, with SQL Server's dialect."""

import time
from collections.abc import Callable

from agent.collectors.odbc import OdbcCollector
from agent.collectors.sqlserver.dialect import SQLSERVER
from agent.collectors.sqlserver.settings import SqlserverSettings


class SqlserverCollector(OdbcCollector):
    """Read one database of SQL Server. Never writes to it. `clock` is monotonic, in seconds."""

    def __init__(self, settings: SqlserverSettings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings.over_odbc(), SQLSERVER, clock)
