# SPDX-License-Identifier: Apache-2.0
"""The catalog: places, facts, statements; droppable; safe for many threads."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from center.errors import ConflictError, NotFoundError, StoreError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import BLOBS_SPEC, MANIFEST_SPEC, Fact, ObjectPlace, StatementRow
from evidence.digest import ObjectId, Sha256, sha256
from evidence.manifest.entry import Level

MOMENT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
PACK_A, PACK_B = "aa" * 32, "bb" * 32


def name(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(32, "big"))


def place(pack: str = PACK_A, offset: int = 15, base: ObjectId | None = None) -> ObjectPlace:
    return ObjectPlace(pack, offset, 90, 200, 1, 1 if base is None else 2, base)


def fact(number: int = 0) -> Fact:
    return Fact(sha256(bytes((number,))), 0, 3, 3, 40, b"1", b"3\tx", True)


def statement(sequence: int = 1, source: str = "his", **changes: object) -> StatementRow:
    row = StatementRow(
        unit="X013",
        source=source,
        sequence=sequence,
        kind="snapshot",
        digest=sha256(f"{source} {sequence}".encode()),
        previous=None if sequence == 1 else sha256(f"{source} {sequence - 1}".encode()),
        level=Level.STORED,
        index=1000 * ord(source[0]) + sequence,
        stored_index=1000 * ord(source[0]) + sequence,
        received=MOMENT + timedelta(days=sequence, hours=1),
        began=MOMENT + timedelta(days=sequence),
        ended=MOMENT + timedelta(days=sequence, minutes=12),
        tables=2,
        rows=500,
        bytes_=70_000,
        root=sha256(b"root"),
        manifest_sha256=sha256(b"manifest"),
        manifest_object=name(99),
        consistency="consistent",
        flags=("omitted",),
        note="文 — note".encode(),
    )
    return replace(row, **changes)  # type: ignore[arg-type]  # the test names members of the row


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    with Catalog.create(tmp_path / "catalog.sqlite") as made:
        yield made  # type: ignore[misc]  # pytest turns the generator into its value


def test_a_place_comes_back_as_it_was_added(catalog: Catalog) -> None:
    places = {name(1): place(offset=15), name(2): place(offset=200, base=name(1))}
    catalog.add_pack("X013", "his", PACK_A, list(places.items()))
    assert catalog.find_places("X013", "his", [name(2), name(1), name(3)]) == places


def test_objects_of_one_source_are_not_those_of_another(catalog: Catalog) -> None:
    catalog.add_pack("X013", "his", PACK_A, [(name(1), place())])
    assert catalog.absent("X013", "lis", [name(1)]) == [name(1)]
    assert catalog.absent("X014", "his", [name(1)]) == [name(1)]
    assert not catalog.has_pack("X014", "his", PACK_A)
    assert catalog.has_pack("X013", "his", PACK_A)


def test_absent_keeps_the_order_and_names_each_object_once(catalog: Catalog) -> None:
    catalog.add_pack("X013", "his", PACK_A, [(name(5), place())])
    asked = [name(9), name(5), name(1), name(9), name(3)]
    assert catalog.absent("X013", "his", asked) == [name(9), name(1), name(3)]


def test_more_ids_than_one_question_takes_are_all_answered(catalog: Catalog) -> None:
    ids = [name(i) for i in range(9_001)]
    catalog.add_pack("X013", "his", PACK_A, [(i, place()) for i in ids], [(i, "-", fact()) for i in ids])
    assert len(catalog.find_places("X013", "his", ids)) == 9_001
    assert len(catalog.find_facts("X013", "his", "-", ids)) == 9_001
    assert catalog.absent("X013", "his", ids) == []


def test_the_same_pack_again_changes_nothing(catalog: Catalog) -> None:
    for _ in range(2):
        catalog.add_pack("X013", "his", PACK_A, [(name(1), place())], [(name(1), "-", fact())])
    before = list(catalog.file.dump())
    catalog.add_pack("X013", "his", PACK_A, [(name(1), place())], [(name(1), "-", fact())])
    assert list(catalog.file.dump()) == before
    assert catalog.packs("X013", "his") == [PACK_A]


@pytest.mark.parametrize("order", [(PACK_A, PACK_B), (PACK_B, PACK_A)])
def test_which_place_of_an_object_counts_does_not_depend_on_the_order_of_packs(
    catalog: Catalog, order: tuple[str, str]
) -> None:
    for pack in order:
        catalog.add_pack("X013", "his", pack, [(name(1), place(pack))])
    assert catalog.find_places("X013", "his", [name(1)])[name(1)].pack == PACK_A


@pytest.mark.parametrize("order", [(PACK_A, PACK_B), (PACK_B, PACK_A)])
def test_a_base_never_comes_to_have_a_base(catalog: Catalog, order: tuple[str, str]) -> None:
    based = {PACK_A: name(7), PACK_B: None}
    for pack in order:
        catalog.add_pack("X013", "his", pack, [(name(1), place(pack, base=based[pack]))])
    assert catalog.find_places("X013", "his", [name(1)])[name(1)] == place(PACK_B)


def test_facts_are_kept_by_order_of_rows(catalog: Catalog) -> None:
    catalog.add_pack("X013", "his", PACK_A, [(name(1), place())], [(name(1), "0:int", fact(1))])
    catalog.add_facts("X013", "his", [(name(1), BLOBS_SPEC, fact(2)), (name(2), "0:int", fact(3))])
    assert catalog.find_facts("X013", "his", "0:int", [name(1), name(2)]) == {name(1): fact(1), name(2): fact(3)}
    assert catalog.find_facts("X013", "his", BLOBS_SPEC, [name(1), name(2)]) == {name(1): fact(2)}
    assert catalog.find_facts("X013", "his", "0:text", [name(1)]) == {}


def test_the_first_fact_of_an_object_stays(catalog: Catalog) -> None:
    catalog.add_facts("X013", "his", [(name(1), "-", fact(1))])
    catalog.add_facts("X013", "his", [(name(1), "-", fact(2))])
    assert catalog.find_facts("X013", "his", "-", [name(1)]) == {name(1): fact(1)}


def test_a_manifest_is_found_by_its_hash_in_its_own_source(catalog: Catalog) -> None:
    manifest = Fact(Sha256(b"m" * 32), 0, 0, 0, 10, b"", b"", True)
    catalog.add_facts("X013", "his", [(name(1), MANIFEST_SPEC, manifest), (name(2), "-", fact())])
    assert catalog.find_manifest("X013", "his", manifest.root) == name(1)
    assert catalog.find_manifest("X013", "lis", manifest.root) is None
    assert catalog.find_manifest("X013", "his", fact().root) is None


def test_a_forgotten_object_is_asked_for_again(catalog: Catalog) -> None:
    catalog.add_pack("X013", "his", PACK_A, [(name(i), place()) for i in (1, 2)], [(name(1), "-", fact())])
    catalog.forget_objects("X013", "his", [name(1)])
    assert catalog.absent("X013", "his", [name(1), name(2)]) == [name(1)]
    assert catalog.find_facts("X013", "his", "-", [name(1)]) == {}


def test_a_statement_comes_back_as_it_was_added(catalog: Catalog) -> None:
    row = statement()
    catalog.add_statement(row)
    catalog.add_statement(row)
    assert catalog.statement("X013", "his", 1) == row
    assert catalog.by_digest(row.digest) == row
    assert catalog.latest("X013", "his") == row
    assert catalog.statements() == [row]


def test_a_statement_that_is_not_a_snapshot_comes_back_as_it_was_added(catalog: Catalog) -> None:
    row = statement(
        kind="gap", level=Level.NONE, stored_index=None, tables=0, rows=0, bytes_=0, root=None, manifest_sha256=None,
        manifest_object=None, consistency=None, flags=(),
    )  # fmt: skip
    catalog.add_statement(row)
    assert catalog.statement("X013", "his", 1) == row


def test_another_statement_under_a_used_sequence_is_refused(catalog: Catalog) -> None:
    catalog.add_statement(statement())
    with pytest.raises(ConflictError, match="his#1 of X013"):
        catalog.add_statement(statement(digest=sha256(b"another"), index=77))
    assert catalog.statement("X013", "his", 1) == statement()


def test_a_registered_statement_becomes_stored(catalog: Catalog) -> None:
    catalog.add_statement(statement(level=Level.REGISTERED, stored_index=None, manifest_object=None, flags=()))
    with pytest.raises(NotFoundError, match="no stored snapshot of X013/his"):
        catalog.statement("X013", "his")
    catalog.set_stored("X013", "his", 1, 4_000_000, name(99), ["omitted"])
    assert catalog.statement("X013", "his") == statement(stored_index=4_000_000)
    assert catalog.newest_index() == 4_000_000


def test_storing_a_statement_that_is_not_there_is_an_error(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match="no statement his#4 of X013"):
        catalog.set_stored("X013", "his", 4, 4_000_000, name(99))


def test_latest_is_of_any_kind_and_statement_without_number_is_the_newest_stored_snapshot(catalog: Catalog) -> None:
    catalog.add_statement(statement(1))
    catalog.add_statement(statement(2))
    catalog.add_statement(statement(3, kind="gap", level=Level.NONE, stored_index=None))
    catalog.add_statement(statement(4, level=Level.REGISTERED, stored_index=None))
    assert catalog.statement("X013", "his").sequence == 2
    latest = catalog.latest("X013", "his")
    assert latest is not None
    assert latest.sequence == 4


def test_statements_are_listed_by_unit_and_source(catalog: Catalog) -> None:
    for row in (statement(1, "lis"), statement(2), statement(1)):
        catalog.add_statement(row)
    assert [(r.source, r.sequence) for r in catalog.statements("X013")] == [("his", 1), ("his", 2), ("lis", 1)]
    assert [(r.source, r.sequence) for r in catalog.statements("X013", "lis")] == [("lis", 1)]
    assert catalog.statements("X014") == []


def test_a_consistent_snapshot_shows_the_moment_it_began(catalog: Catalog) -> None:
    catalog.add_statement(statement(1))
    catalog.add_statement(statement(2))
    began = statement(2).began
    assert catalog.at_time("X013", "his", began).sequence == 2
    assert catalog.at_time("X013", "his", began - timedelta(microseconds=1)).sequence == 1


def test_a_snapshot_that_shows_no_one_moment_must_have_ended(catalog: Catalog) -> None:
    catalog.add_statement(statement(1))
    catalog.add_statement(statement(2, consistency="live"))
    assert catalog.at_time("X013", "his", statement(2).began).sequence == 1
    assert catalog.at_time("X013", "his", statement(2).ended).sequence == 2


def test_a_time_before_all_snapshots_is_an_error(catalog: Catalog) -> None:
    catalog.add_statement(statement(1))
    with pytest.raises(NotFoundError, match="as old as 2026-11-22"):
        catalog.at_time("X013", "his", MOMENT)


def test_what_one_process_adds_another_sees(catalog: Catalog) -> None:
    with Catalog(catalog.file.path) as other:
        assert other.absent("X013", "his", [name(1)]) == [name(1)]
        catalog.add_pack("X013", "his", PACK_A, [(name(1), place())])
        assert other.absent("X013", "his", [name(1)]) == []


def test_many_threads_write_and_read_at_once(catalog: Catalog) -> None:
    def work(number: int) -> list[ObjectId]:
        absent: list[ObjectId] = []
        for step in range(5):
            pack = os.urandom(32).hex()
            ids = [name(1000 * number + 100 * step + i) for i in range(50)]
            catalog.add_pack("X013", f"s{number % 3}", pack, [(i, place(pack)) for i in ids])
            absent += catalog.absent("X013", f"s{number % 3}", ids)
        return absent

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[]] * 8
    assert sum(len(catalog.packs("X013", f"s{n}")) for n in range(3)) == 40


def test_places_of_a_pack_are_given_in_the_order_in_which_they_stand(catalog: Catalog) -> None:
    catalog.add_pack("X013", "his", PACK_A, [(name(1), place(offset=300)), (name(2), place(offset=15))])
    assert [found for found, _ in catalog.pack_places("X013", "his", PACK_A)] == [name(2), name(1)]


def test_the_dump_depends_on_the_content_and_not_on_the_order_of_adding(tmp_path: Path) -> None:
    dumps = []
    for order in ((1, 2), (2, 1)):
        with Catalog.create(tmp_path / f"{order[0]}.sqlite") as catalog:
            for number in order:
                source = f"s{number}"
                catalog.add_pack("X013", source, PACK_A, [(name(number), place())], [(name(number), source, fact())])
                catalog.add_statement(statement(1, source, index=number, stored_index=number))
            dumps.append(list(catalog.file.dump()))
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == 8


def test_a_catalog_that_is_not_there_asks_for_rebuild(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no catalog") as caught:
        Catalog(tmp_path / "catalog.sqlite")
    assert "rebuild" in caught.value.hint


def test_a_catalog_of_another_version_asks_for_rebuild(catalog: Catalog) -> None:
    with sqlite3.connect(catalog.file.path) as connection:
        connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(StoreError, match="is of version 9, this program reads version 2") as caught:
        Catalog(catalog.file.path)
    assert "rebuild" in caught.value.hint


@pytest.mark.parametrize("damage", [b"not a database at all, but long enough to be read as one" * 20, b""])
def test_a_file_that_is_no_catalog_asks_for_rebuild(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(damage)
    with pytest.raises(StoreError) as caught:
        Catalog(path)
    assert "rebuild" in caught.value.hint


def test_a_new_catalog_is_never_made_over_an_old_one(catalog: Catalog) -> None:
    with pytest.raises(StoreError, match="already"):
        Catalog.create(catalog.file.path)


def test_a_damaged_page_of_the_catalog_is_found(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with Catalog.create(path) as catalog:
        catalog.add_pack("X013", "his", PACK_A, [(name(i), place()) for i in range(2000)])
        assert catalog.file.check() == []
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 64] = bytes(64)
    path.write_bytes(raw)
    with Catalog(path) as catalog:
        assert catalog.file.check()
