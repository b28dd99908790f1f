# SPDX-License-Identifier: Apache-2.0
"""A unit that has its keys and wants the archives to stop listening: it floods alerts, or silences them by its own word."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.course import MOST_EVENTS, Item, Pace, What, advance
from center.alerts.happenings import has_other_schema
from center.alerts.letters import compose
from center.alerts.scene import Fresh, FreshStatement, SchemaChange
from center.app import Center
from center.cli.inbox import tell_bag
from center.cli.main import make_program
from center.receive.inbox import BagOutcome, Fate
from center.settings.alerts import AlertSettings
from evidence.digest import Sha256
from evidence.manifest.statement import Channel, Consistency, SnapshotStatement
from evidence.wire.heartbeat import MAX_BEATS, BeatStage, Failure, Heartbeat, SourceBeat
from terminal.language import Language, Text
from terminal.printer import Printer
from tests.builders.center import ORIGIN, Hospital, patients
from tests.builders.listeners import Hook, run_hook
from tests.builders.receivers import MovableClock, run_receiver
from tests.builders.scenes import make_row

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CONFIG = """\
origin: {origin}
disk_reserve: 16 MiB
alerts:
  disk: 0.001
  test_day: null
  expected: [{{source: his, by: "08:00", on_holidays: true}}]
  channels: [{{name: hook, kind: webhook, url: "{url}"}}]
