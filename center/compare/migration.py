# SPDX-License-Identifier: Apache-2.0
"""Does a migrated system hold what the old one held? Two stored snapshots of different sources, row by row, with causes.

Tables are matched by their names, or the last part of them, without regard to case, or as told; columns by name, the same way. Rows
are matched by the key that either side declares, brought to a form that both have (`center.compare.causes`); tables
without a key by all common columns. Both sides are sorted by that in bounded memory, then walked once. A row that is on
one side only, a column that is missing, a table that was not read: all are differences, with counts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from center.compare.causes import Cause, Form, find_cause, form_of, normalize
from center.compare.rows import cell_text
from center.errors import NotFoundError
from center.sorting import sort_lines
from evidence.errors import FormatError
from evidence.rows.line import Cell, encode_field, parse_field, parse_line
from evidence.rows.names import parse_name
from evidence.rows.schema import Schema
from evidence.rows.values import Kind
from terminal.language import NOTHING, Text

if TYPE_CHECKING:
    from center.registry.snapshots import Snapshot, SnapshotTable

MOST_EXAMPLES: Final = 3
SEQUENCES_TABLE: Final = "@sequences"
_SEPARATOR: Final = b"\t\t"
"""Between what a row is matched by and its cells. The parts of the former are never empty, so the first one is it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One cell that differs: the row's key, and the two values, for people."""

    key: tuple[str | None, ...]
    before: str | None
    after: str | None


