# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent snapshot [SOURCE|GROUP…]`: take, send, wait for receipts. One source's failure does not stop the others.

What is told to take is a list of acts: a group, or a source that none of the groups named has.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from agent.cli.facade import Facade, OpenAgent
from agent.cli.showing import (
    FORCE,
    RETRY_LOGIN,
    Bars,
    describe_outcome,
    outcome_code,
    show_bars,
    show_outcome,
)
from agent.errors import AgentError, PinError, ReceiptError
from agent.outcome import MemberEnd
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
        "发不出去的快照完整地留在发件箱（返回 2），以后用 send 发送。没有取到的表会逐一警告。\n"
        "组（agent.yaml 的 groups）的来源先同时打开，再逐个读取：清单中记明同一组号与打开时刻之差。",
        en="Takes one consistent state of each source, sends while it reads, and is done when the center's receipt\n"
        "has been verified. Never writes to the live system. What cannot be sent stays whole in the spool (exit code\n"
        "2) for `send`. Every table that is left out is warned of. The sources of a group (`groups` in agent.yaml)\n"
        "are all opened at one moment, then read one after another; their manifests carry one group id.",
    )
    examples = Examples(sh="jinsuo-agent snapshot his lis", powershell="jinsuo-agent snapshot his --no-send --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Add SOURCE…, --group, --no-send, --force and --retry-login."""
        parser.add(
            "sources",
            metavar="SOURCE",
            nargs="*",
            help=Text(zh="来源或组；不写则为全部来源", en="sources or groups; none: all sources"),
        )
        parser.add(
            "--group",
            metavar="NAME",
            action="append",
            default=[],
            help=Text(zh="同一时刻的一组来源", en="a group of sources, of one moment"),
        )
        parser.add("--no-send", action="store_true", help=Text(zh="只放入发件箱", en="leave it in the spool"))
        parser.add("--force", action="store_true", help=FORCE)
        parser.add("--retry-login", action="store_true", help=RETRY_LOGIN)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Take them one after another."""
        with self._open(args.folder) as agent:
            groups, sources = _choose(args.sources, args.group, agent)
            return _take_all(agent, groups, sources, out, args)


def _choose(asked: list[str], asked_groups: list[str], agent: Facade) -> tuple[list[str], list[str]]:
    """Give the groups and the sources to take, each once."""
    known, known_groups = agent.source_names(), agent.group_names()
    if not known:
        raise UsageError(
            Text(zh="没有配置来源", en="there are no sources in the settings"),
            hint=Text(
                zh="在 agent.yaml 的 sources 下加入业务系统", en="add the live systems under sources in agent.yaml"
            ),
        )
    unknown = next((name for name in asked_groups if name not in known_groups), None)
    if unknown is not None:
        listed = ", ".join(known_groups) or "-"
        raise UsageError(
            Text(zh=f"没有组 {unknown}", en=f"there is no group {unknown}"),
            hint=Text(zh=f"已配置：{listed}（agent.yaml 的 groups）", en=f"there are: {listed} (groups in agent.yaml)"),
        )
    unknown = next((name for name in asked if name not in known and name not in known_groups), None)
    if unknown is not None:
        listed = ", ".join([*known, *known_groups])
        raise UsageError(
            Text(zh=f"没有来源 {unknown}", en=f"there is no source {unknown}"),
            hint=Text(zh=f"已配置：{listed}", en=f"there are: {listed}"),
        )
    groups = list(dict.fromkeys([*asked_groups, *(name for name in asked if name in known_groups)]))
    sources = list(dict.fromkeys(name for name in asked if name in known))
    return groups, sources if sources or groups else list(known)


def _take_all(agent: Facade, groups: list[str], sources: list[str], out: Printer, args: argparse.Namespace) -> int:
    send, force, retry_login = not args.no_send, args.force, args.retry_login
    ends: list[MemberEnd] = []

    @contextmanager
    def show(source: str) -> Iterator[Bars]:
        with show_bars(out, source) as bars:
            yield bars

    def tell(end: MemberEnd) -> None:
        ends.append(end)
        if isinstance(end.end, AgentError):
            out.complain(end.end)
        else:
            show_outcome(out, end.end)

    for group in groups:
        for end in agent.snapshot_group(group, show, send=send, force=force, retry_login=retry_login):
            tell(end)
    # A source that was taken in a group is not taken a second time.
    alone = [source for source in sources if all(end.source != source for end in ends)]
    for source in alone:
        try:
            with show(source) as bars:
                outcome = agent.snapshot(source, bars, send=send, force=force, retry_login=retry_login)
        except (PinError, ReceiptError):
            raise  # whoever answers is not our center, or two-faced: no other source is shown to it
        except AgentError as err:
            if len(alone) == 1 and not ends:
                raise
            tell(MemberEnd(source, err))
        else:
            tell(MemberEnd(source, outcome))
    return _finish(ends, out)


def _finish(ends: list[MemberEnd], out: Printer) -> int:
    codes = [EXIT_OK]
    taken: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    for end in ends:
        if isinstance(end.end, AgentError):
            failed.append({"source": end.source, **out.describe(end.end)})
            codes.append(end.end.exit_code)
        else:
            taken.append(describe_outcome(out, end.end))
            codes.append(outcome_code(end.end))
    out.result({"snapshots": taken, "errors": failed})
    return worst(codes)


def worst(codes: list[int]) -> int:
    """Give the code that says most: a failure before "later", "later" before done."""
    return next((code for code in (1, 64, 2) if code in codes), max(codes))
