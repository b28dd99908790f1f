# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center key --vkey | --policy`: the log's public key; a policy file for verifiers."""

import argparse
from pathlib import Path

from center.cli.opening import open_center
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer


class Key:
    """Print keys."""

    name = "key"
    help = Text(zh="日志公钥，或供验证者使用的策略文件", en="the log's vkey, or a policy file for verifiers")
    description = Text(
        zh="--vkey：日志的公钥，一行，请另行公布（网站、公报）。\n"
        "--policy：日志、操作员、各单位密钥与见证者，供 jinsuo-verify 使用；验证者应与另行公布的公钥核对。",
        en="--vkey: the log's key, one line, to be published elsewhere too. --policy: log, operator, the units' keys\n"
        "and witnesses, for jinsuo-verify; who uses it should compare the keys with those published elsewhere.",
    )
    examples = Examples(
        sh="jinsuo-center key --policy > trust.policy", powershell="jinsuo-center key --policy --out trust.policy"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add --vkey, --policy, --out."""
        parser.add("--vkey", action="store_true", help=Text(zh="日志公钥", en="the log's key"))
        parser.add("--policy", action="store_true", help=Text(zh="策略文件", en="a policy file"))
        parser.add("--out", metavar="FILE", help=Text(zh="写入文件（UTF-8）", en="write to a file, in UTF-8"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Print what was asked for."""
        from center.certify.certify import find_passages, make_policy

        if args.vkey == args.policy:
            raise UsageError(
                Text(zh="请给出 --vkey 或 --policy，二者取一", en="give either --vkey or --policy"),
                hint=Text(zh="例如 jinsuo-center key --vkey", en="such as: jinsuo-center key --vkey"),
            )
        with open_center(args, out) as center:
            vkey, operator = center.ledger.log_key, center.operator.key
            units = center.units.list()
            policy = make_policy(vkey, operator, units, find_passages(units, center.catalog.statements()))
        text = vkey.vkey + "\n" if args.vkey else policy
        if args.out is not None:
            try:
                with Path(args.out).open("x", encoding="utf-8", newline="\n") as file:
                    file.write(text)
            except FileExistsError as err:
                raise UsageError(
                    Text(zh=f"文件 {args.out} 已存在", en=f"the file {args.out} exists"),
                    hint=Text(zh="换一个文件名", en="name another file"),
                ) from err
        else:
            out.say(text.rstrip("\n"))
        document = {"vkey": vkey.vkey, "operator": operator.vkey}
        out.result(document if args.vkey else {**document, "policy": policy})
        return EXIT_OK