"""


def open_center(folder: Path, clock: MovableClock, hook: Hook) -> Center:
    Center.create(folder, ORIGIN, clock=clock)
    (folder / "center.yaml").write_text(CONFIG.format(origin=ORIGIN, url=hook.url), encoding="utf-8")
    return Center.open(folder, clock)


def test_a_unit_that_states_gaps_and_failures_without_end_brings_a_letter_or_two_a_day(tmp_path: Path) -> None:
    clock = MovableClock(NOW)
    with run_hook() as hook, open_center(tmp_path / "center", clock, hook) as center:
        center.signs.listen(NOW)
        watch = center.watch({})
        hospital = Hospital(center)
        watch.look()
        for step in range(48):
            clock.now += timedelta(minutes=30)
            for _ in range(3):
                hospital.gap("nothing, again")
            beats = tuple(
                SourceBeat(f"{step:03}-{i:03}", failure=Failure(clock.now, "JS-2101")) for i in range(MAX_BEATS // 10)
            )
            center.signs.see("X013", clock.now)
            center.signs.hear("X013", Heartbeat(clock.now, "jinsuo test", 1 << 40, False, None, beats), clock.now)
            center.signs.keep_listening(clock.now)
            watch.look()
            watch.tell()
        assert len(hook.posts) <= 3
        assert len(watch.records()) <= MOST_EVENTS + 3
        assert sum(count for (_, name), count in hook.told.items() if name.startswith("gap:")) <= MOST_EVENTS


def test_a_heartbeat_that_says_all_is_well_does_not_make_a_source_be_in_time(tmp_path: Path) -> None:
    clock = MovableClock(NOW)
    with run_hook() as hook, open_center(tmp_path / "center", clock, hook) as center:
        center.signs.listen(NOW)
        watch = center.watch({})
        Hospital(center).snapshot(patients(3))
        clock.now += 2 * DAY
        far = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
        beat = SourceBeat("his", 2**53 - 1, BeatStage.STORED, far, far, far)
        center.signs.see("X013", clock.now)
        center.signs.hear("X013", Heartbeat(clock.now, "jinsuo test", 1 << 50, False, None, (beat,)), clock.now)
        assert [item.alert.id for item in watch.look() if item.alert] == ["late:X013/his"]


def test_a_statement_of_the_year_9999_does_not_silence_lateness_nor_break_a_view(tmp_path: Path) -> None:
    clock = MovableClock(NOW)
    folder = tmp_path / "center"
    with run_hook() as hook, open_center(folder, clock, hook) as center:
        center.signs.listen(NOW)
        watch = center.watch({})
        hospital = Hospital(center)
        for sequence, year in ((1, 1), (2, 9999)):
            moment = datetime(year, 12, 31, 23, 59, tzinfo=UTC)
            statement = SnapshotStatement(
                "X013", "his", sequence, hospital.previous, moment, moment, Consistency.CONSISTENT, "-", Channel.MEDIA,
                1, 1, 10, Sha256(bytes(32)), Sha256(bytes(32)),
            )  # fmt: skip
            hospital.submit(statement, register_only=True)
        far = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
        failure = Failure(datetime(1, 1, 1, tzinfo=UTC), "JS-2101")
        clock.now += 3 * DAY
        beat = SourceBeat("his", next_run=far, failure=failure)
        center.signs.see("X013", clock.now)
        center.signs.hear("X013", Heartbeat(far, "jinsuo test", 1 << 50, True, far, (beat,)), clock.now)
        raised = {item.alert.id for item in watch.look() if item.alert}
        assert raised == {"late:X013/his", "clock:X013", "failing:X013/his"}
        assert watch.tell() == {}
    for line in (("today",), ("alerts",), ("report", "X013", "--month", "2026-11")):
        for form in ((), ("--json",)):
            assert make_program().main(["-C", str(folder), *line, *form], environ={}) in (0, 1), line


def test_no_unit_speaks_for_another(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent", "X014")
        center.units.add("X013", "another")
        with identity.connect(lambda: None) as road:
            road.heartbeat(Heartbeat(center.clock.now, "jinsuo test", 1, False, None, ()))
        assert set(center.signs.heartbeats()) == set(center.signs.last_seen()) == {"X014"}


def test_many_small_events_do_not_hide_a_worse_one_of_their_kind() -> None:
    """A column comes each night, nobody minds; then the table of patients is gone."""
    text, pace = Text(zh="x", en="x"), Pace(DAY, timedelta(0))
    small = [Alert(Kind.SCHEMA, f"X013/his#{n}", Severity.WARNING, NOW, text, text) for n in range(2 * MOST_EVENTS)]
    records, _ = advance({}, small, NOW, pace)
    worse = Alert(Kind.SCHEMA, "X013/his#99", Severity.ERROR, NOW, text, text)
    records, _ = advance(records, [worse], NOW + timedelta(minutes=1), pace)
    records, told = advance(records, [], NOW + DAY, pace)
    assert [item.alert for item in told] == [worse]
    assert len(records) == MOST_EVENTS


def test_a_tables_name_forges_no_other_alert_in_a_letter() -> None:
    name = "ward\n\nall clear [error] late:X013/his\nit has come\nsince 2026-11-23 08:00 UTC"
    fresh = Fresh(9, (FreshStatement(make_row(412), make_row(411), SchemaChange((), (name,), ())),))
    (alert,) = has_other_schema(fresh, AlertSettings())
    forged = replace(alert, remedy=Text(zh=name, en=name))
    for language in Language:
        text = compose([Item(What.RAISED, NOW, forged)], ORIGIN, language, NOW).text
        assert [line for line in text.splitlines() if line.startswith(("all clear", "it has come"))] == []
        assert "ward" in text


@pytest.mark.parametrize("fate", [Fate.TAKEN, Fate.REFUSED])
def test_a_bags_name_forges_no_line_on_the_console(fate: Fate) -> None:
    name = "x\ntaken in X013-his-1: 9 packs, 9 statements\u061c"
    told, warned = io.StringIO(), io.StringIO()
    reason = Text(zh=f"交换包 {name} 被拒绝", en=f"the bag {name} is refused")
    tell_bag(BagOutcome(Path(name), fate, reason), Printer(Language.EN, out=told, err=warned))
    lines = (told.getvalue() + warned.getvalue()).splitlines()
    assert len(lines) == 1, lines
    assert "\u061c" not in lines[0], "which turns the direction of text"
