# SPDX-License-Identifier: Apache-2.0
"""Every type of MariaDB comes out in its kind's canonical form."""

import doctest
import random
import shutil
import struct
from collections.abc import Sequence
from types import ModuleType

import pytest

from agent.collectors.mysql import MysqlCollector, cells, lookout, rights
from agent.collectors.mysql.cells import convert_float4, convert_float8
from evidence.rows.line import encode_line
from evidence.rows.schema import Column
from evidence.rows.values import Kind, check_value, format_float4, format_float8
from tests.fakes.nasty import TEXTS
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import column_of, find_table, read_lines, read_rows
from tests.servers.reading_mysql import settings_for

POINT = "e610000001" + "01000000" + "000000000000f03f" + "0000000000000040"

# type, SQL of values, kind, scale, canonical values. MariaDB stores 0 for -0.
TYPES: tuple[tuple[str, Sequence[str], Kind, int | None, Sequence[str]], ...] = (
    ("tinyint(1)", ["true", "0", "-128"], Kind.INT, None, ["1", "0", "-128"]),
    ("smallint unsigned", ["65535"], Kind.INT, None, ["65535"]),
    ("mediumint", ["-8388608", "8388607"], Kind.INT, None, ["-8388608", "8388607"]),
    ("int(8) zerofill", ["42", "0"], Kind.INT, None, ["42", "0"]),
    ("bigint", ["-9223372036854775808"], Kind.INT, None, ["-9223372036854775808"]),
    ("bigint unsigned", ["18446744073709551615"], Kind.INT, None, ["18446744073709551615"]),
    ("bigint unsigned zerofill", ["18446744073709551615", "7"], Kind.INT, None, ["18446744073709551615", "7"]),
    ("year", ["2024", "0", "1901", "2155"], Kind.INT, None, ["2024", "0", "1901", "2155"]),
    ("decimal(12,2)", ["-0.00", "1.005", "-0.001", "9999999999.99"], Kind.DECIMAL, 2,
     ["0.00", "1.01", "0.00", "9999999999.99"]),
    ("decimal(65,30)", ["-1.000000000000000000000000000001"], Kind.DECIMAL, 30, ["-1.000000000000000000000000000001"]),
    ("decimal(65,0)", ["9" * 65], Kind.DECIMAL, 0, ["9" * 65]),
    ("decimal(65,0) zerofill", ["9" * 65, "5"], Kind.DECIMAL, 0, ["9" * 65, "5"]),
    ("decimal(8,2) unsigned zerofill", ["3.5"], Kind.DECIMAL, 2, ["3.50"]),
    ("float", ["0.1", "1000000", "16777216", "-0e0", "1.4e-45", "3.4028235e38", "0.3", "123456.7", "8388609"],
     Kind.FLOAT4, None,
     ["0.1", "1e+06", "1.6777216e+07", "0", "1e-45", "3.4028235e+38", "0.3", "123456.7", "8.388609e+06"]),
    ("float(7,3) zerofill", ["1.5"], Kind.FLOAT4, None, ["1.5"]),
    ("double", ["0.1e0", "1e23", "1e15", "123456789012345", "-0e0", "5e-324", "1.7976931348623157e308", "1e22"],
     Kind.FLOAT8, None,
     ["0.1", "9.999999999999999e+22", "1e+15", "123456789012345", "0", "5e-324", "1.7976931348623157e+308", "1e+22"]),
    ("double(10,2)", ["1.5", "-2.25"], Kind.FLOAT8, None, ["1.5", "-2.25"]),
    ("double zerofill", ["0.5"], Kind.FLOAT8, None, ["0.5"]),
    ("bit(1)", ["b'1'", "b'0'"], Kind.BITS, None, ["1", "0"]),
    ("bit(10)", ["b'101'"], Kind.BITS, None, ["0000000101"]),
    ("bit(64)", ["18446744073709551615", "0"], Kind.BITS, None, ["1" * 64, "0" * 64]),
    ("char(5)", ["'ab'", "'张'", "''"], Kind.TEXT, None, ["ab", "张", ""]),
    ("varchar(40)", ["'ab  '", r"'\\N'", r"'\\.'", r"'a\tb\nc\rd\be\\'", "X'0B0C00'", "'张三👩‍⚕️'", "'NULL'", "'?'"],
     Kind.TEXT, None, ["ab  ", "\\N", "\\.", "a\tb\nc\rd\be\\", "\x0b\x0c\0", "张三👩‍⚕️", "NULL", "?"]),
    ("tinytext", ["'a'"], Kind.TEXT, None, ["a"]),
    ("text", ["REPEAT('张', 20)"], Kind.TEXT, None, ["张" * 20]),
    ("longtext", ["REPEAT('x', 65536)", "''"], Kind.TEXT, None, ["x" * 65536, ""]),
    ("varchar(20) character set gbk", ["'张三?'", "''", "'龥'"], Kind.TEXT, None, ["张三?", "", "龥"]),
    ("char(6) character set gb2312", ["'医院'"], Kind.TEXT, None, ["医院"]),
    ("varchar(20) character set big5", ["'醫院?'"], Kind.TEXT, None, ["醫院?"]),
    ("varchar(20) character set latin1", ["'é€?'", "X'81'"], Kind.TEXT, None, ["é€?", "\x81"]),
    ("varchar(20) character set utf8mb3", ["'张三'"], Kind.TEXT, None, ["张三"]),
    ("varchar(20) character set ucs2", ["'张?三'", "''"], Kind.TEXT, None, ["张?三", ""]),
    ("varchar(20) character set utf16le", ["'a张👩?'"], Kind.TEXT, None, ["a张👩?"]),
    ("mediumtext character set gbk", ["REPEAT('张', 30)"], Kind.TEXT, None, ["张" * 30]),
    ("varchar(20) character set binary", ["'é'"], Kind.BYTES, None, ["\\xc3a9"]),
    ("enum('很好','b?','')", ["'很好'", "'b?'", "''"], Kind.TEXT, None, ["很好", "b?", ""]),
    ("enum('很好','x') character set gbk", ["'很好'", "2"], Kind.TEXT, None, ["很好", "x"]),
    ("set('a','中','c')", ["'c,a'", "''", "'中'"], Kind.TEXT, None, ["a,c", "", "中"]),
    ("json", ["'{\"b\" : 1,\\n \"a\":[1.50]}'"], Kind.JSON, None, ['{"b" : 1,\n "a":[1.50]}']),
    ("binary(4)", ["X'00FF'"], Kind.BYTES, None, ["\\x00ff0000"]),
    ("varbinary(9)", ["X'DEADBEEF00'", "''"], Kind.BYTES, None, ["\\xdeadbeef00", "\\x"]),
    ("blob", ["X'095C0A00'"], Kind.BYTES, None, ["\\x095c0a00"]),
    ("longblob", ["X'095C0A00'", "REPEAT(X'00', 65536)"], Kind.BYTES, None, ["\\x095c0a00", "\\x" + "00" * 65536]),
    ("point", ["ST_GeomFromText('POINT(1 2)', 4326)"], Kind.BYTES, None, ["\\x" + POINT]),
    ("geometry", ["ST_GeomFromText('POINT(1 2)', 4326)"], Kind.BYTES, None, ["\\x" + POINT]),
    ("date", ["'2026-11-22'", "'0000-00-00'", "'2024-00-10'", "'2024-02-00'", "'2026-02-31'", "'9999-12-31'"], Kind.DATE, None,
     ["2026-11-22", "0000-00-00", "2024-00-10", "2024-02-00", "2026-02-31", "9999-12-31"]),
    ("time", ["'-838:59:59'", "'838:59:59'", "'01:02:03'", "'-00:00:01'"], Kind.TIME, None,
     ["-838:59:59", "838:59:59", "01:02:03", "-00:00:01"]),
    ("time(6)", ["'-838:59:58.5'", "'00:00:00'", "'10:00:00.000001'", "'10:00:10'"], Kind.TIME, None,
     ["-838:59:58.5", "00:00:00", "10:00:00.000001", "10:00:10"]),
    ("datetime", ["'2026-11-22 01:02:00'", "'0000-00-00'", "'2024-00-00 00:00:00'"], Kind.TIMESTAMP, None,
     ["2026-11-22 01:02:00", "0000-00-00 00:00:00", "2024-00-00 00:00:00"]),
    ("datetime(6)", ["'2026-11-22 01:02:00'", "'2026-11-22 01:02:03.120'", "'0000-00-00'"], Kind.TIMESTAMP, None,
     ["2026-11-22 01:02:00", "2026-11-22 01:02:03.12", "0000-00-00 00:00:00"]),
    ("timestamp", ["'2026-11-22 01:02:00'", "'0000-00-00'", "'2038-01-19 03:14:07'"], Kind.TIMESTAMPTZ, None,
     ["2026-11-22 01:02:00+00", "0000-00-00 00:00:00+00", "2038-01-19 03:14:07+00"]),
    ("timestamp(3)", ["'2026-11-22 01:02:00'", "'2026-11-22 01:02:03.050'"], Kind.TIMESTAMPTZ, None,
     ["2026-11-22 01:02:00+00", "2026-11-22 01:02:03.05+00"]),
    ("uuid", ["'A0EEBC999C0B4EF8BB6D6BB9BD380A11'"], Kind.UUID, None, ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("inet6", ["'2001:db8::1'"], Kind.OTHER, None, ["2001:db8::1"]),
    ("inet4", ["'10.0.0.1'"], Kind.OTHER, None, ["10.0.0.1"]),
)  # fmt: skip


@pytest.fixture
def every_type(mariadb_server: MariadbServer, mariadb_database: str) -> str:
    """Give a database with one table for each type, whose last row is NULL."""
    connection = mariadb_server.connect(mariadb_database)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
            for i, (declared, values, *_) in enumerate(TYPES):
                cursor.execute(f"CREATE TABLE t{i} (id int PRIMARY KEY, v {declared} NULL)")
                for n, value in enumerate([*values, "NULL"]):
                    cursor.execute(f"INSERT INTO t{i} VALUES ({n}, {value})")
    finally:
        connection.close()
    return mariadb_database


def test_every_type_comes_in_its_canonical_form(mariadb_server: MariadbServer, every_type: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, every_type)).open_view() as view:
        for i, (declared, _, kind, scale, values) in enumerate(TYPES):
            name = f"{every_type}.t{i}"
            column = find_table(view, name).schema.columns[1]
            assert (declared, column.kind, column.scale) == (declared, kind, scale)
            found = column_of(read_rows(view, name), 1)
            assert (declared, found) == (declared, [*(v.encode() for v in values), None])
        assert view.omitted() == []


