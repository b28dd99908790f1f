# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent load [SOURCE]`: what past runs asked of the live systems and of this machine."""

import argparse

from agent.cli.facade import OpenAgent
from agent.health.document import describe_load
from agent.load import LoadReport, Reason
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer, format_size

SHOWN = 20
_REASONS = {
    Reason.CPU: Text(zh="处理器", en="CPU"),
    Reason.IO_WAIT: Text(zh="等待磁盘", en="I/O wait"),
    Reason.MEMORY: Text(zh="内存", en="memory"),
    Reason.LOAD: Text(zh="负载", en="load"),
    Reason.LATENCY: Text(zh="来源变慢", en="slow source"),
    Reason.SHARE: Text(zh="时间份额", en="share of the time"),
    Reason.READ_RATE: Text(zh="读取速率", en="read rate"),
    Reason.SEND_RATE: Text(zh="发送速率", en="send rate"),
    Reason.QUIET_HOURS: Text(zh="静默时段", en="quiet hours"),
}


class Load:
    """Show load reports."""

    name = "load"
    help = Text(zh="每次快照给业务系统和本机带来的负载", en="what each run asked of the live system and this machine")
    description = Text(
        zh="每次运行一行：最长事务、等锁（我们等别人、别人等我们）、读取速度、本程序的处理器秒数、本机繁忙程度、\n"
        f"暂停的原因与时长、被拒绝的会话。默认显示最近 {SHOWN} 次；记录保留一年。",
        en="A line a run: longest transaction, waiting for locks (ours for others, others for us), read rate, our CPU\n"
        "seconds, how busy this machine was, why and for how long reading paused, sessions that were refused. The\n"
        f"newest {SHOWN} unless --all; kept for a year.",
    )
    examples = Examples(sh="jinsuo-agent load his", powershell="jinsuo-agent load his --all --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE and --all."""
        parser.add("source", metavar="SOURCE", nargs="?", help=Text(zh="来源；不写则全部", en="a source; none: all"))
        parser.add("--all", action="store_true", help=Text(zh="显示一年内的全部", en="show all of the year"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Print them, oldest first."""
        with self._open(args.folder) as agent:
            known = agent.source_names()
            if args.source is not None and args.source not in known:
                listed = ", ".join(known)
                raise UsageError(
                    Text(zh=f"没有来源 {args.source}", en=f"there is no source {args.source}"),
                    hint=Text(zh=f"已配置：{listed}", en=f"there are: {listed}"),
                )
            reports = sorted(agent.loads(args.source), key=lambda report: report.began)
        shown = reports if args.all else reports[-SHOWN:]
        _show(shown, out)
        out.result({"runs": [describe_load(report) for report in shown]})
        return EXIT_OK


def _show(reports: list[LoadReport], out: Printer) -> None:
    if not reports:
        out.say(Text(zh="还没有运行记录", en="no run has been noted yet"))
        return
    out.table(
        [
            Text(zh="快照", en="RUN"),
            Text(zh="开始", en="BEGAN"),
            Text(zh="结果", en="END"),
            Text(zh="事务", en="TRANSACTION"),
            Text(zh="等锁/挡住/让开", en="WAITED/BLOCKED/GAVE WAY"),
            Text(zh="读取", en="READ"),
            Text(zh="处理器", en="CPU"),
            Text(zh="本机", en="HOST"),
            Text(zh="应答 前/中", en="LATENCY BEFORE/DURING"),
            Text(zh="暂停等", en="PAUSES AND MORE"),
        ],
        [_row(report, out) for report in reports],
    )


def _row(report: LoadReport, out: Printer) -> list[str | None]:
    rate = report.read_bytes_per_s
    locks = f"{report.lock_wait_s:.1f} s / {report.blocked_s:.1f} s / {report.gave_way}"
    return [
        report.source if report.sequence is None else f"{report.source}#{report.sequence}",
        out.time(report.began),
        report.outcome,
        f"{report.transaction_s:.1f} s",
        locks if report.lock_wait_s >= 0.05 or report.blocked_s or report.gave_way else None,
        format_size(report.read_bytes) + ("" if rate is None else f", {format_size(round(rate))}/s"),
        f"{report.cpu_s:.1f} s",
        f"{_percent(report.host_cpu_before)} → {_percent(report.host_cpu_during)}",
        f"{_milliseconds(report.latency_before_s)} / {_milliseconds(report.latency_during_s)}",
        ", ".join(filter(None, (describe_pauses(report, out), _describe_refused(report, out)))) or None,
    ]


def describe_pauses(report: LoadReport, out: Printer) -> str:
    """Give why a run paused and for how long; "" if it did not."""
    parts = [f"{out.words(_REASONS[reason])} {seconds:.0f} s" for reason, seconds in report.pauses_s.items()]
    if report.waited_s >= 1:
        parts.insert(0, out.words(Text(zh=f"开始前 {report.waited_s:.0f} s", en=f"before it {report.waited_s:.0f} s")))
    if report.hurried:
        parts.append(out.words(Text(zh="因事务年龄而缩短", en="cut short for the transaction's age")))
    return ", ".join(parts)


def _describe_refused(report: LoadReport, out: Printer) -> str:
    count = report.refused_sessions
    return out.words(Text(zh=f"被拒绝的会话 {count} 个", en=f"sessions refused: {count}")) if count else ""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.1f} ms"
