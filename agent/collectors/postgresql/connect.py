# SPDX-License-Identifier: Apache-2.0
"""Connections to the source: opened read-only, with every setting pinned that changes what is printed.

Each session is harmless by itself: it cannot write, waits a bounded time for locks, uses one core, and the server ends
it if we fall silent. It is not waited for without an end either: a server that stands still is told from one that works
(`vigil`). Autocommit is on, so that a transaction begins and ends where this package says BEGIN and COMMIT.
Source: formats.md, "Pinned for PostgreSQL"; PostgreSQL documentation chapter 20; decision 0089.
"""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.failures import refuse, refuse_connection
from agent.collectors.postgresql.settings import PostgresqlSettings
from agent.collectors.vigil import PATIENCE_S, SLACK_S, Vigil
from agent.errors import SourceError
from terminal.language import Text

OLDEST_VERSION: Final = 120000
RAW_ENCODING: Final = "SQL_ASCII"
"""A database of this encoding keeps whatever bytes it was given."""

_PINNED: Final = {
    "client_encoding": "UTF8",
    "bytea_output": "hex",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    # Nothing of the source's schemas can stand for what we call, and names in values are printed in full.
    "search_path": "",
    # A policy that would hide rows becomes an error.
    "row_security": "off",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable read",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Of an agent whose machine is gone the server learns within a minute, and holds no snapshot for it any more.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_SILENCE_S: Final = 60
"""How much longer than the snapshot's age limit the server keeps a transaction of ours that does nothing."""
_FAREWELL_S: Final = 5
"""How long a server may take to end a session for us."""
_UNHEARD_MS: Final = 60_000
"""How long what we sent may go without the other kernel's word; by itself ours would try for a quarter of an hour."""
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""What any client may ask before all else: the answer is one byte. Source: PostgreSQL documentation 55.7, SSLRequest."""


class Session(Connection):
    """A session whose waiting for answers is watched over by `vigil`, as long as it is open."""

    vigil: Vigil

    def close(self) -> None:
        """End it."""
        super().close()
        self.vigil.close()


def open_connection(settings: PostgresqlSettings) -> Connection:
    """Open a session with everything pinned. Raises: LoginError, SourceDownError, SourceError."""
    options: dict[str, Any] = dict(settings.connect_options)
    try:
        connection: Session = psycopg2.connect(
            host=settings.host,
            port=settings.port,
            dbname=settings.database,
            user=settings.user,
            password=settings.password,
            sslmode=settings.sslmode,
            connect_timeout=max(2, round(settings.connect_timeout_s)),
            application_name=settings.application_name,
            # From the start, for the driver decodes by what the session began with.
            client_encoding="UTF8",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=_UNHEARD_MS,
            connection_factory=Session,
            **options,
        )
    except psycopg2.Error as err:
        raise refuse_connection(err, settings.address, settings.user) from err
    except UnicodeDecodeError as err:
        # A server may speak GBK before the encoding is agreed upon.
        raise SourceError(
            Text(
                zh=f"{settings.address} 拒绝连接，其说明不是 UTF-8：{err.object!r:.300}",
                en=f"{settings.address} refused the connection in words that are not UTF-8: {err.object!r:.300}",
            ),
            hint=Text(
                zh="检查用户名、口令和数据库；详见数据库服务器的日志",
                en="check user, password and database; the server's log says more",
            ),
        ) from err
    connection.vigil = Vigil(
        partial(is_answering, settings.host, settings.port), partial(cut, connection),
        limit_s=settings.snapshot_age_limit_s + SLACK_S, patience_s=settings.patience_s,
    )  # fmt: skip
    try:
        connection.autocommit = True
        _pin(connection, settings)
    except psycopg2.Error as err:
        connection.close()
        raise refuse(err, settings.address) from err
    except BaseException:
        connection.close()
        raise
    return connection


def query(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a query; give its rows. Raises: psycopg2.Error."""
    with _watched(connection), connection.cursor() as cursor:
        cursor.execute(sql.encode(), parameters or None)
        return cursor.fetchall()


def execute(connection: Connection, sql: str) -> None:
    """Run a command that gives no rows. Raises: psycopg2.Error."""
    with _watched(connection), connection.cursor() as cursor:
        cursor.execute(sql.encode())


def is_answering(host: str, port: int) -> bool:
    """Tell whether a server says a word to somebody new, in time. Logs in nowhere, and leaves no line in the server's log.

    A line that is refused, or that does not exist, is no silence: of that the kernel tells whoever waits.
    """
    try:
        with contextlib.closing(_dial(host, port)) as line:
            line.sendall(_SSL_REQUEST)
            line.recv(1)
    except (TimeoutError, BlockingIOError):
        # A socket of Unix whose queue is full does not wait.
        return False
    except OSError:
        return True
    return True


def use_raw_encoding(connection: Connection) -> None:
    """Let text pass as the bytes it is until the transaction ends, for databases of encoding SQL_ASCII."""
    execute(connection, f"SET LOCAL client_encoding = '{RAW_ENCODING}'")


def abort(connection: Connection) -> None:
    """End what the session is doing, from any thread: the thread that waits for it gets an error. Close it afterwards.

    Who sorts or waits for us does not see that we are gone: so the server is asked, in a session of its own, to end this
    one; we wait for that only so long. Not by libpq's request to cancel, which waits for the server without an end, and
    lets no other thread of the process run meanwhile (psycopg2 2.9.13, libpq 17).
    """
    if connection.closed:
        return
    info = connection.info
    place: dict[str, Any] = {**info.dsn_parameters, "password": info.password, "connect_timeout": str(_FAREWELL_S)}
    asking = threading.Thread(target=_end_session, args=(place, info.backend_pid), name="farewell", daemon=True)
    asking.start()
    asking.join(_FAREWELL_S)
    cut(connection)


def cut(connection: Connection) -> None:
    """Take nothing more from the server, from any thread. Close the session afterwards.

    1. No more is taken from the socket, which ends our own waiting, even if the line is dead.
    2. Closing shall reset the connection. An orderly end would leave the server blocked on what it wanted to send, with
       its locks, until the kernel on our side forgets the socket, a minute later.
    """
    with contextlib.suppress(OSError, psycopg2.Error), _socket_of(connection) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        line.shutdown(socket.SHUT_RD)


def _end_session(place: Mapping[str, Any], pid: int) -> None:
    # A server that does not listen sees at its next answer that nobody is there.
    with contextlib.suppress(psycopg2.Error):
        connection = psycopg2.connect(**place)
        try:
            connection.autocommit = True
            query(connection, "SELECT pg_terminate_backend(%s)", [pid])
        finally:
            connection.close()


@contextlib.contextmanager
def _watched(connection: Connection) -> Iterator[None]:
    """Wait for the server as long as it works. Raises: psycopg2.OperationalError if it does not."""
    if not isinstance(connection, Session):
        yield
        return
    try:
        with connection.vigil.waiting():
            yield
    except psycopg2.Error as err:
        if connection.vigil.why is not None:
            raise psycopg2.OperationalError(connection.vigil.why) from err
        raise


def _dial(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), PATIENCE_S)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(PATIENCE_S)
    try:
        line.connect(f"{host}/.s.PGSQL.{port}")
    except BaseException:
        line.close()
        raise
    return line


