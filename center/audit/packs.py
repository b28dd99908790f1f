# SPDX-License-Identifier: Apache-2.0
"""The audit of packs: names re-computed from their bytes, every object decoded and re-hashed to its id.

A pack with its name is what was admitted. In one without, each object is tried by itself, so that the report says what
can still be read. What was learned of places goes into a catalog of the audit's own, by which trees are walked then:
so the store is judged without believing the catalog, and the catalog against it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from center.audit.findings import Findings, Reading, Thing
from center.registry.catalog import Catalog
from center.registry.catalog_tables import MANIFEST_SPEC, Fact
from center.registry.objects import SourceObjects
from center.registry.packs import PackFile, PackReading, judge_frames, list_packs, place_of, read_pack
from center.store.base import Store
from evidence.digest import ObjectId, sha256
from evidence.objects.object import ObjectKind
from evidence.objects.pack import FRAME_HEAD_BYTES, Frame
from evidence.wire.secrets import SourceSecrets
from terminal.language import Text
from terminal.progress import Progress

_PACKS = Text(zh="核对数据包", en="re-hashing packs")


@dataclass(slots=True)
class PackAudit:
    """Judge the packs of all sources. `places` is asked for bases; `scratch` is filled, and then all packs are read."""

    store: Store
    secrets: Mapping[tuple[str, str], SourceSecrets]
    places: Catalog
    scratch: Catalog | None
    findings: Findings
    reading: Reading

    def run(self, is_chosen: Callable[[], bool], progress: Progress) -> set[PackFile]:
        """Judge the packs that are chosen (with `scratch`: all), give all that there are.

        1. Places are learned first, because a frame's base may stand in any pack: all those of whole packs, and of
           damaged ones what can still be read and needs no base.
        2. Objects are decoded and re-hashed.
        """
        present = {file for file in self._list() if not isinstance(file, str)}
        files = sorted(present, key=lambda file: file.path)
        with progress.progress(_PACKS, total=len(files) * (2 if self.scratch is not None else 1)) as bar:
            for file in files if self.scratch is not None else ():
                self._learn(file)
                bar.advance()
            for file in files:
                if self.scratch is not None or is_chosen():
                    reading = self._read(file)
                    is_known = reading.damage is not None and self.scratch is not None
                    self._judge(reading, [f for f in reading.frames if not is_known or f.base is not None])
                else:
                    self._look_at(file)
                bar.advance()
        return present

    def _learn(self, file: PackFile) -> None:
        assert self.scratch is not None
        reading = read_pack(self.store, file)
        if reading.damage is not None:
            self._judge(reading, [frame for frame in reading.frames if frame.base is None])
        else:
            self.scratch.add_pack(file.unit, file.source, file.name, reading.places)

    def _list(self) -> Iterator[PackFile | str]:
        for file in list_packs(self.store):
            if isinstance(file, str):
                self.findings.add(
                    Thing.PACK, f"store/{file}", Text(zh="这不是数据包", en="this is not a pack"), is_note=True
                )
            yield file

    def _look_at(self, file: PackFile) -> None:
        """Hold the size of a pack that is not read against the places that are in it."""
        self.reading.skipped_packs += 1
        places = self.places.pack_places(file.unit, file.source, file.name)
        needed = max((p.offset + FRAME_HEAD_BYTES + p.stored for _, p in places), default=0)
        size = self.store.size(file.path) or 0
        if size < needed:
            self.findings.add(
                Thing.PACK,
                f"store/{file.path}",
                Text(
                    zh=f"它有 {size} 字节，其中的对象需要 {needed} 字节",
                    en=f"it has {size} bytes, its objects need {needed}",
                ),
            )

    def _read(self, file: PackFile) -> PackReading:
        reading = read_pack(self.store, file)
        self.reading.packs += 1
        self.reading.bytes_ += reading.size
        if reading.damage is not None:
            self.findings.add(Thing.PACK, f"store/{file.path}", reading.damage)
        return reading

    def _judge(self, reading: PackReading, frames: Sequence[Frame]) -> None:
        """Decode and re-hash objects; with `scratch` what is whole is learned, what is not is forgotten."""
        file = reading.file
        secrets = self.secrets.get((file.unit, file.source))
        if secrets is None:
            return  # the file that should give them is named, with the snapshots that cannot be judged
        objects = SourceObjects(self.store, self.places, file.unit, file.source, secrets.storage_key)
        whole: list[Frame] = []
        lost: list[ObjectId] = []
        facts: list[tuple[ObjectId, str, Fact]] = []
        for judged in judge_frames(objects, secrets.storage_key, frames):
            frame = judged.frame
            if judged.body is None:
                lost.append(frame.object_id)
                if reading.damage is None and not self._is_base_damaged(file, frame):
                    reason = Text(
                        zh=f"第 {frame.offset} 字节处的 {frame.kind.name} 对象读不了：{judged.reason.zh}",
                        en=f"its {frame.kind.name} object at byte {frame.offset} cannot be read: {judged.reason.en}",
                    )
                    self.findings.add(Thing.OBJECT, f"store/{file.path}", reason)
                continue
            self.reading.objects += 1
            whole.append(frame)
            if frame.kind is ObjectKind.MANIFEST:
                body = judged.body
                fact = Fact(sha256(body), 0, 0, 0, len(body), b"", b"", True)
                facts.append((frame.object_id, MANIFEST_SPEC, fact))
        if self.scratch is not None:
            if reading.damage is not None:
                places = [(frame.object_id, place_of(file.name, frame)) for frame in whole]
                self.scratch.add_pack(file.unit, file.source, file.name, places)
            else:
                self.scratch.forget_objects(file.unit, file.source, lost)
            self.scratch.add_facts(file.unit, file.source, facts)

    def _is_base_damaged(self, file: PackFile, frame: Frame) -> bool:
        """Tell whether an object cannot be read only because its base stands in a pack that is named already."""
        if frame.base is None:
            return False
        place = self.places.find_places(file.unit, file.source, [frame.base]).get(frame.base)
        return place is None or self.findings.has(f"store/{PackFile(file.unit, file.source, place.pack).path}")


def find_missing(catalog: Catalog, present: Collection[PackFile], store: Store, findings: Findings) -> None:
    """Name packs that the catalog has and the store has not."""
    for unit, source in catalog.sources():
        for name in catalog.packs(unit, source):
            file = PackFile(unit, source, name)
            if file not in present and store.size(file.path) is None:
                findings.add(
                    Thing.PACK, f"store/{file.path}", Text(zh="它已不在存储中", en="it is not in the store any more")
                )
