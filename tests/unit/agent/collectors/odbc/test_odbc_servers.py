# SPDX-License-Identifier: Apache-2.0
"""Over ODBC against real servers: changes under a view, those who wait, rights, classes, and the memory of the driver's process."""

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.collectors.base import Attending, Severity
from agent.collectors.naming import TableChoice
from agent.collectors.odbc import OdbcCollector, OdbcSettings
from agent.collectors.odbc.view import OdbcView
from agent.errors import BudgetError, DriverError, LoginError, SourceDownError, SourceError, TableLostError
from evidence.manifest.statement import Consistency
from tests.fakes.machine import FakeTime
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import KeptBlobs, find_table, read_lines, session, wait_for


def _postgresql(server: PostgresServer, database: str, **changes: object) -> OdbcSettings:
    connection = f"Driver=PostgreSQL Unicode;Server={server.host};Port={server.port};Database={database}"
    return replace(OdbcSettings("postgresql", connection, server.user, server.password), **changes)  # type: ignore[arg-type]  # of the test


def _mariadb(server: MariadbServer, database: str, **changes: object) -> OdbcSettings:
    connection = f"Driver=MariaDB Unicode;Server={server.host};Port={server.port};Database={database}"
    return replace(OdbcSettings("mariadb", connection, server.user, server.password), **changes)  # type: ignore[arg-type]  # of the test


@contextmanager
def _view(settings: OdbcSettings, clock: Callable[[], float] = time.monotonic) -> Iterator[OdbcView]:
    with OdbcCollector(settings, clock=clock).open_view() as view:
        yield view


def _let_time_pass(clock: FakeTime, act: Callable[[], object]) -> None:
    """Act again and again, ten seconds later each time."""
    for _ in range(3):
        clock.now += 10
        act()


@pytest.fixture
def postgresql(postgres_server: PostgresServer, postgres_database: str) -> OdbcSettings:
    postgres_server.execute(
        """CREATE TABLE a (id int PRIMARY KEY, x text); INSERT INTO a SELECT i, repeat('r', 900) FROM generate_series(1, 30000) i;
        CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1), (2);
        CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c VALUES (3);""",
        database=postgres_database,
    )
    return _postgresql(postgres_server, postgres_database)


