# SPDX-License-Identifier: Apache-2.0
"""What changed between two trees of one order. Pure but for the sources.

Subtrees with equal roots are skipped without being read, so the work is that of the changed pages. Roots are compared,
not ids: the two trees may be of different sources. Source: design section 3 (one table has exactly one tree).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evidence.digest import ObjectId, Sha256
from evidence.tree.nodes import TreeSource
from evidence.tree.read import Ordering, read_entries

Change = tuple[bytes | None, bytes | None]
"""A line before and after; None where the row was not there."""


@dataclass(frozen=True, slots=True)
class TreeTop:
    """Where a tree is read from. `top` None: the empty table."""

    source: TreeSource
    top: ObjectId | None
    height: int
    root: Sha256


def diff_trees(before: TreeTop, after: TreeTop, ordering: Ordering) -> Iterator[Change]:
    """Yield the rows that differ, in order: (old, None) deleted, (None, new) inserted, (old, new) updated (same key).

    Without a key no row is updated: a changed line is one deleted and one inserted.
    """
    left, right = _Cursor(before, ordering), _Cursor(after, ordering)
    while not (left.done and right.done):
        if left.skip_equal(right):
            continue
        old, new = left.line(), right.line()
        if old is not None and old == new:
            left.advance()
            right.advance()
            continue
        order = _compare(left, right)
        if order == 0 and ordering.key_of(old or b"") != (old or b""):
            yield old, new
            left.advance()
            right.advance()
        elif order <= 0 and old is not None:
            yield old, None
            left.advance()
        else:
            yield None, new
            right.advance()


def _compare(left: "_Cursor", right: "_Cursor") -> int:
    if left.done or right.done:
        return 1 if left.done else -1
    a, b = left.order(), right.order()
    return -1 if a < b else 1 if b < a else 0


class _Cursor:
    """A position in a tree, before a row; it may stand before a whole subtree that has not been read yet."""

    def __init__(self, tree: TreeTop, ordering: Ordering) -> None:
        self._source = tree.source
        self._ordering = ordering
        self._stack: list[tuple[int, ObjectId, Sha256]] = []
        self._lines: list[bytes] = []
        if tree.top is not None:
            self._stack.append((tree.height, tree.top, tree.root))

    @property
    def done(self) -> bool:
        return not self._stack and not self._lines

    def skip_equal(self, other: "_Cursor") -> bool:
        """Skip the subtree that both stand before, if it is the same one; open the taller if they differ."""
        if self._lines or other._lines or not self._stack or not other._stack:
            return False
        (level_a, _, root_a), (level_b, _, root_b) = self._stack[-1], other._stack[-1]
        if level_a == level_b and root_a == root_b:
            self._stack.pop()
            other._stack.pop()
            return True
        if level_a >= level_b and level_a > 0:
            self._open()
        if level_b >= level_a and level_b > 0:
            other._open()
        return level_a > 0 or level_b > 0

    def line(self) -> bytes | None:
        while not self._lines and self._stack:
            self._open()
        return self._lines[-1] if self._lines else None

    def order(self) -> tuple[Any, ...]:
        return self._ordering.order_of(self._ordering.key_of(self._lines[-1]))

    def advance(self) -> None:
        self._lines.pop()

    def _open(self) -> None:
        level, child, _ = self._stack.pop()
        if level == 0:
            self._lines = self._source.read_page(child).split(b"\n")[::-1]
        else:
            entries = read_entries(self._source, child, level)
            self._stack.extend((level - 1, e.child, e.root) for e in reversed(entries))
