# SPDX-License-Identifier: Apache-2.0
"""Watched folders and databases: what a look sees, what is heard, and when a snapshot is due. Real files."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.collectors.files import FilesSettings
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.collectors.watch import FolderLook, Hints, Look, NoHints, Pace, SourceWatch, SqliteLook, SystemHints
from agent.collectors.watch.hints import Heard
from agent.errors import SourceError
from agent.settings.sources import UNFINISHED
from tests.builders.commands import wait_until
from tests.contract.collectors import read_lines
from tests.fakes.machine import FakeTime

PACE = Pace(settle_s=30, most_wait_s=300, poll_s=60)


class FakeHints:
    """Hears what the test says, when it says it."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.is_closed = False

    def take(self) -> Heard:
        heard, self.heard = self.heard, Heard(is_lost=self.heard.is_lost)
        return heard

    def close(self) -> None:
        self.is_closed = True


class Scene:
    """A watched source on a clock that the test moves; `taken` are the moments and remarks of due snapshots."""

    def __init__(self, look: Look, memory: Path, listen: Callable[[Look], Hints] | None = None, **facts: bool) -> None:
        self.now = 1000.0
        self.listened: list[FakeHints] = []
        self.taken: list[tuple[float, str]] = []
        self.watch = SourceWatch("his", look, PACE, memory, listen or self._listen, lambda: self.now, **facts)

    def _listen(self, look: Look) -> Hints:
        self.listened.append(FakeHints())
        return self.listened[-1]

    def hint(self) -> None:
        self.listened[-1].heard = Heard(self.now)

    def run(self, seconds: int, each: Callable[[], object] = lambda: None) -> None:
        for _ in range(seconds):
            each()
            ready = self.watch.step()
            if ready is not None:
                self.taken.append((self.now, ready.remark))
                self.watch.take()
            self.now += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "exports"
    path.mkdir()
    return path


def _scene(folder: Path, memory: Path, **settings: tuple[str, ...]) -> Scene:
    return Scene(FolderLook(FilesSettings(folder, **settings), UNFINISHED), memory)


# Rules over real files


def test_folder_is_taken_once_at_first_and_then_only_when_something_is_new(folder: Path, tmp_path: Path) -> None:
    (folder / "a.pdf").write_bytes(b"one")
    scene = _scene(folder, tmp_path / "memory")
    scene.run(1000)
    assert scene.taken == [(1030, "")]
    (folder / "b.pdf").write_bytes(b"two")
    scene.hint()
    scene.run(100)
    assert scene.taken[1:] == [(2030, "")]


def test_half_written_file_that_keeps_growing_is_not_taken_until_it_stands_still(folder: Path, tmp_path: Path) -> None:
    scene = _scene(folder, tmp_path / "memory")
    scene.run(100)
    scene.taken.clear()
    with (folder / "export.xml").open("wb", buffering=0) as file:
        scene.run(150, lambda: file.write(b"<record/>"))  # the system tells of nothing, as from a network share
    assert scene.taken == []
    written = scene.now - 1
    scene.run(100)
    ((at, remark),) = scene.taken
    assert (at >= written + 30, remark) == (True, "")


def test_folder_that_never_stands_still_is_taken_with_a_remark(folder: Path, tmp_path: Path) -> None:
    scene = _scene(folder, tmp_path / "memory")
    with (folder / "a.log").open("wb", buffering=0) as file:
        scene.run(700, lambda: file.write(b"line\n"))
    assert [at for at, _ in scene.taken] == [1300, 1660]
    assert all("before the source stood still" in remark and "\n" not in remark for _, remark in scene.taken)


