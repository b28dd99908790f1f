# SPDX-License-Identifier: Apache-2.0
"""What `check` examines at a PostgreSQL source, and the SQL that makes its read-only account. Reads only catalogs."""

from collections.abc import Iterator, Sequence
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.base import Finding, Omission, Severity
from agent.collectors.bilingual import in_both
from agent.collectors.naming import check_names
from agent.collectors.postgresql.catalog import Server, quote, read_server, read_tables
from agent.collectors.postgresql.connect import open_connection, query
from agent.collectors.postgresql.dangers import (
    grant_sessions,
    judge_filters,
    judge_free,
    judge_load,
    judge_role,
    judge_sessions,
    judge_standby,
    judge_unlogged,
)
from agent.collectors.postgresql.documents import find_pg_dump
from agent.collectors.postgresql.extras import find_unreadable_objects, list_sequences
from agent.collectors.postgresql.failures import refuse
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.collectors.postgresql.tables import FILTERED, OfferedTable, offer_table
from agent.errors import AgentError
from terminal.language import Text

_SHOWN: Final = 5
_GRANTS: Final = Text("运行 `jinsuo-agent grants` 打印的语句", "run what `jinsuo-agent grants` prints")

_RIGHTS: Final = """
    SELECT r.rolsuper, r.rolreplication OR r.rolcreaterole OR r.rolcreatedb,
           has_database_privilege(current_database(), 'CREATE')
    FROM pg_roles r WHERE r.rolname = current_user"""
_WRITABLE: Final = """
    SELECT count(*), min(c.oid::regclass::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname !~ '^pg_(toast|temp_)' AND has_schema_privilege(n.oid, 'USAGE')
      AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')"""


def examine(settings: PostgresqlSettings) -> list[Finding]:
    """Give what was found; a source that cannot be reached is a finding too."""
    subject = f"{settings.host}:{settings.port}/{settings.database}"
    try:
        connection = open_connection(settings)
    except AgentError as err:
        return [Finding(Severity.FAIL, subject, err.message, err.remedy, code=err.code)]
    findings: list[Finding] = []
    try:
        findings.extend(_examine(connection, settings, subject))
    except psycopg2.Error as err:
        refused = refuse(err, settings.address)
        findings.append(Finding(Severity.FAIL, subject, refused.message, refused.remedy))
    except AgentError as err:
        findings.append(Finding(Severity.FAIL, subject, err.message, err.remedy))
    finally:
        connection.close()
    return findings


def write_grants(settings: PostgresqlSettings) -> Text:
    """Give the SQL for a superuser of the source; the password is for the person to choose."""
    user, database = quote(settings.user), quote(settings.database)
    return in_both(f"""\
zh|-- 以超级用户在数据库 {database} 中执行。PostgreSQL 14 起，第三条语句即可代替其后直到横线的各条：
zh|-- 它也涵盖以后才建的模式和表。
en|-- Run in database {database} as a superuser. From PostgreSQL 14 on, the third statement stands for all that follow it
en|-- down to the line: it covers schemas and tables that do not exist yet.
CREATE ROLE {user} LOGIN PASSWORD '...' CONNECTION LIMIT {grant_sessions(settings)};
GRANT CONNECT ON DATABASE {database} TO {user};
GRANT pg_read_all_data TO {user};

zh|-- PostgreSQL 13 及更早：每个模式都要，且由其中各表的所有者分别执行：
en|-- Up to PostgreSQL 13, for each schema, and as each owner of tables in it:
-- GRANT USAGE ON SCHEMA public TO {user};
-- GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user};
-- GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {user};
-- ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {user};
-- ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO {user};
-------------------------------------------------------------------------------
zh|-- 即使误操作也不会造成损害：
en|-- It can do no harm even by mistake:
ALTER ROLE {user} SET default_transaction_read_only = on;
zh|-- 仅当有表启用了行级安全（否则这些表会被略去）：
en|-- Only if tables have row-level security (they are left out otherwise):
-- ALTER ROLE {user} BYPASSRLS;
zh|-- 仅当服务器与采集端在同一台机器（使 `check` 能比较它与发件箱所在的卷）：
en|-- Only if the server runs on the agent's machine (so that `check` can compare its volume with the spool's):
-- GRANT pg_read_all_settings TO {user};
zh|-- 仅当有大对象（每个都有自己的权限）：
en|-- Only if there are large objects (each has rights of its own):
-- DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP
--   EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', o, {_literal(settings.user)}); END LOOP; END $$;
zh|-- 在 pg_hba.conf 中，写采集端的地址：
en|-- In pg_hba.conf, with the agent's address:
-- hostssl  {database}  {user}  192.0.2.10/32  scram-sha-256
""")  # noqa: S608 - quoted names, for a person to read


def _examine(connection: Connection, settings: PostgresqlSettings, subject: str) -> Iterator[Finding]:
    server = read_server(connection)
    yield _judge_server(server, subject)
    yield from _judge_account(connection, settings, subject)
    yield from judge_role(connection, settings, f"{subject}: {settings.user}")
    yield from judge_standby(connection, settings, server, subject)
    yield from judge_sessions(settings, server, subject)
    yield from judge_free(connection, settings, subject)
    sources = read_tables(connection)
    outcomes = [offer_table(s, settings, server) for s in sources]
    offered = [o for o in outcomes if isinstance(o, OfferedTable)]
    omitted = [o for o in outcomes if isinstance(o, Omission)]
    omitted += check_names(settings.tables, [o.schema.name for o in offered], {s.full_name for s in sources})
    yield from _judge_tables(offered, omitted, subject)
    yield from judge_filters(connection, sources, settings, subject)
    yield from judge_unlogged(offered, subject)
    yield from _judge_sequences(connection, subject)
    if settings.large_objects:
        yield from _judge_objects(connection, subject)
    yield from judge_load(connection, subject)
    yield _judge_pg_dump(settings, server, subject)


