# SPDX-License-Identifier: Apache-2.0
"""From what a target gives back to a tree: the copy is snapshotted again, under the original's schema and secret.

Lines come in any order; if they come in canonical order (a copy that was filled in order mostly gives them so), they
are hashed as they come, else they are sorted in bounded memory. Keeps nothing. Source: design section 3, promise 4.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from center.restore.target import Advance
from center.sorting import sort_lines
from evidence.errors import TreeError
from evidence.rows.commit import commit_lines
from evidence.rows.line import KeySpec, check_order
from evidence.rows.order import check_ascends
from evidence.tree.build import CountingSink, TreeBuilder
from evidence.tree.nodes import Tree

_BLOCK_BYTES = 1 << 20
_MOST_DIFFERENCES = 5


def compute_tree(read: Callable[[], Iterator[bytes]], ordering: KeySpec, row_key: bytes, advance: Advance) -> Tree:
    """Give the tree of the lines that `read` gives; it is called a second time if they come out of order.

    Raises: TreeError if two rows have one key, or a key is NULL (the copy is not a copy).
    """
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        advance(rows)

    try:
        return _build(read(), ordering, row_key, count)
    except TreeError:
        advance(-done)
    return _build(canonical_order(read(), ordering), ordering, row_key, advance)


def canonical_order(lines: Iterable[bytes], ordering: KeySpec) -> Iterator[bytes]:
    """Yield `lines` sorted as the design orders the rows of a table."""
    return sort_lines(lines, lambda line: ordering.order_of(ordering.key_of(line)))


@dataclass(frozen=True, slots=True)
class Differences:
    """How many rows a copy lacks, has too many, or has otherwise; and the lines of the first few, before and after."""

    count: int
    first: tuple[tuple[bytes | None, bytes | None], ...]


def find_differences(original: Iterator[bytes], copy: Iterator[bytes], ordering: KeySpec) -> Differences:
    """Compare two ordered runs of lines."""
    count = 0
    first: list[tuple[bytes | None, bytes | None]] = []
    for pair in _merge(original, copy, ordering):
        count += 1
        if len(first) < _MOST_DIFFERENCES:
            first.append(pair)
    return Differences(count, tuple(first))


def _build(lines: Iterator[bytes], ordering: KeySpec, row_key: bytes, advance: Advance) -> Tree:
    """Raises: TreeError at the first row that is out of order."""
    builder = TreeBuilder(CountingSink(), ordering.hint_of)
    last: bytes | None = None
    for block in _blocks(lines):
        leaves = commit_lines(row_key, block)
        check_ascends(ordering, block, leaves.ends)
        first = ordering.key_of(block[: block.index(b"\n")])
        if last is None:
            ordering.order_of(first)
        else:
            check_order(ordering, last, first)
        last = ordering.key_of(block[block.rfind(b"\n", 0, -1) + 1 : -1])
        builder.add(block, leaves.ends, leaves.hashes)
        advance(len(leaves))
    return builder.finish()


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line) + 1
        if size >= _BLOCK_BYTES:
            yield b"\n".join(block) + b"\n"
            block, size = [], 0
    if block:
        yield b"\n".join(block) + b"\n"


def _merge(
    original: Iterator[bytes], copy: Iterator[bytes], ordering: KeySpec
) -> Iterator[tuple[bytes | None, bytes | None]]:
    old, new = next(original, None), next(copy, None)
    while old is not None or new is not None:
        if old == new:
            old, new = next(original, None), next(copy, None)
            continue
        a = None if old is None else ordering.order_of(ordering.key_of(old))
        b = None if new is None else ordering.order_of(ordering.key_of(new))
        if a is not None and b is not None and a == b:
            yield old, new
            old, new = next(original, None), next(copy, None)
        elif b is None or (a is not None and a < b):
            yield old, None
            old = next(original, None)
        else:
            yield None, new
            new = next(copy, None)
