# SPDX-License-Identifier: Apache-2.0
"""Real snapshots, logs, bundles and policies, small and quick: real trees, keys, notes and proofs, made in memory.

Defaults make a bundle that holds; a test replaces what it is about. Keys come from fixed seeds, times are fixed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256 as sha256_state
from typing import Any

from evidence.digest import EMPTY_ROOT, ObjectId, Sha256, audit_path, leaf_hash, object_id, sha256, tree_head
from evidence.encode import encode_json
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint
from evidence.log.merkle import inclusion_proof
from evidence.log.tlog_proof import TlogProof
from evidence.manifest.claim import Claim, claim_leaf, claim_salt, order_claims, snapshot_leaves, snapshot_root
from evidence.manifest.entry import Entry, Level
from evidence.manifest.receipt import Receipt
from evidence.manifest.statement import Channel, Consistency, SnapshotStatement, key_name
from evidence.note.cosign import cosign
from evidence.note.signed import Note, sign_note
from evidence.rows.commit import commit_lines, commit_page, row_key, row_salt
from evidence.rows.line import KeySpec
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.tree.build import TreeBuilder
from evidence.tree.nodes import Tree
from evidence.tree.proof import prove_row
from evidence.verify.bundle import Bundle, BundleClaim, BundleRow
from evidence.verify.policy import Policy, parse_policy

ORIGIN = "log.example/center"
ROW_SECRET = bytes(range(32))
RECEIVED = datetime(2026, 11, 22, 1, 20, tzinfo=UTC)
COSIGNED_AT = int(datetime(2026, 11, 22, 1, 21, tzinfo=UTC).timestamp())


def signer(name: str, seed: int, kind: KeyType = KeyType.ED25519) -> Ed25519Signer:
    """Give a signer whose seed is `seed` 32 times."""
    return Ed25519Signer.from_seed(name, kind, bytes((seed,)) * 32)


LOG = signer(ORIGIN, 1)
OPERATOR = signer(f"{ORIGIN}/operator", 2)
UNIT = signer("X013", 3)
OTHER_UNIT = signer("X014", 4)
COSIGNER = signer("X013", 5, KeyType.COSIGNATURE)
OTHER_COSIGNER = signer("X014", 6, KeyType.COSIGNATURE)
WITNESS = signer("witness.example/w1", 7, KeyType.COSIGNATURE)
STRANGER = signer("stranger.example/w9", 8, KeyType.COSIGNATURE)

POLICY_TEXT = f"""\
# Whom the tests believe.
log {LOG.key.vkey}
operator {OPERATOR.key.vkey}
unit X013 {UNIT.key.vkey}
unit X014 {OTHER_UNIT.key.vkey}
witness unit-X013 {COSIGNER.key.vkey}
witness unit-X014 {OTHER_COSIGNER.key.vkey}
witness w1 {WITNESS.key.vkey}
group outside any unit-X013 unit-X014 w1
quorum outside
"""


def policy(text: str = POLICY_TEXT) -> Policy:
    """Read a policy."""
    return parse_policy(text.encode())


VISIT = Schema(
    "public.visit",
    (
        Column("id", Kind.INT, False, "bigint"),
        Column("patient", Kind.TEXT, True, "text"),
        Column("day", Kind.DATE, True, "date"),
        Column("amount", Kind.INT, True, "integer"),
        Column("note", Kind.TEXT, True, "text"),
        Column("closed", Kind.BOOL, True, "boolean"),
    ),
    ("id",),
)
DRUG = Schema(
    "public.drug",
    (Column("code", Kind.TEXT, False, "text"), Column("price", Kind.DECIMAL, True, "numeric", 2)),
    ("code",),
)
WARD = Schema("public.ward", (Column("name", Kind.TEXT, True, "text"),))


def family_line(i: int, seed: str) -> bytes:
    """Give line `i` of the family of rows that vectors.json defines."""
    x = sha256_state(f"{seed}:{i}".encode()).hexdigest()
    return (
        f"{i}\t患者{int(x[0:4], 16)}\t2026-{int(x[4], 16) % 12 + 1:02d}-{int(x[5:7], 16) % 28 + 1:02d}"
        f"\t{int(x[8:14], 16)}\t{x[0 : int(x[14:16], 16) % 64]}\t{'f' if int(x[16], 16) < 4 else 't'}"
    ).encode()


def visit_lines(count: int, seed: str = "a") -> list[bytes]:
    """Give the family's first lines."""
    return [family_line(i, seed) for i in range(1, count + 1)]


