# SPDX-License-Identifier: Apache-2.0
"""A tree is listed in the order of its paths' bytes, whatever happens to it meanwhile."""

import errno
import os
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.collectors.files.folder import Folder, _ByPath, open_folder
from agent.collectors.files.notes import MAX_NOTES, Notes, show
from agent.collectors.files.settings import FilesSettings, matches
from agent.collectors.files.walk import CHANGED_FOLDER, UNREADABLE_FOLDER, VANISHED, Entry, walk
from agent.errors import SourceError

NAMES = st.sampled_from([b"a", b"a.txt", b"a-", b"a0", b"b", b"ab", b"A", b" ", b"\xff", "é".encode(), b"a\n", b"a\\"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map(b"/".join), max_size=15)


def paths_of(
    root: Path | bytes, notes: Notes | None = None, opener: Callable[[bytes], Folder] = open_folder, **more: object
) -> list[bytes]:
    folder = opener(os.fsencode(root))
    try:
        return [e.path for e in walk(folder, FilesSettings(Path(os.fsdecode(root)), **more), notes or Notes())]  # type: ignore[arg-type]
    finally:
        folder.close()


@given(PATHS)
@settings(max_examples=60, deadline=None)
def test_paths_come_in_the_order_of_their_bytes(tmp_path_factory: pytest.TempPathFactory, paths: list[bytes]) -> None:
    root = os.fsencode(tmp_path_factory.mktemp("tree"))
    expected: set[bytes] = set()
    for path in paths:
        Path(os.fsdecode(root + b"/" + path)).mkdir(parents=True, exist_ok=True)
        parts = path.split(b"/")
        expected.update(b"/".join(parts[: i + 1]) for i in range(len(parts)))
    assert paths_of(root) == sorted(expected)
    assert paths_of(root, opener=_ByPath) == sorted(expected)


def test_content_of_a_folder_stands_behind_names_that_sort_before_the_slash(tmp_path: Path) -> None:
    for name in ("a/b", "a.txt", "a0", "a-", "a/b.c", "a/b/c"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    assert paths_of(tmp_path) == [b"a", b"a-", b"a.txt", b"a/b", b"a/b.c", b"a/b/c", b"a0"]


def test_links_are_listed_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "tree" / "dir").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    for name, target in (("out", "../outside"), ("loop", "."), ("dangling", "nowhere"), ("dir/up", "..")):
        (tmp_path / "tree" / name).symlink_to(target)
    assert paths_of(tmp_path / "tree") == [b"dangling", b"dir", b"dir/up", b"loop", b"out"]
    assert paths_of(tmp_path / "tree", opener=_ByPath) == [b"dangling", b"dir", b"dir/up", b"loop", b"out"]


def test_folder_swapped_for_a_link_after_it_was_seen_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    (tmp_path / "tree" / "dir").mkdir(parents=True)
    notes, seen = Notes(), []
    folder = open_folder(os.fsencode(tmp_path / "tree"))
    for entry in walk(folder, FilesSettings(tmp_path), notes):
        seen.append(entry.path)
        (tmp_path / "tree" / "dir").rmdir()
        (tmp_path / "tree" / "dir").symlink_to("../outside")
    folder.close()
    assert seen == [b"dir"]
    assert any(UNREADABLE_FOLDER in line for line in notes.lines())


def test_tree_deeper_than_the_longest_path_is_walked(tmp_path: Path) -> None:
    name, depth = "d" * 200, 30
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    paths = paths_of(tmp_path)
    assert len(paths) == depth
    assert len(paths[-1]) == depth * 201 - 1


def test_folder_that_vanishes_before_its_turn_is_noted(tmp_path: Path) -> None:
    for name in ("a", "a/x", "b"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path, (0, 0))  # a file system may count time in ticks of milliseconds
    notes, seen = Notes(), []
    folder = open_folder(os.fsencode(tmp_path))
    for entry in walk(folder, FilesSettings(tmp_path), notes):
        seen.append(entry.path)
        if entry.path == b"a":
            (tmp_path / "a/x").rmdir()
            (tmp_path / "a").rmdir()
            (tmp_path / "b").rmdir()
    folder.close()
    assert seen == [b"a"]
    assert {f"{VANISHED}: a", f"{VANISHED}: b", f"{CHANGED_FOLDER}: ."} <= set(notes.lines())


def test_name_added_to_a_folder_that_was_listed_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    os.utime(tmp_path / "a", ns=(0, 0))
    notes = Notes()
    folder = open_folder(os.fsencode(tmp_path))
    for entry in walk(folder, FilesSettings(tmp_path), notes):
        if entry.path == b"a/x":
            (tmp_path / "a" / "y").touch()
    folder.close()
    assert notes.lines() == (f"{CHANGED_FOLDER}: a",)


class Troubled:
    """A folder that fails as it is told to."""

    def __init__(self, inner: Folder, fail: dict[tuple[str, bytes], int]) -> None:
        self._inner = inner
        self._fail = fail

    def _do(self, act: str, name: bytes) -> None:
        if (act, name) in self._fail:
            code = self._fail[act, name]
            raise OSError(code, os.strerror(code), name)

    def names(self) -> Iterator[bytes]:
        self._do("names", b"")
        return self._inner.names()

    def status(self) -> os.stat_result:
        return self._inner.status()

    def look(self, name: bytes) -> os.stat_result:
        self._do("look", name)
        return self._inner.look(name)

    def target(self, name: bytes) -> bytes:
        return self._inner.target(name)

    def open_file(self, name: bytes) -> int:
        self._do("open_file", name)
        return self._inner.open_file(name)

    def enter(self, name: bytes) -> Folder:
        self._do("enter", name)
        return self._inner.enter(name)

    def close(self) -> None:
        self._inner.close()


def test_folder_that_cannot_be_entered_is_noted_and_the_walk_goes_on(tmp_path: Path) -> None:
    for name in ("a", "a/x", "b", "b/y"):
        (tmp_path / name).mkdir()
    notes = Notes()
    opener = lambda path: Troubled(open_folder(path), {("enter", b"a"): errno.EACCES})  # noqa: E731
    assert paths_of(tmp_path, notes, opener) == [b"a", b"b", b"b/y"]
    assert notes.lines() == (f"{UNREADABLE_FOLDER} (Permission denied): a",)


def test_root_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        paths_of(tmp_path, opener=lambda path: Troubled(open_folder(path), {("names", b""): errno.EACCES}))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
def test_abandoned_walk_closes_its_folders(tmp_path: Path) -> None:
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    folder = open_folder(os.fsencode(tmp_path))
    entries = walk(folder, FilesSettings(tmp_path), Notes())
    assert [next(entries).path for _ in range(4)][-1] == b"a/b/c/d"
    entries.close()  # type: ignore[attr-defined]  # a generator
    folder.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize(
    ("pattern", "path", "does"),
    [
        ("*.tmp", "a/b/x.tmp", True),
        ("*.tmp", "a.tmp/x", False),
        ("tmp/", "a/tmp", True),
        ("/tmp", "tmp", True),
        ("/tmp", "a/tmp", False),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/**", "a/b/c", True),
        ("**/x", "x", True),
        ("**/x", "a/b/x", True),
        ("?.txt", "卷.txt", True),
        ("[a-c]1", "b1", True),
        ("[!a-c]1", "b1", False),
        ("[!a]/b", "//b", False),
        ("a.b", "axb", False),
        ("[", "[", True),
    ],
)
def test_patterns(pattern: str, path: str, does: bool) -> None:
    assert matches(pattern, path.encode()) is does


def test_wrong_pattern_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"z-a"):
        FilesSettings(tmp_path, exclude=("[z-a]",))


