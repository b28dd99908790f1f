# SPDX-License-Identifier: Apache-2.0
"""Give an agency its data back, and prove that the copy is what was snapshotted.

1. The target is empty, unless the caller said that it may be written over. If it shall have the source's own DDL, the
   tables are made by that; the rest of it (constraints, indexes, views) is run when the rows are there.
2. Every table is loaded, whatever its source was, in the nearest exact form that the target has.
3. Documents (DDL) are kept beside; everything is made durable.
4. Each copy is read back from the target and hashed again under the original's names, schema and secret: its root,
   rows and bytes equal the claim's, or the report says so and shows the first rows that differ.
5. The report says what is outside the roots, so that nobody takes equal roots for more than they say.

Source: design, promise 4. The read-back knows nothing of what was loaded.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from center.errors import NotFoundError, StoreError, TargetError
from center.restore.readback import Differences, canonical_order, compute_tree, find_differences
from center.restore.rows import TableRows
from center.restore.target import Placement, ShapedTarget, Target
from evidence.digest import Sha256
from evidence.errors import EvidenceError
from evidence.manifest.manifest import SCHEMA_PREFIX
from terminal.errors import words_of
from terminal.language import NOTHING, Text

if TYPE_CHECKING:
    from center.registry.snapshots import Snapshot

DDL_DOCUMENT: Final = "ddl.sql"


class Ddl(Enum):
    """How much of the source's own DDL is run."""

    NONE = auto()
    SHAPES = auto()
    PROGRAMS = auto()


OUTSIDE_ROOTS = (
    Text(
        zh="索引、主键和 NOT NULL 以外的约束、默认值、视图、函数、触发器：见 DDL 文档",
        en="indexes, constraints other than key and NOT NULL, defaults, views, functions, triggers: see the DDL document",
    ),
    Text(zh="数据库的属主、权限、账户和设置", en="owners, rights, accounts and settings of the database"),
    Text(
        zh="生成列和自增列：恢复的是值，不是产生它的规则",
        en="generated and identity columns: their values are restored, not the rule that makes them",
    ),
)
OUTSIDE_ROOTS_OF_FILES = (
    Text(
        zh="属主、访问控制列表、扩展属性、创建和访问时间、硬链接",
        en="owners, access control lists, extended attributes, creation and access times, hard links",
    ),
    Text(zh="套接字、设备和其他特殊文件", en="sockets, devices and other special files"),
)

Progress = Callable[[str, str, int, int], None]
"""`progress(phase, table, rows done, rows of the table)`; phase is `load` or `verify`."""


@dataclass(frozen=True, slots=True)
class TableReport:
    """How one table came through. `found_root` None: it could not be loaded or read back, `error` says why."""

    name: str
    where: Text
    rows: int
    root: Sha256
    found_root: Sha256 | None
    found_rows: int
    notes: tuple[Text, ...] = ()
    differences: Differences | None = None
    error: Text | None = None

    @property
    def is_equal(self) -> bool:
        """Tell whether the copy has the original's root."""
        return self.found_root == self.root and self.error is None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored, how it compares, and what the comparison does not cover."""

    unit: str
    source: str
    sequence: int
    target: str
    tables: tuple[TableReport, ...]
    documents: tuple[str, ...]
    notes: tuple[Text, ...]
    outside_roots: tuple[Text, ...]
    omitted: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...] = ()
    """Tables of the snapshot that were not asked for."""

    @property
    def is_equal(self) -> bool:
        """Tell whether every table that was restored has the original's root."""
        return all(table.is_equal for table in self.tables)


