# SPDX-License-Identifier: Apache-2.0
"""MySQL and MariaDB: one consistent snapshot of a live database, as tables of canonical lines; nothing is ever written.

`settings` says what may be set, `connect` how sessions are opened, `catalog` what there is, `mapping`, `cells` and
`tables` how it is offered, `snapshot` how one state is held, `reading` and `large` how it is read, `sequences` and
`ddl` what stands beside it, `rights`, `checks` and `grants` what may stand in the way; `view` and `collector` put them behind the
protocol of `agent.collectors.base`. `failures` is the only place that reads the server's errors. The driver,
mysqlclient, is imported in this package alone.
"""

from agent.collectors.mysql.collector import MysqlCollector
from agent.collectors.mysql.settings import MysqlSettings

__all__ = ["MysqlCollector", "MysqlSettings"]
