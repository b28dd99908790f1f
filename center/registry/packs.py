# SPDX-License-Identifier: Apache-2.0
"""Stored packs, read whole: what `rebuild` and `audit` learn of them without the catalog, and how admission doubts one.

A pack whose bytes have its name holds what was admitted; of one that does not, only the frames that can still be told
apart are given, and each must be checked by its reader. Memory: one pack, at most 16 MiB. Reads the store, and
writes nothing there. Source: design section 4.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from center.errors import CenterError, LostError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import ObjectPlace
from center.registry.objects import SourceObjects
from center.store.base import Store
from evidence.digest import ObjectId, pack_name
from evidence.errors import EvidenceError, FormatError, MissingObjectError
from evidence.objects.object import ObjectKind, check_object
from evidence.objects.pack import Frame, decode_frame, read_frames
from terminal.errors import words_of
from terminal.language import NOTHING, Text

PREFIX: Final = "packs/"
_PATH = re.compile(
    r"packs/([A-Za-z0-9._-]{1,64})/([A-Za-z0-9._-]{1,64})/([0-9a-f]{2})/(\3[0-9a-f]{62})\.pack", re.ASCII
)


@dataclass(frozen=True, slots=True)
class PackFile:
    """Where a pack lies in the store."""

    unit: str
    source: str
    name: str

    @property
    def path(self) -> str:
        """Give its name in the store."""
        return f"{PREFIX}{self.unit}/{self.source}/{self.name[:2]}/{self.name}.pack"


@dataclass(frozen=True, slots=True)
class PackReading:
    """A pack as it was read: `damage` says what is wrong with it, None if its bytes have its name."""

    file: PackFile
    size: int
    frames: tuple[Frame, ...]
    damage: Text | None = None

    @property
    def places(self) -> list[tuple[ObjectId, ObjectPlace]]:
        """Give where each frame's object stands."""
        return [(frame.object_id, place_of(self.file.name, frame)) for frame in self.frames]


def place_of(pack: str, frame: Frame) -> ObjectPlace:
    """Give the place of a frame of `pack`."""
    return ObjectPlace(pack, frame.offset, len(frame.data), frame.raw, int(frame.kind), frame.codec, frame.base)


def list_packs(store: Store) -> Iterator[PackFile | str]:
    """Yield the packs of all sources, ascending; a name that is not a pack's as text."""
    for path in store.names(PREFIX):
        match = _PATH.fullmatch(path)
        yield path if match is None else PackFile(match[1], match[2], match[4])


def read_pack(store: Store, file: PackFile) -> PackReading:
    """Read a pack and give its frames. Never raises for damage: that is in the reading."""
    try:
        raw = store.read(file.path)
    except CenterError as err:
        return PackReading(file, 0, (), words_of(err))
    found = pack_name([raw])
    damage = None
    if found != file.name:
        damage = Text(
            zh=f"其字节得出的名称是 {found[:16]}…，所以不是当初受理的内容",
            en=f"its bytes give the name {found[:16]}…, so they are not what was admitted",
        )
    frames: list[Frame] = []
    try:
        frames.extend(read_frames([raw]))
    except FormatError as err:
        damage = words_of(err) if damage is None else Text(zh=f"{damage.zh}；{err}", en=f"{damage.en}; {err}")
    return PackReading(file, len(raw), tuple(frames), damage)


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame, and the body that it really holds; None if it cannot be decoded or has not its id: `reason` says why."""

    frame: Frame
    body: bytes | None
    reason: Text = NOTHING


def judge_frames(objects: SourceObjects, storage_key: bytes, frames: Iterable[Frame]) -> Iterator[JudgedFrame]:
    """Decode frames and check their ids; bases are read through `objects`. Never raises for damage."""
    for frame in frames:
        try:
            body = decode_frame(frame, partial(objects.read_base, kind=frame.kind))
            check_object(storage_key, frame.kind, frame.object_id, body)
        except (CenterError, EvidenceError) as err:
            yield JudgedFrame(frame, None, words_of(err))
        else:
            yield JudgedFrame(frame, body)


def forget_lost(catalog: Catalog, objects: SourceObjects, unit: str, source: str, pack: str) -> int:
    """Make the catalog forget what stands in a damaged pack and cannot be read, and what is coded against it.

    So that `absent` asks for it; gives the number. Raises: StoreError if the store cannot be read now: nothing is forgotten.
    """
    lost: set[ObjectId] = set()
    for name, place in catalog.pack_places(unit, source, pack):
        try:
            objects.read(name, ObjectKind(place.kind))
        except (LostError, MissingObjectError):
            lost.add(name)
    return _forget(catalog, unit, source, lost)


def forget_absent(catalog: Catalog, unit: str, source: str, pack: str) -> int:
    """Make the catalog forget all that stands in a pack which the store has not, as `forget_lost` does; give the number."""
    return _forget(catalog, unit, source, {name for name, _ in catalog.pack_places(unit, source, pack)})


def _forget(catalog: Catalog, unit: str, source: str, lost: set[ObjectId]) -> int:
    if lost:
        lost |= {name for name, place in catalog.walk_places(unit, source) if place.base in lost}
        catalog.forget_objects(unit, source, lost)
    return len(lost)
