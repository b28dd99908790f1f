# SPDX-License-Identifier: Apache-2.0
"""Snapshots held in memory: the real trees, manifest and reader over a store that is a dictionary.

What a test gives is values; what it gets is a `center.registry.snapshots.Snapshot` whose claims are those that an agent
would have made. Objects can be damaged or removed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from center.registry.catalog_tables import StatementRow
from center.registry.snapshots import Snapshot
from evidence.digest import ObjectId, Sha256, object_id, sha256
from evidence.errors import MissingObjectError
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.manifest.blobtable import encode_blob_line
from evidence.manifest.claim import Claim, snapshot_root
from evidence.manifest.entry import Level
from evidence.manifest.manifest import SCHEMA_PREFIX, Document, Manifest, ManifestTable, Omitted, Parameters
from evidence.manifest.statement import Channel, Consistency, SnapshotStatement, statement_digest
from evidence.objects.blobs import MAX_CHUNK_BYTES, BlobBuilder
from evidence.objects.object import ObjectKind
from evidence.rows.commit import commit_lines, row_key
from evidence.rows.line import KeySpec, shorten_line
from evidence.rows.schema import Schema
from evidence.tree.build import TreeBuilder
from evidence.tree.nodes import Tree, parse_node
from evidence.wire.secrets import SourceSecrets

SECRETS = SourceSecrets(b"R" * 32, b"S" * 32)
DAY_ONE = datetime(2026, 11, 22, 1, tzinfo=UTC)


class MemoryObjects:
    """Objects of one source in a dictionary: a sink for trees and blobs, and a source for the reader. Counts reads."""

    def __init__(self, storage_key: bytes = SECRETS.storage_key) -> None:
        self._storage_key = storage_key
        self.bodies: dict[ObjectId, tuple[ObjectKind, bytes]] = {}
        self.reads = 0

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:
        """Keep an object."""
        name = object_id(self._storage_key, kind, body)
        self.bodies[name] = (kind, body)
        return name

    def put_page(self, body: bytes) -> ObjectId:
        """Keep a page."""
        return self.put(ObjectKind.PAGE, body)

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Keep pages."""
        return [self.put_page(body) for body in bodies]

    def put_node(self, body: bytes) -> ObjectId:
        """Keep a node."""
        return self.put(ObjectKind.NODE, body)

    def begin_table(self, name: str, schema: bytes, hint_of: Callable[[bytes], bytes]) -> None:
        """Be an agent's sink."""

    def end_table(self) -> None:
        """Be an agent's sink."""

    def read(self, wanted: ObjectId, kind: ObjectKind) -> bytes:
        """Give the body of an object."""
        self.reads += 1
        found = self.bodies.get(wanted)
        if found is None or found[0] != kind:
            raise MissingObjectError(f"object {wanted.hex()} is not at hand", object_id=wanted)
        return found[1]

    def read_page(self, page: ObjectId) -> bytes:
        """Give a page's body."""
        return self.read(page, ObjectKind.PAGE)

    def read_node(self, node: ObjectId) -> bytes:
        """Give a node's body."""
        return self.read(node, ObjectKind.NODE)

    def height_of(self, top: ObjectId) -> int:
        """Give the height of a tree."""
        return 0 if self.bodies[top][0] is ObjectKind.PAGE else parse_node(self.read_node(top))[0] + 1


@dataclass(frozen=True)
class TableContent:
    """A table to be put into a snapshot: whole lines (large cells in full), in any order; blobs by content."""

    schema: Schema
    lines: Sequence[bytes]
    blobs: Sequence[bytes] = ()
    carried_from: int | None = None


