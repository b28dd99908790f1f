# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent status`: where every source stands, from the agent's own journal; asks nobody."""

import argparse
from collections.abc import Callable
from datetime import datetime

from agent.cli.facade import OpenAgent
from agent.cli.load import describe_pauses
from agent.cli.pause import show_pause
from agent.cli.showing import STAGES
from agent.health.document import describe_status, find_lag_s, format_lag
from agent.load import LoadReport
from agent.outcome import AgentStatus, SourceStatus
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer, format_size


class Status:
    """Show where things stand."""

    name = "status"
    help = Text(
        zh="各来源的最近回执、级别、滞后、发件箱和下次运行", en="per source: last receipt, level, lag, spool, next run"
    )
    description = Text(
        zh="只看本机的日志，不联系中心。滞后是距最近一次入库的时间。",
        en="Reads this machine's journal, asks nobody. The lag is the time since the last snapshot that is stored.",
    )
    examples = Examples(sh="jinsuo-agent status", powershell="jinsuo-agent status --json | ConvertFrom-Json")

    def __init__(self, open_agent: OpenAgent, clock: Callable[[], datetime]) -> None:
        self._open = open_agent
        self._clock = clock

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Print it."""
        with self._open(args.folder) as agent:
            status = agent.status()
        now = self._clock()
        _show(status, now, out)
        out.result(describe_status(status, now))
        return EXIT_OK


def _show(status: AgentStatus, now: datetime, out: Printer) -> None:
    if status.unit is None:
        out.say(Text(zh="尚未登记（`jinsuo-agent enroll`）", en="not enrolled yet (`jinsuo-agent enroll`)"))
    else:
        out.say(Text(zh=f"{status.unit}，中心 {status.center}", en=f"{status.unit} at {status.center}"))
    if status.pause is not None:
        show_pause(out, status.pause)
    out.table(
        [
            Text(zh="来源", en="SOURCE"),
            Text(zh="最近", en="NEWEST"),
            Text(zh="级别", en="LEVEL"),
            Text(zh="取于", en="TAKEN"),
            Text(zh="最近入库", en="LAST STORED"),
            Text(zh="滞后", en="LAG"),
            Text(zh="待发", en="WAITING"),
            Text(zh="下次运行", en="NEXT RUN"),
        ],
        [_row(source, now) for source in status.sources],
    )
    for source in status.sources:
        if source.last_error:
            out.warn(f"{source.source}: {source.last_error}")
        if source.missed_at is not None:
            _show_missed(source, source.missed_at, out)
        if source.load is not None:
            _show_load(source.load, out)
    out.say(
        Text(
            zh=f"发件箱 {format_size(status.spool_bytes)} / {format_size(status.spool_limit_bytes)}，"
            f"卷上空闲 {format_size(status.spool_free_bytes)}",
            en=f"spool: {format_size(status.spool_bytes)} of {format_size(status.spool_limit_bytes)}, "
            f"{format_size(status.spool_free_bytes)} free on its volume",
        )
    )


def _show_missed(source: SourceStatus, missed_at: datetime, out: Printer) -> None:
    """Tell of the newest scheduled run that was not taken, unless something was taken since."""
    if source.taken_at is None or source.taken_at < missed_at:
        when = out.time(missed_at)
        out.warn(
            Text(
                zh=f"{source.source}：{when} 的运行没有取成：{source.missed_why}",
                en=f"{source.source}: the run of {when} was not taken: {source.missed_why}",
            )
        )


def _show_load(load: LoadReport, out: Printer) -> None:
    """Tell in a line what the last run asked of the source; `jinsuo-agent load` tells all."""
    rate = format_size(round(load.read_bytes_per_s or 0))
    pauses = describe_pauses(load, out)
    out.say(
        Text(
            zh=f"{load.source} 上次运行：事务 {load.transaction_s:.0f} 秒，读取 {rate}/秒，等锁 {load.lock_wait_s:.1f} 秒，"
            f"挡住别人 {load.blocked_s:.1f} 秒" + (f"；暂停：{pauses}" if pauses else ""),
            en=f"{load.source}, last run: transaction {load.transaction_s:.0f} s, read {rate}/s, waited {load.lock_wait_s:.1f} s "
            f"for locks, blocked others {load.blocked_s:.1f} s" + (f"; pauses: {pauses}" if pauses else ""),
        )
    )


def _row(source: SourceStatus, now: datetime) -> list[str | Text | datetime | None]:
    lag = find_lag_s(source, now)
    return [
        source.source,
        None if source.sequence is None else f"{source.source}#{source.sequence}",
        None if source.stage is None else STAGES[source.stage],
        source.taken_at,
        None if source.stored_sequence is None else f"#{source.stored_sequence} log@{source.log_index}",
        None if lag is None else format_lag(lag),
        f"{source.waiting} ({format_size(source.waiting_bytes)})" if source.waiting else None,
        source.next_run or source.schedule or None,
    ]