def test_start_after_a_change_that_nobody_saw_takes_it_and_after_none_takes_nothing(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "a").write_bytes(b"one")
    _scene(folder, tmp_path / "memory").run(100)
    again = _scene(folder, tmp_path / "memory")
    again.run(500)
    assert again.taken == []
    (folder / "a").write_bytes(b"two")
    third = _scene(folder, tmp_path / "memory")
    third.run(500)
    assert len(third.taken) == 1
    (tmp_path / "memory").write_text("damaged")
    fourth = _scene(folder, tmp_path / "memory")
    fourth.run(500)
    assert len(fourth.taken) == 1


def test_unfinished_and_excluded_names_bring_no_snapshot_and_keep_none_waiting(folder: Path, tmp_path: Path) -> None:
    scene = _scene(folder, tmp_path / "memory", exclude=("*.log",))
    scene.run(100)
    scene.taken.clear()
    (folder / "cache.tmp").mkdir()
    unfinished = [folder / name for name in ("a.pdf.part", "~$b.docx", "cache.tmp/x", "a.log")]

    def write() -> None:
        for path in unfinished:
            path.write_bytes(os.urandom(5))

    scene.run(400, write)
    assert scene.taken == []
    (folder / "b.pdf").write_bytes(b"whole")
    scene.run(120, write)
    assert [remark for _, remark in scene.taken] == [""]
    (folder / "a.pdf.part").rename(folder / "a.pdf")
    scene.run(120)
    assert len(scene.taken) == 2


def test_file_written_over_with_its_old_size_and_time_is_seen(folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_bytes(b"old")
    status = (folder / "a").stat()
    scene = _scene(folder, tmp_path / "memory")
    scene.run(100)
    # A program that copies sets the time back; the system's own time of change goes on with the clock's ticks.
    assert wait_until(lambda: _write_over(folder / "a", status) != status.st_ctime_ns)
    scene.run(100)
    assert len(scene.taken) == 2


def _write_over(path: Path, status: os.stat_result) -> int:
    path.write_bytes(b"new")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return path.stat().st_ctime_ns


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "a").unlink(),
        lambda f: (f / "a").rename(f / "b"),
        lambda f: (f / "a").chmod(0o600),
        lambda f: (f / "empty").mkdir(),
        lambda f: (f / "link").symlink_to("a"),
        lambda f: (f / "sub" / "deep" / "x").write_bytes(b""),
    ],
    ids=["removed", "renamed", "mode", "folder", "link", "deep"],
)
def test_every_change_that_a_snapshot_would_show_is_seen(folder: Path, change: Callable[[Path], object]) -> None:
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"x")
    (folder / "a").chmod(0o644)
    look = FolderLook(FilesSettings(folder))
    before = look.look()
    assert look.look() == before
    change(folder)
    assert look.look().digest != before.digest


