# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent handover`: what runs where, for the successor, without secrets."""

import argparse
import getpass
import platform
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from agent.cli.facade import OpenAgent
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer


class Handover:
    """Write the handover."""

    name = "handover"
    help = Text(
        zh="交接单：什么在哪里运行、备份什么、出事怎么办", en="for the successor: what runs where, what to do when"
    )
    description = Text(
        zh="把本采集端的情况写成两页 Markdown：归谁、在哪里、读哪些来源、备份什么、日常与出事时怎么办、现在未了的事，\n"
        "以及须手填的联系人。不含口令。人员更替时打印、签字、存档。",
        en="Writes two pages of Markdown: whose this agent is, where it lies, what it reads, what must be backed up, what to do day\n"
        "by day and when something happens, what is open now, and lines to fill in by hand. It holds no passwords.",
    )
    examples = Examples(
        sh="jinsuo-agent handover --out handover.md", powershell=r"jinsuo-agent handover --out D:\handover.md"
    )

    def __init__(self, open_agent: OpenAgent, clock: Callable[[], datetime]) -> None:
        self._open = open_agent
        self._clock = clock

    def add_arguments(self, parser: Parser) -> None:
        """Add --out."""
        parser.add(
            "--out",
            metavar="FILE",
            type=Path,
            help=Text(zh="写到文件（不覆盖）；不写则显示", en="write to a file, which must be new; else it is shown"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Write it."""
        from agent.config import load_config
        from agent.health.handover import Premises, find_login, locate, write_handover
        from agent.identity import Identity, is_enrolled

        config = load_config(args.folder)
        with self._open(args.folder) as agent:
            status = agent.status()
        vkey = Identity.open(args.folder).address.log.vkey if is_enrolled(args.folder) else None
        premises = Premises(
            platform.node(),
            platform.platform(terse=True),
            _account(),
            sys.executable,
            f"jinsuo {version('jinsuo')}",
            vkey,
        )
        text = write_handover(config, status, premises, self._clock(), out.language)
        if args.out is not None:
            _write_new(args.out, text)
            out.say(Text(zh=f"已写入 {args.out}", en=f"written to {args.out}"))
        else:
            out.say(text.rstrip("\n"))
        out.result(
            {
                "unit": status.unit,
                "center": status.center,
                "folder": status.folder,
                "host": premises.host,
                "account": premises.account,
                "version": premises.version,
                "log_vkey": vkey,
                "sources": [
                    {"source": s.name, "kind": s.kind, "from": locate(s), "account": login[0], "password": login[1]}
                    for s in config.sources
                    for login in [find_login(s)]
                ],
                "text": text,
            }
        )
        return EXIT_OK


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "-"  # an account without a name, as in a container


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as err:
        raise UsageError(
            Text(zh=f"{path} 已存在", en=f"{path} is there already"),
            hint=Text(zh="换一个文件名", en="name another file"),
        ) from err
