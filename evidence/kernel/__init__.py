# SPDX-License-Identifier: Apache-2.0
"""What is done for every row, compiled: hashes, cuts, order, escaping. Pure. Never needed, only five to ten times faster.

`evidence.rows` and `evidence.tree` hold the reference for each of these functions, in Python over hashlib; it is all that
a verifier needs, and what is tested against. Where the extension was not built (no C compiler at hand, no wheel for
the machine), or does not hash as hashlib does, there is no kernel and the reference does the work. SHA-256 runs over
4, 8 or 16 messages side by side in one vector register (`lanes.h`), 0.18 µs for a row with its share of the tree
(docs/benchmarks.md). All functions let other threads run. Source: design section 3; decision page 0023.
"""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Protocol, TypeAlias

Ends: TypeAlias = "memoryview[int] | array[int]"
"""Where lines end, as i64 each (`array("q")`, or a view of what the kernel gave)."""


class Kernel(Protocol):
    """The compiled functions. All raise ValueError on sizes that do not fit together, and read nothing outside of their arguments."""

    def commit_lines(self, key: bytes, block: bytes, /) -> tuple[bytes, bytes]:
        """Give where each line of a block ends (i64 each) and its leaf (32 bytes each); `key` is K."""

    def tree_heads(self, hashes: bytes, counts: "array[int]", /) -> bytes:
        """Fold consecutive runs of `counts[i]` >= 1 hashes into tree heads, 32 bytes each."""

    def find_page_ends(self, ends: Ends, hashes: bytes, open_bytes: int, /) -> list[int]:
        """Give the rows after which a page ends."""

    def judge_page_ends(self, ends: Ends, hashes: bytes, counts: "array[int]", /) -> bytes:
        """Give a byte for each page of `counts[i]` rows: bit 0 it goes on after an end, bit 1 it ends by the rule."""

    def find_disorder(self, block: bytes, ends: Ends, columns: bytes, integers: bytes, /) -> list[int] | None:
        """Give the rows whose key does not follow the one before (without `columns`: whose line precedes it).

        `integers[k]` is 1 if key column k is compared as an integer. None: a key cell is not written, NULL, escaped or
        no canonical integer, and the reference must tell.
        """

    def find_doubtful(self, block: bytes, ends: Ends, kinds: bytes, scales: "array[int]", /) -> list[int]:
        """Give the lines of a block that are not surely the one spelling of a row: the reference must tell.

        `kinds` has a letter for each column (`evidence.rows.check`), `scales` the digits of a decimal, -1 if any number.
        """

    def leaf_hashes(self, data: bytes, size: int, /) -> bytes:
        """Give `H(0x00 ‖ d)` of each `size` bytes d of data, 32 bytes each."""

    def strip_nulls(self, block: bytes, /) -> bytes:
        """Take the NULLs from the ends of a block's lines; the first field stays. Gives `block` itself if there are none."""

    def encode_rows(self, rows: Iterable[Sequence[bytes | None]], /) -> bytes:
        """Write rows as lines, each ended by LF."""

    def use_lanes(self, most: int, /) -> int:
        """Use registers of at most `most` lanes (4, 8 or 16) from now on; give how many are used. For tests."""


@cache
def find_kernel() -> Kernel | None:
    """Give the compiled functions, or None where there are none that can be trusted."""
    try:
        from evidence.kernel import _kernel
    except ImportError:
        return None
    return _kernel if _hashes_rightly(_kernel) else None


def _hashes_rightly(kernel: Kernel) -> bool:
    """Tell whether leaves of lines of all lengths around a block's, and a tree over them, are what hashlib gives."""
    key = bytes(range(32))
    lines = [bytes((65 + size % 26,)) * size for size in range(150)]
    _, hashes = kernel.commit_lines(key, b"\n".join(lines) + b"\n")
    salts = (hashlib.sha256(key + bytes(32) + line).digest()[:16] for line in lines)
    leaves = [hashlib.sha256(b"\0\1" + salt + line).digest() for salt, line in zip(salts, lines, strict=True)]
    pair = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
    return hashes == b"".join(leaves) and kernel.tree_heads(hashes, array("q", [2])) == pair
