# SPDX-License-Identifier: Apache-2.0
"""Microsoft SQL Server: one state by SNAPSHOT isolation, read over ODBC as any other database (`agent.collectors.odbc`).

`settings` says what may be set, `dialect` what there is to say about the server; `collector` puts them together.
"""

from agent.collectors.sqlserver.collector import SqlserverCollector
from agent.collectors.sqlserver.dialect import SQLSERVER
from agent.collectors.sqlserver.settings import SqlserverSettings

__all__ = ["SQLSERVER", "SqlserverCollector", "SqlserverSettings"]
