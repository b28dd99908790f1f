# SPDX-License-Identifier: Apache-2.0
"""A view that is opened anew when its age is over the limit: the tables are split over several states of the source.

Only where the settings ask for it (`split: true`); else a limit ends the snapshot, for it is better to lose the backup than
the database. The old view is closed before the new one is opened, so the source never holds two. From then on the class
is `per-table`, and a note says from which table on which state was read. Source: design section 7, promise 5; docs/decisions/0052.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from agent.collectors.base import BlobSink, Collector, Document, Finding, Omission, Table, View
from agent.errors import TableLostError
from evidence.manifest.statement import Consistency
from terminal.language import Text

_WEAKER: Final = (Consistency.CONSISTENT, Consistency.PER_TABLE, Consistency.LIVE)


class SplitCollector:
    """Another collector, whose views can be renewed."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @contextmanager
    def open_view(self) -> Iterator["SplitView"]:
        """Open a view of the other."""
        with ExitStack() as closing:
            yield SplitView(self._collector, closing)

    def check(self) -> Sequence[Finding]:
        """Examine the other."""
        return self._collector.check()

    def grants(self) -> Text:
        """Give the other's."""
        return self._collector.grants()


class SplitView:
    """A view, and those that take its place.

    `position` is that of the first of which something was read: all that was read is of that state or a later one.
    """

    def __init__(self, collector: Collector, closing: ExitStack) -> None:
        self._collector = collector
        self._closing = closing
        view = closing.enter_context(collector.open_view())
        self._view: View | None = view
        self.position: str = view.position
        self.consistency: Consistency = view.consistency
        self._has_read = False
        self._renewals: list[str] = []
        self._omitted: dict[str, Omission] = {}
        self._notes: dict[str, None] = {}

    def tables(self) -> Sequence[Table]:
        """Give the tables as they are in the present state."""
        return self._present().tables()

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of a table of the present state."""
        view, self._has_read = self._present(), True
        return view.read(table, blobs)

    def documents(self) -> Sequence[Document]:
        """Give the documents of the present state."""
        return self._present().documents()

    def omitted(self) -> Sequence[Omission]:
        """Give what any of the views left out."""
        self._gather()
        return list(self._omitted.values())

    def notes(self) -> Sequence[str]:
        """Give the notes of all views, and where one took another's place."""
        self._gather()
        return (*self._notes, *self._renewals)

    def find(self, name: str) -> Table:
        """Give a table as it is in the present state. Raises: TableLostError if it is there no more."""
        table = next((t for t in self._present().tables() if t.schema.name == name), None)
        if table is None:
            raise TableLostError(
                Text(
                    zh=f"分几个状态读取各表期间，表 {name} 被删除、改名或锁住",
                    en=f"table {name} was dropped, renamed or locked while the tables were read in several states",
                ),
                hint=Text(
                    zh="再取一次快照；若仍然没有，看 `jinsuo-agent check`",
                    en="take the next snapshot; if it is missing again, see `jinsuo-agent check`",
                ),
                reason="it was not there any more when the source was opened anew",
            )
        return table

    def let_go(self) -> None:
        """Close the view that is over its limit, of which nothing has been read: whoever asks for tables opens another."""
        self._gather()
        self._closing.close()
        self._view = None

    @property
    def is_let_go(self) -> bool:
        """Tell whether no view is open."""
        return self._view is None

    def renew(self, name: str) -> Table:
        """Close the view, open another, and give table `name` as it is there. Raises: SourceError and its kin."""
        self.let_go()
        self._open(f"the tables from {name} on")
        return self.find(name)

    def _present(self) -> View:
        return self._view if self._view is not None else self._open("all tables")

    def _open(self, which: str) -> View:
        view = self._view = self._closing.enter_context(self._collector.open_view())
        if not self._has_read:
            self.position = view.position
        self.consistency = max(self.consistency, Consistency.PER_TABLE, view.consistency, key=_WEAKER.index)
        self._renewals.append(
            f"split: the view was over its limit, and {which} were read in a later state, position {view.position}"
        )
        return view

    def _gather(self) -> None:
        if self._view is None:
            return
        for omission in self._view.omitted():
            self._omitted.setdefault(omission.name, omission)
        self._notes |= dict.fromkeys(self._view.notes())
