# SPDX-License-Identifier: Apache-2.0
"""The daemon: takes what is due, looks after watched sources, sends in slices between, and greets the center. One thread.

    round   attendants → settings, if the file has changed → what is due, one run after another → watches → a slice of sending
    pause   until the next run is due, a second where sources are watched, at most `every_s`

Clock, waiting and the monotonic clock come in, so a simulated year passes through the same code. The agent is opened anew
for each act. One daemon a folder: the system's lock. Only an answer that no honest center gives ends it; all else is
logged and tried again. Source: decision 0058.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from agent.config import CONFIG_NAME
from agent.errors import BusyError, PinError, ReceiptError
from agent.jobs.asking import OpenWorking
from agent.jobs.attending import Attendant, RunEnd
from agent.jobs.due import GRACE, Moment, window_end
from agent.jobs.job import Job
from agent.jobs.memory import ScheduleMemory
from agent.jobs.running import Guard, Runner
from agent.jobs.scheduler import Scheduler
from agent.jobs.sending import Sender, tell_trouble
from agent.jobs.settings import Mark, look_at
from agent.jobs.stopping import Stop
from agent.jobs.watching import TICK_S, Watching
from agent.lock import RunLock
from agent.pausing import Pause, PauseFile
from agent.snapshot.progress import Heed
from terminal.errors import OperatorError
from terminal.language import Text

log = logging.getLogger(__name__)
EVERY_S: Final = 60.0
SLICE_S: Final = 60.0
"""So long sending goes on before runs and watches are looked at again."""
_BETWEEN_S: Final = 15.0
"""So long it goes on although another run is due already."""
_ATTEND_S: Final = 5.0
_FORGET_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Hands:
    """What the daemon works with: clocks, the word to stop, who goes along."""

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    stop: Stop
    attendants: Sequence[Attendant] = ()
    every_s: float = EVERY_S


@dataclass(frozen=True, slots=True)
class Tally:
    """What a daemon did in its life."""

    rounds: int
    runs: int


class Daemon:
    """The daemon of one agent's folder."""

    def __init__(self, folder: Path, open_agent: OpenWorking, hands: Hands) -> None:
        self._folder = folder
        self._open = open_agent
        self._hands = hands
        self._guard = Guard(hands.stop, hands.clock, self._attend)
        self._sender = Sender(open_agent, folder, hands.monotonic, self._guard.heed)
        self._uptime = _Uptime(hands)
        self._pauses = PauseFile(folder)
        self._pause: Pause | None = None
        self._jobs: dict[str, Job] = {}
        self._watching: Watching | None = None
        self._settings: Mark | None = None
        self._has_settings = False
        self._attended_at = self._forgot_at = float("-inf")
        self._send_at = float("-inf")
        self._rounds = self._runs = 0

    def run(self) -> Tally:
        """Go on until told to stop. Raises: SettingsError, BusyError, SpoolError at the start; PinError, ReceiptError."""
        with ExitStack() as closing:
            closing.enter_context(_lock(self._folder))
            for attendant in self._hands.attendants:
                closing.callback(attendant.close)
            closing.callback(self._close_watches)
            scheduler = Scheduler(closing.enter_context(ScheduleMemory(self._folder)))
            runner = Runner(self._open, self._folder, scheduler, self._hands.clock, self._guard, self._told)
            self._refresh(scheduler)
            self._recover(scheduler)
            log.info("agent started", extra={"folder": self._folder, "scheduled": sorted(self._jobs)})
            while not self._hands.stop.is_set():
                pause_s = self._round(scheduler, runner)
                self._rounds += 1
                if self._hands.stop.wait(pause_s):
                    break
            log.info("agent stopped", extra={"rounds": self._rounds, "runs": self._runs})
        return Tally(self._rounds, self._runs)

    def _round(self, scheduler: Scheduler, runner: Runner) -> float:
        """Do all that is to be done now; give for how long nothing is. Raises: PinError, ReceiptError."""
        self._attend()
        if self._is_paused():
            return self._hands.every_s
        # Sending comes whatever befell before it: on a full disk it is what makes room.
        steps = (
            lambda: self._refresh(scheduler),
            lambda: self._take_due(scheduler, runner),
            self._tend,
            lambda: self._send(lambda: scheduler.is_anything_due(self._hands.clock()), SLICE_S),
            lambda: self._forget(scheduler),
        )
        went_well = [_go_on_after(step) for step in steps]
        return self._pause_s(scheduler) if all(went_well) else self._hands.every_s

    def _is_paused(self) -> bool:
        """Tell whether the operator wants everything left alone: what falls due meanwhile stays due."""
        pause = self._pauses.find(self._hands.clock())
        if pause != self._pause:
            self._pause = pause
            log.info(
                "agent resumed" if pause is None else "agent paused",
                extra={} if pause is None else {"until": pause.until},
            )
        return pause is not None

    def _recover(self, scheduler: Scheduler) -> None:
        """Find out what became of runs whose end could not be noted: the agent died, or the disk was full."""
        if scheduler.has_unfinished():
            with self._open(self._folder) as agent:
                scheduler.recover(agent.newest, self._hands.clock())

    def _take_due(self, scheduler: Scheduler, runner: Runner) -> None:
        self._recover(scheduler)
        scheduler.settle(self._uptime.look())
        for job in scheduler.due(self._hands.clock()):
            if self._hands.stop.is_set():
                return
            if job not in scheduler.due(self._hands.clock()):
                continue  # its window has closed meanwhile
            runner.take(job)
            self._runs += 1
            self._send_at = float("-inf")
            # A moment for the spool between two runs: else sources that are taken all the time would never be sent.
            self._send(lambda: False, _BETWEEN_S)

    def _tend(self) -> None:
        if self._watching is not None and self._watching.tend():
            self._send_at = float("-inf")

    def _send(self, is_due: Callable[[], bool], most_s: float) -> None:
        """Send for at most so long; again at once if only the time was over, else after `every_s`."""
        began = self._hands.monotonic()
        if began < self._send_at or self._hands.stop.is_set():
            return
        sent = self._sender.send(lambda: self._hands.monotonic() - began >= most_s or is_due())
        self._send_at = began if sent.is_cut else self._hands.monotonic() + self._hands.every_s

    def _pause_s(self, scheduler: Scheduler) -> float:
        most_s = TICK_S if self._watching is not None else self._hands.every_s
        now = self._hands.clock()
        look = scheduler.next_look(now)
        due_s = most_s if look is None else (look - now).total_seconds()
        return max(0.0, min(most_s, due_s, self._send_at - self._hands.monotonic()))

    def _refresh(self, scheduler: Scheduler) -> None:
        """Take the settings anew if their file has changed."""
        settings = look_at(self._folder / CONFIG_NAME)
        if self._has_settings and settings == self._settings:
            return
        with self._open(self._folder) as agent:
            jobs = agent.jobs()
            followed = [job.name for job in jobs if job.follows_changes()]
            watches = agent.watches(followed) if followed else []
        self._close_watches()
        self._jobs = {job.name: job for job in jobs}
        if watches:
            self._watching = Watching(
                self._open, self._folder, watches, self._hands.clock, send=False, may_begin=self._is_open,
                heed=self._heed_window, told=self._told,
            )  # fmt: skip
        scheduler.refresh(jobs, self._hands.clock())
        if self._has_settings:
            log.info("settings read", extra={"scheduled": sorted(self._jobs)})
        self._settings, self._has_settings = settings, True

    def _is_open(self, name: str) -> bool:
        return self._jobs[name].timetable.is_open(self._hands.clock())

    def _heed_window(self, name: str) -> Heed:
        return self._guard.heed_until(name, window_end(self._jobs[name], self._hands.clock()))

    def _close_watches(self) -> None:
        if self._watching is not None:
            self._watching.__exit__()
            self._watching = None

    def _attend(self) -> None:
        now_s = self._hands.monotonic()
        if now_s - self._attended_at < _ATTEND_S:
            return
        self._attended_at = now_s
        for attendant in self._hands.attendants:
            _go_on_after(lambda: attendant.step(self._hands.clock()), "attendant failed")  # noqa: B023 - called at once

    def _told(self, run: RunEnd) -> None:
        for attendant in self._hands.attendants:
            _go_on_after(lambda: attendant.on_run(run), "attendant failed")  # noqa: B023 - called at once

    def _forget(self, scheduler: Scheduler) -> None:
        if self._hands.monotonic() - self._forgot_at >= _FORGET_S:
            self._forgot_at = self._hands.monotonic()
            scheduler.forget_old(self._hands.clock())


