# SPDX-License-Identifier: Apache-2.0
"""The agent's wiring: one folder, opened, and which file does which act. `agent.acts.parts` says what lies in the folder.

    act                                                         file of agent/acts/
    snapshot, snapshot_group                                    taking.py
    send, waiting_sources, resting_mark, greet, beat            sending.py
    enroll, request_enrolment, accept_enrolment, replace_key    joining.py
    status, jobs, newest, last_outcome, loads                   standing.py
    check, grants, plan, compare, watches                       examining.py
    write_media, rewrite_media, take_media_receipt, media       media.py

They share the opened parts (`parts.py`), the way to the center (`road.py`) and what every run of a source has in common
(`runs.py`). An agent keeps the promises of `agent.cli.facade` and `agent.jobs.asking`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from agent.acts.examining import Examining
from agent.acts.joining import Joining
from agent.acts.media import OfflineMedia
from agent.acts.parts import THIS_MACHINE, MakeSources, Parts
from agent.acts.road import Road
from agent.acts.runs import Runs
from agent.acts.sending import Sending
from agent.acts.standing import Standing
from agent.acts.taking import Taking
from agent.config import AgentConfig, load_config
from agent.host import lower_priority
from agent.snapshot.supervised import Machine
from agent.sources import SourceMaker


def utc_now() -> datetime:
    """Give the agent's clock."""
    return datetime.now(UTC)


class Agent:
    """An agent, opened. Use as a context manager; one act at a time."""

    def __init__(
        self, folder: Path, config: AgentConfig, clock: Callable[[], datetime], environ: Mapping[str, str],
        machine: Machine = THIS_MACHINE, make_sources: MakeSources = SourceMaker,
    ) -> None:  # fmt: skip
        self.parts = parts = Parts(folder, config, clock, environ, machine, make_sources)
        self.folder = folder
        self.config = config
        self.clock = clock
        self.journal = parts.journal
        self.spool = parts.spool
        self.collector = parts.collector
        self.source_names = parts.source_names

        road = Road(parts)
        runs = Runs(parts, road)

        standing = Standing(parts)
        self.status = standing.status
        self.group_names = standing.group_names
        self.jobs = standing.jobs
        self.newest = standing.newest
        self.last_outcome = standing.last_outcome
        self.loads = standing.loads

        examining = Examining(parts, road, runs, standing)
        self.check = examining.check
        self.grants = examining.grants
        self.plan = examining.plan
        self.compare = examining.compare
        self.watches = examining.watches

        taking = Taking(parts, road, runs)
        self.snapshot = taking.snapshot
        self.snapshot_group = taking.snapshot_group

        sending = Sending(parts, road, runs, standing)
        self.waiting_sources = sending.waiting_sources
        self.resting_mark = sending.resting_mark
        self.send = sending.send
        self.greet = sending.greet
        self.beat = sending.beat

        joining = Joining(parts, road, runs, sending)
        self.enroll = joining.enroll
        self.request_enrolment = joining.request_enrolment
        self.accept_enrolment = joining.accept_enrolment
        self.replace_key = joining.replace_key

        media = OfflineMedia(parts, road, runs)
        self.write_media = media.write_media
        self.rewrite_media = media.rewrite_media
        self.take_media_receipt = media.take_media_receipt
        self.media = media.media

    @classmethod
    def open(
        cls, folder: Path, clock: Callable[[], datetime] = utc_now, environ: Mapping[str, str] | None = None,
        machine: Machine = THIS_MACHINE, make_sources: MakeSources = SourceMaker,
    ) -> "Agent":  # fmt: skip
        """Open the agent in `folder`. Raises: SettingsError, SpoolError."""
        return cls(folder, load_config(folder), clock, environ or {}, machine, make_sources)

    def step_back(self) -> None:
        """Let everybody else on this machine go first, if that is set; for the whole process, for good."""
        if self.config.throttle.priority == "low":
            lower_priority()

    def close(self) -> None:
        """Close journal, holdings and lines."""
        self.parts.closing.close()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
