# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center ledger status|import-tail|release`: whether the log signs; back from an older copy of it."""

import argparse
from pathlib import Path
from typing import Final

from center.cli.opening import open_center
from center.cli.unit import account
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK
from terminal.language import Text
from terminal.printer import Printer

_GO_ON: Final = Text(
    zh="核对后运行 jinsuo-center ledger release --reason …",
    en="go on with `jinsuo-center ledger release --reason ...`, and let the agents send what the store lacks",
)


class LedgerStatus:
    """Tell how the log stands."""

    name = "ledger status"
    help = Text(zh="日志有多长，是否签名，为何停签", en="how long the log is, and whether it signs, or why not")
    description = Text(
        zh="停签时说明原因和缺少哪些条目，退出码 1。等待采集端证实不算停签原因之外的故障：serve 启动后自会解除。",
        en="If signing has stopped: why, and which entries are lacking; the exit code is 1 then. A ledger that only waits\n"
        "for an agent after a start goes on by itself once `serve` runs and one calls.",
    )
    examples = Examples(sh="jinsuo-center ledger status", powershell="jinsuo-center ledger status --json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Tell it."""
        with open_center(args, out) as center:
            size, held, lacking = center.ledger.size, center.ledger.held, center.ledger.lacking
            reason = center.ledger.hold_reason
        out.say(Text(zh=f"日志有 {size:,} 条", en=f"the log has {size:,} entries"))
        if reason is None:
            out.say(Text(zh="正常签名", en="it signs"))
        else:
            out.warn(reason)
        if lacking:
            out.say(_say_lacking(lacking))
        out.result({"size": size, "held": held, "lacking": [lacking.start, lacking.stop] if lacking else None})
        return EXIT_OK if held is None else EXIT_FAILED


class LedgerImportTail:
    """Take the lacking entries from another copy."""

    name = "ledger import-tail"
    help = Text(zh="从镜像或较新的备份取回缺少的条目", en="take back lacking entries from a mirror or a newer backup")
    description = Text(
        zh="FOLDER 是日志的另一份拷贝（含 checkpoint 和 tile/…，即 C2SP tlog-tiles 的布局）。该拷贝自己的检查点\n"
        "亦视为已出示；只有恰好通向已出示的最大检查点的条目才会收下；收下后仍停签，直到 ledger release。",
        en="FOLDER is another copy of the log (`checkpoint` and `tile/...`, as C2SP tlog-tiles lays them out). Its own\n"
        "checkpoint counts as shown; entries are taken only if they lead exactly to the largest checkpoint that was shown.\n"
        "Then `ledger release` lets signing go on.",
    )
    examples = Examples(
        sh="jinsuo-center ledger import-tail /mnt/mirror/ledger",
        powershell=r"jinsuo-center ledger import-tail E:\ledger",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add FOLDER."""
        parser.add("copy", metavar="FOLDER", help=Text(zh="日志的另一份拷贝", en="another copy of the log"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Take them."""
        with open_center(args, out) as center:
            taken = center.ledger.import_from(Path(args.copy))
            center.replay.catch_up()
            size, lacking = center.ledger.size, center.ledger.lacking
        out.say(
            Text(zh=f"取回 {taken:,} 条，日志现有 {size:,} 条", en=f"{taken:,} entries taken, the log has {size:,} now")
        )
        out.say(_say_lacking(lacking) if lacking else _GO_ON)
        out.result({"taken": taken, "size": size})
        return EXIT_OK


class LedgerRelease:
    """Let signing go on."""

    name = "ledger release"
    help = Text(zh="解除停签，理由记入日志", en="let signing go on after a hold; the reason is logged")
    description = Text(
        zh="仍缺条目，或日志有两个历史时，不予解除。",
        en="Refused while entries are lacking, or if the log has two histories.",
    )
    examples = Examples(
        sh="jinsuo-center ledger release --reason '2026-11-22 从镜像取回'",
        powershell="jinsuo-center ledger release --reason 'taken back from the mirror'",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add --reason."""
        parser.add("--reason", required=True, metavar="TEXT", help=Text(zh="理由，一行", en="why, in one line"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Release it."""
        with open_center(args, out) as center:
            is_released = center.release(account(), args.reason)
        if is_released:
            out.say(Text(zh="已恢复签名", en="the ledger signs again"))
        else:
            out.say(Text(zh="并未停签，没有可解除的", en="nothing was held"))
        out.result({"released": is_released})
        return EXIT_OK


def _say_lacking(lacking: range) -> Text:
    return Text(
        zh=f"缺少 log@{lacking.start} 至 log@{lacking.stop - 1}：jinsuo-center ledger import-tail FOLDER",
        en=f"log@{lacking.start} to log@{lacking.stop - 1} are lacking: jinsuo-center ledger import-tail FOLDER",
    )
