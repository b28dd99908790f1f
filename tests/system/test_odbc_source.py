# SPDX-License-Identifier: Apache-2.0
"""A database over ODBC, from its rows to stored receipts; what did not change is not sent again."""

from pathlib import Path

from tests.builders.world import World, check_kept
from tests.servers.postgresql import PostgresServer


def test_database_over_odbc_is_stored_and_has_what_the_native_collector_finds(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    server = postgres_server
    server.execute(
        "CREATE TABLE visit (id int PRIMARY KEY, name text, price numeric(9,2), scan bytea);"
        "INSERT INTO visit SELECT i, '病人' || i, i, decode(repeat('ab', i * 40), 'hex') FROM generate_series(1, 2500) i;"
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
