# SPDX-License-Identifier: Apache-2.0
"""What is told of schedules: when each source runs next, what it missed last, and what `check` finds wrong with them.

Reads the memory if there is one, and never makes it: that is the daemon's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Final

from agent.config import AgentConfig
from agent.finding import Finding, Severity
from agent.jobs.due import next_run
from agent.jobs.job import Fate, Job, JobState, Note
from agent.jobs.memory import SCHEDULE_NAME, ScheduleMemory
from agent.plan.rhythm import judge_rhythm
from agent.throttle import parse_quiet_hours
from terminal.language import Text

_FIRES: Final = 60
"""So many of the coming runs are held against quiet hours."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is ahead of a source. `next_run` None: nothing by the clock. `missed`: the newest run of its that was not taken."""

    words: str
    next_run: datetime | None
    missed: Note | None


def find_ahead(folder: Path, jobs: Sequence[Job], now: datetime) -> Mapping[str, Ahead]:
    """Give what is ahead of each source that is scheduled, by itself or in a group. Raises: SpoolError."""
    states: Mapping[str, JobState] = {}
    missed: dict[str, Note] = {}
    salt = bytes(16)
    if (folder / SCHEDULE_NAME).exists():
        with ScheduleMemory(folder) as memory:
            states, salt = memory.states(), memory.salt()
            missed = {note.job: note for note in memory.notes() if note.fate not in (Fate.TAKEN, Fate.DOUBTFUL)}
    found: dict[str, Ahead] = {}
    for job in jobs:
        state = states.get(job.name)
        at = None if job.follows_changes() else next_run(job, state if _is_of(state, job) else None, now, salt)
        ahead = Ahead(job.timetable.settings.run, at, missed.get(job.name))
        for name in job.members:
            found[name] = _sooner(found.get(name), ahead)
    return found


def examine_schedules(config: AgentConfig, jobs: Sequence[Job], now: datetime, machine: tzinfo) -> Iterator[Finding]:
    """Examine what is scheduled: the practice's rule, quiet hours, and what nobody takes by itself."""
    if not jobs:
        return
    for job in jobs:
        settings = job.timetable.settings
        yield judge_rhythm(f"{job.name}: schedule", settings.run, settings.period())
        yield from _examine_hours(config, job, now, machine)
    scheduled = {name for job in jobs for name in job.members}
    left = [source.name for source in config.sources if source.name not in scheduled]
    if left:
        names = ", ".join(left)
        yield Finding(
            Severity.WARN, "schedule",
            Text(zh=f"{names} 没有计划：`jinsuo-agent run` 不取它们", en=f"{names} have no schedule: `jinsuo-agent run` does not take them"),
            Text(zh="为它们加上 schedule，或由系统的定时任务取", en="give them a `schedule:`, or let the system's timer take them"),
        )  # fmt: skip


def _examine_hours(config: AgentConfig, job: Job, now: datetime, machine: tzinfo) -> Iterator[Finding]:
    """Tell which members would refuse to begin, for it would be their quiet hours, which are by the machine's clock."""
    fires = [at.astimezone(machine).time() for at in islice(job.timetable.after(now), _FIRES)]
    for name in job.members:
        source = config.find_source(name)
        throttle = None if source is None else config.throttle_of(source.throttle)
        if throttle is None or throttle.quiet_hours is None or throttle.quiet_rate is not None or not fires:
            continue
        hours = parse_quiet_hours(throttle.quiet_hours)
        inside = [fire for fire in fires if hours.holds(fire)]
        if inside:
            share = Text(zh="全部", en="all") if len(inside) == len(fires) else Text(zh="部分", en="some")
            yield Finding(
                Severity.WARN, f"{name}: schedule",
                Text(zh=f"{share.zh}计划的运行（例如 {inside[0]:%H:%M}）落在静默时段 {hours} 内，不会开始",
                     en=f"{share.en} of its runs ({inside[0]:%H:%M}, say) fall into its quiet hours {hours} and would not begin"),
                Text(zh="改动 schedule 或 quiet_hours，或设 quiet_rate", en="change `schedule` or `quiet_hours`, or set `quiet_rate`"),
            )  # fmt: skip


def _is_of(state: JobState | None, job: Job) -> bool:
    return state is not None and state.words == job.words


def _sooner(one: Ahead | None, other: Ahead) -> Ahead:
    """Give the one that runs sooner, with the newer of what both missed."""
    if one is None:
        return other
    first = one if other.next_run is None or (one.next_run is not None and one.next_run <= other.next_run) else other
    missed = max((each.missed for each in (one, other) if each.missed), key=lambda note: note.last, default=None)
    return Ahead(first.words, first.next_run, missed)
