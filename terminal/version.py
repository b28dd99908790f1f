# SPDX-License-Identifier: Apache-2.0
"""The command `version` of agent and center: what is installed here, for a bug report."""

import argparse
import platform
import sqlite3

from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class Version:
    """Print versions."""

    name = "version"
    help = Text(zh="显示版本与运行环境", en="show the version and what it runs on")
    description = Text(
        zh="列出本程序、Python、SQLite 的版本和操作系统，报告问题时请附上。",
        en="The versions of this program, Python and SQLite, and the system: for reports of trouble.",
    )

    def __init__(self, program: str, version: str) -> None:
        self._version = version
        self.examples = Examples(sh=f"{program} version", powershell=f"{program} version --json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:  # noqa: ARG002 - the protocol's form
        """Print them."""
        facts = {
            "jinsuo": self._version,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "system": platform.platform(),
        }
        for name, value in facts.items():
            out.say(f"{name} {value}")
        out.result(facts)
        return EXIT_OK
