# SPDX-License-Identifier: Apache-2.0
"""The daemon as a loop: what it takes and when, what it sends between, what it goes on after, what ends it."""

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.collectors.watch import Ready
from agent.errors import (
    BusyError,
    CenterDownError,
    LoginError,
    PinError,
    SourceDownError,
    SourceError,
    SpoolError,
    WindowOverError,
)
from agent.jobs.attending import RunEnd
from agent.jobs.daemon import Daemon, Hands, Tally
from agent.jobs.job import Fate, Job, Note
from agent.jobs.memory import SCHEDULE_NAME, ScheduleMemory
from agent.jobs.running import MOST_REMARKS, Guard, describe_missed
from agent.outcome import Outcome, Stage
from agent.pausing import Pause, PauseFile
from tests.builders.jobs import local, make_job, make_table, utc
from tests.fakes.agent import FakeAgent, FakeWatch, StopAfter, make_outcome

START = local("2026-01-10 12:00")
DOWN = SourceDownError("nobody answers", hint="later")


@dataclass
class Clock:
    """A clock that waits move, and that somebody may put wrong."""

    stop: StopAfter
    error: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.stop.passed_s) + self.error


@dataclass
class Companion:
    """Goes along, and fails on command."""

    fails: Exception | None = None
    steps: list[datetime] = field(default_factory=list)
    runs: list[RunEnd] = field(default_factory=list)
    closed: int = 0

    def step(self, now: datetime) -> None:
        self.steps.append(now)
        if self.fails is not None:
            raise self.fails

    def on_run(self, run: RunEnd) -> None:
        self.runs.append(run)
        if self.fails is not None:
            raise self.fails

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.yaml").write_text("sources: []\n")
    return tmp_path


def _run(
    agent: FakeAgent, folder: Path, rounds: int, during: Callable[[int], None] = lambda _: None, every_s: float = 6 * 3600,
    companion: Companion | None = None,
) -> tuple[Tally, Clock]:  # fmt: skip
    stop = StopAfter(rounds, during)
    clock = Clock(stop)
    attendants = () if companion is None else (companion,)
    return Daemon(folder, agent.open, Hands(clock, stop.monotonic, stop, attendants, every_s)).run(), clock


def _asked(agent: FakeAgent) -> list[tuple[object, ...]]:
    return [words for words in agent.asked if words[0] in ("snapshot", "group", "send")]


def _notes(folder: Path) -> list[Note]:
    with ScheduleMemory(folder) as memory:
        return memory.notes()


def _spooled(source: str = "his", sequence: int = 1) -> Outcome:
    return make_outcome(source, sequence, stage=Stage.SPOOLED, log_index=None)


def test_due_runs_are_left_in_the_spool_and_sent_between(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(), make_job("daily at 02:30", "lis")))
    agent.snapshots = {"his": _spooled(), "lis": _spooled("lis")}
    agent.before_snapshot = lambda: agent.waiting.append([make_outcome()])
    tally, _ = _run(agent, folder, 6)
    assert _asked(agent) == [("snapshot", "his", False), ("send",), ("snapshot", "lis", False), ("send",)]
    assert tally.runs == 2
    taken = [(note.job, note.at) for note in _notes(folder) if note.fate is Fate.TAKEN]
    assert taken[:2] == [("his", local("2026-01-11 01:30")), ("lis", local("2026-01-11 02:30"))]


def test_daemon_sleeps_until_the_next_run_is_due(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),))
    woke: list[float] = []
    stop = StopAfter(3, lambda _: woke.append(stop.passed_s))
    _run_with(agent, folder, stop, every_s=86400)
    assert woke[0] == 13.5 * 3600


def _run_with(agent: FakeAgent, folder: Path, stop: StopAfter, every_s: float = 3600) -> Tally:
    return Daemon(folder, agent.open, Hands(Clock(stop), stop.monotonic, stop, (), every_s)).run()


def test_group_is_taken_as_one_and_each_source_is_told_of(folder: Path) -> None:
    group = Job("nightly", ("his", "lis"), True, make_table("daily at 01:30"))
    agent = FakeAgent(scheduled=(group,), groups={"nightly": ("his", "lis")})
    companion = Companion()
    _run(agent, folder, 4, companion=companion)
    assert _asked(agent) == [("group", "nightly", False)]
    assert [(run.source, run.group, run.scheduled_for) for run in companion.runs] == [
        ("his", "nightly", local("2026-01-11 01:30")), ("lis", "nightly", local("2026-01-11 01:30")),
    ]  # fmt: skip
    (note,) = _notes(folder)
    assert note.sequences == {"his": 412, "lis": 412}


def test_group_of_which_one_source_fails_is_tried_again_and_what_it_made_is_kept(folder: Path) -> None:
    group = Job("nightly", ("his", "lis"), True, make_table("daily at 01:30", retries=1))
    agent = FakeAgent(scheduled=(group,), groups={"nightly": ("his", "lis")}, snapshots={"lis": DOWN})
    _run(agent, folder, 6)
    assert _asked(agent) == [("group", "nightly", False)] * 2
    (note,) = _notes(folder)
    assert (note.fate, note.code, note.attempts, note.sequences) == (Fate.FAILED, "JS-2101", 2, {"his": 412})


