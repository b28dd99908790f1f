# SPDX-License-Identifier: Apache-2.0
"""From the log's entries to the catalog's statements: the only way by which a statement gets into the catalog.

Admission appends to the ledger and then lets this catch up; a start after a crash and `rebuild` do the same from where
the catalog ends. So the catalog never knows a statement that the log does not have, and lacks none for long.
Thread-safe. Flags are what a reviewer should look at; they hold nothing up (exceptions lock anyway, with a flag).
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from center.errors import ConflictError, StoreError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import StatementRow
from center.registry.objects import SourceObjects
from center.registry.units import Units
from center.store.base import Store
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.manifest.entry import Entry, Level, parse_entry, parse_stored
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.statement import GapStatement, SnapshotStatement, parse_statement, statement_digest
from evidence.note.signed import parse_note
from evidence.objects.object import ObjectKind

FLAG_CLOCK = "clock"
"""The unit's clock is more than a day from the center's."""
FLAG_FEWER_ROWS = "fewer-rows"
"""More than a tenth of the rows of the snapshot before are gone."""
FLAG_SCHEMA = "schema-changed"
"""A table came, went, or has another schema than in the snapshot before."""
FLAG_OMITTED = "omitted"
"""The manifest says that something was left out."""
FLAG_CARRIED = "carried"
"""Tables were not read but carried over from an earlier snapshot."""
FLAG_GAP = "gap"
"""The unit states that something is not covered."""
FLAG_GIVEN_UP = "given-up"
"""A `gap` of its source says that the content of a registered snapshot will not come."""

_MOST_CLOCK_ERROR = timedelta(days=1)
log = logging.getLogger(__name__)


class EntryLog(Protocol):
    """What is asked of the ledger."""

    @property
    def size(self) -> int:
        """Give the number of published entries."""

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield published entries."""


class Replay:
    """Keep a catalog level with a ledger."""

    def __init__(self, catalog: Catalog, ledger: EntryLog, store: Store, units: Units) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._store = store
        self._units = units
        self._lock = threading.Lock()
        self._next = catalog.newest_index() + 1

    def catch_up(self) -> None:
        """Take into the catalog what the ledger has and it has not."""
        with self._lock:
            size = self._ledger.size
            if self._next >= size:
                return
            for index, data in enumerate(self._ledger.entries(self._next, size), start=self._next):
                self._take(index, parse_entry(data))
                self._next = index + 1

    def _take(self, index: int, entry: Entry) -> None:
        if entry.kind == "statement":
            row = self._read_statement(index, entry)
            gap = parse_statement(parse_note(entry.note).text) if row.kind == GapStatement.kind else None
            given_up = gap.given_up if isinstance(gap, GapStatement) else ()
            try:
                # In one step: where the catalog ends tells that all before is in it.
                self._catalog.add_statement(row, given_up, FLAG_GIVEN_UP)
            except ConflictError:
                # The first one wins, here as at admission: one source's second text must not stop the others.
                log.exception("the log has a second statement of one sequence", extra={"index": index})
        elif entry.kind == "stored":
            act = parse_stored(parse_note(entry.note).text)
            row = self._catalog.statement(act.unit, act.source, act.sequence)
            manifest_object = self._find_manifest(row)
            # It has come after all.
            flags = [flag for flag in self._find_flags(row, manifest_object) if flag != FLAG_GIVEN_UP]
            self._catalog.set_stored(act.unit, act.source, act.sequence, index, manifest_object, flags)

    def _read_statement(self, index: int, entry: Entry) -> StatementRow:
        text = parse_note(entry.note).text
        statement = parse_statement(text)
        is_stored = entry.level is Level.STORED
        snapshot = statement if isinstance(statement, SnapshotStatement) else None
        if snapshot is not None:
            began, ended = snapshot.began, snapshot.ended
        elif isinstance(statement, GapStatement):
            began, ended = statement.from_, statement.to
        else:
            assert not isinstance(statement, SnapshotStatement | GapStatement)
            began = ended = statement.stated
        row = StatementRow(
            unit=statement.unit,
            source=statement.source,
            sequence=statement.sequence,
            kind=statement.kind,
            digest=statement_digest(text),
            previous=statement.previous,
            level=entry.level,
            index=index,
            stored_index=index if is_stored else None,
            received=entry.received,
            began=began,
            ended=ended,
            tables=snapshot.tables if snapshot else 0,
            rows=snapshot.rows if snapshot else 0,
            bytes_=snapshot.bytes_ if snapshot else 0,
            root=snapshot.root if snapshot else None,
            manifest_sha256=snapshot.manifest_sha256 if snapshot else None,
            manifest_object=None,
            consistency=snapshot.consistency.value if snapshot else None,
            flags=(FLAG_GAP,) if statement.kind == GapStatement.kind else (),
            note=entry.note,
        )
        if not is_stored:
            return row
        manifest_object = self._find_manifest(row)
        return _with(row, manifest_object, self._find_flags(row, manifest_object))

    def _find_manifest(self, row: StatementRow) -> ObjectId | None:
        if row.manifest_sha256 is None:
            return None
        return self._catalog.find_manifest(row.unit, row.source, Sha256(row.manifest_sha256))

    def _find_flags(self, row: StatementRow, manifest_object: ObjectId | None) -> tuple[str, ...]:
        flags = list(row.flags)
        if abs(row.received - row.ended) > _MOST_CLOCK_ERROR:
            flags.append(FLAG_CLOCK)
        before = self._catalog.stored_before(row.unit, row.source, row.sequence)
        if before is not None and row.rows * 10 < before.rows * 9:
            flags.append(FLAG_FEWER_ROWS)
        manifest = self._read_manifest(row, manifest_object)
        if manifest is not None:
            earlier = self._read_manifest(before, before.manifest_object) if before is not None else None
            if earlier is not None and _schemas(earlier) != _schemas(manifest):
                flags.append(FLAG_SCHEMA)
            if manifest.omitted:
                flags.append(FLAG_OMITTED)
            if any(table.carried_from is not None for table in manifest.tables):
                flags.append(FLAG_CARRIED)
        return tuple(flags)

    def _read_manifest(self, row: StatementRow, manifest_object: ObjectId | None) -> Manifest | None:
        if manifest_object is None:
            return None
        secrets = self._units.secrets(row.unit, row.source)
        objects = SourceObjects(self._store, self._catalog, row.unit, row.source, secrets.storage_key)
        try:
            return parse_manifest(objects.read(manifest_object, ObjectKind.MANIFEST))
        except (EvidenceError, StoreError):
            # Damage is found, and told, by the audit. Flags are hints: for want of one no statement may stay out.
            return None


def _schemas(manifest: Manifest) -> dict[str, Sha256]:
    return {table.claim.name: table.schema for table in manifest.tables}


def _with(row: StatementRow, manifest_object: ObjectId | None, flags: tuple[str, ...]) -> StatementRow:
    return replace(row, manifest_object=manifest_object, flags=flags)
