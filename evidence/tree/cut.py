# SPDX-License-Identifier: Apache-2.0
"""Where pages and nodes end. Pure.

After a row:   cut if `bytes >= MAX`, or `bytes >= MIN` and `u32be(leaf[0:4]) · TARGET < (len(line)+1) · 2^32`;
               bytes = Σ(len(line)+1) of the page.
After an entry: cut if `n >= 2048`, or `n >= 32` and `u32be(H(0x00‖e)[0:4]) < 2^24`.

Cuts depend on content and only on what follows the last cut, so tomorrow's tree shares all untouched pages. The loops
over rows are the reference; `evidence.kernel` has them compiled.
Source: design section 3; the idea is that of content-defined chunking and of prolly trees.
"""

from array import array
from collections.abc import Sequence

from evidence.kernel import Ends, find_kernel

PAGE_MIN = 4 << 10
PAGE_TARGET = 12 << 10
PAGE_MAX = 64 << 10
NODE_MIN = 32
NODE_MAX = 2048
_NODE_THRESHOLD = 1 << 24


def is_page_end(page_bytes: int, line_bytes: int, leaf: bytes) -> bool:
    """Tell whether a page of `page_bytes` ends after its last row, whose line has `line_bytes` with its LF."""
    if page_bytes >= PAGE_MAX:
        return True
    return page_bytes >= PAGE_MIN and int.from_bytes(leaf[:4], "big") * PAGE_TARGET < line_bytes << 32


def is_node_end(entries: int, leaf: bytes) -> bool:
    """Tell whether a node of `entries` ends after its last entry, whose leaf hash is `leaf`."""
    return entries >= NODE_MAX or (entries >= NODE_MIN and int.from_bytes(leaf[:4], "big") < _NODE_THRESHOLD)


def find_page_ends(ends: Ends, hashes: bytes, open_bytes: int, *, compiled: bool = True) -> list[int]:
    """Give the rows of a block after which a page ends, ascending.

    `ends[i]` is where line i ends in the block (after its LF), `hashes` are the leaves (32 bytes each), `open_bytes`
    the bytes of the page that was open before the block. `compiled` False: by the reference.
    """
    kernel = find_kernel() if compiled else None
    if kernel is not None:
        return kernel.find_page_ends(ends, hashes, open_bytes)
    cuts: list[int] = []
    page_bytes, before = open_bytes, 0
    for row, end in enumerate(ends):
        page_bytes += end - before
        if is_page_end(page_bytes, end - before, hashes[32 * row : 32 * row + 4]):
            cuts.append(row)
            page_bytes = 0
        before = end
    return cuts


def judge_page_ends(
    ends: Ends, hashes: bytes, counts: Sequence[int], *, compiled: bool = True
) -> list[tuple[bool, bool]]:
    """Tell of consecutive pages of `counts[i]` rows each: whether it goes on where the rule ends it, and whether it ends by the rule."""
    kernel = find_kernel() if compiled else None
    if kernel is not None:
        return [(bool(v & 1), bool(v & 2)) for v in kernel.judge_page_ends(ends, hashes, array("q", counts))]
    verdicts: list[tuple[bool, bool]] = []
    row = start = 0
    for count in counts:
        is_end: list[bool] = []
        before = start
        for i in range(row, row + count):
            is_end.append(is_page_end(ends[i] - start, ends[i] - before, hashes[32 * i : 32 * i + 4]))
            before = ends[i]
        verdicts.append((any(is_end[:-1]), is_end[-1]))
        row, start = row + count, before
    return verdicts
