# SPDX-License-Identifier: Apache-2.0
"""Tables of SQLite as the collector offers them: kinds, keys, orders, names, omissions, large cells, odd texts."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.collectors.base import Table
from agent.collectors.naming import TableChoice
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.collectors.sqlite.view import MAX_INLINE_BYTES, SqliteView
from agent.errors import SourceError
from evidence.rows.line import Token, parse_line
from evidence.rows.values import Kind
from tests.contract.collectors import find_table, read_lines
from tests.fakes.blobsink import MemorySink


class Database:
    """A database in a test's folder."""

    def __init__(self, folder: Path, *statements: str) -> None:
        self.path = folder / "a.db"
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        for statement in statements:
            self.connection.execute(statement)

    def view(self, **settings: object):  # type: ignore[no-untyped-def]
        return SqliteCollector(SqliteSettings(self.path, **settings)).open_view()  # type: ignore[arg-type]


def open_tables(view: SqliteView) -> dict[str, Table]:
    return {t.schema.name: t for t in view.tables()}


def kinds(table: Table) -> list[Kind]:
    return [c.kind for c in table.schema.columns]


@pytest.mark.parametrize(
    ("definition", "kind", "key", "ordered"),
    [
        ("k INTEGER PRIMARY KEY, v", Kind.INT, ["k"], True),
        ("k integer primary key autoincrement, v", Kind.INT, ["k"], True),
        ("k INTEGER, v, PRIMARY KEY(k DESC)", Kind.INT, ["k"], True),
        ("k INTEGER PRIMARY KEY DESC, v", Kind.ANY, [], False),
        ("k INT PRIMARY KEY, v", Kind.ANY, [], False),
        ("k TEXT PRIMARY KEY, v", Kind.ANY, [], False),
        ("k, v", Kind.ANY, [], False),
    ],
)
def test_only_the_rowid_itself_is_a_key_of_an_ordinary_table(
    tmp_path: Path, definition: str, kind: Kind, key: list[str], ordered: bool
) -> None:
    database = Database(tmp_path, f"CREATE TABLE t({definition})", "INSERT INTO t VALUES(2, 'b'), (1, 'a')")
    with database.view() as view:
        table = view.tables()[0]
        assert kinds(table) == [kind, Kind.ANY]
        assert (list(table.schema.key), table.ordered) == (key, ordered)
        prefix = b"" if kind is Kind.INT else b"t:" if "TEXT" in definition else b"i:"
        assert sorted(read_lines(view, table)) == [prefix + b"1\tt:a", prefix + b"2\tt:b"]


def test_strict_columns_are_typed_and_ordinary_ones_are_any(tmp_path: Path) -> None:
    columns = "k INTEGER PRIMARY KEY, i INT, r REAL, x TEXT, b BLOB, a ANY"
    database = Database(
        tmp_path, f"CREATE TABLE s({columns}) STRICT", "CREATE TABLE n(k, i INT, r REAL, x TEXT, b BLOB)"
    )
    database.connection.execute("INSERT INTO s VALUES(-5, 7, 2, 'x', x'00ff', 1.5)")
    database.connection.execute("INSERT INTO n VALUES(-5, 7, 2, 'x', x'00ff')")
    with database.view() as view:
        tables = open_tables(view)
        assert kinds(tables["s"]) == [Kind.INT, Kind.INT, Kind.FLOAT8, Kind.TEXT, Kind.BYTES, Kind.ANY]
        assert set(kinds(tables["n"])) == {Kind.ANY}
        assert read_lines(view, tables["s"]) == [b"-5\t7\t2\tx\t\\\\x00ff\tr:1.5"]
        assert read_lines(view, tables["n"]) == [b"i:-5\ti:7\tr:2\tt:x\tb:\\\\x00ff"]
        assert [c.null for c in tables["s"].schema.columns] == [False, True, True, True, True, True]


