# SPDX-License-Identifier: Apache-2.0
"""Large cells and large objects are streamed into the sink; sequences and large objects are tables of ours."""

import hashlib
import io
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from agent.collectors.naming import TableChoice
from agent.collectors.postgresql import PostgresqlCollector
from agent.collectors.postgresql.large import MAX_INLINE_BYTES
from agent.errors import TableLostError
from evidence.rows.line import Token
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import KeptBlobs, read_lines, read_rows, settings_for


class _PieceSizes(KeptBlobs):
    """A sink that remembers how much was at most given at once, however much it asked for."""

    largest = 0

    def put(self, raw: BinaryIO) -> Token:
        assert isinstance(raw, io.BufferedReader)
        parts = []
        while part := raw.read1(64 << 20):
            self.largest = max(self.largest, len(part))
            parts.append(part)
        return super().put(io.BytesIO(b"".join(parts)))


def _token_of(raw: bytes) -> Token:
    return Token(hashlib.sha256(raw).digest(), len(raw))


def test_cells_over_the_limit_are_streamed_and_all_others_stand_in_full(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    limit = MAX_INLINE_BYTES
    postgres_server.execute(
        f"""CREATE TABLE d (id int PRIMARY KEY, t text, v varchar, c bpchar, b bytea, j json, jb jsonb, a text[], x xml,
                            plain numeric, tail varchar(5));
        ALTER TABLE d ALTER b SET STORAGE EXTERNAL;
        INSERT INTO d VALUES
            (1, repeat('张', {limit // 3}) || 'x', repeat('v', {limit}), repeat('c', {limit - 1}) || '  ', NULL, '1', '2',
             '{{a}}', '<a/>', 1.5, 'end'),
            (2, repeat('张三', 700000), repeat('v', {limit + 1}), repeat('c', {limit}) || '  ', convert_to(repeat('b', 9000001), 'UTF8'),
             to_json(repeat('j', {limit})), to_jsonb(repeat('k', {limit})), ARRAY[repeat('a', {limit}), NULL],
             xmlparse(content '<?xml version="1.1"?><x>' || repeat('y', {limit}) || '</x>'), 2, 'end'),
            (3, NULL, NULL, NULL, '', 'null', 'null', NULL, NULL, NULL, NULL)""",
        database=postgres_database,
    )
    blobs = _PieceSizes()
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        rows = read_rows(view, "public.d", blobs)
    assert rows[0] == [
        b"1", "张".encode() * (limit // 3) + b"x", b"v" * limit, _token_of(b"c" * (limit - 1) + b"  "), None, b"1", b"2",
        b"{a}", b"<a/>", b"1.5", b"end",
    ]  # fmt: skip
    large = [
        "张三".encode() * 700000, b"v" * (limit + 1), b"c" * limit + b"  ", b"b" * 9000001, b'"%s"' % (b"j" * limit),
        b'"%s"' % (b"k" * limit), b"{%s,NULL}" % (b"a" * limit), b'<?xml version="1.1"?><x>%s</x>' % (b"y" * limit),
    ]  # fmt: skip
    assert rows[1] == [b"2", *map(_token_of, large), b"2", b"end"]
    assert rows[2] == [b"3", None, None, None, b"\\x", b"null", b"null", None, None, None, None]
    assert all(blobs.items[_token_of(raw).sha256] == raw for raw in large)
    assert blobs.largest <= 4 << 20


def test_large_cells_of_partitions_and_keyless_tables_are_found_by_their_place(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE p (k int, t text) PARTITION BY LIST (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
        INSERT INTO p SELECT k, repeat(k::text, 2000000) FROM generate_series(1, 2) k;
        UPDATE p SET t = t || '!'""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        postgres_server.execute("UPDATE p SET t = 'changed'; DELETE FROM p", database=postgres_database)
        rows = read_rows(view, "public.p")
    assert rows == [[b"%d" % k, _token_of(b"%d" % k * 2000000 + b"!")] for k in (1, 2)]


def test_rows_of_many_large_cells_stay_small(postgres_server: PostgresServer, postgres_database: str) -> None:
    count, size = 40, 300_000
    columns = ", ".join(f"t{i} text" for i in range(count))
    values = ", ".join(f"repeat('{i % 10}', {size})" for i in range(count))
    postgres_server.execute(f"CREATE TABLE w ({columns}); INSERT INTO w VALUES ({values})", database=postgres_database)
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert read_rows(view, "public.w") == [[_token_of(b"%d" % (i % 10) * size) for i in range(count)]]


def test_lock_taken_for_a_large_cell_is_given_back(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        "CREATE TABLE d (t text); INSERT INTO d VALUES (repeat('x', 2000000))", database=postgres_database
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        read_rows(view, "public.d")
        view.documents()
        postgres_server.execute("SET lock_timeout = '1s'; DROP TABLE d", database=postgres_database)


def test_texts_that_look_like_markers_and_tokens_stay_texts(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    odd = ["0" * 32 + ";1;2;(0,1)", "\\@sha256:" + "0" * 64 + ":7", "x" * 3000]
    postgres_server.execute("CREATE TABLE d (id int PRIMARY KEY, t text)", database=postgres_database)
    for i, text in enumerate(odd):
        postgres_server.execute("INSERT INTO d VALUES (%s, %s)", (i, text), database=postgres_database)
    postgres_server.execute("INSERT INTO d VALUES (9, repeat('x', 2000000))", database=postgres_database)
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        assert read_rows(view, "public.d")[:3] == [[b"%d" % i, t.encode()] for i, t in enumerate(odd)]


def test_sequences_are_a_table_of_ours(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        """CREATE SEQUENCE "号.码" AS smallint INCREMENT -2 MINVALUE -100 MAXVALUE 100 START 50 CACHE 5 CYCLE;
        CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES;
        CREATE SEQUENCE "Unused"; CREATE TEMP SEQUENCE passing""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        lines = read_lines(view, "@sequences")
        assert lines == [
            b"public.Unused\t1\tf\t1\t1\t1\t9223372036854775807\t1\tf\tbigint",
            b"public.t_id_seq\t2\tt\t1\t1\t1\t2147483647\t1\tf\tinteger",
            "public.号\\\\.码\t50\tf\t50\t-2\t-100\t100\t5\tt\tsmallint".encode(),
        ]
        postgres_server.execute("SELECT nextval('t_id_seq')", database=postgres_database)
        assert read_lines(view, "@sequences") == lines
    settings = settings_for(postgres_server, postgres_database, tables=TableChoice(exclude=("@sequences",)))
    with PostgresqlCollector(settings).open_view() as view:
        assert [t.schema.name for t in view.tables()] == ["public.t"]
    settings = settings_for(postgres_server, postgres_database, tables=TableChoice(("public.t",)))
    with PostgresqlCollector(settings).open_view() as view:
        assert [line.split(b"\t")[0] for line in read_lines(view, "@sequences")] == [b"public.t_id_seq"]


def test_sequence_dropped_or_hidden_has_no_value(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        "CREATE SEQUENCE a; CREATE SEQUENCE b; CREATE SEQUENCE c; CREATE ROLE half LOGIN PASSWORD 'secret';"
        "GRANT SELECT ON SEQUENCE a, b TO half",
        database=postgres_database,
    )
    try:
        settings = settings_for(postgres_server, postgres_database, user="half")
        with PostgresqlCollector(settings).open_view() as view:
            postgres_server.execute("DROP SEQUENCE a", database=postgres_database)
            rows = read_rows(view, "@sequences")
        assert [row[:3] for row in rows] == [
            [b"public.a", None, None], [b"public.b", b"1", b"f"], [b"public.c", None, None],
        ]  # fmt: skip
    finally:
        postgres_server.execute("DROP OWNED BY half", database=postgres_database)
        postgres_server.execute("DROP ROLE half")


def test_large_objects_are_a_table_of_ours(postgres_server: PostgresServer, postgres_database: str) -> None:
    big = bytes(range(256)) * 40000
    for oid, content in ((77, b"\x01\x02"), (9, b""), (4000000000, b"x" * 65536), (100, b"y" * 65537), (101, big)):
        postgres_server.execute("SELECT lo_from_bytea(%s::oid, %s)", (oid, content), database=postgres_database)
    blobs = KeptBlobs()
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        postgres_server.execute("SELECT lo_unlink(77::oid), lo_put(9::oid, 0, 'later')", database=postgres_database)
        rows = read_rows(view, "@large_objects", blobs)
    assert rows == [
        [b"9", b"admin", b"\\x"],
        [b"77", b"admin", b"\\x0102"],
        [b"100", b"admin", _token_of(b"y" * 65537)],
        [b"101", b"admin", _token_of(big)],
        [b"4000000000", b"admin", b"\\x" + b"78" * 65536],
    ]
    assert blobs.items[_token_of(big).sha256] == big


def test_many_small_objects_come_in_order(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        "SELECT lo_from_bytea(n::oid, n::text::bytea) FROM generate_series(1000, 1200) n", database=postgres_database
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        rows = read_rows(view, "@large_objects")
    assert rows == [[b"%d" % n, b"admin", b"\\x" + str(n).encode().hex().encode()] for n in range(1000, 1201)]


@pytest.fixture
def half_reader(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """Give an account that may read one of two large objects."""
    postgres_server.execute(
        """CREATE ROLE half_reader LOGIN PASSWORD 'secret'; SELECT lo_from_bytea(5, 'a'), lo_from_bytea(6, 'b');
        CREATE TABLE t (id int); GRANT SELECT ON t TO half_reader; GRANT SELECT ON LARGE OBJECT 5 TO half_reader""",
        database=postgres_database,
    )
    try:
        yield "half_reader"
    finally:
        postgres_server.execute("DROP OWNED BY half_reader", database=postgres_database)
        postgres_server.execute("DROP ROLE half_reader")


def test_large_objects_without_rights_are_lost_as_a_whole(
    postgres_server: PostgresServer, postgres_database: str, half_reader: str
) -> None:
    settings = settings_for(postgres_server, postgres_database, user=half_reader)
    with PostgresqlCollector(settings).open_view() as view:
        with pytest.raises(TableLostError, match="may not read 1 large objects, 6 is the first"):
            read_lines(view, "@large_objects")
        assert read_lines(view, "public.t") == []
    postgres_server.execute("GRANT SELECT ON LARGE OBJECT 6 TO PUBLIC", database=postgres_database)
    with PostgresqlCollector(settings).open_view() as view:
        assert len(read_lines(view, "@large_objects")) == 2
    settings = settings_for(postgres_server, postgres_database, user=half_reader, large_objects=False)
    with PostgresqlCollector(settings).open_view() as view:
        assert [t.schema.name for t in view.tables()] == ["public.t"]
