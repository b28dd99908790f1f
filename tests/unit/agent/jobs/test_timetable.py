# SPDX-License-Identifier: Apache-2.0
"""The instants of a schedule: summer time both ways, leap days, windows past midnight, days on which nothing begins."""

from datetime import date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.jobs.timetable import Timetable, place
from tests.builders.jobs import SHANGHAI, local, make_table, utc


def _next(table: Timetable, after: datetime, count: int) -> list[str]:
    return [f"{at.astimezone(table.zone):%m-%d %H:%M%z}" for at in islice(table.after(after), count)]


def test_time_that_does_not_exist_is_run_once_at_the_first_moment_after() -> None:
    table = make_table("daily at 02:30")
    assert _next(table, local("2026-03-28 00:00"), 3) == ["03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200"]


def test_time_that_exists_twice_is_run_once_at_the_first_of_them() -> None:
    table = make_table("daily at 02:30")
    assert _next(table, local("2026-10-24 03:00"), 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]
    assert table.next_after(local("2026-10-25 02:30", fold=1)) == local("2026-10-26 02:30")


def test_runs_that_fall_on_one_instant_are_one() -> None:
    table = make_table("*/30 * * * *")
    found = _next(table, local("2026-03-29 01:00"), 3)
    assert found == ["03-29 01:30+0100", "03-29 03:00+0200", "03-29 03:30+0200"]


def test_interval_is_counted_in_real_time() -> None:
    table = make_table("every 30 min")
    night = list(islice(table.after(local("2026-10-25 01:45")), 5))
    assert {later - former for former, later in pairwise(night)} == {timedelta(minutes=30)}
    assert _next(make_table("every 6 h", SHANGHAI), utc("2026-01-01 00:00"), 2) == [
        "01-01 12:00+0800",
        "01-01 18:00+0800",
    ]


def test_leap_day_comes_in_leap_years_only() -> None:
    table = make_table("0 3 29 2 *")
    assert table.next_after(utc("2026-01-01 00:00")) == local("2028-02-29 03:00")
    table = make_table("monthly on day 29 at 03:00")
    assert _next(table, local("2027-02-01 00:00"), 2) == ["02-28 03:00+0100", "03-29 03:00+0200"]
    assert _next(table, local("2028-02-01 00:00"), 1) == ["02-29 03:00+0100"]


def test_last_day_of_each_month() -> None:
    table = make_table("monthly on last day at 03:00", SHANGHAI)
    found = [at.astimezone(SHANGHAI).date().day for at in islice(table.after(utc("2028-01-15 00:00")), 12)]
    assert found == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def test_cron_counts_weekdays_from_sunday() -> None:
    # 4 January 2026 is a Sunday.
    assert _next(make_table("0 1 * * 0"), local("2026-01-01 00:00"), 2) == ["01-04 01:00+0100", "01-11 01:00+0100"]
    assert _next(make_table("0 1 6 * sun"), local("2026-01-01 00:00"), 3) == [
        "01-04 01:00+0100", "01-06 01:00+0100", "01-11 01:00+0100",
    ]  # fmt: skip


def test_only_what_falls_into_the_window_is_due() -> None:
    table = make_table("every 6 h", SHANGHAI, window="22:00-05:00")
    assert _next(table, utc("2026-01-01 00:00"), 2) == ["01-02 00:00+0800", "01-03 00:00+0800"]


def test_window_past_midnight_is_open_on_both_sides_of_it() -> None:
    table = make_table("daily at 23:00", window="22:00-05:00")
    for moment, is_open in (
        ("21:59", False),
        ("22:00", True),
        ("23:59", True),
        ("00:00", True),
        ("04:59", True),
        ("05:00", False),
    ):
        assert table.is_open(local(f"2026-01-10 {moment}")) is is_open, moment
    opening = table.opening(local("2026-01-10 12:00"))
    assert opening is not None
    assert (opening.begin, opening.end) == (local("2026-01-10 22:00"), local("2026-01-11 05:00"))


def test_nothing_begins_on_a_blackout_day_also_within_a_window_that_began_before() -> None:
    table = make_table("daily at 23:00", window="22:00-05:00", blackout=["2026-01-11..2026-01-12"])
    assert table.is_open(local("2026-01-10 23:59"))
    assert not table.is_open(local("2026-01-11 00:00"))
    opening = table.opening(local("2026-01-11 00:00"))
    assert opening is not None
    assert opening.begin == local("2026-01-13 00:00"), "the window of the evening before is open still"


def test_without_a_window_everything_but_blackout_days_is_open_without_end() -> None:
    table = make_table("daily at 01:30", blackout=["2026-01-11"])
    opening = table.opening(local("2026-01-11 12:00"))
    assert opening is not None
    assert (opening.begin, opening.end) == (local("2026-01-12 00:00"), None)


def test_schedule_whose_days_are_all_black_never_opens() -> None:
    table = make_table("daily at 01:30", blackout=["2026-01-01..2036-01-01"])
    assert table.opening(local("2026-01-11 12:00")) is None


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
    ),
    st.datetimes(datetime(2011, 1, 1), datetime(2032, 1, 1)),  # noqa: DTZ001 - on the wall
)
def test_every_time_on_the_wall_has_one_instant_and_later_times_have_no_earlier_one(name: str, wall: datetime) -> None:
    zone = ZoneInfo(name)
    instant = place(wall.date(), wall.time(), zone)
    shown = instant.astimezone(zone).replace(tzinfo=None, fold=0)
    assert shown >= wall, "never before its time"
    assert place(wall.date(), time(0), zone) <= instant <= place(wall.date() + timedelta(days=1), time(0), zone)
    if shown != wall:
        a_moment_before = (instant - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        assert a_moment_before < wall, "the first moment after the gap"


def test_place_of_the_day_that_samoa_left_out() -> None:
    zone = ZoneInfo("Pacific/Apia")
    assert place(date(2011, 12, 30), time(12), zone) == place(date(2011, 12, 31), time(0), zone)
