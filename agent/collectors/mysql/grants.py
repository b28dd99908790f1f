# SPDX-License-Identifier: Apache-2.0
"""The SQL that makes the read-only account of a MySQL or MariaDB source, for an administrator to read and run. Pure."""

from agent.collectors.bilingual import in_both
from agent.collectors.mysql.catalog import quote
from agent.collectors.mysql.settings import MysqlSettings
from terminal.language import Text


def write_grants(settings: MysqlSettings) -> Text:
    """Give the SQL for an administrator of the source; password and address are for the person to choose."""
    account = f"{_literal(settings.user)}@'192.0.2.10'"
    # In a GRANT, `_` and `%` in a database's name stand for others.
    database = quote(settings.database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))
    guard = ""
    if settings.lock_guard:
        guard = (
            "zh|-- 仅用于 `lock_guard: true`，它会短暂停写：\n"
            "en|-- Only for `lock_guard: true`, which stops all writing for a moment:\n"
            f"GRANT RELOAD ON *.* TO {account};\n"
        )
    return in_both(f"""\
zh|-- 以管理员身份执行。192.0.2.10 换成采集端的地址，省略号换成口令。
en|-- Run as an administrator. Put the agent's address in place of 192.0.2.10, and a password in place of the dots.
CREATE USER {account} IDENTIFIED BY '...' WITH MAX_USER_CONNECTIONS 8;
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {database}.* TO {account};
zh|-- 用来看谁在等正在读取的表，好让读取让路：
en|-- To see who waits for a table that is being read, so that reading gives way:
GRANT PROCESS ON *.* TO {account};
zh|-- 仅限开启了 binlog 的 MariaDB，且夜间取长快照时必须能做 ALTER TABLE：这样表一读完就放开。
zh|-- 它也使该账户能清除 binlog，请权衡。
en|-- Only on MariaDB with a binary log, and only if ALTER TABLE must be possible at night while a long snapshot is taken: so
en|-- tables are free again as soon as they are read. It also lets the account purge the binary log, so weigh it.
-- GRANT BINLOG ADMIN ON *.* TO {account};
{guard}zh|-- MariaDB 10.5 及更新（binlog 的位置）：
en|-- MariaDB 10.5 and newer (the position of the binary log):
GRANT BINLOG MONITOR ON *.* TO {account};
zh|-- MariaDB，使 ddl.sql 含有函数和存储过程（11.3 起：GRANT SHOW CREATE ROUTINE ON {database}.*）：
en|-- MariaDB, so that ddl.sql has functions and procedures (from 11.3 on: GRANT SHOW CREATE ROUTINE ON {database}.*):
-- GRANT SELECT ON mysql.proc TO {account};
zh|-- MySQL，以及 MariaDB 10.4 及更早，用它代替 BINLOG MONITOR：
en|-- MySQL, and MariaDB up to 10.4, in place of BINLOG MONITOR:
-- GRANT REPLICATION CLIENT ON *.* TO {account};
zh|-- MySQL 8.0.20 及更新，使 ddl.sql 含有函数和存储过程：
en|-- MySQL 8.0.20 and newer, so that ddl.sql has functions and procedures:
-- GRANT SHOW_ROUTINE ON *.* TO {account};
""")


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