def test_what_was_missed_stands_in_the_next_manifest_once(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),))
    _run(agent, folder, 1)
    _run_later(agent, folder, days=4)
    (remark,) = agent.remarks
    assert remark == (
        "scheduled run not taken: due 2026-01-11T00:30:00Z (3 until 2026-01-13T00:30:00Z): the agent was not running"
    )
    assert all(note.stated for note in _notes(folder) if note.fate is not Fate.TAKEN)


def _run_later(agent: FakeAgent, folder: Path, days: int, rounds: int = 8) -> None:
    stop = StopAfter(rounds)
    clock = Clock(stop, timedelta(days=days))
    Daemon(folder, agent.open, Hands(clock, stop.monotonic, stop, (), 6 * 3600)).run()


def test_many_gaps_are_told_in_a_bounded_number_of_lines() -> None:
    notes = [
        Note("his", utc(f"2026-01-01 {n // 60:02}:{n % 60:02}"), utc("2026-01-02 00:00"), 2, Fate.MISSED, "why")
        for n in range(100)
    ]
    lines = describe_missed(notes)
    assert len(lines) == MOST_REMARKS + 1
    assert lines[0] == "scheduled runs not taken: 160 from 2026-01-01T00:00:00Z until 2026-01-02T00:00:00Z"


def test_run_that_fails_is_tried_again_until_it_succeeds(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),), snapshots={"his": DOWN})

    def mend(round_: int) -> None:
        if agent.asked.count(("snapshot", "his", False)) == 3:
            agent.snapshots.clear()

    companion = Companion()
    _run(agent, folder, 10, mend, companion=companion)
    (note,) = _notes(folder)
    assert (note.fate, note.attempts) == (Fate.TAKEN, 4)
    assert [run.attempt for run in companion.runs] == [1, 2, 3, 4]


def test_refused_login_is_not_tried_again_by_itself(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),), snapshots={"his": LoginError("password", hint="mend")})
    _run(agent, folder, 6)
    assert agent.asked.count(("snapshot", "his", False)) == 1
    assert [(note.fate, note.code) for note in _notes(folder)] == [(Fate.FAILED, "JS-2102")]


def test_trouble_of_one_source_does_not_stop_the_others_nor_the_sending(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = FakeAgent(scheduled=(make_job(), make_job(name="lis")), snapshots={"his": ZeroDivisionError("a bug")})
    _run(agent, folder, 4)
    assert ("snapshot", "lis", False) in agent.asked
    assert "run failed unexpectedly" in [record.message for record in caplog.records]


def test_full_disk_stops_no_sending_and_what_fell_due_is_taken_when_there_is_room(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),), snapshots={"his": SpoolError("full", hint="make room")})
    agent.waiting = [[make_outcome("lis", stage=Stage.SPOOLED, trouble=CenterDownError("down", hint="later"))]] * 3

    def mend(round_: int) -> None:
        if round_ == 5:
            agent.snapshots.clear()

    _run(agent, folder, 9, mend)
    assert agent.asked.count(("send",)) == 3
    assert [note.fate for note in _notes(folder)] == [Fate.TAKEN]


def test_run_whose_end_could_not_be_noted_is_not_taken_a_second_time(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),))

    def fill_the_disk() -> None:
        with closing(sqlite3.connect(folder / SCHEDULE_NAME)) as db, db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON note BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        agent.made = {"his": 412}

    def make_room(round_: int) -> None:
        if agent.made:
            with closing(sqlite3.connect(folder / SCHEDULE_NAME)) as db, db:
                db.execute("DROP TRIGGER IF EXISTS full")

    agent.before_snapshot = fill_the_disk
    _run(agent, folder, 6, make_room)
    assert _asked(agent) == [("snapshot", "his", False)]
    (note,) = _notes(folder)
    assert (note.fate, note.sequences) == (Fate.TAKEN, {"his": 412})


def test_stop_during_a_run_counts_as_no_attempt_and_the_next_start_takes_it(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),))
    stop = StopAfter(100)

    def stop_in_the_run() -> None:
        stop.rounds = 0

    agent.before_snapshot = stop_in_the_run
    _run_with(agent, folder, stop)
    assert _notes(folder) == []
    agent.before_snapshot = lambda: None
    stop_again = StopAfter(3)
    clock = Clock(stop_again, timedelta(hours=14))
    Daemon(folder, agent.open, Hands(clock, stop_again.monotonic, stop_again)).run()
    (note,) = _notes(folder)
    assert (note.fate, note.attempts, note.is_late) == (Fate.TAKEN, 1, False)


def test_window_ends_a_reading() -> None:
    stop = StopAfter(100)
    clock = Clock(stop)
    heed = Guard(stop, clock, lambda: None).heed_until("his", START + timedelta(seconds=60))
    heed()
    stop.wait(60)
    with pytest.raises(WindowOverError, match="its window is over"):
        heed()


