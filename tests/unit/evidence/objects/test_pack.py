# SPDX-License-Identifier: Apache-2.0
"""Packs: what is written is read, every size is bounded, everything else is refused."""

import io
import os
import struct

import pytest
import zstandard

from evidence.digest import ObjectId, PackNamer
from evidence.errors import EvidenceError, FormatError, IdentityError, LimitError
from evidence.objects.object import ObjectKind, check_object, name_object
from evidence.objects.pack import (
    CODEC_BASE,
    FRAME_HEAD_BYTES,
    MAGIC,
    MAX_PACK_BYTES,
    Frame,
    PackWriter,
    decode_frame,
    parse_frame,
    read_frames,
    read_heads,
)

KEY = bytes(32)
BODIES = [b"1\t\xe5\xbc\xa0\xe4\xb8\x89\n2\t\xe6\x9d\x8e\xe5\x9b\x9b" * 40, b"", os.urandom(900), b"x" * 100_000]


def write(bodies: list[bytes], seal_key: bytes | None = None) -> tuple[bytes, str]:
    out = io.BytesIO()
    writer = PackWriter(out.write, seal_key=seal_key)
    for body in bodies:
        writer.add(ObjectKind.PAGE, name_object(KEY, ObjectKind.PAGE, body), body)
    return out.getvalue(), writer.name()


def forge(kind: int = 1, raw: int = 3, codec: int = 0, data: bytes = b"abc", stored: int | None = None) -> bytes:
    size = len(data) if stored is None else stored
    return MAGIC + struct.pack(">B32sIIB", kind, bytes(32), raw, size, codec) + data


@pytest.mark.parametrize("part", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("seal_key", [None, bytes(range(32))])
def test_objects_come_back_as_they_were_put_however_the_bytes_arrive(part: int, seal_key: bytes | None) -> None:
    raw, name = write(BODIES, seal_key)
    namer = PackNamer()
    frames = list(read_frames((raw[i : i + part] for i in range(0, len(raw), part)), namer))
    assert [decode_frame(frame, seal_key=seal_key) for frame in frames] == BODIES
    assert namer.name() == name
    for frame, body in zip(frames, BODIES, strict=True):
        check_object(KEY, frame.kind, frame.object_id, body)
        again = parse_frame(raw[frame.offset : frame.offset + FRAME_HEAD_BYTES + len(frame.data)], frame.offset)
        assert again == frame


def test_a_changed_row_travels_as_tens_of_bytes_against_its_base() -> None:
    base = b"\n".join(b"%d\t%s" % (i, os.urandom(20).hex().encode()) for i in range(250))
    body = base.replace(b"\n100\t", b"\n100\tedited ")
    base_id, body_id = (name_object(KEY, ObjectKind.PAGE, b) for b in (base, body))
    out = io.BytesIO()
    writer = PackWriter(out.write)
    assert writer.add(ObjectKind.PAGE, body_id, body, (base_id, base)) == CODEC_BASE
    (frame,) = read_frames([out.getvalue()])
    assert frame.base == base_id
    assert len(frame.data) < 32 + 90
    assert decode_frame(frame, {base_id: base}.__getitem__) == body
    with pytest.raises(FormatError, match="needs a base"):
        decode_frame(frame)


def test_a_useless_base_is_not_used() -> None:
    out = io.BytesIO()
    writer = PackWriter(out.write)
    body, base = os.urandom(5000), os.urandom(5000)
    assert writer.add(ObjectKind.NODE, name_object(KEY, ObjectKind.NODE, body), body, (ObjectId(bytes(32)), base)) == 0


def test_a_pack_cut_off_at_any_byte_is_refused_unless_between_frames() -> None:
    raw, _ = write(BODIES[:3])
    ends = {frame.offset + frame.size for frame in read_frames([raw])}
    for size in range(len(raw)):
        if size in ends:
            continue
        with pytest.raises(FormatError):
            list(read_frames([raw[:size]]))


def test_every_flipped_bit_changes_the_name_and_is_found_by_format_or_id() -> None:
    raw, name = write(BODIES[:2])
    for position in range(len(raw)):
        for bit in range(8):
            bad = bytearray(raw)
            bad[position] ^= 1 << bit
            namer = PackNamer()
            try:
                for frame in read_frames([bytes(bad)], namer):
                    check_object(KEY, frame.kind, frame.object_id, decode_frame(frame))
                found = namer.name() != name
            except EvidenceError:
                found = True
            assert found, (position, bit)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", FormatError),
        (b"jinsuo/pack@v2\n" + forge()[len(MAGIC) :], FormatError),
        (MAGIC, FormatError),
        (forge(kind=0), FormatError),
        (forge(kind=7), FormatError),
        (forge(codec=3), FormatError),
        (forge(codec=8), FormatError),
        (forge(raw=4 << 20), LimitError),
        (forge(raw=0xFFFFFFFF, stored=0xFFFFFFFF), LimitError),
        (forge(raw=10, stored=10_000_000), LimitError),
    ],
)
def test_what_is_not_a_pack_is_refused(raw: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error):
        list(read_frames([raw]))


