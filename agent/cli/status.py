# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent status`: where every source stands, from the agent's own journal; asks nobody."""

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta

from agent.cli.facade import OpenAgent
from agent.cli.showing import STAGES
from agent.outcome import AgentStatus, SourceStatus
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer, format_size


class Status:
    """Show where things stand."""

    name = "status"
    help = Text(zh="各来源的最近回执、级别、滞后和发件箱", en="per source: last receipt, level, lag, spool")
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
        out.result(_describe(status, now))
        return EXIT_OK


def _show(status: AgentStatus, now: datetime, out: Printer) -> None:
    if status.unit is None:
        out.say(Text(zh="尚未登记（`jinsuo-agent enroll`）", en="not enrolled yet (`jinsuo-agent enroll`)"))
    else:
        out.say(Text(zh=f"{status.unit}，中心 {status.center}", en=f"{status.unit} at {status.center}"))
    out.table(
        [
            Text(zh="来源", en="SOURCE"),
            Text(zh="最近", en="NEWEST"),
            Text(zh="级别", en="LEVEL"),
            Text(zh="取于", en="TAKEN"),
            Text(zh="最近入库", en="LAST STORED"),
            Text(zh="滞后", en="LAG"),
            Text(zh="待发", en="WAITING"),
        ],
        [_row(source, now) for source in status.sources],
    )
    for source in status.sources:
        if source.last_error:
            out.warn(f"{source.source}: {source.last_error}")
    out.say(
        Text(
            zh=f"发件箱 {format_size(status.spool_bytes)} / {format_size(status.spool_limit_bytes)}，"
            f"卷上空闲 {format_size(status.spool_free_bytes)}",
            en=f"spool: {format_size(status.spool_bytes)} of {format_size(status.spool_limit_bytes)}, "
            f"{format_size(status.spool_free_bytes)} free on its volume",
        )
    )


def _row(source: SourceStatus, now: datetime) -> list[str | Text | datetime | None]:
    return [
        source.source,
        None if source.sequence is None else f"{source.source}#{source.sequence}",
        None if source.stage is None else STAGES[source.stage],
        source.taken_at,
        None if source.stored_sequence is None else f"#{source.stored_sequence} log@{source.log_index}",
        None if source.stored_at is None else _lag(now - source.stored_at),
        f"{source.waiting} ({format_size(source.waiting_bytes)})" if source.waiting else None,
    ]


def _lag(lag: timedelta) -> str:
    """Give a time in the two units that matter: `2 d 3 h`, `5 min`."""
    seconds = max(0, round(lag.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds % 86400 // 3600, seconds % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _describe(status: AgentStatus, now: datetime) -> dict[str, object]:
    return {
        "folder": status.folder,
        "unit": status.unit,
        "center": status.center,
        "sources": [_describe_source(source, now) for source in status.sources],
        "spool": {
            "bytes": status.spool_bytes,
            "limit_bytes": status.spool_limit_bytes,
            "free_bytes": status.spool_free_bytes,
        },
    }


def _describe_source(source: SourceStatus, now: datetime) -> dict[str, object]:
    return {
        "source": source.source,
        "kind": source.kind,
        "sequence": source.sequence,
        "level": source.stage,
        "taken_at": source.taken_at,
        "rows": source.rows,
        "stored_sequence": source.stored_sequence,
        "stored_at": source.stored_at,
        "log_index": source.log_index,
        "lag_seconds": None if source.stored_at is None else max(0, round((now - source.stored_at).total_seconds())),
        "waiting": source.waiting,
        "waiting_bytes": source.waiting_bytes,
        "last_error": source.last_error,
    }
