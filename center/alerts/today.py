# SPDX-License-Identifier: Apache-2.0
"""Today: who is late, and what needs a person, as data for one screen. Pure.

A line for each source of each unit, also for one that settings expect and the unit has not: whether what was expected has
come, how far it is, what its agent says.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from center.alerts.alert import Severity
from center.alerts.course import Record
from center.alerts.lateness import Arrival, Judgement, judge_sources
from center.alerts.scene import Scene
from center.registry.catalog_tables import StatementRow
from center.settings.alerts import AlertSettings
from evidence.wire.heartbeat import SourceBeat


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source today. `due`: the latest deadline that it had; `newest`: the newest snapshot; `beat`: its agent's word."""

    unit: str
    source: str
    arrival: Arrival
    due: datetime | None
    newest: StatementRow | None
    seen: datetime | None
    beat: SourceBeat | None


@dataclass(frozen=True, slots=True)
class Today:
    """The screen. `open`: worst first, those that nobody has taken on before the others."""

    now: datetime
    lines: tuple[SourceLine, ...]
    open: tuple[Record, ...]
    overdue: tuple[StatementRow, ...]
    free_bytes: int
    total_bytes: int

    @property
    def needs_person(self) -> bool:
        """Tell whether an alert is open that nobody has taken on."""
        return any(record.acknowledged is None for record in self.open)


def make_today(scene: Scene, records: dict[str, Record], settings: AlertSettings) -> Today:
    """Put the screen together."""
    lines = [_line(scene, judged) for judged in judge_sources(scene, settings)]
    open_ = [record for record in records.values() if record.is_open]
    limit = timedelta(seconds=settings.content_within)
    return Today(
        scene.now,
        tuple(lines),
        tuple(sort_records(open_)),
        tuple(row for row in scene.waiting if scene.now - row.received > limit),
        scene.free_bytes,
        scene.total_bytes,
    )


def sort_records(records: list[Record]) -> list[Record]:
    """Give records, open and not taken on first, then the worst, then the oldest."""

    def rank(record: Record) -> tuple[bool, bool, Severity, datetime]:
        return not record.is_open, record.acknowledged is not None, Severity(-record.alert.severity + 4), record.raised

    return sorted(records, key=rank)


def _line(scene: Scene, judged: Judgement) -> SourceLine:
    unit, source = judged.unit, judged.source
    return SourceLine(
        unit.unit, source, judged.arrival, judged.due, scene.of(unit.unit, source).newest, unit.seen,
        None if unit.heard is None else unit.heard.heartbeat.find(source),
    )  # fmt: skip
