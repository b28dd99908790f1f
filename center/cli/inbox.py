# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center inbox`: look at the drop boxes once, take in the bags that wait, answer them."""

import argparse

from center.cli.opening import open_center
from center.cli.unit import account
from center.cli.words import CONFIRM_HELP
from center.receive.inbox import BagOutcome, Fate
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, EXIT_RETRY
from terminal.language import Text
from terminal.printer import Printer, make_one_line


class InboxOnce:
    """Take in bags."""

    name = "inbox"
    help = Text(zh="接收收发目录中的包裹", en="take in the bags of the drop boxes")
    description = Text(
        zh="把 center.yaml 中 inboxes 各目录里的包裹接收一遍，写出回执，然后结束。服务进程（serve）会自己定时接收，\n"
        "因此本命令只在服务停止时使用。退出码：0 全部接收，1 有包裹被拒绝，2 有包裹尚待接收。",
        en="Takes in the bags that wait in the folders under `inboxes` in center.yaml, writes receipts, and ends. The\n"
        "daemon (`serve`) does so by itself every so often: this is for when it is stopped. Exit code: 0 all are taken,\n"
        "1 some are refused, 2 some must wait.",
    )
    examples = Examples(
        sh="jinsuo-center -C /srv/jinsuo inbox --settled", powershell=r"jinsuo-center -C D:\Jinsuo\center inbox"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add --settled and --confirm."""
        parser.add(
            "--settled",
            action="store_true",
            help=Text(
                zh="不会再有文件送到：不完整的包裹按现状接收，缺少的写入回执",
                en="nothing more will come: take bags that are not whole in part, and name what is missing",
            ),
        )
        parser.add("--confirm", metavar="REASON", help=CONFIRM_HELP)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Look once and tell what became of each bag."""
        with open_center(args, out) as center:
            inbox = center.inbox()
            if args.confirm is not None:
                center.confirm(account(), args.confirm)
            outcomes = inbox.scan(is_settled=args.settled)
        for outcome in outcomes:
            tell_bag(outcome, out)
        out.result({"bags": [_as_json(outcome) for outcome in outcomes]})
        fates = {outcome.fate for outcome in outcomes}
        if Fate.REFUSED in fates:
            return EXIT_FAILED
        return EXIT_RETRY if Fate.WAITS in fates else EXIT_OK


_FATES = {
    Fate.TAKEN: Text(zh="已接收", en="taken in"),
    Fate.REFUSED: Text(zh="已拒绝", en="refused"),
    Fate.WAITS: Text(zh="等待", en="waits"),
}


def tell_bag(outcome: BagOutcome, out: Printer) -> None:
    """Say what became of a bag."""
    fate = _FATES[outcome.fate]
    # Whoever can write there names bags as he likes.
    name = make_one_line(outcome.path.name)
    if outcome.fate is Fate.TAKEN:
        where = f"{outcome.unit}/{outcome.source}"
        out.say(
            Text(
                zh=f"{fate.zh} {name}：{where}，数据包 {outcome.packs}，声明 {outcome.statements}",
                en=f"{fate.en} {name}: {where}, {outcome.packs} packs, {outcome.statements} statements",
            )
        )
        for damage in outcome.damages:
            out.warn(Text(zh=f"损坏：{damage.path}：{damage.reason}", en=f"damaged: {damage.path}: {damage.reason}"))
        return
    reason = outcome.reason
    out.warn(
        Text(zh=f"{fate.zh} {name}：{make_one_line(reason.zh)}", en=f"{fate.en} {name}: {make_one_line(reason.en)}")
    )


def _as_json(outcome: BagOutcome) -> dict[str, object]:
    return {
        "bag": outcome.path.name,
        "fate": outcome.fate.value,
        "reason": outcome.reason.en or None,
        "unit": outcome.unit or None,
        "source": outcome.source or None,
        "packs": outcome.packs,
        "statements": outcome.statements,
        "damages": [{"file": damage.path, "reason": damage.reason} for damage in outcome.damages],
    }
