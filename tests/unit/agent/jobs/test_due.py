# SPDX-License-Identifier: Apache-2.0
"""What is due, as rules: made up once or skipped, retried without piling up, within windows, past clocks that jump."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agent.jobs import due
from agent.jobs.due import Moment
from agent.jobs.job import Fate, Job, JobState, Note, Pending, Reason
from tests.builders.jobs import local, make_job, utc

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SALT = bytes(16)


def _settle(
    job: Job, state: JobState, now: datetime, *, up_since: datetime | None = None,
    is_taken: Callable[[datetime], bool] = lambda _: False,
) -> tuple[JobState, list[tuple[Fate, str, int]]]:  # fmt: skip
    state, notes = due.settle(job, state, Moment(now, up_since or state.settled), is_taken, SALT)
    return state, [(note.fate, note.reason, note.count) for note in notes]


def _state(job: Job, since: str = "2026-01-10 12:00") -> JobState:
    return due.first_state(job, local(since))


def test_new_job_makes_nothing_up_and_runs_at_its_first_time() -> None:
    job = make_job()
    state, notes = _settle(job, _state(job), local("2026-01-11 01:29"))
    assert (state.pending, notes) == (None, [])
    state, notes = _settle(job, state, local("2026-01-11 01:30"))
    assert notes == []
    assert due.may_begin(job, state, local("2026-01-11 01:30"))


def test_runs_that_were_missed_are_made_up_once_and_the_others_are_told() -> None:
    job = make_job()
    now = local("2026-01-15 08:00")
    state, notes = _settle(job, _state(job), now, up_since=now)
    assert notes == [(Fate.MISSED, Reason.AWAY, 4)]
    assert state.pending is not None
    assert (state.pending.at, state.pending.is_late) == (local("2026-01-15 01:30"), True)
    assert due.may_begin(job, state, now)
    assert _settle(job, state, now) == (state, []), "nothing is decided twice"


def test_runs_that_were_missed_are_skipped_if_that_is_set() -> None:
    job = make_job(missed="skip")
    now = local("2026-01-15 08:00")
    state, notes = _settle(job, _state(job), now, up_since=now)
    assert (state.pending, notes) == (None, [(Fate.MISSED, Reason.AWAY, 5)])


@pytest.mark.parametrize("settings", [{}, {"missed": "skip"}])
def test_restart_of_some_minutes_misses_nothing(settings: dict[str, object]) -> None:
    job = make_job(**settings)
    now = local("2026-01-11 01:44")
    state, notes = _settle(job, _state(job), now, up_since=now)
    assert notes == []
    assert state.pending is not None
    assert not state.pending.is_late


def test_run_that_waited_for_another_was_not_missed() -> None:
    job = make_job(missed="skip")
    state, notes = _settle(job, _state(job), local("2026-01-11 05:00"), up_since=local("2026-01-10 12:00"))
    assert notes == []
    assert due.may_begin(job, state, local("2026-01-11 05:00"))


def test_missed_run_is_left_to_the_next_one_if_that_is_near() -> None:
    job = make_job()
    now = local("2026-01-12 00:45")
    state, _ = _settle(job, _state(job), now, up_since=now)
    assert not due.may_begin(job, state, now)
    state, notes = _settle(job, state, local("2026-01-12 01:30"), up_since=now)
    assert notes == [(Fate.MISSED, Reason.AWAY, 1)]
    assert due.may_begin(job, state, local("2026-01-12 01:30"))


def test_missed_run_waits_for_its_window_unless_the_next_one_is_in_it() -> None:
    daily = make_job(window="01:00-05:00")
    now = local("2026-01-11 08:00")
    state, _ = _settle(daily, _state(daily), now, up_since=now)
    assert due.find_begin(daily, state, now) is None
    monthly = make_job("monthly on day 11 at 01:30", window="01:00-05:00")
    state, _ = _settle(monthly, _state(monthly), now, up_since=now)
    assert due.find_begin(monthly, state, now) == local("2026-01-12 01:00")


def test_run_whose_window_has_passed_is_given_up_only_if_missed_runs_are_skipped() -> None:
    for missed, expected in (("skip", [Reason.CLOSED.value]), ("make up", [])):
        job = make_job("weekly on sunday at 01:30", window="01:00-05:00", missed=missed)
        state, _ = _settle(job, _state(job), local("2026-01-11 04:00"), up_since=local("2026-01-10 12:00"))
        state, notes = due.expire(job, state, local("2026-01-11 05:00"))
        assert [note.reason for note in notes] == expected
        assert (state.pending is None) is bool(expected)


def test_blackout_days_are_told_one_row_each() -> None:
    job = make_job(blackout=["2026-01-12..2026-01-14", "2026-01-16"])
    state, notes = _settle(job, _state(job), local("2026-01-16 12:00"))
    assert notes == [
        (Fate.MISSED, Reason.BEHIND, 1), (Fate.BLACKOUT, Reason.BLACKOUT, 3), (Fate.BLACKOUT, Reason.BLACKOUT, 1),
    ]  # fmt: skip
    assert state.pending is not None
    assert state.pending.at == local("2026-01-15 01:30")
    assert due.find_begin(job, state, local("2026-01-16 12:00")) == local("2026-01-17 00:00")


def test_failures_are_retried_further_and_further_apart_and_never_at_the_next_run_or_beyond() -> None:
    job = make_job("every 6 h", retries=100)
    state = JobState(job.words, utc("2026-01-10 11:00"), Pending(utc("2026-01-10 11:00"), utc("2026-01-10 11:00")))
    now, waits = utc("2026-01-10 11:00"), []
    while state.pending is not None:
        begun = due.begin(state, now, {})
        state = due.retry(job, begun, now, "JS-2101", "nobody answers", again=True)
        if state.pending is not None:
            waits.append((state.pending.not_before - now) // timedelta(minutes=1))
            now = state.pending.not_before
    assert waits == [10, 20, 40, 80, 160]
    assert now < utc("2026-01-10 17:00")


def test_number_of_retries_is_bounded_and_a_refused_login_is_not_retried() -> None:
    job = make_job(retries=1)
    state, _ = _settle(job, _state(job), local("2026-01-11 01:30"))
    again = due.retry(job, state, local("2026-01-11 01:31"), "JS-2101", "down", again=True)
    assert again.pending is not None
    assert again.pending.attempts == 1
    assert due.retry(job, again, local("2026-01-11 01:41"), "JS-2101", "down", again=True).pending is None
    assert due.retry(job, state, local("2026-01-11 01:31"), "JS-2102", "password", again=False).pending is None


def test_retry_falls_into_the_window() -> None:
    job = make_job("monthly on day 11 at 01:30", window="01:00-02:00", backoff=3600)
    state, _ = _settle(job, _state(job), local("2026-01-11 01:30"))
    again = due.retry(job, state, local("2026-01-11 01:31"), "JS-2400", "window over", again=True)
    assert again.pending is not None
    assert again.pending.not_before == local("2026-01-12 01:00")


def test_pending_run_gives_way_to_the_next_and_is_told_as_what_it_was() -> None:
    job = make_job()
    state, _ = _settle(job, _state(job), local("2026-01-11 01:30"))
    failed = due.retry(job, state, local("2026-01-11 01:31"), "JS-2101", "nobody answers", again=True)
    _, notes = _settle(job, failed, local("2026-01-12 01:30"))
    assert notes == [(Fate.FAILED, "nobody answers", 1)]
    _, notes = _settle(job, state, local("2026-01-12 01:30"))
    assert notes == [(Fate.MISSED, Reason.BEHIND, 1)]


def test_hour_that_comes_twice_is_not_run_twice() -> None:
    job = make_job()
    state, _ = _settle(job, _state(job), local("2026-01-11 01:30"))
    taken = {local("2026-01-11 01:30")}
    done = JobState(state.words, state.settled)
    assert due.went_back(done, local("2026-01-11 00:40"))
    back = due.reopen(done, local("2026-01-11 00:40"))
    state, notes = _settle(job, back, local("2026-01-11 01:30"), is_taken=taken.__contains__)
    assert (state.pending, notes) == (None, [])


def test_nights_of_which_a_clock_had_dreamt_are_open_when_they_come() -> None:
    job = make_job()
    now = local("2026-03-01 12:00")
    dreamt = JobState(job.words, local("2026-06-09 01:30"))
    back = due.reopen(dreamt, now)
    state, _ = _settle(job, back, local("2026-03-02 01:30"), up_since=now)
    assert state.pending is not None
    assert state.pending.at == local("2026-03-02 01:30")


def test_notes_of_what_a_clock_had_dreamt_are_cut_to_what_has_come() -> None:
    job = make_job()
    note = Note(job.name, local("2026-01-11 01:30"), local("2026-06-01 01:30"), 142, Fate.MISSED, Reason.AWAY)
    now = local("2026-01-13 12:00")
    assert due.is_dreamt(note, now)
    left = due.cut(job, note, now)
    assert left is not None
    assert (left.at, left.last, left.count) == (note.at, local("2026-01-13 01:30"), 3)
    taken = Note(job.name, now + HOUR, now + HOUR, 1, Fate.TAKEN)
    assert not due.is_dreamt(taken, now)
    near = replace(taken, at=now + 2 * DAY, last=now + 2 * DAY)
    assert due.is_dreamt(near, now)
    assert due.cut(job, near, now) is None, "a clock that was ahead by days has dreamt of it"
    ahead = replace(taken, at=now + 40 * DAY, last=now + 40 * DAY)
    assert due.is_dreamt(ahead, now)
    doubtful = due.cut(job, ahead, now)
    assert doubtful == replace(ahead, fate=Fate.DOUBTFUL)
    assert not due.is_dreamt(doubtful, now - 400 * DAY)
    assert due.cut(job, replace(ahead, fate=Fate.FAILED), now) is None


def test_random_delay_is_the_same_each_time_and_another_for_another_agent() -> None:
    job = make_job(random_delay=3600)
    at = local("2026-01-11 01:30")
    one, other = job.delay(at, bytes(16)), job.delay(at, bytes(15) + b"\1")
    assert one == job.delay(at, bytes(16)) != other
    assert timedelta(0) <= one <= HOUR
    state, _ = _settle(job, _state(job), at)
    assert due.find_begin(job, state, at) == at + one


def test_next_run_is_told_past_blackout_days_and_windows() -> None:
    job = make_job(blackout=["2026-01-11"])
    state = _state(job)
    assert due.next_run(job, state, local("2026-01-10 12:00"), SALT) == local("2026-01-12 01:30")
    assert due.next_run(job, None, local("2026-01-10 12:00"), SALT) == local("2026-01-12 01:30")
