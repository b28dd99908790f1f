# SPDX-License-Identifier: Apache-2.0
"""What a target of a restore promises. No target is named here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from center.restore.rows import TableRows

Advance = Callable[[int], None]
"""Called with the number of rows that were handled since the last call."""


def one_line(err: Exception) -> str:
    """Give the words of a target's error on one line."""
    return " ".join(str(err).split()) or type(err).__name__


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a table was put. `notes`: what differs from the original, one line each; they may explain another root."""

    where: str
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A place into which tables are restored. Not thread-safe; close it in any case.

    Order of calls: `find_content`, then `load` for each table, `save_document` for each document, `finish`, then
    `read_back`. Nothing that `load` did is durable before `finish`; after it everything is. Without `finish`, `close`
    leaves a database as it was.
    """

    description: str
    """How people name the place; without passwords."""

    def find_content(self) -> str | None:
        """Give a few words on what is there already; None if the target is empty."""

    def load(self, rows: TableRows, advance: Advance) -> Placement:
        """Make the table, with its key, and put all rows into it; an older table of the name is replaced.

        Raises: TargetError for what the target refuses; the table is then not there.
        """

    def save_document(self, name: str, body: bytes) -> str | None:
        """Keep a document beside the tables; give the place, or None if the target has none for documents."""

    def finish(self) -> tuple[str, ...]:
        """Make everything durable; give notes on the whole, one line each."""

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the lines of the copy of `rows`, read from the target, in any order (best: the canonical one).

        Lines are in the original's schema. Nothing is taken from the snapshot but what no copy can hold: which columns
        the source had no values for.
        """

    def close(self) -> None:
        """Let go of the target."""


@runtime_checkable
class ShapedTarget(Protocol):
    """A target that can be given the source's own shapes, if it is the same product."""

    def prepare(self, rows: TableRows, ddl: bytes, *, with_programs: bool) -> tuple[str, ...]:
        """Take the source's DDL; call it after `find_content` and before the first `load`. `rows`: any table of it.

        Tables are then made as the DDL says; `finish` makes what comes after the rows. Gives notes, one line each.
        Raises: TargetError if the source is another product.
        """
