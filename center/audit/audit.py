# SPDX-License-Identifier: Apache-2.0
"""The audit of a center: everything that it holds is read again and held against what it has acknowledged.

1. Settings and keys.                                       4. The catalog's file, and its statements against the log.
2. Units and secrets, against the acts of the log.          5. Packs: names, objects, ids.
3. The ledger: tiles, checkpoint, ledger.sqlite; every      6. Snapshots: from rows up to the signed root; blobs.
   entry: signatures, chains; a proof for each statement.   7. The catalog's places.

Nothing is repaired and nothing stops at the first damage; what cannot be judged because something else is damaged is
said. The center may be running. Reading a share (`percent`) still reads the whole log, all nodes of all trees and the
size of every pack; the report says how much was read. Source: promise 3; lesson 1: a chain audit is not a data audit.
"""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from center.audit.catalog import CATALOG, compare_places, compare_statements, open_catalog
from center.audit.checkpoints import Signers
from center.audit.entries import LogContent, LoggedStatement, audit_entries
from center.audit.findings import AuditReport, Findings, Reading, Thing
from center.audit.log import LogAudit, audit_log
from center.audit.packs import PackAudit, find_missing
from center.audit.reader import Reader
from center.audit.registry import MASTER_KEY, SEALING_KEY, compare_registry, read_secrets, read_units
from center.audit.trees import TreeAudit
from center.errors import CenterError
from center.registry.catalog import Catalog
from center.registry.objects import SourceObjects
from center.registry.units import Unit, Units
from center.store.base import Store
from evidence.digest import leaf_hash, root_from_path
from evidence.errors import EvidenceError
from evidence.keys.key import VerificationKey
from evidence.log.merkle import TileTree
from evidence.wire.secrets import SourceSecrets
from terminal.errors import words_of
from terminal.language import Text
from terminal.progress import SILENT, Progress

_RANDOM = random.SystemRandom()
"""Nobody can know before which packs a partial audit will read."""
_SNAPSHOTS = Text(zh="核对快照", en="re-computing snapshots")


@dataclass(frozen=True, slots=True)
class AuditedCenter:
    """What is audited: the center's folder and what could be opened of it.

    None stands for what is damaged; `troubles` (thing, file, reason) says why, and goes into the report.
    """

    folder: Path
    store: Store
    log_key: VerificationKey | None
    operator_key: VerificationKey | None
    units: Units | None
    troubles: tuple[tuple[Thing, str, Text], ...] = ()


def audit(
    center: AuditedCenter,
    percent: float = 100,
    progress: Progress = SILENT,
    chance: Callable[[], float] = _RANDOM.random,
) -> AuditReport:
    """Audit `center`, reading `percent` of packs and pages; `chance` gives numbers from 0 to 1 that choose them.

    Raises: FullError if there is no room for the audit's own notes; damage is never raised.
    """
    findings, reading = Findings(), Reading()
    units: dict[str, Unit] = {}
    secrets: dict[tuple[str, str], SourceSecrets] = {}
    if center.units is not None:
        units = read_units(center.folder / "units", center.units, findings)
        sealing_opens = all(where != SEALING_KEY for _, where, _ in center.troubles)
        secrets = read_secrets(center.units, units, findings, sealing_opens)
    for thing, where, reason in center.troubles:
        if where != SEALING_KEY or not findings.has(MASTER_KEY):
            findings.add(thing, where, reason)
    log, content = _audit_ledger(center, units, findings, reading)
    _audit_receipts(log, content, findings, reading)
    catalog = open_catalog(center.folder / CATALOG, findings)
    try:
        if catalog is not None:
            compare_statements(catalog, content, findings)
        if catalog is None or percent >= 100:
            # A damaged catalog cannot say where things are, so all packs are read.
            percent = 100
            with (
                tempfile.TemporaryDirectory(prefix=".audit-", dir=center.folder) as folder,
                Catalog.create(Path(folder) / CATALOG) as scratch,
            ):
                _audit_content(center, catalog, scratch, content, secrets, findings, reading, progress, lambda: True)
        else:
            _audit_content(
                center, catalog, None, content, secrets, findings, reading, progress, lambda: chance() * 100 < percent
            )
    finally:
        if catalog is not None:
            catalog.close()
    return AuditReport(percent, reading, findings.all())


