# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent enroll`: make this agent one of a center's, with the code that the archives handed over."""

import argparse
from pathlib import Path

from agent.cli.asking import read_line
from agent.cli.facade import OpenAgent
from agent.errors import EnrolmentError
from evidence.errors import EvidenceError
from evidence.wire.enrolment import parse_code_file
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer


class Enroll:
    """Enrol."""

    name = "enroll"
    help = Text(zh="用登记码在中心登记本采集端", en="enrol this agent at the center, with a code")
    description = Text(
        zh="登记码由档案馆出具，只能用一次。其中含中心密钥的指纹：先核对中心，再出示登记码。\n"
        "密钥在本机生成，从不离开本机。重新登记时，来源的密钥由中心发还。",
        en="The code comes from the archives and works once. It pins the center's key: the center is checked before\n"
        "the code is shown to it. Keys are made here and never leave. An agent that enrols anew gets its sources'\n"
        "secrets back.",
    )
    examples = Examples(
        sh="jinsuo-agent enroll --center https://archives.example:8443 --code X013.code",
        powershell="jinsuo-agent enroll --center https://archives.example:8443 --code JS1-…",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add --center and --code."""
        parser.add("--center", metavar="URL", required=True, help=Text(zh="中心的地址", en="the center's address"))
        parser.add(
            "--code",
            metavar="CODE",
            required=True,
            help=Text(zh="登记码，或存有它的文件；- 从标准输入读", en="the code, or the file with it; -: from stdin"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Enrol and tell as what."""
        code = _read_code(args.code, out)
        with self._open(args.folder) as agent:
            done = agent.enroll(args.center, code)
        out.say(
            Text(
                zh=f"已登记为 {done.unit}（{done.name}），中心 {done.center}，日志 {done.origin}",
                en=f"enrolled as {done.unit} ({done.name}) at {done.center}, log {done.origin}",
            )
        )
        if done.sources:
            names = ", ".join(done.sources)
            out.say(
                Text(
                    zh=f"中心已有本单位的来源：{names}；下一次快照接着它们的序列",
                    en=f"the center knows sources of this unit: {names}; the next snapshot continues their chains",
                )
            )
        out.result(
            {
                "unit": done.unit,
                "name": done.name,
                "center": done.center,
                "origin": done.origin,
                "log_vkey": done.log_vkey,
                "sources": list(done.sources),
            }
        )
        return EXIT_OK


def _read_code(text: str, out: Printer) -> str:
    """Give the code itself: as typed, from the file that came with the letter, or from stdin."""
    if text == "-":
        return read_line(out, Text(zh="登记码：", en="Code: "))
    if not text.upper().startswith("JS1") and Path(text).is_file():
        try:
            return parse_code_file(Path(text).read_bytes()).encode()
        except EvidenceError as err:
            raise EnrolmentError(
                f"the file {text} holds no enrolment code: {err}", hint="use the file that came with the letter"
            ) from err
    return text
