# SPDX-License-Identifier: Apache-2.0
"""Every version of one row over all snapshots of a source that the center holds.

A version appeared *between* two readings: the last that shows another state and the first that shows it. Nothing is
said of the time between readings, and what was not read is marked: sequences that are missing, signed gaps, snapshots
whose content has not come, tables that could not be read. A table that was carried over was read in the snapshot it
comes from, so it counts there. A row that is gone is a version without a row: deletions are visible.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from center.compare.find import parse_key
from center.compare.rows import Row
from center.errors import NotFoundError, StoreError
from evidence.digest import Sha256
from evidence.errors import EvidenceError
from evidence.manifest.statement import GapStatement, SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.rows.line import Cell
from terminal.errors import UsageError, words_of
from terminal.language import Text

if TYPE_CHECKING:
    from center.registry.catalog_tables import StatementRow
    from center.registry.snapshots import Snapshot, SnapshotTable


@dataclass(frozen=True, slots=True)
class Reading:
    """When the table was read, and the snapshot that this reading belongs to."""

    sequence: int
    read_at: tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Version:
    """A state of the row that one reading after another shows; `row` None: the row was not there.

    It appeared after `after` (None: no earlier reading is held) and by `first`; `last` shows it for the last time.
    `readings` counts them; `carried` are the sequences of snapshots that repeat one of the readings.
    """

    row: Row | None
    after: Reading | None
    first: Reading
    last: Reading
    readings: int = 1
    carried: tuple[int, ...] = ()


class GapKind(StrEnum):
    """Why nothing is known of the row in some sequences."""

    MISSING = "missing"
    STATED = "gap"
    REGISTERED = "registered"
    NOT_READ = "not read"
    NO_TABLE = "no table"
    NOT_COMPARABLE = "not comparable"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences `first` to `last` say nothing of the row; `reason` in one line."""

    kind: GapKind
    first: int
    last: int
    reason: Text


HistoryEvent = Version | Gap


def read_history(
    statements: Iterable["StatementRow"], open_snapshot: Callable[[int], "Snapshot"], table: str, key: Sequence[str]
) -> list[HistoryEvent]:
    """Give the versions of the row of `table` with `key`, and the gaps, in the order of sequences.

    `statements` are all of one source, of every kind; `open_snapshot` opens one by its sequence. A snapshot is opened
    for each stored one; its pages are read only where the table's root changed.

    Raises: NotFoundError if no snapshot that is held has such a row; UsageError if the key cannot name one.
    """
    events: list[HistoryEvent] = []
    reader = _Reader(table, key)
    for found in _observe(sorted(statements, key=lambda s: s.sequence), open_snapshot, reader):
        if isinstance(found, Gap):
            _add_gap(events, found)
        else:
            _add_observation(events, *found)
    if not any(isinstance(e, Version) and e.row is not None for e in events):
        if reader.refusal is not None and not reader.has_read:
            raise reader.refusal
        raise NotFoundError(
            Text(
                zh=f"所存的快照中，表 {table!r} 都没有 {' '.join(key)!r} 这一行",
                en=f"no snapshot that is held has the row {' '.join(key)!r} in table {table!r}",
            ),
            hint=Text(
                zh="`jinsuo-center snapshots` 列出已有的；`find` 可在一个快照中按任意列查找",
                en="`jinsuo-center snapshots` lists what is held; `find` searches one snapshot by any column",
            ),
        )
    return events


_Observation = tuple[Reading, int, Row | None]
"""When it was read, in which snapshot it stands, what was there."""


def _observe(
    statements: Sequence["StatementRow"], open_snapshot: Callable[[int], "Snapshot"], reader: "_Reader"
) -> Iterator[_Observation | Gap]:
    expected = 1
    for statement in statements:
        sequence = statement.sequence
        if sequence > expected:
            yield Gap(
                GapKind.MISSING,
                expected,
                sequence - 1,
                Text(zh="没有这样序号的声明", en="no statement with such a sequence is held"),
            )
        expected = sequence + 1
        if statement.kind == GapStatement.kind:
            yield Gap(GapKind.STATED, sequence, sequence, _gap_reason(statement))
        elif statement.kind == SnapshotStatement.kind and statement.manifest_object is None:
            yield Gap(
                GapKind.REGISTERED,
                sequence,
                sequence,
                Text(zh="已登记，但内容还没有到", en="registered, but its content has not come"),
            )
        elif statement.kind == SnapshotStatement.kind:
            try:
                yield reader.read(sequence, open_snapshot(sequence))
            except (StoreError, EvidenceError) as err:
                yield Gap(GapKind.DAMAGED, sequence, sequence, words_of(err))