def _audit_ledger(
    center: AuditedCenter, units: Mapping[str, Unit], findings: Findings, reading: Reading
) -> tuple[LogAudit, LogContent]:
    def is_lost(unit: str) -> bool:
        return center.units is None or findings.has(f"units/{unit}/unit.json")

    lost = center.units is None or any(is_lost(path.name) for path in (center.folder / "units").iterdir())
    cosigners = None if lost else [pair.cosigner for unit in units.values() for pair in unit.keys]
    log = audit_log(center.folder / "ledger", Signers(center.log_key, cosigners), findings, reading)
    content = audit_entries(log, units, is_lost, center.operator_key, findings)
    reading.statements = len(content.statements)
    if center.units is not None:
        compare_registry(content, units, findings)
    return log, content


def _audit_receipts(log: LogAudit, content: LogContent, findings: Findings, reading: Reading) -> None:
    """Prove each statement under the checkpoint from the files alone, as a receipt would."""
    tree = TileTree(log.files.read_tile, log.size)
    wanted = {i for logged in content.statements.values() for i in (logged.index, logged.stored_index)}
    hashes = {index: leaf_hash(data) for index, data in log.entries() if data is not None and index in wanted}
    for name, logged in content.statements.items():
        for index in {logged.index, logged.index if logged.stored_index is None else logged.stored_index}:
            try:
                root = root_from_path(hashes[index], index, log.size, tree.inclusion(index, log.size))
                reason = None
                if root != log.root:
                    reason = Text(zh="瓦片不能由它推到检查点", en="the tiles do not lead from it to the checkpoint")
            except (CenterError, EvidenceError) as err:
                reason = words_of(err)
            if reason is not None:
                why = Text(zh=f"给不出它的回执：{reason.zh}", en=f"no receipt of it can be given: {reason.en}")
                findings.add(Thing.RECEIPT, f"log@{index}", why, snapshots=[name])
            else:
                reading.receipts += 1


def _audit_content(
    center: AuditedCenter,
    catalog: Catalog | None,
    scratch: Catalog | None,
    content: LogContent,
    secrets: Mapping[tuple[str, str], SourceSecrets],
    findings: Findings,
    reading: Reading,
    progress: Progress,
    is_chosen: Callable[[], bool],
) -> None:
    places = scratch or catalog
    assert places is not None
    present = PackAudit(center.store, secrets, places, scratch, findings, reading).run(is_chosen, progress)
    if catalog is not None:
        find_missing(catalog, present, center.store, findings)
    by_source: dict[tuple[str, str], list[LoggedStatement]] = {}
    for name, logged in sorted(content.statements.items()):
        if logged.is_stored_snapshot:
            by_source.setdefault((name.unit, name.source), []).append(logged)
    with progress.progress(_SNAPSHOTS, total=sum(map(len, by_source.values()))) as bar:
        for (unit, source), statements in by_source.items():
            own = secrets.get((unit, source))
            if own is None:
                _name_lost(center, unit, source, statements, findings)
                continue
            objects = SourceObjects(center.store, places, unit, source, own.storage_key)
            reader = Reader(unit, source, objects, places, catalog, findings)
            trees = TreeAudit(reader, own, catalog, scratch, is_chosen, findings, reading)
            for logged in statements:
                trees.judge(logged)
                bar.advance()
    if catalog is not None and scratch is not None:
        compare_places(catalog, scratch, center.store, present, findings)


def _name_lost(
    center: AuditedCenter, unit: str, source: str, statements: Sequence[LoggedStatement], findings: Findings
) -> None:
    """Name the file without which the snapshots of a source cannot be judged."""
    thing, where = Thing.SOURCE, f"units/{unit}/sources/{source}.json"
    if center.units is None or findings.has(MASTER_KEY):
        thing, where = Thing.KEY, MASTER_KEY
    elif findings.has(f"units/{unit}/unit.json"):
        thing, where = Thing.UNIT, f"units/{unit}/unit.json"
    reason = Text(
        zh=f"缺了它，无法核查 {unit}/{source} 的快照",
        en=f"without it the snapshots of {unit}/{source} cannot be judged",
    )
    findings.add(thing, where, reason, snapshots=[logged.name for logged in statements])
