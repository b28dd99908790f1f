# SPDX-License-Identifier: Apache-2.0
"""What `check` examines at a MySQL or MariaDB source. Reads no rows."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import MySQLdb

from agent.collectors.base import Finding, Omission, Severity
from agent.collectors.mysql.catalog import Server, read_server, read_tables
from agent.collectors.mysql.connect import Session, text_of
from agent.collectors.mysql.failures import Error, refuse
from agent.collectors.mysql.mapping import keeps_other_text
from agent.collectors.mysql.rights import Rights, read_rights
from agent.collectors.mysql.settings import MysqlSettings
from agent.collectors.mysql.tables import OfferedTable, offer_table
from agent.collectors.naming import check_names
from agent.errors import AgentError
from terminal.language import Text

_SHOWN: Final = 5
_GRANTS: Final = Text("运行 `jinsuo-agent grants` 打印的语句", "run what `jinsuo-agent grants` prints")
_EXPIRES: Final = re.compile(r"PASSWORD EXPIRE (?:INTERVAL (\d+) DAY|NEVER)")
_LONG_S: Final = 3600
_BUSY_HISTORY: Final = 1_000_000
"""Old versions of rows that InnoDB has still to clean up: a snapshot adds to them."""


def examine(settings: MysqlSettings) -> list[Finding]:
    """Give what was found; a source that cannot be reached is a finding too."""
    subject = f"{settings.host}:{settings.port}/{settings.database}"
    try:
        session = Session(settings)
    except AgentError as err:
        return [_fail(subject, err)]
    findings: list[Finding] = []
    try:
        findings.extend(_examine(session, settings, subject))
    except MySQLdb.Error as err:
        findings.append(_fail(subject, refuse(Error.of(err), settings.address)))
    except AgentError as err:
        findings.append(_fail(subject, err))
    finally:
        session.close()
    return findings


def find_data_folder(settings: MysqlSettings) -> Path | None:
    """Give the data directory, by the server's word; None if it cannot be asked."""
    try:
        session = Session(settings)
    except AgentError:
        return None  # `examine` tells why
    try:
        ((folder,),) = session.query("SELECT @@datadir")
    except MySQLdb.Error:
        return None
    finally:
        session.close()
    return Path(text_of(folder))


def _examine(session: Session, settings: MysqlSettings, subject: str) -> Iterator[Finding]:
    server = read_server(session, settings.database)
    yield _judge_server(server, subject)
    yield from _judge_account(read_rights(session, server), settings, server, subject)
    yield from _judge_password(session, f"{subject}: {settings.user}")
    sources = read_tables(session, server.database)
    outcomes = [offer_table(source, settings) for source in sources]
    offered = [o for o in outcomes if isinstance(o, OfferedTable)]
    omitted = [o for o in outcomes if isinstance(o, Omission)]
    omitted += check_names(settings.tables, [o.schema.name for o in offered], {source.full_name for source in sources})
    yield from _judge_tables(offered, omitted, subject)
    yield from _judge_engines(offered, subject)
    yield from _judge_texts(offered, subject)
    yield from _judge_narrow(offered, subject)
    yield from _judge_binlog(session, server, subject)
    yield from _judge_load(session, subject)


def _judge_server(server: Server, subject: str) -> Finding:
    names = (
        Text("表名区分大小写", "names of tables differ by case"),
        Text("表名存为小写", "names of tables are kept in lower case"),
        Text("表名不区分大小写", "names of tables do not differ by case"),
    )[min(server.lower_case_names, 2)]
    role = Text("，只读（备库？）", ", read_only (a replica?)") if server.is_read_only else Text("", "")
    return Finding(
        Severity.OK, subject,
        Text(f"{server.title}{role.zh}，{server.database_charset}，{names.zh}"
             f"（lower_case_table_names={server.lower_case_names}）",
             f"{server.title}{role.en}, {server.database_charset}, {names.en} "
             f"(lower_case_table_names={server.lower_case_names})"),
    )  # fmt: skip


