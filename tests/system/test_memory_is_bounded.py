# SPDX-License-Identifier: Apache-2.0
"""What both processes hold in memory at most, over a snapshot of a source that is far larger: promise 6. And that all of
the agent's threads step back while they read: promise 5.

The real commands, from the database to the receipt. The system itself tells each process's peak (VmHWM): all of it,
interpreter and libraries too. The source has the three things that whoever does not stream would hold: a long table, one
that must be sorted first, and a cell that is larger than the bound by itself.
"""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.builders.world import ROOT, World, make_hospital, sqlite_source

MIB = 1 << 20
BOUNDS = {"agent": 256 * MIB, "center": 384 * MIB}
"""The agent's by design section 7. The center's is of one connection: of a pack it may hold what is 64 MiB raw."""
LONG, SORTED, CELL = 200 * MIB, 180 * MIB, 260 * MIB
ROW = 8_000

# The command as it is started, which writes down at its end what the system tells of it.
_TELLING = """
import atexit, pathlib, runpy, sys
told = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: told.write_text(pathlib.Path("/proc/self/status").read_text()))
runpy.run_module("agent.cli.main", run_name="__main__", alter_sys=True)
"""


def _peak(status: str) -> int:
    """Give the most that a process has ever held, by the text of its /proc/PID/status."""
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _make_large(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA page_size=65536")
        for table, key, size in (("long", "INTEGER PRIMARY KEY", LONG), ("sorted", "INTEGER", SORTED)):
            db.execute(f"CREATE TABLE {table} (id {key}, body TEXT NOT NULL)")
            db.execute(
                f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {size // ROW})"
                f" INSERT INTO {table} SELECT i, hex(i * 7919) || hex(zeroblob({ROW // 2})) FROM n"
            )
        db.execute("CREATE TABLE picture (id INTEGER PRIMARY KEY, body BLOB)")
        db.execute(f"INSERT INTO picture VALUES (1, zeroblob({CELL}))")
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a system without /proc tells no peak")
def test_agent_and_center_hold_far_less_than_what_they_take(tmp_path: Path) -> None:
    source = _make_large(tmp_path / "his.db")
    assert source.stat().st_size > 2 * BOUNDS["agent"]
    with World.make(tmp_path) as world:
        with world.serving() as center:
            folder = world.add_agent(center, "X013", sqlite_source("his", source))
        with world.center_process() as process:
            told = tmp_path / "told"
            done = subprocess.run(
                [sys.executable, "-c", _TELLING, str(told), "-C", str(folder), "snapshot", "his", "--json"],
                cwd=ROOT, capture_output=True, timeout=300, check=False, env={**os.environ, "JINSUO_LANG": "en"},
            )  # fmt: skip
            assert done.returncode == 0, (done.stdout, done.stderr)
            (outcome,) = json.loads(done.stdout)["snapshots"]
            assert outcome["level"] == "stored"
            peaks = {
                "agent": _peak(told.read_text()),
                "center": _peak(Path(f"/proc/{process.process.pid}/status").read_text()),
            }
    sys.stdout.write(f"peaks: { ({who: peak // MIB for who, peak in peaks.items()}) } MiB\n")
    assert all(16 * MIB < peak <= BOUNDS[who] for who, peak in peaks.items()), peaks


# While the first table is read: nice, class and place of each thread of the process, as the system has them.
_LOOKING = """
import json, os, pathlib, sys, psutil
from agent.cli.main import open_agent
from agent.snapshot.progress import Silent

class Looking(Silent):
    def begin(self, label, total):
        threads = [psutil.Process(int(tid)) for tid in os.listdir("/proc/self/task")]
        print(json.dumps([[t.nice(), *map(int, t.ionice())] for t in threads]), flush=True)

with open_agent(pathlib.Path(sys.argv[1])) as agent:
    agent.snapshot("his", Looking())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a thread's priority is Linux's")
def test_every_thread_of_an_agent_that_reads_is_the_last_for_processors_and_disks(tmp_path: Path) -> None:
    with World.make(tmp_path) as world, world.serving() as center:
        folder = world.add_agent(center, "X013", sqlite_source("his", make_hospital(tmp_path / "his.db")))
        done = subprocess.run(
            [sys.executable, "-c", _LOOKING, str(folder)], cwd=ROOT, capture_output=True, timeout=120, check=True
        )
    threads = max(map(json.loads, done.stdout.splitlines()), key=len)
    assert threads == [[19, psutil.IOPRIO_CLASS_BE, 7]] * len(threads)
    assert len(threads) >= 2, "the thread that sends is there too"
