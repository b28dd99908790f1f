# SPDX-License-Identifier: Apache-2.0
"""Sources over ODBC for the contract of collectors: three drivers, each over a real database with a writer of its own."""

import os
import random
from collections.abc import Sequence
from typing import Any

import psycopg2

from agent.collectors.base import Collector
from agent.collectors.odbc import OdbcCollector, OdbcSettings
from tests.contract.sqlite_harness import SqliteHarness
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer

VALUES: list[bytes | None] = [
    None, b"", b"a\tb\\c\nd", b"\xff\x01", b"x" * 65_536, b"x" * 65_537, os.urandom(2_000_000), b"y" * 300_000,
]  # fmt: skip


class SqliteOverOdbc(SqliteHarness):
    """The database of the native harness, read through libsqliteodbc."""

    def collector(self) -> Collector:
        return OdbcCollector(OdbcSettings("sqlite", f"Driver=SQLite3;Database=file:{self._path}?mode=ro"))

    def missing(self) -> Collector:
        return OdbcCollector(
            OdbcSettings("sqlite", f"Driver=SQLite3;Database=file:{self._path.parent}/gone.db?mode=ro")
        )


class _ServerHarness:
    """What harnesses of servers have in common. `schema`: what stands before a table's name."""

    schema: str

    def transfer(self) -> None:
        amount, source, target = self._random.randrange(50), self._random.randrange(100), self._random.randrange(100)
        self._run("BEGIN")
        self._run("UPDATE savings SET balance = balance - %s WHERE id = %s", (amount, source))
        self._run("UPDATE loans SET balance = balance + %s WHERE id = %s", (amount, target))
        self._run("COMMIT")

    def balances(self) -> tuple[str, ...]:
        return (f"{self.schema}.savings", f"{self.schema}.loans")

    def close(self) -> None:
        self._connection.close()

    def _fill(self) -> None:
        self._random = random.Random(7)
        self._many("INSERT INTO savings VALUES (%s, 1000)", [(i,) for i in range(100)])
        self._many("INSERT INTO loans VALUES (%s, 1000)", [(i,) for i in range(100)])
        for value in VALUES:
            text = None if value is None else value.replace(b"\0", b"0").decode("latin-1")
            self._run(
                "INSERT INTO patients (name, note, weight, scan, seen) VALUES (%s, %s, %s, %s, '2026-11-22 01:02:03.5')",
                ("张三😀", text, 61.5, value),
            )
        for i in range(50):
            self._run("INSERT INTO keyed VALUES (%s, %s, %s, %s)", (f"K{i * 37 % 50}é", i, i / 7, b"\1"))
            self._run("INSERT INTO loose VALUES (%s, %s)", (i, f"{i}"))

    def _run(self, sql: str, parameters: object = None) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def _many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql, rows)

    _connection: Any
    _random: random.Random


