# SPDX-License-Identifier: Apache-2.0
"""Signs of life: when each unit last called, and its newest heartbeat. What the center's watch looks at.

    signs.sqlite    in the center's folder, beside the evidence and no part of it: dropped without harm, made anew

Every request of a unit is a sign; of those at most one a minute is written. A heartbeat is the agent's own word, kept as
it came with the center's time; the newest replaces the one before. `Listening` says when somebody was there to be called:
nobody is silent while the center is off, and neither a start nor a clock that was ahead makes anybody's silence shorter.
A file that is damaged is made anew: what it held comes again with the next calls.
Thread-safe; several processes may share the file. Times come in as arguments.
"""

import logging
import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from center.errors import FullError, StoreError
from evidence.encode import encode_time, parse_time
from evidence.errors import EvidenceError
from evidence.wire.heartbeat import Heartbeat, parse_heartbeat
from terminal.language import Text

SIGNS_NAME: Final = "signs.sqlite"
WRITTEN_EVERY: Final = timedelta(minutes=1)
_MOST_SPANS: Final = 200
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS seen (unit TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS heartbeat (unit TEXT PRIMARY KEY, at TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS listening (began TEXT PRIMARY KEY, until TEXT NOT NULL) STRICT;
"""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """A unit's newest heartbeat, and when it came by the center's clock."""

    at: datetime
    heartbeat: Heartbeat

    @property
    def clock_error(self) -> timedelta:
        """Give how far the agent's clock is ahead of the center's; the time on the line counts as error."""
        return self.heartbeat.clock - self.at


@dataclass(frozen=True, slots=True)
class Listening:
    """When the center has listened: spans of (from, to), the oldest first, which do not overlap."""

    spans: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def started(self) -> datetime | None:
        """Give since when it has listened without a break, up to its last sign; None if it never has."""
        return self.spans[-1][0] if self.spans else None

    def since(self, moment: datetime) -> timedelta:
        """Give for how long it has listened since `moment`."""
        return sum((to - max(from_, moment) for from_, to in self.spans if to > moment), timedelta(0))


class Signs:
    """The signs of life of one center's units."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the file; None: keep everything in memory. Raises: StoreError, FullError."""
        self._lock = threading.Lock()
        self._written: dict[str, datetime] = {}
        self._read: dict[str, tuple[tuple[str, bytes], Heard | None]] = {}
        self._path = path
        try:
            self._db = self._open()
        except sqlite3.OperationalError as err:
            raise _refusal(path, err) from err
        except sqlite3.DatabaseError:
            assert path is not None
            log.warning("signs of life are damaged and made anew", extra={"path": path})
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def listen(self, now: datetime) -> None:
        """Take note that the center begins to listen. Raises: FullError, StoreError."""
        at = encode_time(now)
        # What lies in the future is of a clock that was set back since.
        self._put("DELETE FROM listening WHERE began >= ?", at)
        self._put("UPDATE listening SET until = ? WHERE until > ?", at, at)
        self._put("INSERT INTO listening VALUES (?, ?)", at, at)
        self._put(
            "DELETE FROM listening WHERE began NOT IN (SELECT began FROM listening ORDER BY began DESC LIMIT ?)",
            _MOST_SPANS,
        )

    def keep_listening(self, now: datetime) -> None:
        """Take note that the center listens still. Raises: FullError, StoreError."""
        at = encode_time(now)
        # What lies in the future was noted by a clock that was ahead, and would hide a silence until then.
        self._put("UPDATE seen SET at = ? WHERE at > ?", at, at)
        (ahead,) = self._all("SELECT max(began) > ? FROM listening", at)
        if ahead[0]:
            self.listen(now)
        self._put(
            "UPDATE listening SET until = ? WHERE began = (SELECT max(began) FROM listening) AND began <= ?", at, at
        )

    def listening(self) -> Listening:
        """Give when the center has listened."""
        rows = self._all("SELECT began, until FROM listening ORDER BY began")
        return Listening(tuple((parse_time(str(a), "began"), parse_time(str(b), "until")) for a, b in rows))

    def see(self, unit: str, now: datetime) -> None:
        """Take note that a unit has called. It holds nothing up: what cannot be written is noted with the next call."""
        before = self._written.get(unit)
        if before is not None and before <= now < before + WRITTEN_EVERY:
            return
        self._written[unit] = now
        try:
            self._put("INSERT OR REPLACE INTO seen VALUES (?, ?)", unit, encode_time(now))
        except (FullError, StoreError) as err:
            del self._written[unit]
            log.warning("sign of life not noted", extra={"unit": unit, "why": str(err)})

    def see_made(self, unit: str, made: datetime, now: datetime) -> None:
        """Take note that what came without a line was made by a unit at `made`; what was made later counts, and no future."""
        sql = "INSERT INTO seen VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at"
        try:
            self._put(sql, unit, encode_time(min(made, now)))
        except (FullError, StoreError) as err:
            log.warning("sign of life not noted", extra={"unit": unit, "why": str(err)})

    def hear(self, unit: str, heartbeat: Heartbeat, now: datetime) -> None:
        """Keep a unit's heartbeat in the place of the one before. Raises: FullError, StoreError."""
        self._put("INSERT OR REPLACE INTO heartbeat VALUES (?, ?, ?)", unit, encode_time(now), heartbeat.encode())

    def last_seen(self) -> dict[str, datetime]:
        """Give when each unit last called."""
        return {str(unit): parse_time(str(at), "at") for unit, at in self._all("SELECT unit, at FROM seen")}

    def heartbeats(self) -> dict[str, Heard]:
        """Give the newest heartbeat of each unit; one that another version has written is left out."""
        found: dict[str, Heard] = {}
        for unit, at, body in self._all("SELECT unit, at, body FROM heartbeat"):
            known = self._read.get(unit)
            if known is None or known[0] != (at, body):
                known = self._read[unit] = (at, body), _read_heard(unit, at, body)
            if known[1] is not None:
                found[unit] = known[1]
        return found

    def _open(self) -> sqlite3.Connection:
        place = ":memory:" if self._path is None else str(self._path)
        db = sqlite3.connect(place, check_same_thread=False, isolation_level=None, timeout=10)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _put(self, sql: str, *values: object) -> None:
        try:
            with self._lock:
                self._db.execute(sql, values)
        except sqlite3.Error as err:
            raise _refusal(self._path, err) from err

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:  # Any: columns of any type
        try:
            with self._lock:
                return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as err:
            raise _refusal(self._path, err) from err


def _read_heard(unit: str, at: str, body: bytes) -> Heard | None:
    try:
        return Heard(parse_time(at, "at"), parse_heartbeat(body))
    except EvidenceError:
        log.warning("heartbeat of another version", extra={"unit": unit})
        return None


def _refusal(path: Path | None, err: sqlite3.Error) -> FullError | StoreError:
    if getattr(err, "sqlite_errorname", "").startswith("SQLITE_FULL"):
        return FullError(
            Text(zh=f"没有空间写 {path}", en=f"there is no room to write {path}"),
            hint=Text(zh="在中心的磁盘上腾出空间", en="make room on the center's disk"),
        )
    return StoreError(
        Text(
            zh=f"{path} 中的音信记录不能读写：{err}", en=f"the signs of life in {path} cannot be read or written: {err}"
        ),
        hint=Text(
            zh="停止中心后删去该文件：会重新生成，其中没有证据",
            en="stop the center and remove the file: it is made anew, and nothing of the evidence is in it",
        ),
    )
