# SPDX-License-Identifier: Apache-2.0
"""A table that is cut into ranges and read by several sessions gives the bytes of one reading, wherever it is cut."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import connection as Connection

from agent.collectors.base import go_on
from agent.collectors.postgresql import PostgresqlCollector
from agent.collectors.postgresql.connect import open_connection, query
from agent.collectors.postgresql.copy import AHEAD_BYTES
from agent.collectors.postgresql.joined import JoinedCopies
from agent.collectors.postgresql.ranges import WHOLE, Ranges, cut, find_ranges
from agent.collectors.postgresql.reading import TableReading
from agent.collectors.postgresql.tables import OfferedTable, check_still
from agent.collectors.postgresql.view import PostgresqlView
from tests.builders.threads import threads_now
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import KeptBlobs, find_table, read_lines, settings_for, wait_for

NOWHERE = Path("/nowhere/pg_dump")
PAD = "repeat('x', 1900)"
"""17,000 rows with it are over 32 MiB, and stand in the table as they are."""

# Key columns and values; bounds that lie between, beside and on them.
KEYS: dict[str, tuple[str, str, list[str]]] = {
    "int": (
        "a int PRIMARY KEY",
        "SELECT generate_series(-200, 400, 3)",
        ["-2147483648", "-200", "-1", "0", "1", "160", "399", "9999"],
    ),
    "bigint": (
        "a bigint PRIMARY KEY",
        "SELECT unnest(ARRAY[-9223372036854775808, -1, 0, 1, 2, 9223372036854775807])",
        ["-9223372036854775808", "-2", "0", "2", "3", "9223372036854775807"],
    ),
    "numeric": (
        "a numeric PRIMARY KEY",
        "SELECT unnest(ARRAY['-1e30', '0.10', '0.100001', '7', '8.5', '1e40', 'NaN'])::numeric",
        ["-1e31", "0", "0.1", "0.1000005", "8", "9", "1e40"],
    ),
    "text": (
        'a text COLLATE "C" PRIMARY KEY',
        r"SELECT unnest(ARRAY['', ' ', '''', E'\\', E'\\N', E'a\tb', E'a\nb', 'B', 'a', '病历', '😀', E'\\.', '%s'])",
        ["", " ", "'", "\\", "\\N", "a", "a\t", "b", "病", "病历", "病历号", "😀"],
    ),
    "text in another order": ("a text PRIMARY KEY", "SELECT 'k' || n FROM generate_series(1, 50) n", []),
    "date": (
        "a date PRIMARY KEY",
        "SELECT '2020-01-01'::date + n * 3 FROM generate_series(0, 99) n",
        ["0001-01-01", "2020-01-01", "2020-02-02", "2020-10-24", "9999-12-31"],
    ),
    "uuid": (
        "a uuid PRIMARY KEY",
        "SELECT md5(n::text)::uuid FROM generate_series(1, 60) n",
        [
            "00000000-0000-0000-0000-000000000000",
            "3c59dc04-8e88-5024-3be8-079a5c74d079",
            "80000000-0000-0000-0000-000000000000",
        ],
    ),
    "composite": (
        'v text, "号 ""b""" int, c varchar(20) COLLATE "C", PRIMARY KEY ("号 ""b""", c)',
        "SELECT CASE WHEN n % 2 = 0 THEN 'v' || n END, n % 7, 'k' || n FROM generate_series(1, 100) n",
        ["-5", "0", "1", "3", "6", "7"],
    ),
    "domain": (
        "a positive PRIMARY KEY, b text",
        "SELECT n, NULL FROM generate_series(1, 50) n",
        ["0", "1", "25", "50", "51"],
    ),
}


Find = Callable[[Connection, OfferedTable, int], Ranges]


