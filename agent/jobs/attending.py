# SPDX-License-Identifier: Apache-2.0
"""Who goes along with the daemon: heartbeats, status pages, a service manager's watchdog. No I/O.

The daemon knows them by this protocol alone, calls them from its one thread, and goes on whatever they raise.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from agent.errors import AgentError
from agent.outcome import Outcome


class Cause(StrEnum):
    """Why a run was taken."""

    SCHEDULE = "schedule"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """One source's end of a run: its snapshot, or why there is none. Aware UTC.

    `group`: the group that it was taken in, or None. `scheduled_for`: the instant for which it was due; None where the
    source was taken because it had changed. `is_late`: it was missed at its time, and made up now. `attempt` counts from 1.
    `end` None: no snapshot and no trouble; a watched source that could not be looked at can be again, or is not watched now.
    """

    source: str
    group: str | None
    cause: Cause
    scheduled_for: datetime | None
    is_late: bool
    attempt: int
    began: datetime
    ended: datetime
    end: Outcome | AgentError | None


class Attendant(Protocol):
    """Somebody who goes along with the daemon.

    Called from the daemon's thread, so each call must be short (well under a second). An attendant that must be heard
    while the daemon waits for a server's first row needs a thread of its own. What it raises is logged by the daemon, and does
    not end it.
    """

    def step(self, now: datetime) -> None:
        """Do what is to be done now: called each round, so every `--every` seconds (60), and during runs between blocks."""

    def on_run(self, run: RunEnd) -> None:
        """Take note of a run that has ended, for each source of a group; its record is durable already."""

    def close(self) -> None:
        """The daemon ends: let go of everything, within a second."""
