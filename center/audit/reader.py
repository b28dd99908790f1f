# SPDX-License-Identifier: Apache-2.0
"""Reading objects of one source for the audit: what cannot be read becomes a finding with its file, not an error."""

from dataclasses import dataclass

from center.audit.findings import Findings, KeyRange, SnapshotName, Thing
from center.errors import CenterError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import ObjectPlace
from center.registry.objects import SourceObjects
from center.registry.packs import PackFile
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.objects.object import ObjectKind
from terminal.errors import words_of
from terminal.language import Text


@dataclass(slots=True)
class Reader:
    """Read objects by `places`; `catalog` (the center's, if it can be read) helps to say where one was."""

    unit: str
    source: str
    objects: SourceObjects
    places: Catalog
    catalog: Catalog | None
    findings: Findings

    def read(
        self,
        wanted: ObjectId,
        kind: ObjectKind,
        snapshot: SnapshotName,
        table: str | None = None,
        keys: KeyRange | None = None,
    ) -> bytes | None:
        """Give a body, or None: a finding says then what cannot be read, where it stood, and what it was part of."""
        try:
            if kind is ObjectKind.NODE:
                return self.objects.read_node(wanted)
            return self.objects.read(wanted, kind)
        except (CenterError, EvidenceError) as err:
            thing = Thing.PAGE if kind in (ObjectKind.PAGE, ObjectKind.NODE) else Thing.OBJECT
            reason = Text(
                zh=f"{kind.name} 对象 {wanted.hex()[:16]}… 读不了：{words_of(err).zh}",
                en=f"{kind.name} object {wanted.hex()[:16]}… cannot be read: {err}",
            )
            self.findings.add(thing, self.locate(wanted), reason, table=table, keys=keys, snapshots=[snapshot])
            return None

    def find_manifest(self, digest: Sha256) -> ObjectId | None:
        """Find a manifest by the hash of its body; as a last resort where the center's catalog says it was."""
        found = self.places.find_manifest(self.unit, self.source, digest)
        if found is None and self.catalog is not None:
            try:
                found = self.catalog.find_manifest(self.unit, self.source, digest)
            except CenterError:
                return None
        return found

    def height_of(self, top: ObjectId, snapshot: SnapshotName, table: str) -> int | None:
        """Give the height of a tree that no claim speaks of; None if its top cannot be read, which is a finding."""
        try:
            return self.objects.height_of(top)
        except (CenterError, EvidenceError) as err:
            reason = Text(
                zh=f"对象 {top.hex()[:16]}… 读不了：{words_of(err).zh}",
                en=f"object {top.hex()[:16]}… cannot be read: {err}",
            )
            self.findings.add(Thing.PAGE, self.locate(top), reason, table=table, snapshots=[snapshot])
            return None

    def locate(self, wanted: ObjectId) -> str:
        """Give the file in which an object stands, or stood; its base's file, if the damage is known to be there."""
        place = self._find_place(wanted)
        if place is None:
            return f"store/packs/{self.unit}/{self.source}"
        path = self._path(place)
        base = None if place.base is None or self.findings.has(path) else self._find_place(place.base)
        return self._path(base) if base is not None and self.findings.has(self._path(base)) else path

    def _find_place(self, wanted: ObjectId) -> ObjectPlace | None:
        for catalog in (self.places, self.catalog):
            if catalog is None:
                continue
            try:
                place = catalog.find_places(self.unit, self.source, [wanted]).get(wanted)
            except CenterError:
                continue
            if place is not None:
                return place
        return None

    def _path(self, place: ObjectPlace) -> str:
        return f"store/{PackFile(self.unit, self.source, place.pack).path}"
