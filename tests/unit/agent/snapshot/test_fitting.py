# SPDX-License-Identifier: Apache-2.0
"""A source with too many tables for one manifest is told so before it is read, and what to do."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.collectors.base import BlobSink, Omission, Table
from agent.errors import SourceError
from agent.snapshot.fitting import MARGIN_BYTES, check_manifest_fits, estimate_manifest
from evidence.objects.object import MAX_OBJECT_BYTES
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.language import Language
from tests.builders.world import World, make_hospital, read_back, sqlite_source
from tests.unit.agent.snapshot.test_take import Bench, Source


def names(count: int) -> list[str]:
    """Give names as hospital systems have them."""
    return [f"dbo.住院_费用明细_{i:05}" for i in range(count)]


def tables(count: int) -> dict[str, tuple[Table, list[bytes]]]:
    schemas = [Schema(name, (Column("编号", Kind.INT, False, "int"),), ("编号",)) for name in names(count)]
    return {schema.name: (Table(schema, True), [b"1", b"2"]) for schema in schemas}


class Unread(Source):
    """A source that must not be read."""

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        raise AssertionError(f"{table.schema.name} was read")


@pytest.mark.parametrize("count", [1, 2, 50, 300])
def test_the_estimate_is_never_less_than_the_manifest_and_not_much_more(tmp_path: Path, count: int) -> None:
    manifest = Bench(tmp_path).take(Source(tables(count))).manifest
    documents = sum(len(str(d)) for d in manifest.documents if not d.name.startswith("schema/"))
    size, estimate = len(manifest.encode()), estimate_manifest(names(count))
    assert size - documents - 1_000 < estimate < size * 1.3 + 2_000


def test_a_source_with_too_many_tables_is_refused_before_it_is_read(tmp_path: Path) -> None:
    source = Unread(tables(7_000))
    with pytest.raises(SourceError, match="has 7,000 tables") as caught:
        Bench(tmp_path).take(source)
    assert not source.is_open
    assert "into at least 2 sources" in caught.value.hint
    assert "include" in caught.value.hint
    assert "拆成至少 2 个来源" in caught.value.advice(Language.ZH)
    assert "7,000 个表" in caught.value.sentence(Language.ZH)


@pytest.mark.parametrize("count", [7_000, 20_000])
def test_the_share_that_the_hint_names_fits_with_the_others_left_out(count: int) -> None:
    with pytest.raises(SourceError) as caught:
        check_manifest_fits("his", names(count), [])
    share = int(caught.value.hint.partition("up to about ")[2].partition(")")[0].replace(",", ""))
    assert 2_000 < share < 6_000
    others = [Omission(name, "not among those that the settings include") for name in names(count)[share - 10 :]]
    check_manifest_fits("his", names(share - 10), others)
    assert f"at least {-(-count // share)} sources" in caught.value.hint


def test_where_the_list_of_what_is_left_out_is_too_long_other_accounts_are_advised() -> None:
    with pytest.raises(SourceError) as caught:
        check_manifest_fits("his", names(50_000), [])
    assert "accounts" in caught.value.hint
    with pytest.raises(SourceError) as caught:
        check_manifest_fits("his", names(10), [Omission(name, "excluded by the settings") for name in names(60_000)])
    assert "accounts" in caught.value.hint


def test_the_estimate_leaves_room_for_what_is_known_only_later() -> None:
    check_manifest_fits("his", names(4_000), [])
    room = MAX_OBJECT_BYTES - estimate_manifest(names(4_000))
    each = (estimate_manifest(names(1_100)) - estimate_manifest(names(100))) // 1_000
    most = 4_000 + (room - MARGIN_BYTES) // each - 10
    check_manifest_fits("his", names(most), [])
    with pytest.raises(SourceError):
        check_manifest_fits("his", names(most + 20), [])


def test_three_thousand_tables_pass_from_the_source_to_the_center(tmp_path: Path) -> None:
    import sqlite3

    with World.make(tmp_path) as world, world.serving() as center:
        with closing(sqlite3.connect(make_hospital(tmp_path / "his.db", visits=10))) as db, db:
            for i in range(3_000):
                db.execute(f"CREATE TABLE 住院_费用明细_{i:05} (编号 INTEGER PRIMARY KEY, 项目 TEXT)")
                db.execute(f"INSERT INTO 住院_费用明细_{i:05} VALUES (1, '床位费')")
        world.add_agent(center, "X013", sqlite_source("his", tmp_path / "his.db"))
        outcome = world.snapshot("X013")
        assert outcome.tables == 3_003
        assert read_back(center, "X013", "his") == outcome.rows
