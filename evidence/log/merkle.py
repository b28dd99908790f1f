# SPDX-License-Identifier: Apache-2.0
"""Merkle proofs of the log: made from leaf hashes or from tiles, and verified. Pure; tiles come through an argument.

MTH, PATH and SUBPROOF are written as RFC 9162 section 2.1 writes them, over ranges of leaves. Only the hash of a
complete subtree is not computed from its leaves but taken from a tile: so a proof costs a handful of tiles, whatever
the log's size. Invariant: nothing here trusts a tile; a proof from a false tile does not verify.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

from evidence.digest import EMPTY_ROOT, Sha256, audit_path, node_hash, root_from_path, tree_head
from evidence.errors import FormatError, ProofError
from evidence.log.tiles import HASH_BYTES, TILE_WIDTH, Tile, tile_width

ReadTile: TypeAlias = Callable[[Tile], bytes]
"""Gives a hash tile of exactly the width asked for, cut from a wider one if need be."""


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[Sha256]:
    """Prove leaf `index` of the tree over `leaf_hashes`; siblings from the leaf up. O(n)."""
    _check_index(index, len(leaf_hashes))
    return audit_path(leaf_hashes, index)


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> list[Sha256]:
    """Prove that the tree over the first `old_size` leaves is a prefix of the tree over `leaf_hashes`. O(n log n)."""
    return _prove_consistency(lambda low, high: tree_head(leaf_hashes[low:high]), old_size, len(leaf_hashes))


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Verify that leaf `index` of the tree of `size` leaves with `root` hashes to `leaf_hash`. Raises: ProofError."""
    computed = root_from_path(leaf_hash, index, size, proof)
    if computed != root:
        raise ProofError(f"the path of leaf {index} of {size} leads to {computed.hex()}, not to the root {root.hex()}")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Verify that the tree (new_size, new_root) continues the tree (old_size, old_root).

    Raises: ProofError. Source: RFC 9162 section 2.1.4.2; an empty old tree is continued by any, with no proof.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a log of {new_size} entries cannot continue one of {old_size}")
    what = f"the proof that {new_size} entries continue {old_size}"
    if old_size == 0 or old_size == new_size:
        _verify_trivial(old_size, old_root, new_size, new_root, proof, what)
        return
    old_computed, new_computed = _roots_from_proof(old_size, new_size, old_root, proof, what)
    for name, computed, root in (("older", old_computed, old_root), ("newer", new_computed, new_root)):
        if computed != root:
            raise ProofError(f"{what} leads to the {name} root {computed.hex()}, not to {root.hex()}")


def tree_root(read_tile: ReadTile, size: int) -> Sha256:
    """Compute the root of the first `size` entries from tiles."""
    return TileTree(read_tile, size).root(size)


def prove_inclusion(read_tile: ReadTile, index: int, size: int) -> list[Sha256]:
    """Prove leaf `index` in the tree of `size` entries, from tiles."""
    return TileTree(read_tile, size).inclusion(index, size)


def prove_consistency(read_tile: ReadTile, old_size: int, new_size: int) -> list[Sha256]:
    """Prove that the tree of `new_size` entries continues the one of `old_size`, from tiles."""
    return TileTree(read_tile, new_size).consistency(old_size, new_size)


