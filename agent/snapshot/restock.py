# SPDX-License-Identifier: Apache-2.0
"""Give the center again what it has lost, out of packs that it had acknowledged and the spool has kept.

The same pack again would not do: a store replaces nothing, so a damaged file stands in the way of its like. So the
objects that the center asks for are written anew, each whole, into packs of other names. What is kept is a cache and may
hold anything: each object is checked against its id. Three readings of the packs, a frame at a time; in memory are the
ids that are asked for. Source: decision 0055.
"""

import os
from collections.abc import Iterator, Sequence

from agent.snapshot.objects import Ask
from agent.spool import PackSpooler, SpooledPack
from evidence.digest import ObjectId
from evidence.errors import EvidenceError, FormatError
from evidence.objects.object import ObjectKind, check_object, name_object
from evidence.objects.pack import Frame, decode_frame, parse_frame, read_frames

_MARK_BYTES = 16


def restock(
    packs: Sequence[SpooledPack], spooler: PackSpooler, storage_key: bytes, ask: Ask, done: set[ObjectId]
) -> int:
    """Write what the center lacks of `packs` into new packs; give the number of objects.

    `done` are those written before, which are not tried again; the new ones are added.
    Raises: SpoolError if there is no room; what `ask` raises.
    """
    wanted: set[ObjectId] = set()
    bases: set[ObjectId] = set()
    for pack in packs:
        coded = [(frame.object_id, frame.base) for frame in _frames(pack)]
        absent = ask([name for name, _ in coded]) - done if coded else set()
        wanted |= absent
        bases.update(base for name, base in coded if base is not None and name in absent)
    where = {
        frame.object_id: (pack.name, frame.offset, frame.size)
        for pack in (packs if bases else ())
        for frame in _frames(pack)
        if frame.base is None and frame.object_id in bases
    }

    def read_base(base: ObjectId) -> bytes:
        raw = spooler.read_kept(*where[base]) if base in where else None
        if raw is None:
            raise FormatError("its base is not kept")
        frame = parse_frame(raw, where[base][1])
        body = decode_frame(frame)
        check_object(storage_key, frame.kind, base, body)
        return body

    before = len(done)
    for pack in packs if wanted else ():
        is_begun = False
        for frame in _frames(pack):
            if frame.object_id not in wanted:
                continue
            try:
                body = decode_frame(frame, read_base)
                check_object(storage_key, frame.kind, frame.object_id, body)
            except EvidenceError:
                continue  # another pack may have it
            if not is_begun:
                _put_mark(spooler, storage_key)
                is_begun = True
            spooler.add(frame.kind, frame.object_id, body)
            wanted.discard(frame.object_id)
            done.add(frame.object_id)
        spooler.flush()
    return len(done) - before


def _put_mark(spooler: PackSpooler, storage_key: bytes) -> None:
    """Begin a pack with a few random bytes: were all of an old pack written again, it would have the old one's name."""
    mark = os.urandom(_MARK_BYTES)
    spooler.add(ObjectKind.DOCUMENT, name_object(storage_key, ObjectKind.DOCUMENT, mark), mark)


def _frames(pack: SpooledPack) -> Iterator[Frame]:
    """Yield the frames of a pack as far as it can be read."""
    try:
        with pack.path.open("rb") as file:
            yield from read_frames(iter(lambda: file.read(1 << 20), b""))
    except (OSError, EvidenceError):
        return
