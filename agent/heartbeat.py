# SPDX-License-Identifier: Apache-2.0
"""The heartbeat: how this agent is, put together from its status, and the attendant that sends it now and then.

What a heartbeat says is for people at the center who look after many units; it is no evidence. The attendant never
raises for a line that is down or a center that refuses: it logs, and tries again when the next one is due.
Clock: times come in as arguments.
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from agent.outcome import AgentStatus, SourceStatus
from agent.transport.base import Transport
from evidence.wire.heartbeat import MAX_BEATS, BeatStage, Failure, Heartbeat, SourceBeat
from terminal.errors import OperatorError

_CODE = re.compile(r"JS-[0-9]{4}", re.ASCII)
NO_FAILURES: Final[Mapping[str, Failure]] = {}
log = logging.getLogger(__name__)


def make_heartbeat(status: AgentStatus, now: datetime, failures: Mapping[str, Failure] = NO_FAILURES) -> Heartbeat:
    """Give the heartbeat of an agent whose status this is.

    `failures`: what is known of failures before a source was opened. Of one source the newer of these and its last run's
    counts, unless a snapshot came after.
    Over 1,000 sources, those are left out that come last by name.
    """
    beats = [_make_beat(source, failures.get(source.source)) for source in status.sources]
    beats.sort(key=lambda beat: beat.source.encode())
    pause = status.pause
    return Heartbeat(
        clock=now,
        software=f"jinsuo {version('jinsuo')}",
        free_bytes=status.spool_free_bytes,
        paused=pause is not None,
        paused_until=None if pause is None else pause.until,
        sources=tuple(beats[:MAX_BEATS]),
    )


def send_heartbeat(heartbeat: Heartbeat, road: Transport) -> timedelta:
    """Send a heartbeat; give how far this machine's clock is ahead of the center's, the line's time included.

    Raises: CenterDownError, CenterRefusedError, PinError.
    """
    return heartbeat.clock - road.heartbeat(heartbeat)


class Beating(Protocol):
    """What the attendant asks of an opened agent."""

    def beat(self, failures: Mapping[str, Failure]) -> timedelta | None:
        """Send a heartbeat; give how far this clock is ahead of the center's. None: not enrolled, nothing was sent."""


class EndedRun(Protocol):
    """What the attendant looks at of a run that has ended."""

    @property
    def source(self) -> str:
        """Give the source's name."""

    @property
    def ended(self) -> datetime:
        """Give when it ended."""

    @property
    def end(self) -> object:
        """Give its snapshot, or the error for which there is none; None if nothing was amiss and nothing to be taken."""


def start_thread(work: Callable[[], None]) -> Callable[[], bool]:
    """Do `work` in a thread of its own, which ends with the process; give what tells whether it is still at it."""
    thread = threading.Thread(target=work, name="heartbeat", daemon=True)
    thread.start()
    return thread.is_alive


class HeartbeatAttendant:
    """Sends a heartbeat now and then: an attendant of the daemon.

    Its calls are short: the line may hang, so each heartbeat goes in a thread of its own, one at a time.
    """

    def __init__(
        self,
        open_agent: Callable[[Path], AbstractContextManager[Beating]],
        folder: Path,
        find_every: Callable[[], timedelta | None],
        start: Callable[[Callable[[], None]], Callable[[], bool]] = start_thread,
    ) -> None:
        """Open the agent in `folder` anew for each heartbeat. `find_every`: None: none is sent."""
        self._open = open_agent
        self._folder = folder
        self._find_every = find_every
        self._start = start
        self._is_sending: Callable[[], bool] = lambda: False
        self._failures: dict[str, Failure] = {}
        self._last: datetime | None = None

    def step(self, now: datetime) -> None:
        """Send a heartbeat if one is due. Whatever stands in the way is logged, and tried again when the next is due."""
        every = self._find_every()
        if every is None or self._is_sending():
            return
        # A clock that was set back must not silence the agent until it has caught up.
        if self._last is not None and self._last <= now < self._last + every:
            return
        self._last = now
        self._is_sending = self._start(partial(self._send, dict(self._failures)))

    def on_run(self, run: EndedRun) -> None:
        """Take note of a run's end: a failure is told with the next heartbeat, until a snapshot has come."""
        if isinstance(run.end, OperatorError):
            self._failures[run.source] = Failure(run.ended, run.end.code)
        else:
            self._failures.pop(run.source, None)

    def close(self) -> None:
        """Nothing is held: a heartbeat under way ends by itself, or with the process."""

    def _send(self, failures: Mapping[str, Failure]) -> None:
        try:
            with self._open(self._folder) as agent:
                ahead = agent.beat(failures)
        except OperatorError as err:
            log.warning("heartbeat not sent", extra={"code": err.code, "why": str(err)})
        except Exception:
            # The top of a thread: the next heartbeat is tried all the same, and the trace is in the log.
            log.exception("heartbeat failed")
        else:
            if ahead is not None:
                log.info("heartbeat sent", extra={"clock_ahead_s": round(ahead.total_seconds(), 1)})


def _make_beat(source: SourceStatus, told: Failure | None) -> SourceBeat:
    return SourceBeat(
        source=source.source,
        sequence=source.sequence,
        stage=None if source.stage is None else BeatStage(source.stage.value),
        taken=source.taken_at,
        stored=source.stored_at,
        next_run=source.next_run,
        waiting=source.waiting,
        waiting_bytes=source.waiting_bytes,
        failure=_find_failure(source, told),
    )


def _find_failure(source: SourceStatus, told: Failure | None) -> Failure | None:
    """Give the newest failure that no snapshot has followed, or None."""
    found = [] if told is None else [told]
    if source.load is not None and _CODE.fullmatch(source.load.outcome):
        found.append(Failure(source.load.ended, source.load.outcome))
    newest = max(found, key=lambda failure: failure.at, default=None)
    if newest is None or (source.taken_at is not None and source.taken_at > newest.at):
        return None
    return newest
