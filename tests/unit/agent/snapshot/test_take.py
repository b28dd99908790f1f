# SPDX-License-Identifier: Apache-2.0
"""The recipe over a source that is made of lines: keys that break, large cells, second days, tables that are lost."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.collectors.base import BlobSink, Consistency, Document, Omission, Table
from agent.errors import SourceDownError, SourceError, TableBusyError, TableLostError
from agent.holdings import Base, Holdings
from agent.journal import SourceKeys
from agent.snapshot.progress import Progress, Silent
from agent.snapshot.take import Place, Taken, take_snapshot
from agent.spool import Spool, SpooledPack
from evidence.digest import ObjectId
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.blobtable import parse_blob_line
from evidence.manifest.statement import parse_statement
from evidence.note.signed import parse_note, verify_note
from evidence.objects.blobs import read_blob
from evidence.objects.object import ObjectKind
from evidence.objects.pack import decode_frame, read_frames
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.tree.read import walk_lines
from terminal.language import NOTHING, Text
from tests.builders.trees import BY_LINE, ROW_SECRET, STORAGE_KEY, MemoryObjects, build

VISIT = Schema("visit", (Column("id", Kind.INT, False, "int"), Column("note", Kind.TEXT, True, "text")), ("id",))
SIGNER = Ed25519Signer.from_seed("X013/his", KeyType.ED25519, bytes(32))
KEYS = SourceKeys(ROW_SECRET, STORAGE_KEY, True)


@dataclass
class Source:
    """A collector and view over lines. `lost` tables raise; `fault` is raised after the first block of any table.

    `busy`: a name raises once for each time that it stands there, after the table's first block.
    """

    tables_: dict[str, tuple[Table, list[bytes]]]
    lost: set[str] = field(default_factory=set)
    busy: list[str] = field(default_factory=list)
    read_: list[str] = field(default_factory=list)
    fault: Exception | None = None
    is_open: bool = False
    consistency = Consistency.CONSISTENT
    position = "test 1"

    @contextmanager
    def open_view(self) -> "Iterator[Source]":
        self.is_open = True
        try:
            yield self
        finally:
            self.is_open = False

    def tables(self) -> Sequence[Table]:
        return [table for table, _ in self.tables_.values()]

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        if table.schema.name in self.lost:
            raise TableLostError("no rights", hint="grant them", reason="permission denied\nfor table")
        lines = self.tables_[table.schema.name][1]
        for start in range(0, len(lines), 1000):
            yield b"".join(line + b"\n" for line in lines[start : start + 1000])
            if table.schema.name in self.busy:
                self.busy.remove(table.schema.name)
                raise TableBusyError("busy", hint="later", reason="others waited for it")
            if self.fault is not None:
                raise self.fault
        self.read_.append(table.schema.name)

    def documents(self) -> Sequence[Document]:
        return [Document("ddl.sql", b"CREATE TABLE visit;" * 200_000)]

    def omitted(self) -> Sequence[Omission]:
        return [Omission("view", "a view"), *(Omission(name, "again") for name in self.lost)]

    def notes(self) -> Sequence[str]:
        return ["a note"]

    def check(self) -> list[object]:
        return []

    def grants(self) -> Text:
        return NOTHING


@dataclass
class Bench:
    """A folder of an agent, and what its packs hold."""

    folder: Path
    sequence: int = 0
    objects: MemoryObjects = field(default_factory=MemoryObjects)

    def __post_init__(self) -> None:
        self.holdings = Holdings(self.folder / "h.sqlite")
        self.spool = Spool(self.folder / "spool", max_bytes=1 << 40, min_free_bytes=0, keep_bytes=1 << 40, level=1)

    def take(
        self,
        source: Source,
        ask: Callable[[Sequence[ObjectId]], set[ObjectId]] | None = None,
        progress: Progress | None = None,
    ) -> Taken:
        self.sequence += 1
        ticks = iter(range(10_000))

        def clock() -> datetime:
            return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=next(ticks))

        place = Place("X013", "his", self.sequence, None if self.sequence == 1 else SOME_DIGEST, SIGNER, "test")

        def committed(pack: SpooledPack, ids: list[ObjectId], bases: list[Base]) -> None:
            self.holdings.add("his", ids)
            self.holdings.add_bases("his", pack.name, bases)

        with self.spool.writer(committed) as spooler:
            taken = take_snapshot(
                source, place, KEYS, spooler, self.holdings, self.folder / "tmp",  # type: ignore[arg-type]
                ask=ask, clock=clock, progress=progress or Silent(),
            )  # fmt: skip
        for pack in self.spool.packs():
            for frame in read_frames([pack.path.read_bytes()]):
                body = decode_frame(frame, lambda base: self.objects.bodies[base][1])
                self.objects.bodies[frame.object_id] = (frame.kind, body)
        return taken

    def lines(self, taken: Taken, name: str) -> list[bytes]:
        table = next(t for t in taken.manifest.tables if t.claim.name == name)
        return list(walk_lines(self.objects, table.top, table.claim.height))


from evidence.digest import Sha256  # noqa: E402 - beside its one use

SOME_DIGEST = Sha256(bytes(range(32)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.holdings.close()


def visits(count: int, change: dict[int, bytes] | None = None) -> list[bytes]:
    changed = change or {}
    return [
        b"%d\t%s" % (i, changed.get(i, hashlib.sha256(b"%d" % i).hexdigest().encode())) for i in range(1, count + 1)
    ]


def one(lines: list[bytes], schema: Schema = VISIT, *, ordered: bool = True) -> Source:
    return Source({schema.name: (Table(schema, ordered), lines)})


def schema_of(taken: Taken, bench: Bench, name: str) -> dict[str, object]:
    import json

    document = taken.manifest.schema_document(name)
    value: dict[str, object] = json.loads(bench.objects.bodies[document.object][1])
    return value


def test_a_snapshot_is_signed_complete_and_readable(bench: Bench) -> None:
    lines = visits(30_000)
    taken = bench.take(one(lines))
    note = parse_note(taken.note)
    verify_note(note, [SIGNER.key])
    assert parse_statement(note.text) == taken.statement
    assert (taken.statement.rows, taken.statement.tables) == (30_000, 1)
    assert bench.lines(taken, "visit") == lines
    assert taken.manifest.tables[0].claim.root == build(lines, MemoryObjects()).root
    names = [document.name for document in taken.manifest.documents]
    assert names == ["ddl.sql", "ddl.sql.part2", "schema/visit"]
    assert not list((bench.folder / "spool").glob(".*"))
    assert not (bench.folder / "tmp").exists()


def test_the_next_day_writes_only_what_changed(bench: Bench) -> None:
    bench.take(one(visits(30_000)))
    first = {pack.name: pack.size for pack in bench.spool.packs()}
    taken = bench.take(one(visits(30_050, {17: b"changed"})))
    second = sum(pack.size for pack in bench.spool.packs() if pack.name not in first)
    assert second < sum(first.values()) / 20
    assert bench.lines(taken, "visit") == visits(30_050, {17: b"changed"})


def test_a_node_of_the_next_day_travels_against_yesterday_s(bench: Bench) -> None:
    bench.take(one(visits(60_000)))
    before = {pack.name for pack in bench.spool.packs()}
    bench.take(one(visits(60_000, {30_000: b"changed"})))
    new = [pack for pack in bench.spool.packs() if pack.name not in before]
    frames = [f for pack in new for f in read_frames([pack.path.read_bytes()]) if f.kind is ObjectKind.NODE]
    assert frames
    assert all(frame.base is not None and len(frame.data) < frame.raw / 4 for frame in frames)


def test_a_changed_page_travels_against_its_older_self_wherever_it_stands(bench: Bench) -> None:
    changed = dict.fromkeys((17, 20000, 59990), b"changed")
    bench.take(one(visits(60_000)))
    before = {pack.name for pack in bench.spool.packs()}
    for pack in bench.spool.packs():
        bench.spool.mark_sent(pack.name)
    bench.spool.retire_sent(set)
    taken = bench.take(one(visits(60_000, changed)))
    new = [pack for pack in bench.spool.packs() if pack.name not in before]
    pages = [f for pack in new for f in read_frames([pack.path.read_bytes()]) if f.kind is ObjectKind.PAGE]
    assert len(pages) == 3
    assert all(page.base is not None and len(page.data) < 200 for page in pages)
    assert bench.lines(taken, "visit") == visits(60_000, changed)


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_a_kept_pack_that_is_gone_or_damaged_only_costs_bytes(bench: Bench, damage: str) -> None:
    bench.take(one(visits(60_000)))
    for pack in bench.spool.packs():
        bench.spool.mark_sent(pack.name)
    bench.spool.retire_sent(set)
    for path in (bench.folder / "spool" / "kept").glob("*.pack"):
        raw = path.read_bytes()
        path.unlink()
        if damage != "gone":
            path.write_bytes(raw[:20] if damage == "cut" else bytes(b ^ 1 for b in raw))
    taken = bench.take(one(visits(60_000, {30_000: b"changed"})))
    frames = [f for pack in bench.spool.packs() for f in read_frames([pack.path.read_bytes()])]
    assert {frame.kind for frame in frames} >= {ObjectKind.PAGE, ObjectKind.NODE}
    assert all(frame.base is None for frame in frames)
    assert bench.lines(taken, "visit") == visits(60_000, {30_000: b"changed"})


def test_rows_that_come_out_of_order_are_brought_into_order(bench: Bench) -> None:
    lines = visits(5_000)
    for ordered in (False, True):
        taken = bench.take(one(lines[2500:] + lines[:2500], ordered=ordered))
        assert bench.lines(taken, "visit") == lines
        assert schema_of(taken, bench, "visit")["key"] == ["id"]


@pytest.mark.parametrize("bad", [b"7\ttwice", b"\\N\tno key"])
def test_data_that_break_the_key_are_read_without_one(bench: Bench, bad: bytes) -> None:
    lines = [*visits(2_000), bad]
    taken = bench.take(one(lines))
    assert bench.lines(taken, "visit") == sorted(lines)
    schema = schema_of(taken, bench, "visit")
    assert schema["key"] == []
    assert taken.manifest.tables[0].claim.root == build(sorted(lines), MemoryObjects(), BY_LINE).root
    # The schema's hash must not hang on a value.
    assert schema["notes"] == ["declared key (id) not used: NULL, large or equal keys"]


def test_equal_lines_of_a_keyless_table_are_kept(bench: Bench) -> None:
    schema = replace(VISIT, key=())
    lines = [b"2\tb", b"1\ta", b"2\tb", b"2\tb"]
    assert bench.lines(bench.take(one(lines, schema)), "visit") == sorted(lines)


def test_large_cells_become_tokens_and_their_bytes_come_back(bench: Bench) -> None:
    large = b"\xe7\x97\x85" * 300_000
    lines = [b"1\tsmall", b"2\t" + large, b"3\t" + b"y" * 65_536, b"4\t" + large]
    taken = bench.take(one(lines))
    token = Token(hashlib.sha256(large).digest(), len(large))
    assert bench.lines(taken, "visit") == [lines[0], b"2\t" + token.encode(), lines[2], b"4\t" + token.encode()]
    assert taken.manifest.blobs is not None
    (line,) = walk_lines(bench.objects, taken.manifest.blobs, 0)
    digest, size, top = parse_blob_line(line)
    assert (digest, size) == (token.sha256, len(large))
    assert b"".join(read_blob(bench.objects, top)) == large


def test_a_table_that_is_lost_is_omitted_with_its_reason(bench: Bench) -> None:
    ward = replace(VISIT, name="ward")
    source = Source({"visit": (Table(VISIT, True), visits(3)), "ward": (Table(ward, True), [])}, lost={"ward"})
    taken = bench.take(source)
    assert [(o.name, o.reason) for o in taken.manifest.omitted] == [
        ("view", "a view"), ("ward", "permission denied for table"),
    ]  # fmt: skip
    assert [t.claim.name for t in taken.manifest.tables] == ["visit"]


def test_a_table_that_others_need_now_is_read_after_all_others(bench: Bench) -> None:
    tables = {name: (Table(replace(VISIT, name=name), True), visits(3000)) for name in ("bed", "visit", "ward")}
    undisturbed = bench.take(Source(tables)).manifest
    source = Source(tables, busy=["bed", "bed"])
    manifest = bench.take(source).manifest
    assert source.read_ == ["visit", "ward", "bed"]
    assert [t.claim for t in manifest.tables] == [t.claim for t in undisturbed.tables]
    assert [o.name for o in manifest.omitted] == ["view"]


def test_a_table_that_others_need_still_is_omitted_with_its_reason(bench: Bench) -> None:
    tables = {name: (Table(replace(VISIT, name=name), True), visits(3000)) for name in ("bed", "visit")}
    source = Source(tables, busy=["bed", "bed", "bed", "visit"])
    manifest = bench.take(source).manifest
    assert [t.claim.name for t in manifest.tables] == ["visit"]
    assert ("bed", "others waited for it") in [(o.name, o.reason) for o in manifest.omitted]
    assert source.busy == []


def test_a_source_without_a_readable_table_gives_no_statement(bench: Bench) -> None:
    source = one(visits(3))
    source.lost = {"visit"}
    with pytest.raises(SourceError, match="no table"):
        bench.take(source)


def test_a_source_that_dies_gives_no_statement_and_the_next_run_is_whole(bench: Bench) -> None:
    source = one(visits(20_000))
    source.fault = SourceDownError("gone", hint="try again")
    with pytest.raises(SourceDownError):
        bench.take(source)
    assert not source.is_open
    bench.sequence = 0
    taken = bench.take(one(visits(20_000)))
    assert bench.lines(taken, "visit") == visits(20_000)


def test_an_empty_table_has_the_empty_root(bench: Bench) -> None:
    claim = bench.take(one([])).manifest.tables[0].claim
    assert (claim.rows, claim.height, claim.items, claim.bytes_) == (0, 0, 0, 0)


def test_what_the_center_says_it_holds_is_not_written(bench: Bench) -> None:
    asked: list[int] = []

    def ask(ids: Sequence[ObjectId]) -> set[ObjectId]:
        asked.append(len(ids))
        return set()

    taken = bench.take(one(visits(30_000)), ask)
    assert sum(asked) > 100
    assert sum(pack.size for pack in bench.spool.packs()) < 40_000
    assert taken.statement.rows == 30_000


def test_a_blob_is_chunked_by_content(bench: Bench) -> None:
    from agent.snapshot.blobs import BlobWriter
    from agent.snapshot.objects import RootsOnly

    writer = BlobWriter(RootsOnly(), bench.folder / "b")
    raw = hashlib.sha256(b"seed").digest() * 100_000
    token = writer.put(io.BytesIO(raw))
    assert (token.sha256, token.size) == (hashlib.sha256(raw).digest(), len(raw))
    writer.close()
