# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent watch [SOURCE…]`: a snapshot of a source as soon as it has changed and stands still; until told to stop.

The agent is opened anew for every act, so that other commands can work between. A snapshot that cannot be sent waits in
the spool, which is drained here as by `run`. Only an answer that no honest center gives ends the watching; everything
else is logged and tried again, each time after a longer pause. A signal lets the act under way come to its end.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.facade import OpenAgent, Watch
from agent.cli.run import drain, wait_for_signal
from agent.errors import PinError, ReceiptError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, EXIT_RETRY, OperatorError
from terminal.language import Text
from terminal.logs import set_up_logging
from terminal.printer import Printer

if TYPE_CHECKING:
    from agent.collectors.watch import Ready

log = logging.getLogger(__name__)
_TICK_S = 1.0
_TICKS_PER_DRAIN = 60


class WatchSources:
    """The watching daemon. `wait` sleeps so many seconds and tells whether to stop; by default until a signal comes."""

    name = "watch"
    help = Text(zh="监视目录和 SQLite 文件，变动稳定后即取快照", en="take a snapshot of what has changed and settled")
    description = Text(
        zh="常驻：监视设置了 watch 的来源（files、sqlite）。一有变动，等它静止 settle 之久，即取快照并发送；\n"
        "还在写的文件不会被取走。事件可能丢失，故每隔 poll 核对一次。直到收到终止信号（SIGTERM、Ctrl-C）。",
        en="Watches sources that have `watch:` (files, sqlite). What has changed is taken and sent once it has stood\n"
        "still for `settle`; a file that is still being written is not taken. Events get lost, so there is a look every\n"
        "`poll` as well. Goes on until told to stop (SIGTERM, Ctrl-C).",
    )
    examples = Examples(sh="jinsuo-agent watch exports", powershell="jinsuo-agent watch exports")

    def __init__(self, open_agent: OpenAgent, wait: Callable[[float], bool] | None = None) -> None:
        self._open = open_agent
        self._wait = wait

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE…."""
        parser.add(
            "sources",
            metavar="SOURCE",
            nargs="*",
            help=Text(zh="来源；不写则为所有设置了 watch 的", en="sources; none: all that have `watch:`"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Watch until told to stop."""
        set_up_logging(sys.stderr)
        wait = self._wait or wait_for_signal()
        with self._open(args.folder) as agent:
            watches = agent.watches(list(dict.fromkeys(args.sources)))
        with ExitStack() as closing:
            for watch in watches:
                closing.callback(watch.close)
            taken = _Watching(self._open, args.folder, watches).go_on(wait)
        out.result({"snapshots": taken})
        return EXIT_OK


class _Watching:
    def __init__(self, open_agent: OpenAgent, folder: Path, watches: Sequence[Watch]) -> None:
        self._open = open_agent
        self._folder = folder
        self._watches = watches
        self._deafness: dict[str, str | None] = {}
        self._taken = 0
        self._ticks_to_drain = 0
        # What an earlier run could not send may wait.
        self._is_waiting = True

    def go_on(self, wait: Callable[[float], bool]) -> int:
        """Go on until `wait` says stop; give how many snapshots were taken. Raises: PinError, ReceiptError."""
        log.info("watch started", extra={"folder": self._folder, "sources": [w.name for w in self._watches]})
        while True:
            for watch in self._watches:
                self._tend(watch)
            self._drain()
            if wait(_TICK_S):
                break
        log.info("watch stopped", extra={"snapshots": self._taken})
        return self._taken

    def _tend(self, watch: Watch) -> None:
        try:
            ready = watch.step()
            if ready is not None:
                self._snapshot(watch, ready)
        except (PinError, ReceiptError):
            raise
        except (OperatorError, OSError) as err:
            watch.fail()
            _log_trouble("source not taken", err, source=watch.name)
        self._tell_deafness(watch)

    def _snapshot(self, watch: Watch, ready: "Ready") -> None:
        remarks = [ready.remark] if ready.remark else []
        with self._open(self._folder) as agent:
            outcome = agent.snapshot(watch.name, Silent(), remarks=remarks)
        self._taken += 1
        watch.take()
        log.info(
            "snapshot taken",
            extra={
                "statement": outcome.label, "level": outcome.stage.value, "log_index": outcome.log_index,
                "rows": outcome.rows, "sent_bytes": outcome.sent_bytes, "settled": not ready.remark,
                "seconds": round(outcome.took.total_seconds(), 3),
            },
        )  # fmt: skip
        if outcome.trouble is not None:
            _log_trouble("snapshot not sent", outcome.trouble, statement=outcome.label)
        if outcome.stage is Stage.SPOOLED:
            self._is_waiting, self._ticks_to_drain = True, _TICKS_PER_DRAIN

    def _drain(self) -> None:
        """Send what waits, at once after a start, then once a minute until nothing waits."""
        if self._ticks_to_drain > 0:
            self._ticks_to_drain -= 1
        elif self._is_waiting:
            self._is_waiting = not drain(self._open, self._folder)
            self._ticks_to_drain = _TICKS_PER_DRAIN

    def _tell_deafness(self, watch: Watch) -> None:
        before = self._deafness.get(watch.name)
        self._deafness[watch.name] = watch.deafness
        if watch.deafness is not None and watch.deafness != before:
            log.warning("no events heard, looking at intervals", extra={"source": watch.name, "why": watch.deafness})


def _log_trouble(event: str, err: OperatorError | OSError, **facts: str) -> None:
    if isinstance(err, OperatorError):
        level = logging.WARNING if err.exit_code == EXIT_RETRY else logging.ERROR
        log.log(level, event, extra={**facts, "code": err.code, "why": str(err), "hint": err.hint})
    else:
        log.error(event, extra={**facts, "why": err.strerror or str(err)})
