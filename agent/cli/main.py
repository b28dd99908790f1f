# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent`: only the list of its commands. Each command is one file of this room; `agent.app` does the work."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from agent.cli.check import Check
from agent.cli.compare import Compare
from agent.cli.enroll import Enroll
from agent.cli.facade import Facade, OpenAgent
from agent.cli.grants import Grants
from agent.cli.init import Init
from agent.cli.load import Load
from agent.cli.pause import PauseAgent, Resume
from agent.cli.plan import PlanSource
from agent.cli.run import Run
from agent.cli.secret import SecretList, SecretSet
from agent.cli.send import Send
from agent.cli.service import make_service
from agent.cli.snapshot import Snapshot
from agent.cli.sources import Sources
from agent.cli.status import Status
from agent.cli.watch import WatchSources
from evidence.errors import EvidenceError
from terminal.command import Advice, Home, Program
from terminal.language import Language, Text
from terminal.service.command import service_commands
from terminal.version import Version


def main() -> int:
    """Run `jinsuo-agent`; give the exit code."""
    return make_program(open_agent, lambda: datetime.now(UTC)).main()


def make_program(open_agent: OpenAgent, clock: Callable[[], datetime]) -> Program:
    """List the commands over an agent."""
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
            PauseAgent(clock),
            Resume(clock),
            SecretSet(),
            SecretList(),
            Sources(),
            Run(open_agent),
            WatchSources(open_agent),
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
