# SPDX-License-Identifier: Apache-2.0
"""Promise 1 against a unit that has the keys: no `stored` for large cells that its own `@blobs` does not give back."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import pytest

from center.errors import StatementError
from center.receive.closure import Closure
from center.receive.intake import Intake
from center.registry.catalog_tables import BLOB_SPEC, Fact
from center.registry.objects import SourceObjects
from evidence.digest import ObjectId, sha256, tree_head
from evidence.manifest.blobtable import encode_blob_line
from evidence.manifest.claim import snapshot_root
from evidence.manifest.entry import Level
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.statement import SnapshotStatement
from evidence.objects.blobs import encode_chunk_list
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import PackWriter, read_frames
from evidence.rows.commit import commit_page, row_key
from evidence.rows.line import KeySpec
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.tree.nodes import Entry, encode_node, parse_node
from tests.builders.center import SCAN, Hospital, Objects, create_center, open_center, patients, scans, wards

Change = Callable[[Manifest], Manifest]
_SOURCES = iter(range(10_000))
CONTENTS = {f"{i:03}.dcm": bytes([i]) * (70_000 + i) for i in range(1, 40)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("closure") / "center"
    create_center(path)
    return path


@pytest.fixture
def hospital(folder: Path) -> Iterator[Hospital]:
    with open_center(folder) as center:
        yield Hospital(center, source=f"c{next(_SOURCES)}")


def test_an_unchanged_table_whose_blobs_the_new_manifest_dropped_is_refused(hospital: Hospital) -> None:
    table = scans(CONTENTS)
    assert hospital.snapshot(table, contents=list(CONTENTS.values())).level is Level.STORED
    with pytest.raises(StatementError, match="@blobs does not have"):
        hospital.snapshot(table)
    with pytest.raises(StatementError, match="@blobs does not have"):
        hospital.snapshot(table, contents=list(CONTENTS.values())[1:])
    assert hospital.snapshot(table, wards("内科"), contents=list(CONTENTS.values())).level is Level.STORED


def test_a_blob_that_never_came_is_not_stored_by_a_manifest_that_no_longer_lists_it(hospital: Hospital) -> None:
    table = scans(CONTENTS)
    statement, objects = hospital.prepare([table], list(CONTENTS.values()))
    chunks = [name for name, (kind, _) in objects.bodies.items() if kind is ObjectKind.CHUNK]
    for name in chunks:
        del objects.bodies[name]
    hospital.send(objects)
    assert hospital.submit(statement).receipt is None
    with pytest.raises(StatementError, match="@blobs does not have"):
        hospital.snapshot(table)


def test_dropping_the_blobs_of_rows_that_are_gone_is_right(hospital: Hospital) -> None:
    hospital.snapshot(scans(CONTENTS), contents=list(CONTENTS.values()))
    fewer = {name: content for name, content in CONTENTS.items() if name != "003.dcm"}
    assert hospital.snapshot(scans(fewer), contents=list(fewer.values())).level is Level.STORED


def test_a_node_judged_while_its_pages_are_being_judged_does_not_lose_their_large_cells(hospital: Hospital) -> None:
    """A page's fact and its mark come in one step: whoever asks in between must not see the fact and miss the mark."""
    statement, objects = hospital.prepare([scans({f"{i:04}.dcm": b"x" * 70_000 + b"%d" % i for i in range(1, 1200)})])
    nodes = {name: body for name, (kind, body) in objects.bodies.items() if kind is ObjectKind.NODE}
    top = list(nodes)[-1]
    for name in nodes:
        del objects.bodies[name]
    hospital.send(objects)
    center, unit, source = hospital.center, hospital.unit, hospital.source
    read = SourceObjects(center.store, center.catalog, unit, source, hospital.secrets.storage_key)
    closure = Closure(center.catalog, read, unit, source, row_key(hospital.secrets.row_secret), None)
    pages = [entry.child for body in nodes.values() if body[0] == 0 for entry in parse_node(body)[1]]
    asked: list[str] = []

    def find_facts(spec: str, ids: Iterable[ObjectId]) -> dict[ObjectId, Fact]:
        found = center.catalog.find_facts(unit, source, spec, list(ids))
        asked.append(spec)
        if len(asked) == 1:
            # Another request of the same unit claims the pages alone, and is refused: they are judged and marked by it.
            closure._judge_pages(pages, KeySpec.of(SCAN), SCAN)
        return found

    intake = Intake(read, hospital.secrets, "0" * 64, find_facts, lambda err: None)
    pack = io.BytesIO()
    writer = PackWriter(pack.write)
    for kind, body in [(ObjectKind.DOCUMENT, SCAN.encode()), *((ObjectKind.NODE, body) for body in nodes.values())]:
        writer.add(kind, name_object(hospital.secrets.storage_key, kind, body), body)
    for frame in read_frames([pack.getvalue()]):
        intake.take(frame)
    intake.finish()
    assert asked
    center.catalog.add_facts(unit, source, intake.facts)
    assert top not in center.catalog.find_facts(unit, source, KeySpec.of(SCAN).name, [top])
    objects.bodies |= {name: (ObjectKind.NODE, body) for name, body in nodes.items()}
    hospital.send(objects)
    with pytest.raises(StatementError, match="@blobs does not have"):
        hospital.submit(statement)


