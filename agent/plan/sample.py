# SPDX-License-Identifier: Apache-2.0
"""A bounded sample of a snapshot: the recipe's own reading, sorting, hashing and compressing, into a sink that counts.

The largest tables are read from their beginning, each until its share of the time is over or it has given enough bytes.
Nothing is kept, nothing sent; row secrets and object names are of a random key. The clock (monotonic, seconds) comes in
and is looked at between blocks and chunks; what bounds a source that gives no block is the collector's own limits.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from agent.collectors.base import BlobSink, Table, View
from agent.errors import BudgetError, TableLostError
from agent.plan.figures import Sample
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.objects import HintOf
from agent.snapshot.progress import Progress
from agent.snapshot.tables import build_table
from agent.spool import TARGET_BYTES
from evidence.digest import ObjectId
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import PackWriter
from evidence.rows.line import Token

_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read: `total_s` in all, of each table `table_s` and about `table_bytes`."""

    total_s: float = 20.0
    table_s: float = 5.0
    table_bytes: int = 64 << 20


def take_samples(
    view: View, tables: Sequence[Table], bounds: Bounds, folder: Path, level: int, clock: Callable[[], float],
    progress: Progress,
) -> list[Sample]:  # fmt: skip
    """Read `tables` in their order while there is time; `folder` is a place to sort, `level` zstd's.

    Raises: SourceDownError, SourceChangedError, SpoolError. A table that is lost, or a snapshot over its age, is told
    in the sample's `trouble`.
    """
    end = clock() + bounds.total_s
    samples: list[Sample] = []
    try:
        for table in tables:
            began = clock()
            if began >= end:
                break
            progress.begin(table.schema.name, table.estimated_rows)
            limit = Limit(clock, min(end, began + bounds.table_s), bounds.table_bytes)
            samples.append(_sample(view, table, limit, folder, level, progress))
    except BudgetError:
        pass  # the view is over; what was measured before stands
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return samples


@dataclass(slots=True)
class Limit:
    """When a table has given enough. `content_bytes` and `rows` count what passed; `is_cut`: there is more; `trouble`: why."""

    clock: Callable[[], float]
    end: float
    most_bytes: int
    content_bytes: int = 0
    rows: int = 0
    is_cut: bool = False
    trouble: str = ""

    def is_over(self) -> bool:
        """Tell whether it is enough."""
        return self.content_bytes >= self.most_bytes or self.clock() >= self.end


class _EnoughError(Exception):
    """The time is over within a large cell or a file."""


def _sample(view: View, table: Table, limit: Limit, folder: Path, level: int, progress: Progress) -> Sample:
    sink, began = _PackedSink(level), limit.clock()
    blobs = _CutBlobs(sink, folder, limit)
    try:
        build_table(_CutView(view, limit), table, os.urandom(32), sink, blobs, folder, progress.advance)
    except TableLostError as err:
        limit.is_cut, limit.trouble = True, " ".join(err.reason.split())
    finally:
        blobs.close()
    return Sample(
        table.schema.name,
        limit.rows,
        limit.content_bytes,
        sink.packed_bytes,
        limit.clock() - began,
        not limit.is_cut,
        limit.trouble,
    )


class _CutView:
    """A view whose tables end when it is enough."""

    def __init__(self, view: View, limit: Limit) -> None:
        self._view = view
        self._limit = limit
        self.consistency = view.consistency
        self.position = view.position
        self.documents, self.omitted, self.notes = view.documents, view.omitted, view.notes
        self.tables = view.tables

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        limit = self._limit
        # A table whose key the data break is read again: the second reading counts.
        limit.rows = limit.content_bytes = 0
        blocks = iter(self._view.read(table, blobs))
        try:
            while (block := self._next(blocks)) is not None:
                if limit.is_over() and limit.content_bytes:
                    limit.is_cut = True
                    return
                limit.rows += block.count(b"\n")
                limit.content_bytes += len(block)
                yield block
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _next(self, blocks: Iterator[bytes]) -> bytes | None:
        """Give the next block; None at the end, or where it breaks off after something was read: that counts."""
        limit = self._limit
        try:
            return next(blocks, None)
        except _EnoughError:
            limit.is_cut = True
        except (TableLostError, BudgetError) as err:
            if not limit.content_bytes:
                raise
            limit.is_cut, limit.trouble = True, " ".join(str(err).split())
        return None


class _CutBlobs(BlobWriter):
    """A blob writer that counts, and breaks off when it is enough."""

    def __init__(self, sink: "_PackedSink", folder: Path, limit: Limit) -> None:
        super().__init__(sink, folder)
        self._limit = limit

    def put(self, raw: BinaryIO) -> Token:
        return super().put(cast(BinaryIO, io.BufferedReader(_CutStream(raw, self._limit), _READ_BYTES)))

    def put_bytes(self, raw: bytes) -> Token:
        # It stood on the line, and was counted there.
        return super().put(io.BytesIO(raw))


class _CutStream(io.RawIOBase):
    def __init__(self, raw: BinaryIO, limit: Limit) -> None:
        super().__init__()
        self._raw = raw
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # narrower than Buffer
        if self._limit.is_over():
            raise _EnoughError
        part = self._raw.read(len(buffer))
        buffer[: len(part)] = part
        self._limit.content_bytes += len(part)
        return len(part)


class _PackedSink:
    """Name, compress and count objects as the spool would write them; keep none. A `TableSink`."""

    def __init__(self, level: int) -> None:
        self.packed_bytes = 0
        self._level = level
        self._key = os.urandom(32)
        self._seen: set[ObjectId] = set()
        self._pack = self._begin()

    def begin_table(self, name: str, schema: bytes, hint_of: HintOf) -> None:  # noqa: ARG002 - the protocol's names
        """Take the schema."""
        self.put(ObjectKind.DOCUMENT, schema)

    def end_table(self) -> None:
        """Do nothing."""

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        """Count pages."""
        return [self.put(ObjectKind.PAGE, body) for body in bodies]

    def put_node(self, body: bytes) -> ObjectId:
        """Count a node."""
        return self.put(ObjectKind.NODE, body)

    def put(self, kind: ObjectKind, body: bytes) -> ObjectId:
        """Count an object, once."""
        name = name_object(self._key, kind, body)
        if name not in self._seen:
            self._seen.add(name)
            if self._pack.size >= TARGET_BYTES or not self._pack.has_room(len(body)):
                self._pack = self._begin()
            self._pack.add(kind, name, body)
        return name

    def _begin(self) -> PackWriter:
        return PackWriter(self._count, level=self._level)

    def _count(self, data: bytes) -> None:
        self.packed_bytes += len(data)
