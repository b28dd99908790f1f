# SPDX-License-Identifier: Apache-2.0
"""The contract of collectors, over one harness per source."""

import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.collectors.base import Collector
from agent.collectors.command import CommandCollector, CommandSettings, Output
from agent.collectors.files import FilesCollector, FilesSettings
from agent.collectors.mysql import MysqlCollector
from agent.collectors.postgresql import PostgresqlCollector
from tests.contract.collectors import CollectorContract, Harness
from tests.contract.odbc_harnesses import MariadbOverOdbc, PostgresqlOverOdbc, SqliteOverOdbc
from tests.contract.sqlite_harness import SqliteHarness
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import settings_for as postgresql_settings_for
from tests.servers.reading_mysql import count_sessions, settings_for


class FilesHarness:
    """A tree of scanned documents."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tree"
        for i in range(120):
            path = self._path / f"{i % 7}" / f"卷{i % 3}" / f"scan {i}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % i * i)
        (self._path / "0.txt").write_bytes(b"")
        (self._path / "0-").mkdir()
        (self._path / "link").symlink_to("0.txt")
        if os.name != "nt":
            (self._path / os.fsdecode(b"caf\xe9\n\t\\")).write_bytes(b"odd")
        os.utime(self._path / "0.txt", ns=(0, -1))

    def collector(self) -> Collector:
        return FilesCollector(FilesSettings(self._path), pause=lambda _: None)

    def missing(self) -> Collector:
        return FilesCollector(FilesSettings(self._path / "gone"))

    def transfer(self) -> None:
        raise AssertionError("a tree has no accounts")

    def balances(self) -> tuple[str, ...]:
        return ()

    def trace(self) -> object:
        return sorted(
            (os.fsencode(path), path.lstat()[:-3], path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
            for path in self._path.rglob("*")
        )

    def check_released(self) -> None:
        if Path("/proc/self/fd").exists():
            opened = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
            assert not [path for path in opened if path.is_relative_to(self._path)]
        self._path.rename(self._path.with_name("moved")).rename(self._path)

    def grow(self, size_bytes: int) -> str:
        with (self._path / "huge.bin").open("wb") as file:
            file.truncate(size_bytes // 2)
        folder = self._path / ("n" * 200)
        folder.mkdir()
        for i in range(min(3000, size_bytes // 1000)):
            (folder / f"{'r' * 200}{i}").touch()
        return "@files"

    def close(self) -> None:
        pass


class MariadbHarness:
    """A live database of InnoDB tables, with a writer of its own."""

    def __init__(self, server: MariadbServer, database: str, *, lock_guard: bool) -> None:
        self._server = server
        self._database = database
        self._random = random.Random(7)
        self._connection = server.connect(database)
        self._lock_guard = lock_guard
        for statement in (
            "CREATE TABLE savings (id int PRIMARY KEY, balance int NOT NULL)",
            "CREATE TABLE loans (id int PRIMARY KEY, balance bigint NOT NULL)",
            "CREATE TABLE `病人` (id int PRIMARY KEY AUTO_INCREMENT, `姓名` varchar(60), note longtext, weight double, "
            "scan longblob, seen timestamp(3) NULL, hidden int INVISIBLE DEFAULT 7)",
            "CREATE TABLE keyed (code varchar(40), n int, y float, z varbinary(9), PRIMARY KEY (code, n))",
            "CREATE TABLE loose (a int, b varchar(9))",
            "CREATE TABLE bulk (id int PRIMARY KEY AUTO_INCREMENT, a varchar(1000), b longblob)",
            "CREATE SEQUENCE numbers",
        ):
            self._run(statement)
        self._many("INSERT INTO savings VALUES (%s, 1000)", [(i,) for i in range(100)])
        self._many("INSERT INTO loans VALUES (%s, 1000)", [(i,) for i in range(100)])
        values: list[object] = [
            None, b"", b"a\tb\\c\nd\0", b"\0\xff", b"x" * 65_536, b"x" * 65_537, os.urandom(2_000_000), b"y" * 300_000,
        ]  # fmt: skip
        for value in values:
            text = None if value is None else value.decode("latin-1")  # type: ignore[attr-defined]  # all others are bytes
            self._run(
                "INSERT INTO `病人` (`姓名`, note, weight, scan, seen) VALUES (%s, %s, %s, %s, '2026-11-22 01:02:03.5')",
                ("张三", text, 61.5, value),
            )
        for i in range(50):
            self._run("INSERT INTO keyed VALUES (%s, %s, %s, %s)", (f"K{i * 37 % 50}é", i, i / 7, b"\1"))
            self._run("INSERT INTO loose VALUES (%s, %s)", (i, f"{i}"))

    def collector(self) -> Collector:
        return MysqlCollector(settings_for(self._server, self._database, lock_guard=self._lock_guard))

    def missing(self) -> Collector:
        return MysqlCollector(settings_for(self._server, "gone"))

    def transfer(self) -> None:
        amount, source, target = self._random.randrange(50), self._random.randrange(100), self._random.randrange(100)
        self._run("BEGIN")
        self._run("UPDATE savings SET balance = balance - %s WHERE id = %s", (amount, source))
        self._run("UPDATE loans SET balance = balance + %s WHERE id = %s", (amount, target))
        self._run("COMMIT")

    def balances(self) -> tuple[str, ...]:
        return (f"{self._database}.savings", f"{self._database}.loans")

    def trace(self) -> object:
        names = [name for (name,) in self._server.execute("SHOW TABLES", database=self._database)]
        sums = [self._server.execute(f"CHECKSUM TABLE `{name}`", database=self._database) for name in names]
        return sums, self._server.execute("SHOW MASTER STATUS"), self._count_sessions()

    def check_released(self) -> None:
        self.transfer()
        assert self._count_sessions() == 1
        self._run("ALTER TABLE bulk ADD COLUMN IF NOT EXISTS later int")

    def grow(self, size_bytes: int) -> str:
        rows = [("r" * 900, b"z" * 90) for _ in range(size_bytes // 2000)]
        self._many("INSERT INTO bulk (a, b) VALUES (%s, %s)", rows)
        self._run("INSERT INTO bulk (b) VALUES (REPEAT('b', %s))", (size_bytes // 2,))
        return f"{self._database}.bulk"

    def close(self) -> None:
        self._connection.close()

    def _count_sessions(self) -> int:
        # A session that was closed stays in the list for a moment.
        while (count := count_sessions(self._server, self._database)) > 1:
            pass
        return count

    def _run(self, sql: str, parameters: object = None) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def _many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _mariadb(request: pytest.FixtureRequest, *, lock_guard: bool) -> Harness:
    server, database = request.getfixturevalue("mariadb_server"), request.getfixturevalue("mariadb_database")
    return MariadbHarness(server, database, lock_guard=lock_guard)


class PostgresqlHarness(PostgresqlOverOdbc):
    """The database of the harness over ODBC, read as the native collector does, by so many sessions at once."""

    def __init__(self, server: PostgresServer, database: str, sessions: int) -> None:
        super().__init__(server, database)
        self._sessions = sessions

    def collector(self) -> Collector:
        settings = postgresql_settings_for(self._server, self._database, read_sessions=self._sessions)
        return PostgresqlCollector(settings)

    def missing(self) -> Collector:
        return PostgresqlCollector(postgresql_settings_for(self._server, "gone"))

    def grow(self, size_bytes: int) -> str:
        # As large at the source as it is read: a table that is small there is not read by several sessions.
        self._run("ALTER TABLE bulk ALTER b SET STORAGE EXTERNAL")
        name = super().grow(size_bytes)
        self._run("ANALYZE bulk")
        return name


def _postgresql(request: pytest.FixtureRequest, *, sessions: int) -> Harness:
    server, database = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_database")
    return PostgresqlHarness(server, database, sessions)


_DUMP = """
import json, sys
for name, size in json.load(open(sys.argv[1], encoding="utf-8")):
    with open(f"{sys.argv[2]}/{name}.dmp", "wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(bytes(min(1 << 20, size - at)))
print("done", file=sys.stderr)
"""


class CommandHarness:
    """A command that leaves a file for each table of its source, which is a list of names and sizes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = folder / "source.json"
        self._dumps = folder / "dumps"
        self._dumps.mkdir()
        (self._dumps / "old.dmp").write_bytes(b"last week's")
        self._tables: list[tuple[str, int]] = [(f"表 {i * 37 % 120}", i * 1000) for i in range(1, 121)]
        self._save()

    def _save(self) -> None:
        self._source.write_text(json.dumps(self._tables), encoding="utf-8")

    def collector(self) -> Collector:
        argv = (sys.executable, "-I", "-S", "-c", _DUMP, str(self._source), str(self._dumps))
        path = self._dumps / "*.dmp"
        return CommandCollector(CommandSettings(argv, "his", output=Output.FILE, path=path, remove=True), {})

    def missing(self) -> Collector:
        return CommandCollector(CommandSettings((str(self._folder / "gone"),), "his"), {})

    def transfer(self) -> None:
        raise AssertionError("a dump has no accounts")

    def balances(self) -> tuple[str, ...]:
        return ()

    def trace(self) -> object:
        return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in self._folder.rglob("*") if p.is_file())

    def check_released(self) -> None:
        assert not [path for path in self._dumps.iterdir() if path.name != "old.dmp"]
        if Path("/proc").exists():
            words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.is_file()]
            assert not [line for line in words if os.fsencode(self._source) in line]

    def grow(self, size_bytes: int) -> str:
        self._tables.append(("huge", size_bytes // 2))
        self._tables += [(f"{'r' * 240}{i}", 1) for i in range(min(5000, size_bytes // 1000))]
        self._save()
        return "@files"

    def close(self) -> None:
        pass


def _in_database(made: Callable[..., Harness], request: pytest.FixtureRequest, server: str) -> Harness:
    return made(request.getfixturevalue(f"{server}_server"), request.getfixturevalue(f"{server}_database"))


# A source with a server takes it from the request's fixtures.
HARNESSES: dict[str, Callable[[pytest.FixtureRequest, Path], Harness]] = {
    "sqlite": lambda _, folder: SqliteHarness(folder),
    "files": lambda _, folder: FilesHarness(folder),
    "mariadb": lambda request, _: _mariadb(request, lock_guard=False),
    "mariadb with lock guard": lambda request, _: _mariadb(request, lock_guard=True),
    "postgresql": lambda request, _: _postgresql(request, sessions=1),
    "postgresql with two sessions": lambda request, _: _postgresql(request, sessions=2),
    "command": lambda _, folder: CommandHarness(folder),
    "sqlite over odbc": lambda _, folder: SqliteOverOdbc(folder),
    "postgresql over odbc": lambda request, _: _in_database(PostgresqlOverOdbc, request, "postgres"),
    "mariadb over odbc": lambda request, _: _in_database(MariadbOverOdbc, request, "mariadb"),
}


@pytest.fixture(params=sorted(HARNESSES))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    made = HARNESSES[request.param](request, tmp_path)
    yield made
    made.close()


class TestCollectors(CollectorContract):
    """Every source keeps the contract."""
