# SPDX-License-Identifier: Apache-2.0
"""What need not be sent again of a source: a cache, disposable at any time.

An id stands here once its pack is durable in the spool, or the center has said that it holds the object. So what an
interrupted run has left in the spool is not written twice, and losing entries costs a question. Should the center lack
an object after all, it says so before it logs the statement; then all is forgotten and asked anew. Where pages and nodes
that travelled whole stand in the packs that the spool keeps is noted too: tomorrow's of the same first key travel as
differences against them (codec 2). Likewise what a scheduled table gave when it was read, so that it can be carried over,
and where contents of files are, so that unchanged ones need not be opened. SQLite without fsync: after a power cut the file
may be empty or torn, and is begun anew as soon as that shows. It may be older, too, so what is forgotten is forgotten
durably: the caller then removes packs, and an object that seemed to be in them would be nowhere. Thread-safe.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from agent.errors import SpoolError
from evidence.digest import ObjectId, Sha256
from terminal.language import Text

PAGES = -1
"""The level of pages among bases; a node has the level of its children."""
PINNED_PAGES = 2_000
"""So many of each table's newest pages, about 24 MiB, are given up last: rows are mostly added and changed at the end."""


class BaseKey(NamedTuple):
    """What an object and its successor of tomorrow have in common: table, level (or PAGES), key of the first row."""

    table: str
    level: int
    hint: bytes


class Base(NamedTuple):
    """An object that travelled whole: where its frame stands in its pack."""

    key: BaseKey
    object_id: ObjectId
    offset: int
    size: int


class KeptFrame(NamedTuple):
    """A frame in a pack that the spool may still have."""

    object_id: ObjectId
    pack: str
    offset: int
    size: int


class Reading(NamedTuple):
    """What a table was when it was read: hashes of its schema as it was declared, and of the claim that it gave."""

    declared: Sha256
    claim: Sha256


