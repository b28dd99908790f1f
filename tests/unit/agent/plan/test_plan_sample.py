# SPDX-License-Identifier: Apache-2.0
"""The sample over real sources: bounded by a clock that the test turns, whole where the source is small, traceless."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.collectors.base import BlobSink, Collector, Sized, Table, View
from agent.collectors.files import FilesCollector, FilesSettings
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.errors import AgentError, BudgetError, TableLostError
from agent.plan.figures import Sample
from agent.plan.sample import Bounds, take_samples
from agent.snapshot.progress import Silent
from evidence.rows.line import Token
from tests.builders.plans import MIB


class Clock:
    """A clock that goes on by `step` at every look."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def his(tmp_path: Path) -> Collector:
    path = tmp_path / "his.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, note TEXT)")
    db.execute("CREATE TABLE code (name TEXT)")
    db.executemany("INSERT INTO visit VALUES (?, ?)", ((i, f"visit {i} " + "x" * 400) for i in range(20_000)))
    db.executemany("INSERT INTO code VALUES (?)", ((f"c{i}",) for i in range(50, 0, -1)))
    db.commit()
    db.close()
    return SqliteCollector(SqliteSettings(path=path))


def _sample(
    collector: Collector, folder: Path, bounds: Bounds, clock: Callable[[], float], *names: str
) -> dict[str, Sample]:
    with collector.open_view() as view:
        tables = {table.schema.name: table for table in view.tables()}
        wanted: list[Table] = [tables[name] for name in names] if names else list(tables.values())
        found = take_samples(view, wanted, bounds, folder, 1, clock, Silent())
    return {sample.table: sample for sample in found}


def test_small_source_is_read_whole_and_leaves_nothing_behind(his: Collector, tmp_path: Path) -> None:
    samples = _sample(his, tmp_path / "reading", Bounds(), Clock(0.0))
    assert {name: (s.rows, s.is_whole, s.trouble) for name, s in samples.items()} == {
        "visit": (20_000, True, ""),
        "code": (50, True, ""),
    }
    with his.open_view() as view:
        lines = sum(len(b) for t in view.tables() if t.schema.name == "visit" for b in view.read(t, _NoBlobs()))
    assert samples["visit"].content_bytes == lines
    assert 0 < samples["visit"].packed_bytes < lines // 4
    assert not (tmp_path / "reading").exists()


def test_table_is_cut_at_its_bytes_and_its_share_stands_for_the_whole(his: Collector, tmp_path: Path) -> None:
    whole = _sample(his, tmp_path / "r", Bounds(), Clock(0.0), "visit")["visit"]
    part = _sample(his, tmp_path / "r", Bounds(table_bytes=2 * MIB), Clock(0.0), "visit")["visit"]
    assert not part.is_whole
    assert 2 * MIB <= part.content_bytes < 4 * MIB
    share = whole.rows / part.rows
    assert part.content_bytes * share == pytest.approx(whole.content_bytes, rel=0.02)
    assert part.packed_bytes * share == pytest.approx(whole.packed_bytes, rel=0.1)


def test_table_is_cut_at_its_time_and_the_next_one_gets_its_own(his: Collector, tmp_path: Path) -> None:
    samples = _sample(his, tmp_path / "r", Bounds(total_s=1000, table_s=3), Clock(1.0), "visit", "code")
    assert not samples["visit"].is_whole
    assert samples["code"].is_whole


def test_no_table_is_begun_when_the_time_is_over(his: Collector, tmp_path: Path) -> None:
    assert list(_sample(his, tmp_path / "r", Bounds(total_s=2, table_s=5), Clock(2.0), "visit", "code")) == []


def test_one_huge_file_is_broken_off_in_its_middle(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "huge").write_bytes(os.urandom(8 * MIB))
    collector = FilesCollector(FilesSettings(tree))
    sample = _sample(collector, tmp_path / "r", Bounds(table_bytes=3 * MIB), Clock(0.0))["@files"]
    assert not sample.is_whole
    assert 3 * MIB <= sample.content_bytes < 8 * MIB
    assert sample.packed_bytes > 0


