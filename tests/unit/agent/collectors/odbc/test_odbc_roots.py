# SPDX-License-Identifier: Apache-2.0
"""The same data read natively and over ODBC have the same table root: whatever road, one tree."""

import os
import random
import sqlite3
import struct
from pathlib import Path

from agent.collectors.base import Collector
from agent.collectors.mysql import MysqlCollector, MysqlSettings
from agent.collectors.odbc import OdbcCollector, OdbcSettings
from agent.collectors.postgresql import PostgresqlCollector
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.objects import RootsOnly
from agent.snapshot.tables import build_table
from evidence.rows.commit import row_key
from evidence.rows.schema import Schema
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import settings_for

ODD_TEXTS = [
    "",
    " ",
    "x ",
    "a\tb\\c\nd\r\b\f\v",
    "住院号 0001",
    "😀 𠮷",
    "\u2028",
    "ẞ",
    "'quoted'",
    '"',
    "\\N",
    "\\@sha256:x",
    "%s ? {x}",
]
DOUBLES = [0.0, -0.0, 0.1, 1e15, 1e23, 5e-324, 1.7976931348623157e308, -1 / 3, 123456789.123456789, 2.0**53 + 2]


def table_roots(collector: Collector, folder: Path) -> dict[str, tuple[Schema, bytes]]:
    """Give schema and root of every table, as a snapshot would compute them."""
    found: dict[str, tuple[Schema, bytes]] = {}
    sink = RootsOnly()
    blobs = BlobWriter(sink, folder)
    try:
        with collector.open_view() as view:
            for table in view.tables():
                name = table.schema.name
                built = build_table(view, table, row_key(bytes(32)), sink, blobs, folder, lambda *_: None)
                found[name] = (built.schema, built.tree.root)
            assert not [o for o in view.omitted() if "rows are made by a module" not in o.reason]
    finally:
        blobs.close()
    return found


def check_same(native: Collector, over_odbc: Collector, folder: Path, expected: int) -> None:
    """Compare all tables, of which there are `expected`."""
    first = table_roots(native, folder / "a")
    second = table_roots(over_odbc, folder / "b")
    assert len(first) == expected
    assert set(first) == set(second)
    for name, (schema, root) in first.items():
        other, other_root = second[name]
        assert [(c.name, c.kind, c.null, c.scale, c.type) for c in schema.columns] == [
            (c.name, c.kind, c.null, c.scale, c.type) for c in other.columns
        ]
        assert schema.key == other.key
        assert root == other_root, name


_POSTGRESQL = """
CREATE SCHEMA "Säle.2";
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN amount AS numeric(12, 3) CHECK (VALUE IS NULL OR VALUE > -1e9);
CREATE TABLE "Säle.2"."order" (
    id bigint PRIMARY KEY, b boolean, i2 int2, n numeric, n2 numeric(20, 2), neg numeric(10, -2), f4 float4, f8 float8,
    t text, v varchar(5000), c char(7), n1 name, by bytea, bi bit(5), vb varbit, d date, ti time, ts timestamp,
    tz timestamptz, iv interval, u uuid, j json, jb jsonb, m mood, a amount, arr int[], ip inet, r int4range, x xml,
    money money, tid timetz, gen int GENERATED ALWAYS AS (i2 + 1) STORED);
COMMENT ON COLUMN "Säle.2"."order".t IS 'a remark';
CREATE TABLE keyed_by_text (code text COLLATE "und-x-icu" PRIMARY KEY, doc text);
CREATE TABLE keyed_by_two (a int, b numeric(9,2), doc bytea, PRIMARY KEY (a, b));
CREATE TABLE keyless (a int, b text, doc bytea);
CREATE TABLE empty (a int PRIMARY KEY);
CREATE TABLE parent (a int PRIMARY KEY, b text);
CREATE TABLE child (c int) INHERITS (parent);
CREATE TABLE parted (a int PRIMARY KEY, b text) PARTITION BY RANGE (a);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (100);
INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 3);
INSERT INTO parted SELECT i, 'x' || i FROM generate_series(0, 99) i;
INSERT INTO keyless SELECT i, 'k' || i, decode(repeat('ab', 70000 + i), 'hex') FROM generate_series(1, 3) i;
INSERT INTO keyed_by_text SELECT CASE WHEN i % 2 = 0 THEN 'k''é' ELSE 'Ke' END || i,
    CASE WHEN i % 50 = 0 THEN repeat('医😀' || i, 200000) ELSE repeat('y', i * 300) END
    FROM generate_series(1, 250) i;
INSERT INTO keyed_by_two SELECT i % 3, i, convert_to(repeat('z' || i, i * 1000), 'UTF8') FROM generate_series(1, 150) i;
"""


