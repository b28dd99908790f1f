# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent check`: one line for each thing that was examined, with what to do about it."""

import argparse
import os
import sys
from collections.abc import Sequence

from agent.cli.facade import OpenAgent
from agent.cli.showing import RETRY_LOGIN
from agent.finding import Finding, Severity
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, EXIT_RETRY
from terminal.language import Text
from terminal.printer import Printer


class Check:
    """Examine settings and sources."""

    name = "check"
    help = Text(zh="检查配置、来源、权限、线路、磁盘", en="examine settings, sources, rights, line and disk")
    description = Text(
        zh="每项一行：OK、WARN、FAIL 或 NOT EXAMINED（未检查），附处理办法。不改动任何东西。\n"
        "有 FAIL 时返回 1，没有 FAIL 但有未检查的项目时返回 2。",
        en="A line each: OK, WARN, FAIL or NOT EXAMINED, with what to do. Changes nothing.\n"
        "Exit code 1 if anything fails; 2 if nothing fails but something could not be examined.",
    )
    examples = Examples(sh="sudo -u jinsuo jinsuo-agent check --as-service", powershell="jinsuo-agent check")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add --as-service and --retry-login."""
        parser.add(
            "--as-service",
            action="store_true",
            help=Text(
                zh="按服务检查：以服务的账户（需 root），不算本终端的环境变量",
                en="as the service: as root, by its account; this shell's environment does not count",
            ),
        )

        parser.add("--retry-login", action="store_true", help=RETRY_LOGIN)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Examine and print."""
        about_service = _examine_service(args, out) if args.as_service else []
        with self._open(args.folder) as agent:
            findings = [*about_service, *agent.check(as_service=args.as_service, retry_login=args.retry_login)]
        for finding in findings:
            out.say(f"{finding.severity.value:12}  {finding.subject}: {finding.sentence(out.language)}")
            advice = finding.advice(out.language)
            if advice:
                out.say(f"{'':12}  → {advice}")
        out.result({"findings": [_describe(finding, out) for finding in findings]})
        return _code(findings)


def _examine_service(args: argparse.Namespace, out: Printer) -> Sequence[Finding]:
    """Examine the service and become its account. Not at the top: only this needs it."""
    from agent.cli.service import make_service
    from agent.config import load_config
    from agent.service.systemd import find_credentials
    from agent.service.view import current_account, examine_service
    from terminal.account import become_account

    can_become = sys.platform != "win32" and os.geteuid() == 0
    return examine_service(
        make_service(args, out).state(),
        lambda: sorted(set(find_credentials(load_config(args.folder)))),
        current_account(),
        become_account if can_become else None,
    )


def _describe(finding: Finding, out: Printer) -> dict[str, object]:
    return {
        "severity": finding.severity,
        "subject": finding.subject,
        "message": finding.sentence(out.language),
        "hint": finding.advice(out.language),
    }


def _code(findings: Sequence[Finding]) -> int:
    found = {finding.severity for finding in findings}
    if Severity.FAIL in found:
        return EXIT_FAILED
    return EXIT_RETRY if Severity.NOT_EXAMINED in found else EXIT_OK
