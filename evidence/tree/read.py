# SPDX-License-Identifier: Apache-2.0
"""Reading trees: all rows, the rows of a key range, one row. Pure but for the source.

The source gives bytes that have been checked against ids; that the tree is the one tree was checked when it was
admitted. Memory: one node per level and one page. Source: design section 3.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from evidence.digest import ObjectId
from evidence.errors import TreeError
from evidence.tree.nodes import Entry, TreeSource, parse_node


class Ordering(Protocol):
    """How rows are ordered; `evidence.rows.line.KeySpec` is one."""

    def key_of(self, line: bytes) -> bytes:
        """Give the key of a line: its escaped key fields joined by TAB, or (keyless) the line."""

    def order_of(self, key: bytes) -> tuple[Any, ...]:  # Any: parts compare only with parts of the same column
        """Give what compares as rows are ordered."""


def read_entries(source: TreeSource, node: ObjectId, level: int) -> Sequence[Entry]:
    """Give the entries of a node of `level` >= 1. Raises: TreeError if its children are of another level."""
    child_level, entries = parse_node(source.read_node(node))
    if child_level != level - 1:
        raise TreeError(f"a node of level {level} has children of level {child_level}, expected {level - 1}")
    return entries


def walk_pages(source: TreeSource, top: ObjectId | None, height: int) -> Iterator[bytes]:
    """Yield the bodies of all pages in order; nothing for an empty table."""
    if top is None:
        return
    if height == 0:
        yield source.read_page(top)
        return
    for entry in read_entries(source, top, height):
        yield from walk_pages(source, entry.child, height - 1)


def walk_lines(source: TreeSource, top: ObjectId | None, height: int) -> Iterator[bytes]:
    """Yield all lines in order, without LF."""
    for body in walk_pages(source, top, height):
        yield from body.split(b"\n")


def find_line(source: TreeSource, ordering: Ordering, top: ObjectId | None, height: int, key: bytes) -> bytes | None:
    """Give the line that has `key`, or None. Reads one node per level and one page, unless hints are cut short."""
    if top is None:
        return None
    path = find_path(source, ordering, top, height, key)
    return None if path is None else path[-1][1]


def find_path(
    source: TreeSource, ordering: Ordering, top: ObjectId, height: int, key: bytes
) -> list[tuple[int, bytes]] | None:
    """Give the way to the row that has `key`: per level (position, body) from the top node, last (position, line).

    The body at step i is of the object in which the position counts; None if no row has the key.
    """
    wanted = ordering.order_of(key)
    return _find(source, ordering, top, height, key, wanted)


def _find(
    source: TreeSource, ordering: Ordering, top: ObjectId, height: int, key: bytes, wanted: tuple[Any, ...]
) -> list[tuple[int, bytes]] | None:
    if height == 0:
        for i, line in enumerate(source.read_page(top).split(b"\n")):
            if ordering.key_of(line) == key:
                return [(i, line)]
        return None
    entries = read_entries(source, top, height)
    # Hints are at most 256 bytes of a key; a page's first line decides only where the hint may have been cut.
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        if ordering.order_of(_first_key(source, ordering, entries[middle], height - 1)) <= wanted:
            low = middle + 1
        else:
            high = middle
    # Equal lines of a keyless table may run over several pages; the first of them will do.
    position = low - 1
    if position < 0:
        return None
    below = _find(source, ordering, entries[position].child, height - 1, key, wanted)
    return None if below is None else [(position, b""), *below]


def _first_key(source: TreeSource, ordering: Ordering, entry: Entry, level: int) -> bytes:
    if len(entry.hint) < 256:
        return entry.hint
    child = entry.child
    while level > 0:
        child = read_entries(source, child, level)[0].child
        level -= 1
    return ordering.key_of(source.read_page(child).partition(b"\n")[0])
