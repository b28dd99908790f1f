# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center snapshots [UNIT [SOURCE]]`: what is locked."""

import argparse

from center.cli.opening import open_center
from center.cli.words import FLAGS, KINDS, LEVELS, label
from center.registry.catalog_tables import StatementRow
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Cell, Printer, format_size


class Snapshots:
    """List statements."""

    name = "snapshots"
    help = Text(zh="列出已锁定的快照", en="what is locked")
    description = Text(
        zh="每条声明一行：序号（来源#序号）、状态时间、级别、表数、行数、大小、日志位置（log@）、提示。\n"
        "提示 缺口：单位声明有一段未覆盖；有略去：有表未能读取；有沿用：有表本次未读，沿用先前的读取；行数骤减：比上次少一成以上。",
        en="A line a statement: sequence (source#n), when it shows the source, level, tables, rows, size, place in\n"
        "the log (log@n), flags. gap: the unit states that something is not covered; omitted: a table could not be\n"
        "read; carried over: a table was not read this time, its last reading stands; fewer rows: more than a tenth are\n"
        "gone since the one before.",
    )
    examples = Examples(
        sh="jinsuo-center snapshots X013 his", powershell="jinsuo-center snapshots --json | ConvertFrom-Json"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE."""
        parser.add("unit", nargs="?", metavar="UNIT", help=Text(zh="只看该单位", en="of this unit only"))
        parser.add("source", nargs="?", metavar="SOURCE", help=Text(zh="只看该来源", en="of this source only"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """List them."""
        with open_center(args, out) as center:
            if args.unit is not None:
                center.units.get(args.unit)  # a mistyped unit is an error, not an empty list
            if args.source is not None:
                center.units.secrets(args.unit, args.source)
            rows = center.catalog.statements(args.unit, args.source)
        out.table(
            [
                Text(zh="单位", en="UNIT"), Text(zh="快照", en="SNAPSHOT"), Text(zh="种类", en="KIND"),
                Text(zh="开始", en="BEGAN"), Text(zh="收到", en="RECEIVED"), Text(zh="级别", en="LEVEL"),
                Text(zh="表", en="TABLES"), Text(zh="行", en="ROWS"), Text(zh="大小", en="SIZE"),
                Text(zh="日志", en="LOG"), Text(zh="提示", en="FLAGS"),
            ],
            [_row(row, out) for row in rows],
        )  # fmt: skip
        out.result({"snapshots": [describe(row) for row in rows]})
        return EXIT_OK


def _row(row: StatementRow, out: Printer) -> list[Cell]:
    is_snapshot = row.kind == "snapshot"
    flags = ", ".join(out.words(FLAGS.get(flag, flag)) for flag in row.flags)
    return [
        row.unit,
        label(row),
        KINDS.get(row.kind, row.kind),
        row.began,
        row.received,
        LEVELS[row.level.value],
        row.tables if is_snapshot else None,
        row.rows if is_snapshot else None,
        format_size(row.bytes_) if is_snapshot else None,
        f"log@{row.index if row.stored_index is None else row.stored_index}",
        flags or None,
    ]


def describe(row: StatementRow) -> dict[str, object]:
    """Give a statement as JSON has it."""
    return {
        "unit": row.unit,
        "source": row.source,
        "sequence": row.sequence,
        "kind": row.kind,
        "level": row.level.value,
        "received": row.received,
        "began": row.began,
        "ended": row.ended,
        "consistency": row.consistency,
        "tables": row.tables,
        "rows": row.rows,
        "bytes": row.bytes_,
        "log_index": row.index,
        "stored_index": row.stored_index,
        "digest": row.digest,
        "previous": row.previous,
        "root": row.root,
        "flags": list(row.flags),
    }
