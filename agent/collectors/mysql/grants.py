# SPDX-License-Identifier: Apache-2.0
"""The SQL that makes the read-only account of a MySQL or MariaDB source, for an administrator to read and run. Pure."""

from agent.collectors.mysql.catalog import quote
from agent.collectors.mysql.settings import MysqlSettings


def write_grants(settings: MysqlSettings) -> str:
    """Give the SQL for an administrator of the source; password and address are for the person to choose."""
    account = f"{_literal(settings.user)}@'192.0.2.10'"
    # In a GRANT, `_` and `%` in a database's name stand for others.
    database = quote(settings.database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))
    guard = ""
    if settings.lock_guard:
        guard = (
            "-- Only for `lock_guard: true`, which stops all writing for a moment:\n"
            f"GRANT RELOAD ON *.* TO {account};\n"
        )
    return f"""\
-- Run as an administrator. Put the agent's address in place of 192.0.2.10, and a password in place of the dots.
CREATE USER {account} IDENTIFIED BY '...' WITH MAX_USER_CONNECTIONS 8;
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {database}.* TO {account};
-- To see who waits for a table that is being read, so that reading gives way:
GRANT PROCESS ON *.* TO {account};
-- Only on MariaDB with a binary log, and only if ALTER TABLE must be possible at night while a long snapshot is taken: so
-- tables are free again as soon as they are read. It also lets the account purge the binary log, so weigh it.
-- GRANT BINLOG ADMIN ON *.* TO {account};
{guard}-- MariaDB 10.5 and newer (the position of the binary log):
GRANT BINLOG MONITOR ON *.* TO {account};
-- MariaDB, so that ddl.sql has functions and procedures (from 11.3 on: GRANT SHOW CREATE ROUTINE ON {database}.*):
-- GRANT SELECT ON mysql.proc TO {account};
-- MySQL, and MariaDB up to 10.4, in place of BINLOG MONITOR:
-- GRANT REPLICATION CLIENT ON *.* TO {account};
-- MySQL 8.0.20 and newer, so that ddl.sql has functions and procedures:
-- GRANT SHOW_ROUTINE ON *.* TO {account};
"""


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
