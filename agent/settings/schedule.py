# SPDX-License-Identifier: Apache-2.0
"""`schedule:` of a source or a group in agent.yaml: one string in plain words, or a mapping with every key.

    schedule: daily at 01:30
    schedule: {run: daily at 01:30, window: "01:00-05:00", blackout: ["2026-10-01..2026-10-07"], missed: make up, …}

No clock and no time zone's rules here. Invariant: what was loaded can be told apart into rhythm, window and days without
a further mistake, and some run falls into the window.
"""

import re
from datetime import date, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from agent.settings.rhythm import Calendar, Interval, OnChange, Rhythm, parse_rhythm
from terminal.language import Text
from terminal.settings import Seconds, Settings, mistake

_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_DAYS = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.\.([0-9]{4}-[0-9]{2}-[0-9]{2}))?")

_WORDS_TEXT = Text(
    zh="计划：每天 01:30、每周日 02:00、每月1日 03:00、每15分钟（至少 5 分钟）、变动时，或 cron 的五个字段",
    en="a schedule: daily at 01:30, weekly on sunday at 02:00, monthly on day 1 at 03:00, every 15 min (5 min or more), "
    "on change, or the five fields of cron",
)


def _check_run(text: str) -> str:
    try:
        parse_rhythm(text)
    except ValueError:
        raise mistake(_WORDS_TEXT) from None
    return text


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise mistake(Text(zh="时区名，例如 Asia/Shanghai", en="a time zone such as Asia/Shanghai")) from None
    return name


def _check_window(text: str) -> str:
    if not _WINDOW.fullmatch(text) or text[:5] == text[6:]:
        raise mistake(Text(zh="时段，例如 01:00-05:00", en="a part of the day, such as 01:00-05:00"))
    return text


def _check_days(text: str) -> str:
    try:
        _parse_days(text)
    except ValueError:
        expected = Text(
            zh="日期或日期范围，例如 2026-10-01 或 2026-10-01..2026-10-07",
            en="a day or a range of days, such as 2026-10-01 or 2026-10-01..2026-10-07",
        )
        raise mistake(expected) from None
    return text


def _parse_days(text: str) -> tuple[date, date]:
    match = _DAYS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    first = date.fromisoformat(match[1])
    last = date.fromisoformat(match[2]) if match[2] else first
    if last < first:
        raise ValueError(text)
    return first, last


def _take_list(value: object) -> object:
    # A mapping that passed the validator of `Schedule` is Python's, where strict mode takes no list for a tuple.
    return tuple(value) if isinstance(value, list) else value


def _take_words(value: object) -> object:
    return {"run": value} if isinstance(value, str) else value


TimeZone = Annotated[str, AfterValidator(_check_zone)]
"""A name of the IANA time zone database."""


class ScheduleSettings(Settings):
    """When a source or a group is taken. `time_zone` None: the file's, else the machine's."""

    run: Annotated[str, AfterValidator(_check_run)]
    time_zone: TimeZone | None = None
    window: Annotated[str, AfterValidator(_check_window)] | None = None
    blackout: Annotated[tuple[Annotated[str, AfterValidator(_check_days)], ...], BeforeValidator(_take_list)] = ()
    random_delay: Annotated[Seconds, Field(ge=0, le=86400)] = 0
    missed: Literal["make up", "skip"] = "make up"
    retries: Annotated[int, Field(ge=0, le=100)] = 5
    backoff: Annotated[Seconds, Field(ge=60, le=86400)] = 10 * 60

    @model_validator(mode="after")
    def _check_window_fits(self) -> Self:
        times = self._times_of_day()
        if self.window is not None and times and not any(self.holds(each) for each in times):
            expected = Text(
                zh=f"包含运行时刻（{self.run}）的时段", en=f"a part of the day in which a run falls ({self.run})"
            )
            raise mistake(expected, at=("window",))
        return self

    @model_validator(mode="after")
    def _check_delay(self) -> Self:
        """A run that waits until the next one is due would never begin."""
        seconds = sorted({each.hour * 3600 + each.minute * 60 for each in self._times_of_day()}) or [0]
        gap = min(later - former for former, later in pairwise([*seconds, seconds[0] + 86400]))
        if isinstance(self.rhythm, Interval):
            gap = self.rhythm.seconds
        if self.random_delay * 2 > gap:
            most = gap // 2 // 60
            expected = Text(
                zh=f"至多为两次运行间隔的一半（{most} min）",
                en=f"at most half of the time between two runs ({most} min)",
            )
            raise mistake(expected, at=("random_delay",))
        return self

    def _times_of_day(self) -> list[time]:
        """Give the times of day at which runs are due; none: at any, or only after a change."""
        rhythm = self.rhythm
        if isinstance(rhythm, Calendar):
            return [each for rule in rhythm.rules for each in rule.times()]
        if isinstance(rhythm, OnChange) or 86400 % rhythm.seconds:
            return []
        return [time(s // 3600, s % 3600 // 60) for s in range(0, 86400, rhythm.seconds)]

    @cached_property
    def rhythm(self) -> Rhythm:
        """Give what `run` means."""
        return parse_rhythm(self.run)

    def hours(self) -> tuple[time, time] | None:
        """Give begin and end of the window; it goes past midnight if it ends before it begins."""
        match = _WINDOW.fullmatch(self.window or "")
        return match and (time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])))

    def holds(self, moment: time) -> bool:
        """Tell whether a time of day is within the window; its end is not. Without a window, every time is."""
        hours = self.hours()
        if hours is None:
            return True
        begin, end = hours
        return begin <= moment < end if begin < end else moment >= begin or moment < end

    def is_black(self, day: date) -> bool:
        """Tell whether nothing may begin on `day`."""
        return any(first <= day <= last for first, last in map(_parse_days, self.blackout))

    def period(self) -> timedelta | None:
        """Give about how much time is between two runs at most, by its rhythm; None: whenever the source changes."""
        rhythm = self.rhythm
        if isinstance(rhythm, Interval):
            return timedelta(seconds=rhythm.seconds)
        if isinstance(rhythm, OnChange):
            return None
        if any(rule.month != "*" and len(rule.month.split(",")) < 12 for rule in rhythm.rules[:1]):
            return timedelta(days=365 // len(rhythm.rules[0].month.split(",")))
        if any(rule.day == "*" for rule in rhythm.rules):
            daily = any(rule.day == "*" and rule.weekday == "*" for rule in rhythm.rules)
            return timedelta(days=1 if daily else 7)
        days = max(len(rule.day.split(",")) for rule in rhythm.rules)
        return timedelta(days=-(-30 // days))


Schedule = Annotated[ScheduleSettings, BeforeValidator(_take_words)]
"""A schedule's mapping, or its `run` alone as a string."""
