# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center audit [--read all|PERCENT]`: everything re-hashed, damage named, and how much was read."""

import argparse
import dataclasses
import re

from center.audit.audit import audit
from center.audit.findings import AuditReport, Finding, Thing
from center.audit.opening import open_audited
from center.cli.opening import find_passphrase, open_center
from center.cli.unit import account
from center.errors import CenterError
from evidence.errors import EvidenceError
from evidence.manifest.entry import Act
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, UsageError, words_of
from terminal.language import Text
from terminal.printer import Printer, format_size

_MOST_SNAPSHOTS = 6
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%?", re.ASCII)
_THINGS = {
    Thing.PACK: Text(zh="数据包", en="pack"),
    Thing.OBJECT: Text(zh="对象", en="object"),
    Thing.PAGE: Text(zh="页", en="page"),
    Thing.BLOB: Text(zh="大字段或文件内容", en="content"),
    Thing.SNAPSHOT: Text(zh="快照", en="snapshot"),
    Thing.STATEMENT: Text(zh="声明", en="statement"),
    Thing.ENTRY: Text(zh="日志条目", en="log entry"),
    Thing.TILE: Text(zh="日志瓦片", en="tile"),
    Thing.BUNDLE: Text(zh="日志条目文件", en="entry bundle"),
    Thing.CHECKPOINT: Text(zh="检查点", en="checkpoint"),
    Thing.RECEIPT: Text(zh="回执", en="receipt"),
    Thing.LEDGER: Text(zh="日志库", en="ledger.sqlite"),
    Thing.CATALOG: Text(zh="目录库", en="catalog"),
    Thing.UNIT: Text(zh="单位档案", en="unit"),
    Thing.SOURCE: Text(zh="来源秘密", en="source secrets"),
    Thing.KEY: Text(zh="密钥文件", en="key file"),
    Thing.SETTINGS: Text(zh="配置", en="settings"),
}


