# SPDX-License-Identifier: Apache-2.0
"""One state of the server, held by a transaction; a second one of the same state, if the lock guard is asked for.

MySQL cannot hand a snapshot from session to session: whoever began the transaction reads. So there are

    reader    began the transaction: all tables are read here, one after another
    watcher   in no transaction: reads the dictionary, ends what the reader is doing
    aside     (lock guard only) began its transaction at the same state: fetches slices while the reader streams
    lookout   in no transaction: sees who waits for what the others have locked, and stops them

A savepoint around each table gives its lock back at once, as mysqldump does; but not on MariaDB with a binary log, unless
the account may switch that off for its session: there `keeps_locks` is true, and whoever watches must end the snapshot
if somebody waits for a table that was read long ago. The lock guard stops all writing for the
moment between two commands (FLUSH TABLES WITH READ LOCK). It would stand behind any long query, and everybody behind
it: so it refuses if something has been running for longer than a second, and waits no longer than that.
Source: MySQL manual 15.3.1 (START TRANSACTION), 15.7.8.3 (FLUSH); MariaDB "Enhancements for START TRANSACTION".
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Final

import MySQLdb

from agent.collectors.mysql.catalog import Server
from agent.collectors.mysql.connect import Session, Stream, literal, text_of
from agent.collectors.mysql.failures import Error
from agent.collectors.mysql.settings import MysqlSettings
from agent.errors import AgentError, SourceDownError, SourceError
from terminal.language import Text

_BEGIN: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
_SAVEPOINT: Final = "SAVEPOINT jinsuo"
_BACK: Final = "ROLLBACK TO SAVEPOINT jinsuo"
_GUARD_WAIT_S: Final = 1
_GUARD_SILENCE_S: Final = 5
_FILE: Final = re.compile(r"[!-~]+")
_OWN: Final = frozenset({"system user", "event_scheduler"})
"""Users of the server's own threads, which replicate and schedule."""
_IDLE: Final = frozenset({"Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID", "Slave_IO", "Slave_SQL"})


