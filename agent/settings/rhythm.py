# SPDX-License-Identifier: Apache-2.0
"""How often something runs, in the words of a person, in English or Chinese, or as cron's five fields. Pure, no calendar.

    daily at 01:30            每天 01:30              weekly on sunday at 02:00    每周日 02:00
    monthly on day 1 at 03:00 每月1日 03:00           monthly on last day          每月最后一天
    every 15 min, every 6 h   每15分钟，每6小时        on change                    变动时
    30 1 * * mon-fri          minute, hour, day of month, month, weekday (0 and 7 are Sunday, as cron has them)

Invariant: what was parsed names exact minutes by the clock on the wall, an interval, or "on change". Day 29 to 31 in words
is the last day of a shorter month; in cron's fields it is left out there, and day and weekday together mean either, as cron does.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Final, TypeAlias

DEFAULT_TIME: Final = "01:30"
LEAST_INTERVAL_S: Final = 5 * 60

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_DAYS: Final = dict(
    zip(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), _WEEKDAYS, strict=True)
)
_CHINESE_DAYS: Final = dict(zip("一二三四五六日天", (*_WEEKDAYS, "sun"), strict=True))
_CLOCK: Final = r"(?P<clock>([01]?[0-9]|2[0-3])[:：][0-5][0-9])"
_AT: Final = rf"(?: at {_CLOCK})?"
_ZH_AT: Final = rf"(?:{_CLOCK})?"
_DAY: Final = r"(?P<day>[1-9]|[12][0-9]|3[01])"

_WORDS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<daily>daily){_AT}",
        rf"(?P<weekly>weekly)(?: on (?P<weekday>[a-z]+))?{_AT}",
        rf"(?P<monthly>monthly)(?: on (?:day {_DAY}|(?P<last>last day)))?{_AT}",
        r"every (?P<count>[1-9][0-9]{0,3}) ?(?P<unit>min|minutes|h|hour|hours)",
        r"on (?P<change>change)",
    )
)
_CHINESE: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<daily>每[天日]){_ZH_AT}",
        rf"(?P<weekly>每周)(?P<weekday>[一二三四五六日天])?{_ZH_AT}",
        rf"(?P<monthly>每月)(?:{_DAY}[日号]|(?P<last>最后一天))?{_ZH_AT}",
        r"每(?P<count>[1-9][0-9]{0,3})个?(?P<unit>分钟|小时)",
        r"(?P<change>变动时|有变动时)",
    )
)


@dataclass(frozen=True, slots=True)
class WallRule:
    """Minutes of a calendar: all fields must fit, each as a list of numbers or names, "*" or "last" (a day of the month)."""

    minute: str
    hour: str
    day: str = "*"
    month: str = "*"
    weekday: str = "*"

    def times(self) -> Sequence[time]:
        """Give the times of day, ascending."""
        hours = range(24) if self.hour == "*" else [int(each) for each in self.hour.split(",")]
        minutes = range(60) if self.minute == "*" else [int(each) for each in self.minute.split(",")]
        return [time(hour, minute) for hour in hours for minute in minutes]


@dataclass(frozen=True, slots=True)
class Calendar:
    """By the clock on the wall: whenever one of the rules fits."""

    rules: tuple[WallRule, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so many seconds, counted from a midnight long ago."""

    seconds: int


@dataclass(frozen=True, slots=True)
class OnChange:
    """Whenever the source has changed and stands still again."""


Rhythm: TypeAlias = Calendar | Interval | OnChange


def parse_rhythm(text: str) -> Rhythm:
    """Read words or cron's five fields. Raises: ValueError."""
    words = " ".join(text.lower().split())
    for pattern in _WORDS:
        if match := pattern.fullmatch(words):
            return _build(match)
    for pattern in _CHINESE:
        if match := pattern.fullmatch(words.replace(" ", "")):
            return _build(match)
    return _parse_cron(words)


