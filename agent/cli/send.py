# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent send`: drain the spool. What the center has acknowledged is not sent again."""

import argparse
import time
from typing import TYPE_CHECKING

from agent.cli.facade import OpenAgent
from agent.cli.showing import FORCE, describe_outcome, outcome_code, show_bars, show_outcome
from agent.cli.snapshot import worst
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, EXIT_RETRY, UsageError
from terminal.language import Text
from terminal.printer import Printer
from terminal.settings import parse_duration

if TYPE_CHECKING:
    from agent.transport.send import Budget


class Send:
    """Drain the spool."""

    name = "send"
    help = Text(zh="发送发件箱中的数据", en="send what waits in the spool")
    description = Text(
        zh="按先后发送，接着上次断开之处。回执核验之后才从发件箱删除。还有未发完的，返回 2。",
        en="Sends the oldest first and goes on where the line broke. Nothing leaves the spool before its receipt has\n"
        "been verified. Exit code 2 if something still waits.",
    )
    examples = Examples(sh="jinsuo-agent send --within 30min", powershell="jinsuo-agent send --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add --force, --within."""
        parser.add("--force", action="store_true", help=FORCE)
        parser.add(
            "--within",
            metavar="TIME",
            help=Text(
                zh="只发送这么久，如 30min；余下的留待下次",
                en="send for so long, such as 30min; the rest waits for the next time",
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Send and print."""
        budget = None if args.within is None else _make_budget(args.within)
        with self._open(args.folder) as agent, show_bars(out, "") as bars:
            outcomes = agent.send(bars, force=args.force, budget=budget)
        for outcome in outcomes:
            show_outcome(out, outcome)
        if not outcomes:
            out.say(Text(zh="发件箱是空的", en="nothing waits in the spool"))
        out.result({"snapshots": [describe_outcome(out, outcome) for outcome in outcomes]})
        waits = budget is not None and budget.is_spent and bool(outcomes)
        return worst([EXIT_RETRY if waits else EXIT_OK, *map(outcome_code, outcomes)])


def _make_budget(text: str) -> "Budget":
    """Read --within. Raises: UsageError."""
    from agent.transport.send import Budget

    seconds = parse_duration(text)
    if not seconds:
        raise UsageError(
            Text(zh=f"--within：看不懂 {text}", en=f"--within: {text} is no duration"),
            hint=Text(zh="例如 30min、2h", en="such as 30min or 2h"),
        )
    return Budget(time.monotonic, seconds=seconds)
