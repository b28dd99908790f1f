# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: one exported snapshot of a live database, as tables of canonical lines; nothing is ever written.

`settings` says what may be set, `connect` how sessions are opened, `catalog` what there is, `mapping` and `tables` how
it is offered, `reader`, `copy`, `ranges`, `joined`, `large` and `extras` how it is read, `documents` and `ddl` its DDL, `checks` what may
stand in the way; `view` and `collector` put them behind the protocol of `agent.collectors.base`. `failures` is the only
place that reads the server's errors. The driver, psycopg2, is imported in this package alone.
"""

from agent.collectors.postgresql.collector import PostgresqlCollector
from agent.collectors.postgresql.settings import PostgresqlSettings

__all__ = ["PostgresqlCollector", "PostgresqlSettings"]