def _build(match: re.Match[str]) -> Rhythm:
    found = match.groupdict()
    if found.get("change"):
        return OnChange()
    if found.get("count"):
        seconds = int(found["count"]) * (60 if found["unit"] in ("min", "minutes", "分钟") else 3600)
        if not LEAST_INTERVAL_S <= seconds <= 7 * 86400:
            raise ValueError(match[0])
        return Interval(seconds)
    hour, minute = (str(int(part)) for part in re.split("[:：]", found["clock"] or DEFAULT_TIME))
    if found.get("daily"):
        return Calendar((WallRule(minute, hour),))
    if found.get("weekly"):
        return Calendar((WallRule(minute, hour, weekday=_find_weekday(found["weekday"])),))
    return Calendar(_monthly(minute, hour, "last" if found["last"] else found["day"] or "1"))


def _find_weekday(word: str | None) -> str:
    found = "sun" if word is None else _CHINESE_DAYS.get(word) or _LONG_DAYS.get(word, word)
    if found not in _WEEKDAYS:
        raise ValueError(word)
    return found


def _monthly(minute: str, hour: str, day: str) -> tuple[WallRule, ...]:
    """Give the rules of a day of each month: the last one of those that are shorter."""
    if day in ("last", "31"):
        return (WallRule(minute, hour, "last"),)
    rule = WallRule(minute, hour, day)
    return (rule, WallRule(minute, hour, "last", "2")) if day in ("29", "30") else (rule,)


def _parse_cron(text: str) -> Calendar:
    fields = text.split(" ")
    if len(fields) != 5:
        raise ValueError(text)
    minute = _expand(fields[0], 0, 59)
    hour = _expand(fields[1], 0, 23)
    day = _expand(fields[2], 1, 31)
    month = _expand(fields[3], 1, 12, _MONTHS)
    weekday = _expand(fields[4], 0, 7, ("sun", *_WEEKDAYS))
    if weekday != "*":
        named = {("sun", *_WEEKDAYS)[int(number)] for number in weekday.split(",")}
        weekday = ",".join(name for name in _WEEKDAYS if name in named)
    if day != "*" and weekday == "*" and not _comes(day, month):
        raise ValueError(text)
    if day != "*" and weekday != "*":
        return Calendar((WallRule(minute, hour, day, month), WallRule(minute, hour, "*", month, weekday)))
    return Calendar((WallRule(minute, hour, day, month, weekday),))


def _comes(day: str, month: str) -> bool:
    """Tell whether the first of these days comes in any of these months: 30 February does not."""
    months = range(1, 13) if month == "*" else [int(each) for each in month.split(",")]
    return any(int(day.split(",")[0]) <= (29 if each == 2 else 30 if each in (4, 6, 9, 11) else 31) for each in months)


def _expand(field: str, least: int, most: int, names: Sequence[str] = ()) -> str:
    """Give what a field of cron stands for, as ascending numbers, or "*". Raises: ValueError."""
    if field == "*":
        return "*"
    numbers: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([1-9][0-9]?))?", part)
        if match is None:
            raise ValueError(field)
        if match[1] == "*":
            first, last = least, 6 if most == 7 else most
        else:
            first = _number(match[2], least, names)
            # As cron has it, `5/15` would be a mistake of somebody who means `5-59/15`.
            if match[4] and match[3] is None:
                raise ValueError(field)
            last = first if match[3] is None else _number(match[3], least, names)
            if match[3] == "sun" and first:
                last = 7
        if not least <= first <= last <= most:
            raise ValueError(field)
        numbers |= set(range(first, last + 1, int(match[4] or 1)))
    return ",".join(str(number) for number in sorted(numbers))


def _number(word: str, least: int, names: Sequence[str]) -> int:
    if word in names:
        return names.index(word) + least
    if not re.fullmatch(r"[0-9]{1,2}", word):
        raise ValueError(word)
    return int(word)
