# SPDX-License-Identifier: Apache-2.0
"""Unchanged files are not opened: which ones are taken for unchanged, for how long, and what makes the agent read."""

import os
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.collectors.files import FileMemory, FilesSettings
from agent.collectors.files.folder import Folder, open_folder
from agent.collectors.files.memory import RACY_S
from agent.collectors.files.view import FilesView
from evidence.rows.line import parse_line
from tests.fakes.blobsink import MemorySink

DAY = 86_400.0
PERIOD = 30 * DAY


class CountedFolder:
    """A folder that notes which files are opened in it and below; every opening of the collector goes through here."""

    def __init__(self, folder: Folder, opened: list[bytes], prefix: bytes = b"") -> None:
        self._folder, self._opened, self._prefix = folder, opened, prefix
        self.names, self.status, self.look = folder.names, folder.status, folder.look
        self.target, self.close = folder.target, folder.close

    def open_file(self, name: bytes) -> int:
        self._opened.append(self._prefix + name)
        return self._folder.open_file(name)

    def enter(self, name: bytes) -> "CountedFolder":
        return CountedFolder(self._folder.enter(name), self._opened, self._prefix + name + b"/")


class Tree:
    """A tree, the memory of its files, and a clock that the test sets: hours after the files were made."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tree"
        (self.path / "sub").mkdir(parents=True)
        for name in ("a", "b.txt", "sub/c", "sub.d", "z"):
            (self.path / name).write_bytes(name.encode() * 100)
        self.sink = MemorySink()
        self.memory_path = folder / "remembered" / "tree.sqlite"
        self.now = (self.path / "z").stat().st_ctime + 3_600
        self.notes: tuple[str, ...] = ()
        self.rows: dict[bytes, object] = {}

    def read(self, sink: MemorySink | None = None) -> list[str]:
        """Read the tree; give the paths that were opened."""
        opened: list[bytes] = []
        memory = FileMemory(self.memory_path, PERIOD, lambda: self.now)
        root = CountedFolder(open_folder(os.fsencode(self.path)), opened)
        view = FilesView(root, FilesSettings(self.path), lambda _: None, memory)
        try:
            (table,) = view.tables()
            lines = b"".join(view.read(table, sink or self.sink)).splitlines()
            self.rows = {bytes(cells[0]): cells for cells in (parse_line(x, table.schema) for x in lines)}  # type: ignore[arg-type]
            self.notes = tuple(view.notes())
        finally:
            root.close()
        return sorted(os.fsdecode(path) for path in opened)

    def remembered(self) -> set[bytes]:
        with closing(sqlite3.connect(self.memory_path)) as db:
            return {row[0] for row in db.execute("SELECT path FROM file")}


ALL = ["a", "b.txt", "sub.d", "sub/c", "z"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_second_reading_opens_nothing_and_gives_the_same_rows(tree: Tree) -> None:
    assert tree.read() == ALL
    assert tree.notes == ()
    first = tree.rows
    tree.now += DAY
    assert tree.read() == []
    assert tree.rows == first
    (note,) = tree.notes
    assert note.startswith("5 files were not opened: ")


def test_note_names_the_oldest_reading_that_counts(tree: Tree) -> None:
    tree.now = 1_900_000_000.0
    tree.read()
    tree.now += DAY
    (tree.path / "a").write_bytes(b"new")
    tree.read()
    assert tree.notes[0].startswith("4 files were not opened")
    assert tree.notes[0].endswith("the oldest of 2030-03-17T17:46:40.000000Z")


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _edit_and_set_back(path: Path) -> None:
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace_by_another_of_the_same_size_and_time(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def _touch(path: Path) -> None:
    path.touch()


def _move_over(path: Path) -> None:
    (path.parent / "a").replace(path)


@pytest.mark.skipif(os.name == "nt", reason="the time of change is that of creation there")
@pytest.mark.parametrize(
    "act", [_grow, _edit_and_set_back, _replace_by_another_of_the_same_size_and_time, _touch, _move_over]
)
def test_file_that_changed_in_any_way_is_read_again(tree: Tree, act: Callable[[Path], None]) -> None:
    tree.read()
    act(tree.path / "z")
    tree.now += DAY
    assert tree.read() == ["z"]
    content = tree.rows[b"z"][6]  # type: ignore[index]  # a row
    assert tree.sink.blobs[content.sha256] == (tree.path / "z").read_bytes()


def test_file_that_was_written_just_before_it_was_read_is_not_trusted(tree: Tree) -> None:
    tree.now = (tree.path / "z").stat().st_ctime + RACY_S / 2
    assert tree.read() == ALL
    tree.now += DAY
    assert tree.read() == ALL, "their stamps were too young to tell the next change"
    tree.now += DAY
    assert tree.read() == []


def test_file_whose_time_is_in_the_future_is_never_trusted(tree: Tree) -> None:
    os.utime(tree.path / "a", (tree.now + 400 * DAY, tree.now + 400 * DAY))
    tree.read()
    tree.now += DAY
    assert tree.read() == ["a"]


def test_file_whose_content_the_sink_does_not_have_is_read(tree: Tree) -> None:
    tree.read()
    tree.now += DAY
    assert tree.read(MemorySink()) == ALL
    assert tree.notes == ()


def test_every_file_is_read_again_within_the_period_and_not_all_on_one_day(tree: Tree) -> None:
    for i in range(200):
        (tree.path / f"f{i}").write_bytes(b"x")
    read_at = dict.fromkeys(tree.read(), tree.now)
    counts = []
    for _ in range(70):
        tree.now += DAY
        opened = tree.read()
        counts.append(len(opened))
        for name in opened:
            assert tree.now - read_at[name] <= PERIOD
            read_at[name] = tree.now
    assert all(tree.now - at <= PERIOD for at in read_at.values())
    assert sum(counts) >= 2 * len(read_at)
    assert max(counts) < len(read_at) / 4, "spread over the runs"
    assert counts[:14] == [0] * 14


def test_clock_that_ran_back_means_that_all_is_read(tree: Tree) -> None:
    tree.read()
    tree.now -= 10
    assert tree.read() == ALL


def test_files_that_are_gone_are_forgotten(tree: Tree) -> None:
    for i in range(2_500):
        (tree.path / f"f{i:04}").touch()
    tree.now += DAY
    tree.read()
    assert len(tree.remembered()) == 2_505
    for i in range(0, 2_500, 2):
        (tree.path / f"f{i:04}").unlink()
    (tree.path / "z").unlink()
    (tree.path / "sub" / "c").unlink()
    tree.read()
    assert len(tree.remembered()) == 1_253
    assert not {b"z", b"sub/c", b"f0000"} & tree.remembered()


def test_reading_that_is_broken_off_forgets_nothing(tree: Tree) -> None:
    tree.read()

    class Failing(MemorySink):
        def put_again(self, token: object) -> bool:
            raise KeyError("disk full")

    with pytest.raises(KeyError):
        tree.read(Failing())
    assert len(tree.remembered()) == 5


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + bytes(5_000)])
def test_damaged_memory_is_begun_anew(tree: Tree, damage: bytes) -> None:
    tree.read()
    tree.memory_path.write_bytes(damage)
    assert tree.read() == ALL
    assert tree.read() == []


def test_memory_that_cannot_be_kept_means_that_all_is_read(tree: Tree) -> None:
    tree.memory_path.parent.write_bytes(b"no folder")
    assert tree.read() == ALL
    assert tree.read() == ALL


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8_are_remembered_as_they_are(tree: Tree) -> None:
    (tree.path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    tree.now += DAY
    tree.read()
    assert tree.read() == []
    assert b"caf\xe9" in tree.remembered()


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    for i in range(300):
        folder = tree.path / f"study{i:03}"
        folder.mkdir()
        for j in range(1_000):
            (folder / f"{j:04}.dcm").touch()
    tree.now += DAY
    yield tree


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_hundred_thousand_files_are_read_in_bounded_memory(many: Tree) -> None:
    for expected in (300_005, 0):
        memory = FileMemory(many.memory_path, PERIOD, lambda: many.now)
        opened: list[bytes] = []
        root = CountedFolder(open_folder(os.fsencode(many.path)), opened)
        view = FilesView(root, FilesSettings(many.path), memory=memory)
        tracemalloc.start()
        try:
            lines = sum(block.count(b"\n") for block in view.read(view.tables()[0], many.sink))
            # The list of what was opened is the test's own; a path is some 70 bytes.
            peak = tracemalloc.get_traced_memory()[1] - 100 * len(opened)
        finally:
            tracemalloc.stop()
            root.close()
        assert lines == 300_000 + 5 + 300 + 1
        assert len(opened) == expected
        assert peak < 16 << 20
