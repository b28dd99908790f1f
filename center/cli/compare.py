# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center compare UNIT SOURCE N --with UNIT2 SOURCE2 N2`: the proof of a migration, differences by their causes."""

import argparse

from center.cli.opening import add_source, find_sequence, open_center
from center.cli.words import show_cell, show_change
from center.compare.causes import Cause
from center.compare.migration import TableMatch, Unmatched, compare_systems, parse_pair
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK
from terminal.language import NOTHING, Text
from terminal.printer import Printer

_CAUSES = {
    Cause.EMPTY_NULL: Text(zh="'' 与 NULL", en="'' and NULL"),
    Cause.TRAILING_BLANKS: Text(zh="尾部空格", en="blanks at the end"),
    Cause.LINE_ENDS: Text(zh="换行 CRLF/LF", en="line ends CRLF/LF"),
    Cause.SCALE: Text(zh="小数位数（尾部的零）", en="scale (zeros at the end)"),
    Cause.FLOAT: Text(zh="浮点写法", en="form of a float"),
    Cause.BOOLEAN: Text(zh="布尔写法", en="spelling of a boolean"),
    Cause.DATE_TIME: Text(zh="日期带 00:00:00", en="a date with 00:00:00"),
    Cause.FRACTION: Text(zh="秒的小数被截断", en="fraction of a second cut"),
    Cause.ZONE: Text(zh="时区写法", en="form of the time zone"),
    Cause.UUID: Text(zh="UUID 写法", en="spelling of a UUID"),
    Cause.JSON: Text(zh="JSON 排版", en="layout of JSON"),
    Cause.DIFFERENT: Text(zh="确有不同", en="really different"),
}


