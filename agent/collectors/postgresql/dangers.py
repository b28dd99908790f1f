# SPDX-License-Identifier: Apache-2.0
"""What would end a reading, hide rows from it, or make it a burden: the part of `check` beyond rights and tables.

Reads only catalogs and settings, as an account sees them that may do nothing else; what such an account is not shown is
said to be NOT EXAMINED or told in other units. Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.base import Finding, Severity
from agent.collectors.postgresql.catalog import Server, SourceTable
from agent.collectors.postgresql.connect import open_connection, query
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.collectors.postgresql.tables import OfferedTable
from agent.errors import AgentError
from terminal.language import Text

_SHOWN: Final = 5
_AGED: Final = 1_000_000_000
"""Transactions since the oldest row was frozen: of the 2.1 thousand million that there are."""
_LONG_S: Final = 3600
_MANY_TRANSACTIONS: Final = 1_000_000
_SOON_DAYS: Final = 30
_SESSIONS: Final = 3
"""The holder of the snapshot, pg_dump, the lookout; and each reader and, when it has given way, the next one."""

_SPARE: Final = 3
"""Beside these: `check`, the probe of the throttle, one that has not ended yet."""

_ROLE: Final = """
    SELECT extract(epoch FROM nullif(rolvaliduntil, 'infinity') - now())::int8, rolconnlimit,
           (SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout')
    FROM pg_roles WHERE rolname = current_user"""

_STANDBY: Final = """
    SELECT current_setting('hot_standby_feedback')::bool,
           (SELECT setting::int8 FROM pg_settings WHERE name = 'max_standby_streaming_delay')"""

# Who may not see what others do is shown their sessions without times; transaction numbers are shown to all.
_LOAD: Final = """
    SELECT (SELECT max(age(datfrozenxid)) FROM pg_database),
           (SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::int8 FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
           txid_snapshot_xmax(s) - txid_snapshot_xmin(s)
    FROM txid_current_snapshot() AS s"""

# Other sessions are counted for every account; PostgreSQL 16 keeps some for others once more.
_FREE: Final = """
    SELECT (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int8 ELSE -setting::int8 END) FROM pg_settings
            WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))::int8
           - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())"""

# A view that the account may read over a table that it may not: what it shows is what somebody chose to show.
_VIEWS: Final = """
    SELECT DISTINCT v.oid::regclass::text FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace
    JOIN pg_rewrite r ON r.ev_class = v.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    WHERE v.relkind = 'v' AND d.refobjid = ANY(%s::oid[])
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(v.oid, 'SELECT')
    ORDER BY 1"""


def grant_sessions(settings: PostgresqlSettings) -> int:
    """Give how many sessions the account should be allowed."""
    return _count_sessions(settings.read_sessions) + _SPARE


def judge_role(connection: Connection, settings: PostgresqlSettings, place: str) -> Iterator[Finding]:
    """Examine what the role itself would be refused for: its password's end, sessions, a limit on statements."""
    ((left_s, sessions, statement_ms),) = query(connection, _ROLE)
    if left_s is not None and left_s < _SOON_DAYS * 86_400:
        days = max(0, left_s // 86_400)
        yield Finding(
            Severity.WARN, place,
            Text(f"口令 {days} 天后过期，届时快照会停", f"the password is valid for {days} more days; snapshots stop then"),
            Text("让管理员执行 ALTER ROLE … VALID UNTIL 'infinity'，或按时更换并 `jinsuo-agent secret set`",
                 "let an administrator say ALTER ROLE … VALID UNTIL 'infinity', or change it in time and run "
                 "`jinsuo-agent secret set`"),
        )  # fmt: skip
    needed = _count_sessions(settings.read_sessions)
    if 0 <= sessions < needed:
        limit = f"ALTER ROLE … CONNECTION LIMIT {grant_sessions(settings)}"
        # What reads beside the first may be refused: the others go on without it.
        yield Finding(
            Severity.FAIL if sessions < _count_sessions(1) else Severity.WARN, place,
            Text(f"账户只许 {sessions} 个连接，快照需要 {needed} 个",
                 f"the account may have {sessions} sessions; a snapshot needs {needed}"),
            Text(limit, limit),
        )  # fmt: skip
    if statement_ms and settings.statement_timeout_s is None:
        yield Finding(
            Severity.WARN, place,
            Text(f"statement_timeout 是 {statement_ms / 1000:g} 秒：读得更久的表会缺失",
                 f"statement_timeout is {statement_ms / 1000:g} s: tables that take longer to read will be left out"),
            Text("在 agent.yaml 中设置 statement_timeout，或 ALTER ROLE … SET statement_timeout = 0",
                 "set statement_timeout in agent.yaml, or ALTER ROLE … SET statement_timeout = 0"),
        )  # fmt: skip


def judge_standby(
    connection: Connection, settings: PostgresqlSettings, server: Server, subject: str
) -> Iterator[Finding]:
    """Examine whether a standby would cancel a reading that the primary's vacuum is in the way of."""
    if not server.is_standby:
        return
    ((feeds_back, delay_ms),) = query(connection, _STANDBY)
    if feeds_back or delay_ms < 0 or delay_ms >= settings.snapshot_age_limit_s * 1000:
        said = "hot_standby_feedback = on" if feeds_back else f"max_standby_streaming_delay = {delay_ms} ms"
        yield Finding(Severity.OK, subject, Text(f"备库不会中途取消读取（{said}）",
                                                 f"the standby lets a reading finish ({said})"))  # fmt: skip
        return
    yield Finding(
        Severity.WARN, subject,
        Text(f"备库最多等 {delay_ms / 1000:g} 秒（max_standby_streaming_delay），之后会取消读取",
             f"the standby waits {delay_ms / 1000:g} s (max_standby_streaming_delay) before it cancels a reading"),
        Text("在备库设 hot_standby_feedback = on（主库会为此保留旧版本），或调大该值至 snapshot_age_limit",
             "set hot_standby_feedback = on there (the primary then keeps old versions for it), or raise the delay to "
             "snapshot_age_limit"),
    )  # fmt: skip


def judge_sessions(settings: PostgresqlSettings, server: Server, subject: str) -> Iterator[Finding]:
    """Tell what the settings ask of the server's cores."""
    count = settings.read_sessions
    if count == 1:
        return
    yield Finding(
        Severity.OK if server.is_standby else Severity.WARN, subject,
        Text(f"read_sessions 是 {count}：读大表时同时占这台{'备库' if server.is_standby else '业务服务器'} {count} 个核",
             f"read_sessions is {count}: while a large table is read, {count} cores of this "
             f"{'standby' if server.is_standby else 'live server'} are kept busy at once"),
        "" if server.is_standby else
        Text("仅在核有空闲、且不如此便读不完时使用；否则设为 1",
             "only where cores are idle and it could not be read in time; else set it to 1"),
    )  # fmt: skip


def judge_free(connection: Connection, settings: PostgresqlSettings, subject: str) -> Iterator[Finding]:
    """Examine whether the server has room for our sessions now."""
    ((free,),) = query(connection, _FREE)
    needed = _count_sessions(settings.read_sessions)
    if free < needed:
        yield Finding(
            Severity.WARN, subject,
            Text(f"服务器现在只剩 {free} 个连接，快照需要 {needed} 个",
                 f"the server has room for {free} sessions now; a snapshot needs {needed}"),
            Text("换个时段，或调大服务器的 max_connections", "read at another hour, or raise the server's max_connections"),
        )  # fmt: skip


def judge_filters(
    connection: Connection, sources: Sequence[SourceTable], settings: PostgresqlSettings, subject: str
) -> Iterator[Finding]:
    """Examine whether the account was given views instead of the tables behind them: views are never read."""
    barred = [s.oid for s in sources if not s.is_readable and settings.tables.exclusion_of(s.full_name) is None]
    if not barred:
        return
    views = [name for (name,) in query(connection, _VIEWS, [barred])]
    if views:
        yield Finding(
            Severity.WARN, subject,
            Text(f"账户只能读 {len(views)} 个视图而不能读其后的表：{_some(views)}；视图可能滤掉行，采集端不读视图",
                 f"the account may read {len(views)} views, but not the tables behind them: {_some(views)}; a view may hide "
                 "rows, and is not read"),
            Text("授予表的 SELECT（见 `jinsuo-agent grants`）", "grant SELECT on the tables (see `jinsuo-agent grants`)"),
        )  # fmt: skip


def judge_unlogged(offered: Sequence[OfferedTable], subject: str) -> Iterator[Finding]:
    """Name tables that a crash of the server empties."""
    names = [o.schema.name for o in offered if o.source.is_unlogged]
    if names:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(names)} 张表是 UNLOGGED：{_some(names)}；服务器崩溃后为空，备库上没有它们的行",
                 f"{len(names)} tables are unlogged: {_some(names)}; a crash of the server empties them, and a standby has no "
                 "rows of them"),
            Text("ALTER TABLE … SET LOGGED，或用 exclude 排除", "ALTER TABLE … SET LOGGED, or exclude them"),
        )  # fmt: skip