def _judge_account(rights: Rights, settings: MysqlSettings, server: Server, subject: str) -> Iterator[Finding]:
    place = f"{subject}: {settings.user}"
    if not rights.may("SELECT", server.database):
        yield Finding(
            Severity.FAIL, place,
            Text(f"账户没有整个数据库 {server.database} 的 SELECT 权限：看不见的表会缺失，而服务器不会说明",
                 f"the account has no right to SELECT from the whole of {server.database}: tables that it may not see "
                 "would be missing, and the server does not tell which"),
            _GRANTS,
        )  # fmt: skip
    changing = rights.changing(server.database)
    if changing:
        yield Finding(
            Severity.WARN, place,
            Text(f"账户可以更改数据（{_some(changing)}）",
                 f"the account can change something ({_some(changing)}): it needs only to read"),
            _GRANTS,
        )  # fmt: skip
    else:
        yield Finding(Severity.OK, place, Text("账户只读", "the account can only read"))
    if not rights.may_globally("PROCESS"):
        yield Finding(
            Severity.WARN, place,
            Text("没有 PROCESS 权限：看不到谁在等我们正在读的表，因此无法让开",
                 "without the right PROCESS nobody can see who waits for a table that is being read: reading cannot give way"),
            _GRANTS,
        )  # fmt: skip
    lacking = [right for right in ("SHOW VIEW", "TRIGGER", "EVENT") if not rights.may(right, server.database)]
    if lacking:
        yield Finding(
            Severity.WARN, place,
            Text(f"ddl.sql 将不完整：缺少权限 {', '.join(lacking)}",
                 f"ddl.sql will lack something: the account has no right {', '.join(lacking)}"),
            _GRANTS,
        )  # fmt: skip
    monitors = ("REPLICATION CLIENT", "BINLOG MONITOR", "SUPER")
    if server.has_binlog and not server.is_mariadb and not rights.may_globally(*monitors):
        yield Finding(
            Severity.WARN, place,
            Text("账户看不到二进制日志的位置", "the account may not see the position of the binary log"), _GRANTS,
        )  # fmt: skip
    if settings.lock_guard and not rights.may_globally("RELOAD"):
        yield Finding(
            Severity.FAIL, place,
            Text("lock_guard 需要 RELOAD 权限", "lock_guard needs the right RELOAD"), _GRANTS,
        )  # fmt: skip


def _judge_password(session: Session, place: str) -> Iterator[Finding]:
    days = _find_lifetime(session)
    if days:
        yield Finding(
            Severity.WARN, place,
            Text(f"口令每 {days} 天过期，届时快照会停", f"the password expires every {days} days, and snapshots stop then"),
            Text("让管理员执行 ALTER USER … PASSWORD EXPIRE NEVER，或按时更换并 `jinsuo-agent secret set`",
                 "let an administrator say ALTER USER … PASSWORD EXPIRE NEVER, or change it in time and run "
                 "`jinsuo-agent secret set`"),
        )  # fmt: skip


def _find_lifetime(session: Session) -> int:
    """Give after how many days the account's password expires; 0: never, or the server does not say."""
    try:
        ((said, *_),) = session.query("SHOW CREATE USER CURRENT_USER()")
        ((default,),) = session.query("SELECT @@default_password_lifetime")
    except MySQLdb.Error as err:
        if Error.of(err).is_down:
            raise
        return 0
    own = _EXPIRES.search(text_of(said))
    if own is None:
        return int(default or 0)
    return int(own[1] or 0)


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
            Severity.WARN, f"{subject}: {omission.name}",
            Text(f"不在快照中：{omission.reason}", f"not in the snapshot: {omission.reason}"),
        )  # fmt: skip
    keyless = [o.schema.name for o in offered if not o.schema.key]
    if keyless:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(keyless)} 张表没有主键：{_some(keyless)}",
                 f"{len(keyless)} tables have no key: {_some(keyless)}"),
            Text("按整行排序；单行不能按主键查找", "they are ordered by whole rows; a row cannot be found by a key"),
        )  # fmt: skip
    sorted_here = [o.schema.name for o in offered if o.schema.key and not o.orders]
    if sorted_here:
        yield Finding(
            Severity.OK, subject,
            Text(f"{len(sorted_here)} 张表的主键由采集端排序：{_some(sorted_here)}",
                 f"{len(sorted_here)} tables are sorted by the agent, for the server's order of their key is another: "
                 f"{_some(sorted_here)}"),
        )  # fmt: skip


