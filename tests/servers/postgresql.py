# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for tests: own folder, free loopback port, no durability. Works as root, which postgres refuses.

As root the server runs as user `postgres` or `nobody`, who owns the folder.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import psycopg2

from tests.servers.ports import free_port

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "lc_messages": "C",
}
_READY = b"database system is ready to accept"


class PostgresServer:
    """A running server. `user` is a superuser; `dsn` leads to database `name`."""

    def __init__(self, data: Path, port: int, *, user: str = "admin", password: str = "secret") -> None:
        self.data = data
        self.host = "127.0.0.1"
        self.port = port
        self.user = user
        self.password = password
        self.name = "postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None
        self.log: list[bytes] = []

    @classmethod
    def create(cls, encoding: str = "UTF8", locale: str = "C.UTF-8") -> "PostgresServer":
        """Make a cluster in a temporary folder and start it."""
        folder = Path(tempfile.mkdtemp(prefix="jinsuo-pg-"))
        server = cls(folder / "data", free_port())
        password_file = folder / "password"
        password_file.write_text(server.password)
        _give(folder)
        _give(password_file)
        command = [
            find_binary("initdb"), "-D", str(server.data), "-U", server.user, f"--pwfile={password_file}", "-N",
            "-A", "scram-sha-256", "-E", encoding, f"--locale={locale}",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **_identity())
        server.start()
        return server

    @property
    def pid(self) -> int:
        """Give the number of the process that takes connections."""
        assert self._process is not None
        return self._process.pid

    @property
    def dsn(self) -> str:
        """Give the connection string of the superuser."""
        return self.dsn_of(self.name)

    def dsn_of(self, database: str) -> str:
        """Give the connection string of the superuser for another database."""
        return (
            f"host={self.host} port={self.port} user={self.user} password={self.password} dbname={database} "
            "client_encoding=UTF8 connect_timeout=60"
        )

    def start(self, *extra: str) -> None:
        """Start the server; return when it takes connections."""
        options = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        command = [find_binary("postgres"), "-D", str(self.data), "-p", str(self.port), *options, *extra]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.data,
            **_identity(),
        )  # fmt: skip
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if _READY in line:
                break
        else:
            raise RuntimeError(f"PostgreSQL did not start: {b''.join(self.log)!r}")
        # The pipe must be emptied, or a full pipe stops the server.
        self._drain = threading.Thread(target=self.log.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def execute(self, sql: str, parameters: Any = None, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements as the superuser, each committed at once; give the rows of the last."""
        connection = psycopg2.connect(self.dsn_of(database or self.name))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create_database(self, name: str, options: str = "") -> None:
        """Make an empty database."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 {options}')

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is in it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def copy_as_standby(self) -> "PostgresServer":
        """Make a hot standby of this server and start it."""
        folder = Path(tempfile.mkdtemp(prefix="jinsuo-pg-"))
        _give(folder)
        standby = PostgresServer(folder / "data", free_port(), user=self.user, password=self.password)
        command = [find_binary("pg_basebackup"), "-D", str(standby.data), "-R", "-c", "fast", "-d", self.dsn]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **_identity())
        standby.start()
        return standby

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self._end(signal.SIGINT)
        shutil.rmtree(self.data.parent, ignore_errors=True)

    def kill(self) -> None:
        """End the server at once, as a power cut would; `start` brings it back."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(60)
        assert self._drain is not None
        self._drain.join(60)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process = None


def find_binary(name: str) -> str:
    """Give the path of a PostgreSQL program, the newest version's where there are several."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    for folder in sorted(folders, key=lambda path: float(path.parent.name.removeprefix("pgsql-")), reverse=True):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed: the tests need a PostgreSQL server")
    return found


def _identity() -> dict[str, Any]:
    """Give what `subprocess` needs to run as a user whom postgres accepts."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    entry = _unprivileged()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _give(path: Path) -> None:
    if os.name == "posix" and os.geteuid() == 0:
        entry = _unprivileged()
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
