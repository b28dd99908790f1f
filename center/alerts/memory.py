# SPDX-License-Identifier: Apache-2.0
"""What the watch remembers: the course of each alert, and what is still to be said on each channel. One SQLite file.

    alerts.sqlite    in the center's folder, beside the evidence and no part of it

A look at the scene, its new records and everything that is to be said because of it are one transaction: after a crash
either none of it happened or all of it is still to be said. What was said is taken out only when the channel has it: so
a crash in between says it once more, and nothing else does. Of one alert at most two items wait on a channel, however long it is
down: the newest telling, and the all-clear. A file that is damaged is put aside and made anew.
Thread-safe; several processes may share the file: a look holds it, so two of them never say one thing twice.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from center.alerts.alert import read_alert
from center.alerts.course import Item, Record, What, read_record
from center.errors import FullError, StoreError
from evidence.encode import encode_json, encode_time, parse_json, parse_time
from evidence.errors import EvidenceError
from terminal.language import Text

MEMORY_NAME: Final = "alerts.sqlite"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS record (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS pending (
    serial INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL,
    UNIQUE (channel, key) ON CONFLICT REPLACE
) STRICT;
CREATE TABLE IF NOT EXISTS channel (
    name TEXT PRIMARY KEY, failures INTEGER NOT NULL, since TEXT NOT NULL, next_try TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_TEST_KEY: Final = "test"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the watch knows of itself.

    `since`: when it began; `examined`: so many entries of the log have been looked at; `tested`: the last test alarm.
    """

    since: datetime
    examined: int
    tested: datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """An item that waits on a channel."""

    serial: int
    item: Item


@dataclass(frozen=True, slots=True)
class Trouble:
    """A channel that has taken nothing: how often in a row, since when, and when it is tried again."""

    failures: int
    since: datetime
    next_try: datetime


