# SPDX-License-Identifier: Apache-2.0
"""Bytes of large cells and files → chunks → the table `@blobs`.

Chunks are content-defined (FastCDC, 256 KiB on average), so that tomorrow's file shares today's bytes; one chunk is in
memory at a time; a pace is told of each, for large cells and files pass by the blocks of lines. What was put is noted
in a file of lines, which is sorted at the end: memory does not grow with the number of blobs. Not thread-safe. Source: design sections 2 and 4.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pyfastcdc import FastCDC

from agent.snapshot.objects import TableSink
from agent.snapshot.progress import Pace, unpaced
from agent.snapshot.sort import sort_lines
from evidence.manifest.blobtable import ORDERING, encode_blob_line
from evidence.objects.blobs import MAX_CHUNK_BYTES, BlobBuilder
from evidence.rows.line import Token

_CHUNK_MIN = 64 << 10
_CHUNK_AVERAGE = 256 << 10
_SORT_BYTES = 16 << 20


class BlobWriter:
    """The `BlobSink` of a snapshot."""

    def __init__(self, sink: TableSink, folder: Path, pace: Pace = unpaced) -> None:
        """`folder` takes the note of what was put; it is the caller's to remove. `pace`: of reading."""
        self._pace = pace
        self._sink = sink
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "blobs.lines"
        self._lines = self._path.open("wb")
        self._chunker = FastCDC(avg_size=_CHUNK_AVERAGE, min_size=_CHUNK_MIN, max_size=MAX_CHUNK_BYTES)
        self.count = 0

    def put(self, raw: BinaryIO) -> Token:
        """Read `raw` to its end; give its token."""
        return self._put(raw, self._pace)

    def put_bytes(self, raw: bytes) -> Token:
        """Take a large cell's raw value, which came within a block."""
        return self._put(io.BytesIO(raw), unpaced)

    def sorted_blocks(self) -> Iterator[bytes]:
        """Yield the lines of `@blobs` in order, each once, in blocks. Call after the last `put`."""
        self._lines.close()
        last = b""
        with self._path.open("rb") as file:
            for block in sort_lines(_read_blocks(file), ORDERING, self._folder, _SORT_BYTES):
                # The same bytes put twice have equal lines, which are neighbours now.
                lines = block.split(b"\n")[:-1]
                kept = [line for before, line in zip([last, *lines], lines, strict=False) if line != before]
                last = lines[-1]
                if kept:
                    yield b"\n".join(kept) + b"\n"

    def close(self) -> None:
        """Close the note."""
        self._lines.close()

    def _put(self, raw: BinaryIO, pace: Pace) -> Token:
        state = hashlib.sha256()
        builder = BlobBuilder(self._sink.put)
        for chunk in self._chunker.cut_stream(raw):
            data = bytes(chunk.data)
            state.update(data)
            builder.add(data)
            pace(len(data))
        token = Token(state.digest(), builder.size)
        self._lines.write(encode_blob_line(token.sha256, token.size, builder.finish()) + b"\n")
        self.count += 1
        return token


def _read_blocks(file: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while part := file.read(1 << 20):
        whole, newline, tail = (rest + part).rpartition(b"\n")
        if newline:
            yield whole + newline
        rest = tail
