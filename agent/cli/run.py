# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent run`: the daemon. Takes what the schedule says, looks after watched sources, sends, until told to stop.

What it does is `agent.jobs`'; here are the command, this machine's clocks, and the signals that end it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.facade import OpenAgent
from agent.jobs.stopping import Stop, stop_on_signals
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.logs import set_up_logging
from terminal.printer import Printer

if TYPE_CHECKING:
    from agent.jobs.attending import Attendant
    from terminal.log_settings import LogSettings

DEFAULT_PAUSE_S = 60


def _nobody(folder: Path) -> "Sequence[Attendant]":  # noqa: ARG001 - the form of `attendants`
    return ()


def _to_stderr(folder: Path) -> "LogSettings | None":  # noqa: ARG001 - the form of `find_log`
    return None


class Run:
    """The daemon. `stop`: the word that ends it, by default a signal. `attendants`: who goes along, in a folder.

    `find_log` reads from a folder's settings how to log. Raises: SettingsError.
    """

    name = "run"
    help = Text(zh="常驻：按计划取快照，并发送发件箱", en="the daemon: takes what is scheduled, and sends")
    description = Text(
        zh="按 agent.yaml 中的 schedule 取快照（到时的、变动的），其间发送发件箱，直到收到终止信号（SIGTERM、Ctrl-C）。\n"
        "重启、断电、改时钟都不会漏掉或重复一次运行；改了 agent.yaml 不必重启。线路断开、中心繁忙都会再试。",
        en="Takes what `schedule:` in agent.yaml says, by the clock or on change, and sends what waits in the spool between,\n"
        "until told to stop (SIGTERM, Ctrl-C). A restart, a power cut or a clock that jumps loses no run and repeats none;\n"
        "a changed agent.yaml counts without a restart. A line that is down is tried again.",
    )
    examples = Examples(sh="jinsuo-agent run", powershell="jinsuo-agent run --every 300")

    def __init__(
        self, open_agent: OpenAgent, clock: Callable[[], datetime], stop: Stop | None = None,
        attendants: "Callable[[Path], Sequence[Attendant]]" = _nobody, monotonic: Callable[[], float] = time.monotonic,
        find_log: "Callable[[Path], LogSettings | None]" = _to_stderr,
    ) -> None:  # fmt: skip
        self._open = open_agent
        self._clock = clock
        self._stop = stop
        self._attendants = attendants
        self._monotonic = monotonic
        self._find_log = find_log

    def add_arguments(self, parser: Parser) -> None:
        """Add --every."""
        parser.add(
            "--every",
            metavar="SECONDS",
            type=int,
            default=DEFAULT_PAUSE_S,
            help=Text(
                zh=f"线路不通时隔多少秒再发，最多隔多少秒查看一次；默认 {DEFAULT_PAUSE_S}",
                en=f"seconds until sending is tried again, and at most between two looks; {DEFAULT_PAUSE_S} by default",
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Go on until told to stop."""
        if not 1 <= args.every <= 86400:
            raise UsageError(
                Text(
                    zh=f"--every：应为 1 至 86400，得到 {args.every}",
                    en=f"--every: expected 1 to 86400, found {args.every}",
                ),
                hint=Text(zh="例如 --every 300", en="such as --every 300"),
            )
        # Not at the top: the other commands need none of what the daemon loads.
        from agent.jobs.daemon import Daemon, Hands

        set_up_logging(sys.stderr, self._find_log(args.folder), args.folder)
        attendants = self._attendants(args.folder)
        hands = Hands(self._clock, self._monotonic, self._stop or stop_on_signals(), attendants, float(args.every))
        tally = Daemon(args.folder, self._open, hands).run()
        out.result({"rounds": tally.rounds, "runs": tally.runs})
        return EXIT_OK