class TileTree:
    """The tree of a log of `size` entries, over its tiles; also proves every smaller size. Not thread-safe.

    Each tile is read at most once. Methods raise ProofError for an index or size beyond the log, and whatever
    `read_tile` raises.
    """

    def __init__(self, read_tile: ReadTile, size: int) -> None:
        self._read_tile = read_tile
        self._size = size
        self._tiles: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def root(self, size: int) -> Sha256:
        """Give the root of the first `size` entries."""
        self._check_size(size)
        return self._head(0, size)

    def inclusion(self, index: int, size: int) -> list[Sha256]:
        """Prove leaf `index` in the tree of the first `size` entries (PATH, RFC 9162 section 2.1.3.1)."""
        self._check_size(size)
        _check_index(index, size)
        path: list[Sha256] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._head(middle, high))
                high = middle
            else:
                path.append(self._head(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Prove that the first `new_size` entries continue the first `old_size`."""
        self._check_size(new_size)
        return _prove_consistency(self._head, old_size, new_size)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise ProofError(f"a log of {self._size} entries has no tree of {size}")

    def _head(self, low: int, high: int) -> Sha256:
        """MTH of the leaves [low, high); `low` is a multiple of the power of two not below `high - low`."""
        count = high - low
        if count == 0:
            return EMPTY_ROOT
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, low >> (count.bit_length() - 1))
        middle = low + _split(count)
        return node_hash(self._head(low, middle), self._head(middle, high))

    def _node(self, height: int, index: int) -> Sha256:
        """Give the root of the complete subtree number `index` of 2^height leaves."""
        level, row = divmod(height, 8)
        tile_index, place = divmod(index, TILE_WIDTH >> row)
        rows = self._tiles.get((level, tile_index))
        if rows is None:
            rows = self._load(Tile(level, tile_index, tile_width(self._size, level, tile_index)))
            self._tiles[level, tile_index] = rows
        return Sha256(rows[row][HASH_BYTES * place : HASH_BYTES * (place + 1)])

    def _load(self, tile: Tile) -> tuple[bytes, ...]:
        data = self._read_tile(tile)
        if len(data) != HASH_BYTES * tile.width:
            raise FormatError(f"{tile.path} has {len(data)} bytes, expected {HASH_BYTES * tile.width}")
        return _rows(data)


@lru_cache(maxsize=64)
def _rows(data: bytes) -> tuple[bytes, ...]:
    """Give a tile's own hashes and those of the complete subtrees over 2, 4, … 128 of them, each row joined.

    Remembered by content, because neighbours in a log are proven together.
    """
    rows = [data]
    for _ in range(7):
        below = rows[-1]
        pairs = range(0, len(below) - 2 * HASH_BYTES + 1, 2 * HASH_BYTES)
        rows.append(b"".join(node_hash(below[i : i + 32], below[i + 32 : i + 64]) for i in pairs))
    return tuple(rows)


def _prove_consistency(head: Callable[[int, int], Sha256], old_size: int, new_size: int) -> list[Sha256]:
    """PROOF and SUBPROOF of RFC 9162 section 2.1.4.1; `head(low, high)` is MTH of a range of leaves."""
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a log of {new_size} entries cannot continue one of {old_size}")
    if old_size == 0:
        return []
    proof: list[Sha256] = []
    low, high, known = 0, new_size, True
    while high != old_size:
        middle = low + _split(high - low)
        if old_size <= middle:
            proof.append(head(middle, high))
            high = middle
        else:
            proof.append(head(low, middle))
            low, known = middle, False
    if not known:
        proof.append(head(low, high))
    return proof[::-1]


def _roots_from_proof(
    old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes], what: str
) -> tuple[Sha256, Sha256]:
    # RFC 9162 section 2.1.4.2, steps 2 to 6; the names fn and sn are the RFC's.
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, Sha256(old_root))
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    if not path:
        raise ProofError(f"{what} is empty")
    old = new = Sha256(path[0])
    for sibling in path[1:]:
        if sn == 0:
            raise ProofError(f"{what} has {len(proof)} hashes, too many")
        if fn & 1 or fn == sn:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofError(f"{what} has {len(proof)} hashes, too few")
    return old, new


def _verify_trivial(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes], what: str
) -> None:
    if proof:
        raise ProofError(f"{what} has {len(proof)} hashes, expected none")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofError(f"an empty log has the root {EMPTY_ROOT.hex()}, not {old_root.hex()}")
    if old_size == new_size and old_root != new_root:
        raise ProofError(f"there are two roots for {old_size} entries: {old_root.hex()} and {new_root.hex()}")


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size} leaves")


def _split(count: int) -> int:
    """Give the largest power of two below `count` (at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)
