# SPDX-License-Identifier: Apache-2.0
"""What changed between two snapshots: tables, their shapes, and rows before → after. Streams; reads only what differs.

Subtrees with equal roots are skipped without being read (`evidence.tree.diff`). Rows are matched by key where both
snapshots order the table by the same key; columns are matched by name. Where the key or its kinds changed, rows cannot
be paired: they are compared as whole lines, and the result says so. Values are compared in canonical form, as bytes.
A line names no columns: equal roots and lines are equal rows only where every common column has kept its place. Where one
has moved (a column before it dropped or added, two swapped), all rows are read.
A table that one snapshot could not read is `not-read`, never `removed`: absence of evidence is no evidence of absence.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

from center.compare.rows import Row
from center.errors import NotFoundError
from center.sorting import sort_lines
from evidence.rows.line import Cell, KeySpec
from evidence.rows.schema import Column, Schema
from evidence.tree.diff import Change, diff_trees
from terminal.language import NOTHING, Text

if TYPE_CHECKING:
    from center.registry.snapshots import Snapshot, SnapshotTable


class Presence(StrEnum):
    """How a table stands in the two snapshots."""

    EQUAL = "equal"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    NOT_READ = "not-read"


class Method(StrEnum):
    """How rows were compared."""

    NONE = "none"
    BY_KEY = "by key"
    BY_LINE = "as whole lines"


class SchemaChangeKind(StrEnum):
    """What changed in a table's shape."""

    COLUMN_ADDED = "column added"
    COLUMN_REMOVED = "column removed"
    COLUMN_RETYPED = "column retyped"
    COLUMN_COMMENTED = "column comment changed"
    COLUMNS_REORDERED = "columns reordered"
    KEY_CHANGED = "key changed"
    NOTES_CHANGED = "notes changed"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change of a table's shape; `column` is None where it is about the whole table."""

    kind: SchemaChangeKind
    column: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class TableDiff:
    """The head of a table's comparison; its `RowChange`s and one `TableTotals` follow if it is `changed`.

    `rows`: how many rows before and after, None where the snapshot does not hold the table. `reason` says, in one line,
    why rows were not matched by key, or why a table was not read. `carried`: the sequences of the snapshots in which
    the table was read, before and after, where it was carried over; None where it was read in that snapshot itself.
    """

    name: str
    presence: Presence
    rows: tuple[int | None, int | None]
    schema_changes: tuple[SchemaChange, ...] = ()
    method: Method = Method.NONE
    reason: Text = NOTHING
    carried: tuple[int | None, int | None] = (None, None)


class Action(StrEnum):
    """What happened to a row."""

    INSERTED = "inserted"
    DELETED = "deleted"
    UPDATED = "updated"


@dataclass(frozen=True, slots=True)
class CellChange:
    """One cell of an updated row; the column is in both snapshots."""

    column: str
    before: Cell
    after: Cell


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row: `before` is None if inserted, `after` if deleted; `cells` are the changed ones of an updated row."""

    table: str
    action: Action
    before: Row | None
    after: Row | None
    cells: tuple[CellChange, ...] = ()

    @property
    def key(self) -> tuple[Cell, ...]:
        """Give the key's cells; keyless: nothing."""
        row = self.after or self.before
        assert row is not None
        return row.key


@dataclass(frozen=True, slots=True)
class TableTotals:
    """How many rows of a `changed` table were inserted, deleted, updated.

    `by_schema` rows differ only because columns were added, removed or moved: no cell of a common column changed.
    """

    name: str
    inserted: int
    deleted: int
    updated: int
    by_schema: int


DiffEvent = TableDiff | RowChange | TableTotals


