# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent watch [SOURCE…]`: a snapshot of a source as soon as it has changed and stands still; until told to stop.

The agent is opened anew for every act, so that other commands can work between. A snapshot that cannot be sent waits in
the spool, which is drained here as by `run`. Only an answer that no honest center gives ends the watching; everything
else is logged and tried again, each time after a longer pause. A signal lets the act under way come to its end.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime

from agent.cli.facade import OpenAgent
from agent.jobs.sending import Sender
from agent.jobs.stopping import Stop, stop_on_signals
from agent.jobs.watching import TICK_S, Watching
from agent.outcome import Stage
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.logs import set_up_logging
from terminal.printer import Printer

log = logging.getLogger(__name__)
_TICKS_PER_SEND = 60


class WatchSources:
    """The watching daemon. `stop`: the word that ends it, by default a signal."""

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

    def __init__(self, open_agent: OpenAgent, clock: Callable[[], datetime], stop: Stop | None = None) -> None:
        self._open = open_agent
        self._clock = clock
        self._stop = stop

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
        stop = self._stop or stop_on_signals()
        with self._open(args.folder) as agent:
            watches = agent.watches(list(dict.fromkeys(args.sources)))
        with Watching(self._open, args.folder, watches, self._clock, send=True) as watching:
            log.info("watch started", extra={"folder": args.folder, "sources": [watch.name for watch in watches]})
            _go_on(watching, Sender(self._open, args.folder, time.monotonic), stop)
            log.info("watch stopped", extra={"snapshots": watching.taken})
        out.result({"snapshots": watching.taken})
        return EXIT_OK


def _go_on(watching: Watching, sender: Sender, stop: Stop) -> None:
    """Go on until told to stop: send what waits at once after a start, then once a minute until nothing waits."""
    is_waiting, ticks_to_send = True, 0
    while True:
        if any(outcome.stage is Stage.SPOOLED for outcome in watching.tend()):
            is_waiting, ticks_to_send = True, _TICKS_PER_SEND
        if ticks_to_send > 0:
            ticks_to_send -= 1
        elif is_waiting:
            is_waiting, ticks_to_send = not sender.send().is_empty, _TICKS_PER_SEND
        if stop.wait(TICK_S):
            return