class Compare:
    """Compare two systems."""

    name = "compare"
    help = Text(
        zh="比较两个系统的快照，差异按原因归类（迁移证明）",
        en="compare snapshots of two systems, differences by cause (proof of a migration)",
    )
    description = Text(
        zh="两个快照可来自不同单位、来源、数据库。表按名称末段配对（不分大小写），或用 --table 旧=新；行按主键配对，\n"
        "无主键则按全部列。差异按原因计数并举例：" + "、".join(Cause) + "。\n"
        "退出码：0 一致，1 有差异；--accept 原因 把某种写法差异视为一致。",
        en="The snapshots may be of different units, sources and databases. Tables are paired by the last part of their\n"
        "names without regard to case, or by --table OLD=NEW; rows by key, else by all columns. Differences are counted\n"
        "by cause, with examples: " + ", ".join(Cause) + ".\n"
        "Exit code: 0 equal, 1 different; --accept CAUSE takes a difference of form for equal.",
    )
    examples = Examples(
        sh="jinsuo-center compare X013 his 412 --with X013 his-new latest --table HIS.PATIENT=public.patient",
        powershell="jinsuo-center compare X013 his latest --with X013 his-new latest --accept empty-null --json",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, N, --with, --table, --accept."""
        add_source(parser)
        parser.add("n", metavar="N", help=Text(zh="序号、latest 或时间", en="a sequence, `latest` or a time"))
        parser.add(
            "--with",
            dest="other",
            nargs=3,
            required=True,
            metavar=("UNIT2", "SOURCE2", "N2"),
            help=Text(zh="与哪个快照比较（迁移后的系统）", en="the snapshot to compare with (of the migrated system)"),
        )
        parser.add(
            "--table",
            action="append",
            metavar="OLD=NEW",
            help=Text(zh="只比较这一对表，可重复", en="this pair of tables only; may be repeated"),
        )
        parser.add(
            "--accept",
            action="append",
            default=[],
            choices=[cause.value for cause in Cause if cause is not Cause.DIFFERENT],
            metavar="CAUSE",
            help=Text(zh="视为一致的原因，可重复", en="a cause that is taken for equal; may be repeated"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Compare them, table by table."""
        accepted = frozenset(Cause(word) for word in args.accept)
        pairs = dict(map(parse_pair, args.table)) if args.table else None
        is_equal = True
        with open_center(args, out) as center:
            unit, source, text = args.other
            before = center.open_snapshot(args.unit, args.source, find_sequence(center, args.unit, args.source, args.n))
            after = center.open_snapshot(unit, source, find_sequence(center, unit, source, text))
            names = [f"{s.row.unit}/{s.row.source}#{s.row.sequence}" for s in (before, after)]
            out.say(f"{names[0]}  ↔  {names[1]}")
            out.record({"event": "snapshots", "before": names[0], "after": names[1], "accepted": sorted(accepted)})
            for event in compare_systems(before, after, pairs):
                if isinstance(event, TableMatch):
                    is_equal &= event.is_equal(accepted)
                    _show_match(event, accepted, out)
                else:
                    is_equal = False
                    _show_unmatched(event, out)
        _show_verdict(is_equal, names, out)
        return EXIT_OK if is_equal else EXIT_FAILED


def _show_match(match: TableMatch, accepted: frozenset[Cause], out: Printer) -> None:
    word = _verdict(match.is_equal(accepted))
    title = match.before if match.before == match.after else f"{match.before} ↔ {match.after}"
    old, new = match.rows
    out.say(
        Text(
            zh=f"{title}：{word.zh}（{old:,} ↔ {new:,} 行；相同 {match.equal:,}，有差异 {match.differing:,}）",
            en=f"{title}: {word.en} ({old:,} ↔ {new:,} rows; {match.equal:,} equal, {match.differing:,} differ)",
        )
    )
    _show_lacks(match, out)
    for group in sorted(match.groups.values(), key=lambda g: (g.column, g.cause)):
        cause = _CAUSES[group.cause]
        out.say(
            Text(
                zh=f"  {group.column}：{cause.zh}，{group.count:,} 处",
                en=f"  {group.column}: {cause.en}, {group.count:,} cells",
            )
        )
        for example in group.examples:
            out.say(f"      [{_key(example.key)}] {show_change(example.before, example.after)}")
    out.record(_describe(match, accepted))


def _show_lacks(match: TableMatch, out: Printer) -> None:
    for names, zh, en in (
        (match.missing, "新表缺少的列", "columns that the new table lacks"),
        (match.added, "新表多出的列", "columns that the old table lacks"),
    ):
        if names:
            out.say(Text(zh=f"  {zh}：{', '.join(names)}", en=f"  {en}: {', '.join(names)}"))
    for count, keys, zh, en in (
        (match.only_before, match.first_before, "仅旧表有的行", "rows of the old table only"),
        (match.only_after, match.first_after, "仅新表有的行", "rows of the new table only"),
    ):
        if count:
            first = "; ".join(f"[{_key(key)}]" for key in keys)
            out.say(Text(zh=f"  {zh}：{count:,}，如 {first}", en=f"  {en}: {count:,}, such as {first}"))


def _show_unmatched(event: Unmatched, out: Printer) -> None:
    side = Text(zh="仅旧系统有", en="in the old system only")
    if not event.is_before:
        side = Text(zh="仅新系统有", en="in the new system only")
    why = event.reason if event.reason == NOTHING else Text(zh=f"（{event.reason.zh}）", en=f" ({event.reason.en})")
    out.say(Text(zh=f"{event.name}：{side.zh}{why.zh}", en=f"{event.name}: {side.en}{why.en}"))
    out.record(
        {
            "event": "unmatched",
            "table": event.name,
            "side": "before" if event.is_before else "after",
            "reason": event.reason.en,
        }
    )


def _show_verdict(is_equal: bool, names: list[str], out: Printer) -> None:
    word = _verdict(is_equal)
    out.say(Text(zh=f"{word.zh}：{names[0]} 与 {names[1]}", en=f"{word.en}: {names[0]} and {names[1]}"))
    out.record({"event": "verdict", "equal": is_equal})


def _verdict(is_equal: bool) -> Text:
    return Text(zh="一致", en="equal") if is_equal else Text(zh="不同", en="different")


def _key(key: tuple[str | None, ...]) -> str:
    return ", ".join(show_cell(text) for text in key)


def _describe(match: TableMatch, accepted: frozenset[Cause]) -> dict[str, object]:
    return {
        "event": "table",
        "before": match.before,
        "after": match.after,
        "rows": list(match.rows),
        "matched_by": list(match.by),
        "equal": match.is_equal(accepted),
        "equal_rows": match.equal,
        "differing_rows": match.differing,
        "only_before": match.only_before,
        "only_after": match.only_after,
        "missing_columns": list(match.missing),
        "added_columns": list(match.added),
        "causes": dict(match.counts()),
        "groups": [
            {
                "column": g.column,
                "cause": g.cause,
                "count": g.count,
                "examples": [{"key": list(e.key), "before": e.before, "after": e.after} for e in g.examples],
            }
            for g in match.groups.values()
        ],
    }
