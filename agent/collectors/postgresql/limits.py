# SPDX-License-Identifier: Apache-2.0
"""What protects the live server while a view is open: the snapshot's age, and those who wait for our lock.

A snapshot keeps the cluster's vacuum from cleaning up; a lock for reading makes an ALTER or TRUNCATE wait, and *behind
it* everybody else who needs the table. Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Callable
from typing import Final

from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.connect import query
from agent.collectors.postgresql.failures import lose_because
from agent.errors import BudgetError

_LOOK_EVERY_S: Final = 5.0

# pg_locks is what it is at the moment, also within a transaction; pg_stat_activity would be a copy.
_WAITING: Final = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"


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
                hint="read at a quieter hour or from a standby, or raise snapshot_age_limit_s: "
                "vacuum cleans nothing up for so long",
            )


class Patience:
    """How long others may wait for the table that session `pid` reads; asked through `holder`, every few seconds.

    Attributes: `blocked_s`, the longest that somebody was seen to wait; `gave_way`.
    """

    def __init__(self, holder: Connection, pid: int, clock: Callable[[], float], limit_s: float) -> None:
        self._holder = holder
        self._pid = pid
        self._clock = clock
        self._limit_s = limit_s
        self._looked = clock()
        self._waiting_since: float | None = None
        self.blocked_s = 0.0
        self.gave_way = False

    def check(self, table: str) -> None:
        """Raises: TableLostError if somebody has waited too long for `table`; psycopg2.Error."""
        now = self._clock()
        if now - self._looked < min(_LOOK_EVERY_S, self._limit_s):
            return
        self._looked = now
        ((count,),) = query(self._holder, _WAITING, [self._pid])
        if not count:
            self._waiting_since = None
            return
        if self._waiting_since is None:
            self._waiting_since = now
        self.blocked_s = max(self.blocked_s, now - self._waiting_since)
        if now - self._waiting_since >= self._limit_s:
            self.gave_way = True
            raise lose_because(
                table, f"{count} sessions had waited for it for {now - self._waiting_since:.0f} s: reading gave way"
            )