class Objects:
    """Pages and nodes in a dictionary: a sink and a source of trees."""

    def __init__(self) -> None:
        self._bodies: dict[ObjectId, bytes] = {}

    def put_page(self, body: bytes) -> ObjectId:
        """Keep a page."""
        return self._put(1, body)

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Keep pages."""
        return [self.put_page(body) for body in bodies]

    def put_node(self, body: bytes) -> ObjectId:
        """Keep a node."""
        return self._put(2, body)

    def read_page(self, page: ObjectId) -> bytes:
        """Give a page's body."""
        return self._bodies[page]

    def read_node(self, node: ObjectId) -> bytes:
        """Give a node's body."""
        return self._bodies[node]

    def _put(self, kind: int, body: bytes) -> ObjectId:
        name = object_id(bytes(32), kind, body)
        self._bodies[name] = body
        return name


@dataclass(frozen=True)
class MadeTable:
    """A table with its tree."""

    schema: Schema
    tree: Tree
    claim: Claim


@dataclass
class MadeSnapshot:
    """A snapshot with its statement, signed by the unit."""

    unit: str = "X013"
    source: str = "his"
    sequence: int = 2
    contents: Mapping[Schema, Sequence[bytes]] = field(
        default_factory=lambda: {VISIT: visit_lines(400), DRUG: [b"A01\t1.50", b"B02\t20.00"], WARD: [b"icu", b"icu"]}
    )
    consistency: Consistency = Consistency.CONSISTENT
    key: Ed25519Signer = UNIT
    objects: Objects = field(default_factory=Objects)
    tables: dict[str, MadeTable] = field(init=False)
    statement: SnapshotStatement = field(init=False)

    def __post_init__(self) -> None:
        self.tables = {schema.name: self._build(schema, lines) for schema, lines in self.contents.items()}
        claims = [table.claim for table in self.tables.values()]
        self.statement = SnapshotStatement(
            unit=self.unit,
            source=self.source,
            sequence=self.sequence,
            previous=None if self.sequence == 1 else sha256(b"the one before"),
            began=RECEIVED - timedelta(minutes=20),
            ended=RECEIVED - timedelta(minutes=8),
            consistency=self.consistency,
            position="pg 0/3A2F118",
            channel=Channel.ONLINE,
            tables=len(claims),
            rows=sum(claim.rows for claim in claims),
            bytes_=sum(claim.bytes_ for claim in claims),
            manifest_sha256=sha256(b"manifest"),
            root=snapshot_root(claims, ROW_SECRET),
        )

    def note(self) -> Note:
        """Give the statement's note."""
        return sign_note(self.statement.encode(), [self.key.renamed(key_name(self.unit, self.source))])

    def claim(self, name: str) -> BundleClaim:
        """Give a table's claim as a bundle shows it."""
        claims = order_claims(table.claim for table in self.tables.values())
        index = [claim.name for claim in claims].index(name)
        leaves = snapshot_leaves(claims, ROW_SECRET)
        return BundleClaim(
            claims[index], claim_salt(ROW_SECRET, claims[index]), index, tuple(audit_path(leaves, index))
        )

    def row(self, name: str, key: bytes) -> BundleRow:
        """Give a row as a bundle shows it."""
        table, secret = self.tables[name], row_key(ROW_SECRET)
        proof = prove_row(
            self.objects,
            KeySpec.of(table.schema),
            lambda body: commit_page(secret, body),
            table.tree.top,
            table.tree.height,
            key,
        )
        assert proof is not None
        return BundleRow(name, proof.line, row_salt(secret, proof.line), proof.steps)

    def _build(self, schema: Schema, lines: Sequence[bytes]) -> MadeTable:
        spec = KeySpec.of(schema)
        builder = TreeBuilder(self.objects, spec.hint_of)
        block = b"".join(line + b"\n" for line in lines)
        leaves = commit_lines(row_key(ROW_SECRET), block)
        builder.add(block, leaves.ends, leaves.hashes)
        tree = builder.finish()
        claim = Claim(schema.name, schema.digest, tree.root, tree.height, tree.items, tree.rows, tree.bytes_)
        return MadeTable(schema, tree, claim)