@dataclass
class SourceHistory:
    """Make snapshots of one source, one after another, over one store of objects."""

    unit: str = "X013"
    source: str = "his"
    position: str = "-"
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    statements: list[StatementRow] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)

    def take(
        self,
        *tables: TableContent,
        omitted: Mapping[str, str] | None = None,
        documents: Mapping[str, bytes] | None = None,
        sequence: int | None = None,
        stored: bool = True,
    ) -> Snapshot:
        """Take the next snapshot; `stored` False: registered only."""
        blobs: dict[bytes, bytes] = {}
        built = [(t.schema, self._build(t, blobs), t.carried_from) for t in tables]
        top = self._put_blobs(blobs)
        return self.keep(built, top, omitted=omitted, documents=documents, sequence=sequence, stored=stored)

    def keep(
        self,
        tables: Sequence[tuple[Schema, Tree, int | None]],
        blobs: ObjectId | None,
        *,
        omitted: Mapping[str, str] | None = None,
        documents: Mapping[str, bytes] | None = None,
        sequence: int | None = None,
        stored: bool = True,
    ) -> Snapshot:
        """Make a snapshot of trees whose objects are in `self.objects`."""
        number = sequence or len(self.statements) + 1
        began = DAY_ONE + timedelta(days=number - 1)
        entries, papers = [], dict(documents or {})
        for schema, tree, carried_from in sorted(tables, key=lambda t: t[0].name.encode()):
            claim = Claim(schema.name, schema.digest, tree.root, tree.height, tree.items, tree.rows, tree.bytes_)
            read_at = (began, began + timedelta(minutes=1))
            entries.append(ManifestTable(claim, schema.digest, tree.top, read_at, carried_from))
            papers[SCHEMA_PREFIX + schema.name] = schema.encode()
        manifest = Manifest(
            unit=self.unit,
            source=self.source,
            sequence=number,
            consistency=Consistency.CONSISTENT,
            position=self.position,
            parameters=Parameters(),
            tables=tuple(entries),
            omitted=tuple(Omitted(n, r) for n, r in sorted((omitted or {}).items(), key=lambda x: x[0].encode())),
            documents=tuple(
                Document(name, sha256(body), self.objects.put(ObjectKind.DOCUMENT, body))
                for name, body in sorted(papers.items(), key=lambda x: x[0].encode())
            ),
            blobs=blobs,
            notes=(),
            agent="test",
        )
        return self._keep(manifest, began, stored)

    def add_statement(self, row: StatementRow) -> None:
        """Add a statement of another kind."""
        self.statements.append(row)

    def open(self, sequence: int) -> Snapshot:
        """Open the snapshot with `sequence`."""
        return self.snapshots[sequence]

    def _build(self, content: TableContent, blobs: dict[bytes, bytes]) -> Tree:
        spec = KeySpec.of(content.schema)
        for blob in content.blobs:
            blobs[hashlib.sha256(blob).digest()] = blob
        lines = []
        for line in content.lines:
            short, found = shorten_line(line, content.schema) if len(line) > 65_536 else (line, [])
            blobs.update({token.sha256: raw for token, raw in found})
            lines.append(short)
        lines.sort(key=lambda line: spec.order_of(spec.key_of(line)))
        return build_tree(lines, spec, self.objects)

    def _put_blobs(self, blobs: dict[bytes, bytes]) -> ObjectId | None:
        lines = []
        for digest, raw in sorted(blobs.items()):
            builder = BlobBuilder(self.objects.put)
            for at in range(0, len(raw), MAX_CHUNK_BYTES):
                builder.add(raw[at : at + MAX_CHUNK_BYTES])
            lines.append(encode_blob_line(digest, len(raw), builder.finish()))
        return build_tree(lines, BLOBS, self.objects).top

    def _keep(self, manifest: Manifest, began: datetime, stored: bool) -> Snapshot:
        body = manifest.encode()
        claims = [t.claim for t in manifest.tables]
        statement = SnapshotStatement(
            unit=self.unit,
            source=self.source,
            sequence=manifest.sequence,
            previous=self._previous(manifest.sequence),
            began=began,
            ended=began + timedelta(minutes=2),
            consistency=Consistency.CONSISTENT,
            position=self.position,
            channel=Channel.ONLINE,
            tables=len(claims),
            rows=sum(c.rows for c in claims),
            bytes_=sum(c.bytes_ for c in claims),
            manifest_sha256=sha256(body),
            root=snapshot_root(claims, SECRETS.row_secret),
        )
        text = statement.encode()
        top = self.objects.put(ObjectKind.MANIFEST, body)
        row = StatementRow(
            unit=self.unit,
            source=self.source,
            sequence=manifest.sequence,
            kind="snapshot",
            digest=statement_digest(text),
            previous=statement.previous,
            level=Level.STORED if stored else Level.REGISTERED,
            index=manifest.sequence,
            stored_index=manifest.sequence if stored else None,
            received=statement.ended,
            began=statement.began,
            ended=statement.ended,
            tables=statement.tables,
            rows=statement.rows,
            bytes_=statement.bytes_,
            root=statement.root,
            manifest_sha256=statement.manifest_sha256,
            manifest_object=top if stored else None,
            consistency="consistent",
            flags=(),
            note=text + "\n— X013/his AAAAAAAAAAAAAAAA\n".encode(),
        )
        self.statements.append(row)
        if stored:
            # The reader asks of its objects only what MemoryObjects has.
            self.snapshots[manifest.sequence] = Snapshot(statement, row, self.objects, SECRETS)  # type: ignore[arg-type]
            return self.snapshots[manifest.sequence]
        return Snapshot.__new__(Snapshot)

    def _previous(self, sequence: int) -> Sha256 | None:
        if self.statements:
            return self.statements[-1].digest
        return None if sequence == 1 else sha256(b"a statement that the test does not have")


def build_tree(lines: Iterable[bytes], spec: KeySpec, sink: MemoryObjects) -> Tree:
    """Build the tree of ordered lines, a few thousand rows at a time."""
    builder = TreeBuilder(sink, spec.hint_of)
    block: list[bytes] = []

    def flush() -> None:
        data = b"".join(line + b"\n" for line in block)
        leaves = commit_lines(row_key(SECRETS.row_secret), data)
        builder.add(data, leaves.ends, leaves.hashes)
        block.clear()

    for line in lines:
        block.append(line)
        if len(block) == 2000:
            flush()
    if block:
        flush()
    return builder.finish()


def root_of(snapshot: Snapshot, table: str) -> Sha256:
    """Give the claimed root of a table."""
    return snapshot.table(table).claim.root