def test_a_pack_over_its_bound_is_refused_before_it_is_read() -> None:
    body = os.urandom(3 << 20)
    frame = forge(raw=len(body), data=body)[len(MAGIC) :]
    taken = 0

    def parts() -> object:
        nonlocal taken
        yield MAGIC
        while True:
            taken += len(frame)
            yield frame

    with pytest.raises(LimitError):
        list(read_frames(parts()))  # type: ignore[arg-type]
    assert taken <= MAX_PACK_BYTES + 2 * len(frame)


def inflated(data: bytes, raw: int, codec: int = 1) -> bytes:
    (frame,) = read_frames([forge(codec=codec, raw=raw, data=data)])
    return decode_frame(frame)


def test_a_frame_that_inflates_past_its_bound_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(50 << 20))
    with pytest.raises(FormatError, match="another size"):
        inflated(bomb, raw=len(bomb) * 2)


def test_a_frame_that_hides_its_size_is_refused() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    hidden = stream.compress(bytes(50 << 20)) + stream.flush()
    with pytest.raises(FormatError):
        inflated(hidden, raw=len(hidden) * 2)


def test_bytes_behind_a_zstd_frame_are_refused() -> None:
    data = zstandard.ZstdCompressor(write_content_size=True).compress(b"abc" * 50)
    with pytest.raises(FormatError):
        inflated(data + b"more", raw=150)
    with pytest.raises(FormatError):
        inflated(data + data, raw=150)


def test_an_uncompressed_frame_of_another_size_is_refused() -> None:
    with pytest.raises(FormatError):
        inflated(b"abcd", raw=3, codec=0)


def test_a_sealed_frame_does_not_open_with_another_key_or_head() -> None:
    raw, _ = write([b"secret" * 30], bytes(range(32)))
    (frame,) = read_frames([raw])
    with pytest.raises(FormatError, match="no key"):
        decode_frame(frame)
    with pytest.raises(FormatError, match="does not open"):
        decode_frame(frame, seal_key=bytes(32))
    moved = Frame(ObjectKind.NODE, frame.object_id, frame.raw, frame.codec, frame.data, frame.offset)
    with pytest.raises(FormatError, match="does not open"):
        decode_frame(moved, seal_key=bytes(range(32)))


def test_an_object_of_another_source_has_another_id() -> None:
    body = b"1\tx"
    with pytest.raises(IdentityError):
        check_object(bytes(31) + b"\x01", ObjectKind.PAGE, name_object(KEY, ObjectKind.PAGE, body), body)


def test_a_writer_says_in_time_that_a_pack_is_full() -> None:
    out = io.BytesIO()
    writer = PackWriter(out.write)
    body = os.urandom(1 << 20)
    while writer.has_room(len(body)):
        writer.add(ObjectKind.CHUNK, name_object(KEY, ObjectKind.CHUNK, body), body)
    assert writer.size <= MAX_PACK_BYTES
    assert len(list(read_frames([out.getvalue()]))) == writer.frames == 15


def heads(raw: bytes) -> list[tuple[Frame, int]]:
    return list(read_heads(lambda offset, size: raw[offset : offset + size], len(raw)))


def test_heads_say_of_each_frame_what_reading_it_whole_says() -> None:
    out = io.BytesIO()
    writer = PackWriter(out.write)
    old = os.urandom(4_000)
    names = [name_object(KEY, ObjectKind.PAGE, body) for body in (old, old + b"x")]
    writer.add(ObjectKind.PAGE, names[0], old)
    assert writer.add(ObjectKind.PAGE, names[1], old + b"x", (names[0], old)) == CODEC_BASE
    whole = list(read_frames([out.getvalue()]))
    read = heads(out.getvalue())
    for frame, (head, size) in zip(whole, read, strict=True):
        assert (head.kind, head.object_id, head.raw, head.codec, head.offset, head.base, size) == (
            frame.kind, frame.object_id, frame.raw, frame.codec, frame.offset, frame.base, frame.size,
        )  # fmt: skip


def test_heads_of_a_pack_that_is_cut_off_anywhere_are_refused() -> None:
    raw, _ = write([b"abc", b"d" * 300])
    second = heads(raw)[1][0].offset
    for end in range(len(raw)):
        if end in (len(MAGIC), second):
            continue  # between frames there is nothing to see of what is missing; the pack's name tells
        with pytest.raises(FormatError):
            heads(raw[:end])
    with pytest.raises(LimitError):
        heads(forge(raw=1 << 23))


def test_frames_that_are_copied_stand_in_the_new_pack_byte_for_byte() -> None:
    raw, _ = write(BODIES)
    out = io.BytesIO()
    writer = PackWriter(out.write)
    for frame in reversed(list(read_frames([raw]))):
        writer.copy(frame)
    copied = list(read_frames([out.getvalue()]))
    assert [decode_frame(frame) for frame in copied] == BODIES[::-1]
    assert (writer.size, writer.frames, writer.raw_size) == (len(raw), len(BODIES), sum(map(len, BODIES)))
