# SPDX-License-Identifier: Apache-2.0
"""Who waits for a table that we have locked? Then the lock is given up, wherever the reading itself may be.

A lock for reading makes an ALTER, LOCK TABLE or TRUNCATE wait, and *behind it* everybody else who needs the table. The
reader may be writing a pack or pausing meanwhile: so a thread looks, in a session of its own, outside of any transaction,
every 50 ms as long as something is held. A look is one call of the server (`pg_locks`, which is what it is at the
moment); whom a waiter waits for is asked of those alone who wait for a table. A server that gives no answer to a look
is not waited for: who cannot look must not hold anything. Source: decisions 0078, 0085.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol, TypeAlias

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.base import Strain
from agent.collectors.postgresql.connect import cut, open_connection, query
from agent.collectors.postgresql.failures import refuse
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.errors import AgentError, SourceDownError
from terminal.language import Text

LOOK_EVERY_S: Final = 0.05
SILENCE_S: Final = 10.0
"""How long the server may take for one look, by this machine's clock: no limit that somebody set, but the end of all patience."""

_PATIENCE_S: Final = 0.5
"""How often it is seen whether a look has taken too long."""

_WAITING: Final = """
    SELECT pg_blocking_pids(pid) FROM pg_locks
    WHERE NOT granted AND locktype = 'relation'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_OURS: Final = """
    SELECT pid FROM pg_stat_activity
    WHERE pid = ANY(%s) AND application_name = current_setting('application_name') AND usename = current_user"""

# An end, not a cancellation: it also reaches a server that is blocked on sending, and a transaction that does nothing.
_END: Final = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int4[]) AS u(pid)"
_CANCEL: Final = "SELECT pg_cancel_backend(%s)"

LetGo: TypeAlias = Callable[[Callable[[], object]], None]


class Aside(Protocol):
    """A process beside the reading that locks tables in a session of its own, whose number is not known."""

    def is_running(self) -> bool:
        """Tell whether it may hold locks."""

    def let_go(self) -> None:
        """End it, from any thread."""


class Lookout:
    """Watch over the locks of one view; `close` it. `clock` is monotonic, in seconds; `limit_s`: how long others may wait.

    Attribute: `strain`, what others have had to wait, as far as it was seen.
    """

    def __init__(
        self, settings: PostgresqlSettings, clock: Callable[[], float], aside: Aside, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self.strain = Strain()
        self._settings = settings
        self._clock = clock
        self._aside = aside
        self._look_every_s = look_every_s
        self._session: Connection | None = None
        self._lock = threading.Lock()
        self._held: dict[int, LetGo] = {}
        self._querying: set[int] = set()
        self._waiting_since: float | None = None
        self._looking_since: float | None = None
        self._error: AgentError | None = None
        self._has_looked = threading.Event()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    @contextlib.contextmanager
    def holding(self, pid: int, let_go: LetGo) -> Iterator[None]:
        """Hold a lock in session `pid` of the server.

        When somebody waits for it, `let_go` is called, in another thread, once, with what makes the server end the session.
        """
        with self._locked():
            self._held[pid] = let_go
        try:
            yield
        finally:
            with self._locked():
                self._held.pop(pid, None)

    @contextlib.contextmanager
    def querying(self, pid: int) -> Iterator[None]:
        """Hold locks in session `pid` for the queries that it runs: they are cancelled, one after another, for who waits."""
        with self._locked():
            self._querying.add(pid)
        try:
            yield
        finally:
            with self._locked():
                self._querying.discard(pid)

    def check(self) -> None:
        """Raises: AgentError if nobody looks any more: then nothing may be held either."""
        if self._error is not None:
            raise self._error
        if self._end_silence():
            raise SourceDownError(
                Text(
                    zh=f"{self._settings.address} 已 {SILENCE_S:.0f} 秒没有答复谁在等待我们持有的锁",
                    en=f"{self._settings.address} has not told for {SILENCE_S:.0f} s who waits for what we have locked",
                ),
                hint=Text(
                    zh="查看服务器的负载和日志，稍后重试", en="see the server's load and log; it is tried again later"
                ),
            )

    def await_look(self) -> None:
        """Return when somebody looks; something must be held. Raises: as `check`."""
        while not self._has_looked.wait(_PATIENCE_S):
            self.check()

    def close(self) -> None:
        """Look no more; returns when the session has ended."""
        self._is_closing.set()
        while self._thread.is_alive():
            self._thread.join(_PATIENCE_S)
            self._end_silence()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock under which is looked, without waiting for a look that does not end."""
        while not self._lock.acquire(timeout=_PATIENCE_S):
            self._end_silence()
        try:
            yield
        finally:
            self._lock.release()

    def _end_silence(self) -> bool:
        """Tell whether a look has taken too long; then its session is cut, so that it ends."""
        since, session = self._looking_since, self._session
        if since is None or session is None or time.monotonic() - since < SILENCE_S:
            return False
        cut(session)
        return True

    def _run(self) -> None:
        try:
            while not self._is_closing.wait(self._look_every_s):
                with self._lock:
                    if self._held or self._querying or self._aside.is_running():
                        self._look_once()
        except psycopg2.Error as err:
            self._error = refuse(err, self._settings.address)
        except AgentError as err:
            self._error = err
        finally:
            if self._session is not None:
                self._session.close()

    def _look_once(self) -> None:
        if self._session is None:
            self._session = open_connection(self._settings)
        self._looking_since = time.monotonic()
        self._look(self._session)
        self._looking_since = None
        self._has_looked.set()

    def _look(self, session: Connection) -> None:
        blocking = {pid for (pids,) in query(session, _WAITING) for pid in pids}
        held, querying = blocking & self._held.keys(), blocking & self._querying
        beside = self._find_aside(session, blocking - held - querying)
        if not held and not querying and not beside:
            self._waiting_since = None
            return
        now = self._clock()
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < self._settings.give_way_after_s:
            return
        if beside:
            self._aside.let_go()
            query(session, _END, [beside])
        for pid in held:
            self._held.pop(pid)(partial(query, session, _END, [[pid]]))
        for pid in querying:
            # Again at the next look, if there was nothing to cancel between two queries.
            query(session, _CANCEL, [pid])
        # Sessions that read one table together give it up together: once.
        self._note(self._clock() - self._waiting_since, bool(held) + len(querying) + bool(beside))

    def _find_aside(self, session: Connection, blocking: set[int]) -> list[int]:
        if not blocking or not self._aside.is_running():
            return []
        return [pid for (pid,) in query(session, _OURS, [list(blocking)])]

    def _note(self, blocked_s: float, gave_way: int) -> None:
        self._waiting_since = None
        strain = self.strain
        # At least: the waiter may have come at any moment since the look before.
        self.strain = Strain(
            blocked_s=max(strain.blocked_s, blocked_s + self._look_every_s), gave_way=strain.gave_way + gave_way
        )
