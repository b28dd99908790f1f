# SPDX-License-Identifier: Apache-2.0
"""The doctor of settings: folder, secrets, spool, enrolment, line, clock. Sources are examined by their collectors.

Nothing here raises for what it finds, writes anything, or knows a transport: asking the center comes in as a function.
Whatever could not be examined is said to be so; silence would read as health.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from agent.config import AgentConfig
from agent.errors import AgentError, CenterDownError, NotTheServiceError, SecretError
from agent.finding import Finding, Severity
from agent.secrets import Secrets, variable_of
from agent.settings.reference import is_reference
from agent.settings.sources import (
    AnySource,
    CommandSource,
    FilesSource,
    MysqlSource,
    OdbcSource,
    OracleSource,
    PostgresqlSource,
    SqliteSource,
    SqlserverSource,
)
from terminal.language import Language, Text

CLOCK_WARN = timedelta(minutes=5)
CLOCK_FAIL = timedelta(days=1)
_MIB = 1 << 20
_WITH_PASSWORD = (PostgresqlSource, MysqlSource, SqlserverSource, OracleSource, OdbcSource)
_WHOLE_BY_THEMSELVES = frozenset({"sqlite", "files", "command"})
"""Kinds of sources that have no accounts, jobs or procedures beside what is read."""

FindData: TypeAlias = Callable[[AnySource], Path | None]
"""Give where the server of a source keeps its files, by its own word; None if it does not say."""


def _know_nothing(source: AnySource) -> Path | None:  # noqa: ARG001 - the form of FindData
    return None


_ANSWERS = Text(zh="已应答，密钥相符", en="answers, with the pinned key")
_BOX = Text(
    zh="收发目录可以读写；中心本身不在线上，不能检查",
    en="the drop box can be read and written; nobody can be asked beyond it",
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the doctor examines.

    `ask_center` gives the center's time (None: it told none), or raises AgentError; itself None: not enrolled. Over a road
    that carries files it looks at the drop box.

    `find_data` asks a database server on this machine for its folder.

    `environ_counts` is False when a service will run the agent: what this shell's environment holds, it will not have.
    """

    folder: Path
    config: AgentConfig
    secrets: Secrets
    environ: frozenset[str]
    ask_center: Callable[[], datetime | None] | None
    clock: Callable[[], datetime]
    find_data: FindData = _know_nothing
    environ_counts: bool = True


def examine(of: Circumstances) -> list[Finding]:
    """Examine what is not a source's own; give the findings in the order in which a person would mend them."""
    return [
        _examine_sources(of.config),
        *_examine_backups(of.config),
        *_examine_folder(of.folder),
        *_examine_secrets(of),
        *_examine_spool(of.config),
        *_examine_volumes(of),
        *_examine_center(of),
    ]


def _examine_sources(config: AgentConfig) -> Finding:
    subject = "settings"
    if not config.sources:
        return Finding(
            Severity.WARN,
            subject,
            Text(zh="没有配置来源", en="there are no sources"),
            Text(zh="在 agent.yaml 的 sources 下加入业务系统", en="add the live systems under sources in agent.yaml"),
        )
    names = ", ".join(source.name for source in config.sources)
    return Finding(Severity.OK, subject, Text(zh=f"来源：{names}", en=f"sources: {names}"))


def _examine_backups(config: AgentConfig) -> Iterator[Finding]:
    """Rows do not bring procedures, accounts and jobs back: tell whoever has databases and no native backup of any."""
    servers = [source.name for source in config.sources if source.kind not in _WHOLE_BY_THEMSELVES]
    if servers and not any(isinstance(source, CommandSource) for source in config.sources):
        names = ", ".join(servers)
        yield Finding(
            Severity.WARN,
            "native backup",
            Text(
                zh=f"{names} 只登记数据行；存储过程、账户、作业不在其中",
                en=f"of {names} only rows are kept, not procedures, accounts and jobs",
            ),
            Text(
                zh="加一个 kind: command 的来源，每周用厂商的工具备份一次，整个系统才能恢复",
                en="add a source of kind command, a weekly backup by the vendor's tool: it brings a whole system back",
            ),
        )