def test_paused_daemon_touches_nothing_and_takes_what_fell_due_when_it_is_resumed(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),))
    pauses = PauseFile(folder)

    def pause(round_: int) -> None:
        if round_ == 1:
            pauses.set(Pause(START, None))
        elif round_ == 8:
            assert _asked(agent) == []
            pauses.clear()

    _run(agent, folder, 10, pause)
    assert ("snapshot", "his", False) in agent.asked
    assert [note.fate for note in _notes(folder)] == [Fate.MISSED, Fate.TAKEN]


def test_nights_that_a_wrong_clock_had_dreamt_of_are_taken_when_they_come(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),))
    stop = StopAfter(40)
    clock = Clock(stop)

    def put_wrong_and_right(round_: int) -> None:
        clock.error = timedelta(days=5) if round_ == 1 else timedelta(0)

    stop.during = put_wrong_and_right
    Daemon(folder, agent.open, Hands(clock, stop.monotonic, stop, (), 6 * 3600)).run()
    taken = [note.at for note in _notes(folder) if note.fate is Fate.TAKEN]
    assert taken[:5] == [local(f"2026-01-{day} 01:30") for day in range(11, 16)]
    assert agent.asked.count(("snapshot", "his", False)) == len(taken) + 1, "and one while the clock was wrong"


def test_settings_that_change_count_without_a_restart_and_the_old_schedule_is_not_forgotten(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    agent = FakeAgent(scheduled=(make_job("daily at 01:30"),))

    def change(round_: int) -> None:
        if round_ == 2:
            agent.scheduled = (make_job("daily at 04:30"), make_job("daily at 05:00", "lis"))
            (folder / "agent.yaml").write_text("sources: [] # changed\n")

    _run(agent, folder, 10, change)
    assert [record.message for record in caplog.records].count("settings read") == 1
    found = [(note.job, note.at, note.fate) for note in _notes(folder)]
    assert ("his", local("2026-01-11 04:30"), Fate.TAKEN) in found
    assert ("lis", local("2026-01-11 05:00"), Fate.TAKEN) in found


def test_watched_source_is_taken_when_it_has_changed_and_only_within_its_window(folder: Path) -> None:
    agent = FakeAgent(
        scheduled=(make_job("on change", "exports", window="13:00-14:00"),),
        watched=(FakeWatch("exports", [Ready(""), None]),),
    )
    companion = Companion()
    _run(agent, folder, 3600 + 5, companion=companion)
    assert _asked(agent) == [("snapshot", "exports", False)]
    (run,) = companion.runs
    assert (run.cause, run.scheduled_for) == ("change", None)
    assert run.began == local("2026-01-10 13:00")
    assert agent.watched[0].done == ["take", "close"]


def test_watched_source_that_cannot_be_looked_at_is_told_of_until_it_can(folder: Path) -> None:
    gone = SourceError("the folder is empty, and not the one that was there before", hint="see whether it is mounted")
    agent = FakeAgent(
        scheduled=(make_job("on change", "exports"), make_job("on change", "images")),
        watched=(FakeWatch("exports", [None, gone, gone, None, None]), FakeWatch("images", [gone])),
    )
    agent.watched[1].is_seen = False
    companion = Companion()
    _run(agent, folder, 8, companion=companion)
    assert [run.end for run in companion.runs if run.source == "exports"] == [gone, gone, None]
    assert [run.end for run in companion.runs if run.source == "images"] == [gone, None], "nobody looks any more"
    assert agent.watched[0].done == ["fail", "fail", "close"]


def test_companions_that_fail_do_not_stop_the_daemon(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    agent = FakeAgent(scheduled=(make_job(),))
    companion = Companion(OSError(5, "I/O error"))
    tally, _ = _run(agent, folder, 5, companion=companion)
    assert tally.runs == 1
    assert len(companion.steps) >= 5
    assert len(companion.runs) == companion.closed == 1
    assert "attendant failed" in [record.message for record in caplog.records]


def test_second_daemon_of_a_folder_is_refused(folder: Path) -> None:
    refused: list[BusyError] = []

    def start_another(round_: int) -> None:
        try:
            _run(FakeAgent(), folder, 1)
        except BusyError as err:
            refused.append(err)

    _run(FakeAgent(), folder, 1, start_another)
    assert ["is running already" in str(err) for err in refused] == [True]


def test_other_end_that_is_no_honest_center_ends_it_and_the_run_stays_due(folder: Path) -> None:
    agent = FakeAgent(scheduled=(make_job(),), snapshots={"his": PinError("not our center", hint="call")})
    with pytest.raises(PinError):
        _run(agent, folder, 6)
    agent.snapshots.clear()
    stop = StopAfter(3)
    Daemon(folder, agent.open, Hands(Clock(stop, timedelta(hours=14)), stop.monotonic, stop)).run()
    assert [note.fate for note in _notes(folder)] == [Fate.TAKEN]


def test_memory_of_runs_that_is_damaged_is_told_with_what_to_do(folder: Path) -> None:
    (folder / "schedule.sqlite").write_bytes(os.urandom(8192))
    with pytest.raises(SpoolError, match="is damaged") as caught:
        _run(FakeAgent(), folder, 1)
    assert "move the file aside" in str(caught.value.hint)
