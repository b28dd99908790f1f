# SPDX-License-Identifier: Apache-2.0
"""Proofs that one row is in a table: made by who holds the tree, checked by a stranger. Pure but for the source.

A path runs from the page to the top. Step 0 is the page: the row's index among its `items` rows, and the siblings of
its leaf. Step k >= 1 is a node of level k: the entry's index among its `items` entries, the `rows` below the entry,
and the siblings of its leaf. What a step shows of neighbours is hashes alone. Source: design section 3, formats.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence.digest import ObjectId, Sha256, audit_path, leaf_hash, root_from_path
from evidence.encode import Json, expect_integer, expect_list, expect_text, parse_hex, parse_members
from evidence.errors import FormatError, ProofError
from evidence.tree.nodes import MAX_LEVEL, TreeSource
from evidence.tree.read import Ordering, find_path, read_entries

MAX_PATH_HASHES = 32


@dataclass(frozen=True, slots=True)
class PathStep:
    """One level of a path; `rows` (of the entry below) is None in step 0."""

    index: int
    items: int
    rows: int | None
    hashes: tuple[Sha256, ...]

    def to_json(self) -> Json:
        """Give the step as a bundle holds it."""
        value: dict[str, Json] = {"hashes": [h.hex() for h in self.hashes], "index": self.index, "items": self.items}
        if self.rows is not None:
            value["rows"] = self.rows
        return value


@dataclass(frozen=True, slots=True)
class RowProof:
    """A row and its path from page to top."""

    line: bytes
    steps: tuple[PathStep, ...]


@dataclass(frozen=True, slots=True)
class ProvenTop:
    """What a path proves of the table: its root, height and items of the top; compare all with the claim."""

    root: Sha256
    height: int
    items: int


def read_steps(value: Json) -> tuple[PathStep, ...]:
    """Read a path from a bundle's JSON. Raises: FormatError."""
    steps: list[PathStep] = []
    for level, item in enumerate(expect_list(value, "a path", MAX_LEVEL + 1)):
        names = {"hashes", "index", "items"} | ({"rows"} if level else set())
        members = parse_members(item, f"step {level} of a path", names)
        hashes = [expect_text(h, "a hash of a path") for h in expect_list(members["hashes"], "hashes", MAX_PATH_HASHES)]
        steps.append(
            PathStep(
                expect_integer(members["index"], "the index of a path step"),
                expect_integer(members["items"], "the items of a path step", 2**32 - 1),
                expect_integer(members["rows"], "the rows of a path step") if level else None,
                tuple(Sha256(parse_hex(h, "a hash of a path", 32)) for h in hashes),
            )
        )
    if not steps:
        raise FormatError("a path has at least one step")
    return tuple(steps)


def prove_row(
    source: TreeSource,
    ordering: Ordering,
    commit: Callable[[bytes], Sequence[Sha256]],
    top: ObjectId | None,
    height: int,
    key: bytes,
) -> RowProof | None:
    """Prove the row that has `key`, or give None; `commit` gives the leaves of a page's body (`commit_page`)."""
    path = None if top is None else find_path(source, ordering, top, height, key)
    if path is None or top is None:
        return None
    steps: list[PathStep] = []
    node = top
    for level, (position, _) in zip(range(height, 0, -1), path, strict=False):
        entries = read_entries(source, node, level)
        leaves = [leaf_hash(e.leaf_data(level - 1)) for e in entries]
        entry = entries[position]
        steps.append(PathStep(position, len(entries), entry.rows, tuple(audit_path(leaves, position))))
        node = entry.child
    position, line = path[-1]
    page = commit(source.read_page(node))
    steps.append(PathStep(position, len(page), None, tuple(audit_path(page, position))))
    return RowProof(line, tuple(reversed(steps)))


def root_of_row(leaf: Sha256, steps: Sequence[PathStep]) -> ProvenTop:
    """Compute the top to which a path leads from a row's leaf hash.

    Raises: ProofError if a step cannot be one of such a tree.
    """
    root = root_from_path(leaf, steps[0].index, steps[0].items, steps[0].hashes)
    rows = steps[0].items
    for level, step in enumerate(steps[1:], start=1):
        below = steps[level - 1]
        if step.rows is None or step.rows < rows or (level == 1 and step.rows != below.items):
            raise ProofError(f"step {level} of the path says {step.rows} rows, at least {rows} are below it")
        rows = step.rows
        data = b"\x02" + bytes((level - 1,)) + below.items.to_bytes(4, "big") + rows.to_bytes(8, "big") + root
        root = root_from_path(leaf_hash(data), step.index, step.items, step.hashes)
    return ProvenTop(root, len(steps) - 1, steps[-1].items)
