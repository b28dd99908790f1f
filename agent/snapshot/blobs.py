# SPDX-License-Identifier: Apache-2.0
"""Bytes of large cells and files → chunks → the table `@blobs`.

Chunks are content-defined (FastCDC, 256 KiB on average), so that tomorrow's file shares today's bytes; one chunk is in
memory at a time; a pace is told of each, for large cells and files pass by the blocks of lines. What was put is noted
in a file of lines, which is sorted at the end: memory does not grow with the number of blobs. A content that was put
before, by this source, can be put again without its bytes. Holes of sparse files are read as the zeros that they are: the
token is over them, and their chunks are all one. Not thread-safe. Source: design sections 2 and 4.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pyfastcdc import FastCDC

from agent.holdings import Holdings
from agent.snapshot.objects import TableSink
from agent.snapshot.progress import Pace, unpaced
from agent.sorting import sort_lines
from evidence.digest import ObjectId, Sha256
from evidence.manifest.blobtable import ORDERING, encode_blob_line
from evidence.objects.blobs import MAX_CHUNK_BYTES, BlobBuilder
from evidence.rows.line import Token

_CHUNK_MIN = 64 << 10
_CHUNK_AVERAGE = 256 << 10
_SORT_BYTES = 16 << 20
_GROUP_BLOBS = 1_000
_READ_BYTES = 1 << 20


class BlobMemory:
    """Where the contents of a source are that were put before. `knows`: the holdings are whole, and may be believed."""

    def __init__(self, source: str, holdings: Holdings, *, knows: bool) -> None:
        self._source = source
        self._holdings = holdings
        self._knows = knows
        self._new: list[tuple[Sha256, int, ObjectId]] = []

    def find(self, token: Token) -> ObjectId | None:
        """Find the chunk list of a content that need not be put again with its bytes."""
        return self._holdings.find_blob(self._source, Sha256(token.sha256), token.size) if self._knows else None

    def add(self, token: Token, chunks: ObjectId) -> None:
        """Remember a content."""
        self._new.append((Sha256(token.sha256), token.size, chunks))
        if len(self._new) >= _GROUP_BLOBS:
            self.flush()

    def flush(self) -> None:
        """Write down what was remembered."""
        self._holdings.add_blobs(self._source, self._new)
        self._new = []


class BlobWriter:
    """The `BlobSink` of a snapshot. `remembers`: whether `memory` is told of what is put from now on."""

    def __init__(self, sink: TableSink, folder: Path, memory: BlobMemory | None = None, pace: Pace = unpaced) -> None:
        """`folder` takes the note of what was put; it is the caller's to remove. `pace`: of reading."""
        self._pace = pace
        self._sink = sink
        self._memory = memory
        self._noted: BinaryIO | None = None
        self.remembers = False
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "blobs.lines"
        self._lines = self._path.open("wb")
        self._chunker = FastCDC(avg_size=_CHUNK_AVERAGE, min_size=_CHUNK_MIN, max_size=MAX_CHUNK_BYTES)
        self.count = 0

    def put(self, raw: BinaryIO) -> Token:
        """Read `raw` to its end; give its token."""
        return self._put(raw, self._pace)

    def _put(self, raw: BinaryIO, pace: Pace) -> Token:
        state = hashlib.sha256()
        builder = BlobBuilder(self._sink.put)
        for data in self._cut(raw):
            state.update(data)
            builder.add(data)
            pace(len(data))
        token = Token(state.digest(), builder.size)
        chunks = builder.finish()
        if self._memory is not None and self.remembers:
            self._memory.add(token, chunks)
        self.put_line(encode_blob_line(token.sha256, token.size, chunks))
        return token

    def _cut(self, raw: BinaryIO) -> Iterator[bytes]:
        head = _read_head(raw)
        if len(head) <= _CHUNK_MIN:
            # One chunk, or none. The chunker would say the same, and take buffers of several MiB for each small file.
            if head:
                yield head
            return
        # A buffered reader has all of BinaryIO but `mode` and `name`, which the chunker does not ask for.
        whole = cast(BinaryIO, io.BufferedReader(_Joined(head, raw), _READ_BYTES))
        for chunk in self._chunker.cut_stream(whole):
            yield bytes(chunk.data)

    def put_again(self, token: Token) -> bool:
        """Take a content that was put before, without its bytes; False if it is not known: put it with them."""
        chunks = None if self._memory is None else self._memory.find(token)
        if chunks is None:
            return False
        self.put_line(encode_blob_line(token.sha256, token.size, chunks))
        return True

    def put_line(self, line: bytes) -> None:
        """Take a line of `@blobs` whose content the center holds, or will get from the spool."""
        self._lines.write(line + b"\n")
        if self._noted is not None:
            self._noted.write(line + b"\n")
        self.count += 1

    @contextmanager
    def noting(self) -> Iterator[Path]:
        """Note the lines that are put meanwhile in a file as well, and give its path; the next note is written over it."""
        path = self._folder / "noted.lines"
        with path.open("wb") as self._noted:
            try:
                yield path
            finally:
                self._noted = None

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
        if self._memory is not None:
            self._memory.flush()


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a note."""
    with path.open("rb") as file:
        for block in _read_blocks(file):
            yield from block.split(b"\n")[:-1]


class _Joined(io.RawIOBase):
    """What was read of a stream, and the rest of it."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # narrower than Buffer
        """Fill `buffer`; 0 at the end."""
        part: bytes | memoryview
        if self._head:
            part, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            part = self._rest.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def _read_head(raw: BinaryIO) -> bytes:
    """Read a byte more than the smallest chunk has, or to the end."""
    head = bytearray()
    while len(head) <= _CHUNK_MIN and (part := raw.read(_CHUNK_MIN + 1 - len(head))):
        head += part
    return bytes(head)


def _read_blocks(file: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while part := file.read(1 << 20):
        whole, newline, tail = (rest + part).rpartition(b"\n")
        if newline:
            yield whole + newline
        rest = tail
