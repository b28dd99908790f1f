# SPDX-License-Identifier: Apache-2.0
"""Large tables that are read weekly: they stand in every night's snapshot, say when they were read, and give all back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.app import Agent
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import Center
from center.restore import open_target, restore
from tests.builders.world import World, check_chain, make_hospital, read_back, run_sql

NOTES = "病程记录"
START = datetime(2026, 11, 22, 1, tzinfo=UTC)
NIGHT = timedelta(days=1)


class Nights:
    """A hospital whose agent's clock the test sets."""

    def __init__(self, world: World, center: Center, db: Path) -> None:
        self.world, self.center, self.db = world, center, db
        self.now = START
        self.folder = world.agent_folder("X013")

    def open(self) -> Agent:
        return Agent.open(self.folder, lambda: self.now)

    def take(self, after: timedelta = NIGHT) -> Outcome:
        self.now += after
        with self.open() as agent:
            outcome = agent.snapshot("his", Silent())
        assert outcome.stage is Stage.STORED, outcome.trouble
        return outcome

    def origin(self, sequence: int, table: str = NOTES) -> int | None:
        return self.center.open_snapshot("X013", "his", sequence).table(table).carried_from

    def cell(self, sequence: int, number: int) -> bytes:
        snapshot = self.center.open_snapshot("X013", "his", sequence)
        line = snapshot.find(snapshot.table(NOTES), b"%d" % number)
        assert line is not None
        return line.split(b"\t")[2]

    def edit(self, number: int, text: str) -> None:
        run_sql(self.db, "UPDATE 病程记录 SET 内容 = ? WHERE 编号 = ?", text, number)

    def rewrite(self, read: str) -> None:
        (self.folder / "agent.yaml").write_text(
            f"spool: {{min_free: 0 MiB}}\nsources:\n  - {{name: his, kind: sqlite, path: {self.db}, read: {read}}}\n",
            encoding="utf-8",
        )


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    db = make_hospital(tmp_path / "his.db", visits=400)
    with World.make(tmp_path) as world, world.serving() as center:
        world.add_agent(center, "X013", f"  - {{name: his, kind: sqlite, path: {db}, read: {{病*: weekly}}}}\n")
        yield Nights(world, center, db)


def test_table_read_weekly_is_carried_over_on_the_other_nights_and_says_so(nights: Nights) -> None:
    first = nights.take()
    read_at = nights.center.open_snapshot("X013", "his", 1).table(NOTES).read_at
    nights.edit(7, "夜间改动")
    run_sql(nights.db, "INSERT INTO ward VALUES ('急诊', 12)")
    outcomes = [nights.take() for _ in range(6)]
    assert [nights.origin(n) for n in range(1, 8)] == [None, 1, 1, 1, 1, 1, 1]
    assert [nights.origin(n, "ward") for n in range(1, 8)] == [None] * 7
    assert first.consistency == "consistent"
    assert {outcome.consistency for outcome in outcomes} == {"per-table"}
    assert {outcome.rows for outcome in outcomes} == {first.rows + 1}
    assert nights.center.open_snapshot("X013", "his", 7).table(NOTES).read_at == read_at
    assert any(NOTES in note for note in outcomes[0].notes)
    assert nights.cell(7, 7) == nights.cell(1, 7), "nobody has read it"
    # A week after it was read it is due, a few minutes early as it may be; the change is found then.
    due = nights.take(NIGHT - timedelta(minutes=20))
    assert (nights.origin(8), due.consistency) == (None, "consistent")
    assert nights.cell(8, 7) == "t:夜间改动".encode()
    nights.take()
    assert nights.origin(9) == 8
    assert check_chain(nights.center, "X013", "his") == ["snapshot"] * 9
    flags = [row.flags for row in nights.center.catalog.statements("X013", "his")]
    assert ["carried" in flag for flag in flags] == [False, *[True] * 6, False, True]


def test_carried_table_with_a_large_cell_restores_whole(nights: Nights, tmp_path: Path) -> None:
    nights.take()
    nights.take()
    assert nights.origin(2) == 1
    read_back(nights.center, "X013", "his", 2)
    target = open_target(f"sqlite:///{tmp_path / 'copy.db'}")
    try:
        restored = restore(nights.center.open_snapshot("X013", "his", 2), target)
    finally:
        target.close()
    assert restored.is_equal
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute("SELECT length(影像) FROM 病程记录 WHERE 编号 = 9").fetchone() == (200_000,)