def restore(
    snapshot: "Snapshot",
    target: Target,
    tables: Collection[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    ddl: Ddl = Ddl.NONE,
) -> RestoreReport:
    """Restore `tables` (None: all) of `snapshot` into `target`, read them back and compare.

    `ddl`: also run the source's own DDL, into an empty target of the same product; what of it is refused is noted.
    Raises: NotFoundError for a table that the snapshot does not have; TargetError if the target is not empty (unless
    `overwrite`) or cannot finish. A table that is damaged in the store, or that the target cannot take, is in the
    report with the reason, and the others are restored.
    """
    progress = progress or (lambda *_: None)
    chosen = _choose(snapshot, tables)
    content = target.find_content()
    if content is not None and not overwrite:
        raise TargetError(
            Text(
                zh=f"{target.description} 不是空的：其中有 {content.zh}",
                en=f"{target.description} is not empty: it has {content.en}",
            ),
            hint=Text(
                zh="恢复到空的位置，或加 --overwrite：同名的表和文件会被替换",
                en="restore to an empty place, or say --overwrite: tables and files of the same names are then replaced",
            ),
        )
    made = _prepare(snapshot, target, chosen, ddl, content)
    placements = [_load(rows, target, progress) for rows in chosen]
    documents = _save_documents(snapshot, target, chosen)
    notes = (*made, *target.finish())
    reports = [
        _verify(snapshot, rows, placement, target, progress) for rows, placement in zip(chosen, placements, strict=True)
    ]
    names = {rows.name for rows in chosen}
    return RestoreReport(
        unit=snapshot.manifest.unit,
        source=snapshot.manifest.source,
        sequence=snapshot.manifest.sequence,
        target=target.description,
        tables=tuple(reports),
        documents=documents,
        notes=notes,
        outside_roots=_outside(chosen),
        omitted=tuple((o.name, o.reason) for o in snapshot.manifest.omitted),
        left_out=tuple(t.claim.name for t in snapshot.tables() if t.claim.name not in names),
    )


def _choose(snapshot: "Snapshot", tables: Collection[str] | None) -> list[TableRows]:
    known = {t.claim.name: t for t in snapshot.tables()}
    for name in tables or ():
        if name not in known:
            raise NotFoundError(
                Text(zh=f"该快照没有表 {name!r}", en=f"the snapshot has no table {name!r}"),
                hint=Text(
                    zh=f"它的表有：{', '.join(list(known)[:20])}", en=f"its tables are: {', '.join(list(known)[:20])}"
                ),
            )
    return [TableRows(snapshot, table) for name, table in known.items() if tables is None or name in tables]


def _prepare(
    snapshot: "Snapshot", target: Target, chosen: list[TableRows], ddl: Ddl, content: Text | None
) -> tuple[Text, ...]:
    """Give the target the source's own shapes, if they are wanted."""
    if ddl is Ddl.NONE or not chosen:
        return ()
    if not isinstance(target, ShapedTarget):
        raise TargetError(
            Text(zh=f"{target.description} 不接受 DDL", en=f"{target.description} takes no DDL"),
            hint=Text(zh="不用 --with-ddl 恢复", en="restore without --with-ddl"),
        )
    if content is not None:
        raise TargetError(
            Text(
                zh=f"{target.description} 不是空的：其中有 {content.zh}",
                en=f"{target.description} is not empty: it has {content.en}",
            ),
            hint=Text(zh="用 --with-ddl 时，恢复到空的数据库", en="with --with-ddl, restore to an empty database"),
        )
    return target.prepare(chosen[0], snapshot.document(DDL_DOCUMENT), with_programs=ddl is Ddl.PROGRAMS)


def _load(rows: TableRows, target: Target, progress: Progress) -> Placement | Text:
    try:
        return target.load(rows, _Meter(progress, "load", rows))
    except (TargetError, StoreError, NotFoundError, EvidenceError) as err:
        # One table that is damaged or refused must not keep the others from their owner.
        return words_of(err)


def _save_documents(snapshot: "Snapshot", target: Target, chosen: list[TableRows]) -> tuple[str, ...]:
    names = {SCHEMA_PREFIX + rows.name for rows in chosen}
    places: list[str] = []
    for document in snapshot.manifest.documents:
        if document.name.startswith(SCHEMA_PREFIX) and document.name not in names:
            continue
        place = target.save_document(document.name, snapshot.document(document.name))
        if place is not None:
            places.append(place)
    return tuple(places)


def _verify(
    snapshot: "Snapshot", rows: TableRows, placement: Placement | Text, target: Target, progress: Progress
) -> TableReport:
    claim = rows.table.claim
    if isinstance(placement, Text):
        return TableReport(rows.name, NOTHING, claim.rows, claim.root, None, 0, error=placement)
    try:
        tree = compute_tree(
            lambda: target.read_back(rows), rows.ordering, snapshot.row_key, _Meter(progress, "verify", rows)
        )
        is_equal = (tree.root, tree.rows, tree.bytes_) == (claim.root, claim.rows, claim.bytes_)
        differences = None if is_equal else _compare(rows, target)
    except (TargetError, StoreError, EvidenceError) as err:
        return TableReport(
            rows.name, placement.where, claim.rows, claim.root, None, 0, placement.notes, error=words_of(err)
        )
    return TableReport(
        rows.name, placement.where, claim.rows, claim.root, tree.root, tree.rows, placement.notes, differences
    )


def _compare(rows: TableRows, target: Target) -> Differences:
    return find_differences(rows.lines(), canonical_order(target.read_back(rows), rows.ordering), rows.ordering)


def _outside(chosen: list[TableRows]) -> tuple[Text, ...]:
    has_files = any(rows.is_files for rows in chosen)
    has_tables = any(not rows.is_files for rows in chosen)
    return (OUTSIDE_ROOTS if has_tables else ()) + (OUTSIDE_ROOTS_OF_FILES if has_files else ())


class _Meter:
    """Turn counts of handled rows into progress."""

    def __init__(self, progress: Progress, phase: str, rows: TableRows) -> None:
        self._progress = progress
        self._phase = phase
        self._name = rows.name
        self._total = rows.table.claim.rows
        self._done = 0
        progress(phase, self._name, 0, self._total)

    def __call__(self, rows: int) -> None:
        # A table that is tried a second time is counted twice.
        self._done = min(self._done + rows, self._total)
        self._progress(self._phase, self._name, self._done, self._total)
