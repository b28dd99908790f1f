# SPDX-License-Identifier: Apache-2.0
"""Sort lines into the canonical order, in bounded memory, on disk where they do not fit. Knows no tables and no trees.

1. Lines are taken until they fill half the memory, sorted (Python's sort), and written as a *run*: batches of whole
   lines, each `u32be(len) || zstd frame`. A chunk that begins behind the last run's end is appended to that run, so
   lines that come in order make one run, which is read back as it is. What fits into memory is never written.
2. Runs are merged `FAN_IN` at a time as soon as a level has so many: open files stay few, however large the table.
3. A merge takes a batch of each run, finds the smallest of their last lines, and sorts all lines up to it: Python's
   sort finds the ascending stretches and merges them (170 ns a line for 16 runs, 270 by heapq.merge).

The files have no names (O_TMPFILE on Linux, deleted on close on Windows): a kill leaves nothing behind. zstd at level 1
costs no more time than writing plain bytes does, and a third of the space or less.
Invariant: the same lines come out, equal ones as often as they came in. Equal keys do not fail here: whoever builds the
tree sees them.
"""

import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import zstandard

from agent.errors import SpoolError
from evidence.rows.line import KeySpec
from evidence.rows.values import Kind, OrderKey
from terminal.language import Text

FAN_IN: Final = 32

_LINE_COST: Final = 72
"""What a line takes in memory beside its bytes: the object's head, its place in a list, its key."""

_BLOCK_BYTES: Final = 1 << 20
_LEAST_MEMORY: Final = 64 << 10

# Keys of one table are of one shape, and compare; which shape is the key function's business.
_Key: TypeAlias = Any
_KeyFunction: TypeAlias = Callable[[bytes], _Key]
_Convert: TypeAlias = Callable[[bytes], OrderKey]


def sort_lines(
    blocks: Iterator[bytes], ordering: KeySpec, folder: Path, memory_bytes: int = 64 << 20
) -> Iterator[bytes]:
    """Yield the lines of `blocks` in the order of `ordering`, as blocks of whole lines of about 1 MiB.

    `blocks` are whole lines, each ended by LF. Nothing is yielded before all are taken. Runs are kept in `folder`;
    memory stays below about `memory_bytes`, if no line is longer than 1 MiB.
    Raises: TreeError if a key cell is NULL or a token, FormatError if it is not a value (the caller then sorts by
    lines); SpoolError if `folder` is full.
    """
    with ExitStack() as stack:
        sorter = _Sorter(find_key_function(ordering), folder, max(memory_bytes, _LEAST_MEMORY), stack)
        for block in blocks:
            sorter.add(block)
        yield from sorter.finish()


def find_key_function(ordering: KeySpec) -> _KeyFunction:
    """Give what maps a line to something that compares as `KeySpec.order_of` does, several times faster.

    The quick way is taken for cells without escapes; for all others, and all that fails, `order_of` decides.
    """
    if not ordering.columns:
        return bytes  # gives the line itself
    if Kind.DECIMAL in ordering.kinds:
        return lambda line: ordering.order_of(ordering.key_of(line))
    converts: list[_Convert] = [int if kind is Kind.INT else _take_plain for kind in ordering.kinds]
    places = list(zip(ordering.columns, converts, strict=True))
    if len(places) == 1:
        return _single_key(ordering, *places[0])
    most = max(ordering.columns) + 1

    def find_key(line: bytes) -> tuple[OrderKey, ...]:
        try:
            fields = line.split(b"\t", most)
            return tuple([convert(fields[column]) for column, convert in places])
        except (ValueError, IndexError):
            return ordering.order_of(ordering.key_of(line))

    return find_key


def _single_key(ordering: KeySpec, column: int, convert: _Convert) -> _KeyFunction:
    def find_first(line: bytes) -> OrderKey:
        try:
            return convert(line.partition(b"\t")[0])
        except ValueError:
            return ordering.order_of(ordering.key_of(line))[0]

    def find_other(line: bytes) -> OrderKey:
        try:
            return convert(line.split(b"\t", column + 1)[column])
        except (ValueError, IndexError):
            return ordering.order_of(ordering.key_of(line))[0]

    return find_other if column else find_first


def _take_plain(field: bytes) -> bytes:
    if b"\\" in field:
        raise ValueError("an escape, a token or NULL")
    return field


