# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent key replace`: another statement key, attested by the old one."""

import argparse

from agent.cli.facade import OpenAgent
from agent.snapshot.progress import Silent
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, EXIT_RETRY
from terminal.language import Text
from terminal.printer import Printer


class KeyReplace:
    """Replace the key."""

    name = "key replace"
    help = Text(
        zh="更换本采集端的签名密钥（旧密钥仍在时）", en="replace this agent's signing key, the old one being at hand"
    )
    description = Text(
        zh="生成新密钥，在每个来源的声明链中加入一份由新旧两把密钥共同签署的换钥声明，并发往中心；此后的声明只用新密钥。\n"
        "线路不通时声明留在发件箱，接通后自动完成（返回 2）。旧密钥已丢失或可能泄露时，不用此命令：\n"
        "请档案馆停用单位或给出新登记码（unit rekey）。",
        en="Makes a new key and states in the chain of each source, signed by both keys, that it follows the old one; from then\n"
        "on the new one signs. Without a line the statements wait, and the change is completed by whatever is sent next\n"
        "(exit code 2). Not for a key that is lost or in wrong hands: the archives disable the unit, or give a new code\n"
        "(`unit rekey`).",
    )
    examples = Examples(sh="jinsuo-agent key replace", powershell="jinsuo-agent key replace --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Replace it."""
        with self._open(args.folder) as agent:
            change = agent.replace_key(Silent())
        out.say(Text(zh=f"旧密钥：{change.old.vkey}", en=f"old key: {change.old.vkey}"))
        out.say(Text(zh=f"新密钥：{change.new.vkey}", en=f"new key: {change.new.vkey}"))
        if change.is_known:
            out.say(
                Text(
                    zh="中心已记入日志，从现在起以新密钥核验",
                    en="the center has logged it, and verifies by the new key from now on",
                )
            )
        else:
            out.say(
                Text(
                    zh="换钥声明在发件箱中等待，接通后自动完成",
                    en="the statements wait in the spool; whatever is sent next completes it",
                )
            )
        if change.trouble is not None:
            out.complain(change.trouble)
        out.result({"old": change.old.vkey, "new": change.new.vkey, "known": change.is_known})
        return EXIT_OK if change.is_known else EXIT_RETRY
