# SPDX-License-Identifier: Apache-2.0
"""Any database with an ODBC driver: read through text that the server makes, in a process that may die alone.

`settings` says what may be set, `dialect` what there is to say about a database and `dialects` says it; `child` is the
process with the driver, `process` and `session` this end of it; `catalog` and `tables` what there is and how it is
offered, `cells`, `reading` and `large` how it is read, `limits` what protects the server, `checks` what may stand in the
way; `view` and `collector` put them behind the protocol of `agent.collectors.base`. `failures` is the only place that
reads the driver's errors. The driver manager's module, pyodbc, is imported in `child` alone.
"""

from agent.collectors.odbc.collector import OdbcCollector
from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.settings import OdbcSettings

__all__ = ["Dialect", "OdbcCollector", "OdbcSettings"]
