# SPDX-License-Identifier: Apache-2.0
"""Who waits for a table that this view has locked? Then the lock is given up, wherever the reading itself may be.

A lock for reading makes an ALTER, LOCK TABLES or FLUSH wait, and *behind it* everybody else who needs the table. The reader
may be packing or pausing meanwhile: so a thread looks, in a session of its own, every 50 ms as long as something is held.
A look is SHOW FULL PROCESSLIST, the cheapest question that tells it on every server. Three things may be held:

    the table being read      its query is killed, and the savepoint before it gives the lock back
    the same, of an engine    writers always wait for its end: they are let go first only after a while, or it could
    without transactions      never be read
    a table that only the     all that was read would be lost with the snapshot: only after a while, too
    end of the snapshot frees

Source: decision 0078.
"""

import re
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import MySQLdb

from agent.collectors.base import Strain
from agent.collectors.lost import busy_because
from agent.collectors.mysql.connect import Row, Session, text_of
from agent.collectors.mysql.failures import Error, refuse
from agent.collectors.mysql.settings import MysqlSettings
from agent.errors import AgentError, BudgetError
from terminal.language import Text

LOOK_EVERY_S: Final = 0.05
SILENCE_S: Final = 10
"""How long the server may take for one look: who cannot look must not hold anything (decision 0085)."""
DEARLY_S: Final = 15.0
"""How long others wait, at least, for what is dear to give up."""

_WAITING: Final = ("Waiting for table", "Waiting for global", "Waiting for backup lock", "Locked")
"""How the server begins to say that a session waits for somebody's lock on a table."""
_ALL: Final = re.compile(r"\s*flush\s+(?:local\s+|no_write_to_binlog\s+)?tables?\s*(?:with\b|;|$)|\s*backup\s+stage\b")
"""Statements that wait for every table that is read: backups of other tools, behind which all writers stand."""


class Locks(Protocol):
    """What holds the locks, in sessions of these numbers; both methods may be called from any thread."""

    @property
    def ids(self) -> frozenset[int]:
        """Give the numbers by which the server knows the sessions."""

    def let_go(self, by: Session, why: AgentError) -> None:
        """Free the table that is being read: whoever reads it gets `why`. Raises: MySQLdb.Error."""

    def give_up(self, by: Session, why: AgentError) -> None:
        """End the snapshot: whoever reads in it gets `why`. Raises: MySQLdb.Error."""


class Lookout:
    """Watch over the locks of one view; `close` it. `clock` is monotonic, in seconds.

    Without the right PROCESS an account sees its own sessions alone; then this finds nobody, and `check` warns of it.
    Attribute: `strain`, what others have had to wait, as far as it was seen.
    """

    def __init__(self, settings: MysqlSettings, clock: Callable[[], float]) -> None:
        self.strain = Strain()
        self._settings = settings
        self._clock = clock
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._locks: Locks | None = None
        self._reading: tuple[str, str] | None = None
        self._is_dear = False
        self._kept: set[str] = set()
        self._waiting_since: dict[str, float] = {}
        self._error: AgentError | None = None
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def start(self, locks: Locks) -> None:
        """Begin to look, for what `locks` holds."""
        self._locks = locks
        self._thread.start()

    def hold(self, table: str, own: str, *, is_dear: bool, is_kept: bool) -> None:
        """Begin to read table `own`, called `table` in the evidence. `is_kept`: only the end of the snapshot frees it."""
        with self._lock:
            self._is_dear = is_dear
            if is_kept:
                self._kept.add(own)
            else:
                self._reading = (table, own)

    def release(self) -> None:
        """The table being read is free again, if it can be."""
        with self._lock:
            self._reading = None

    def check(self) -> None:
        """Raises: AgentError if nobody looks any more: then nothing may be held either."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Look no more; returns when the session has ended."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._is_closing.wait(LOOK_EVERY_S):
                with self._lock:
                    if self._reading is not None or self._kept:
                        self._look()
        except MySQLdb.Error as err:
            self._error = refuse(Error.of(err), self._settings.address)
        except AgentError as err:
            self._error = err
        finally:
            if self._session is not None:
                self._session.close()

    def _look(self) -> None:
        session = self._session = self._session or Session(self._settings, SILENCE_S)
        assert self._locks is not None
        statements = find_waiting(session.query("SHOW FULL PROCESSLIST"), self._settings.database, self._locks.ids)
        held = {*self._kept, *([self._reading[1]] if self._reading else [])}
        counts = {name: count_waiting(name.casefold(), statements) for name in held} if statements else {}
        now = self._clock()
        self._waiting_since = {name: self._waiting_since.get(name, now) for name, count in counts.items() if count}
        for name, since in sorted(self._waiting_since.items()):
            is_freed = self._reading is not None and self._reading[1] == name
            limit_s = self._settings.give_way_after_s
            if now - since < (limit_s if is_freed and not self._is_dear else max(limit_s, DEARLY_S)):
                continue
            self._give_way(session, name, counts[name], is_freed=is_freed)
            self._note(self._clock() - since)
            return

    def _give_way(self, session: Session, name: str, count: int, *, is_freed: bool) -> None:
        assert self._locks is not None
        if is_freed and self._reading is not None:
            table, self._reading = self._reading[0], None
            self._locks.let_go(session, busy_because(table, f"{count} sessions waited for it: reading gave way"))
            return
        self._kept.clear()
        self._locks.give_up(
            session,
            BudgetError(
                Text(
                    zh=f"有 {count} 个会话在等表 {name}，而它要到快照结束才会放开：本次放弃",
                    en=f"{count} sessions had waited for table {name}, which only the end of the snapshot frees: it was given up",
                ),
                hint=Text(
                    zh="在空闲时段读取，或读副本；或让该账户能关闭自己会话的 binlog，见 `jinsuo-agent grants`",
                    en="read at a quieter hour or from a replica; or let the account switch off the binary log for its "
                    "own session, see `jinsuo-agent grants`",
                ),
            ),
        )

    def _note(self, blocked_s: float) -> None:
        self._waiting_since = {}
        strain = self.strain
        # At least: the waiter may have come at any moment since the look before.
        self.strain = Strain(blocked_s=max(strain.blocked_s, blocked_s + LOOK_EVERY_S), gave_way=strain.gave_way + 1)


def find_waiting(rows: Sequence[Row], database: str, ours: frozenset[int]) -> list[str | None]:
    """Give the statements, casefolded, that wait for a table's lock and may be about `database`; None: not to be seen.

    Sessions that are `ours` wait for others. Rows are Id, User, Host, db, Command, Time, State, Info (MariaDB adds Progress).
    """
    own = database.casefold()
    found: list[str | None] = []
    for row in rows:
        if not text_of(row[6]).startswith(_WAITING) or int(row[0] or 0) in ours:
            continue
        statement = None if row[7] is None else text_of(row[7]).casefold()
        # The same table's name in another database is another table.
        if statement is None or text_of(row[3]).casefold() == own or own in statement or _ALL.match(statement):
            found.append(statement)
    return found


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
