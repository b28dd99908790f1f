# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent compare SOURCE --with N`: does the live source still equal what was registered? Sends nothing."""

import argparse

from agent.cli.facade import OpenAgent
from agent.cli.showing import FORCE, show_bars
from agent.outcome import Comparison, Verdict
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, EXIT_RETRY, UsageError
from terminal.language import Text
from terminal.printer import Printer

_VERDICTS = {
    Verdict.EQUAL: Text(zh="相同", en="equal"),
    Verdict.DIFFERENT: Text(zh="不同", en="different"),
    Verdict.SCHEMA_DIFFERS: Text(zh="结构不同", en="schema differs"),
    Verdict.ONLY_REGISTERED: Text(zh="现已没有", en="only registered"),
    Verdict.ONLY_LIVE: Text(zh="登记时没有", en="only in the source"),
    Verdict.NOT_READ: Text(zh="未读", en="not read"),
}


class Compare:
    """Compare."""

    name = "compare"
    help = Text(zh="把来源与已登记的快照逐表比较", en="compare the source with what was registered, table by table")
    description = Text(
        zh="读取来源，重新计算各表的根，与登记的相比。不发送任何数据。\n相同返回 0，不同返回 1，有表未能读取返回 2。",
        en="Reads the source, computes each table's root anew and compares it with the registered one. Sends nothing.\n"
        "Exit code 0: equal; 1: different; 2: some table could not be read, so nothing can be said.",
    )
    examples = Examples(sh="jinsuo-agent compare his --with 412", powershell="jinsuo-agent compare his --with latest")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE, --with and --force."""
        parser.add("source", metavar="SOURCE", help=Text(zh="来源的名称", en="the source's name"))
        parser.add(
            "--with",
            dest="sequence",
            metavar="N",
            required=True,
            help=Text(zh="声明的序号，或 latest", en="a statement's sequence number, or latest"),
        )
        parser.add("--force", action="store_true", help=FORCE)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Compare and print."""
        sequence = _parse_sequence(args.sequence)
        with self._open(args.folder) as agent, show_bars(out, args.source) as bars:
            comparison = agent.compare(args.source, sequence, bars, force=args.force)
        _show(comparison, out)
        out.result(_describe(comparison))
        if any(table.verdict not in (Verdict.EQUAL, Verdict.NOT_READ) for table in comparison.tables):
            return EXIT_FAILED
        return EXIT_OK if comparison.is_certain else EXIT_RETRY


def _parse_sequence(text: str) -> int | None:
    if text == "latest":
        return None
    # Not int() alone: it takes +7, 1_000 and the digits of other scripts.
    if text.isascii() and text.isdecimal() and len(text) <= 15 and int(text) > 0:
        return int(text)
    raise UsageError(
        Text(
            zh=f"--with：应为序号或 latest，得到 {text}",
            en=f"--with: expected a sequence number or latest, found {text}",
        ),
        hint=Text(zh="用 `jinsuo-agent status` 查看序号", en="see `jinsuo-agent status` for the numbers"),
    )


def _show(comparison: Comparison, out: Printer) -> None:
    out.table(
        [
            Text(zh="表", en="TABLE"),
            Text(zh="结论", en="VERDICT"),
            Text(zh="登记行数", en="ROWS REGISTERED"),
            Text(zh="现有行数", en="ROWS NOW"),
            Text(zh="说明", en="WHY"),
        ],
        [
            [table.name, _VERDICTS[table.verdict], table.rows_registered, table.rows_live, table.reason]
            for table in comparison.tables
        ],
    )
    label, when = f"{comparison.source}#{comparison.sequence}", out.time(comparison.registered_at)
    if comparison.is_equal:
        out.say(Text(zh=f"与 {label}（{when}）相同", en=f"equal to {label} of {when}"))
    elif all(table.verdict in (Verdict.EQUAL, Verdict.NOT_READ) for table in comparison.tables):
        out.say(Text(zh="有表未能读取，不能断言", en="some tables could not be read: undecided"))
    else:
        out.say(
            Text(
                zh=f"与 {label}（{when}）不同；逐行的差别：取快照后运行 `jinsuo-center diff`",
                en=f"differs from {label} of {when}; for the rows take a snapshot, then `jinsuo-center diff`",
            )
        )


def _describe(comparison: Comparison) -> dict[str, object]:
    return {
        "source": comparison.source,
        "sequence": comparison.sequence,
        "registered_at": comparison.registered_at,
        "equal": comparison.is_equal,
        "registered_root": comparison.registered_root,
        "live_root": comparison.live_root,
        "tables": [
            {
                "name": table.name,
                "verdict": table.verdict,
                "rows_registered": table.rows_registered,
                "rows_live": table.rows_live,
                "reason": table.reason,
            }
            for table in comparison.tables
        ],
    }
