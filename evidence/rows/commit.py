# SPDX-License-Identifier: Apache-2.0
"""Salted leaves of rows. Pure.

    K    = HMAC-SHA256(row_secret, "jinsuo/row@v1")
    salt = H(K ‖ 32 zero bytes ‖ line)[0:16]
    leaf = H(0x00 ‖ 0x01 ‖ salt ‖ line)

K and the zeros fill one block of SHA-256, and nobody without K can guess a neighbour's line from its leaf; the salt
depends on content alone, so an unchanged row keeps its leaf. The leaves of a block are computed twice behind one
function: by hashlib (the reference, all that a verifier needs) and over all lines at once (`evidence.batch`).
Source: design section 3.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evidence import batch
from evidence.digest import Sha256, hmac_sha256, leaf_hash, sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SALT_BYTES = 16
_LEAF_HEAD = b"\x00\x01"
_SAMPLE_BYTES = 1 << 18
"""Enough of a block to tell whether it has many lines."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of a block of lines: where each line ends in the block (after its LF), and all hashes, 32 bytes each."""

    ends: "Sequence[int] | NDArray[np.int64]"
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


def commit_lines(key: bytes, block: bytes, *, vectorised: bool | None = None) -> Leaves:
    """Give the leaves of a block of lines, each ended by LF; `key` is K.

    `vectorised` None: over all lines at once if the libraries are there and the block has enough lines. The block has
    less than 256 MiB.
    """
    if vectorised is None:
        vectorised = batch.is_available() and block.count(b"\n", 0, _SAMPLE_BYTES) >= batch.WORTHWHILE
    return _commit_at_once(key, block) if vectorised else _commit_one_by_one(key, block)


def commit_page(key: bytes, body: bytes) -> list[Sha256]:
    """Give the leaves of a page's body (lines joined by LF, no final LF)."""
    return commit_lines(key, body + b"\n").split()


def _commit_one_by_one(key: bytes, block: bytes) -> Leaves:
    salted = hashlib.sha256(key + bytes(32))
    ends: list[int] = []
    hashes: list[bytes] = []
    position = 0
    for line in block.split(b"\n")[:-1]:
        state = salted.copy()
        state.update(line)
        hashes.append(hashlib.sha256(_LEAF_HEAD + state.digest()[:SALT_BYTES] + line).digest())
        position += len(line) + 1
        ends.append(position)
    return Leaves(ends, b"".join(hashes))


def _commit_at_once(key: bytes, block: bytes) -> Leaves:
    import numpy as np

    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 0x0A) + 1
    count = len(ends)
    if count == 0:
        return Leaves(ends, b"")
    sizes = np.diff(ends, prepend=0) - 1

    # One `replace` opens a gap of 64 bytes before every line, with what its salt is hashed from: memory is laid out
    # once, without a loop. Salts are then written into the end of the same gaps, and the leaves hashed from there.
    head = key + bytes(32)
    gapped = bytearray(b"\n")
    gapped += block
    gapped = gapped.replace(b"\n", head)
    starts = ends - 1 - sizes + (len(head) - 1) * np.arange(count)
    salts = batch.sha256_spans(gapped, starts, sizes + len(head))

    leaf_heads = np.zeros((count, len(_LEAF_HEAD) + SALT_BYTES), np.uint8)
    leaf_heads[:, 1] = _LEAF_HEAD[1]
    leaf_heads[:, 2:] = salts[:, :SALT_BYTES]
    size = leaf_heads.shape[1]
    # A view of the `size` bytes at every offset lets one assignment put all heads in their places.
    slots: NDArray[np.void] = np.ndarray((len(gapped) - size + 1,), f"V{size}", gapped, 0, (1,))
    starts += len(head) - size
    slots[starts] = leaf_heads.view(f"V{size}").reshape(-1)
    return Leaves(ends, batch.sha256_spans(gapped, starts, sizes + size).tobytes())
