# SPDX-License-Identifier: Apache-2.0
"""Who goes along with `jinsuo-agent run`: heartbeats, a beat for systemd, the status page where settings name an address."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.facade import OpenAgent
from agent.cli.heartbeat import make_attendant

if TYPE_CHECKING:
    from agent.jobs.attending import Attendant
    from agent.outcome import AgentStatus


def choose_attendants(
    open_agent: OpenAgent, clock: Callable[[], datetime], environ: Mapping[str, str]
) -> "Callable[[Path], Sequence[Attendant]]":
    """Give what makes the attendants of the daemon in a folder, by its settings as they are then."""

    def make(folder: Path) -> "Sequence[Attendant]":
        # Not at the top: the other commands need none of it.
        from agent.config import load_config
        from agent.health.desk import HealthDesk
        from agent.service.systemd import Attendance

        def look() -> "AgentStatus":
            with open_agent(folder) as agent:
                return agent.status()

        config = load_config(folder)
        attendants: list[Attendant] = [Attendance(environ), make_attendant(open_agent, folder)]
        if config.health.listen is not None:
            attendants.append(HealthDesk(config.health.listen, look, clock, time.monotonic, config.language))
        return attendants

    return make
