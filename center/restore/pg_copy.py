# SPDX-License-Identifier: Apache-2.0
"""Streams into and out of PostgreSQL's COPY. Knows threads, nothing of tables.

psycopg2 pulls what it sends and pushes what it gets; both are turned into iterators here, bounded in memory.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

READ_BYTES = 1 << 18
_QUEUED_BLOCKS = 8


class LineReader:
    """A file of lines that come from an iterator; for COPY FROM STDIN.

    Attribute: `error`, what the iterator raised; psycopg2 makes an error of its own of it, and loses it.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._rest = b""
        self.error: BaseException | None = None

    def read(self, size: int = READ_BYTES) -> bytes:
        """Give up to `size` bytes; nothing at the end."""
        if not self._rest:
            try:
                self._rest = self._next_block(size)
            except BaseException as err:
                self.error = err
                raise
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def _next_block(self, size: int) -> bytes:
        block: list[bytes] = []
        length = 0
        for line in self._lines:
            block.append(line)
            length += len(line) + 1
            if length >= size:
                break
        return b"".join(line + b"\n" for line in block)

    def readline(self, size: int = READ_BYTES) -> bytes:
        """Be a file in psycopg2's eyes; never called by COPY."""
        return self.read(size)


class _BlockQueue:
    """A file that hands what is written to another thread."""

    def __init__(self) -> None:
        self.blocks: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUED_BLOCKS)
        self.is_abandoned = False
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, part: bytes) -> int:
        """Take what COPY gives, a row at a time; refuse if nobody reads any more, which makes COPY stop."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= READ_BYTES:
            self.flush()
        return len(part)

    def flush(self) -> None:
        """Hand over what has been taken."""
        if self.is_abandoned:
            raise BrokenPipeError
        self.blocks.put(b"".join(self._parts))
        self._parts, self._size = [], 0


def copy_out(connection: "Connection", sql: str) -> Iterator[bytes]:
    """Yield the lines that `COPY … TO STDOUT` gives, without LF. Raises: psycopg2.Error.

    The connection is used by another thread until the iterator is used up or closed; closing it cancels the query.
    """
    sink = _BlockQueue()

    def run() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.copy_expert(sql, sink, READ_BYTES)
            sink.flush()
            sink.blocks.put(None)
        except BaseException as err:  # noqa: BLE001 - handed to the reading thread, which raises it
            sink.blocks.put(err)

    thread = threading.Thread(target=run, name="copy-out", daemon=True)
    thread.start()
    try:
        yield from _split(sink)
    finally:
        _abandon(connection, sink, thread)


def _split(sink: _BlockQueue) -> Iterator[bytes]:
    rest = b""
    while (block := sink.blocks.get()) is not None:
        if isinstance(block, BaseException):
            raise block
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


def _abandon(connection: "Connection", sink: _BlockQueue, thread: threading.Thread) -> None:
    if thread.is_alive():
        sink.is_abandoned = True
        connection.cancel()
        while thread.is_alive():
            with suppress(queue.Empty):
                sink.blocks.get(timeout=0.05)
    thread.join()
