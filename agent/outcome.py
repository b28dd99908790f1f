# SPDX-License-Identifier: Apache-2.0
"""What the agent's acts end in, as data: snapshots, comparisons, status. No I/O; the commands print these.

Times are aware UTC. `label` writes numbers with their kind, so that nobody takes a sequence for a log index.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from agent.errors import AgentError
from agent.load import LoadReport
from agent.pausing import Pause
from evidence.keys.key import VerificationKey
from terminal.language import Text


class Stage(StrEnum):
    """How far a statement has come. The center's levels, before them the agent's spool."""

    SPOOLED = "spooled"
    REGISTERED = "registered"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Left:
    """A table that is not in the snapshot, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One snapshot after `snapshot` or `send`.

    `stage` is STORED only if the receipt was verified; then `log_index` is there. `sent_bytes` counts what this act
    sent, not what the snapshot holds. `trouble` is why a whole snapshot did not get further: the line is down, say.
    """

    source: str
    sequence: int
    stage: Stage
    tables: int
    rows: int
    bytes_: int
    sent_bytes: int
    taken_at: datetime
    took: timedelta
    consistency: str
    root: str
    log_index: int | None = None
    receipt_path: Path | None = None
    omitted: tuple[Left, ...] = ()
    notes: tuple[str | Text, ...] = ()
    trouble: AgentError | None = None

    @property
    def label(self) -> str:
        """Give `his#412`."""
        return f"{self.source}#{self.sequence}"


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """What became of one source of a group: its snapshot, or why there is none."""

    source: str
    end: Outcome | AgentError


class Verdict(StrEnum):
    """How one table of the live source stands to the one that was registered."""

    EQUAL = "equal"
    DIFFERENT = "different"
    SCHEMA_DIFFERS = "schema differs"
    ONLY_REGISTERED = "only registered"
    ONLY_LIVE = "only in the source"
    NOT_READ = "not read"


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table: its verdict, the rows on both sides (None: the table is not there), and why it was not read."""

    name: str
    verdict: Verdict
    rows_registered: int | None
    rows_live: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The live source against statement `sequence`. `registered_root` and `live_root` are hex."""

    source: str
    sequence: int
    registered_at: datetime
    tables: tuple[TableComparison, ...]
    registered_root: str
    live_root: str | None

    @property
    def is_equal(self) -> bool:
        """Tell whether every table is equal and none was left unread."""
        return all(table.verdict is Verdict.EQUAL for table in self.tables)

    @property
    def is_certain(self) -> bool:
        """Tell whether every table was read, so that `is_equal` is an answer."""
        return all(table.verdict is not Verdict.NOT_READ for table in self.tables)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source for `status`. `load`: of its last run. `schedule`: its words, or ""; `next_run`: when the daemon takes it next.

    `missed_at`, `missed_why`: the newest scheduled run that was not taken. `no_room_since`: since when nothing is taken for want
    of room.

    `sequence` is the newest statement's, of whatever stage; None: nothing was taken yet.
    """

    source: str
    kind: str
    sequence: int | None
    stage: Stage | None
    taken_at: datetime | None
    stored_sequence: int | None
    stored_at: datetime | None
    log_index: int | None
    rows: int | None
    waiting: int
    waiting_bytes: int
    last_error: str = ""
    load: LoadReport | None = None
    schedule: str = ""
    next_run: datetime | None = None
    missed_at: datetime | None = None
    missed_why: str = ""
    no_room_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The whole agent for `status`. `pause`: the one in force. `unit` and `center` are None until it is enrolled."""

    folder: Path
    unit: str | None
    center: str | None
    sources: tuple[SourceStatus, ...]
    spool_bytes: int
    spool_limit_bytes: int
    spool_free_bytes: int
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What `enroll` ended in. `sources`: those that the unit has had at the center before."""

    unit: str
    name: str
    center: str
    origin: str
    log_vkey: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What became of a change of the agent's statement key. `is_known`: the center has logged it; else it waits."""

    old: VerificationKey
    new: VerificationKey
    is_known: bool
    trouble: AgentError | None = None
