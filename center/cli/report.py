# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center report UNIT [SOURCE] --month 2026-11`: a month of each source: runs, levels, lag, gaps, sizes."""

import argparse
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from center.cli.opening import open_center
from center.cli.words import label
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Cell, Printer, format_size

if TYPE_CHECKING:
    from center.alerts.report import Lag, SourceReport
    from center.app import Center
    from center.registry.catalog_tables import StatementRow


class Report:
    """Report on a month."""

    name = "report"
    help = Text(zh="一个单位一个月的情况：次数、级别、滞后、缺口", en="a unit's month: runs, levels, lag, gaps, sizes")
    description = Text(
        zh="滞后是从来源的时间到声明入日志的时间（中位数、最长）；内容后到的，另计到内容入库为止。\n"
        "月份按 center.yaml 的 alerts.zone 计。",
        en="The lag is from the source's time to the log's (median, longest); where content came later, another one counts\n"
        "until it was stored. Months are those of `alerts.zone` in center.yaml.",
    )
    examples = Examples(
        sh="jinsuo-center report X013 --month 2026-11",
        powershell="jinsuo-center report X013 his --month 2026-11 --json",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, --month."""
        parser.add("unit", metavar="UNIT", help=Text(zh="单位编号", en="the unit's number"))
        parser.add("source", nargs="?", metavar="SOURCE", help=Text(zh="只看该来源", en="of this source only"))
        parser.add("--month", required=True, metavar="YYYY-MM", help=Text(zh="月份，如 2026-11", en="such as 2026-11"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Make it."""
        from center.alerts.report import make_report, parse_month

        month = parse_month(args.month)
        if month is None:
            raise UsageError(
                Text(zh=f"--month {args.month!r:.20} 不是月份", en=f"--month {args.month!r:.20} is no month"),
                hint=Text(zh="例如 --month 2026-11", en="such as --month 2026-11"),
            )
        with open_center(args, out) as center:
            unit = center.units.get(args.unit)
            if args.source is not None:
                center.units.secrets(args.unit, args.source)  # a mistyped source is an error, not an empty report
            reports = [
                make_report(
                    unit.unit, source, center.catalog.statements(unit.unit, source), month, center.config.alerts.zone,
                    lambda row: _find_stored(center, row), center.clock(),
                )
                for source in ([args.source] if args.source is not None else unit.sources)
            ]  # fmt: skip
        out.say(Text(zh=f"{unit.unit} {unit.name}，{args.month}", en=f"{unit.unit} {unit.name}, {args.month}"))
        _show(reports, out)
        out.result({"unit": unit.unit, "month": args.month, "sources": [_describe(report) for report in reports]})
        return EXIT_OK


def _find_stored(center: "Center", row: "StatementRow") -> datetime | None:
    """Give when a row's content was whole: the time of the leaf that says so."""
    from evidence.manifest.entry import parse_entry

    if row.stored_index is None:
        return None
    if row.stored_index == row.index:
        return row.received
    return parse_entry(center.ledger.entry(row.stored_index)).received


def _show(reports: "list[SourceReport]", out: Printer) -> None:
    out.table(
        [
            Text(zh="来源", en="SOURCE"), Text(zh="次数", en="RUNS"), Text(zh="已入库", en="STORED"),
            Text(zh="仅登记", en="REGISTERED"), Text(zh="滞后中位", en="LAG"), Text(zh="最长", en="LONGEST"),
            Text(zh="入库滞后", en="STORING LAG"), Text(zh="最长", en="LONGEST"), Text(zh="缺口", en="GAPS"),
            Text(zh="最长间隔", en="LONGEST PAUSE"), Text(zh="行", en="ROWS"), Text(zh="大小", en="SIZE"),
            Text(zh="有提示", en="FLAGGED"),
        ],
        [_row(report) for report in reports],
    )  # fmt: skip
    for report in reports:
        for gap in report.gaps:
            began, ended = out.time(gap.began), out.time(gap.ended)
            out.say(
                Text(
                    zh=f"缺口 {label(gap)}：{began} 至 {ended}",
                    en=f"gap {label(gap)}: {began} to {ended}",
                )
            )


def _row(report: "SourceReport") -> list[Cell]:
    last = report.last
    return [
        report.source,
        report.runs,
        report.stored,
        report.registered,
        *_spans(report.lag),
        *_spans(report.storing_lag),
        len(report.gaps),
        None if report.longest_pause is None else _span(report.longest_pause),
        None if last is None else last.rows,
        None if last is None else format_size(last.bytes_),
        report.flagged,
    ]


def _spans(lag: "Lag | None") -> tuple[Cell, Cell]:
    return (None, None) if lag is None else (_span(lag.median), _span(lag.longest))


def _span(span: timedelta) -> str:
    """Give a span as `2 d 03:04:05`."""
    seconds = round(span.total_seconds())
    days, rest = divmod(seconds, 86_400)
    text = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days} d {text}" if days else text


def _describe(report: "SourceReport") -> dict[str, object]:
    first, last = report.first, report.last
    return {
        "source": report.source,
        "runs": report.runs,
        "stored": report.stored,
        "registered": report.registered,
        "lag_seconds": _describe_lag(report.lag),
        "storing_lag_seconds": _describe_lag(report.storing_lag),
        "gaps": [{"sequence": gap.sequence, "from": gap.began, "to": gap.ended} for gap in report.gaps],
        "longest_pause_seconds": None if report.longest_pause is None else report.longest_pause.total_seconds(),
        "flagged": report.flagged,
        "first": None if first is None else {"sequence": first.sequence, "rows": first.rows, "bytes": first.bytes_},
        "last": None if last is None else {"sequence": last.sequence, "rows": last.rows, "bytes": last.bytes_},
    }


def _describe_lag(lag: "Lag | None") -> dict[str, float] | None:
    return None if lag is None else {"median": lag.median.total_seconds(), "max": lag.longest.total_seconds()}
