# SPDX-License-Identifier: Apache-2.0
"""Restoring into Parquet files, read by pyarrow as anybody would."""

from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from center.restore import RestoreReport, open_target, restore
from evidence.rows.line import Cell, encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent


def _restore(folder: Path, *tables: TableContent) -> RestoreReport:
    with closing(open_target(f"parquet:{folder}")) as target:
        report = restore(SourceHistory().take(*tables), target)
    assert [(t.name, t.error, t.differences) for t in report.tables if not t.is_equal] == []
    return report


def test_values_are_of_arrows_own_types_where_these_are_exact(tmp_path: Path) -> None:
    columns = (
        Column("id", Kind.INT, False, "int"), Column("fee", Kind.DECIMAL, True, "numeric(10,2)", 2),
        Column("born", Kind.DATE, True, "date"), Column("seen", Kind.TIMESTAMPTZ, True, "timestamptz"),
        Column("ok", Kind.BOOL, True, "boolean"), Column("scan", Kind.BYTES, True, "bytea"),
        Column("name", Kind.TEXT, True, "text"), Column("ratio", Kind.FLOAT8, True, "float8"),
    )  # fmt: skip
    rows: list[list[Cell]] = [
        [b"1", b"12.50", b"1980-01-02", b"2026-11-22 01:02:03.5+00", b"t", b"\\x00ff", "张三".encode(), b"0.1"],
        [b"2", b"0.00", None, None, None, None, b"", None],
    ]
    report = _restore(tmp_path, TableContent(Schema("public.t", columns, ("id",)), [encode_line(r) for r in rows]))
    assert report.tables[0].notes == ()
    table = pq.read_table(tmp_path / "public.t.parquet")
    assert [str(t) for t in table.schema.types] == [
        "int64", "decimal128(4, 2)", "date32[day]", "timestamp[us, tz=UTC]", "bool", "large_binary", "large_string",
        "double",
    ]  # fmt: skip
    assert table.to_pylist()[0] == {
        "id": 1, "fee": Decimal("12.50"), "born": date(1980, 1, 2), "ok": True, "scan": b"\x00\xff", "name": "张三",
        "ratio": 0.1, "seen": datetime(2026, 11, 22, 1, 2, 3, 500_000, tzinfo=UTC),
    }  # fmt: skip
    assert table.to_pylist()[1] == {
        "id": 2, "fee": Decimal("0.00"), "born": None, "seen": None, "ok": None, "scan": None, "name": "", "ratio": None,
    }  # fmt: skip
    assert (tmp_path / "public.t.schema.json").is_file()


def test_a_value_that_arrow_cannot_hold_makes_the_column_a_string_and_is_said(tmp_path: Path) -> None:
    report = _restore(tmp_path, nasty.beyond_native("b"), nasty.every_kind("k"))
    types = {name: str(t) for name, t in zip(*_schema(tmp_path / "b.parquet"), strict=True)}
    assert types == {
        "id": "decimal128(20, 0)", "wide": "large_string", "zero_date": "large_string", "long_time": "large_string",
        "nanos": "large_string", "nul": "large_string", "gbk": "large_binary", "broken_json": "large_string",
    }  # fmt: skip
    notes = next(t.notes for t in report.tables if t.name == "b")
    assert [note.en.split("'")[1] for note in notes] == ["wide", "zero_date", "long_time", "nanos", "gbk"]


def test_row_groups_are_bounded_and_rows_keep_their_order(tmp_path: Path) -> None:
    schema = Schema("t", (Column("id", Kind.INT, False, "int"), Column("x", Kind.TEXT, True, "text")), ("id",))
    _restore(tmp_path, TableContent(schema, [b"%d\tv%d" % (i, i) for i in range(60_000)]))
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.num_row_groups == 2
    assert pq.read_table(tmp_path / "t.parquet")["id"].to_pylist() == list(range(60_000))


def test_a_file_that_was_changed_is_not_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_target(f"parquet:{tmp_path}")) as target:
        finish = target.finish

        def change() -> tuple[str, ...]:
            table = pq.read_table(tmp_path / "visit_item.parquet").slice(1)
            pq.write_table(table, tmp_path / "visit_item.parquet")
            return finish()

        monkeypatch.setattr(target, "finish", change)
        report = restore(SourceHistory().take(nasty.composite()), target)
    assert not report.is_equal
    assert report.tables[0].found_rows == len(nasty.composite().lines) - 1


def _schema(path: Path) -> tuple[list[str], list[object]]:
    schema = pq.read_schema(path)
    return schema.names, schema.types
