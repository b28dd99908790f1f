# SPDX-License-Identifier: Apache-2.0
"""A driver's process that dies, hangs or floods is one clear error, and takes nothing with it."""

import os
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from agent.collectors.odbc import OdbcCollector, OdbcSettings, child
from agent.collectors.odbc.dialects import DIALECTS
from agent.collectors.odbc.process import COMMAND, DriverProcess, StatementError
from agent.collectors.odbc.session import Session
from agent.errors import BudgetError, DriverError, SourceError
from tests.servers.reading import KeptBlobs, find_table

_PRELUDE = f"""
import os, sys, time, struct
sys.path.insert(0, {str(Path(child.__file__).parent)!r})
import child
out = os.fdopen(os.dup(1), "wb")
def take(): return child.read_frame(sys.stdin.buffer)
def give(kind, value): child.write_frame(out, kind, value)
"""


def _start(body: str, stall_limit_s: float = 30.0) -> DriverProcess:
    return DriverProcess("his", stall_limit_s, lambda: None, [sys.executable, "-c", _PRELUDE + body])


def _is_gone(process: DriverProcess) -> bool:
    return process._process.poll() is not None


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "his.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    connection.executemany("INSERT INTO t(a) VALUES(?)", [("r" * 500,) for _ in range(20_000)])
    connection.commit()
    connection.close()
    return path


def _settings(path: Path, **changes: object) -> OdbcSettings:
    return OdbcSettings("sqlite", f"Driver=SQLite3;Database=file:{path}?mode=ro", **changes)  # type: ignore[arg-type]  # of the test


def _find_child(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and str(Path(child.__file__)).encode() in stat.with_name("cmdline").read_bytes():
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_driver_killed_while_it_reads_is_one_error_and_the_next_view_reads_all(database: Path) -> None:
    collector = OdbcCollector(_settings(database))
    with pytest.raises(DriverError, match="ended with status") as caught, collector.open_view() as view:
        blocks = view.read(find_table(view, "t"), KeptBlobs())
        next(blocks)
        (pid,) = _find_child(os.getpid())
        os.kill(pid, signal.SIGKILL)
        for _ in blocks:
            pass
    assert caught.value.hint
    assert isinstance(caught.value, SourceError)
    with collector.open_view() as view:
        assert sum(block.count(b"\n") for block in view.read(find_table(view, "t"), KeptBlobs())) == 20_000
    assert _find_child(os.getpid()) == []


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_password_is_in_no_argument_and_no_environment_of_the_process(database: Path) -> None:
    settings = _settings(database, user="u", password="hunter2-swordfish")
    session = Session(settings, DIALECTS["sqlite"], lambda: None)
    try:
        (pid,) = _find_child(os.getpid())
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"hunter2" not in shown
    finally:
        session.close()
    assert "hunter2" not in repr(settings)


def test_silent_driver_is_an_error_after_its_time_and_is_ended() -> None:
    process = _start("take(); time.sleep(600)", stall_limit_s=0.2)
    began = time.monotonic()
    with pytest.raises(DriverError, match="gave no answer for 0 s"):
        process.ask(b"Q", sql="SELECT 1")
    assert time.monotonic() - began < 20
    assert _is_gone(process)
    process.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("take(); out.write(struct.pack('>Ic', 3_000_000_000, b'R')); out.flush(); time.sleep(600)", "a frame of 3000000000 bytes"),
        ("take(); out.write(b'driver says hello\\n' * 99); out.flush(); time.sleep(600)", "something else than an answer"),
        ("take(); out.write(struct.pack('>Ic', 9, b'R') + b'not json!'); out.flush(); time.sleep(600)", "something else"),
        ("take(); out.write(b'abc'); out.flush()", "ended within a frame's head"),
        ("take(); give(b'K', {'number': 77}); time.sleep(600)", "answered what nobody asked"),
        ("take(); give(b'K', [1]); time.sleep(600)", "answered what nobody asked"),
        ("take(); os._exit(3)", "ended with status 3"),
        ("take(); print('*** double free ***', file=sys.stderr, flush=True); os.abort()", "double free"),
        ("take(); [give(b'K', {'number': i, 'x': 'y' * 1000}) for i in range(2, 10**9)]", "answered what nobody asked"),
    ],
)  # fmt: skip
def test_whatever_a_broken_driver_sends_is_one_error_and_stays_it(body: str, says: str) -> None:
    process = _start(body)
    with pytest.raises(DriverError, match=says) as caught:
        process.ask(b"Q", sql="SELECT 1")
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert _is_gone(process)
    with pytest.raises(DriverError, match=says):
        process.ask(b"Q", sql="SELECT 1")
    process.close()


