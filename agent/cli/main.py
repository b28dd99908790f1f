# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent`: only the list of its commands. Each command is one file of this room; `agent.acts` does the work."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.attendants import choose_attendants
from agent.cli.check import Check
from agent.cli.compare import Compare
from agent.cli.enroll import Enroll
from agent.cli.facade import Facade, OpenAgent
from agent.cli.grants import Grants
from agent.cli.handover import Handover
from agent.cli.heartbeat import SendHeartbeat
from agent.cli.init import Init
from agent.cli.key import KeyReplace
from agent.cli.load import Load
from agent.cli.media import MediaList, MediaReceipt, MediaRewrite, MediaWrite
from agent.cli.pause import PauseAgent, Resume
from agent.cli.plan import PlanSource
from agent.cli.run import Run
from agent.cli.secret import SecretList, SecretSet
from agent.cli.send import Send
from agent.cli.service import make_service
from agent.cli.snapshot import Snapshot
from agent.cli.sources import Sources
from agent.cli.ssh_key import SshKey
from agent.cli.status import Status
from agent.cli.tls import TlsAccept
from agent.cli.watch import WatchSources
from evidence.errors import EvidenceError
from terminal.command import Advice, Home, Program
from terminal.language import Language, Text
from terminal.service.command import service_commands
from terminal.version import Version

if TYPE_CHECKING:
    from agent.jobs.settings import LastGood
    from agent.jobs.stopping import Stop
    from terminal.log_settings import LogSettings


def main() -> int:
    """Run `jinsuo-agent`; give the exit code."""
    return make_program(open_agent, utc_now, reopen_agent=reopening()).main()


def make_program(
    open_agent: OpenAgent, clock: Callable[[], datetime], reopen_agent: OpenAgent | None = None
) -> Program:
    """List the commands over an agent. `reopen_agent`: for the daemon, which goes on when settings have become wrong."""
    installed = version("jinsuo")
    return Program(
        name="jinsuo-agent",
        description=Text(
            zh="金锁采集端：为业务系统取一致的快照，登记到档案馆的中心，并核验每一份回执。",
            en="The Jinsuo agent: takes consistent snapshots of live systems, registers them at the archives' center\n"
            "and verifies every receipt.",
        ),
        commands=(
            Init(),
            Enroll(open_agent),
            Check(open_agent),
            Grants(open_agent),
            PlanSource(open_agent),
            Snapshot(open_agent),
            Send(open_agent),
            Compare(open_agent),
            Status(open_agent, clock),
            Load(open_agent),
            Handover(open_agent, clock),
            PauseAgent(clock),
            Resume(clock),
            KeyReplace(open_agent),
            TlsAccept(),
            SecretSet(),
            SecretList(),
            SshKey(),
            Sources(),
            SendHeartbeat(open_agent),
            MediaWrite(open_agent),
            MediaReceipt(open_agent),
            MediaRewrite(open_agent),
            MediaList(open_agent),
            make_run(open_agent, clock, reopen_agent or open_agent),
            WatchSources(open_agent, clock),
            *service_commands("jinsuo-agent", make_service),
            Version("jinsuo-agent", installed),
        ),
        home=Home(variable="JINSUO_AGENT_DIR", posix="/var/lib/jinsuo-agent", windows=r"Jinsuo\agent"),
        version=installed,
        others={EvidenceError: Advice(_EVIDENCE_HINT)},
        prefer=_prefer,
    )


_EVIDENCE_HINT = Text(
    zh="保留采集端目录原样，联系档案馆；不要删除任何文件",
    en="keep the agent's folder as it is and call the archives; delete nothing",
)


def open_agent(folder: Path) -> AbstractContextManager[Facade]:
    """Open the agent of a folder for commands and daemons."""
    # Not at the top: help, init and wrong usage need none of what the agent loads.
    from agent.app import Agent

    agent = Agent.open(folder, clock=lambda: datetime.now(UTC), environ=os.environ)
    agent.step_back()
    return agent


def make_run(
    open_agent: OpenAgent, clock: Callable[[], datetime], reopen: OpenAgent, stop: "Stop | None" = None
) -> Run:
    """Give the daemon with everybody who goes along; `reopen` opens the agent for its runs, `stop` ends it."""
    attendants = choose_attendants(open_agent, clock, os.environ)
    return Run(reopen, clock, stop, attendants=attendants, find_log=_find_log)


def utc_now() -> datetime:
    """Give the time of this machine."""
    return datetime.now(UTC)


def reopening() -> OpenAgent:
    """Give what opens an agent again and again, with its last good settings."""
    kept: list[LastGood] = []

    def reopen(folder: Path) -> AbstractContextManager[Facade]:
        from agent.app import Agent
        from agent.jobs.settings import LastGood

        if not kept:
            kept.append(LastGood())
        agent = Agent(folder, kept[0].load(folder), lambda: datetime.now(UTC), os.environ)
        agent.step_back()
        return agent

    return reopen


def _find_log(folder: Path) -> "LogSettings":
    from agent.config import load_config

    return load_config(folder).log


def _prefer(folder: Path) -> Language | None:
    from agent.config import CONFIG_NAME, load_config
    from terminal.errors import SettingsError

    if not (folder / CONFIG_NAME).is_file():
        return None
    try:
        return load_config(folder).language
    except (SettingsError, OSError):
        return None  # whoever opens the agent tells what is wrong


if __name__ == "__main__":
    sys.exit(main())
