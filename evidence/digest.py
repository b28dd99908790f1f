# SPDX-License-Identifier: Apache-2.0
"""The hashes that Jinsuo uses: the only place in the reference code that names them.

SHA-256 proves (RFC 6962 trees, signed notes, tokens of large cells); keyed BLAKE3 addresses objects;
unkeyed BLAKE3 names packs; SHA-512 stands beside SHA-256 in BagIt's lists, for others. `evidence.kernel` computes the
same SHA-256 figures over many rows at once.
Pure. Source: RFC 6962 section 2.1 (with SHA-256), RFC 2104, the BLAKE3 paper.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import NewType

import blake3

from evidence.errors import ProofError

Sha256 = NewType("Sha256", bytes)
"""A SHA-256 digest, 32 bytes."""

ObjectId = NewType("ObjectId", bytes)
"""BLAKE3 over `kind ‖ body`, keyed with a source's storage key, 32 bytes."""

HASH_SIZE = 32
EMPTY_ROOT = Sha256(hashlib.sha256(b"").digest())


def sha256(*parts: bytes | memoryview) -> Sha256:
    """Hash the concatenation of `parts`."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return Sha256(state.digest())


def hmac_sha256(key: bytes, *parts: bytes) -> Sha256:
    """Authenticate the concatenation of `parts` under `key`."""
    return Sha256(hmac.digest(key, b"".join(parts), "sha256"))


def leaf_hash(data: bytes | memoryview) -> Sha256:
    """Hash one data entry of a Merkle tree: `H(0x00 ‖ data)`."""
    return sha256(b"\x00", data)


def node_hash(left: bytes, right: bytes) -> Sha256:
    """Hash two subtrees: `H(0x01 ‖ left[32] ‖ right[32])`."""
    return Sha256(hashlib.sha256(b"\x01" + left + right).digest())


def tree_head(leaves: Sequence[bytes]) -> Sha256:
    """Fold leaf hashes into RFC 6962's tree head; no leaves give `H("")`.

    Pairing neighbours and promoting an odd last one gives the same tree as the RFC's split at the largest
    power of two. O(n) time, O(n) memory.

    >>> tree_head([leaf_hash(b"")]).hex()[:16]
    '6e340b9cffb37a98'
    """
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    new = hashlib.sha256
    while len(level) > 1:
        above = [new(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return Sha256(level[0])


def audit_path(leaves: Sequence[bytes], index: int) -> list[Sha256]:
    """Give the siblings from leaf `index` up to the root of the tree over `leaves` (RFC 9162 section 2.1.3.1)."""
    path: list[Sha256] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(Sha256(level[sibling]))
        above: list[bytes] = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level, index = above, index // 2
    return path


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> Sha256:
    """Compute the root of the tree of `size` leaves whose leaf `index` hashes to `leaf` (RFC 9162 section 2.1.3.2).

    Raises: ProofError unless 0 <= index < size and `path` has exactly the siblings that such a tree has.
    """
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
    position, last, root = index, size - 1, Sha256(leaf)
    siblings = iter(path)
    used = 0
    while last > 0:
        if position % 2 == 1 or position < last:
            sibling = next(siblings, None)
            if sibling is None:
                raise ProofError(f"the path of leaf {index} of {size} has {len(path)} hashes, too few")
            used += 1
            root = node_hash(sibling, root) if position % 2 else node_hash(root, sibling)
        position, last = position // 2, last // 2
    if used != len(path):
        raise ProofError(f"the path of leaf {index} of {size} has {len(path)} hashes, expected {used}")
    return root


def object_id(storage_key: bytes, kind: int, body: bytes | memoryview) -> ObjectId:
    """Address an object: BLAKE3 over `kind u8 ‖ body`, keyed with the source's `storage_key[32]`."""
    # In one piece: a chunk that begins with a lone byte is hashed apart, at a quarter of the speed.
    return ObjectId(blake3.blake3(b"".join((bytes((kind,)), body)), key=storage_key).digest())


def pack_name(parts: Iterable[bytes | memoryview]) -> str:
    """Name a pack: unkeyed BLAKE3 of its bytes, 64 lower-case hex digits."""
    state = blake3.blake3()
    for part in parts:
        state.update(part)
    return state.hexdigest()


class PackNamer:
    """Name a pack while its bytes pass by. Not thread-safe."""

    _BATCH_BYTES = 128 << 10
    """BLAKE3 hashes many of its chunks at once, if it gets them at once."""

    def __init__(self) -> None:
        self._state = blake3.blake3()
        self._parts: list[bytes] = []
        self._size = 0

    def update(self, part: bytes) -> None:
        """Take the next bytes of the pack."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= self._BATCH_BYTES:
            self._take()

    def name(self) -> str:
        """Give the name of all bytes so far, 64 lower-case hex digits."""
        self._take()
        return self._state.hexdigest()

    def _take(self) -> None:
        self._state.update(b"".join(self._parts))
        self._parts.clear()
        self._size = 0


class ListedHashes:
    """SHA-256 and SHA-512 of a file while its bytes pass by, for BagIt's lists. Attribute: `size` in bytes."""

    def __init__(self, body: bytes = b"") -> None:
        self._sha256, self._sha512 = hashlib.sha256(body), hashlib.sha512(body)
        self.size = len(body)

    def update(self, part: bytes) -> None:
        """Take the next bytes of the file."""
        self._sha256.update(part)
        self._sha512.update(part)
        self.size += len(part)

    def hex(self, algorithm: str) -> str:
        """Give the hash of all bytes so far, by `sha256` or `sha512`, in lower-case hex."""
        return (self._sha256 if algorithm == "sha256" else self._sha512).hexdigest()
