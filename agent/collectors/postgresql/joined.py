# SPDX-License-Identifier: Apache-2.0
"""The numbered COPYs of one reading, run by several sessions side by side, taken in the order of their numbers.

    session 1:  COPY 0 │ COPY 2  │ COPY 3 …        each takes the next number that nobody has
    session 2:  COPY 1    │ COPY 4   …
    caller:     0, 1, 2, 3, 4 …

A session's COPYs come through its one pipe, in ascending order, and the caller takes them in ascending order: so what he
waits for is never behind something that he takes later, and nobody waits for ever. All pipes together hold no more than
that of a single session does.
"""

import threading
from collections.abc import Callable, Iterator

from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.copy import AHEAD_BYTES, CopyStream


class JoinedCopies:
    """COPYs number `first` to `count` - 1. One caller takes blocks; close the streams that `add` gives.

    Attribute: `number`, of the COPY that the caller is in: those before it were taken to their ends.
    """

    def __init__(self, query_of: Callable[[int], str], first: int, count: int, sessions: int) -> None:
        """`query_of` is called by any thread."""
        self.number = first
        self._query_of = query_of
        self._next = first
        self._count = count
        self._ahead_bytes = AHEAD_BYTES // sessions
        self._streams: list[CopyStream] = []
        self._owners: dict[int, int] = {}
        self._changed = threading.Condition()

    def add(self, connection: Connection) -> CopyStream:
        """Let one more session run COPYs, from now on."""
        stream = CopyStream(connection, self._claim(len(self._streams)), self._ahead_bytes)
        self._streams.append(stream)
        return stream

    def take(self, timeout_s: float) -> bytes | None:
        """Give the next block, None after the last.

        Raises: TimeoutError if there is none yet; BrokenOffError; what the COPY raised whose turn it is.
        """
        while self.number < self._count:
            block = self._find_stream(timeout_s).take(timeout_s)
            if block is not None:
                return block
            self.number += 1
        return None

    def _claim(self, owner: int) -> Iterator[str]:
        while True:
            with self._changed:
                if self._next >= self._count:
                    return
                number, self._next = self._next, self._next + 1
                self._owners[number] = owner
                self._changed.notify_all()
            yield self._query_of(number)

    def _find_stream(self, timeout_s: float) -> CopyStream:
        with self._changed:
            if not self._changed.wait_for(lambda: self.number in self._owners, timeout_s):
                raise TimeoutError
            owner = self._owners[self.number]
            # Of a table's many ranges, only those that are under way are remembered.
            self._owners.pop(self.number - 1, None)
        return self._streams[owner]
