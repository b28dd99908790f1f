# SPDX-License-Identifier: Apache-2.0
"""The rules of what is amiss now: each fires when it must, and only then; each says where, and in both languages."""

from datetime import timedelta

import pytest

from center.alerts.alert import Alert, Kind, Severity, read_alert
from center.alerts.scene import Scene, SourceScene
from center.alerts.states import RULES
from center.registry.signs import Heard, Listening
from center.settings.alerts import AlertSettings, Expected
from evidence.encode import encode_json, parse_json
from evidence.errors import FormatError
from evidence.manifest.entry import Level
from evidence.wire.heartbeat import Failure, SourceBeat
from tests.builders.scenes import DAY, HOUR, NOW, make_beat, make_row, make_scene, make_unit

SETTINGS = AlertSettings(expected=(Expected(by="08:00"),))
MINUTE = timedelta(minutes=1)


def run(scene: Scene, settings: AlertSettings = SETTINGS) -> list[Alert]:
    return [alert for rule in RULES.values() for alert in rule(scene, settings)]


def ids(scene: Scene, settings: AlertSettings = SETTINGS) -> list[str]:
    return [alert.id for alert in run(scene, settings)]


def test_nothing_is_amiss_in_a_quiet_scene() -> None:
    assert run(make_scene()) == []
    assert run(make_scene(make_unit("X013"), make_unit("X014"))) == []


def heard(beat_error: timedelta = timedelta(0), free: int | None = 100 << 30, *beats: SourceBeat) -> Heard:
    return Heard(NOW, make_beat(NOW + beat_error, free, *beats))


def listened(span: timedelta) -> Listening:
    return Listening(((NOW - span, NOW),))


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        (make_scene(make_unit(seen=NOW - 6 * HOUR)), []),
        (make_scene(make_unit(seen=NOW - 6 * HOUR - MINUTE)), ["quiet:X013"]),
        (make_scene(make_unit(seen=None)), ["quiet:X013"]),
        (make_scene(make_unit(seen=NOW - 26 * HOUR, heard=None)), []),
        (make_scene(make_unit(seen=NOW - 27 * HOUR, heard=None)), ["quiet:X013"]),
        (make_scene(make_unit(seen=NOW - DAY), listening=listened(HOUR)), []),
        (make_scene(make_unit(seen=NOW - DAY), listening=Listening()), []),
        # The center was off for most of the day: what it listened before and after counts together.
        (
            make_scene(
                make_unit(seen=NOW - DAY),
                listening=Listening(((NOW - 9 * DAY, NOW - 20 * HOUR), (NOW - 2 * HOUR, NOW))),
            ),
            [],
        ),
        (
            make_scene(
                make_unit(seen=NOW - DAY), listening=Listening(((NOW - 9 * DAY, NOW - 18 * HOUR), (NOW - MINUTE, NOW)))
            ),
            ["quiet:X013"],
        ),
        (make_scene(make_unit(seen=NOW - DAY, disabled=True)), []),
        (make_scene(make_unit(seen=None, enrolled_at=None)), []),
        (make_scene(make_unit(seen=None, enrolled_at=NOW - HOUR)), []),
        (make_scene(make_unit(heard=heard(5 * MINUTE))), []),
        (make_scene(make_unit(heard=heard(6 * MINUTE))), ["clock:X013"]),
        (make_scene(make_unit(heard=heard(-6 * MINUTE))), ["clock:X013"]),
        (make_scene(make_unit(heard=heard(DAY), disabled=True)), []),
        (make_scene(make_unit(heard=heard(free=5 << 30))), []),
        (make_scene(make_unit(heard=heard(free=(5 << 30) - 1))), ["agent-disk:X013"]),
        (make_scene(make_unit(heard=heard(free=None))), []),
        (make_scene(free_bytes=100 << 30), []),
        (make_scene(free_bytes=99 << 30), ["disk:center"]),
        (make_scene(free_bytes=1 << 30, total_bytes=2 << 30, reserve_bytes=256 << 20), []),
        (make_scene(free_bytes=1023 << 20, total_bytes=2 << 30, reserve_bytes=256 << 20), ["disk:center"]),
        (make_scene(certificate_ends=NOW + 31 * DAY), []),
        (make_scene(certificate_ends=NOW + 30 * DAY), ["certificate:center"]),
        (make_scene(certificate_ends=NOW - DAY), ["certificate:center"]),
        (make_scene(certificate_ends=None), []),
        (make_scene(held="two histories", has_hold=True, listening=listened(MINUTE)), ["held:center"]),
        (make_scene(held="waits for an agent", listening=listened(29 * MINUTE)), []),
        (make_scene(held="waits for an agent", listening=listened(31 * MINUTE)), ["held:center"]),
        (make_scene(held="old copy", listening=Listening()), ["held:center"]),
        (make_scene(failing_channels={"mail": NOW - HOUR + MINUTE}), []),
        (make_scene(failing_channels={"mail": NOW - HOUR}), ["channel:mail"]),
    ],
)
def test_a_state_is_an_alert_beyond_its_limit_and_not_before(scene: Scene, expected: list[str]) -> None:
    assert ids(scene) == expected


