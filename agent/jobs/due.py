# SPDX-License-Identifier: Apache-2.0
"""Which run is due: pure functions of what is remembered and what time it is. Source: decision 0058.

    settle    decide every instant that has come: the newest one is to be run, those before it are noted
    may_begin whether what is to be run may begin now: its time, its window, its days
    retry     what follows a failure: one later attempt, before the next run is due, or the note that it failed

Each instant is decided once. The state goes with its notes into one durable step, so a kill between any two steps leaves
either both or none. If the clock has gone back, what lies ahead again is open again, but for what was taken within the
day to come: an hour that comes twice is not run twice, and days that the clock had only dreamt of are not lost. Runs that
were taken more than a month ahead are doubtful from then on: they may be run again, but nothing says that they were not taken.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from agent.jobs.job import Fate, Job, JobState, Note, Pending, Reason

GRACE: Final = timedelta(minutes=15)
"""A run that begins so late was not missed: a restart takes seconds, a machine minutes to start."""
SAME_NIGHT: Final = timedelta(days=1)
"""How far the clock may go back so that an instant which comes again is the one that was run."""
LOST: Final = timedelta(days=31)
"""A clock that goes back by more has lost the time; by less, it was ahead before, and is put right."""
MOST_BACK: Final = timedelta(days=400)
"""Older instants are not looked at: so long was a clock wrong, or the agent away."""
LEFT_TO_NEXT: Final = timedelta(hours=1)
"""A missed run is not made up so shortly before the next one."""
_MOST_BACKOFF: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Moment:
    """What time it is, and since when, by the same clock, the agent has been there without a break."""

    now: datetime
    up_since: datetime


IsTaken = Callable[[datetime], bool]
"""Tell whether the run due at this instant was taken."""


def first_state(job: Job, now: datetime) -> JobState:
    """Give the state of a job that is new: its runs count from now on."""
    return JobState(job.words, now)


def went_back(state: JobState, now: datetime) -> bool:
    """Tell whether the clock has gone back before what is decided already."""
    return now < state.settled


def reopen(state: JobState, now: datetime) -> JobState:
    """Give the state after the clock has gone back; notes are cut by `is_dreamt`."""
    pending = state.pending
    if pending is not None and pending.at > now:
        pending = None
    elif pending is not None:
        pending = replace(pending, not_before=min(pending.not_before, now))
    return JobState(state.words, now, pending)


def is_dreamt(note: Note, now: datetime) -> bool:
    """Tell whether a note is of what has not come yet, now that the clock has gone back."""
    is_kept = note.fate is Fate.DOUBTFUL or (note.fate is Fate.TAKEN and note.at <= now + SAME_NIGHT)
    return note.last > now and not is_kept


def cut(job: Job, note: Note, now: datetime) -> Note | None:
    """Give what is left of a note that `is_dreamt`: of a row of missed runs, those that have come; a doubt of one taken far ahead."""
    if note.fate is Fate.TAKEN and note.at > now + LOST:
        return replace(note, fate=Fate.DOUBTFUL)
    come = [at for at in _instants(job, note.at - timedelta(microseconds=1), now) if at <= note.last]
    return replace(note, last=come[-1], count=len(come)) if come and note.count > 1 else None


def leave_out(job: Job, note: Note, is_out: Callable[[datetime], bool]) -> Sequence[Note]:
    """Give a note of missed runs without those that `is_out` names: of each unbroken row that is left, one."""
    if note.count == 1:
        return [] if is_out(note.at) else [note]
    left: list[Note] = []
    for out, row in groupby(_instants(job, note.at - timedelta(microseconds=1), note.last), is_out):
        ats = list(row)
        left += [] if out else [replace(note, at=ats[0], last=ats[-1], count=len(ats))]
    return left


def note_changed(job: Job, state: JobState, now: datetime, is_taken: IsTaken) -> Sequence[Note]:
    """Give notes of what has come by the schedule `job` had until now, and was not decided."""
    return _note(job, list(_instants(job, state.settled, now)), lambda at: None if is_taken(at) else Reason.CHANGED)


def settle(
    job: Job, state: JobState, moment: Moment, is_taken: IsTaken, salt: bytes
) -> tuple[JobState, Sequence[Note]]:
    """Decide every instant that has come until now; give the new state, and what is to be noted with it."""
    now, table = moment.now, job.timetable
    come = list(_instants(job, state.settled, now))
    open_ = [each for each in come if not table.is_black(each) and not is_taken(each)]
    away_until = min(moment.up_since, now - GRACE)
    pending, notes = state.pending, list[Note]()
    if open_:
        if pending is not None:
            notes.append(give_up(job, pending, Reason.AWAY if pending.is_late else Reason.BEHIND))
        newest = open_[-1]
        pending = Pending(newest, newest + job.delay(newest, salt), is_late=newest < away_until)
        if pending.is_late and table.settings.missed == "skip":
            pending = None

    def find_reason(at: datetime) -> Reason | None:
        if is_taken(at) or (pending is not None and at == pending.at):
            return None
        if table.is_black(at):
            return Reason.BLACKOUT
        return Reason.AWAY if at < away_until else Reason.BEHIND

    notes += _note(job, come, find_reason)
    return (JobState(state.words, come[-1], pending) if come else state), notes


def expire(job: Job, state: JobState, now: datetime) -> tuple[JobState, Sequence[Note]]:
    """Give up what is pending if its window is over and missed runs are skipped; what is made up waits for the next window."""
    pending, table = state.pending, job.timetable
    if pending is None or pending.began is not None or table.settings.missed != "skip":
        return state, []
    opening = table.opening(pending.at)
    if opening is not None and opening.end is not None and now >= opening.end:
        return replace(state, pending=None), [give_up(job, pending, Reason.CLOSED)]
    return state, []


def may_begin(job: Job, state: JobState, now: datetime) -> bool:
    """Tell whether the pending run may begin."""
    begin = find_begin(job, state, now)
    return begin is not None and begin <= now


def find_begin(job: Job, state: JobState, now: datetime) -> datetime | None:
    """Give the earliest instant, not before `now`, at which the pending run may begin, or None.

    A run that was missed, and could begin only in the window of the next one or shortly before it, is left to it.
    """
    pending = state.pending
    if pending is None:
        return None
    opening = job.timetable.opening(max(now, pending.not_before))
    if opening is None:
        return None
    if pending.is_late and not pending.attempts:
        following = job.timetable.next_after(max(state.settled, now - MOST_BACK))
        near = opening.begin + LEFT_TO_NEXT if opening.end is None else opening.end
        if following is not None and following < near and not job.timetable.is_black(following):
            return None
    return opening.begin


def window_end(job: Job, now: datetime) -> datetime | None:
    """Give when the window that is open now closes; None: never."""
    opening = job.timetable.opening(now)
    return None if opening is None else opening.end


def next_run(job: Job, state: JobState | None, now: datetime, salt: bytes) -> datetime | None:
    """Give when the next run begins, if all goes well; None: by no clock."""
    if state is not None and (begin := find_begin(job, state, now)) is not None:
        return begin
    after = now if state is None else max(state.settled, now - MOST_BACK)
    for at in job.timetable.after(after):
        if not job.timetable.is_black(at):
            opening = job.timetable.opening(max(at + job.delay(at, salt), now))
            return None if opening is None else opening.begin
    return None


def begin(state: JobState, now: datetime, newest: dict[str, int]) -> JobState:
    """Give the state of a job whose pending run begins now."""
    assert state.pending is not None
    return replace(state, pending=replace(state.pending, began=now, newest=newest))


def hold(state: JobState, until: datetime) -> JobState:
    """Give the state after a run that was not begun, or was ended for somebody else: it counts as no attempt."""
    assert state.pending is not None
    return replace(state, pending=replace(state.pending, began=None, not_before=until))


def retry(job: Job, state: JobState, now: datetime, code: str, why: str, *, again: bool) -> JobState:
    """Give the state after an attempt that failed: a later one, or none if there is no time for it (`pending` is then None).

    `again`: another attempt may help.
    """
    pending, settings = state.pending, job.timetable.settings
    assert pending is not None
    attempts = pending.attempts + 1
    failed = replace(pending, attempts=attempts, began=None, code=code, why=why)
    wait = min(timedelta(seconds=settings.backoff) * 2 ** min(attempts - 1, 16), _MOST_BACKOFF)
    opening = job.timetable.opening(now + wait)
    following = job.timetable.next_after(max(state.settled, now - MOST_BACK))
    is_over = attempts > settings.retries or opening is None
    if not again or is_over or (following is not None and opening is not None and opening.begin >= following):
        return replace(state, pending=None)
    assert opening is not None
    return replace(state, pending=replace(failed, not_before=opening.begin))


def give_up(job: Job, pending: Pending, reason: Reason) -> Note:
    """Give the note of a run that will not be taken any more."""
    if pending.attempts:
        return Note(
            job.name, pending.at, pending.at, 1, Fate.FAILED, pending.why or Reason.FAILED.value, pending.code,
            pending.attempts, pending.is_late,
        )  # fmt: skip
    return Note(job.name, pending.at, pending.at, 1, Fate.MISSED, reason.value)


def _instants(job: Job, settled: datetime, now: datetime) -> Iterable[datetime]:
    for instant in job.timetable.after(max(settled, now - MOST_BACK)):
        if instant > now:
            return
        yield instant


def _note(job: Job, come: Sequence[datetime], find_reason: Callable[[datetime], Reason | None]) -> list[Note]:
    """Give a note of each unbroken row of runs for which there is the same reason that they were not taken."""
    notes: list[Note] = []
    for reason, row in groupby(come, find_reason):
        ats = list(row)
        if reason is not None:
            fate = Fate.BLACKOUT if reason is Reason.BLACKOUT else Fate.MISSED
            notes.append(Note(job.name, ats[0], ats[-1], len(ats), fate, reason.value))
    return notes