def diff_snapshots(before: "Snapshot", after: "Snapshot", tables: Collection[str] | None = None) -> Iterator[DiffEvent]:
    """Yield, table by table in the order of names: a `TableDiff`, then for a changed table its rows and totals.

    `tables` None: all. Raises: NotFoundError if neither snapshot knows a table of `tables`; StoreError and
    EvidenceError if what is stored is damaged.
    """
    old = {t.claim.name: t for t in before.tables()}
    new = {t.claim.name: t for t in after.tables()}
    unread = {o.name: (_BEFORE, o.reason) for o in before.manifest.omitted}
    unread |= {o.name: (_AFTER, o.reason) for o in after.manifest.omitted}
    known = old.keys() | new.keys() | unread.keys()
    for name in tables or ():
        if name not in known:
            raise NotFoundError(
                Text(zh=f"两个快照都没有表 {name!r}", en=f"neither snapshot has a table {name!r}"),
                hint=Text(
                    zh=f"它们有：{', '.join(sorted(known)[:20])}", en=f"they have: {', '.join(sorted(known)[:20])}"
                ),
            )
    for name in sorted(known if tables is None else known & set(tables), key=lambda n: n.encode()):
        yield from _diff_table(name, before, after, old.get(name), new.get(name), unread.get(name))


_BEFORE: Final = Text(zh="前一个快照", en="before")
_AFTER: Final = Text(zh="后一个快照", en="after")
_NO_KEY: Final = Text(
    zh="该表没有主键：改动的一行算作删除一行、新增一行",
    en="the table has no key: a changed row is one deleted and one inserted",
)


def _diff_table(
    name: str,
    before: "Snapshot",
    after: "Snapshot",
    old: "SnapshotTable | None",
    new: "SnapshotTable | None",
    unread: tuple[Text, str] | None,
) -> Iterator[DiffEvent]:
    rows = (old.claim.rows if old else None, new.claim.rows if new else None)
    carried = (old.carried_from if old else None, new.carried_from if new else None)
    if old is None or new is None:
        if unread is not None:
            which, why = unread
            reason = Text(zh=f"{which.zh}未读：{why}", en=f"not read {which.en}: {why}")
            yield TableDiff(name, Presence.NOT_READ, rows, reason=reason)
        else:
            yield TableDiff(name, Presence.ADDED if old is None else Presence.REMOVED, rows, carried=carried)
        return
    changes = tuple(diff_schemas(old.schema, new.schema))
    if old.claim.root == new.claim.root and not changes:
        yield TableDiff(name, Presence.EQUAL, rows, carried=carried)
        return
    method, reason = choose_method(old.schema, new.schema)
    if old.claim.root == new.claim.root and has_kept_places(old.schema, new.schema):
        method, reason = Method.NONE, NOTHING
    yield TableDiff(name, Presence.CHANGED, rows, changes, method, reason, carried)
    lines = iter(()) if method is Method.NONE else _changed_lines(before, after, old, new, method)
    yield from _diff_rows(name, old.schema, new.schema, lines)


def diff_schemas(before: Schema, after: Schema) -> Iterator[SchemaChange]:
    """Yield how the shape of a table changed; columns are matched by name."""
    old, new = ({c.name: c for c in s.columns} for s in (before, after))
    for name in [n for n in old if n not in new]:
        yield SchemaChange(SchemaChangeKind.COLUMN_REMOVED, name, _shape(old[name]), None)
    for name in [n for n in new if n not in old]:
        yield SchemaChange(SchemaChangeKind.COLUMN_ADDED, name, None, _shape(new[name]))
    for name, was in old.items():
        now = new.get(name, was)
        if _shape(was) != _shape(now):
            yield SchemaChange(SchemaChangeKind.COLUMN_RETYPED, name, _shape(was), _shape(now))
        if was.comment != now.comment:
            yield SchemaChange(SchemaChangeKind.COLUMN_COMMENTED, name, was.comment, now.comment)
    common = ([n for n in old if n in new], [n for n in new if n in old])
    if common[0] != common[1]:
        yield SchemaChange(SchemaChangeKind.COLUMNS_REORDERED, None, ", ".join(common[0]), ", ".join(common[1]))
    if before.key != after.key:
        yield SchemaChange(SchemaChangeKind.KEY_CHANGED, None, ", ".join(before.key), ", ".join(after.key))
    if before.notes != after.notes:
        yield SchemaChange(SchemaChangeKind.NOTES_CHANGED, None, "; ".join(before.notes), "; ".join(after.notes))


