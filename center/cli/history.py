# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center history UNIT SOURCE TABLE KEY…`: every version of one row, and what was not read between."""

import argparse

from center.cli.opening import add_source, open_center
from center.cli.words import show_cell, show_change
from center.compare.history import Gap, GapKind, Version, read_history
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer

_GAPS = {
    GapKind.MISSING: Text(zh="序号缺失", en="missing"),
    GapKind.STATED: Text(zh="单位声明的缺口", en="stated gap"),
    GapKind.REGISTERED: Text(zh="仅登记", en="registered only"),
    GapKind.NOT_READ: Text(zh="未能读取", en="not read"),
    GapKind.NO_TABLE: Text(zh="没有该表", en="no such table"),
    GapKind.NOT_COMPARABLE: Text(zh="主键不同，无法对照", en="not comparable"),
    GapKind.DAMAGED: Text(zh="已损坏", en="damaged"),
}
_NO_COLUMN = Text(zh="（没有这一列）", en="(no such column)")


class History:
    """Show the versions of a row."""

    name = "history"
    help = Text(zh="一行记录的全部版本", en="every version of one row")
    description = Text(
        zh="每个版本给出它首次出现在哪两个快照之间；缺口、未读取的表、缺失的序号都标明，不作推断。",
        en="Each version with the snapshots between which it first appeared. Gaps, tables that were not read and\n"
        "missing sequences are marked; nothing is guessed.",
    )
    examples = Examples(
        sh="jinsuo-center history X013 his patient 17", powershell="jinsuo-center history X013 his patient 17 --json"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, TABLE and the key."""
        add_source(parser)
        parser.add("table", metavar="TABLE", help=Text(zh="表名", en="the table"))
        parser.add("key", metavar="KEY", nargs="+", help=Text(zh="主键各列的值", en="the values of the key's columns"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Show them."""
        with open_center(args, out) as center:
            center.replay.catch_up()
            events = read_history(
                center.catalog.statements(args.unit, args.source),
                lambda sequence: center.open_snapshot(args.unit, args.source, sequence),
                args.table,
                args.key,
            )
        before: Version | None = None
        for event in events:
            if isinstance(event, Gap):
                _show_gap(event, args.source, out)
                out.record(
                    {
                        "event": "gap",
                        "kind": event.kind,
                        "first": event.first,
                        "last": event.last,
                        "reason": event.reason.en,
                    }
                )
            else:
                _show_version(event, before, args.source, out)
                out.record(_describe(event))
                before = event
        return EXIT_OK


def _show_gap(gap: Gap, source: str, out: Printer) -> None:
    span = f"{source}#{gap.first}" if gap.first == gap.last else f"{source}#{gap.first}–{source}#{gap.last}"
    kind = _GAPS[gap.kind]
    out.say(Text(zh=f"  ? {span} {kind.zh}：{gap.reason.zh}", en=f"  ? {span} {kind.en}: {gap.reason.en}"))


def _show_version(version: Version, before: Version | None, source: str, out: Printer) -> None:
    first = f"{source}#{version.first.sequence} ({out.time(version.first.read_at[0])})"
    if version.after is None:
        out.say(Text(zh=f"最早见于 {first}：", en=f"first seen in {first}:"))
    else:
        after = f"{source}#{version.after.sequence} ({out.time(version.after.read_at[1])})"
        out.say(Text(zh=f"{after} 之后，不晚于 {first}：", en=f"after {after}, by {first}:"))
    if version.row is None:
        out.say(Text(zh="  （没有这一行）", en="  (the row is not there)"))
    else:
        old = {} if before is None or before.row is None else before.row.texts()
        new = version.row.texts()
        for name, text in new.items():
            if not old:
                out.say(f"  {name}: {show_cell(text)}")
            elif name not in old:
                out.say(f"  {name}: {out.words(_NO_COLUMN)} → {show_cell(text)}")
            elif old[name] != text:
                out.say(f"  {name}: {show_change(old[name], text)}")
        for name in [name for name in old if name not in new]:
            out.say(f"  {name}: {show_cell(old[name])} → {out.words(_NO_COLUMN)}")
    last = f"{source}#{version.last.sequence}"
    out.say(
        Text(
            zh=f"  见于 {version.readings} 次读取，最后 {last}", en=f"  in {version.readings} readings, the last {last}"
        )
    )


def _describe(version: Version) -> dict[str, object]:
    def reading(which: str) -> dict[str, object] | None:
        found = getattr(version, which)
        return None if found is None else {"sequence": found.sequence, "read_at": list(found.read_at)}

    return {
        "event": "version",
        "row": None if version.row is None else version.row.texts(),
        "after": reading("after"),
        "first": reading("first"),
        "last": reading("last"),
        "readings": version.readings,
        "carried": list(version.carried),
    }
