# SPDX-License-Identifier: Apache-2.0
"""Whether the packs that are here hold every object of a snapshot, and which of them it takes.

Walks from the manifest down: schemas and documents, tables through their nodes to the pages, `@blobs` through its lines to the
chunks; and to what each object is coded against, so that nobody needs anything else. Every object that is read is checked
against its id; pages and chunks are only found. The index of frames is a scratch file (SQLite without fsync), some 120 bytes
an object; in memory is one object and a path through a tree.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from agent.spool import SpooledPack
from evidence.digest import ObjectId
from evidence.errors import EvidenceError, FormatError, MissingObjectError
from evidence.manifest.blobtable import parse_blob_line
from evidence.manifest.manifest import Manifest
from evidence.objects.blobs import walk_chunk_lists
from evidence.objects.object import ObjectKind, check_object
from evidence.objects.pack import decode_frame, parse_frame, read_frames
from evidence.tree.nodes import parse_node

_SCHEMA: Final = """
PRAGMA synchronous = OFF;
PRAGMA journal_mode = OFF;
CREATE TABLE frame (id BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL, base BLOB)
WITHOUT ROWID;
CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID;
"""


def find_whole(
    packs: Sequence[SpooledPack], storage_key: bytes, top: ObjectId, manifest: Manifest, scratch: Path
) -> list[SpooledPack] | None:
    """Give those of `packs` that hold everything below a manifest, in their order; None if something is not here.

    `top` is the manifest's object; `scratch` a file of this act's own, which is removed.
    """
    scratch.parent.mkdir(parents=True, exist_ok=True)
    scratch.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(scratch, isolation_level=None)) as db:
            db.executescript(_SCHEMA)
            index = _Index(db, packs, storage_key)
            index.need(top)
            for document in manifest.documents:
                index.need(document.object)
            for table in manifest.tables:
                if table.top is not None:
                    _walk(index, table.top, table.claim.height)
            if manifest.blobs is not None:
                for page in _blob_pages(index, manifest.blobs):
                    for line in index.read(page, ObjectKind.PAGE).split(b"\n"):
                        for name, _ in walk_chunk_lists(index, parse_blob_line(line)[2]):
                            index.need(name)
            return [pack for number, pack in enumerate(packs) if number in index.needed]
    except (EvidenceError, sqlite3.OperationalError):
        return None
    finally:
        scratch.unlink(missing_ok=True)


class _Index:
    """Every frame of some packs, by id. An `ObjectSource`. Attribute: `needed`, the numbers of packs that are needed."""

    def __init__(self, db: sqlite3.Connection, packs: Sequence[SpooledPack], storage_key: bytes) -> None:
        self._db = db
        self._packs = packs
        self._storage_key = storage_key
        self.needed: set[int] = set()
        db.execute("BEGIN")
        for number, pack in enumerate(packs):
            # What of a pack cannot be read is not here.
            with suppress(OSError, EvidenceError):
                db.executemany("INSERT OR IGNORE INTO frame VALUES (?, ?, ?, ?, ?)", _rows(pack, number))
        db.execute("COMMIT")

    def need(self, name: ObjectId) -> bool:
        """Say that an object is needed, and what it is coded against; tell whether for the first time.

        Raises: MissingObjectError if it is not here.
        """
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,)).rowcount == 0:
            return False
        pack, _, _, base = self._find(name)
        self.needed.add(pack)
        if base is not None:
            self.need(ObjectId(base))
        return True

    def read(self, wanted: ObjectId, kind: ObjectKind) -> bytes:
        """Give an object's body, checked against its id. Raises: MissingObjectError, FormatError."""
        pack, offset, size, _ = self._find(wanted)
        try:
            with self._packs[pack].path.open("rb") as file:
                file.seek(offset)
                frame = parse_frame(file.read(size), offset)
        except OSError as err:
            raise MissingObjectError(f"{self._packs[pack].path} cannot be read: {err}", object_id=wanted) from err
        body = decode_frame(frame, lambda base: self.read(base, kind))
        check_object(self._storage_key, kind, wanted, body)
        return body

    def _find(self, name: ObjectId) -> tuple[int, int, int, bytes | None]:
        row = self._db.execute("SELECT pack, offset, size, base FROM frame WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise MissingObjectError(f"object {name.hex()[:16]}… is not here", object_id=name)
        found: tuple[int, int, int, bytes | None] = row
        return found


def _rows(pack: SpooledPack, number: int) -> Iterator[tuple[bytes, int, int, int, bytes | None]]:
    with pack.path.open("rb") as file:
        for frame in read_frames(iter(lambda: file.read(1 << 20), b"")):
            yield frame.object_id, number, frame.offset, frame.size, frame.base


def _walk(index: _Index, top: ObjectId, height: int) -> None:
    """Say that everything below a table's top is needed; what was needed before is not walked again."""
    if not index.need(top) or height == 0:
        return
    level, entries = parse_node(index.read(top, ObjectKind.NODE))
    if level != height - 1:
        raise FormatError(f"a node of height {height} has children of level {level}")
    for entry in entries:
        _walk(index, entry.child, level)


def _blob_pages(index: _Index, top: ObjectId) -> Iterator[ObjectId]:
    """Yield the pages of `@blobs`, whose height no claim tells: a top that is no node is the only page."""
    index.need(top)
    try:
        body = index.read(top, ObjectKind.NODE)
    except EvidenceError:
        yield top
        return
    level, entries = parse_node(body)
    for entry in entries:
        if level == 0:
            index.need(entry.child)
            yield entry.child
        else:
            yield from _blob_pages(index, entry.child)
