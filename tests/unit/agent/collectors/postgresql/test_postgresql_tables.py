# SPDX-License-Identifier: Apache-2.0
"""Which tables a database offers, under which names, and what is left out with which reason."""

from collections.abc import Iterator

import pytest

from agent.collectors.naming import TableChoice
from agent.collectors.postgresql import PostgresqlCollector
from agent.errors import SourceError, TableLostError
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import find_table, read_lines, settings_for


@pytest.fixture
def reader_role(postgres_server: PostgresServer) -> Iterator[str]:
    """Give an account without any rights."""
    postgres_server.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
    try:
        yield "reader"
    finally:
        postgres_server.execute("DROP ROLE reader")


def test_names_are_spelled_as_in_the_source(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        r"""CREATE SCHEMA "@医院.HIS"; CREATE TABLE "@医院.HIS"."a\b.c""d ;--" ("列 1" int PRIMARY KEY, "select" text, "a""b" text);
        INSERT INTO "@医院.HIS"."a\b.c""d ;--" VALUES (1, 'x', 'y');
        CREATE TABLE "Quoted%s{}" ("%" int); INSERT INTO "Quoted%s{}" VALUES (7)""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert {t.schema.name for t in view.tables()} == {r'\@医院\.HIS.a\\b\.c"d ;--', "public.Quoted%s{}"}
        table = find_table(view, r'\@医院\.HIS.a\\b\.c"d ;--')
        assert [c.name for c in table.schema.columns] == ["列 1", "select", 'a"b']
        assert read_lines(view, table.schema.name) == [b"1\tx\ty"]
        assert read_lines(view, "public.Quoted%s{}") == [b"7"]


def test_partitions_are_read_once_and_through_their_table(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE p (k int, v text) PARTITION BY RANGE (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (k);
        CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (10); CREATE TABLE p2b PARTITION OF p2 DEFAULT;
        INSERT INTO p SELECT n, 'v' FROM generate_series(0, 19) n; ANALYZE p""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        (table,) = view.tables()
        assert (table.schema.name, table.estimated_rows) == ("public.p", 20)
        assert sorted(read_lines(view, "public.p")) == sorted(b"%d\tv" % n for n in range(20))


def test_inheritance_gives_each_table_its_own_rows(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        """CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (extra text) INHERITS (parent);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 'c')""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert read_lines(view, "public.parent") == [b"1"]
        assert read_lines(view, "public.child") == [b"2\tc"]


