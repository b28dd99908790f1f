# SPDX-License-Identifier: Apache-2.0
"""What the watch looks at, at one moment, as data: units, their newest snapshots and heartbeats, the center itself. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from center.alerts.calendar import Calendar
from center.registry.catalog_tables import StatementRow
from center.registry.signs import Heard, Listening
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class UnitScene:
    """A unit. `seen`: when it last called; `heard`: its newest heartbeat."""

    unit: str
    name: str
    disabled: bool
    enrolled_at: datetime | None
    sources: tuple[str, ...]
    seen: datetime | None = None
    heard: Heard | None = None

    @property
    def is_watched(self) -> bool:
        """Tell whether anything can be expected of it."""
        return not self.disabled and self.enrolled_at is not None


@dataclass(frozen=True, slots=True)
class SourceScene:
    """A source's newest snapshot of any level, and its newest that is stored."""

    newest: StatementRow | None = None
    stored: StatementRow | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """The moment `now`. `waiting`: snapshots that are registered, whose content is still to come and not given up.

    `held`: why the ledger signs nothing; `has_hold`: not because it waits for an agent's word.
    `failing_channels`: since when a channel has taken nothing.
    """

    now: datetime
    calendar: Calendar
    units: tuple[UnitScene, ...]
    newest: Mapping[tuple[str, str], SourceScene]
    waiting: tuple[StatementRow, ...]
    listening: Listening
    free_bytes: int
    total_bytes: int
    reserve_bytes: int
    certificate_ends: datetime | None
    held: str | Text | None
    has_hold: bool
    failing_channels: Mapping[str, datetime] = field(default_factory=dict)

    def of(self, unit: str, source: str) -> SourceScene:
        """Give what there is of a source."""
        return self.newest.get((unit, source), SourceScene())

    def watched(self) -> Iterator[UnitScene]:
        """Yield the units of which anything can be expected."""
        return (unit for unit in self.units if unit.is_watched)

    def heard(self) -> Iterator[tuple[UnitScene, Heard]]:
        """Yield those of them that have sent a heartbeat, with the newest."""
        return ((unit, unit.heard) for unit in self.watched() if unit.heard is not None)


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """How the tables of a snapshot differ from those of the stored one before, by name."""

    came: tuple[str, ...]
    vanished: tuple[str, ...]
    altered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FreshStatement:
    """A statement that the log has taken since the last look.

    `before`: the stored snapshot before it, if it is a stored snapshot; `change`: of its schemas, where there is one.
    """

    row: StatementRow
    before: StatementRow | None = None
    change: SchemaChange | None = None


@dataclass(frozen=True, slots=True)
class FreshConflict:
    """A refused second text for a sequence. `place`: UNIT/SOURCE#N."""

    place: str
    received: datetime


@dataclass(frozen=True, slots=True)
class Fresh:
    """What the log has taken since the last look, up to the entry `examined`."""

    examined: int
    statements: tuple[FreshStatement, ...] = ()
    conflicts: tuple[FreshConflict, ...] = ()
