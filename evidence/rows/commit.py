# SPDX-License-Identifier: Apache-2.0
"""Salted leaves of rows. Pure.

    K    = HMAC-SHA256(row_secret, "jinsuo/row@v1")
    salt = H(K ‖ 32 zero bytes ‖ line)[0:16]
    leaf = H(0x00 ‖ 0x01 ‖ salt ‖ line)

K and the zeros fill one block of SHA-256, and nobody without K can guess a neighbour's line from its leaf; the salt
depends on content alone, so an unchanged row keeps its leaf. The leaves of a block are computed twice behind one
function: by hashlib (the reference, all that a verifier needs) and compiled (`evidence.kernel`).
Source: design section 3.
"""

import hashlib
from array import array
from dataclasses import dataclass

from evidence.digest import Sha256, hmac_sha256, leaf_hash, sha256
from evidence.kernel import Ends, find_kernel

SALT_BYTES = 16
_LEAF_HEAD = b"\x00\x01"


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of a block of lines: where each line ends in the block (after its LF), and all hashes, 32 bytes each."""

    ends: Ends
    hashes: bytes

    def __len__(self) -> int:
        return len(self.ends)

    def split(self) -> list[Sha256]:
        """Give the hashes one by one."""
        return [Sha256(self.hashes[i : i + 32]) for i in range(0, len(self.hashes), 32)]


def row_key(row_secret: bytes) -> bytes:
    """Give K, 32 bytes, from a source's `row_secret[32]`."""
    return hmac_sha256(row_secret, b"jinsuo/row@v1")


def row_salt(key: bytes, line: bytes) -> bytes:
    """Give the salt of a line, 16 bytes; `key` is K."""
    return sha256(key + bytes(32), line)[:SALT_BYTES]


def row_leaf(salt: bytes, line: bytes) -> Sha256:
    """Give the leaf hash of a line under its salt."""
    return leaf_hash(b"\x01" + salt + line)


def commit_lines(key: bytes, block: bytes, *, compiled: bool = True) -> Leaves:
    """Give the leaves of a block of lines, each ended by LF; `key` is K. `compiled` False: by the reference."""
    kernel = find_kernel() if compiled else None
    if kernel is None:
        return _commit_one_by_one(key, block)
    ends, hashes = kernel.commit_lines(key, block)
    return Leaves(memoryview(ends).cast("q"), hashes)


def commit_page(key: bytes, body: bytes) -> list[Sha256]:
    """Give the leaves of a page's body (lines joined by LF, no final LF)."""
    return commit_lines(key, body + b"\n").split()


def _commit_one_by_one(key: bytes, block: bytes) -> Leaves:
    salted = hashlib.sha256(key + bytes(32))
    ends = array("q")
    hashes: list[bytes] = []
    position = 0
    for line in block.split(b"\n")[:-1]:
        state = salted.copy()
        state.update(line)
        hashes.append(hashlib.sha256(_LEAF_HEAD + state.digest()[:SALT_BYTES] + line).digest())
        position += len(line) + 1
        ends.append(position)
    return Leaves(ends, b"".join(hashes))
