# SPDX-License-Identifier: Apache-2.0
"""A group over three real databases at work: PostgreSQL, MariaDB and SQLite, opened by threads, read by one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agent.app import Agent
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Progress, Silent
from evidence.manifest.group import GroupView, parse_group_note
from tests.builders.world import World, sqlite_source
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer


@contextmanager
def silent(_source: str) -> Iterator[Progress]:
    yield Silent()


def test_group_over_three_kinds_of_databases_is_stored_under_one_id(
    postgres_server: PostgresServer,
    postgres_database: str,
    mariadb_server: MariadbServer,
    mariadb_database: str,
    tmp_path: Path,
) -> None:
    postgres_server.execute(
        "CREATE TABLE visit AS SELECT i AS id, repeat('x', 200) AS note FROM generate_series(1, 5000) i",
        database=postgres_database,
    )
    mariadb_server.execute(
        "CREATE TABLE image (id int PRIMARY KEY, body varchar(200));"
        "INSERT INTO image SELECT seq, REPEAT('y', 150) FROM seq_1_to_5000",
        database=mariadb_database,
    )
    password, secret = tmp_path / "password", tmp_path / "secret"
    for path, text in ((password, mariadb_server.password), (secret, postgres_server.password)):
        path.write_text(text)
        path.chmod(0o600)
    with closing(sqlite3.connect(tmp_path / "lis.db", isolation_level=None)) as lis:
        lis.execute("PRAGMA journal_mode=WAL")
        lis.execute("CREATE TABLE result (id INTEGER PRIMARY KEY, value REAL)")
        lis.execute("INSERT INTO result VALUES (1, 2.5)")
        sources = (
            f"  - {{name: his, kind: postgresql, host: {postgres_server.host}, port: {postgres_server.port}, "
            f"database: {postgres_database}, user: {postgres_server.user}, password: 'file:{secret}'}}\n"
            + sqlite_source("lis", tmp_path / "lis.db")
            + f"  - {{name: pacs, kind: mysql, host: {mariadb_server.host}, port: {mariadb_server.port}, "
            f"database: {mariadb_database}, user: {mariadb_server.user}, password: 'file:{password}'}}\n"
            "groups:\n  - {name: nightly, sources: [his, lis, pacs]}\n"
        )
        with World.make(tmp_path) as world, world.serving() as center:
            world.add_agent(center, "X013", sources)
            for sequence in (1, 2):
                with Agent.open(world.agent_folder("X013")) as agent:
                    ends = [end.end for end in agent.snapshot_group("nightly", silent)]
                assert all(isinstance(end, Outcome) and end.stage is Stage.STORED for end in ends), ends
                manifests = [center.open_snapshot("X013", n, sequence).manifest for n in ("his", "lis", "pacs")]
                views = [parse_group_note(note) for manifest in manifests for note in manifest.notes]
                found = [view for view in views if isinstance(view, GroupView)]
                assert [view.place for view in found] == [1, 2, 3]
                assert len({view.group for view in found}) == 1
            assert [sum(t.claim.rows for t in manifest.tables) for manifest in manifests] == [5_000, 1, 5_000]
