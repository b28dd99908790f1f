# SPDX-License-Identifier: Apache-2.0
"""Jobs and their schedules for tests, in a zone with summer time unless the test says otherwise."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from agent.jobs.job import Job
from agent.jobs.timetable import Timetable
from agent.settings.schedule import ScheduleSettings

BERLIN = ZoneInfo("Europe/Berlin")
SHANGHAI = ZoneInfo("Asia/Shanghai")


def make_job(run: str = "daily at 01:30", name: str = "his", zone: ZoneInfo = BERLIN, **settings: object) -> Job:
    """Give the job of one source."""
    return Job(name, (name,), False, make_table(run, zone, **settings))


def make_table(run: str, zone: ZoneInfo = BERLIN, **settings: object) -> Timetable:
    """Give a timetable."""
    return Timetable(ScheduleSettings.model_validate({"run": run, **settings}), zone)


def utc(text: str) -> datetime:
    """Read `2026-03-29 00:30` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    """Read a time on the wall of `zone`; give it in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)