def _examine_folder(folder: Path) -> Iterator[Finding]:
    subject = "folder"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            Severity.FAIL,
            subject,
            Text(zh=f"本账户不能读写 {folder}", en=f"this account cannot read and write {folder}"),
            Text(
                zh="用运行采集端的账户执行，或改目录的属主",
                en="run as the agent's account, or change the folder's owner",
            ),
        )
        return
    if os.name == "nt":  # pragma: no cover - what counts there is the folder's ACL
        yield Finding(
            Severity.NOT_EXAMINED,
            subject,
            Text(zh=f"未检查 {folder} 的访问控制列表", en=f"the access control list of {folder}"),
            Text(zh="只允许采集端的账户与管理员访问", en="allow only the agent's account and administrators"),
        )
        return
    state = folder.stat()
    if state.st_mode & 0o077:
        yield Finding(
            Severity.WARN,
            subject,
            Text(
                zh=f"{folder} 的权限是 {state.st_mode & 0o777:04o}，其他账户也能进入",
                en=f"{folder} has mode {state.st_mode & 0o777:04o}, so other accounts can enter it",
            ),
            Text(zh=f"运行 `chmod 700 {folder}`", en=f"run `chmod 700 {folder}`"),
        )
    elif state.st_uid != os.geteuid():
        yield Finding(
            Severity.WARN,
            subject,
            Text(zh=f"{folder} 属于另一个账户（uid {state.st_uid}）", en=f"{folder} belongs to uid {state.st_uid}"),
            Text(
                zh="以该账户运行，否则它将读不了本账户写的文件",
                en="run as that account, or it will not be able to read what this one writes",
            ),
        )
    else:
        yield Finding(Severity.OK, subject, Text(zh=f"{folder} 只有本账户可用", en=f"{folder} is this account's only"))


def _examine_secrets(of: Circumstances) -> Iterator[Finding]:
    for source in of.config.sources:
        if isinstance(source, _WITH_PASSWORD) and source.password is not None:
            yield _examine_secret(of, f"{source.name}: password", source.password)
        if isinstance(source, CommandSource):
            for name, value in source.env.items():
                if is_reference(value):
                    yield _examine_secret(of, f"{source.name}: {name}", value)


def _examine_secret(of: Circumstances, subject: str, reference: str) -> Finding:
    scheme, _, name = reference.partition(":")
    if scheme == "credential" and not of.environ_counts:
        # Only what systemd starts is given it; how it is kept is examined with the service.
        return Finding(
            Severity.OK, subject, Text(zh=f"由服务提供（{reference}）", en=f"the service gives it ({reference})")
        )
    variable = name if scheme == "env" else variable_of(name)
    try:
        of.secrets.find(reference)
    except SecretError as err:
        message = Text(zh=err.sentence(Language.ZH), en=err.sentence(Language.EN))
        hint = Text(zh=err.advice(Language.ZH), en=err.advice(Language.EN))
        severity = Severity.NOT_EXAMINED if isinstance(err, NotTheServiceError) else Severity.FAIL
        return Finding(severity, subject, message, hint)
    if not of.environ_counts and scheme != "file" and variable in of.environ:
        return Finding(
            Severity.WARN,
            subject,
            Text(
                zh=f"口令来自本终端的环境变量 {variable}，服务未必有它",
                en=f"it comes from {variable} in this shell's environment, which a service may not have",
            ),
            Text(
                zh="用 `jinsuo-agent secret set` 存入，或在服务定义中设置该变量",
                en="keep it with `jinsuo-agent secret set`, or set the variable in the service's definition",
            ),
        )
    return Finding(Severity.OK, subject, Text(zh=f"有（{reference}）", en=f"there ({reference})"))


def _examine_spool(config: AgentConfig) -> Iterator[Finding]:
    subject, spool = "spool", config.spool
    try:
        free = shutil.disk_usage(_nearest(spool.folder)).free
        used = sum(path.stat().st_size for path in spool.folder.rglob("*.pack"))
    except OSError as err:
        yield Finding(
            Severity.FAIL,
            subject,
            Text(zh=f"读不了 {spool.folder}：{err.strerror}", en=f"{spool.folder} cannot be read: {err.strerror}"),
            Text(zh="检查 spool.folder 与权限", en="check spool.folder and its rights"),
        )
        return
    facts = Text(
        zh=f"{spool.folder}：已用 {used // _MIB} / {spool.max_size // _MIB} MiB，卷上空闲 {free // _MIB} MiB",
        en=f"{spool.folder}: {used // _MIB} of {spool.max_size // _MIB} MiB used, {free // _MIB} MiB free there",
    )
    more = Text(
        zh="腾出空间，运行 `jinsuo-agent send`，或把 spool.folder 移到别的卷",
        en="make room, run `jinsuo-agent send`, or move spool.folder to another volume",
    )
    if free < spool.min_free or used > spool.max_size:
        yield Finding(Severity.FAIL, subject, facts, more)
    elif free < 2 * spool.min_free or used > spool.max_size * 4 // 5:
        yield Finding(Severity.WARN, subject, facts, more)
    else:
        yield Finding(Severity.OK, subject, facts)


def _examine_volumes(of: Circumstances) -> Iterator[Finding]:
    """Tell of sources that the spool could harm: on the same volume, or with the spool among what is read."""
    for source in of.config.sources:
        found = examine_volume(source, of.config.spool.folder, of.folder, of.find_data)
        if found is not None:
            yield found


