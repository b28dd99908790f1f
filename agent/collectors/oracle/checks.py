# SPDX-License-Identifier: Apache-2.0
"""What `check` examines at an Oracle source, and the SQL that makes its read-only account. Reads only the dictionary."""

from collections.abc import Iterator
from typing import Final

from agent.collectors.base import Finding, Omission, Severity
from agent.collectors.bilingual import in_both
from agent.collectors.naming import check_names
from agent.collectors.oracle.catalog import read_tables
from agent.collectors.oracle.connect import OracleError, Session
from agent.collectors.oracle.failures import refuse
from agent.collectors.oracle.settings import OracleSettings
from agent.collectors.oracle.tables import OfferedTable, offer_table
from agent.collectors.oracle.view import find_scn
from agent.errors import AgentError
from terminal.language import Text

_SHOWN: Final = 5
_GRANTS: Final = Text("运行 `jinsuo-agent grants` 打印的语句", "run what `jinsuo-agent grants` prints")
_RETENTION: Final = "SELECT VALUE FROM V$PARAMETER WHERE NAME = 'undo_retention'"


def examine(settings: OracleSettings) -> list[Finding]:
    """Give what was found; a source that cannot be reached is a finding too."""
    subject = settings.address
    try:
        session = Session(settings)
    except AgentError as err:
        return [Finding(Severity.FAIL, subject, err.message, err.remedy, code=err.code)]
    findings: list[Finding] = []
    try:
        findings.extend(_examine(session, settings, subject))
    except OracleError as err:
        refused = refuse(str(err), settings)
        findings.append(Finding(Severity.FAIL, subject, refused.message, refused.remedy))
    except AgentError as err:
        findings.append(Finding(Severity.FAIL, subject, err.message, err.remedy, code=err.code))
    finally:
        session.close()
    return findings


def write_grants(settings: OracleSettings) -> Text:
    """Give the SQL for an administrator of the source; the password is for the person to choose."""
    user = '"' + settings.user.upper().replace('"', "") + '"'
    return in_both(f"""\
zh|-- 以管理员身份，在服务名为 {settings.service} 的数据库（PDB）中执行：
en|-- As an administrator, in the database (PDB) of service {settings.service}:
CREATE USER {user} IDENTIFIED BY "...";
GRANT CREATE SESSION TO {user};
zh|-- 逐表授权，或用其后两条涵盖所有表：读取，以及按系统变更号（SCN）读取。
en|-- For each table, or, for all, the two that follow: reading it, and reading it as of a system change number.
-- GRANT SELECT, FLASHBACK ON owner.table TO {user};
GRANT SELECT ANY TABLE TO {user};
GRANT FLASHBACK ANY TABLE TO {user};
zh|-- 读取系统变更号，以及回滚数据的保留时间：
en|-- For the system change number, and for how long undo is kept:
GRANT SELECT ON SYS.V_$DATABASE TO {user};
GRANT SELECT ON SYS.V_$PARAMETER TO {user};
zh|-- 仅用于表的定义（ddl.sql）：
en|-- Only for the definitions of tables (ddl.sql):
-- GRANT SELECT_CATALOG_ROLE TO {user};
""")


def _examine(session: Session, settings: OracleSettings, subject: str) -> Iterator[Finding]:
    yield Finding(Severity.OK, subject, session.title)
    yield Finding(
        Severity.WARN, subject,
        Text("oracle 来源尚未在真实服务器上运行过", "sources of kind oracle: not yet run against a live server"),
        Text("先取一次快照，与厂商工具的导出逐表比对后再启用",
             "compare a first snapshot with an export by the vendor's tool, table by table, before you rely on it"),
    )  # fmt: skip
    yield Finding(Severity.OK, subject, f"SCN {find_scn(session, settings)}")
    yield _judge_undo(session, settings, subject)
    sources = read_tables(session)
    outcomes = [offer_table(source, settings) for source in sources]
    offered = [o for o in outcomes if isinstance(o, OfferedTable)]
    omitted = [o for o in outcomes if isinstance(o, Omission)]
    omitted += check_names(settings.tables, [o.schema.name for o in offered], {source.full_name for source in sources})
    if not offered:
        yield Finding(Severity.FAIL, subject, Text("没有可读的表", "there is no table that can be read"), _GRANTS)
        return
    yield Finding(Severity.OK, subject, Text(f"可读 {len(offered)} 张表", f"{len(offered)} tables can be read"))
    left_out = [f"{o.name} ({o.reason})" for o in omitted if not settings.tables.is_excluded(o.name)]
    if left_out:
        shown = ", ".join(left_out[:_SHOWN])
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(left_out)} 张表读不到：{shown}", f"{len(left_out)} tables are left out: {shown}"), _GRANTS,
        )  # fmt: skip


def _judge_undo(session: Session, settings: OracleSettings, subject: str) -> Finding:
    """Compare how long undo is kept with how long a reading may take."""
    try:
        rows = session.query(_RETENTION)
        kept_s = int(str(rows[0][0])) if rows else 0
    except (OracleError, ValueError):
        return Finding(
            Severity.NOT_EXAMINED, subject, Text("看不到 undo_retention", "undo_retention cannot be seen"), _GRANTS
        )
    facts = Text(
        f"undo_retention {kept_s} 秒，快照年龄上限 {settings.snapshot_age_limit_s:.0f} 秒",
        f"undo_retention is {kept_s} s, the snapshot's age limit {settings.snapshot_age_limit_s:.0f} s",
    )
    if kept_s < settings.snapshot_age_limit_s:
        return Finding(
            Severity.WARN, subject, facts,
            Text("调高 UNDO_RETENTION 或调低 snapshot_age_limit，否则会遇到 ORA-01555",
                 "raise UNDO_RETENTION or lower snapshot_age_limit, or ORA-01555 may end the reading"),
        )  # fmt: skip
    return Finding(Severity.OK, subject, facts)
