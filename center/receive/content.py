# SPDX-License-Identifier: Apache-2.0
"""The content of a statement: whether everything below it is here, and says what the statement says.

The manifest must give the statement's figures, the trees must be the ones that it claims (`closure.py`), and tables that it
carries over must be those of the snapshots that it names. A stored pack that turns out to be damaged is forgotten as far
as it is lost, so that the agent is asked for it. Logs nothing in the ledger. Source: design sections 3 and 4, promise 1.
"""

import logging

from center.errors import CenterError, LostError, StatementError
from center.receive.closure import Closure
from center.registry.carried import check_carried, manifests_of
from center.registry.catalog import Catalog
from center.registry.objects import SourceObjects
from center.registry.packs import forget_lost
from center.registry.units import Units
from center.store.base import Store
from evidence.digest import ObjectId
from evidence.errors import EvidenceError, FormatError
from evidence.manifest.claim import snapshot_root
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.statement import SnapshotStatement
from evidence.objects.object import ObjectKind
from evidence.rows.commit import row_key
from evidence.wire.secrets import SourceSecrets
from terminal.language import Text

log = logging.getLogger(__name__)


class ContentCheck:
    """Check content of all units. Threads: any."""

    def __init__(self, store: Store, catalog: Catalog, units: Units, repeated_bytes: int) -> None:
        """Look up in these; `repeated_bytes` bounds what the new blobs of a statement claim (`Closure`)."""
        self._store = store
        self._catalog = catalog
        self._units = units
        self._repeated_bytes = repeated_bytes

    def check(self, statement: SnapshotStatement) -> list[ObjectId] | None:
        """Check everything below a statement; None if all holds and is here, else what is missing.

        Raises: StatementError if what is here does not hold.
        """
        unit, source = statement.unit, statement.source
        secrets = self._units.secrets(unit, source)
        objects = SourceObjects(self._store, self._catalog, unit, source, secrets.storage_key)
        top = self._catalog.find_manifest(unit, source, statement.manifest_sha256)
        if top is None:
            return []
        try:
            manifest = parse_manifest(objects.read(top, ObjectKind.MANIFEST))
            _check_figures(statement, manifest, secrets)
            closure = Closure(self._catalog, objects, unit, source, row_key(secrets.row_secret), self._repeated_bytes)
            before = self._read_before(statement, objects)
            closure.check(manifest, before)
            find = manifests_of(self._catalog, objects, unit, source)
            # Last, when all of its own is here and holds: what is named may still be on its way as well.
            if not closure.missing and not check_carried(manifest, before, find):
                return []
        except LostError as err:
            self.doubt(unit, source, err)
            return []
        except EvidenceError as err:
            raise StatementError(
                Text(
                    zh=f"{unit} 的 {source}#{statement.sequence} 核验不通过：{err}",
                    en=f"{source}#{statement.sequence} of {unit} does not hold: {err}",
                ),
                hint=Text(
                    zh="没有记入日志；运行 `jinsuo-agent check`，重新取快照；若再出现，请打电话给档案馆",
                    en="nothing was logged; run `jinsuo-agent check`, take the snapshot anew, and call the archives if it happens again",
                ),
            ) from err
        return list(closure.missing) or None

    def doubt(self, unit: str, source: str, err: LostError) -> None:
        """Forget what is lost in the pack of `err`, so that the agent, which may have it still, is asked for it.

        Raises: `err` if there is no pack to doubt, or nothing of it is lost any more; StoreError.
        """
        key = self._units.secrets(unit, source).storage_key
        objects = SourceObjects(self._store, self._catalog, unit, source, key)
        if not err.pack or not forget_lost(self._catalog, objects, unit, source, err.pack):
            raise err
        log.error(
            "a stored pack is damaged", extra={"unit": unit, "source": source, "pack": err.pack, "reason": str(err)}
        )

    def _read_before(self, statement: SnapshotStatement, objects: SourceObjects) -> Manifest | None:
        """Give the manifest of the stored snapshot before; None where there is none, or it cannot be read any more."""
        row = self._catalog.stored_before(statement.unit, statement.source, statement.sequence)
        if row is None or row.manifest_object is None:
            return None
        try:
            return parse_manifest(objects.read(ObjectId(row.manifest_object), ObjectKind.MANIFEST))
        except (EvidenceError, CenterError):
            return None  # a help only: without it all is looked up


def _check_figures(statement: SnapshotStatement, manifest: Manifest, secrets: SourceSecrets) -> None:
    """Raises: FormatError unless the manifest says what the statement says."""
    claims = [table.claim for table in manifest.tables]
    pairs = (
        ("unit", statement.unit, manifest.unit),
        ("source", statement.source, manifest.source),
        ("sequence", statement.sequence, manifest.sequence),
        ("consistency", statement.consistency, manifest.consistency),
        ("position", statement.position, manifest.position),
        ("tables", statement.tables, len(claims)),
        ("rows", statement.rows, sum(c.rows for c in claims)),
        ("bytes", statement.bytes_, sum(c.bytes_ for c in claims)),
        ("root", statement.root.hex(), snapshot_root(claims, secrets.row_secret).hex()),
    )
    for name, stated, found in pairs:
        if stated != found:
            raise FormatError(f"the statement says {name} {stated}, its manifest gives {found}")
