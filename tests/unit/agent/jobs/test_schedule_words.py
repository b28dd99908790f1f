# SPDX-License-Identifier: Apache-2.0
"""The words of a schedule: what they mean, in English, Chinese and cron, and how a mistake is refused."""

import pytest

from agent.config import AgentConfig
from agent.settings.rhythm import Calendar, Interval, OnChange, Rhythm, WallRule, parse_rhythm
from agent.settings.schedule import ScheduleSettings
from terminal.errors import SettingsError
from terminal.language import Language
from terminal.settings import parse_settings

ALL_WEEK = "mon,tue,wed,thu,fri,sat,sun"


def _calendar(*rules: WallRule) -> Rhythm:
    return Calendar(rules)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("daily at 01:30", _calendar(WallRule("30", "1"))),
        ("Daily  at 1:05", _calendar(WallRule("5", "1"))),
        ("daily", _calendar(WallRule("30", "1"))),
        ("weekly", _calendar(WallRule("30", "1", weekday="sun"))),
        ("weekly on wednesday at 02:00", _calendar(WallRule("0", "2", weekday="wed"))),
        ("weekly on wed", _calendar(WallRule("30", "1", weekday="wed"))),
        ("monthly", _calendar(WallRule("30", "1", "1"))),
        ("monthly on day 15 at 23:59", _calendar(WallRule("59", "23", "15"))),
        ("monthly on day 30", _calendar(WallRule("30", "1", "30"), WallRule("30", "1", "last", "2"))),
        ("monthly on day 31", _calendar(WallRule("30", "1", "last"))),
        ("monthly on last day at 00:00", _calendar(WallRule("0", "0", "last"))),
        ("every 15 min", Interval(900)),
        ("every 6h", Interval(21600)),
        ("on change", OnChange()),
        ("每天 01:30", _calendar(WallRule("30", "1"))),
        ("每天01：30", _calendar(WallRule("30", "1"))),
        ("每周三 02:00", _calendar(WallRule("0", "2", weekday="wed"))),
        ("每周", _calendar(WallRule("30", "1", weekday="sun"))),
        ("每月1日 03:00", _calendar(WallRule("0", "3", "1"))),
        ("每月最后一天", _calendar(WallRule("30", "1", "last"))),
        ("每15分钟", Interval(900)),
        ("每 6 小时", Interval(21600)),
        ("变动时", OnChange()),
        ("30 1 * * *", _calendar(WallRule("30", "1"))),
        ("*/20 8-17/3 * * *", _calendar(WallRule("0,20,40", "8,11,14,17"))),
        ("0 1 * * 0", _calendar(WallRule("0", "1", weekday="sun"))),
        ("0 1 * * 7", _calendar(WallRule("0", "1", weekday="sun"))),
        ("0 1 * * 1-5", _calendar(WallRule("0", "1", weekday="mon,tue,wed,thu,fri"))),
        ("0 1 * * fri-sun", _calendar(WallRule("0", "1", weekday="fri,sat,sun"))),
        ("0 1 * * sun-sat", _calendar(WallRule("0", "1", weekday=ALL_WEEK))),
        ("0 1 * jan,jul *", _calendar(WallRule("0", "1", "*", "1,7"))),
        ("0 3 29 2 *", _calendar(WallRule("0", "3", "29", "2"))),
        ("0 1 1 * sun", _calendar(WallRule("0", "1", "1"), WallRule("0", "1", weekday="sun"))),
    ],
)
def test_words_mean_what_a_person_means(words: str, meant: Rhythm) -> None:
    assert parse_rhythm(words) == meant


@pytest.mark.parametrize(
    "words",
    [
        "", "nightly", "daily 01:30", "daily at 24:00", "daily at 1:60", "weekly on funday", "monthly on day 32", "every 4 min",
        "every 0 min", "every 200 h", "every minute", "* * * *", "60 * * * *", "0 24 * * *", "0 1 0 * *", "0 1 * 13 *", "0 1 * * 8",
        "5/15 * * * *", "1,,2 * * * *", "5-1 * * * *", "+5 * * * *", "٣ * * * *", "*/0 * * * *", "0 3 30 2 *", "0 3 31 4,6 *", "@daily",
    ],
)  # fmt: skip
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(ValueError):
        parse_rhythm(words)


