# SPDX-License-Identifier: Apache-2.0
"""A real MariaDB for tests: own folder, free loopback port, no durability. Works as root, which mariadbd refuses.

As root the server runs as user `mysql` or `nobody`, who owns the folder. Its socket lies in that folder.
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

import MySQLdb

from tests.servers.ports import free_port

_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=48M",
    "--innodb-stats-persistent=OFF",
    "--sync-binlog=0",
    "--key-buffer-size=1M",
    "--performance-schema=OFF",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--server-id=1",
    "--max-connections=60",
    "--max-allowed-packet=64M",
    "--lc-messages=en_US",
    "--skip-slave-start",
)
_READY = b"ready for connections"


class MariadbServer:
    """A running server. `user` may do everything, from 127.0.0.1 only."""

    def __init__(self, folder: Path, port: int, *, user: str = "admin", password: str = "secret") -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = port
        self.user = user
        self.password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None
        self.log: list[bytes] = []

    @classmethod
    def create(cls) -> "MariadbServer":
        """Make a data folder in a temporary folder and start a server on it."""
        server = cls(Path(tempfile.mkdtemp(prefix="jinsuo-my-")), free_port())
        start = server.folder / "start.sql"
        start.write_text(
            f"CREATE USER IF NOT EXISTS '{server.user}'@'127.0.0.1' IDENTIFIED BY '{server.password}';\n"
            f"GRANT ALL ON *.* TO '{server.user}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        _give(server.folder)
        _give(start)
        command = [
            find_binary("mariadb-install-db"), "--no-defaults", f"--datadir={server.folder / 'data'}",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=48M",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=server.folder, **_identity())
        server.start(f"--init-file={start}")
        return server

    def start(self, *extra: str) -> None:
        """Start the server; return when it takes connections."""
        command = [
            find_binary("mariadbd"), "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}",
            f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}", f"--tmpdir={self.folder}",
            *_SETTINGS, *extra,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder,
            **_identity(),
        )  # fmt: skip
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if _READY in line:
                break
        else:
            raise RuntimeError(f"MariaDB did not start: {b''.join(self.log)!r}")
        # The pipe must be emptied, or a full pipe stops the server.
        self._drain = threading.Thread(target=self.log.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def connect(self, database: str = "", **options: Any) -> Any:
        """Open a session with the driver's usual conversions, which commits every statement at once."""
        values = {"user": self.user, "password": self.password, "charset": "utf8mb4", "autocommit": True} | options
        return MySQLdb.connect(host=self.host, port=self.port, database=database, **values)

    def execute(self, sql: str, parameters: Any = None, *, database: str = "", **options: Any) -> list[tuple[Any, ...]]:
        """Run statements as the administrator, each committed at once; give the rows of the last that has any."""
        connection = self.connect(database, **options)
        rows: list[tuple[Any, ...]] = []
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                while True:
                    if cursor.description:
                        rows = list(cursor.fetchall())
                    if not cursor.nextset():
                        return rows
        finally:
            connection.close()

    def create_database(self, name: str, options: str = "CHARACTER SET utf8mb4") -> None:
        """Make an empty database."""
        self.execute(f"CREATE DATABASE `{name}` {options}")

    def drop_database(self, name: str) -> None:
        """Drop a database, and begin the binary log anew: a run of all tests would write more than a gigabyte of it."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`; RESET MASTER")

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self._end(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Give the number of the server's process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End the server at once, as a power cut would; `start` brings it back."""
        self._end(signal.SIGKILL)

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
    """Give the path of a program of MariaDB."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/libexec")
    if found is None:
        raise RuntimeError(f"{name} is not installed: the tests need a MariaDB server")
    return found


def _identity() -> dict[str, Any]:
    """Give what `subprocess` needs to run as a user whom mariadbd accepts."""
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
        return pwd.getpwnam("mysql")
    except KeyError:
        return pwd.getpwnam("nobody")
