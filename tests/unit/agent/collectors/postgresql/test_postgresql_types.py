# SPDX-License-Identifier: Apache-2.0
"""Every type of PostgreSQL comes out in its kind's canonical form."""

from collections.abc import Sequence

import pytest

from agent.collectors.postgresql import PostgresqlCollector
from evidence.rows.line import encode_line
from evidence.rows.schema import Column
from evidence.rows.values import Kind
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import column_of, find_table, read_lines, read_rows, session, settings_for

# type, the SQL texts of values, kind, scale, canonical values
TYPES: tuple[tuple[str, Sequence[str], Kind, int | None, Sequence[str]], ...] = (
    ("boolean", ["yes", "0"], Kind.BOOL, None, ["t", "f"]),
    ("smallint", ["-32768", "007"], Kind.INT, None, ["-32768", "7"]),
    ("integer", ["2147483647"], Kind.INT, None, ["2147483647"]),
    ("bigint", ["-9223372036854775808"], Kind.INT, None, ["-9223372036854775808"]),
    ("oid", ["4294967295"], Kind.INT, None, ["4294967295"]),
    ("xid", ["7"], Kind.INT, None, ["7"]),
    ("xid8", ["18446744073709551615"], Kind.INT, None, ["18446744073709551615"]),
    ("numeric(12,2)", ["-0", "1.005", "NaN", "9999999999.99"], Kind.DECIMAL, 2, ["0.00", "1.01", "NaN", "9999999999.99"]),
    ("numeric", ["1e30", "-0.0", "00012.500", "1e-20", "Infinity", "-Infinity", "NaN"], Kind.DECIMAL, None,
     ["1000000000000000000000000000000", "0.0", "12.500", "0.00000000000000000001", "Infinity", "-Infinity", "NaN"]),
    ("numeric(5,-2)", ["12345", "-49"], Kind.DECIMAL, -2, ["12300", "0"]),
    ("numeric(3,5)", ["0.00123"], Kind.DECIMAL, 5, ["0.00123"]),
    ("money", ["$1,234.50", "-92233720368547758.08"], Kind.DECIMAL, 2, ["1234.50", "-92233720368547758.08"]),
    ("real", ["0.1", "1e6", "16777216", "-0", "NaN", "-Infinity", "1e-45"], Kind.FLOAT4, None,
     ["0.1", "1e+06", "1.6777216e+07", "-0", "NaN", "-Infinity", "1e-45"]),
    ("double precision", ["0.1", "1e23", "1e15", "123456789012345", "-0", "5e-324", "Infinity"], Kind.FLOAT8, None,
     ["0.1", "9.999999999999999e+22", "1e+15", "123456789012345", "-0", "5e-324", "Infinity"]),
    ("text", ["", "\\N", "\\.", "a\tb\nc\rd\be\ff\x0bg\\", "张三👩‍⚕️", "\x01\x7f", "NULL"], Kind.TEXT, None,
     ["", "\\N", "\\.", "a\tb\nc\rd\be\ff\x0bg\\", "张三👩‍⚕️", "\x01\x7f", "NULL"]),
    ("varchar(4)", ["ab  ", "张三李四"], Kind.TEXT, None, ["ab  ", "张三李四"]),
    ("char(5)", ["ab", "张"], Kind.TEXT, None, ["ab   ", "张    "]),
    ("bpchar", ["ab  "], Kind.TEXT, None, ["ab  "]),
    ("name", ["relname"], Kind.TEXT, None, ["relname"]),
    ('"char"', ["a", ""], Kind.TEXT, None, ["a", ""]),
    ("xml", ['<?xml version="1.0" encoding="GBK"?><a>1</a>', "<b/>"], Kind.TEXT, None,
     ["<a>1</a>", "<b/>"]),
    ("json", ['{"a" : 1,\n  "a":2}'], Kind.JSON, None, ['{"a" : 1,\n  "a":2}']),
    ("jsonb", ['{"b":1, "a":[1.50,null]}'], Kind.JSON, None, ['{"a": [1.50, null], "b": 1}']),
    ("bytea", ["\\xDEADbeef00", "\\x", "abc\\000"], Kind.BYTES, None, ["\\xdeadbeef00", "\\x", "\\x61626300"]),
    ("bit(3)", ["101"], Kind.BITS, None, ["101"]),
    ("bit varying(9)", ["", "000000001"], Kind.BITS, None, ["", "000000001"]),
    ("date", ["2026-11-22", "0044-03-15 BC", "infinity", "-infinity", "5874897-12-31"], Kind.DATE, None,
     ["2026-11-22", "0044-03-15 BC", "infinity", "-infinity", "5874897-12-31"]),
    ("time", ["24:00", "01:02:03.500", "00:00:00.000001"], Kind.TIME, None, ["24:00:00", "01:02:03.5", "00:00:00.000001"]),
    ("time(0)", ["01:02:03.6"], Kind.TIME, None, ["01:02:04"]),
    ("timetz", ["10:00+08", "10:00:00.1-03:30"], Kind.OTHER, None, ["10:00:00+08", "10:00:00.1-03:30"]),
    ("timestamp", ["2026-11-22 01:02:03.120", "0001-01-01 BC", "-infinity", "294276-12-31 23:59:59.999999"],
     Kind.TIMESTAMP, None,
     ["2026-11-22 01:02:03.12", "0001-01-01 00:00:00 BC", "-infinity", "294276-12-31 23:59:59.999999"]),
    ("timestamptz", ["2026-11-22 09:02:03+08", "1900-01-01 00:00:00+08:05:43", "infinity", "0044-03-15 12:00+00 BC"],
     Kind.TIMESTAMPTZ, None,
     ["2026-11-22 01:02:03+00", "1899-12-31 15:54:17+00", "infinity", "0044-03-15 12:00:00+00 BC"]),
    ("interval", ["1 year -2 days 03:04:05.600", "P1Y2M3DT4H", "-00:00:01"], Kind.INTERVAL, None,
     ["1 year -2 days +03:04:05.6", "1 year 2 mons 3 days 04:00:00", "-00:00:01"]),
    ("uuid", ["A0EEBC999C0B4EF8BB6D6BB9BD380A11"], Kind.UUID, None, ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("mood", ["很好", "sad"], Kind.TEXT, None, ["很好", "sad"]),
    ("price", ["7", "0.5"], Kind.DECIMAL, 3, ["7.000", "0.500"]),
    ("inner_price", ["7"], Kind.DECIMAL, 3, ["7.000"]),
    ("pair", ['(1,"a,b")'], Kind.OTHER, None, ['(1,"a,b")']),
    ("integer[]", ["{1,NULL,3}", "[0:1]={5,6}", "{}"], Kind.OTHER, None, ["{1,NULL,3}", "[0:1]={5,6}", "{}"]),
    ("text[]", ['{"a\tb",NULL,"NULL","\\\\"}'], Kind.OTHER, None, ['{"a\tb",NULL,"NULL","\\\\"}']),
    ("double precision[]", ["{0.1,1e23}"], Kind.OTHER, None, ["{0.1,9.999999999999999e+22}"]),
    ("timestamptz[]", ["{2026-01-01 08:00+08}"], Kind.OTHER, None, ['{"2026-01-01 00:00:00+00"}']),
    ("bytea[]", ['{"\\\\x00ff"}'], Kind.OTHER, None, ['{"\\\\x00ff"}']),
    ("int4range", ["[1,10]", "empty"], Kind.OTHER, None, ["[1,11)", "empty"]),
    ("int4multirange", ["{[1,3),[5,7)}"], Kind.OTHER, None, ["{[1,3),[5,7)}"]),
    ("inet", ["10.0.0.1", "10.0.0.0/8", "::1"], Kind.OTHER, None, ["10.0.0.1", "10.0.0.0/8", "::1"]),
    ("cidr", ["10.0.0.0/8"], Kind.OTHER, None, ["10.0.0.0/8"]),
    ("macaddr", ["08:00:2b:01:02:03"], Kind.OTHER, None, ["08:00:2b:01:02:03"]),
    ("point", ["(1.5,2)"], Kind.OTHER, None, ["(1.5,2)"]),
    ("tsvector", ["b a:1"], Kind.OTHER, None, ["'a':1 'b'"]),
    ("jsonpath", ["$.a"], Kind.OTHER, None, ['$."a"']),
    ("pg_lsn", ["16/B374D848"], Kind.OTHER, None, ["16/B374D848"]),
    ("regclass", ["pg_class"], Kind.OTHER, None, ["pg_class"]),
)  # fmt: skip

OWN_TYPES = """
    CREATE TYPE mood AS ENUM ('sad', '很好');
    CREATE DOMAIN inner_price AS numeric(9,3);
    CREATE DOMAIN price AS inner_price CHECK (VALUE > 0);
    CREATE TYPE pair AS (a int, b text);
"""


@pytest.fixture
def every_type(postgres_server: PostgresServer, postgres_database: str) -> str:
    """Give a database with one table for each type, whose last row is NULL."""
    with session(postgres_server, postgres_database) as cursor:
        cursor.execute(OWN_TYPES)
        for i, (declared, texts, *_) in enumerate(TYPES):
            cursor.execute(f"CREATE TABLE t{i} (id int PRIMARY KEY, v {declared})")
            for row in [*enumerate(texts), (len(texts), None)]:
                cursor.execute(f"INSERT INTO t{i} VALUES (%s, %s)", row)
        cursor.connection.commit()
    return postgres_database


def test_every_type_comes_in_its_canonical_form(postgres_server: PostgresServer, every_type: str) -> None:
    with PostgresqlCollector(settings_for(postgres_server, every_type)).open_view() as view:
        for i, (declared, _, kind, scale, values) in enumerate(TYPES):
            name = f"public.t{i}"
            column = find_table(view, name).schema.columns[1]
            assert (declared, column.kind, column.scale) == (declared, kind, scale)
            found = column_of(read_rows(view, name), 1)
            assert (declared, found) == (declared, [*(v.encode() for v in values), None])


def test_lines_are_spelled_as_the_evidence_spells_them(postgres_server: PostgresServer, every_type: str) -> None:
    with PostgresqlCollector(settings_for(postgres_server, every_type)).open_view() as view:
        for i, (*_, values) in enumerate(TYPES):
            expected = [encode_line([b"%d" % n, v.encode()]) for n, v in enumerate(values)]
            assert read_lines(view, f"public.t{i}")[:-1] == expected


def test_session_settings_of_the_role_change_no_value(postgres_server: PostgresServer, every_type: str) -> None:
    odd = {
        "DateStyle": "'German, DMY'", "TimeZone": "'Asia/Shanghai'", "IntervalStyle": "'iso_8601'", "bytea_output": "'escape'",
        "extra_float_digits": "'-5'", "search_path": "'public'", "client_encoding": "'GBK'", "row_security": "'on'",
        "standard_conforming_strings": "'off'", "default_transaction_isolation": "'read committed'",
    }  # fmt: skip
    for name, value in odd.items():
        postgres_server.execute(f'ALTER DATABASE "{every_type}" SET {name} = {value}')
    test_every_type_comes_in_its_canonical_form(postgres_server, every_type)


def test_char_beyond_ascii_is_printed_as_newer_versions_do(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE c (id int PRIMARY KEY, v "char"); INSERT INTO c SELECT n, n::"char" FROM generate_series(-128, 127) n""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        found = column_of(read_rows(view, "public.c"), 1)
    expected = [b"\\%o" % (256 + n) for n in range(-128, 0)] + [bytes([n]) if n else b"" for n in range(128)]
    assert found == expected


def test_nulls_at_the_end_of_a_line_are_not_written_but_the_first_field_is(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        "CREATE TABLE n (a int, b int, c text);"
        "INSERT INTO n VALUES (NULL, NULL, NULL), (1, NULL, NULL), (NULL, 2, NULL), (NULL, NULL, ''), (1, NULL, '\\N')",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        lines = read_lines(view, "public.n")
    assert lines == [b"\\N", b"1", b"\\N\t2", b"\\N\t\\N\t", b"1\t\\N\t\\\\N"]


def test_schema_says_type_nullability_comment_scale_and_notes(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE DOMAIN must AS text NOT NULL;
        CREATE TABLE s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code char(4) NOT NULL, fee numeric(8,3),
            twice numeric GENERATED ALWAYS AS (fee * 2) STORED, m must);
        COMMENT ON COLUMN s.code IS '编码 "x"';
        ALTER TABLE s ADD COLUMN gone int; ALTER TABLE s DROP COLUMN gone""",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        schema = find_table(view, "public.s").schema
    assert schema.columns == (
        Column("id", Kind.INT, False, "bigint"),
        Column("code", Kind.TEXT, False, "character(4)", comment='编码 "x"'),
        Column("fee", Kind.DECIMAL, True, "numeric(8,3)", 3),
        Column("twice", Kind.DECIMAL, True, "numeric"),
        Column("m", Kind.TEXT, False, "public.must"),
    )
    assert schema.key == ("id",)
    assert schema.notes == ("generated twice", "padded code")
