# SPDX-License-Identifier: Apache-2.0
"""One table has exactly one tree: what the center computes itself about each page and node. Pure.

Nothing is believed because it was named. A page's rows are hashed, their order and the page's end checked; a node is
checked against the facts of its children, which were computed here before. What a parent must hold is in the
`Fact`: (root, level, items, rows, bytes, first key, last key in full, ended by the rule or not). Source: design
section 3, "One table has exactly one tree".
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from center.registry.catalog_tables import Fact
from evidence.digest import EMPTY_ROOT, ObjectId, tree_head
from evidence.errors import FormatError, MissingObjectError, TreeError
from evidence.kernel import Ends
from evidence.rows.check import RowCheck
from evidence.rows.commit import commit_lines
from evidence.rows.line import MAX_HINT_BYTES, KeySpec, check_order
from evidence.rows.order import find_disorder
from evidence.tree.build import page_roots
from evidence.tree.cut import is_node_end, judge_page_ends
from evidence.tree.nodes import Tree, entry_leaves, parse_node

MOST_KEPT_KEYS = 16 << 10
"""A fact with more bytes of keys is not kept: what it is about is judged again. Each parent repeats them."""


def key_bytes(fact: Fact) -> int:
    """Give how many bytes of keys a fact has."""
    return len(fact.first_key) + len(fact.last_key)


@dataclass(frozen=True, slots=True)
class PageVerdict:
    """What became of one page: the fact, or why it cannot be a page of a table so ordered."""

    fact: Fact | None
    reason: str = ""


def judge_pages(bodies: Sequence[bytes], spec: KeySpec, key: bytes, rows: RowCheck | None) -> list[PageVerdict]:
    """Compute the facts of pages under the order `spec`; `key` is K of the source.

    `rows` is the table's: a line that is no row of it could never be shown to anybody (None: `@blobs`, whose lines are
    parsed elsewhere). Pages are hashed together, some MiB at best; each is judged for itself.
    """
    block = b"\n".join(bodies) + b"\n"
    leaves = commit_lines(key, block)
    counts = _count_rows(bodies, leaves.ends)
    roots = page_roots(leaves.hashes, counts)
    unsound = _unsound(rows, bodies, block, leaves.ends)
    disorder = _disorder(spec, block, leaves.ends, counts)
    cuts = judge_page_ends(leaves.ends, leaves.hashes, counts)
    verdicts: list[PageVerdict] = []
    for body, count, root, wrong, broken, (early, ended) in zip(
        bodies, counts, roots, unsound, disorder, cuts, strict=True
    ):
        if wrong or broken:
            verdicts.append(PageVerdict(None, wrong or broken))
        elif early:
            verdicts.append(PageVerdict(None, f"a page of {count} rows goes on after a row where the cut rule ends it"))
        else:
            first, last = body.partition(b"\n")[0], body.rpartition(b"\n")[2]
            fact = Fact(root, 0, count, count, len(body) + 1, spec.key_of(first), spec.key_of(last), ended)
            verdicts.append(PageVerdict(fact))
    return verdicts


def judge_node(node: ObjectId, body: bytes, children: Mapping[ObjectId, Fact], spec: KeySpec) -> Fact:
    """Compute the fact of a node from the facts of its children.

    Raises: TreeError, FormatError: why it cannot be a node of such a tree; MissingObjectError: a child has no fact.
    """
    level, entries = parse_node(body)
    where = f"node {node.hex()[:16]}…"
    previous: Fact | None = None
    leaves = entry_leaves(level, entries)
    total = 0
    for i, entry in enumerate(entries):
        fact = children.get(entry.child)
        if fact is None:
            raise MissingObjectError(f"{where} names a child that is not here", object_id=entry.child)
        if (entry.items, entry.rows, entry.root, level) != (fact.items, fact.rows, fact.root, fact.level):
            raise TreeError(
                f"{where}: entry {i} says {entry.items} items, {entry.rows} rows, level {level}; its child has "
                f"{fact.items}, {fact.rows}, {fact.level}, or has another root"
            )
        if entry.hint != fact.first_key[:MAX_HINT_BYTES]:
            raise TreeError(f"{where}: entry {i} gives a false first key")
        if previous is not None and not previous.ended:
            raise TreeError(f"{where}: entry {i - 1} ends early, and is not the last of its level")
        if is_node_end(i + 1, leaves[i]) and i != len(entries) - 1:
            raise TreeError(f"{where} goes on after entry {i}, where the cut rule ends it")
        previous = fact
        total += fact.bytes_
    if previous is None:
        raise FormatError(f"{where} has no entries")
    _check_neighbours(spec, [children[entry.child] for entry in entries])
    first = children[entries[0].child]
    # A node ends by the rule only if everything below its last entry does: otherwise more rows would belong there.
    ended = is_node_end(len(leaves), leaves[-1]) and previous.ended
    return Fact(
        tree_head(leaves), level + 1, len(entries), sum(e.rows for e in entries), total,
        first.first_key, previous.last_key, ended,
    )  # fmt: skip


def _check_neighbours(spec: KeySpec, facts: Sequence[Fact]) -> None:
    """Raises: TreeError unless the first key of each fact follows the last key of the one before it."""
    # Keys stand in a block of their own as lines of key columns alone: last, first, last, first …
    keys = [key for before, after in pairwise(facts) for key in (before.last_key, after.first_key)]
    block = b"".join([key + b"\n" for key in keys])
    ends = array("q", accumulate(len(key) + 1 for key in keys))
    for row in find_disorder(KeySpec(tuple(range(len(spec.columns))), spec.kinds), block, ends):
        # The rows of one child stand in order already, and may be one.
        if row % 2:
            check_order(spec, keys[row - 1], keys[row])


def check_top(name: str, fact: Fact | None, claimed: Tree) -> None:
    """Raises: TreeError unless the top's fact is what a claim says of its table (`fact` None: an empty table)."""
    if fact is None:
        found = Tree(None, EMPTY_ROOT, 0, 0, 0, 0)
    else:
        found = Tree(claimed.top, fact.root, fact.level, fact.items, fact.rows, fact.bytes_)
        if fact.level > 0 and fact.items == 1:
            raise TreeError(f"the tree of {name!r} goes on above the level that has one item")
    if found != claimed:
        raise TreeError(
            f"table {name!r}: the statement claims root {claimed.root.hex()[:16]}…, height {claimed.height}, {claimed.items} "
            f"items, {claimed.rows} rows, {claimed.bytes_} bytes; its rows give {found.root.hex()[:16]}…, {found.height}, "
            f"{found.items}, {found.rows}, {found.bytes_}"
        )


