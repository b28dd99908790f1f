# SPDX-License-Identifier: Apache-2.0
"""At which instants a schedule falls due, and from when to when a run may begin. Pure: every moment is an argument, aware UTC.

A calendar's times are found by APScheduler on the wall's clock, as if it knew no summer time, and then placed on the real
line: a time that a zone has twice is the first of the two, one that it leaves out is the first moment after. So both
run once, and two instants are never the same. An interval is counted in real seconds. Source: decision 0057.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from agent.settings.rhythm import Calendar, Interval, WallRule
from agent.settings.schedule import ScheduleSettings

_DAY: Final = timedelta(days=1)
_TINY: Final = timedelta(microseconds=1)
_MOST_DAYS: Final = 800
"""A longer row of blackout days is the end of the schedule."""
_ANCHOR: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a midnight of every zone


@dataclass(frozen=True, slots=True)
class Opening:
    """A stretch in which runs may begin; `end` None: without end."""

    begin: datetime
    end: datetime | None


class Timetable:
    """A schedule in its zone."""

    def __init__(self, settings: ScheduleSettings, zone: tzinfo) -> None:
        self.settings = settings
        self.zone = zone
        rhythm = settings.rhythm
        self._interval_s = rhythm.seconds if isinstance(rhythm, Interval) else None
        self._triggers = [_make_trigger(rule) for rule in rhythm.rules] if isinstance(rhythm, Calendar) else []

    def next_after(self, moment: datetime) -> datetime | None:
        """Give the first instant after `moment` for which a run is due, blackout days too; None: never again."""
        return next(self.after(moment), None)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Give all instants after `moment`, ascending, those that fall into the window."""
        for wall, instant in self._fires(moment):
            if instant > moment and self.settings.holds(wall.time()):
                moment = instant
                yield instant

    def is_black(self, instant: datetime) -> bool:
        """Tell whether `instant` is on a blackout day."""
        return self.settings.is_black(instant.astimezone(self.zone).date())

    def opening(self, moment: datetime) -> Opening | None:
        """Give the stretch from `moment` on, or the first after it, in which a run may begin; None: never again."""
        hours = self.settings.hours()
        first = moment.astimezone(self.zone).date() - _DAY
        for days in range(_MOST_DAYS):
            day = first + days * _DAY
            if hours is None:
                begin, end = place(day, time(), self.zone), place(day + _DAY, time(), self.zone)
            else:
                end_day = day if hours[0] < hours[1] else day + _DAY
                begin, end = place(day, hours[0], self.zone), place(end_day, hours[1], self.zone)
            begin = max(begin, moment)
            if self.is_black(begin):
                begin = place(begin.astimezone(self.zone).date() + _DAY, time(), self.zone)
            if begin < end and not self.is_black(begin):
                return Opening(begin, None if hours is None else end)
        return None

    def is_open(self, moment: datetime) -> bool:
        """Tell whether a run may begin at `moment`."""
        opening = self.opening(moment)
        return opening is not None and opening.begin <= moment

    def _fires(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Give wall times and their instants, ascending; some may lie before `moment`."""
        if self._interval_s is not None:
            yield from self._fire_evenly(moment, self._interval_s)
            return
        wall = moment.astimezone(self.zone).replace(tzinfo=UTC, fold=0)
        while True:
            found = [fire for trigger in self._triggers if (fire := trigger.get_next_fire_time(None, wall))]
            if not found:
                return
            wall = min(found)
            yield wall, place(wall.date(), wall.time(), self.zone)
            wall += _TINY

    def _fire_evenly(self, moment: datetime, seconds: int) -> Iterator[tuple[datetime, datetime]]:
        anchor = place(_ANCHOR.date(), time(), self.zone)
        count = (moment - anchor) // timedelta(seconds=seconds)
        while True:
            instant = anchor + timedelta(seconds=seconds * count)
            yield instant.astimezone(self.zone), instant
            count += 1


def place(day: date, clock: time, zone: tzinfo) -> datetime:
    """Give the instant of a time on the wall: of two the first, of none the first moment after."""
    wall = datetime.combine(day, clock.replace(fold=0), zone)
    instant = wall.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall.replace(tzinfo=None):
        return instant
    # The clocks were put forward over it: find the second at which they were.
    early = wall.replace(fold=1).astimezone(UTC)
    before = early.astimezone(zone).utcoffset()
    seconds = range(round((instant - early).total_seconds()) + 1)
    low, high = 0, len(seconds) - 1
    while low < high:
        middle = (low + high) // 2
        if (early + timedelta(seconds=middle)).astimezone(zone).utcoffset() == before:
            low = middle + 1
        else:
            high = middle
    return early + timedelta(seconds=low)


def find_zone(name: str | None, machine: tzinfo) -> tzinfo:
    """Give the zone of this name; None: the machine's."""
    return machine if name is None else ZoneInfo(name)


def _make_trigger(rule: WallRule) -> CronTrigger:
    return CronTrigger(
        minute=rule.minute, hour=rule.hour, day=rule.day, month=rule.month, day_of_week=rule.weekday, second=0,
        timezone=UTC,
    )  # fmt: skip