class Memory:
    """The memory of one center's watch."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises: StoreError, FullError."""
        self._path = path
        self._lock = threading.RLock()
        try:
            self._db = self._open()
        except sqlite3.OperationalError as err:
            raise self._refusal(err) from err
        except sqlite3.DatabaseError:
            aside = path.with_name(f"{path.name}.damaged")
            log.exception("the memory of alerts is damaged, and begun anew", extra={"aside": aside})
            path.replace(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def turn(self) -> Iterator["Turn"]:
        """Have the memory for one look: all that is changed in the block is kept together, or nothing if it raises."""
        with self._lock, self._changing():
            yield Turn(self._db)

    def records(self) -> dict[str, Record]:
        """Give the course of all alerts that are remembered."""
        with self._lock, self._translated():
            return _read_records(self._db)

    def facts(self) -> Facts | None:
        """Give what the watch knows of itself; None before its first look."""
        with self._lock, self._translated():
            return _read_facts(self._db)

    def pending(self, channel: str, most: int) -> list[Pending]:
        """Give what is to be said on a channel, oldest first. What another version has put there is let fall."""
        query = "SELECT serial, body FROM pending WHERE channel = ? ORDER BY serial LIMIT ?"
        with self._lock, self._translated():
            rows = self._db.execute(query, (channel, most)).fetchall()
            read = [(int(serial), _read_item(bytes(body))) for serial, body in rows]
            unread = [(serial,) for serial, item in read if item is None]
            if unread:
                self._db.executemany("DELETE FROM pending WHERE serial = ?", unread)
        return [Pending(serial, item) for serial, item in read if item is not None]

    def count_pending(self, channel: str) -> int:
        """Give the number of items that wait on a channel."""
        with self._lock, self._translated():
            row = self._db.execute("SELECT count(*) FROM pending WHERE channel = ?", (channel,)).fetchone()
        return int(row[0])

    def forget_channels(self, known: Iterable[str]) -> None:
        """Let fall what waits on channels that there are no more."""
        with self._lock, self._changing() as db:
            names = {row[0] for row in db.execute("SELECT channel FROM pending UNION SELECT name FROM channel")}
            for name in names - set(known):
                db.execute("DELETE FROM pending WHERE channel = ?", (name,))
                db.execute("DELETE FROM channel WHERE name = ?", (name,))

    def mark_sent(self, channel: str, sent: Iterable[Pending]) -> None:
        """Take out what the channel has now. An item that was renewed meanwhile stays."""
        with self._lock, self._changing() as db:
            db.executemany("DELETE FROM pending WHERE serial = ?", [(one.serial,) for one in sent])
            db.execute("DELETE FROM channel WHERE name = ?", (channel,))

    def mark_failed(self, channel: str, trouble: Trouble) -> None:
        """Take note that a channel took nothing."""
        values = (channel, trouble.failures, encode_time(trouble.since), encode_time(trouble.next_try))
        with self._lock, self._changing() as db:
            db.execute("INSERT OR REPLACE INTO channel VALUES (?, ?, ?, ?)", values)

    def troubles(self) -> dict[str, Trouble]:
        """Give the channels that took nothing when they were last tried."""
        with self._lock, self._translated():
            rows = self._db.execute("SELECT name, failures, since, next_try FROM channel").fetchall()
        return {
            str(name): Trouble(int(failures), parse_time(str(since), "since"), parse_time(str(next_try), "next_try"))
            for name, failures, since, next_try in rows
        }

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as err:
            raise self._refusal(err) from err

    def _refusal(self, err: sqlite3.Error) -> FullError | StoreError:
        if getattr(err, "sqlite_errorname", "").startswith("SQLITE_FULL"):
            return FullError(
                Text(zh=f"没有空间写 {self._path}", en=f"there is no room to write {self._path}"),
                hint=Text(zh="在中心的磁盘上腾出空间", en="make room on the center's disk"),
            )
        return StoreError(
            Text(
                zh=f"告警的记忆 {self._path} 不能读写：{err}",
                en=f"the memory of alerts {self._path} cannot be read or written: {err}",
            ),
            hint=Text(
                zh="检查权限和磁盘；该文件可以移开，会重新生成，它不是证据",
                en="look at the rights and the disk; the file may be moved aside: it is made anew, and is no evidence",
            ),
        )


class Turn:
    """The memory during one look; inside `Memory.turn` only."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def records(self) -> dict[str, Record]:
        """Give the course of all alerts."""
        return _read_records(self._db)

    def facts(self) -> Facts | None:
        """Give what the watch knows of itself."""
        return _read_facts(self._db)

    def keep(self, before: Mapping[str, Record], after: Mapping[str, Record]) -> None:
        """Keep the records that are new or other than before; forget those that are not there any more."""
        gone = [(key,) for key in before.keys() - after.keys()]
        self._db.executemany("DELETE FROM record WHERE id = ?", gone)
        changed = [(key, encode_json(one.to_json())) for key, one in after.items() if before.get(key) != one]
        self._db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?)", changed)

    def say(self, channel: str, items: Iterable[Item]) -> None:
        """Put items on a channel; a newer telling of an alert takes the place of an older one that still waits."""
        rows = [(channel, _key_of(item), _encode_item(item)) for item in items]
        self._db.executemany("INSERT INTO pending (channel, key, body) VALUES (?, ?, ?)", rows)

    def keep_facts(self, facts: Facts) -> None:
        """Keep what the watch knows of itself."""
        values = {
            "since": encode_time(facts.since), "examined": str(facts.examined), "tested": encode_time(facts.tested)
        }  # fmt: skip
        self._db.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", list(values.items()))


def _read_records(db: sqlite3.Connection) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for key, body in db.execute("SELECT id, body FROM record"):
        try:
            found[str(key)] = read_record(parse_json(bytes(body), "a record of an alert"))
        except EvidenceError as err:
            log.warning("a record of an alert cannot be read", extra={"alert": key, "why": str(err)})
    return found


def _read_facts(db: sqlite3.Connection) -> Facts | None:
    facts = {str(name): str(value) for name, value in db.execute("SELECT name, value FROM fact")}
    if not facts:
        return None
    return Facts(parse_time(facts["since"], "since"), int(facts["examined"]), parse_time(facts["tested"], "tested"))


def _key_of(item: Item) -> str:
    if item.alert is None:
        return _TEST_KEY
    return f"{'cleared' if item.what is What.CLEARED else 'told'} {item.alert.id}"


def _encode_item(item: Item) -> bytes:
    alert = None if item.alert is None else item.alert.to_json()
    return encode_json({"alert": alert, "at": encode_time(item.at), "what": item.what.value})


def _read_item(raw: bytes) -> Item | None:
    """Read an item; None if another version has written it."""
    try:
        document = json.loads(raw)
        alert = None if document["alert"] is None else read_alert(document["alert"])
        return Item(What(document["what"]), parse_time(document["at"], "at"), alert)
    except (EvidenceError, ValueError, KeyError, TypeError):
        log.warning("an item that waits cannot be read")
        return None
