# SPDX-License-Identifier: Apache-2.0
"""Admission: every byte re-checked, before it counts for anything.

A pack is stored once each object in it has its id; pages are hashed on the way, while they are at hand. A statement is
logged once everything below it is here and is the one tree that the statement claims (`closure.py`); only then is it
`stored`. The order is the promise: objects durable, then the log, then the catalog, then the answer; after a crash the
catalog is caught up from the log. Threads: any; statements of one source are admitted one after another.
Source: design sections 4 to 6, promise 1.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from center.errors import CenterError, ConflictError, LostError, NotFoundError, PackError, StatementError, StoreError
from center.ledger.ledger import Ledger
from center.receive.closure import Closure, has_token, judge_group
from center.receive.conflicts import Conflicts
from center.registry.carried import check_carried, manifests_of
from center.registry.catalog import BLOB_SPEC, MANIFEST_SPEC, TOKENS_SPEC, Catalog, Fact, ObjectPlace, StatementRow
from center.registry.objects import SourceObjects, pack_path
from center.registry.packs import forget_lost
from center.registry.replay import Replay
from center.registry.units import SourceSecrets, Units
from center.registry.validity import MOST_KEPT_KEYS, judge_node, key_bytes
from center.store.base import Store
from evidence.digest import ObjectId, PackNamer, Sha256, pack_name, sha256
from evidence.errors import EvidenceError, FormatError, MissingObjectError
from evidence.keys.signer import Signer
from evidence.manifest.claim import snapshot_root
from evidence.manifest.entry import Level, StoredAct
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.receipt import Receipt
from evidence.manifest.statement import SnapshotStatement, Statement, key_name, parse_statement, statement_digest
from evidence.note.signed import Note, parse_note, sign_note, verify_note
from evidence.objects.blobs import encode_chunk_list
from evidence.objects.object import ObjectKind, check_object
from evidence.objects.pack import MAX_PACK_BYTES, Frame, decode_frame, read_frames
from evidence.rows.check import RowCheck
from evidence.rows.commit import row_key
from evidence.rows.line import KeySpec
from evidence.rows.schema import Schema, parse_schema
from evidence.tree.nodes import parse_node

log = logging.getLogger(__name__)
_GROUP_BYTES = 2 << 20
"""Pages hashed together at admission."""

MAX_STATEMENT_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class PackAnswer:
    """What became of a pack: `new` False if it was here already; the number of its objects."""

    new: bool
    objects: int


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """A receipt, or what is still missing. `missing` empty and no receipt: the manifest itself."""

    level: Level
    receipt: Receipt | None
    missing: tuple[ObjectId, ...] = ()


class Admission:
    """Take in packs and statements of all units."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        catalog: Catalog,
        units: Units,
        replay: Replay,
        operator: Signer,
        clock: Callable[[], datetime],
        repeated_bytes: int,
    ) -> None:
        """Admit into these; `repeated_bytes` bounds what the new blobs of a statement claim (`Closure`)."""
        self._store = store
        self._ledger = ledger
        self._catalog = catalog
        self._units = units
        self._replay = replay
        self._operator = operator
        self._conflicts = Conflicts(ledger, operator, clock)
        self._repeated_bytes = repeated_bytes
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def missing(self, unit: str, source: str, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Give those of `ids` that the source does not have here. Raises: NotFoundError: no such source."""
        self._units.secrets(unit, source)
        return self._catalog.absent(unit, source, ids)

    def put_pack(self, unit: str, source: str, name: str, parts: Iterable[bytes]) -> PackAnswer:
        """Store a pack whose bytes come in `parts`; durable when this returns. The same pack again is no error.

        Raises:
            PackError: it is damaged, over its bounds, has another name, or an object is not of this source.
            FullError: the disk is full; nothing of the pack is kept.
            NotFoundError: the unit has no such source.
        """
        secrets = self._units.secrets(unit, source)
        path = pack_path(unit, source, name)
        if self._catalog.has_pack(unit, source, name) and self._has_whole(path, name):
            return PackAnswer(False, 0)
        namer = PackNamer()
        objects = SourceObjects(self._store, self._catalog, unit, source, secrets.storage_key)
        intake = _Intake(
            objects, secrets, name, partial(self._catalog.find_facts, unit, source), partial(self._doubt, unit, source)
        )
        with self._store.create(path) as blob:
            try:
                for frame in read_frames(_tee(parts, blob.write), namer):
                    intake.take(frame)
                intake.flush()
                if namer.name() != name:
                    raise FormatError(f"its bytes give the name {namer.name()}")
            except EvidenceError as err:
                raise PackError(
                    f"pack {name} of {unit}/{source} is refused: {err}",
                    hint="send it again from the spool; if it is refused again, take the snapshot anew",
                ) from err
            if not blob.commit():
                self._has_whole(path, name)
        self._catalog.add_pack(unit, source, name, intake.places, intake.facts)
        return PackAnswer(True, len(intake.places))

    def submit(self, unit: str, source: str, raw: bytes, register_only: bool = False) -> StatementAnswer:
        """Admit a statement, a signed note. The same text again gives the same receipt.

        `register_only` logs a snapshot statement at level `registered` although content is missing.

        Raises:
            StatementError: wrong signature, grammar, previous, or content that does not hold.
            ConflictError: another statement has this sequence; that is logged, within bounds (`conflicts.py`).
            HeldError, FullError: nothing was admitted; try again later.
        """
        note, statement = self._read_statement(unit, source, raw)
        digest = statement_digest(note.text)
        self._ledger.check_confirmed()
        with self._lock(unit, source):
            self._replay.catch_up()
            known = self._catalog.by_digest(digest)
            if known is None:
                # A ledger that lacks its tail would call the next statement of the chain a wrong one; and what a crash
                # or a full disk has left staged comes before this one.
                self._ledger.finish()
                self._replay.catch_up()
                known = self._catalog.by_digest(digest)
            if known is None:
                self._check_place(statement, digest)
            if not isinstance(statement, SnapshotStatement):
                return self._admit_plain(raw, known)
            if known is not None and known.level is Level.STORED:
                return StatementAnswer(Level.STORED, self._ledger.receipt(_latest_index(known)))
            missing = self._check_content(statement)
            if known is not None:
                return self._complete(known, digest) if missing is None else self._still_missing(known, missing)
            if missing is not None and not register_only:
                return StatementAnswer(Level.NONE, None, tuple(missing))
            level = Level.STORED if missing is None else Level.REGISTERED
            sealed = self._ledger.append("statement", level, raw)
            self._replay.catch_up()
            return StatementAnswer(level, self._ledger.receipt(sealed.index), tuple(missing or ()))

    def latest(self, unit: str, source: str) -> tuple[bytes, Receipt] | None:
        """Give the newest statement of a source and its receipt, or None. Raises: HeldError."""
        self._units.secrets(unit, source)
        self._ledger.check_confirmed()
        self._replay.catch_up()
        row = self._catalog.latest(unit, source)
        return None if row is None else (row.note, self._ledger.receipt(_latest_index(row)))

    def receipt(self, unit: str, digest: Sha256) -> Receipt:
        """Give the receipt of a unit's statement by its digest, under the newest checkpoint.

        Raises: NotFoundError; HeldError while nobody has confirmed the ledger since the start.
        """
        self._ledger.check_confirmed()
        row = self._catalog.by_digest(digest)
        if row is None or row.unit != unit:
            raise NotFoundError(
                f"no statement of {unit} has the digest {digest.hex()}", hint="submit the statement again"
            )
        return self._ledger.receipt(_latest_index(row))

    def _has_whole(self, path: str, name: str) -> bool:
        """Tell whether a pack stands in the store, with the bytes of its name. Raises: StoreError if with others."""
        size = self._store.size(path)
        if size is None:
            return False
        if size > MAX_PACK_BYTES or pack_name([self._store.read(path)]) != name:
            raise StoreError(
                f"the pack {path} in the store is damaged, and stands in the way of the same one that was sent again",
                hint="move the damaged file out of the store, run `jinsuo-center rebuild`, and let the agent send again",
            )
        return True

    def _read_statement(self, unit: str, source: str, raw: bytes) -> tuple[Note, Statement]:
        key = self._units.get(unit).statement_key
        try:
            note = parse_note(raw, MAX_STATEMENT_BYTES)
            if len(note.signatures) != 1:
                raise FormatError(f"it carries {len(note.signatures)} signatures, expected one")
            if key is None:
                raise FormatError(f"unit {unit} has no key")
            verify_note(note, [key.renamed(key_name(unit, source))])
            statement = parse_statement(note.text)
            if (statement.unit, statement.source) != (unit, source):
                raise FormatError(f"it is about {statement.unit}/{statement.source}")
        except EvidenceError as err:
            raise StatementError(
                f"the statement sent for {unit}/{source} is refused: {err}",
                hint="this is not what our agent writes; keep the spool and call the archives",
            ) from err
        return note, statement

    def _check_place(self, statement: Statement, digest: Sha256) -> None:
        """Raises: unless the statement is the next of its source's chain."""
        where = f"{statement.source}#{statement.sequence} of {statement.unit}"
        latest = self._catalog.latest(statement.unit, statement.source)
        next_sequence = 1 if latest is None else latest.sequence + 1
        if statement.sequence < next_sequence:
            first = self._catalog.statement(statement.unit, statement.source, statement.sequence)
            noted = self._conflicts.note(
                f"{statement.unit}/{statement.source}", statement.sequence,
                f"another text, {digest.hex()}, was sent for the statement {first.digest.hex()}",
            )  # fmt: skip
            raise ConflictError(
                f"{where} was admitted before with another text, {first.digest.hex()[:16]}…; {noted}",
                hint="ask the center for the latest statement, and go on from there",
            )
        previous = None if latest is None else latest.digest
        if statement.sequence > next_sequence or statement.previous != previous:
            raise StatementError(
                f"{where} does not continue the chain: the center expects sequence {next_sequence} after "
                f"{'nothing' if previous is None else previous.hex()[:16] + '…'}, it names "
                f"{'nothing' if statement.previous is None else statement.previous.hex()[:16] + '…'}",
                hint="ask the center for the latest statement, and go on from there",
            )

    def _admit_plain(self, raw: bytes, known: StatementRow | None) -> StatementAnswer:
        if known is not None:
            return StatementAnswer(Level.NONE, self._ledger.receipt(known.index))
        sealed = self._ledger.append("statement", Level.NONE, raw)
        self._replay.catch_up()
        return StatementAnswer(Level.NONE, self._ledger.receipt(sealed.index))

    def _complete(self, known: StatementRow, digest: Sha256) -> StatementAnswer:
        """Log that the content of a registered statement is stored now."""
        act = StoredAct(known.unit, known.source, known.sequence, digest)
        note = sign_note(act.encode(), [self._operator]).encode()
        sealed = self._ledger.append("stored", Level.STORED, note)
        self._replay.catch_up()
        return StatementAnswer(Level.STORED, self._ledger.receipt(sealed.index))

    def _still_missing(self, known: StatementRow, missing: Sequence[ObjectId]) -> StatementAnswer:
        return StatementAnswer(Level.REGISTERED, self._ledger.receipt(known.index), tuple(missing))

    def _check_content(self, statement: SnapshotStatement) -> list[ObjectId] | None:
        """Check everything below a statement; None if all holds and is here, else what is missing.

        Raises: StatementError if what is here does not hold.
        """
        unit, source = statement.unit, statement.source
        secrets = self._units.secrets(unit, source)
        objects = SourceObjects(self._store, self._catalog, unit, source, secrets.storage_key)
        top = self._catalog.find_manifest(unit, source, statement.manifest_sha256)
        if top is None:
            return []
        try:
            manifest = parse_manifest(objects.read(top, ObjectKind.MANIFEST))
            _check_figures(statement, manifest, secrets)
            closure = Closure(self._catalog, objects, unit, source, row_key(secrets.row_secret), self._repeated_bytes)
            before = self._read_before(statement, objects)
            closure.check(manifest, before)
            find = manifests_of(self._catalog, objects, unit, source)
            # Last, when all of its own is here and holds: what is named may still be on its way as well.
            if not closure.missing and not check_carried(manifest, before, find):
                return []
        except LostError as err:
            self._doubt(unit, source, err)
            return []
        except EvidenceError as err:
            raise StatementError(
                f"{source}#{statement.sequence} of {unit} does not hold: {err}",
                hint="nothing was logged; run `jinsuo-agent check`, take the snapshot anew, and call the archives if it happens again",
            ) from err
        return list(closure.missing) or None

    def _doubt(self, unit: str, source: str, err: LostError) -> None:
        """Forget what is lost in the pack of `err`, so that the agent, which may have it still, is asked for it.

        Raises: `err` if there is no pack to doubt, or nothing of it is lost any more; StoreError.
        """
        key = self._units.secrets(unit, source).storage_key
        objects = SourceObjects(self._store, self._catalog, unit, source, key)
        if not err.pack or not forget_lost(self._catalog, objects, unit, source, err.pack):
            raise err
        log.error(
            "a stored pack is damaged", extra={"unit": unit, "source": source, "pack": err.pack, "reason": str(err)}
        )

    def _read_before(self, statement: SnapshotStatement, objects: SourceObjects) -> Manifest | None:
        """Give the manifest of the stored snapshot before; None where there is none, or it cannot be read any more."""
        row = self._catalog.stored_before(statement.unit, statement.source, statement.sequence)
        if row is None or row.manifest_object is None:
            return None
        try:
            return parse_manifest(objects.read(ObjectId(row.manifest_object), ObjectKind.MANIFEST))
        except (EvidenceError, CenterError):
            return None  # a help only: without it all is looked up

    def _lock(self, unit: str, source: str) -> threading.Lock:
        with self._locks_lock:
            return self._locks.setdefault((unit, source), threading.Lock())


@dataclass(slots=True)
class _Intake:
    """What a pack brings: places of its objects, and facts of its pages and manifests.

    An agent writes a table's schema object before the table's pages, so the order that pages must have is known while
    their bytes are at hand. That is a hint, and nothing rests on it: pages that do not fit it get no fact now, and are
    judged under the right schema when a statement claims them. Pages that hold tokens, and nodes over such, wait for
    the statement too, because the blobs may still be on their way. A node comes after its children, so it is judged
    here as well; what is left to the statement is little, and the agent waits less for its receipt. So is a small file:
    its one chunk stands right before its list, and a folder of many would else be read again, one by one.
    """

    objects: SourceObjects
    secrets: SourceSecrets
    pack: str
    find_facts: Callable[[str, Iterable[ObjectId]], dict[ObjectId, Fact]]
    doubt: Callable[[LostError], None]
    places: list[tuple[ObjectId, ObjectPlace]] = field(default_factory=list)
    facts: list[tuple[ObjectId, str, Fact]] = field(default_factory=list)
    _rows: RowCheck | None = None
    _spec: KeySpec | None = None
    _judged: dict[ObjectId, Fact] = field(default_factory=dict)
    _room: int = 32 << 20
    _group: list[tuple[ObjectId, bytes]] = field(default_factory=list)
    _group_bytes: int = 0
    _chunk: tuple[ObjectId, bytes] | None = None

    def take(self, frame: Frame) -> None:
        body = decode_frame(frame, lambda base: self._read_base(base, frame.kind))
        check_object(self.secrets.storage_key, frame.kind, frame.object_id, body)
        place = ObjectPlace(
            self.pack, frame.offset, len(frame.data), frame.raw, int(frame.kind), frame.codec, frame.base
        )
        self.places.append((frame.object_id, place))
        if frame.kind is ObjectKind.PAGE:
            if self._spec is not None and not has_token(body):
                self._group.append((frame.object_id, body))
                self._group_bytes += len(body)
                if self._group_bytes >= _GROUP_BYTES:
                    self.flush()
        elif frame.kind is ObjectKind.CHUNK:
            self._chunk = (frame.object_id, body)
        elif frame.kind is ObjectKind.CHUNK_LIST:
            self._judge_list(frame.object_id, body)
        elif frame.kind is ObjectKind.NODE:
            self.flush()
            self._judge_node(frame.object_id, body)
        elif frame.kind is ObjectKind.MANIFEST:
            self.facts.append((frame.object_id, MANIFEST_SPEC, Fact(sha256(body), 0, 0, 0, len(body), b"", b"", True)))
        elif frame.kind is ObjectKind.DOCUMENT:
            self.flush()
            self._judged.clear()
            schema = _find_schema(body)
            self._spec = None if schema is None else KeySpec.of(schema)
            self._rows = None if schema is None else RowCheck(schema)

    def flush(self) -> None:
        """Judge the pages that wait."""
        if self._spec is None or not self._group:
            return
        key, order = row_key(self.secrets.row_secret), self._spec.name
        for (page, _), verdict in zip(self._group, judge_group(self._group, self._spec, key, self._rows), strict=True):
            if verdict.fact is not None:
                self._keep(page, verdict.fact, order)
        self._group.clear()
        self._group_bytes = 0

    def _judge_list(self, top: ObjectId, body: bytes) -> None:
        """Hash a blob that is the chunk before it and nothing else; any other one waits."""
        if self._chunk is None:
            return
        (chunk, content), self._chunk = self._chunk, None
        if body == encode_chunk_list(0, [(len(content), chunk)]):
            self.facts.append((top, BLOB_SPEC, Fact(sha256(content), 0, 0, 0, len(content), b"", b"", True)))

    def _judge_node(self, node: ObjectId, body: bytes) -> None:
        """Judge a node whose children were all judged under this order and hold no tokens; any other one waits."""
        if self._spec is None:
            return
        try:
            children = {entry.child for entry in parse_node(body)[1]}
            facts = {child: fact for child in children if (fact := self._judged.get(child)) is not None}
            others = children - facts.keys()
            # In this order: a child's fact and its mark come in one step, so whoever has seen the fact sees the mark.
            facts |= self.find_facts(self._spec.name, others)
            if others and self.find_facts(TOKENS_SPEC, others):
                return
            fact = judge_node(node, body, facts, self._spec)
        except EvidenceError:
            return  # whoever claims it is told why
        self._keep(node, fact, self._spec.name)

    def _keep(self, name: ObjectId, fact: Fact, order: str) -> None:
        """Keep a fact of this pack, unless its keys are too large: then it is judged when a statement claims it."""
        size = key_bytes(fact)
        if size <= MOST_KEPT_KEYS and size <= self._room:
            self._room -= size
            self._judged[name] = fact
            self.facts.append((name, order, fact))

    def _read_base(self, base: ObjectId, kind: ObjectKind) -> bytes:
        try:
            return self.objects.read_base(base, kind)
        except MissingObjectError as err:
            raise FormatError(f"a frame is coded against object {base.hex()[:16]}…, which is not stored here") from err
        except LostError as err:
            self.doubt(err)
            raise FormatError(
                f"a frame is coded against object {base.hex()[:16]}…, which is not stored here any more: it is damaged"
            ) from err


def _check_figures(statement: SnapshotStatement, manifest: Manifest, secrets: SourceSecrets) -> None:
    """Raises: FormatError unless the manifest says what the statement says."""
    claims = [table.claim for table in manifest.tables]
    pairs = (
        ("unit", statement.unit, manifest.unit),
        ("source", statement.source, manifest.source),
        ("sequence", statement.sequence, manifest.sequence),
        ("consistency", statement.consistency, manifest.consistency),
        ("position", statement.position, manifest.position),
        ("tables", statement.tables, len(claims)),
        ("rows", statement.rows, sum(c.rows for c in claims)),
        ("bytes", statement.bytes_, sum(c.bytes_ for c in claims)),
        ("root", statement.root.hex(), snapshot_root(claims, secrets.row_secret).hex()),
    )
    for name, stated, found in pairs:
        if stated != found:
            raise FormatError(f"the statement says {name} {stated}, its manifest gives {found}")


def _find_schema(document: bytes) -> Schema | None:
    try:
        return parse_schema(document)
    except EvidenceError:
        return None


def _latest_index(row: StatementRow) -> int:
    return row.index if row.stored_index is None else row.stored_index


def _tee(parts: Iterable[bytes], write: Callable[[bytes], object]) -> Iterator[bytes]:
    for part in parts:
        write(part)
        yield part
