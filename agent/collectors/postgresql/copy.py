# SPDX-License-Identifier: Apache-2.0
r"""The stream of COPYs … TO STDOUT in one session as blocks of whole canonical lines. Runs the driver in a thread of its own.

COPY's text format is the line of design section 2, byte for byte (NULL `\N`, the same escapes, and no NUL, which
PostgreSQL cannot hold), but for NULLs at the end of a row, which a line does not write. A raw LF always ends a row.

    server ─► thread: copy_expert ─► BufferedWriter ─► _Sink: whole rows ─► _Pipe ─► caller: blocks, None at each COPY's end

The pipe is bounded in bytes: a slow caller makes the server wait, not memory grow. The next COPY begins while the caller
still takes what came of the one before. Whoever stops taking blocks calls `close`; afterwards the thread has ended, and the
session must be closed too, for its COPY was broken off. `break_off` ends the stream while the caller may be anywhere: he
takes what had come, always whole rows, then learns that no more does.
Source: PostgreSQL documentation, COPY, "Text Format"; src/backend/commands/copyto.c.
"""

import io
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.connect import abort, cut
from evidence.kernel import find_kernel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

AHEAD_BYTES: Final = 8 << 20
"""How far the server may be ahead of who takes the rows, in all sessions of one reading together."""

_BLOCKS: Final = 4
"""So many blocks fill a pipe."""

_LAST_NULLS: Final = re.compile(rb"(?:\t\\N)+\n")
_LF: Final = 0x0A
_Put: TypeAlias = Callable[[bytes], None]


def strip_nulls(block: bytes) -> bytes:
    r"""Take the NULLs from the ends of lines; the first field stays.

    >>> strip_nulls(b"1\t\\N\t\\N\n\\N\t\\N\n2\t\\\\N\n")
    b'1\n\\N\n2\t\\\\N\n'
    """
    kernel = find_kernel()
    return kernel.strip_nulls(block) if kernel is not None else _LAST_NULLS.sub(b"\n", block)


class BrokenOffError(Exception):
    """A COPY was ended by `break_off` before its last row."""


class CopyStream:
    """COPYs that run one after another. One caller takes blocks; use as a context manager.

    `connection` is the stream's until it ends.
    """

    def __init__(self, connection: Connection, queries: Iterable[str], ahead_bytes: int = AHEAD_BYTES) -> None:
        """`queries` is asked in the stream's own thread, for the next COPY before the end of the last one is told."""
        self._connection = connection
        self._queries = iter(queries)
        self._block_bytes = ahead_bytes // _BLOCKS
        self._pipe = _Pipe(ahead_bytes)
        self._is_broken_off = False
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)
        self._thread.start()

    def __enter__(self) -> "CopyStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, timeout_s: float) -> bytes | None:
        """Give the next block of a COPY, None after its last; then follow those of the next.

        Raises: TimeoutError if there is none yet; BrokenOffError; what COPY raised.
        """
        item = self._pipe.take(timeout_s)
        if isinstance(item, bytes):
            return strip_nulls(item)
        if item.is_last:
            self._thread.join()
        if item.error is None:
            return None
        if self._is_broken_off:
            raise BrokenOffError from item.error
        raise item.error

    def break_off(self, end_session: Callable[[], object]) -> None:
        """Let the server end the session, and take no more of it; from another thread than the caller's.

        Where the server had sent all, the caller still gets all, and None.
        """
        # First, so that whatever the COPY fails with is known to be our own doing.
        self._is_broken_off = True
        end_session()
        self._end(cut)

    def close(self) -> None:
        """End the COPY, and with one that is not finished its session."""
        if self._thread.is_alive():
            self._end(abort)

    def _end(self, stop: Callable[[Connection], None]) -> None:
        self._pipe.stop()
        stop(self._connection)
        self._thread.join()
        # What the server had sent can still be read from a socket that was shut down: the session would look alive to
        # the ROLLBACK that follows, and break in the middle of the next table.
        self._connection.close()

    def _run(self) -> None:
        sink = _Sink(self._pipe.put)
        # Rows come one by one: the buffer joins them without a line of Python.
        rows = io.BufferedWriter(sink, self._block_bytes)
        try:
            sql = next(self._queries, None)
            while sql is not None:
                with self._connection.cursor() as cursor:
                    cursor.copy_expert(sql.encode(), rows)
                rows.flush()
                sink.finish()
                # Whether another follows is known before the caller, who may close the stream, knows of this end.
                sql = next(self._queries, None)
                self._pipe.end(_End(is_last=sql is None))
        except BaseException as err:  # noqa: BLE001 - handed to the caller, who raises it
            # The buffer writes what it still holds when it goes.
            sink.is_broken = True
            self._pipe.end(_End(is_last=True, error=err))


@dataclass(frozen=True, slots=True)
class _End:
    """What stands behind the last block of a COPY."""

    is_last: bool
    error: BaseException | None = None


class _Pipe:
    """Blocks on their way from one thread to another, at most `most_bytes` of them, or one."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._items: deque[bytes | _End] = deque()
        self._bytes = 0
        self._is_stopped = False

    def put(self, block: bytes) -> None:
        """Wait for room and hand a block over. Raises: InterruptedError once nobody takes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._has_room(len(block)))
            if self._is_stopped:
                raise InterruptedError("the reader of this COPY has stopped")
            self._items.append(block)
            self._bytes += len(block)
            self._changed.notify_all()

    def end(self, end: _End) -> None:
        """Say that no block of this COPY follows."""
        with self._changed:
            self._items.append(end)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> bytes | _End:
        """Give the next block or end. Raises: TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._items, timeout_s):
                raise TimeoutError
            item = self._items.popleft()
            if isinstance(item, bytes):
                self._bytes -= len(item)
            self._changed.notify_all()
            return item

    def stop(self) -> None:
        """Take no more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return not self._bytes or self._bytes + size <= self._most_bytes


class _Sink(io.RawIOBase):
    """Cut what is written at the last LF. PostgreSQL sends whole rows; nothing here relies on it."""

    def __init__(self, put: _Put) -> None:
        super().__init__()
        self._put = put
        self._rest = b""
        self.is_broken = False

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take the next bytes."""
        data = memoryview(data)
        size = len(data)
        if self.is_broken:
            return size
        if not self._rest and size and data[size - 1] == _LF:
            self._put(bytes(data))
            return size
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._put(whole + newline)
        return size

    def finish(self) -> None:
        """Make sure that nothing is left. Raises: ValueError."""
        if self._rest:
            raise ValueError("COPY ended within a row")