class PostgresqlOverOdbc(_ServerHarness):
    """A live PostgreSQL database, read through psqlodbc."""

    schema = "public"

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server = server
        self._database = database
        self._connection = psycopg2.connect(server.dsn_of(database))
        self._connection.autocommit = True
        self._run(
            """CREATE TABLE savings (id int PRIMARY KEY, balance int NOT NULL);
            CREATE TABLE loans (id int PRIMARY KEY, balance bigint NOT NULL);
            CREATE TABLE patients (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name varchar(60), note text,
                weight float8, scan bytea, seen timestamp);
            CREATE TABLE keyed (code varchar(40), n int, y float4, z bytea, PRIMARY KEY (code, n));
            CREATE TABLE loose (a int, b varchar(9));
            CREATE TABLE bulk (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, a varchar(1000), b bytea);"""
        )
        self._fill()

    def settings(self, database: str) -> OdbcSettings:
        server = self._server
        connection = f"Driver=PostgreSQL Unicode;Server={server.host};Port={server.port};Database={database}"
        return OdbcSettings("postgresql", connection, server.user, server.password)

    def collector(self) -> Collector:
        return OdbcCollector(self.settings(self._database))

    def missing(self) -> Collector:
        return OdbcCollector(self.settings("gone"))

    def trace(self) -> object:
        counts = "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
        locks = "SELECT count(*) FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = %s)"
        with self._connection.cursor() as cursor:
            cursor.execute(counts)
            found = cursor.fetchall()
            cursor.execute(locks, (self._database,))
            return found, self._count_sessions(), cursor.fetchall()

    def check_released(self) -> None:
        self.transfer()
        assert self._count_sessions() == 1
        self._run("ALTER TABLE bulk ADD COLUMN IF NOT EXISTS later int")

    def grow(self, size_bytes: int) -> str:
        rows = [("r" * 900, b"z" * 90) for _ in range(size_bytes // 2000)]
        self._many("INSERT INTO bulk (a, b) VALUES (%s, %s)", rows)
        self._run("INSERT INTO bulk (b) VALUES (convert_to(repeat('b', %s), 'UTF8'))", (size_bytes // 2,))
        return "public.bulk"

    def _count_sessions(self) -> int:
        with self._connection.cursor() as cursor:
            # A session that was closed stays in the list for a moment.
            while True:
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (self._database,))
                if (count := int(cursor.fetchone()[0])) == 1:
                    return count


class MariadbOverOdbc(_ServerHarness):
    """A live MariaDB database, read through MariaDB's ODBC driver."""

    def __init__(self, server: MariadbServer, database: str) -> None:
        self._server = server
        self.schema = database
        self._connection = server.connect(database)
        for statement in (
            "CREATE TABLE savings (id int PRIMARY KEY, balance int NOT NULL)",
            "CREATE TABLE loans (id int PRIMARY KEY, balance bigint NOT NULL)",
            "CREATE TABLE patients (id int PRIMARY KEY AUTO_INCREMENT, name varchar(60), note longtext, weight double, "
            "scan longblob, seen timestamp(3) NULL)",
            "CREATE TABLE keyed (code varchar(40), n int, y float, z varbinary(9), PRIMARY KEY (code, n))",
            "CREATE TABLE loose (a int, b varchar(9))",
            "CREATE TABLE bulk (id int PRIMARY KEY AUTO_INCREMENT, a varchar(1000), b longblob)",
        ):
            self._run(statement)
        self._fill()

    def settings(self, database: str) -> OdbcSettings:
        server = self._server
        connection = f"Driver=MariaDB Unicode;Server={server.host};Port={server.port};Database={database}"
        return OdbcSettings("mariadb", connection, server.user, server.password)

    def collector(self) -> Collector:
        return OdbcCollector(self.settings(self.schema))

    def missing(self) -> Collector:
        return OdbcCollector(self.settings("gone"))

    def trace(self) -> object:
        names = [name for (name,) in self._server.execute("SHOW TABLES", database=self.schema)]
        sums = [self._server.execute(f"CHECKSUM TABLE `{name}`", database=self.schema) for name in names]
        return sums, self._server.execute("SHOW MASTER STATUS"), self._count_sessions()

    def check_released(self) -> None:
        self.transfer()
        assert self._count_sessions() == 1
        self._run("ALTER TABLE bulk ADD COLUMN IF NOT EXISTS later int")

    def grow(self, size_bytes: int) -> str:
        rows = [("r" * 900, b"z" * 90) for _ in range(size_bytes // 2000)]
        self._many("INSERT INTO bulk (a, b) VALUES (%s, %s)", rows)
        self._run("INSERT INTO bulk (b) VALUES (REPEAT('b', %s))", (size_bytes // 2,))
        return f"{self.schema}.bulk"

    def _count_sessions(self) -> int:
        while True:
            rows = self._server.execute(
                "SELECT count(*) FROM information_schema.PROCESSLIST WHERE DB = %s AND ID <> CONNECTION_ID()",
                (self.schema,),
            )
            if (count := int(rows[0][0])) == 1:
                return count
