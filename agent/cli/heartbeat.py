# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent heartbeat`: tell the center now how this agent is; and the attendant by which the daemon does."""

import argparse
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.facade import OpenAgent
from agent.config import CONFIG_NAME, load_config
from agent.errors import EnrolmentError
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, SettingsError
from terminal.language import Text
from terminal.printer import Printer

if TYPE_CHECKING:
    from agent.heartbeat import HeartbeatAttendant


class SendHeartbeat:
    """Send one heartbeat."""

    name = "heartbeat"
    help = Text(zh="现在向中心报告本采集端的状况", en="tell the center now how this agent is")
    description = Text(
        zh="`run` 每 15 分钟自动发一次（agent.yaml 的 heartbeat.every）。没有常驻服务、只用定时任务时，由定时任务运行本命令，\n"
        "否则中心会因没有音信而告警。",
        en="`run` does it every 15 minutes (`heartbeat.every` in agent.yaml). Where no daemon runs, let the system's timer run\n"
        "this, or the center will call the unit quiet.",
    )
    examples = Examples(sh="jinsuo-agent heartbeat", powershell="jinsuo-agent heartbeat --json")

    def __init__(self, open_agent: OpenAgent) -> None:
        self._open = open_agent

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Send it."""
        with self._open(args.folder) as agent:
            ahead = agent.beat({})
        if ahead is None:
            raise EnrolmentError(
                Text(zh=f"{args.folder} 中的采集端尚未登记", en=f"the agent in {args.folder} is not enrolled"),
                hint=Text(zh="先运行 jinsuo-agent enroll", en="run `jinsuo-agent enroll` first"),
            )
        seconds = round(ahead.total_seconds(), 1)
        out.say(
            Text(
                zh=f"中心已收到；本机时钟比中心快 {seconds:+} 秒",
                en=f"the center has it; this clock is {seconds:+} s ahead of its",
            )
        )
        out.result({"clock_ahead_seconds": seconds})
        return EXIT_OK


def make_attendant(open_agent: OpenAgent, folder: Path) -> "HeartbeatAttendant":
    """Give the attendant that sends heartbeats for the agent in `folder`, as often as its settings say by then."""
    from agent.heartbeat import HeartbeatAttendant

    return HeartbeatAttendant(open_agent, folder, EverySetting(folder).find)


class EverySetting:
    """`heartbeat.every`, read again when the file has changed; while it is wrong, the last good value counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_at: tuple[int, int] | None = None
        self._every: timedelta | None = None

    def find(self) -> timedelta | None:
        """Give the time between two heartbeats, or None for no heartbeats."""
        try:
            status = (self._folder / CONFIG_NAME).stat()
            mark = (status.st_mtime_ns, status.st_size)
            if mark != self._read_at:
                every = load_config(self._folder).heartbeat.every
                self._every = None if every is None else timedelta(seconds=every)
                self._read_at = mark
        except (OSError, SettingsError):
            pass  # whoever opens the agent tells what is wrong
        return self._every