def _config(schedule: str, source: str = "kind: sqlite, path: his.db", more: str = "") -> AgentConfig:
    text = f"sources:\n  - {{name: his, {source}, schedule: {schedule}}}\n{more}"
    return parse_settings(text.encode(), "agent.yaml", AgentConfig)


@pytest.mark.parametrize(
    ("schedule", "en", "zh"),
    [
        ("nightly", "expected a schedule: daily at 01:30", "应为计划：每天 01:30"),
        ("{run: daily, time_zone: Mars/Olympus}", "expected a time zone such as Asia/Shanghai", "应为时区名"),
        ("{run: daily, window: '1-5'}", "expected a part of the day, such as 01:00-05:00", "应为时段"),
        ("{run: daily at 06:00, window: '01:00-05:00'}", "a part of the day in which a run falls", "包含运行时刻"),
        ("{run: every 6 h, window: '01:00-05:00'}", "a part of the day in which a run falls", "包含运行时刻"),
        ("{run: daily, blackout: ['2026-02-30']}", "expected a day or a range of days", "应为日期或日期范围"),
        ("{run: daily, blackout: ['2026-10-07..2026-10-01']}", "expected a day or a range of days", "应为日期"),
        ("{run: every 15 min, random_delay: 10 min}", "at most half of the time between two runs (7 min)", "7 min"),
        ("{run: daily, random_delay: 2 d}", "expected at most 86400", "应为不大于 86400"),
        ("{run: daily, missed: ignore}", "expected one of 'make up' or 'skip'", "'make up', 'skip' 之一"),
        ("{run: daily, backoff: 1 s}", "expected at least 60", "应为不小于 60"),
        ("{window: '01:00-05:00'}", "run is missing", "缺少 run"),
        ("{run: daily, retry: 3}", "unknown key retry (did you mean retries?)", "不认识的键 retry"),
        ("on change", "expected `on change` only where the source has `watch:`", "应为带 watch 的来源"),
    ],
)
def test_mistake_in_a_schedule_is_told_with_its_line_and_what_was_expected(schedule: str, en: str, zh: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _config(schedule)
    assert caught.value.sentence(Language.EN).startswith("agent.yaml line 2, sources[0].schedule")
    assert en in caught.value.sentence(Language.EN)
    assert zh in caught.value.sentence(Language.ZH)


def test_group_cannot_follow_changes_and_time_zone_is_checked_at_the_top() -> None:
    group = (
        "  - {name: lis, kind: sqlite, path: l.db}\ngroups: [{name: all, sources: [his, lis], schedule: on change}]\n"
    )
    with pytest.raises(SettingsError, match="a group is not watched"):
        _config("null", more=group)
    with pytest.raises(SettingsError, match=r"line 3, time_zone: expected a time zone"):
        _config("daily", more="time_zone: Berlin\n")


def test_mapping_and_words_alone_are_the_same_schedule() -> None:
    words = _config("daily at 01:30").sources[0].schedule
    mapping = _config("{run: daily at 01:30, blackout: []}").sources[0].schedule
    assert words == mapping == ScheduleSettings(run="daily at 01:30")


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ("every 15 min", 0), ("daily", 1), ("0 1,13 * * *", 1), ("weekly", 7), ("0 1 * * 1-5", 7), ("monthly on day 1", 30),
        ("0 1 1,15 * *", 15), ("monthly on day 30", 30), ("0 1 1 1,7 *", 182), ("0 3 29 2 *", 365), ("0 1 1 * sun", 7),
    ],
)  # fmt: skip
def test_period_tells_weekly_from_monthly(words: str, days: int) -> None:
    period = ScheduleSettings(run=words).period()
    assert period is not None
    assert period.days == days
