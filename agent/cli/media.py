# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent media write | receipt | rewrite | list`: offline media, from the disc that leaves to the receipt that comes."""

import argparse
import re
from pathlib import Path

from agent.cli.facade import OpenAgent
from agent.cli.showing import FORCE, RETRY_LOGIN, show_bars
from agent.media.order import Choice, MediaOutcome, SetState, SetStatus, Wish
from agent.settings.media import parse_volume_size
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, EXIT_RETRY, UsageError
from terminal.language import Text
from terminal.printer import Printer, format_size

_STATES = {
    SetState.UNFINISHED: Text(zh="没有写完", en="not finished"),
    SetState.AWAITED: Text(zh="等回执", en="receipt awaited"),
    SetState.LATE: Text(zh="已过期，改走线路", en="late: goes by the line"),
    SetState.STORED: Text(zh="已入库", en="stored"),
}
_TO = Text(zh="目标目录或移动硬盘", en="a folder, or a disk")


class MediaWrite:
    """Write media."""

    name = "media write"
    help = Text(zh="把中心还没有的内容写到离线载体", en="write what the center lacks on offline media")
    description = Text(
        zh="先取一次快照，再把上次回执以来中心没有的内容分卷写出：BagIt 包，加密至中心的密钥，带 PAR2 修复数据、\n"
        "目录和刻录单；写后逐个文件读回核对。不需要线路。回执到来之前，数据包留在发件箱，也不走线路，声明照常登记。\n"
        "中断后再运行同一命令：从没有写完的那一卷继续，不再取快照。\n"
        "--all：写出该快照的全部内容（首次用硬盘送全量，之后由线路送增量）。",
        en="Takes a snapshot, then writes what the center lacks since the last receipt, in volumes: BagIt bags sealed to\n"
        "the center's key, with PAR2 recovery data, catalogue and copying slip; every file is read back. No line is\n"
        "needed. Until the receipt the packs stay in the spool and do not travel by the line; statements are registered.\n"
        "After an interruption the same command goes on with the volume that was not done, without a new snapshot.\n"
        "--all writes every object of the snapshot: the first seeding by disk, then deltas by line.",
    )
    examples = Examples(
        sh="jinsuo-agent media write his --to /mnt/usb --volume-size dvd --iso --copies A,B",
        powershell=r"jinsuo-agent media write his --to E:\ --all --volume-size 1TiB",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE, --to and what says how."""
        parser.add("source", metavar="SOURCE", help=Text(zh="来源", en="the source"))
        _add_target(parser)
        what = parser.add_mutually_exclusive_group()
        words = Text(
            zh="写出快照的全部内容，不管中心已有什么", en="every object of the snapshot, whatever the center holds"
        )
        what.add_argument("--all", action="store_true", help=words.into(parser.language))
        words = Text(zh="只写发件箱里待送的，不取新快照", en="what waits in the spool, without a new snapshot")
        what.add_argument("--waiting", action="store_true", help=words.into(parser.language))
        parser.add(
            "--anew",
            action="store_true",
            help=Text(zh="放弃没有写完的一次，从头再来", en="give up a writing that was cut, and begin anew"),
        )
        parser.add("--force", action="store_true", help=FORCE)
        parser.add("--retry-login", action="store_true", help=RETRY_LOGIN)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Write them."""
        choice = Choice.ALL if args.all else Choice.WAITING if args.waiting else Choice.NEW
        with self._open(args.folder) as agent, show_bars(out, args.source) as bars:
            written = agent.write_media(
                args.source, _wish(args), choice, bars, anew=args.anew, force=args.force, retry_login=args.retry_login
            )
        _show_written(written, out)
        return EXIT_OK


class MediaRewrite:
    """Write again what is lacking."""

    name = "media rewrite"
    help = Text(zh="补写中心缺少的数据包", en="write again what the center names as lacking")
    description = Text(
        zh="读取 `jinsuo-center media read` 写出的 missing-….txt（同一批次可给多个），只把其中所列的数据包写到新的载体，\n"
        "编号另起一批。数据包在回执之前一直留在发件箱。",
        en="Reads files missing-….txt that `jinsuo-center media read` has written (several of one set), and writes just\n"
        "the packs that they name on new media, under a batch number of their own. Packs stay until the receipt.",
    )
    examples = Examples(
        sh="jinsuo-agent media rewrite missing-X013-SJ-2026-003-02of06.txt --to /mnt/usb --iso",
        powershell=r"jinsuo-agent media rewrite E:\missing-X013-SJ-2026-003-02of06.txt --to E:\ ",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add FILE…, --to and what says how."""
        parser.add(
            "files", metavar="MISSING-FILE", nargs="+", type=Path, help=Text(zh="缺失清单", en="what names the lacking")
        )
        _add_target(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Write them."""
        with self._open(args.folder) as agent, show_bars(out, "") as bars:
            written = agent.rewrite_media(args.files, _wish(args), bars)
        _show_written(written, out)
        return EXIT_OK


class MediaReceipt:
    """Take in a receipt."""

    name = "media receipt"
    help = Text(zh="收进带回的回执", en="take in a receipt that came back")
    description = Text(
        zh="核验 `jinsuo-center media read` 写出的 receipts-….note；已入库的数据包离开发件箱。还有没入库的，返回 2。",
        en="Verifies the file receipts-….note that `jinsuo-center media read` has written; packs whose statements are\n"
        "stored leave the spool. Exit code 2 if something is not stored yet.",
    )
    examples = Examples(
        sh="jinsuo-agent media receipt /mnt/usb/receipts-X013-his-5e5e.note",
        powershell=r"jinsuo-agent media receipt E:\receipts-X013-his-5e5e.note",
    )

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add FILE."""
        parser.add("file", metavar="FILE", type=Path, help=Text(zh="回执文件", en="the file of receipts"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Take it in."""
        with self._open(args.folder) as agent:
            brought = agent.take_media_receipt(args.file)
        for words, sequences in (
            (Text(zh="已入库", en="stored"), brought.stored),
            (Text(zh="已登记，内容未齐", en="registered, content not complete"), brought.registered),
        ):
            if sequences:
                labels = ", ".join(f"{brought.source}#{sequence}" for sequence in sequences)
                out.say(Text(zh=f"{labels} {words.zh}", en=f"{labels} {words.en}"))
        if brought.missing_packs:
            out.warn(
                Text(
                    zh=f"中心还缺 {brought.missing_packs} 个数据包：用 missing-….txt 运行 `jinsuo-agent media rewrite`",
                    en=f"the center lacks {brought.missing_packs} packs: run `jinsuo-agent media rewrite` with missing-….txt",
                )
            )
        for reason in brought.refused:
            out.warn(Text(zh=f"中心拒绝：{reason}", en=f"the center refused: {reason}"))
        if not brought.waiting:
            out.say(Text(zh="没有等回执的声明", en="no statement waits for a receipt"))
        out.result(
            {
                "source": brought.source,
                "stored": brought.stored,
                "registered": brought.registered,
                "missing_packs": brought.missing_packs,
                "refused": brought.refused,
                "waiting": brought.waiting,
            }
        )
        return EXIT_RETRY if brought.waiting else EXIT_OK


class MediaList:
    """List what was written."""

    name = "media list"
    help = Text(zh="写过的载体及其状态", en="what was written on media, and how it stands")
    description = Text(
        zh="每批一行：编号、卷数、套别、数据包、声明、写于、等到何时、状态。",
        en="A line a batch: number, volumes, copies, packs, statements, when it was written, until when its receipt is\n"
        "awaited, state.",
    )
    examples = Examples(sh="jinsuo-agent media list", powershell="jinsuo-agent media list --json | ConvertFrom-Json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """List them."""
        with self._open(args.folder) as agent:
            found = agent.media()
        out.table(
            [
                Text(zh="来源", en="SOURCE"), Text(zh="批次", en="BATCH"), Text(zh="卷", en="VOLUMES"),
                Text(zh="套", en="COPIES"), Text(zh="数据包", en="PACKS"), Text(zh="声明", en="STATEMENTS"),
                Text(zh="写于", en="WRITTEN"), Text(zh="等到", en="AWAITED UNTIL"), Text(zh="状态", en="STATE"),
            ],
            [
                [
                    each.source, each.batch, each.volumes, each.copies, each.packs, _span(each.statements), each.written,
                    each.until, _STATES[each.state],
                ]
                for each in found
            ],
        )  # fmt: skip
        out.result({"media": [_describe_set(each) for each in found]})
        return EXIT_OK


def _add_target(parser: Parser) -> None:
    parser.add("--to", metavar="PATH", type=Path, required=True, help=_TO)
    parser.add(
        "--volume-size",
        metavar="SIZE",
        help=Text(zh="dvd、bd25、bd100 或大小；默认见 agent.yaml", en="dvd, bd25, bd100 or a size; see agent.yaml"),
    )
    parser.add("--iso", action="store_true", help=Text(zh="每卷一个 ISO 映像", en="an ISO image for each volume"))
    parser.add("--copies", metavar="A,B,C", help=Text(zh="写哪几套", en="which copies"))
    parser.add(
        "--redundancy", metavar="PERCENT", type=int, choices=range(101),
        help=Text(zh="PAR2 修复数据的百分比，0 为不写", en="percent of PAR2 recovery data; 0: none"),
    )  # fmt: skip


def _wish(args: argparse.Namespace) -> Wish:
    size = None
    if args.volume_size is not None:
        size = parse_volume_size(args.volume_size)
        if size is None:
            raise UsageError(
                Text(zh=f"--volume-size {args.volume_size} 读不懂", en=f"--volume-size {args.volume_size} is no size"),
                hint=Text(zh="dvd、bd25、bd100，或 700MB、4GiB", en="dvd, bd25, bd100, or such as 700MB or 4GiB"),
            )
    if args.copies is not None and not re.fullmatch(r"[A-Z](,[A-Z])*", args.copies):
        raise UsageError(
            Text(zh=f"--copies {args.copies} 读不懂", en=f"--copies {args.copies} names no copies"),
            hint=Text(zh="例如 A 或 A,B,C", en="such as A, or A,B,C"),
        )
    copies = None if args.copies is None else ",".join(dict.fromkeys(args.copies.split(",")))
    return Wish(args.to, size, args.iso, copies, args.redundancy)


def _show_written(written: MediaOutcome, out: Printer) -> None:
    if written.resumed:
        out.say(
            Text(
                zh=f"{written.batch} 接着写：先前已完成 {written.skipped} 件",
                en=f"{written.batch} goes on: {written.skipped} media were done before",
            )
        )
    for medium in written.media:
        out.say(
            Text(
                zh=f"{medium.number}：{medium.packs} 个数据包，{format_size(medium.size)}，已读回核对；{medium.path}",
                en=f"{medium.number}: {medium.packs} packs, {format_size(medium.size)}, read back; {medium.path}",
            )
        )
    out.say(
        Text(
            zh=f"在盘面手写编号（光盘专用笔，不贴标签），刻录单放入盒内，送档案馆；回执等到 {out.time(written.until)}",
            en="write the numbers on the discs by hand (disc pen, no label), put the slips in the cases, bring them to the"
            f" archives; the receipt is awaited until {out.time(written.until)}",
        )
    )
    out.result(
        {
            "source": written.source,
            "batch": written.batch,
            "volumes": written.volumes,
            "statements": written.statements,
            "media": [
                {"number": str(m.number), "label": m.number.label, "path": m.path, "packs": m.packs, "bytes": m.size}
                for m in written.media
            ],
            "until": written.until,
            "resumed": written.resumed,
            "skipped": written.skipped,
        }
    )


def _describe_set(each: SetStatus) -> dict[str, object]:
    return {
        "source": each.source,
        "batch": each.batch,
        "set": each.set_id,
        "volumes": each.volumes,
        "copies": list(each.copies),
        "packs": each.packs,
        "statements": each.statements,
        "written": each.written,
        "until": each.until,
        "state": each.state,
    }


def _span(sequences: tuple[int, ...]) -> str | None:
    if not sequences:
        return None
    return f"#{sequences[0]}" if len(sequences) == 1 else f"#{sequences[0]}-#{sequences[-1]}"
