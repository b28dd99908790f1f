# SPDX-License-Identifier: Apache-2.0
"""What a successor must know, on two pages of Markdown: what runs where, what to back up, what to do when. Pure.

Passwords are not in it, only where each is kept; nor is anything of what was collected. What only people know (telephone
numbers, who has which key) stands as lines to fill in by hand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.config import AgentConfig
from agent.health.document import find_lag_s, format_lag
from agent.outcome import AgentStatus, SourceStatus
from agent.settings.reference import is_reference
from agent.settings.sources import (
    AnySource,
    CommandSource,
    MysqlSource,
    OdbcSource,
    OracleSource,
    PostgresqlSource,
    SqliteSource,
    SqlserverSource,
    TableSource,
)
from terminal.language import Language, Text
from terminal.printer import make_visible


@dataclass(frozen=True, slots=True)
class Premises:
    """Where this agent runs. `log_vkey`: of the center's log; None where it is not enrolled."""

    host: str
    system: str
    account: str
    program: str
    version: str
    log_vkey: str | None


def write_handover(
    config: AgentConfig, status: AgentStatus, premises: Premises, now: datetime, language: Language
) -> str:
    """Write the document; times are this machine's local ones."""

    def say(zh: str, en: str) -> str:
        return make_visible(Text(zh=zh, en=en).into(language))

    lines = [
        f"# {say(f'金锁采集端交接单：{status.unit or chr(8212)}', f'Handover of the Jinsuo agent: {status.unit or chr(8212)}')}",
        "",
        say(f"制于 {_time(now)}。不含口令。", f"Made {_time(now)}. It holds no passwords."),
        "",
        f"## 1. {say('是什么，归谁', 'What it is, and whose')}",
        "",
        say(
            "本机为业务系统取快照，送档案馆登记备份，核验每份回执。业务系统不依赖它；停一天只缺一天的登记，由回执与缺口声明说明。",
            "This machine takes snapshots of live systems, registers them at the archives and verifies each receipt. No live system "
            "needs it: a day without it is a day that is not registered, and that is stated.",
        ),
        "",
        *_pairs(
            (say("单位", "unit"), status.unit or say("尚未登记", "not enrolled")),
            (say("中心", "center"), status.center or "-"),
            (say("日志公钥", "key of the log"), premises.log_vkey or "-"),
        ),
        "",
        f"## 2. {say('在哪里', 'Where')}",
        "",
        *_pairs(
            (say("主机", "host"), premises.host),
            (say("系统", "system"), premises.system),
            (say("运行账户", "account of this page"), premises.account),
            (say("程序", "program"), f"{premises.program} ({premises.version})"),
            (say("目录", "folder"), str(status.folder)),
            (say("设置", "settings"), str(status.folder / "agent.yaml")),
            (say("发件箱", "spool"), str(config.spool.folder)),
            (say("日志", "log"), _log_place(config, status.folder, language)),
        ),
        "",
        f"## 3. {say('来源', 'Sources')}",
        "",
        *_table(
            (say("名称", "name"), say("读取自", "read from"), say("账户", "account"), say("口令存放", "password kept in"),
             say("最近入库", "last stored"), say("滞后", "lag")),
            [_source_row(source, _status_of(status, source.name), now) for source in config.sources],
        ),
        "",
        f"## 4. {say('备份', 'What to back up')}",
        "",
        *_bullets(
            say("什么都不必备份。`agent.yaml`（其中没有口令）留一份在别处，省得重写。",
                "Nothing needs a backup. A copy of `agent.yaml`, which has no passwords in it, saves writing it again."),
            say("`keys/` 不得放进任何备份：谁拿到副本，就能以本单位的名义签署。丢了只需向档案馆要一个登记码，重新登记。",
                "`keys/` belongs in no backup: whoever has a copy can sign as the unit. If it is lost, a new code from the archives "
                "and a new enrolment are all it takes."),
            say("丢失的发件箱和台账由缺口声明说明，来源的密钥由中心归还。",
                "For spool and journal that are lost a gap is stated, and the sources' secrets come back from the center."),
        ),
        "",
        f"## 5. {say('日常', 'Day by day')}",
        "",
        *_bullets(
            say("每天：`jinsuo-agent status`，看滞后与待发；中心也会对迟到报警。",
                "daily: `jinsuo-agent status`, for lag and what waits; the center raises an alarm as well"),
            say("每月：`jinsuo-agent check`；改口令、升级数据库、换机器之后也要运行。",
                "monthly, and after a changed password, an upgraded database or a new machine: `jinsuo-agent check`"),
            say("业务系统要维护：`jinsuo-agent pause --until …`，之后 `jinsuo-agent resume`。",
                "when a live system is worked on: `jinsuo-agent pause --until …`, then `jinsuo-agent resume`"),
        ),
        "",
        f"## 6. {say('出事时', 'When something happens')}",
        "",
        *_table((say("情形", "what"), say("怎么办", "what to do")), _EMERGENCIES[language]),
        "",
        f"## 7. {say('现在未了的事', 'What is open now')}",
        "",
        *_bullets(*(_list_open(status, language) or [say("没有。", "nothing")])),
        "",
        f"## 8. {say('请手填', 'To be filled in by hand')}",
        "",
        *_pairs(*((name, "______________________") for name in _BLANKS[language])),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


_EMERGENCIES = {
    Language.ZH: [
        ("中心连不上", "什么也不会丢：发件箱等着。久了看 `jinsuo-agent status` 的发件箱余量，并告知档案馆"),
        ("磁盘满", "腾出空间或移动发件箱；业务系统不受影响"),
        ("数据库口令改了", "`jinsuo-agent secret set 名称`，再 `jinsuo-agent check`"),
        ("本机坏了", "新机器装好，放回 `agent.yaml`，向档案馆要登记码，`jinsuo-agent enroll`，重新存入口令：它会接上原来的链，缺口会声明"),
        ("整个目录或整台机器恢复自旧副本", "再取一次快照：中心会发现，缺口会声明；若被拒绝（JS-3104），是密钥其后换过：按“本机坏了”办"),
        ("提示对方不是中心、回执不符（JS-2302、JS-2303）", "停下，保留整个目录，打电话给档案馆"),
    ],
    Language.EN: [
        ("the center cannot be reached", "nothing is lost, the spool waits; if it lasts, see its room in `status`, and tell the archives"),
        ("the disk is full", "make room, or move the spool; no live system is touched"),
        ("a database password changed", "`jinsuo-agent secret set NAME`, then `jinsuo-agent check`"),
        ("this machine is gone", "on a new one put back `agent.yaml`, get a code from the archives, `jinsuo-agent enroll`, store the "
         "passwords again: it goes on with its chain, and the gap is stated"),
        ("the folder or the whole machine came back from an older copy", "take a snapshot once more: the center notices, and the "
         "gap is stated; if it refuses (JS-3104), the key was replaced since: do as if this machine were gone"),
        ("the other end is not the center, or a receipt is wrong (JS-2302, JS-2303)", "stop, keep the whole folder, call the archives"),
    ],
}  # fmt: skip
_BLANKS = {
    Language.ZH: ("档案馆联系人、电话", "数据库管理员、电话", "业务系统厂商、电话", "移交人、日期", "接收人、日期"),
    Language.EN: (
        "archives: name, telephone", "database administrator: name, telephone", "vendor: name, telephone",
        "handed over by, on", "taken over by, on",
    ),
}  # fmt: skip


def _list_open(status: AgentStatus, language: Language) -> list[str]:
    """Give what a successor must look after first."""
    found: list[Text] = []
    if status.unit is None:
        found.append(Text(zh="尚未登记到中心", en="it is not enrolled at a center"))
    if status.pause is not None:
        since = _time(status.pause.since)
        found.append(Text(zh=f"自 {since} 起暂停", en=f"it is paused since {since}"))
    for source in status.sources:
        if source.stored_sequence is None:
            found.append(
                Text(zh=f"{source.source}：还没有入库的快照", en=f"{source.source}: no snapshot is stored yet")
            )
        if source.waiting:
            found.append(
                Text(
                    zh=f"{source.source}：{source.waiting} 份声明没有回执",
                    en=f"{source.source}: {source.waiting} statement(s) without a receipt",
                )
            )
        if source.last_error:
            found.append(Text(zh=f"{source.source}：{source.last_error}", en=f"{source.source}: {source.last_error}"))
    return [make_visible(text.into(language)) for text in found]


def _log_place(config: AgentConfig, folder: Path, language: Language) -> str:
    if config.log.file is not None:
        return str(folder / config.log.file)
    return Text(zh="标准错误（systemd：journalctl）", en="stderr (under systemd: journalctl)").into(language)


def _status_of(status: AgentStatus, name: str) -> SourceStatus | None:
    return next((source for source in status.sources if source.source == name), None)


def _source_row(source: AnySource, status: SourceStatus | None, now: datetime) -> tuple[str, ...]:
    lag = None if status is None else find_lag_s(status, now)
    stored = "-" if status is None or status.stored_sequence is None else f"{source.name}#{status.stored_sequence}"
    user, password = find_login(source)
    return (source.name, locate(source), user or "-", password or "-", stored, "-" if lag is None else format_lag(lag))


def locate(source: AnySource) -> str:
    """Give where a source lies, in one line."""
    if isinstance(source, PostgresqlSource | MysqlSource | SqlserverSource):
        return f"{source.kind} {source.host}:{source.port}/{source.database}"
    if isinstance(source, OracleSource):
        return f"{source.kind} {source.host}:{source.port}/{source.service}"
    if isinstance(source, OdbcSource):
        return f"{source.kind} ({source.dialect}) {source.connection}"
    if isinstance(source, CommandSource):
        return f"{source.kind} {source.argv[0]}"
    return f"{source.kind} {source.path}"


def find_login(source: AnySource) -> tuple[str | None, str | None]:
    """Give the account of a source, and the reference to its password (never the password itself)."""
    if isinstance(source, SqliteSource) or not isinstance(source, TableSource):
        values = source.env.values() if isinstance(source, CommandSource) else ()
        return None, ", ".join(value for value in values if is_reference(value)) or None
    assert isinstance(source, PostgresqlSource | MysqlSource | SqlserverSource | OracleSource | OdbcSource)
    return source.user, source.password


def _pairs(*pairs: tuple[str, str]) -> Iterator[str]:
    for name, value in pairs:
        yield f"- {name}: {make_visible(value)}"


def _bullets(*texts: str) -> Iterator[str]:
    for text in texts:
        yield f"- {text}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headers) + " |"
    yield "|" + "---|" * len(headers)
    for row in rows:
        yield "| " + " | ".join(make_visible(cell).replace("|", "\\|") for cell in row) + " |"


def _time(when: datetime) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M %Z")
