# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests on their way from the event loop to a thread: bounded, counted, with a limit on waiting.

A body has the length that its head stated, not a byte more or less; who sends nothing for a minute, or takes longer
than ten, is cut off, so that slow or broken senders hold no thread for long. A `Pipe` keeps at most about
a megabyte between the loop, which receives, and the thread, which re-hashes; the sender feels the thread's pace.
Source: the ASGI 3 specification, `http.request` and `http.disconnect`.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, TypeAlias

from center.errors import CenterError, RefusedError

Message: TypeAlias = MutableMapping[str, Any]  # Any: the values of an ASGI message are of many types
Receive: TypeAlias = Callable[[], Awaitable[Message]]

IDLE_TIMEOUT_S: Final = 60.0
TOTAL_TIMEOUT_S: Final = 600.0
STRANGER_TIMEOUT_S: Final = 5.0
MOST_IN_PIPE: Final = 1 << 20
_WAKE_BYTES: Final = 256 << 10


class CutError(RefusedError):
    """The body did not come whole: the line was cut, or its sender is too slow. Nobody may be there to read this."""


class BodyReader:
    """Receive the parts of one body of `length` bytes. For the event loop."""

    def __init__(
        self,
        receive: Receive,
        length: int,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self._receive = receive
        self._length = length
        self._idle_timeout_s = idle_timeout_s
        self._total_timeout_s = total_timeout_s
        self._count = 0
        self._ended = False

    @property
    def read_bytes(self) -> int:
        """Give the bytes that have come."""
        return self._count

    async def next(self) -> bytes | None:
        """Give the next part, or None after the last. Raises: CutError."""
        if self._ended:
            return None
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                message = await self._receive()
        except TimeoutError as err:
            raise self._cut(f"nothing came for {self._idle_timeout_s:g} seconds") from err
        if message["type"] != "http.request":
            raise self._cut("the line was cut")
        part: bytes = message.get("body", b"")
        self._count += len(part)
        if self._count > self._length:
            raise self._cut("more came than was stated")
        if not message.get("more_body", False):
            self._ended = True
            if self._count != self._length:
                raise self._cut("it ended early")
        return part

    async def read_all(self) -> bytes:
        """Give the whole body. The caller has bounded its length. Raises: CutError."""
        parts: list[bytes] = []
        async with self._deadline():
            while (part := await self.next()) is not None:
                parts.append(part)
        return b"".join(parts)

    async def feed(self, pipe: "Pipe") -> None:
        """Put the parts into `pipe`, and end it, well or not. The parts that a closed pipe refuses are let fall."""
        try:
            async with self._deadline():
                while (part := await self.next()) is not None:
                    await pipe.put(part)
        except CutError as err:
            pipe.end(err)
        else:
            pipe.end(None)

    async def drain(self, timeout_s: float) -> None:
        """Let the rest fall, so that who is still sending gets to read the answer. Raises nothing."""
        try:
            async with _Deadline(timeout_s, self._cut):
                while await self.next() is not None:
                    pass
        except CutError:
            return

    def _deadline(self) -> "_Deadline":
        return _Deadline(self._total_timeout_s, self._cut)

    def _cut(self, why: str) -> CutError:
        self._ended = True
        return CutError(
            f"of a body of {self._length} bytes {self._count} came: {why}", hint="check the line, and send it again"
        )


class _Deadline:
    """Turn the end of a time limit into a CutError."""

    def __init__(self, seconds: float, cut: Callable[[str], CutError]) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._seconds = seconds
        self._cut = cut

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, err: Any, trace: Any) -> None:  # Any: as the protocol has it
        try:
            await self._timeout.__aexit__(kind, err, trace)
        except TimeoutError as late:
            raise self._cut(f"it took longer than {self._seconds:g} seconds") from late


class Pipe:
    """Hand parts from the event loop to one thread, about a megabyte at most at a time."""

    def __init__(self, most: int = MOST_IN_PIPE) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._worth_waking = min(_WAKE_BYTES, most)
        self._parts: list[bytes] = []
        self._size = 0
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._closed = False
        self._error: CenterError | None = None
        self._changed = threading.Condition()

    async def put(self, part: bytes) -> None:
        """Put a part in; wait while the pipe is full. A closed pipe lets it fall."""
        await self._room.wait()
        with self._changed:
            if self._closed:
                return
            self._parts.append(part)
            self._size += len(part)
            if self._size >= self._most:
                self._room.clear()
            # Parts come by 16 KiB: waking the thread for each costs more than what it does with it.
            if self._size >= self._worth_waking:
                self._changed.notify()

    def end(self, error: CenterError | None) -> None:
        """Say that no more parts come; `error`: because the body did not come whole."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify()

    def parts(self) -> Iterator[bytes]:
        """Give what comes, in the thread. Raises: CutError if the body did not come whole."""
        while True:
            with self._changed:
                while not self._parts and not self._ended:
                    self._changed.wait()
                taken, self._parts, self._size = self._parts, [], 0
                is_last, error = self._ended, self._error
            if error is not None:
                raise error
            if taken:
                self._loop.call_soon_threadsafe(self._room.set)
                yield b"".join(taken) if len(taken) > 1 else taken[0]
            if is_last:
                return

    def close(self) -> None:
        """Say that nothing more is read (any thread)."""
        with self._changed:
            self._closed = True
            self._parts.clear()
        self._loop.call_soon_threadsafe(self._room.set)
