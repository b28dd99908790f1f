# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent run`: the daemon. For now it drains the spool again and again; it takes no snapshots on its own.

Snapshots come from `jinsuo-agent snapshot`, by hand or by the system's timer; what they could not send, this sends.
Where nothing waits it greets the center, which may wait for this agent's word after a start.
The agent is opened anew for every round, so that settings changed meanwhile count and other commands can work between.
Only an answer that no honest center gives ends it; everything else is logged and tried again at the next round.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from agent.cli.facade import Facade, OpenAgent
from agent.errors import CenterDownError, PausedError, PinError, ReceiptError
from agent.outcome import Stage
from agent.service.systemd import Attendance
from agent.snapshot.progress import Silent
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, EXIT_RETRY, OperatorError, UsageError
from terminal.language import Text
from terminal.logs import set_up_logging
from terminal.printer import Printer

log = logging.getLogger(__name__)
DEFAULT_PAUSE_S = 60


class Run:
    """The daemon. `wait` sleeps so many seconds and tells whether to stop; by default until a signal comes."""

    name = "run"
    help = Text(zh="常驻：持续发送发件箱", en="the daemon: keeps draining the spool")
    description = Text(
        zh="每隔一段时间发送发件箱中的数据，直到收到终止信号（SIGTERM、Ctrl-C）。自身不取快照：\n"
        "快照由系统的定时任务运行 `jinsuo-agent snapshot`。线路断开、中心繁忙都会在下一轮再试。",
        en="Sends what waits in the spool, again and again, until told to stop (SIGTERM, Ctrl-C). It takes no\n"
        "snapshots itself: let the system's timer run `jinsuo-agent snapshot`. A line that is down is tried again.",
    )
    examples = Examples(sh="jinsuo-agent run --every 300", powershell="jinsuo-agent run --every 300")

    def __init__(self, open_agent: OpenAgent, wait: Callable[[float], bool] | None = None) -> None:
        self._open = open_agent
        self._wait = wait

    def add_arguments(self, parser: Parser) -> None:
        """Add --every."""
        parser.add(
            "--every",
            metavar="SECONDS",
            type=int,
            default=DEFAULT_PAUSE_S,
            help=Text(
                zh=f"两轮之间的秒数；默认 {DEFAULT_PAUSE_S}", en=f"seconds between rounds; {DEFAULT_PAUSE_S} by default"
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Drain until told to stop."""
        if not 1 <= args.every <= 86400:
            raise UsageError(
                Text(
                    zh=f"--every：应为 1 至 86400，得到 {args.every}",
                    en=f"--every: expected 1 to 86400, found {args.every}",
                ),
                hint=Text(zh="例如 --every 300", en="such as --every 300"),
            )
        set_up_logging(sys.stderr)
        wait = self._wait or wait_for_signal()
        with self._open(args.folder):
            pass  # wrong settings are told at once, by the exit code; later ones only in the log
        log.info("agent started", extra={"folder": args.folder, "every_s": args.every})
        rounds = 0
        with closing(Attendance(args.environ)) as attendance:
            while True:
                attendance.step(datetime.now(UTC))
                drain(self._open, args.folder)
                rounds += 1
                if wait(args.every):
                    break
        log.info("agent stopped", extra={"rounds": rounds})
        out.result({"rounds": rounds})
        return EXIT_OK


def drain(open_agent: OpenAgent, folder: Path) -> bool:
    """Send what waits, once; tell whether nothing waits any more. Raises: PinError, ReceiptError; all else is logged.

    Where nothing waits, the center is greeted: one that was started anew signs for nobody until an agent that has seen
    as much as any has called, and that may be this one, whose next snapshot is a night away.
    """
    try:
        with open_agent(folder) as agent:
            outcomes = agent.send(Silent())
            if not outcomes:
                _greet(agent)
    except (PinError, ReceiptError):
        raise
    except PausedError as err:
        log.info("spool not sent", extra={"code": err.code, "why": str(err)})
        return False
    except OperatorError as err:
        _log_trouble(err)
        return False
    for outcome in outcomes:
        if outcome.trouble is not None:
            _log_trouble(outcome.trouble, statement=outcome.label)
        if outcome.stage is not Stage.SPOOLED:
            log.info(
                "statement sent",
                extra={
                    "statement": outcome.label,
                    "level": outcome.stage.value,
                    "log_index": outcome.log_index,
                    "sent_bytes": outcome.sent_bytes,
                },
            )
    return all(outcome.stage is not Stage.SPOOLED for outcome in outcomes)


def _greet(agent: Facade) -> None:
    try:
        agent.greet()
    except CenterDownError as err:
        # Nothing waits, so nothing is amiss here: the line may be down at night.
        log.info("center not greeted", extra={"code": err.code, "why": str(err)})


def _log_trouble(err: OperatorError, **facts: str) -> None:
    level = logging.WARNING if err.exit_code == EXIT_RETRY else logging.ERROR
    log.log(level, "spool not sent", extra={**facts, "code": err.code, "why": str(err), "hint": err.hint})


def wait_for_signal() -> Callable[[float], bool]:
    """Give a wait that tells whether SIGTERM or Ctrl-C has come; from now on they do nothing else."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
        stopping.set()

    def wait(seconds: float) -> bool:
        # In slices: on Windows a signal is not seen before a wait ends.
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if stopping.wait(min(rest, 1.0)):
                return True
        return stopping.is_set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return wait
