# SPDX-License-Identifier: Apache-2.0
"""The thin shell around `due`: keeps every decision durably before anything follows from it. One thread, no clock of its own.

    refresh → settle → due → begin → (somebody takes the run) → finish or hold

What `begin` kept and no `finish` followed was under way when the agent died: `recover` tells from the journal whether the
statement was made, so that the run is neither lost nor taken twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from agent.errors import AgentError, LoginError
from agent.jobs import due
from agent.jobs.due import IsTaken, Moment
from agent.jobs.job import Fate, Job, JobState, Note, Pending, Reason, read_words
from agent.jobs.memory import KEEP, ScheduleMemory
from agent.outcome import MemberEnd, Outcome
from terminal.language import Language

log = logging.getLogger(__name__)
_KILLED = "the agent was stopped while it ran"


class Scheduler:
    """What is due, of all jobs. Every method that changes anything raises SpoolError if it cannot be kept."""

    def __init__(self, memory: ScheduleMemory) -> None:
        self._memory = memory
        self._salt = memory.salt()
        self._states = memory.states()
        self._jobs: dict[str, Job] = {}

    def refresh(self, jobs: Sequence[Job], now: datetime) -> None:
        """Take the jobs of the settings: new ones count from now, what was due by an older schedule is noted."""
        self._jobs = {job.name: job for job in jobs if not job.follows_changes()}
        for name in set(self._states) - set(self._jobs):
            pending = self._states[name].pending
            notes = [] if pending is None else [_note_changed(name, pending)]
            self._memory.put(name, None, notes)
            del self._states[name]
        for job in self._jobs.values():
            state = self._states.get(job.name)
            if state is None:
                self._keep(job, due.first_state(job, now))
            elif state.words != job.words:
                self._change_schedule(job, state, now)

    def has_unfinished(self) -> bool:
        """Tell whether a run began of whose end nothing is known."""
        pending = (self._states[name].pending for name in self._jobs)
        return any(each is not None and each.began is not None for each in pending)

    def recover(self, find_newest: Callable[[Sequence[str]], Mapping[str, int]], now: datetime) -> None:
        """Find out what became of runs that began, and whose end was never noted. Call before `settle`."""
        for job in self._jobs.values():
            state = self._states[job.name]
            pending = state.pending
            if pending is None or pending.began is None:
                continue
            newest = find_newest(job.members)
            made = {name: newest[name] for name in job.members if newest[name] > pending.newest.get(name, 0)}
            if len(made) == len(job.members):
                self._keep(job, replace(state, pending=None), [_note_taken(job, pending, now, made)])
            else:
                self._retry(job, now, "", _KILLED, made, again=True)
            log.info("unfinished run found", extra={"job": job.name, "due": pending.at, "taken": sorted(made)})

    def settle(self, moment: Moment) -> None:
        """Decide every instant that has come."""
        for job in self._jobs.values():
            if due.went_back(self._states[job.name], moment.now):
                self._reopen(job, moment.now)
            before = self._states[job.name]
            state, notes = due.settle(job, before, moment, self._find_taken(job), self._salt)
            state, expired = due.expire(job, state, moment.now)
            left = [each for note in (*notes, *expired) for each in self._leave_doubtful(job, note)]
            if state != before:
                self._keep(job, state, left)
            for note in left:
                _tell(note)

    def due(self, now: datetime) -> Sequence[Job]:
        """Give the jobs that may begin now, in the order in which they fell due."""
        ready = [job for job in self._jobs.values() if due.may_begin(job, self._states[job.name], now)]
        return sorted(ready, key=lambda job: self.pending(job).not_before)

    def next_run(self, name: str, now: datetime) -> datetime | None:
        """Give when the job of this name runs next, if all goes well."""
        job = self._jobs.get(name)
        return None if job is None else due.next_run(job, self._states.get(name), now, self._salt)

    def next_look(self, now: datetime) -> datetime | None:
        """Give the earliest instant at which a job may begin, if nobody changes anything."""
        return min((at for name in self._jobs if (at := self.next_run(name, now)) is not None), default=None)

    def is_anything_due(self, now: datetime) -> bool:
        """Tell whether something is to be run now, settled or not."""
        look = self.next_look(now)
        return look is not None and look <= now

    def pending(self, job: Job) -> Pending:
        """Give the run that is pending of a job which is due."""
        pending = self._states[job.name].pending
        assert pending is not None
        return pending

    def unstated(self, job: Job) -> Sequence[Note]:
        """Give what was not taken, and of which no manifest tells yet."""
        return self._memory.unstated(job.name)

    def begin(self, job: Job, now: datetime, newest: Mapping[str, int]) -> None:
        """Take note that the pending run begins now; `newest`: the sequences of its sources' newest statements."""
        self._keep(job, due.begin(self._states[job.name], now, dict(newest)))

    def hold(self, job: Job, until: datetime) -> None:
        """Take note that the run was not begun, or ended for somebody else's sake: it may begin again at `until`."""
        self._keep(job, due.hold(self._states[job.name], until))

    def finish(self, job: Job, now: datetime, ends: Sequence[MemberEnd], stated: Sequence[Note]) -> None:
        """Take note of how the run ended. `stated`: notes that its manifests tell of."""
        state = self._states[job.name]
        pending = self.pending(job)
        made = {end.source: end.end.sequence for end in ends if isinstance(end.end, Outcome)}
        errors = [end.end for end in ends if isinstance(end.end, AgentError)]
        if not errors:
            self._keep(job, replace(state, pending=None), [_note_taken(job, pending, now, made)])
        else:
            again = not all(isinstance(err, LoginError) for err in errors)
            self._retry(job, now, errors[0].code, errors[0].sentence(Language.EN), made, again=again)
        if made and stated:
            self._memory.mark_stated(stated)

    def forget_old(self, now: datetime) -> None:
        """Forget what is older than is kept."""
        self._memory.forget_before(now - KEEP)

    def _retry(self, job: Job, now: datetime, code: str, why: str, made: Mapping[str, int], *, again: bool) -> None:
        pending = self.pending(job)
        state = due.retry(job, self._states[job.name], now, code, why, again=again)
        if state.pending is not None:
            self._keep(job, state)
            log.info("run will be tried again", extra={"job": job.name, "at": state.pending.not_before})
            return
        given_up = due.give_up(job, replace(pending, attempts=pending.attempts + 1, code=code, why=why), Reason.FAILED)
        note = replace(given_up, began=pending.began, ended=now, sequences=dict(made))
        self._keep(job, state, [note])
        _tell(note)

    def _reopen(self, job: Job, now: datetime) -> None:
        state = self._states[job.name]
        log.warning("clock went back", extra={"job": job.name, "decided_until": state.settled, "now": now})
        dreamt = [note for note in self._memory.notes(job.name) if due.is_dreamt(note, now)]
        real = [left for note in dreamt if (left := due.cut(job, note, now)) is not None]
        state = due.reopen(state, now)
        self._memory.replace(job.name, state, dreamt, real)
        self._states[job.name] = state

    def _change_schedule(self, job: Job, state: JobState, now: datetime) -> None:
        """Note what fell due by the old schedule and was not decided; go on by the new one."""
        old = read_words(job, state.words)
        notes = [] if old is None else due.note_changed(old, state, now, self._find_taken(job))
        left = [] if old is None else [each for note in notes for each in self._leave_doubtful(old, note)]
        self._keep(job, JobState(job.words, max(now, state.settled), state.pending), left)

    def _leave_doubtful(self, job: Job, note: Note) -> Sequence[Note]:
        """Give what a note says of runs that were not attempted, without those that may have been taken."""
        if note.fate is not Fate.MISSED:
            return [note]
        return due.leave_out(job, note, lambda at: self._memory.has_fate(job.name, at, Fate.DOUBTFUL))

    def _find_taken(self, job: Job) -> IsTaken:
        return lambda at: self._memory.has_fate(job.name, at, Fate.TAKEN)

    def _keep(self, job: Job, state: JobState, notes: Sequence[Note] = ()) -> None:
        self._memory.put(job.name, state, notes)
        self._states[job.name] = state


def _note_taken(job: Job, pending: Pending, now: datetime, made: Mapping[str, int]) -> Note:
    return Note(
        job.name, pending.at, pending.at, 1, Fate.TAKEN, attempts=pending.attempts + 1, is_late=pending.is_late,
        began=pending.began, ended=now, sequences=dict(made),
    )  # fmt: skip


def _note_changed(name: str, pending: Pending) -> Note:
    return Note(name, pending.at, pending.at, 1, Fate.MISSED, Reason.CHANGED.value)


def _tell(note: Note) -> None:
    facts = {"job": note.job, "due": note.at, "count": note.count, "why": note.reason, "code": note.code}
    log.warning("scheduled run not taken", extra=facts)
