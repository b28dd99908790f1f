# SPDX-License-Identifier: Apache-2.0
"""The output streams of a command, each emptied by a thread of its own, so that no full pipe can stop the command.

A `Feed` hands a dump on, a few blocks at a time; if nobody takes them, the pipe fills and the command waits. A `Tail`
keeps the end of what a command says and counts the rest. Reading with a thread, not with `select`: Windows' pipes know
no other way, and whoever waits for a byte can give up.
"""

import os
import queue
import threading
from typing import BinaryIO, Final

from agent.collectors.command.environment import Mask

KEPT_BYTES: Final = 64 << 10
_READ_BYTES: Final = 256 << 10
_FEED_BLOCKS: Final = 8
_LOOK_S: Final = 0.2


class Feed:
    """A stream that is read to its end, in order, in bounded memory: eight blocks of at most 256 KiB."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._blocks: queue.Queue[bytes] = queue.Queue(_FEED_BLOCKS)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="dump", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> bytes | None:
        """Give the next block, b"" at the end (not again after that), or None if there is none in that time."""
        try:
            return self._blocks.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop reading. Call after the command was ended."""
        self._is_closing.set()
        _end(self._thread, self._pipe)

    def _read(self) -> None:
        part = b"-"
        while part and not self._is_closing.is_set():
            part = _read_some(self._pipe)
            while not self._is_closing.is_set():
                try:
                    self._blocks.put(part, timeout=_LOOK_S)
                    break
                except queue.Full:
                    continue


class Tail:
    """The last 64 KiB of what a command says, without the secrets of its environment."""

    def __init__(self, pipe: BinaryIO, mask: Mask) -> None:
        self._pipe = pipe
        self._mask = mask
        self._limit = KEPT_BYTES + mask.longest
        self._kept = bytearray()
        self.total = 0
        self._thread = threading.Thread(target=self._read, name="words", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the end of the stream. Call after the command was ended."""
        _end(self._thread, self._pipe)

    def text(self) -> bytes:
        """Give what was kept, secrets masked, also one that the cut runs through. Call after `close`."""
        is_cut = self.total > len(self._kept)
        return self._mask.apply(bytes(self._kept), self._mask.longest if is_cut else 0)

    def _read(self) -> None:
        while part := _read_some(self._pipe):
            self._kept += part
            self.total += len(part)
            if len(self._kept) > self._limit:
                del self._kept[: -self._limit]


def last_words(text: bytes) -> str:
    """Give the last line that says something, fit for one line of a message; "" if there is none."""
    for encoding in ("utf-8", "gb18030"):
        try:
            words = text.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        words = text.decode("utf-8", "replace")
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in words.splitlines()]
    return next((line[-300:] for line in reversed(lines) if line), "")


def _read_some(pipe: BinaryIO) -> bytes:
    try:
        return os.read(pipe.fileno(), _READ_BYTES)
    except (OSError, ValueError):
        return b""  # the other end broke, or this one was closed: what the exit status says counts


def _end(thread: threading.Thread, pipe: BinaryIO) -> None:
    thread.join(5.0)
    # A process that left the group may hold the other end. Its pipe is left to the thread, which ends with it.
    if not thread.is_alive():
        pipe.close()
