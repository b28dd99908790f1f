# SPDX-License-Identifier: Apache-2.0
"""Whatever befalls agent and clock: every scheduled run is accounted for once, and none is taken twice.

The agent is the real scheduler over its real memory; what befalls it is drawn: days that pass, with the agent there or away,
clocks that jump either way, runs that fail, kills before and after the statement was made.
"""

from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import SourceDownError
from agent.jobs.due import GRACE, SAME_NIGHT, Moment
from agent.jobs.job import Fate, Job, Note
from agent.jobs.memory import ScheduleMemory
from agent.jobs.scheduler import Scheduler
from agent.outcome import MemberEnd
from tests.builders.jobs import BERLIN, make_job, utc
from tests.fakes.agent import make_outcome

_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Memory, where there is such a disk: what is tested is the order of writes, not the disk."""
START = utc("2026-03-20 12:00")
DOWN = SourceDownError("nobody answers", hint="later")

_HOURS = st.builds(lambda h, m: timedelta(hours=h, minutes=m), st.sampled_from([2, 9, 26, 55, 100]), st.integers(0, 59))
_JUMPS = st.builds(
    lambda h, m: timedelta(hours=h, minutes=m),
    st.sampled_from([-190, -70, -20, -12, -7, -2, -1, 0, 3, 13, 30, 120]), st.integers(0, 59),
)  # fmt: skip
_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("there"), _HOURS),
        st.tuples(st.just("away"), _HOURS),
        st.tuples(st.just("jump"), _JUMPS),
        st.tuples(st.just("fail"), st.integers(1, 8).map(lambda n: timedelta(minutes=n))),
        st.tuples(st.sampled_from(["kill before", "kill after"]), st.just(timedelta(0))),
    ),
    min_size=4,
    max_size=16,
)
_SCHEDULES = st.sampled_from(
    [
        {"run": "daily at 01:30"},
        {"run": "daily at 02:30", "missed": "skip"},
        {"run": "every 6 h", "random_delay": 3600},
        {"run": "weekly on sunday at 02:30"},
        {"run": "*/30 * * * *", "window": "01:00-04:00"},
        {"run": "daily at 01:30", "window": "01:00-05:00", "blackout": ["2026-03-25..2026-03-28"]},
        {"run": "monthly on day 30 at 03:00", "window": "22:00-05:00", "missed": "skip", "retries": 1},
    ]
)


class _Life:
    """An agent's life: a clock, what really happened, and the scheduler, opened anew after each kill."""

    def __init__(self, folder: Path, job: Job, most_back: timedelta) -> None:
        self.most_back = most_back
        self.latest = START
        self.folder = folder
        self.job = job
        self.now = self.up_since = START
        self.taken: list[datetime] = []
        self.sequence = 0
        self.failures = 0
        self.killed = ""
        self.begin()

    def begin(self) -> None:
        self.memory = ScheduleMemory(self.folder)
        self.scheduler = Scheduler(self.memory)
        self.scheduler.refresh([self.job], self.now)
        self.scheduler.recover(lambda names: dict.fromkeys(names, self.sequence), self.now)

    def restart(self) -> None:
        self.memory.__exit__()
        self.up_since = self.now
        self.begin()

    def pass_time(self, span: timedelta) -> None:
        """Let time pass with the agent there: it looks at least every half hour."""
        end = self.now + span
        while self.now < end:
            self.now = min(end, self.now + timedelta(minutes=30))
            self.look()

    def look(self) -> None:
        self.scheduler.settle(Moment(self.now, self.up_since))
        for job in self.scheduler.due(self.now):
            at = self.scheduler.pending(job).at
            self.scheduler.begin(job, self.now, {job.name: self.sequence})
            killed, self.killed = self.killed, ""
            if killed == "kill before":
                self.restart()
                return
            if self.failures:
                self.failures -= 1
                self.scheduler.finish(job, self.now, [MemberEnd(job.name, DOWN)], [])
                continue
            self.sequence += 1
            self.taken.append(at)
            if killed == "kill after":
                self.restart()
                return
            outcome = make_outcome(job.name, self.sequence)
            self.scheduler.finish(job, self.now, [MemberEnd(job.name, outcome)], [])

    def live(self, events: list[tuple[str, timedelta]]) -> None:
        for event, span in events:
            if event == "there":
                self.pass_time(span)
            elif event == "away":
                self.now += span
                self.restart()
            elif event == "jump":
                self.latest = max(self.latest, self.now)
                span = max(span, self.latest - self.most_back - self.now)
                self.now += span
                self.up_since = self.now if span > GRACE else min(self.up_since, self.now)
            elif event == "fail":
                self.failures = span // timedelta(minutes=1)
            else:
                self.killed = event  # in the midst of the next run
            self.look()


def _live(
    schedule: dict[str, object], events: list[tuple[str, timedelta]], most_back: timedelta
) -> tuple[_Life, list[Note], list[datetime]]:
    """Give the life that was lived, all its notes, and what was due until its end and is told of exactly once."""
    with TemporaryDirectory(dir=_FAST) as folder:
        others = {name: value for name, value in schedule.items() if name != "run"}
        job = make_job(str(schedule["run"]), zone=BERLIN, **others)
        life = _Life(Path(folder), job, most_back)
        life.live(events)
        notes = life.memory.notes()
        pending = life.memory.states()[job.name].pending
        life.memory.__exit__()
    due = list(takewhile(lambda at: at <= life.now, job.timetable.after(START)))
    for at in due:
        waits = pending is not None and pending.at == at
        told = [n for n in notes if n.at <= at <= n.last and not (waits and n.fate is Fate.DOUBTFUL)]
        assert len(told) + waits == 1, (at, told, pending)
    for note in notes:
        row = takewhile(lambda at, last=note.last: at <= last, job.timetable.after(note.at - timedelta(seconds=1)))
        assert note.count == len(list(row)), "something is told of that was never due"
    return life, notes, due


_SLOW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_SLOW
@given(schedule=_SCHEDULES, events=_EVENTS)
def test_no_run_is_lost_and_none_is_taken_twice(
    schedule: dict[str, object], events: list[tuple[str, timedelta]]
) -> None:
    life, notes, _ = _live(schedule, events, SAME_NIGHT)
    assert len(life.taken) == len(set(life.taken)), "taken twice"
    recorded = {note.at: note for note in notes if note.fate is Fate.TAKEN}
    assert set(recorded) == set(life.taken)
    assert len({note.sequences["his"] for note in recorded.values()}) == len(recorded)


@_SLOW
@given(schedule=_SCHEDULES, events=_EVENTS)
def test_no_run_is_lost_however_far_the_clock_jumps(
    schedule: dict[str, object], events: list[tuple[str, timedelta]]
) -> None:
    life, notes, _ = _live(schedule, events, timedelta(days=100))
    assert {note.at for note in notes if note.fate is Fate.TAKEN} <= set(life.taken)