def _socket_of(connection: Connection) -> socket.socket:
    # `fromfd` duplicates the descriptor: closing ours leaves libpq's alone. On Windows libpq's is a socket handle too.
    return socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)


def _pin(connection: Connection, settings: PostgresqlSettings) -> None:
    version = connection.server_version
    if version < OLDEST_VERSION:
        raise SourceError(
            Text(
                zh=f"{settings.address} 是 PostgreSQL {version // 10000}；能读的最早版本是 {OLDEST_VERSION // 10000}",
                en=f"{settings.address} is PostgreSQL {version // 10000}; the oldest that can be read is "
                f"{OLDEST_VERSION // 10000}",
            ),
            hint=Text(zh="读它的导出文件，或读一个较新版本的副本", en="read a dump of it, or a newer copy"),
        )
    limit_ms = round((settings.snapshot_age_limit_s + _SILENCE_S) * 1000)
    values = dict(_PINNED)
    values["lock_timeout"] = str(max(1, round(settings.lock_timeout_s * 1000)))
    values["idle_in_transaction_session_timeout"] = str(limit_ms)
    if settings.statement_timeout_s is not None:
        values["statement_timeout"] = str(max(1, round(settings.statement_timeout_s * 1000)))
    else:
        # No statement of ours outlives the view that asked; a limit of the account's that is shorter stays.
        ((own_ms,),) = query(connection, "SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout'")
        values["statement_timeout"] = str(min(own_ms or limit_ms, limit_ms))
    if version >= 140000:
        # A session waits between two tables while the first one is sorted.
        values["idle_session_timeout"] = str(limit_ms)
        # If we are gone, a long sort for us ends too. Some systems cannot tell; then it is refused.
        with contextlib.suppress(psycopg2.Error):
            execute(connection, "SET client_connection_check_interval = '10s'")
    if version >= 170000:
        values["transaction_timeout"] = str(limit_ms)
    calls = ", ".join(f"set_config('{name}', %s, false)" for name in values)
    query(connection, f"SELECT {calls}", list(values.values()))
