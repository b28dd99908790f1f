# SPDX-License-Identifier: Apache-2.0
"""Who wants a table that is being read gets it, wherever the reading is; and what is read is right, or lost by name.

Each statement below runs while the generator of blocks stands still, far from the table's end: it can only return if the
lock was given up for it. `lock_timeout` makes a failure an error instead of a hang.
"""

import stat
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from agent.collectors.base import View
from agent.collectors.postgresql import PostgresqlCollector
from agent.collectors.postgresql.catalog import SourceColumn
from agent.collectors.postgresql.connect import open_connection
from agent.collectors.postgresql.copy import CopyStream
from agent.collectors.postgresql.documents import find_pg_dump
from agent.collectors.postgresql.view import PostgresqlView
from agent.errors import SourceError, TableBusyError, TableLostError
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import Clock, KeptBlobs, find_table, read_lines, session, settings_for, wait_for

MANY_ROWS = """
    CREATE TABLE t (id int PRIMARY KEY, pad text, n int);
    INSERT INTO t SELECT n, repeat('x', 500), 0 FROM generate_series(1, 80000) n; ANALYZE t"""
COPYING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE 'COPY%'"
NOWHERE = Path("/nowhere/pg_dump")
"""Without pg_dump, which gives way too, only the reading counts."""

LOOKING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE '%pg_blocking_pids(pid)%'"

UNCHANGED = (
    "ALTER TABLE t ADD c int",
    "ALTER TABLE t ALTER n SET DEFAULT 7",
    "LOCK TABLE t IN ACCESS EXCLUSIVE MODE; DELETE FROM t WHERE id % 2 = 0; UPDATE t SET n = 1",
    "ALTER TABLE t DROP CONSTRAINT t_pkey",
)
CHANGED = (
    ("TRUNCATE t", "truncated, rewritten or refreshed"),
    ("VACUUM FULL t", "truncated, rewritten or refreshed"),
    ("ALTER TABLE t ALTER n TYPE bigint", "type of a column was altered"),
    ("ALTER TABLE t RENAME n TO m", "dropped or renamed"),
    ("ALTER TABLE t RENAME n TO m; ALTER TABLE t RENAME pad TO n; ALTER TABLE t RENAME m TO pad", "was altered"),
    ("ALTER TABLE t DROP n", "dropped or renamed"),
    ("DROP TABLE t", "dropped or renamed"),
    ("ALTER TABLE t RENAME TO u; CREATE TABLE t (id int PRIMARY KEY, pad text, n int)", "put in its place"),
)


@pytest.fixture
def large(postgres_server: PostgresServer, postgres_database: str) -> str:
    """Give a database whose table is far larger than all buffers between server and reader."""
    postgres_server.execute(MANY_ROWS, database=postgres_database)
    return postgres_database


@pytest.fixture(params=(1, 2), ids=("one session", "two sessions"))
def sessions(request: pytest.FixtureRequest) -> int:
    """Give by how many sessions the table is read."""
    return int(request.param)


def want(server: PostgresServer, database: str, sql: str) -> None:
    """Run what needs the table for itself; an error if it does not get it."""
    connection = psycopg2.connect(server.dsn_of(database), options="-c lock_timeout=60s")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()


def open_view(server: PostgresServer, database: str, **changes: Any) -> Any:
    return PostgresqlCollector(settings_for(server, database, **changes)).open_view()


def begin(view: View, name: str = "public.t") -> Iterator[bytes]:
    """Begin to read a table; give the blocks behind the first."""
    blocks = iter(view.read(find_table(view, name), KeptBlobs()))
    assert next(blocks)
    return blocks


@pytest.mark.parametrize("sql", UNCHANGED)
def test_who_wants_the_table_gets_it_and_the_rows_are_those_of_the_snapshot(
    postgres_server: PostgresServer, large: str, sql: str, sessions: int
) -> None:
    with open_view(postgres_server, large) as view:
        undisturbed = read_lines(view, "public.t")
    with open_view(postgres_server, large, read_sessions=sessions) as view:
        blocks = iter(view.read(find_table(view, "public.t"), KeptBlobs()))
        first = next(blocks)
        wait_for(lambda: postgres_server.execute(COPYING) == [(sessions,)])
        want(postgres_server, large, sql)
        assert (first + b"".join(blocks)).split(b"\n")[:-1] == undisturbed
        assert view.strain().gave_way >= 1
        assert view.strain().blocked_s > 0


