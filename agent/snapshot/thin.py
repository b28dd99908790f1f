# SPDX-License-Identifier: Apache-2.0
"""Take out of the waiting packs what only given-up days need, object by object.

Days share objects, and are coded against each other's. So what is needed is found by walking down from the manifests of the
days that stay: through nodes, the pages of `@blobs` and chunk lists, as far as their frames wait or are kept here; what is
neither went to the center, and all below it went before. A pack of which nothing is needed goes; one of which most is
stays as it is, and then all that its frames are coded against is needed, too; the needed frames of the others move, byte
for byte, into new packs in their place, in the same order.

The index of frames is a scratch file (SQLite without fsync), about 110 bytes an object; in memory is one object and a path
through a tree. The order is the safety argument: holdings forget what goes before it goes. A crash at any step leaves
packs that are whole, and the next thinning goes on. Source: docs/decisions/0060.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from agent.holdings import Holdings
from agent.spool import TARGET_BYTES, Spool, SpooledPack
from evidence.digest import ObjectId
from evidence.errors import EvidenceError, FormatError
from evidence.manifest.blobtable import parse_blob_line
from evidence.manifest.manifest import Manifest
from evidence.objects.blobs import parse_chunk_list
from evidence.objects.object import ObjectKind, check_object
from evidence.objects.pack import MAX_PACK_FRAMES, MAX_PACK_RAW_BYTES, Frame, decode_frame, parse_frame, read_heads
from evidence.tree.nodes import parse_node

INTACT_SHARE: Final = 0.75
"""A pack of which so much is needed is left as it is: to write it anew would cost more than it frees."""
_BATCH: Final = 4096
_SCHEMA: Final = """
PRAGMA synchronous = OFF;
PRAGMA journal_mode = OFF;
CREATE TABLE frame (id BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL,
    raw INTEGER NOT NULL, kind INTEGER NOT NULL, base BLOB, needed INTEGER NOT NULL DEFAULT 0,
    walked INTEGER NOT NULL DEFAULT 0);
