# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center serve`: the receiver daemon, in the foreground, until SIGTERM or Ctrl-C."""

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING

from center.cli.opening import open_center
from center.cli.unit import account
from center.cli.words import CONFIRM_HELP
from center.receive.inbox import InboxPoller
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, OperatorError
from terminal.language import Text
from terminal.logs import set_up_logging
from terminal.printer import Printer
from terminal.service.notify import Heart, Notifier

if TYPE_CHECKING:
    from center.app import Center

log = logging.getLogger(__name__)


class Serve:
    """Serve agents."""

    name = "serve"
    help = Text(zh="接收服务", en="the receiver daemon")
    description = Text(
        zh="在 center.yaml 的 listen 地址上接收各单位的快照，直到收到终止信号（SIGTERM、Ctrl-C）；\n"
        "正在处理的请求会做完。同时值守：见 jinsuo-center alerts。日志写到标准错误，一行一件事。由 systemd 等启动时无需其他参数。\n"
        "启动后，须有一个采集端证实日志不是旧副本，才会签名；采集端全部遗失时用一次 --confirm 理由。",
        en="Takes snapshots of all units at the address `listen` of center.yaml, until told to stop (SIGTERM,\n"
        "Ctrl-C); what is being done is finished. Meanwhile it keeps watch, and tells of trouble (`jinsuo-center alerts`).\n"
        "It logs to stderr, a line for each thing that happens.\n"
        "After a start it signs nothing until an agent has shown that the ledger is no old copy; if no agent is left,\n"
        "start it once with --confirm REASON.",
    )
    examples = Examples(sh="jinsuo-center -C /srv/jinsuo serve", powershell=r"jinsuo-center -C D:\Jinsuo\center serve")

    def add_arguments(self, parser: Parser) -> None:
        """Add --confirm."""
        parser.add("--confirm", metavar="REASON", help=CONFIRM_HELP)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Serve until stopped; the first line (JSON: record) says where, once connections are taken."""
        set_up_logging(sys.stderr)
        with open_center(args, out) as center:
            set_up_logging(sys.stderr, center.config.log, center.folder)
            receiver = center.receiver()  # first: a second daemon is refused before it vouches for anything
            if args.confirm is not None:
                center.confirm(account(), args.confirm)
            held = center.ledger.hold_reason
            if held is not None:
                out.warn(held)

            def ready(address: str) -> None:
                out.say(Text(zh=f"正在监听 {address}", en=f"listening on {address}"))
                out.record({"event": "listening", "address": address, "origin": center.config.origin})
                sys.stdout.flush()
                heart.begin(f"listening on {address}")

            heart = Heart(Notifier.of(args.environ), receiver.is_alive)
            poller = InboxPoller(center.inbox(), center.config.inboxes.poll)
            if center.config.inboxes.boxes:
                poller.start()
            try:
                with ExitStack() as beside:
                    _begin(beside, out, lambda: center.watch(args.environ).running())
                    _begin(beside, out, lambda: _show_metrics(center))
                    receiver.run(ready)
            finally:
                heart.end()
                poller.stop()
        out.say(Text(zh="已停止", en="stopped"))
        return EXIT_OK


def _begin(beside: ExitStack, out: Printer, start: Callable[[], AbstractContextManager[None]]) -> None:
    """Begin what goes beside the receiver; if that fails it is told, and evidence is taken in all the same."""
    try:
        beside.enter_context(start())
    except OperatorError as err:
        out.complain(err)
        log.error("not begun beside the receiver", extra={"code": err.code, "why": str(err), "hint": err.hint})  # noqa: TRY400 - the sentence says all


def _show_metrics(center: "Center") -> AbstractContextManager[None]:
    server = center.metrics()
    return nullcontext() if server is None else server.running()
