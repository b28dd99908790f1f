# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center alerts [ack|check|test]`: what is amiss, who has taken it on, and whether alerts get through."""

import argparse
from typing import TYPE_CHECKING

from center.cli.opening import open_center
from center.cli.unit import account
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK
from terminal.language import Text
from terminal.printer import Cell, Printer

if TYPE_CHECKING:
    from center.alerts.channels import ChannelError
    from center.alerts.course import Record
    from center.alerts.secrets import SecretError


class Alerts:
    """List what is amiss."""

    name = "alerts"
    help = Text(zh="未解除的告警", en="open alerts: what is amiss, where, since when")
    description = Text(
        zh="列出服务值守记下的告警（不重新检查：见 alerts check）。有未处理的告警时退出码 1。",
        en="Lists what the daemon's watch has noted; nothing is examined anew (see `alerts check`). The exit code is 1 if\n"
        "an alert is open that nobody has acknowledged.",
    )
    examples = Examples(sh="jinsuo-center alerts --all", powershell="jinsuo-center alerts --json | ConvertFrom-Json")

    def add_arguments(self, parser: Parser) -> None:
        """Add --all."""
        parser.add(
            "--all", action="store_true", help=Text(zh="也列出 90 天内已解除的", en="those cleared within 90 days too")
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """List them."""
        with open_center(args, out) as center:
            records = center.watch(args.environ).records()
        return show_alerts(records, out, include_cleared=args.all)


class AlertsAck:
    """Take an alert on."""

    name = "alerts ack"
    help = Text(zh="认领一条告警，不再重复提醒", en="take an alert on, so that it is not told again")
    description = Text(
        zh="状态类告警（无音信、迟到等）在解除前仍列出，解除时照样通知；事件类告警（缺口、骤减等）认领后即了结。\n"
        "认领记在中心的告警文件中，不写入证据日志。",
        en="What is so (quiet, late …) stays listed until it is over, and the all-clear comes all the same; what happened\n"
        "(a gap, a drop of rows …) is settled by it. It is noted with the alerts, not in the evidence log.",
    )
    examples = Examples(
        sh="jinsuo-center alerts ack late:X013/his --by 王芳 --reason 医院停电检修",
        powershell="jinsuo-center alerts ack late:X013/his --by WangFang --reason 'power cut, back at noon'",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add ID, --by, --reason."""
        parser.add("id", metavar="ID", help=Text(zh="告警编号，如 late:X013/his", en="its id, such as late:X013/his"))
        parser.add("--by", metavar="NAME", help=Text(zh="认领人；默认当前账户", en="who; by default this account"))
        parser.add("--reason", required=True, metavar="TEXT", help=Text(zh="情况，一行", en="what is known, in a line"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Note it."""
        by = args.by or account()
        with open_center(args, out) as center:
            record = center.watch(args.environ).acknowledge(args.id, by, args.reason)
        out.say(Text(zh=f"{args.id} 由 {by} 处理", en=f"{by} sees to {args.id}"))
        out.result({"alert": describe(record)})
        return EXIT_OK


class AlertsCheck:
    """Look now."""

    name = "alerts check"
    help = Text(zh="现在检查一遍并通知", en="look now, and tell the channels what is new")
    description = Text(
        zh="服务每分钟自己检查；服务停着时，也可由定时任务运行本命令。不会把同一件事通知两遍。\n"
        "有未处理的告警，或某个渠道发不出时，退出码 1。",
        en="The daemon does this every minute by itself; where it does not run, a timer may run this. Nothing is told twice.\n"
        "The exit code is 1 if an alert is open that nobody has acknowledged, or a channel failed.",
    )
    examples = Examples(sh="jinsuo-center alerts check", powershell="jinsuo-center alerts check --json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Look, tell, list."""
        with open_center(args, out) as center:
            watch = center.watch(args.environ)
            watch.look()
            failed = watch.tell()
            records = watch.records()
        _warn_failed(failed, out)
        code = show_alerts(records, out, include_cleared=False, failed=failed)
        return EXIT_FAILED if failed else code


class AlertsTest:
    """Send the test alarm."""

    name = "alerts test"
    help = Text(zh="向每个渠道发一条测试", en="send the test alarm to every channel now")
    description = Text(
        zh="配置或改动渠道后运行一次。某个渠道没有收下时，退出码 1，并说明原因。",
        en="Run it after channels were set or changed. The exit code is 1 if a channel did not take it, and says why.",
    )
    examples = Examples(sh="jinsuo-center alerts test", powershell="jinsuo-center alerts test")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Send it."""
        with open_center(args, out) as center:
            names = [channel.name for channel in center.config.alerts.channels]
            failed = center.watch(args.environ).test()
        if not names:
            out.warn(
                Text(
                    zh="center.yaml 的 alerts.channels 没有渠道：没有人会收到告警",
                    en="center.yaml has no `alerts.channels`: nobody is told of anything",
                )
            )
        _warn_failed(failed, out)
        for name in names:
            if name not in failed:
                out.say(Text(zh=f"{name}：已收下", en=f"{name}: taken"))
        out.result({"channels": {name: _describe_failure(failed.get(name), out) for name in names}})
        return EXIT_FAILED if failed or not names else EXIT_OK


def show_alerts(
    records: "dict[str, Record]",
    out: Printer,
    *,
    include_cleared: bool,
    failed: "dict[str, ChannelError | SecretError] | None" = None,
) -> int:
    """List alerts; give the exit code."""
    from center.alerts.today import sort_records

    shown = sort_records([record for record in records.values() if record.is_open or include_cleared])
    if shown:
        out.table(HEADERS, [make_row(record, out) for record in shown])
        out.say()
    for record in shown:
        if record.is_open and record.acknowledged is None:
            out.say(f"{record.alert.id}: {out.words(record.alert.what)}")
            out.say("    → " + out.words(record.alert.remedy))
    open_ = [record for record in shown if record.is_open]
    if not open_:
        out.say(Text(zh="没有未解除的告警", en="no alert is open"))
    document: dict[str, object] = {"alerts": [describe(record) for record in shown]}
    if failed is not None:
        document["failed_channels"] = {name: _describe_failure(err, out) for name, err in failed.items()}
    out.result(document)
    return EXIT_FAILED if any(record.acknowledged is None for record in open_) else EXIT_OK


HEADERS = [
    Text(zh="告警", en="ALERT"), Text(zh="程度", en="SEVERITY"), Text(zh="始于", en="SINCE"), Text(zh="处理", en="STATE"),
]  # fmt: skip


def make_row(record: "Record", out: Printer) -> list[Cell]:
    """Give an alert's row of a table under `HEADERS`."""
    from center.alerts.letters import SEVERITIES

    ack = record.acknowledged
    state: str | Text = Text(zh="未处理", en="open")
    if record.cleared is not None:
        ended = out.time(record.cleared)
        state = Text(zh=f"已解除 {ended}", en=f"cleared {ended}")
    elif ack is not None:
        state = Text(zh=f"{ack.by}：{ack.reason}", en=f"{ack.by}: {ack.reason}")
    return [record.alert.id, SEVERITIES[record.alert.severity], record.alert.since, state]


def describe(record: "Record") -> dict[str, object]:
    """Give an alert as JSON has it."""
    ack = record.acknowledged
    return {
        **record.alert.to_json(),
        "open": record.is_open,
        "raised": record.raised,
        "told": record.told,
        "cleared": record.cleared,
        "acknowledged": None if ack is None else {"at": ack.at, "by": ack.by, "reason": ack.reason},
    }


def _warn_failed(failed: "dict[str, ChannelError | SecretError]", out: Printer) -> None:
    for err in failed.values():
        out.complain(err)


def _describe_failure(err: "ChannelError | SecretError | None", out: Printer) -> dict[str, object] | None:
    return None if err is None else out.describe(err)
