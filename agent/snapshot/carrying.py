# SPDX-License-Identifier: Apache-2.0
"""Which tables a run need not read, because they were read not long ago and the settings say that this is enough.

A carried table stands in the manifest as it did in the newest one: claim, top, schema, times of reading, and the number of the
statement in which it was read. It is carried only if all of that is known for certain; anything else means that it is read,
which is always right. Decides; reads the kept manifest and the holdings, never the source. Source: docs/decisions/0051.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from agent.collectors.base import Table
from agent.holdings import Holdings, Reading
from agent.journal import Journal
from evidence.digest import sha256
from evidence.errors import EvidenceError
from evidence.manifest.claim import Claim
from evidence.manifest.manifest import Document, Manifest, ManifestTable, parse_manifest
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.note.signed import parse_note

PERIODS: Final = {"each run": None, "weekly": timedelta(days=7), "monthly": timedelta(days=30)}
SLACK: Final = timedelta(hours=6)
"""A nightly run may begin so much earlier than the one before without waiting another night."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How often tables are read: patterns of their names in the evidence, of which the first that fits counts.

    >>> plan = ReadPlan((("public.visit", "each run"), ("public.*", "weekly")))
    >>> plan.every("public.visit"), plan.every("public.image"), plan.every("audit.log")
    ('each run', 'weekly', 'each run')
    """

    rules: Sequence[tuple[str, str]] = ()

    def every(self, name: str) -> str:
        """Give how often table `name` is read, a key of `PERIODS`."""
        return next((every for pattern, every in self.rules if fnmatchcase(name, pattern)), "each run")


@dataclass(frozen=True, slots=True)
class Carried:
    """A table that is not read: what the manifest says of it, and the document that is its schema."""

    entry: ManifestTable
    schema: Document


class Carrying:
    """What one run of a source may carry over. `before` is the newest manifest; None: nothing is carried."""

    def __init__(self, source: str, plan: ReadPlan, holdings: Holdings, before: Manifest | None, now: datetime) -> None:
        self._source = source
        self._plan = plan
        self._holdings = holdings
        self._before = before
        self._now = now
        self._entries = {table.claim.name: table for table in before.tables} if before else {}

    def is_scheduled(self, name: str) -> bool:
        """Tell whether a table is one that later runs may carry over."""
        return PERIODS[self._plan.every(name)] is not None

    def find(self, table: Table) -> Carried | None:
        """Find what stands for a table that need not be read; None: read it."""
        name = table.schema.name
        period = PERIODS[self._plan.every(name)]
        entry = self._entries.get(name)
        if period is None or entry is None or self._before is None:
            return None
        age = self._now - entry.read_at[0]
        reading = self._holdings.find_reading(self._source, name)
        if not timedelta(0) <= age < period - SLACK or reading is None:
            return None
        if (reading.declared, reading.claim) != (table.schema.digest, sha256(entry.claim.encode())):
            return None
        since = entry.carried_from if entry.carried_from is not None else self._before.sequence
        return Carried(replace(entry, carried_from=since), self._before.schema_document(name))

    def blob_lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of `@blobs` of a table that `find` has found."""
        return self._holdings.reading_lines(self._source, name)

    def note(self, table: Table, claim: Claim, lines: Iterable[bytes]) -> None:
        """Note that a scheduled table was read: as it was declared, what it gave, the lines of `@blobs` that it put."""
        reading = Reading(table.schema.digest, sha256(claim.encode()))
        self._holdings.keep_reading(self._source, claim.name, reading, lines)


def find_carrying(
    source: str, plan: ReadPlan, journal: Journal, holdings: Holdings, manifests: Path, now: datetime
) -> Carrying:
    """Find what a run that begins `now` may carry over; `manifests` is the folder of the source's manifests."""
    before = None
    if plan.rules and holdings.is_complete(source):
        before = _read_newest(source, journal, manifests)
    return Carrying(source, plan, holdings, before, now)


def _read_newest(source: str, journal: Journal, manifests: Path) -> Manifest | None:
    """Give the manifest of the newest snapshot; None if it is not kept, or its content will not come to the center."""
    entries = [entry for entry in journal.all_of(source) if entry.kind == SnapshotStatement.kind]
    if not entries or entries[-1].is_given_up:
        return None
    try:
        statement = parse_statement(parse_note(entries[-1].note).text)
        body = (manifests / f"{entries[-1].sequence}.json").read_bytes()
        # A file of a statement that was given up may lie under a number that was used again.
        if not isinstance(statement, SnapshotStatement) or sha256(body) != statement.manifest_sha256:
            return None
        return parse_manifest(body)
    except (OSError, EvidenceError):
        return None
