# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent send`: drain the spool. What the center has acknowledged is not sent again."""

import argparse

from agent.cli.facade import OpenAgent
from agent.cli.showing import FORCE, describe_outcome, outcome_code, show_bars, show_outcome
from agent.cli.snapshot import worst
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class Send:
    """Drain the spool."""

    name = "send"
    help = Text(zh="发送发件箱中的数据", en="send what waits in the spool")
    description = Text(
        zh="按先后发送，接着上次断开之处。回执核验之后才从发件箱删除。还有发不出去的，返回 2。",
        en="Sends the oldest first and goes on where the line broke. Nothing leaves the spool before its receipt has\n"
        "been verified. Exit code 2 if something still waits.",
    )
    examples = Examples(sh="jinsuo-agent send", powershell="jinsuo-agent send --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add --force."""
        parser.add("--force", action="store_true", help=FORCE)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Send and print."""
        with self._open(args.folder) as agent, show_bars(out, "") as bars:
            outcomes = agent.send(bars, force=args.force)
        for outcome in outcomes:
            show_outcome(out, outcome)
        if not outcomes:
            out.say(Text(zh="发件箱是空的", en="nothing waits in the spool"))
        out.result({"snapshots": [describe_outcome(out, outcome) for outcome in outcomes]})
        return worst([EXIT_OK, *map(outcome_code, outcomes)])
