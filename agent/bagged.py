# SPDX-License-Identifier: Apache-2.0
"""What travels in bags: which packs and statements, since when, until an answer comes.

Beside that what was decided about content that the center lacks, and the proofs that answers brought, for all sources: the
agent keeps one checkpoint.

Tables of their own in the journal's file, `synchronous=FULL`: what a call has written survives kill -9 and power loss. A
bag is here before it is put into the outbox, so a kill leaves none there that nobody remembers. Forgetting too much is
harmless: what is in no bag is made into a new one. Clock: times come in as arguments. Thread-safe.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.database import changing, from_micros, journal_unwritten, to_micros
from evidence.digest import Sha256

_MOST_PROOFS = 2_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS bag (
    id TEXT PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT NULL, is_put INTEGER NOT NULL, made_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS bag_pack (
    bag TEXT NOT NULL REFERENCES bag ON DELETE CASCADE, pack TEXT NOT NULL, PRIMARY KEY (bag, pack)
) STRICT;
CREATE TABLE IF NOT EXISTS bag_statement (
    bag TEXT NOT NULL REFERENCES bag ON DELETE CASCADE, digest BLOB NOT NULL, PRIMARY KEY (bag, digest)
) STRICT;
CREATE TABLE IF NOT EXISTS bag_proof (old INTEGER, new INTEGER, hashes BLOB NOT NULL, PRIMARY KEY (old, new)) STRICT;
CREATE TABLE IF NOT EXISTS bag_mark (source TEXT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (source, what)) STRICT;
CREATE TABLE IF NOT EXISTS bag_decided (
    source TEXT PRIMARY KEY, about TEXT NOT NULL, is_sent INTEGER NOT NULL, sequence INTEGER NOT NULL, packs TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Bagged:
    """A bag that was made. `is_put`: it was seen whole in the outbox."""

    bag: str
    source: str
    name: str
    is_put: bool
    made_at: datetime
    packs: tuple[str, ...]
    statements: tuple[Sha256, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """What was last decided about what the center lacks: until these packs are answered, nothing more.

    Nor until a snapshot after `sequence` is; 0: none need be. `about`: the digest of a statement, or a pack; `is_sent`: content
    was sent again for it, not only waited for.
    """

    about: str
    is_sent: bool
    sequence: int
    packs: frozenset[str]


class BagLog:
    """The bags of one agent that are not answered yet."""

    def __init__(self, path: Path) -> None:
        """Open the tables in the journal's file, which is there."""
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as err:
            raise journal_unwritten(err) from err

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add(self, bagged: Bagged) -> None:
        """Note a bag that is whole and durable, before it is put."""
        with self._change() as db:
            values = (bagged.bag, bagged.source, bagged.name, int(bagged.is_put), to_micros(bagged.made_at))
            db.execute("INSERT INTO bag VALUES (?, ?, ?, ?, ?)", values)
            db.executemany("INSERT INTO bag_pack VALUES (?, ?)", [(bagged.bag, pack) for pack in bagged.packs])
            db.executemany("INSERT INTO bag_statement VALUES (?, ?)", [(bagged.bag, s) for s in bagged.statements])

    def mark_put(self, bag: str) -> None:
        """Note that a bag is in the outbox."""
        with self._change() as db:
            db.execute("UPDATE bag SET is_put = 1 WHERE id = ?", (bag,))

    def forget(self, bags: Iterable[str]) -> None:
        """Forget bags: answered, lost, or of which nothing waits any more."""
        with self._change() as db:
            db.executemany("DELETE FROM bag WHERE id = ?", [(bag,) for bag in bags])

    def of(self, source: str) -> list[Bagged]:
        """Give the bags of a source that are not answered, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, source, name, is_put, made_at FROM bag WHERE source = ? ORDER BY made_at, id", (source,)
            ).fetchall()
            packs = [self._db.execute("SELECT pack FROM bag_pack WHERE bag = ?", row[:1]).fetchall() for row in rows]
            notes = [
                self._db.execute("SELECT digest FROM bag_statement WHERE bag = ?", row[:1]).fetchall() for row in rows
            ]
        return [
            Bagged(
                row[0], row[1], row[2], bool(row[3]), from_micros(row[4]),
                tuple(pack[0] for pack in packed), tuple(Sha256(note[0]) for note in noted),
            )
            for row, packed, noted in zip(rows, packs, notes, strict=True)
        ]  # fmt: skip

    def mark(self, source: str, what: str, live: Collection[str]) -> bool:
        """Note that `what` was done once about a source; tell whether this is the first time.

        Of the source only such marks are kept as are in `live`: what else was noted is about things that are over.
        """
        with self._change() as db:
            noted = db.execute("SELECT what FROM bag_mark WHERE source = ?", (source,)).fetchall()
            over = [(source, each) for (each,) in noted if each not in live]
            db.executemany("DELETE FROM bag_mark WHERE source = ? AND what = ?", over)
            return db.execute("INSERT INTO bag_mark VALUES (?, ?) ON CONFLICT DO NOTHING", (source, what)).rowcount == 1

    def decide(self, source: str, decided: Decided) -> None:
        """Keep what was decided about a source, in the place of what was before."""
        with self._change() as db:
            values = (source, decided.about, int(decided.is_sent), decided.sequence, " ".join(sorted(decided.packs)))
            db.execute("INSERT OR REPLACE INTO bag_decided VALUES (?, ?, ?, ?, ?)", values)

    def decided(self, source: str) -> Decided | None:
        """Give what was last decided about a source."""
        with self._lock:
            sql = "SELECT about, is_sent, sequence, packs FROM bag_decided WHERE source = ?"
            row = self._db.execute(sql, (source,)).fetchone()
        return None if row is None else Decided(row[0], bool(row[1]), row[2], frozenset(row[3].split()))

    def keep_proofs(self, new: int, proofs: Iterable[tuple[int, bytes]]) -> None:
        """Keep the proofs that the log of `new` entries continues smaller ones: another source's receipts may need them.

        They are verified when they are used. The newest are kept, within bounds.
        """
        with self._change() as db:
            rows = [(old, new, hashes) for old, hashes in proofs]
            db.executemany("INSERT OR REPLACE INTO bag_proof VALUES (?, ?, ?)", rows)
            db.execute(
                "DELETE FROM bag_proof WHERE rowid NOT IN (SELECT rowid FROM bag_proof ORDER BY new DESC, old DESC LIMIT ?)",
                (_MOST_PROOFS,),
            )

    def find_proof(self, old: int, new: int) -> list[Sha256] | None:
        """Give a proof that was kept."""
        with self._lock:
            row = self._db.execute("SELECT hashes FROM bag_proof WHERE old = ? AND new = ?", (old, new)).fetchone()
        return None if row is None else [Sha256(row[0][i : i + 32]) for i in range(0, len(row[0]), 32)]

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock, changing(self._db, journal_unwritten) as db:
            yield db
