# SPDX-License-Identifier: Apache-2.0
"""What a collector promises: one view of a source, as tables of canonical lines. No collector is named here.

A *view* is one state of the source, held open as short as can be. The recipe (`agent.snapshot.take`) asks it for its
tables, then reads them one by one; tokens large cells, sorts what is not ordered, builds the trees.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from agent.finding import Finding as Finding
from agent.finding import Severity as Severity
from evidence.manifest.statement import Consistency
from evidence.rows.line import Token
from evidence.rows.schema import Schema
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the source offers it.

    `schema.key` is the primary key's columns as declared (or []); the recipe falls back to [] if the data break it.
    `ordered`: rows arrive exactly in the canonical order of the design for `schema.key`, so no sort is needed.
    `estimated_rows` is for progress only.
    """

    schema: Schema
    ordered: bool
    estimated_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Omission:
    """A table that is not in the snapshot, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document kept beside the rows, such as `ddl.sql`."""

    name: str
    body: bytes


class BlobSink(Protocol):
    """Take the bytes of large cells and files, once each, and give the token that stands for them on the line."""

    def put(self, raw: BinaryIO) -> Token:
        """Read `raw` to its end in bounded memory; give its token. Same bytes, same token."""

    def put_again(self, token: Token) -> bool:
        """Take a content that this source has put before, without its bytes; False: it must be put with them."""


class View(Protocol):
    """One state of a source. Not thread-safe; use as a context manager.

    After all tables are read, `omitted` and `notes` are complete. Reading the same table twice gives the same rows
    (unless `consistency` is LIVE).
    """

    consistency: Consistency
    position: str
    """`<kind> <value>` such as `pg 0/3A2F118`, or `-`; one line."""

    def tables(self) -> Sequence[Table]:
        """Give the tables, in any order; their names differ."""

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:
        """Yield blocks of whole lines, each line ended by LF, up to about 4 MiB a block, none empty.

        Lines are canonical but for large cells, which stand in full (unless the collector put them into `blobs`).
        Raises: TableLostError (this table only), SourceDownError, BudgetError, SourceChangedError.
        """

    def documents(self) -> Sequence[Document]:
        """Give DDL and the like, of the same state."""

    def omitted(self) -> Sequence[Omission]:
        """Give what is left out, with reasons."""

    def notes(self) -> Sequence[str]:
        """Give what a reader of the manifest must know, one line each."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """How large a table is, by the source's own books; None: it does not say.

    `disk_bytes`: what its rows take at the source. `content_bytes`: what is read of it, where that is known beforehand.
    """

    rows: int | None = None
    disk_bytes: int | None = None
    content_bytes: int | None = None


@runtime_checkable
class Sized(Protocol):
    """A view that knows how large its tables are without reading them. For `plan` only."""

    is_copy: bool
    """Whether it is read from a standby or replica, so that the live server does not feel it."""

    def sizes(self, is_over: Callable[[], bool]) -> Mapping[str, TableSize]:
        """Give sizes by the tables' names; stops when `is_over`, and gives what is known then. Raises: SourceDownError."""


class Collector(Protocol):
    """Read one configured source. Never writes to it."""

    def open_view(self) -> AbstractContextManager[View]:
        """Open one state of the source. Raises: SourceError and its kin; LoginError for a refused account or password."""

    def check(self) -> Sequence[Finding]:
        """Examine rights, encodings, dangers; never raises for what it finds.

        Where the source cannot be opened, the finding has the error's code: refused logins are counted by it.
        """

    def grants(self) -> Text:
        """Give the SQL (or the words) that make the read-only account this source needs."""


Probe = Callable[[], None]
"""Ask the source a trifle in a session of its own. One thread at a time. Raises: SourceError and its kin."""


@runtime_checkable
class Probing(Protocol):
    """A collector that can tell how fast its source answers. Optional."""

    def open_probe(self) -> AbstractContextManager[Probe | None]:
        """Open a session beside that of any view; None if the source, as it is now, is not to be asked.

        Called twice, in the thread of the reader: before a view is opened (and closed before that), and while it is
        open. Raises: SourceError and its kin.
        """


@dataclass(frozen=True, slots=True)
class Strain:
    """What a view has asked of others, as far as it could see.

    `lock_wait_s`: the longest that it waited for a table's lock. `blocked_s`: the longest that others were seen to wait
    for its own. `gave_way`: how often it gave locks up for them. `refused_sessions`: so many of the sessions that should have read
    side by side were refused, and the others read alone.
    """

    lock_wait_s: float = 0.0
    blocked_s: float = 0.0
    gave_way: int = 0
    refused_sessions: int = 0


@runtime_checkable
class Attending(Protocol):
    """A view with limits of its own, which it looks at between blocks. Optional.

    `blocks_writers`: as long as it is open the application cannot write, so that each pause would do more harm than good.
    """

    blocks_writers: bool

    def attend(self) -> None:
        """Look at them while reading pauses; called about once a second, in the reader's thread.

        Raises: as `read` does.
        """


def go_on() -> None:
    """Wait for the source as long as it takes."""


@runtime_checkable
class Heeding(Protocol):
    """A view that may wait for its source long before a block comes, and asks meanwhile whether it still shall. Optional.

    `heed` is `go_on` until the reader sets it; called about once a second, in his thread, by `read` and `documents`. It
    raises AgentError, which ends the reading.
    """

    heed: Callable[[], None]


@runtime_checkable
class Straining(Protocol):
    """A view that knows what it has asked of others. Optional."""

    def strain(self) -> Strain:
        """Tell it, so far."""


@runtime_checkable
class Placed(Protocol):
    """A collector of a server, which can say where the server keeps its files."""

    def data_folder(self) -> Path | None:
        """Give the folder, by the server's word; None if it does not tell this account, or cannot be asked."""


@dataclass(slots=True)
class Omissions:
    """Collect omissions while tables are read."""

    items: list[Omission] = field(default_factory=list)

    def add(self, name: str, reason: str) -> None:
        """Note that `name` is left out because of `reason` (one line)."""
        self.items.append(Omission(name, " ".join(reason.split())))
