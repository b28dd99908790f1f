# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center diff UNIT SOURCE N1 N2`: what changed between two snapshots, before → after, by column."""

import argparse
from collections.abc import Iterator

from center.cli.opening import add_source, find_sequence, open_center
from center.cli.words import label, show_cell, show_change
from center.compare.diff import (
    Action,
    DiffEvent,
    Presence,
    RowChange,
    SchemaChange,
    SchemaChangeKind,
    TableDiff,
    TableTotals,
    diff_snapshots,
)
from center.compare.rows import Row, cell_text
from center.registry.catalog_tables import StatementRow
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import NOTHING, Text
from terminal.printer import Printer

_LIMIT = 1000
_PRESENCE = {
    Presence.EQUAL: Text(zh="相同", en="equal"),
    Presence.CHANGED: Text(zh="有变化", en="changed"),
    Presence.ADDED: Text(zh="新增的表", en="added table"),
    Presence.REMOVED: Text(zh="已删除的表", en="removed table"),
    Presence.NOT_READ: Text(zh="未能读取", en="not read"),
}
_SIGNS = {Action.INSERTED: "+", Action.DELETED: "-", Action.UPDATED: "~"}


class Diff:
    """Compare two snapshots."""

    name = "diff"
    help = Text(zh="比较两个快照，逐列给出 前 → 后", en="what changed between two snapshots, before → after, by column")
    description = Text(
        zh="按表列出新增（+）、删除（-）、修改（~）的行，结构变化另列；未变的子树不读取。\n"
        "--json 每行输出一条 JSON：table、row、totals。",
        en="Rows inserted (+), deleted (-), updated (~), table by table; changes of the schema apart. Equal subtrees\n"
        "are not read. --json streams a line for each event: table, row, totals.",
    )
    examples = Examples(
        sh="jinsuo-center diff X013 his 411 412 --table patient",
        powershell="jinsuo-center diff X013 his 411 latest --json",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, N1, N2, --table, --limit, --all."""
        add_source(parser)
        n_help = Text(zh="序号、latest 或时间", en="a sequence, `latest` or a time")
        parser.add("n1", metavar="N1", help=n_help)
        parser.add("n2", metavar="N2", help=n_help)
        parser.add(
            "--table",
            action="append",
            metavar="T",
            help=Text(zh="只比较该表，可重复", en="this table only; may be repeated"),
        )
        parser.add(
            "--limit",
            type=int,
            default=_LIMIT,
            metavar="ROWS",
            help=Text(
                zh=f"每表最多显示的行；0 为全部；默认 {_LIMIT}", en=f"rows shown per table; 0: all; {_LIMIT} by default"
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Compare them."""
        with open_center(args, out) as center:
            sequences = [find_sequence(center, args.unit, args.source, text) for text in (args.n1, args.n2)]
            before, after = (center.open_snapshot(args.unit, args.source, sequence) for sequence in sequences)
            names = [f"{s.row.source}#{s.row.sequence}" for s in (before, after)]
            out.say(
                f"{args.unit}  {names[0]} ({out.time(before.row.began)})  →  {names[1]} ({out.time(after.row.began)})"
            )
            head = {"event": "snapshots", "unit": args.unit, "source": args.source}
            out.record({**head, "before": before.row.sequence, "after": after.row.sequence})
            _show(diff_snapshots(before, after, args.table), args.limit, (before.row, after.row), out)
        return EXIT_OK


def _show(events: Iterator[DiffEvent], limit: int, snapshots: tuple[StatementRow, StatementRow], out: Printer) -> None:
    shown = equal = 0
    for event in events:
        if isinstance(event, TableDiff):
            shown = 0
            equal += event.presence is Presence.EQUAL
            _show_table(event, snapshots, out)
        elif isinstance(event, RowChange):
            shown += 1
            if limit == 0 or shown <= limit:
                _show_row(event, out)
            elif shown == limit + 1:
                out.say(Text(zh="  …（其余用 --limit 0 或 --json）", en="  … (the rest with --limit 0 or --json)"))
            out.record(_describe_row(event))
        else:
            _show_totals(event, out)
    if equal:
        out.say(Text(zh=f"另有 {equal} 张表相同", en=f"{equal} tables are equal"))


def _show_table(event: TableDiff, snapshots: tuple[StatementRow, StatementRow], out: Printer) -> None:
    if event.presence is not Presence.EQUAL:
        counts = " → ".join("-" if rows is None else f"{rows:,}" for rows in event.rows)
        word = out.words(_PRESENCE[event.presence])
        out.say(Text(zh=f"{event.name}：{word}（{counts} 行）", en=f"{event.name}: {word} ({counts} rows)"))
        if event.reason != NOTHING:
            out.say(f"  {out.words(event.reason)}")
    for row, read_in in zip(snapshots, event.carried, strict=True):
        if read_in is not None:
            # Also of an equal table: nobody looked, so it is not known to be unchanged.
            read = f"{row.source}#{read_in}"
            out.say(
                Text(
                    zh=f"{event.name}：{label(row)} 未读此表，沿用 {read} 的读取",
                    en=f"{event.name}: not read in {label(row)}, carried over from {read}",
                )
            )
    for change in event.schema_changes:
        out.say(_schema_text(change))
    out.record(
        {
            "event": "table",
            "table": event.name,
            "presence": event.presence,
            "rows": list(event.rows),
            "method": event.method,
            "reason": event.reason.en,
            "carried_from": list(event.carried),
            "schema": [
                {"change": c.kind, "column": c.column, "before": c.before, "after": c.after}
                for c in event.schema_changes
            ],
        }
    )


_CHANGES = {
    SchemaChangeKind.COLUMN_ADDED: "新增列",
    SchemaChangeKind.COLUMN_REMOVED: "删除列",
    SchemaChangeKind.COLUMN_RETYPED: "列的类型改变",
    SchemaChangeKind.COLUMN_COMMENTED: "列的注释改变",
    SchemaChangeKind.COLUMNS_REORDERED: "列的次序改变",
    SchemaChangeKind.KEY_CHANGED: "主键改变",
    SchemaChangeKind.NOTES_CHANGED: "备注改变",
}


def _schema_text(change: SchemaChange) -> Text:
    column = "" if change.column is None else f" {change.column}"
    what = f"{change.before or '-'} → {change.after or '-'}"
    return Text(zh=f"  ! {_CHANGES[change.kind]}{column}：{what}", en=f"  ! {change.kind}{column}: {what}")


def _show_row(change: RowChange, out: Printer) -> None:
    sign = _SIGNS[change.action]
    row = change.after or change.before
    assert row is not None
    if change.action is Action.UPDATED:
        out.say(f"  {sign} {_key_text(row)}")
        for cell in change.cells:
            out.say(f"      {cell.column}: {show_change(cell_text(cell.before), cell_text(cell.after))}")
        return
    cells = "  ".join(f"{name}={show_cell(text)}" for name, text in row.texts().items())
    out.say(f"  {sign} {cells}")


def _key_text(row: Row) -> str:
    return " ".join(f"{name}={show_cell(cell_text(cell))}" for name, cell in zip(row.schema.key, row.key, strict=True))


def _describe_row(change: RowChange) -> dict[str, object]:
    return {
        "event": "row",
        "table": change.table,
        "action": change.action,
        "key": [cell_text(cell) for cell in change.key],
        "before": None if change.before is None else change.before.texts(),
        "after": None if change.after is None else change.after.texts(),
        "cells": [
            {"column": c.column, "before": cell_text(c.before), "after": cell_text(c.after)} for c in change.cells
        ],
    }


def _show_totals(totals: TableTotals, out: Printer) -> None:
    by_schema = totals.by_schema
    out.say(
        Text(
            zh=f"  共：新增 {totals.inserted:,}，删除 {totals.deleted:,}，修改 {totals.updated:,}"
            + (f"，仅因结构变化 {by_schema:,}" if by_schema else ""),
            en=f"  total: {totals.inserted:,} inserted, {totals.deleted:,} deleted, {totals.updated:,} updated"
            + (f", {by_schema:,} by the schema alone" if by_schema else ""),
        )
    )
    out.record(
        {
            "event": "totals",
            "table": totals.name,
            "inserted": totals.inserted,
            "deleted": totals.deleted,
            "updated": totals.updated,
            "by_schema": by_schema,
        }
    )
