# SPDX-License-Identifier: Apache-2.0
"""What `check` examines at a source over ODBC, and the SQL that makes its read-only account. Reads only catalogs."""

from collections.abc import Iterator
from typing import Final

from agent.collectors.base import Finding, Omission, Severity
from agent.collectors.bilingual import in_both
from agent.collectors.naming import check_names
from agent.collectors.odbc.catalog import read_tables
from agent.collectors.odbc.dialect import Dialect, fill
from agent.collectors.odbc.failures import refuse
from agent.collectors.odbc.process import StatementError
from agent.collectors.odbc.session import Session
from agent.collectors.odbc.settings import OdbcSettings
from agent.collectors.odbc.tables import OfferedTable, offer_table
from agent.collectors.odbc.view import meet_requirements
from agent.errors import AgentError
from evidence.manifest.statement import Consistency
from terminal.language import Text

_SHOWN: Final = 5
_GRANTS: Final = Text("运行 `jinsuo-agent grants` 打印的语句", "run what `jinsuo-agent grants` prints")


def examine(settings: OdbcSettings, dialect: Dialect) -> list[Finding]:
    """Give what was found; a source that cannot be reached is a finding too."""
    subject = settings.address
    findings: list[Finding] = []
    try:
        session = Session(settings, dialect, lambda: None)
    except AgentError as err:
        return [Finding(Severity.FAIL, subject, err.message, err.remedy, code=err.code)]
    try:
        findings.extend(_examine(session, settings, dialect, subject))
    except StatementError as err:
        refused = refuse(err, settings)
        findings.append(Finding(Severity.FAIL, subject, refused.message, refused.remedy))
    except AgentError as err:
        findings.append(Finding(Severity.FAIL, subject, err.message, err.remedy, code=err.code))
    finally:
        session.close()
    return findings


def write_grants(settings: OdbcSettings, dialect: Dialect) -> Text:
    """Give the SQL for an administrator of the source; the password is for the person to choose."""
    account = settings.user or "jinsuo"
    words = in_both(dialect.grants)
    return Text(*(fill(each, user=dialect.quote(account), account=account) for each in words))


def _examine(session: Session, settings: OdbcSettings, dialect: Dialect, subject: str) -> Iterator[Finding]:
    yield Finding(
        Severity.OK, subject,
        Text(f"{session.server}，驱动 {session.driver}", f"{session.server}, driver {session.driver}"),
    )  # fmt: skip
    if dialect.seen is None:
        yield Finding(
            Severity.WARN, subject,
            Text(f"方言 {dialect.name} 尚未在真实服务器上运行过", f"dialect {dialect.name}: not yet run against a live server"),
            Text(
                "先取一次快照，与厂商工具的导出逐表比对后再启用",
                "compare a first snapshot with an export by the vendor's tool, table by table, before you rely on it",
            ),
        )  # fmt: skip
    consistency, _ = meet_requirements(session, dialect, settings)
    if consistency is not Consistency.CONSISTENT:
        yield Finding(
            Severity.WARN, subject,
            Text(f"一致性只有 {consistency}：各表不是同一时刻", f"consistency is {consistency}: tables are not of one instant"),
            Text("在业务空闲时读取", "read while the application is at rest"),
        )  # fmt: skip
    sources = read_tables(session, dialect)
    outcomes = [offer_table(source, settings, dialect) for source in sources]
    offered = [o for o in outcomes if isinstance(o, OfferedTable)]
    omitted = [o for o in outcomes if isinstance(o, Omission)]
    omitted += check_names(settings.tables, [o.schema.name for o in offered], {source.full_name for source in sources})
    yield from _judge_tables(offered, omitted, settings, subject)


def _judge_tables(
    offered: list[OfferedTable], omitted: list[Omission], settings: OdbcSettings, subject: str
) -> Iterator[Finding]:
    if not offered:
        yield Finding(Severity.FAIL, subject, Text("没有可读的表", "there is no table that can be read"), _GRANTS)
        return
    yield Finding(Severity.OK, subject, Text(f"可读 {len(offered)} 张表", f"{len(offered)} tables can be read"))
    keyless = [o.schema.name for o in offered if not o.schema.key]
    if keyless:
        yield Finding(
            Severity.OK, subject,
            Text(f"{len(keyless)} 张表无可用主键，按整行排序：{_some(keyless)}",
                 f"{len(keyless)} tables have no usable key and are ordered by whole rows: {_some(keyless)}"),
        )  # fmt: skip
    unexpected = [f"{o.name} ({o.reason})" for o in omitted if not settings.tables.is_excluded(o.name)]
    if unexpected:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(unexpected)} 张表读不到：{_some(unexpected)}", f"{len(unexpected)} tables are left out: {_some(unexpected)}"),
            _GRANTS,
        )  # fmt: skip


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
