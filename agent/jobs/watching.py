# SPDX-License-Identifier: Apache-2.0
"""Looking after watched sources: a snapshot as soon as one has changed and stands still. One thread.

Only an answer that no honest center gives is raised; everything else is logged and tried again, each time after a longer
pause. A source that cannot be looked at is told of like a run that failed, until a look finds it: by no clock would anybody
miss its snapshots. Whether a snapshot may begin now (its window, its days) is asked of `may_begin`.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import AgentError, PinError, ReceiptError, StoppedError
from agent.jobs.asking import OpenWorking, Watch
from agent.jobs.attending import Cause, RunEnd
from agent.jobs.sending import tell_trouble
from agent.outcome import Outcome
from agent.snapshot.progress import Heed, Silent, heed_nobody
from terminal.errors import OperatorError

if TYPE_CHECKING:
    from agent.collectors.watch import Ready

log = logging.getLogger(__name__)
TICK_S = 1.0
"""So often watched sources are looked after."""


class Watching:
    """The watches of some sources. A context manager, which closes them.

    `send`: each snapshot is sent at once, and its receipt waited for; else it is left in the spool. `told` learns of every end.
    """

    def __init__(
        self, open_agent: OpenWorking, folder: Path, watches: Sequence[Watch], clock: Callable[[], datetime], *,
        send: bool, may_begin: Callable[[str], bool] = lambda _: True, heed: Callable[[str], Heed] = lambda _: heed_nobody,
        told: Callable[[RunEnd], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.watches = watches
        self.taken = 0
        self._open = open_agent
        self._folder = folder
        self._clock = clock
        self._send = send
        self._may_begin = may_begin
        self._heed = heed
        self._told = told
        self._deafness: dict[str, str | None] = {}
        self._unseen: set[str] = set()

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as closing:
            for watch in self.watches:
                closing.callback(watch.close)
        for name in sorted(self._unseen):
            self._tell_end(name, self._clock(), None)  # whoever looks next finds out anew
        self._unseen.clear()

    def tend(self) -> Sequence[Outcome]:
        """Look after each; give the snapshots that were taken. Raises: PinError, ReceiptError."""
        outcomes = [self._tend(watch) for watch in self.watches if self._may_begin(watch.name)]
        return [outcome for outcome in outcomes if outcome is not None]

    def _tend(self, watch: Watch) -> Outcome | None:
        outcome: Outcome | None = None
        try:
            ready = self._look(watch)
            if ready is not None:
                outcome = self._snapshot(watch, ready)
        except (PinError, ReceiptError):
            raise
        except StoppedError:
            pass  # the change is found again by whoever goes on
        except (OperatorError, OSError) as err:
            watch.fail()
            tell_trouble("source not taken", err, source=watch.name)
        self._tell_deafness(watch)
        return outcome

    def _look(self, watch: Watch) -> "Ready | None":
        began = self._clock()
        try:
            ready = watch.step()
        except AgentError as err:
            self._unseen.add(watch.name)
            self._tell_end(watch.name, began, err)
            raise
        if watch.is_seen and watch.name in self._unseen:
            self._unseen.remove(watch.name)
            self._tell_end(watch.name, began, None)
        return ready

    def _snapshot(self, watch: Watch, ready: "Ready") -> Outcome:
        remarks = [ready.remark] if ready.remark else []
        began = self._clock()
        try:
            with self._open(self._folder) as agent:
                outcome = agent.snapshot(
                    watch.name, Silent(), send=self._send, remarks=remarks, heed=self._heed(watch.name)
                )
        except AgentError as err:
            self._tell_end(watch.name, began, err)
            raise
        self.taken += 1
        watch.take()
        tell_taken(outcome, settled=not ready.remark)
        self._tell_end(watch.name, began, outcome)
        if outcome.trouble is not None:
            tell_trouble("snapshot not sent", outcome.trouble, statement=outcome.label)
        return outcome

    def _tell_end(self, name: str, began: datetime, end: Outcome | AgentError | None) -> None:
        self._told(RunEnd(name, None, Cause.CHANGE, None, False, 1, began, self._clock(), end))

    def _tell_deafness(self, watch: Watch) -> None:
        before = self._deafness.get(watch.name)
        self._deafness[watch.name] = watch.deafness
        if watch.deafness is not None and watch.deafness != before:
            log.warning("no events heard, looking at intervals", extra={"source": watch.name, "why": watch.deafness})


def tell_taken(outcome: Outcome, **facts: object) -> None:
    """Log a snapshot."""
    log.info(
        "snapshot taken",
        extra={
            "statement": outcome.label, "level": outcome.stage.value, "log_index": outcome.log_index,
            "rows": outcome.rows, "sent_bytes": outcome.sent_bytes, **facts,
            "seconds": round(outcome.took.total_seconds(), 3),
        },
    )  # fmt: skip
