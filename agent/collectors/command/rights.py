# SPDX-License-Identifier: Apache-2.0
"""What the account of a vendor's dump tool needs, in words for its administrator. Texts only; nothing is run."""

from pathlib import PurePath
from typing import Final

from agent.collectors.bilingual import in_both
from agent.collectors.command.settings import CommandSettings, Output
from terminal.language import Text

_PG: Final = """\
zh|数据库的账户能读取一切，什么也不能写。以管理员身份在数据库中执行：
en|The database's account reads everything and writes nothing. In the database, as its administrator:
  CREATE ROLE jinsuo_dump LOGIN PASSWORD '...';
zh|  GRANT pg_read_all_data TO jinsuo_dump;          （PostgreSQL 14 或更新；否则对每张表和序列授予 SELECT）
zh|行级安全：授予 BYPASSRLS，否则 pg_dump 拒绝设有策略的表。pg_dumpall 只有以超级用户运行（或加 --no-role-passwords）
zh|才能读取角色。口令由 `env: {PGPASSWORD: secret:NAME}` 给出。
en|  GRANT pg_read_all_data TO jinsuo_dump;          (PostgreSQL 14 or newer; else SELECT on every table and sequence)
en|Row security: give it BYPASSRLS, or pg_dump refuses the tables that have policies. pg_dumpall reads the roles only as a
en|superuser (or with --no-role-passwords). Give the password by `env: {PGPASSWORD: secret:NAME}`.
"""
_MYSQL: Final = """\
zh|数据库的账户能读取一切，什么也不能写。以服务器管理员身份执行：
en|The database's account reads everything and writes nothing. As the server's administrator:
  CREATE USER jinsuo_dump@localhost IDENTIFIED BY '...';
  GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, PROCESS ON *.* TO jinsuo_dump@localhost;
zh|用 --single-transaction 使 InnoDB 各表为同一状态；行以外的用 --routines --triggers --events。口令由只有采集端账户能读的
zh|选项文件给出（--defaults-extra-file=PATH，须为第一个选项）。
en|Use --single-transaction for one state of InnoDB tables, --routines --triggers --events for what is not rows. Give the
en|password by an option file that only the agent's account may read (--defaults-extra-file=PATH, the first option).
"""
_ORACLE: Final = """\
zh|以管理员身份在数据库中执行：
en|In the database, as its administrator:
  CREATE USER jinsuo_dump IDENTIFIED EXTERNALLY;
  GRANT CREATE SESSION, DATAPUMP_EXP_FULL_DATABASE TO jinsuo_dump;
  GRANT READ, WRITE ON DIRECTORY JINSUO_DUMPS TO jinsuo_dump;
zh|文件由服务器以它自己的系统账户写入该 DIRECTORY 的目录；采集端的账户要能在那里读取它。用 wallet 登录
zh|（`expdp /@his`），绝不要把口令写在 `argv` 中。FLASHBACK_TIME=SYSTIMESTAMP 使转储为同一状态；另设
zh|REUSE_DUMPFILES=Y，或 `remove: true`。
en|The server writes the file, as its own operating system account, into the folder of that DIRECTORY; the agent's account
en|must be able to read it there. Log in through a wallet (`expdp /@his`), never with the password in `argv`.
en|FLASHBACK_TIME=SYSTIMESTAMP makes the dump one state; REUSE_DUMPFILES=Y, or `remove: true`.
"""
_SQLSERVER: Final = """\
zh|以管理员身份在数据库中执行：
en|In the database, as its administrator:
  CREATE LOGIN jinsuo_dump WITH PASSWORD = '...';
  USE hospital; CREATE USER jinsuo_dump FOR LOGIN jinsuo_dump; ALTER ROLE db_backupoperator ADD MEMBER jinsuo_dump;
zh|文件由服务器的服务账户写入；采集端的账户要能读取它（设了 `remove: true` 时还要能删除）。口令由
zh|`env: {SQLCMDPASSWORD: secret:NAME}` 给出，或以服务账户登录（-E）。sqlcmd 须加 -b，否则 BACKUP 失败时它仍像成功
zh|一样结束。COPY_ONLY 不影响你们已有的备份。
en|The server's service account writes the file; the agent's account must be able to read it (and to remove it, for
en|`remove: true`). Give the password by `env: {SQLCMDPASSWORD: secret:NAME}`, or log in as the service account (-E).
en|sqlcmd needs -b, or it ends as if it had succeeded when BACKUP fails. COPY_ONLY keeps the backups that you have intact.
"""
_MONGO: Final = """\
zh|以管理员身份在数据库中执行：
en|In the database, as its administrator:
  use admin
  db.createUser({user: "jinsuo_dump", pwd: passwordPrompt(), roles: ["backup"]})
zh|口令由只有采集端账户能读的文件给出（mongodump --config=PATH）。--oplog 使副本集的转储为同一状态；不加它，
zh|各集合是不同时刻的。
en|Give the password by a file that only the agent's account may read (mongodump --config=PATH). --oplog makes the dump of
en|a replica set one state; without it the collections are of different moments.
"""
_OTHER: Final = """\
zh|命令登录所用的账户要能读取转储应含的一切，除此之外不需要别的权限。
en|The account that the command logs in with needs to read everything that the dump is to hold, and nothing else.
"""
_KNOWN: Final = {
    "pg_dump": _PG, "pg_dumpall": _PG, "pg_basebackup": _PG, "mysqldump": _MYSQL, "mariadb-dump": _MYSQL,
    "expdp": _ORACLE, "exp": _ORACLE, "sqlcmd": _SQLSERVER, "mongodump": _MONGO,
}  # fmt: skip


def describe_rights(settings: CommandSettings) -> Text:
    """Give what the tool's account in the database and the agent's account in the system need."""
    name = PurePath(settings.program).stem.lower()
    lines = [
        f"zh|采集端的账户要能运行 {settings.program}；不需要管理员权限。",
        f"en|The agent's account must be allowed to run {settings.program}; no right of an administrator is needed.",
    ]
    if settings.output is Output.FILE and settings.path is not None:
        zh, en = ("读取并删除", "read and remove") if settings.remove else ("读取", "read")
        lines.append(f"zh|它要能{zh} {settings.path}，并能列出该目录。")
        lines.append(f"en|It must be able to {en} {settings.path}, and to list the folder.")
    return in_both("\n".join(lines) + "\n" + _KNOWN.get(name, _OTHER))
