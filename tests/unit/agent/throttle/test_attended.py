# SPDX-License-Identifier: Apache-2.0
"""Real sources under supervision: read at the set pace, given way for, probed, and let go of when somebody pauses."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.collectors.base import Heeding, Probe, Probing, View
from agent.collectors.postgresql import PostgresqlCollector
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.errors import BudgetError, LoginError, LoginsStoppedError, PausedError
from agent.latency import BASE_QUESTIONS
from agent.load import LoadLog, LoadReport, Reason
from agent.logins import LoginGuard
from agent.pausing import Pause, PauseFile
from agent.settings.throttle import SourceThrottle
from agent.snapshot.attended import GuardedCollector
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.objects import RootsOnly
from agent.snapshot.progress import Pace, unpaced
from agent.snapshot.supervised import Machine, SupervisedRun
from agent.snapshot.tables import build_table
from tests.fakes.agent import NOW
from tests.fakes.machine import FakeHost, FakeTime
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import count_our_sessions, settings_for, wait_for

MIB = 1 << 20
MANY_ROWS = "CREATE TABLE t (id int PRIMARY KEY, pad text); INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 80000) n"


class Supervision:
    """Supervised runs of one source over a machine whose time is the test's."""

    def __init__(self, folder: Path, age_limit_s: float | None = 3600) -> None:
        self.folder = folder
        self.time = FakeTime()
        self.host = FakeHost(self.time)
        self._age_limit_s = age_limit_s

    def run(self, **settings: object) -> SupervisedRun:
        machine = Machine(self.time, self.time.sleep, self.host, lambda: self.time.now / 10)
        throttle = SourceThrottle(**settings)  # type: ignore[arg-type]  # the test's settings
        return SupervisedRun(
            "his", self.folder, throttle, lambda: NOW, machine, age_limit_s=self._age_limit_s, force=False
        )

    @property
    def report(self) -> LoadReport:
        (report,) = LoadLog(self.folder).reports("his")
        return report


@pytest.fixture
def supervision(tmp_path: Path) -> Supervision:
    return Supervision(tmp_path)


@pytest.fixture
def large(postgres_server: PostgresServer, postgres_database: str) -> str:
    postgres_server.execute(MANY_ROWS, database=postgres_database)
    return postgres_database


def _read_all(run: SupervisedRun, collector: GuardedCollector, folder: Path) -> int:
    """Build every table as the recipe does; give the rows."""
    rows = 0
    blobs = BlobWriter(RootsOnly(), folder / "work", pace=run.throttle.read)
    try:
        with run.attend(collector).open_view() as view:
            for table in view.tables():
                pace = run.throttle.read
                built = build_table(view, table, bytes(32), RootsOnly(), blobs, folder / "work", lambda *_: None, pace)
                rows += built.tree.rows
    finally:
        blobs.close()
    return rows


def test_postgresql_is_read_no_faster_than_its_rate(
    postgres_server: PostgresServer, large: str, supervision: Supervision, tmp_path: Path
) -> None:
    collector = PostgresqlCollector(settings_for(postgres_server, large), supervision.time)
    began = supervision.time.now
    with supervision.run(read_rate=MIB, max_latency=None) as run:
        rows = _read_all(run, GuardedCollector(collector, None), tmp_path)
        run.note("stored", sequence=1, rows=rows)
    assert rows == 80000
    report = supervision.report
    assert report.read_bytes > 38 * MIB
    seconds = supervision.time.now - began
    # No time passes but by pauses, and the first second's worth is free.
    assert seconds == pytest.approx(report.read_bytes / MIB - 1, abs=0.01)
    assert report.pauses_s == {Reason.READ_RATE: pytest.approx(seconds, abs=0.01)}
    assert (report.sequence, report.rows, report.outcome) == (1, 80000, "stored")
    assert report.transaction_s == pytest.approx(seconds, abs=0.01)
    assert report.cpu_s == pytest.approx(seconds / 10, abs=0.01)
    assert not report.hurried


