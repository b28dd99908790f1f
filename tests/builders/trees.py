# SPDX-License-Identifier: Apache-2.0
"""Trees in memory, built by the real code from plain lines."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evidence.digest import ObjectId
from evidence.errors import MissingObjectError
from evidence.objects.object import ObjectKind, name_object
from evidence.rows.commit import commit_lines, row_key
from evidence.rows.line import KeySpec
from evidence.rows.values import Kind
from evidence.tree.build import TreeBuilder
from evidence.tree.diff import TreeTop
from evidence.tree.nodes import Tree

ROW_SECRET = bytes(range(32))
STORAGE_KEY = bytes(range(32, 64))
K = row_key(ROW_SECRET)
BY_ID = KeySpec((0,), (Kind.INT,))
BY_LINE = KeySpec((), ())


@dataclass
class MemoryObjects:
    """A `TreeSink`, `TreeSource` and `ObjectSource` over a dict; counts what is read."""

    storage_key: bytes = STORAGE_KEY
    bodies: dict[ObjectId, tuple[ObjectKind, bytes]] = field(default_factory=dict)
    reads: int = 0

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:
        name = name_object(self.storage_key, kind, body)
        self.bodies[name] = (kind, body)
        return name

    def put_page(self, body: bytes) -> ObjectId:
        return self.put(ObjectKind.PAGE, body)

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Keep pages."""
        return [self.put_page(body) for body in bodies]

    def put_node(self, body: bytes) -> ObjectId:
        return self.put(ObjectKind.NODE, body)

    def read(self, wanted: ObjectId, kind: ObjectKind) -> bytes:
        self.reads += 1
        if wanted not in self.bodies:
            raise MissingObjectError("not here", object_id=wanted)
        found, body = self.bodies[wanted]
        assert found is kind
        return body

    def read_page(self, page: ObjectId) -> bytes:
        return self.read(page, ObjectKind.PAGE)

    def read_node(self, node: ObjectId) -> bytes:
        return self.read(node, ObjectKind.NODE)


def build(
    lines: Sequence[bytes],
    objects: MemoryObjects,
    ordering: KeySpec = BY_ID,
    *,
    compiled: bool = True,
    block_rows: int = 10_000,
) -> Tree:
    """Build the tree of `lines`, which are in order."""
    builder = TreeBuilder(objects, ordering.hint_of, compiled=compiled)
    for start in range(0, len(lines), block_rows):
        block = b"".join(line + b"\n" for line in lines[start : start + block_rows])
        leaves = commit_lines(K, block, compiled=compiled)
        builder.add(block, leaves.ends, leaves.hashes)
    return builder.finish()


def top_of(tree: Tree, objects: MemoryObjects) -> TreeTop:
    """Give where a tree is read from."""
    return TreeTop(objects, tree.top, tree.height, tree.root)


def family(count: int, seed: str) -> list[bytes]:
    """Give the lines of vectors.json's `family`."""
    return [_family_line(i, hashlib.sha256(f"{seed}:{i}".encode()).hexdigest()) for i in range(1, count + 1)]


def numbered(ids: Iterable[int], text: str = "病历") -> list[bytes]:
    """Give short rows with ascending integer keys."""
    return [f"{i}\t{text}{i}\t{'x' * (i * 7919 % 90)}".encode() for i in sorted(ids)]


def _family_line(i: int, x: str) -> bytes:
    day = f"2026-{int(x[4], 16) % 12 + 1:02d}-{int(x[5:7], 16) % 28 + 1:02d}"
    flag = "f" if int(x[16], 16) < 4 else "t"
    return f"{i}\t患者{int(x[0:4], 16)}\t{day}\t{int(x[8:14], 16)}\t{x[0 : int(x[14:16], 16) % 64]}\t{flag}".encode()