def _count_rows(bodies: Sequence[bytes], ends: Ends) -> list[int]:
    """Give the rows of each body: the ends of lines tell, without counting again."""
    lasts = [bisect_left(ends, end) for end in accumulate(len(body) + 1 for body in bodies)]
    return [after - before for before, after in pairwise([-1, *lasts])]


def _unsound(rows: RowCheck | None, bodies: Sequence[bytes], block: bytes, ends: Ends) -> list[str]:
    """Give for each page which of its lines is no row of the table, and why, or an empty text."""
    if rows is None:
        return [""] * len(bodies)
    try:
        rows.check(block, ends)
    except FormatError as err:
        if len(bodies) == 1:
            return [str(err)]
        return [reason for body in bodies for reason in _unsound(rows, [body], body + b"\n", _ends_of(body))]
    return [""] * len(bodies)


def _ends_of(body: bytes) -> Ends:
    return array("q", accumulate(len(line) + 1 for line in body.split(b"\n")))


def _disorder(spec: KeySpec, block: bytes, ends: Ends, counts: Sequence[int]) -> list[str]:
    """Give for each page why its rows are out of order, or an empty text."""
    bounds = [0, *accumulate(counts)]
    try:
        found = find_disorder(spec, block, ends)
    except (TreeError, FormatError) as err:
        # One bad key spoils the comparison of all: judge the pages one by one.
        if len(counts) == 1:
            return [str(err)]
        lines = block.split(b"\n")
        reasons: list[str] = []
        for first, after in pairwise(bounds):
            page = b"\n".join(lines[first:after]) + b"\n"
            page_ends = array("q", accumulate(len(line) + 1 for line in lines[first:after]))
            reasons += _disorder(spec, page, page_ends, [after - first])
        return reasons
    starts = set(bounds)
    reasons = [""] * len(counts)
    for row in found:
        if row not in starts:
            page_number = bisect_right(bounds, row) - 1
            at = row - bounds[page_number]
            reasons[page_number] = f"rows {at} and {at + 1} of a page are out of order"
    return reasons