def test_postgresql_has_the_same_roots_over_psqlodbc(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    execute = postgres_server.execute
    execute(_POSTGRESQL, database=postgres_database)
    insert = 'INSERT INTO "Säle.2"."order" (id, {}) VALUES (%s, {})'
    for i, text in enumerate(ODD_TEXTS):
        execute(
            insert.format("t, v, c, n1, by", "%s, %s, left(%s, 3), %s, %s"),
            (i, *[text] * 4, text.encode()),
            database=postgres_database,
        )
    for i, number in enumerate(DOUBLES):
        single = struct.unpack("f", struct.pack("f", number))[0] if abs(number) < 1e38 else 3.25
        execute(insert.format("f8, f4", "%s, %s"), (100 + i, number, single), database=postgres_database)
    execute(
        insert.format(
            "b, i2, n, n2, neg, bi, vb, d, ti, ts, tz, iv, u, j, jb, m, a, arr, ip, r, x, money, tid",
            "true, -7, 1e40, 12.3, 12345, B'10101', B'1', '2026-02-28', '23:59:59.123456', '2026-01-02 03:04:05.67', "
            "'2026-01-02 03:04:05+08', '1 year 2 days 3.5 seconds', gen_random_uuid(), '{\"a\": [1,2 ]}', '{\"a\": [1,2 ]}', "
            "'ok', 1.5, '{1,NULL,3}', '10.0.0.1', '[1,5)', '<a>&amp;</a>', 12.34, '10:00+02'",
        ), (200,), database=postgres_database,
    )  # fmt: skip
    odd = "'infinity', '-infinity', '0044-03-15 BC', 'NaN', 'NaN', '-Infinity', 'NaN'"
    execute(insert.format("d, ts, tz, n, f8, f4, n2", odd), (201,), database=postgres_database)
    connection = f"Driver=PostgreSQL Unicode;Server={postgres_server.host};Port={postgres_server.port};Database={postgres_database}"
    over = OdbcCollector(OdbcSettings("postgresql", connection, postgres_server.user, postgres_server.password))
    native = PostgresqlCollector(settings_for(postgres_server, postgres_database))
    check_same(native, over, tmp_path, 8)


def test_generic_dialect_reads_a_plain_table_as_the_native_collector_does(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    execute = postgres_server.execute
    execute(
        """CREATE TABLE plain (id bigint PRIMARY KEY, code varchar(40) NOT NULL, n int, price numeric(9, 2), w float8,
            r float4, d date, ts timestamp, note text, scan bytea);
        CREATE TABLE plain_2 (a int, b int, PRIMARY KEY (b, a));
        INSERT INTO plain_2 SELECT i, 7 - i % 7 FROM generate_series(1, 50) i""",
        database=postgres_database,
    )
    for i, (text, number) in enumerate(zip(ODD_TEXTS, DOUBLES, strict=False)):
        execute(
            "INSERT INTO plain VALUES (%s, %s, %s, 1.5, %s, 0.1, '2026-02-28', '2026-02-28 01:02:03.45', %s, %s)",
            (i, text, -i, number, text * 3000, os.urandom(3) * 30_000),
            database=postgres_database,
        )
    server = f"Server={postgres_server.host};Port={postgres_server.port};Database={postgres_database}"
    # Numbers and dates come by the server's own casts, large values whole: `MaxLongVarcharSize` is for the person to set.
    connection = f"Driver=PostgreSQL Unicode;{server};UseDeclareFetch=1;ByteaAsLongVarBinary=1"
    over = OdbcCollector(OdbcSettings("generic", connection, postgres_server.user, postgres_server.password))
    first = table_roots(PostgresqlCollector(settings_for(postgres_server, postgres_database)), tmp_path / "a")
    second = table_roots(over, tmp_path / "b")
    assert {name: (schema.key, root) for name, (schema, root) in first.items()} == {
        name: (schema.key, root) for name, (schema, root) in second.items()
    }


def test_sqlite_has_the_same_roots_over_libsqliteodbc(tmp_path: Path) -> None:
    path = tmp_path / "his.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        """
        CREATE TABLE loose(id INTEGER PRIMARY KEY, a, b REAL, c TEXT, d BLOB, e NUMERIC);
        CREATE TABLE strict(id INT PRIMARY KEY, t TEXT, r REAL, b BLOB, x ANY) STRICT;
        CREATE TABLE without(a TEXT, b, c, PRIMARY KEY(a, b)) WITHOUT ROWID;
        CREATE TABLE odd_alias(id INTEGER PRIMARY KEY DESC, x);
        CREATE TABLE rowids(rowid TEXT, oid INT);
        CREATE TABLE "with ""quotes""."(a INTEGER, b GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY(a));
        CREATE TABLE "空"(x);
        CREATE VIEW v AS SELECT 1;
        """
    )
    shuffled = random.Random(3)
    values: list[object] = [
        None,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        float("inf"),
        float("-inf"),
        *DOUBLES[2:],
        *ODD_TEXTS,
        b"",
        b"\0\xff",
        "nul\0nul",
    ]
    values += [os.urandom(70_000), "x" * 70_000, "医" * 30_000, "医😀" * 200_000, os.urandom(700_000)]
    values += [struct.unpack("d", shuffled.randbytes(8))[0] for _ in range(500)]
    for i, value in enumerate(values):
        connection.execute(
            "INSERT INTO loose VALUES(?, ?, ?, ?, ?, ?)", (i * 7 - 20, value, value, value, value, value)
        )
        real = value if isinstance(value, float) and value == value else None
        text = value if isinstance(value, str) else None
        blob = value if isinstance(value, bytes) else None
        connection.execute("INSERT INTO strict VALUES(?, ?, ?, ?, ?)", (i, text, real, blob, value))
        connection.execute("INSERT INTO without VALUES(?, ?, ?)", (f"k{i % 5}é", i, value))
        connection.execute("INSERT INTO odd_alias VALUES(?, ?)", (i, value))
        connection.execute("INSERT INTO rowids VALUES(?, ?)", (f"r{i}", i % 3))
    # But for the sign of a zero, which SQLite does not print: a note says so.
    connection.execute("INSERT INTO loose(c) VALUES(CAST(x'c3a920ff' AS TEXT))")
    connection.execute('INSERT INTO "with ""quotes""."(a) VALUES(5), (4)')
    over = OdbcCollector(OdbcSettings("sqlite", f"Driver=SQLite3;Database=file:{path}?mode=ro"))
    check_same(SqliteCollector(SqliteSettings(path)), over, tmp_path, 7)
    connection.close()


_MARIADB = """
CREATE TABLE everything (id int unsigned PRIMARY KEY, ti tinyint(1), z int(6) zerofill, bu bigint unsigned, de decimal(20,4),
    f float, d double, c char(9), v varchar(300), t longtext, e enum('a','b'), s set('x','y'), b blob, vb varbinary(9),
    bi bit(10), da date, tm time(3), dt datetime(6), ts timestamp(2) NULL, y year, j json, g int AS (ti + 1) STORED,
    u uuid, p point);
CREATE TABLE keyless (a int, b longblob);
CREATE TABLE keyed_by_text (code varchar(40) PRIMARY KEY, doc longtext);
CREATE TABLE keyed_by_two (a int, b decimal(9,2), doc longblob, PRIMARY KEY (a, b));
INSERT INTO everything VALUES (4294967295, 1, 42, 18446744073709551615, -1.5, 0.1, 1e23, 'pad', 'v', 't', 'b', 'x,y', X'00FF', X'01',
    b'1000000001', '2026-02-28', '-838:59:59', '2026-01-02 03:04:05.123450', '2026-01-02 03:04:05.10', 2026, '{"a": 1}', DEFAULT,
    '6ba7b810-9dad-11d1-80b4-00c04fd430c8', POINT(1, 2));
INSERT INTO keyless SELECT seq, REPEAT(CHAR(seq), 70000 + seq) FROM seq_1_to_3;
INSERT INTO keyed_by_text SELECT CONCAT('K', seq),
    IF(seq % 50 = 0, REPEAT(CONCAT('医😀', seq), 200000), REPEAT('y', seq * 300)) FROM seq_1_to_250;
INSERT INTO keyed_by_two SELECT seq % 3, seq, REPEAT('z', seq * 2000) FROM seq_1_to_150;
"""


def test_mariadb_has_the_same_roots_over_its_odbc_driver(
    mariadb_server: MariadbServer, mariadb_database: str, tmp_path: Path
) -> None:
    for statement in _MARIADB.split(";\n"):
        if statement.strip():
            mariadb_server.execute(statement, database=mariadb_database)
    for i, text in enumerate(ODD_TEXTS):
        mariadb_server.execute(
            "INSERT INTO everything (id, v, t, b, vb) VALUES (%s, %s, %s, %s, LEFT(%s, 9))",
            (i, text, text + "\0", text.encode(), text[:2]),
            database=mariadb_database,
        )
    for i, number in enumerate(DOUBLES):
        single = number if abs(number) < 1e38 else 3.25
        mariadb_server.execute(
            "INSERT INTO everything (id, d, f) VALUES (%s, %s, %s)",
            (100 + i, number, single),
            database=mariadb_database,
        )
    mariadb_server.execute(
        "SET sql_mode=''; INSERT INTO everything (id, da, dt, ts) VALUES (300, '0000-00-00', '2024-00-00', 0)",
        database=mariadb_database,
    )
    connection = (
        f"Driver=MariaDB Unicode;Server={mariadb_server.host};Port={mariadb_server.port};Database={mariadb_database}"
    )
    over = OdbcCollector(OdbcSettings("mariadb", connection, mariadb_server.user, mariadb_server.password))
    native = MysqlCollector(
        MysqlSettings(
            mariadb_server.host, mariadb_database, mariadb_server.user, mariadb_server.password, mariadb_server.port
        )
    )
    check_same(native, over, tmp_path, 4)