def _judge_engines(offered: Sequence[OfferedTable], subject: str) -> Iterator[Finding]:
    others = [f"{o.schema.name} ({o.source.engine})" for o in offered if not o.source.is_transactional]
    if others:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(others)} 张表的引擎不支持事务：{_some(others)}；快照的一致性为 per-table",
                 f"{len(others)} tables are of engines without transactions: {_some(others)}; the snapshot is consistent "
                 "per table only"),
            Text("改用 InnoDB，或把这些表另设一个来源", "convert them to InnoDB, or make a source of its own for them"),
        )  # fmt: skip


def _judge_texts(offered: Sequence[OfferedTable], subject: str) -> Iterator[Finding]:
    others = [
        f"{o.schema.name}.{c.name} ({c.charset})" for o in offered for c in o.source.columns if keeps_other_text(c)
    ]
    if others:
        yield Finding(
            Severity.OK, subject,
            Text(f"{len(others)} 列文本不是 UTF-8：{_some(others)}；由服务器转换，无法转换的按原字节保存",
                 f"{len(others)} columns keep texts in other character sets: {_some(others)}; the server makes UTF-8 of "
                 "them, and what it cannot decode is kept as its bytes"),
            Text("若应用把 GBK 写进了 latin1 列，文字会显示为乱码，但字节可还原",
                 "if an application wrote GBK into a column of latin1, texts look garbled, but no byte is lost"),
        )  # fmt: skip


def _judge_narrow(offered: Sequence[OfferedTable], subject: str) -> Iterator[Finding]:
    narrow = [
        f"{o.schema.name}.{c.name}" for o in offered for c in o.source.columns if c.charset in ("utf8", "utf8mb3")
    ]
    if narrow:
        yield Finding(
            Severity.OK, subject,
            Text(f"{len(narrow)} 列文本是 utf8mb3：{_some(narrow)}；数据库本身存不下 U+FFFF 以外的字（如部分生僻姓名用字）",
                 f"{len(narrow)} columns keep texts in utf8mb3: {_some(narrow)}; the database itself cannot hold characters "
                 "beyond U+FFFF, such as those of some rare names"),
        )  # fmt: skip


def _judge_binlog(session: Session, server: Server, subject: str) -> Iterator[Finding]:
    if not server.has_binlog:
        yield Finding(
            Severity.OK, subject,
            Text("没有二进制日志：快照没有位置", "there is no binary log: the snapshot has no position"),
        )  # fmt: skip
    elif server.is_mariadb and session.logs:
        yield Finding(
            Severity.OK, subject,
            Text("已读过的表要到快照结束才放开：有人久等 ALTER 时，整个快照会放弃",
                 "tables that were read stay locked against ALTER until the snapshot ends: if somebody waits for one, the "
                 "whole snapshot is given up"),
            Text("可授予 BINLOG ADMIN（见 `jinsuo-agent grants`），但它也允许清除二进制日志",
                 "BINLOG ADMIN would free them at once (see `jinsuo-agent grants`), but also lets the account purge logs"),
        )  # fmt: skip


def _judge_load(session: Session, subject: str) -> Iterator[Finding]:
    rows = session.query("SHOW FULL PROCESSLIST")
    longest = max((int(row[5] or 0) for row in rows if row[4] == b"Query" and row[7] is not None), default=0)
    if longest > _LONG_S:
        yield Finding(
            Severity.WARN, subject,
            Text(f"有查询已运行 {longest} 秒", f"somebody's query has been running for {longest} s"),
            Text("它同样使旧的行版本无法清理", "it keeps old versions of rows as a snapshot does"),
        )  # fmt: skip
    history = [int(value or 0) for name, value, *_ in session.query("SHOW GLOBAL STATUS LIKE 'Innodb_history_list%'")
               if text_of(name).lower() == "innodb_history_list_length"]  # fmt: skip
    if history and history[0] > _BUSY_HISTORY:
        yield Finding(
            Severity.WARN, subject,
            Text(f"InnoDB 有 {history[0]:,} 个旧版本待清理", f"InnoDB has {history[0]:,} old versions to clean up"),
            Text("先等清理完成：快照会拖住它", "let it finish first: a snapshot holds it back"),
        )  # fmt: skip


def _fail(subject: str, err: AgentError) -> Finding:
    return Finding(Severity.FAIL, subject, err.message, err.remedy, code=err.code)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
