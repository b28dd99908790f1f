# SPDX-License-Identifier: Apache-2.0
"""Packs: what travels and what is stored. Frames of objects one after another, strict to read. Pure.

    pack  = magic `jinsuo/pack@v1 LF` ‖ frames;      at most 16 MiB stored, 64 MiB raw, 32,768 frames
    frame = kind u8 ‖ id[32] ‖ raw u32 ‖ stored u32 ‖ codec u8 ‖ data[stored]
    name  = unkeyed BLAKE3 of the pack's bytes, 64 lower-case hex digits

`raw` is the size of the body (without the kind byte). Codec 0: the body. 1: one zstd frame. 2: base id[32] ‖ a zstd
frame with the base's body as raw-content prefix (an object of the same source and kind that has itself no base).
+4 sealed: nonce[12] ‖ AES-256-GCM(what 0, 1 or 2 would hold) ‖ tag[16], AAD = kind ‖ id ‖ raw ‖ codec.
Every size is bounded before anything of it is allocated; a zstd frame must state its content size, which must be
`raw`, so no frame inflates past its bound. Whether a body has its id is for `check_object`. Source: design section 4.
"""

import os
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from evidence.digest import ObjectId, PackNamer
from evidence.errors import FormatError, LimitError
from evidence.objects.object import MAX_OBJECT_BYTES, ObjectKind

MAGIC: Final = b"jinsuo/pack@v1\n"
MAX_PACK_BYTES: Final = 16 << 20
MAX_PACK_RAW_BYTES: Final = 64 << 20
MAX_PACK_FRAMES: Final = 1 << 15
"""Who takes a pack remembers each object until the last: tiny ones must not cost more memory than large ones."""
CODEC_ZSTD: Final = 1
CODEC_BASE: Final = 2
CODEC_SEALED: Final = 4
CODECS: Final = frozenset({0, 1, 2, 4, 5, 6})
_HEAD: Final = struct.Struct(">B32sIIB")
_AAD: Final = struct.Struct(">B32sIB")
_NONCE_BYTES, _TAG_BYTES = 12, 16
MAX_SEALED_PACK_BYTES: Final = MAX_PACK_BYTES + MAX_PACK_FRAMES * (_NONCE_BYTES + _TAG_BYTES)
"""Any pack can be sealed (`seal_frame`), also one that is at its bound."""
FRAME_HEAD_BYTES: Final = _HEAD.size
# A base-coded or sealed frame may be this much larger than its body in the worst case (zstd adds < 0.4 % + 64).
_MOST_OVERHEAD = 32 + _NONCE_BYTES + _TAG_BYTES + 64
_MAX_WINDOW = 8 << 20
_local = threading.local()
_KINDS = frozenset(int(kind) for kind in ObjectKind)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it stands in its pack. `offset` is where the frame's head starts; `base` is known of unsealed frames."""

    kind: ObjectKind
    object_id: ObjectId
    raw: int
    codec: int
    data: bytes
    offset: int

    @property
    def base(self) -> ObjectId | None:
        """Give the base's id of an unsealed base-coded frame."""
        return ObjectId(self.data[:32]) if self.codec == CODEC_BASE else None

    @property
    def size(self) -> int:
        """Give the bytes of the whole frame in the pack."""
        return _HEAD.size + len(self.data)

    def encode(self) -> bytes:
        """Write the frame as it stands in its pack."""
        return _HEAD.pack(self.kind, self.object_id, self.raw, len(self.data), self.codec) + self.data


