# SPDX-License-Identifier: Apache-2.0
"""What must never be lost or turned back: the newest checkpoint, and entries staged for the next. In `ledger.sqlite`.

Every change is one transaction with `synchronous=FULL`: durable when the call returns; what is found at opening is durable
then. The newest checkpoint changes only by `swap`, a compare-and-swap: whoever does not know the newest one cannot replace
it, so one ledger has one history even if two processes, or two machines on one disk, believe to be its writer. `WriterLock`
keeps them from trying. Thread-safe. Source: design section 5; the lock backend of Sunlight.
"""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from center.errors import CenterError, FullError, StoreError
from evidence.encode import encode_time
from terminal.language import Text

KEPT_CHECKPOINTS: Final = 1000
"""So many checkpoints without a cosignature are kept, for cosigners that answer late; cosigned ones are all kept."""

_VERSION: Final = 1
_SCHEMA: Final = """
    CREATE TABLE newest (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, note BLOB NOT NULL,
                         published_size INTEGER NOT NULL) STRICT;
    CREATE TABLE staged (position INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
    CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL, is_cosigned INTEGER NOT NULL) STRICT;
    CREATE INDEX uncosigned ON checkpoints (size) WHERE is_cosigned = 0;
    CREATE TABLE holds (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL, note BLOB NOT NULL,
                        size INTEGER NOT NULL, since TEXT NOT NULL, released TEXT, release_reason TEXT) STRICT;
"""

_NEWEST: Final = "SELECT note FROM checkpoints WHERE size > ? AND is_cosigned >= ? ORDER BY size DESC LIMIT ?"
_OLDEST: Final = "SELECT note FROM checkpoints WHERE size > ? AND is_cosigned >= ? ORDER BY size ASC LIMIT ?"


class HoldKind(StrEnum):
    """Why signing stopped: AHEAD can be mended by importing the tail, CONTRADICTION cannot."""

    AHEAD = "ahead"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class Hold:
    """Signing has stopped because of `note`, a checkpoint of `size` that this ledger signed and does not hold."""

    kind: HoldKind
    reason: str
    note: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest checkpoint's note, its size, and a size up to which all tiles are known to be durable."""

    note: bytes
    size: int
    published_size: int


class LostSwapError(StoreError):
    """Another writer has changed the ledger since this one last looked; nothing was changed by this one."""

    code = "JS-3203"