def examine_volume(source: AnySource, spool: Path, folder: Path, find_data: FindData) -> Finding | None:
    """Tell whether the spool could fill the source's volume, or is read with it; None if there is nothing to compare."""
    subject = f"{source.name}: volume"
    if isinstance(source, CommandSource):
        return None  # its collector examines the place of its dump
    if isinstance(source, OdbcSource):
        return None  # where its database is, only its driver knows
    if not isinstance(source, PostgresqlSource | MysqlSource | SqlserverSource | OracleSource):
        return _examine_volume(source, subject, spool, folder)
    if not _is_local(source.host):
        return None
    data = find_data(source) if isinstance(source, PostgresqlSource | MysqlSource) else None
    if data is None:
        return Finding(
            Severity.NOT_EXAMINED,
            subject,
            Text(
                zh="数据库就在本机，但不说明其数据目录",
                en="the database is on this machine, and does not tell where its files lie",
            ),
            Text(
                zh=f"确认其数据目录与 {spool} 不在同一个卷",
                en=f"see to it that its data directory and {spool} are on different volumes",
            ),
        )
    return _compare_volumes(data, subject, spool)


def _examine_volume(source: SqliteSource | FilesSource, subject: str, spool: Path, folder: Path) -> Finding:
    if isinstance(source, FilesSource):
        inside = next((each for each in (spool, folder) if _is_below(each, source.path)), None)
        if inside is not None:
            return Finding(
                Severity.FAIL,
                subject,
                Text(zh=f"{inside} 在来源 {source.path} 之内", en=f"{inside} lies within the source {source.path}"),
                Text(zh="移走它，否则采集端会备份自己", en="move it, or the agent would back up itself"),
            )
    return _compare_volumes(source.path, subject, spool)


def _compare_volumes(data: Path, subject: str, spool: Path) -> Finding:
    try:
        shared = _nearest(spool).stat().st_dev == data.stat().st_dev
    except OSError as err:
        return Finding(
            Severity.NOT_EXAMINED,
            subject,
            Text(zh=f"读不了 {data}：{err.strerror}", en=f"{data} cannot be read: {err.strerror}"),
            Text(
                zh=f"检查 path 与权限；确认 {data} 与 {spool} 不在同一个卷",
                en=f"check path and rights; see to it that {data} and {spool} are on different volumes",
            ),
        )
    if shared:
        return Finding(
            Severity.WARN,
            subject,
            Text(zh=f"发件箱与 {data} 在同一个卷上", en=f"the spool is on the volume of {data}"),
            Text(
                zh="把 spool.folder 移到别的卷；spool.min_free 会保护业务系统",
                en="move spool.folder to another volume; meanwhile spool.min_free protects the live system",
            ),
        )
    return Finding(Severity.OK, subject, Text(zh="发件箱在另一个卷上", en="the spool is on another volume"))


def _examine_center(of: Circumstances) -> Iterator[Finding]:
    if of.ask_center is None:
        yield Finding(
            Severity.FAIL,
            "enrolment",
            Text(zh="尚未在中心登记", en="this agent is not enrolled"),
            Text(
                zh="向档案馆索取登记码，运行 `jinsuo-agent enroll`",
                en="ask the archives for a code; run `jinsuo-agent enroll`",
            ),
        )
        unexamined = Text(zh="登记后才能检查", en="cannot be examined before enrolment")
        yield Finding(Severity.NOT_EXAMINED, "center", unexamined)
        yield Finding(Severity.NOT_EXAMINED, "clock", unexamined)
        return
    yield Finding(Severity.OK, "enrolment", Text(zh="已登记", en="enrolled"))
    before = of.clock()
    try:
        center_time = of.ask_center()
    except AgentError as err:
        severity = Severity.WARN if isinstance(err, CenterDownError) else Severity.FAIL
        message = Text(zh=err.sentence(Language.ZH), en=err.sentence(Language.EN))
        yield Finding(severity, "center", message, Text(zh=err.advice(Language.ZH), en=err.advice(Language.EN)))
        yield _no_time()
        return
    yield Finding(Severity.OK, "center", _BOX if of.config.road.carries_files else _ANSWERS)
    yield _examine_clock(before, of.clock(), center_time) if center_time else _no_time()


def _no_time() -> Finding:
    text = Text(zh="没有中心的时间可比", en="there is no time of the center to compare with")
    return Finding(Severity.NOT_EXAMINED, "clock", text)


def _examine_clock(before: datetime, after: datetime, center_time: datetime) -> Finding:
    """Compare with the middle of asking; the center's time has whole seconds."""
    offset = before + (after - before) / 2 - center_time.astimezone(UTC)
    seconds = round(offset.total_seconds())
    message = Text(zh=f"与中心相差 {seconds:+d} 秒", en=f"{seconds:+d} s from the center's")
    hint = Text(
        zh="校正本机时间（NTP）：快照的起止时间以它为准；凭证时间以中心与见证者为准",
        en="set this machine's clock (NTP): it dates the beginning and end of snapshots; what is proven goes by others",
    )
    if abs(offset) > CLOCK_FAIL:
        return Finding(Severity.FAIL, "clock", message, hint)
    if abs(offset) > CLOCK_WARN:
        return Finding(Severity.WARN, "clock", message, hint)
    return Finding(Severity.OK, "clock", message)


def _nearest(path: Path) -> Path:
    """Give `path`, or the nearest folder above it that is there."""
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _is_local(host: str) -> bool:
    return host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
