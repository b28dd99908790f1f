# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center media read PATH…`: read offline media, name what is lacking, write receipts for the way back."""

import argparse
from pathlib import Path

from center.app import MEDIA_NAME, Center
from center.cli.opening import open_center
from center.cli.unit import account
from center.errors import CenterError
from center.media.reading import Fate, MediumReport, Reading
from center.media.sets import SetReport
from evidence.errors import EvidenceError
from evidence.manifest.entry import Act
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, EXIT_RETRY, words_of
from terminal.language import Text
from terminal.printer import Printer, format_size, make_one_line

_FATES = {
    Fate.TAKEN: Text(zh="已接收", en="taken in"),
    Fate.KNOWN: Text(zh="此前已全部接收", en="all of it was here"),
    Fate.WAITS: Text(zh="等待其他卷", en="waits for other volumes"),
    Fate.LACKING: Text(zh="部分损坏", en="partly damaged"),
    Fate.POSTPONED: Text(zh="暂缓", en="postponed"),
    Fate.UNREADABLE: Text(zh="无法使用", en="cannot be used"),
    Fate.REFUSED: Text(zh="已拒绝", en="refused"),
}
_MOST_FILES = 5


class MediaRead:
    """Read media."""

    name = "media read"
    help = Text(zh="读取离线载体", en="read offline media")
    description = Text(
        zh="PATH 为光盘挂载点、载体目录、ISO 映像，或放着它们的目录；各卷次序不限，可分多次，中断后接着读。\n"
        "一个坏扇区不会让整张盘作废：先用 PAR2 修复；修不好的，逐个数据包写入 missing-….txt，交单位用\n"
        "`jinsuo-agent media rewrite` 补写。全部到齐后声明入库，并写出回执 receipts-….note 供带回。\n"
        "服务进程可同时运行。退出码：0 全部入库，1 有载体或声明被拒绝，2 尚未到齐。",
        en="PATH is a disc's mount point, a medium's folder, an ISO image, or a folder with such in it; volumes in any\n"
        "order, in several runs, resumed after an interruption. One bad sector does not spoil a disc: it is mended from\n"
        "PAR2, and packs that cannot be are named in missing-….txt, which `jinsuo-agent media rewrite` answers. When all\n"
        "is there the statements are stored, and receipts-….note is written for the way back. The daemon may be running.\n"
        "Exit code: 0 all is stored, 1 a medium or a statement was refused, 2 something is still to come.",
    )
    examples = Examples(
        sh="jinsuo-center media read /media/cdrom --out /media/usb",
        powershell=r"jinsuo-center media read D:\ --out E:\ ",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add PATH…, --out, --no-more and --confirm."""
        parser.add("paths", metavar="PATH", nargs="+", type=Path, help=Text(zh="载体", en="media"))
        parser.add(
            "--out",
            metavar="DIR",
            type=Path,
            help=Text(
                zh="回执与缺失清单写到哪里；默认为中心目录的 media/out",
                en="where receipts and lists of what is lacking go; by default media/out in the center's folder",
            ),
        )
        parser.add(
            "--no-more",
            action="store_true",
            help=Text(
                zh="不会再有别的卷：没有读到的卷也列为缺失",
                en="no other volume will come: those that were not read are named as lacking, too",
            ),
        )
        parser.add(
            "--confirm",
            metavar="REASON",
            help=Text(
                zh="服务未运行，没有采集端可以证实日志是最新的：由操作员担保，记入日志",
                en="the daemon is not running, and no agent can confirm that the ledger is the newest: the operator"
                " vouches, and it is logged",
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Read, record, tell."""
        with open_center(args, out) as center:
            if args.confirm is not None:
                center.confirm(account(), args.confirm)
            target = args.out or center.folder / MEDIA_NAME / "out"
            target.mkdir(parents=True, exist_ok=True)
            reading = center.media_reader().read(args.paths, target, no_more=args.no_more, progress=out)
            _record(center, reading, out)
        for medium in reading.media:
            _tell_medium(medium, out)
        for report in reading.sets:
            _tell_set(report, out)
        for path in (*reading.missing, *reading.receipts):
            out.say(Text(zh=f"写出 {path}", en=f"written: {path}"))
        out.result(_describe(reading))
        if any(medium.fate is Fate.REFUSED or medium.refusals for medium in reading.media):
            return EXIT_FAILED
        is_whole = reading.sets and all(report.is_stored for report in reading.sets)
        if any(medium.fate is Fate.POSTPONED for medium in reading.media):
            return EXIT_RETRY
        return EXIT_OK if is_whole else EXIT_RETRY


def _record(center: Center, reading: Reading, out: Printer) -> None:
    """Log what became of each medium that was read: an inspection that the practice asks for."""
    try:
        for medium in reading.media:
            if medium.fate in (Fate.KNOWN, Fate.POSTPONED):
                continue
            name = medium.path.name if medium.number is None else str(medium.number)
            outcome = f"{medium.fate.value}: {len(medium.mended)} files mended, {medium.lacking} packs lacking"
            reason = f"{medium.size} bytes, {medium.packs} packs, {len(medium.damaged)} files damaged"
            center.record("check", Act("medium read", name, outcome, account(), reason))
    except (CenterError, EvidenceError) as err:
        out.warn(Text(zh=f"读取结果没有记入日志：{words_of(err).zh}", en=f"what was read is not in the log: {err}"))


def _tell_medium(medium: MediumReport, out: Printer) -> None:
    fate = _FATES[medium.fate]
    # Whoever has made a stick or an image has named what is on it.
    name = make_one_line(str(medium.path if medium.number is None else medium.number))
    zh, en = (make_one_line(words) for words in medium.reason)
    line = Text(
        zh=f"{name} {fate.zh}：数据包 {medium.packs}，{format_size(medium.size)}，修复文件 {len(medium.mended)}，"
        f"缺 {medium.lacking}{f'；{zh}' if zh else ''}",
        en=f"{name} {fate.en}: {medium.packs} packs, {format_size(medium.size)}, {len(medium.mended)} files mended, "
        f"{medium.lacking} lacking{f'; {en}' if en else ''}",
    )
    (out.say if medium.fate in (Fate.TAKEN, Fate.KNOWN, Fate.WAITS) else out.warn)(line)
    for refusal in medium.refusals:
        out.warn(Text(zh=f"声明被拒绝：{refusal}", en=f"a statement is refused: {refusal}"))
    for damage in medium.damaged[:_MOST_FILES]:
        out.warn(Text(zh=f"损坏：{damage.path}：{damage.reason.zh}", en=f"damaged: {damage.path}: {damage.reason.en}"))
    if len(medium.damaged) > _MOST_FILES:
        more = len(medium.damaged) - _MOST_FILES
        out.warn(Text(zh=f"……另有 {more} 个文件", en=f"… and {more} more files"))


def _tell_set(report: SetReport, out: Printer) -> None:
    unit, source = report.name.unit, report.name.source
    name = f"{report.batch}（{unit}/{source}）"
    if report.is_stored:
        labels = ", ".join(f"{source}#{sequence}" for sequence in report.stored)
        out.say(Text(zh=f"{name}：全部入库：{labels}", en=f"{name}: all is stored: {labels}"))
        return
    if not report.unread and not report.lacking:
        out.warn(
            Text(
                zh=f"{name}：各卷都已读到，但内容尚未入库：原因见上；必要时由单位运行 `jinsuo-agent media write 来源 --all`",
                en=f"{name}: all volumes were read, and not all is stored; the reasons stand above. If it does not do to read"
                " earlier media, ask the unit for `jinsuo-agent media write SOURCE --all`",
            )
        )
    unread = ", ".join(str(volume) for volume in report.unread)
    if unread:
        out.say(Text(zh=f"{name}：还没有读到的卷：{unread}", en=f"{name}: volumes not read yet: {unread}"))
    for missing in report.lacking:
        what_zh = f"缺 {len(missing.packs)} 个数据包" if missing.packs else "整卷缺失"
        what_en = f"{len(missing.packs)} packs are lacking" if missing.packs else "all of it is lacking"
        out.warn(Text(zh=f"{missing.volume.volume_name}：{what_zh}", en=f"{missing.volume.volume_name}: {what_en}"))


def _describe(reading: Reading) -> dict[str, object]:
    return {
        "media": [
            {
                "path": medium.path,
                "number": None if medium.number is None else str(medium.number),
                "fate": medium.fate,
                "reason": medium.reason.en or None,
                "bytes": medium.size,
                "packs": medium.packs,
                "lacking": medium.lacking,
                "mended": medium.mended,
                "refusals": medium.refusals,
                "damaged": [{"file": damage.path, "reason": damage.reason.en} for damage in medium.damaged],
            }
            for medium in reading.media
        ],
        "sets": [
            {
                "set": report.name.id,
                "batch": report.batch,
                "unit": report.name.unit,
                "source": report.name.source,
                "volumes": report.volumes,
                "unread": report.unread,
                "lacking": [
                    {"volume": missing.volume.volume_name, "packs": missing.packs or None} for missing in report.lacking
                ],
                "stored": report.stored,
                "waiting": report.waiting,
            }
            for report in reading.sets
        ],
        "receipts": reading.receipts,
        "missing": reading.missing,
    }