def test_lines_are_spelled_as_the_evidence_spells_them(mariadb_server: MariadbServer, every_type: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, every_type)).open_view() as view:
        for i, (*_, values) in enumerate(TYPES):
            expected = [encode_line([b"%d" % n, v.encode()]) for n, v in enumerate(values)]
            assert read_lines(view, f"{every_type}.t{i}")[:-1] == expected


def test_settings_of_the_server_change_no_value(mariadb_server: MariadbServer, every_type: str) -> None:
    odd = {
        "sql_mode": "'ANSI,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES'", "time_zone": "'+08:00'", "sql_select_limit": "1",
        "character_set_client": "gbk", "character_set_results": "latin1", "collation_connection": "gbk_chinese_ci",
        "tx_isolation": "'READ-UNCOMMITTED'", "autocommit": "0", "max_join_size": "1", "sql_auto_is_null": "1",
    }  # fmt: skip
    before = {name: mariadb_server.execute(f"SELECT @@GLOBAL.{name}")[0][0] for name in odd}
    try:
        for name, value in odd.items():
            mariadb_server.execute(f"SET GLOBAL {name} = {value}")
        test_every_type_comes_in_its_canonical_form(mariadb_server, every_type)
    finally:
        for name, old in before.items():
            mariadb_server.execute(
                f"SET GLOBAL {name} = %s", (old,), sql_mode="", init_command="SET sql_select_limit = DEFAULT"
            )


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["D5C5FF3F", "E4B8AD", "B2A1C0FD3F", "80"], [b"\xd5\xc5\xff?", b"\xe4\xb8\xad", "病例?".encode(), b"\x80"]),
        # Bytes that GBK has no sense for, but UTF-8 has: an application wrote UTF-8 where nobody checked.
        (["E4B8AD"], ["中".encode()]),
    ],
)
def test_text_that_the_server_cannot_decode_comes_as_its_bytes_and_the_schema_says_so(
    mariadb_server: MariadbServer, mariadb_database: str, values: list[str], found: list[bytes]
) -> None:
    # The server checks what it takes, so the bytes come from a table of another character set, whose file is the same.
    for name, declared in (("a", "varchar(40) CHARACTER SET latin1"), ("b", "varchar(20) CHARACTER SET gbk")):
        mariadb_server.execute(
            f"CREATE TABLE {name} (id int, v {declared}, w int) ENGINE=MyISAM", database=mariadb_database
        )
    for i, value in enumerate(values):
        mariadb_server.execute(f"INSERT INTO a VALUES ({i}, X'{value}', 1)", database=mariadb_database)
    mariadb_server.execute("FLUSH TABLES a, b", database=mariadb_database)
    folder = mariadb_server.folder / "data" / mariadb_database
    for ending in ("MYD", "MYI"):
        shutil.copyfile(folder / f"a.{ending}", folder / f"b.{ending}")
    name = f"{mariadb_database}.b"
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        assert view.omitted() == []
        assert "not-utf-8 v" not in find_table(view, name).schema.notes
        assert column_of(read_rows(view, name), 1) == found
        assert find_table(view, name).schema.notes == ("charset v: gbk", "not-utf-8 v")