class Audit:
    """Audit the center."""

    name = "audit"
    help = Text(zh="重新计算并核对所保存的一切", en="re-hash everything that is held, and name what is damaged")
    description = Text(
        zh="重新计算每个数据包、对象、行、页、表根、日志条目和瓦片，核对签名、回执和目录库。\n"
        "不修复任何东西，可在服务运行时进行。损坏定位到文件，以及表的主键范围和所涉快照。\n"
        "--read 10 只读一成的数据（日志和树的节点总是全读）。有损坏时退出码为 1。",
        en="Packs, objects, rows, pages, table roots, log entries and tiles are computed anew; signatures, receipts\n"
        "and the catalog are checked. Nothing is repaired; the daemon may be running. Damage is located to a\n"
        "file, and to a table's key range and its snapshots. --read 10 reads a tenth of the data (log and nodes\n"
        "of trees always whole). Exit code 1 if anything is damaged.",
    )
    examples = Examples(sh="jinsuo-center audit --read 10", powershell="jinsuo-center audit --json > audit.json")

    def add_arguments(self, parser: Parser) -> None:
        """Add --read, --log."""
        parser.add(
            "--read",
            default="all",
            metavar="all|PERCENT",
            help=Text(zh="读取全部或百分之几；默认全部", en="everything, or so many percent; by default everything"),
        )
        parser.add(
            "--log", action="store_true", help=Text(zh="把结果记入证据日志", en="log the outcome in the evidence log")
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Audit, and report."""
        percent = _parse_percent(args.read)
        report = audit(open_audited(args.folder, find_passphrase(args, out)), percent, out)
        _show(report, out)
        if args.log:
            _record(args, report, out)
        out.result(_describe(report))
        return EXIT_OK if report.is_sound else EXIT_FAILED


def _parse_percent(text: str) -> float:
    match = _PERCENT.fullmatch(text)
    percent = 100.0 if text == "all" else float(match[1]) if match else 0.0
    if not 0 < percent <= 100:
        raise UsageError(
            Text(zh=f"--read {text}：应为 all 或 0 至 100", en=f"--read {text}: expected `all`, or a number up to 100"),
            hint=Text(zh="例如 --read 10", en="such as --read 10"),
        )
    return percent


def _show(report: AuditReport, out: Printer) -> None:
    for finding in report.findings:
        _show_finding(finding, out)
    read = report.reading
    size = format_size(read.bytes_)
    out.say(
        Text(
            zh=f"已读 {size}：{read.packs:,} 个数据包，{read.objects:,} 个对象，{read.pages:,} 页 {read.rows:,} 行，"
            f"{read.blobs:,} 份内容；{read.snapshots:,} 个快照；"
            f"日志 {read.entries:,} 条，瓦片 {read.tiles:,} 个，回执 {read.receipts:,} 份",
            en=f"read {size}: {read.packs:,} packs, {read.objects:,} objects, {read.pages:,} pages of "
            f"{read.rows:,} rows, {read.blobs:,} contents; {read.snapshots:,} snapshots; {read.entries:,} log entries, "
            f"{read.tiles:,} tiles, {read.receipts:,} receipts",
        )
    )
    if read.skipped_packs or read.skipped_pages:
        out.say(
            Text(
                zh=f"未读：{read.skipped_packs:,} 个数据包（只看了大小），{read.skipped_pages:,} 页",
                en=f"not read: {read.skipped_packs:,} packs (only their size), {read.skipped_pages:,} pages",
            )
        )
    damaged = sum(not finding.is_note for finding in report.findings)
    if report.is_sound:
        out.say(Text(zh="所读内容完好", en="all that was read is sound"))
    else:
        out.say(Text(zh=f"发现 {damaged} 处损坏", en=f"{damaged} damages found"))


def _show_finding(finding: Finding, out: Printer) -> None:
    thing = out.words(_THINGS[finding.thing])
    parts = [f"{finding.where}: {thing}"]
    if finding.table is not None:
        parts.append(finding.table)
    if finding.keys is not None:
        parts.append(str(finding.keys))
    line = f"{' '.join(parts)}: {out.words(finding.reason)}"
    if finding.is_note:
        out.warn(line)
        return
    out.say(Text(zh=f"损坏 {line}", en=f"DAMAGED {line}"))
    if finding.snapshots:
        names = ", ".join(str(name) for name in finding.snapshots[:_MOST_SNAPSHOTS])
        more = len(finding.snapshots) - _MOST_SNAPSHOTS
        names += f" … (+{more})" if more > 0 else ""
        out.say(Text(zh=f"    涉及 {names}", en=f"    touches {names}"))
    out.say(f"    {out.words(finding.hint)}")


def _record(args: argparse.Namespace, report: AuditReport, out: Printer) -> None:
    """Log the outcome. What keeps the center from opening was reported above."""
    damaged = sum(not finding.is_note for finding in report.findings)
    outcome = "sound" if report.is_sound else f"{damaged} damages"
    read = report.reading
    share = f"{report.percent:g} percent"
    reason = f"{share}: {read.bytes_} bytes, {read.packs} packs, {read.pages} pages, {read.entries} entries"
    try:
        with open_center(args, out) as center:
            sealed = center.record("check", Act("fixity check", center.config.origin, outcome, account(), reason))
        out.say(Text(zh=f"已记入 log@{sealed.index}", en=f"logged as log@{sealed.index}"))
    except (CenterError, EvidenceError) as err:
        out.warn(Text(zh=f"结果没有记入日志：{words_of(err).zh}", en=f"the outcome is not in the log: {err}"))


def _describe(report: AuditReport) -> dict[str, object]:
    return {
        "sound": report.is_sound,
        "percent": report.percent,
        "read": {name.rstrip("_"): value for name, value in dataclasses.asdict(report.reading).items()},
        "findings": [
            {
                "thing": finding.thing,
                "where": finding.where,
                "reason": finding.reason.en,
                "table": finding.table,
                "keys": None
                if finding.keys is None
                else [_text(finding.keys.first), None if finding.keys.next is None else _text(finding.keys.next)],
                "snapshots": [
                    {"unit": name.unit, "source": name.source, "sequence": name.sequence} for name in finding.snapshots
                ],
                "note": finding.is_note,
                "hint": finding.hint.en,
            }
            for finding in report.findings
        ],
    }


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
