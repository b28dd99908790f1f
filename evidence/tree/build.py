# SPDX-License-Identifier: Apache-2.0
"""From an ordered stream of lines to the one tree of a table, bottom-up, in bounded memory. Pure but for the sink.

Holds one open page and one open node per level. Whether rows really ascend is the caller's business
(`evidence.rows.line.check_order`); counts, cuts and hashes are this module's. Source: design section 3.
"""

from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise

from evidence.digest import EMPTY_ROOT, ObjectId, Sha256, leaf_hash, tree_head
from evidence.kernel import Ends, find_kernel
from evidence.tree.cut import find_page_ends, is_node_end
from evidence.tree.nodes import Entry, Tree, TreeSink, encode_node


class TreeBuilder:
    """Build one tree. Not thread-safe.

    `hint_of` gives what a node says of a page's first line (`KeySpec.hint_of`). `compiled` False: by the reference
    alone, as the verifier does.
    """

    def __init__(self, sink: TreeSink, hint_of: Callable[[bytes], bytes], *, compiled: bool = True) -> None:
        self._compiled = compiled
        self._sink = sink
        self._hint_of = hint_of
        self._open_lines = b""
        self._open_hashes = b""
        self._rows = 0
        self._bytes = 0
        self._levels: list[_Level] = []

    def add(self, block: bytes, ends: Ends, hashes: bytes) -> None:
        """Take a block of whole lines, each ended by LF, with what `commit_lines` says of it."""
        cuts = find_page_ends(ends, hashes, len(self._open_lines), compiled=self._compiled)
        self._rows += len(ends)
        self._bytes += len(block)
        if not cuts:
            self._open_lines += block
            self._open_hashes += hashes
            return
        before = len(self._open_hashes) // 32
        leaves = self._open_hashes + hashes
        bounds = [0, *(ends[cut] for cut in cuts)]
        rows = [0, *(cut + 1 + before for cut in cuts)]
        counts = [b - a for a, b in pairwise(rows)]
        bodies = [block[start : end - 1] for start, end in pairwise(bounds)]
        bodies[0] = self._open_lines + bodies[0]
        self._add_pages(bodies, leaves, counts)
        self._open_lines = block[bounds[-1] :]
        self._open_hashes = leaves[32 * rows[-1] :]

    def finish(self) -> Tree:
        """Close what is open and give the tree; the builder is done then."""
        if self._open_lines:
            count = len(self._open_hashes) // 32
            self._add_pages([self._open_lines[:-1]], self._open_hashes, [count])
            self._open_lines = self._open_hashes = b""
        height = 0
        while height < len(self._levels):
            level = self._levels[height]
            if level.total == 1:
                top = level.entries[0]
                return Tree(top.child, top.root, height, top.items, self._rows, self._bytes)
            if level.entries:
                self._close_node(height)
            height += 1
        return Tree(None, EMPTY_ROOT, 0, 0, 0, 0)

    def _add_pages(self, bodies: Sequence[bytes], hashes: bytes, counts: Sequence[int]) -> None:
        """Take pages of `counts[i]` rows, whose leaves are the first of `hashes`."""
        roots = page_roots(hashes, counts, compiled=self._compiled)
        for body, count, root, page in zip(bodies, counts, roots, self._sink.put_pages(bodies), strict=True):
            self._add_entry(0, Entry(count, count, root, page, self._hint_of(body.partition(b"\n")[0])))

    def _add_entry(self, child_level: int, entry: Entry) -> None:
        if child_level == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[child_level]
        leaf = leaf_hash(entry.leaf_data(child_level))
        level.entries.append(entry)
        level.leaves.append(leaf)
        level.total += 1
        # The one item of a level is the top itself: a node over it is made only when a second item comes.
        if is_node_end(len(level.entries), leaf):
            self._close_node(child_level)

    def _close_node(self, child_level: int) -> None:
        level = self._levels[child_level]
        entries, root = level.entries, tree_head(level.leaves)
        level.entries, level.leaves = [], []
        child = self._sink.put_node(encode_node(child_level, entries))
        rows = sum(e.rows for e in entries)
        self._add_entry(child_level + 1, Entry(len(entries), rows, root, child, entries[0].hint))


class _Level:
    """The open node over children of one level, and how many children the level has had."""

    __slots__ = ("entries", "leaves", "total")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.leaves: list[Sha256] = []
        self.total = 0


def page_roots(hashes: bytes, counts: Sequence[int], *, compiled: bool = True) -> list[Sha256]:
    """Give the roots of consecutive pages of `counts[i]` leaves each; `hashes` may go on behind them."""
    kernel = find_kernel() if compiled else None
    if kernel is not None:
        heads = kernel.tree_heads(hashes, array("q", counts))
        return [Sha256(heads[i : i + 32]) for i in range(0, len(heads), 32)]
    roots: list[Sha256] = []
    start = 0
    for count in counts:
        roots.append(tree_head([hashes[32 * i : 32 * i + 32] for i in range(start, start + count)]))
        start += count
    return roots


class CountingSink:
    """A sink that keeps nothing: for computing a root alone. Ids are all zero."""

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Forget pages."""
        return [ObjectId(bytes(32))] * len(bodies)

    def put_node(self, body: bytes) -> ObjectId:  # noqa: ARG002
        """Forget a node."""
        return ObjectId(bytes(32))
