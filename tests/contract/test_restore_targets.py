# SPDX-License-Identifier: Apache-2.0
"""What every `center.restore.target.Target` promises, for each of them."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from center.errors import NotFoundError, TargetError
from center.restore import RestoreReport, Target, open_target, restore
from center.restore.rows import TableRows
from evidence.rows.line import encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer

Open = Callable[[], Target]

ONE_TEXT = TableContent(
    Schema("public.one", (Column("x", Kind.TEXT, True, "text"),)), [b"\\N", b"", b"x", b"\\\\N", b"\\\\."]
)
EMPTY = TableContent(Schema("public.empty", (Column("", Kind.INT, True, ""),)), [])
CONTENTS = [
    nasty.every_kind(), nasty.beyond_native(), nasty.any_kind(), nasty.keyless(), nasty.composite(),
    nasty.large_cells(), nasty.large_any_cells(), ONE_TEXT, EMPTY,
]  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "folder", "parquet"])
def open_place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Give what opens one place, again and again."""
    if request.param == "sqlite":
        return lambda: open_target(f"sqlite:///{tmp_path}/copy.db")
    if request.param == "folder":
        return lambda: open_target(f"csv:{tmp_path}/copy")
    if request.param == "parquet":
        return lambda: open_target(f"parquet:{tmp_path}/copy")
    if request.param == "mysql":
        mariadb: MariadbServer = request.getfixturevalue("mariadb_server")
        name: str = request.getfixturevalue("mariadb_database")
        monkeypatch.setenv("MYSQL_PWD", mariadb.password)
        return lambda: open_target(f"mysql://{mariadb.user}@{mariadb.host}:{mariadb.port}/{name}")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database: str = request.getfixturevalue("postgres_database")
    monkeypatch.setenv("PGPASSWORD", server.password)
    return lambda: open_target(f"postgresql://{server.user}@{server.host}:{server.port}/{database}")


def _restore(open_place: Open, *tables: TableContent, position: str = "-", overwrite: bool = False) -> RestoreReport:
    with closing(open_place()) as target:
        return restore(SourceHistory(position=position).take(*tables), target, overwrite=overwrite)


@pytest.mark.parametrize("position", ["-", "pg 0/16B3748", "mysql binlog.000001:4"])
def test_every_value_comes_back_with_an_equal_root(open_place: Open, position: str) -> None:
    report = _restore(open_place, *CONTENTS, position=position)
    assert [(t.name, t.error, t.differences) for t in report.tables if not t.is_equal] == []
    assert report.is_equal
    assert {t.name: t.found_rows for t in report.tables} == {c.schema.name: len(c.lines) for c in CONTENTS}


def test_a_place_that_is_not_empty_is_refused_and_kept(open_place: Open) -> None:
    assert _restore(open_place, nasty.composite()).is_equal
    with pytest.raises(TargetError, match="is not empty") as caught:
        _restore(open_place, nasty.keyless())
    assert "--overwrite" in caught.value.hint
    snapshot = SourceHistory().take(nasty.composite())
    with closing(open_place()) as target:
        assert target.find_content() is not None
        assert restore(snapshot, target, overwrite=True).is_equal


def test_an_older_table_of_the_name_is_replaced_when_told(open_place: Open) -> None:
    _restore(open_place, nasty.composite())
    changed = replace(nasty.composite(), lines=nasty.composite().lines[:3])
    report = _restore(open_place, changed, overwrite=True)
    assert report.is_equal
    assert report.tables[0].found_rows == 3


def test_a_table_damaged_in_the_store_does_not_keep_the_others_back(open_place: Open) -> None:
    history = SourceHistory()
    snapshot = history.take(nasty.composite(), nasty.keyless("zzz"))
    top = snapshot.table("zzz").top
    assert top is not None
    del history.objects.bodies[top]
    with closing(open_place()) as target:
        report = restore(snapshot, target)
    assert [(t.name, t.is_equal) for t in report.tables] == [("visit_item", True), ("zzz", False)]
    assert "not at hand" in report.tables[1].error.en
    assert not report.is_equal


def test_what_breaks_in_the_middle_of_a_table_breaks_through(open_place: Open) -> None:
    def break_off(phase: str, table: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with closing(open_place()) as target, pytest.raises(KeyboardInterrupt):
        restore(SourceHistory().take(nasty.composite()), target, progress=break_off)
    with closing(open_place()) as target:
        assert target.find_content() is None


def test_progress_counts_the_rows_of_both_phases(open_place: Open) -> None:
    seen: dict[tuple[str, str], int] = {}

    def progress(phase: str, table: str, done: int, total: int) -> None:
        assert total == 40
        assert done >= seen.get((phase, table), 0)
        seen[phase, table] = done

    with closing(open_place()) as target:
        restore(SourceHistory().take(nasty.composite()), target, progress=progress)
    assert seen == {("load", "visit_item"): 40, ("verify", "visit_item"): 40}


def test_chosen_tables_alone_are_restored_and_the_others_named(open_place: Open) -> None:
    snapshot = SourceHistory().take(nasty.composite(), nasty.keyless(), omitted={"secret": "no rights"})
    with closing(open_place()) as target:
        report = restore(snapshot, target, tables=["visit_item"])
    assert [t.name for t in report.tables] == ["visit_item"]
    assert report.left_out == ("无主键",)
    assert report.omitted == (("secret", "no rights"),)
    with closing(open_place()) as target, pytest.raises(NotFoundError, match="no table 'nope'"):
        restore(snapshot, target, tables=["nope"])


def test_names_that_a_place_takes_for_equal_get_places_of_their_own(open_place: Open) -> None:
    def table(name: str) -> TableContent:
        columns = tuple(Column(c, Kind.TEXT, True, "text") for c in ("A", "a", "ctid", "x" * 80 + "1", "x" * 80 + "2"))
        return TableContent(Schema(name, columns), [encode_line([name.encode(), b"2", b"3", b"4", b"5"])])

    names = [
        "public.T",
        "public.t",
        "sqlite_x",
        "\\@files",
        "a/b",
        "a:b",
        "很长的表名" * 40,
        "很长的表名" * 40 + "2",
        ".",
    ]
    report = _restore(open_place, *map(table, names))
    assert [(t.name, t.error, t.differences) for t in report.tables if not t.is_equal] == []
    assert len({t.where for t in report.tables}) == len(names)


def test_a_copy_may_be_read_back_in_part(open_place: Open) -> None:
    columns = (Column("id", Kind.INT, False, "integer"), Column("x", Kind.TEXT, True, "text"))
    content = TableContent(Schema("t", columns, ("id",)), [b"%d\t%s" % (i, b"x" * 1000) for i in range(5000)])
    snapshot = SourceHistory().take(content)
    with closing(open_place()) as target:
        assert restore(snapshot, target).is_equal
        lines: Iterator[bytes] = target.read_back(TableRows(snapshot, snapshot.table("t")))
        assert next(lines).startswith(b"0\t")
        lines.close()  # type: ignore[attr-defined]  # it is a generator
        assert sum(1 for _ in target.read_back(TableRows(snapshot, snapshot.table("t")))) == 5000


def test_what_is_outside_the_roots_is_said(open_place: Open) -> None:
    report = _restore(open_place, nasty.composite())
    assert any("indexes" in line.en for line in report.outside_roots)
    assert not any("access control lists" in line.en for line in report.outside_roots)