def _judge_server(server: Server, subject: str) -> Finding:
    version = f"PostgreSQL {server.version // 10000}.{server.version % 10000}, {server.encoding}"
    if server.is_raw:
        return Finding(
            Severity.WARN, subject,
            Text(f"{version}：文本无编码，按字节保存", f"{version}: texts have no encoding and are kept as bytes"),
        )  # fmt: skip
    role = Text("备库", "a standby") if server.is_standby else Text("主库", "a primary")
    return Finding(Severity.OK, subject, Text(f"{version}，{role.zh}", f"{version}, {role.en}"))


def _judge_account(connection: Connection, settings: PostgresqlSettings, subject: str) -> Iterator[Finding]:
    ((is_super, is_mighty, may_create),) = query(connection, _RIGHTS)
    ((count, first),) = query(connection, _WRITABLE)
    place = f"{subject}: {settings.user}"
    if is_super:
        yield Finding(
            Severity.WARN,
            place,
            Text("账户是超级用户", "the account is a superuser: whoever gets it can do anything"),
            _GRANTS,
        )
    elif count or is_mighty or may_create:
        more = f"{count} tables, such as {first}" if count else "the database"
        more_zh = f" {count} 张表（如 {first}）" if count else "数据库"
        yield Finding(
            Severity.WARN,
            place,
            Text(f"账户可以更改{more_zh}", f"the account can change {more}: it needs only to read"),
            _GRANTS,
        )
    else:
        yield Finding(Severity.OK, place, Text("账户只读", "the account can only read"))


def _judge_tables(offered: Sequence[OfferedTable], omitted: Sequence[Omission], subject: str) -> Iterator[Finding]:
    if not offered:
        yield Finding(
            Severity.FAIL, subject, Text("没有可读的表", "no table is left to read"),
            Text("检查 `include`、`exclude` 和权限", "check `include`, `exclude` and the rights"),
        )  # fmt: skip
    else:
        yield Finding(Severity.OK, subject, Text(f"{len(offered)} 张表", f"{len(offered)} tables"))
    for omission in omitted:
        yield Finding(
            Severity.FAIL if omission.reason == FILTERED else Severity.WARN, f"{subject}: {omission.name}",
            Text(f"不在快照中：{omission.reason}", f"not in the snapshot: {omission.reason}"),
        )  # fmt: skip
    keyless = [o.schema.name for o in offered if not o.schema.key]
    if keyless:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(keyless)} 张表没有主键：{_some(keyless)}",
                 f"{len(keyless)} tables have no key: {_some(keyless)}"),
            Text("由采集端按整行排序；单行不能按主键查找",
                 "the agent sorts them by whole rows; a row cannot be found by a key"),
        )  # fmt: skip
    sorted_here = [o.schema.name for o in offered if o.schema.key and not o.orders]
    if sorted_here:
        yield Finding(
            Severity.OK, subject,
            Text(f"{len(sorted_here)} 张表的主键由采集端排序：{_some(sorted_here)}",
                 f"{len(sorted_here)} tables are sorted by the agent, for the server's order of their key is another: "
                 f"{_some(sorted_here)}"),
            Text("文本主键按字节序（排序规则 C）的除外；排序用临时空间，`jinsuo-agent plan` 会实测",
                 "keys of text need it unless their collation is C; it takes room, which `jinsuo-agent plan` measures"),
        )  # fmt: skip


def _judge_sequences(connection: Connection, subject: str) -> Iterator[Finding]:
    hidden = [s.full_name for s in list_sequences(connection) if not s.is_readable]
    if hidden:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(hidden)} 个序列的当前值不可读：{_some(hidden)}",
                 f"the values of {len(hidden)} sequences cannot be read: {_some(hidden)}"),
            _GRANTS,
        )  # fmt: skip


def _judge_objects(connection: Connection, subject: str) -> Iterator[Finding]:
    count, first = find_unreadable_objects(connection)
    if count:
        yield Finding(
            Severity.WARN, f"{subject}: @large_objects",
            Text(f"{count} 个大对象不可读（如 {first}），整表将被略去",
                 f"{count} large objects cannot be read, such as {first}: the whole table will be left out"),
            _GRANTS,
        )  # fmt: skip


def _judge_pg_dump(settings: PostgresqlSettings, server: Server, subject: str) -> Finding:
    program = find_pg_dump(settings.pg_dump, server.version // 10000)
    if program is None:
        return Finding(
            Severity.WARN, subject,
            Text("没有合适版本的 pg_dump：DDL 由系统目录生成",
                 "no fitting pg_dump: the DDL is written from the catalogs"),
            Text("安装与服务器同版本或更新的 pg_dump", "install pg_dump of the server's version or newer"),
        )  # fmt: skip
    return Finding(Severity.OK, subject, Text(f"DDL 由 {program} 生成", f"the DDL comes from {program}"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
