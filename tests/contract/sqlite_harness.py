# SPDX-License-Identifier: Apache-2.0
"""A live SQLite database for the contract of collectors."""

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from agent.collectors.base import Collector
from agent.collectors.sqlite import SqliteCollector, SqliteSettings

_LOOK = """
import hashlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    print(path.name, "" if path.suffix == ".db-shm" else hashlib.sha256(path.read_bytes()).hexdigest())
"""


class SqliteHarness:
    """A live WAL database, open in an application, with a writer of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "his.db"
        self._random = random.Random(7)
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(
            """
            CREATE TABLE savings(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
            CREATE TABLE loans(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
            CREATE TABLE 病人(id INTEGER PRIMARY KEY, 姓名 TEXT, anything, weight REAL, scan BLOB);
            CREATE TABLE keyed(code TEXT PRIMARY KEY, n INT, x ANY, y REAL, z BLOB) STRICT, WITHOUT ROWID;
            CREATE TABLE loose(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID;
            CREATE TABLE bulk(a, b);
            """
        )
        self._connection.executemany("INSERT INTO savings VALUES(?, 1000)", [(i,) for i in range(100)])
        self._connection.executemany("INSERT INTO loans VALUES(?, 1000)", [(i,) for i in range(100)])
        values: list[object] = [
            None,
            0,
            -5,
            2**63 - 1,
            0.1,
            -1e300,
            1e23,
            float("inf"),
            "",
            "a\tb\\c\nd\0",
            b"",
            b"\0\xff",
        ]
        values += ["住院号 0001", "x" * 3_000_000, os.urandom(2_000_000)]
        for value in values:
            self._connection.execute(
                "INSERT INTO 病人(姓名, anything, weight, scan) VALUES(?, ?, ?, ?)", ("张三", value, 61.5, value)
            )
        self._connection.execute("INSERT INTO 病人(姓名) VALUES(CAST(x'c3a920ff' AS TEXT))")
        for i in range(50):
            self._connection.execute(
                "INSERT INTO keyed VALUES(?, ?, ?, ?, ?)", (f"K{i * 37 % 50}é", i, values[i % 12], i / 7, b"\x01")
            )
            self._connection.execute("INSERT INTO loose VALUES(?, ?)", (i, f"{i}"))

    def collector(self) -> Collector:
        return SqliteCollector(SqliteSettings(self._path))

    def missing(self) -> Collector:
        return SqliteCollector(SqliteSettings(self._path.with_name("gone.db")))

    def transfer(self) -> None:
        amount, source, target = self._random.randrange(50), self._random.randrange(100), self._random.randrange(100)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute("UPDATE savings SET balance = balance - ? WHERE id = ?", (amount, source))
        execute("UPDATE loans SET balance = balance + ? WHERE id = ?", (amount, target))
        execute("COMMIT")

    def balances(self) -> tuple[str, ...]:
        return ("savings", "loans")

    def trace(self) -> object:
        # Asked of another process: a file that this one closes loses the locks that SQLite holds on it here.
        # The -shm file is SQLite's shared memory, where readers mark their places: it is there before and after.
        answer = subprocess.run([sys.executable, "-c", _LOOK, self._path.parent], capture_output=True, check=True)
        return answer.stdout, self._path.stat().st_mtime_ns

    def check_released(self) -> None:
        self.transfer()
        busy, _, left = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert (busy, left) == (0, 0)

    def grow(self, size_bytes: int) -> str:
        rows = [(i, "r" * 900) for i in range(size_bytes // 2000)]
        self._connection.execute("BEGIN")
        self._connection.execute("INSERT INTO bulk VALUES(1, zeroblob(?))", (size_bytes // 2,))
        self._connection.executemany("INSERT INTO bulk VALUES(?, ?)", rows)
        self._connection.execute("COMMIT")
        return "bulk"

    def close(self) -> None:
        self._connection.close()
