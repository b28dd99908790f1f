# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent secret set NAME` and `secret list`. Passwords are typed or piped in, never arguments, never printed."""

import argparse

from agent.cli.asking import read_line
from agent.secrets import Secrets, variable_of
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class SecretSet:
    """Keep a password."""

    name = "secret set"
    help = Text(zh="存入一个口令", en="keep a password")
    description = Text(
        zh="在终端输入（不显示），或从标准输入读一行。存在采集端目录中，只有本账户可读。\n"
        "配置中写作 `password: secret:名称`。环境变量 JINSUO_SECRET_名称 优先于它。",
        en="Typed at the terminal, unseen, or one line of stdin. Kept in the agent's folder, for this account\n"
        "only. Settings name it as `password: secret:NAME`. JINSUO_SECRET_NAME in the environment goes before it.",
    )
    examples = Examples(
        sh="jinsuo-agent secret set his < /root/his-password",
        powershell="Get-Content his-password.txt | jinsuo-agent secret set his",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add NAME."""
        parser.add("secret", metavar="NAME", help=Text(zh="名称", en="its name"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Read it and keep it."""
        secrets = Secrets(args.folder, args.environ)
        secrets.check_name(args.secret)
        secrets.set(args.secret, read_line(out, Text(zh=f"{args.secret} 的口令：", en=f"Password of {args.secret}: ")))
        out.say(Text(zh=f"已存入；配置中写作 secret:{args.secret}", en=f"kept; settings name it secret:{args.secret}"))
        out.result({"name": args.secret, "reference": f"secret:{args.secret}"})
        return EXIT_OK


class SecretList:
    """List names."""

    name = "secret list"
    help = Text(zh="列出口令的名称", en="list the names of passwords")
    description = Text(zh="只列名称，从不显示口令。", en="Names only; passwords are never shown.")
    examples = Examples(sh="jinsuo-agent secret list", powershell="jinsuo-agent secret list")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """List them, and where the environment goes before the file."""
        names = Secrets(args.folder, args.environ).names()
        rows = [(name, variable_of(name) in args.environ) for name in names]
        out.table(
            [Text(zh="名称", en="NAME"), Text(zh="环境变量优先", en="ENVIRONMENT GOES BEFORE IT")],
            [[name, variable_of(name) if overridden else None] for name, overridden in rows],
        )
        out.result({"secrets": [{"name": name, "overridden": overridden} for name, overridden in rows]})
        return EXIT_OK
