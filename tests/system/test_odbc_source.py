# SPDX-License-Identifier: Apache-2.0
"""A database over ODBC, from its rows to stored receipts; what did not change is not sent again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from agent.app import Agent
from agent.collectors.odbc import OdbcCollector, OdbcSettings
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Progress, Silent
from agent.snapshot.splitting import SplitCollector
from evidence.manifest.statement import Consistency
from tests.builders.world import World, check_kept, sqlite_source
from tests.servers.postgresql import PostgresServer
from tests.unit.agent.snapshot.test_take import Bench


def test_database_over_odbc_is_stored_and_has_what_the_native_collector_finds(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    server = postgres_server
    server.execute(
        "CREATE TABLE visit (id int PRIMARY KEY, name text, price numeric(9,2), scan bytea);"
        "INSERT INTO visit SELECT i, '病人' || i, i, decode(repeat('ab', CASE WHEN i % 20 = 0 THEN i * 40 ELSE i END), 'hex')"
        "  FROM generate_series(1, 2500) i;"
        "CREATE TABLE remark (a text)",
        database=postgres_database,
    )
    password = tmp_path / "password"
    password.write_text(server.password)
    password.chmod(0o600)
    account = f'user: {server.user}, password: "file:{password}"'
    connection = f"Driver=PostgreSQL Unicode;Server={server.host};Port={server.port};Database={postgres_database}"
    sources = (
        f'  - {{name: his, kind: odbc, dialect: postgresql, connection: "{connection}", {account}}}\n'
        f"  - {{name: same, kind: postgresql, host: {server.host}, port: {server.port}, database: {postgres_database}, {account}}}\n"
    )
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, "X013", sources)
        first = world.snapshot("X013", "his")
        assert (first.tables, first.rows, first.consistency) == (2, 2500, "consistent")
        server.execute("UPDATE visit SET name = 'corrected' WHERE id = 1200", database=postgres_database)
        second = world.snapshot("X013", "his")
        native = world.snapshot("X013", "same")
        assert second.sent_bytes < first.sent_bytes / 10, "unchanged rows are not sent again"
        assert (native.rows, native.bytes_) == (second.rows, second.bytes_)
        kept = check_kept(center, folder, "X013", "his")
        assert [(k.sequence, k.level) for k in kept if k.kind == "snapshot"] == [(1, "stored"), (2, "stored")]


@contextmanager
def _silent(_source: str) -> Iterator[Progress]:
    yield Silent()


def _over_sqlite(path: Path, name: str, more: str = "") -> str:
    connection = f"Driver=SQLite3;Database=file:{path}?mode=ro"
    return f'  - {{name: {name}, kind: odbc, dialect: sqlite, connection: "{connection}"{more}}}\n'


def _make(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for table in "abc":
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, body TEXT)")
            db.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(i, table * 40) for i in range(2_000)])
        db.commit()
    return path


def test_table_over_odbc_is_carried_over_and_its_source_is_a_member_of_a_group(tmp_path: Path) -> None:
    path = _make(tmp_path / "his.db")
    sources = _over_sqlite(path, "his", ", read: {b: weekly}") + sqlite_source("lis", _make(tmp_path / "lis.db"))
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, "X013", sources + "groups:\n  - {name: both, sources: [lis, his]}\n")
        with Agent.open(folder) as agent:
            for _ in range(2):
                ends = [end.end for end in agent.snapshot_group("both", _silent)]
                assert all(isinstance(end, Outcome) and end.stage is Stage.STORED for end in ends), ends
            loads = agent.loads("his")
        tables = center.open_snapshot("X013", "his", 2).manifest.tables
        assert [(t.claim.name, t.carried_from) for t in tables] == [("a", None), ("b", 1), ("c", None)]
        assert loads[1].read_bytes < loads[0].read_bytes
        kept = check_kept(center, folder, "X013", "his")
        assert [k.level for k in kept if k.kind == "snapshot"] == ["stored", "stored"]


def test_view_over_odbc_that_is_too_old_is_split(tmp_path: Path) -> None:
    settings = OdbcSettings(
        dialect="sqlite", connection=f"Driver=SQLite3;Database=file:{_make(tmp_path / 'his.db')}?mode=ro",
        snapshot_age_limit_s=10,
    )  # fmt: skip
    now = count()
    bench = Bench(tmp_path)
    try:
        taken = bench.take(SplitCollector(OdbcCollector(settings, clock=lambda: next(now) * 1.2)))  # type: ignore[arg-type]  # a collector
        assert taken.statement.consistency is Consistency.PER_TABLE
        assert [len(bench.lines(taken, name)) for name in "abc"] == [2_000] * 3
        assert [note for note in taken.notes if note.startswith("split: ")]
    finally:
        bench.holdings.close()
