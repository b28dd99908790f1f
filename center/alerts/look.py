# SPDX-License-Identifier: Apache-2.0
"""Looking: from registry, catalog, ledger, signs of life and disk to a scene, and to what the log has taken since.

Reads, and changes nothing. What costs (a walk over all statements) is done again only when the log has grown, and at most
every ten minutes. Not thread-safe: one watch looks.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography import x509

from center.alerts.calendar import Calendar
from center.alerts.scene import Fresh, FreshConflict, FreshStatement, Scene, SchemaChange, SourceScene, UnitScene
from center.errors import CenterError
from center.ledger.ledger import Ledger
from center.registry.catalog import Catalog
from center.registry.catalog_tables import StatementRow
from center.registry.objects import SourceObjects
from center.registry.replay import FLAG_SCHEMA
from center.registry.signs import Signs
from center.registry.units import Units
from center.settings.alerts import AlertSettings
from center.store.base import Store
from evidence.digest import Sha256
from evidence.errors import EvidenceError
from evidence.manifest.entry import KIND_STATEMENT, KIND_STORED, Level, parse_act, parse_entry, parse_stored
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.statement import GapStatement, SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.objects.object import ObjectKind
from terminal.errors import SettingsError
from terminal.language import Text

MOST_ENTRIES: Final = 5_000
"""Of the log, in one look: what is more is looked at the next minute."""
_WALK_EVERY: Final = timedelta(minutes=10)
_KIND_CONFLICT: Final = "conflict"


@dataclass(frozen=True, slots=True)
class Center:
    """What is looked at. `measure`: free and all bytes of the disk of a folder."""

    folder: Path
    store_folder: Path
    reserve_bytes: int
    units: Units
    catalog: Catalog
    ledger: Ledger
    store: Store
    signs: Signs
    catch_up: Callable[[], None]
    measure: Callable[[Path], tuple[int, int]]


def measure_disk(folder: Path) -> tuple[int, int]:
    """Give the free and all bytes of the disk of `folder`. Raises: OSError."""
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


@dataclass
class Looker:
    """Looks at one center."""

    center: Center
    settings: AlertSettings
    _newest: dict[tuple[str, str], SourceScene] = field(default_factory=dict)
    _newest_at: int = -1
    _waiting: tuple[StatementRow, ...] = ()
    _walked: tuple[datetime, int] | None = None

    def look(self, now: datetime, failing_channels: Mapping[str, datetime]) -> Scene:
        """Give the scene of this moment. Raises: CenterError, SettingsError, OSError."""
        center = self.center
        center.catch_up()
        seen, heard = center.signs.last_seen(), center.signs.heartbeats()
        units = tuple(
            UnitScene(
                unit.unit, unit.name, unit.disabled, unit.enrolled_at, unit.sources,
                seen.get(unit.unit), heard.get(unit.unit),
            )
            for unit in center.units.list()
        )  # fmt: skip
        grown = center.ledger.size
        free, total = center.measure(center.store_folder)
        return Scene(
            now=now,
            calendar=read_calendar(self.settings, center.folder),
            units=units,
            newest=self._find_newest(units, grown),
            waiting=self._find_waiting(now, grown),
            listening=center.signs.listening(),
            free_bytes=free,
            total_bytes=total,
            reserve_bytes=center.reserve_bytes,
            certificate_ends=read_certificate_end(center.folder / "tls" / "center.crt"),
            held=center.ledger.hold_reason,
            has_hold=center.ledger.has_hold,
            failing_channels=failing_channels,
        )

    def read_fresh(self, examined: int) -> Fresh:
        """Give what the log has taken after its first `examined` entries. Raises: CenterError, EvidenceError."""
        statements: list[FreshStatement] = []
        conflicts: list[FreshConflict] = []
        stop = min(self.center.ledger.size, examined + MOST_ENTRIES)
        for raw in islice(self.center.ledger.entries(examined, stop), MOST_ENTRIES):
            entry = parse_entry(raw)
            if entry.kind in (KIND_STATEMENT, KIND_STORED):
                row = self._find_row(entry.kind, entry.note)
                if row is not None:
                    statements.append(self._compare(row, is_whole=entry.level is Level.STORED))
            elif entry.kind == _KIND_CONFLICT:
                act = parse_act(parse_note(entry.note).text)
                conflicts.append(FreshConflict(act.object, entry.received))
        return Fresh(max(stop, examined), tuple(statements), tuple(conflicts))

    def _find_row(self, kind: str, note: bytes) -> StatementRow | None:
        text = parse_note(note).text
        statement = parse_statement(text) if kind == KIND_STATEMENT else parse_stored(text)
        try:
            return self.center.catalog.statement(statement.unit, statement.source, statement.sequence)
        except CenterError:
            return None  # a second text of one sequence: the log has it, the catalog has not

    def _compare(self, row: StatementRow, is_whole: bool) -> FreshStatement:
        if row.kind != SnapshotStatement.kind or not is_whole:
            return FreshStatement(row)
        before = self.center.catalog.stored_before(row.unit, row.source, row.sequence)
        change = None
        if before is not None and FLAG_SCHEMA in row.flags:
            change = self._find_change(before, row)
        return FreshStatement(row, before, change)

    def _find_change(self, before: StatementRow, row: StatementRow) -> SchemaChange | None:
        old, new = self._read_schemas(before), self._read_schemas(row)
        if old is None or new is None:
            return None
        return SchemaChange(
            tuple(sorted(new.keys() - old.keys())),
            tuple(sorted(old.keys() - new.keys())),
            tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        )

    def _read_schemas(self, row: StatementRow) -> dict[str, Sha256] | None:
        """Give the hash of each table's schema, or None if the manifest cannot be read: the audit tells about that."""
        if row.manifest_object is None:
            return None
        center = self.center
        try:
            key = center.units.secrets(row.unit, row.source).storage_key
            objects = SourceObjects(center.store, center.catalog, row.unit, row.source, key)
            manifest: Manifest = parse_manifest(objects.read(row.manifest_object, ObjectKind.MANIFEST))
        except (EvidenceError, CenterError):
            return None
        return {table.claim.name: table.schema for table in manifest.tables}

    def _find_newest(self, units: tuple[UnitScene, ...], size: int) -> Mapping[tuple[str, str], SourceScene]:
        if size != self._newest_at:
            catalog = self.center.catalog
            self._newest = {
                (unit.unit, source): SourceScene(
                    catalog.newest_snapshot(unit.unit, source),
                    catalog.newest_snapshot(unit.unit, source, stored_only=True),
                )
                for unit in units
                for source in unit.sources
            }
            self._newest_at = size
        return self._newest

    def _find_waiting(self, now: datetime, size: int) -> tuple[StatementRow, ...]:
        known = self._walked
        if known is not None and (known[1] == size or known[0] <= now < known[0] + _WALK_EVERY):
            return self._waiting
        rows = self.center.catalog.registered()
        given_up: set[Sha256] = set()
        first: dict[tuple[str, str], int] = {}
        for row in rows:
            first.setdefault((row.unit, row.source), row.sequence)
        for (unit, source), sequence in first.items():
            for gap in self.center.catalog.gaps_after(unit, source, sequence):
                statement = parse_statement(parse_note(gap.note).text)
                if isinstance(statement, GapStatement):
                    given_up.update(statement.given_up)
        self._waiting = tuple(row for row in rows if row.digest not in given_up)
        self._walked = (now, size)
        return self._waiting


def read_calendar(settings: AlertSettings, folder: Path) -> Calendar:
    """Give the calendar of the settings and of the file that they name. Raises: SettingsError."""
    calendar = Calendar.of(settings.holidays, settings.workdays)
    if settings.calendar is None:
        return calendar
    path = folder / settings.calendar
    try:
        lines = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise SettingsError(
            Text(zh=f"读不了日历 {path}：{err}", en=f"the calendar {path} cannot be read: {err}"),
            hint=Text(zh="检查 center.yaml 中 alerts.calendar", en="check `alerts.calendar` in center.yaml"),
            path=str(path),
        ) from err
    return calendar.with_lines(lines, str(path))


def read_certificate_end(path: Path) -> datetime | None:
    """Give when the certificate in a PEM file ends; None if it cannot be read: the receiver tells about that."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
