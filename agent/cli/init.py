# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent init DIR`: an agent's folder with its first settings. Makes no keys; enrolment does."""

import argparse
import sys
from pathlib import Path

from agent.example import make_folder
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class Init:
    """Make a folder."""

    name = "init"
    help = Text(zh="建立采集端目录和带注释的 agent.yaml", en="make an agent's folder with a commented agent.yaml")
    description = Text(
        zh="建立只有本账户可用的目录，写入 agent.yaml，其中每个键都有说明和默认值。\n已有配置时不作改动。",
        en="Makes a folder for this account only, with an agent.yaml that explains every key and its default.\n"
        "Settings that are there already are not touched.",
    )
    examples = Examples(sh="jinsuo-agent init /var/lib/jinsuo-agent", powershell=r"jinsuo-agent init D:\Jinsuo\agent")

    def add_arguments(self, parser: Parser) -> None:
        """Add DIR."""
        parser.add("dir", metavar="DIR", type=Path, help=Text(zh="要建立的目录", en="the folder to make"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Make it and tell what comes next."""
        if sys.platform == "win32":
            from agent.service.taking import is_administrator
            from agent.service.windows import take_for_service

            # What is kept there before the service is installed, such as keys, is for nobody else either.
            if is_administrator():
                take_for_service(args.dir)
        path = make_folder(args.dir)
        out.say(Text(zh=f"已写入 {path}", en=f"wrote {path}"))
        out.say(
            Text(
                zh="下一步：编辑其中的 sources，然后运行 "
                f"`jinsuo-agent -C {args.dir} enroll --center 地址 --code 登记码` "
                f"和 `jinsuo-agent -C {args.dir} check`",
                en=f"Next: edit its sources, then run `jinsuo-agent -C {args.dir} enroll --center URL --code CODE` "
                f"and `jinsuo-agent -C {args.dir} check`",
            )
        )
        out.result({"folder": args.dir.absolute(), "settings": path.absolute()})
        return EXIT_OK
