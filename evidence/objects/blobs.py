# SPDX-License-Identifier: Apache-2.0
"""Blobs: the bytes of large cells and files, as chunks under lists of chunks. Pure.

    chunk      (kind 3) = the bytes, 1 byte to 2 MiB
    chunk list (kind 4) = u8 level ‖ per entry: size u64be (bytes below) ‖ id[32];   1 to 4,096 entries

Level 0 lists chunks, level n lists lists of level n-1. A blob of no bytes is a list without entries. Every list but
the last of its level is full, so one chunking has one list. A blob is proven by its token (SHA-256), not by the list.
Source: design section 4.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from evidence.digest import ObjectId
from evidence.errors import FormatError, LimitError
from evidence.objects.object import ObjectKind, ObjectSource

MAX_CHUNK_BYTES: Final = 2 << 20
MAX_LIST_ENTRIES: Final = 4096
MAX_LIST_LEVEL: Final = 4
_ENTRY: Final = struct.Struct(">Q32s")

ChunkEntry = tuple[int, ObjectId]
"""Bytes below, and the id of a chunk or list."""


class BlobBuilder:
    """Build the chunk lists of one blob, bottom-up, in bounded memory; `put` stores an object and gives its id."""

    def __init__(self, put: Callable[[ObjectKind, bytes], ObjectId]) -> None:
        self._put = put
        self._levels: list[list[ChunkEntry]] = [[]]
        self.size = 0

    def add(self, chunk: bytes) -> None:
        """Append a chunk of 1 byte to 2 MiB."""
        if not 0 < len(chunk) <= MAX_CHUNK_BYTES:
            raise LimitError(f"a chunk has 1 to {MAX_CHUNK_BYTES} bytes, found {len(chunk)}")
        self.size += len(chunk)
        self._add_entry(0, (len(chunk), self._put(ObjectKind.CHUNK, chunk)))

    def finish(self) -> ObjectId:
        """Close the lists and give the id of the top one."""
        level = 0
        while True:
            entries = self._levels[level]
            is_top = level == len(self._levels) - 1
            if is_top and level > 0 and len(entries) == 1:
                return entries[0][1]
            if entries or is_top:
                self._levels[level] = []
                top = self._put(ObjectKind.CHUNK_LIST, encode_chunk_list(level, entries))
                if is_top:
                    return top
                self._add_entry(level + 1, (sum(size for size, _ in entries), top))
            level += 1

    def _add_entry(self, level: int, entry: ChunkEntry) -> None:
        if level == len(self._levels):
            self._levels.append([])
        entries = self._levels[level]
        entries.append(entry)
        if len(entries) == MAX_LIST_ENTRIES:
            self._levels[level] = []
            child = self._put(ObjectKind.CHUNK_LIST, encode_chunk_list(level, entries))
            self._add_entry(level + 1, (sum(size for size, _ in entries), child))


def encode_chunk_list(level: int, entries: Sequence[ChunkEntry]) -> bytes:
    """Write a chunk list."""
    return bytes((level,)) + b"".join(_ENTRY.pack(size, name) for size, name in entries)


def parse_chunk_list(body: bytes) -> tuple[int, list[ChunkEntry]]:
    """Give the level and the entries. Raises: FormatError, LimitError."""
    count, rest = divmod(len(body) - 1, _ENTRY.size)
    if not body or rest:
        raise FormatError(f"a chunk list of {len(body)} bytes is cut off")
    level = body[0]
    if count > MAX_LIST_ENTRIES or level > MAX_LIST_LEVEL:
        raise LimitError(f"a chunk list has {count} entries at level {level}, over the bounds")
    entries = [(size, ObjectId(name)) for size, name in _ENTRY.iter_unpack(body[1:])]
    if any(size == 0 or (level == 0 and size > MAX_CHUNK_BYTES) for size, _ in entries):
        raise FormatError("a chunk list has an entry whose size cannot be")
    return level, entries


def read_blob(source: ObjectSource, top: ObjectId) -> Iterator[bytes]:
    """Yield a blob's chunks in order. Raises: MissingObjectError, FormatError if sizes or levels contradict."""
    level, entries = parse_chunk_list(source.read(top, ObjectKind.CHUNK_LIST))
    yield from _read_entries(source, level, entries)


def walk_chunk_lists(source: ObjectSource, top: ObjectId) -> Iterator[tuple[ObjectId, ObjectKind]]:
    """Yield the id and kind of every object below and including the list `top`, reading lists only."""
    yield top, ObjectKind.CHUNK_LIST
    level, entries = parse_chunk_list(source.read(top, ObjectKind.CHUNK_LIST))
    for _, name in entries:
        if level == 0:
            yield name, ObjectKind.CHUNK
        else:
            yield from walk_chunk_lists(source, name)


def _read_entries(source: ObjectSource, level: int, entries: Sequence[ChunkEntry]) -> Iterator[bytes]:
    for size, name in entries:
        if level == 0:
            chunk = source.read(name, ObjectKind.CHUNK)
            if len(chunk) != size:
                raise FormatError(f"a chunk has {len(chunk)} bytes, its list says {size}")
            yield chunk
            continue
        below, children = parse_chunk_list(source.read(name, ObjectKind.CHUNK_LIST))
        if below != level - 1 or sum(s for s, _ in children) != size:
            raise FormatError(
                f"a chunk list of level {below} stands where one of level {level - 1} and {size} bytes should"
            )
        yield from _read_entries(source, below, children)
