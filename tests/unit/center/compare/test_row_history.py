# SPDX-License-Identifier: Apache-2.0
"""Every version of one row, between which snapshots it appeared, gaps marked."""

from dataclasses import replace
from datetime import timedelta

import pytest

from center.compare import Gap, GapKind, HistoryEvent, Version, gaps_between, read_history
from center.errors import NotFoundError
from evidence.manifest.entry import Level
from evidence.manifest.statement import GapCause, GapStatement, statement_digest
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.errors import UsageError
from tests.fakes.snapshot import DAY_ONE, SourceHistory, TableContent

SCHEMA = Schema("patient", (Column("id", Kind.INT, False, "int"), Column("name", Kind.TEXT, True, "text")), ("id",))


def _table(*lines: bytes, schema: Schema = SCHEMA, carried_from: int | None = None) -> TableContent:
    return TableContent(schema, [b"1\tother", *lines], carried_from=carried_from)


def _read(history: SourceHistory, *key: str) -> list[HistoryEvent]:
    return read_history(history.statements, history.open, "patient", key or ("7",))


def _versions(events: list[HistoryEvent]) -> list[tuple[bytes | None, int | None, int, int]]:
    return [
        (e.row.line if e.row else None, e.after.sequence if e.after else None, e.first.sequence, e.last.sequence)
        for e in events
        if isinstance(e, Version)
    ]


def test_each_version_is_bounded_by_the_readings_around_its_appearance() -> None:
    history = SourceHistory()
    for line in (b"", b"7\ta", b"7\ta", b"7\tb", b"7\ta"):
        history.take(_table(*([line] if line else [])))
    assert _versions(_read(history)) == [
        (None, None, 1, 1),
        (b"7\ta", 1, 2, 3),
        (b"7\tb", 3, 4, 4),
        (b"7\ta", 4, 5, 5),
    ]


def test_a_deletion_is_a_version_without_a_row() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    history.take(_table())
    history.take(_table())
    assert _versions(_read(history)) == [(b"7\ta", None, 1, 1), (None, 1, 2, 3)]


def test_what_was_not_read_is_marked_where_it_lies() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"), sequence=3)
    history.take(_table(b"7\tx"), sequence=4, stored=False)
    history.take(sequence=5, omitted={"patient": "permission denied"})
    history.take(sequence=6)
    history.take(_table(b"7\tb"), sequence=9)
    events = _read(history)
    gaps = [e for e in events if isinstance(e, Gap)]
    assert [(g.kind, g.first, g.last) for g in gaps] == [
        (GapKind.MISSING, 1, 2),
        (GapKind.REGISTERED, 4, 4),
        (GapKind.NOT_READ, 5, 5),
        (GapKind.NO_TABLE, 6, 6),
        (GapKind.MISSING, 7, 8),
    ]
    assert gaps[2].reason.en == "permission denied"
    last = events[-1]
    assert isinstance(last, Version)
    assert gaps_between(events, last) == gaps[1:]


def test_a_signed_gap_is_shown_with_its_cause() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    statement = GapStatement(
        "X013",
        "his",
        2,
        history.statements[0].digest,
        DAY_ONE,
        DAY_ONE + timedelta(hours=5),
        GapCause.OUTAGE,
        "5 hours",
    )
    text = statement.encode()
    history.add_statement(
        replace(
            history.statements[0],
            sequence=2,
            kind="gap",
            digest=statement_digest(text),
            level=Level.STORED,
            manifest_object=None,
            note=text + "\n— X013/his AAAAAAAAAAAAAAAA\n".encode(),
        )
    )
    history.take(_table(b"7\tb"))
    gap = next(e for e in _read(history) if isinstance(e, Gap))
    assert (gap.kind, gap.first) == (GapKind.STATED, 2)
    assert gap.reason.en == "outage: 5 hours (2026-11-22 01:00 to 2026-11-22 06:00 UTC)"


def test_a_table_carried_over_is_no_new_reading() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    history.take(_table(b"7\ta", carried_from=1))
    history.take(_table(b"7\ta", carried_from=1))
    history.take(_table(b"7\tb"))
    events = _read(history)
    assert _versions(events) == [(b"7\ta", None, 1, 1), (b"7\tb", 1, 4, 4)]
    first = events[0]
    assert isinstance(first, Version)
    assert (first.readings, first.carried) == (1, (2, 3))


def test_a_table_said_to_be_carried_over_that_differs_counts_where_it_stands() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    history.take(_table(b"7\tb", carried_from=1))
    assert _versions(_read(history)) == [(b"7\ta", None, 1, 1), (b"7\tb", 1, 2, 2)]


def test_a_column_added_with_null_makes_no_version_and_one_put_first_neither() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    wider = replace(SCHEMA, columns=(*SCHEMA.columns, Column("email", Kind.TEXT, True, "text")))
    history.take(_table(b"7\ta", schema=wider))
    moved = replace(SCHEMA, columns=(Column("ward", Kind.TEXT, True, "text"), *SCHEMA.columns))
    history.take(TableContent(moved, [b"\\N\t7\ta"]))
    assert _versions(_read(history)) == [(b"7\ta", None, 1, 3)]


def test_a_changed_key_cannot_be_followed_and_that_is_said() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    history.take(_table(b"7\ta", schema=replace(SCHEMA, key=())))
    history.take(_table(b"7\ta", schema=replace(SCHEMA, key=("id", "name"))))
    gaps = [e for e in _read(history) if isinstance(e, Gap)]
    assert [(g.kind, g.first) for g in gaps] == [(GapKind.NOT_COMPARABLE, 2), (GapKind.NOT_COMPARABLE, 3)]


def test_a_damaged_snapshot_is_a_gap_and_the_others_are_read() -> None:
    history = SourceHistory()
    history.take(_table(b"7\ta"))
    damaged = history.take(_table(b"7\tb"))
    history.take(_table(b"7\tc"))
    top = damaged.table("patient").top
    assert top is not None
    del history.objects.bodies[top]
    events = _read(history)
    assert _versions(events) == [(b"7\ta", None, 1, 1), (b"7\tc", 1, 3, 3)]
    assert [(g.kind, g.first) for g in events if isinstance(g, Gap)] == [(GapKind.DAMAGED, 2)]


def test_unchanged_tables_are_not_read_again() -> None:
    history = SourceHistory()
    for _ in range(30):
        history.take(_table(b"7\ta", *(b"%d\tx" % i for i in range(100, 3000))))
    for snapshot in history.snapshots.values():
        snapshot.tables()
    history.objects.reads = 0
    assert _versions(_read(history)) == [(b"7\ta", None, 1, 30)]
    assert history.objects.reads < 4


def test_a_row_that_never_was_is_not_found() -> None:
    history = SourceHistory()
    history.take(_table())
    with pytest.raises(NotFoundError, match="has the row '99'"):
        _read(history, "99")
    with pytest.raises(UsageError, match="not a value of column 'id'"):
        _read(history, "abc")
    with pytest.raises(UsageError, match="has 1 columns"):
        _read(history, "1", "2")
