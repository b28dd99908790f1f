# SPDX-License-Identifier: Apache-2.0
"""Read a PostgreSQL source in tests: settings that lead to a test's database, a sink that keeps blobs, rows as cells."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

import psycopg2

from agent.collectors.base import Table, View
from agent.collectors.postgresql import PostgresqlSettings
from evidence.rows.line import Cell, Token, parse_line
from evidence.rows.values import check_value
from tests.servers.postgresql import PostgresServer

_T = TypeVar("_T")


@dataclass
class KeptBlobs:
    """A blob sink that keeps all it takes, by digest."""

    items: dict[bytes, bytes] = field(default_factory=dict)

    def put(self, raw: BinaryIO) -> Token:
        state, parts = hashlib.sha256(), []
        while part := raw.read(1 << 20):
            state.update(part)
            parts.append(part)
        self.items[state.digest()] = b"".join(parts)
        return Token(state.digest(), len(self.items[state.digest()]))


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def settings_for(server: PostgresServer, database: str, **changes: Any) -> PostgresqlSettings:
    values: dict[str, Any] = {"user": server.user, "password": server.password} | changes
    return PostgresqlSettings(host=server.host, port=server.port, database=database, **values)


def find_table(view: View, name: str) -> Table:
    return next(t for t in view.tables() if t.schema.name == name)


def read_lines(view: View, name: str, blobs: KeptBlobs | None = None) -> list[bytes]:
    """Give the lines of a table, in the order in which they came."""
    blocks = list(view.read(find_table(view, name), blobs or KeptBlobs()))
    assert all(block.endswith(b"\n") for block in blocks)
    return b"".join(blocks).split(b"\n")[:-1]


def read_rows(view: View, name: str, blobs: KeptBlobs | None = None) -> list[list[Cell]]:
    """Give the rows of a table; every cell has been found to be in its kind's canonical form."""
    lines = read_lines(view, name, blobs)
    schema = find_table(view, name).schema
    rows = [parse_line(line, schema) for line in lines]
    for row in rows:
        for cell, column in zip(row, schema.columns, strict=True):
            if isinstance(cell, bytes):
                check_value(column.kind, column.scale, cell, raw_text=schema.is_raw_text(column.name))
    return rows


def column_of(rows: Sequence[Sequence[Cell]], place: int) -> list[Cell]:
    return [row[place] for row in rows]


@contextmanager
def session(server: PostgresServer, database: str) -> Iterator[Any]:
    """Give a cursor of another session, whose transaction stays open until the end."""
    connection = psycopg2.connect(server.dsn_of(database))
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def wait_for(ask: Callable[[], _T]) -> _T:
    """Ask until the answer is something, and give it; a minute at most, for what never comes must not be waited for."""
    end = time.monotonic() + 60
    while not (found := ask()):
        assert time.monotonic() < end, "it did not come within a minute"
        time.sleep(0.01)
    return found


@contextmanager
def standing_still(*pids: int) -> Iterator[None]:
    """Let processes of the server stand still, as over a disk that does not answer; a minute at most, whatever happens."""
    numbers = " ".join(map(str, pids))
    release = subprocess.Popen(["sh", "-c", f"sleep 60; kill -CONT {numbers}"])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        release.kill()
        release.wait()


def count_our_sessions(server: PostgresServer) -> int:
    """Count the sessions of our application name, in any state."""
    rows = server.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jinsuo'")
    return int(rows[0][0])
