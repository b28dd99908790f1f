# SPDX-License-Identifier: Apache-2.0
"""A real center in a folder, and units that send it snapshots: real keys, packs, admission, ledger; no network.

A `Hospital` plays the agent's part with the code of `evidence` alone, so a test says which lines a table has, which
bytes a file has, and which frames are coded against older ones.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from center.app import Center
from center.receive.admit import StatementAnswer
from evidence.digest import ObjectId, Sha256, sha256
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.manifest.blobtable import encode_blob_line
from evidence.manifest.claim import Claim, order_claims, snapshot_root
from evidence.manifest.manifest import Document, Manifest, ManifestTable, Omitted, Parameters
from evidence.manifest.statement import (
    Channel,
    Consistency,
    GapCause,
    GapStatement,
    SnapshotStatement,
    Statement,
    key_name,
    statement_digest,
)
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note, sign_note
from evidence.objects.blobs import BlobBuilder
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import PackWriter
from evidence.rows.commit import commit_lines, row_key
from evidence.rows.line import KeySpec, Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.tree.build import TreeBuilder
from evidence.tree.nodes import Tree
from evidence.wire.secrets import SourceSecrets

ORIGIN = "archives.example/jinsuo"
NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


class TickingClock:
    """A clock that goes on by a second each time it is asked."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


PATIENT = Schema(
    "patient",
    (
        Column("id", Kind.INT, False, "integer"),
        Column("name", Kind.TEXT, True, "text"),
        Column("note", Kind.TEXT, True, "text"),
    ),
    ("id",),
)
WARD = Schema("ward", (Column("name", Kind.TEXT, True, "text"),))
SCAN = Schema(
    "scan", (Column("path", Kind.TEXT, False, "text"), Column("content", Kind.BYTES, True, "bytea")), ("path",)
)


@dataclass(frozen=True)
class TableLines:
    """A table of a snapshot: its lines are in canonical order."""

    schema: Schema
    lines: Sequence[bytes]


def patients(count: int, changed: Mapping[int, str] | None = None) -> TableLines:
    """Give a table of `count` patients; `changed` are notes of some that differ."""
    notes = changed or {}
    lines = [f"{i}\t患者{i}\t{notes.get(i, _note(i))}".encode() for i in range(1, count + 1)]
    return TableLines(PATIENT, lines)


def wards(*names: str) -> TableLines:
    """Give a table without a key."""
    return TableLines(WARD, sorted(name.encode() for name in names))


def scans(contents: Mapping[str, bytes]) -> TableLines:
    """Give a table whose every row has a large cell."""
    lines = [
        f"{path}\t".encode() + Token(hashlib.sha256(content).digest(), len(content)).encode()
        for path, content in contents.items()
    ]
    return TableLines(SCAN, sorted(lines))