@dataclass
class MadeLog:
    """A log in memory. `signer` signs its checkpoints."""

    signer: Ed25519Signer = LOG
    entries: list[bytes] = field(default_factory=lambda: [f"an older entry {i}".encode() for i in range(5)])

    def add(self, kind: str, level: Level, note: Note, received: datetime = RECEIVED) -> int:
        """Append an entry; give its index."""
        self.entries.append(Entry(kind, level, received, note.encode()).encode())
        return len(self.entries) - 1

    def checkpoint(self, cosigners: Sequence[Ed25519Signer] = (), unix_s: int = COSIGNED_AT) -> Note:
        """Give the checkpoint over all entries, cosigned."""
        root = tree_head([leaf_hash(entry) for entry in self.entries]) if self.entries else EMPTY_ROOT
        note = sign_checkpoint(Checkpoint(self.signer.key.name, len(self.entries), Sha256(root)), self.signer)
        return note.with_signatures(cosign(note.text, cosigner, unix_s) for cosigner in cosigners)

    def receipt(self, index: int, checkpoint: Note | None = None) -> Receipt:
        """Give the receipt of an entry under `checkpoint` (default: one that OTHER_COSIGNER has cosigned)."""
        path = inclusion_proof([leaf_hash(entry) for entry in self.entries], index)
        note = self.checkpoint([OTHER_COSIGNER]) if checkpoint is None else checkpoint
        return Receipt(self.entries[index], TlogProof(index, tuple(path), note.encode()))


def make_bundle(
    snapshot: MadeSnapshot | None = None,
    rows: Sequence[tuple[str, bytes]] = (("public.drug", b"B02"), ("public.visit", b"217")),
    *,
    level: Level = Level.STORED,
    log: MadeLog | None = None,
    cosigners: Sequence[Ed25519Signer] = (OTHER_COSIGNER,),
    note: Note | None = None,
    logged: Note | None = None,
) -> Bundle:
    """Make a bundle for rows, given in the order of tables and places. `logged`: what the log holds, if not `note`."""
    snapshot, log = snapshot or MadeSnapshot(), log or MadeLog()
    note = note or snapshot.note()
    index = log.add("statement", level, logged or note)
    names = list(dict.fromkeys(table for table, _ in rows))
    return Bundle(
        rows=tuple(snapshot.row(table, key) for table, key in rows),
        claims=tuple(snapshot.claim(name) for name in names),
        schemas=tuple(snapshot.tables[name].schema for name in names),
        statement=note.encode(),
        receipt=log.receipt(index, log.checkpoint(cosigners)),
    )


def reclaim(bundle: Bundle, position: int, **changes: Any) -> Bundle:
    """Give the bundle with members of one claim changed (its salt made anew, as a forger with the secret would)."""
    shown = bundle.claims[position]
    claim = replace(shown.claim, **changes)
    claims = list(bundle.claims)
    claims[position] = replace(shown, claim=claim, salt=claim_salt(ROW_SECRET, claim))
    return replace(bundle, claims=tuple(claims))


def with_checksum(value: Any) -> bytes:
    """Write a bundle's JSON, however altered, canonically and with the checksum that it should have."""
    rest = {name: member for name, member in value.items() if name != "checksum"}
    return encode_json({**rest, "checksum": sha256(encode_json(rest)).hex()})


def as_json(bundle: Bundle) -> Any:
    """Give a bundle's JSON, to be altered."""
    return json.loads(bundle.encode())


def claim_leaves(claims: Sequence[Claim]) -> list[Sha256]:
    """Give the leaves of claims in the order given, even if it is a wrong one."""
    return [claim_leaf(claim_salt(ROW_SECRET, claim), claim) for claim in claims]
