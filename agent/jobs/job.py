# SPDX-License-Identifier: Apache-2.0
"""What is scheduled: a source or a group by its name, and what is known of its runs. Data, no I/O.

`Job` is from the settings, `JobState` and `Note` are what the memory keeps. All times are aware UTC.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from hashlib import sha256
from zoneinfo import ZoneInfo

from agent.config import AgentConfig
from agent.jobs.timetable import Timetable, find_zone
from agent.settings.rhythm import OnChange
from agent.settings.schedule import ScheduleSettings


@dataclass(frozen=True, slots=True)
class Job:
    """A source, or a group of `members`, and when it is taken. `members` of a source is itself alone."""

    name: str
    members: tuple[str, ...]
    is_group: bool
    timetable: Timetable

    @property
    def words(self) -> str:
        """Give the schedule as its settings have it, so that another one can be told from it."""
        return json.dumps([str(self.timetable.zone), self.timetable.settings.model_dump(mode="json")])

    def follows_changes(self) -> bool:
        """Tell whether it is taken when it has changed, rather than by the clock."""
        return isinstance(self.timetable.settings.rhythm, OnChange)

    def delay(self, at: datetime, salt: bytes) -> timedelta:
        """Give how long after `at` the run begins: the same for the same instant, another one for another agent."""
        most_s = self.timetable.settings.random_delay
        if not most_s:
            return timedelta(0)
        chosen = int.from_bytes(sha256(salt + f"{self.name} {at.isoformat()}".encode()).digest()[:8])
        return timedelta(seconds=chosen % (most_s + 1))


class Fate(StrEnum):
    """What became of a scheduled run. `doubtful`: taken, by a clock that went back since by more than a month."""

    TAKEN = "taken"
    DOUBTFUL = "doubtful"
    FAILED = "failed"
    MISSED = "missed"
    BLACKOUT = "blackout"


class Reason(StrEnum):
    """Why a scheduled run was not taken, in words that stand in manifests."""

    AWAY = "the agent was not running"
    BEHIND = "it could not begin before the next one was due"
    CLOSED = "its window was over"
    BLACKOUT = "a blackout day"
    CHANGED = "the schedule was changed"
    FAILED = "it failed"


@dataclass(frozen=True, slots=True)
class Pending:
    """The run that is to be taken next, at `not_before` or later: at most one of each job.

    `is_late`: nobody was there at its time. `began`: it is under way, or was when the agent died; `newest` has the sequences
    that its sources' newest statements had then. `code`, `why`: what ended its last attempt.
    """

    at: datetime
    not_before: datetime
    is_late: bool = False
    attempts: int = 0
    began: datetime | None = None
    newest: Mapping[str, int] = field(default_factory=dict)
    code: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job stands: every instant up to `settled` is decided, and `pending` is what is left to do of it."""

    words: str
    settled: datetime
    pending: Pending | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What became of the runs due from `at` to `last`, `count` of them, all for one reason. More than one only if none was taken.

    `sequences`: the statements of its sources. `is_late`: it was taken although missed. `stated`: it stands in a manifest.
    """

    job: str
    at: datetime
    last: datetime
    count: int
    fate: Fate
    reason: str = ""
    code: str = ""
    attempts: int = 0
    is_late: bool = False
    began: datetime | None = None
    ended: datetime | None = None
    sequences: Mapping[str, int] = field(default_factory=dict)
    stated: bool = False


def make_jobs(config: AgentConfig, machine: tzinfo) -> Sequence[Job]:
    """Give what is scheduled, groups first, in the order of the file. `machine`: the zone of this machine."""
    scheduled = [(group.name, group.sources, True, group.schedule) for group in config.groups]
    scheduled += [(source.name, (source.name,), False, source.schedule) for source in config.sources]
    return [
        Job(name, members, is_group, Timetable(settings, find_zone(settings.time_zone or config.time_zone, machine)))
        for name, members, is_group, settings in scheduled
        if settings is not None
    ]


def read_words(job: Job, words: str) -> Job | None:
    """Give `job` with the schedule that it had by these `words`; None if they cannot be read any more."""
    try:
        zone, settings = json.loads(words)
        table = Timetable(ScheduleSettings.model_validate(settings), ZoneInfo(zone))
    except (ValueError, TypeError, OSError, KeyError):
        return None
    return replace(job, timetable=table)