def test_units_that_are_not_watched_are_never_quiet() -> None:
    scene = make_scene(make_unit("X901", seen=None), make_unit("X013", seen=None))
    assert ids(scene, AlertSettings(not_watched=("X9*",))) == ["quiet:X013"]


def test_what_grows_worse_is_severer() -> None:
    def severity(scene: Scene) -> Severity:
        (alert,) = run(scene)
        return alert.severity

    assert severity(make_scene(free_bytes=99 << 30)) is Severity.WARNING
    assert severity(make_scene(free_bytes=1 << 20)) is Severity.ERROR
    assert severity(make_scene(make_unit(heard=heard(free=4 << 30)))) is Severity.WARNING
    assert severity(make_scene(make_unit(heard=heard(free=1 << 30)))) is Severity.ERROR


def test_a_failure_that_an_agent_reports_is_an_alert_of_its_source() -> None:
    beats = (SourceBeat("his", failure=Failure(NOW - HOUR, "JS-2103")), SourceBeat("lis"))
    (alert,) = run(make_scene(make_unit(heard=heard(timedelta(0), 100 << 30, *beats))))
    assert (alert.id, alert.since) == ("failing:X013/his", NOW - HOUR)
    assert "JS-2103" in alert.what.en
    assert "JS-2103" in alert.what.zh


def test_a_failure_in_the_future_of_a_wrong_clock_is_dated_when_it_was_heard() -> None:
    beat = SourceBeat("his", failure=Failure(NOW + 300 * DAY, "JS-2103"))
    alerts = run(make_scene(make_unit(heard=heard(300 * DAY, 100 << 30, beat))))
    assert [(alert.id, alert.since) for alert in alerts] == [("failing:X013/his", NOW), ("clock:X013", NOW)]


def test_failures_of_sources_that_only_the_agent_knows_are_one_alert_of_the_unit() -> None:
    beats = tuple(SourceBeat(f"s{i}", failure=Failure(NOW - HOUR, "JS-2101")) for i in range(9))
    (alert,) = run(make_scene(make_unit(heard=heard(timedelta(0), 100 << 30, *beats))))
    assert alert.id == "failing:X013"
    assert "s0, s1, s2, s3, s4 … failed" in alert.what.en


def late(newest: object, stored: object = None, **expected: object) -> list[str]:
    scene = make_scene(newest={("X013", "his"): SourceScene(newest, stored)})  # type: ignore[arg-type]  # rows or None
    return ids(scene, AlertSettings(expected=(Expected(**({"by": "08:00"} | expected)),)))  # type: ignore[arg-type]


def test_a_source_is_late_if_no_snapshot_was_taken_since_the_deadline_before() -> None:
    # It is Wednesday 10:00 in Shanghai: due by 08:00, and the interval began on Tuesday at 08:00 (00:00 UTC).
    assert late(make_row(ended=NOW - DAY - HOUR, received=NOW - HOUR)) == []
    assert late(make_row(ended=NOW - DAY - 2 * HOUR, received=NOW - HOUR)) == ["late:X013/his"]
    assert late(None) == ["late:X013/his"]


def test_before_the_deadline_nobody_is_late() -> None:
    row = make_row(ended=NOW - DAY - 3 * HOUR, received=NOW - DAY)
    assert late(row, by="10:01") == []
    assert late(row, by="09:59") == ["late:X013/his"]
    assert late(make_row(ended=NOW - 2 * DAY - HOUR, received=NOW - 2 * DAY), by="10:01") == ["late:X013/his"]


