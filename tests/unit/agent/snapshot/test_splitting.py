# SPDX-License-Identifier: Apache-2.0
"""A snapshot whose view grows too old: given up, or split over several states of the source if the settings say so."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.collectors.base import Collector, Finding, View
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.errors import BudgetError
from agent.snapshot.objects import RootsOnly
from agent.snapshot.splitting import SplitCollector
from agent.snapshot.take import Taken
from evidence.manifest.statement import Consistency
from terminal.language import Text
from tests.unit.agent.snapshot.test_take import Bench

STEP = 0.3


class Clock:
    """A clock that goes on by `step` seconds whenever it is asked."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.holdings.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "his.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for name in "abcd":
            db.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, body TEXT)")
            db.executemany(f"INSERT INTO {name} VALUES (?, ?)", [(i, name * 40) for i in range(2_000)])
        yield db


def _collector(folder: Path, step: float, limit: float = 10) -> SqliteCollector:
    return SqliteCollector(SqliteSettings(folder / "his.db", snapshot_age_limit_s=limit), Clock(step))


def _take(bench: Bench, collector: Collector) -> Taken:
    return bench.take(collector)  # type: ignore[arg-type]  # a collector, as the recipe wants one


def test_without_split_a_view_that_is_too_old_is_given_up(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    with pytest.raises(BudgetError):
        _take(bench, _collector(tmp_path, STEP))


def test_with_split_every_table_is_read_whole_in_some_state_and_the_class_says_so(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    taken = _take(bench, SplitCollector(_collector(tmp_path, STEP)))
    assert taken.statement.consistency is taken.manifest.consistency is Consistency.PER_TABLE
    assert [len(bench.lines(taken, name)) for name in "abcd"] == [2_000] * 4
    assert [note for note in taken.notes if note.startswith("split: ")]


def test_roots_of_a_split_snapshot_are_those_of_one_that_was_not(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    split = _take(bench, SplitCollector(_collector(tmp_path, STEP)))
    whole = _take(bench, _collector(tmp_path, 0.0))
    assert [t.claim for t in split.manifest.tables] == [t.claim for t in whole.manifest.tables]
    assert whole.statement.consistency is Consistency.CONSISTENT


def test_view_that_is_young_enough_is_not_split(bench: Bench, database: sqlite3.Connection, tmp_path: Path) -> None:
    taken = _take(bench, SplitCollector(_collector(tmp_path, 0.0)))
    assert taken.statement.consistency is Consistency.CONSISTENT
    assert not [note for note in taken.notes if "split" in note]


def test_table_that_takes_longer_than_the_limit_by_itself_ends_the_snapshot(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    with pytest.raises(BudgetError):
        _take(bench, SplitCollector(_collector(tmp_path, 6.0)))


class _Placed:
    """A collector whose views have positions: their numbers."""

    def __init__(self, collector: SqliteCollector) -> None:
        self._collector = collector
        self._count = 0

    @contextmanager
    def open_view(self) -> Iterator[View]:
        self._count += 1
        with self._collector.open_view() as view:
            view.position = f"pg 0/{self._count}"
            yield view

    def check(self) -> Sequence[Finding]:
        return self._collector.check()

    def grants(self) -> str:
        return self._collector.grants()


def test_position_is_where_reading_began_and_notes_have_those_of_later_states(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    taken = _take(bench, SplitCollector(_Placed(_collector(tmp_path, STEP))))
    assert taken.statement.position == taken.manifest.position == "pg 0/1"
    told = [note for note in taken.notes if note.startswith("split: ")]
    assert told
    assert [note.rpartition("position ")[2] for note in told] == [f"pg 0/{n}" for n in range(2, len(told) + 2)]


def test_position_of_a_view_of_which_nothing_was_read_is_no_position_of_the_snapshot(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    """The view of a group's member may be over its limit before its turn."""
    with SplitCollector(_Placed(_collector(tmp_path, 0.0))).open_view() as view:
        view.let_go()
        assert len(list(view.tables())) == 4
        assert view.position == "pg 0/2"
        (table,) = [table for table in view.tables() if table.schema.name == "a"]
        for _ in view.read(table, RootsOnly()):  # type: ignore[arg-type]  # no cell is large
            pass
        view.renew("b")
        assert view.position == "pg 0/2"
        assert [note.rpartition("position ")[2] for note in view.notes()] == ["pg 0/2", "pg 0/3"]


class _Meddling:
    """A collector; `act` is done whenever one of its views has been closed."""

    def __init__(self, collector: SqliteCollector, act: Callable[[], object]) -> None:
        self._collector = collector
        self._act = act

    @contextmanager
    def open_view(self) -> Iterator[View]:
        with self._collector.open_view() as view:
            yield view
        self._act()

    def check(self) -> Sequence[Finding]:
        return self._collector.check()

    def grants(self) -> Text:
        return self._collector.grants()


def test_table_dropped_between_two_states_is_left_out_with_the_reason(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    meddling = _Meddling(_collector(tmp_path, STEP), lambda: database.execute("DROP TABLE IF EXISTS d"))
    taken = _take(bench, SplitCollector(meddling))
    assert [t.claim.name for t in taken.manifest.tables] == ["a", "b", "c"]
    (omitted,) = taken.omitted
    assert (omitted.name, omitted.reason) == ("d", "it was not there any more when the source was opened anew")


def test_table_altered_between_two_states_is_read_in_the_shape_of_the_later_one(
    bench: Bench, database: sqlite3.Connection, tmp_path: Path
) -> None:
    def alter() -> None:
        if "more" not in [row[1] for row in database.execute("PRAGMA table_info(d)")]:
            database.execute("ALTER TABLE d ADD COLUMN more TEXT DEFAULT 'late'")

    taken = _take(bench, SplitCollector(_Meddling(_collector(tmp_path, STEP), alter)))
    assert len(bench.lines(taken, "d")) == 2_000
    assert bench.lines(taken, "d")[0].endswith(b"\tt:late")


def test_only_one_view_is_open_at_a_time(bench: Bench, database: sqlite3.Connection, tmp_path: Path) -> None:
    closed: list[int] = []

    def act() -> None:
        # Nobody reads now: else the checkpoint could not empty the log.
        closed.append(database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

    _take(bench, SplitCollector(_Meddling(_collector(tmp_path, STEP), act)))
    assert len(closed) > 1
    assert set(closed) == {0}