def test_session_that_the_source_refused_stands_in_the_report_and_in_the_log(
    postgres_server: PostgresServer, large: str, supervision: Supervision, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    # The view's holder and lookout, and one reader.
    postgres_server.execute("CREATE ROLE few LOGIN PASSWORD 'secret' CONNECTION LIMIT 3; GRANT pg_read_all_data TO few")
    try:
        settings = settings_for(postgres_server, large, user="few", read_sessions=2, pg_dump=Path("/nowhere/pg_dump"))
        with supervision.run(max_latency=None) as run:
            rows = _read_all(run, GuardedCollector(PostgresqlCollector(settings), None), tmp_path)
        assert (rows, supervision.report.refused_sessions) == (80000, 1)
        (told,) = [record for record in caplog.records if record.msg == "sessions refused"]
        assert (told.__dict__["source"], told.__dict__["sessions"]) == ("his", 1)
        wait_for(lambda: not count_our_sessions(postgres_server))
    finally:
        postgres_server.execute("DROP OWNED BY few; DROP ROLE few")


def test_large_cells_keep_to_the_rate_too(tmp_path: Path, supervision: Supervision) -> None:
    path = tmp_path / "his.db"
    with closing(sqlite3.connect(path)) as db, db:
        # In a journal that lets the application write beside its readers; else no reading pauses.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE scan (id INTEGER PRIMARY KEY, picture BLOB)")
        db.executemany("INSERT INTO scan VALUES (?, randomblob(?))", [(i, 5 * MIB) for i in range(4)])
    with supervision.run(read_rate=MIB) as run:
        assert _read_all(run, GuardedCollector(SqliteCollector(SqliteSettings(path)), None), tmp_path) == 4
    assert supervision.report.read_bytes == pytest.approx(20 * MIB, rel=0.01)
    assert supervision.report.pauses_s[Reason.READ_RATE] == pytest.approx(19, abs=0.2)


def test_who_wants_the_table_gets_it_while_the_reading_pauses(
    postgres_server: PostgresServer, large: str, supervision: Supervision, tmp_path: Path
) -> None:
    settings = settings_for(postgres_server, large, pg_dump=Path("/nowhere/pg_dump"))
    collector = PostgresqlCollector(settings, supervision.time)
    roots: list[bytes] = []
    altered: list[bool] = []

    def read(view: View, pace: Pace) -> None:
        blobs = BlobWriter(RootsOnly(), tmp_path / "work")
        (table,) = [t for t in view.tables() if t.schema.name == "public.t"]
        built = build_table(
            view, table, bytes(32), RootsOnly(), blobs, tmp_path / "work", lambda *_: None, pace
        )  # fmt: skip
        roots.append(built.tree.root)
        blobs.close()

    def alter() -> None:
        # The reader's own thread stands here, in its pause: only the lookout can free the table.
        if not altered:
            altered.append(True)
            sql = "SET lock_timeout = '60s'; ALTER TABLE t ADD c int; DELETE FROM t WHERE id > 40000"
            postgres_server.execute(sql, database=large)

    with collector.open_view() as view:
        read(view, unpaced)
    with (
        supervision.run(read_rate=MIB, max_latency=None) as run,
        run.attend(GuardedCollector(collector, None)).open_view() as view,
    ):
        supervision.time.during = alter
        read(view, run.throttle.read)
    assert altered
    assert roots[0] == roots[1]
    report = supervision.report
    assert report.gave_way == 1
    assert report.blocked_s > 0


def test_age_of_the_view_ends_a_pause_that_would_outlast_it(
    postgres_server: PostgresServer, large: str, tmp_path: Path
) -> None:
    # The collector's limit is lower than what the run was told of: the view's own is the hard bound.
    supervision = Supervision(tmp_path, age_limit_s=1000)
    collector = PostgresqlCollector(settings_for(postgres_server, large, snapshot_age_limit_s=30), supervision.time)
    with pytest.raises(BudgetError, match="over its limit of 30 s"), supervision.run(read_rate=64 << 10) as run:
        _read_all(run, GuardedCollector(collector, None), tmp_path)
    assert supervision.report.outcome == "JS-2103"
    assert supervision.report.transaction_s < 33
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_operators_pause_lets_go_of_the_source_at_the_next_block(
    postgres_server: PostgresServer, large: str, supervision: Supervision, tmp_path: Path
) -> None:
    collector = PostgresqlCollector(settings_for(postgres_server, large), supervision.time)
    supervision.time.during = lambda: PauseFile(tmp_path).set(Pause(NOW, None))
    with pytest.raises(PausedError), supervision.run(read_rate=MIB) as run:
        _read_all(run, GuardedCollector(collector, None), tmp_path)
    wait_for(lambda: not count_our_sessions(postgres_server))
    assert supervision.report.outcome == "JS-2104"
    assert supervision.report.read_bytes < 8 * MIB
    with pytest.raises(PausedError), supervision.run() as run:
        _read_all(run, GuardedCollector(collector, None), tmp_path)
    assert len(LoadLog(tmp_path).reports("his")) == 1, "what was not begun asked nothing of anybody"


def test_operators_pause_is_seen_also_before_the_first_block_has_come(
    postgres_server: PostgresServer, postgres_database: str, supervision: Supervision, tmp_path: Path
) -> None:
    collector = PostgresqlCollector(settings_for(postgres_server, postgres_database), supervision.time)
    with supervision.run() as run, run.attend(GuardedCollector(collector, None)).open_view() as view:
        assert isinstance(view, Heeding)
        view.heed()
        PauseFile(tmp_path).set(Pause(NOW, None))
        with pytest.raises(PausedError):
            view.heed()


def test_postgresql_and_live_sqlite_answer_trifles_beside_an_open_view(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    path = tmp_path / "live.db"
    with closing(sqlite3.connect(path)) as application:
        application.execute("PRAGMA journal_mode=WAL")
        application.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        application.commit()
        for collector in (
            PostgresqlCollector(settings_for(postgres_server, postgres_database)),
            SqliteCollector(SqliteSettings(path)),
        ):
            assert isinstance(collector, Probing)
            with collector.open_probe() as probe:
                assert probe is not None
                probe()
            with collector.open_view() as view, collector.open_probe() as probe:
                assert probe is not None
                probe()
                view.tables()
                probe()


def test_probe_of_a_database_in_rollback_mode_leaves_the_locks_of_the_view_alone(tmp_path: Path) -> None:
    path = tmp_path / "rollback.db"
    with closing(sqlite3.connect(path, timeout=0)) as application:
        application.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        application.commit()
        collector = SqliteCollector(SqliteSettings(path))
        with collector.open_view(), collector.open_probe() as probe:
            assert probe is not None
            probe()
            _assert_cannot_write(path)
        with collector.open_view():
            _assert_cannot_write(path)


def test_database_whose_writers_wait_for_the_reader_is_read_without_pauses(
    tmp_path: Path, supervision: Supervision
) -> None:
    path = tmp_path / "rollback.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
        db.executemany("INSERT INTO t VALUES (?, randomblob(100000))", [(i,) for i in range(50)])
    with supervision.run(read_rate=64 << 10) as run:
        assert _read_all(run, GuardedCollector(SqliteCollector(SqliteSettings(path)), None), tmp_path) == 50
    assert supervision.report.hurried
    assert supervision.report.pauses_s == {}


def _assert_cannot_write(path: Path) -> None:
    """POSIX locks are a process's: only another process can tell whether they are there."""
    import subprocess
    import sys

    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('INSERT INTO t DEFAULT VALUES').connection.commit()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "locked" in done.stderr


def test_sqlite_file_that_nobody_uses_is_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "idle.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        db.commit()
    collector = SqliteCollector(SqliteSettings(path))
    with collector.open_probe() as probe:
        assert probe is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["idle.db"]


class Slow:
    """A collector over another, whose probe takes what the test says."""

    def __init__(self, inner: SqliteCollector, time: FakeTime) -> None:
        self._inner = inner
        self._time = time
        self.answer_s = 0.01
        self.asked = 0
        self.open_view = inner.open_view
        self.check = inner.check
        self.grants = inner.grants

    @contextmanager
    def open_probe(self) -> Iterator[object]:
        def probe() -> None:
            self.asked += 1
            self._time.now += self.answer_s

        yield probe


def test_source_is_asked_before_the_view_and_its_answers_are_in_the_report(
    tmp_path: Path, supervision: Supervision
) -> None:
    path = tmp_path / "his.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    slow = Slow(SqliteCollector(SqliteSettings(path), supervision.time), supervision.time)
    with supervision.run(max_latency=8.0) as run:
        _read_all(run, GuardedCollector(slow, None), tmp_path)  # type: ignore[arg-type]  # a collector by its methods
    # The thread beside the reading may have asked once more, on a slow machine.
    assert slow.asked >= BASE_QUESTIONS
    asked = slow.asked
    with supervision.run(max_latency=None) as run:
        _read_all(run, GuardedCollector(slow, None), tmp_path)  # type: ignore[arg-type]  # likewise
    assert slow.asked == asked
    first, second = LoadLog(tmp_path).reports("his")
    assert first.latency_before_s == pytest.approx(0.01)
    assert second.latency_before_s is None


def test_wrong_password_is_tried_twice_by_the_agent_and_no_more(
    postgres_server: PostgresServer, postgres_database: str, supervision: Supervision, tmp_path: Path
) -> None:
    settings = settings_for(postgres_server, postgres_database, password="wrong", sslmode="disable")

    def read() -> None:
        guard = LoginGuard(tmp_path, "his", ("admin", "wrong"), "secret:his")
        with supervision.run(max_latency=8.0) as run:
            _read_all(run, GuardedCollector(PostgresqlCollector(settings), guard), tmp_path)

    said = len(postgres_server.log)
    for _ in range(2):
        with pytest.raises(LoginError, match="password authentication failed"):
            read()
    with pytest.raises(LoginsStoppedError):
        read()
    postgres_server.execute("SELECT 1")
    refused = [line for line in postgres_server.log[said:] if b"FATAL:  password authentication failed" in line]
    assert len(refused) <= 2
    with pytest.raises(LoginsStoppedError):
        read()


class _Stuck(SqliteCollector):
    """A collector whose server answers no probe as long as a view is open. `freed`: whether the view was closed meanwhile."""

    def __init__(self, settings: SqliteSettings) -> None:
        super().__init__(settings)
        self.is_asked, self.is_open, self.is_closed = threading.Event(), False, threading.Event()
        self.freed: list[bool] = []

    @contextmanager
    def open_view(self) -> Iterator[View]:
        with super().open_view() as view:
            self.is_open = True
            yield view
        self.is_closed.set()

    @contextmanager
    def open_probe(self) -> Iterator[Probe | None]:
        def ask() -> None:
            if self.is_open:
                self.is_asked.set()
                self.freed.append(self.is_closed.wait(60))

        yield ask


def test_probe_without_an_answer_keeps_no_view_open(tmp_path: Path, supervision: Supervision) -> None:
    path = tmp_path / "his.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    collector = _Stuck(SqliteSettings(path))
    with supervision.run() as run, run.attend(GuardedCollector(collector, None)).open_view():
        assert collector.is_asked.wait(60)
    assert collector.freed[0]
