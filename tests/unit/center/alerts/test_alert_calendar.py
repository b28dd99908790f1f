# SPDX-License-Identifier: Apache-2.0
"""Deadlines: weekdays, holidays, made-up working days, months, time zones with and without summer time."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.alerts.calendar import Calendar, find_deadlines
from center.settings.alerts import Expected, parse_dates, parse_days
from terminal.errors import SettingsError

SHANGHAI = "Asia/Shanghai"
# National Day 2026 with its made-up Saturday: as the State Council would announce it.
CHINA = Calendar.of(["2026-10-01..2026-10-07", "2027-01-01..2027-01-03"], ["2026-10-10"])


def due(expected: Expected, now: str, calendar: Calendar = CHINA, zone: str = SHANGHAI) -> list[str] | None:
    moment = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = find_deadlines(expected, calendar, zone, moment)
    return None if found is None else [one.strftime("%m-%d %H:%M") for one in found]


@pytest.mark.parametrize(
    ("days", "now", "found"),
    [
        ("daily", "2026-11-25 10:00", ["11-25 08:00", "11-24 08:00"]),
        ("daily", "2026-11-25 08:00", ["11-25 08:00", "11-24 08:00"]),
        ("daily", "2026-11-25 07:59", ["11-24 08:00", "11-23 08:00"]),
        ("mon-fri", "2026-11-30 09:00", ["11-30 08:00", "11-27 08:00"]),  # Monday after Friday
        ("sat,sun", "2026-11-25 10:00", ["11-22 08:00", "11-21 08:00"]),
        ("fri-mon", "2026-11-24 10:00", ["11-23 08:00", "11-22 08:00"]),
        ("wed", "2026-11-25 10:00", ["11-25 08:00", "11-18 08:00"]),
        # National Day: nothing is due for a week; the made-up Saturday is a working day, but no weekday of mon-fri.
        ("daily", "2026-10-05 10:00", ["09-30 08:00", "09-29 08:00"]),
        ("workdays", "2026-10-08 07:00", ["09-30 08:00", "09-29 08:00"]),
        ("workdays", "2026-10-10 09:00", ["10-10 08:00", "10-09 08:00"]),
        ("workdays", "2026-10-11 09:00", ["10-10 08:00", "10-09 08:00"]),
        ("mon-fri", "2026-10-11 09:00", ["10-09 08:00", "10-08 08:00"]),
        # A day of the month moves to the next working day, into the next month if it must.
        ("monthly 3", "2026-11-25 10:00", ["11-03 08:00", "10-08 08:00"]),
        ("monthly 1", "2027-01-04 07:00", ["12-01 08:00", "11-02 08:00"]),
        ("monthly 1", "2027-01-04 09:00", ["01-04 08:00", "12-01 08:00"]),
        ("monthly 28", "2026-11-30 09:00", ["11-30 08:00", "10-28 08:00"]),
        ("monthly 28", "2026-03-02 09:00", ["03-02 08:00", "01-28 08:00"]),
    ],
)
def test_deadlines_are_on_due_days(days: str, now: str, found: list[str]) -> None:
    assert due(Expected(days=days, by="08:00"), now) == found


def test_a_hospital_that_works_on_holidays_is_expected_then() -> None:
    always = Expected(days="daily", by="08:00", on_holidays=True)
    assert due(always, "2026-10-05 10:00") == ["10-05 08:00", "10-04 08:00"]
    assert due(Expected(days="monthly 1", by="08:00", on_holidays=True), "2027-01-01 09:00") == [
        "01-01 08:00", "12-01 08:00",
    ]  # fmt: skip


def test_a_calendar_without_a_working_day_has_no_deadlines() -> None:
    never = Calendar.of(["2025-01-01..2025-12-31", "2026-01-01..2026-12-31", "2024-01-01..2024-12-31"], [])
    assert due(Expected(days="workdays", by="08:00"), "2026-11-25 10:00", never) is None


def test_an_entry_may_have_a_zone_of_its_own() -> None:
    now = datetime(2026, 11, 25, 1, 30, tzinfo=UTC)
    urumqi = Expected(by="08:00", zone="Asia/Urumqi")  # UTC+6
    found = find_deadlines(urumqi, Calendar(), SHANGHAI, now)
    assert found is not None
    assert found[0].astimezone(UTC) == datetime(2026, 11, 24, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("2026-03-29 12:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # 02:30 does not exist: as before the jump
        ("2026-10-25 12:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # 02:30 comes twice: the first
        ("2026-07-01 12:00", datetime(2026, 7, 1, 0, 30, tzinfo=UTC)),
    ],
)
def test_summer_time_moves_a_deadline_by_no_more_than_its_hour(now: str, found: datetime) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    deadlines = find_deadlines(Expected(by="02:30"), Calendar(), "Europe/Berlin", moment)
    assert deadlines is not None
    assert deadlines[0].astimezone(UTC) == found


def test_a_leap_day_is_a_day() -> None:
    assert due(Expected(by="08:00"), "2028-02-29 09:00") == ["02-29 08:00", "02-28 08:00"]
    assert due(Expected(days="monthly 28", by="08:00"), "2028-02-29 09:00") == ["02-28 08:00", "01-28 08:00"]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 4 * 365 * 24 * 60).map(
        lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.sampled_from(["daily", "workdays", "mon-fri", "sat", "monthly 1", "monthly 15", "monthly 28"]),
    st.sampled_from([SHANGHAI, "Europe/Berlin", "America/New_York", "UTC"]),
)
def test_the_latest_deadline_has_come_and_its_next_has_not(now: datetime, days: str, zone: str) -> None:
    expected = Expected(days=days, by="02:30", zone=zone)
    found = find_deadlines(expected, CHINA, zone, now)
    assert found is not None
    latest, before = found
    assert before < latest <= now
    later = find_deadlines(expected, CHINA, zone, latest + timedelta(days=70))
    assert later is not None
    assert later[0] > latest, "another one comes within two months"
    again = find_deadlines(expected, CHINA, zone, latest)
    assert again == found, "a deadline counts from its very moment on"


def test_a_calendar_file_adds_days() -> None:
    text = "\ufeff# 国庆\n2026-10-01..2026-10-07  # seven days\n\n+2026-10-10\n + 2026-10-11\n2027-01-01\n"
    calendar = Calendar.of(["2026-05-01"], []).with_lines(text, "holidays.txt")
    assert len(calendar.holidays) == 9
    assert calendar.workdays == {date(2026, 10, 10), date(2026, 10, 11)}
    assert calendar.is_workday(date(2026, 10, 10))
    assert not calendar.is_workday(date(2026, 10, 17))


@pytest.mark.parametrize("line", ["1 October", "2026-13-01", "2026-10-07..2026-10-01", "2026-10-01...", "-2026-10-01"])
def test_a_wrong_line_of_a_calendar_is_told_with_its_number(line: str) -> None:
    with pytest.raises(SettingsError, match="line 2 of the calendar holidays.txt") as caught:
        Calendar().with_lines(f"2026-05-01\n{line}\n", "holidays.txt")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-1-1", "2026-02-30", "２026-01-01", "2026-01-01..", "2026-01-01..2027-02-01"]
)
def test_days_have_one_form(text: str) -> None:
    assert parse_dates(text) is None


@pytest.mark.parametrize(
    "text", ["", "mo", "mon-", "-fri", "monthly", "monthly 0", "monthly 29", "monthly 01", "Daily", "mon;fri"]
)
def test_due_days_have_few_forms(text: str) -> None:
    assert parse_days(text) is None
