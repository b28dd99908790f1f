# SPDX-License-Identifier: Apache-2.0
"""The journal: what this agent has taken, sent and had receipted, per source; and each source's secrets.

One SQLite file in the agent's folder, `synchronous=FULL`: what a call has written survives kill -9 and power loss. The
newest checkpoint that was verified stands here too, so that it can only move forward. Thread-safe.
States of a statement: taken (signed, in the spool) → registered → stored; one whose content is given up in a `gap` ends
as registered. Clock: times come in as arguments.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from agent.database import changing, from_micros, journal_unwritten, to_micros
from agent.errors import SpoolError
from evidence.digest import Sha256
from terminal.language import Text

_SCHEMA = """
CREATE TABLE IF NOT EXISTS source (
    name TEXT PRIMARY KEY, row_secret BLOB NOT NULL, storage_key BLOB NOT NULL, deposited INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS statement (
    source TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, digest BLOB NOT NULL, note BLOB NOT NULL,
    state TEXT NOT NULL, taken_at INTEGER NOT NULL, tables INTEGER NOT NULL, rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sent_bytes INTEGER NOT NULL DEFAULT 0, log_index INTEGER, receipt BLOB,
    omitted TEXT NOT NULL DEFAULT '', PRIMARY KEY (source, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS content (
    source TEXT NOT NULL, digest BLOB NOT NULL, spooled INTEGER NOT NULL DEFAULT 0, given_up INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, digest)
) STRICT;
CREATE TABLE IF NOT EXISTS outage (source TEXT PRIMARY KEY, since INTEGER NOT NULL, cause TEXT NOT NULL, tries INTEGER NOT NULL)
STRICT;
CREATE TABLE IF NOT EXISTS checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, note BLOB NOT NULL)
STRICT;
"""
_UNFINISHED = "state <> 'stored' AND NOT (state = 'registered' AND (kind <> 'snapshot' OR is_given_up))"
_WITH_CONTENT = (
    "SELECT statement.*, coalesce(given_up, 0) AS is_given_up, coalesce(spooled, 0) AS spooled "
    "FROM statement LEFT JOIN content ON content.source = statement.source AND content.digest = statement.digest"
)


class State(StrEnum):
    """How far a statement has come."""

    TAKEN = "taken"
    REGISTERED = "registered"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class SourceKeys:
    """A source's secrets: `row_secret[32]` salts rows, `storage_key[32]` names objects. Never logged."""

    row_secret: bytes
    storage_key: bytes
    deposited: bool

    def __repr__(self) -> str:
        return f"SourceKeys(deposited={self.deposited})"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One statement of this agent. `receipt` is JCS, as verified; `omitted` counts nothing: it lists names, LF-joined.

    `is_given_up`: a `gap` says that its content will not come; the statement itself is registered all the same.
    `spooled_bytes`: of the packs that taking it has written.
    """

    source: str
    sequence: int
    kind: str
    digest: Sha256
    note: bytes
    state: State
    taken_at: datetime
    tables: int
    rows: int
    bytes_: int
    sent_bytes: int
    log_index: int | None
    receipt: bytes | None
    omitted: str
    is_given_up: bool = False
    spooled_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing is taken of a source because there is no room: since when, why, how many tries."""

    since: datetime
    cause: str
    tries: int


class Journal:
    """The agent's durable memory."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as err:
            raise SpoolError(
                Text(zh=f"采集端的台账 {path} 打不开：{err}", en=f"the agent's journal {path} cannot be opened: {err}"),
                hint=Text(
                    zh="在采集端目录所在的卷上腾出空间，或检查其权限；数据不会丢失",
                    en="make room on the volume of the agent's folder, or look at its rights; nothing is lost",
                ),
            ) from err
        except sqlite3.DatabaseError as err:
            raise SpoolError(
                Text(zh=f"采集端的台账 {path} 打不开：{err}", en=f"the agent's journal {path} cannot be opened: {err}"),
                hint=Text(
                    zh="把该文件移开再运行：采集端从中心已有的内容接着做，并声明缺口",
                    en="move the file aside and run again: the agent goes on from what the center holds, and states a gap",
                ),
            ) from err

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def keys(self, source: str) -> SourceKeys | None:
        """Give a source's secrets, or None if it has none yet."""
        row = self._one("SELECT row_secret, storage_key, deposited FROM source WHERE name = ?", source)
        return None if row is None else SourceKeys(row[0], row[1], bool(row[2]))

    def make_keys(self, source: str) -> SourceKeys:
        """Make and keep the secrets of a new source; not deposited yet."""
        self.put_keys(source, SourceKeys(os.urandom(32), os.urandom(32), False))
        keys = self.keys(source)
        assert keys is not None
        return keys

    def put_keys(self, source: str, keys: SourceKeys) -> None:
        """Keep the secrets of a source; those that are there stay."""
        with self._change() as db:
            db.execute(
                "INSERT INTO source VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (source, keys.row_secret, keys.storage_key, int(keys.deposited)),
            )

    def mark_deposited(self, source: str) -> None:
        """Note that the center holds the secrets."""
        with self._change() as db:
            db.execute("UPDATE source SET deposited = 1 WHERE name = ?", (source,))

    def add(self, entry: JournalEntry) -> None:
        """Note a statement that is signed and whole in the spool. One that was never admitted is replaced."""
        self.exchange((), [entry])

    def exchange(
        self, dropped: Iterable[JournalEntry], added: Iterable[JournalEntry], given_up: Iterable[JournalEntry] = (),
        *, ends_outage_of: str | None = None,
    ) -> None:  # fmt: skip
        """Forget statements that the center never admitted and note those in their place, in one durable step.

        In the same step: the content of `given_up` will not come, and the outage of a source is over, as what is added says.
        """
        with self._change() as db:
            db.executemany(
                "INSERT INTO content (source, digest, given_up) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET given_up = 1",
                [(entry.source, entry.digest) for entry in given_up],
            )
            db.execute("DELETE FROM outage WHERE source = ?", (ends_outage_of,))
            db.executemany(
                "DELETE FROM statement WHERE source = ? AND sequence = ? AND state = 'taken'",
                [(entry.source, entry.sequence) for entry in dropped],
            )
            db.executemany(
                "INSERT OR REPLACE INTO statement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        entry.source, entry.sequence, entry.kind, entry.digest, entry.note, entry.state.value,
                        to_micros(entry.taken_at), entry.tables, entry.rows, entry.bytes_, entry.sent_bytes,
                        entry.log_index, entry.receipt, entry.omitted,
                    )
                    for entry in added
                ],
            )  # fmt: skip
            db.executemany(
                "INSERT OR REPLACE INTO content (source, digest, spooled) VALUES (?, ?, ?)",
                [(entry.source, entry.digest, entry.spooled_bytes) for entry in added if entry.spooled_bytes],
            )

    def mark_receipted(
        self, source: str, sequence: int, state: State, log_index: int, receipt: bytes, sent_bytes: int
    ) -> None:
        """Note a verified receipt, and the bytes that were sent since the one before."""
        with self._change() as db:
            db.execute(
                "UPDATE statement SET state = ?, log_index = ?, receipt = ?, sent_bytes = sent_bytes + ? "
                "WHERE source = ? AND sequence = ?",
                (state.value, log_index, receipt, sent_bytes, source, sequence),
            )

    def latest(self, source: str, state: State | None = None) -> JournalEntry | None:
        """Give the statement of the highest sequence, of `state` if given."""
        return next(
            iter(self._entries("source = ? AND (? IS NULL OR state = ?)", source, state, state, last=True)), None
        )

    def latest_snapshot(self, source: str) -> int:
        """Give the sequence of the newest snapshot of a source; 0: none yet."""
        entries = self._entries("source = ? AND kind = 'snapshot'", source, last=True)
        return entries[0].sequence if entries else 0

    def unfinished(self) -> list[JournalEntry]:
        """Give all statements that are not final at the center yet, oldest first, source by source."""
        return self._entries(_UNFINISHED)

    def unfinished_of(self, source: str) -> list[JournalEntry]:
        """Give those of one source."""
        return self._entries(f"source = ? AND {_UNFINISHED}", source)

    def note_outage(self, source: str, now: datetime, cause: str) -> None:
        """Note that nothing was taken at `now`, for want of room; the first such time and its cause stay until it is over."""
        with self._change() as db:
            db.execute(
                "INSERT INTO outage VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET tries = tries + 1",
                (source, to_micros(now), cause),
            )

    def outage(self, source: str) -> Outage | None:
        """Give the time in which nothing is taken, if it has begun and no `gap` has stated it yet."""
        with self._lock:
            row = self._db.execute("SELECT since, cause, tries FROM outage WHERE source = ?", (source,)).fetchone()
        return None if row is None else Outage(from_micros(row[0]), row[1], row[2])

    def all_of(self, source: str) -> list[JournalEntry]:
        """Give all statements of a source, oldest first."""
        return self._entries("source = ?", source)

    def of_kind(self, kind: str) -> list[JournalEntry]:
        """Give all statements of a kind, source by source, oldest first."""
        return self._entries("kind = ?", kind)

    def sources(self) -> list[str]:
        """Give the names of all sources that have statements here."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT DISTINCT source FROM statement ORDER BY source")]

    def get(self, source: str, sequence: int) -> JournalEntry:
        """Give a statement. Raises: KeyError."""
        for entry in self._entries("source = ? AND sequence = ?", source, sequence):
            return entry
        raise KeyError(f"{source}#{sequence}")

    def checkpoint(self) -> tuple[int, bytes] | None:
        """Give size and note of the newest checkpoint that was verified."""
        row = self._one("SELECT size, note FROM checkpoint WHERE id = 1")
        return None if row is None else (int(row[0]), bytes(row[1]))

    def advance_checkpoint(self, before: bytes | None, size: int, note: bytes) -> bool:
        """Keep a verified checkpoint that continues `before`; tell whether that was still the one kept.

        False: another thread or process has kept another one meanwhile, so this one must be held against that.
        """
        with self._change() as db:
            if before is None:
                changed = db.execute("INSERT INTO checkpoint VALUES (1, ?, ?) ON CONFLICT DO NOTHING", (size, note))
            else:
                changed = db.execute(
                    "UPDATE checkpoint SET size = ?, note = ? WHERE note = ? AND size < ?", (size, note, before, size)
                )
            return changed.rowcount == 1

    def _entries(self, where: str, *values: object, last: bool = False) -> list[JournalEntry]:
        # `where` is one of the constants above, never input.
        order = "sequence DESC LIMIT 1" if last else "source, sequence"
        sql = f"SELECT * FROM ({_WITH_CONTENT}) WHERE {where} ORDER BY {order}"  # noqa: S608
        with self._lock:
            rows = self._db.execute(sql, values).fetchall()
        return [
            JournalEntry(
                r[0], r[1], r[2], Sha256(r[3]), r[4], State(r[5]), from_micros(r[6]), r[7], r[8], r[9], r[10], r[11], r[12],
                r[13], bool(r[14]), r[15],
            )
            for r in rows
        ]  # fmt: skip

    def _one(self, sql: str, *values: object) -> tuple[bytes, ...] | None:
        with self._lock:
            row: tuple[bytes, ...] | None = self._db.execute(sql, values).fetchone()
        return row

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock, changing(self._db, journal_unwritten) as db:
            yield db
