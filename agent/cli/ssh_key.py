# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent ssh-key`: this agent's key for the road by SSH, as the line that the archives take."""

import argparse

from agent.errors import RoadError
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class SshKey:
    """Show the key, made if there is none."""

    name = "ssh-key"
    help = Text(zh="显示本采集端的 SSH 公钥（没有则生成）", en="print this agent's SSH key, made if there is none")
    description = Text(
        zh="打印一行公钥，交给档案馆，由其运行 jinsuo-center ssh-key add 单位 --key 文件。\n"
        "私钥留在采集端目录中，只有其所有者可读；它只能连到中心，不能登录。再次运行打印同一行。",
        en="Prints one public line. Give it to the archives, who run `jinsuo-center ssh-key add UNIT --key FILE`. The\n"
        "private key stays in the agent's folder, for its owner alone; it opens a connection to the center and no login.\n"
        "Run again, it prints the same line.",
    )
    examples = Examples(sh="jinsuo-agent ssh-key > X013.pub", powershell="jinsuo-agent ssh-key | Set-Content X013.pub")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Make it if need be, and print it."""
        from agent.config import load_config
        from agent.transport.roads import key_path
        from agent.transport.sshkey import load_private, make_key, public_line

        path = key_path(load_config(args.folder).road, args.folder)
        try:
            is_new = make_key(path)
        except OSError as err:
            raise RoadError(
                Text(
                    zh=f"写不了 SSH 密钥 {path}：{err.strerror}",
                    en=f"the SSH key {path} cannot be written: {err.strerror}",
                ),
                hint=Text(zh="检查目录和权限", en="check the folder, and that this account may write there"),
            ) from err
        line = public_line(load_private(path), "jinsuo-agent")
        out.say(line)
        out.result({"public": line, "file": path, "is_new": is_new})
        return EXIT_OK
