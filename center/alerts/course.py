# SPDX-License-Identifier: Apache-2.0
"""The course of alerts: raised, told, told again, acknowledged, cleared. Pure: from what was and what is to what to say.

Invariants, for any sequence of scenes however it flickers:
- of one alert people are told at most once in a `period` (a day at least), and once more if it has become worse;
- each all-clear follows a telling, and there is one for it at most; it is as grave as the worst telling, so that whoever
  hears of errors alone hears it too;
- what lasts longer than a period is told, unless somebody acknowledged it.
An alert is cleared only after it has been gone for `settle`. One that comes back within a period of its last telling is
open again at once, listed, and told when the period is over. Events are told once, and stay open until they are
acknowledged or a month is over; of one kind at one source they too are told at most once in a period, all that have come
at once, and at most twenty are kept, the worst: an agent that runs wild floods nobody, and hides nothing worse. A clock
that was set back delays nothing: what lies in the future counts as now.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from center.alerts.alert import Alert, Kind, Severity, read_alert
from evidence.encode import Json, encode_time, expect_text, parse_members, parse_time
from evidence.errors import FormatError

EVENTS_OPEN: Final = timedelta(days=31)
MOST_EVENTS: Final = 20
"""Open ones of one kind at one source; the first ones tell the story."""
KEPT: Final = timedelta(days=90)
"""How long what is cleared can be listed (`alerts --all`)."""
LEAST_PERIOD: Final = timedelta(days=1)


class What(StrEnum):
    """What is said of an alert."""

    RAISED = "raised"
    REPEATED = "repeated"
    CLEARED = "cleared"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has taken it on: no more of it until it is over."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """An alert's course. `told`: when people last heard of it, and how bad it was then; `gone`: since when it is away."""

    alert: Alert
    raised: datetime
    told: datetime | None = None
    told_severity: Severity | None = None
    gone: datetime | None = None
    cleared: datetime | None = None
    acknowledged: Acknowledgement | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether it is still so."""
        return self.cleared is None

    def to_json(self) -> dict[str, Json]:
        """Give the record as the memory keeps it."""
        ack = self.acknowledged
        return {
            "acknowledged": None if ack is None else {"at": encode_time(ack.at), "by": ack.by, "reason": ack.reason},
            "alert": self.alert.to_json(),
            "cleared": _encode(self.cleared),
            "gone": _encode(self.gone),
            "raised": encode_time(self.raised),
            "told": _encode(self.told),
            "told_severity": None if self.told_severity is None else self.told_severity.word,
        }


def read_record(value: Json) -> Record:
    """Read what `to_json` gives. Raises: FormatError."""
    names = {"acknowledged", "alert", "cleared", "gone", "raised", "told", "told_severity"}
    members = parse_members(value, "a record", names)
    severity = members["told_severity"]
    raised = _parse(members["raised"])
    if raised is None or (severity is not None and str(severity).upper() not in Severity.__members__):
        raise FormatError("a record of an alert is of another version")
    return Record(
        read_alert(members["alert"]), raised, _parse(members["told"]),
        None if severity is None else Severity[str(severity).upper()],
        _parse(members["gone"]), _parse(members["cleared"]), _read_acknowledgement(members["acknowledged"]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to say. `alert` None: the test alarm."""

    what: What
    at: datetime
    alert: Alert | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to say it: `repeat` None: never again; `settle`: how long it must be gone to be cleared."""

    repeat: timedelta | None
    settle: timedelta

    @property
    def period(self) -> timedelta:
        """Give the time within which nobody is told twice."""
        return max(LEAST_PERIOD, self.repeat or LEAST_PERIOD)


def advance(
    records: Mapping[str, Record],
    alerts: Sequence[Alert],
    now: datetime,
    pace: Pace,
    unknown: Collection[Kind] = (),
) -> tuple[dict[str, Record], list[Item]]:
    """Give the records as of `now`, and what is to be said.

    `alerts`: what is amiss now, and what has happened since the last time. `unknown`: kinds of which nothing could be found
    out now: nothing of them is cleared.
    """
    course = {key: _not_after(record, now) for key, record in records.items()}
    items: list[Item] = []
    for alert in alerts:
        if alert.is_event:
            _note_event(course, alert, now)
            continue
        record, what = _meet(course.get(alert.id), alert, now, pace)
        course[alert.id] = record
        if what is not None:
            items.append(Item(what, now, alert))
    items += _tell_events(course, now, pace)
    present = {alert.id for alert in alerts}
    for key, record in list(course.items()):
        if key in present or record.alert.kind in unknown:
            continue
        after, is_told = _miss(record, now, pace)
        course[key] = after
        if is_told:
            worst = record.told_severity or record.alert.severity
            items.append(Item(What.CLEARED, now, replace(record.alert, severity=worst)))
    return {key: record for key, record in course.items() if not _is_old(record, now)}, items


def acknowledge(record: Record, now: datetime, by: str, reason: str) -> Record:
    """Give the record once somebody has taken it on. An event is over by that."""
    taken = replace(record, acknowledged=Acknowledgement(now, by, reason))
    return replace(taken, cleared=now) if record.alert.is_event else taken


def _note_event(course: dict[str, Record], alert: Alert, now: datetime) -> None:
    """Note what has happened, once, unless too much of its kind has happened at its place.

    What is worse than what is kept takes the place of the newest of that, rather of one that people have heard of.
    """
    if alert.id in course:
        return
    group = _group(alert)
    kept = {key: record for key, record in course.items() if record.is_open and _group(record.alert) == group}
    if len(kept) >= MOST_EVENTS:
        lesser = [key for key, record in kept.items() if record.alert.severity < alert.severity]
        if not lesser:
            return
        del course[max(lesser, key=lambda key: (kept[key].told is not None, kept[key].raised, key))]
    course[alert.id] = Record(alert, now)


def _tell_events(course: dict[str, Record], now: datetime, pace: Pace) -> list[Item]:
    """Tell the events that nobody has heard of, of each kind and place at most once in a period."""
    last: dict[str, datetime] = {}
    for record in course.values():
        if record.alert.is_event and record.told is not None:
            group = _group(record.alert)
            last[group] = max(record.told, last.get(group, record.told))
    items: list[Item] = []
    for key, record in list(course.items()):
        if not record.alert.is_event or not record.is_open or record.told is not None:
            continue
        before = last.get(_group(record.alert))
        if before is None or now - before >= pace.period:
            course[key] = _tell(record, now)
            items.append(Item(What.RAISED, now, record.alert))
    return items


def _group(alert: Alert) -> str:
    """Give an event's kind and place without its sequence."""
    return alert.id.partition("#")[0]


