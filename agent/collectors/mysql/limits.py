# SPDX-License-Identifier: Apache-2.0
"""What protects the live server while a view is open: the snapshot's age, and those who wait for our lock.

A snapshot makes InnoDB keep every old version of a row; a lock for reading makes an ALTER wait, and *behind it* everybody
else who needs the table. Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Callable
from typing import Final

from agent.collectors.mysql.connect import Session, text_of
from agent.collectors.mysql.failures import lose_because
from agent.errors import BudgetError

_LOOK_EVERY_S: Final = 5.0
_WAITING: Final = ("Waiting for table", "Waiting for global", "Waiting for backup lock", "Locked")
"""How the server begins to say that a session waits for somebody's lock on a table."""


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
    """How long others may wait for the table that we read; the server's list of sessions is asked every few seconds.

    Without the right PROCESS an account sees its own sessions alone; then this finds nobody, and `check` warns of it.
    """

    def __init__(self, watcher: Session, name: str, clock: Callable[[], float], limit_s: float) -> None:
        """`name` is the table's own name, which the statements of those who wait for it contain."""
        self._watcher = watcher
        self._name = name.casefold()
        self._clock = clock
        self._limit_s = limit_s
        self._looked = clock()
        self._waiting_since: float | None = None

    def check(self, table: str) -> None:
        """Raises: TableLostError if somebody has waited too long for `table`; MySQLdb.Error."""
        now = self._clock()
        if now - self._looked < min(_LOOK_EVERY_S, self._limit_s):
            return
        self._looked = now
        count = self._count_waiting()
        if not count:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= self._limit_s:
            raise lose_because(
                table, f"{count} sessions had waited for it for {now - self._waiting_since:.0f} s: reading gave way"
            )

    def _count_waiting(self) -> int:
        # Id, User, Host, db, Command, Time, State, Info; MariaDB adds Progress.
        rows = self._watcher.query("SHOW FULL PROCESSLIST")
        return sum(
            text_of(row[6]).startswith(_WAITING) and (row[7] is None or self._name in text_of(row[7]).casefold())
            for row in rows
        )
