# SPDX-License-Identifier: Apache-2.0
"""Taking one run that is due: begun durably, read into the spool, its end noted; and what may end it before.

A run is left in the spool, never sent here: sending has slices of its own, and waits for no line while a source is open.
What was due and not taken stands in the notes of the next manifest, so that the evidence itself names its gaps.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from agent.errors import AgentError, BusyError, PausedError, PinError, ReceiptError, StoppedError, WindowOverError
from agent.jobs.asking import OpenWorking, Working
from agent.jobs.attending import Cause, RunEnd
from agent.jobs.due import window_end
from agent.jobs.job import Job, Note
from agent.jobs.scheduler import Scheduler
from agent.jobs.sending import tell_trouble
from agent.jobs.stopping import Stop
from agent.jobs.watching import tell_taken
from agent.outcome import MemberEnd, Outcome
from agent.snapshot.progress import Heed, Progress, Silent
from terminal.language import Text

log = logging.getLogger(__name__)
MOST_REMARKS: Final = 20
_AGAIN: Final = timedelta(minutes=5)
"""So long after a pause, quiet hours or another run of the source were met it is looked at again."""


class Guard:
    """What is asked between blocks: whether the daemon shall stop, or the window is over. `attend` is called as well."""

    def __init__(self, stop: Stop, clock: Callable[[], datetime], attend: Callable[[], None]) -> None:
        self._stop = stop
        self._clock = clock
        self._attend = attend

    def heed(self) -> None:
        """Go on unless told to stop. Raises: StoppedError."""
        if self._stop.is_set():
            raise StoppedError(
                Text(zh="采集端正在停止", en="the agent is being stopped"),
                hint=Text(zh="下次启动后自动继续", en="it goes on by itself after the next start"),
            )
        self._attend()

    def heed_until(self, name: str, end: datetime | None) -> Heed:
        """Give what is asked while `name` is read, whose window closes at `end`. It raises WindowOverError then."""

        def heed() -> None:
            self.heed()
            if end is not None and self._clock() >= end:
                raise WindowOverError(
                    Text(zh=f"{name} 没有读完：它的时段已过", en=f"{name} was not read to its end: its window is over"),
                    hint=Text(zh="放宽 window，或降低频率", en="widen `window`, or take it more rarely"),
                )

        return heed


class Runner:
    """Take the runs that are due. `told` learns of every end."""

    def __init__(
        self, open_agent: OpenWorking, folder: Path, scheduler: Scheduler, clock: Callable[[], datetime], guard: Guard,
        told: Callable[[RunEnd], None],
    ) -> None:  # fmt: skip
        self._open = open_agent
        self._folder = folder
        self._scheduler = scheduler
        self._clock = clock
        self._guard = guard
        self._told = told

    def take(self, job: Job) -> None:
        """Take the pending run of a job. Raises: PinError, ReceiptError; SpoolError if its end cannot be noted."""
        began, pending = self._clock(), self._scheduler.pending(job)
        missed = self._scheduler.unstated(job)
        facts = {"job": job.name, "due": pending.at, "late": pending.is_late, "attempt": pending.attempts + 1}
        log.info("run begins", extra=facts)
        try:
            with self._open(self._folder) as agent:
                self._scheduler.begin(job, began, agent.newest(job.members))
                ends = self._read(agent, job, describe_missed(missed))
        except (PinError, ReceiptError):
            self._scheduler.hold(job, self._clock())
            raise
        ended = self._clock()
        if all(_was_held(end) for end in ends):
            is_stopped = any(isinstance(end.end, StoppedError) for end in ends)
            self._scheduler.hold(job, ended if is_stopped else ended + _AGAIN)
        else:
            self._scheduler.finish(job, ended, ends, missed)
        for end in ends:
            self._tell(end)
            group = job.name if job.is_group else None
            self._told(
                RunEnd(
                    end.source, group, Cause.SCHEDULE, pending.at, pending.is_late, pending.attempts + 1, began, ended,
                    end.end,
                )
            )  # fmt: skip

    def _read(self, agent: Working, job: Job, remarks: Sequence[str]) -> Sequence[MemberEnd]:
        heed = self._guard.heed_until(job.name, window_end(job, self._clock()))
        try:
            if job.is_group:
                return agent.snapshot_group(job.name, _show, send=False, remarks=remarks, heed=heed)
            return [MemberEnd(job.name, agent.snapshot(job.name, Silent(), send=False, remarks=remarks, heed=heed))]
        except (PinError, ReceiptError):
            raise
        except AgentError as err:
            return [MemberEnd(name, err) for name in job.members]
        except Exception as err:
            log.exception("run failed unexpectedly", extra={"job": job.name})
            unexpected = AgentError(
                Text(zh=f"程序自身出错（{type(err).__name__}：{err}）", en=f"{type(err).__name__}: {err}"),
                hint=Text(zh="把日志交给采集端的维护人员", en="send the log to whoever maintains the agent"),
            )
            return [MemberEnd(name, unexpected) for name in job.members]

    def _tell(self, end: MemberEnd) -> None:
        if isinstance(end.end, Outcome):
            tell_taken(end.end)
        elif isinstance(end.end, StoppedError):
            log.info("reading ended", extra={"source": end.source, "code": end.end.code, "why": str(end.end)})
        else:
            tell_trouble("source not taken", end.end, source=end.source)


def describe_missed(notes: Sequence[Note]) -> list[str]:
    """Give the lines by which a manifest tells what was due since the last one and was not taken; the newest, if many."""
    lines = [
        f"scheduled run not taken: due {_utc(note.at)}"
        + (f" ({note.count} until {_utc(note.last)})" if note.count > 1 else "")
        + f": {note.reason}"
        + (f" ({note.code})" if note.code else "")
        for note in notes
    ]
    if len(lines) <= MOST_REMARKS:
        return lines
    left = notes[: len(notes) - MOST_REMARKS]
    total = sum(note.count for note in left)
    first = f"scheduled runs not taken: {total} from {_utc(left[0].at)} until {_utc(left[-1].last)}"
    return [first, *lines[len(left) :]]


def _was_held(end: MemberEnd) -> bool:
    """Tell whether the run was not begun, or ended for somebody else: a pause, another run, the end of the daemon."""
    return isinstance(end.end, PausedError | BusyError) and not isinstance(end.end, WindowOverError)


def _show(source: str) -> AbstractContextManager[Progress]:  # noqa: ARG001 - nobody looks
    return nullcontext(Silent())


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
