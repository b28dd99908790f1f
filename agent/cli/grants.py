# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent grants SOURCE`: the SQL that makes the read-only account of a source. Runs nothing."""

import argparse

from agent.cli.facade import OpenAgent
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class Grants:
    """Print the SQL."""

    name = "grants"
    help = Text(zh="给出只读账户所需的 SQL", en="print the SQL of the read-only account")
    description = Text(
        zh="只打印，不执行；交给数据库管理员审阅后执行。账户只能读，且只有所需的权限。",
        en="Prints, runs nothing; for the database's administrator to read and run. The account can only read.",
    )
    examples = Examples(
        sh="jinsuo-agent grants his | psql -U postgres hospital",
        powershell="jinsuo-agent grants his | Out-File -Encoding utf8 grants.sql",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE."""
        parser.add("source", metavar="SOURCE", help=Text(zh="来源的名称", en="the source's name"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Print it."""
        with self._open(args.folder) as agent:
            words = out.words(agent.grants(args.source))
        out.say(words.rstrip("\n"))
        out.result({"source": args.source, "grants": words})
        return EXIT_OK