def test_gone_folder_is_an_error_and_an_empty_one_in_its_place_is_not_taken(folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_bytes(b"x")
    scene = _scene(folder, tmp_path / "memory")
    scene.run(100)
    folder.rename(tmp_path / "unmounted")
    scene.now += 100
    with pytest.raises(SourceError, match="cannot be read"):
        scene.watch.step()
    folder.mkdir()
    with pytest.raises(SourceError, match="empty, and not the one that was there"):
        scene.watch.step()
    scene.watch.fail()
    assert scene.watch.step() is None, "it waits before it looks again"
    assert not scene.watch.is_seen
    folder.rmdir()
    (tmp_path / "unmounted").rename(folder)
    scene.run(100)
    assert scene.watch.is_seen
    assert len(scene.taken) == 1
    (folder / "a").unlink()  # emptied, not unmounted
    scene.run(200)
    assert len(scene.taken) == 2


def test_another_folder_in_the_old_ones_place_is_listened_to_anew(folder: Path, tmp_path: Path) -> None:
    scene = _scene(folder, tmp_path / "memory")
    scene.run(100)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_bytes(b"x")
    shutil.rmtree(folder)
    (tmp_path / "new").rename(folder)
    scene.run(100)
    assert [hints.is_closed for hints in scene.listened] == [True, False]
    assert len(scene.taken) == 2
    scene.watch.close()
    assert scene.listened[-1].is_closed


def test_watch_goes_on_without_events_where_the_system_refuses_them(folder: Path, tmp_path: Path) -> None:
    def refuse(look: Look) -> Hints:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    scene = Scene(FolderLook(FilesSettings(folder)), tmp_path / "memory", refuse)
    scene.run(100)
    assert scene.watch.deafness == os.strerror(errno.ENOSPC)
    (folder / "a").write_bytes(b"x")
    scene.run(100)
    assert len(scene.taken) == 2


def test_threads_that_die_are_noticed_and_looks_go_on(folder: Path, tmp_path: Path) -> None:
    scene = _scene(folder, tmp_path / "memory")
    scene.run(100)
    assert scene.watch.deafness is None
    (folder / "a").write_bytes(b"x")
    scene.listened[-1].heard = Heard(is_lost=True)
    scene.run(31)
    assert scene.watch.deafness
    assert len(scene.taken) == 2
    (folder / "b").write_bytes(b"x")
    scene.run(100)
    assert len(scene.taken) == 3


def test_look_at_a_large_folder_needs_no_memory_for_it(folder: Path) -> None:
    import tracemalloc

    for i in range(60):
        below = folder / f"{i:03}"
        below.mkdir()
        for j in range(100):
            (below / f"{'n' * 100}{j}").touch()
    tracemalloc.start()
    try:
        FolderLook(FilesSettings(folder)).look()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


# SQLite


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "db" / "lis.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (a)")
    return path


def test_database_is_taken_after_a_write_and_not_after_our_own_reading(database: Path, tmp_path: Path) -> None:
    scene = Scene(SqliteLook(database), tmp_path / "memory", is_consistent=True)

    def read() -> None:
        with SqliteCollector(SqliteSettings(database)).open_view() as view:
            for table in view.tables():
                read_lines(view, table)

    with closing(sqlite3.connect(database, isolation_level=None)) as live:
        live.execute("INSERT INTO t VALUES (1)")
        scene.run(100)
        assert len(scene.taken) == 1
        for _ in range(3):
            read()
            scene.run(120)
        assert len(scene.taken) == 1
        live.execute("INSERT INTO t VALUES (2)")
        scene.run(120)
        assert len(scene.taken) == 2


def test_database_that_never_rests_is_taken_as_one_state_without_a_remark(database: Path, tmp_path: Path) -> None:
    scene = Scene(SqliteLook(database), tmp_path / "memory", is_consistent=True)
    with closing(sqlite3.connect(database, isolation_level=None)) as live:
        scene.run(400, lambda: live.execute("INSERT INTO t VALUES (1)"))
    assert scene.taken == [(1300, "")]


def test_gone_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be looked at") as caught:
        SqliteLook(tmp_path / "gone.db").look()
    assert caught.value.hint


def test_events_of_other_files_beside_a_database_do_not_concern_it(tmp_path: Path) -> None:
    look = SqliteLook(tmp_path / "lis.db")
    concerned = {
        name: look.concerns(os.fsencode(tmp_path / name), is_folder=False)
        for name in ("lis.db", "lis.db-wal", "lis.db-journal", "lis.db-shm", "other.db", "lis.db.bak")
    }
    assert {name for name, is_so in concerned.items() if is_so} == {"lis.db", "lis.db-wal", "lis.db-journal"}


def test_events_of_unwanted_names_do_not_concern_a_folder(folder: Path) -> None:
    look = FolderLook(FilesSettings(folder, include=("*.pdf",), exclude=("old/",)), UNFINISHED)

    def concerns(name: str, is_folder: bool = False) -> bool:
        return look.concerns(os.fsencode(folder / name), is_folder=is_folder)

    assert concerns("a.pdf") and concerns("new/a.pdf") and concerns("new", is_folder=True)
    assert not (concerns("a.log") or concerns("old/a.pdf") or concerns("new/~$a.pdf") or concerns("x.tmp/a.pdf"))