def test_materialized_views_are_read_on_request_only(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        """CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT * FROM t;
        CREATE MATERIALIZED VIEW m AS SELECT id * 2 AS twice FROM t;
        CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one WITH NO DATA""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert [t.schema.name for t in view.tables()] == ["public.t"]
        assert view.omitted() == []
        assert "2 materialized views were not read: they can be filled from the tables" in view.notes()
    settings = settings_for(postgres_server, postgres_database, materialized_views=True)
    with PostgresqlCollector(settings).open_view() as view:
        assert [t.schema.name for t in view.tables()] == ["public.t", "public.m"]
        assert read_lines(view, "public.m") == [b"2"]
        assert [(o.name, o.reason) for o in view.omitted()] == [
            ("public.unfilled", "a materialized view that was never filled")
        ]


def test_what_has_no_rows_of_its_own_is_left_out_with_the_reason(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE nothing (); CREATE TEMP TABLE passing (id int); CREATE UNLOGGED TABLE light (id int);
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (id int) SERVER s;
        CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE FOREIGN TABLE p1 PARTITION OF p FOR VALUES IN (1) SERVER s""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert [t.schema.name for t in view.tables()] == ["public.light"]
        reasons = {o.name: o.reason for o in view.omitted()}
    assert reasons.keys() == {"public.nothing", "public.far", "public.p"}
    assert "0 columns" in reasons["public.nothing"]
    assert "foreign table" in reasons["public.far"]
    assert "a partition of it is a foreign table" in reasons["public.p"]


def test_patterns_select_tables_and_logical_names_rename_them(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        "CREATE SCHEMA his; CREATE TABLE his.visit (id int); CREATE TABLE his.log_1 (id int); CREATE TABLE other (id int)",
        database=postgres_database,
    )
    settings = settings_for(
        postgres_server, postgres_database,
        tables=TableChoice(("his.*", "his.absent"), ("*.log_*",), {"his.visit": "就诊", "his.gone": "gone"}),
    )  # fmt: skip
    with PostgresqlCollector(settings).open_view() as view:
        assert [t.schema.name for t in view.tables()] == ["就诊"]
        assert read_lines(view, "就诊") == []
        assert {o.name: o.reason for o in view.omitted()} == {
            "his.log_1": "excluded by the settings (*.log_*)",
            "public.other": "not among the tables that the settings include",
            "his.absent": "named in the settings, but not in the database",
            "his.gone": "named in the settings, but not in the database",
        }


@pytest.mark.parametrize(
    ("names", "said"),
    [({"public.a": "x", "public.b": "x"}, "two tables"), ({"public.a": "public.b"}, "two tables"), ({"public.a": "@x"}, "no name")],
)  # fmt: skip
def test_logical_names_that_cannot_be_are_refused(
    postgres_server: PostgresServer, postgres_database: str, names: dict[str, str], said: str
) -> None:
    postgres_server.execute("CREATE TABLE a (id int); CREATE TABLE b (id int)", database=postgres_database)
    collector = PostgresqlCollector(
        settings_for(postgres_server, postgres_database, tables=TableChoice(as_names=names))
    )
    with pytest.raises(SourceError, match=said), collector.open_view():
        pass


def test_tables_without_rights_are_left_out_and_the_others_read(
    postgres_server: PostgresServer, postgres_database: str, reader_role: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE open (id int PRIMARY KEY); INSERT INTO open VALUES (1); GRANT SELECT ON open TO reader;
        CREATE TABLE closed (id int); CREATE TABLE half (a int, b int); GRANT SELECT (a) ON half TO reader;
        CREATE TABLE columns_only (a int); GRANT SELECT (a) ON columns_only TO reader; INSERT INTO columns_only VALUES (5);
        CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int); GRANT SELECT ON hidden.t TO reader""",
        database=postgres_database,
    )
    settings = settings_for(postgres_server, postgres_database, user=reader_role)
    try:
        with PostgresqlCollector(settings).open_view() as view:
            assert {o.name: o.reason for o in view.omitted()} == {
                "public.closed": "the account has no right to SELECT from it",
                "hidden.t": "the account has no right to SELECT from it",
            }
            with pytest.raises(TableLostError) as caught:
                read_lines(view, "public.half")
            assert caught.value.reason.startswith("the account has no right to read all of it (permission denied")
            assert read_lines(view, "public.open") == [b"1"]
            assert read_lines(view, "public.columns_only") == [b"5"]
            body = view.documents()[0].body
            assert b"CREATE TABLE public.open" in body
            assert b"closed" not in body
            assert "ddl.sql lacks 4 tables that the account may not read" in view.notes()
    finally:
        postgres_server.execute("DROP OWNED BY reader", database=postgres_database)


def test_row_level_security_never_filters_in_silence(
    postgres_server: PostgresServer, postgres_database: str, reader_role: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE patients (id int PRIMARY KEY, ward int); INSERT INTO patients VALUES (1, 1), (2, 2);
        GRANT SELECT ON patients TO reader; ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
        CREATE POLICY ward1 ON patients USING (ward = 1);
        CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1); GRANT SELECT ON later TO reader""",
        database=postgres_database,
    )
    settings = settings_for(postgres_server, postgres_database, user=reader_role)
    try:
        with PostgresqlCollector(settings).open_view() as view:
            assert [t.schema.name for t in view.tables()] == ["public.later"]
            assert "row-level security would hide rows" in view.omitted()[0].reason
            postgres_server.execute(
                "ALTER TABLE later ENABLE ROW LEVEL SECURITY", database=postgres_database
            )  # with no policy all rows are hidden
            with pytest.raises(TableLostError, match="row-level security"):
                read_lines(view, "public.later")
        postgres_server.execute("ALTER ROLE reader BYPASSRLS")
        with PostgresqlCollector(settings).open_view() as view:
            assert read_lines(view, "public.patients") == [b"1\t1", b"2\t2"]
    finally:
        postgres_server.execute("DROP OWNED BY reader", database=postgres_database)


def test_position_is_the_servers_place_in_its_log(postgres_server: PostgresServer, postgres_database: str) -> None:
    before = postgres_server.execute("SELECT pg_current_wal_lsn()")[0][0]
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        kind, _, lsn = view.position.partition(" ")
        assert kind == "pg"
        assert postgres_server.execute(
            "SELECT %s::pg_lsn BETWEEN %s::pg_lsn AND pg_current_wal_lsn()", (lsn, before)
        ) == [(True,)]