def read_ranges(
    view: PostgresqlView, name: str, ranges: Ranges | Find, sessions: int, blobs: KeptBlobs | None = None,
    check: Callable[[Connection, OfferedTable], None] = check_still,
) -> Iterator[bytes]:  # fmt: skip
    """Read a table of a view, cut where a test wants it."""
    assert view._reader is not None
    assert view._lookout is not None
    find = (lambda *_: ranges) if isinstance(ranges, Ranges) else ranges
    view._reader.most = sessions
    reading = TableReading(
        view._offered[name], view._reader, view._holder, view._lookout, view._budget, check, find, go_on,
        is_raw=view._server.is_raw, most_give_ways=10,
    )  # fmt: skip
    return reading.blocks(blobs or KeptBlobs())


@contextmanager
def opened(server: PostgresServer, database: str, sessions: int = 1, **changes: Any) -> Iterator[PostgresqlView]:
    settings = settings_for(server, database, pg_dump=NOWHERE, read_sessions=sessions, **changes)
    with PostgresqlCollector(settings).open_view() as view:
        yield view


def ranges_of(view: PostgresqlView, name: str, bounds: Sequence[object]) -> Ranges:
    """Cut a table where a test wants it."""
    offered = view._offered[name]
    return Ranges(next(c for c in offered.source.columns if c.name == offered.schema.key[0]), bounds)


@pytest.mark.parametrize("name", KEYS)
def test_bytes_are_those_of_one_reading_wherever_the_table_is_cut(
    postgres_server: PostgresServer, postgres_database: str, name: str
) -> None:
    columns, rows, candidates = KEYS[name]
    postgres_server.execute(
        f'CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TABLE "表" ({columns}); INSERT INTO "表" {rows}',
        database=postgres_database,
    )
    chance = random.Random(name)
    with opened(postgres_server, postgres_database, 3) as view:
        (table,) = view.tables()
        serial = b"".join(view.read(table, KeptBlobs()))
        assert serial.count(b"\n") >= 6
        for _ in range(12):
            # Drawn with repetition: the same bound twice is an empty range.
            chosen = (
                sorted(candidates.index(c) for c in chance.choices(candidates, k=chance.randrange(1, 9)))
                if candidates
                else []
            )
            ranges = ranges_of(view, table.schema.name, [candidates[i] for i in chosen]) if candidates else WHOLE
            found = list(read_ranges(view, table.schema.name, ranges, chance.choice((1, 2, 3))))
            assert b"".join(found) == serial, (ranges.bounds, "bounds")
            assert all(block.endswith(b"\n") for block in found)


def test_partitions_are_cut_across(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        """CREATE TABLE p (k int, v text, PRIMARY KEY (k)) PARTITION BY HASH (k);
        CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO p SELECT n, 'v' FROM generate_series(1, 500) n""",
        database=postgres_database,
    )
    with opened(postgres_server, postgres_database, 2) as view:
        blocks = read_ranges(view, "public.p", ranges_of(view, "public.p", [0, 17, 17, 300, 499, 500, 501, 900]), 2)
        assert b"".join(blocks) == b"".join(b"%d\tv\n" % n for n in range(1, 501))


def test_large_cells_come_in_the_order_of_the_rows(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        "CREATE TABLE t (id int PRIMARY KEY, scan bytea); ALTER TABLE t ALTER scan SET STORAGE EXTERNAL;"
        "INSERT INTO t SELECT n, CASE WHEN n % 10 = 0 THEN convert_to(repeat(n::text, 700000), 'UTF8') END"
        " FROM generate_series(1, 60) n",
        database=postgres_database,
    )
    with opened(postgres_server, postgres_database, 2) as view:
        serial, joined = KeptBlobs(), KeptBlobs()
        lines = read_lines(view, "public.t", serial)
        found = b"".join(read_ranges(view, "public.t", ranges_of(view, "public.t", [9, 10, 11, 30, 45]), 3, joined))
        assert found.split(b"\n")[:-1] == lines
        assert list(joined.items) == list(serial.items)
        assert len(serial.items) == 6


