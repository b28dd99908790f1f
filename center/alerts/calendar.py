# SPDX-License-Identifier: Apache-2.0
"""By when a snapshot must have come: deadlines on a calendar with holidays and made-up working days. Pure; no clock.

A deadline is a local time of day on each due day; which days are due says `Expected.days`: weekdays, `workdays` (Monday to
Friday but for holidays, and the weekend days that were declared working days in exchange), or a day of the month, which
moves to the next working day. Nothing else is due on a holiday, unless `on_holidays`.
A snapshot is in time for a deadline if it was taken since the deadline before: younger than one interval.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from center.settings.alerts import Expected, parse_dates, parse_days
from terminal.errors import SettingsError
from terminal.language import Text

_LOOK_BACK: Final = 800
"""Days: a monthly deadline has another within two months, whatever the calendar; the rest is for odd calendars."""
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are holidays, and which days of weekends are worked."""

    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()

    @classmethod
    def of(cls, holidays: Iterable[str], workdays: Iterable[str]) -> "Calendar":
        """Make a calendar from days as settings write them, which have been checked."""
        return cls(_days(holidays), _days(workdays))

    def with_lines(self, lines: str, name: str) -> "Calendar":
        """Add the days of a calendar's file: `2026-10-01..2026-10-07`, `+2026-10-10` for a day that is worked.

        After `#` stands a remark. `name` is for messages. Raises: SettingsError.
        """
        holidays, workdays = set(self.holidays), set(self.workdays)
        for number, line in enumerate(lines.removeprefix("\ufeff").splitlines(), 1):
            text = line.partition("#")[0].strip()
            days = parse_dates(text.removeprefix("+").strip()) if text else ()
            if days is None:
                raise SettingsError(
                    Text(
                        zh=f"日历 {name} 第 {number} 行不是日期：{text!r:.40}",
                        en=f"line {number} of the calendar {name} is no day: {text!r:.40}",
                    ),
                    hint=Text(
                        zh="每行一个日期或范围：2026-10-01..2026-10-07；调休上班写 +2026-10-10；# 后为注释",
                        en="a day or range a line: 2026-10-01..2026-10-07; +2026-10-10 for a weekend that is worked",
                    ),
                    path=name,
                    line=number,
                )
            (workdays if text.startswith("+") else holidays).update(days)
        return Calendar(frozenset(holidays), frozenset(workdays))

    def is_workday(self, day: date) -> bool:
        """Tell whether people work on `day`."""
        return day in self.workdays or (day.weekday() < 5 and day not in self.holidays)


def find_deadlines(
    expected: Expected, calendar: Calendar, zone: str, now: datetime
) -> tuple[datetime, datetime] | None:
    """Give the latest deadline that has come by `now`, and the one before it; None if there are not two.

    `zone`: where `expected` names none.
    """
    local = ZoneInfo(expected.zone or zone)
    at = time.fromisoformat(expected.by)
    today = now.astimezone(local).date()
    moments = (datetime.combine(day, at, local) for day in _due_days(expected, calendar, today))
    found = list(islice((moment for moment in moments if moment <= now), 2))
    return (found[0], found[1]) if len(found) == 2 else None


def _due_days(expected: Expected, calendar: Calendar, today: date) -> Iterator[date]:
    """Yield the due days from `today` backwards."""
    days = parse_days(expected.days)
    for back in range(_LOOK_BACK):
        day = today - back * _ONE_DAY
        if isinstance(days, int):
            if day == _move(day.replace(day=days), calendar, expected.on_holidays) or (
                # The day of the month before may have moved into this month.
                day == _move((day.replace(day=1) - _ONE_DAY).replace(day=days), calendar, expected.on_holidays)
            ):
                yield day
        elif expected.days == "workdays":
            if calendar.is_workday(day):
                yield day
        elif days is not None and day.weekday() in days and (expected.on_holidays or day not in calendar.holidays):
            yield day


def _move(day: date, calendar: Calendar, on_holidays: bool) -> date:
    """Give `day`, or the next working day if it is none."""
    if on_holidays:
        return day
    return next(
        (moved for i in range(62) if calendar.is_workday(moved := day + i * _ONE_DAY)),
        day,
    )


def _days(texts: Iterable[str]) -> frozenset[date]:
    return frozenset(day for text in texts for day in parse_dates(text) or ())