class WriterLock:
    """One writer at a time, among threads and processes. A context manager; the system lets go when a process dies."""

    def __init__(self, path: Path) -> None:
        self._threads = threading.Lock()
        self._file: BinaryIO = path.open("ab")

    def __enter__(self) -> "WriterLock":
        self._threads.acquire()
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Let go for good."""
        self._file.close()


class LedgerLock:
    """The ledger's row of the newest checkpoint, with what is staged, held and kept beside it."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises: StoreError if it is missing, damaged or of another version."""
        if not path.is_file():
            raise StoreError(
                Text(zh=f"{path} 没有日志库", en=f"there is no ledger at {path}"),
                hint=Text(
                    zh="新建中心请运行 `jinsuo-center init`，否则从备份恢复该目录",
                    en="run `jinsuo-center init` for a new center, or restore the folder from its backup",
                ),
            )
        self._path = path
        self._mutex = threading.RLock()
        self._connection = _connect(path)
        with self._reading() as cursor:
            # Syncs: a process that was killed may have left a commit that can be read and was never synced. On a full disk
            # it stays in the file beside, synced as well.
            with suppress(sqlite3.OperationalError):
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            (version,) = cursor.execute("PRAGMA user_version").fetchone()
            known = version == _VERSION and cursor.execute("SELECT count(*) FROM newest").fetchone() == (1,)
        if not known:
            raise StoreError(
                Text(
                    zh=f"{path} 的版本是 {version}，或不完整；本程序读版本 {_VERSION}",
                    en=f"{path} is of version {version}, or is not whole; this program reads version {_VERSION}",
                ),
                hint=Text(
                    zh="更新中心；若 `jinsuo-center init` 曾中断，再运行一次",
                    en="update the center, or run `jinsuo-center init` again if that was interrupted",
                ),
            )

    @staticmethod
    def create(path: Path, note: bytes) -> None:
        """Make the file for a log whose first, empty checkpoint is `note`. Raises: StoreError if it is there."""
        connection = _connect(path)
        try:
            with _explained(path):
                connection.executescript("BEGIN IMMEDIATE;")
                if connection.execute("PRAGMA user_version").fetchone() != (0,):
                    raise StoreError(
                        Text(zh=f"{path} 已有日志库", en=f"there is a ledger at {path} already"),
                        hint=Text(
                            zh="绝不会在旧日志上新建；请另选一个目录",
                            en="a ledger is never made anew over an old one; choose another folder",
                        ),
                    )
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT INTO newest VALUES (1, 0, ?, 0)", (note,))
                connection.execute("INSERT INTO checkpoints VALUES (0, ?, 0)", (note,))
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                connection.execute("COMMIT")
        finally:
            connection.close()

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            self._connection.close()

    def standing(self) -> Standing:
        """Give the newest checkpoint."""
        with self._reading() as cursor:
            return _standing(cursor)

    def stage(self, first: int, entries: Sequence[bytes], published_size: int) -> None:
        """Keep `entries` for the positions from `first`, the newest size, on; forget those below `published_size`.

        Raises: LostSwapError if the newest checkpoint has another size or other entries are staged there.
        """
        with self._changing() as cursor:
            standing = _standing(cursor)
            (taken,) = cursor.execute("SELECT count(*) FROM staged WHERE position >= ?", (first,)).fetchone()
            if standing.size != first or taken:
                raise _lost(
                    Text(
                        zh=f"本应在第 {first} 条处暂存条目，但最新的检查点有 {standing.size} 条",
                        en=f"entries were to be staged at {first}, but the newest checkpoint has {standing.size}",
                    )
                )
            cursor.execute("DELETE FROM staged WHERE position < ?", (published_size,))
            cursor.execute("UPDATE newest SET published_size = ?", (published_size,))
            cursor.executemany("INSERT INTO staged VALUES (?, ?)", enumerate(entries, first))

    def staged(self, start: int, stop: int | None = None) -> list[bytes]:
        """Give the staged entries of positions start ≤ p < stop, without gaps. Raises: StoreError if one is missing."""
        end = (1 << 62) if stop is None else stop
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT position, entry FROM staged WHERE position >= ? AND position < ? ORDER BY position",
                (start, end),
            ).fetchall()
        expected = range(start, start + len(rows) if stop is None else stop)
        if [position for position, _ in rows] != list(expected):
            raise StoreError(
                Text(
                    zh=f"{self._path} 缺少第 {start} 至 {expected.stop} 条之间的暂存条目",
                    en=f"{self._path} lacks staged entries between {start} and {expected.stop}",
                ),
                hint=Text(
                    zh="运行 `jinsuo-center audit`；从备份恢复 ledger 目录",
                    en="run `jinsuo-center audit`; restore the ledger folder from its backup",
                ),
            )
        return [entry for _, entry in rows]

    def swap(self, expected: bytes, note: bytes, size: int) -> None:
        """Replace the newest checkpoint `expected` by `note`, of `size` entries. Raises: LostSwapError."""
        with self._changing() as cursor:
            _swap(cursor, expected, note, size)

    def adopt(self, expected: bytes, note: bytes, first: int, entries: Sequence[bytes]) -> None:
        """Replace the newest checkpoint by `note` and stage the `entries` between, in one step; drop what was staged.

        The caller has verified that `note` is signed by this log and that the entries lead to its root.
        """
        with self._changing() as cursor:
            cursor.execute("DELETE FROM staged WHERE position >= ?", (first,))
            cursor.executemany("INSERT INTO staged VALUES (?, ?)", enumerate(entries, first))
            _swap(cursor, expected, note, first + len(entries))

    def settle(self, published_size: int) -> None:
        """Note that all tiles up to `published_size` are durable, and forget what was staged below."""
        with self._changing() as cursor:
            cursor.execute("UPDATE newest SET published_size = max(published_size, ?)", (published_size,))
            cursor.execute("DELETE FROM staged WHERE position < ?", (published_size,))

    def find_note(self, size: int) -> bytes | None:
        """Give the checkpoint of `size`, with its cosignatures, if it is kept."""
        with self._reading() as cursor:
            row = cursor.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
        return None if row is None else bytes(row[0])

    def notes(self, above: int, cosigned_only: bool, most: int, *, oldest_first: bool = False) -> list[bytes]:
        """Give up to `most` kept checkpoints of more than `above` entries, the newest (or the oldest) first."""
        with self._reading() as cursor:
            rows = cursor.execute(_OLDEST if oldest_first else _NEWEST, (above, int(cosigned_only), most)).fetchall()
        return [note for (note,) in rows]

    def kept(self, most: int) -> list[tuple[int, bytes, bool]]:
        """Give up to `most` kept checkpoints as they are noted, the newest first: size, note, whether it is cosigned."""
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT size, note, is_cosigned FROM checkpoints ORDER BY size DESC LIMIT ?", (most,)
            ).fetchall()
        return [(size, note, bool(is_cosigned)) for size, note, is_cosigned in rows]

    def replace_note(self, size: int, expected: bytes, note: bytes) -> None:
        """Replace the kept checkpoint of `size` by the same one with more cosignatures. Raises: LostSwapError."""
        with self._changing() as cursor:
            cursor.execute(
                "UPDATE checkpoints SET note = ?, is_cosigned = 1 WHERE size = ? AND note = ?", (note, size, expected)
            )
            if cursor.rowcount != 1:
                raise _lost(
                    Text(
                        zh=f"{size} 条的检查点此间被改动", en=f"the checkpoint of {size} entries was changed meanwhile"
                    )
                )
            cursor.execute("UPDATE newest SET note = ? WHERE size = ? AND note = ?", (note, size, expected))

    def hold(self) -> Hold | None:
        """Give the hold that stands: a contradiction before anything ahead, the one furthest ahead first."""
        with self._reading() as cursor:
            row = cursor.execute(
                "SELECT kind, reason, note, size FROM holds WHERE released IS NULL"
                " ORDER BY kind = 'contradiction' DESC, size DESC LIMIT 1"
            ).fetchone()
        return None if row is None else Hold(HoldKind(row[0]), row[1], row[2], row[3])

    def ahead_notes(self, most: int) -> list[bytes]:
        """Give what was shown and stands, of up to `most` entries, though it was ahead when it was shown."""
        with self._reading() as cursor:
            rows = cursor.execute(
                "SELECT note FROM holds WHERE released IS NULL AND kind = 'ahead' AND size <= ? ORDER BY size", (most,)
            ).fetchall()
        return [note for (note,) in rows]

    def add_hold(self, hold: Hold, now: datetime) -> None:
        """Stop signing. A hold for the same note stands once."""
        with self._changing() as cursor:
            cursor.execute(
                "INSERT INTO holds (kind, reason, note, size, since) SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS"
                " (SELECT 1 FROM holds WHERE released IS NULL AND kind = ? AND size >= ?)",
                (hold.kind, hold.reason, hold.note, hold.size, encode_time(now), hold.kind, hold.size),
            )

    def release(self, reason: str, now: datetime) -> None:
        """Let signing go on; the holds stay on record with the reason."""
        with self._changing() as cursor:
            cursor.execute(
                "UPDATE holds SET released = ?, release_reason = ? WHERE released IS NULL", (encode_time(now), reason)
            )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Cursor]:
        with self._mutex, _explained(self._path), closing(self._connection.cursor()) as cursor:
            yield cursor

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Cursor]:
        with self._mutex, _explained(self._path), closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")


