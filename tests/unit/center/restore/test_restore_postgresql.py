# SPDX-License-Identifier: Apache-2.0
"""Restoring into PostgreSQL."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from center.errors import TargetError
from center.restore.postgresql import PostgresqlTarget
from center.restore.restore import RestoreReport, restore
from evidence.rows.line import encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent
from tests.servers.postgresql import PostgresServer


@pytest.fixture
def dsn(postgres_server: PostgresServer, postgres_database: str) -> str:
    return postgres_server.dsn_of(postgres_database)


def _restore(dsn: str, *tables: TableContent, position: str = "-", overwrite: bool = False) -> RestoreReport:
    target = PostgresqlTarget(dsn, "the copy")
    try:
        return restore(SourceHistory(position=position).take(*tables), target, overwrite=overwrite)
    finally:
        target.close()


def _query(dsn: str, sql: str) -> list[tuple[Any, ...]]:  # Any: columns as psycopg2 gives them
    with closing(psycopg2.connect(dsn)) as database, database.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def _types(dsn: str, table: str) -> dict[str, str]:
    columns = "SELECT attname::text, atttypid::regtype::text FROM pg_attribute"
    return dict(_query(dsn, f"{columns} WHERE attrelid = '{table}'::regclass AND attnum > 0"))


def _run(dsn: str, sql: str) -> None:
    with closing(psycopg2.connect(dsn)) as database:
        with database.cursor() as cursor:
            cursor.execute(sql)
        database.commit()


def test_types_are_the_nearest_exact_ones(dsn: str) -> None:
    report = _restore(dsn, nasty.any_kind("t"), nasty.beyond_native("b"))
    types = _types(dsn, "t")
    assert types == {"id": "bigint", "mixed": "bytea", "texts": "text", "numbers": "bigint", "blobs": "bytea"}
    types = _types(dsn, "b")
    assert types == {
        "id": "numeric", "wide": "numeric", "zero_date": "text", "long_time": "text", "nanos": "text", "nul": "bytea",
        "gbk": "bytea", "broken_json": "text",
    }  # fmt: skip
    notes = " ".join(note.en for t in report.tables for note in t.notes)
    assert "column 'nul' is bytea: a value has NUL or is not UTF-8" in notes
    assert "column 'zero_date' is text" in notes
    assert _query(dsn, "SELECT texts, numbers FROM t WHERE id = 2") == [("2", 2)]


def test_a_postgresql_source_keeps_its_own_types_key_and_not_null(dsn: str) -> None:
    columns = (
        Column("id", Kind.INT, False, "integer"),
        Column("name", Kind.TEXT, False, "character varying(20)"),
        Column("pad", Kind.TEXT, True, "character(5)"),
        Column("price", Kind.DECIMAL, True, "numeric(12,2)", 2),
        Column("cash", Kind.DECIMAL, True, "money", 2),
        Column("tags", Kind.OTHER, True, "text[]"),
        Column("span", Kind.OTHER, True, "int4range"),
        Column("at", Kind.TIMESTAMPTZ, True, "timestamp(3) with time zone"),
        Column("doc", Kind.JSON, True, "jsonb"),
        Column("took", Kind.INTERVAL, True, "interval"),
        Column("day", Kind.DATE, True, "date"),
    )
    row: list[bytes | None] = [
        b"1", "张三".encode(), b"ab   ", b"12.50", b"1234.50", b'{"a,b",NULL,"\\\\"}', b"[1,10)",
        b"2026-11-22 01:02:03.5+00", b'{"a": 1}', b"1 year 2 mons -00:00:01", b"0044-03-15 BC",
    ]  # fmt: skip
    schema = Schema('his.患者 "表"', columns, ("id",))
    report = _restore(dsn, TableContent(schema, [encode_line(row)]), position="pg 0/1")
    assert report.is_equal
    assert report.tables[0].notes == ()
    found = _query(
        dsn,
        "SELECT format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        ' WHERE attrelid = \'his."患者 ""表"""\'::regclass AND attnum > 0 ORDER BY attnum',
    )
    assert [t for t, _ in found] == [c.type for c in columns]
    assert [n for _, n in found] == [True, True, *[False] * 9]


def test_a_type_that_the_target_does_not_have_is_replaced_by_one_that_holds_the_values(dsn: str) -> None:
    columns = (Column("id", Kind.INT, False, "integer"), Column("mood", Kind.OTHER, True, "public.mood"))
    content = TableContent(Schema("public.t", columns, ("id",)), [b"1\thappy"])
    report = _restore(dsn, content, position="pg 0/1")
    assert report.is_equal
    assert _query(dsn, "SELECT mood::text, pg_typeof(mood)::text FROM t") == [("happy", "text")]
    _run(dsn, "DROP TABLE t; CREATE TYPE mood AS ENUM ('sad')")
    report = _restore(dsn, content, position="pg 0/1")
    assert report.is_equal
    assert "invalid input value for enum" in report.tables[0].notes[0].en
    _run(dsn, "DROP TABLE t; ALTER TYPE mood ADD VALUE 'happy'")
    report = _restore(dsn, content, position="pg 0/1")
    assert report.is_equal
    assert _query(dsn, "SELECT pg_typeof(mood)::text FROM t") == [("mood",)]