def test_a_clock_in_the_future_makes_no_snapshot_younger_than_it_came() -> None:
    assert late(make_row(ended=NOW + 100 * DAY, received=NOW - 3 * DAY)) == ["late:X013/his"]


def test_registered_counts_as_come_unless_stored_is_wanted() -> None:
    row = make_row(level=Level.REGISTERED, stored_index=None)
    assert late(row) == []
    assert late(row, level="stored") == ["late:X013/his"]
    assert late(row, row, level="stored") == []


def test_the_first_entry_that_fits_a_source_counts_and_without_one_nothing_is_late() -> None:
    scene = make_scene(newest={})
    lenient = Expected(unit="X0*", source="his", days="monthly 28", by="08:00")
    strict = Expected(by="08:00")
    assert ids(scene, AlertSettings(expected=(strict, lenient))) == ["late:X013/his"]
    row = make_row(ended=NOW - 26 * DAY, received=NOW - 26 * DAY)
    scene = make_scene(newest={("X013", "his"): SourceScene(row, row)})
    assert ids(scene, AlertSettings(expected=(lenient, strict))) == []
    assert ids(make_scene(newest={}), AlertSettings()) == []
    assert ids(make_scene(newest={}), AlertSettings(expected=(Expected(unit="Y*", by="08:00"),))) == []


def test_a_source_that_settings_name_and_the_unit_has_not_is_late() -> None:
    settings = AlertSettings(expected=(Expected(unit="X013", source="lis", by="08:00"), Expected(by="08:00")))
    assert ids(make_scene(), settings) == ["late:X013/lis"]


def test_a_unit_that_came_within_the_interval_is_not_late_yet() -> None:
    young = make_unit(enrolled_at=NOW - 20 * HOUR)
    assert ids(make_scene(young, newest={})) == []
    assert ids(make_scene(make_unit(enrolled_at=NOW - 30 * HOUR), newest={})) == ["late:X013/his"]


def test_content_that_has_not_come_in_time_is_one_alert_of_its_source() -> None:
    old = [make_row(n, level=Level.REGISTERED, received=NOW - 15 * DAY + n * MINUTE) for n in (7, 8)]
    young = make_row(9, level=Level.REGISTERED, received=NOW - 13 * DAY)
    assert run(make_scene(waiting=(young,))) == []
    (alert,) = run(make_scene(waiting=(*old, young)))
    assert (alert.id, alert.since) == ("content:X013/his", NOW - DAY + 7 * MINUTE)
    assert "2 snapshot(s)" in alert.what.en
    assert "his#7" in alert.what.zh


def test_every_alert_speaks_both_languages_and_is_read_as_it_was_written() -> None:
    beat = SourceBeat("his", failure=Failure(NOW, "JS-2101"))
    scene = make_scene(
        make_unit(seen=None, heard=heard(HOUR, 1, beat)), newest={}, free_bytes=1, held="old", certificate_ends=NOW,
        waiting=(make_row(level=Level.REGISTERED, received=NOW - 99 * DAY),), failing_channels={"mail": NOW - DAY},
    )  # fmt: skip
    alerts = run(scene)
    assert {alert.kind for alert in alerts} == set(RULES)
    for alert in alerts:
        for text in (alert.what, alert.remedy):
            assert text.en.replace("市第一医院", "").isascii()
            assert not text.zh.replace("市第一医院", "").isascii()
        assert read_alert(parse_json(encode_json(alert.to_json()), "an alert")) == alert
        assert alert.id == f"{alert.kind.value}:{alert.place}"
        assert not alert.is_event


@pytest.mark.parametrize(("name", "value"), [("kind", "loud"), ("severity", "fatal"), ("since", "now")])
def test_an_alert_of_another_version_is_refused(name: str, value: str) -> None:
    (alert,) = run(make_scene(held="x"))
    document = alert.to_json() | {name: value}
    with pytest.raises(FormatError):
        read_alert(document)


def test_every_kind_has_one_rule() -> None:
    from center.alerts.alert import EVENTS
    from center.alerts.happenings import EVENT_RULES

    assert set(EVENT_RULES) == EVENTS
    assert set(RULES) | set(EVENT_RULES) | {Kind.WATCH} == set(Kind)
