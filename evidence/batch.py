# SPDX-License-Identifier: Apache-2.0
"""SHA-256 over very many values at once: the vectorised twin of `evidence.digest`. Pure; used where it pays.

A Python loop spends 1.2 µs per hash; datafusion's `sha256` over an Arrow column spends 0.16 µs, with the CPU's SHA
instructions (docs/benchmarks.md). pyarrow, numpy and datafusion are loaded only when a block is large enough to
gain by it, and never needed: without them, and in the verifier, the loops in `evidence.digest` do the same.
Threads: each thread has a context of its own. Source: RFC 6962 section 2.1.
"""

import threading
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]
    Offsets: TypeAlias = NDArray[np.int64]

WORTHWHILE = 512
"""From this many values on a batch is faster than a loop (a query costs 0.35 ms)."""

_local = threading.local()


@cache
def is_available() -> bool:
    """Tell whether the libraries are installed, without loading them."""
    return all(find_spec(name) is not None for name in ("numpy", "pyarrow", "datafusion"))


def sha256_spans(data: "bytes | bytearray | Bytes", starts: "Offsets", sizes: "Offsets") -> "Bytes":
    """Hash `data[starts[i] : starts[i]+sizes[i]]` for each i; give an array of shape (n, 32).

    Spans may overlap, but each has more than 12 bytes (a shorter one would stand inside its view). `data` has less
    than 2 GiB and does not change meanwhile.
    """
    import numpy as np
    import pyarrow as pa

    count = len(starts)
    if count == 0:
        return np.empty((0, 32), np.uint8)
    # An Arrow binary view: size i32, the first 4 bytes, number of the buffer i32, offset in it i32.
    views = np.zeros((count, 4), np.int32)
    views[:, 0] = sizes
    views[:, 3] = starts
    # The four bytes that start at any offset, so that one look-up gathers all of them.
    fours: NDArray[np.int32] = np.ndarray((len(data) - 3,), np.int32, data, 0, (1,))
    views[:, 1] = fours[starts]
    column = pa.Array.from_buffers(pa.binary_view(), count, [None, pa.py_buffer(views), pa.py_buffer(data)])
    context, query = _context()
    # A frame is a table of the context, which would keep `data` for good.
    frame = context.create_dataframe([[pa.record_batch([column], names=["x"])]], name="t")
    try:
        batches = frame.select(query).collect()
    finally:
        context.deregister_table("t")
    parts = [np.frombuffer(b.column(0).buffers()[2], np.uint8)[_span(b.column(0))] for b in batches]
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return flat.reshape(count, 32)


def tree_heads(leaves: "Bytes", counts: "Offsets") -> "Bytes":
    """Fold consecutive runs of leaf hashes (`counts[i]` >= 1 of them each) into tree heads, shape (len(counts), 32).

    Levels of all trees are hashed together, so that a few hundred small trees cost as few queries as one.
    """
    import numpy as np

    level, sizes = leaves, counts
    while (sizes > 1).any():
        starts = np.cumsum(sizes) - sizes
        pairs = sizes // 2
        above = pairs + sizes % 2
        above_starts = np.cumsum(above) - above
        left = _ranges(starts, pairs, 2)
        target = _ranges(above_starts, pairs, 1)
        result = np.empty((int(above.sum()), 32), np.uint8)
        result[target] = _hash_pairs(level, left)
        odd = sizes % 2 == 1
        result[above_starts[odd] + pairs[odd]] = level[starts[odd] + sizes[odd] - 1]
        level, sizes = result, above
    return level


def _hash_pairs(level: "Bytes", left: "Offsets") -> "Bytes":
    import numpy as np

    data = np.empty((len(left), 65), np.uint8)
    data[:, 0] = 1
    data[:, 1:33] = level[left]
    data[:, 33:] = level[left + 1]
    if len(left) < WORTHWHILE // 4:
        from evidence.digest import sha256

        return np.frombuffer(b"".join(sha256(row.tobytes()) for row in data), np.uint8).reshape(-1, 32)
    return sha256_spans(data.reshape(-1), 65 * np.arange(len(left)), np.full(len(left), 65))


def _ranges(starts: "Offsets", counts: "Offsets", step: int) -> "Offsets":
    """Give `starts[i] + step·(0..counts[i]-1)` for all i, one after another."""
    import numpy as np

    ends = np.cumsum(counts)
    within = np.arange(int(ends[-1])) - np.repeat(ends - counts, counts)
    return np.repeat(starts, counts) + step * within


def _span(column: Any) -> slice:  # Any: pyarrow ships no types
    return slice(32 * column.offset, 32 * (column.offset + len(column)))


def _context() -> tuple[Any, Any]:  # Any: datafusion ships no types
    if not hasattr(_local, "context"):
        from datafusion import SessionConfig, SessionContext, col, functions

        config = SessionConfig().with_target_partitions(1).with_batch_size(1 << 20)
        _local.context = (SessionContext(config), functions.sha256(col("x")))
    context: tuple[Any, Any] = _local.context
    return context
