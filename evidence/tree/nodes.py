# SPDX-License-Identifier: Apache-2.0
"""Nodes of a table's tree: their entries, their bytes, and the protocols by which trees are read and written. Pure.

    body of a node object = u8 level of the children ‖ per entry (78 bytes and the hint):
        items u32 ‖ rows u64 ‖ root[32] ‖ child id[32] ‖ length u16 ‖ hint (0..256 bytes)
    data entry of the Merkle tree = 0x02 ‖ u8 level of child ‖ u32 items ‖ u64 rows ‖ child root[32]

Level 0 is a page. `items` counts the child's rows (page) or entries (node). The hint is the first 256 bytes at most of
the key fields of the child's first row, escaped, joined by TAB (keyless: of its line); it only speeds a search.
Source: design sections 3 and 4.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from evidence.digest import ObjectId, Sha256, leaf_hash
from evidence.encode import ByteReader
from evidence.errors import FormatError, LimitError
from evidence.kernel import find_kernel

MAX_HINT_BYTES = 256
MAX_FANOUT = 2048
MAX_LEVEL = 12
_HEAD = struct.Struct(">IQ")
_ENTRY = struct.Struct(">IQ32s32sH")
_LEAF_DATA_BYTES = 46


@dataclass(frozen=True, slots=True)
class Entry:
    """A child as its parent names it. `hint` may be cut, see the module."""

    items: int
    rows: int
    root: Sha256
    child: ObjectId
    hint: bytes

    def leaf_data(self, level: int) -> bytes:
        """Give the data entry `e` of the design for this child, whose level is `level`."""
        return b"\x02" + bytes((level,)) + _HEAD.pack(self.items, self.rows) + self.root


@dataclass(frozen=True, slots=True)
class Tree:
    """A finished table tree. Empty table: `top` None, root H(""), all numbers 0. `bytes_` is Σ(len(line)+1)."""

    top: ObjectId | None
    root: Sha256
    height: int
    items: int
    rows: int
    bytes_: int


class TreeSink(Protocol):
    """Take the objects of a tree bottom-up, each once, and give its id. Whether it is new is the sink's business."""

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Take consecutive pages: each is lines joined by LF, no final LF."""

    def put_node(self, body: bytes) -> ObjectId:
        """Take a node."""


class TreeSource(Protocol):
    """Read objects whose bytes have been checked against their ids. Raises: MissingObjectError."""

    def read_page(self, page: ObjectId) -> bytes:
        """Give a page's body."""

    def read_node(self, node: ObjectId) -> bytes:
        """Give a node's body."""


def encode_node(child_level: int, entries: Iterable[Entry]) -> bytes:
    """Write a node whose children have level `child_level`."""
    parts = [bytes((child_level,))]
    for e in entries:
        parts.append(_ENTRY.pack(e.items, e.rows, e.root, e.child, len(e.hint)) + e.hint)
    return b"".join(parts)


def entry_leaves(level: int, entries: Sequence[Entry]) -> list[Sha256]:
    """Give the leaf hashes of a node's entries, whose children have `level`."""
    data = [entry.leaf_data(level) for entry in entries]
    kernel = find_kernel()
    if kernel is None:
        return [leaf_hash(d) for d in data]
    hashes = kernel.leaf_hashes(b"".join(data), _LEAF_DATA_BYTES)
    return [Sha256(hashes[i : i + 32]) for i in range(0, len(hashes), 32)]


def first_hint(body: bytes) -> tuple[int, bytes]:
    """Give the level of a node's children and the hint of the first, without reading the others. Raises: FormatError."""
    reader = ByteReader(body, "a node")
    level = reader.integer(1)
    reader.take(_HEAD.size + 64)
    return level, reader.take(reader.integer(2))


def parse_node(body: bytes) -> tuple[int, Sequence[Entry]]:
    """Give the level of the children and the entries, at least one.

    Raises: FormatError, LimitError (fan-out, hint or level over its bound).
    """
    reader = ByteReader(body, "a node")
    level = reader.integer(1)
    if level >= MAX_LEVEL:
        raise LimitError(f"a node's children have level {level}; at most {MAX_LEVEL - 1} is read")
    entries: list[Entry] = []
    while not reader.at_end():
        items, rows, root, child, size = _ENTRY.unpack(reader.take(_ENTRY.size))
        if size > MAX_HINT_BYTES or len(entries) == MAX_FANOUT:
            raise LimitError(f"a node has an entry {len(entries) + 1} with a hint of {size} bytes, over the bounds")
        entries.append(Entry(items, rows, root, child, reader.take(size)))
    if not entries:
        raise FormatError("a node has no entries")
    return level, entries
