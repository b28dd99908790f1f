# SPDX-License-Identifier: Apache-2.0
"""Where the objects of a snapshot go: named, left out if the center holds them, else written into packs.

Holds ids of this run in memory only through the holdings file; pages whose presence is unknown wait in a small group
while the center is asked about all of them at once. Not thread-safe. Source: design section 4.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from agent.holdings import PAGES, BaseKey, Holdings
from agent.spool import PackSpooler
from evidence.digest import ObjectId
from evidence.errors import EvidenceError, FormatError
from evidence.objects.object import ObjectKind, check_object, name_object
from evidence.objects.pack import decode_frame, parse_frame
from evidence.tree.build import CountingSink
from evidence.tree.nodes import TreeSink, first_hint

HintOf = Callable[[bytes], bytes]
"""Give what a node says of a child's first line (`KeySpec.hint_of`)."""

Ask = Callable[[Sequence[ObjectId]], set[ObjectId]]
"""Give those ids that the center does not hold."""


class TableSink(TreeSink, Protocol):
    """Take the objects of one table after another."""

    def begin_table(self, name: str, schema: bytes, hint_of: HintOf) -> None:
        """Say that pages and nodes of a table with this schema object's body follow; `hint_of` a page's first line."""

    def end_table(self) -> None:
        """Say that the table's objects are complete."""

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:
        """Take any object and give its id."""


class RootsOnly(CountingSink):
    """A sink for computing roots alone: nothing is kept, nothing sent. Ids are all zero."""

    def begin_table(self, name: str, schema: bytes, hint_of: HintOf) -> None:
        """Do nothing."""

    def end_table(self) -> None:
        """Do nothing."""

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:  # noqa: ARG002 - the protocol's names
        """Forget an object."""
        return ObjectId(bytes(32))


_GROUP_OBJECTS = 512
_GROUP_BYTES = 4 << 20


class ObjectSink:
    """Take every object of a snapshot. A `TreeSink` of `evidence` for the table that is begun."""

    def __init__(
        self, source: str, storage_key: bytes, spooler: PackSpooler, holdings: Holdings, ask: Ask | None
    ) -> None:
        """`ask` asks the center about ids; None: what the holdings do not know is taken to be absent there."""
        self._source = source
        self._storage_key = storage_key
        self._spooler = spooler
        self._holdings = holdings
        self._ask = ask
        # What this run puts is in `_written`; of a source's first run there is nothing else to look up.
        self._has_history = not holdings.is_empty(source)
        self._written: set[ObjectId] = set()
        self._waiting: dict[ObjectId, tuple[ObjectKind, bytes]] = {}
        self._waiting_bytes = 0
        self._table = ""
        self._hint_of: HintOf = lambda line: line
        self._has_pages = False

    def begin_table(self, name: str, schema: bytes, hint_of: HintOf) -> None:
        """Say that pages and nodes of a table with this schema object's body follow; `hint_of` a page's first line."""
        self._table = name
        self._hint_of = hint_of
        self._has_pages = self._holdings.has_pages(self._source, name)
        self._spooler.begin_table(self.put(ObjectKind.DOCUMENT, schema), schema)

    def end_table(self) -> None:
        """Say that the table's objects are complete."""
        self.flush()
        self._spooler.end_table()
        self._table = ""

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Take pages; each travels as a difference against the older one of the same first key, where that is kept."""
        if self._ask is not None:
            return [self.put(ObjectKind.PAGE, body) for body in bodies]
        names = [name_object(self._storage_key, ObjectKind.PAGE, body) for body in bodies]
        known = self._known(names)
        for name, body in zip(names, bodies, strict=True):
            if name not in known and name not in self._written:
                key = BaseKey(self._table, PAGES, self._hint_of(body.partition(b"\n")[0]))
                self._write(
                    ObjectKind.PAGE, name, body, self._find_base(ObjectKind.PAGE, key) if self._has_pages else None, key
                )
        return names

    def put_node(self, body: bytes) -> ObjectId:
        """Take a node; it travels as a difference against the older one of the same first key, where that is kept."""
        name = name_object(self._storage_key, ObjectKind.NODE, body)
        if self._is_new(name):
            key = BaseKey(self._table, *first_hint(body))
            self._write(ObjectKind.NODE, name, body, self._find_base(ObjectKind.NODE, key), key)
        return name

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:
        """Take any object and give its id."""
        name = name_object(self._storage_key, kind, body)
        if not self._is_new(name):
            return name
        if self._ask is None:
            self._write(kind, name, body)
        else:
            self._waiting[name] = (kind, body)
            self._waiting_bytes += len(body)
            if len(self._waiting) >= _GROUP_OBJECTS or self._waiting_bytes >= _GROUP_BYTES:
                self.flush()
        return name

    def flush(self) -> None:
        """Ask about the objects that wait, and write those that the center does not hold."""
        if not self._waiting or self._ask is None:
            return
        absent = self._ask(list(self._waiting))
        self._holdings.add(self._source, (name for name in self._waiting if name not in absent))
        for name, (kind, body) in self._waiting.items():
            if name in absent:
                self._write(kind, name, body)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _is_new(self, name: ObjectId) -> bool:
        return not (name in self._written or name in self._waiting or self._known([name]))

    def _known(self, names: Sequence[ObjectId]) -> set[ObjectId]:
        """Give those that the center holds, or will get from the spool."""
        return self._holdings.known(self._source, names) if self._has_history else set()

    def _find_base(self, kind: ObjectKind, key: BaseKey) -> tuple[ObjectId, bytes] | None:
        """Find the older object of a key, in a pack that the spool has kept: a cache, which may hold anything."""
        kept = self._holdings.find_base(self._source, key)
        if kept is None:
            return None
        raw = self._spooler.read_kept(kept.pack, kept.offset, kept.size)
        try:
            if raw is None:
                raise FormatError("its pack is gone")
            body = decode_frame(parse_frame(raw, kept.offset))
            check_object(self._storage_key, kind, kept.object_id, body)
        except EvidenceError:
            self._holdings.forget_packs(self._source, [kept.pack])
            return None
        return kept.object_id, body

    def _write(
        self,
        kind: ObjectKind,
        name: ObjectId,
        body: bytes,
        base: tuple[ObjectId, bytes] | None = None,
        key: BaseKey | None = None,
    ) -> None:
        self._spooler.add(kind, name, body, base, key)
        # Pages of one run repeat only in tables of equal pages; remembering the newest is enough and bounded.
        if len(self._written) > 100_000:
            self._written.clear()
            self._has_history = True
        self._written.add(name)