def test_singles_and_doubles_are_printed_as_the_evidence_prints_them(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    chosen = random.Random(5)
    singles = [struct.unpack("<f", chosen.randbytes(4))[0] for _ in range(3000)]
    singles += [chosen.randrange(-4_000_000, 4_000_000) / 10 ** chosen.randrange(7) for _ in range(3000)]
    singles += [2.0**e for e in range(-20, 30)]
    doubles = [struct.unpack("<d", chosen.randbytes(8))[0] for _ in range(3000)] + singles
    mariadb_server.execute("CREATE TABLE f (id int PRIMARY KEY, s float, d double)", database=mariadb_database)
    pairs = [
        (i, s, d) for i, (s, d) in enumerate(zip(singles, doubles[-len(singles) :], strict=True)) if _is_finite(s, d)
    ]
    connection = mariadb_server.connect(mariadb_database)
    try:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO f VALUES (%s, %s, %s)", [(i, repr(s), repr(d)) for i, s, d in pairs])
    finally:
        connection.close()
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        rows = read_rows(view, f"{mariadb_database}.f")
    expected = [[b"%d" % i, format_float4(_single(s)), format_float8(d)] for i, s, d in pairs]
    assert rows == expected


def test_quick_ways_to_print_floats_agree_with_the_reference() -> None:
    chosen = random.Random(11)
    for _ in range(4_000):
        single = struct.unpack("<f", chosen.randbytes(4))[0]
        double = struct.unpack("<d", chosen.randbytes(8))[0]
        usual = chosen.randrange(-(10**9), 10**9) / 10 ** chosen.randrange(9)
        for x in (single, _single(usual), _single(usual / 1000)):
            if _is_finite(x):
                assert convert_float4(_as_server(x)) == format_float4(x)
        for x in (double, usual):
            if _is_finite(x):
                assert convert_float8(_as_server(x)) == format_float8(x)


def test_schema_says_type_nullability_comment_scale_and_notes(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    mariadb_server.execute(
        """CREATE TABLE s (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, code char(4) NOT NULL COMMENT '编码 "x"',
            fee numeric(8,3), twice decimal(9,3) AS (fee * 2) STORED, half double AS (fee / 2) VIRTUAL,
            hidden int INVISIBLE, pad binary(3), old varchar(9) CHARACTER SET gbk, place point)""",
        database=mariadb_database,
    )
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        schema = find_table(view, f"{mariadb_database}.s").schema
    assert schema.columns == (
        Column("id", Kind.INT, False, "bigint(20) unsigned"),
        Column("code", Kind.TEXT, False, "char(4)", comment='编码 "x"'),
        Column("fee", Kind.DECIMAL, True, "decimal(8,3)", 3),
        Column("twice", Kind.DECIMAL, True, "decimal(9,3)", 3),
        Column("half", Kind.FLOAT8, True, "double"),
        Column("hidden", Kind.INT, True, "int(11)"),
        Column("pad", Kind.BYTES, True, "binary(3)"),
        Column("old", Kind.TEXT, True, "varchar(9)"),
        Column("place", Kind.BYTES, True, "point"),
    )
    assert schema.key == ("id",)
    assert schema.notes == (
        "generated twice", "generated half", "padded pad", "charset old: gbk", "srid and wkb place",
    )  # fmt: skip


def test_generated_and_invisible_columns_have_their_values(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    mariadb_server.execute(
        "CREATE TABLE g (id int PRIMARY KEY, twice int AS (id * 2) VIRTUAL, hidden int INVISIBLE DEFAULT 7, last text);"
        "INSERT INTO g (id, last) VALUES (1, NULL), (2, 'x')",
        database=mariadb_database,
    )
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        assert read_lines(view, f"{mariadb_database}.g") == [b"1\t2\t7", b"2\t4\t7\tx"]


def _single(x: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def _as_server(x: float) -> bytes:
    return repr(x).removesuffix(".0").encode()


def _is_finite(*values: float) -> bool:
    return all(x == x and abs(x) != float("inf") for x in values)


@pytest.mark.parametrize("module", [cells, lookout, rights], ids=lambda module: module.__name__)
def test_examples_of_the_modules_hold(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


def test_canonical_forms_of_this_module_are_canonical() -> None:
    for _, _, kind, scale, values in TYPES:
        for value in values:
            check_value(kind, scale, value.encode())


def test_nasty_texts_come_as_they_are(mariadb_server: MariadbServer, mariadb_database: str) -> None:
    mariadb_server.execute(
        "CREATE TABLE n (id int PRIMARY KEY, a varchar(90), b longtext, c varbinary(90))", database=mariadb_database
    )
    for i, text in enumerate(TEXTS):
        told = None if text is None else text.decode()
        mariadb_server.execute(
            "INSERT INTO n VALUES (%s, %s, %s, %s)", (i, told, told, text), database=mariadb_database
        )
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        rows = read_rows(view, f"{mariadb_database}.n")
    assert rows == [
        [b"%d" % i, text, text, None if text is None else b"\\x" + text.hex().encode()] for i, text in enumerate(TEXTS)
    ]
