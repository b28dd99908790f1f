# SPDX-License-Identifier: Apache-2.0
"""What the files of one folder were when they were read: so that unchanged ones need not be opened. A cache, disposable.

    path → stamp (size, times of content and of change, inode, device) · SHA-256 and size of the content · when it was read

A file is taken for what it was if its stamp is the same, and it was read less than `period_s` ago. Which part of the period
counts depends on the path, so that files that were first read together are read again on different days. A stamp proves
nothing about what is written within the same tick of the clock: so one that was younger than `RACY_S` when reading began is
not remembered (git's "racily clean"; the kernel may write through a mapping for 30 s without touching the times).
One reading at a time, in one thread, its paths ascending as the walk gives them; memory is a thousand paths. SQLite
without fsync, one file for each source; damaged, it is begun anew. Source: docs/decisions/0053.
"""

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from evidence.rows.line import Token

_Answer = TypeVar("_Answer")
RACY_S: Final = 60.0
_GROUP: Final = 1_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS file (
    path BLOB PRIMARY KEY, stamp TEXT NOT NULL, sha256 BLOB NOT NULL, size INTEGER NOT NULL, read_at REAL NOT NULL
) WITHOUT ROWID;
"""


class Known(NamedTuple):
    """What a file was when it was read, and when that was, in seconds since 1970."""

    token: Token
    read_at: float


class FileMemory:
    """Remember the files of one source. `clock` gives seconds since 1970, `period_s` is how long a reading counts at most."""

    def __init__(self, path: Path, period_s: float, clock: Callable[[], float]) -> None:
        self._path = path
        self._period_s = period_s
        self.clock = clock
        self._db: sqlite3.Connection | None = None
        self._kept: dict[bytes, tuple[str, bytes, int, float]] = {}
        self._met: set[bytes] = set()
        self._swept = b""

    @contextmanager
    def reading(self) -> Iterator["FileMemory"]:
        """Hold the file open for one reading of the tree; read to its end, paths that were not met are forgotten."""
        self._kept, self._met, self._swept = {}, set(), b""
        self._db = self._open()
        try:
            yield self
            self._flush()
            self._act(lambda db: db.execute("DELETE FROM file WHERE path > ?", (self._swept,)))
        finally:
            if self._db is not None:
                self._db.close()
                self._db = None

    def find(self, path: bytes, status: os.stat_result) -> Known | None:
        """Find what the file at `path` was, if it is as it was and need not be read yet."""
        self._meet(path)
        sql = "SELECT sha256, size, read_at FROM file WHERE path = ? AND stamp = ?"
        row = self._act(lambda db: db.execute(sql, (path, _stamp(status))).fetchone())
        if row is None:
            return None
        age = self.clock() - row[2]
        # From half of the period to all of it, by the path.
        share = 0.5 + zlib.crc32(path) / 2**33
        return Known(Token(row[0], row[1]), row[2]) if 0 <= age < self._period_s * share else None

    def keep(self, path: bytes, status: os.stat_result, token: Token, began: float) -> None:
        """Remember a file whose reading began at `began`, if its stamp will tell the next change of it."""
        if max(status.st_mtime, status.st_ctime) + RACY_S <= began:
            self._kept[path] = (_stamp(status), token.sha256, token.size, began)

    def _meet(self, path: bytes) -> None:
        if len(self._met) >= _GROUP:
            self._flush()
        self._met.add(path)

    def _flush(self) -> None:
        """Write down what was kept, and forget what lies between the paths that were met."""
        if not self._met:
            return
        last = max(self._met)
        span = (self._swept, last)
        here = self._act(lambda db: db.execute("SELECT path FROM file WHERE path > ? AND path <= ?", span).fetchall())
        gone = [row for row in here or () if row[0] not in self._met]
        kept = [(path, *facts) for path, facts in self._kept.items()]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM file WHERE path = ?", gone)
            db.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", kept)

        self._act(write)
        self._kept, self._met, self._swept = {}, set(), last

    def _act(self, act: Callable[[sqlite3.Connection], _Answer]) -> _Answer | None:
        """Do `act` in a transaction; a file that fails is given up: whoever knows nothing reads."""
        if self._db is None:
            return None
        try:
            with self._db:
                return act(self._db)
        except sqlite3.DatabaseError:
            self._db.close()
            self._db = None
            self._remove()
            return None

    def _open(self) -> sqlite3.Connection | None:
        for _ in range(2):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                db = sqlite3.connect(self._path, timeout=30)
            except (OSError, sqlite3.Error):
                return None
            try:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=OFF")
                db.executescript(_SCHEMA)
                return db
            except sqlite3.DatabaseError:
                db.close()
                self._remove()
        return None

    def _remove(self) -> None:
        # With what SQLite keeps beside it: a stale -wal would be read into the new file.
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _stamp(status: os.stat_result) -> str:
    """Give what changes when a file does. Numbers of Windows may have more than 64 bits, so it is a text."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_dev}"
