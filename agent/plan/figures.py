# SPDX-License-Identifier: Apache-2.0
"""What a plan says, as data, and how a person writes and reads rates and spans. No I/O; `agent.plan` fills these.

A figure that is None was NOT MEASURED.
"""

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from agent.finding import Finding
from agent.outcome import Outcome
from terminal.language import Text

if TYPE_CHECKING:
    # Wrong usage and help need none of what a collector loads.
    from agent.collectors.base import TableSize

EACH_RUN: Final = "each run"
"""How often a table is read of which the settings say nothing."""

_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]?)bit/s", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Line:
    """What the line carries towards the center. `is_measured`: by us; else a person said so."""

    bits_per_s: float
    is_measured: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured of one table. `content_bytes`: lines and large cells as read; `packed_bytes`: what would travel.

    `is_whole`: the table was read to its end, so these are its figures. `trouble`: why the source gave no more, or "".
    """

    table: str
    rows: int
    content_bytes: int
    packed_bytes: int
    seconds: float
    is_whole: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks of a plan. `line`: as said; None: measure it. `window_s`: how long the line is ours a night."""

    line: Line | None = None
    window_s: float = 6 * 3600.0
    sample_s: float = 20.0


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: what the source says of it, what was read of it, what all of it is estimated to take (None: unknown).

    `every`: how often the settings have it read (`read:`). `sorted_here`: its rows are brought into order by us;
    `sort_bytes`: the room that this takes meanwhile.
    """

    name: str
    size: "TableSize"
    sorted_here: bool
    keyless: bool
    sample: Sample | None = None
    content_bytes: int | None = None
    packed_bytes: int | None = None
    seconds: float | None = None
    sort_bytes: int | None = None
    every: str = EACH_RUN


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a source. `age_limit_s` None: no transaction is held. `sent`: bytes of the nights after the first.

    `is_seeded`: a first snapshot is at the center. `spool_room_bytes`: what may still be put into the spool; and
    `sort_room_bytes` where sorting takes place. `rhythm`: its schedule, held against the practice's rule. `read_sessions`:
    how many sessions read a large table; None: never more than one.
    """

    kind: str
    age_limit_s: float | None
    is_seeded: bool
    sent: tuple[int, ...]
    spool_room_bytes: int
    spool_limit_bytes: int
    spool_free_bytes: int
    sort_room_bytes: int
    last: Outcome | None
    volume: Finding | None = None
    rhythm: Finding | None = None
    read_sessions: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a snapshot of a source will take. Figures that are None were NOT MEASURED.

    `seconds`: of one read of all tables, which is how old the transaction gets at most; `usual_seconds`: of those that
    are read at each run; `seed_bytes`: what the first snapshot sends. All are a least where `unmeasured` names tables.
    `nightly_bytes`: the mean of the nights in `around.sent`.
    """

    source: str
    consistency: str
    is_copy: bool
    tables: tuple[TablePlan, ...]
    around: Surroundings
    question: Question
    line: Line | None
    line_trouble: str
    opening_s: float
    seconds: float | None
    content_bytes: int | None
    seed_bytes: int | None
    sort_bytes: int
    nightly_bytes: int | None
    advice: tuple[Finding, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Tell whether a usual run leaves tables unread."""
        return any(table.every != EACH_RUN for table in self.tables)

    @property
    def usual_seconds(self) -> float | None:
        """Give how long a run takes that reads only what is read at each run; None: unknown."""
        if self.seconds is None:
            return None
        return self.opening_s + sum(table.seconds or 0 for table in self.tables if table.every == EACH_RUN)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Name the tables of which nothing is known."""
        return tuple(table.name for table in self.tables if table.content_bytes is None)

    @property
    def sampled(self) -> tuple[Sample, ...]:
        """Give what was read."""
        return tuple(table.sample for table in self.tables if table.sample is not None)

    @property
    def seed_line_s(self) -> float | None:
        """Give how long the line is busy with the first snapshot."""
        return self._line_s(self.seed_bytes)

    @property
    def nightly_line_s(self) -> float | None:
        """Give how long the line is busy with a night's changes."""
        return self._line_s(self.nightly_bytes)

    @property
    def nights(self) -> int | None:
        """Give in how many windows the first snapshot has travelled."""
        seconds = self.seed_line_s
        return None if seconds is None else max(1, ceil(seconds / self.question.window_s))

    def _line_s(self, size: int | None) -> float | None:
        return None if size is None or self.line is None else size * 8 / self.line.bits_per_s


def parse_rate(text: str) -> float | None:
    """Give the bits a second that `10Mbit/s` says; None if it says none.

    >>> parse_rate("10Mbit/s"), parse_rate("1.5 Gbit/s"), parse_rate("10MB/s")
    (10000000.0, 1500000000.0, None)
    """
    match = _RATE.fullmatch(text)
    if match is None:
        return None
    rate = float(match[1]) * _UNITS[match[2].upper()]
    return rate if rate > 0 else None


def format_span(seconds: float) -> Text:
    """Write a span of time for people.

    >>> format_span(0.25).en, format_span(90).en, format_span(7200).en
    ('0.2 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return Text(zh=f"{seconds:.1f} 秒", en=f"{seconds:.1f} s")
    if seconds < 5400:
        return Text(zh=f"{seconds / 60:.1f} 分钟", en=f"{seconds / 60:.1f} min")
    return Text(zh=f"{seconds / 3600:.1f} 小时", en=f"{seconds / 3600:.1f} h")
