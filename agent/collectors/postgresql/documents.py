# SPDX-License-Identifier: Apache-2.0
"""The DDL of the source: from pg_dump under the same snapshot, where a fitting one is installed; else the catalogs'.

pg_dump runs beside the reading and is awaited at the end, as long as somebody looks out for those who wait; its output
goes to a file without a name, for a full pipe would stop it while it holds locks. It locks all tables for as long as it
runs: whoever waits for one ends it, and in the end it is tried once more. It refuses servers newer than itself, and fails
where the account may not read a table, so those are excluded. The password goes through the environment of the child alone.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Final

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn

from agent.collectors.postgresql.catalog import Server
from agent.collectors.postgresql.ddl import write_ddl
from agent.collectors.postgresql.failures import is_down
from agent.collectors.postgresql.large import aside
from agent.collectors.postgresql.lookout import Lookout
from agent.collectors.postgresql.settings import PostgresqlSettings

_FOLDERS: Final = (
    ("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin"), ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("C:/Program Files/PostgreSQL", "*/bin"),
)  # fmt: skip
_POLL_S: Final = 1.0
_TRIES: Final = 3
"""How often DDL is begun to be written from the catalogs, if others want what that locks."""
_SECRET: Final = frozenset({"password", "sslpassword"})
_VERSION: Final = re.compile(r"(\d+)(?:\.\d+|\w+)?\s*(?:\(|$)")
_RESTRICT: Final = re.compile(rb"^\\restrict ([0-9A-Za-z]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ddl:
    """The text, and what a reader must know of it, in one line, if anything."""

    body: bytes
    note: str | None


class DdlReader:
    """Read the DDL of a snapshot. `start` at once, `finish` in the end, `stop` in any case."""

    def __init__(self, settings: PostgresqlSettings, snapshot: str, unreadable: Sequence[str]) -> None:
        """`unreadable` are quoted names of tables that the account may not read."""
        self._settings = settings
        self._snapshot = snapshot
        self._unreadable = unreadable
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._reason = "no pg_dump of the server's version or newer is installed"
        self._server: Server | None = None
        self._gave_way = 0

    def start(self, server: Server) -> None:
        """Start pg_dump, if there is a fitting one."""
        self._server = server
        program = find_pg_dump(self._settings.pg_dump, server.version // 10000)
        if program is None:
            return
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        command = [str(program), *self._arguments(server)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment["PGPASSWORD"] = self._settings.password
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the program is pg_dump, its arguments are ours
                command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors, env=environment
            )
        except OSError as err:
            self._reason = f"{program} cannot be started: {err.strerror}"

    def is_running(self) -> bool:
        """Tell whether pg_dump runs, and may hold locks."""
        return self._process is not None and self._process.poll() is None

    def let_go(self) -> None:
        """End pg_dump for those who wait for what it has locked; from any thread."""
        process = self._process
        if process is not None and process.poll() is None:
            self._gave_way += 1
            process.kill()

    def finish(self, holder: Connection, timeout_s: float, lookout: Lookout, heed: Callable[[], None]) -> Ddl:
        """Give the DDL; the catalogs' if pg_dump is missing, fails, gives way, or takes longer than `timeout_s`.

        Raises: AgentError if `lookout` cannot look any more, what `heed` raises; psycopg2.Error if the line broke.
        """

        def check() -> None:
            lookout.check()
            heed()

        body, reason = self._await(timeout_s, check)
        if body is None and self._gave_way == 1 and self._server is not None:
            self.stop()
            self.start(self._server)
            body, reason = self._await(timeout_s, check)
        if body is None:
            return _write_from_catalogs(holder, reason, lookout)
        note = None
        if self._unreadable:
            note = f"ddl.sql lacks {len(self._unreadable)} tables that the account may not read"
        return Ddl(pin_restriction(body), note)

    def stop(self) -> None:
        """End pg_dump if it still runs, and give its files back."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for file in (self._output, self._errors):
            if file is not None:
                file.close()

    def _arguments(self, server: Server) -> list[str]:
        settings = self._settings
        dsn = make_dsn(
            host=settings.host,
            port=settings.port,
            dbname=settings.database,
            user=settings.user,
            sslmode=settings.sslmode,
            application_name=settings.application_name,
            connect_timeout=max(2, round(settings.connect_timeout_s)),
            **{name: value for name, value in settings.connect_options.items() if name not in _SECRET},
        )
        flags = [
            "--schema-only",
            "--no-password",  # nobody is there to answer
            f"--encoding={server.encoding if server.is_raw else 'UTF8'}",
            f"--snapshot={self._snapshot}",
            f"--lock-wait-timeout={max(1, round(settings.lock_timeout_s * 1000))}",
        ]
        return [*flags, *(f"--exclude-table={name}" for name in self._unreadable), f"--dbname={dsn}"]

    def _await(self, timeout_s: float, check: Callable[[], None]) -> tuple[bytes | None, str]:
        if self._process is None or self._output is None or self._errors is None:
            return None, self._reason
        deadline = time.monotonic() + timeout_s
        while (code := _wait(self._process, deadline)) is None:
            check()
            if time.monotonic() >= deadline:
                self.stop()
                return None, f"pg_dump took longer than {timeout_s:.0f} s"
        if code != 0 and self._gave_way:
            return None, "pg_dump gave way to others who waited for a table"
        if code != 0:
            self._errors.seek(0)
            words = " ".join(self._errors.read(2000).decode("utf-8", "replace").split())
            return None, f"pg_dump ended with {code}: {words[:300]}"
        self._output.seek(0)
        return self._output.read(), ""


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    """Give how a process ended; None if it has not within a second, or by the deadline."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, min(_POLL_S, deadline - time.monotonic())))
    return None


def _write_from_catalogs(holder: Connection, reason: str, lookout: Lookout) -> Ddl:
    """Give what the catalogs say. DDL that cannot be written does not cost the data: the document says why.

    The server locks what a view reads to write its definition, and keeps that until all is written: that gives way, too.
    """
    words = ""
    for _ in range(_TRIES):
        try:
            with lookout.querying(holder.info.backend_pid), aside(holder):
                body = write_ddl(holder)
        except psycopg2.Error as err:
            if is_down(err):
                raise
            words = " ".join(str(err).split())
            if not isinstance(err, psycopg2.errors.QueryCanceled):
                break
        else:
            return Ddl(body, f"ddl.sql was written from the catalogs, without owners and rights: {reason}")
    return Ddl(f"-- could not be written: {words}\n".encode(), f"ddl.sql could not be written: {reason}; {words}")


def pin_restriction(body: bytes) -> bytes:
    r"""Replace pg_dump's random word in `\restrict` by one that depends on the rest, so that equal DDL is equal bytes.

    The word must stay unknown to whoever writes names and comments in the source, for it guards psql against commands
    in them (CVE-2025-8714); a hash of the whole text cannot be put into that text.
    """
    found = _RESTRICT.search(body)
    if found is None:
        return body
    word = found[1]
    plain = body.replace(b"restrict " + word, b"restrict -")
    return body.replace(b"restrict " + word, b"restrict " + hashlib.sha256(plain).hexdigest().encode())


def find_pg_dump(configured: Path | None, server_major: int) -> Path | None:
    """Give the oldest pg_dump that is not older than the server, or the one that is configured, or None."""
    if configured is not None:
        return configured
    fitting = [(major, path) for path in _candidates() if (major := _major_of(path)) and major >= server_major]
    return min(fitting, default=(0, None))[1]


def _candidates() -> Iterator[Path]:
    name = "pg_dump.exe" if os.name == "nt" else "pg_dump"
    for root, pattern in _FOLDERS:
        yield from (folder / name for folder in sorted(Path(root).glob(pattern)) if (folder / name).is_file())
    found = shutil.which("pg_dump")
    if found:
        yield Path(found)


@lru_cache(maxsize=32)
def _major_of(path: Path) -> int | None:
    try:
        said = subprocess.run([str(path), "--version"], capture_output=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said.stdout.decode("utf-8", "replace").strip())
    return int(found[1]) if found else None
