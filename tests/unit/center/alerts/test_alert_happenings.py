# SPDX-License-Identifier: Apache-2.0
"""The rules of what happened: consecutive stored snapshots, gaps, conflicts; and that the looker gives each once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from center.alerts.alert import Alert, Severity
from center.alerts.happenings import EVENT_RULES, LEAST_BYTES, LEAST_ROWS
from center.alerts.look import Center as Looked
from center.alerts.look import Looker, measure_disk
from center.alerts.scene import Fresh, FreshConflict, FreshStatement, SchemaChange
from center.app import Center
from center.errors import ConflictError
from center.registry.catalog_tables import StatementRow
from center.settings.alerts import AlertSettings
from evidence.manifest.statement import GapCause, GapStatement
from tests.builders.center import ORIGIN, Hospital, patients, wards
from tests.builders.receivers import MovableClock
from tests.builders.scenes import NOW, make_row

SETTINGS = AlertSettings()


def run(*statements: FreshStatement, settings: AlertSettings = SETTINGS, conflicts: int = 0) -> list[Alert]:
    fresh = Fresh(9, statements, tuple(FreshConflict(f"X013/his#{n}", NOW) for n in range(conflicts)))
    return [alert for rule in EVENT_RULES.values() for alert in rule(fresh, settings)]


def compare(
    rows: int, bytes_: int, before_rows: int, before_bytes: int, settings: AlertSettings = SETTINGS
) -> list[str]:
    before = make_row(411, rows=before_rows, bytes_=before_bytes)
    return [a.id for a in run(FreshStatement(make_row(412, rows=rows, bytes_=bytes_), before), settings=settings)]


@pytest.mark.parametrize(
    ("now", "before", "found"),
    [
        ((700, 1 << 20), (1000, 1 << 20), []),
        ((699, 1 << 20), (1000, 1 << 20), ["shrunk"]),
        ((1000, 700_000), (1000, 1 << 20), ["shrunk"]),
        ((600, 600_000), (1000, 1 << 20), ["shrunk"]),
        ((0, 0), (1000, 1 << 20), ["shrunk"]),
        ((3000, 3 << 20), (1000, 1 << 20), []),
        ((3001, 1 << 20), (1000, 1 << 20), ["grown"]),
        ((1000, (3 << 20) + 1), (1000, 1 << 20), ["grown"]),
        ((1, 100), (LEAST_ROWS - 1, LEAST_BYTES - 1), []),
        ((1, 100), (LEAST_ROWS, 100), ["shrunk"]),
        ((1, 100), (1, LEAST_BYTES), ["shrunk"]),  # a dump is one row
        ((900, 100), (1, 100), []),
    ],
)
def test_a_change_of_size_beyond_its_limit_is_told(
    now: tuple[int, int], before: tuple[int, int], found: list[str]
) -> None:
    assert compare(*now, *before) == [f"{kind}:X013/his#412" for kind in found]


def test_changes_of_size_may_be_left_alone() -> None:
    silent = AlertSettings(shrink=None, grow=None)
    assert compare(0, 0, 1000, 1 << 20, silent) == []
    assert compare(9999, 9 << 30, 1000, 1 << 20, silent) == []
    assert compare(900, 900_000, 1000, 1 << 20, AlertSettings(shrink=5)) == ["shrunk:X013/his#412"]


def test_how_much_is_gone_is_said_in_both_languages() -> None:
    (alert,) = run(FreshStatement(make_row(rows=600, bytes_=1 << 19), make_row(411)))
    assert "1,000 → 600 rows, 1.0 MiB → 512.0 KiB (-40 % rows, -50 % bytes)" in alert.what.en
    assert "1,000 → 600 行（-40 %）" in alert.what.zh
    assert "diff X013 his 411 412" in alert.remedy.en
    assert alert.is_event


def test_a_table_that_vanished_is_severer_than_one_that_came() -> None:
    def severity(change: SchemaChange) -> Severity:
        (alert,) = run(FreshStatement(make_row(), make_row(411), change))
        return alert.severity

    assert severity(SchemaChange(("a",), (), ())) is Severity.WARNING
    assert severity(SchemaChange((), (), ("a",))) is Severity.WARNING
    assert severity(SchemaChange((), ("a",), ())) is Severity.ERROR


def test_names_of_tables_are_shown_as_they_are_and_not_all() -> None:
    many = tuple(f"t{i}" for i in range(99))
    (alert,) = run(FreshStatement(make_row(), make_row(411), SchemaChange(many, ("a\x1b[2J\nb",), ())))
    assert "t4 … (99) came" in alert.what.en
    assert "\x1b" not in alert.what.en


def test_each_conflict_is_told() -> None:
    assert [alert.id for alert in run(conflicts=2)] == ["conflict:X013/his#0", "conflict:X013/his#1"]


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Center]:
    clock = MovableClock(NOW)
    Center.create(tmp_path / "center", ORIGIN, clock=clock)
    with Center.open(tmp_path / "center", clock) as opened:
        yield opened


@pytest.fixture
def looker(center: Center) -> Looker:
    looked = Looked(
        center.folder, center.folder / "store", 16 << 20, center.units, center.catalog, center.ledger, center.store,
        center.signs, center.replay.catch_up, measure_disk,
    )  # fmt: skip
    return Looker(looked, SETTINGS)


def seen(fresh: Fresh) -> list[tuple[int, int | None]]:
    return [(one.row.sequence, None if one.before is None else one.before.sequence) for one in fresh.statements]


def test_the_looker_gives_each_statement_once_beside_the_stored_one_before(center: Center, looker: Looker) -> None:
    hospital = Hospital(center)
    start = looker.read_fresh(0).examined
    hospital.snapshot(patients(100))
    hospital.gap("停电一天")
    hospital.snapshot(patients(100), send=False, register_only=True)
    hospital.snapshot(patients(60), wards("内科"))
    fresh = looker.read_fresh(start)
    assert seen(fresh) == [(1, None), (2, None), (3, None), (4, 1)]
    assert [alert.id for alert in run(*fresh.statements)] == [
        "shrunk:X013/his#4", "schema:X013/his#4", "gap:X013/his#2",
    ]  # fmt: skip
    assert fresh.statements[3].change == SchemaChange(("ward",), (), ())
    assert looker.read_fresh(fresh.examined) == Fresh(fresh.examined)


def test_content_that_comes_later_is_compared_when_it_is_stored(center: Center, looker: Looker) -> None:
    hospital = Hospital(center)
    hospital.snapshot(patients(100))
    statement, objects = hospital.prepare([patients(50)])
    hospital.submit(statement, register_only=True)
    fresh = looker.read_fresh(0)
    hospital.send(objects)
    hospital.submit(statement)
    later = looker.read_fresh(fresh.examined)
    assert seen(later) == [(2, 1)]
    assert [alert.id for alert in run(*later.statements)] == ["shrunk:X013/his#2"]


def test_a_gap_says_what_was_lost(center: Center, looker: Looker) -> None:
    Hospital(center).gap("停电一天")
    (alert,) = run(*looker.read_fresh(0).statements)
    assert "停电一天" in alert.what.en
    assert "停电一天" in alert.what.zh


def test_a_conflict_in_the_log_is_seen(center: Center, looker: Looker) -> None:
    hospital = Hospital(center)
    hospital.snapshot(patients(3))
    hospital.sequence, hospital.previous = 0, None
    with pytest.raises(ConflictError):
        hospital.snapshot(patients(4))
    (conflict,) = looker.read_fresh(0).conflicts
    assert conflict.place == "X013/his#1"


def test_what_a_gap_has_given_up_is_waited_for_no_longer(center: Center, looker: Looker) -> None:
    hospital = Hospital(center)
    hospital.snapshot(patients(9), send=False, register_only=True)
    given_up = hospital.previous
    assert given_up is not None
    hospital.snapshot(patients(10), send=False, register_only=True)

    def waiting() -> list[int]:
        looker._walked = None
        return [row.sequence for row in looker.look(NOW, {}).waiting]

    assert waiting() == [1, 2]
    gap = GapStatement(
        "X013", "his", 3, hospital.previous, NOW, NOW, GapCause.SPOOL, "the days between", (given_up,)
    )  # fmt: skip
    hospital.submit(gap)
    assert waiting() == [2]


def test_a_second_text_of_a_sequence_in_the_log_stops_nothing(center: Center, looker: Looker) -> None:
    from evidence.manifest.entry import Level

    hospital = Hospital(center)
    hospital.snapshot(patients(3))
    hospital.sequence, hospital.previous = 0, None
    statement, _ = hospital.prepare([patients(4)])
    center.ledger.append("statement", Level.REGISTERED, hospital.sign(statement))
    center.replay.catch_up()
    assert [row.sequence for row in map(_row_of, looker.read_fresh(0).statements)] == [1, 1]


def _row_of(one: FreshStatement) -> StatementRow:
    return replace(one).row
