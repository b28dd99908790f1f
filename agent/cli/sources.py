# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent sources`: kinds and dialects, what each needs, whether it is here, against what it has been run."""

import argparse

from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class Sources:
    """List the kinds."""

    name = "sources"
    help = Text(zh="列出支持的来源种类", en="list the kinds of sources")
    description = Text(
        zh="列出来源的种类与 ODBC 方言：需要安装什么，本机是否已装，是否在真实服务器上运行过。\n"
        "尚未运行过的，先取一次快照，与厂商工具的导出逐表比对后再启用。",
        en="Lists kinds of sources and dialects of ODBC: what each needs, whether that is installed here, and whether it\n"
        "has been run against a live server. Of one that has not, compare a first snapshot with the vendor's export.",
    )
    examples = Examples(sh="jinsuo-agent sources --lang en", powershell="jinsuo-agent sources --json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:  # noqa: ARG002 - the protocol's names
        """List them."""
        # Not at the top: help needs none of it.
        from agent.collectors.listing import find_drivers, list_sources

        yes, no = Text(zh="是", en="yes"), Text(zh="否", en="no")
        not_yet = Text(zh="尚未在真实服务器上运行过", en="not yet run against a live server")
        kinds = list_sources(find_drivers)
        out.table(
            [
                Text(zh="种类", en="KIND"),
                Text(zh="方言", en="DIALECT"),
                Text(zh="数据库", en="DATABASE"),
                Text(zh="需要", en="NEEDS"),
                Text(zh="已装", en="INSTALLED HERE"),
                Text(zh="真实服务器", en="RUN AGAINST A LIVE SERVER"),
            ],
            [
                [
                    each.kind, each.dialect, each.title, each.needs if each.needs.en else None, yes if each.is_installed else no,
                    not_yet if each.seen is None else Text(zh=f"是（{each.seen}）", en=each.verdict),
                ]
                for each in kinds
            ],
        )  # fmt: skip
        out.result(
            {
                "sources": [
                    {
                        "kind": each.kind, "dialect": each.dialect, "database": each.title.en, "needs": each.needs.en or None,
                        "installed": each.is_installed, "run_against_a_live_server": each.seen is not None,
                        "live_server": each.seen,
                    }
                    for each in kinds
                ]
            }
        )  # fmt: skip
        return EXIT_OK
