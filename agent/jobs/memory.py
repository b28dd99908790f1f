# SPDX-License-Identifier: Apache-2.0
"""What is due and what became of every scheduled run, in one SQLite file of the agent's folder, `synchronous=FULL`.

    schedule.sqlite    job    one row each: what is decided, what is pending        note   a row per run, or per row of missed ones

A change of a job's state and the notes that go with it are one transaction: what a call has written survives kill -9 and
power loss, whole or not at all. Notes are kept for `KEEP`, so the file does not grow. One thread; other processes may read.
"""

import json
import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from agent.database import changing, from_micros, to_micros
from agent.errors import SpoolError
from agent.jobs.job import Fate, JobState, Note, Pending
from terminal.language import Text

SCHEDULE_NAME: Final = "schedule.sqlite"
KEEP: Final = timedelta(days=400)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS agent (id INTEGER PRIMARY KEY CHECK (id = 1), salt BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, words TEXT NOT NULL, settled INTEGER NOT NULL, pending TEXT) STRICT;
CREATE TABLE IF NOT EXISTS note (
    job TEXT NOT NULL, at INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, fate TEXT NOT NULL,
    reason TEXT NOT NULL, code TEXT NOT NULL, attempts INTEGER NOT NULL, is_late INTEGER NOT NULL, began INTEGER,
    ended INTEGER, sequences TEXT NOT NULL, stated INTEGER NOT NULL, PRIMARY KEY (job, at)
) STRICT;
"""


class ScheduleMemory:
    """The memory of one agent's folder. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Open it, or make it. Raises: SpoolError."""
        self._path = folder / SCHEDULE_NAME
        try:
            self._db = sqlite3.connect(self._path, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT INTO agent VALUES (1, ?) ON CONFLICT DO NOTHING", (os.urandom(16),))
        except sqlite3.OperationalError as err:
            raise self._unwritable(err) from err
        except sqlite3.DatabaseError as err:
            raise self._damaged(err) from err

    def __enter__(self) -> "ScheduleMemory":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def salt(self) -> bytes:
        """Give 16 bytes of this agent's own."""
        (row,) = self._rows("SELECT salt FROM agent")
        return bytes(row[0])

    def states(self) -> dict[str, JobState]:
        """Give the state of every job, by its name."""
        rows = self._rows("SELECT name, words, settled, pending FROM job")
        return {name: JobState(words, _moment(settled), _read_pending(raw)) for name, words, settled, raw in rows}

    def put(self, name: str, state: JobState | None, notes: Sequence[Note] = ()) -> None:
        """Keep the state of a job (None: forget it) together with notes, in one durable step. Raises: SpoolError."""
        self.replace(name, state, (), notes)

    def replace(self, name: str, state: JobState | None, dropped: Sequence[Note], added: Sequence[Note]) -> None:
        """As `put`, and in the same step forget `dropped`. Raises: SpoolError."""
        with changing(self._db, self._unwritable) as db:
            if state is None:
                db.execute("DELETE FROM job WHERE name = ?", (name,))
            else:
                row = (name, state.words, to_micros(state.settled), _write_pending(state.pending))
                db.execute("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)", row)
            db.executemany("DELETE FROM note WHERE job = ? AND at = ?", [(n.job, to_micros(n.at)) for n in dropped])
            insert = "INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            db.executemany(insert, [_row(note) for note in added])

    def has_fate(self, name: str, at: datetime, fate: Fate) -> bool:
        """Tell whether the run that was due at this instant had this fate."""
        sql = "SELECT 1 FROM note WHERE job = ? AND at = ? AND fate = ?"
        return bool(self._rows(sql, name, to_micros(at), fate.value))

    def notes(self, name: str | None = None) -> list[Note]:
        """Give what became of the runs of a job (None: of all), in their order."""
        sql = "SELECT * FROM note WHERE ? IS NULL OR job = ? ORDER BY at, job"
        return [_read(row) for row in self._rows(sql, name, name)]

    def unstated(self, name: str) -> list[Note]:
        """Give the notes of runs that were not taken, and of which no manifest tells yet."""
        sql = "SELECT * FROM note WHERE job = ? AND stated = 0 AND fate NOT IN ('taken', 'doubtful') ORDER BY at"
        return [_read(row) for row in self._rows(sql, name)]

    def mark_stated(self, notes: Sequence[Note]) -> None:
        """Note that these stand in a manifest. Raises: SpoolError."""
        with changing(self._db, self._unwritable) as db:
            rows = [(note.job, to_micros(note.at)) for note in notes]
            db.executemany("UPDATE note SET stated = 1 WHERE job = ? AND at = ?", rows)

    def forget_before(self, moment: datetime) -> None:
        """Forget the notes of what was due before `moment`. Raises: SpoolError."""
        with changing(self._db, self._unwritable) as db:
            db.execute("DELETE FROM note WHERE last < ?", (to_micros(moment),))

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:  # Any: SQLite's columns, strictly typed there
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as err:
            raise self._damaged(err) from err

    def _damaged(self, err: sqlite3.Error) -> SpoolError:
        return SpoolError(
            Text(zh=f"计划记录 {self._path} 已损坏：{err}", en=f"the memory of scheduled runs {self._path} is damaged: {err}"),
            hint=Text(
                zh="移开该文件再运行：计划从现在起算，快照和回执不受影响",
                en="move the file aside and run again: schedules count from now; no snapshot and no receipt is lost",
            ),
        )  # fmt: skip

    def _unwritable(self, err: sqlite3.Error) -> SpoolError:
        return SpoolError(
            Text(zh=f"计划记录 {self._path} 无法写入：{err}", en=f"the memory of scheduled runs {self._path} cannot be written: {err}"),
            hint=Text(
                zh="在采集端目录所在的卷腾出空间，或检查权限；在此之前不开始计划的快照",
                en="make room on the volume of the agent's folder, or look at its rights; no scheduled run begins before",
            ),
        )  # fmt: skip


def _row(note: Note) -> tuple[object, ...]:
    return (
        note.job, to_micros(note.at), to_micros(note.last), note.count, note.fate.value, note.reason, note.code, note.attempts,
        int(note.is_late), note.began and to_micros(note.began), note.ended and to_micros(note.ended),
        json.dumps(dict(note.sequences)), int(note.stated),
    )  # fmt: skip


def _read(row: tuple[object, ...]) -> Note:
    job, at, last, count, fate, reason, code, attempts, late, began, ended, sequences, stated = row
    return Note(
        str(job), _moment(at), _moment(last), int(str(count)), Fate(str(fate)), str(reason), str(code), int(str(attempts)),
        bool(late), None if began is None else _moment(began), None if ended is None else _moment(ended),
        json.loads(str(sequences)), bool(stated),
    )  # fmt: skip


def _write_pending(pending: Pending | None) -> str | None:
    if pending is None:
        return None
    return json.dumps(
        {
            "at": to_micros(pending.at), "not_before": to_micros(pending.not_before), "is_late": pending.is_late,
            "attempts": pending.attempts, "began": None if pending.began is None else to_micros(pending.began),
            "newest": dict(pending.newest), "code": pending.code, "why": pending.why,
        }
    )  # fmt: skip


def _read_pending(raw: str | None) -> Pending | None:
    if raw is None:
        return None
    document = json.loads(raw)
    times = {
        name: None if document[name] is None else _moment(document[name]) for name in ("at", "not_before", "began")
    }
    return Pending(**(document | times))


def _moment(micros: object) -> datetime:
    assert isinstance(micros, int)
    return from_micros(micros)