def _note(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()[: i * 7919 % 64]


@dataclass
class Hospital:
    """A unit that is enrolled, with one source; keeps what it has sent, as an agent does."""

    center: Center
    unit: str = "X013"
    source: str = "his"
    pack_bytes: int = 1 << 20
    sequence: int = 0
    previous: Sha256 | None = None
    sent: set[ObjectId] = field(default_factory=set)
    bases: dict[str, dict[bytes, tuple[ObjectId, bytes]]] = field(default_factory=dict)
    packs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        seed = hashlib.sha256(f"{self.unit}".encode()).digest()
        self.signer = Ed25519Signer.from_seed(self.unit, KeyType.ED25519, seed)
        self.cosigner = Ed25519Signer.from_seed(self.unit, KeyType.COSIGNATURE, hashlib.sha256(seed).digest())
        self.secrets = SourceSecrets(
            hashlib.sha256(f"row {self.unit}/{self.source}".encode()).digest(),
            hashlib.sha256(f"storage {self.unit}/{self.source}".encode()).digest(),
        )
        if self.unit not in {unit.unit for unit in self.center.units.list()}:
            code = self.center.units.add(self.unit, f"单位 {self.unit}")
            self.center.units.enroll(code.secret, self.signer.key.public, self.cosigner.key.public)
        self.center.units.register_source(self.unit, self.source, self.secrets)

    def snapshot(
        self,
        *tables: TableLines,
        contents: Sequence[bytes] = (),
        omitted: Sequence[str] = (),
        send: bool = True,
        register_only: bool = False,
    ) -> StatementAnswer:
        """Take a snapshot of `tables` with the bytes of their large cells, send what is new, submit the statement."""
        statement, objects = self.prepare(tables, contents, omitted)
        if send:
            self.send(objects)
        return self.submit(statement, register_only)

    def prepare(
        self, tables: Sequence[TableLines], contents: Sequence[bytes] = (), omitted: Sequence[str] = ()
    ) -> tuple[SnapshotStatement, "Objects"]:
        """Build trees, manifest and statement; nothing is sent."""
        objects = Objects(self.secrets.storage_key)
        moment = self.center.clock()
        documents: list[Document] = []
        entries: list[ManifestTable] = []
        for table in tables:
            schema = table.schema
            name = objects.put(ObjectKind.DOCUMENT, schema.encode())
            documents.append(Document(f"schema/{schema.name}", schema.digest, name))
            objects.table = schema.name
            tree = self._build(table.lines, KeySpec.of(schema), objects)
            claim = Claim(schema.name, schema.digest, tree.root, tree.height, tree.items, tree.rows, tree.bytes_)
            entries.append(ManifestTable(claim, schema.digest, tree.top, (moment, moment)))
        objects.table = ""
        ddl = "".join(f"CREATE TABLE {table.schema.name};\n" for table in tables).encode()
        documents.append(Document("ddl.sql", sha256(ddl), objects.put(ObjectKind.DOCUMENT, ddl)))
        order = {claim.name: i for i, claim in enumerate(order_claims([entry.claim for entry in entries]))}
        manifest = Manifest(
            self.unit, self.source, self.sequence + 1, Consistency.CONSISTENT, "-", Parameters(),
            tuple(sorted(entries, key=lambda entry: order[entry.claim.name])),
            tuple(Omitted(name, "no rights") for name in sorted(omitted)),
            tuple(sorted(documents, key=lambda document: document.name.encode())),
            self._put_blobs(contents, objects), (), "jinsuo test",
        )  # fmt: skip
        body = manifest.encode()
        objects.put(ObjectKind.MANIFEST, body)
        claims = [entry.claim for entry in entries]
        statement = SnapshotStatement(
            self.unit, self.source, self.sequence + 1, self.previous, moment, moment, Consistency.CONSISTENT, "-",
            Channel.ONLINE, len(claims), sum(c.rows for c in claims), sum(c.bytes_ for c in claims), sha256(body),
            snapshot_root(claims, self.secrets.row_secret),
        )  # fmt: skip
        return statement, objects

    def send(self, objects: "Objects") -> None:
        """Send the objects that the center does not have, in packs of about `pack_bytes`."""
        missing = set(self.center.admission.missing(self.unit, self.source, list(objects.bodies)))
        pending = [(name, *objects.bodies[name]) for name in objects.bodies if name in missing]
        while pending:
            raw = io.BytesIO()
            writer = PackWriter(raw.write)
            while pending and writer.size < self.pack_bytes and writer.has_room(len(pending[0][2])):
                name, kind, body = pending.pop(0)
                base = self._find_base(objects, name)
                writer.add(kind, name, body, base)
            self.center.admission.put_pack(self.unit, self.source, writer.name(), [raw.getvalue()])
            self.packs.append(writer.name())
        for name, (table, hint) in objects.hints.items():
            if name in missing or table not in self.bases or hint not in self.bases[table]:
                self.bases.setdefault(table, {}).setdefault(hint, (name, objects.bodies[name][1]))

    def submit(self, statement: Statement, register_only: bool = False) -> StatementAnswer:
        """Sign and submit a statement."""
        note = self.sign(statement)
        answer = self.center.admission.submit(self.unit, self.source, note, register_only)
        if answer.receipt is not None and statement.sequence == self.sequence + 1:
            self.sequence, self.previous = statement.sequence, statement_digest(statement.encode())
        return answer

    def sign(self, statement: Statement) -> bytes:
        """Give the note of a statement."""
        return sign_note(statement.encode(), [self.signer.renamed(key_name(self.unit, self.source))]).encode()

    def gap(self, lost: str = "停电一天") -> StatementAnswer:
        """State that something is not covered."""
        moment = self.center.clock()
        statement = GapStatement(
            self.unit, self.source, self.sequence + 1, self.previous, moment - timedelta(days=1), moment,
            GapCause.OUTAGE, lost,
        )  # fmt: skip
        return self.submit(statement)

    def _build(self, lines: Sequence[bytes], spec: KeySpec, objects: "Objects") -> Tree:
        builder = TreeBuilder(objects, spec.hint_of)
        if lines:
            block = b"".join(line + b"\n" for line in lines)
            leaves = commit_lines(row_key(self.secrets.row_secret), block)
            builder.add(block, leaves.ends, leaves.hashes)
        return builder.finish()

    def _put_blobs(self, contents: Sequence[bytes], objects: "Objects") -> ObjectId | None:
        lines = []
        for content in {bytes(c) for c in contents}:
            builder = BlobBuilder(objects.put)
            for start in range(0, len(content), 64 << 10):
                builder.add(content[start : start + (64 << 10)])
            lines.append(encode_blob_line(hashlib.sha256(content).digest(), len(content), builder.finish()))
        return self._build(sorted(lines), BLOBS, objects).top

    def _find_base(self, objects: "Objects", name: ObjectId) -> tuple[ObjectId, bytes] | None:
        """Give the first version of the page that begins with the same row, as an agent remembers it."""
        table, hint = objects.hints.get(name, ("", b""))
        base = self.bases.get(table, {}).get(hint)
        return None if base is None or base[0] == name else base


@dataclass
class Objects:
    """Objects of one snapshot, in the order in which they were made; a `TreeSink`."""

    storage_key: bytes
    bodies: dict[ObjectId, tuple[ObjectKind, bytes]] = field(default_factory=dict)
    hints: dict[ObjectId, tuple[str, bytes]] = field(default_factory=dict)
    table: str = ""

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:
        name = name_object(self.storage_key, kind, body)
        self.bodies[name] = (kind, body)
        return name

    def put_page(self, body: bytes) -> ObjectId:
        name = self.put(ObjectKind.PAGE, body)
        self.hints[name] = (self.table, body.partition(b"\t")[0])
        return name

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        return [self.put_page(body) for body in bodies]

    def put_node(self, body: bytes) -> ObjectId:
        return self.put(ObjectKind.NODE, body)


def create_center(folder: Path) -> None:
    """Make an empty center in `folder`."""
    Center.create(folder, ORIGIN, clock=TickingClock())


def open_center(folder: Path, now: datetime = NOW) -> Center:
    """Open the center in `folder`, with a clock that starts at `now`."""
    return Center.open(folder, clock=TickingClock(now))


def fill_center(folder: Path) -> list[str]:
    """Make a center with two units, three sources, snapshots of all shapes; give the packs of X013/his in order."""
    create_center(folder)
    contents = {f"影像/{i:03}.dcm": bytes([i]) * (70_000 + i) for i in range(1, 13)}
    with open_center(folder) as center:
        his = Hospital(center, pack_bytes=200_000)
        his.snapshot(patients(9_000), wards("内科", "内科", "外科"))
        his.snapshot(patients(9_100, {17: "改过的病历", 8_000: "也改过"}), wards("内科", "外科", "儿科"))
        pacs = Hospital(center, source="pacs")
        pacs.snapshot(scans(contents), contents=list(contents.values()))
        del contents["影像/003.dcm"]
        pacs.snapshot(scans(contents), contents=list(contents.values()))
        other = Hospital(center, unit="Y002", source="docs")
        other.snapshot(wards("档案室"), omitted=["secret"])
        other.gap()
        statement, objects = other.prepare([wards("档案室", "阅览室")])
        other.submit(statement, register_only=True)
        other.send(objects)
        center.admission.submit(other.unit, other.source, other.sign(statement))
        note = center.ledger.checkpoint()
        _cosign(center, his, note)
    return his.packs


def _cosign(center: Center, hospital: Hospital, checkpoint: bytes) -> None:
    line = cosign(parse_note(checkpoint).text, hospital.cosigner, int(NOW.timestamp()) + 9_999)
    assert center.ledger.add_cosignature(line, hospital.cosigner.key)