"""


@contextmanager
def find_needed(
    spool: Spool,
    storage_key: bytes,
    staying: Sequence[tuple[ObjectId, Manifest]],
    manifests: Iterable[ObjectId],
    scratch: Path,
) -> Iterator["Needed"]:
    """Find what is needed of the packs that wait: all of the days `staying`, of `manifests` the objects alone.

    Changes nothing. `scratch` is a file of this act's own; it is removed.
    Raises: FormatError if it cannot be told what is needed: a frame is coded against what is not kept any more.
    """
    scratch.parent.mkdir(parents=True, exist_ok=True)
    scratch.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(scratch, isolation_level=None)) as db:
            db.executescript(_SCHEMA)
            db.execute("BEGIN")  # one transaction: one for each row took seventeen times as long
            needed = Needed(db, storage_key, spool.acknowledged(), spool.unsent())
            needed.need(manifests)
            for top, manifest in staying:
                needed.need_day(top, manifest)
            yield needed
    except sqlite3.OperationalError as err:
        raise FormatError(f"there is no room for an index of the packs: {err}") from err
    finally:
        scratch.unlink(missing_ok=True)


class Needed:
    """Every frame that is here, and whether it is needed. Packs are numbered: first those acknowledged."""

    def __init__(
        self, db: sqlite3.Connection, storage_key: bytes, kept: Sequence[SpooledPack], waiting: Sequence[SpooledPack]
    ) -> None:
        self._db = db
        self._storage_key = storage_key
        self.packs = [*kept, *waiting]
        self.first_waiting = len(kept)
        for number, pack in enumerate(self.packs):
            rows = _heads(pack, number, is_cache=number < len(kept))
            db.executemany(
                "INSERT INTO frame (id, pack, offset, size, raw, kind, base) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )
        db.execute("CREATE INDEX frame_id ON frame (id)")
        db.execute("CREATE INDEX frame_pack ON frame (pack, offset)")

    def need(self, ids: Iterable[ObjectId]) -> None:
        """Mark objects, and what they are coded against."""
        named = [(name,) for name in ids]
        self._db.executemany("UPDATE frame SET needed = 1 WHERE id = ?", named)
        self._db.executemany(
            "UPDATE frame SET needed = 1 WHERE id IN (SELECT base FROM frame WHERE id = ? AND base IS NOT NULL)", named
        )

    def need_day(self, top: ObjectId, manifest: Manifest) -> None:
        """Mark everything that a day's manifest names. Raises: FormatError if what is here cannot be read."""
        self.need([top, *(document.object for document in manifest.documents)])
        for table in manifest.tables:
            if table.top is not None:
                self._walk(table.top, is_blobs=False)
        if manifest.blobs is not None:
            self._walk(manifest.blobs, is_blobs=True)

    def need_coded_against(self, pack: int) -> None:
        """Mark what the frames of a pack that is left as it is are coded against."""
        sql = "UPDATE frame SET needed = 1 WHERE id IN (SELECT base FROM frame WHERE pack = ? AND base IS NOT NULL)"
        self._db.execute(sql, (pack,))

    def find_intact(self) -> set[int]:
        """Give the packs that wait and of which so much is needed that they are left as they are."""
        sql = "SELECT pack, sum(size * needed), sum(size) FROM frame WHERE pack >= ? GROUP BY pack"
        rows = self._db.execute(sql, (self.first_waiting,)).fetchall()
        return {pack for pack, needed, size in rows if needed >= INTACT_SHARE * size}

    def find_waiting(self, names: Set[str]) -> set[int]:
        """Give the packs that wait and have one of these names."""
        return {number for number in range(self.first_waiting, len(self.packs)) if self.packs[number].name in names}

    def needed_frames(self, pack: int) -> Iterator[Frame]:
        """Yield the frames of a pack that are needed, in order."""
        sql = "SELECT offset, size FROM frame WHERE pack = ? AND needed ORDER BY offset"
        with self.packs[pack].path.open("rb") as file:
            for offset, size in self._db.execute(sql, (pack,)).fetchall():
                file.seek(offset)
                yield parse_frame(file.read(size), offset)

    def has_needed(self, pack: int) -> bool:
        """Tell whether anything of a pack is needed."""
        sql = "SELECT 1 FROM frame WHERE pack = ? AND needed LIMIT 1"
        return self._db.execute(sql, (pack,)).fetchone() is not None

    def lost_ids(self, gone: Iterable[int]) -> Iterator[list[ObjectId]]:
        """Yield, in batches, the objects that are not needed and stand in no other pack than those that go."""
        self._db.execute("CREATE TEMP TABLE gone (pack INTEGER PRIMARY KEY)")
        self._db.executemany("INSERT INTO gone VALUES (?)", [(pack,) for pack in gone])
        rows = self._db.execute(
            "SELECT DISTINCT id FROM frame WHERE NOT needed AND pack IN gone "
            "AND NOT EXISTS (SELECT 1 FROM frame AS other WHERE other.id = frame.id AND other.pack NOT IN gone)"
        )
        while batch := rows.fetchmany(_BATCH):
            yield [ObjectId(row[0]) for row in batch]

    def _walk(self, top: ObjectId, *, is_blobs: bool) -> None:
        """Mark a tree of pages, as far as it is here; of `@blobs` also what its pages name."""
        stack = [top]
        while stack:
            name = stack.pop()
            row = self._db.execute("SELECT kind, walked FROM frame WHERE id = ?", (name,)).fetchone()
            if row is None or row[1]:
                continue
            self.need([name])
            kind = ObjectKind(row[0])
            if kind is ObjectKind.CHUNK or (kind is ObjectKind.PAGE and not is_blobs):
                continue
            self._db.execute("UPDATE frame SET walked = 1 WHERE id = ?", (name,))
            body = self._read(name, kind)
            if kind is ObjectKind.PAGE:
                stack += [parse_blob_line(line)[2] for line in body.split(b"\n")]
            elif kind is ObjectKind.NODE:
                stack += self._note_leaves(*_children_of_node(body), is_leaf=not is_blobs)
            elif kind is ObjectKind.CHUNK_LIST:
                level, entries = parse_chunk_list(body)
                stack += self._note_leaves(level, [name for _, name in entries], is_leaf=True)

    def _note_leaves(self, level: int, children: list[ObjectId], *, is_leaf: bool) -> list[ObjectId]:
        """Mark children that have nothing below them at once; give those that must be walked."""
        if level > 0 or not is_leaf:
            return children
        self.need(children)
        return []

    def _read(self, name: ObjectId, kind: ObjectKind) -> bytes:
        """Give the checked body of an object, from whichever copy can be read. Raises: FormatError."""
        reason: EvidenceError = FormatError("it is in no pack")
        for pack, offset, size in self._db.execute(
            "SELECT pack, offset, size FROM frame WHERE id = ?", (name,)
        ).fetchall():
            try:
                with self.packs[pack].path.open("rb") as file:
                    file.seek(offset)
                    frame = parse_frame(file.read(size), offset)
                body = decode_frame(frame, lambda base: self._read(base, kind))
                check_object(self._storage_key, kind, name, body)
            except (EvidenceError, OSError) as err:
                reason = err if isinstance(err, EvidenceError) else FormatError(str(err))
                continue
            return body
        raise FormatError(f"the {kind.name} {name.hex()[:16]}… cannot be read here: {reason}") from reason


