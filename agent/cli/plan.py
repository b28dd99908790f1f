# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent plan SOURCE`: what a snapshot will take, measured by a bounded sample of reading, and what follows."""

import argparse
import re

from agent.cli.facade import OpenAgent
from agent.cli.showing import show_bars
from agent.finding import Finding, Severity
from agent.outcome import Outcome
from agent.plan.figures import Line, Plan, Question, TablePlan, format_span, parse_rate
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, EXIT_RETRY, UsageError
from terminal.language import Text
from terminal.printer import Printer, format_size

_SPAN = re.compile(r"([0-9]+) ?(s|min|h)")
_SPAN_UNITS = {"s": 1, "min": 60, "h": 3600}
_NOT_MEASURED = Text(zh="未实测", en="NOT MEASURED")


class PlanSource:
    """Measure."""

    name = "plan"
    help = Text(zh="实测一次快照的规模、时间和空间", en="measure size, time and room of a snapshot")
    description = Text(
        zh="按与快照相同的方式从大表读取一小段（默认共 20 秒），计数后丢弃，由此推算一次读取的时长、首次快照的大小、所需空间和夜数，\n"
        "并给出建议。不保存、不发送；没有测到的写“未实测”。\n"
        "照此快照会失败（超过时限、空间不足）返回 1；有表未能实测返回 2；否则返回 0。",
        en="Reads the beginnings of the largest tables as a snapshot does (20 s in all), counts and forgets them, and works\n"
        "out how long one read takes, the size of the first snapshot, the room and the nights it needs, with advice.\n"
        "Keeps and sends nothing; what was not measured is said to be NOT MEASURED.\n"
        "Exit code 1: a snapshot would fail so (over its time limit, no room); 2: some table could not be measured; else 0.",
    )
    examples = Examples(
        sh="jinsuo-agent plan his --line 10Mbit/s --window 6h",
        powershell="jinsuo-agent plan his --line 10Mbit/s --window 6h",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE, --line, --window and --sample."""
        parser.add("source", metavar="SOURCE", help=Text(zh="来源的名称", en="the source's name"))
        parser.add(
            "--line",
            metavar="RATE",
            help=Text(
                zh="到中心的线路速率，如 10Mbit/s；默认登记后实测",
                en="what the line to the center carries, such as 10Mbit/s; by default it is measured once enrolled",
            ),
        )
        parser.add(
            "--window",
            metavar="TIME",
            default="6h",
            help=Text(zh="每夜可用线路多久，如 6h（默认）", en="how long the line may be used a night; 6h by default"),
        )
        parser.add(
            "--sample",
            metavar="TIME",
            default="20s",
            help=Text(
                zh="读取样本共多久，如 20s（默认）；0s 不读", en="how long to read samples; 20s by default, 0s: none"
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Measure and print."""
        question = Question(
            _parse_line(args.line), _parse_span("--window", args.window), _parse_span("--sample", args.sample)
        )
        if question.window_s == 0:
            raise _wrong("--window", args.window, "6h")
        with self._open(args.folder) as agent, show_bars(out, args.source) as bars:
            plan = agent.plan(args.source, question, bars)
        _show(plan, out)
        out.result(_describe(plan, out))
        if any(finding.severity is Severity.FAIL for finding in plan.advice):
            return EXIT_FAILED
        return EXIT_RETRY if plan.unmeasured or plan.seconds is None else EXIT_OK


def _parse_line(text: str | None) -> Line | None:
    if text is None:
        return None
    rate = parse_rate(text)
    if rate is None:
        raise _wrong("--line", text, "10Mbit/s")
    return Line(rate, False)


def _parse_span(option: str, text: str) -> float:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise _wrong(option, text, "20s")
    return float(match[1]) * _SPAN_UNITS[match[2]]


def _wrong(option: str, text: str, example: str) -> UsageError:
    return UsageError(
        Text(zh=f"{option} 不能是 {text!r}", en=f"{option} cannot be {text!r}"),
        hint=Text(zh=f"例如 {option} {example}", en=f"for example {option} {example}"),
    )


def _show(plan: Plan, out: Printer) -> None:
    out.table(
        [
            Text(zh="表", en="TABLE"),
            Text(zh="行数", en="ROWS"),
            Text(zh="源中占用", en="ON DISK"),
            Text(zh="已读", en="SAMPLE"),
            Text(zh="内容", en="CONTENT"),
            Text(zh="传输", en="TO SEND"),
            Text(zh="读取时长", en="READ"),
            Text(zh="排序", en="ORDER"),
        ],
        [_row(table) for table in sorted(plan.tables, key=_weight)],
    )
    for sample in plan.sampled:
        if sample.trouble:
            out.warn(
                Text(
                    zh=f"表 {sample.table} 只测到一部分：{sample.trouble}", en=f"table {sample.table}: {sample.trouble}"
                )
            )
    _show_totals(plan, out)
    for finding in plan.advice:
        _show_finding(finding, out)


def _weight(table: TablePlan) -> tuple[int, int, str]:
    return (-(table.content_bytes or table.size.disk_bytes or 0), -(table.size.rows or 0), table.name)


def _row(table: TablePlan) -> list[str | Text | int | float | None]:
    sample = table.sample
    return [
        table.name,
        sample.rows if sample is not None and sample.is_whole else table.size.rows,
        None if table.size.disk_bytes is None else format_size(table.size.disk_bytes),
        _sampled(table),
        _NOT_MEASURED if table.content_bytes is None else format_size(table.content_bytes),
        _NOT_MEASURED if table.packed_bytes is None else format_size(table.packed_bytes),
        _NOT_MEASURED if table.seconds is None else format_span(table.seconds),
        _order(table),
    ]


def _sampled(table: TablePlan) -> str | Text:
    if table.sample is None:
        return "-"
    if table.sample.is_whole:
        return Text(zh="全部", en="all")
    return format_size(table.sample.content_bytes)


def _order(table: TablePlan) -> Text:
    if table.keyless:
        return Text(zh="无主键，采集端排序", en="no key, sorted here")
    return Text(zh="采集端排序", en="sorted here") if table.sorted_here else Text(zh="", en="")


def _show_totals(plan: Plan, out: Printer) -> None:
    content = sum(sample.content_bytes for sample in plan.sampled)
    rows = sum(sample.rows for sample in plan.sampled)
    packed = sum(sample.packed_bytes for sample in plan.sampled)
    seconds = sum(sample.seconds for sample in plan.sampled)
    if content:
        pace = f"{format_size(round(content / max(seconds, 0.001)))}/s"
        count = f"{round(rows / max(seconds, 0.001)):,}"
        out.say(
            Text(
                zh=f"样本：{len(plan.sampled)} 张表，{format_size(content)}，用时 {seconds:.1f} 秒（{pace}"
                f"{f'，{count} 行/秒' if rows else ''}），压缩至 {packed / content:.0%}",
                en=f"sample: {format_size(content)} of {len(plan.sampled)} table(s) in {seconds:.1f} s ({pace}"
                f"{f', {count} rows/s' if rows else ''}), compressed to {packed / content:.0%}",
            )
        )
    if plan.unmeasured:
        names = ", ".join(plan.unmeasured[:5]) + (" …" if len(plan.unmeasured) > 5 else "")
        out.say(
            Text(
                zh=f"{len(plan.unmeasured)} 张表未实测：{names}；以下合计只是下限",
                en=f"NOT MEASURED: {len(plan.unmeasured)} table(s): {names}; what follows is a least",
            )
        )
    for label, figure in _figures(plan):
        value = _NOT_MEASURED if figure is None else figure if isinstance(figure, Text) else Text(figure, figure)
        out.say(Text(zh=f"  {label.zh}：{value.zh}", en=f"  {label.en + ':':30}{value.en}"))
    last = plan.around.last
    if last is not None:
        out.say(_last_words(last))


def _figures(plan: Plan) -> list[tuple[Text, str | Text | None]]:
    line = plan.line
    rate: str | Text | None = None
    if line is not None:
        rate = f"{line.bits_per_s / 1e6:,.1f} Mbit/s"
        rate = Text(zh=f"实测不低于 {rate}", en=f"at least {rate}, measured") if line.is_measured else rate
    return [
        (Text(zh="一次读取（事务存续）", en="one read (transaction age)"), None if plan.seconds is None else format_span(plan.seconds)),
        *([(Text(zh="平常一次读取", en="a usual read"), format_span(plan.usual_seconds))]
          if plan.is_partial and plan.usual_seconds is not None else []),
        (Text(zh="内容", en="content"), _size(plan.content_bytes)),
        (Text(zh="首次快照的传输量", en="first snapshot sends"), _size(plan.seed_bytes)),
        (Text(zh="每夜的传输量", en="nightly bytes"), _size(plan.nightly_bytes)),
        (Text(zh="发件箱还能放", en="room in the spool"), format_size(plan.around.spool_room_bytes)),
        (Text(zh="排序的临时空间", en="room to sort"), format_size(plan.sort_bytes)),
        (Text(zh="线路", en="line"), rate),
        (Text(zh="首次快照的夜数", en="nights to seed"), None if plan.nights is None else str(plan.nights)),
    ]  # fmt: skip


def _size(size: int | None) -> str | None:
    return None if size is None else format_size(size)


def _show_finding(finding: Finding, out: Printer) -> None:
    severity = "NOT MEASURED" if finding.severity is Severity.NOT_EXAMINED else finding.severity.value
    out.say(f"{severity:12}  {finding.subject}: {finding.sentence(out.language)}")
    advice = finding.advice(out.language)
    if advice:
        out.say(f"{'':12}  → {advice}")


def _last_words(last: Outcome) -> Text:
    return Text(
        zh=f"上次 {last.label}：{last.rows:,} 行，{format_size(last.bytes_)}，发送 {format_size(last.sent_bytes)}",
        en=f"last time, {last.label}: {last.rows:,} rows, {format_size(last.bytes_)}, {format_size(last.sent_bytes)} sent",
    )


def _describe(plan: Plan, out: Printer) -> dict[str, object]:
    last = plan.around.last
    return {
        "source": plan.source,
        "consistency": plan.consistency,
        "tables": [_describe_table(table) for table in plan.tables],
        "unmeasured": list(plan.unmeasured),
        "opening_seconds": round(plan.opening_s, 3),
        "read_seconds": None if plan.seconds is None else round(plan.seconds, 3),
        "usual_read_seconds": None if plan.usual_seconds is None else round(plan.usual_seconds, 3),
        "snapshot_age_limit_seconds": plan.around.age_limit_s,
        "content_bytes": plan.content_bytes,
        "seed_bytes": plan.seed_bytes,
        "is_seeded": plan.around.is_seeded,
        "nightly_bytes": plan.nightly_bytes,
        "nights_counted": len(plan.around.sent),
        "sort_bytes": plan.sort_bytes,
        "sort_room_bytes": plan.around.sort_room_bytes,
        "spool_room_bytes": plan.around.spool_room_bytes,
        "spool_free_bytes": plan.around.spool_free_bytes,
        "line_bits_per_second": None if plan.line is None else round(plan.line.bits_per_s),
        "line_is_measured": None if plan.line is None else plan.line.is_measured,
        "line_trouble": plan.line_trouble or None,
        "window_seconds": plan.question.window_s,
        "nights_to_seed": plan.nights,
        "advice": [
            {
                "severity": finding.severity,
                "subject": finding.subject,
                "message": finding.sentence(out.language),
                "hint": finding.advice(out.language),
            }
            for finding in plan.advice
        ],
        "last": None
        if last is None
        else {
            "sequence": last.sequence,
            "rows": last.rows,
            "bytes": last.bytes_,
            "sent_bytes": last.sent_bytes,
            "taken_at": last.taken_at,
        },
    }


def _describe_table(table: TablePlan) -> dict[str, object]:
    sample = table.sample
    return {
        "name": table.name,
        "estimated_rows": table.size.rows,
        "disk_bytes": table.size.disk_bytes,
        "read": table.every,
        "sorted_here": table.sorted_here,
        "keyless": table.keyless,
        "content_bytes": table.content_bytes,
        "packed_bytes": table.packed_bytes,
        "read_seconds": None if table.seconds is None else round(table.seconds, 3),
        "sort_bytes": table.sort_bytes,
        "sample": None
        if sample is None
        else {
            "rows": sample.rows,
            "content_bytes": sample.content_bytes,
            "packed_bytes": sample.packed_bytes,
            "seconds": round(sample.seconds, 3),
            "is_whole": sample.is_whole,
            "trouble": sample.trouble or None,
        },
    }