@pytest.mark.parametrize(
    "type_", ["integer); DROP TABLE victim; --", "integer, y text", "int DEFAULT 1", "", "integer -- \n", "setof int"]
)
def test_a_type_text_cannot_inject(type_: str, dsn: str) -> None:
    _run(dsn, "CREATE TABLE victim (x int)")
    content = TableContent(Schema("public.t", (Column("x", Kind.INT, True, type_),)), [b"1"])
    assert _restore(dsn, content, position="pg 0/1", overwrite=True).is_equal
    assert _query(dsn, "SELECT count(*) FROM victim") == [(0,)]
    assert _query(dsn, "SELECT pg_typeof(x)::text FROM t") == [("bigint",)]


def test_a_value_changed_in_the_copy_is_found(dsn: str) -> None:
    class Meddler(PostgresqlTarget):
        def finish(self) -> tuple[str, ...]:
            notes = super().finish()
            _run(dsn, "UPDATE visit_item SET note = 'forged' WHERE visit = 10 AND code = 'A' AND price = 9.10")
            return notes

    target = Meddler(dsn, "the copy")
    report = restore(SourceHistory(position="pg 0/1").take(nasty.composite()), target)
    target.close()
    assert not report.is_equal
    differences = report.tables[0].differences
    assert differences is not None
    assert differences.first == ((b"n10\tA\t10\t9.10", b"forged\tA\t10\t9.10"),)


def test_rows_that_come_back_out_of_order_are_sorted(dsn: str) -> None:
    class Shuffler(PostgresqlTarget):
        def finish(self) -> tuple[str, ...]:
            notes = super().finish()
            _run(dsn, "CREATE INDEX by_note ON visit_item (note DESC); CLUSTER visit_item USING by_note")
            return notes

    target = Shuffler(dsn, "the copy")
    report = restore(SourceHistory(position="pg 0/1").take(nasty.composite()), target)
    target.close()
    assert report.is_equal


def test_a_database_that_is_not_empty_is_left_alone_unless_told(dsn: str) -> None:
    _run(dsn, "CREATE TABLE visit_item (x int); CREATE VIEW other AS SELECT 1")
    with pytest.raises(TargetError, match=r"is not empty: it has the relations public\.other, public\.visit_item"):
        _restore(dsn, nasty.composite())
    report = _restore(dsn, nasty.composite(), overwrite=True)
    assert report.is_equal
    assert _query(dsn, "SELECT * FROM other") == [(1,)]


def test_what_an_extension_brings_is_no_content(dsn: str) -> None:
    _run(dsn, "CREATE EXTENSION pg_stat_statements")
    assert _restore(dsn, nasty.composite()).is_equal


def test_a_table_that_others_depend_on_is_refused_and_the_others_restored(dsn: str) -> None:
    _run(dsn, "CREATE TABLE visit_item (x int); CREATE VIEW v AS SELECT x FROM visit_item")
    report = _restore(dsn, nasty.composite(), nasty.keyless(), overwrite=True)
    assert [(t.name, t.is_equal) for t in report.tables] == [("visit_item", False), ("无主键", True)]
    assert "other objects depend on it" in report.tables[0].error.en
    assert _query(dsn, "SELECT x FROM v") == []


def test_a_restore_that_breaks_off_leaves_nothing(dsn: str) -> None:
    def break_off(phase: str, table: str, done: int, total: int) -> None:
        if table == "无主键" and done:
            raise KeyboardInterrupt

    target = PostgresqlTarget(dsn, "the copy")
    with pytest.raises(KeyboardInterrupt):
        restore(SourceHistory().take(nasty.composite(), nasty.keyless()), target, progress=break_off)
    target.close()
    assert PostgresqlTarget(dsn, "the copy").find_content() is None


def test_a_table_damaged_in_the_store_is_named_with_the_damage(dsn: str) -> None:
    history = SourceHistory()
    snapshot = history.take(nasty.composite(), nasty.keyless("zzz"))
    top = snapshot.table("zzz").top
    assert top is not None
    del history.objects.bodies[top]
    target = PostgresqlTarget(dsn, "the copy")
    report = restore(snapshot, target)
    target.close()
    assert [(t.name, t.is_equal) for t in report.tables] == [("visit_item", True), ("zzz", False)]
    assert "not at hand" in report.tables[1].error.en
    assert _query(dsn, "SELECT to_regclass('public.zzz')") == [(None,)]


SEQUENCES = Schema(
    "@sequences",
    (
        Column("name", Kind.TEXT, False, "text"),
        Column("last_value", Kind.INT, True, "bigint"),
        Column("is_called", Kind.BOOL, True, "boolean"),
        *(Column(name, Kind.INT, False, "bigint") for name in ("start", "increment", "min", "max", "cache")),
        Column("cycle", Kind.BOOL, False, "boolean"),
        Column("type", Kind.TEXT, False, "text"),
    ),
    ("name",),
)
OBJECTS = Schema(
    "@large_objects",
    (
        Column("oid", Kind.INT, False, "oid"),
        Column("owner", Kind.TEXT, False, "name"),
        Column("content", Kind.BYTES, False, "bytea"),
    ),
    ("oid",),
)


