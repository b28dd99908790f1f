# SPDX-License-Identifier: Apache-2.0
"""The audit of the catalog: its file, its statements against the log's, its places against the packs.

The catalog is an index, so its damage loses nothing; but a false index hides what is there, or asks agents again.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from center.audit.entries import LogContent, compare_rows
from center.audit.findings import Findings, SnapshotName, Thing
from center.errors import CenterError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import ObjectPlace
from center.registry.packs import PackFile, place_of
from center.store.base import Store
from evidence.digest import ObjectId
from evidence.errors import EvidenceError
from evidence.objects.pack import FRAME_HEAD_BYTES, parse_frame
from terminal.language import Text

CATALOG: Final = "catalog.sqlite"
_MOST_SHOWN: Final = 5


def open_catalog(path: Path, findings: Findings) -> Catalog | None:
    """Open the center's catalog; None if it is damaged, which is a finding then."""
    try:
        catalog = Catalog(path)
    except CenterError as err:
        findings.add(Thing.CATALOG, CATALOG, err)
        return None
    troubles = catalog.file.check() or _check_rows(catalog)
    for trouble in troubles[:_MOST_SHOWN]:
        findings.add(Thing.CATALOG, CATALOG, trouble)
    if troubles:
        catalog.close()
        return None
    return catalog


def _check_rows(catalog: Catalog) -> list[str]:
    """Say what cannot be true of the rows of a file that is whole for SQLite."""
    try:
        catalog.statements()
        lost = catalog.count_lost_packs()
    except (CenterError, EvidenceError, ValueError, TypeError, AttributeError) as err:
        return [f"it has a row that cannot be read: {err}"]
    return [f"it has objects in {lost} packs that it does not name"] if lost else []


def compare_statements(catalog: Catalog, content: LogContent, findings: Findings) -> None:
    """Hold the catalog's statements against the log's."""
    try:
        rows = {SnapshotName(r.unit, r.source, r.sequence): r for r in catalog.statements()}
        newest = catalog.newest_index()
    except (CenterError, EvidenceError) as err:
        findings.add(Thing.CATALOG, CATALOG, err)
        return
    for trouble in islice(compare_rows(content, rows, newest), _MOST_SHOWN):
        findings.add(Thing.CATALOG, CATALOG, trouble)
    behind = [logged for name, logged in content.statements.items() if name not in rows and logged.index > newest]
    if behind:
        reason = Text(
            zh=f"还有日志的 {len(behind)} 条声明没有收入；下次启动会收入",
            en=f"it has not yet taken in {len(behind)} statements of the log; the next start does that",
        )
        findings.add(Thing.CATALOG, CATALOG, reason, is_note=True)


def compare_places(
    catalog: Catalog, scratch: Catalog, store: Store, present: Collection[PackFile], findings: Findings
) -> None:
    """Hold the catalog's places against those that were learned from the packs themselves."""
    by_source: dict[tuple[str, str], set[str]] = {}
    for file in present:
        by_source.setdefault((file.unit, file.source), set()).add(file.name)
    for unit, source in sorted(by_source.keys() | set(catalog.sources())):
        try:
            admitted = set(catalog.packs(unit, source))
            for name in sorted(by_source.get((unit, source), set()) - admitted):
                reason = Text(
                    zh="已经送到，但不在目录库中；若还在接收，则一切正常",
                    en="it was sent, but is not in the catalog; if it is still on its way in, all is well",
                )
                findings.add(Thing.PACK, f"store/{PackFile(unit, source, name).path}", reason, is_note=True)
            damaged = {n for n in admitted if findings.has(f"store/{PackFile(unit, source, n).path}")}
            troubles = _compare_source(catalog, scratch, store, (unit, source), admitted, damaged)
            for trouble in islice(troubles, _MOST_SHOWN):
                findings.add(Thing.CATALOG, CATALOG, trouble)
        except CenterError as err:
            findings.add(Thing.CATALOG, CATALOG, err)


def _compare_source(
    catalog: Catalog,
    scratch: Catalog,
    store: Store,
    source: tuple[str, str],
    admitted: Collection[str],
    damaged: Collection[str],
) -> Iterator[Text]:
    """Yield how the places of one source differ; both catalogs give them ascending by id."""
    where = "/".join(source)
    for name, theirs, ours in _merge(catalog.walk_places(*source), scratch.walk_places(*source)):
        shown = Text(zh=f"{where} 的对象 {name.hex()[:16]}…", en=f"object {name.hex()[:16]}… of {where}")
        if theirs is None:
            if ours is not None and ours.pack in admitted:
                yield Text(
                    zh=f"缺少 {shown.zh}，它在数据包 {ours.pack[:16]}… 中",
                    en=f"it lacks {shown.en}, which stands in pack {ours.pack[:16]}…",
                )
        elif theirs != ours and theirs.pack not in damaged and not _stands(store, source, name, theirs):
            yield Text(
                zh=f"它说 {shown.zh} 在数据包 {theirs.pack[:16]}… 的第 {theirs.offset} 字节处，其实不在",
                en=f"it says that {shown.en} stands at byte {theirs.offset} of pack {theirs.pack[:16]}…, where it does not",
            )


def _merge(
    left: Iterator[tuple[ObjectId, ObjectPlace]], right: Iterator[tuple[ObjectId, ObjectPlace]]
) -> Iterator[tuple[ObjectId, ObjectPlace | None, ObjectPlace | None]]:
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield a[0], a[1], None
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = next(right, None)
        else:
            yield a[0], a[1], b[1]
            a, b = next(left, None), next(right, None)


def _stands(store: Store, source: tuple[str, str], name: ObjectId, place: ObjectPlace) -> bool:
    """Tell whether an object stands where a catalog says, though it stands elsewhere too."""
    try:
        raw = store.read(PackFile(*source, place.pack).path, place.offset, FRAME_HEAD_BYTES + place.stored)
        frame = parse_frame(raw, place.offset)
    except (CenterError, EvidenceError):
        return False
    return frame.object_id == name and place_of(place.pack, frame) == place
