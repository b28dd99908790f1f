# SPDX-License-Identifier: Apache-2.0
"""The catalog, made again from the store and the ledger, beside the old one; then put in its place in one step.

1. Every pack of the store is read; a pack that has its name gives the places of its objects.
2. Of damaged packs those objects count that can be decoded and still have their ids; the others are left out, with
   what is coded against them, so that the center asks for them again.
3. Manifests are opened, so that statements find them by hash.
4. The log is replayed: the only way by which a statement gets into a catalog.
What was computed of pages (facts) is not made again here: it is computed anew when it is needed, or by `warm`.
Nothing else may use the catalog meanwhile (`CatalogLock`). Source: promise 3; layout.md.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from center.errors import CenterError
from center.registry.catalog import Catalog
from center.registry.catalog_file import CatalogLock
from center.registry.catalog_tables import MANIFEST_SPEC, Fact
from center.registry.objects import SourceObjects
from center.registry.packs import PackFile, judge_frames, list_packs, place_of, read_pack
from center.registry.replay import EntryLog, Replay
from center.registry.units import Units
from center.store.base import Store
from evidence.digest import ObjectId, sha256
from evidence.disk import sync_folder
from evidence.errors import EvidenceError
from evidence.objects.object import ObjectKind
from terminal.errors import words_of
from terminal.language import Text
from terminal.progress import SILENT, Measure, Progress

_READING = Text(zh="读取数据包", en="reading packs")


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What the new catalog holds, and what of the store could not be taken into it."""

    packs: int
    bytes_: int
    objects: int
    statements: int
    damaged: tuple[Text, ...]


def rebuild_catalog(
    path: Path,
    store: Store,
    ledger: EntryLog,
    units: Units,
    progress: Progress = SILENT,
    warm: Callable[[Catalog], None] | None = None,
) -> RebuildReport:
    """Make the catalog at `path` anew; the old one stays until the new one is whole. `warm` may add facts to it.

    Raises: StoreError if somebody has the catalog open (the daemon); FullError; CenterError if the ledger is damaged.
    """
    new = path.with_name(path.name + ".new")
    with CatalogLock(path, exclusive=True):
        _remove(new)
        with Catalog.create(new) as catalog:
            report = fill_catalog(catalog, store, ledger, units, progress)
            if warm is not None:
                warm(catalog)
            catalog.file.settle()
        _remove(path)
        new.replace(path)
        sync_folder(path.parent)
        _remove(new)
    return report


def fill_catalog(
    catalog: Catalog, store: Store, ledger: EntryLog, units: Units, progress: Progress = SILENT
) -> RebuildReport:
    """Fill an empty catalog from `store` and `ledger`."""
    damaged: list[Text] = []
    broken: list[PackFile] = []
    packs = size = 0
    with progress.progress(_READING, measure=Measure.BYTES) as bar:
        for file in list_packs(store):
            if isinstance(file, str):
                damaged.append(Text(zh=f"{file}：这不是数据包", en=f"{file}: this is not a pack"))
                continue
            reading = read_pack(store, file)
            if reading.damage is not None:
                why = reading.damage
                damaged.append(Text(zh=f"{file.path}：{why.zh}", en=f"{file.path}: {why.en}"))
                broken.append(file)
            else:
                catalog.add_pack(file.unit, file.source, file.name, reading.places)
            packs, size = packs + 1, size + reading.size
            bar.advance(reading.size)
    objects = 0
    for unit, source in sorted({*catalog.sources(), *((file.unit, file.source) for file in broken)}):
        own = [file for file in broken if (file.unit, file.source) == (unit, source)]
        damaged += _finish_source(catalog, store, units, unit, source, own)
        objects += catalog.count_objects(unit, source)
    Replay(catalog, ledger, store, units).catch_up()
    return RebuildReport(packs, size, objects, len(catalog.statements()), tuple(damaged))


def _finish_source(
    catalog: Catalog, store: Store, units: Units, unit: str, source: str, broken: list[PackFile]
) -> list[Text]:
    """Take in what can be read of damaged packs, and learn the manifests. Gives what cannot be done, one line each."""
    try:
        key = units.secrets(unit, source).storage_key
    except CenterError as err:
        return [Text(zh=f"{unit}/{source}：{words_of(err).zh}", en=f"{unit}/{source}: {err}")]
    objects = SourceObjects(store, catalog, unit, source, key)
    for is_based in (False, True):  # what needs a base comes when all bases are known
        for file in broken:
            frames = [frame for frame in read_pack(store, file).frames if (frame.base is not None) == is_based]
            whole = [j.frame for j in judge_frames(objects, key, frames) if j.body is not None]
            places = [(frame.object_id, place_of(file.name, frame)) for frame in whole]
            catalog.add_pack(unit, source, file.name, places)
    if broken:
        _forget_baseless(catalog, unit, source)
    facts: list[tuple[ObjectId, str, Fact]] = []
    for name in catalog.objects_of_kind(unit, source, ObjectKind.MANIFEST):
        try:
            body = objects.read(name, ObjectKind.MANIFEST)
        except (CenterError, EvidenceError):
            continue  # the statement that names it will be found to lack its content
        facts.append((name, MANIFEST_SPEC, Fact(sha256(body), 0, 0, 0, len(body), b"", b"", True)))
    catalog.add_facts(unit, source, facts)
    return []


def _forget_baseless(catalog: Catalog, unit: str, source: str) -> None:
    """Leave out objects whose base is lost: they cannot be read, so they must be asked for again."""
    bases = {place.base: name for name, place in catalog.walk_places(unit, source) if place.base is not None}
    lost = set(catalog.absent(unit, source, bases))
    catalog.forget_objects(
        unit, source, [name for name, place in catalog.walk_places(unit, source) if place.base in lost]
    )


def _remove(path: Path) -> None:
    """Remove a catalog with what SQLite keeps beside it: a stale -wal would be read into the new file."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if os.path.lexists(path.parent):
        sync_folder(path.parent)