class _Uptime:
    """Since when the agent has been there without a break, as far as the clocks tell: a sleep of the machine is one, a jump is."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._last: tuple[datetime, float] | None = None
        self._since: datetime | None = None

    def look(self) -> Moment:
        """Give what time it is."""
        now, now_s = self._hands.clock(), self._hands.monotonic()
        since = now if self._since is None else min(self._since, now)
        if self._last is not None and (now - self._last[0]) - timedelta(seconds=now_s - self._last[1]) > GRACE:
            since = now
        self._last, self._since = (now, now_s), since
        return Moment(now, since)


def _lock(folder: Path) -> RunLock:
    """Give the lock of the one daemon of this folder; no source has its name."""
    return RunLock(
        folder / "locks" / "@daemon", "@daemon",
        BusyError(
            Text(zh=f"{folder} 的采集端已在运行", en=f"the agent of {folder} is running already"),
            hint=Text(zh="停止另一个进程或服务", en="stop the other process or service"),
        ),
    )  # fmt: skip


def _go_on_after(act: Callable[[], None], event: str = "round not finished") -> bool:
    """Do `act`; tell whether it came to its end. Raises: PinError, ReceiptError; all else is logged."""
    try:
        act()
    except (PinError, ReceiptError):
        raise
    except (OperatorError, OSError) as err:
        tell_trouble(event, err)
        return False
    except Exception:  # a mistake of ours must not leave a unit without its nights: the next round tries again
        log.exception(event)
        return False
    return True
