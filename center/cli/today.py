# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center today`: who is late, and what needs a person, on one screen."""

import argparse
from typing import TYPE_CHECKING, Final

from center.cli.alerts import HEADERS, describe, make_row
from center.cli.opening import open_center
from center.cli.words import LEVELS, label
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK
from terminal.language import Text
from terminal.printer import Cell, Printer, format_size

if TYPE_CHECKING:
    from center.alerts.today import SourceLine
    from center.alerts.today import Today as Screen

_ARRIVALS: Final = {
    "in time": Text(zh="已到", en="in time"),
    "late": Text(zh="迟到", en="LATE"),
    "not expected": Text(zh="-", en="-"),
    "disabled": Text(zh="单位已停用", en="unit disabled"),
}


class Today:
    """Show today."""

    name = "today"
    help = Text(zh="今天谁迟到了，什么事要人处理", en="who is late, and what needs a person: one screen")
    description = Text(
        zh="每个单位的每个来源一行：应到时间、是否已到、级别、采集端最近音信；然后是未解除的告警、磁盘、逾期的内容。\n"
        "应到时间来自 center.yaml 的 alerts.expected。有来源迟到或有未处理的告警时退出码 1。",
        en="A line for each source of each unit: when it was due, whether it came, how far it is, when the agent last called;\n"
        "then open alerts, the disk, and content that is overdue. What is due stands in `alerts.expected` of center.yaml.\n"
        "The exit code is 1 if a source is late or an alert is open that nobody has acknowledged.",
    )
    examples = Examples(sh="jinsuo-center today", powershell="jinsuo-center today --json | ConvertFrom-Json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Show it."""
        from center.alerts.today import make_today

        with open_center(args, out) as center:
            watch = center.watch(args.environ)
            screen = make_today(watch.scene(), watch.records(), center.config.alerts)
        _show(screen, out)
        out.result(_describe(screen))
        late = any(line.arrival.value == "late" for line in screen.lines)
        return EXIT_FAILED if late or screen.needs_person else EXIT_OK


def _show(screen: "Screen", out: Printer) -> None:
    out.table(
        [
            Text(zh="单位", en="UNIT"), Text(zh="来源", en="SOURCE"), Text(zh="到达", en="ARRIVAL"),
            Text(zh="应到", en="DUE"), Text(zh="最近", en="NEWEST"), Text(zh="级别", en="LEVEL"),
            Text(zh="取于", en="TAKEN"), Text(zh="采集端音信", en="AGENT CALLED"), Text(zh="待发", en="WAITING"),
            Text(zh="失败", en="FAILURE"),
        ],
        [_row(line) for line in screen.lines],
    )  # fmt: skip
    out.say()
    if screen.open:
        out.table(HEADERS, [make_row(record, out) for record in screen.open])
        for record in screen.open:
            if record.acknowledged is None:
                out.say(f"{record.alert.id}: {out.words(record.alert.what)}")
    else:
        out.say(Text(zh="没有未解除的告警", en="no alert is open"))
    for row in screen.overdue:
        received = out.time(row.received)
        out.say(
            Text(
                zh=f"内容逾期：{row.unit} {label(row)}，登记于 {received}",
                en=f"content overdue: {row.unit} {label(row)}, registered {received}",
            )
        )
    percent = 100 * screen.free_bytes / max(1, screen.total_bytes)
    out.say(
        Text(
            zh=f"中心磁盘空闲 {format_size(screen.free_bytes)}（{percent:.0f}%）",
            en=f"the center's disk: {format_size(screen.free_bytes)} free ({percent:.0f} %)",
        )
    )


def _row(line: "SourceLine") -> list[Cell]:
    newest, beat = line.newest, line.beat
    return [
        line.unit,
        line.source,
        _ARRIVALS[line.arrival.value],
        line.due,
        None if newest is None else label(newest),
        None if newest is None else LEVELS[newest.level.value],
        None if newest is None else min(newest.ended, newest.received),
        line.seen,
        None if beat is None or not beat.waiting else f"{beat.waiting} ({format_size(beat.waiting_bytes)})",
        None if beat is None or beat.failure is None else beat.failure.code,
    ]


def _describe(screen: "Screen") -> dict[str, object]:
    return {
        "now": screen.now,
        "sources": [_describe_line(line) for line in screen.lines],
        "alerts": [describe(record) for record in screen.open],
        "overdue": [{"unit": r.unit, "source": r.source, "sequence": r.sequence, "received": r.received} for r in screen.overdue],
        "disk": {"free_bytes": screen.free_bytes, "total_bytes": screen.total_bytes},
    }  # fmt: skip


def _describe_line(line: "SourceLine") -> dict[str, object]:
    newest, beat = line.newest, line.beat
    return {
        "unit": line.unit,
        "source": line.source,
        "arrival": line.arrival.value,
        "due": line.due,
        "sequence": None if newest is None else newest.sequence,
        "level": None if newest is None else newest.level.value,
        "taken": None if newest is None else newest.ended,
        "received": None if newest is None else newest.received,
        "agent_called": line.seen,
        "waiting": None if beat is None else beat.waiting,
        "waiting_bytes": None if beat is None else beat.waiting_bytes,
        "next_run": None if beat is None else beat.next_run,
        "failure": None if beat is None or beat.failure is None else beat.failure.code,
    }
