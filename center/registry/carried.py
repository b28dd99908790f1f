# SPDX-License-Identifier: Apache-2.0
"""Tables that a snapshot carries over: that it says so of its class, and that the reading it names was that one.

A carried table's tree is judged like any other (`receive.closure`); that proves its rows, not when they were read. So what
the manifest says of that, `carried_from` and `read_at`, is held against the manifest of the statement that it names: there
the table must have been read, with the same claim, the same top, at the same time. What the snapshot before says too was
held against it then, so nothing is read for it. Source: docs/decisions/0051.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from center.errors import CenterError
from center.registry.catalog import Catalog
from center.registry.objects import SourceObjects
from evidence.digest import Sha256
from evidence.errors import FormatError, LimitError, MissingObjectError
from evidence.manifest.manifest import Manifest, ManifestTable, parse_manifest
from evidence.manifest.statement import Consistency, SnapshotStatement
from evidence.objects.object import ObjectKind

MAX_NAMED: Final = 64
"""So many earlier manifests, of up to 4 MiB, are read for one statement: a month of readings, and as many again."""

FindManifest = Callable[[int], Manifest | None]
"""Give the manifest of an earlier snapshot of the source by its sequence; None if it has not come yet.

Raises: FormatError if there is no such snapshot.
"""


def check_carried(manifest: Manifest, before: Manifest | None, find: FindManifest) -> bool:
    """Check all tables that are carried over; `before` is the manifest of a snapshot that was admitted earlier, if any.

    False: a manifest that is named has not come yet, as of a statement that was registered ahead of its content.
    Raises: FormatError if one does not hold; LimitError if too many earlier snapshots are named.
    """
    carried = [table for table in manifest.tables if table.carried_from is not None]
    if not carried:
        return True
    if manifest.consistency is Consistency.CONSISTENT:
        raise FormatError(
            f"table {carried[0].claim.name!r:.80} is carried over from {carried[0].carried_from}, so the snapshot is of no"
            " one instant: its consistency cannot be consistent"
        )
    known = {table.claim.name: _settled(table, before.sequence) for table in before.tables} if before else {}
    named: dict[int, dict[str, ManifestTable]] = {}
    for table in carried:
        assert table.carried_from is not None
        if known.get(table.claim.name) == table:
            continue
        if table.carried_from not in named:
            if len(named) == MAX_NAMED:
                raise LimitError(f"tables are carried over from more than {MAX_NAMED} earlier snapshots")
            earlier = find(table.carried_from)
            if earlier is None:
                return False
            named[table.carried_from] = {
                each.claim.name: _settled(each, earlier.sequence)
                for each in earlier.tables
                if each.carried_from is None
            }
        if named[table.carried_from].get(table.claim.name) != table:
            raise FormatError(
                f"table {table.claim.name!r:.80} is said to be carried over from {table.carried_from}, which did not read it"
                " so"
            )
    return True


def manifests_of(catalog: Catalog, objects: SourceObjects, unit: str, source: str) -> FindManifest:
    """Give what finds the manifests of a source's earlier snapshots."""

    def find(sequence: int) -> Manifest | None:
        try:
            row = catalog.statement(unit, source, sequence)
        except CenterError as err:
            raise FormatError(f"a table is said to be carried over from {sequence}, which is not here") from err
        if row.kind != SnapshotStatement.kind or row.manifest_sha256 is None:
            raise FormatError(f"a table is said to be carried over from {sequence}, which is no snapshot")
        try:
            top = catalog.find_manifest(unit, source, Sha256(row.manifest_sha256))
            return None if top is None else parse_manifest(objects.read(top, ObjectKind.MANIFEST))
        except (CenterError, MissingObjectError):
            return None

    return find


def _settled(table: ManifestTable, sequence: int) -> ManifestTable:
    return table if table.carried_from is not None else replace(table, carried_from=sequence)