class _Reader:
    """Read one row of one snapshot after another; pages only where the root or the shape of the table changed."""

    def __init__(self, table: str, key: Sequence[str]) -> None:
        self._table = table
        self._key = key
        self._last: tuple[Sha256, Sha256, Row | None] | None = None
        self.refusal: UsageError | None = None
        self.has_read = False

    def read(self, sequence: int, snapshot: "Snapshot") -> _Observation | Gap:
        if not snapshot.has_table(self._table):
            for omitted in snapshot.manifest.omitted:
                if omitted.name == self._table:
                    return Gap(GapKind.NOT_READ, sequence, sequence, words_of(omitted.reason))
            return Gap(
                GapKind.NO_TABLE,
                sequence,
                sequence,
                Text(zh=f"该快照没有表 {self._table!r}", en=f"the snapshot has no table {self._table!r}"),
            )
        found = snapshot.table(self._table)
        try:
            row = self._find(snapshot, found)
        except UsageError as err:
            self.refusal = err
            return Gap(GapKind.NOT_COMPARABLE, sequence, sequence, words_of(err))
        self.has_read = True
        return Reading(found.carried_from or sequence, found.read_at), sequence, row

    def _find(self, snapshot: "Snapshot", found: "SnapshotTable") -> Row | None:
        claim = found.claim
        if self._last is None or self._last[:2] != (claim.root, claim.schema):
            line = snapshot.find(found, parse_key(found.schema, self._key))
            self._last = (claim.root, claim.schema, None if line is None else Row.read(found.schema, line))
        return self._last[2]


def _add_observation(events: list[HistoryEvent], reading: Reading, sequence: int, row: Row | None) -> None:
    last = next((i for i in range(len(events) - 1, -1, -1) if isinstance(events[i], Version)), None)
    version = None if last is None else events[last]
    if last is None or not isinstance(version, Version):
        events.append(Version(row, None, reading, reading, carried=_carried(reading, sequence)))
    elif _content(row) != _content(version.row):
        if reading.sequence <= version.last.sequence:
            # A table that is said to be carried over, and yet differs from that reading: it counts where it stands.
            reading = replace(reading, sequence=sequence)
        events.append(Version(row, version.last, reading, reading, carried=_carried(reading, sequence)))
    elif reading.sequence <= version.last.sequence:
        events[last] = replace(version, carried=(*version.carried, sequence))
    else:
        carried = version.carried + _carried(reading, sequence)
        events[last] = replace(version, last=reading, readings=version.readings + 1, carried=carried)


def _carried(reading: Reading, sequence: int) -> tuple[int, ...]:
    return () if reading.sequence == sequence else (sequence,)


def _content(row: Row | None) -> dict[str, Cell] | None:
    """Give what makes a version: the cells by name. A column that was added with NULL makes none."""
    if row is None:
        return None
    return {c.name: cell for c, cell in zip(row.schema.columns, row.cells, strict=True) if cell is not None}


def _add_gap(events: list[HistoryEvent], gap: Gap) -> None:
    """Join gaps of one kind and reason that follow each other."""
    before = events[-1] if events else None
    if (
        isinstance(before, Gap)
        and (before.kind, before.reason) == (gap.kind, gap.reason)
        and before.last + 1 == gap.first
    ):
        events[-1] = replace(before, last=gap.last)
    else:
        events.append(gap)


def _gap_reason(statement: "StatementRow") -> Text:
    stated = parse_statement(parse_note(statement.note).text)
    assert isinstance(stated, GapStatement)
    began, ended = (f"{when:%Y-%m-%d %H:%M}" for when in (stated.from_, stated.to))
    return Text(
        zh=f"{stated.cause}：{stated.lost}（{began} 至 {ended} UTC）",
        en=f"{stated.cause}: {stated.lost} ({began} to {ended} UTC)",
    )


def gaps_between(events: Sequence[HistoryEvent], version: Version) -> list[Gap]:
    """Give the gaps that lie between the readings `version.after` and `version.first`."""
    low = 0 if version.after is None else version.after.sequence
    return [e for e in events if isinstance(e, Gap) and low < e.last and e.first < version.first.sequence]
