# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent tls accept`: take the center's announcement of a new TLS key from a file that a person has brought."""

import argparse
import sys
from pathlib import Path

from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer

_MOST = 256 << 10


class TlsAccept:
    """Take an announcement from a file."""

    name = "tls accept"
    help = Text(zh="接受中心新 TLS 密钥的公告文件", en="take the announcement of the center's new TLS key from a file")
    description = Text(
        zh="平常不必运行：采集端与中心联络时自会取得公告。仅当整个公告期内都未联络，因而不认识新密钥（JS-2302）时，\n"
        "向档案馆索取其 tls/announced.json。公告须由登记时得知的日志密钥签署，且接续本机现有的密钥，否则不接受。",
        en="Not needed as a rule: an agent learns of a new key while the old one is in use. Only if it has not called in all\n"
        "that time, and does not know the new key (JS-2302), ask the archives for their tls/announced.json. It is taken only\n"
        "if the log's key, known since enrolment, has signed it, and it leads on from the key that is pinned here.",
    )
    examples = Examples(
        sh="jinsuo-agent tls accept announced.json", powershell=r"jinsuo-agent tls accept E:\announced.json"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add FILE."""
        parser.add("file", metavar="FILE", help=Text(zh="公告文件；- 为标准输入", en="the file; - for stdin"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Take it."""
        from agent.identity import Identity

        raw = _read(args.file)
        identity = Identity.open(args.folder)
        identity.pins.learn(raw)
        keys = identity.pins.announced()
        if not keys:
            raise UsageError(
                Text(
                    zh="公告没有从本机现有的密钥接续下去",
                    en="the announcement does not lead on from the key that is pinned here",
                ),
                hint=Text(
                    zh="向档案馆索取最新的 tls/announced.json",
                    en="ask the archives for their newest tls/announced.json",
                ),
            )
        out.say(Text(zh=f"已接受：{keys[-1].hex()}", en=f"accepted: {keys[-1].hex()}"))
        out.result({"pinned": identity.address.pin.hex(), "accepted": [key.hex() for key in keys]})
        return EXIT_OK


def _read(name: str) -> bytes:
    try:
        if name == "-":
            return sys.stdin.buffer.read(_MOST + 1)
        with Path(name).open("rb") as file:
            return file.read(_MOST + 1)
    except OSError as err:
        raise UsageError(
            Text(zh=f"读不出 {name}：{err.strerror}", en=f"{name} cannot be read: {err.strerror}"),
            hint=Text(zh="检查文件名", en="check the name"),
        ) from err
