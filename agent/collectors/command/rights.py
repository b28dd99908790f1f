# SPDX-License-Identifier: Apache-2.0
"""What the account of a vendor's dump tool needs, in words for its administrator. Texts only; nothing is run."""

from pathlib import PurePath
from typing import Final

from agent.collectors.command.settings import CommandSettings, Output

_PG: Final = """The database's account reads everything and writes nothing. In the database, as its administrator:
  CREATE ROLE jinsuo_dump LOGIN PASSWORD '...';
  GRANT pg_read_all_data TO jinsuo_dump;          (PostgreSQL 14 or newer; else SELECT on every table and sequence)
Row security: give it BYPASSRLS, or pg_dump refuses the tables that have policies. pg_dumpall reads the roles only as a
superuser (or with --no-role-passwords). Give the password by `env: {PGPASSWORD: secret:NAME}`.
"""
_MYSQL: Final = """The database's account reads everything and writes nothing. As the server's administrator:
  CREATE USER jinsuo_dump@localhost IDENTIFIED BY '...';
  GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, PROCESS ON *.* TO jinsuo_dump@localhost;
Use --single-transaction for one state of InnoDB tables, --routines --triggers --events for what is not rows. Give the
password by an option file that only the agent's account may read (--defaults-extra-file=PATH, the first option).
"""
_ORACLE: Final = """In the database, as its administrator:
  CREATE USER jinsuo_dump IDENTIFIED EXTERNALLY;
  GRANT CREATE SESSION, DATAPUMP_EXP_FULL_DATABASE TO jinsuo_dump;
  GRANT READ, WRITE ON DIRECTORY JINSUO_DUMPS TO jinsuo_dump;
The server writes the file, as its own operating system account, into the folder of that DIRECTORY; the agent's account
must be able to read it there. Log in through a wallet (`expdp /@his`), never with the password in `argv`.
FLASHBACK_TIME=SYSTIMESTAMP makes the dump one state; REUSE_DUMPFILES=Y, or `remove: true`.
"""
_SQLSERVER: Final = """In the database, as its administrator:
  CREATE LOGIN jinsuo_dump WITH PASSWORD = '...';
  USE hospital; CREATE USER jinsuo_dump FOR LOGIN jinsuo_dump; ALTER ROLE db_backupoperator ADD MEMBER jinsuo_dump;
The server's service account writes the file; the agent's account must be able to read it (and to remove it, for
`remove: true`). Give the password by `env: {SQLCMDPASSWORD: secret:NAME}`, or log in as the service account (-E).
sqlcmd needs -b, or it ends as if it had succeeded when BACKUP fails. COPY_ONLY keeps the backups that you have intact.
"""
_MONGO: Final = """In the database, as its administrator:
  use admin
  db.createUser({user: "jinsuo_dump", pwd: passwordPrompt(), roles: ["backup"]})
Give the password by a file that only the agent's account may read (mongodump --config=PATH). --oplog makes the dump of
a replica set one state; without it the collections are of different moments.
"""
_OTHER: Final = """The account that the command logs in with needs to read everything that the dump is to hold, and nothing else.
"""
_KNOWN: Final = {
    "pg_dump": _PG, "pg_dumpall": _PG, "pg_basebackup": _PG, "mysqldump": _MYSQL, "mariadb-dump": _MYSQL,
    "expdp": _ORACLE, "exp": _ORACLE, "sqlcmd": _SQLSERVER, "mongodump": _MONGO,
}  # fmt: skip


def describe_rights(settings: CommandSettings) -> str:
    """Give what the tool's account in the database and the agent's account in the system need."""
    name = PurePath(settings.program).stem.lower()
    lines = [f"The agent's account must be allowed to run {settings.program}; no right of an administrator is needed."]
    if settings.output is Output.FILE and settings.path is not None:
        wish = "read and remove" if settings.remove else "read"
        lines.append(f"It must be able to {wish} {settings.path}, and to list the folder.")
    return "\n".join(lines) + "\n" + _KNOWN.get(name, _OTHER)
