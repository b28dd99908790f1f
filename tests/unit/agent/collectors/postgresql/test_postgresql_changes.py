# SPDX-License-Identifier: Apache-2.0
"""What others do to a table between the snapshot and its reading never gives wrong rows: they are right, or the table is lost."""

import pytest

from agent.collectors.postgresql import PostgresqlCollector
from agent.errors import TableLostError
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import find_table, read_lines, settings_for

SETUP = """
    CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (1, 'a', 'b'), (2, 'c', 'd');
    CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
    CREATE TABLE p (k int, v text) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
    CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2); INSERT INTO p VALUES (1, 'x'), (2, 'y');
    CREATE TABLE loose (k int, v text); INSERT INTO loose VALUES (3, 'z');
    CREATE MATERIALIZED VIEW m AS SELECT id FROM other
"""
T_LINES = [b"1\ta\tb", b"2\tc\td"]

HARMLESS = {
    "rows inserted, updated and deleted": "INSERT INTO t VALUES (3); UPDATE t SET a = 'z'; DELETE FROM t WHERE id = 1",
    "a column added": "ALTER TABLE t ADD COLUMN c int DEFAULT 5",
    "an index added": "CREATE INDEX ON t (a)",
    "vacuumed": "VACUUM t",
    "a comment": "COMMENT ON COLUMN t.a IS 'x'",
}
# what is done, the table that is read, what the reason says
FATAL = {
    "dropped": ("DROP TABLE t", "public.t", "dropped or renamed"),
    "renamed": ("ALTER TABLE t RENAME TO t_old", "public.t", "dropped or renamed"),
    "schema dropped": ("CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s", "public.t", "dropped or renamed"),
    "truncated": ("TRUNCATE t", "public.t", "truncated, rewritten"),
    "truncated and filled again": ("TRUNCATE t; INSERT INTO t VALUES (9, 'x', 'y')", "public.t", "truncated, rewritten"),
    "rewritten": ("ALTER TABLE t ALTER COLUMN id TYPE bigint", "public.t", "altered after the snapshot"),
    "rewritten in place": ("ALTER TABLE t ALTER COLUMN a TYPE text USING a || '!'", "public.t", "truncated, rewritten"),
    "retyped without rewriting": ("ALTER TABLE t ALTER COLUMN a TYPE varchar", "public.t", "type of a column was altered"),
    "swapped": (
        "ALTER TABLE t RENAME TO t_old; CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (7)",
        "public.t", "another table was put in its place",
    ),
    "column dropped": ("ALTER TABLE t DROP COLUMN b", "public.t", "a column was dropped or renamed"),
    "columns exchanged": (
        "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b", "public.t",
        "columns were renamed",
    ),
    "partition truncated": ("TRUNCATE p2", "public.p", "truncated, rewritten"),
    "partition attached": ("ALTER TABLE p ATTACH PARTITION loose FOR VALUES IN (3)", "public.p", "repartitioned"),
    "partition detached": ("ALTER TABLE p DETACH PARTITION p2", "public.p", "repartitioned"),
    "partition dropped": ("DROP TABLE p2", "public.p", "truncated, rewritten"),
    "refreshed": ("INSERT INTO other VALUES (9); REFRESH MATERIALIZED VIEW m", "public.m", "refreshed"),
}  # fmt: skip


@pytest.fixture
def prepared(postgres_server: PostgresServer, postgres_database: str) -> str:
    postgres_server.execute(SETUP, database=postgres_database)
    return postgres_database


@pytest.mark.parametrize("change", HARMLESS)
def test_harmless_changes_leave_the_rows_of_the_snapshot(
    postgres_server: PostgresServer, prepared: str, change: str
) -> None:
    with PostgresqlCollector(settings_for(postgres_server, prepared)).open_view() as view:
        for statement in HARMLESS[change].split("; "):
            postgres_server.execute(statement, database=prepared)
        assert read_lines(view, "public.t") == T_LINES
        assert [c.name for c in find_table(view, "public.t").schema.columns] == ["id", "a", "b"]


@pytest.mark.parametrize("change", FATAL)
def test_changes_that_hide_the_snapshots_rows_lose_that_table_only(
    postgres_server: PostgresServer, prepared: str, change: str
) -> None:
    sql, name, reason = FATAL[change]
    settings = settings_for(postgres_server, prepared, materialized_views=True)
    with PostgresqlCollector(settings).open_view() as view:
        postgres_server.execute(sql, database=prepared)
        with pytest.raises(TableLostError) as caught:
            read_lines(view, name)
        assert reason in caught.value.reason
        assert "\n" not in caught.value.reason
        assert read_lines(view, "public.other") == [b"1"]


def test_right_taken_away_meanwhile_loses_the_table(postgres_server: PostgresServer, prepared: str) -> None:
    postgres_server.execute("CREATE ROLE taken LOGIN PASSWORD 'secret'")
    try:
        postgres_server.execute("GRANT SELECT ON t, other TO taken", database=prepared)
        settings = settings_for(postgres_server, prepared, user="taken")
        with PostgresqlCollector(settings).open_view() as view:
            postgres_server.execute("REVOKE SELECT ON t FROM taken", database=prepared)
            with pytest.raises(TableLostError) as caught:
                read_lines(view, "public.t")
            assert caught.value.reason.startswith("the account has no right")
            assert read_lines(view, "public.other") == [b"1"]
    finally:
        postgres_server.execute("DROP OWNED BY taken", database=prepared)
        postgres_server.execute("DROP ROLE taken")


def test_lock_is_given_back_as_soon_as_a_table_is_read(postgres_server: PostgresServer, prepared: str) -> None:
    with PostgresqlCollector(settings_for(postgres_server, prepared)).open_view() as view:
        read_lines(view, "public.t")
        view.documents()
        postgres_server.execute("SET lock_timeout = '1s'; TRUNCATE t; DROP TABLE p", database=prepared)
        with pytest.raises(TableLostError):
            read_lines(view, "public.t")


def test_tables_made_after_the_snapshot_are_not_in_it(postgres_server: PostgresServer, prepared: str) -> None:
    with PostgresqlCollector(settings_for(postgres_server, prepared)).open_view() as view:
        postgres_server.execute("CREATE TABLE new (id int)", database=prepared)
        assert "public.new" not in {t.schema.name for t in view.tables()}
