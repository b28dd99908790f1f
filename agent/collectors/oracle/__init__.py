# SPDX-License-Identifier: Apache-2.0
"""Oracle: one state by its system change number, every query `AS OF SCN`, as tables of canonical lines; never written.

`settings` says what may be set, `connect` how sessions are opened, `catalog` what there is, `mapping` and `tables` how it
is offered, `reading` how it is read, `checks` what may stand in the way; `view` and `collector` put them behind the protocol
of `agent.collectors.base`. `failures` is the only place that reads the server's errors. The driver, python-oracledb, is
imported in `connect` alone.
"""

from agent.collectors.oracle.collector import OracleCollector
from agent.collectors.oracle.settings import OracleSettings

__all__ = ["OracleCollector", "OracleSettings"]
