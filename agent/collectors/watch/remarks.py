# SPDX-License-Identifier: Apache-2.0
"""A collector whose views say something more in their notes: what only the watch knows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent.collectors.base import BlobSink, Collector, Document, Finding, Omission, Table, View
from evidence.manifest.statement import Consistency


class RemarkedCollector:
    """Another collector, with remarks for the manifest, one line each."""

    def __init__(self, collector: Collector, remarks: Sequence[str]) -> None:
        self._collector = collector
        self._remarks = tuple(remarks)

    @contextmanager
    def open_view(self) -> Iterator[View]:
        """Open a view of the other."""
        with self._collector.open_view() as view:
            yield _RemarkedView(view, self._remarks)

    def check(self) -> Sequence[Finding]:
        """Examine the other."""
        return self._collector.check()

    def grants(self) -> str:
        """Give the other's."""
        return self._collector.grants()


class _RemarkedView:
    def __init__(self, view: View, remarks: tuple[str, ...]) -> None:
        self._view = view
        self._remarks = remarks
        self.consistency: Consistency = view.consistency
        self.position: str = view.position

    def tables(self) -> Sequence[Table]:
        return self._view.tables()

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        self.consistency, self.position = self._view.consistency, self._view.position
        yield from self._view.read(table, blobs)
        self.consistency, self.position = self._view.consistency, self._view.position

    def documents(self) -> Sequence[Document]:
        return self._view.documents()

    def omitted(self) -> Sequence[Omission]:
        return self._view.omitted()

    def notes(self) -> Sequence[str]:
        return (*self._view.notes(), *self._remarks)