def test_texts_without_an_encoding_are_noted_from_every_range(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("raw_ranges", "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        connection = psycopg2.connect(postgres_server.dsn_of("raw_ranges"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET client_encoding = 'SQL_ASCII'")
            cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text, b text)")
            cursor.execute(b"INSERT INTO t SELECT n, E'\\xe5\\xbc', NULL FROM generate_series(1, 5) n")
            cursor.execute(b"INSERT INTO t SELECT n, 'a', E'\\xff\\xfe' FROM generate_series(6, 9) n")
        connection.close()
        with opened(postgres_server, "raw_ranges", 2) as view:
            serial = b"".join(line + b"\n" for line in read_lines(view, "public.t"))
            notes = find_table(view, "public.t").schema.notes
            assert len(notes) == 2
            view._raw_columns.clear()
            assert b"".join(read_ranges(view, "public.t", ranges_of(view, "public.t", [3, 6]), 2)) == serial
            assert b"\xff\xfe" in serial
    finally:
        postgres_server.drop_database("raw_ranges")


# What a table must be to be cut: its columns, how its rows come, what is done before it is read.
WIDE = (
    "CREATE TABLE t (id {} PRIMARY KEY, pad text); INSERT INTO t SELECT {}, "
    + PAD
    + " FROM generate_series(1, 17000) n; {}"
)
CUT = {
    "int": WIDE.format("int", "n", "ANALYZE t"),
    "bigint": WIDE.format("bigint", "n * 1000000000000", "ANALYZE t"),
    "numeric": WIDE.format("numeric(38)", "n", "ANALYZE t"),
    "composite": "CREATE TABLE t (pad text, no int, id int, PRIMARY KEY (id, no));"
    f"INSERT INTO t SELECT {PAD}, n % 5, n / 5 FROM generate_series(1, 17000) n; ANALYZE t",
    "grown since it was analysed": WIDE.format("int", "n", "ANALYZE t")
    + "; INSERT INTO t SELECT n, " + PAD + " FROM generate_series(17001, 40000) n",
    "partitioned": "CREATE TABLE t (id int PRIMARY KEY, pad text) PARTITION BY RANGE (id);"
    "CREATE TABLE t0 PARTITION OF t FOR VALUES FROM (0) TO (9000); CREATE TABLE t1 PARTITION OF t DEFAULT;"
    f"INSERT INTO t SELECT n, {PAD} FROM generate_series(1, 17000) n; ANALYZE t; ANALYZE t0; ANALYZE t1",
}  # fmt: skip
SERIAL = {
    "small": "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000); ANALYZE t",
    "empty": "CREATE TABLE t (id int PRIMARY KEY)",
    "without a key": WIDE.format("int", "n", "ANALYZE t").replace(" PRIMARY KEY", ""),
    "key of text": WIDE.format('text COLLATE "C"', "n", "ANALYZE t"),
    "key in another order": WIDE.format("text", "n", "ANALYZE t"),
    "not a number": WIDE.format("numeric", "CASE n WHEN 5 THEN 'NaN'::numeric ELSE n END", "ANALYZE t"),
    "rows lie anywhere, and would be sorted": "CREATE TABLE t (id int PRIMARY KEY, pad text);"
    "INSERT INTO t SELECT n::bigint * 7919 % 300007, repeat('x', 100) FROM generate_series(1, 300000) n; ANALYZE t",
}


@contextmanager
def session_of(view: PostgresqlView, name: str) -> Iterator[tuple[Connection, OfferedTable]]:
    assert view._reader is not None
    with view._reader.reading() as session:
        check_still(session, view._offered[name])
        yield session, view._offered[name]