# The system's events


class AskedLook(FolderLook):
    """A look that remembers of which names it was asked whether they concern it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FilesSettings(folder), UNFINISHED)
        self.asked: set[bytes] = set()

    def concerns(self, path: bytes, *, is_folder: bool) -> bool:
        self.asked.add(path)
        return super().concerns(path, is_folder=is_folder)


@pytest.fixture
def look(folder: Path) -> AskedLook:
    (folder / "sub").mkdir()
    (folder / "a.pdf").write_bytes(b"x")
    return AskedLook(folder)


@pytest.fixture
def heard(look: AskedLook) -> SystemHints:
    return SystemHints(look, FakeTime())


def test_system_tells_of_changes_and_not_of_our_reading(folder: Path, look: AskedLook, heard: SystemHints) -> None:
    def hears() -> bool:
        return wait_until(lambda: heard.take().last is not None)

    def hear_all(name: str) -> Heard:
        """Write what concerns nobody. Events come in their order: when it was asked for, all before it are there."""
        (folder / name).write_bytes(b"x")
        assert wait_until(lambda: os.fsencode(folder / name) in look.asked)
        return heard.take()

    try:
        (folder / "sub" / "b.pdf").write_bytes(b"x")
        assert hears()
        (folder / "sub" / "new").mkdir()
        assert hears()
        (folder / "sub" / "b.pdf").rename(folder / "sub" / "new" / "b.pdf")
        assert hears()
        (folder / "a.pdf").unlink()
        assert hears()
        hear_all("1.part")
        # Reading, and what is not finished, is not told.
        (folder / "sub" / "new" / "b.pdf").read_bytes()
        assert hear_all("2.part") == Heard()
    finally:
        heard.close()


def test_system_that_has_stopped_telling_says_so(folder: Path, heard: SystemHints) -> None:
    heard.close()
    assert heard.take().is_lost


def test_real_folder_with_real_events_is_taken_when_it_settles(folder: Path, tmp_path: Path) -> None:
    pace = Pace(settle_s=30, most_wait_s=36_000, poll_s=3600)
    look = FolderLook(FilesSettings(folder), UNFINISHED)
    clock = FakeTime()
    watch = SourceWatch("his", look, pace, tmp_path / "m", lambda look: SystemHints(look, clock), clock)
    try:

        def is_due() -> bool:
            clock.now += 1
            return watch.step() is not None

        assert wait_until(is_due)
        watch.take()
        began = clock.now
        hints = watch._hints
        assert isinstance(hints, SystemHints)
        with (folder / "export.xml").open("wb", buffering=0) as file:
            for _ in range(20):
                file.write(b"<record/>")
                assert wait_until(lambda: hints._last is not None)
                assert not is_due()
                clock.now += 28
                assert not is_due()
        assert wait_until(is_due)
        assert clock.now < began + 3600, "only an event can have brought this about, not the look of each hour"
        watch.take()
    finally:
        watch.close()


def test_no_hints_are_never_lost() -> None:
    hints = NoHints()
    assert hints.take() == Heard()
    hints.close()


def test_folder_is_taken_again_when_what_was_taken_of_it_came_to_nothing(folder: Path, tmp_path: Path) -> None:
    """Its content is lacking at the center: whoever finds that removes the memory, also while the source is watched."""
    (folder / "a").write_bytes(b"one")
    scene = _scene(folder, tmp_path / "memory")
    scene.run(100)
    (tmp_path / "memory").unlink()
    scene.run(500)
    assert len(scene.taken) == 2


def test_memory_that_cannot_be_kept_makes_no_second_snapshot(folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_bytes(b"one")
    scene = _scene(folder, tmp_path / "file" / "memory")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        scene.run(100)
    scene.run(500)
    assert len(scene.taken) == 1