class _Run:
    """Sorted lines on disk, in batches. `last` is the key of the last line written."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115 - the stack closes it
        except OSError as err:
            raise _full(folder, err) from err
        self._folder = folder
        self._compressor = zstandard.ZstdCompressor(level=1)
        self.last: _Key = None

    def write(self, lines: list[bytes], last: _Key) -> None:
        """Append a batch of lines. Raises: SpoolError."""
        data = self._compressor.compress(b"\n".join(lines))
        rest = memoryview(len(data).to_bytes(4, "big") + data)
        try:
            # Unbuffered: what a full disk refuses must not be tried again, and raise again, when the file is closed.
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as err:
            raise _full(self._folder, err) from err
        self.last = last

    def batches(self) -> Iterator[bytes]:
        """Yield the batches, lines joined by LF, and give the file back to the system. Raises: SpoolError."""
        decompressor = zstandard.ZstdDecompressor()
        try:
            self._file.seek(0)
            while head := self._file.read(4):
                data = self._file.read(int.from_bytes(head, "big"))
                yield decompressor.decompress(data)
        except (OSError, zstandard.ZstdError) as err:
            raise _full(self._folder, err) from err
        finally:
            self._file.close()


class _Cursor:
    """The lines of a run that are at hand while it is merged."""

    def __init__(self, run: _Run, key: _KeyFunction) -> None:
        self._batches = run.batches()
        self._key = key
        self._lines: list[bytes] = []
        self.bound: _Key = None

    def load(self) -> bool:
        """Have lines at hand, and their last one's key in `bound`; False at the end."""
        if not self._lines:
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._lines = batch.split(b"\n")
            self.bound = self._key(self._lines[-1])
        return True

    def take(self, bound: _Key) -> list[bytes]:
        """Give the lines whose keys are at most `bound`."""
        end = bisect_right(self._lines, bound, key=self._key)
        taken = self._lines[:end]
        del self._lines[:end]
        return taken


class _Sorter:
    def __init__(self, key: _KeyFunction, folder: Path, memory_bytes: int, stack: ExitStack) -> None:
        self._key = key
        self._folder = folder
        self._stack = stack
        self._chunk_cost = memory_bytes // 2
        self._batch_cost = memory_bytes // (4 * FAN_IN)
        self._lines: list[bytes] = []
        self._cost = 0
        self._tail: _Run | None = None
        self._levels: list[list[_Run]] = []

    def add(self, block: bytes) -> None:
        """Take lines, each ended by LF."""
        lines = block.split(b"\n")
        assert not lines.pop(), "a block ends with LF"
        self._lines += lines
        self._cost += len(block) + _LINE_COST * len(lines)
        if self._cost >= self._chunk_cost:
            self._spill()

    def finish(self) -> Iterator[bytes]:
        """Yield all lines in order."""
        if self._tail is None:
            self._lines.sort(key=self._key)
            yield from _cut_blocks(iter([self._lines]))
            return
        if self._lines:
            self._spill()
        runs = [run for level in self._levels for run in level]
        runs.append(self._tail)
        while len(runs) > FAN_IN:
            runs.append(self._merge_to_run([runs.pop(0) for _ in range(FAN_IN)]))
        if len(runs) == 1:
            for batch in runs[0].batches():
                yield batch + b"\n"
            return
        yield from _cut_blocks(self._merge(runs))

    def _spill(self) -> None:
        """Write the lines at hand, to the tail if they go on there, else to a new run."""
        lines, key = self._lines, self._key
        lines.sort(key=key)
        if self._tail is None or key(lines[0]) < self._tail.last:
            if self._tail is not None:
                self._settle(self._tail, 0)
            self._tail = _Run(self._folder, self._stack)
        self._write(self._tail, lines)
        self._lines, self._cost = [], 0

    def _settle(self, run: _Run, level: int) -> None:
        """Put a run that is whole on its level; a level that is full becomes one run of the next."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(run)
        if len(self._levels[level]) == FAN_IN:
            runs, self._levels[level] = self._levels[level], []
            self._settle(self._merge_to_run(runs), level + 1)

    def _merge_to_run(self, runs: list[_Run]) -> _Run:
        merged = _Run(self._folder, self._stack)
        for lines in self._merge(runs):
            self._write(merged, lines)
        return merged

    def _merge(self, runs: list[_Run]) -> Iterator[list[bytes]]:
        """Yield the lines of `runs` in order, in lists."""
        cursors = [_Cursor(run, self._key) for run in runs]
        while cursors := [cursor for cursor in cursors if cursor.load()]:
            bound = min(cursor.bound for cursor in cursors)
            lines: list[bytes] = []
            for cursor in cursors:
                lines += cursor.take(bound)
            lines.sort(key=self._key)
            yield lines

    def _write(self, run: _Run, lines: list[bytes]) -> None:
        """Append sorted lines to a run, in batches of which a merge can hold one of each run."""
        start = cost = 0
        for i, line in enumerate(lines):
            cost += len(line) + _LINE_COST
            if cost >= self._batch_cost or i == len(lines) - 1:
                run.write(lines[start : i + 1], self._key(line))
                start, cost = i + 1, 0


def _cut_blocks(lists: Iterator[list[bytes]]) -> Iterator[bytes]:
    """Join lists of lines into blocks of about 1 MiB."""
    parts: list[bytes] = []
    size = 0
    for lines in lists:
        step = max(1, len(lines) * _BLOCK_BYTES // (sum(map(len, lines)) + len(lines) + 1))
        for start in range(0, len(lines), step):
            parts.append(b"\n".join([*lines[start : start + step], b""]))
            size += len(parts[-1])
            if size >= _BLOCK_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _full(folder: Path, err: Exception) -> SpoolError:
    return SpoolError(
        Text(zh=f"无法在 {folder} 中给各行排序：{err}", en=f"rows could not be sorted in {folder}: {err}"),
        hint=Text(
            zh="在那里腾出空间：排序期间大约需要该表三分之一的空间",
            en="make room there: sorting needs about a third of the table's size for a while",
        ),
    )
