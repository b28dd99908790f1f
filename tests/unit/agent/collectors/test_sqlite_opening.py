# SPDX-License-Identifier: Apache-2.0
"""How a SQLite file is opened: in every state it can be in, and without a trace beside it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.collectors.base import Severity
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.collectors.sqlite.opening import Mode, find_mode, open_read
from agent.errors import BudgetError, SourceChangedError, SourceDownError, SourceError, TableLostError
from tests.contract.collectors import read_lines
from tests.fakes.blobsink import MemorySink

APPLICATION = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    try:
        print(connection.execute(line).fetchall(), flush=True)
    except sqlite3.Error as err:
        print(err.sqlite_errorname, flush=True)
"""


class Application:
    """Another process that works on a database."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", APPLICATION, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, sql: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate()

    def crash(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def application(path: Path) -> Iterator[Application]:
    app = Application(path)
    try:
        yield app
    finally:
        if app.process.returncode is None:
            app.leave()


def make(path: Path, journal: str = "WAL", rows: int = 100) -> Path:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t(x) VALUES(?)", [("x" * 100,)] * rows)
    connection.execute("COMMIT")
    connection.close()
    return path


def collector(path: Path, **settings: object) -> SqliteCollector:
    return SqliteCollector(SqliteSettings(path, busy_timeout_s=0, **settings))  # type: ignore[arg-type]


def rows_of(path: Path) -> list[bytes]:
    with collector(path).open_view() as view:
        return [line for table in view.tables() for line in read_lines(view, table)]


def listing(path: Path) -> list[tuple[str, int, int]]:
    return sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.parent.iterdir())


def test_idle_wal_database_is_read_and_no_file_is_made_beside_it(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    before = listing(path)
    assert find_mode(path) is Mode.IDLE
    assert len(rows_of(path)) == 100
    assert listing(path) == before


def test_what_plain_read_only_mode_leaves_behind_is_why_it_is_not_used_on_an_idle_database(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.execute("SELECT * FROM t").fetchone()
    connection.close()
    assert {p.name for p in tmp_path.iterdir()} == {"a.db", "a.db-shm", "a.db-wal"}


def test_live_wal_database_is_read_with_what_is_only_in_the_wal(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with application(path) as app:
        app.run("PRAGMA wal_autocheckpoint=0")
        app.run("INSERT INTO t VALUES(1000, 'in the wal')")
        assert find_mode(path) is Mode.WAL
        before = [entry for entry in listing(path) if entry[0] != "a.db-shm"]
        assert rows_of(path)[-1] == b"1000\tt:in the wal"
        assert [entry for entry in listing(path) if entry[0] != "a.db-shm"] == before


def test_reader_keeps_its_locks_when_the_file_is_looked_at_again_by_this_process(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with application(path) as app:
        app.run("INSERT INTO t VALUES(1000, 'x')")
        with collector(path).open_view() as view:
            collector(path).check()
            app.run("INSERT INTO t VALUES(1001, 'x')")
            app.run("PRAGMA busy_timeout=0")
            # A reader that had lost its locks would let the last writer remove the -wal it reads from.
            assert app.run("PRAGMA wal_checkpoint(TRUNCATE)").startswith("[(1,")
            app.leave()
            assert len(read_lines(view, view.tables()[0])) == 101


def test_crashed_writer_with_both_files_left_is_read_with_its_wal(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    app = Application(path)
    app.run("INSERT INTO t VALUES(1000, 'committed')")
    app.crash()
    before = {p.name for p in tmp_path.iterdir()}
    assert before == {"a.db", "a.db-shm", "a.db-wal"}
    assert rows_of(path)[-1] == b"1000\tt:committed"
    assert {p.name for p in tmp_path.iterdir()} == before


def test_wal_without_shm_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    app = Application(path)
    app.run("INSERT INTO t VALUES(1000, 'committed')")
    app.crash()
    (tmp_path / "a.db-shm").unlink()
    before = listing(path)
    with pytest.raises(SourceDownError, match="-wal") as caught:
        rows_of(path)
    assert caught.value.hint
    assert listing(path) == before


def test_database_held_exclusively_is_a_source_to_try_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with application(path) as app:
        app.run("PRAGMA locking_mode=EXCLUSIVE")
        app.run("INSERT INTO t VALUES(1000, 'x')")
        with pytest.raises(SourceDownError):
            rows_of(path)


def test_rollback_database_is_read_under_a_lock_and_check_warns_of_it(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "DELETE")
    before = listing(path)
    with application(path) as app, collector(path).open_view() as view:
        lines = read_lines(view, view.tables()[0])
        assert app.run("BEGIN IMMEDIATE") == "[]"
        app.run("INSERT INTO t VALUES(1000, 'x')")
        assert app.run("PRAGMA busy_timeout=0") == "[(0,)]"
        assert app.run("COMMIT") == "SQLITE_BUSY"
        assert read_lines(view, view.tables()[0]) == lines
        app.run("ROLLBACK")
    assert listing(path) == before
    assert Severity.WARN in {f.severity for f in collector(path).check()}


def test_rollback_database_locked_by_a_writer_is_a_source_to_try_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "DELETE")
    with application(path) as app:
        app.run("BEGIN EXCLUSIVE")
        with pytest.raises(SourceDownError, match="locked"):
            rows_of(path)


def test_idle_database_that_somebody_opens_meanwhile_is_read_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with application(path) as app:
        with pytest.raises(SourceChangedError), collector(path).open_view() as view:
            app.run("INSERT INTO t VALUES(1000, 'x')")
            read_lines(view, view.tables()[0])
        assert len(rows_of(path)) == 101


def test_idle_database_that_somebody_opened_and_closed_meanwhile_is_read_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with pytest.raises(SourceChangedError), collector(path).open_view() as view:
        with application(path) as app:
            app.run("UPDATE t SET x = 'y' WHERE id = 7")
        assert not (tmp_path / "a.db-wal").exists()
        read_lines(view, view.tables()[0])


def test_transaction_begins_when_the_view_opens(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with application(path) as app:
        app.run("INSERT INTO t VALUES(1000, 'before')")
        opened = open_read(path, 0)
        app.run("INSERT INTO t VALUES(1001, 'after')")
        assert opened.connection.execute("SELECT max(id) FROM t").fetchone() == (1000,)
        opened.close()


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "empty"), (b"not a database" * 1000, "not a SQLite database"), (os.urandom(8192), "encrypted")],
)
def test_file_that_is_no_database_is_refused_in_words(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=word) as caught:
        rows_of(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert [f.severity for f in collector(path).check()] == [Severity.FAIL]


def test_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a file"):
        rows_of(tmp_path)


@contextmanager
def unprivileged_folder() -> Iterator[Path]:
    """Give a folder that every account may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run_unprivileged(act: Callable[[], None]) -> None:
    """Run `act` in a child that root's rights do not help."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            act()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(os.name == "nt", reason="rights are other things there")
def test_rights_to_read_are_enough_for_a_live_database() -> None:
    with unprivileged_folder() as folder:
        path = make(folder / "a.db")
        with application(path) as app:
            app.run("INSERT INTO t VALUES(1000, 'in the wal')")
            for name in folder.iterdir():
                name.chmod(0o444)
            folder.chmod(0o555)

            def read() -> None:
                assert rows_of(path)[-1] == b"1000\tt:in the wal"

            run_unprivileged(read)
            folder.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="rights are other things there")
def test_file_without_rights_is_refused() -> None:
    with unprivileged_folder() as folder:
        path = make(folder / "a.db")
        path.chmod(0o600 if os.geteuid() == 0 else 0)

        def read() -> None:
            with pytest.raises(SourceError, match="may not be read") as caught:
                rows_of(path)
            assert caught.value.hint

        run_unprivileged(read)


@pytest.mark.parametrize("name", ["名 字.db", "a?b#c%41.db", "x'\"&mode=rwc.db"])
def test_any_file_name_is_opened_as_it_is(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    assert len(rows_of(path)) == 100


def test_link_to_a_database_finds_the_wal_beside_the_database_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = make(tmp_path / "real" / "a.db")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with application(path) as app:
        app.run("INSERT INTO t VALUES(1000, 'in the wal')")
        assert len(rows_of(link)) == 101


def test_damaged_page_loses_its_table_and_not_the_others(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", rows=5000)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other(id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO other VALUES(1)")
    page, size = connection.execute(
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema"
    ).fetchone()
    connection.commit()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with collector(path).open_view() as view:
        other, damaged = sorted(view.tables(), key=lambda t: t.schema.name)
        with pytest.raises(TableLostError, match="malformed") as caught:
            read_lines(view, damaged)
        assert caught.value.reason.startswith("damaged")
        assert read_lines(view, other) == [b"1"]


def test_truncated_database_is_refused_or_loses_its_tables(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", rows=5000)
    whole = path.read_bytes()
    for size in (1, 15, 16, 99, 100, 512, 4095, 4096, 8192, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / f"{size}.db"
        cut.write_bytes(whole[:size])
        with pytest.raises((SourceError, TableLostError)):
            rows_of(cut)


def test_view_older_than_its_limit_stops(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", rows=20_000)
    now = [0.0]
    settings = SqliteSettings(path, snapshot_age_limit_s=60)
    with SqliteCollector(settings, clock=lambda: now[0]).open_view() as view:
        blocks = view.read(view.tables()[0], MemorySink())
        next(blocks)
        now[0] = 61.0
        with pytest.raises(BudgetError, match="61 s") as caught:
            next(blocks)
        assert caught.value.hint


def test_copy_of_database_and_wal_without_shm_asks_for_a_clean_close(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with application(path) as app:
        app.run("INSERT INTO t VALUES(1000, 'x')")
        (tmp_path / "copy").mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", tmp_path / "copy" / f"a.db{suffix}")
    with pytest.raises(SourceDownError) as caught:
        rows_of(tmp_path / "copy" / "a.db")
    assert "open and close" in caught.value.hint


def test_a_reading_that_was_broken_off_keeps_no_lock(tmp_path: Path) -> None:
    """A full spool once left a rollback-journal database locked, as long as somebody held the traceback."""
    path = tmp_path / "his.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, note TEXT)")
        db.executemany("INSERT INTO visit VALUES (?, ?)", ((i, "x" * 500) for i in range(5_000)))
    held: list[object] = []
    with SqliteCollector(SqliteSettings(path)).open_view() as view:
        blocks = view.read(view.tables()[0], MemorySink())
        held += [next(blocks), blocks]
    with closing(sqlite3.connect(path, timeout=0)) as db, db:
        db.execute("UPDATE visit SET note = 'y' WHERE id = 1")
    assert len(held) == 2
