# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center find UNIT SOURCE N TABLE --where COL=VALUE…`: rows of one snapshot by any column."""

import argparse

from center.cli.opening import add_snapshot, open_center, open_named
from center.cli.words import show_cell
from center.compare.find import find_rows
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK
from terminal.language import Text
from terminal.printer import Printer

_LIMIT = 200


class Find:
    """Find rows."""

    name = "find"
    help = Text(zh="按任意列查找一个快照中的行", en="rows of one snapshot by any column")
    description = Text(
        zh="各条件须同时成立；\\N 为空值。给出全部主键列时直接定位，否则读整张表。没有找到时退出码为 1。",
        en="All conditions must hold; \\N is NULL. A whole key is looked up, anything else reads the table.\n"
        "Exit code 1 if no row is found.",
    )
    examples = Examples(
        sh="jinsuo-center find X013 his 412 patient --where name=张三 --where ward=内科",
        powershell="jinsuo-center find X013 his latest patient --where id=17 --json",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, N or --at, TABLE, --where, --limit."""
        add_snapshot(parser)
        parser.add("table", metavar="TABLE", help=Text(zh="表名", en="the table"))
        parser.add(
            "--where",
            action="append",
            nargs="+",
            default=[],
            metavar="COL=VALUE",
            help=Text(zh="条件，可重复", en="a condition; may be repeated"),
        )
        parser.add(
            "--limit",
            type=int,
            default=_LIMIT,
            metavar="ROWS",
            help=Text(zh=f"最多显示的行；0 为全部；默认 {_LIMIT}", en=f"rows shown; 0: all; {_LIMIT} by default"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Find them."""
        count = 0
        with open_center(args, out) as center:
            snapshot = open_named(center, args)
            where = [condition for conditions in args.where for condition in conditions]
            rows: list[list[str]] = []
            columns = [column.name for column in snapshot.table(args.table).schema.columns]
            for row in find_rows(snapshot, args.table, where):
                count += 1
                texts = row.texts()
                out.record({"sequence": snapshot.row.sequence, "table": args.table, "row": texts})
                if not out.json_mode and (args.limit == 0 or count <= args.limit):
                    rows.append([show_cell(texts[name]) for name in columns])
        if rows:
            out.table(columns, rows)
        if count > len(rows) and not out.json_mode:
            out.say(Text(zh=f"…共 {count:,} 行（--limit 0 全部显示）", en=f"… {count:,} rows (--limit 0 shows all)"))
        if count == 0:
            out.say(Text(zh="没有这样的行", en="there is no such row"))
        return EXIT_OK if count else EXIT_FAILED
