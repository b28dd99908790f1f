# SPDX-License-Identifier: Apache-2.0
"""Contents as chunks: the same ones whatever their size and however their bytes come; known ones are put by name."""

import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyfastcdc import FastCDC

from agent.holdings import Holdings
from agent.snapshot.blobs import BlobMemory, BlobWriter
from evidence.manifest.blobtable import parse_blob_line
from evidence.objects.blobs import MAX_CHUNK_BYTES, parse_chunk_list, read_blob
from evidence.objects.object import ObjectKind
from evidence.rows.line import Token
from tests.builders.trees import MemoryObjects

SIZES = [0, 1, 65_535, 65_536, 65_537, 65_538, 300_000, 3 << 20]


class Sink(MemoryObjects):
    """Objects in memory, of one table after another."""

    def begin_table(self, *_: object) -> None:
        """Do nothing."""

    def end_table(self) -> None:
        """Do nothing."""


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as pipes do."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._most, self._place = data, most, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        end = self._place + min(self._most, size if size >= 0 else self._most)
        part, self._place = self._data[self._place : end], end
        return part


@pytest.fixture
def holdings(tmp_path: Path) -> Iterator[Holdings]:
    made = Holdings(tmp_path / "h.sqlite")
    yield made
    made.close()


def _lines(writer: BlobWriter) -> list[bytes]:
    return b"".join(writer.sorted_blocks()).split(b"\n")[:-1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("most", [1 << 30, 4_097])
def test_chunks_are_those_of_the_chunker_alone(tmp_path: Path, size: int, most: int) -> None:
    data = random.Random(size).randbytes(size)
    chunker = FastCDC(avg_size=256 << 10, min_size=64 << 10, max_size=MAX_CHUNK_BYTES)
    expected = [len(chunk.data) for chunk in chunker.cut_stream(io.BytesIO(data))]
    sink = Sink()
    writer = BlobWriter(sink, tmp_path)  # type: ignore[arg-type]  # as much of a sink as is asked
    token = writer.put(Trickle(data, most))  # type: ignore[arg-type]  # a stream that can be read
    ((digest, told, chunks),) = [parse_blob_line(line) for line in _lines(writer)]
    assert (digest, told) == (token.sha256, size)
    assert [below for below, _ in parse_chunk_list(sink.bodies[chunks][1])[1]] == expected
    assert b"".join(read_blob(sink, chunks)) == data


def test_content_is_put_again_only_if_its_list_is_durable_and_the_holdings_are_whole(
    tmp_path: Path, holdings: Holdings
) -> None:
    sink = Sink()
    first = BlobWriter(sink, tmp_path / "1", BlobMemory("s", holdings, knows=True))  # type: ignore[arg-type]  # likewise
    first.remembers = True
    token = first.put_bytes(b"content")
    first.close()
    (chunks,) = (name for name, (kind, _) in sink.bodies.items() if kind is ObjectKind.CHUNK_LIST)

    def again(source: str = "s", *, knows: bool = True, wanted: Token = token) -> bool:
        writer = BlobWriter(Sink(), tmp_path / "2", BlobMemory(source, holdings, knows=knows))  # type: ignore[arg-type]
        try:
            return writer.put_again(wanted)
        finally:
            writer.close()

    assert not again(), "its pack is not durable yet"
    holdings.add("s", [chunks])
    assert again()
    assert not again(knows=False), "the center has to be asked first"
    assert not again("other"), "another source's objects have other ids"
    assert not again(wanted=Token(token.sha256, 8))
    holdings.forget("s")
    holdings.add("s", [chunks])
    assert not again(), "all of it was forgotten"


def test_content_is_remembered_only_where_it_is_asked_for(tmp_path: Path, holdings: Holdings) -> None:
    sink = Sink()
    writer = BlobWriter(sink, tmp_path / "1", BlobMemory("s", holdings, knows=True))  # type: ignore[arg-type]  # likewise
    token = writer.put_bytes(b"cell")
    writer.close()
    holdings.add("s", list(sink.bodies))
    assert BlobMemory("s", holdings, knows=True).find(token) is None


def test_what_is_put_while_noting_stands_in_the_note_as_well(tmp_path: Path) -> None:
    writer = BlobWriter(Sink(), tmp_path)  # type: ignore[arg-type]  # likewise
    writer.put_bytes(b"before")
    with writer.noting() as note:
        writer.put_bytes(b"meanwhile")
    writer.put_bytes(b"after")
    assert len(note.read_bytes().splitlines()) == 1
    assert note.read_bytes().strip() in _lines(writer)
    assert len(_lines(writer)) == 3
