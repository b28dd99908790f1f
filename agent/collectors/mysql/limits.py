# SPDX-License-Identifier: Apache-2.0
"""What protects the live server while a view is open: the snapshot's age, and those who wait for our lock.

A snapshot makes InnoDB keep every old version of a row; a lock for reading makes an ALTER wait, and *behind it* everybody
else who needs the table. Source: lessons.md, "Dangers to the live database".
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from agent.collectors.mysql.connect import Session, text_of
from agent.collectors.mysql.failures import lose_because
from agent.errors import BudgetError

_LOOK_EVERY_S: Final = 5.0
_WAITING: Final = ("Waiting for table", "Waiting for global", "Waiting for backup lock", "Locked")
"""How the server begins to say that a session waits for somebody's lock on a table."""
_ALL: Final = re.compile(r"\s*flush\s+(?:local\s+|no_write_to_binlog\s+)?tables?\s*(?:with\b|;|$)|\s*backup\s+stage\b")
"""Statements that wait for every table that is read: backups of other tools, behind which all writers stand."""


class Budget:
    """How old the snapshot may get. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], limit_s: float) -> None:
        self._clock = clock
        self._began = clock()
        self._limit_s = limit_s

    def left_s(self) -> float:
        """Give how much longer the snapshot may be held; negative if it should be gone."""
        return self._limit_s - (self._clock() - self._began)

    def check(self, table: str) -> None:
        """Raises: BudgetError if the snapshot is too old; `table` is what was to be read."""
        if self.left_s() <= 0:
            raise BudgetError(
                f"the snapshot was {self._limit_s - self.left_s():.0f} s old at table {table}, over its limit of "
                f"{self._limit_s:.0f} s",
                hint="read at a quieter hour or from a replica, or raise snapshot_age_limit: the server keeps old "
                "versions of rows for so long",
            )


class Patience:
    """How long others may wait for a table that this view has locked; the list of sessions is asked every few seconds.

    Without the right PROCESS an account sees its own sessions alone; then this finds nobody, and `check` warns of it.
    """

    def __init__(self, watcher: Session, clock: Callable[[], float], limit_s: float) -> None:
        self._watcher = watcher
        self._clock = clock
        self._limit_s = limit_s
        self._looked = clock()
        self._held: set[str] = set()
        self._waiting_since: dict[str, float] = {}

    def hold(self, name: str) -> None:
        """Begin to hold the lock on table `name`, by its own name."""
        self._held.add(name)

    def release(self, name: str) -> None:
        """Hold the lock on table `name` no longer."""
        self._held.discard(name)
        self._waiting_since.pop(name, None)

    def check(self, table: str, reading: str, *, keeps_locks: bool) -> None:
        """Give way if somebody has waited too long: lose the table `reading`, or the whole snapshot for another.

        `table` is what `reading` is called in the evidence; `keeps_locks`: losing the table would not free it.
        Raises: TableLostError, BudgetError, MySQLdb.Error.
        """
        now = self._clock()
        if now - self._looked < min(_LOOK_EVERY_S, self._limit_s):
            return
        self._looked = now
        waiting = self._count_waiting()
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}
        for name, since in self._waiting_since.items():
            if now - since < self._limit_s:
                continue
            if name == reading and not keeps_locks:
                raise lose_because(
                    table, f"{waiting[name]} sessions had waited for it for {now - since:.0f} s: reading gave way"
                )
            raise BudgetError(
                f"{waiting[name]} sessions had waited for table {name} for {now - since:.0f} s, which only the end of "
                "the snapshot frees: it was given up",
                hint="read at a quieter hour or from a replica; or let the account switch off the binary log for its "
                "own session, see `jinsuo-agent grants`",
            )

    def _count_waiting(self) -> dict[str, int]:
        """Count, for each table that is held, the sessions that wait for it. Their statements name it."""
        # Id, User, Host, db, Command, Time, State, Info; MariaDB adds Progress.
        rows = self._watcher.query("SHOW FULL PROCESSLIST")
        statements = [
            None if row[7] is None else text_of(row[7]).casefold()
            for row in rows
            if text_of(row[6]).startswith(_WAITING)
        ]
        if not statements:
            return {}
        counts = {name: count_waiting(name.casefold(), statements) for name in sorted(self._held)}
        return {name: count for name, count in counts.items() if count}


def count_waiting(name: str, statements: Sequence[str | None]) -> int:
    """Count the statements that wait for a table: that name it as a word, name all of them, or cannot be seen.

    >>> count_waiting("visit", ["alter table `visit` add c int", "drop table visits", None, "flush tables with read lock"])
    3
    """
    word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    return sum(
        statement is None or _ALL.match(statement) is not None or word.search(statement) is not None
        for statement in statements
    )
