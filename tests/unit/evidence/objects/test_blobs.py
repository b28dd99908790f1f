# SPDX-License-Identifier: Apache-2.0
"""Blobs as lists of chunks."""

import pytest

from evidence.errors import FormatError, LimitError, MissingObjectError
from evidence.manifest.blobtable import encode_blob_line, parse_blob_line
from evidence.objects.blobs import (
    MAX_LIST_ENTRIES,
    BlobBuilder,
    encode_chunk_list,
    parse_chunk_list,
    read_blob,
    walk_chunk_lists,
)
from evidence.objects.object import ObjectKind
from tests.builders.trees import MemoryObjects


@pytest.mark.parametrize("count", [0, 1, 2, MAX_LIST_ENTRIES, MAX_LIST_ENTRIES + 1, 3 * MAX_LIST_ENTRIES])
def test_a_blob_of_any_number_of_chunks_comes_back(count: int) -> None:
    objects = MemoryObjects()
    builder = BlobBuilder(objects.put)
    chunks = [b"%d;" % i for i in range(count)]
    for chunk in chunks:
        builder.add(chunk)
    top = builder.finish()
    assert list(read_blob(objects, top)) == chunks
    assert builder.size == len(b"".join(chunks))
    assert {name for name, _ in walk_chunk_lists(objects, top)} == set(objects.bodies)


def test_a_missing_chunk_is_named() -> None:
    objects = MemoryObjects()
    builder = BlobBuilder(objects.put)
    builder.add(b"abc")
    top = builder.finish()
    chunk = next(name for name, (kind, _) in objects.bodies.items() if kind is ObjectKind.CHUNK)
    del objects.bodies[chunk]
    with pytest.raises(MissingObjectError) as caught:
        list(read_blob(objects, top))
    assert caught.value.object_id == chunk


def test_a_list_that_lies_about_sizes_or_levels_is_refused() -> None:
    objects = MemoryObjects()
    chunk = objects.put(ObjectKind.CHUNK, b"abc")
    wrong = objects.put(ObjectKind.CHUNK_LIST, encode_chunk_list(0, [(4, chunk)]))
    with pytest.raises(FormatError):
        list(read_blob(objects, wrong))
    inner = objects.put(ObjectKind.CHUNK_LIST, encode_chunk_list(0, [(3, chunk)]))
    for level, size in ((2, 3), (1, 4)):
        outer = objects.put(ObjectKind.CHUNK_LIST, encode_chunk_list(level, [(size, inner)]))
        with pytest.raises(FormatError):
            list(read_blob(objects, outer))


def test_lists_over_their_bounds_are_refused() -> None:
    entry = (1, name := MemoryObjects().put(ObjectKind.CHUNK, b"x"))
    assert name
    with pytest.raises(LimitError):
        parse_chunk_list(encode_chunk_list(0, [entry] * (MAX_LIST_ENTRIES + 1)))
    with pytest.raises(LimitError):
        parse_chunk_list(encode_chunk_list(9, [entry]))
    with pytest.raises(FormatError):
        parse_chunk_list(encode_chunk_list(0, [(0, name)]))
    for cut in range(1, 40):
        with pytest.raises(FormatError):
            parse_chunk_list(encode_chunk_list(0, [entry])[:-cut][: max(0, 41 - cut)] or b"")


def test_a_blob_line_has_one_spelling() -> None:
    name = MemoryObjects().put(ObjectKind.CHUNK_LIST, encode_chunk_list(0, []))
    line = encode_blob_line(bytes(32), 5, name)
    assert parse_blob_line(line) == (bytes(32), 5, name)
    for bad in (line.upper().replace(b"\t5\t", b"\t5\t"), line.replace(b"\t5\t", b"\t05\t"), line + b"\t", line[:-1]):
        if bad != line:
            with pytest.raises(FormatError):
                parse_blob_line(bad)