def test_sequences_go_on_where_they_were(dsn: str) -> None:
    lines = [
        b"his.\xe7\xbc\x96\xe5\x8f\xb7\t41\tt\t1\t2\t1\t100\t1\tf\tinteger",
        b"public.unseen\t\\N\t\\N\t-5\t-1\t-9223372036854775808\t-1\t10\tt\tbigint",
        b"public.fresh\t7\tf\t7\t1\t1\t32767\t1\tf\tsmallint",
    ]
    report = _restore(dsn, TableContent(SEQUENCES, lines), position="pg 0/1")
    assert report.is_equal
    assert report.tables[0].where.en == "sequences"
    assert [note.en for note in report.tables[0].notes] == [
        "1 sequence(s) begin anew, for the agent's account could not see where they stood: public.unseen"
    ]
    assert _query(dsn, "SELECT nextval('his.编号'), nextval('public.fresh'), nextval('public.unseen')") == [(43, 7, -5)]


def test_a_sequence_cannot_inject(dsn: str) -> None:
    line = b"public.s\t1\tt\t1\t1\t1\t9\t1\tf\tbigint; CREATE TABLE evil ()"
    report = _restore(dsn, TableContent(SEQUENCES, [line]), position="pg 0/1")
    assert not report.is_equal
    assert "has the type" in report.tables[0].error.en
    assert _query(dsn, "SELECT to_regclass('public.evil')") == [(None,)]


def test_large_objects_keep_oid_owner_and_content(dsn: str, postgres_server: PostgresServer) -> None:
    owner = postgres_server.user.encode()
    big = bytes(range(256)) * 12_000
    lines = [
        b"16400\t%s\t\\\\x%s" % (owner, big.hex().encode()),
        b"4000000000\t%s\t\\\\x" % owner,
        b"16401\t%s\t\\\\x00ff" % owner,
    ]
    report = _restore(dsn, TableContent(OBJECTS, lines), position="pg 0/1")
    assert report.is_equal
    assert [(oid, bytes(raw)) for oid, raw in _query(dsn, "SELECT oid, lo_get(oid) FROM pg_largeobject_metadata")] == [
        (16400, big), (16401, b"\x00\xff"), (4000000000, b""),
    ]  # fmt: skip
    with pytest.raises(TargetError, match="is not empty: it has 3 large objects"):
        _restore(dsn, TableContent(OBJECTS, lines), position="pg 0/1")
    assert _restore(dsn, TableContent(OBJECTS, lines), position="pg 0/1", overwrite=True).is_equal


def test_an_owner_that_is_not_there_is_said_and_makes_a_difference(dsn: str) -> None:
    report = _restore(dsn, TableContent(OBJECTS, [b"5\tnobody\t\\\\x"]), position="pg 0/1")
    assert not report.is_equal
    assert 'role "nobody" does not exist' in report.tables[0].notes[0].en


def test_large_objects_that_are_not_postgresqls_are_a_plain_table(dsn: str) -> None:
    report = _restore(dsn, TableContent(OBJECTS, [b"5\tnobody\t\\\\x"]))
    assert report.is_equal
    assert _query(dsn, 'SELECT owner FROM "@large_objects"') == [("nobody",)]


def test_names_that_are_too_long_or_reserved_get_names_of_their_own(dsn: str) -> None:
    long = "很长的表名" * 10
    columns = (Column("ctid", Kind.INT, True, "integer"), Column("x" * 70 + "1", Kind.INT, True, "integer"),
               Column("x" * 70 + "2", Kind.INT, True, "integer"))  # fmt: skip
    tables = [TableContent(Schema(name, columns), [b"1\t2\t3"]) for name in (long + "1", long + "2", "pg_x.t", "a.b.c")]
    report = _restore(dsn, *tables)
    assert report.is_equal
    assert all(len(t.where.en.split('"')[3].encode()) <= 63 for t in report.tables)
    assert any(t.where.en == 'table "_pg_x"."t"' for t in report.tables)


def test_data_that_break_the_declared_rules_are_restored_without_the_rules(dsn: str) -> None:
    schema = Schema("t", (Column("id", Kind.TEXT, False, "text"), Column("x", Kind.TEXT, False, "text")), ("id",))
    report = _restore(dsn, TableContent(schema, [b"a\tx", b"b", b"c" * 60_000 + b"\tx"]))
    assert report.is_equal
    assert [note.en.split(" is not enforced")[0] for note in report.tables[0].notes] == ["NOT NULL of column 'x'"]


def test_a_server_that_is_down_or_refuses_is_said_in_one_sentence(dsn: str) -> None:
    with pytest.raises(TargetError, match="the copy cannot be opened") as caught:
        PostgresqlTarget("host=127.0.0.1 port=1 user=x dbname=x", "the copy")
    assert "PGPASSWORD" in caught.value.hint
