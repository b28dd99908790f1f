# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent plan SOURCE`: what a snapshot will take, by the source's estimates and the last snapshot's figures."""

import argparse

from agent.cli.facade import OpenAgent
from agent.outcome import Outcome, Plan, TablePlan
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer, format_size

EVERY = {
    "each run": Text(zh="每次", en="each run"),
    "weekly": Text(zh="每周", en="weekly"),
    "monthly": Text(zh="每月", en="monthly"),
}


class PlanSource:
    """Measure."""

    name = "plan"
    help = Text(zh="估计一次快照的规模、时间和空间", en="estimate size, time and room of a snapshot")
    description = Text(
        zh="列出各表的估计行数、是否要在发件箱中排序、是否没有主键；以上次快照的实测为准估计时间。\n"
        "没有测过的不作估计。不读取数据行，不发送。",
        en="Lists the tables with the source's own estimates of rows, whether they must be sorted in the spool, and\n"
        "whether they lack a key; times go by what the last snapshot measured. What was not measured is not guessed.\n"
        "Reads no rows, sends nothing.",
    )
    examples = Examples(sh="jinsuo-agent plan his", powershell="jinsuo-agent plan his --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE."""
        parser.add("source", metavar="SOURCE", help=Text(zh="来源的名称", en="the source's name"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Measure and print."""
        with self._open(args.folder) as agent:
            plan = agent.plan(args.source)
        _show(plan, out)
        out.result(_describe(plan))
        return EXIT_OK


def _show(plan: Plan, out: Printer) -> None:
    yes, no = Text(zh="是", en="yes"), Text(zh="", en="")
    out.table(
        [
            Text(zh="表", en="TABLE"),
            Text(zh="估计行数", en="ROWS (EST.)"),
            Text(zh="需排序", en="SORTED HERE"),
            Text(zh="无主键", en="NO KEY"),
            Text(zh="读取", en="READ"),
        ],
        [
            [table.name, table.rows, no if table.ordered else yes, yes if table.keyless else no, _when(table, plan)]
            for table in sorted(plan.tables, key=lambda table: (-(table.rows or 0), table.name))
        ],
    )
    free = format_size(plan.spool_free_bytes)
    out.say(
        Text(
            zh=f"{len(plan.tables)} 张表，一致性 {plan.consistency}；发件箱所在卷空闲 {free}",
            en=f"{len(plan.tables)} tables, {plan.consistency}; {free} free on the spool's volume",
        )
    )
    out.say(_last_words(plan))


def _when(table: TablePlan, plan: Plan) -> Text:
    every = EVERY[table.every]
    if table.carried_from is None:
        return every
    since = f"{plan.source}#{table.carried_from}"
    return Text(zh=f"{every.zh}，现沿用 {since}", en=f"{every.en}, now carried over from {since}")


def _last_words(plan: Plan) -> Text:
    last = plan.last
    if last is None:
        return Text(
            zh="还没有快照，时间与流量尚无实测；先在空闲时运行一次 `jinsuo-agent snapshot`",
            en="no snapshot yet, so neither time nor traffic was measured; run `jinsuo-agent snapshot` at a quiet hour",
        )
    return Text(
        zh=f"上次 {last.label}：{last.rows:,} 行，{format_size(last.bytes_)}，用时 {last.took.total_seconds():.0f} 秒"
        f"（{_speed(last):,} 行/秒），发送 {format_size(last.sent_bytes)}",
        en=f"{last.label}: {last.rows:,} rows, {format_size(last.bytes_)} in {last.took.total_seconds():.0f} s "
        f"({_speed(last):,} rows/s), {format_size(last.sent_bytes)} sent",
    )


def _speed(last: Outcome) -> int:
    return round(last.rows / max(last.took.total_seconds(), 0.001))


def _describe(plan: Plan) -> dict[str, object]:
    last = plan.last
    return {
        "source": plan.source,
        "consistency": plan.consistency,
        "tables": [
            {
                "name": table.name,
                "estimated_rows": table.rows,
                "sorted_here": not table.ordered,
                "keyless": table.keyless,
                "read": table.every,
                "carried_from": table.carried_from,
            }
            for table in plan.tables
        ],
        "spool_free_bytes": plan.spool_free_bytes,
        "last": None
        if last is None
        else {
            "sequence": last.sequence,
            "rows": last.rows,
            "bytes": last.bytes_,
            "sent_bytes": last.sent_bytes,
            "seconds": round(last.took.total_seconds(), 3),
            "taken_at": last.taken_at,
        },
    }