class Snapshot:
    """Hold one state. `close` it.

    Attributes: `position` (`mysql FILE:OFFSET` or `-`), `notes` on it; `keeps_locks`: tables that were read stay locked.
    """

    def __init__(self, settings: MysqlSettings, watcher: Session, server: Server) -> None:
        """Take the snapshot. Raises: SourceError and its kin, MySQLdb.Error."""
        self._settings = settings
        self._watcher = watcher
        self._server = server
        self.position = "-"
        self.notes: tuple[str, ...] = ()
        self.aside: Session | None = None
        self._given_up: AgentError | None = None
        self._let_go: AgentError | None = None
        self.reader = Session(settings)
        self.keeps_locks = server.is_mariadb and server.has_binlog and self.reader.logs
        self._stream: Stream | None = None
        try:
            if settings.lock_guard:
                self.aside = Session(settings)
                self._begin_guarded(self.aside)
            else:
                self.reader.execute(_BEGIN)
                self._find_position(is_stopped=False)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read one table; afterwards nothing of it is locked. Raises: MySQLdb.Error."""
        self.end()
        if self._given_up is not None:
            raise self._given_up
        self._let_go = None
        for session in self._sessions:
            session.use_again()
            session.execute(_SAVEPOINT)
        try:
            yield
        finally:
            self.end()
            # A session that broke or was stopped has no lock left; what did it is on its way to the caller.
            with contextlib.suppress(MySQLdb.Error, AgentError):
                for session in self._sessions:
                    session.execute(_BACK)

    def let_go(self, by: Session, why: AgentError) -> None:
        """Free the table that is being read, from another thread: its reader gets `why`. Raises: MySQLdb.Error."""
        self._let_go = why
        for session in self._sessions:
            by.execute(f"KILL QUERY {session.id}")
            session.stop(why, _BACK)

    def give_up(self, by: Session, why: AgentError) -> None:
        """End the snapshot, from another thread: whoever reads in it gets `why`. Raises: MySQLdb.Error."""
        self._given_up = why
        for session in self._sessions:
            by.execute(f"KILL {session.id}")

    def check(self) -> None:
        """Raises: why the snapshot was given up, or the table that is being read let go of."""
        why = self._given_up or self._let_go
        if why is not None:
            raise why

    def stream(self, sql: str) -> Stream:
        """Run a query on the reader whose rows are taken as they come; only one at a time. Raises: MySQLdb.Error."""
        self.end()
        self._stream = self.reader.stream(sql)
        return self._stream

    def end(self) -> None:
        """End the stream, finished or not: the server is told to stop, and what it still sends is dropped."""
        stream, self._stream = self._stream, None
        if stream is None or not stream.is_open:
            return
        try:
            self._watcher.execute(f"KILL QUERY {self.reader.id}")
        except MySQLdb.Error:
            # Nobody can tell the server: the line itself is cut, and the snapshot is gone.
            self.reader.cut()
        stream.drain()
        self.reader.settle()

    def close(self) -> None:
        """Give the snapshot back."""
        self.end()
        for session in (self.reader, self.aside):
            if session is not None:
                session.close()

    @property
    def ids(self) -> frozenset[int]:
        """Give what the server calls the sessions."""
        return frozenset(session.id for session in (*self._sessions, self._watcher))

    @property
    def _sessions(self) -> list[Session]:
        return [session for session in (self.reader, self.aside) if session is not None]

    def _begin_guarded(self, aside: Session) -> None:
        self._refuse_if_busy()
        with Session(self._settings) as guard:
            # If this machine is lost now, the server must not keep the lock for us until it forgets the session. If the
            # server has ended it, UNLOCK TABLES fails: what was begun meanwhile may not be one state.
            guard.execute(f"SET SESSION lock_wait_timeout = {_GUARD_WAIT_S}, wait_timeout = {_GUARD_SILENCE_S}")
            try:
                guard.execute("FLUSH TABLES WITH READ LOCK")
                self.reader.execute(_BEGIN)
                aside.execute(_BEGIN)
                self._find_position(is_stopped=True)
                guard.execute("UNLOCK TABLES")
            except MySQLdb.Error as err:
                error = Error.of(err)
                if error.number in (1205, 1317):
                    raise SourceDownError(
                        Text(
                            zh=f"{self._settings.address} 未能短暂停写：{error.words}",
                            en=f"{self._settings.address} could not be stopped for a moment: {error.words}",
                        ),
                        hint=Text(
                            zh="有长查询或长事务在运行；稍后会再试，或设 lock_guard: false",
                            en="a long query or transaction runs; it is tried again later, or set lock_guard: false",
                        ),
                    ) from err
                if error.is_denied:
                    raise SourceError(
                        Text(
                            zh=f"{self._settings.address} 不准使用 lock_guard：{error.words}",
                            en=f"{self._settings.address} does not allow the lock guard: {error.words}",
                        ),
                        hint=Text(
                            zh="按 `jinsuo-agent grants` 打印的授予 RELOAD，或设 lock_guard: false",
                            en="grant RELOAD, as `jinsuo-agent grants` prints, or set lock_guard: false",
                        ),
                    ) from err
                raise

    def _refuse_if_busy(self) -> None:
        for row in self._watcher.query("SHOW PROCESSLIST"):
            user, command, seconds = text_of(row[1]), text_of(row[4]), int(row[5] or 0)
            if command not in _IDLE and user not in _OWN and seconds > _GUARD_WAIT_S:
                raise SourceDownError(
                    Text(
                        zh=f"{self._settings.address} 有一个查询已运行 {seconds} 秒：排在它后面停写会让所有人等待",
                        en=f"{self._settings.address} has been busy with a query for {seconds} s: stopping all writing behind "
                        "it would hold everybody up",
                    ),
                    hint=Text(
                        zh="稍后会再试；或设 lock_guard: false", en="it is tried again later; or set lock_guard: false"
                    ),
                )

    def _find_position(self, *, is_stopped: bool) -> None:
        """Find where the binary log stood. MariaDB and Percona know it of the snapshot itself."""
        if not self._server.has_binlog:
            return
        known = {text_of(name).lower(): text_of(value) for name, value, *_ in
                 self.reader.query("SHOW STATUS LIKE 'binlog_snapshot_%'")}  # fmt: skip
        file, offset = known.get("binlog_snapshot_file", ""), known.get("binlog_snapshot_position", "")
        if not file:
            file, offset = self._ask_position()
            if file and not is_stopped:
                self.notes += ("the position is the binary log's just after the snapshot began",)
        if not _FILE.fullmatch(file):
            self.notes += ("the account may not see the position of the binary log",)
            return
        self.position = f"mysql {file}:{offset}"
        self._find_gtid(file, offset)

    def _ask_position(self) -> tuple[str, str]:
        for statement in ("SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"):
            try:
                rows = self._watcher.query(statement)
            except MySQLdb.Error as err:
                if Error.of(err).is_down:
                    raise
                continue
            if rows:
                return text_of(rows[0][0]), text_of(rows[0][1])
        return "", ""

    def _find_gtid(self, file: str, offset: str) -> None:
        if not self._server.is_mariadb:
            return
        try:
            ((gtid,),) = self._watcher.query(f"SELECT BINLOG_GTID_POS({literal(file)}, {int(offset)})")
        except MySQLdb.Error as err:
            if Error.of(err).is_down:
                raise
            return
        if gtid:
            self.notes += (f"gtid {text_of(gtid)}",)