@pytest.mark.parametrize(("sql", "reason"), CHANGED)
def test_table_that_is_another_one_after_giving_way_is_lost_by_name(
    postgres_server: PostgresServer, large: str, sql: str, reason: str, sessions: int
) -> None:
    with open_view(postgres_server, large, read_sessions=sessions) as view:
        blocks = begin(view)
        want(postgres_server, large, sql)
        with pytest.raises(TableLostError, match=reason) as caught:
            list(blocks)
        assert not isinstance(caught.value, TableBusyError)


def test_all_that_had_come_counts_if_the_server_had_sent_all(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    # Three blocks: the COPY has ended, its rows wait on our side, and only the transaction still holds the lock.
    postgres_server.execute(MANY_ROWS.replace("80000", "12000"), database=postgres_database)
    copying = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
    with open_view(postgres_server, postgres_database) as view:
        undisturbed = read_lines(view, "public.t")
        blocks = iter(view.read(find_table(view, "public.t"), KeptBlobs()))
        first = next(blocks)
        wait_for(lambda: postgres_server.execute(copying) == [(0,)])
        want(postgres_server, postgres_database, "TRUNCATE t")
        assert (first + b"".join(blocks)).split(b"\n")[:-1] == undisturbed


def test_rows_without_an_order_are_read_anew_after_the_others(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(MANY_ROWS.replace(" PRIMARY KEY", ""), database=postgres_database)
    with open_view(postgres_server, postgres_database) as view:
        blocks = begin(view)
        want(postgres_server, postgres_database, "ALTER TABLE t ADD c int")
        with pytest.raises(TableBusyError, match="gave way to others"):
            list(blocks)
        assert len(read_lines(view, "public.t")) == 80000


def test_those_who_come_again_and_again_do_not_make_a_reading_endless(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    with open_view(postgres_server, large, most_give_ways=2, pg_dump=NOWHERE, read_sessions=sessions) as view:
        read = 0
        with pytest.raises(TableBusyError, match="reading gave way 2 times"):
            for block in view.read(find_table(view, "public.t"), KeptBlobs()):
                read += block.count(b"\n")
                want(postgres_server, large, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT 1")
        assert 0 < read < 80000
        assert view.strain().gave_way == 2


def test_others_wait_as_long_as_the_settings_say(postgres_server: PostgresServer, large: str) -> None:
    clock = Clock()
    settings = settings_for(postgres_server, large, give_way_after_s=15)
    with PostgresqlCollector(settings, clock).open_view() as view:
        blocks = begin(view)
        connection = psycopg2.connect(postgres_server.dsn_of(large), options="-c lock_timeout=300ms")
        with connection, connection.cursor() as cursor, pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute("LOCK TABLE t")
        connection.close()
        assert view.strain().gave_way == 0
        assert b"".join(blocks)


def test_large_cells_of_a_table_that_was_rewritten_meanwhile_are_not_taken_from_other_rows(
    postgres_server: PostgresServer, postgres_database: str, sessions: int
) -> None:
    # VACUUM FULL moves rows: where the marker says that the cell lies, another row of the same snapshot may lie then.
    postgres_server.execute(
        "CREATE TABLE t (id int PRIMARY KEY, picture bytea, pad text);"
        "ALTER TABLE t ALTER picture SET STORAGE EXTERNAL;"
        "INSERT INTO t SELECT n, CASE WHEN n = 5000 THEN convert_to(repeat('5', 2000000), 'UTF8') END, repeat('x', 500)"
        " FROM generate_series(1, 60000) n; ANALYZE t",
        database=postgres_database,
    )
    with open_view(postgres_server, postgres_database, read_sessions=sessions) as view:
        blocks = begin(view)
        want(postgres_server, postgres_database, "VACUUM FULL t")
        with pytest.raises(TableLostError, match="truncated, rewritten"):
            list(blocks)


def test_view_holds_no_lock_of_what_it_does_not_read(postgres_server: PostgresServer, large: str) -> None:
    locks = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE application_name = 'jinsuo' AND relation IS NOT NULL"
    )
    with open_view(postgres_server, large) as view:
        view.documents()
        blocks = begin(view)
        held = postgres_server.execute(locks + " AND relation >= 16384")[0][0]
        list(blocks)
        assert held > 0
        assert postgres_server.execute(locks) == [(0,)]


def test_pg_dump_gives_way_too_and_is_tried_once_more(
    postgres_server: PostgresServer, large: str, tmp_path: Path
) -> None:
    real = find_pg_dump(None, 12)
    assert real is not None
    script = tmp_path / "pg_dump"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys, psycopg2\n"
        f"if os.path.exists({str(tmp_path / 'second')!r}):\n"
        f"    os.execv({str(real)!r}, [{str(real)!r}, *sys.argv[1:]])\n"
        f"open({str(tmp_path / 'second')!r}, 'x').close()\n"
        "connection = psycopg2.connect(sys.argv[-1].removeprefix('--dbname='))\n"
        "connection.cursor().execute('LOCK TABLE public.t IN ACCESS SHARE MODE')\n"
        "signal.pause()\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with open_view(postgres_server, large, pg_dump=script) as view:
        wait_for(lambda: postgres_server.execute("SELECT 1 FROM pg_locks WHERE relation >= 16384 AND granted"))
        want(postgres_server, large, "ALTER TABLE t ADD c int")
        (document,) = view.documents()
        assert b"CREATE TABLE public.t" in document.body
        assert view.strain().gave_way == 1
        assert not [note for note in view.notes() if "pg_dump" in note]


def test_reading_ends_when_nobody_can_look_out_any_more(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    with open_view(postgres_server, large, read_sessions=sessions) as view:
        blocks = begin(view)
        (looking,) = wait_for(lambda: postgres_server.execute(LOOKING))
        postgres_server.execute("SELECT pg_terminate_backend(%s)", looking)
        with pytest.raises(SourceError):
            for _ in count():
                view.attend()
        with pytest.raises(SourceError):
            list(blocks)


def test_pg_dump_is_not_waited_for_when_nobody_can_look_out_any_more(
    postgres_server: PostgresServer, large: str, tmp_path: Path
) -> None:
    # It holds its locks, says nothing and does not end: as one whose server gives no answer.
    script = tmp_path / "pg_dump"
    script.write_text(
        f"#!{sys.executable}\n"
        "import signal, sys, psycopg2\n"
        "connection = psycopg2.connect(sys.argv[-1].removeprefix('--dbname='))\n"
        "connection.cursor().execute('LOCK TABLE public.t IN ACCESS SHARE MODE')\n"
        "signal.pause()\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    locked = "SELECT DISTINCT pid FROM pg_locks WHERE relation >= 16384 AND granted"
    with open_view(postgres_server, large, pg_dump=script, snapshot_age_limit_s=30) as view:
        wait_for(lambda: postgres_server.execute(locked))
        (looking,) = wait_for(lambda: postgres_server.execute(LOOKING))
        postgres_server.execute("SELECT pg_terminate_backend(%s)", looking)
        with pytest.raises(SourceError, match="connection to .* broke"):
            view.documents()
    wait_for(lambda: not postgres_server.execute(locked))


def test_dates_of_a_key_that_are_looked_through_give_way(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    # The key's index does not begin with the date, so that the server looks at every row.
    postgres_server.execute(
        "CREATE TABLE k (id int, day date, PRIMARY KEY (id, day)); INSERT INTO k VALUES (1, '2026-01-01')",
        database=postgres_database,
    )
    is_altered = threading.Event()

    class Dated(tuple[SourceColumn, ...]):
        """Columns that are looked through only when somebody else has had the table, or has waited for a minute."""

        def __iter__(self) -> Iterator[SourceColumn]:
            is_altered.wait(55)
            return super().__iter__()

    with (
        open_view(postgres_server, postgres_database, pg_dump=NOWHERE) as view,
        ThreadPoolExecutor(1) as threads,
    ):
        offered = view._offered["public.k"]
        view._offered["public.k"] = replace(offered, dated=Dated(offered.dated))
        tables = threads.submit(view.tables)
        wait_for(lambda: postgres_server.execute("SELECT 1 FROM pg_locks WHERE relation >= 16384 AND granted"))
        began = time.monotonic()
        want(postgres_server, postgres_database, "ALTER TABLE k ADD c int")
        assert time.monotonic() - began < 50
        is_altered.set()
        (table,) = tables.result()
        assert not table.ordered
        assert view.strain().gave_way == 1


def test_ddl_from_the_catalogs_gives_way(postgres_server: PostgresServer, postgres_database: str) -> None:
    # To write a view's definition the server locks what it reads, until all are written: here until it has the second.
    postgres_server.execute(
        "CREATE TABLE t (id int); CREATE TABLE u (id int);"
        "CREATE VIEW of_t AS SELECT id FROM t; CREATE VIEW of_u AS SELECT id FROM u",
        database=postgres_database,
    )
    with (
        open_view(postgres_server, postgres_database, pg_dump=NOWHERE, lock_timeout_s=60) as view,
        ThreadPoolExecutor(1) as threads,
    ):
        with session(postgres_server, postgres_database) as cursor:
            cursor.execute("LOCK TABLE u")
            documents = threads.submit(view.documents)
            wait_for(lambda: postgres_server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
            began = time.monotonic()
            want(postgres_server, postgres_database, "ALTER TABLE t ADD c int")
            assert time.monotonic() - began < 30
        (document,) = documents.result()
        assert b"VIEW public.of_u" in document.body
        assert view.strain().gave_way >= 1


KEYS = {
    "int": ("a bigint PRIMARY KEY", "SELECT unnest(ARRAY[-9223372036854775808, -1, 0, 1, 9223372036854775807])"),
    "text": (
        'a text COLLATE "C" PRIMARY KEY',
        r"SELECT unnest(ARRAY['', ' ', '''', E'\\', E'\\N', E'a\tb', E'a\nb', '病历', '😀', '@x', E'\\.', '%s'])",
    ),
    "numeric": ("a numeric PRIMARY KEY", "SELECT unnest(ARRAY['-1e30', '0.10', '0.100001', '7', 'NaN'])::numeric"),
    "money": ("a money PRIMARY KEY", "SELECT unnest(ARRAY['-12.50', '0.01', '1234567.89'])::numeric::money"),
    "timestamptz": (
        "a timestamptz PRIMARY KEY",
        "SELECT unnest(ARRAY['-infinity', '0044-03-15 BC', '1999-12-31 23:59:59.999999+08', '12024-01-01', 'infinity'])"
        "::timestamptz",
    ),
    "date": ("a date PRIMARY KEY", "SELECT unnest(ARRAY['0001-01-01', '2026-02-28', '9999-12-31'])::date"),
    "time": ("a time PRIMARY KEY", "SELECT unnest(ARRAY['00:00', '12:00:00.000001', '24:00:00'])::time"),
    "bool": ("a bool PRIMARY KEY", "VALUES (true), (false)"),
    "uuid": ("a uuid PRIMARY KEY", "SELECT md5(n::text)::uuid FROM generate_series(1, 9) n"),
    "bytea": ("a bytea PRIMARY KEY", r"SELECT unnest(ARRAY['\x', '\x00', '\x0a27', '\xff'])::bytea"),
    "composite": (
        'a int, "B ""b" varchar(20) COLLATE "C", c int, PRIMARY KEY ("B ""b", a)',
        "SELECT n % 3, 'k' || n % 4, CASE WHEN n % 2 = 0 THEN n END FROM generate_series(1, 12) n",
    ),
    "domain": ("a positive PRIMARY KEY", "SELECT generate_series(1, 5)"),
}


@pytest.mark.parametrize("name", KEYS)
def test_reading_goes_on_behind_any_row_of_any_key(
    postgres_server: PostgresServer, postgres_database: str, name: str
) -> None:
    columns, rows = KEYS[name]
    postgres_server.execute(
        f"CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TABLE k ({columns}); INSERT INTO k {rows}",
        database=postgres_database,
    )
    settings = settings_for(postgres_server, postgres_database)
    session = open_connection(settings)
    try:
        with PostgresqlCollector(settings).open_view() as view:
            assert isinstance(view, PostgresqlView)
            offered = view._offered["public.k"]
            lines = read_lines(view, "public.k")
            assert len(lines) >= 2
            for i, line in enumerate(lines):
                after = offered.locate(line)
                assert after
                rest = b""
                with CopyStream(session, [f"COPY ({offered.query(after=after)}) TO STDOUT"]) as stream:
                    while block := stream.take(30):
                        rest += block
                assert rest.split(b"\n")[:-1] == lines[i + 1 :]
    finally:
        session.close()


def test_key_that_cannot_be_written_is_not_guessed(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        "CREATE TABLE k (a text COLLATE \"C\" PRIMARY KEY); INSERT INTO k VALUES (repeat('x', 9000))",
        database=postgres_database,
    )
    with open_view(postgres_server, postgres_database) as view:
        offered = view._offered["public.k"]
        (line,) = read_lines(view, "public.k")
        assert offered.locate(line) == []
        assert offered.locate(b"\xff\xfe") == []


@pytest.mark.long
def test_rows_are_those_of_the_snapshot_whenever_others_come(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    is_over = threading.Event()

    def come_again() -> None:
        while not is_over.wait(0.03):
            want(
                postgres_server,
                large,
                "LOCK TABLE t IN ACCESS EXCLUSIVE MODE; UPDATE t SET n = n + 1 WHERE id % 997 = 0",
            )

    thread = threading.Thread(target=come_again)
    with open_view(postgres_server, large, most_give_ways=10_000, pg_dump=NOWHERE, read_sessions=sessions) as view:
        undisturbed = read_lines(view, "public.t")
        thread.start()
        try:
            for _ in range(25):
                assert read_lines(view, "public.t") == undisturbed
        finally:
            is_over.set()
            thread.join()
        assert view.strain().gave_way > 20
