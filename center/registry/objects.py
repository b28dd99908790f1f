# SPDX-License-Identifier: Apache-2.0
"""The objects of one source, read from packs and checked against their ids on every read.

Knows where an object stands (catalog), how it is coded (pack), and its key; nothing of what objects mean but that a
node names children, whose places are then looked up together. Not thread-safe; make one per reader. Source: design
section 4.
"""

from collections.abc import Iterable

from center.errors import LostError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import ObjectPlace
from center.store.base import Store
from evidence.digest import ObjectId
from evidence.errors import EvidenceError, FormatError, MissingObjectError
from evidence.objects.object import ObjectKind, check_object
from evidence.objects.pack import FRAME_HEAD_BYTES, decode_frame, parse_frame
from evidence.tree.nodes import parse_node
from terminal.language import Text

_MOST_PLACES = 20_000


def pack_path(unit: str, source: str, name: str) -> str:
    """Give the name in the store of a pack of a source."""
    return f"packs/{unit}/{source}/{name[:2]}/{name}.pack"


class SourceObjects:
    """Read objects of one source. Also a `TreeSource` and an `ObjectSource` of `evidence`."""

    def __init__(self, store: Store, catalog: Catalog, unit: str, source: str, storage_key: bytes) -> None:
        self._store = store
        self._catalog = catalog
        self._unit = unit
        self._source = source
        self._storage_key = storage_key
        self._places: dict[ObjectId, ObjectPlace] = {}

    def read(self, wanted: ObjectId, kind: ObjectKind) -> bytes:
        """Give the body of an object.

        Raises:
            MissingObjectError: the catalog does not know it.
            LostError: it is damaged or gone from the store, or its base is. StoreError: it cannot be read now.
        """
        place = self._place(wanted)
        try:
            if place.kind != kind:
                raise FormatError(f"object {wanted.hex()[:16]}… is of kind {place.kind}, expected {kind.name}")
            body = self._decode(wanted, place)
            check_object(self._storage_key, kind, wanted, body)
        except (EvidenceError, LostError) as err:
            if isinstance(err, LostError) and err.pack:
                raise  # its base's
            raise LostError(
                Text(
                    zh=f"{self._unit}/{self._source} 数据包 {place.pack[:16]}… 中的对象 {wanted.hex()[:16]}… 已损坏：{err}",
                    en=f"object {wanted.hex()[:16]}… in pack {place.pack[:16]}… of {self._unit}/{self._source} is damaged: {err}",
                ),
                hint=Text(
                    zh="运行 `jinsuo-center audit` 找出所有损坏；采集端被问到时会再送该对象",
                    en="run `jinsuo-center audit` to find all damage; the agent sends the object again when asked",
                ),
                pack=place.pack,
            ) from err
        return body

    def read_page(self, page: ObjectId) -> bytes:
        """Give a page's body."""
        return self.read(page, ObjectKind.PAGE)

    def read_node(self, node: ObjectId) -> bytes:
        """Give a node's body; its children's places are looked up on the way."""
        body = self.read(node, ObjectKind.NODE)
        self.look_up(entry.child for entry in parse_node(body)[1])
        return body

    def height_of(self, top: ObjectId) -> int:
        """Give the height of the tree below `top`: 0 if it is a page."""
        if self._place(top).kind == ObjectKind.PAGE:
            return 0
        return parse_node(self.read_node(top))[0] + 1

    def read_base(self, base: ObjectId, kind: ObjectKind) -> bytes:
        """Give the body of an object against which one of `kind` is coded.

        Raises: FormatError if it is of another kind or itself coded against a base; MissingObjectError, StoreError.
        """
        place = self._place(base)
        if place.base is not None or place.kind != kind:
            raise FormatError("a base must be of the same kind and have itself no base")
        return self.read(base, kind)

    def look_up(self, ids: Iterable[ObjectId]) -> None:
        """Learn the places of many objects with one question to the catalog."""
        unknown = [name for name in ids if name not in self._places]
        if len(self._places) > _MOST_PLACES:
            self._places.clear()
        self._places.update(self._catalog.find_places(self._unit, self._source, unknown))

    def _place(self, wanted: ObjectId) -> ObjectPlace:
        if wanted not in self._places:
            self.look_up([wanted])
        place = self._places.get(wanted)
        if place is None:
            raise MissingObjectError(
                f"object {wanted.hex()[:16]}… of {self._unit}/{self._source} is not at hand", object_id=wanted
            )
        return place

    def _decode(self, wanted: ObjectId, place: ObjectPlace) -> bytes:
        raw = self._store.read(
            pack_path(self._unit, self._source, place.pack), place.offset, FRAME_HEAD_BYTES + place.stored
        )
        frame = parse_frame(raw, place.offset)
        if frame.object_id != wanted:
            raise FormatError(f"another object stands at byte {place.offset}")
        return decode_frame(frame, lambda base: self.read_base(base, ObjectKind(place.kind)))