def test_keys_of_megabytes_do_not_fill_the_catalog(hospital: Hospital) -> None:
    """Few bytes on the line: lines of one letter, and nodes over them that each would repeat their keys."""
    columns = tuple(Column(f"c{i}", Kind.TEXT, True, "text") for i in range(20))
    schema = Schema("wide", columns)
    line = b"\t".join([b"x" * 50_000] * 20)
    key = row_key(hospital.secrets.row_secret)
    names = Objects(hospital.secrets.storage_key)
    pages = [line[:-i] for i in range(3, 0, -1)]
    entries = [Entry(1, 1, tree_head(commit_page(key, page)), names.put_page(page), page[:256]) for page in pages]
    objects = Objects(hospital.secrets.storage_key)
    objects.put(ObjectKind.DOCUMENT, schema.encode())
    for page in pages:
        objects.put_page(page)
    for count in range(1, 40):
        objects.put_node(encode_node(0, list(islice(cycle(entries), count))))
    before = sum(path.stat().st_size for path in hospital.center.folder.glob("catalog.sqlite*"))
    hospital.send(objects)
    after = sum(path.stat().st_size for path in hospital.center.folder.glob("catalog.sqlite*"))
    assert after - before < 2 << 20


def test_nodes_that_share_missing_children_are_gone_through_once(hospital: Hospital) -> None:
    # Eight levels of thirty nodes, each naming all thirty below: 30^8 paths through 240 objects, to a page never sent.
    statement, objects = hospital.prepare([patients(9_000)])
    absent = ObjectId(bytes(32))
    below = [absent] * 30
    root = statement.root
    for level in range(8):
        names = []
        for i in range(30):
            entries = [Entry(40 + i, 40 + i + k, root, child, b"%d" % k) for k, child in enumerate(below)]
            names.append(objects.put_node(encode_node(level, entries)))
        below = names

    def change(manifest: Manifest) -> Manifest:
        table = manifest.tables[0]
        claim = replace(table.claim, height=8, items=30)
        return replace(manifest, tables=(replace(table, claim=claim, top=below[0]),))

    forged = _forge(hospital, objects, statement, change)
    hospital.send(objects)
    answer = hospital.submit(forged)
    assert answer.receipt is None
    assert answer.missing == (absent,)


def test_chunk_lists_that_share_missing_chunks_are_gone_through_once(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([scans({"a": b"x" * 70_000})], [b"x" * 70_000])
    absent = ObjectId(bytes(32))
    below, size = [absent] * 60, 1
    for level in range(4):
        names = []
        for i in range(60):
            body = encode_chunk_list(level, [(size, child) for child in below] + [(size + i, below[0])])
            names.append(name_object(hospital.secrets.storage_key, ObjectKind.CHUNK_LIST, body))
            objects.bodies[names[-1]] = (ObjectKind.CHUNK_LIST, body)
        below, size = names, size * 60
    digest = hashlib.sha256(b"x" * 70_000).digest()
    page = objects.put_page(encode_blob_line(digest, 70_000, below[0]))
    forged = _forge(hospital, objects, statement, lambda manifest: replace(manifest, blobs=page))
    hospital.send(objects)
    answer = hospital.submit(forged)
    assert answer.receipt is None
    assert answer.missing == (absent,)


@pytest.mark.parametrize(("size", "content", "is_true"), [
    (70_000, b"x", True), (70_001, b"x", False), (70_000, b"y", False),
])  # fmt: skip
def test_small_file_is_hashed_as_it_comes_and_its_token_held_against_that(
    hospital: Hospital, size: int, content: bytes, is_true: bool
) -> None:
    # One chunk right before its list, as an agent writes a small file; the list or the token may lie.
    statement, objects = hospital.prepare([scans({"a": b"x" * 70_000})], [b"x" * 70_000])
    for name in [n for n, (kind, _) in objects.bodies.items() if kind in (ObjectKind.CHUNK, ObjectKind.CHUNK_LIST)]:
        del objects.bodies[name]
    chunk = objects.put(ObjectKind.CHUNK, content * 70_000)
    top = objects.put(ObjectKind.CHUNK_LIST, encode_chunk_list(0, [(size, chunk)]))
    page = objects.put_page(encode_blob_line(hashlib.sha256(b"x" * 70_000).digest(), 70_000, top))
    forged = _forge(hospital, objects, statement, lambda manifest: replace(manifest, blobs=page))
    hospital.send(objects)
    known = hospital.center.catalog.find_facts(hospital.unit, hospital.source, BLOB_SPEC, [top])
    assert (top in known) is (size == 70_000), "before any statement names it"
    if is_true:
        assert hospital.submit(forged).level is Level.STORED
    else:
        with pytest.raises(StatementError, match="content of a blob is not what its token"):
            hospital.submit(forged)


def _forge(hospital: Hospital, objects: Objects, statement: SnapshotStatement, change: Change) -> SnapshotStatement:
    """Give a statement over a manifest that was changed; its claims and figures fit each other."""
    name = next(name for name, (kind, _) in objects.bodies.items() if kind is ObjectKind.MANIFEST)
    body = change(parse_manifest(objects.bodies.pop(name)[1])).encode()
    objects.put(ObjectKind.MANIFEST, body)
    claims = [table.claim for table in parse_manifest(body).tables]
    root = snapshot_root(claims, hospital.secrets.row_secret)
    return replace(statement, manifest_sha256=sha256(body), root=root)
