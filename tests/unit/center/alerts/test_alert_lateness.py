# SPDX-License-Identifier: Apache-2.0
"""Who is late, by one definition: what `today` shows and what the alert says never differ."""

from datetime import datetime, timedelta

import pytest

from center.alerts.lateness import Arrival, is_late
from center.alerts.scene import Scene, SourceScene
from center.alerts.today import make_today
from center.settings.alerts import AlertSettings, Expected
from tests.builders.scenes import DAY, HOUR, NOW, make_row, make_scene, make_unit

MINUTE = timedelta(minutes=1)
SETTINGS = AlertSettings(expected=(Expected(source="his", by="08:00"), Expected(unit="X013", source="lis", by="08:00")))
DEADLINE = NOW - 2 * HOUR  # Wednesday, 08:00 in Shanghai
LONG_AGO = DEADLINE - 100 * DAY


def named_late(scene: Scene) -> tuple[set[str], set[str]]:
    """Give whom the alert names, and whom `today` shows as late."""
    lines = make_today(scene, {}, SETTINGS).lines
    return (
        {alert.place for alert in is_late(scene, SETTINGS)},
        {f"{line.unit}/{line.source}" for line in lines if line.arrival is Arrival.LATE},
    )


@pytest.mark.parametrize("taken", [None, *(DEADLINE - DAY + n * MINUTE for n in (-1, 0, 1))])
@pytest.mark.parametrize("enrolled", [None, *(DEADLINE - DAY + n * MINUTE for n in (-1, 0, 1)), LONG_AGO])
@pytest.mark.parametrize("is_disabled", [False, True])
def test_today_and_the_alert_name_the_same_at_every_minute(
    taken: datetime | None, enrolled: datetime | None, is_disabled: bool
) -> None:
    unit = make_unit(enrolled_at=enrolled, disabled=is_disabled)
    row = None if taken is None else make_row(ended=taken, received=taken)
    seen: set[bool] = set()
    for edge in (DEADLINE, DEADLINE + DAY):
        for minute in range(-30, 31):
            newest = {("X013", "his"): SourceScene(row, row)}
            alerted, shown = named_late(make_scene(unit, newest=newest, now=edge + minute * MINUTE))
            assert alerted == shown
            seen.add("X013/his" in shown)
    if is_disabled or enrolled is None:
        assert seen == {False}
    else:
        assert seen == ({True} if row is None and enrolled == LONG_AGO else {False, True})


def test_a_unit_that_came_within_the_interval_is_not_late_in_today_either() -> None:
    scene = make_scene(make_unit(enrolled_at=NOW - 20 * HOUR), newest={})
    (his, lis) = make_today(scene, {}, SETTINGS).lines
    assert (his.arrival, his.due, lis.arrival) == (Arrival.NOT_EXPECTED, None, Arrival.NOT_EXPECTED)


def test_a_source_that_settings_name_and_the_unit_has_not_is_late_in_today_too() -> None:
    assert named_late(make_scene()) == ({"X013/lis"}, {"X013/lis"})
