# SPDX-License-Identifier: Apache-2.0
"""Two snapshots of a source: what was inserted, deleted, updated; schema changes apart."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.compare import Action, Method, Presence, RowChange, SchemaChangeKind, TableDiff, TableTotals, diff_snapshots
from center.compare.diff import DiffEvent
from center.errors import NotFoundError
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.language import NOTHING
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent

PATIENT = Schema(
    "patient",
    (
        Column("id", Kind.INT, False, "integer"),
        Column("name", Kind.TEXT, True, "text"),
        Column("phone", Kind.TEXT, True, "text"),
    ),
    ("id",),
)


def _diff(before: Sequence[TableContent], after: Sequence[TableContent], **names: list[str]) -> list[DiffEvent]:
    history = SourceHistory()
    return list(diff_snapshots(history.take(*before), history.take(*after), **names))


def _rows(events: list[DiffEvent]) -> list[tuple[Action, bytes | None, bytes | None]]:
    return [
        (e.action, e.before.line if e.before else None, e.after.line if e.after else None)
        for e in events
        if isinstance(e, RowChange)
    ]


def _cells(events: list[DiffEvent]) -> list[tuple[tuple[object, ...], list[tuple[str, object, object]]]]:
    return [
        (e.key, [(c.column, c.before, c.after) for c in e.cells]) for e in events if isinstance(e, RowChange)
    ]  # fmt: skip


def test_inserted_deleted_and_updated_rows_are_told_apart_by_key() -> None:
    events = _diff(
        [TableContent(PATIENT, [b"1\ta\t1", b"2\tb\t2", b"10\tc"])],
        [TableContent(PATIENT, [b"1\ta\t1", b"3\tnew", b"10\tC"])],
    )
    assert events[0] == TableDiff("patient", Presence.CHANGED, (3, 3), (), Method.BY_KEY, NOTHING)
    assert _rows(events) == [
        (Action.DELETED, b"2\tb\t2", None),
        (Action.INSERTED, None, b"3\tnew"),
        (Action.UPDATED, b"10\tc", b"10\tC"),
    ]
    updated = events[3]
    assert isinstance(updated, RowChange)
    assert updated.key == (b"10",)
    assert [(c.column, c.before, c.after) for c in updated.cells] == [("name", b"c", b"C")]
    assert events[-1] == TableTotals("patient", 1, 1, 1, 0)


def test_an_edit_among_many_rows_reads_only_what_differs() -> None:
    lines = [b"%d\tname %d\t%032d" % (i, i, i * i) for i in range(20_000)]
    history = SourceHistory()
    before = history.take(TableContent(PATIENT, lines))
    lines[12_345] = b"12345\tedited"
    after = history.take(TableContent(PATIENT, lines))
    before.tables(), after.tables()
    history.objects.reads = 0
    assert _rows(list(diff_snapshots(before, after))) == [
        (Action.UPDATED, b"12345\tname 12345\t%032d" % 12345**2, b"12345\tedited")
    ]
    pages = sum(kind.name == "PAGE" for kind, _ in history.objects.bodies.values())
    assert history.objects.reads < 12 < pages


def test_equal_tables_are_said_to_be_equal_and_not_read() -> None:
    history = SourceHistory()
    before, after = (history.take(nasty.every_kind(), nasty.keyless()) for _ in range(2))
    assert [(e.name, e.presence) for e in diff_snapshots(before, after) if isinstance(e, TableDiff)] == [
        ("every.kind", Presence.EQUAL),
        ("无主键", Presence.EQUAL),
    ]


def test_table_that_was_carried_over_says_in_which_snapshot_it_was_read() -> None:
    history = SourceHistory()
    first = history.take(TableContent(PATIENT, [b"1\ta"]))
    second = history.take(TableContent(PATIENT, [b"1\ta"], carried_from=1))
    third = history.take(TableContent(PATIENT, [b"1\tb"]))
    (equal,) = diff_snapshots(first, second)
    assert isinstance(equal, TableDiff)
    assert (equal.presence, equal.carried) == (Presence.EQUAL, (None, 1))
    changed = next(diff_snapshots(second, third))
    assert isinstance(changed, TableDiff)
    assert (changed.presence, changed.carried) == (Presence.CHANGED, (1, None))


def test_tables_added_and_removed_are_not_tables_that_could_not_be_read() -> None:
    history = SourceHistory()
    other = replace(PATIENT, name="visit")
    before = history.take(TableContent(PATIENT, [b"1"]), TableContent(other, [b"1"]), omitted={"closed": "no rights"})
    after = history.take(
        TableContent(replace(PATIENT, name="new"), []), omitted={"visit": "permission denied", "closed": "no rights"}
    )
    found = [
        (e.name, e.presence, e.rows, e.reason.en) for e in diff_snapshots(before, after) if isinstance(e, TableDiff)
    ]
    assert found == [
        ("closed", Presence.NOT_READ, (None, None), "not read after: no rights"),
        ("new", Presence.ADDED, (None, 0), ""),
        ("patient", Presence.REMOVED, (1, None), ""),
        ("visit", Presence.NOT_READ, (1, None), "not read after: permission denied"),
    ]


def test_a_column_added_with_nulls_changes_the_schema_and_no_row() -> None:
    wider = replace(PATIENT, columns=(*PATIENT.columns, Column("email", Kind.TEXT, True, "text")))
    events = _diff([TableContent(PATIENT, [b"1\ta", b"2"])], [TableContent(wider, [b"1\ta", b"2"])])
    head = events[0]
    assert isinstance(head, TableDiff)
    assert [(c.kind, c.column) for c in head.schema_changes] == [(SchemaChangeKind.COLUMN_ADDED, "email")]
    assert events[1:] == [TableTotals("patient", 0, 0, 0, 0)]


def test_columns_are_matched_by_name_when_one_was_put_before_them() -> None:
    moved = Schema("patient", (Column("ward", Kind.TEXT, True, "text"), *PATIENT.columns), ("id",))
    events = _diff(
        [TableContent(PATIENT, [b"1\ta\tx", b"2\tb", b"9\tc"])],
        [TableContent(moved, [b"W\t1\ta\tx", b"\\N\t2\tB", b"W\t10\tn"])],
    )
    changes = [e for e in events if isinstance(e, RowChange)]
    assert [(c.action, c.key, [(x.column, x.before, x.after) for x in c.cells]) for c in changes] == [
        (Action.UPDATED, (b"2",), [("name", b"b", b"B")]),
        (Action.DELETED, (b"9",), []),
        (Action.INSERTED, (b"10",), []),
    ]
    assert events[-1] == TableTotals("patient", 1, 1, 1, 1)


def test_rows_that_differ_only_in_a_removed_column_are_counted_apart() -> None:
    narrow = replace(PATIENT, columns=PATIENT.columns[:2])
    events = _diff([TableContent(PATIENT, [b"1\ta\tx", b"2\tb"])], [TableContent(narrow, [b"1\ta", b"2\tc"])])
    assert _rows(events) == [(Action.UPDATED, b"2\tb", b"2\tc")]
    assert events[-1] == TableTotals("patient", 0, 0, 1, 1)


def test_a_value_that_moved_into_another_column_is_a_change_although_its_line_is_the_same() -> None:
    # UPDATE patient SET phone = name; ALTER TABLE patient DROP COLUMN name
    narrow = replace(PATIENT, columns=(PATIENT.columns[0], PATIENT.columns[2]))
    events = _diff([TableContent(PATIENT, [b"1\ta", b"2"])], [TableContent(narrow, [b"1\ta", b"2"])])
    head = events[0]
    assert isinstance(head, TableDiff)
    assert (head.presence, head.method) == (Presence.CHANGED, Method.BY_KEY)
    assert _cells(events) == [((b"1",), [("phone", None, b"a")])]
    assert events[-1] == TableTotals("patient", 0, 0, 1, 0)


def test_two_columns_that_swapped_their_names_are_a_change_of_every_row_that_has_two_values() -> None:
    swapped = replace(PATIENT, columns=(PATIENT.columns[0], PATIENT.columns[2], PATIENT.columns[1]))
    lines = [b"1\ta\tx", b"2\tb\tb"]
    events = _diff([TableContent(PATIENT, lines)], [TableContent(swapped, [*lines, b"3\tc\tc"])])
    assert _cells(events) == [((b"1",), [("phone", b"x", b"a"), ("name", b"a", b"x")]), ((b"3",), [])]
    assert events[-1] == TableTotals("patient", 1, 0, 1, 0)


def test_a_moved_value_is_found_in_a_table_without_a_key_too() -> None:
    keyless = replace(PATIENT, key=())
    narrow = replace(keyless, columns=(PATIENT.columns[0], PATIENT.columns[2]))
    events = _diff([TableContent(keyless, [b"1\ta", b"1\ta"])], [TableContent(narrow, [b"1\ta", b"1\ta"])])
    assert _cells(events) == [((), [("phone", None, b"a")])] * 2
    assert events[-1] == TableTotals("patient", 0, 0, 2, 0)


def test_a_changed_key_is_said_and_rows_are_compared_as_whole_lines() -> None:
    by_name = replace(PATIENT, key=("name",))
    lines = [b"1\tz", b"2\ty", b"10\tx"]
    events = _diff([TableContent(PATIENT, lines)], [TableContent(by_name, [*lines, b"3\tw"])])
    head = events[0]
    assert isinstance(head, TableDiff)
    assert (head.method, head.reason.en) == (
        Method.BY_LINE, "not comparable by key: the key was (id int) and is (name text)",
    )  # fmt: skip
    assert _rows(events) == [(Action.INSERTED, None, b"3\tw")]


def test_a_key_whose_kind_changed_is_compared_as_whole_lines() -> None:
    as_text = replace(PATIENT, columns=(Column("id", Kind.TEXT, False, "text"), *PATIENT.columns[1:]))
    lines = [b"1\ta", b"2\tb", b"10\tc"]
    events = _diff([TableContent(PATIENT, lines)], [TableContent(as_text, lines)])
    head = events[0]
    assert isinstance(head, TableDiff)
    assert head.method is Method.BY_LINE
    assert [c.kind for c in head.schema_changes] == [SchemaChangeKind.COLUMN_RETYPED]
    assert events[1:] == [TableTotals("patient", 0, 0, 0, 0)]


def test_without_a_key_a_changed_row_is_one_deleted_and_one_inserted_and_copies_count() -> None:
    schema = replace(PATIENT, key=())
    events = _diff(
        [TableContent(schema, [b"1\ta", b"1\ta", b"1\ta", b"2\tb"])],
        [TableContent(schema, [b"1\ta", b"2\tB", b"2\tb", b"2\tb"])],
    )
    assert sorted(_rows(events), key=str) == sorted(
        [
            (Action.DELETED, b"1\ta", None),
            (Action.DELETED, b"1\ta", None),
            (Action.INSERTED, None, b"2\tB"),
            (Action.INSERTED, None, b"2\tb"),
        ],
        key=str,
    )


def test_a_large_cell_is_compared_by_its_hash() -> None:
    before = nasty.large_cells()
    lines = list(before.lines)
    lines[0] = lines[0].replace("体温正常".encode(), "体温偏高".encode(), 1)
    events = _diff([before], [replace(before, lines=lines)])
    change = next(e for e in events if isinstance(e, RowChange))
    assert [c.column for c in change.cells] == ["body"]
    assert isinstance(change.cells[0].before, Token)


def test_an_unknown_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        _diff([nasty.composite()], [nasty.composite()], tables=["nope"])
    assert "visit_item" in caught.value.hint


def test_schema_changes_name_type_key_comment_and_notes() -> None:
    after = Schema(
        "patient",
        (
            Column("id", Kind.INT, False, "bigint"),
            Column("phone", Kind.TEXT, True, "text"),
            Column("name", Kind.TEXT, True, "text", comment="full name"),
        ),
        ("id",),
        ("a note",),
    )
    events = _diff([TableContent(PATIENT, [b"1"])], [TableContent(after, [b"1"])])
    head = events[0]
    assert isinstance(head, TableDiff)
    assert [c.kind for c in head.schema_changes] == [
        SchemaChangeKind.COLUMN_RETYPED,
        SchemaChangeKind.COLUMN_COMMENTED,
        SchemaChangeKind.COLUMNS_REORDERED,
        SchemaChangeKind.NOTES_CHANGED,
    ]


_TABLES = st.dictionaries(st.integers(-50, 300), st.sampled_from([b"a", b"b", b"", b"x" * 3000]), max_size=120)


@settings(max_examples=40, deadline=None)
@given(_TABLES, _TABLES, st.booleans())
def test_a_difference_turns_the_old_rows_into_the_new_ones(
    old: dict[int, bytes], new: dict[int, bytes], has_key: bool
) -> None:
    schema = PATIENT if has_key else replace(PATIENT, key=())
    lines = [[b"%d\t%s" % item for item in rows.items()] for rows in (old, new)]
    rows = sorted(lines[0])
    for event in _diff([TableContent(schema, lines[0])], [TableContent(schema, lines[1])]):
        if isinstance(event, RowChange):
            if event.before is not None:
                rows.remove(event.before.line)
            if event.after is not None:
                rows.append(event.after.line)
            assert not (event.before and event.after) or (has_key and event.before.key == event.after.key)
    assert sorted(rows) == sorted(lines[1])
