# SPDX-License-Identifier: Apache-2.0
"""The same records in MariaDB, PostgreSQL and SQLite have the same roots: evidence does not depend on who keeps them."""

import random
import sqlite3
from pathlib import Path

import psycopg2
import pytest

from agent.collectors.base import Collector
from agent.collectors.mysql import MysqlCollector
from agent.collectors.naming import TableChoice
from agent.collectors.postgresql import PostgresqlCollector
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.tables import BuiltTable, build_table
from evidence.rows.commit import row_key
from tests.fakes.snapshot import SECRETS, SourceHistory
from tests.servers import reading, reading_mysql
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer

Row = tuple[object, ...]

NAMES = {"visit": "ward.visit", "note": "ward.note", "loose": "ward.loose"}
TEXTS = (
    "张三", "", " padded ", "\\N", "\\.", "a\tb\nc\rd\x08\x0c\x0b", "\\", "👩‍⚕️ \U00020bb7", "NULL", "'\"`", "\ufeffbom\u2028", "x" * 70_000,
    "病程记录" * 40_000, None,
)  # fmt: skip
FLOATS = (0.1, -1e300, 1e23, 5e-324, 123456789012345.0, 1e15, 0.0, 61.5, -2.5e-7, 1e22, None)
BLOBS = (b"", b"\x00\xff", bytes(range(256)) * 300, b"\\x00", None)


def make_rows() -> list[Row]:
    """Give rows in an order that is no database's own."""
    chosen = random.Random(3)
    rows: list[Row] = [
        (number, TEXTS[i % len(TEXTS)], FLOATS[i % len(FLOATS)], BLOBS[i % len(BLOBS)], TEXTS[i * 7 % 11])
        for i, number in enumerate([*range(-20, 180), 2**63 - 1, -(2**63)])
    ]
    chosen.shuffle(rows)
    return rows


def make_notes() -> list[Row]:
    """Give rows whose key is a text, with neighbours that collations mix up."""
    codes = ["a", "A", "B", "b", "aa", "a b", "é", "e", "中", "Z", "ß", "ss", "10", "9", "1", "\U0001f469", "\uffee"]
    return [(code, i) for i, code in enumerate(codes)]


def in_sqlite(path: Path) -> Collector:
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE visit (id INTEGER PRIMARY KEY, patient TEXT, weight REAL, scan BLOB, remark TEXT) STRICT"
    )
    connection.execute("CREATE TABLE note (code TEXT PRIMARY KEY NOT NULL, n INTEGER) STRICT")
    connection.execute("CREATE TABLE loose (id INTEGER, patient TEXT, weight REAL, scan BLOB, remark TEXT) STRICT")
    connection.executemany("INSERT INTO visit VALUES (?, ?, ?, ?, ?)", make_rows())
    connection.executemany("INSERT INTO loose VALUES (?, ?, ?, ?, ?)", make_rows()[:50] * 2)
    connection.executemany("INSERT INTO note VALUES (?, ?)", make_notes())
    connection.commit()
    connection.close()
    return SqliteCollector(SqliteSettings(path, TableChoice(as_names=NAMES)))


def in_postgresql(server: PostgresServer, database: str) -> Collector:
    connection = psycopg2.connect(server.dsn_of(database))
    with connection, connection.cursor() as cursor:
        for name, key in (("visit", "PRIMARY KEY"), ("loose", "")):
            cursor.execute(
                f"CREATE TABLE {name} (id bigint {key}, patient text, weight double precision, scan bytea, remark text)"
            )
        cursor.execute('CREATE TABLE note (code text COLLATE "C" PRIMARY KEY, n bigint)')
        cursor.executemany("INSERT INTO visit VALUES (%s, %s, %s, %s, %s)", make_rows())
        cursor.executemany("INSERT INTO loose VALUES (%s, %s, %s, %s, %s)", make_rows()[:50] * 2)
        cursor.executemany("INSERT INTO note VALUES (%s, %s)", make_notes())
    connection.close()
    names = {f"public.{name}": logical for name, logical in NAMES.items()}
    return PostgresqlCollector(
        reading.settings_for(server, database, tables=TableChoice(as_names=names), pg_dump=Path("/nowhere"))
    )


