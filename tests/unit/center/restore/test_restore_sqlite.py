# SPDX-License-Identifier: Apache-2.0
"""Restoring into SQLite."""

import sqlite3
from pathlib import Path

import pytest

from center.errors import TargetError
from center.restore.restore import RestoreReport, restore
from center.restore.sqlite import SqliteTarget
from evidence.rows.line import encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent


def _restore(path: Path, *tables: TableContent, overwrite: bool = False) -> RestoreReport:
    target = SqliteTarget(path)
    try:
        return restore(SourceHistory().take(*tables), target, overwrite=overwrite)
    finally:
        target.close()


def test_values_are_in_the_types_that_people_expect(tmp_path: Path) -> None:
    _restore(tmp_path / "copy.sqlite", nasty.every_kind("t"))
    with sqlite3.connect(tmp_path / "copy.sqlite") as database:
        row = database.execute(
            "SELECT typeof(c_bool), typeof(c_int), typeof(c_decimal), typeof(c_float8), typeof(c_bytes), typeof(c_text)"
            " FROM t WHERE id = 1"
        ).fetchone()
        assert row == ("integer", "integer", "text", "blob", "blob", "text")
        assert database.execute("SELECT c_float8, c_float4 FROM t WHERE id = 2").fetchone() == (0.1, 0.1)
    database.close()


def test_a_value_changed_in_the_copy_is_found_and_shown(tmp_path: Path) -> None:
    class Meddler(SqliteTarget):
        def finish(self) -> tuple[str, ...]:
            self._database.execute("UPDATE visit_item SET note = 'forged' WHERE visit = 10 AND code = 'A'")
            self._database.execute("DELETE FROM visit_item WHERE visit = 2 AND code = 'B'")
            return super().finish()

    target = Meddler(tmp_path / "copy.sqlite")
    report = restore(SourceHistory().take(nasty.composite()), target)
    target.close()
    assert not report.is_equal
    differences = report.tables[0].differences
    assert differences is not None
    assert differences.count == 4
    assert (b"\tB\t2\t9.02"[1:], None) in [(a and a.split(b"\t", 1)[1], b) for a, b in differences.first]


def test_a_database_that_is_not_empty_is_left_alone_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE Visit_Item (x)")
        database.execute("CREATE TABLE other (x)")
        database.execute("INSERT INTO other VALUES (1)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(TargetError, match="is not empty: it has the table or view Visit_Item, other"):
        _restore(path, nasty.composite())
    assert path.read_bytes() == before
    assert _restore(path, nasty.composite(), overwrite=True).is_equal
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT x FROM other").fetchall() == [(1,)]
    database.close()


def test_a_restore_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def break_off(phase: str, table: str, done: int, total: int) -> None:
        if table == "zzz" and done:
            raise KeyboardInterrupt

    target = SqliteTarget(tmp_path / "copy.sqlite")
    with pytest.raises(KeyboardInterrupt):
        restore(SourceHistory().take(nasty.composite(), nasty.keyless("zzz")), target, progress=break_off)
    target.close()
    assert not (tmp_path / "copy.sqlite").exists()


def test_data_that_break_the_declared_rules_are_restored_without_the_rules(tmp_path: Path) -> None:
    schema = Schema("t", (Column("id", Kind.INT, False, "int"), Column("x", Kind.TEXT, False, "char(3)")), ("id",))
    report = _restore(tmp_path / "copy.sqlite", TableContent(schema, [b"1\ta", b"2"]))
    assert report.is_equal
    assert "NOT NULL" in report.tables[0].notes[0].en


def test_names_that_differ_only_in_case_get_names_of_their_own(tmp_path: Path) -> None:
    def table(name: str) -> TableContent:
        columns = (Column("A", Kind.TEXT, True, "text"), Column("a", Kind.TEXT, True, "text"))
        return TableContent(Schema(name, columns), [encode_line([name.encode(), b"2"])])

    report = _restore(
        tmp_path / "copy.sqlite", table("public.T"), table("public.t"), table("sqlite_x"), table("\\@files")
    )
    assert report.is_equal
    assert [t.where.en for t in report.tables] == [
        "table @files", "table public.T", "table public.t_2", "table _sqlite_x",
    ]  # fmt: skip
    assert [note.en for note in report.tables[0].notes] == ["column 'a' is named 'a_2'"]


def test_the_declared_types_of_a_sqlite_source_are_kept_and_cannot_inject(tmp_path: Path) -> None:
    columns = (
        Column("id", Kind.INT, False, "INTEGER"),
        Column("a", Kind.ANY, True, "VARCHAR(20)"),
        Column("b", Kind.ANY, True, 'INT"); DROP TABLE x; --'),
    )
    report = _restore(tmp_path / "copy.sqlite", TableContent(Schema("t", columns, ("id",)), [b"1\tt:x\ti:2"]))
    assert report.is_equal
    with sqlite3.connect(tmp_path / "copy.sqlite") as database:
        found = database.execute("SELECT name, type, pk FROM pragma_table_info('t')").fetchall()
    database.close()
    assert found == [("id", "INTEGER", 1), ("a", "VARCHAR(20)", 0), ("b", 'INT"); DROP TABLE x; --', 0)]


def test_documents_are_kept_beside_and_what_is_outside_the_roots_is_said(tmp_path: Path) -> None:
    snapshot = SourceHistory().take(
        nasty.composite(), documents={"ddl.sql": b"CREATE ..."}, omitted={"secret": "no rights"}
    )
    target = SqliteTarget(tmp_path / "copy.sqlite")
    report = restore(snapshot, target)
    target.close()
    assert (tmp_path / "copy.sqlite.ddl.sql").read_bytes() == b"CREATE ..."
    assert report.documents == (str(tmp_path / "copy.sqlite.ddl.sql"),)
    assert any("indexes" in line.en for line in report.outside_roots)
    assert report.omitted == (("secret", "no rights"),)
