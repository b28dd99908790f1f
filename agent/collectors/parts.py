# SPDX-License-Identifier: Apache-2.0
"""A large value that comes in parts, as a file for the blob sink. Pure, but for what the parts do."""

import codecs
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES: Final = 256 << 10


class PartStream(io.RawIOBase):
    """The bytes of a value. Attribute: `is_utf8`, whether a text was UTF-8 as far as it was read (True for what is no text)."""

    def __init__(self, parts: Iterator[bytes], *, is_text: bool) -> None:
        super().__init__()
        self._parts = parts
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._part = memoryview(b"")
        self.is_utf8 = True

    def buffered(self) -> io.BufferedReader:
        """Give it with a buffer: all of BinaryIO but `mode` and `name`, which no sink asks for."""
        return io.BufferedReader(self, _BUFFER_BYTES)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer`; 0 at the end."""
        while not self._part:
            part = next(self._parts, None)
            self._check(part or b"", final=part is None)
            if part is None:
                return 0
            self._part = memoryview(part)
        target = memoryview(buffer)
        part_now = self._part[: len(target)]
        target[: len(part_now)] = part_now
        self._part = self._part[len(part_now) :]
        return len(part_now)

    def _check(self, part: bytes, *, final: bool) -> None:
        if self._decoder is not None:
            try:
                self._decoder.decode(part, final=final)
            except UnicodeDecodeError:
                self.is_utf8, self._decoder = False, None