_PAGE_LINES = 10_000
_ASKED_TOGETHER = 500
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_T = TypeVar("_T")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (source TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS complete (source TEXT PRIMARY KEY) WITHOUT ROWID;
DROP TABLE IF EXISTS node;
CREATE TABLE IF NOT EXISTS base (
    source TEXT NOT NULL, name TEXT NOT NULL, level INTEGER NOT NULL, hint BLOB NOT NULL, id BLOB NOT NULL,
    pack TEXT NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (source, name, level, hint)
);
CREATE INDEX IF NOT EXISTS base_pack ON base (source, pack);
CREATE TABLE IF NOT EXISTS reading (
    source TEXT NOT NULL, name TEXT NOT NULL, declared BLOB NOT NULL, claim BLOB NOT NULL, lines BLOB NOT NULL,
    PRIMARY KEY (source, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reading_line (
    source TEXT NOT NULL, name TEXT NOT NULL, line BLOB NOT NULL, PRIMARY KEY (source, name, line)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blob (
    source TEXT NOT NULL, sha256 BLOB NOT NULL, size INTEGER NOT NULL, chunks BLOB NOT NULL, PRIMARY KEY (source, sha256)
) WITHOUT ROWID;
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

    def known(self, source: str, names: Sequence[ObjectId]) -> set[ObjectId]:
        """Give those of `names` that need not be written again."""
        found: set[ObjectId] = set()
        for start in range(0, len(names), _ASKED_TOGETHER):
            asked = names[start : start + _ASKED_TOGETHER]
            marks = ",".join("?" * len(asked))
            sql = f"SELECT id FROM known WHERE source = ? AND id IN ({marks})"  # noqa: S608 - marks alone
            rows = self._act(lambda db, at=(sql, (source, *asked)): db.execute(*at).fetchall())  # type: ignore[misc]  # bound by its default
            found.update(row[0] for row in rows)
        return found

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

    def drop(self, source: str, ids: Iterable[ObjectId]) -> None:
        """Forget that `ids` need not be written: they are in the spool no more, and were never sent."""
        rows = [(source, name) for name in ids]
        self._act(lambda db: db.executemany("DELETE FROM known WHERE source = ? AND id = ?", rows))
        self._act(_settle)

    def forget(self, source: str) -> None:
        """Forget all of a source: the center has said that something is missing after all."""

        def act(db: sqlite3.Connection) -> None:
            for table in ("complete", "known", "base", "reading", "reading_line", "blob"):
                db.execute(f"DELETE FROM {table} WHERE source = ?", (source,))  # noqa: S608 - our own names

        self._act(act)
        self._act(_settle)

    def find_base(self, source: str, key: BaseKey) -> KeptFrame | None:
        """Find the object of this key that travelled whole, if the center is known to hold it."""
        row = self._act(
            lambda db: db.execute(
                "SELECT id, pack, offset, size FROM base WHERE source = ? AND name = ? AND level = ? AND hint = ? "
                "AND EXISTS (SELECT 1 FROM known WHERE known.source = base.source AND known.id = base.id)",
                (source, *key),
            ).fetchone()
        )
        return None if row is None else KeptFrame(ObjectId(row[0]), *row[1:])

    def has_pages(self, source: str, table: str) -> bool:
        """Tell whether pages of a table are among the bases."""
        sql = "SELECT 1 FROM base WHERE source = ? AND name = ? AND level = ? LIMIT 1"
        return self._act(lambda db: db.execute(sql, (source, table, PAGES)).fetchone()) is not None

    def add_bases(self, source: str, pack: str, bases: Iterable[Base]) -> None:
        """Note where objects stand that travelled whole; the newest of a key counts."""
        rows = [(source, *base.key, base.object_id, pack, base.offset, base.size) for base in bases]
        sql = "INSERT OR REPLACE INTO base VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._act(lambda db: db.executemany(sql, rows))

    def pinned_packs(self, source: str) -> set[str]:
        """Give the packs that hold nodes, or the newest pages of a table: those to give up last."""
        sql = (
            "SELECT DISTINCT pack FROM (SELECT pack, level, row_number() OVER (PARTITION BY name, level ORDER BY rowid "
            "DESC) AS age FROM base WHERE source = ?) WHERE level <> ? OR age <= ?"
        )
        return {row[0] for row in self._act(lambda db: db.execute(sql, (source, PAGES, PINNED_PAGES)).fetchall())}

    def forget_packs(self, source: str, packs: Iterable[str]) -> None:
        """Forget bases whose packs are gone."""
        rows = [(source, pack) for pack in packs]
        self._act(lambda db: db.executemany("DELETE FROM base WHERE source = ? AND pack = ?", rows))

    def keep_reading(self, source: str, name: str, reading: Reading, lines: Iterable[bytes]) -> None:
        """Note what a table gave when it was read, and the lines of `@blobs` that it put, in any order."""

        def act(db: sqlite3.Connection) -> None:
            for table in ("reading", "reading_line"):
                db.execute(f"DELETE FROM {table} WHERE source = ? AND name = ?", (source, name))  # noqa: S608 - our own names
            rows = ((source, name, line) for line in lines)
            db.executemany("INSERT OR IGNORE INTO reading_line VALUES (?, ?, ?)", rows)

        self._act(act)
        digest = self._hash_lines(source, name)
        row = (source, name, *reading, digest)
        self._act(lambda db: db.execute("INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?, ?)", row))

    def find_reading(self, source: str, name: str) -> Reading | None:
        """Find what a table gave when it was read; None also if the lines that it put are not all there any more."""
        sql = "SELECT declared, claim, lines FROM reading WHERE source = ? AND name = ?"
        row = self._act(lambda db: db.execute(sql, (source, name)).fetchone())
        if row is None or row[2] != self._hash_lines(source, name):
            return None
        return Reading(Sha256(row[0]), Sha256(row[1]))

    def reading_lines(self, source: str, name: str) -> Iterator[bytes]:
        """Yield the lines of `@blobs` that a table put when it was read, ascending."""
        sql = "SELECT line FROM reading_line WHERE source = ? AND name = ? AND line > ? ORDER BY line LIMIT ?"
        last = b""
        while True:
            at = (source, name, last, _PAGE_LINES)
            rows = self._act(lambda db, at=at: db.execute(sql, at).fetchall())  # type: ignore[misc]  # bound by its default
            yield from (row[0] for row in rows)
            if len(rows) < _PAGE_LINES:
                return
            last = rows[-1][0]

    def add_blobs(self, source: str, blobs: Iterable[tuple[Sha256, int, ObjectId]]) -> None:
        """Note SHA-256, size and top chunk list of contents that were put."""
        rows = [(source, *blob) for blob in blobs]
        self._act(lambda db: db.executemany("INSERT OR REPLACE INTO blob VALUES (?, ?, ?, ?)", rows))

    def find_blob(self, source: str, digest: Sha256, size: int) -> ObjectId | None:
        """Find the top chunk list of a content, if it need not be written again.

        A list is known once its pack is durable, and its chunks stand before it: so they are durable, too.
        """
        sql = (
            "SELECT chunks FROM blob WHERE source = ? AND sha256 = ? AND size = ? "
            "AND EXISTS (SELECT 1 FROM known WHERE known.source = blob.source AND known.id = blob.chunks)"
        )
        row = self._act(lambda db: db.execute(sql, (source, digest, size)).fetchone())
        return None if row is None else ObjectId(row[0])

    def _hash_lines(self, source: str, name: str) -> bytes:
        state = hashlib.sha256()
        for line in self.reading_lines(source, name):
            state.update(line + b"\n")
        return state.digest()

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
            Text(
                zh=f"采集端关于中心已有内容的记录 {self._path} 写不了：{err}",
                en=f"the agent's note of what the center holds, {self._path}, cannot be written: {err}",
            ),
            hint=Text(
                zh="在采集端目录所在的卷上腾出空间后再运行；数据不会丢失",
                en="make room on the volume of the agent's folder and run again; nothing is lost",
            ),
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


def _settle(db: sqlite3.Connection) -> None:
    """Sync all that was written so far."""
    db.execute("PRAGMA synchronous=FULL")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute("PRAGMA synchronous=OFF")
