# SPDX-License-Identifier: Apache-2.0
"""A table that says `ordered` arrives exactly in the canonical order of its key; one that cannot says so."""

import random
import uuid
from collections.abc import Iterable
from itertools import pairwise

import pytest

from agent.collectors.postgresql import PostgresqlCollector
from evidence.rows.line import KeySpec, check_order
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import find_table, read_lines, session, settings_for

_random = random.Random(20261122)


def _texts() -> Iterable[str]:
    alphabet = ["a", "B", "\t", "\\", "\x01", " ", "é", "张", "三", "\uffee", "\U0001f600", "-", "_", "1"]
    return {"".join(_random.choices(alphabet, k=_random.randrange(0, 5))) for _ in range(400)} | {"", " ", "a ", "a"}


# SQL type of the key, values, whether the server's order is the canonical one
KEYS: dict[str, tuple[str, Iterable[object], bool]] = {
    "int": ("int", [*range(-1200, 1200, 7)], True),
    "bigint": ("bigint", [_random.randrange(-(2**63), 2**63) for _ in range(300)], True),
    "smallint": ("smallint", range(-50, 50), True),
    "oid": ("oid", [0, 1, 2**31, 2**32 - 1], True),
    "xid8": ("xid8", ["0", "9", "10", str(2**64 - 1)], True),
    "bool": ("boolean", [True, False], True),
    "uuid": ("uuid", [str(uuid.UUID(int=_random.getrandbits(128))) for _ in range(300)], True),
    "numeric": ("numeric", ["NaN", "Infinity", "-Infinity", "0", "-1.50", "10", "9", "9.5", "1e-30", "-1e30"], True),
    "money": ("money", ["-1.00", "9.00", "10.00", "-10.00", "0.5"], True),
    "bytea": ("bytea", [_random.randbytes(_random.randrange(0, 4)) for _ in range(300)], True),
    "time": ("time", ["24:00", "00:00", "12:00", "12:00:00.5", "12:00:00.45", "09:59:59.999999"], True),
    "text C": ('text COLLATE "C"', _texts(), True),
    "varchar POSIX": ('varchar(40) COLLATE "POSIX"', _texts(), True),
    "text ucs_basic": ("text COLLATE ucs_basic", _texts(), True),
    "name": ("name", ["b", "a", "张", "A"], True),
    "date": ("date", ["0001-01-01", "9999-12-31", "2026-11-22", "1949-10-01"], True),
    "timestamp": ("timestamp", ["2026-01-01", "2026-01-01 00:00:00.5", "2026-01-01 00:00:00.45", "0900-01-01"], True),
    "timestamptz": ("timestamptz", ["2026-01-01+00", "2026-01-01 00:00:00.5+00", "2026-01-01 00:00:01+00"], True),
    "date beyond": ("date", ["2026-11-22", "10000-01-01"], False),
    "date BC": ("date", ["2026-11-22", "0044-03-15 BC"], False),
    "date infinite": ("date", ["2026-11-22", "-infinity"], False),
    "timestamp infinite": ("timestamp", ["2026-11-22", "infinity"], False),
    "timestamptz beyond": ("timestamptz", ["9999-12-31 23:59:59.999999+00", "10000-01-01+00"], False),
    "text default": ("text", _texts(), False),
    "text linguistic": ('text COLLATE "und-x-icu"', _texts(), False),
    "char": ('char(4) COLLATE "C"', ["a", "a\t", "b", "B"], False),
    "enum": ("size", ["small", "large", "medium"], False),
    "interval": ("interval", ["1 day", "2 days", "10 days", "1 mon"], False),
    "inet": ("inet", ["10.0.0.2", "9.0.0.1", "10.0.0.0/8"], False),
    "jsonb": ("jsonb", ["1", '"a"', "[]"], False),
    "timetz": ("timetz", ["10:00+08", "09:00+00"], False),
    "bit": ("bit(2)", ["01", "10"], False),
    "array": ("int[]", ["{10}", "{9}"], False),
}


