# SPDX-License-Identifier: Apache-2.0
"""Where pages and nodes end. Pure.

After a row:   cut if `bytes >= MAX`, or `bytes >= MIN` and `u32be(leaf[0:4]) · TARGET < (len(line)+1) · 2^32`;
               bytes = Σ(len(line)+1) of the page.
After an entry: cut if `n >= 2048`, or `n >= 32` and `u32be(H(0x00‖e)[0:4]) < 2^24`.

Cuts depend on content and only on what follows the last cut, so tomorrow's tree shares all untouched pages.
Source: design section 3; the idea is that of content-defined chunking and of prolly trees.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


def find_page_ends(ends: "Sequence[int] | NDArray[np.int64]", hashes: bytes, open_bytes: int) -> list[int]:
    """Give the rows of a block after which a page ends, ascending.

    `ends[i]` is where line i ends in the block (after its LF), `hashes` are the leaves (32 bytes each), `open_bytes`
    the bytes of the page that was open before the block.
    """
    if isinstance(ends, Sequence):
        return _find_one_by_one(ends, hashes, open_bytes)
    return _find_at_once(ends, hashes, open_bytes)


def judge_page_ends(
    ends: "Sequence[int] | NDArray[np.int64]", hashes: bytes, counts: Sequence[int]
) -> list[tuple[bool, bool]]:
    """Tell of consecutive pages of `counts[i]` rows each: whether it goes on where the rule ends it, and whether it ends by the rule."""
    if isinstance(ends, Sequence):
        return _judge_one_by_one(ends, hashes, counts)
    return _judge_at_once(ends, hashes, counts)


def _judge_one_by_one(ends: Sequence[int], hashes: bytes, counts: Sequence[int]) -> list[tuple[bool, bool]]:
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


def _judge_at_once(ends: "NDArray[np.int64]", hashes: bytes, counts: Sequence[int]) -> list[tuple[bool, bool]]:
    import numpy as np

    lengths = np.array(counts, np.int64)
    lasts = np.cumsum(lengths) - 1
    starts = np.concatenate((np.zeros(1, np.int64), ends[lasts[:-1]]))
    page_bytes = (ends - np.repeat(starts, lengths)).astype(np.uint64)
    sizes = np.diff(ends, prepend=0).astype(np.uint64)
    heads = np.frombuffer(hashes, ">u4")[::8].astype(np.uint64)
    drawn = heads * np.uint64(PAGE_TARGET) < sizes << np.uint64(32)
    is_end = (page_bytes >= PAGE_MAX) | ((page_bytes >= PAGE_MIN) & drawn)
    by_rule = is_end[lasts]
    before = np.add.reduceat(is_end.astype(np.int64), lasts - lengths + 1) - by_rule
    return [(bool(early), bool(ended)) for early, ended in zip(before > 0, by_rule, strict=True)]


def _find_one_by_one(ends: Sequence[int], hashes: bytes, open_bytes: int) -> list[int]:
    cuts: list[int] = []
    page_bytes, before = open_bytes, 0
    for row, end in enumerate(ends):
        page_bytes += end - before
        if is_page_end(page_bytes, end - before, hashes[32 * row : 32 * row + 4]):
            cuts.append(row)
            page_bytes = 0
        before = end
    return cuts


def _find_at_once(ends: "NDArray[np.int64]", hashes: bytes, open_bytes: int) -> list[int]:
    import numpy as np

    if len(ends) == 0:
        return []
    sizes = np.diff(ends, prepend=0).astype(np.uint64)
    heads = np.frombuffer(hashes, ">u4")[::8].astype(np.uint64)
    drawn: list[int] = np.flatnonzero(heads * np.uint64(PAGE_TARGET) < sizes << np.uint64(32)).tolist()
    total: list[int] = ends.tolist()
    cuts: list[int] = []
    start, row = -open_bytes, 0
    while True:
        earliest = bisect_left(total, start + PAGE_MIN, row)
        latest = bisect_left(total, start + PAGE_MAX, row)
        at = bisect_left(drawn, earliest)
        cut = min(latest, drawn[at]) if at < len(drawn) else latest
        if cut >= len(total):
            return cuts
        cuts.append(cut)
        start, row = total[cut], cut + 1