@pytest.mark.parametrize(
    "fault", [TableLostError("lost", hint="-", reason="canceled"), BudgetError("too old", hint="-")], ids=str
)
def test_what_was_read_before_a_table_broke_off_is_sorted_packed_and_counted(
    his: Collector, tmp_path: Path, fault: AgentError
) -> None:
    with his.open_view() as view:
        visit = next(table for table in view.tables() if table.schema.name == "visit")
        tables = [replace(visit, ordered=False), visit]
        broken = _Broken(view, fault, blocks=3)
        first, *rest = take_samples(broken, tables, Bounds(), tmp_path / "r", 1, Clock(0.0), Silent())
    assert not first.is_whole
    assert first.trouble != ""
    assert first.content_bytes >= 3 * MIB
    assert first.packed_bytes > first.content_bytes // 100
    assert len(rest) == 1


def test_table_that_breaks_off_before_its_first_row_measures_nothing(his: Collector, tmp_path: Path) -> None:
    lost = TableLostError("lost", hint="-", reason="canceled")
    with his.open_view() as view:
        tables = view.tables()
        samples = take_samples(_Broken(view, lost, 0), tables, Bounds(), tmp_path / "r", 1, Clock(0.0), Silent())
        assert [(s.rows, s.content_bytes, s.trouble) for s in samples] == [(0, 0, "canceled")] * 2
        old = BudgetError("too old", hint="-")
        assert take_samples(_Broken(view, old, 0), tables, Bounds(), tmp_path / "r", 1, Clock(0.0), Silent()) == []


def test_large_cells_count_as_content_once(tmp_path: Path) -> None:
    path = tmp_path / "img.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE img (id INTEGER PRIMARY KEY, body BLOB)")
    db.execute("INSERT INTO img VALUES (1, ?)", (os.urandom(5 * MIB),))
    db.commit()
    db.close()
    sample = _sample(SqliteCollector(SqliteSettings(path=path)), tmp_path / "r", Bounds(), Clock(0.0))["img"]
    assert sample.is_whole
    assert 5 * MIB <= sample.content_bytes < 5 * MIB + 1000
    assert 5 * MIB <= sample.packed_bytes < 6 * MIB


def test_sqlite_knows_the_pages_of_its_tables_and_stops_when_told(his: Collector) -> None:
    with his.open_view() as view:
        assert isinstance(view, Sized)
        sizes = view.sizes(lambda: False)
        assert sizes["visit"].rows == 19_999
        assert 8 * MIB < (sizes["visit"].disk_bytes or 0) < 10 * MIB
        assert sizes["code"].disk_bytes == 4096
        assert view.sizes(lambda: True)["visit"].disk_bytes in (None, sizes["visit"].disk_bytes)
        assert len(list(view.tables())) == 2, "a walk that was cut leaves the view alive"


def test_folder_knows_what_its_files_hold_or_nothing_if_there_is_no_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to("a")
    with FilesCollector(FilesSettings(tmp_path)).open_view() as view:
        size = view.sizes(lambda: False)["@files"]
        assert (size.rows, size.content_bytes) == (3, 2000)
        assert view.sizes(lambda: True) == {}


class _Broken:
    """A view that fails behind `blocks` blocks of every table."""

    def __init__(self, view: View, fault: AgentError, blocks: int) -> None:
        self._view = view
        self._fault = fault
        self._blocks = blocks
        self.consistency, self.position = view.consistency, view.position
        self.tables, self.documents, self.omitted, self.notes = view.tables, view.documents, view.omitted, view.notes

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        for i, block in enumerate(self._view.read(table, blobs)):
            if i == self._blocks:
                break
            yield block
        raise self._fault


class _NoBlobs:
    def put(self, raw: object) -> Token:
        raise AssertionError("there are no large cells")