def _connect(path: Path) -> sqlite3.Connection:
    with _explained(path):
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _standing(cursor: sqlite3.Cursor) -> Standing:
    size, note, published_size = cursor.execute("SELECT size, note, published_size FROM newest").fetchone()
    return Standing(note, size, published_size)


def _swap(cursor: sqlite3.Cursor, expected: bytes, note: bytes, size: int) -> None:
    cursor.execute("UPDATE newest SET note = ?, size = ? WHERE note = ? AND size < ?", (note, size, expected, size))
    if cursor.rowcount != 1:
        raise _lost(
            Text(
                zh=f"已签署 {size} 条的检查点，但此间存入了另一个",
                en=f"a checkpoint of {size} entries was signed, but another one was stored meanwhile",
            )
        )
    cursor.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, 0)", (size, note))
    cursor.execute(
        "DELETE FROM checkpoints WHERE is_cosigned = 0 AND size <= (SELECT size FROM checkpoints"
        " WHERE is_cosigned = 0 ORDER BY size DESC LIMIT 1 OFFSET ?)",
        (KEPT_CHECKPOINTS,),
    )


def _lost(message: Text) -> LostSwapError:
    return LostSwapError(
        Text(zh=f"{message.zh}：有另一个写入者在用这份日志", en=f"{message.en}: another writer works on this ledger"),
        hint=Text(
            zh="只有同一台机器上的中心可以共用一个 ledger 目录；停下另一个，本程序没有发布任何内容",
            en="only centers on one machine may share a ledger folder; stop the other one, nothing was published by this",
        ),
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as err:
        raise _explain(err, path) from err


def _explain(err: sqlite3.Error, path: Path) -> CenterError:
    if getattr(err, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return FullError(
            Text(zh=f"没有空间写 {path}", en=f"there is no space left to write {path}"),
            hint=Text(
                zh="腾出空间或扩大磁盘后重试；没有受理任何内容，也没有丢失任何内容",
                en="make room or enlarge the disk, then try again; nothing was admitted and nothing is lost",
            ),
        )
    return StoreError(
        Text(zh=f"{path} 不能读写：{err}", en=f"{path} cannot be read or written: {err}"),
        hint=Text(
            zh="检查磁盘；若文件损坏，从备份恢复 ledger 目录后重新启动",
            en="check the disk; if the file is damaged, restore the ledger folder from its backup and start again",
        ),
    )
