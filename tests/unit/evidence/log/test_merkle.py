# SPDX-License-Identifier: Apache-2.0
"""The log's tree by RFC 9162: roots, inclusion and consistency, and every way to be wrong."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.digest import EMPTY_ROOT, leaf_hash, node_hash, tree_head
from evidence.errors import FormatError, ProofError
from evidence.log.merkle import (
    TileTree,
    consistency_proof,
    inclusion_proof,
    prove_consistency,
    prove_inclusion,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from evidence.log.tiles import Tile

LEAVES = [leaf_hash(b"%d" % i) for i in range(70)]
ROOTS = [tree_head(LEAVES[:size]) for size in range(len(LEAVES) + 1)]


def rfc_head(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 writes it."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else EMPTY_ROOT
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(rfc_head(leaves[:k]), rfc_head(leaves[k:]))


def rfc_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH as RFC 6962 section 2.1.1 writes it."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*rfc_path(m, leaves[:k]), rfc_head(leaves[k:])]
    return [*rfc_path(m - k, leaves[k:]), rfc_head(leaves[:k])]


def rfc_subproof(m: int, leaves: Sequence[bytes], b: bool) -> list[bytes]:
    """SUBPROOF as RFC 6962 section 2.1.2 writes it."""
    if m == len(leaves):
        return [] if b else [rfc_head(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m <= k:
        return [*rfc_subproof(m, leaves[:k], b), rfc_head(leaves[k:])]
    return [*rfc_subproof(m - k, leaves[k:], False), rfc_head(leaves[:k])]


def tiles_over(leaves: Sequence[bytes]) -> Callable[[Tile], bytes]:
    """Give tiles computed from their definition."""

    def read(tile: Tile) -> bytes:
        assert tile.level is not None
        span = 256**tile.level
        starts = range(tile.index * 256 * span, (tile.index * 256 + tile.width) * span, span)
        return b"".join(tree_head(leaves[start : start + span]) for start in starts)

    return read


def test_proofs_are_the_rfc_s() -> None:
    for size in range(1, 40):
        for index in range(size):
            assert inclusion_proof(LEAVES[:size], index) == rfc_path(index, LEAVES[:size])
        for old in range(1, size + 1):
            assert consistency_proof(LEAVES[:size], old) == rfc_subproof(old, LEAVES[:size], True)


def test_every_proof_of_small_trees_verifies_and_comes_from_tiles_alike() -> None:
    read = tiles_over(LEAVES)
    for size in range(len(LEAVES) + 1):
        assert tree_root(read, size) == ROOTS[size]
        for index in range(size):
            path = inclusion_proof(LEAVES[:size], index)
            assert prove_inclusion(read, index, size) == path
            verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])
        for old in range(size + 1):
            proof = consistency_proof(LEAVES[:size], old)
            assert prove_consistency(read, old, size) == proof
            verify_consistency(old, ROOTS[old], size, ROOTS[size], proof)


BIG = [leaf_hash(b"%d" % i) for i in range(66_100)]
BIG_READ = tiles_over(BIG)
BIG_TILES: dict[Tile, bytes] = {}


def read_big(tile: Tile) -> bytes:
    if tile not in BIG_TILES:
        BIG_TILES[tile] = BIG_READ(tile)
    return BIG_TILES[tile]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, len(BIG)), st.integers(0, len(BIG) - 1))
def test_proofs_from_tiles_cross_levels_and_prove_smaller_sizes(size: int, number: int) -> None:
    tree = TileTree(read_big, len(BIG))
    index = number % size
    root = tree.root(size)
    assert root == tree_head(BIG[:size])
    verify_inclusion(BIG[index], index, size, tree.inclusion(index, size), root)
    verify_consistency(size, root, len(BIG), tree.root(len(BIG)), tree.consistency(size, len(BIG)))


def test_proof_reads_a_handful_of_tiles_each_once() -> None:
    read: list[Tile] = []

    def counting(tile: Tile) -> bytes:
        read.append(tile)
        return read_big(tile)

    prove_inclusion(counting, 12_345, len(BIG))
    assert len(read) == len(set(read)) <= 6


def test_any_change_to_an_inclusion_proof_is_refused() -> None:
    size, index = 37, 20
    path = inclusion_proof(LEAVES[:size], index)
    changed: list[list[bytes]] = [[*path[:-1]], [*path, path[0]], [*path[1:]], [*path[::-1]], []]
    changed += [[*path[:i], path[i][:-1] + bytes((path[i][-1] ^ 1,)), *path[i + 1 :]] for i in range(len(path))]
    for proof in changed:
        with pytest.raises(ProofError):
            verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
    for other in (index - 1, index + 1, size, -1):
        with pytest.raises(ProofError):
            verify_inclusion(LEAVES[index], other, size, path, ROOTS[size])
    with pytest.raises(ProofError):
        verify_inclusion(LEAVES[index + 1], index, size, path, ROOTS[size])


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 7), (4, 8), (6, 8), (8, 9), (31, 64), (32, 33), (37, 61)])
def test_any_change_to_a_consistency_proof_is_refused(old: int, new: int) -> None:
    proof = consistency_proof(LEAVES[:new], old)
    changed: list[list[bytes]] = [[*proof[:-1]], [*proof, proof[0]], [*proof[1:]]]
    changed += [[*proof[:i], proof[i][:-1] + bytes((proof[i][-1] ^ 1,)), *proof[i + 1 :]] for i in range(len(proof))]
    for other in changed:
        with pytest.raises(ProofError):
            verify_consistency(old, ROOTS[old], new, ROOTS[new], other)
    for old_root, new_root in ((ROOTS[old - 1], ROOTS[new]), (ROOTS[old], ROOTS[new - 1]), (ROOTS[new], ROOTS[old])):
        with pytest.raises(ProofError):
            verify_consistency(old, old_root, new, new_root, proof)


def test_trivial_consistency_needs_no_proof_and_takes_none() -> None:
    verify_consistency(0, EMPTY_ROOT, 5, ROOTS[5], [])
    verify_consistency(5, ROOTS[5], 5, ROOTS[5], [])
    for old, old_root, new, new_root, proof in [
        (0, EMPTY_ROOT, 5, ROOTS[5], [ROOTS[1]]),
        (5, ROOTS[5], 5, ROOTS[5], [ROOTS[1]]),
        (0, ROOTS[1], 5, ROOTS[5], []),
        (5, ROOTS[5], 5, ROOTS[4], []),
        (6, ROOTS[6], 5, ROOTS[5], []),
        (-1, EMPTY_ROOT, 5, ROOTS[5], []),
    ]:
        with pytest.raises(ProofError):
            verify_consistency(old, old_root, new, new_root, proof)


def test_questions_beyond_the_log_are_refused() -> None:
    tree = TileTree(tiles_over(LEAVES), 20)
    for ask in (
        lambda: tree.root(21),
        lambda: tree.root(-1),
        lambda: tree.inclusion(20, 20),
        lambda: tree.inclusion(-1, 20),
        lambda: tree.inclusion(3, 21),
        lambda: tree.consistency(5, 21),
        lambda: tree.consistency(6, 5),
        lambda: inclusion_proof(LEAVES, len(LEAVES)),
        lambda: consistency_proof(LEAVES, len(LEAVES) + 1),
    ):
        with pytest.raises(ProofError):
            ask()


def test_tile_of_a_false_length_is_refused() -> None:
    with pytest.raises(FormatError, match="expected 224"):
        tree_root(lambda _: bytes(32), 7)
