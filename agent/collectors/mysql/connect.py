# SPDX-License-Identifier: Apache-2.0
"""Sessions with the source: opened read-only, with every setting pinned that changes what is printed; raw bytes.

The driver converts nothing (`conv={}`) and the server converts no text (`character_set_results = NULL`): a text comes
in the bytes of its column, and `mapping` asks for UTF-8 where a column keeps something else. Each session is harmless
by itself: it cannot write, waits a bounded time for locks, the server ends it if we fall silent, and it never lets a
server fetch files from here (`local_infile`). It is not waited for without an end either: a server that stands still is told
from one that works (`vigil`). One thread uses a session, and another may stop it.
Source: formats.md, "Pinned"; MySQL manual 5.1.8, MariaDB server system variables; decision 0089.
"""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, TypeAlias

import MySQLdb
from MySQLdb import _mysql

from agent.collectors.mysql.failures import Error, refuse, refuse_connection
from agent.collectors.mysql.settings import MysqlSettings
from agent.collectors.vigil import PATIENCE_S, SLACK_S, Vigil
from agent.errors import AgentError, LoginError, SourceChangedError, SourceError
from terminal.language import Text

Row: TypeAlias = "tuple[bytes | None, ...]"

_PINNED: Final = (
    "SET NAMES utf8mb4",
    "SET SESSION character_set_results = NULL, time_zone = '+00:00', sql_mode = '', autocommit = 1, "
    # An administrator may have limited what a SELECT gives, in silence.
    "sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_auto_is_null = 0, sql_quote_show_create = 1, "
    # What columns that are computed when read may depend on.
    "div_precision_increment = 4, default_week_format = 0, lc_time_names = 'en_US'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
)
_WHERE_KNOWN: Final = (
    # MySQL 8.0.30 hides the keys that it makes itself.
    "SET SESSION show_gipk_in_create_table_and_information_schema = 1",
    # MariaDB may be told to show tables with history as they were.
    "SET SESSION system_versioning_asof = DEFAULT",
)
_PLAIN_MODES: Final = ("disabled", "preferred")
_SILENCE_S: Final = 60
"""How much longer than the snapshot's age limit the server keeps a session of ours that does nothing."""
_DRAINED: Final = 500
_LOST: Final = 2013
"""The driver's number for a line that broke."""
_UNHEARD: Final = frozenset({2002, 2003, 2006, 2012, _LOST})
"""What the driver says of a server from which no word came."""


