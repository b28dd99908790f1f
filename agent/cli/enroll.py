# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent enroll`: make this agent one of a center's, with the code that the archives handed over."""

import argparse
from pathlib import Path

from agent.cli.asking import read_line
from agent.cli.facade import OpenAgent
from agent.errors import EnrolmentError
from evidence.disk import write_over
from evidence.errors import EvidenceError
from evidence.wire.enrolment import parse_code_file
from evidence.wire.offline import MAX_ANSWER_BYTES
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
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
        powershell="jinsuo-agent enroll --request X013.request --code JS1-…",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add --center, --request, --answer and --code."""
        parser.add("--center", metavar="URL", help=Text(zh="中心的地址", en="the center's address"))
        parser.add(
            "--request",
            metavar="FILE",
            help=Text(
                zh="没有线路：把登记申请写入文件，带到中心",
                en="without a line: write a request, to be brought to the center",
            ),
        )
        parser.add(
            "--answer",
            metavar="FILE",
            help=Text(
                zh="没有线路：读入中心的答复文件", en="without a line: read the answer that the center gave to it"
            ),
        )
        parser.add(
            "--code",
            metavar="CODE",
            required=True,
            help=Text(zh="登记码，或存有它的文件；- 从标准输入读", en="the code, or the file with it; -: from stdin"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Enrol and tell as what."""
        if [args.center, args.request, args.answer].count(None) != 2:
            raise UsageError(
                Text(
                    zh="请给出 --center、--request、--answer 三者之一",
                    en="give one of --center, --request and --answer",
                ),
                hint=Text(
                    zh="有线路用 --center；没有线路先 --request，再 --answer",
                    en="--center where there is a line; else --request first, and then --answer",
                ),
            )
        code = _read_code(args.code, out)
        with self._open(args.folder) as agent:
            if args.request is not None:
                return _write_request(args.request, agent.request_enrolment(code), out)
            if args.answer is not None:
                with Path(args.answer).open("rb") as file:
                    done = agent.accept_enrolment(code, file.read(MAX_ANSWER_BYTES + 1))
            else:
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


def _write_request(name: str, request: bytes, out: Printer) -> int:
    path = Path(name)
    write_over(path, request)
    out.say(
        Text(
            zh=f"申请已写入 {path}：带到中心，运行 jinsuo-center unit enroll-file，再把答复文件带回",
            en=f"the request is in {path}: bring it to the center, which runs `jinsuo-center unit enroll-file`, and bring"
            " its answer back",
        )
    )
    out.result({"request": str(path)})
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
                Text(zh=f"文件 {text} 中没有登记码：{err}", en=f"the file {text} holds no enrolment code: {err}"),
                hint=Text(zh="用随信附来的文件", en="use the file that came with the letter"),
            ) from err
    return text
