# SPDX-License-Identifier: Apache-2.0
"""Databases in other encodings: converted where the server can, kept as bytes and noted where there is no encoding."""

from collections.abc import Iterator

import pytest

from agent.collectors.postgresql import PostgresqlCollector
from agent.errors import TableLostError
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import find_table, read_lines, read_rows, settings_for

OPTIONS = "ENCODING '{}' LC_COLLATE 'C' LC_CTYPE 'C'"


@pytest.fixture(params=["EUC_CN", "LATIN1", "SQL_ASCII"])
def encoded(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """Give a database and its encoding."""
    postgres_server.create_database("encoded", OPTIONS.format(request.param))
    try:
        yield "encoded", request.param
    finally:
        postgres_server.drop_database("encoded")


def test_texts_come_as_utf8_and_order_is_promised_only_where_bytes_are_compared(
    postgres_server: PostgresServer, encoded: tuple[str, str]
) -> None:
    database, encoding = encoded
    word = "é" if encoding == "LATIN1" else "张三"
    postgres_server.execute(
        f"CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('{word}', 'a'), ('b', '{word}')",
        database=database,
    )
    with PostgresqlCollector(settings_for(postgres_server, database)).open_view() as view:
        table = find_table(view, "public.t")
        assert table.ordered == (encoding == "SQL_ASCII")
        assert sorted(read_lines(view, "public.t")) == [b"b\t" + word.encode(), word.encode() + b"\ta"]
        assert any(encoding in note for note in view.notes())
        assert view.documents()[0].body.startswith(b"--\n-- PostgreSQL database dump")


def test_bytes_without_encoding_are_kept_and_noted_by_column(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("raw", OPTIONS.format("SQL_ASCII"))
    try:
        gbk = "张三".encode("gbk")
        postgres_server.execute(
            """CREATE TABLE t (id int PRIMARY KEY, good text, bad text, big text, "列" text);
            INSERT INTO t VALUES (1, '张三', convert_from('\\xd5c5c8fd', 'SQL_ASCII'), NULL, 'x'),
                                 (2, 'a', 'b', repeat(convert_from('\\xd5c5', 'SQL_ASCII'), 1000000), 'y');
            COMMENT ON COLUMN t.good IS 'abc'""",
            database="raw",
        )
        with PostgresqlCollector(settings_for(postgres_server, "raw")).open_view() as view:
            assert find_table(view, "public.t").schema.notes == ()
            lines = read_lines(view, "public.t")
            assert lines[0] == b"1\t" + "张三".encode() + b"\t" + gbk + b"\t\\N\tx"
            assert lines[1].startswith(b"2\ta\tb\t\\@sha256:")
            assert find_table(view, "public.t").schema.notes == ("not-utf-8 bad", "not-utf-8 big")
            read_rows(view, "public.t")
    finally:
        postgres_server.drop_database("raw")


def test_characters_without_counterpart_lose_the_table_and_say_so(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("cn", OPTIONS.format("EUC_CN"))
    try:
        postgres_server.execute(
            # A code of EUC_CN's form that no character has.
            "CREATE TABLE t (v text); INSERT INTO t VALUES (convert_from('\\xfdfd', 'EUC_CN')); CREATE TABLE u (v text)",
            database="cn",
        )
        with PostgresqlCollector(settings_for(postgres_server, "cn")).open_view() as view:
            with pytest.raises(TableLostError, match="no counterpart in UTF-8"):
                read_lines(view, "public.t")
            assert read_lines(view, "public.u") == []
    finally:
        postgres_server.drop_database("cn")
