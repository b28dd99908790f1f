# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center init DIR`: a new center: keys, TLS certificate, settings, empty store, ledger and catalog."""

import argparse
from pathlib import Path

from center.cli.opening import ask_passphrase
from center.config import CONFIG_NAME, DEFAULT_LISTEN, CenterConfig
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer


class Init:
    """Make a center."""

    name = "init"
    help = Text(zh="建立一个新的中心", en="make a new center")
    description = Text(
        zh="在空目录中生成日志、操作员、封装和主密钥，TLS 证书，center.yaml，空的存储、证据日志和目录库。\n"
        "请立即备份 keys/：丢失主密钥就丢失各来源的秘密，丢失日志密钥就不能再续写日志。",
        en="In an empty folder: log, operator, sealing and master keys, a TLS certificate, center.yaml, an empty\n"
        "store, ledger and catalog. Back up keys/ at once: without the master key the secrets of all sources are\n"
        "lost, without the log key the log cannot go on.",
    )
    examples = Examples(
        sh="jinsuo-center init /srv/jinsuo --origin archives.example/jinsuo --listen 0.0.0.0:8443",
        powershell=r"jinsuo-center init D:\Jinsuo\center --origin archives.example/jinsuo",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add DIR, --origin, --listen, --passphrase."""
        parser.add("directory", metavar="DIR", help=Text(zh="新目录", en="a new folder"))
        parser.add(
            "--origin",
            required=True,
            metavar="NAME",
            help=Text(
                zh="日志名，终身不变，如 archives.example/jinsuo", en="the log's name, for ever: archives.example/…"
            ),
        )
        parser.add(
            "--listen",
            default=DEFAULT_LISTEN,
            metavar="HOST:PORT",
            help=Text(zh=f"监听地址；默认 {DEFAULT_LISTEN}", en=f"where to listen; by default {DEFAULT_LISTEN}"),
        )
        parser.add(
            "--passphrase",
            action="store_true",
            help=Text(
                zh="用口令加密主密钥（每次启动要输入）", en="wrap the master key by a passphrase, asked at each start"
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Make it, and say what must be kept safe and what comes next."""
        from center.app import Center

        _check(args)
        folder = Path(args.directory)
        Center.create(
            folder, args.origin, args.listen, passphrase=ask_passphrase(args, out) if args.passphrase else None
        )
        with Center.open(folder, passphrase=ask_passphrase(args, out) if args.passphrase else None) as center:
            vkey = center.ledger.log_key.vkey
            operator = center.operator.key.vkey
        following = f"jinsuo-center -C {folder} unit add UNIT --name"
        out.say(Text(zh=f"中心已建立：{folder}", en=f"the center is made: {folder}"))
        out.say(Text(zh=f"日志公钥（请另行公布）：{vkey}", en=f"the log's key, to publish: {vkey}"))
        out.say(
            Text(
                zh=f"请立即备份 {folder / 'keys'} 并离线保存。下一步：{following} 名称",
                en=f"back up {folder / 'keys'} now, off this machine. Next: {following} NAME",
            )
        )
        document = {"folder": folder, "origin": args.origin, "listen": args.listen, "vkey": vkey, "operator": operator}
        out.result({**document, "config": folder / CONFIG_NAME})
        return EXIT_OK


def _check(args: argparse.Namespace) -> None:
    """Raises: UsageError for a name or an address that the settings would refuse."""
    for field, value in (("origin", args.origin), ("listen", args.listen)):
        try:
            CenterConfig(**{"origin": "x", field: value})
        except ValueError as err:
            raised = err.errors()[0].get("ctx", {}).get("error") if hasattr(err, "errors") else None
            expected = raised.args[0] if isinstance(raised, ValueError) and raised.args else str(err)
            text = expected if isinstance(expected, Text) else Text(zh=str(expected), en=str(expected))
            raise UsageError(
                Text(zh=f"--{field} {value}：应为{text.zh}", en=f"--{field} {value}: expected {text.en}"),
                hint=Text(zh="改正后重试", en="correct it and try again"),
            ) from err