def in_mariadb(server: MariadbServer, database: str, collation: str, engine: str) -> Collector:
    connection = server.connect(database)
    with connection.cursor() as cursor:
        for name, key in (("visit", "PRIMARY KEY"), ("loose", "")):
            cursor.execute(
                f"CREATE TABLE {name} (id bigint {key}, patient longtext, weight double, scan longblob, remark longtext) "
                f"ENGINE={engine}"
            )
        cursor.execute(
            f"CREATE TABLE note (code varchar(40) COLLATE {collation} PRIMARY KEY, n bigint) ENGINE={engine}"
        )
        cursor.executemany("INSERT INTO visit VALUES (%s, %s, %s, %s, %s)", make_rows())
        cursor.executemany("INSERT INTO loose VALUES (%s, %s, %s, %s, %s)", make_rows()[:50] * 2)
        cursor.executemany("INSERT INTO note VALUES (%s, %s)", make_notes())
    connection.close()
    names = {f"{database}.{name}": logical for name, logical in NAMES.items()}
    return MysqlCollector(reading_mysql.settings_for(server, database, tables=TableChoice(as_names=names)))


def build(collector: Collector, folder: Path) -> dict[str, BuiltTable]:
    """Build the tables as the agent does, with one secret for all."""
    history, key = SourceHistory(), row_key(SECRETS.row_secret)
    blobs = BlobWriter(history.objects, folder / "work")
    try:
        with collector.open_view() as view:
            return {
                table.schema.name: build_table(
                    view, table, key, history.objects, blobs, folder / "work", lambda *_: None
                )
                for table in view.tables()
            }
    finally:
        blobs.close()


@pytest.mark.parametrize(("collation", "engine"), [("utf8mb4_nopad_bin", "InnoDB"), ("utf8mb4_bin", "MyISAM")])
def test_same_records_have_the_same_roots_in_every_database(
    mariadb_server: MariadbServer,
    mariadb_database: str,
    postgres_server: PostgresServer,
    postgres_database: str,
    tmp_path: Path,
    collation: str,
    engine: str,
) -> None:
    built = [
        build(collector, tmp_path / f"{i}")
        for i, collector in enumerate((
            in_sqlite(tmp_path / "his.db"),
            in_postgresql(postgres_server, postgres_database),
            in_mariadb(mariadb_server, mariadb_database, collation, engine),
        ))
    ]  # fmt: skip
    for name in NAMES.values():
        schemas = [tables[name].schema for tables in built]
        kinds = [[(c.name, c.kind) for c in schema.columns] for schema in schemas]
        assert kinds[0] == kinds[1] == kinds[2]
        assert {schema.key for schema in schemas} == {{"ward.visit": ("id",), "ward.note": ("code",)}.get(name, ())}
        trees = [(t.root, t.height, t.items, t.rows, t.bytes_) for t in (tables[name].tree for tables in built)]
        assert trees[0] == trees[1] == trees[2], name
        assert trees[0][3] == {"ward.visit": 202, "ward.note": 17, "ward.loose": 100}[name]


def test_table_that_two_sessions_read_has_the_root_that_one_gives(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    postgres_server.execute(
        """CREATE TABLE visit ("号" bigint PRIMARY KEY, patient text, remark text, scan bytea);
        ALTER TABLE visit ALTER scan SET STORAGE EXTERNAL;
        INSERT INTO visit SELECT n * 3, 'P' || n, CASE WHEN n % 3 > 0 THEN repeat('病程', 100) END,
            CASE WHEN n % 9000 = 0 THEN convert_to(repeat(n::text, 400000), 'UTF8') END FROM generate_series(1, 60000) n;
        ANALYZE visit""",
        database=postgres_database,
    )
    copying = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE 'COPY%'"

    def build_by(sessions: int) -> tuple[object, ...]:
        seen: list[int] = []
        history, key = SourceHistory(), row_key(SECRETS.row_secret)
        blobs = BlobWriter(history.objects, tmp_path / f"{sessions}")
        settings = reading.settings_for(
            postgres_server, postgres_database, read_sessions=sessions, pg_dump=Path("/nowhere")
        )
        with PostgresqlCollector(settings).open_view() as view:
            built = build_table(
                view, reading.find_table(view, "public.visit"), key, history.objects, blobs, tmp_path / f"{sessions}",
                lambda *_: seen.append(int(postgres_server.execute(copying)[0][0])),
            )  # fmt: skip
        blobs.close()
        assert max(seen) == sessions
        assert built.tree.rows == 60_000
        return built.schema, built.tree.root, built.tree.rows, built.tree.bytes_

    assert build_by(1) == build_by(2)
