# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent snapshot [SOURCE…]`: take, send, wait for receipts. One source's failure does not stop the others."""

import argparse

from agent.cli.facade import Facade, OpenAgent
from agent.cli.showing import FORCE, RETRY_LOGIN, describe_outcome, outcome_code, show_bars, show_outcome
from agent.errors import AgentError, PinError, ReceiptError
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer


class Snapshot:
    """Take snapshots."""

    name = "snapshot"
    help = Text(zh="取一次快照，发送并等待回执", en="take a snapshot, send it, wait for the receipt")
    description = Text(
        zh="对每个来源取一个一致的快照，边读边发，核验中心的回执后才算完成。不写业务系统。\n"
        "发不出去的快照完整地留在发件箱（返回 2），以后用 send 发送。没有取到的表会逐一警告。",
        en="Takes one consistent state of each source, sends while it reads, and is done when the center's receipt\n"
        "has been verified. Never writes to the live system. What cannot be sent stays whole in the spool (exit code\n"
        "2) for `send`. Every table that is left out is warned of.",
    )
    examples = Examples(sh="jinsuo-agent snapshot his lis", powershell="jinsuo-agent snapshot his --no-send --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE…, --no-send, --force and --retry-login."""
        parser.add(
            "sources", metavar="SOURCE", nargs="*", help=Text(zh="来源；不写则全部", en="sources; none: all of them")
        )
        parser.add("--no-send", action="store_true", help=Text(zh="只放入发件箱", en="leave it in the spool"))
        parser.add("--force", action="store_true", help=FORCE)
        parser.add("--retry-login", action="store_true", help=RETRY_LOGIN)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Take them one after another."""
        with self._open(args.folder) as agent:
            return _take_all(agent, _choose(args.sources, agent), out, args)


def _choose(asked: list[str], agent: Facade) -> list[str]:
    known = agent.source_names()
    if not known:
        raise UsageError(
            Text(zh="没有配置来源", en="there are no sources in the settings"),
            hint=Text(
                zh="在 agent.yaml 的 sources 下加入业务系统", en="add the live systems under sources in agent.yaml"
            ),
        )
    unknown = [name for name in asked if name not in known]
    if unknown:
        listed = ", ".join(known)
        raise UsageError(
            Text(zh=f"没有来源 {unknown[0]}", en=f"there is no source {unknown[0]}"),
            hint=Text(zh=f"已配置：{listed}", en=f"there are: {listed}"),
        )
    return list(dict.fromkeys(asked)) or list(known)


def _take_all(agent: Facade, sources: list[str], out: Printer, args: argparse.Namespace) -> int:
    taken: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    codes = [EXIT_OK]
    for source in sources:
        try:
            with show_bars(out, source) as bars:
                outcome = agent.snapshot(
                    source, bars, send=not args.no_send, force=args.force, retry_login=args.retry_login
                )
        except (PinError, ReceiptError):
            raise  # whoever answers is not our center, or two-faced: no other source is shown to it
        except AgentError as err:
            if len(sources) == 1:
                raise
            out.complain(err)
            failed.append({"source": source, **out.describe(err)})
            codes.append(err.exit_code)
            continue
        show_outcome(out, outcome)
        taken.append(describe_outcome(out, outcome))
        codes.append(outcome_code(outcome))
    out.result({"snapshots": taken, "errors": failed})
    return worst(codes)


def worst(codes: list[int]) -> int:
    """Give the code that says most: a failure before "later", "later" before done."""
    return next((code for code in (1, 64, 2) if code in codes), max(codes))