@pytest.fixture
def keyed(postgres_server: PostgresServer, postgres_database: str) -> str:
    """Give a database with a table for each kind of key, its rows put in at random."""
    with session(postgres_server, postgres_database) as cursor:
        cursor.execute("CREATE TYPE size AS ENUM ('small', 'medium', 'large')")
        for name, (declared, values, _) in KEYS.items():
            cursor.execute(f'CREATE TABLE "{name}" (other text, k {declared} PRIMARY KEY)')
            shuffled = list(values)
            _random.shuffle(shuffled)
            for value in shuffled:
                cursor.execute(f'INSERT INTO "{name}" VALUES (%s, %s) ON CONFLICT DO NOTHING', ("x", value))
        cursor.connection.commit()
    return postgres_database


def test_ordered_tables_ascend_as_the_evidence_orders_them(postgres_server: PostgresServer, keyed: str) -> None:
    with PostgresqlCollector(settings_for(postgres_server, keyed)).open_view() as view:
        for name, (_, _, is_ordered) in KEYS.items():
            table = find_table(view, f"public.{name}")
            assert (name, table.ordered, table.schema.key) == (name, is_ordered, ("k",))
            if is_ordered:
                _check_ascends(KeySpec.of(table.schema), read_lines(view, f"public.{name}"))


def test_key_of_several_columns_is_ordered_only_if_all_are(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE good (x text COLLATE "C", n int, d date, PRIMARY KEY (n, x, d));
        INSERT INTO good SELECT x, n, '2026-01-01'::date + n FROM generate_series(1, 30) n, unnest('{a,B,张}'::text[]) x;
        CREATE TABLE bad (x text COLLATE "C", n int, d date, PRIMARY KEY (n, x, d));
        INSERT INTO bad SELECT * FROM good; INSERT INTO bad VALUES ('a', 5, 'infinity');
        CREATE TABLE mixed (x text, n int, PRIMARY KEY (n, x))""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        good = find_table(view, "public.good")
        assert good.schema.key == ("n", "x", "d")
        assert good.ordered
        _check_ascends(KeySpec.of(good.schema), read_lines(view, "public.good"))
        assert not find_table(view, "public.bad").ordered
        assert len(read_lines(view, "public.bad")) == 91
        assert not find_table(view, "public.mixed").ordered


def test_float_in_the_key_leaves_the_table_without_key(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        "CREATE TABLE f (a int, b double precision, PRIMARY KEY (a, b)); CREATE TABLE g (a real PRIMARY KEY)",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert [(t.schema.key, t.ordered) for t in view.tables()] == [((), False), ((), False)]


def test_default_collation_that_compares_bytes_gives_order(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("c_locale", "LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        postgres_server.execute(
            "CREATE TABLE t (k text PRIMARY KEY); INSERT INTO t VALUES ('b'), ('张'), ('B'), (''), (E'\\t')",
            database="c_locale",
        )
        with PostgresqlCollector(settings_for(postgres_server, "c_locale")).open_view() as view:
            table = find_table(view, "public.t")
            assert table.ordered
            _check_ascends(KeySpec.of(table.schema), read_lines(view, "public.t"))
    finally:
        postgres_server.drop_database("c_locale")


def test_partitioned_table_is_ordered_across_partitions(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE p (k int PRIMARY KEY, v text) PARTITION BY HASH (k);
        CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO p SELECT n, 'v' FROM generate_series(1, 500) n""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        (table,) = view.tables()
        assert table.ordered
        assert read_lines(view, "public.p") == [b"%d\tv" % n for n in range(1, 501)]


def _check_ascends(spec: KeySpec, lines: list[bytes]) -> None:
    keys = [spec.key_of(line) for line in lines]
    assert len(keys) > 1
    for before, after in pairwise(keys):
        check_order(spec, before, after)