def test_large_cell_that_was_carried_over_is_not_read_from_the_source(nights: Nights) -> None:
    nights.take()
    run_sql(nights.db, "UPDATE 病程记录 SET 影像 = NULL")
    nights.take()
    snapshot = nights.center.open_snapshot("X013", "his", 2)
    assert snapshot.manifest.blobs == nights.center.open_snapshot("X013", "his", 1).manifest.blobs is not None


def test_table_whose_key_was_not_used_is_carried_by_its_declared_shape(nights: Nights) -> None:
    run_sql(nights.db, "CREATE TABLE 病案 (码 TEXT PRIMARY KEY, 名 TEXT)")
    run_sql(nights.db, "INSERT INTO 病案 VALUES (NULL, 'a'), (NULL, 'b')")
    nights.take()
    assert nights.center.open_snapshot("X013", "his", 1).table("病案").schema.key == ()
    nights.take()
    assert nights.origin(2, "病案") == 1


def test_altered_table_is_read_whatever_the_settings_say(nights: Nights) -> None:
    nights.take()
    run_sql(nights.db, "ALTER TABLE 病程记录 ADD COLUMN 签名 TEXT")
    nights.take()
    assert nights.origin(2) is None
    nights.take()
    assert nights.origin(3) == 2


def test_dropped_table_is_not_carried_over(nights: Nights) -> None:
    nights.take()
    run_sql(nights.db, "DROP TABLE 病程记录")
    nights.take()
    assert not nights.center.open_snapshot("X013", "his", 2).has_table(NOTES)


@pytest.mark.parametrize("lost", ["holdings", "manifest", "other manifest", "lines", "reading"])
def test_table_is_read_if_anything_that_carrying_rests_on_is_lost(nights: Nights, lost: str) -> None:
    nights.take()
    manifest = nights.folder / "manifests" / "his" / "1.json"
    if lost == "holdings":
        for path in nights.folder.glob("holdings.sqlite*"):
            path.unlink()
    elif lost == "manifest":
        manifest.unlink()
    elif lost == "other manifest":
        manifest.write_bytes(manifest.read_bytes().replace(b'"agent":"', b'"agent":"x'))
    else:
        sql = "DELETE FROM reading_line" if lost == "lines" else "DELETE FROM reading"
        run_sql(nights.folder / "holdings.sqlite", sql)
    nights.edit(7, "夜间改动")
    nights.take()
    assert nights.origin(2) is None
    assert nights.cell(2, 7) == "t:夜间改动".encode()


def test_clock_that_ran_back_means_that_all_is_read(nights: Nights) -> None:
    nights.take()
    nights.take(-timedelta(days=2))
    assert nights.origin(2) is None


def test_settings_that_ask_for_it_at_each_run_are_followed_at_once(nights: Nights) -> None:
    nights.take()
    nights.rewrite("{}")
    nights.take()
    assert nights.origin(2) is None
    nights.rewrite("{病程*: each run, '*': monthly}")
    nights.take()
    assert nights.origin(3) is None
    nights.take()
    assert [nights.origin(4, name) for name in (NOTES, "ward", "患者")] == [None, 3, 3]


def test_snapshots_left_in_the_spool_carry_over_and_are_all_stored_later(nights: Nights) -> None:
    nights.take()
    for _ in range(2):
        nights.now += NIGHT
        with nights.open() as agent:
            agent.snapshot("his", Silent(), send=False)
    with nights.open() as agent:
        assert [outcome.stage for outcome in agent.send(Silent())] == [Stage.STORED] * 2
    assert [nights.origin(n) for n in (2, 3)] == [1, 1]


def test_comparing_says_of_a_carried_table_that_it_is_its_older_reading_that_differs(nights: Nights) -> None:
    nights.take()
    nights.edit(7, "夜间改动")
    nights.take()
    with nights.open() as agent:
        told = {t.name: (t.verdict.value, t.reason) for t in agent.compare("his", 2, Silent()).tables}
    assert told[NOTES] == ("different", "not read in #2, carried over from #1")
    assert told["ward"] == ("equal", "")