@dataclass(slots=True)
class Group:
    """All cells of one column that differ by one cause."""

    column: str
    cause: Cause
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class TableMatch:
    """How one pair of tables compares. `missing`: columns of the old one that the new one lacks; `added`: the other way.

    `equal`: rows of which no cell differs; `differing`: rows matched with some that do; `only_before`, `only_after`: rows
    without a counterpart, with the keys of the first few. `by`: what rows were matched by; empty: by all columns.
    """

    before: str
    after: str
    rows: tuple[int, int]
    by: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    equal: int = 0
    differing: int = 0
    only_before: int = 0
    only_after: int = 0
    first_before: list[tuple[str | None, ...]] = field(default_factory=list)
    first_after: list[tuple[str | None, ...]] = field(default_factory=list)
    groups: dict[tuple[str, Cause], Group] = field(default_factory=dict)

    def counts(self) -> Counter[Cause]:
        """Count the cells that differ, by cause."""
        counts: Counter[Cause] = Counter()
        for group in self.groups.values():
            counts[group.cause] += group.count
        return counts

    def is_equal(self, accepted: frozenset[Cause] = frozenset()) -> bool:
        """Tell whether nothing differs but by causes that are accepted."""
        if self.only_before or self.only_after or self.missing or self.added:
            return False
        return all(cause in accepted for _, cause in self.groups)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A table that one side alone has, or that was not read there; `is_before` tells on which side it is."""

    name: str
    is_before: bool
    reason: Text = NOTHING


def compare_systems(
    before: "Snapshot", after: "Snapshot", pairs: Mapping[str, str] | None = None
) -> Iterator[TableMatch | Unmatched]:
    """Yield how each pair of tables compares, and what has no counterpart. `pairs`: these tables only.

    Raises: NotFoundError for a table that is not there; StoreError and EvidenceError if what is stored is damaged.
    """
    if pairs is not None:
        for old, new in pairs.items():
            yield _compare_tables(before, after, before.table(old), after.table(new))
        return
    olds, news = _by_name(before, after)
    for name in sorted(olds.keys() | news.keys()):
        if len(olds.get(name, ())) == len(news.get(name, ())) == 1:
            yield _compare_tables(before, after, olds[name][0], news[name][0])
            continue
        for tables, is_before in ((olds.get(name, []), True), (news.get(name, []), False)):
            several = _SEVERAL if name in olds and name in news else NOTHING
            yield from (Unmatched(table.name, is_before, several) for table in tables)
    for snapshot, is_before in ((before, True), (after, False)):
        yield from (
            Unmatched(o.name, is_before, Text(zh=f"未读：{o.reason}", en=f"not read: {o.reason}"))
            for o in snapshot.manifest.omitted
        )


_SEVERAL = Text(zh="有几张表同名：用 --table OLD=NEW 指明", en="several tables have this name: say --table OLD=NEW")
_Tables = dict[str, list["SnapshotTable"]]


def _by_name(before: "Snapshot", after: "Snapshot") -> tuple[_Tables, _Tables]:
    """Give the tables of both by what they are matched by: the whole name if both have it, else its last part."""
    whole = [{_parts(table.name) for table in snapshot.tables()} for snapshot in (before, after)]
    sides: list[_Tables] = []
    for snapshot in (before, after):
        found: _Tables = {}
        for table in snapshot.tables():
            parts = _parts(table.name)
            name = "\0".join(parts) if parts in whole[0] & whole[1] else parts[-1]
            if table.name != SEQUENCES_TABLE or _has_same_shape(before, after, SEQUENCES_TABLE):
                found.setdefault(name, []).append(table)
        sides.append(found)
    return sides[0], sides[1]


def _parts(name: str) -> tuple[str, ...]:
    try:
        return tuple(part.casefold() for part in parse_name(name))
    except FormatError:
        return (name.casefold(),)


def _has_same_shape(before: "Snapshot", after: "Snapshot", name: str) -> bool:
    """Tell whether both have a table of ours, and of one product: counters of different products are no records."""
    if not (before.has_table(name) and after.has_table(name)):
        return False
    shapes = [[c.name for c in s.table(name).schema.columns] for s in (before, after)]
    return shapes[0] == shapes[1]


class _Side:
    """One of the two tables, whose lines are read by its schema."""

    def __init__(
        self, snapshot: "Snapshot", table: "SnapshotTable", columns: Sequence[str], forms: Sequence[Form]
    ) -> None:
        self._snapshot = snapshot
        self._table = table
        self._schema = table.schema
        self._forms = forms
        self._places = [self._schema.index(name) for name in columns]
        self.kinds = [self._schema.columns[i].kind for i in self._places]

    def ordered(self, by: Sequence[int]) -> Iterator[tuple[bytes, list[Cell]]]:
        """Yield what rows are matched by, and their common cells, in ascending order of both."""
        for line in sort_lines(self._keyed(by), lambda line: line.partition(_SEPARATOR)):
            key, _, row = line.partition(_SEPARATOR)
            yield key, [parse_field(part, "a cell") for part in row.split(b"\t")]

    def _keyed(self, by: Sequence[int]) -> Iterator[bytes]:
        for line in self._snapshot.lines(self._table):
            whole = parse_line(line, self._schema)
            cells = [whole[i] for i in self._places]
            key = b"\t".join(b"=" + encode_field(normalize(self._forms[i], self.kinds[i], cells[i])) for i in by)
            yield key + _SEPARATOR + b"\t".join(map(encode_field, cells))


def _compare_tables(before: "Snapshot", after: "Snapshot", old: "SnapshotTable", new: "SnapshotTable") -> TableMatch:
    shared = _shared(old.schema, new.schema)
    names = [name for name, _ in shared]
    by = _choose_key(old.schema, new.schema, shared)
    match = TableMatch(
        old.name, new.name, (old.claim.rows, new.claim.rows), tuple(names[i] for i in by),
        _others(old.schema, names), _others(new.schema, [name for _, name in shared]),
    )  # fmt: skip
    if not shared:
        match.only_before, match.only_after = match.rows
        return match
    kinds = [(old.schema.column(a).kind, new.schema.column(b).kind) for a, b in shared]
    forms = [form_of(a, b) for a, b in kinds]
    sides = (_Side(before, old, names, forms), _Side(after, new, [b for _, b in shared], forms))
    for was, now in _pair(sides, by or range(len(shared))):
        _count(match, names, kinds, forms, by, was, now)
    return match


def _shared(old: Schema, new: Schema) -> list[tuple[str, str]]:
    """Give the columns of both tables: by the same name, else by a name that differs in case and that one only has."""
    exact = {c.name for c in new.columns}
    folded: dict[str, list[str]] = {}
    for column in new.columns:
        folded.setdefault(column.name.casefold(), []).append(column.name)
    alike = Counter(c.name.casefold() for c in old.columns)
    pairs: list[tuple[str, str]] = []
    for column in old.columns:
        others = folded.get(column.name.casefold(), [])
        if column.name in exact:
            pairs.append((column.name, column.name))
        elif len(others) == 1 and alike[column.name.casefold()] == 1:
            pairs.append((column.name, others[0]))
    return pairs


def _choose_key(old: Schema, new: Schema, shared: list[tuple[str, str]]) -> list[int]:
    """Give the places of the key in the shared columns: the old table's, else the new one's; none if neither has one."""
    for key, side in ((old.key, 0), (new.key, 1)):
        places = {pair[side]: i for i, pair in enumerate(shared)}
        if key and all(name in places for name in key):
            return [places[name] for name in key]
    return []


def _others(schema: Schema, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(c.name for c in schema.columns if c.name not in names)


_Cells = list[Cell]


def _pair(sides: tuple[_Side, _Side], by: Sequence[int]) -> Iterator[tuple[_Cells | None, _Cells | None]]:
    """Yield rows with the same key together, the others alone."""
    olds, news = (side.ordered(by) for side in sides)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if old is not None and new is not None and old[0] == new[0]:
            yield old[1], new[1]
            old, new = next(olds, None), next(news, None)
        elif new is None or (old is not None and old[0] < new[0]):
            assert old is not None
            yield old[1], None
            old = next(olds, None)
        else:
            yield None, new[1]
            new = next(news, None)


def _count(
    match: TableMatch, names: list[str], kinds: list[tuple[Kind, Kind]], forms: list[Form], by: Sequence[int],
    was: _Cells | None, now: _Cells | None,
) -> None:  # fmt: skip
    if was is None or now is None:
        _count_alone(match, by, was, now)
        return
    is_equal = True
    for i, name in enumerate(names):
        cause = find_cause(forms[i], (kinds[i][0], was[i]), (kinds[i][1], now[i]))
        if cause is None:
            continue
        is_equal = False
        group = match.groups.setdefault((name, cause), Group(name, cause))
        group.count += 1
        if len(group.examples) < MOST_EXAMPLES:
            group.examples.append(Example(_texts(was, by), cell_text(was[i]), cell_text(now[i])))
    match.equal += is_equal
    match.differing += not is_equal


def _count_alone(match: TableMatch, by: Sequence[int], was: _Cells | None, now: _Cells | None) -> None:
    if was is not None:
        match.only_before += 1
        if len(match.first_before) < MOST_EXAMPLES:
            match.first_before.append(_texts(was, by))
    elif now is not None:
        match.only_after += 1
        if len(match.first_after) < MOST_EXAMPLES:
            match.first_after.append(_texts(now, by))


def _texts(cells: _Cells, by: Sequence[int]) -> tuple[str | None, ...]:
    return tuple(cell_text(cells[i]) for i in (by or range(len(cells))))


def parse_pair(text: str) -> tuple[str, str]:
    """Read `OLD=NEW`, or a name that both have. Raises: NotFoundError if a side is empty."""
    old, sign, new = text.partition("=")
    if not old or (sign and not new):
        raise NotFoundError(
            Text(zh=f"{text!r} 没有指明一对表", en=f"{text!r} names no pair of tables"),
            hint=Text(zh="写作 --table OLD=NEW", en="write --table OLD=NEW"),
        )
    return old, new if sign else old