def choose_method(before: Schema, after: Schema) -> tuple[Method, Text]:
    """Tell how rows of the two shapes can be matched, and why not by key."""
    old, new = KeySpec.of(before), KeySpec.of(after)
    if not old.columns and not new.columns:
        return Method.BY_LINE, _NO_KEY
    if old == new or (before.key == after.key and old.kinds == new.kinds):
        return Method.BY_KEY, NOTHING
    was, now = (", ".join(f"{k} {s.column(k).kind}" for k in s.key) or "none" for s in (before, after))
    return Method.BY_LINE, Text(
        zh=f"不能按主键比较：主键原为（{was}），现为（{now}）",
        en=f"not comparable by key: the key was ({was}) and is ({now})",
    )


def has_kept_places(before: Schema, after: Schema) -> bool:
    """Tell whether every column of both shapes has the same place in both, so that equal lines are equal rows."""
    return all(i == j for _, i, j in _shared_columns(before, after))


def _changed_lines(
    before: "Snapshot", after: "Snapshot", old: "SnapshotTable", new: "SnapshotTable", method: Method
) -> Iterator[Change]:
    spec_old, spec_new = KeySpec.of(old.schema), KeySpec.of(new.schema)
    is_aligned = has_kept_places(old.schema, new.schema)
    if spec_old == spec_new and is_aligned:
        return diff_trees(before.tree(old), after.tree(new), spec_old)
    lines = before.lines(old), after.lines(new)
    if method is Method.BY_KEY:
        return _merge_by_key(lines[0], spec_old, lines[1], spec_new, is_aligned)
    by_bytes = KeySpec((), ())
    # Equal lines pair off although the two trees have different orders.
    sorted_lines = [
        iterator if spec == by_bytes else sort_lines(iterator, bytes)
        for iterator, spec in zip(lines, (spec_old, spec_new), strict=True)
    ]
    return _merge_by_key(sorted_lines[0], by_bytes, sorted_lines[1], by_bytes, is_aligned)


def _merge_by_key(
    old_lines: Iterator[bytes], spec_old: KeySpec, new_lines: Iterator[bytes], spec_new: KeySpec, is_aligned: bool
) -> Iterator[Change]:
    """Yield what may differ between two ordered runs of lines whose keys have the same kinds.

    `is_aligned`: equal lines are equal rows; else they are yielded too.
    """
    old, new = next(old_lines, None), next(new_lines, None)
    while old is not None or new is not None:
        if old is not None and new is not None:
            a, b = spec_old.order_of(spec_old.key_of(old)), spec_new.order_of(spec_new.key_of(new))
            if a == b:
                if old != new or not is_aligned:
                    yield old, new
                old, new = next(old_lines, None), next(new_lines, None)
                continue
            take_old = a < b
        else:
            take_old = new is None
        if take_old:
            yield old, None
            old = next(old_lines, None)
        else:
            yield None, new
            new = next(new_lines, None)


def _diff_rows(name: str, before: Schema, after: Schema, changes: Iterator[Change]) -> Iterator[DiffEvent]:
    counts = dict.fromkeys(Action, 0)
    by_schema = 0
    shared = _shared_columns(before, after)
    for old, new in changes:
        was = None if old is None else Row.read(before, old)
        now = None if new is None else Row.read(after, new)
        cells: tuple[CellChange, ...] = ()
        if was is not None and now is not None:
            cells = tuple(
                CellChange(column, was.cells[i], now.cells[j])
                for column, i, j in shared
                if was.cells[i] != now.cells[j]
            )
            if not cells:
                by_schema += old != new
                continue
        action = Action.INSERTED if was is None else Action.DELETED if now is None else Action.UPDATED
        counts[action] += 1
        yield RowChange(name, action, was, now, cells)
    yield TableTotals(name, counts[Action.INSERTED], counts[Action.DELETED], counts[Action.UPDATED], by_schema)


def _shared_columns(before: Schema, after: Schema) -> list[tuple[str, int, int]]:
    """Give the columns of both shapes with their positions, those of the key first."""
    names = {c.name for c in before.columns}
    order = chain(after.key, (c.name for c in after.columns if c.name not in after.key))
    return [(name, before.index(name), after.index(name)) for name in order if name in names]


def _shape(column: Column) -> str:
    scale = "" if column.scale is None else f"({column.scale})"
    return f"{column.type} [{column.kind}{scale}]{'' if column.null else ' not null'}"
