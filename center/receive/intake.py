# SPDX-License-Identifier: Apache-2.0
"""What a pack brings: each object re-hashed, its place, and what can be judged of it while its bytes are at hand.

Stores nothing and asks nobody: what it is made with finds facts and bases. Source: design section 4, promise 1.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from center.errors import LostError
from center.receive.closure import has_token, judge_group
from center.registry.catalog_tables import BLOB_SPEC, MANIFEST_SPEC, TOKENS_SPEC, Fact, ObjectPlace
from center.registry.objects import SourceObjects
from center.registry.validity import MOST_KEPT_KEYS, judge_node, key_bytes
from evidence.digest import ObjectId, sha256
from evidence.errors import EvidenceError, FormatError, MissingObjectError
from evidence.objects.blobs import encode_chunk_list
from evidence.objects.object import ObjectKind, check_object
from evidence.objects.pack import Frame, decode_frame
from evidence.rows.check import RowCheck
from evidence.rows.commit import row_key
from evidence.rows.line import KeySpec
from evidence.rows.schema import Schema, parse_schema
from evidence.tree.nodes import parse_node
from evidence.wire.secrets import SourceSecrets

_GROUP_BYTES = 2 << 20
"""Pages hashed together at admission; so much of bodies is taken in together, too."""
_GROUP_FRAMES = 512
_ASKED_TOGETHER = 512
_MOST_FORESEEN_BYTES = 16 << 20
"""Of keys in facts that are looked up ahead: a few bytes on the line may name facts of 16 KiB each."""


@dataclass(slots=True)
class Intake:
    """What a pack brings: places of its objects, and facts of its pages and manifests.

    An agent writes a table's schema object before the table's pages, so the order that pages must have is known while
    their bytes are at hand. That is a hint, and nothing rests on it: pages that do not fit it get no fact now, and are
    judged under the right schema when a statement claims them. Pages that hold tokens, and nodes over such, wait for
    the statement too, because the blobs may still be on their way. A node comes after its children, so it is judged
    here as well; what is left to the statement is little, and the agent waits less for its receipt. So is a small file:
    its one chunk stands right before its list, and a folder of many would else be read again, one by one.

    Frames are taken in by groups, so that the catalog is asked once for the bases of all, and once for the facts below all
    their nodes: of a day with few changes, asking one by one took most of the time between the last row and the receipt.
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
    _known: dict[ObjectId, Fact] = field(default_factory=dict)
    _tokened: set[ObjectId] = field(default_factory=set)
    _waiting: list[Frame] = field(default_factory=list)
    _waiting_bytes: int = 0
    _room: int = 32 << 20
    _group: list[tuple[ObjectId, bytes]] = field(default_factory=list)
    _group_bytes: int = 0
    _chunk: tuple[ObjectId, bytes] | None = None

    def take(self, frame: Frame) -> None:
        """Take in one object. Raises: EvidenceError: one so far is not what its id says, or its base is not here."""
        self._waiting.append(frame)
        self._waiting_bytes += frame.raw
        is_full = self._waiting_bytes >= _GROUP_BYTES or len(self._waiting) >= _GROUP_FRAMES
        # A document may say of what table the pages behind it are: those before it are another's.
        if is_full or frame.kind is ObjectKind.DOCUMENT:
            self._take_waiting()

    def finish(self) -> None:
        """Take in and judge what waits; to be called once, after the last frame. Raises: as `take`."""
        self._take_waiting()
        self._judge_pages()

    def _take_waiting(self) -> None:
        frames, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self.objects.look_up(frame.base for frame in frames if frame.base is not None)
        bodies = [self._open(frame) for frame in frames]
        self._foresee(frames, bodies)
        for frame, body in zip(frames, bodies, strict=True):
            self._take(frame, body)

    def _open(self, frame: Frame) -> bytes:
        body = decode_frame(frame, lambda base: self._read_base(base, frame.kind))
        check_object(self.secrets.storage_key, frame.kind, frame.object_id, body)
        return body

    def _foresee(self, frames: Sequence[Frame], bodies: Sequence[bytes]) -> None:
        """Look up the facts of what the group's nodes name and nothing before them in this pack has brought."""
        self._known, self._tokened = {}, set()
        if self._spec is None:
            return
        nodes = [body for frame, body in zip(frames, bodies, strict=True) if frame.kind is ObjectKind.NODE]
        with suppress(EvidenceError):  # whoever claims a bad node is told why
            named = {entry.child for body in nodes for entry in parse_node(body)[1]}
            asked = list(named - self._judged.keys() - {frame.object_id for frame in frames})
            for start in range(0, len(asked), _ASKED_TOGETHER):
                # In this order: a child's fact and its mark come in one step, so whoever has seen the fact sees the mark.
                found = self.find_facts(self._spec.name, asked[start : start + _ASKED_TOGETHER])
                self._tokened.update(self.find_facts(TOKENS_SPEC, found))
                self._known |= found
                if sum(map(key_bytes, self._known.values())) > _MOST_FORESEEN_BYTES:
                    break  # nodes over the others wait for the statement

    def _take(self, frame: Frame, body: bytes) -> None:
        place = ObjectPlace(
            self.pack, frame.offset, len(frame.data), frame.raw, int(frame.kind), frame.codec, frame.base
        )
        self.places.append((frame.object_id, place))
        if frame.kind is ObjectKind.PAGE:
            if self._spec is not None and not has_token(body):
                self._group.append((frame.object_id, body))
                self._group_bytes += len(body)
                if self._group_bytes >= _GROUP_BYTES:
                    self._judge_pages()
        elif frame.kind is ObjectKind.CHUNK:
            self._chunk = (frame.object_id, body)
        elif frame.kind is ObjectKind.CHUNK_LIST:
            self._judge_list(frame.object_id, body)
        elif frame.kind is ObjectKind.NODE:
            self._judge_pages()
            self._judge_node(frame.object_id, body)
        elif frame.kind is ObjectKind.MANIFEST:
            self.facts.append((frame.object_id, MANIFEST_SPEC, Fact(sha256(body), 0, 0, 0, len(body), b"", b"", True)))
        elif frame.kind is ObjectKind.DOCUMENT:
            self._judge_pages()
            self._judged.clear()
            schema = _find_schema(body)
            self._spec = None if schema is None else KeySpec.of(schema)
            self._rows = None if schema is None else RowCheck(schema)

    def _judge_pages(self) -> None:
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
            facts: dict[ObjectId, Fact] = {}
            for child in {entry.child for entry in parse_node(body)[1]}:
                fact = self._judged.get(child) or self._known.get(child)
                if fact is None or (child in self._tokened and child not in self._judged):
                    return
                facts[child] = fact
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


def _find_schema(document: bytes) -> Schema | None:
    try:
        return parse_schema(document)
    except EvidenceError:
        return None
