# SPDX-License-Identifier: Apache-2.0
"""What need not be sent again of a source: a cache, disposable at any time.

An id stands here once its pack is durable in the spool, or the center has said that it holds the object. So what an
interrupted run has left in the spool is not written twice, and losing entries costs a question. Should the center lack
an object after all, it says so before it logs the statement; then all is forgotten and asked anew. Bodies of nodes and
of each table's newest pages are kept too, up to a bound: tomorrow's of the same first key travel as differences against
them (codec 2). SQLite
without fsync: after a crash the file may be empty or torn, and is begun anew as soon as that shows. Thread-safe.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

from agent.errors import SpoolError
from evidence.digest import ObjectId

_MOST_NODE_BYTES = 256 << 20
PAGES = -1
"""The level under which pages are kept."""
KeptBody: TypeAlias = tuple[str, int, bytes, ObjectId, bytes]
"""Table, level (or PAGES), first key, id, body of an object that travelled without a base."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_T = TypeVar("_T")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (source TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS complete (source TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (
    source TEXT NOT NULL, name TEXT NOT NULL, level INTEGER NOT NULL, hint BLOB NOT NULL, id BLOB NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (source, name, level, hint)
);
"""


class Holdings:
    """Remember what the center holds or will get from the spool."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open_or_begin()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def has(self, source: str, name: ObjectId) -> bool:
        """Tell whether an object need not be written again."""
        # Asked for every page of every run: one statement, without the care of `_act` unless it turns out to be needed.
        sql = "SELECT 1 FROM known WHERE source = ? AND id = ?"
        with suppress(sqlite3.DatabaseError), self._lock:
            return self._db.execute(sql, (source, name)).fetchone() is not None
        return self._act(lambda db: db.execute(sql, (source, name)).fetchone()) is not None

    def is_empty(self, source: str) -> bool:
        """Tell whether nothing is known of a source."""
        sql = "SELECT 1 FROM known WHERE source = ? LIMIT 1"
        return self._act(lambda db: db.execute(sql, (source,)).fetchone()) is None

    def is_complete(self, source: str) -> bool:
        """Tell whether everything below the source's newest statement is known: then what is not known is new.

        Else the center must be asked, or what it holds would be sent again.
        """
        sql = "SELECT 1 FROM complete WHERE source = ?"
        return self._act(lambda db: db.execute(sql, (source,)).fetchone()) is not None

    def mark_complete(self, source: str) -> None:
        """Note that a snapshot is whole: each of its objects stands here."""
        self._act(lambda db: db.execute("INSERT OR IGNORE INTO complete VALUES (?)", (source,)))

    def add(self, source: str, ids: Iterable[ObjectId]) -> None:
        """Note that `ids` are at the center, or durable in the spool."""
        rows = [(source, name) for name in ids]
        self._act(lambda db: db.executemany("INSERT OR IGNORE INTO known VALUES (?, ?)", rows))

    def forget(self, source: str) -> None:
        """Forget all of a source: the center has said that something is missing after all."""

        def act(db: sqlite3.Connection) -> None:
            for table in ("complete", "known", "node"):
                db.execute(f"DELETE FROM {table} WHERE source = ?", (source,))  # noqa: S608 - our own names

        self._act(act)

    def find_base(self, source: str, table: str, level: int, hint: bytes) -> tuple[ObjectId, bytes] | None:
        """Give the node or page of a table that began with the same key, if its body is kept."""
        row = self._act(
            lambda db: db.execute(
                "SELECT id, body FROM node WHERE source = ? AND name = ? AND level = ? AND hint = ? "
                "AND EXISTS (SELECT 1 FROM known WHERE known.source = node.source AND known.id = node.id)",
                (source, table, level, hint),
            ).fetchone()
        )
        return None if row is None else (ObjectId(row[0]), row[1])

    def has_pages(self, source: str, table: str) -> bool:
        """Tell whether pages of a table are kept."""
        sql = "SELECT 1 FROM node WHERE source = ? AND name = ? AND level = ? LIMIT 1"
        return self._act(lambda db: db.execute(sql, (source, table, PAGES)).fetchone()) is not None

    def keep_pages(self, source: str, table: str, pages: Iterable[KeptBody], most_bytes: int) -> None:
        """Keep pages of a table, the newest at the end, and of all that are kept of it the newest `most_bytes`."""
        kept = list(pages)
        if not kept:
            return
        self.keep_nodes(source, kept)

        def prune(db: sqlite3.Connection) -> None:
            used = 0
            rows = db.execute(
                "SELECT rowid, length(body) FROM node WHERE source = ? AND name = ? AND level = ? ORDER BY rowid DESC",
                (source, table, PAGES),
            ).fetchall()
            for rowid, size in rows:
                used += size
                if used > most_bytes:
                    db.execute("DELETE FROM node WHERE rowid = ?", (rowid,))

        self._act(prune)

    def keep_nodes(self, source: str, nodes: Sequence[KeptBody]) -> None:
        """Keep bodies of objects that travelled without a base, up to the bound."""

        def act(db: sqlite3.Connection) -> None:
            (used,) = db.execute("SELECT coalesce(sum(length(body)), 0) FROM node").fetchone()
            for table, level, hint, name, body in nodes:
                used += len(body)
                if used > _MOST_NODE_BYTES:
                    return
                db.execute(
                    "INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, ?)", (source, table, level, hint, name, body)
                )

        self._act(act)

    def _act(self, act: Callable[[sqlite3.Connection], _T]) -> _T:
        """Read or change the file, in one transaction. Raises: SpoolError if it cannot be written.

        A file that turns out to be damaged is begun anew: knowing nothing is always safe.
        """
        with self._lock:
            try:
                try:
                    with self._db:
                        return act(self._db)
                except sqlite3.DatabaseError as err:
                    if err.sqlite_errorcode & 0xFF not in _DAMAGED:
                        raise
                self._db.close()
                self._db = self._open_or_begin(is_damaged=True)
                with self._db:
                    return act(self._db)
            except sqlite3.OperationalError as err:
                raise self._no_room(err) from err

    def _open_or_begin(self, *, is_damaged: bool = False) -> sqlite3.Connection:
        try:
            if not is_damaged:
                try:
                    return self._open()
                except sqlite3.DatabaseError as err:
                    if err.sqlite_errorcode & 0xFF not in _DAMAGED:
                        raise
            self._remove()
            return self._open()
        except sqlite3.OperationalError as err:
            raise self._no_room(err) from err

    def _no_room(self, err: sqlite3.Error) -> SpoolError:
        return SpoolError(
            f"the agent's note of what the center holds, {self._path}, cannot be written: {err}",
            hint="make room on the volume of the agent's folder and run again; nothing is lost",
        )

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=30)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=OFF")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _remove(self) -> None:
        # With what SQLite keeps beside it: a stale -wal would be read into the new file.
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
