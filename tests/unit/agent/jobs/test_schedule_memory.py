# SPDX-License-Identifier: Apache-2.0
"""The memory of scheduled runs: whole or not at all, bounded, and what a clock had dreamt is taken back."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import SpoolError
from agent.jobs.due import Moment
from agent.jobs.job import Fate, JobState, Note, Pending, Reason
from agent.jobs.memory import SCHEDULE_NAME, ScheduleMemory
from agent.jobs.scheduler import Scheduler
from agent.outcome import MemberEnd
from tests.builders.jobs import local, make_job, utc
from tests.fakes.agent import make_outcome

DAY = timedelta(days=1)
NOW = utc("2026-01-10 12:00")
NOTE = Note(
    "his", NOW, NOW + DAY, 2, Fate.FAILED, "夜间中断", "JS-2101", 3, True, NOW, NOW + DAY, {"his": 4, "lis": 7}, False
)
PENDING = Pending(NOW, NOW + DAY, True, 2, NOW, {"his": 3}, "JS-2101", "nobody answers")


def test_state_and_notes_come_back_as_they_were_kept(tmp_path: Path) -> None:
    state = JobState("words", NOW, PENDING)
    with ScheduleMemory(tmp_path) as memory:
        salt = memory.salt()
        memory.put("his", state, [NOTE])
    with ScheduleMemory(tmp_path) as memory:
        assert memory.states() == {"his": state}
        assert memory.notes() == [NOTE]
        assert memory.salt() == salt != bytes(16)
        memory.put("his", None)
        assert memory.states() == {}
        assert memory.notes("lis") == []


def test_change_that_cannot_be_written_whole_changes_nothing(tmp_path: Path) -> None:
    with ScheduleMemory(tmp_path) as memory:
        memory.put("his", JobState("words", NOW))
        with closing(sqlite3.connect(tmp_path / SCHEDULE_NAME)) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON note BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
            other.commit()
        with pytest.raises(sqlite3.IntegrityError):
            memory.put("his", JobState("words", NOW + DAY, PENDING), [NOTE])
        assert memory.states() == {"his": JobState("words", NOW)}


def test_memory_that_another_process_holds_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with ScheduleMemory(tmp_path) as memory, closing(sqlite3.connect(tmp_path / SCHEDULE_NAME)) as other:
        memory._db.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolError, match="cannot be written") as caught:
            memory.put("his", JobState("words", NOW))
        assert "no scheduled run begins before" in str(caught.value.hint)


def test_scheduler_that_cannot_keep_a_decision_has_not_made_it(tmp_path: Path) -> None:
    job = make_job()
    with ScheduleMemory(tmp_path) as memory, closing(sqlite3.connect(tmp_path / SCHEDULE_NAME)) as other:
        scheduler = Scheduler(memory)
        scheduler.refresh([job], local("2026-01-10 12:00"))
        now = local("2026-01-11 01:30")
        assert not scheduler.is_anything_due(now - timedelta(seconds=1))
        assert scheduler.is_anything_due(now), "though nothing is settled yet"
        memory._db.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolError):
            scheduler.settle(Moment(now, now))
        assert scheduler.due(now) == []
        other.execute("ROLLBACK")
        scheduler.settle(Moment(now, now))
        assert scheduler.due(now) == [job]


def test_notes_are_forgotten_when_they_are_old_and_only_then(tmp_path: Path) -> None:
    with ScheduleMemory(tmp_path) as memory:
        scheduler = Scheduler(memory)
        memory.put("his", JobState("words", NOW), [NOTE])
        scheduler.forget_old(NOW + 399 * DAY)
        assert memory.notes() == [NOTE]
        scheduler.forget_old(NOW + 402 * DAY)
        assert memory.notes() == []


def test_job_that_is_taken_out_of_the_settings_leaves_no_run_behind(tmp_path: Path) -> None:
    job = make_job()
    with ScheduleMemory(tmp_path) as memory:
        memory.put(job.name, JobState(job.words, NOW, replace(PENDING, at=NOW, attempts=0)))
        Scheduler(memory).refresh([], NOW + DAY)
        assert memory.states() == {}
        assert [(note.at, note.reason) for note in memory.notes()] == [(NOW, Reason.CHANGED)]


def test_old_schedule_is_accounted_for_until_the_new_one_counts(tmp_path: Path) -> None:
    old, new = make_job("daily at 01:30"), make_job("daily at 04:00")
    start, now = local("2026-01-10 12:00"), local("2026-01-13 12:00")
    with ScheduleMemory(tmp_path) as memory:
        Scheduler(memory).refresh([old], start)
        scheduler = Scheduler(memory)
        scheduler.refresh([new], now)
        assert [(n.at, n.last, n.count, n.reason) for n in memory.notes()] == [
            (local("2026-01-11 01:30"), local("2026-01-13 01:30"), 3, Reason.CHANGED)
        ]
        assert scheduler.next_run("his", now) == local("2026-01-14 04:00")


def test_runs_that_were_taken_are_not_said_to_be_missed_after_a_start_in_the_year_2000(tmp_path: Path) -> None:
    job = make_job()
    tenth = local("2026-01-10 12:00")
    nights = [local(f"2026-01-{day} 01:30") for day in (11, 12, 13, 15)]
    with ScheduleMemory(tmp_path) as memory:
        scheduler = Scheduler(memory)
        scheduler.refresh([job], tenth)
        for sequence, night in enumerate(nights, 1):
            scheduler.settle(Moment(night, tenth))
            scheduler.begin(job, night, {"his": sequence - 1})
            scheduler.finish(job, night, [MemberEnd("his", make_outcome("his", sequence))], [])
        assert [note.at for note in memory.unstated("his")] == [local("2026-01-14 01:30")]
        for wrong in (local("2000-01-01 00:00"), local("2000-01-01 00:01")):
            scheduler.settle(Moment(wrong, wrong))
        now = local("2026-01-16 12:00")
        scheduler.settle(Moment(now, now))
        missed = [(note.at, note.last, note.count) for note in memory.unstated("his")]
        assert [(last, count) for _, last, count in missed][1:] == [(local("2026-01-14 01:30"), 1)]
        assert missed[0][1] < nights[0], "before the schedule began, which a clock of 2000 knows nothing of"
        assert scheduler.pending(job).at == local("2026-01-16 01:30")
        assert [note.at for note in memory.notes("his") if note.fate is Fate.DOUBTFUL] == nights