@pytest.mark.parametrize(
    ("definition", "key", "ordered"),
    [
        ("a TEXT PRIMARY KEY, b INT", ["a"], True),
        ("a TEXT, b INT, PRIMARY KEY(b, a)", ["b", "a"], True),
        ("a BLOB PRIMARY KEY, b INT", ["a"], True),
        ("a TEXT COLLATE NOCASE PRIMARY KEY, b INT", ["a"], False),
        ("a TEXT, b INT, PRIMARY KEY(b, a DESC)", ["b", "a"], False),
        ("a REAL PRIMARY KEY, b INT", [], False),
        ("a ANY PRIMARY KEY, b INT", [], False),
    ],
)
@pytest.mark.parametrize("options", ["STRICT", "STRICT, WITHOUT ROWID"])
def test_typed_keys_are_used_and_walked_where_the_order_is_canonical(
    tmp_path: Path, definition: str, key: list[str], ordered: bool, options: str
) -> None:
    database = Database(tmp_path, f"CREATE TABLE t({definition}) {options}")
    value = {"TEXT": "é{}", "BLOB": b"%d", "REAL": 1.5, "ANY": 1}[definition.split()[1].rstrip(",")]
    for i in (10, 9, 1, 2):
        a = value.format(i) if isinstance(value, str) else b"%d" % i if isinstance(value, bytes) else value * i
        database.connection.execute("INSERT INTO t(a, b) VALUES(?, ?)", (a, i))
    with database.view() as view:
        table = view.tables()[0]
        assert (list(table.schema.key), table.ordered) == (key, ordered)
        assert len(read_lines(view, table)) == 4


def test_text_keys_of_a_utf16_database_are_not_in_canonical_order(tmp_path: Path) -> None:
    database = Database(
        tmp_path, "PRAGMA encoding='UTF-16le'", "CREATE TABLE t(a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"
    )
    database.connection.executemany(
        "INSERT INTO t VALUES(?)", [("\uff01",), ("\U00010000",), ("a",), ("𠮷" * 400_000,)]
    )
    with database.view() as view:
        table = view.tables()[0]
        assert (table.schema.key, table.ordered) == (("a",), False)
        expected = ["\uff01", "\U00010000", "a", "𠮷" * 400_000]
        assert sorted(read_lines(view, table)) == sorted(text.encode() for text in expected)
        assert any("UTF-16le" in note for note in view.notes())


def test_without_rowid_tables_of_any_type_are_read_without_a_key(tmp_path: Path) -> None:
    database = Database(tmp_path, "CREATE TABLE t(a, b INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID")
    database.connection.executemany("INSERT INTO t VALUES(?, ?)", [(1, 2), ("1", 2), (b"1", 2), (1.5, 2)])
    with database.view() as view:
        table = view.tables()[0]
        assert (table.schema.key, table.ordered) == ((), False)
        assert sorted(read_lines(view, table)) == [b"b:\\\\x31\ti:2", b"i:1\ti:2", b"r:1.5\ti:2", b"t:1\ti:2"]


def test_generated_columns_are_read_and_noted(tmp_path: Path) -> None:
    database = Database(
        tmp_path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, n INT AS (length(a)) STORED, u TEXT AS (upper(a)))",
        "INSERT INTO t(a) VALUES('abc')",
    )
    with database.view() as view:
        table = view.tables()[0]
        assert read_lines(view, table) == [b"1\tt:abc\ti:3\tt:ABC"]
        assert table.schema.notes == ("generated n", "generated u")


def test_column_named_rowid_does_not_hide_rows(tmp_path: Path) -> None:
    big = "x" * (MAX_INLINE_BYTES + 1)
    database = Database(tmp_path, "CREATE TABLE t(rowid, _rowid_)", "CREATE TABLE u(rowid, _rowid_, oid)")
    for name, columns in (("t", 2), ("u", 3)):
        marks = ", ".join("?" * columns)
        database.connection.execute(f"INSERT INTO {name} VALUES({marks})", (5, big, 7)[:columns])
    with database.view() as view:
        for table in view.tables():
            (line,) = read_lines(view, table)
            assert line.startswith(b"i:5\tt:")


def test_virtual_and_shadow_tables_are_omitted_with_a_reason_and_views_are_not_tables(tmp_path: Path) -> None:
    database = Database(
        tmp_path, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE VIRTUAL TABLE f USING fts5(x)",
        "CREATE VIEW v AS SELECT * FROM t", "ANALYZE",
    )  # fmt: skip
    with database.view() as view:
        assert set(open_tables(view)) == {"t"}
        reasons = {o.name: o.reason for o in view.omitted()}
        assert "virtual" in reasons["f"]
        assert "shadow" in reasons["f_content"]
        assert "v" not in reasons
        assert b"CREATE VIEW v" in view.documents()[0].body


