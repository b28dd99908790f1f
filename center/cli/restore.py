# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center restore UNIT SOURCE N --to TARGET`: data back, and the proof that the copy is what was snapshotted."""

import argparse
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from center.cli.opening import add_snapshot, open_center, open_named
from center.cli.unit import account
from center.errors import CenterError
from center.restore.places import open_target
from center.restore.restore import Ddl, RestoreReport, TableReport, restore
from evidence.manifest.entry import Act
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, UsageError, words_of
from terminal.language import NOTHING, Text
from terminal.printer import Printer
from terminal.progress import Bar

if TYPE_CHECKING:
    from center.app import Center

_PHASES = {"load": Text(zh="写入", en="loading"), "verify": Text(zh="核对", en="verifying")}


class Restore:
    """Restore a snapshot."""

    name = "restore"
    help = Text(zh="恢复一个快照，并证明副本与原件一致", en="restore a snapshot and prove that the copy equals it")
    description = Text(
        zh="TARGET：sqlite:///文件、postgresql://用户@主机/库、mysql://用户@主机/库，或一个目录（文件、CSV）。\n"
        "目标非空时拒绝，除非 --overwrite。写完后重新读取副本、按原密钥重算各表的根并比对；\n"
        "同时说明哪些内容不在根之内。有不符时退出码为 1。",
        en="TARGET: sqlite:///FILE, postgresql://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE, or a folder (files,\n"
        "CSV). Never onto a non-empty target unless --overwrite. Then the copy is read again, its roots computed and\n"
        "compared, and what is outside the roots is said. Exit code 1 if a root differs.",
    )
    examples = Examples(
        sh="jinsuo-center restore X013 his 412 --to postgresql://postgres@localhost/his_copy",
        powershell=r"jinsuo-center restore X013 his latest --to sqlite:///D:/restored/his.db",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, N or --at, --to, --table, --overwrite."""
        add_snapshot(parser)
        parser.add("--to", required=True, metavar="TARGET", help=Text(zh="恢复到哪里", en="where to"))
        parser.add(
            "--table",
            action="append",
            metavar="T",
            help=Text(zh="只恢复该表，可重复", en="this table only; may be repeated"),
        )
        parser.add(
            "--overwrite",
            action="store_true",
            help=Text(zh="允许替换目标中的同名内容", en="replace what has the same names"),
        )
        parser.add(
            "--with-ddl",
            action="store_true",
            help=Text(
                zh="目标为同种空数据库时，按来源自己的 DDL 建表、约束、索引、视图、序列",
                en="into an empty database of the same product: tables, constraints, indexes, views, sequences by the "
                "source's own DDL",
            ),
        )
        parser.add(
            "--with-programs",
            action="store_true",
            help=Text(
                zh="同上，并创建函数、触发器、事件等程序（否则只列出）",
                en="as --with-ddl, and also functions, triggers, events, which are else only listed",
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Restore it, compare, log the act."""
        ddl = Ddl.PROGRAMS if args.with_programs else Ddl.SHAPES if args.with_ddl else Ddl.NONE
        if ddl is not Ddl.NONE and args.table:
            raise UsageError(
                Text(zh="--with-ddl 与 --table 不能同用", en="--with-ddl and --table exclude each other"),
                hint=Text(zh="DDL 属于整个数据库", en="the DDL is that of the whole database"),
            )
        with open_center(args, out) as center:
            snapshot = open_named(center, args)
            with closing(open_target(args.to)) as target, ExitStack() as stack:
                report = restore(snapshot, target, args.table, args.overwrite, _Bars(out, stack).tell, ddl)
            _record(center, report, out)
        _show(report, out)
        out.result(_describe(report))
        return EXIT_OK if report.is_equal else EXIT_FAILED


class _Bars:
    """One bar for each table and phase."""

    def __init__(self, out: Printer, stack: ExitStack) -> None:
        self._out = out
        self._stack = stack
        self._current: tuple[str, str] | None = None
        self._bar: Bar | None = None
        self._done = 0

    def tell(self, phase: str, table: str, done: int, total: int) -> None:
        if (phase, table) != self._current:
            self._stack.close()
            self._current, self._done = (phase, table), 0
            words = self._out.words(_PHASES.get(phase, phase))
            self._bar = self._stack.enter_context(self._out.progress(f"{words} {table}", total=total))
        assert self._bar is not None
        self._bar.advance(done - self._done)
        self._done = done


def _record(center: "Center", report: RestoreReport, out: Printer) -> None:
    """Log the restore; that the log is held must not hide that the data is back."""
    outcome = "equal" if report.is_equal else "different"
    name = f"{report.unit}/{report.source}#{report.sequence}"
    try:
        center.record("restore", Act("recovery", name, outcome, account(), f"to {report.target}"[:500]))
    except CenterError as err:
        out.warn(Text(zh=f"本次恢复没有记入日志：{words_of(err).zh}", en=f"this restore is not in the log: {err}"))


def _show(report: RestoreReport, out: Printer) -> None:
    out.table(
        [
            Text(zh="表", en="TABLE"), Text(zh="位置", en="WHERE"), Text(zh="行", en="ROWS"), Text(zh="根", en="ROOT"),
            Text(zh="说明", en="NOTES"),
        ],
        [[t.name, t.where if t.where != NOTHING else None, t.rows, _verdict(t), _notes(t)] for t in report.tables],
    )  # fmt: skip
    for table in report.tables:
        for before, after in table.differences.first if table.differences is not None else ():
            out.say(f"  {table.name}: {before!r:.160} → {after!r:.160}")
    for name, reason in report.omitted:
        out.say(Text(zh=f"快照未含 {name}：{reason}", en=f"not in the snapshot: {name}: {reason}"))
    for place in report.documents:
        out.say(Text(zh=f"文档：{place}", en=f"document: {place}"))
    for note in report.notes:
        out.say(note)
    out.say(Text(zh="不在根之内（请另行核对）：", en="outside the roots (look at these yourself):"))
    for text in report.outside_roots:
        out.say(f"  {out.words(text)}")
    name = f"{report.source}#{report.sequence}"
    if report.is_equal:
        out.say(
            Text(
                zh=f"已证明：{report.target} 与 {name} 的各表一致",
                en=f"proven: the tables in {report.target} are those of {name}",
            )
        )
    else:
        out.say(Text(zh=f"不一致：{report.target} 与 {name} 有差别", en=f"different: {report.target} is not {name}"))


def _verdict(table: TableReport) -> Text:
    if table.is_equal:
        return Text(zh="一致", en="equal")
    return Text(zh="失败", en="failed") if table.error is not None else Text(zh="不同", en="different")


def _notes(table: TableReport) -> Text | None:
    notes = [*([] if table.error is None else [table.error]), *table.notes]
    return Text(zh="；".join(n.zh for n in notes), en="; ".join(n.en for n in notes)) if notes else None


def _describe(report: RestoreReport) -> dict[str, object]:
    return {
        "unit": report.unit,
        "source": report.source,
        "sequence": report.sequence,
        "target": report.target,
        "equal": report.is_equal,
        "tables": [
            {
                "name": t.name,
                "where": t.where.en,
                "rows": t.rows,
                "root": t.root,
                "found_root": t.found_root,
                "found_rows": t.found_rows,
                "equal": t.is_equal,
                "notes": [note.en for note in t.notes],
                "error": None if t.error is None else t.error.en,
                "differences": None if t.differences is None else t.differences.count,
            }
            for t in report.tables
        ],
        "documents": list(report.documents),
        "notes": [note.en for note in report.notes],
        "outside_roots": [text.en for text in report.outside_roots],
        "omitted": [{"name": name, "reason": reason} for name, reason in report.omitted],
        "left_out": list(report.left_out),
    }
