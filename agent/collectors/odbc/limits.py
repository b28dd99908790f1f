# SPDX-License-Identifier: Apache-2.0
"""What protects the live server while a view is open: those who wait for our lock.

Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Callable
from typing import Final

from agent.collectors.lost import lose_because
from agent.collectors.odbc.dialect import Dialect, fill
from agent.collectors.odbc.process import StatementError
from agent.collectors.odbc.session import Session
from agent.errors import BudgetError
from terminal.language import Text

_LOOK_EVERY_S: Final = 5.0


class Patience:
    """How long others may wait for what our session holds; asked over a session beside it, every few seconds.

    Attribute: `is_blind`, whether the account may not see who waits.
    """

    def __init__(
        self,
        dialect: Dialect,
        session_id: str,
        connect: Callable[[], Session],
        clock: Callable[[], float],
        limit_s: float,
    ) -> None:
        """`connect` opens the session beside, when it is first needed."""
        assert dialect.waiting is not None
        self._query = fill(dialect.waiting, session=session_id)
        self._keeps_locks = dialect.keeps_locks
        self._connect = connect
        self._clock = clock
        self._limit_s = limit_s
        self._looked = clock()
        self._waiting_since: float | None = None
        self._watcher: Session | None = None
        self.is_blind = False

    def check(self, table: str) -> None:
        """Raises: TableLostError if somebody has waited too long, BudgetError where only the end of all frees; SourceError."""
        now = self._clock()
        if self.is_blind or now - self._looked < min(_LOOK_EVERY_S, self._limit_s):
            return
        self._looked = now
        if self._watcher is None:
            self._watcher = self._connect()
        try:
            count = int(self._watcher.query(self._query)[0][0] or 0)
        except StatementError:
            # The account may not see who waits: then nobody can tell.
            self.is_blind = True
            return
        if not count:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= self._limit_s:
            waited_s = f"{now - self._waiting_since:.0f}"
            if self._keeps_locks:
                raise BudgetError(
                    Text(
                        zh=f"读到表 {table} 时，有 {count} 个会话在等我们占着的表，已等 {waited_s} 秒：停止读取，让它们先行",
                        en=f"at table {table}, {count} sessions had waited for a table that we hold for {waited_s} s: reading gave way",
                    ),
                    hint=Text(
                        zh="在没有 ALTER、DROP 和 TRUNCATE 的时段读取；服务器到快照结束才放开锁",
                        en="read at an hour without ALTER, DROP and TRUNCATE; the server keeps locks until the snapshot ends",
                    ),
                )
            raise lose_because(table, f"{count} sessions had waited for it for {waited_s} s: reading gave way")

    def close(self) -> None:
        """End the session beside."""
        if self._watcher is not None:
            self._watcher.close()
