# SPDX-License-Identifier: Apache-2.0
"""The spool and the holdings: whole packs only, nothing twice, nothing gone before its receipt."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.errors import SpoolError, SpoolFullError
from agent.holdings import PAGES, PINNED_PAGES, Base, BaseKey, Holdings, KeptFrame
from agent.spool import Spool, SpooledPack
from evidence.digest import ObjectId, pack_name
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import decode_frame, read_frames
from tests.builders.trees import STORAGE_KEY

MANY = 1 << 40


def spool_in(folder: Path, *, max_bytes: int = MANY, min_free: int = 0, keep: int = MANY) -> Spool:
    return Spool(folder, max_bytes=max_bytes, min_free_bytes=min_free, keep_bytes=keep, level=1)


def put(spool: Spool, bodies: list[bytes]) -> list[tuple[SpooledPack, list[ObjectId]]]:
    committed: list[tuple[SpooledPack, list[ObjectId]]] = []
    with spool.writer(lambda pack, ids, bases: committed.append((pack, ids))) as writer:
        for body in bodies:
            writer.add(ObjectKind.CHUNK, name_object(STORAGE_KEY, ObjectKind.CHUNK, body), body)
    return committed


def test_packs_are_whole_named_by_content_and_hold_what_was_put(tmp_path: Path) -> None:
    bodies = [os.urandom(1 << 20) for _ in range(40)]
    committed = put(spool_in(tmp_path), bodies)
    assert len(committed) > 1
    found = [decode_frame(f) for pack, _ in committed for f in read_frames([pack.path.read_bytes()])]
    assert found == bodies
    assert all(spool_in(tmp_path).object_ids(pack) == ids for pack, ids in committed)
    assert all(pack.name == pack_name([pack.path.read_bytes()]) for pack, _ in committed)
    assert [pack for pack, _ in committed] == spool_in(tmp_path).packs()


def test_an_interrupted_run_leaves_whole_packs_and_nothing_else(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    with pytest.raises(KeyboardInterrupt), spool.writer(lambda pack, ids, bases: None) as writer:
        for _ in range(40):
            body = os.urandom(1 << 20)
            writer.add(ObjectKind.CHUNK, name_object(STORAGE_KEY, ObjectKind.CHUNK, body), body)
        raise KeyboardInterrupt
    for pack in spool.packs():
        assert pack.name == pack_name([pack.path.read_bytes()])
    assert {path.suffix for path in tmp_path.iterdir()} == {".pack"}


def test_only_what_the_center_acknowledged_leaves_the_spool(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, keep=0)
    packs = [pack for pack, _ in put(spool, [os.urandom(1 << 20) for _ in range(40)])]
    spool.mark_sent(packs[0].name)
    assert spool.unsent() == packs[1:]
    assert spool.retire_sent(set) == [packs[0].name]
    assert spool.packs() == packs[1:]
    for pack in packs[1:]:
        spool.mark_sent(pack.name)
    assert spool.retire_sent(set) == [pack.name for pack in packs[1:]]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("is_kept", [False, True])
def test_packs_keep_their_order_when_the_clock_is_set_back(tmp_path: Path, is_kept: bool) -> None:
    spool = spool_in(tmp_path)
    first = [pack for pack, _ in put(spool, [os.urandom(1 << 20) for _ in range(9)])]
    tomorrow = time.time_ns() + 24 * 3600 * 10**9
    for number, pack in enumerate(first):
        os.utime(pack.path, ns=(tomorrow + number, tomorrow + number))
    if is_kept:
        for pack in first:
            spool.mark_sent(pack.name)
        spool.retire_sent(set)
    second = [pack for pack, _ in put(spool, [os.urandom(1 << 20) for _ in range(9)])]
    if is_kept:
        for pack in second:
            spool.mark_sent(pack.name)
        assert spool_in(tmp_path, keep=sum(p.size for p in second)).retire_sent(set) == [p.name for p in first]
    else:
        assert spool.packs() == first + second


def test_what_was_sent_is_kept_up_to_the_bound_and_pinned_packs_longest(tmp_path: Path) -> None:
    packs = [pack for pack, _ in put(spool_in(tmp_path), [os.urandom(1 << 20) for _ in range(40)])]
    spool = spool_in(tmp_path, keep=3 * packs[0].size)
    for pack in packs:
        spool.mark_sent(pack.name)
    whole = packs[1].path.read_bytes()
    gone = spool.retire_sent(lambda: {packs[1].name})
    assert gone == [pack.name for pack in packs if pack.name not in {packs[1].name, packs[-1].name, packs[-2].name}]
    assert spool.read(packs[1].name, 100, 1000) == whole[100:1100]
    assert spool.read(packs[1].name, len(whole) - 10, 11) is None
    assert spool.read(packs[0].name, 0, 1) is None
    assert spool_in(tmp_path, keep=0).retire_sent(lambda: {packs[1].name})[-1] == packs[1].name


def test_what_is_kept_makes_room_before_a_snapshot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = spool_in(tmp_path, min_free=10 << 20)
    packs = [pack for pack, _ in put(spool, [os.urandom(1 << 20) for _ in range(12)])]
    for pack in packs:
        spool.mark_sent(pack.name)
    assert spool.retire_sent(set) == []

    def usage(folder: Path) -> object:
        # A volume of which the packs are all, with 8 MiB free beside them.
        kept = sum(path.stat().st_size for path in tmp_path.rglob("*.pack"))
        return SimpleNamespace(free=(8 << 20) + sum(pack.size for pack in packs) - kept)

    monkeypatch.setattr("agent.spool.shutil.disk_usage", usage)
    spool.check_room()
    assert [spool.read(pack.name, 0, 1) is None for pack in packs] == [True, False, False]


def test_a_full_spool_and_a_full_volume_are_told_with_what_to_do(tmp_path: Path) -> None:
    put(spool_in(tmp_path), [os.urandom(2 << 20)])
    with pytest.raises(SpoolError, match="its limit is 1 MiB"):
        put(spool_in(tmp_path, max_bytes=1 << 20), [b"more"])
    with pytest.raises(SpoolError, match="free") as caught:
        put(spool_in(tmp_path, min_free=1 << 60), [b"more"])
    assert "nothing is lost" in caught.value.hint


def test_a_table_s_schema_stands_before_its_pages_in_every_pack(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    schema = b'{"columns":[]}'
    name = name_object(STORAGE_KEY, ObjectKind.DOCUMENT, schema)
    with spool.writer(lambda pack, ids, bases: None) as writer:
        writer.begin_table(name, schema)
        for _ in range(40):
            body = os.urandom(1 << 20)
            writer.add(ObjectKind.PAGE, name_object(STORAGE_KEY, ObjectKind.PAGE, body), body)
        writer.end_table()
    packs = spool.packs()
    assert len(packs) > 1
    for pack in packs:
        assert next(iter(read_frames([pack.path.read_bytes()]))).object_id == name


def test_holdings_remember_by_source_and_forget_all_at_once(tmp_path: Path) -> None:
    holdings = Holdings(tmp_path / "h.sqlite")
    ids = [ObjectId(bytes([i]) * 32) for i in range(5)]
    assert holdings.is_empty("his")
    holdings.add("his", ids)
    assert holdings.known("his", ids[3:4]) == {ids[3]}
    assert not holdings.known("lis", ids[3:4])
    key = BaseKey("visit", 0, b"1")
    holdings.add_bases("his", "aa", [Base(key, ids[0], 15, 90)])
    assert holdings.find_base("his", key) == KeptFrame(ids[0], "aa", 15, 90)
    assert holdings.find_base("his", BaseKey("other", 0, b"1")) is None
    holdings.forget("his")
    assert holdings.is_empty("his")
    assert holdings.find_base("his", key) is None
    holdings.close()


def test_a_base_is_the_newest_of_its_key_and_goes_with_its_pack(tmp_path: Path) -> None:
    holdings = Holdings(tmp_path / "h.sqlite")
    ids = [ObjectId(bytes([i]) * 32) for i in range(3)]
    key = BaseKey("visit", PAGES, b"1")
    holdings.add_bases("his", "aa", [Base(key, ids[0], 15, 90)])
    assert holdings.find_base("his", key) is None, "the center is not known to hold it"
    holdings.add("his", ids)
    holdings.add_bases("his", "bb", [Base(key, ids[1], 200, 90), Base(BaseKey("visit", PAGES, b"2"), ids[2], 290, 9)])
    assert holdings.find_base("his", key) == KeptFrame(ids[1], "bb", 200, 90)
    assert holdings.has_pages("his", "visit")
    holdings.forget_packs("his", ["bb"])
    assert holdings.find_base("his", key) is None
    assert not holdings.has_pages("his", "visit")
    holdings.close()


def test_nodes_and_the_newest_pages_of_each_table_are_pinned(tmp_path: Path) -> None:
    holdings = Holdings(tmp_path / "h.sqlite")

    def pages(table: str, first: int, count: int) -> list[Base]:
        rows = range(first, first + count)
        return [Base(BaseKey(table, PAGES, b"%d" % i), ObjectId(i.to_bytes(32, "big")), 15, 90) for i in rows]

    holdings.add_bases("his", "old", pages("visit", 0, 10))
    holdings.add_bases("his", "nodes", [Base(BaseKey("visit", 0, b"0"), ObjectId(bytes(32)), 15, 90)])
    holdings.add_bases("his", "other", pages("doc", 0, 10))
    holdings.add_bases("his", "new", pages("visit", 10, PINNED_PAGES))
    assert holdings.pinned_packs("his") == {"nodes", "other", "new"}
    holdings.close()


def test_torn_holdings_are_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    path.write_bytes(b"SQLite format 3\x00" + os.urandom(5000))
    holdings = Holdings(path)
    assert holdings.is_empty("his")
    holdings.close()


def test_looking_at_the_spool_does_not_disturb_who_writes_there(tmp_path: Path) -> None:
    """`status` opens the spool while a snapshot is being taken in another process."""
    spool = spool_in(tmp_path)
    with spool.writer(lambda pack, ids, bases: None) as writer:
        body = os.urandom(1 << 20)
        writer.add(ObjectKind.CHUNK, name_object(STORAGE_KEY, ObjectKind.CHUNK, body), body)
        assert spool_in(tmp_path).packs() == []
    assert len(spool.packs()) == 1


def test_the_next_writer_clears_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / ".pack.4711.tmp").write_bytes(b"half a pack")
    spool = spool_in(tmp_path)
    put(spool, [b"whole"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".pack"}


def test_very_many_tables_make_packs_within_their_bounds(tmp_path: Path) -> None:
    """Schema objects of tables without new pages are not written; those of tables with one page each fill packs."""
    spool = spool_in(tmp_path)
    schema = os.urandom(1 << 10) * 300
    with spool.writer(lambda pack, ids, bases: None) as writer:
        for i in range(300):
            body = schema + i.to_bytes(2, "big")
            writer.begin_table(name_object(STORAGE_KEY, ObjectKind.DOCUMENT, body), body)
            if i % 2:
                page = b"%d" % i
                writer.add(ObjectKind.PAGE, name_object(STORAGE_KEY, ObjectKind.PAGE, page), page)
            writer.end_table()
    kinds = [frame.kind for pack in spool.packs() for frame in read_frames([pack.path.read_bytes()])]
    assert kinds.count(ObjectKind.PAGE) == 150
    assert kinds.count(ObjectKind.DOCUMENT) == 150


def test_each_pack_says_the_schema_before_the_tables_first_page(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    schema = b"a schema"
    name = name_object(STORAGE_KEY, ObjectKind.DOCUMENT, schema)
    with spool.writer(lambda pack, ids, bases: None) as writer:
        writer.add(ObjectKind.DOCUMENT, name, schema)
        writer.begin_table(name, schema)
        for _ in range(200):
            page = os.urandom(60_000)
            writer.add(ObjectKind.PAGE, name_object(STORAGE_KEY, ObjectKind.PAGE, page), page)
        writer.end_table()
    packs = [list(read_frames([pack.path.read_bytes()])) for pack in spool.packs()]
    assert len(packs) > 2
    for frames in packs:
        assert [frame.kind for frame in frames].count(ObjectKind.DOCUMENT) == 1
        assert frames[0].object_id == name


def hold(path: Path) -> None:
    """Have a file that nobody can remove or replace, as on Windows while a virus scanner or a backup reads it."""
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def test_kept_pack_that_cannot_be_removed_stops_nothing(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, min_free=1 << 62)
    hold(tmp_path / "kept" / f"{'0' * 64}.pack")
    (tmp_path / "kept" / f"{'1' * 64}.pack").write_bytes(b"free")
    with pytest.raises(SpoolFullError):
        spool.check_room()
    assert [path.name[0] for path in (tmp_path / "kept").iterdir()] == ["0"]


def test_sent_pack_that_cannot_be_put_aside_waits_for_the_next_time(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, keep=0)
    ((first, _),), ((second, _),) = put(spool, [b"first"]), put(spool, [b"second"])
    spool.mark_sent(first.name)
    spool.mark_sent(second.name)
    hold(tmp_path / "kept" / first.path.name)
    assert spool.retire_sent(set) == [second.name]
    assert [pack.name for pack in spool.packs()] == [first.name]
    assert not spool.unsent(), "it would be sent a second time"
    (tmp_path / "kept" / first.path.name).rmdir()
    assert spool.retire_sent(set) == [first.name]


def test_given_up_pack_that_cannot_be_removed_is_told(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    ((pack, _),) = put(spool, [b"bytes"])
    hold(pack.path)
    with pytest.raises(SpoolError, match="cannot be written"):
        spool.remove([pack])


@pytest.mark.parametrize(
    "forget", [Holdings.forget, lambda h, source: h.drop(source, [ids_of(b"gone")])], ids=["all", "one"]
)
def test_what_the_holdings_forgot_is_not_back_after_a_power_cut(
    tmp_path: Path, forget: Callable[[Holdings, str], None]
) -> None:
    """The packs go next: an object that would be believed to be in them, or at the center, would be nowhere."""
    path = tmp_path / "h.sqlite"
    holdings = Holdings(path)
    holdings.add("his", [ids_of(b"gone")])
    holdings.close()
    holdings = Holdings(path)
    forget(holdings, "his")
    # What SQLite has not synced is in the file beside it.
    left = tmp_path / "left.sqlite"
    left.write_bytes(path.read_bytes())
    holdings.close()
    after = Holdings(left)
    assert not after.known("his", [ids_of(b"gone")])
    after.close()


def ids_of(body: bytes) -> ObjectId:
    return name_object(STORAGE_KEY, ObjectKind.CHUNK, body)