@pytest.mark.parametrize("name", CUT)
def test_large_table_with_a_key_of_whole_numbers_is_cut_evenly(
    postgres_server: PostgresServer, postgres_database: str, name: str
) -> None:
    postgres_server.execute(CUT[name], database=postgres_database)
    with opened(postgres_server, postgres_database) as view, session_of(view, "public.t") as (session, offered):
        limit = query(session, "SHOW statement_timeout")
        ranges = find_ranges(session, offered, 2)
        assert len(ranges) >= 8
        counts = [
            query(
                session, f"SELECT count(*) FROM t WHERE {ranges.condition(i)}".replace("FROM t", "FROM public.t AS t")
            )[0][0]
            for i in range(len(ranges))
        ]
        assert sum(counts) == query(session, "SELECT count(*) FROM public.t")[0][0]
        # Half of one session's pipe, by the table's size on disk; a little more where statistics are old.
        assert max(counts) * 1900 < AHEAD_BYTES // 2
        assert find_ranges(session, offered, 1) == WHOLE
        # The limit of the looking is gone.
        assert query(session, "SHOW statement_timeout") == limit


@pytest.mark.parametrize("name", SERIAL)
def test_table_that_cannot_be_cut_well_is_read_by_one_session(
    postgres_server: PostgresServer, postgres_database: str, name: str
) -> None:
    # As if the table were larger than what the server can cache of it.
    postgres_server.execute(f"ALTER DATABASE {postgres_database} SET effective_cache_size = '1MB'")
    postgres_server.execute(SERIAL[name], database=postgres_database)
    with opened(postgres_server, postgres_database) as view, session_of(view, "public.t") as (session, offered):
        assert find_ranges(session, offered, 2) == WHOLE
        # The transaction is alive.
        assert query(session, "SELECT 1") == [(1,)]


def test_dead_entries_at_the_end_of_an_index_do_not_hold_anybody_up(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    # What takes long is ended by the server; here anything does.
    postgres_server.execute(CUT["partitioned"], database=postgres_database)
    with opened(postgres_server, postgres_database) as view, session_of(view, "public.t") as (session, offered):
        found = {len(find_ranges(session, offered, 2, look_s=0.001)) for _ in range(30)}
        assert 1 in found
        assert query(session, "SELECT count(*) FROM public.t") == [(17000,)]


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=101).map(sorted), st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1), st.integers(1, 200),
)  # fmt: skip
def test_bounds_ascend_and_are_not_without_end(histogram: list[int], lowest: int, span: int, count: int) -> None:
    highest = min(2**63 - 1, lowest + span)
    bounds = cut(histogram, lowest, highest, count)
    assert all(a < b for a, b in pairwise(bounds))
    assert len(bounds) <= 3 * count + 4
    least, most = min([lowest, *histogram]), max([highest, *histogram])
    assert all(least <= bound <= most for bound in bounds)


@given(st.integers(2, 101), st.integers(2, 1000), st.integers(2, 300))
def test_ranges_have_equally_many_rows_where_the_histogram_is_true(points: int, width: int, count: int) -> None:
    # Rows lie ever denser: between two points of the histogram there are equally many of them.
    histogram = [width * 3 * i * i for i in range(points)]
    bounds = cut(histogram, histogram[0], histogram[-1], count)

    def share(key: int) -> float:
        place = max(i for i, point in enumerate(histogram) if point <= key)
        return (
            place
            if place == points - 1
            else place + (key - histogram[place]) / (histogram[place + 1] - histogram[place])
        )

    shares = [share(key) for key in (histogram[0], *bounds, histogram[-1])]
    # A key is a whole number: where rows are dense, a range is off by one key at each end.
    assert all(b - a <= (points - 1) / count + 2 / (3 * width) + 1e-9 for a, b in pairwise(shares))