def test_names_are_spelled_as_the_design_says(tmp_path: Path) -> None:
    odd = ["a.b", "c\\d", "@files", '"quoted"', "病 人", "x'; DROP TABLE y;--", "select"]
    statements = ['CREATE TABLE "{}"("{}" INTEGER PRIMARY KEY)'.format(*[n.replace('"', '""')] * 2) for n in odd]
    database = Database(tmp_path, *statements)
    for name in odd:
        database.connection.execute('INSERT INTO "{}" VALUES(1)'.format(name.replace('"', '""')))
    with database.view() as view:
        tables = open_tables(view)
        assert set(tables) == {"a\\.b", "c\\\\d", "\\@files", '"quoted"', "病 人", "x'; DROP TABLE y;--", "select"}
        assert all(read_lines(view, table) == [b"1"] for table in tables.values())
        assert tables["a\\.b"].schema.columns[0].name == "a.b"


def test_names_that_are_not_utf8_are_omitted_with_a_reason(tmp_path: Path) -> None:
    database = Database(tmp_path, "CREATE TABLE tab1(a)", "CREATE TABLE t2(col)", "CREATE TABLE ok(a)")
    database.connection.execute("PRAGMA writable_schema=1")
    sql = "UPDATE sqlite_schema SET name=CAST(x'746162ff' AS TEXT), tbl_name=CAST(x'746162ff' AS TEXT), "
    database.connection.execute(sql + "sql=CAST(x'435245415445205441424c4520746162ff286129' AS TEXT) WHERE name='tab1'")
    sql = "UPDATE sqlite_schema SET sql=CAST(x'435245415445205441424c452074322863ff29' AS TEXT) WHERE name='t2'"
    database.connection.execute(sql)
    database.connection.close()
    with database.view() as view:
        assert set(open_tables(view)) == {"ok"}
        assert {o.name for o in view.omitted()} == {"tab\\\\xff", "t2"}
        assert all("UTF-8" in o.reason for o in view.omitted())


def test_logical_names_includes_and_excludes(tmp_path: Path) -> None:
    database = Database(tmp_path, *(f"CREATE TABLE {n}(a)" for n in ("visit", "visit_log", "tmp1", "other")))
    with database.view(tables=TableChoice(("visit*", "tmp*", "gone"), ("*_log",), {"visit": "public.visit"})) as view:
        assert set(open_tables(view)) == {"public.visit", "tmp1"}
        reasons = {o.name: o.reason for o in view.omitted()}
    assert set(reasons) == {"visit_log", "other", "gone"}
    assert "excluded" in reasons["visit_log"]
    assert "not in the database" in reasons["gone"]


@pytest.mark.parametrize("names", [{"a": "b"}, {"a": "x", "b": "x"}, {"a": "@files"}, {"a": "x\\"}])
def test_logical_names_that_clash_or_are_misspelled_are_refused(tmp_path: Path, names: dict[str, str]) -> None:
    database = Database(tmp_path, "CREATE TABLE a(a)", "CREATE TABLE b(a)")
    with pytest.raises(SourceError) as caught, database.view(tables=TableChoice(as_names=names)):
        pass
    assert caught.value.hint