def _children_of_node(body: bytes) -> tuple[int, list[ObjectId]]:
    level, entries = parse_node(body)
    return level, [entry.child for entry in entries]


def thin(source: str, spool: Spool, holdings: Holdings, needed: Needed, whole: Set[str] = frozenset()) -> int:
    """Let go of what is not needed; give the bytes freed. Packs of the names `whole` are left as they are.

    Raises: SpoolError if there is no room to move frames in.
    """
    intact = needed.find_intact() | needed.find_waiting(whole)
    for number in intact:
        needed.need_coded_against(number)
    waiting = range(needed.first_waiting, len(needed.packs))
    gone = [number for number in waiting if number not in intact]
    for batch in needed.lost_ids(gone):
        holdings.drop(source, batch)
    holdings.forget_packs(source, [needed.packs[number].name for number in gone])
    freed = sum(needed.packs[number].size for number in gone)
    # First those that make room without taking any.
    empty = {number for number in gone if not needed.has_needed(number)}
    spool.remove(needed.packs[number] for number in empty)
    group = _Group(spool)
    for number in waiting:
        if number in intact:
            group.flush()  # what it is coded against must come before it
        elif number not in empty:
            group.add(needed.packs[number], list(needed.needed_frames(number)))
    group.flush()
    return freed - group.written


class _Group:
    """Packs whose frames move into one new pack together."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._packs: list[SpooledPack] = []
        self._frames: dict[ObjectId, Frame] = {}
        self._size = self._raw = 0
        self.written = 0

    def add(self, pack: SpooledPack, frames: Sequence[Frame]) -> None:
        """Take the frames of a pack that goes."""
        size, raw = sum(frame.size for frame in frames), sum(frame.raw for frame in frames)
        is_full = self._size + size > TARGET_BYTES or self._raw + raw > MAX_PACK_RAW_BYTES
        # Whoever takes a pack finds bases in packs that it has, never in the one that comes.
        is_coded_against = any(frame.base in self._frames for frame in frames)
        if is_full or is_coded_against or len(self._frames) + len(frames) > MAX_PACK_FRAMES:
            self.flush()
        self._packs.append(pack)
        for frame in frames:
            self._frames.setdefault(frame.object_id, frame)
        self._size += size
        self._raw += raw

    def flush(self) -> None:
        """Write the new pack, and remove those whose frames it has."""
        if self._packs:
            self.written += self._spool.replace(self._packs, self._frames.values()).size
        self._packs, self._frames = [], {}
        self._size = self._raw = 0


def _heads(
    pack: SpooledPack, number: int, *, is_cache: bool
) -> Iterator[tuple[ObjectId, int, int, int, int, int, ObjectId | None]]:
    """Yield the rows of a pack's frames; of one that is only kept, as far as it can be read."""
    try:
        with pack.path.open("rb", buffering=0) as file:

            def read(offset: int, size: int) -> bytes:
                file.seek(offset)
                return file.read(size)

            for frame, size in read_heads(read, pack.size):
                yield frame.object_id, number, frame.offset, size, frame.raw, int(frame.kind), frame.base
    except (OSError, EvidenceError) as err:
        if not is_cache:
            raise FormatError(f"the pack {pack.name} cannot be read: {err}") from err