def _meet(record: Record | None, alert: Alert, now: datetime, pace: Pace) -> tuple[Record, What | None]:
    """Give the record of an alert that is there, and what to say of it, if anything."""
    if record is None:
        return _tell(Record(alert, now), now), What.RAISED
    is_due = record.told is None or now - record.told >= pace.period
    if record.cleared is not None:
        again = replace(record, alert=alert, raised=now, gone=None, cleared=None, acknowledged=None)
        return (_tell(replace(again, told_severity=None), now), What.RAISED) if is_due else (again, None)
    here = replace(record, alert=replace(alert, since=min(alert.since, record.alert.since)), gone=None)
    if record.told_severity is not None and alert.severity > record.told_severity:
        return _tell(replace(here, acknowledged=None), now), What.RAISED
    if here.acknowledged is not None or not is_due:
        return here, None
    if record.told is None or record.told < record.raised:
        return _tell(replace(here, told_severity=None), now), What.RAISED
    return (_tell(here, now), What.REPEATED) if pace.repeat is not None else (here, None)


def _miss(record: Record, now: datetime, pace: Pace) -> tuple[Record, bool]:
    """Give the record of an alert that is not there now, and whether to say that it is over."""
    if record.cleared is not None:
        return record, False
    if record.alert.is_event:
        return (replace(record, cleared=now) if now - record.raised >= EVENTS_OPEN else record), False
    gone = record.gone or now
    if now - gone < pace.settle:
        return replace(record, gone=gone), False
    return replace(record, gone=gone, cleared=now), record.told is not None and record.told >= record.raised


def _tell(record: Record, now: datetime) -> Record:
    worst = max(record.told_severity or Severity.NOTICE, record.alert.severity)
    return replace(record, told=now, told_severity=worst)


def _not_after(record: Record, now: datetime) -> Record:
    return replace(
        record,
        raised=min(record.raised, now),
        told=None if record.told is None else min(record.told, now),
        gone=None if record.gone is None else min(record.gone, now),
        cleared=None if record.cleared is None else min(record.cleared, now),
    )


def _is_old(record: Record, now: datetime) -> bool:
    return record.cleared is not None and now - record.cleared > KEPT


def _encode(moment: datetime | None) -> str | None:
    return None if moment is None else encode_time(moment)


def _parse(value: Json) -> datetime | None:
    return None if value is None else parse_time(expect_text(value, "a time"), "a time")


def _read_acknowledgement(value: Json) -> Acknowledgement | None:
    if value is None:
        return None
    members = parse_members(value, "an acknowledgement", {"at", "by", "reason"})
    at = _parse(members["at"])
    if at is None:
        raise FormatError("an acknowledgement has a time")
    return Acknowledgement(at, expect_text(members["by"], "by"), expect_text(members["reason"], "reason"))