def test_flood_of_words_on_stderr_neither_blocks_nor_grows() -> None:
    process = _start(
        "take(); [sys.stderr.write('noise ' * 99 + '\\n') for _ in range(50_000)]; give(b'K', {'number': 1})"
    )
    assert process.ask(b"Q", sql="SELECT 1") == {"number": 1}
    assert sum(map(len, process._words)) < 5000
    process.close()
    assert _is_gone(process)


def test_rows_of_another_width_are_not_taken() -> None:
    body = """
take(); give(b'K', {'number': 1, 'server': 's', 'driver': 'd'})
take(); give(b'K', {'number': 2})
take(); give(b'K', {'number': 3, 'width': 2})
take(); give(b'R', {'number': 4, 'rows': [['a']], 'last': True})
time.sleep(600)
"""
    session = Session(
        _settings(Path("x.db")), DIALECTS["sqlite"], lambda: None, [sys.executable, "-c", _PRELUDE + body]
    )
    with pytest.raises(DriverError, match="not of 2 columns"):
        session.query("SELECT a, b FROM t")
    session.close()


def test_what_a_driver_prints_never_reaches_the_answers(database: Path) -> None:
    noisy = (
        f"import os, runpy, sys; sys.argv = ['child']; sys.modules['noise'] = sys\n"
        f"source = open({COMMAND[-1]!r}).read().replace('import pyodbc', 'os.write(1, b\"printed by a driver\"); import pyodbc')\n"
        f"exec(compile(source, 'child', 'exec'), {{'__name__': '__main__'}})"
    )
    session = Session(_settings(database), DIALECTS["sqlite"], lambda: None, [sys.executable, "-c", noisy])
    assert session.query("SELECT count(*) AS n FROM t") == [["20000"]]
    session.close()


def test_parent_that_is_gone_takes_the_process_along_even_from_a_long_query(database: Path) -> None:
    process = DriverProcess("his", 60, lambda: None)
    process.ask(b"C", text=f"Driver=SQLite3;Database={database};StepAPI=1", timeout_s=60)
    process.send(b"Q", sql="SELECT count(*) AS n FROM t a, t b, t c WHERE a.a < b.a || c.a")
    time.sleep(0.2)
    process._stdin.close()
    assert process._process.wait(60) == 0
    process.close()


def test_statement_that_the_server_refuses_leaves_the_session_alive(database: Path) -> None:
    session = Session(_settings(database), DIALECTS["sqlite"], lambda: None)
    with pytest.raises(StatementError, match="no such table"):
        session.query("SELECT * FROM gone")
    assert session.query("SELECT count(*) AS n FROM t") == [["20000"]]
    session.close()


def test_view_that_gets_too_old_while_the_driver_works_is_given_up(database: Path) -> None:
    collector = OdbcCollector(_settings(database, snapshot_age_limit_s=2.0))
    with pytest.raises(BudgetError, match="over its limit of 2 s"), collector.open_view() as view:
        view._session.query("SELECT count(*) AS n FROM t a, t b, t c WHERE a.a < b.a || c.a")  # type: ignore[attr-defined]  # of the test


def test_missing_driver_says_what_to_install() -> None:
    with (
        pytest.raises(SourceError, match="cannot be loaded") as caught,
        OdbcCollector(OdbcSettings("dm8", "Driver=No such driver;Server=127.0.0.1")).open_view(),
    ):
        pass
    assert "DM8 ODBC driver" in str(caught.value.hint)
    assert "jinsuo-agent sources" in str(caught.value.hint)


def test_sqlite_that_could_be_written_to_is_not_opened(tmp_path: Path) -> None:
    settings = OdbcSettings("sqlite", f"Driver=SQLite3;Database={tmp_path / 'new.db'}")
    with pytest.raises(SourceError, match="must have 'mode=ro'") as caught, OdbcCollector(settings).open_view():
        pass
    assert "mode=ro" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())