def test_table_truncated_after_the_snapshot_is_lost_and_not_empty(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    with _view(postgresql) as view:
        postgres_server.execute("TRUNCATE b", database=postgres_database)
        with pytest.raises(TableLostError, match="truncated, rewritten or replaced"):
            read_lines(view, "public.b")
        assert read_lines(view, "public.c") == [b"3"]


def test_table_dropped_after_the_snapshot_is_lost_and_the_next_is_read(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    with _view(postgresql) as view:
        postgres_server.execute("DROP TABLE b", database=postgres_database)
        with pytest.raises(TableLostError, match="public.b"):
            read_lines(view, "public.b")
        assert read_lines(view, "public.c") == [b"3"]


def test_lock_of_a_table_is_given_back_when_it_was_read(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    with _view(postgresql) as view:
        read_lines(view, "public.b")
        postgres_server.execute(
            "SET lock_timeout = '5s'; ALTER TABLE b ADD COLUMN later int", database=postgres_database
        )


def test_table_that_others_hold_costs_the_lock_timeout_and_not_the_view(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    with _view(replace(postgresql, lock_timeout_s=1.0)) as view, session(postgres_server, postgres_database) as other:
        other.execute("LOCK TABLE b IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TableLostError, match="lock_timeout"):
            read_lines(view, "public.b")
        assert read_lines(view, "public.c") == [b"3"]


def test_reading_gives_way_to_who_has_waited_too_long(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    def alter() -> None:
        postgres_server.execute("ALTER TABLE a ADD COLUMN later int", database=postgres_database)

    other, clock = threading.Thread(target=alter), FakeTime()
    with _view(postgresql, clock) as view:
        blocks = view.read(find_table(view, "public.a"), KeptBlobs())
        next(blocks)
        other.start()
        wait_for(lambda: postgres_server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
        with pytest.raises(TableLostError, match="had waited for it for 20 s: reading gave way"):
            _let_time_pass(clock, lambda: next(blocks))
        other.join(60)
        assert not other.is_alive()


def test_reading_gives_way_also_while_it_pauses(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    def alter() -> None:
        postgres_server.execute("ALTER TABLE a ADD COLUMN later int", database=postgres_database)

    other, clock = threading.Thread(target=alter), FakeTime()
    with _view(postgresql, clock) as view:
        assert isinstance(view, Attending)
        blocks = view.read(find_table(view, "public.a"), KeptBlobs())
        next(blocks)
        other.start()
        wait_for(lambda: postgres_server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
        with pytest.raises(TableLostError, match="had waited for it for 20 s: reading gave way"):
            _let_time_pass(clock, view.attend)
        assert isinstance(blocks, Generator)
        blocks.close()
        other.join(60)
        assert not other.is_alive()


def test_reading_gives_way_also_while_the_server_sorts(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    with _view(replace(postgresql, give_way_after_s=0.5)) as view:
        view._what = "public.a"

        def wait_for_us() -> None:
            postgres_server.execute("ALTER TABLE c ADD COLUMN later int", database=postgres_database)

        other = threading.Thread(target=wait_for_us)
        with view._around():
            view._session.query("SELECT id FROM public.c")
            other.start()
            with pytest.raises(TableLostError, match="reading gave way"):
                view._session.query("SELECT pg_sleep(60)::text")
        other.join(60)
        assert not other.is_alive()
        assert read_lines(view, "public.b") == [b"1", b"2"], "the session goes on"


def test_snapshot_of_mariadb_yields_to_who_waits_for_a_table_that_was_read(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    mariadb_server.execute(
        "CREATE TABLE a (id int PRIMARY KEY, x varchar(999)) ENGINE=InnoDB", database=mariadb_database
    )
    mariadb_server.execute(
        "CREATE TABLE b AS SELECT seq AS id, REPEAT('r', 900) AS x FROM seq_1_to_30000", database=mariadb_database
    )
    clock = FakeTime()
    with _view(_mariadb(mariadb_server, mariadb_database), clock) as view:
        assert read_lines(view, f"{mariadb_database}.a") == []

        def alter() -> None:
            mariadb_server.execute("ALTER TABLE a ADD COLUMN later int", database=mariadb_database)

        other = threading.Thread(target=alter)
        other.start()
        waiting = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%'"
        wait_for(lambda: mariadb_server.execute(waiting))
        blocks = view.read(find_table(view, f"{mariadb_database}.b"), KeptBlobs())
        next(blocks)
        with pytest.raises(BudgetError, match="for a table that we hold for 20 s"):
            _let_time_pass(clock, lambda: next(blocks))
    other.join(60)
    assert not other.is_alive()


def test_account_without_rights_gets_the_tables_named_that_it_cannot_read(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        f"CREATE ROLE poor_{postgres_database} LOGIN PASSWORD 'poor'; GRANT SELECT ON b TO poor_{postgres_database}",
        database=postgres_database,
    )
    settings = replace(postgresql, user=f"poor_{postgres_database}", password="poor")
    try:
        with _view(settings) as view:
            assert [t.schema.name for t in view.tables()] == ["public.b"]
            assert {o.name: o.reason for o in view.omitted()} == {
                f"public.{name}": "the account has no right to SELECT from it" for name in "ac"
            }
        findings = OdbcCollector(settings).check()
        assert any(f.severity is Severity.WARN and "public.a" in str(f.message) for f in findings)
    finally:
        postgres_server.execute(f"DROP OWNED BY poor_{postgres_database}", database=postgres_database)
        postgres_server.execute(f"DROP ROLE poor_{postgres_database}")


def test_wrong_password_is_told_apart_and_never_shown(
    postgresql: OdbcSettings, mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    for settings in (postgresql, _mariadb(mariadb_server, mariadb_database)):
        with pytest.raises(LoginError) as caught, _view(replace(settings, password="hunter2;x}")):
            pass
        assert "hunter2" not in str(caught.value) + str(caught.value.hint)


def test_server_that_does_not_answer_is_tried_again_later(postgresql: OdbcSettings) -> None:
    gone = replace(
        postgresql, connection="Driver=PostgreSQL Unicode;Server=127.0.0.1;Port=1;Database=x", connect_timeout_s=2
    )
    with pytest.raises(SourceDownError), _view(gone):
        pass


def test_names_excluded_renamed_and_missing_are_as_the_settings_say(postgresql: OdbcSettings) -> None:
    tables = TableChoice(exclude=("public.a",), as_names={"public.b": "visits", "public.gone": "gone"})
    with _view(replace(postgresql, tables=tables)) as view:
        assert sorted(t.schema.name for t in view.tables()) == ["public.c", "visits"]
        assert read_lines(view, "visits") == [b"1", b"2"]
        assert {o.name: o.reason for o in view.omitted()} == {
            "public.a": "excluded by the settings (public.a)",
            "public.gone": "named in the settings, but not in the database",
        }
    with (
        pytest.raises(SourceError, match="two tables would have the name"),
        _view(replace(postgresql, tables=TableChoice(as_names={"public.b": "public.c"}))),
    ):
        pass


def test_positions_notes_and_documents_say_what_was_read(
    postgresql: OdbcSettings, mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    with _view(postgresql) as view:
        assert view.position.startswith("pg 0/")
        assert view.notes()[0].startswith("read from PostgreSQL 15")
        assert [d.name for d in view.documents()] == ["catalog.json"]
        assert b'"declared": "integer"' in view.documents()[0].body
    mariadb_server.execute("CREATE TABLE t (id int PRIMARY KEY) ENGINE=InnoDB", database=mariadb_database)
    with _view(_mariadb(mariadb_server, mariadb_database)) as view:
        assert view.position.startswith("mysql binlog.0")
        assert [d.name for d in view.documents()] == ["catalog.json", "ddl.sql"]
        assert b"CREATE TABLE `t`" in view.documents()[1].body
        assert view.consistency is Consistency.CONSISTENT


def test_table_without_transactions_makes_the_class_per_table(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    mariadb_server.execute("CREATE TABLE t (id int PRIMARY KEY) ENGINE=MyISAM", database=mariadb_database)
    with _view(_mariadb(mariadb_server, mariadb_database)) as view:
        assert view.consistency is Consistency.PER_TABLE
        assert any(f"{mariadb_database}.t" in note for note in view.notes())


def test_row_too_large_without_a_key_costs_the_table_and_is_never_cut(
    postgresql: OdbcSettings, postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        "CREATE TABLE keyless (a text); INSERT INTO keyless VALUES (repeat('x', 1000)), (repeat('y', 17000000))",
        database=postgres_database,
    )
    with _view(postgresql) as view:
        with pytest.raises(TableLostError, match="a value of 17000000 bytes or characters, and without a key"):
            read_lines(view, "public.keyless")
        assert any("public.keyless" in note for note in view.notes())
        assert read_lines(view, "public.c") == [b"3"]


def test_reading_that_outlives_its_view_ends_quietly_and_says_so_if_asked_on(postgresql: OdbcSettings) -> None:
    with _view(postgresql) as view:
        left, asked = (view.read(find_table(view, name), KeptBlobs()) for name in ("public.a", "public.b"))
        next(left)
    left.close()  # type: ignore[attr-defined]  # a generator
    with pytest.raises(DriverError, match="was closed"):
        next(asked)


def test_generic_dialect_claims_no_more_than_live(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(20))")
    connection.execute("INSERT INTO t VALUES (1, 'fine')")
    connection.commit()
    connection.close()
    settings = OdbcSettings("generic", f"Driver=SQLite3;Database={path};StepAPI=1;NoTXN=1")
    with _view(settings) as view:
        assert view.consistency is Consistency.LIVE
        assert read_lines(view, "t") == [b"1\tfine"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_memory_of_the_drivers_process_does_not_grow_with_the_table(request: pytest.FixtureRequest, kind: str) -> None:
    if kind == "postgresql":
        server, database = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_database")
        settings, name = _postgresql(server, database), "public.bulk"
        server.execute(
            "CREATE TABLE bulk (id int PRIMARY KEY, a varchar(1000), b bytea); INSERT INTO bulk SELECT i, repeat('r', 900), NULL "
            "FROM generate_series(1, 80000) i; INSERT INTO bulk VALUES (0, NULL, convert_to(repeat('z', 40000000), 'UTF8'))",
            database=database,
        )
    else:
        server, database = request.getfixturevalue("mariadb_server"), request.getfixturevalue("mariadb_database")
        settings, name = _mariadb(server, database), f"{database}.bulk"
        server.execute("CREATE TABLE bulk (id int PRIMARY KEY, a varchar(1000), b longblob)", database=database)
        server.execute("INSERT INTO bulk SELECT seq, REPEAT('r', 900), NULL FROM seq_1_to_80000", database=database)
        server.execute("INSERT INTO bulk VALUES (0, NULL, REPEAT('z', 40000000))", database=database)
    with _view(settings) as view:
        status = Path(f"/proc/{view._session._process._process.pid}/status")
        size = sum(len(block) for block in view.read(find_table(view, name), KeptBlobs()))
        peak_kib = int(status.read_text().split("VmHWM:")[1].split()[0])
    assert size > 72_000_000
    assert peak_kib < 100 << 10, f"{peak_kib} KiB for 112 MB of table"
