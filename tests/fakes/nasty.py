# SPDX-License-Identifier: Apache-2.0
"""Tables whose values are the extremes of every kind, and what a careless copy would mix up."""

from evidence.rows.line import Cell, encode_line
from evidence.rows.schema import RAW_TEXT_NOTE, Column, Schema
from evidence.rows.values import Kind
from tests.fakes.snapshot import TableContent

TEXTS: tuple[bytes | None, ...] = (
    None, b"", b" ", b"\\N", b"\\\\N", b"\\.", b"NULL", b"a\tb", b"a\nb", b"a\r\nb", b"\\", b"\\\\", b"\\n", b"'", b'"',
    b'""', b",", b"\x01\x08\x0b\x0c\x1f\x7f", b"\\@sha256:" + b"0" * 64 + b":5", "张三，住院号 0001".encode(),
    "\U0001f469\u200d\u2695\ufe0f \U00020bb7".encode(), b"  padded  ", "\ufeffbom\u2028".encode(), b"0", b"1e3", b"-0",
    b"NaN", b"t", b"x'00'", b"=1+1", b"{\"a\": [1,  2]}",
)  # fmt: skip

VALUES: dict[Kind, tuple[bytes | None, ...]] = {
    Kind.BOOL: (b"t", b"f", None),
    Kind.INT: (b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", None),
    Kind.DECIMAL: (b"0", b"0.00", b"-12.50", b"1234567890123456789012345678901234567890.000000000000000001", b"NaN",
                   b"Infinity", b"-Infinity", None),
    Kind.FLOAT8: (b"0", b"-0", b"0.1", b"1e+15", b"9.999999999999999e+22", b"5e-324", b"1.7976931348623157e+308",
                  b"NaN", b"Infinity", b"-Infinity", b"9.007199254740992e+15", b"123456789012345", None),
    Kind.FLOAT4: (b"0", b"-0", b"0.1", b"1e+06", b"1.6777216e+07", b"1e-45", b"3.4028235e+38", b"NaN",
                  b"-Infinity", None),
    Kind.TEXT: TEXTS,
    Kind.JSON: (b"{}", b'{"a" : 1,\n "a": 2}', b"null", b'"\\u0000"', None),
    Kind.BYTES: (b"\\x", b"\\x00", b"\\xff00deadbeef", None),
    Kind.BITS: (b"", b"0", b"1", b"0101010101", None),
    Kind.DATE: (b"2026-11-22", b"0001-01-01", b"9999-12-31", None),
    Kind.TIME: (b"00:00:00", b"23:59:59.999999", b"24:00:00", None),
    Kind.TIMESTAMP: (b"2026-11-22 01:02:03", b"1900-01-01 00:00:00.000001", b"9999-12-31 23:59:59.999999", None),
    Kind.TIMESTAMPTZ: (b"2026-11-22 01:02:03+00", b"1969-12-31 23:59:59.5+00", None),
    Kind.TIMESTAMPOFFSET: (b"2026-11-22 09:02:03+08:00", b"2026-11-22 09:02:03.5-03:30", None),
    Kind.INTERVAL: (b"1 year 2 mons 3 days 04:05:06", b"-00:00:01", None),
    Kind.UUID: (b"00000000-0000-0000-0000-000000000000", b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
    Kind.OTHER: (b"{1,2,NULL}", b"[1,10)", b"", None),
}  # fmt: skip


def every_kind(name: str = "every.kind") -> TableContent:
    """Give a table with a column of each kind but any, whose rows go through all values of all kinds."""
    kinds = list(VALUES)
    columns = (Column("id", Kind.INT, False, "bigint"), *(Column(f"c_{k}", k, True, f"{k}") for k in kinds))
    count = max(len(v) for v in VALUES.values())
    rows: list[list[Cell]] = [
        [b"%d" % i, *(VALUES[k][i % len(VALUES[k])] for k in kinds)] for i in range(-2, count + 3)
    ]
    return TableContent(Schema(name, columns, ("id",)), [encode_line(r) for r in rows])


def beyond_native(name: str = "beyond") -> TableContent:
    """Give values that PostgreSQL's or SQLite's own types cannot hold, and other sources have."""
    columns = (
        Column("id", Kind.DECIMAL, False, "bigint unsigned"),
        Column("wide", Kind.INT, True, "bigint unsigned"),
        Column("zero_date", Kind.DATE, True, "date"),
        Column("long_time", Kind.TIME, True, "time"),
        Column("nanos", Kind.TIMESTAMP, True, "datetime2(9)"),
        Column("nul", Kind.TEXT, True, "varchar(20)"),
        Column("gbk", Kind.TEXT, True, "varchar(20)"),
        Column("broken_json", Kind.JSON, True, "json"),
    )
    rows: list[list[Cell]] = [
        [b"18446744073709551615", b"18446744073709551615", b"0000-00-00", b"-838:59:59",
         b"2026-11-22 01:02:03.123456789", b"a\x00b", "张".encode("gbk"), b"{"],
        [b"9", b"-1", b"2026-00-01", b"12:00:00", b"2026-11-22 01:02:03", b"", b"ascii", b"{}"],
    ]  # fmt: skip
    schema = Schema(name, columns, ("id",), (RAW_TEXT_NOTE + "gbk",))
    return TableContent(schema, [encode_line(r) for r in rows])


def any_kind(name: str = "anything", declared: str = "") -> TableContent:
    """Give a SQLite table whose columns hold values of every storage class."""
    columns = (
        Column("id", Kind.INT, False, "INTEGER"),
        Column("mixed", Kind.ANY, True, declared),
        Column("texts", Kind.ANY, True, "TEXT"),
        Column("numbers", Kind.ANY, True, "INTEGER"),
        Column("blobs", Kind.ANY, True, "BLOB"),
    )
    mixed = (
        b"i:1", b"i:-9223372036854775808", b"r:0.1", b"r:1e+300", b"r:Infinity", b"t:", b"t:1", b"t:\\N",
        "t:张\t三".encode(), b"b:\\x", b"b:\\x00ff", b"t:b:\\x00", None, b"t:a\x00b",
    )  # fmt: skip
    rows: list[list[Cell]] = [
        [b"%d" % i, value, None if i == 3 else b"t:%d" % i, None if i == 4 else b"i:%d" % i, b"b:\\x%02x" % i]
        for i, value in enumerate(mixed)
    ]
    return TableContent(Schema(name, columns, ("id",)), [encode_line(r) for r in rows])


def keyless(name: str = "无主键") -> TableContent:
    """Give a table without a key that has equal rows and a row of one empty text."""
    columns = (Column('说明 "quoted"', Kind.TEXT, True, "text"), Column("n", Kind.INT, True, "integer"))
    equal: list[list[Cell]] = [[b"same", b"1"]] * 3
    rows: list[list[Cell]] = [
        *equal,
        [b"", None],
        [None, None],
        [b"", b"0"],
        [None, b"2"],
        [b"z", b"10"],
    ]
    return TableContent(Schema(name, columns), [encode_line(r) for r in rows])


def composite(name: str = "visit_item") -> TableContent:
    """Give a table with a key of three columns, whose order is numeric and by bytes, and whose column order differs."""
    columns = (
        Column("note", Kind.TEXT, True, "text"),
        Column("code", Kind.TEXT, False, "text"),
        Column("visit", Kind.INT, False, "integer"),
        Column("price", Kind.DECIMAL, False, "numeric(12,2)", 2),
    )
    rows: list[list[Cell]] = [
        [b"n%d" % v if v % 3 else None, code, b"%d" % v, b"%d.%02d" % (p, v % 100)]
        for v in (-3, 2, 10, 100)
        for code in (b"A", b"a", b"B", "中".encode(), b"\t")
        for p in (9, 10)
    ]
    return TableContent(Schema(name, columns, ("visit", "code", "price")), [encode_line(r) for r in rows])


def large_cells(name: str = "emr_doc") -> TableContent:
    """Give cells that stand as tokens: text and bytes over 64 KiB, and a line whose longest cells had to go."""
    columns = (
        Column("id", Kind.INT, False, "integer"),
        Column("body", Kind.TEXT, True, "text"),
        Column("scan", Kind.BYTES, True, "bytea"),
        *(Column(f"part{i}", Kind.TEXT, True, "text") for i in range(20)),
    )
    text = "病程记录：患者今日体温正常。\n".encode() * 3000
    rows: list[list[Cell]] = [
        [b"1", text, b"\\x" + bytes(range(256)).hex().encode() * 400, *[None] * 20],
        [b"2", b"x" * 65_536, b"\\x" + b"00" * 65_536, *[None] * 20],
        [b"3", b"x" * 65_537, None, *[(b"%02d" % i) * 31_000 for i in range(20)]],
        [b"4", b"short", b"\\x", *[None] * 20],
    ]
    return TableContent(Schema(name, columns, ("id",)), [encode_line(r) for r in rows])


def large_any_cells(name: str = "附件") -> TableContent:
    """Give a SQLite table with large cells of the classes text and blob in one column."""
    columns = (
        Column("id", Kind.INT, False, "INTEGER"),
        Column("mixed", Kind.ANY, True, ""),
        Column("blob", Kind.ANY, True, "BLOB"),
        Column("text", Kind.ANY, True, "TEXT"),
    )
    text, blob = "影像".encode() * 20_000, b"\\x" + b"00ff" * 40_000
    rows: list[list[Cell]] = [
        [b"1", b"t:" + text, b"b:" + blob, b"t:" + text],
        [b"2", b"b:" + blob, b"b:\\x", b"t:"],
        [b"3", b"i:5", None, None],
    ]
    return TableContent(Schema(name, columns, ("id",)), [encode_line(r) for r in rows])