def judge_load(connection: Connection, subject: str) -> Iterator[Finding]:
    """Examine what keeps vacuum from its work already."""
    ((age, longest, span),) = query(connection, _LOAD)
    if age is not None and age > _AGED:
        yield Finding(
            Severity.WARN, subject,
            Text(f"最老的行已有 {age:,} 个事务未冻结", f"the oldest row was frozen {age:,} transactions ago"),
            Text("先让 VACUUM FREEZE 完成：快照会拖住它", "let VACUUM FREEZE finish first: a snapshot holds it back"),
        )  # fmt: skip
    waits = Text("它同样阻止 VACUUM 清理", "it keeps vacuum waiting as a snapshot does")
    if longest is not None and longest > _LONG_S:
        yield Finding(
            Severity.WARN, subject,
            Text(f"有事务已打开 {longest} 秒", f"somebody's transaction has been open for {longest} s"), waits,
        )  # fmt: skip
    elif span > _MANY_TRANSACTIONS:
        yield Finding(
            Severity.WARN, subject,
            Text(f"有事务打开以来已开始 {span:,} 个事务",
                 f"since somebody's transaction began, {span:,} others have begun"), waits,
        )  # fmt: skip


def find_data_folder(settings: PostgresqlSettings) -> Path | None:
    """Give the data directory, by the server's word; None if it does not say."""
    try:
        connection = open_connection(settings)
    except AgentError:
        return None  # `examine` tells why
    try:
        # A setting that an account may not see is no row here, where SHOW would be an error.
        rows = query(connection, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    except psycopg2.Error:
        return None
    finally:
        connection.close()
    return Path(rows[0][0]) if rows and rows[0][0] else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _count_sessions(read_sessions: int) -> int:
    """Give how many sessions a snapshot has at the same moment, at most."""
    return _SESSIONS + 2 * read_sessions