def test_sessions_wait_when_nobody_takes_their_rows(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(CUT["int"], database=postgres_database)
    settings = settings_for(postgres_server, postgres_database)
    connections = [open_connection(settings) for _ in range(3)]
    copies = JoinedCopies(lambda i: f"COPY (SELECT * FROM public.t WHERE id % 40 = {i}) TO STDOUT", 0, 40, 3)
    streams = [copies.add(connection) for connection in connections]
    try:
        assert copies.take(30)
        wait_for(lambda: copies._next >= 3)
        for _ in range(100):
            held = [stream._pipe._bytes for stream in streams]
            assert sum(held) <= AHEAD_BYTES
            time.sleep(0.001)
        rows = 0
        while block := copies.take(30):
            rows += block.count(b"\n")
            assert sum(stream._pipe._bytes for stream in streams) <= AHEAD_BYTES
        assert copies.number == 40
        assert 0 < rows < 17000
        for stream, connection in zip(streams, connections, strict=True):
            stream.close()
            assert query(connection, "SELECT 1") == [(1,)], "what was read to its end leaves its session alive"
    finally:
        for stream in streams:
            stream.close()
        for connection in connections:
            connection.close()


def test_cancel_of_a_session_that_is_ahead_ends_the_reading_after_what_came_before_it(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(CUT["int"], database=postgres_database)
    blocked = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE '%%>= ''1001''%%'"
        " AND wait_event = 'ClientWrite'"
    )
    threads = threads_now()
    with opened(postgres_server, postgres_database, 2) as view:
        # The second range is far larger than all buffers between the server and us.
        blocks = read_ranges(view, "public.t", ranges_of(view, "public.t", [1001]), 2)
        rows = next(blocks).count(b"\n")
        (pid,) = wait_for(lambda: postgres_server.execute(blocked))[0]
        postgres_server.execute("SELECT pg_cancel_backend(%s)", (pid,))
        with pytest.raises(psycopg2.errors.QueryCanceled):
            for block in blocks:
                rows += block.count(b"\n")
        assert 1000 <= rows < 17000
        assert len(read_lines(view, "public.t")) == 17000
    assert threads_now() <= threads


class Locker:
    """Somebody who wants the table for himself, once, and writes a row."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server = server
        self._database = database
        self._thread = threading.Thread(target=self._run)
        self.has_had_it = False

    def come(self) -> None:
        """Come, and return when he waits, or has had it."""
        self._thread.start()
        wait_for(lambda: self.has_had_it or self._server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))

    def go(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        connection = psycopg2.connect(self._server.dsn_of(self._database), options="-c lock_timeout=60s")
        with connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE; UPDATE t SET pad = '' WHERE id = 7")
        connection.close()
        self.has_had_it = True


def test_who_comes_while_a_second_session_asks_for_the_lock_gets_it(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(CUT["int"], database=postgres_database)
    locker = Locker(postgres_server, postgres_database)
    began: list[Connection] = []

    def check(session: Connection, offered: OfferedTable) -> None:
        began.append(session)
        if len(began) == 2:
            locker.come()
        check_still(session, offered)

    with opened(postgres_server, postgres_database, 2, lock_timeout_s=30) as view:
        undisturbed = read_lines(view, "public.t")
        ranges = ranges_of(view, "public.t", range(1000, 17000, 1000))
        found = b"".join(read_ranges(view, "public.t", ranges, 2, check=check))
        locker.go()
        assert locker.has_had_it
        assert found.split(b"\n")[:-1] == undisturbed
        assert len(began) == 4


def test_who_comes_while_it_is_looked_where_to_cut_gets_it(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(CUT["int"], database=postgres_database)
    locker = Locker(postgres_server, postgres_database)
    looked: list[Connection] = []

    def find(session: Connection, offered: OfferedTable, sessions: int) -> Ranges:
        looked.append(session)
        if len(looked) == 1:
            locker.come()
            query(session, "SELECT pg_sleep(50)")
        return find_ranges(session, offered, sessions)

    with opened(postgres_server, postgres_database, 2) as view:
        undisturbed = read_lines(view, "public.t")
        found = b"".join(read_ranges(view, "public.t", find, 2))
        locker.go()
        assert locker.has_had_it
        assert found.split(b"\n")[:-1] == undisturbed
        assert len(looked) == 2