@pytest.mark.parametrize(
    "definition",
    [
        "id INTEGER PRIMARY KEY, t TEXT, b BLOB",
        "id INTEGER, t TEXT, b BLOB",
        "id INTEGER, t TEXT, b BLOB, g INT AS (length(t)) STORED",
    ],
)
def test_large_cells_go_to_the_sink_as_streams_and_no_row_is_lost_or_doubled(tmp_path: Path, definition: str) -> None:
    database = Database(tmp_path, f"CREATE TABLE t({definition})")
    sizes = [10, MAX_INLINE_BYTES + 1, MAX_INLINE_BYTES, 3 << 20, 0, MAX_INLINE_BYTES + 5, 5, 70_000]
    for i, size in enumerate(sizes):
        rows = (i, "é" * (size // 2), bytes([i]) * size)
        database.connection.execute("INSERT INTO t(id, t, b) VALUES(?, ?, ?)", rows)
    sink = MemorySink()
    with database.view() as view:
        table = view.tables()[0]
        assert "\n".join(table.schema.notes) in ("", "generated g")
        rows = [parse_line(line, table.schema) for line in read_lines(view, table, sink)]
    is_alias = "KEY" in definition
    for i, (size, cells) in enumerate(zip(sizes, rows, strict=True)):
        text, blob = "é".encode() * (size // 2), bytes([i]) * size
        assert cells[0] == (b"%d" % i if is_alias else b"i:%d" % i)
        for cell, prefix, raw, canonical in (
            (cells[1], b"t:", text, text),
            (cells[2], b"b:", blob, b"\\x" + blob.hex().encode()),
        ):
            if len(raw) > MAX_INLINE_BYTES:
                assert cell == Token(hashlib.sha256(raw).digest(), len(raw), prefix)
                assert sink.blobs[hashlib.sha256(raw).digest()] == raw
            else:
                assert cell == prefix + canonical
    assert sink.puts == sum(size // 2 * 2 > MAX_INLINE_BYTES for size in sizes) + sum(
        s > MAX_INLINE_BYTES for s in sizes
    )


@pytest.mark.parametrize("options", ["STRICT", "STRICT, WITHOUT ROWID"])
def test_large_cells_beside_a_typed_composite_key_keep_the_order(tmp_path: Path, options: str) -> None:
    database = Database(tmp_path, f"CREATE TABLE t(a TEXT, n INT, b BLOB, PRIMARY KEY(a, n)) {options}")
    for i in (3, 1, 2, 9, 7):
        database.connection.execute("INSERT INTO t VALUES(?, ?, ?)", (f"é{i % 2}", i, bytes(i % 4 << 20)))
    with database.view() as view:
        table = view.tables()[0]
        keys = [line.split(b"\t")[:2] for line in read_lines(view, table)]
    assert keys == [["é0".encode(), b"2"], *(["é1".encode(), b"%d" % i] for i in (1, 3, 7, 9))]


def test_text_that_is_not_utf8_is_carried_raw_and_noted_after_reading(tmp_path: Path) -> None:
    database = Database(tmp_path, "CREATE TABLE t(id INTEGER PRIMARY KEY, b TEXT, a TEXT, ok TEXT, c TEXT)")
    database.connection.executemany("INSERT INTO t(a, ok) VALUES(?, ?)", [("张", "张")] * 300)
    # GBK bytes in a text column, a large text among them: what old applications do.
    gbk = "王小明\t".encode("gbk").hex()
    database.connection.execute(f"INSERT INTO t(a) VALUES(CAST(x'{gbk}' AS TEXT))")
    database.connection.execute(f"INSERT INTO t(b) VALUES(CAST(x'{gbk}' AS TEXT))")
    database.connection.execute("INSERT INTO t(c) VALUES(CAST(? AS TEXT))", (b"\xff" * (MAX_INLINE_BYTES + 1),))
    with database.view() as view:
        before = view.tables()[0]
        lines = read_lines(view, before)
        after = find_table(view, "t")
        assert before.schema.notes == ()
        assert after.schema.notes == ("not-utf-8 b", "not-utf-8 a", "not-utf-8 c")
        assert lines[300] == b"301\t\\N\tt:" + "王小明".encode("gbk") + b"\\t"
        read_lines(view, after)
        assert find_table(view, "t") == after


def test_documents_make_the_same_tables_and_counters_again(tmp_path: Path) -> None:
    database = Database(
        tmp_path,
        "PRAGMA user_version=7",
        "CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT)",
        "CREATE INDEX i ON a(x)",
        "CREATE TRIGGER tr AFTER INSERT ON a BEGIN SELECT 1; END",
        "INSERT INTO a(x) VALUES('x')",
        "DELETE FROM a",
    )
    with database.view() as view:
        documents = {d.name: d.body.decode() for d in view.documents()}
    (tmp_path / "copy").mkdir()
    copy = Database(tmp_path / "copy")
    copy.connection.executescript(documents["ddl.sql"])
    copy.connection.executescript(documents["sequences.sql"])
    copy.connection.execute("INSERT INTO a(x) VALUES('y')")
    assert copy.connection.execute("SELECT id FROM a").fetchall() == [(2,)]
    with copy.view() as view:
        assert {d.name: d.body.decode() for d in view.documents()}["ddl.sql"] == documents["ddl.sql"]


def test_schema_is_the_same_for_equal_databases_in_other_folders(tmp_path: Path) -> None:
    digests: list[Sequence[bytes]] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        database = Database(tmp_path / name, "CREATE TABLE t(a, b VARCHAR(20) NOT NULL)", "CREATE TABLE u(a)")
        with database.view() as view:
            digests.append([t.schema.digest for t in view.tables()])
            assert json.loads(view.tables()[0].schema.encode())["columns"][1]["type"] == "VARCHAR(20)"
    assert digests[0] == digests[1]
