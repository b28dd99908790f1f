# SPDX-License-Identifier: Apache-2.0
"""SQLite: one read transaction over a live database file, as tables of canonical lines; the file is never written.

`settings` says what may be set, `opening` how a file is opened without harm, `catalog` what tables there are,
`lines` how a row becomes a line, `view` and `collector` put them behind the protocol of `agent.collectors.base`.
"""

from agent.collectors.sqlite.collector import SqliteCollector
from agent.collectors.sqlite.settings import SqliteSettings

__all__ = ["SqliteCollector", "SqliteSettings"]