class Session:
    """A session. One result at a time: end a stream before the next query.

    Attributes: `id`, what the server calls it; `logs`, whether it would write to the binary log if it wrote anything.
    """

    def __init__(self, settings: MysqlSettings, silent_s: float | None = None) -> None:
        """Connect and pin everything. `silent_s`: how long the server may be silent although it works; None: as the settings allow.

        Raises: LoginError, SourceDownError, SourceError.
        """
        self._settings = settings
        self._lock = threading.RLock()
        self._stream: Stream | None = None
        self._why: AgentError | None = None
        self._is_refused = False
        longest_s = settings.snapshot_age_limit_s + _SILENCE_S
        try:
            self._connection = _connect(
                settings, settings.connect_timeout_s, longest_s if silent_s is None else silent_s
            )
        except MySQLdb.Error as err:
            raise refuse_connection(Error.of(err), settings.address, settings.user) from err
        # Whoever cuts it is another thread than the one that waits, and the driver refuses him anything, even the socket's number.
        self._line = _socket_of(self._connection)
        self._vigil = Vigil(
            self._is_answering,
            self.cut,
            limit_s=settings.snapshot_age_limit_s + SLACK_S,
            patience_s=settings.patience_s,
        )
        self._is_closed = False
        self.logs = True
        try:
            # The driver's own number has 32 bits; a server that runs for long counts on.
            self.id = int(self.query("SELECT CONNECTION_ID()")[0][0] or 0)
            self._pin()
        except MySQLdb.Error as err:
            self.close()
            raise refuse(Error.of(err), settings.address) from err

    def query(self, sql: str) -> list[Row]:
        """Run a query; give its rows. Raises: MySQLdb.Error, why the session was stopped."""
        with self._lock:
            self.check()
            return self._query(sql)

    def execute(self, sql: str) -> None:
        """Run a command that gives no rows. Raises: MySQLdb.Error."""
        self.query(sql)

    def stream(self, sql: str) -> "Stream":
        """Run a query whose rows are taken as they come. Raises: MySQLdb.Error, why the session was stopped."""
        with self._lock:
            self.check()
            with self.waiting():
                self._connection.query(sql.encode())
            self._stream = Stream(self._connection.use_result(), self)
            return self._stream

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for the server as long as it works. Raises: MySQLdb.OperationalError if it does not."""
        try:
            with self._vigil.waiting():
                yield
        except MySQLdb.Error as err:
            if self._vigil.why is not None:
                raise MySQLdb.OperationalError(_LOST, self._vigil.why) from err
            raise

    def taking(self) -> threading.RLock:
        """Give the lock under which the driver is used."""
        return self._lock

    def check(self) -> None:
        """Raises: why the session was stopped."""
        if self._why is not None:
            raise self._why

    def stop(self, why: AgentError, last: str) -> None:
        """From another thread, when the server was told to kill the query: run `last`, then nothing but `why` is to be had.

        Raises: MySQLdb.Error.
        """
        with self._lock:
            self._why = why
            if self._stream is not None:
                self._stream.drop()
            self.settle()
            self._query(last)

    def use_again(self) -> None:
        """Begin anew with a session that was stopped."""
        with self._lock:
            self._why = None

    def settle(self) -> None:
        """Let a KILL that came after the query's end hit this instead of the next query."""
        with contextlib.suppress(MySQLdb.Error):
            self._query("SELECT 1")

    def close(self) -> None:
        """End the session; a transaction of it is rolled back by the server."""
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(MySQLdb.Error):
            self._connection.close()
        self._vigil.close()
        self._line.close()

    def cut(self) -> None:
        """Take nothing more from the server, from any thread: every later call fails, and one that waits. Close it afterwards.

        Closing then resets the connection: an orderly end would leave the server blocked on what it wanted to send, with
        its locks, until the kernel on our side forgets the socket, a minute later.
        """
        with contextlib.suppress(OSError):
            self._line.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            )
            self._line.shutdown(socket.SHUT_RD)

    def _query(self, sql: str) -> list[Row]:
        with self.waiting():
            self._connection.query(sql.encode())
            result = self._connection.store_result()
            return [] if result is None else list(result.fetch_row(maxrows=0))

    def _is_answering(self) -> bool:
        """Tell whether the server says a word to a new session in time.

        It logs in: to hang up before that would count against this host, until the server takes nobody from it any more
        (max_connect_errors). And once the account was refused it does not knock again.
        """
        if self._is_refused:
            return True
        settings = self._settings
        try:
            _connect(settings, PATIENCE_S, PATIENCE_S).close()
        except MySQLdb.Error as err:
            error = Error.of(err)
            self._is_refused = isinstance(refuse_connection(error, settings.address, settings.user), LoginError)
            return error.number not in _UNHEARD
        return True

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pin(self) -> None:
        settings = self._settings
        self._check_line()
        for statement in _PINNED:
            self.execute(statement)
        lock_s = max(1, round(settings.lock_timeout_s))
        silence_s = round(settings.snapshot_age_limit_s) + _SILENCE_S
        self.execute(
            f"SET SESSION lock_wait_timeout = {lock_s}, innodb_lock_wait_timeout = {lock_s}, "
            f"wait_timeout = {silence_s}, net_write_timeout = {silence_s}, net_read_timeout = {silence_s}"
        )
        # MariaDB alone ends transactions that do nothing; its own limit may be too short for a consumer that waits.
        for name in ("idle_transaction_timeout", "idle_readonly_transaction_timeout"):
            self._execute_where_known(f"SET SESSION {name} = {silence_s}")
        # MariaDB counts in seconds and calls it so; MySQL in milliseconds, and otherwise. Old servers have neither.
        for name, unit in (("max_statement_time", 1), ("max_execution_time", 1000)):
            limit = f"IF(@@{name} = 0, {silence_s * unit}, @@{name})"
            if settings.statement_timeout_s is not None:
                limit = f"{max(1, round(settings.statement_timeout_s * unit))}"
            self._execute_where_known(f"SET SESSION {name} = {limit}")
        for statement in _WHERE_KNOWN:
            self._execute_where_known(statement)
        # MariaDB gives locks back at a savepoint only in a session that does not log; few accounts may say so.
        with contextlib.suppress(MySQLdb.OperationalError):
            self.execute("SET SESSION sql_log_bin = 0")
            self.logs = False

    def _check_line(self) -> None:
        """Make sure that TLS is there where it must be: some client libraries take `required` for a wish."""
        if self._settings.ssl_mode in _PLAIN_MODES:
            return
        if not any(cipher for _, cipher, *_ in self.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")):
            self.close()
            raise SourceError(
                Text(
                    zh=f"与 {self._settings.address} 建立不了 TLS：服务器不提供",
                    en=f"no TLS with {self._settings.address}: the server does not offer it",
                ),
                hint=Text(
                    zh="为服务器配置证书，或设 `ssl_mode: preferred`",
                    en="let the server have a certificate, or set `ssl_mode: preferred`",
                ),
            )

    def _execute_where_known(self, statement: str) -> None:
        try:
            self.execute(statement)
        except MySQLdb.Error as err:
            if not Error.of(err).is_unknown_variable:
                raise


class Stream:
    """The rows of one query, as they come. End it by taking all, or by `drain`."""

    def __init__(self, result: Any, session: Session) -> None:
        self._result = result
        self._session = session
        self.is_open = True

    def take(self, most: int) -> Sequence[Row]:
        """Give the next rows, at most so many; none at the end.

        Raises: MySQLdb.Error, SourceChangedError, why the session was stopped.
        """
        with self._session.taking():
            self._session.check()
            if not self.is_open:
                raise SourceChangedError(
                    Text(
                        zh="一次读取还没有取完各行就结束了", en="a reading was ended before all of its rows were taken"
                    ),
                    hint=Text(zh="视图打开期间，一次读一张表", en="read one table at a time, in an open view"),
                )
            return self._take(most)

    def drain(self) -> None:
        """Take what is left and drop it; the query's own errors do not matter any more."""
        with self._session.taking():
            self.drop()

    def drop(self) -> None:
        """Do what `drain` does, under the session's lock."""
        with contextlib.suppress(MySQLdb.Error):
            while self.is_open and self._take(_DRAINED):
                pass
        self._end()

    def _take(self, most: int) -> Sequence[Row]:
        try:
            with self._session.waiting():
                rows: Sequence[Row] = self._result.fetch_row(maxrows=most)
        except MySQLdb.Error:
            self._end()
            raise
        if not rows:
            self._end()
        return rows

    def _end(self) -> None:
        self.is_open = False
        self._result = None


def text_of(value: bytes | None) -> str:
    """Give a name or number of the catalogs as text; what is not UTF-8 in them is shown escaped."""
    return (value or b"").decode("utf-8", "backslashreplace")


def literal(text: str) -> str:
    """Write a text for SQL, so that no setting of the session changes its meaning."""
    return f"_utf8mb4 X'{text.encode().hex()}'" if text else "''"


def same_name(column: str, text: str) -> str:
    """Give the condition that a column of information_schema is this name; by its collation, names that differ in case are one."""
    return f"{column} = {literal(text)} AND BINARY {column} = BINARY {literal(text)}"


def _connect(settings: MysqlSettings, connect_s: float, silent_s: float) -> Any:
    """Connect. What the driver gives has no types: `Session` is the only one to hold it."""
    place: dict[str, Any] = {"host": settings.host, "port": settings.port}
    if settings.host.startswith("/"):
        place = {"host": "localhost", "unix_socket": settings.host}
    place["ssl_mode"] = settings.ssl_mode.replace("-", "_").upper()
    if settings.ssl_ca is not None:
        place["ssl"] = {"ca": str(settings.ssl_ca)}
    silence_s = max(10, round(silent_s))
    return _mysql.connect(
        user=settings.user,
        password=settings.password,
        database=settings.database,
        conv={},
        charset="utf8mb4",
        local_infile=0,
        connect_timeout=max(1, round(connect_s)),
        read_timeout=silence_s,
        write_timeout=silence_s,
        **place,
    )


def _socket_of(connection: Any) -> socket.socket:
    # `fromfd` duplicates the descriptor: closing ours leaves the driver's alone.
    return socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
