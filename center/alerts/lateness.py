# SPDX-License-Identifier: Apache-2.0
"""Which snapshots are expected, by what settings say of sources, and which of them have not come. Pure.

Times that count are the center's: of an agent's word on when a snapshot was taken only so much is believed as cannot lie
after its coming.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.calendar import find_deadlines
from center.alerts.scene import Scene, UnitScene
from center.registry.catalog_tables import StatementRow
from center.settings.alerts import AlertSettings, Expected
from evidence.manifest.entry import Level
from terminal.language import Text


class Arrival(StrEnum):
    """Whether what was expected has come."""

    IN_TIME = "in time"
    LATE = "late"
    NOT_EXPECTED = "not expected"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of one source. `due`: the latest deadline that it had; `came`: the newest snapshot that counts for it."""

    unit: UnitScene
    source: str
    arrival: Arrival
    due: datetime | None
    came: StatementRow | None


def judge_sources(scene: Scene, settings: AlertSettings) -> Iterator[Judgement]:
    """Judge every source of every unit. Whoever says that a source is late says it by this, so all say the same."""
    known: dict[Expected, tuple[datetime, datetime] | None] = {}
    for unit in scene.units:
        for source in _expected_sources(unit, settings) if unit.is_watched else unit.sources:
            expected = find_expected(unit.unit, source, settings)
            if expected is not None and expected not in known:
                known[expected] = find_deadlines(expected, scene.calendar, settings.zone, scene.now)
            deadlines = None if expected is None else known[expected]
            came = None if expected is None else find_came(scene, unit.unit, source, expected)
            arrival = _judge(unit, deadlines, came)
            is_due = deadlines is not None and arrival is not Arrival.NOT_EXPECTED
            yield Judgement(unit, source, arrival, deadlines[0] if deadlines and is_due else None, came)


def is_late(scene: Scene, settings: AlertSettings) -> Iterator[Alert]:
    """The latest deadline of a source has passed, and no snapshot was taken since the one before it."""
    for judged in judge_sources(scene, settings):
        if judged.arrival is Arrival.LATE and judged.due is not None:
            yield _late(judged.unit, judged.source, judged.due, judged.came)


def find_expected(unit: str, source: str, settings: AlertSettings) -> Expected | None:
    """Give what is expected of a source: the first entry that fits counts."""
    return next((e for e in settings.expected if fnmatchcase(unit, e.unit) and fnmatchcase(source, e.source)), None)


def find_came(scene: Scene, unit: str, source: str, expected: Expected) -> StatementRow | None:
    """Give the newest snapshot of the level that is expected."""
    found = scene.of(unit, source)
    return found.stored if expected.level == Level.STORED.value else found.newest


def taken_at(row: StatementRow) -> datetime:
    """Give when a snapshot was taken: the agent's word, but never later than when it came."""
    return min(row.ended, row.received)


def _judge(unit: UnitScene, deadlines: tuple[datetime, datetime] | None, came: StatementRow | None) -> Arrival:
    if unit.disabled:
        return Arrival.DISABLED
    if deadlines is None or unit.enrolled_at is None:
        return Arrival.NOT_EXPECTED
    _, before = deadlines
    if came is not None:
        return Arrival.IN_TIME if taken_at(came) > before else Arrival.LATE
    # A unit that came to us after the interval had begun owes nothing for it.
    return Arrival.NOT_EXPECTED if unit.enrolled_at > before else Arrival.LATE


def _expected_sources(unit: UnitScene, settings: AlertSettings) -> list[str]:
    """Give the sources that the unit has, and those that settings name in full and it has not."""
    named = [e.source for e in settings.expected if fnmatchcase(unit.unit, e.unit) and e.source.strip("*?") == e.source]
    return list(dict.fromkeys((*unit.sources, *(name for name in named if "*" not in name and "?" not in name))))


def _late(unit: UnitScene, source: str, deadline: datetime, came: StatementRow | None) -> Alert:
    last = Text(zh="从未有过快照", en="there has never been one")
    if came is not None:
        last = Text(
            zh=f"最近的是 {source}#{came.sequence}，取于 {came.ended:%Y-%m-%d %H:%M} UTC",
            en=f"the newest is {source}#{came.sequence}, taken {came.ended:%Y-%m-%d %H:%M} UTC",
        )
    due = deadline.isoformat(sep=" ", timespec="minutes")
    return Alert(
        Kind.LATE, f"{unit.unit}/{source}", Severity.ERROR, deadline,
        Text(
            zh=f"{unit.unit}（{unit.name}）的 {source} 应于 {due} 前到达的快照没有到；{last.zh}",
            en=f"the snapshot of {source} of {unit.unit} ({unit.name}) that was due by {due} has not come; {last.en}",
        ),
        Text(
            zh="看 jinsuo-center today 中该采集端是否还有音信；在那里运行 jinsuo-agent status 和 check",
            en="see in `jinsuo-center today` whether the agent still calls; run `jinsuo-agent status` and `check` there",
        ),
    )  # fmt: skip
