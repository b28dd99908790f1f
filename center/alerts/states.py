# SPDX-License-Identifier: Apache-2.0
"""What is amiss now: one rule a function, from a scene and the settings to alerts. Pure: no I/O, no clock, no memory.

A rule says what *is*; whether anybody is told again is `course.py`'s. Times that count are the center's: of an agent's
word on its own times only so much is believed as cannot lie in the future. `RULES` lists the rules by the kind they give.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from center.alerts.alert import CENTER, Alert, Kind, Severity
from center.alerts.lateness import is_late
from center.alerts.scene import Scene, UnitScene
from center.registry.catalog_tables import StatementRow
from center.settings.alerts import AlertSettings
from terminal.language import Text
from terminal.printer import format_size

Rule: TypeAlias = Callable[[Scene, AlertSettings], Iterator[Alert]]
WITHOUT_HEARTBEATS: Final = timedelta(hours=26)
_MOST_NAMED: Final = 5
START_GRACE: Final = timedelta(minutes=30)
"""A ledger that waits for an agent's word after a start is no news before this."""


def is_quiet(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """A unit has not called for longer than `quiet_after`, while somebody listened.

    One that has never sent a heartbeat may do no more than its nightly snapshot: it has a day and two hours.
    """
    for unit in scene.watched():
        if unit.enrolled_at is None or _fits(unit.unit, settings.not_watched):
            continue
        last = max(unit.seen or unit.enrolled_at, unit.enrolled_at)
        limit = timedelta(seconds=settings.quiet_after)
        if unit.heard is None:
            limit = max(limit, WITHOUT_HEARTBEATS)
        if scene.listening.since(last) <= limit:
            continue
        yield Alert(
            Kind.QUIET, unit.unit, Severity.WARNING, last,
            Text(
                zh=f"{unit.unit}（{unit.name}）没有音信，已超过 {_span_zh(limit)}",
                en=f"{unit.unit} ({unit.name}) has not called for more than {_span(limit)}",
            ),
            Text(
                zh="给该单位打电话：采集端的机器开着吗，服务在运行吗，线路通吗（在那里运行 jinsuo-agent check）",
                en="call the unit: is the agent's machine on, its service running, the line up (`jinsuo-agent check` there)",
            ),
        )  # fmt: skip


def is_failing(scene: Scene, _settings: AlertSettings) -> Iterator[Alert]:
    """An agent reports that a source failed, and that no snapshot has come since."""
    for unit, heard in scene.heard():
        failed = [beat for beat in heard.heartbeat.sources if beat.failure is not None]
        for beat in failed:
            if beat.failure is not None and beat.source in unit.sources:
                at = min(beat.failure.at, heard.at)
                yield _failing(unit, f"{unit.unit}/{beat.source}", at, beat.source, beat.failure.code)
        # The agent alone knows these, and may name others every time: they are one alert together.
        others = [beat for beat in failed if beat.source not in unit.sources]
        if others and others[0].failure is not None:
            names = ", ".join(beat.source for beat in others[:_MOST_NAMED]) + (
                " …" if len(others) > _MOST_NAMED else ""
            )
            yield _failing(unit, unit.unit, heard.at, names, others[0].failure.code)


def is_clock_off(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """An agent's clock differs from the center's by more than `clock`."""
    for unit, heard in scene.heard():
        error = heard.clock_error
        if abs(error) <= timedelta(seconds=settings.clock):
            continue
        ahead = error > timedelta(0)
        yield Alert(
            Kind.CLOCK, unit.unit, Severity.WARNING, heard.at,
            Text(
                zh=f"{unit.unit} 的采集端时钟{'快' if ahead else '慢'}了 {_span_zh(abs(error))}",
                en=f"the clock of the agent of {unit.unit} is {_span(abs(error))} {'ahead' if ahead else 'behind'}",
            ),
            Text(
                zh="请该单位校准时钟（NTP）；证据的时间以中心为准，不受影响，但快照的时间会不对",
                en="let the unit set its clock (NTP); proofs go by the center's time, but snapshots are dated wrongly",
            ),
        )  # fmt: skip


def is_agent_disk_filling(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """The volume of an agent's spool has less than `agent_free` left."""
    for unit, heard in scene.heard():
        free = heard.heartbeat.free_bytes
        if free is None or free >= settings.agent_free:
            continue
        severity = Severity.ERROR if free < settings.agent_free // 4 else Severity.WARNING
        yield Alert(
            Kind.AGENT_DISK, unit.unit, severity, heard.at,
            Text(
                zh=f"{unit.unit} 的采集端磁盘仅剩 {format_size(free)}",
                en=f"the disk of the agent of {unit.unit} has {format_size(free)} left",
            ),
            Text(
                zh="请该单位腾出空间；不足 spool.min_free 时采集端将不再取快照",
                en="let the unit make room: below `spool.min_free` its agent takes no more snapshots",
            ),
        )  # fmt: skip


def is_disk_filling(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """The center's own disk has less than `disk` percent left."""
    percent = 100 * scene.free_bytes / max(1, scene.total_bytes)
    is_short = scene.free_bytes < 4 * scene.reserve_bytes
    if percent >= settings.disk and not is_short:
        return
    yield Alert(
        Kind.DISK, CENTER, Severity.ERROR if is_short else Severity.WARNING, scene.now,
        Text(
            zh=f"中心的磁盘仅剩 {format_size(scene.free_bytes)}（{percent:.0f}%）",
            en=f"the center's disk has {format_size(scene.free_bytes)} left ({percent:.0f} %)",
        ),
        Text(
            zh="扩大磁盘；剩余不足 disk_reserve 时不再接收数据包（JS-3201），采集端会保留并重发",
            en="enlarge the disk: below `disk_reserve` no packs are taken (JS-3201), agents keep them and send again",
        ),
    )  # fmt: skip


def is_content_overdue(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """Content of a registered snapshot has not come within `content_within`."""
    limit = timedelta(seconds=settings.content_within)
    disabled = {unit.unit for unit in scene.units if unit.disabled}
    overdue: dict[tuple[str, str], list[StatementRow]] = {}
    for row in scene.waiting:
        if scene.now - row.received > limit and row.unit not in disabled:
            overdue.setdefault((row.unit, row.source), []).append(row)
    for (unit, source), rows in overdue.items():
        oldest = min(rows, key=lambda row: row.sequence)
        yield Alert(
            Kind.CONTENT, f"{unit}/{source}", Severity.WARNING, oldest.received + limit,
            Text(
                zh=f"{unit} 的 {source}#{oldest.sequence} 等 {len(rows)} 个快照已登记，内容逾期未到",
                en=f"{len(rows)} snapshot(s) of {unit} from {source}#{oldest.sequence} on are registered, their content is overdue",
            ),
            Text(
                zh="问该单位内容何时送来（线路或离线载体）；确已丢失的，由采集端声明缺口",
                en="ask the unit when the content comes, by line or medium; what is lost its agent states as a gap",
            ),
        )  # fmt: skip


def is_certificate_ending(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """The receiver's certificate ends within `certificate`."""
    ends = scene.certificate_ends
    if ends is None or ends - scene.now > timedelta(seconds=settings.certificate):
        return
    yield Alert(
        Kind.CERTIFICATE, CENTER, Severity.WARNING, ends - timedelta(seconds=settings.certificate),
        Text(zh=f"中心的 TLS 证书于 {ends:%Y-%m-%d} 到期", en=f"the center's TLS certificate ends on {ends:%Y-%m-%d}"),
        Text(
            zh="为同一密钥换发证书（tls/center.crt）；采集端只认密钥，不会察觉",
            en="have a new certificate made for the same key (tls/center.crt); agents look at the key alone",
        ),
    )  # fmt: skip


def is_held(scene: Scene, _settings: AlertSettings) -> Iterator[Alert]:
    """The ledger signs nothing, and not just because the center has only just started."""
    started = scene.listening.started
    if scene.held is None or (not scene.has_hold and started is not None and scene.now - started < START_GRACE):
        return
    why = scene.held if isinstance(scene.held, Text) else Text(zh=scene.held, en=scene.held)
    yield Alert(
        Kind.HELD, CENTER, Severity.ERROR, scene.now,
        Text(zh=f"证据日志停止签名：{why.zh}", en=f"the ledger signs nothing: {why.en}"),
        Text(
            zh="运行 jinsuo-center ledger status，按手册“从旧副本恢复”处理",
            en="run `jinsuo-center ledger status`, and see \"restored from an older copy\" in the handbook",
        ),
    )  # fmt: skip


def is_channel_failing(scene: Scene, _settings: AlertSettings) -> Iterator[Alert]:
    """A channel has taken nothing for an hour."""
    for name, since in scene.failing_channels.items():
        if scene.now - since < timedelta(hours=1):
            continue
        yield Alert(
            Kind.CHANNEL, name, Severity.WARNING, since,
            Text(zh=f"告警渠道 {name} 发不出去", en=f"alerts do not get through by the channel {name}"),
            Text(
                zh="看中心的日志，改正 center.yaml 中该渠道，然后运行 jinsuo-center alerts test",
                en="see the center's log, mend the channel in center.yaml, then run `jinsuo-center alerts test`",
            ),
        )  # fmt: skip


RULES: Final[Mapping[Kind, Rule]] = {
    Kind.QUIET: is_quiet,
    Kind.LATE: is_late,
    Kind.FAILING: is_failing,
    Kind.CLOCK: is_clock_off,
    Kind.AGENT_DISK: is_agent_disk_filling,
    Kind.DISK: is_disk_filling,
    Kind.CONTENT: is_content_overdue,
    Kind.CERTIFICATE: is_certificate_ending,
    Kind.HELD: is_held,
    Kind.CHANNEL: is_channel_failing,
}


def _failing(unit: UnitScene, place: str, since: datetime, names: str, code: str) -> Alert:
    return Alert(
        Kind.FAILING, place, Severity.WARNING, since,
        Text(
            zh=f"{unit.unit} 的采集端报告：来源 {names} 失败，代码 {code}",
            en=f"the agent of {unit.unit} reports that source {names} failed with {code}",
        ),
        Text(
            zh=f"查手册中 {code} 的说明，与该单位联系；在那里运行 jinsuo-agent check",
            en=f"look {code} up in the handbook and call the unit; run `jinsuo-agent check` there",
        ),
    )  # fmt: skip


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _span(span: timedelta) -> str:
    """Give a span in its largest unit: `2 d`, `7 h`, `12 min`."""
    seconds = span.total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit != "d"):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _span_zh(span: timedelta) -> str:
    number, unit = _span(span).split(" ")
    return f"{number} {({'d': '天', 'h': '小时', 'min': '分钟', 's': '秒'})[unit]}"
