# SPDX-License-Identifier: Apache-2.0
"""Sort any number of lines in bounded memory: runs in a temporary folder, then a merge. Knows lines, not tables.

Invariant: what goes in comes out, as often as it went in; memory holds one run (or one line of each run that is
merged). Lines have no LF, which separates them in the runs. Stable. Source: Knuth, TAOCP 3, section 5.4.
"""

import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

MEMORY_BYTES = 64 << 20
FAN_IN = 64
"""How many runs are open at once."""
_LINE_OVERHEAD = 200
"""What a line costs in memory beside its bytes: the object, its place in a list, its key."""

SortKey = Callable[[bytes], Any]  # Any: what compares with its like


def sort_lines(
    lines: Iterable[bytes],
    key: SortKey,
    *,
    folder: Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
    fan_in: int = FAN_IN,
) -> Iterator[bytes]:
    """Yield `lines` in ascending order of `key(line)`; equal keys keep their order.

    `folder` holds the temporary runs (None: the system's); they are gone when the iterator is used up or closed.
    """
    with tempfile.TemporaryDirectory(prefix="jinsuo-sort-", dir=folder) as runs_folder:
        runs: list[Path] = []
        last: list[bytes] = []
        for run in _cut_runs(lines, memory_bytes):
            if last:
                runs.append(_write_run(Path(runs_folder) / f"{len(runs)}.0", last))
            run.sort(key=key)
            last = run
        level = 0
        while len(runs) >= fan_in:
            level += 1
            groups = [runs[i : i + fan_in] for i in range(0, len(runs), fan_in)]
            runs = [_merge_run(Path(runs_folder) / f"{i}.{level}", group, key) for i, group in enumerate(groups)]
        yield from heapq.merge(*(_read_run(run) for run in runs), last, key=key)


def _cut_runs(lines: Iterable[bytes], memory_bytes: int) -> Iterator[list[bytes]]:
    run: list[bytes] = []
    size = 0
    for line in lines:
        run.append(line)
        size += len(line) + _LINE_OVERHEAD
        if size >= memory_bytes:
            yield run
            run, size = [], 0
    if run:
        yield run


def _write_run(path: Path, lines: Iterable[bytes]) -> Path:
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(line + b"\n" for line in lines)
    return path


def _merge_run(path: Path, runs: list[Path], key: SortKey) -> Path:
    _write_run(path, heapq.merge(*(_read_run(run) for run in runs), key=key))
    for run in runs:
        run.unlink()
    return path


def _read_run(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=1 << 16) as file:
        for line in file:
            yield line[:-1]