class PackWriter:
    """Write one pack, frame by frame, to `write`. Not thread-safe.

    Attributes: `size`, `raw_size` in bytes so far, `frames`. The caller asks `has_room` before `add`.
    """

    def __init__(self, write: Callable[[bytes], object], *, level: int = 1, seal_key: bytes | None = None) -> None:
        """Start a pack; `level` is zstd's; with `seal_key[32]` every frame is sealed."""
        self._write = write
        self._level = level
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)
        self._seal = AESGCM(seal_key) if seal_key is not None else None
        self._namer = PackNamer()
        self.size = 0
        self.raw_size = 0
        self.frames = 0
        self._put(MAGIC)

    def has_room(self, raw: int) -> bool:
        """Tell whether a body of `raw` bytes surely fits, or two of together as many."""
        return (
            self.size + 2 * (_HEAD.size + _MOST_OVERHEAD) + raw + raw // 250 <= MAX_PACK_BYTES
            and self.raw_size + raw <= MAX_PACK_RAW_BYTES
            and self.frames + 2 <= MAX_PACK_FRAMES
        )

    def add(self, kind: ObjectKind, name: ObjectId, body: bytes, base: tuple[ObjectId, bytes] | None = None) -> int:
        """Append an object and give the codec that its frame has.

        `base` is an older object (id, body) of the same source and kind, stored without a base; it is used where it
        makes the frame smaller by a quarter.
        """
        codec, data = self._encode(body, base)
        if self._seal is not None:
            codec |= CODEC_SEALED
            nonce = os.urandom(_NONCE_BYTES)
            data = nonce + self._seal.encrypt(nonce, data, _AAD.pack(kind, name, len(body), codec))
        self._put(_HEAD.pack(kind, name, len(body), len(data), codec) + data)
        self.raw_size += len(body)
        self.frames += 1
        return codec

    def name(self) -> str:
        """Give the name of the pack as written so far."""
        return self._namer.name()

    def _encode(self, body: bytes, base: tuple[ObjectId, bytes] | None) -> tuple[int, bytes]:
        coded = self._compressor.compress(body)
        codec, least = (CODEC_ZSTD, coded) if len(coded) < len(body) else (0, body)
        if base is not None:
            prefix = zstandard.ZstdCompressionDict(base[1], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            compressor = zstandard.ZstdCompressor(level=self._level, dict_data=prefix, write_checksum=False)
            coded = base[0] + compressor.compress(body)
            # Little gain is not worth it: an object that is stored with a base can be none for those that come later.
            if len(coded) * 4 < len(least) * 3:
                return CODEC_BASE, coded
        return codec, least

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._namer.update(data)
        self.size += len(data)


def read_frames(
    parts: Iterable[bytes], namer: PackNamer | None = None, max_bytes: int = MAX_PACK_BYTES
) -> Iterator[Frame]:
    """Read a pack's frames from its bytes as they come; `namer` sees all bytes.

    Memory: one frame and one part. The bounds of the whole pack hold whatever a frame claims; `max_bytes` is another one
    where sealed packs are read (`MAX_SEALED_PACK_BYTES`).

    Raises:
        LimitError: the pack, a frame or what it would inflate to is over its bound.
        FormatError: wrong magic, unknown kind or codec, cut off within a frame, no frame at all.
    """
    stream = _Parts(parts, namer)
    if stream.take(len(MAGIC), "the magic") != MAGIC:
        raise FormatError("this is not a pack: its first bytes are not jinsuo/pack@v1")
    total_raw = frames = 0
    offset = stream.offset
    while not stream.at_end():
        kind, name, raw, stored, codec = _HEAD.unpack(stream.take(_HEAD.size, "a frame's head"))
        _check_head(kind, raw, stored, codec, offset)
        total_raw += raw
        frames += 1
        if offset + _HEAD.size + stored > max_bytes or total_raw > MAX_PACK_RAW_BYTES or frames > MAX_PACK_FRAMES:
            raise LimitError(
                f"a pack has at most {max_bytes} bytes, {MAX_PACK_RAW_BYTES} raw, in {MAX_PACK_FRAMES} frames; "
                "this one has more"
            )
        data = stream.take(stored, f"the frame at byte {offset}")
        yield Frame(ObjectKind(kind), ObjectId(name), raw, codec, data, offset)
        offset = stream.offset
    if offset == len(MAGIC):
        raise FormatError("a pack has at least one frame; this one has none")


def parse_frame(raw: bytes, offset: int) -> Frame:
    """Read one frame from exactly its bytes, which stood at `offset` of their pack. Raises: FormatError."""
    if len(raw) < _HEAD.size:
        raise FormatError(f"the frame at byte {offset} is cut off")
    kind, name, size, stored, codec = _HEAD.unpack_from(raw)
    _check_head(kind, size, stored, codec, offset)
    if len(raw) != _HEAD.size + stored:
        raise FormatError(f"the frame at byte {offset} has {len(raw)} bytes, its head says {_HEAD.size + stored}")
    return Frame(ObjectKind(kind), ObjectId(name), size, codec, raw[_HEAD.size :], offset)


def seal_frame(frame: Frame, seal_key: bytes) -> Frame:
    """Give the frame sealed under `seal_key[32]`, with a fresh nonce. Raises: FormatError if it is sealed already."""
    if frame.codec & CODEC_SEALED:
        raise FormatError(f"{_where(frame)} is sealed already, and is not sealed twice")
    codec = frame.codec | CODEC_SEALED
    nonce = os.urandom(_NONCE_BYTES)
    aad = _AAD.pack(frame.kind, frame.object_id, frame.raw, codec)
    sealed = nonce + AESGCM(seal_key).encrypt(nonce, frame.data, aad)
    return Frame(frame.kind, frame.object_id, frame.raw, codec, sealed, frame.offset)


def unseal_frame(frame: Frame, seal_key: bytes) -> Frame:
    """Give the frame as it was before `seal_frame`. Raises: FormatError if it is not sealed, or not by this key."""
    if not frame.codec & CODEC_SEALED:
        raise FormatError(f"{_where(frame)} is not sealed")
    return Frame(
        frame.kind, frame.object_id, frame.raw, frame.codec & ~CODEC_SEALED, _unseal(frame, seal_key), frame.offset
    )


def decode_frame(
    frame: Frame, read_base: Callable[[ObjectId], bytes] | None = None, seal_key: bytes | None = None
) -> bytes:
    """Give the body that a frame holds; whether it has the frame's id is still to be checked.

    `read_base` gives the body of a base, and must refuse one that is itself base-coded or of another kind.
    Raises: FormatError if the data do not decode to exactly `raw` bytes, or a base or key is needed and not given.
    """
    data, codec = frame.data, frame.codec
    if codec & CODEC_SEALED:
        data = _unseal(frame, seal_key)
        codec &= ~CODEC_SEALED
    if codec == 0:
        if len(data) != frame.raw:
            raise FormatError(f"{_where(frame)} holds {len(data)} bytes, its head says {frame.raw}")
        return data
    if codec == CODEC_ZSTD:
        return _inflate(frame, data, None)
    if read_base is None or len(data) < 32:
        raise FormatError(f"{_where(frame)} needs a base, and none can be read here")
    return _inflate(frame, data[32:], read_base(ObjectId(data[:32])))


def _check_head(kind: int, raw: int, stored: int, codec: int, offset: int) -> None:
    if kind not in _KINDS or codec not in CODECS:
        raise FormatError(f"the frame at byte {offset} has kind {kind} and codec {codec}, not both known")
    if raw >= MAX_OBJECT_BYTES or stored > raw + raw // 250 + _MOST_OVERHEAD:
        raise LimitError(f"the frame at byte {offset} claims {raw} bytes in {stored}; an object has less than 4 MiB")


def _inflate(frame: Frame, data: bytes, base: bytes | None) -> bytes:
    try:
        if zstandard.frame_content_size(data) != frame.raw:
            raise FormatError(
                f"{_where(frame)} would inflate to another size than the {frame.raw} bytes that its head says"
            )
        if base is None:
            decompressor = _decompressor()
        else:
            prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            decompressor = zstandard.ZstdDecompressor(dict_data=prefix, max_window_size=_MAX_WINDOW)
        body = decompressor.decompress(data, max_output_size=max(frame.raw, 1), allow_extra_data=False)
    except zstandard.ZstdError as err:
        raise FormatError(f"{_where(frame)} does not inflate: {err}") from err
    if len(body) != frame.raw:
        raise FormatError(f"{_where(frame)} inflates to {len(body)} bytes, its head says {frame.raw}")
    return body


def _decompressor() -> zstandard.ZstdDecompressor:
    """Give this thread's decompressor: making one costs as much as a page."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor


def _unseal(frame: Frame, seal_key: bytes | None) -> bytes:
    if seal_key is None:
        raise FormatError(f"{_where(frame)} is sealed, and no key is at hand")
    if len(frame.data) < _NONCE_BYTES + _TAG_BYTES:
        raise FormatError(f"{_where(frame)} is too short to be sealed")
    aad = _AAD.pack(frame.kind, frame.object_id, frame.raw, frame.codec)
    try:
        return AESGCM(seal_key).decrypt(frame.data[:_NONCE_BYTES], frame.data[_NONCE_BYTES:], aad)
    except InvalidTag as err:
        raise FormatError(f"{_where(frame)} does not open with this key: it is damaged or sealed to another") from err


def _where(frame: Frame) -> str:
    return f"the {frame.kind.name} frame at byte {frame.offset}"


class _Parts:
    """Take exact sizes from bytes that come in parts of any size."""

    def __init__(self, parts: Iterable[bytes], namer: PackNamer | None) -> None:
        self._parts = iter(parts)
        self._namer = namer
        self._buffer = b""
        self._start = 0
        self.offset = 0

    def take(self, size: int, what: str) -> bytes:
        while len(self._buffer) - self._start < size:
            if not self._fill():
                found = len(self._buffer) - self._start
                raise FormatError(f"the pack is cut off: {what} has {found} of {size} bytes at byte {self.offset}")
        part = self._buffer[self._start : self._start + size]
        self._start += size
        self.offset += size
        return part

    def at_end(self) -> bool:
        return len(self._buffer) == self._start and not self._fill()

    def _fill(self) -> bool:
        for part in self._parts:
            if part:
                if self._namer is not None:
                    self._namer.update(part)
                self._buffer = self._buffer[self._start :] + part if self._start < len(self._buffer) else part
                self._start = 0
                return True
        return False