def test_excluded_folder_is_not_entered_and_noted_and_includes_choose_files(tmp_path: Path) -> None:
    for name in ("keep/x.tif", "keep/x.txt", "cache/x.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    notes = Notes()
    assert paths_of(tmp_path, notes, include=("*.tif",), exclude=("cache",)) == [b"keep", b"keep/x.tif"]
    assert notes.lines() == ("excluded by the settings: cache",)


def test_notes_are_bounded_and_count_the_rest() -> None:
    notes = Notes()
    for i in range(MAX_NOTES + 5):
        notes.add("x", b"%d" % i)
    notes.add("x", b"0")
    assert len(notes.lines()) == MAX_NOTES + 1
    assert notes.lines()[-1] == "x: 5 more paths"


@given(st.lists(st.binary(max_size=6), min_size=2, max_size=2, unique=True))
def test_shown_paths_are_single_lines_and_differ(paths: list[bytes]) -> None:
    shown = [show(path) for path in paths]
    assert shown[0] != shown[1]
    assert all(text.isprintable() for text in shown)


def test_entries_of_one_walk_are_strictly_ascending_over_wide_folders(tmp_path: Path) -> None:
    for i in range(300):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / "f").touch()
    entries: list[Entry] = []
    folder = open_folder(os.fsencode(tmp_path))
    entries.extend(walk(folder, FilesSettings(tmp_path), Notes()))
    folder.close()
    assert all(a.path < b.path for a, b in pairwise(entries))


class _Flat:
    """A folder of so many files, as large archives of pictures have them."""

    def __init__(self, count: int) -> None:
        self._count = count

    def names(self) -> Iterator[bytes]:
        return (b"1.2.840.113619.%09d" % i for i in range(self._count))

    def status(self) -> os.stat_result:
        return _A_FILE

    def look(self, name: bytes) -> os.stat_result:
        return _A_FILE


_A_FILE = Path(__file__).stat()


def test_names_of_a_flat_folder_are_held_once() -> None:
    count = 20_000
    tracemalloc.start()
    try:
        found = sum(1 for _ in walk(_Flat(count), FilesSettings(Path()), Notes()))  # type: ignore[arg-type]  # as much as is asked
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == count
    # 57 bytes for each of them, its place in the list, and what the list is ahead.
    assert peak / count < 90
