# SPDX-License-Identifier: Apache-2.0
"""Where the objects of a snapshot go: named, left out if the center holds them, else written into packs.

Holds ids of this run in memory only through the holdings file; pages whose presence is unknown wait in a small group
while the center is asked about all of them at once. Not thread-safe. Source: design section 4.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.holdings import PAGES, Holdings, KeptBody
from agent.spool import PackSpooler
from evidence.digest import ObjectId
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import CODEC_BASE
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


MOST_TAIL_BYTES = 24 << 20
"""So much of a table's newest pages is kept as bases for tomorrow's."""
_MOST_PLAIN = 64
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
        self._plain: list[KeptBody] = []
        self._tail: deque[KeptBody] = deque()
        self._tail_bytes = 0

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
        self._holdings.keep_nodes(self._source, self._plain)
        self._holdings.keep_pages(self._source, self._table, self._tail, MOST_TAIL_BYTES)
        self._plain.clear()
        self._tail.clear()
        self._tail_bytes = 0
        self._table = ""

    def put_page(self, body: bytes) -> ObjectId:
        """Take a page; a changed one of the table's newest travels as a difference against the old one, if kept."""
        if self._ask is not None:
            return self.put(ObjectKind.PAGE, body)
        name = name_object(self._storage_key, ObjectKind.PAGE, body)
        if self._is_new(name):
            hint = self._hint_of(body.partition(b"\n")[0])
            base = self._holdings.find_base(self._source, self._table, PAGES, hint) if self._has_pages else None
            if self._write(ObjectKind.PAGE, name, body, base) != CODEC_BASE:
                self._keep_in_tail((self._table, PAGES, hint, name, body))
        return name

    def put_node(self, body: bytes) -> ObjectId:
        """Take a node; it travels as a difference against yesterday's where that is kept."""
        name = name_object(self._storage_key, ObjectKind.NODE, body)
        if self._is_new(name):
            level, hint = first_hint(body)
            base = self._holdings.find_base(self._source, self._table, level, hint)
            if self._write(ObjectKind.NODE, name, body, base) != CODEC_BASE:
                self._plain.append((self._table, level, hint, name, body))
                if len(self._plain) == _MOST_PLAIN:
                    self._holdings.keep_nodes(self._source, self._plain)
                    self._plain.clear()
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
        if name in self._written or name in self._waiting:
            return False
        return not (self._has_history and self._holdings.has(self._source, name))

    def _keep_in_tail(self, page: KeptBody) -> None:
        """Remember the newest pages of the table: rows are mostly added and changed at the end."""
        self._tail.append(page)
        self._tail_bytes += len(page[4])
        while self._tail_bytes > MOST_TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft()[4])

    def _write(self, kind: ObjectKind, name: ObjectId, body: bytes, base: tuple[ObjectId, bytes] | None = None) -> int:
        codec = self._spooler.add(kind, name, body, base)
        # Pages of one run repeat only in tables of equal pages; remembering the newest is enough and bounded.
        if len(self._written) > 100_000:
            self._written.clear()
            self._has_history = True
        self._written.add(name)
        return codec
