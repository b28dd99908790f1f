# SPDX-License-Identifier: Apache-2.0
"""What the commands ask of the agent. `agent.app.Agent` keeps these promises; tests have an agent of their own.

One process uses one opened agent at a time, from one thread. Names of sources that are not in the settings raise
SourceError. Everything may raise AgentError and SettingsError.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.finding import Finding
from agent.jobs.asking import Working
from agent.load import LoadReport
from agent.outcome import AgentStatus, Comparison, Enrolment
from agent.snapshot.progress import Progress

if TYPE_CHECKING:
    from agent.plan.figures import Plan, Question


class Facade(Working, Protocol):
    """An opened agent."""

    def source_names(self) -> Sequence[str]:
        """Give the names of the configured sources, in the order of the file."""

    def enroll(self, url: str, code: str) -> Enrolment:
        """Make this agent one of the center's. Raises: EnrolmentError, PinError, CenterDownError."""

    def group_names(self) -> Sequence[str]:
        """Give the names of the configured groups, in the order of the file."""

    def compare(self, source: str, sequence: int | None, progress: Progress, *, force: bool = False) -> Comparison:
        """Read the source, send nothing, compare with statement `sequence` (None: the latest stored).

        Raises: PausedError, unless `force`.
        """

    def status(self) -> AgentStatus:
        """Tell where everything stands, without asking the center."""

    def loads(self, source: str | None) -> Sequence[LoadReport]:
        """Give the load reports of a source, or of all, oldest first within each."""

    def check(self, *, as_service: bool = False, retry_login: bool = False) -> Sequence[Finding]:
        """Examine settings and sources; `retry_login`: also those whose login was refused twice."""

    def plan(self, source: str, question: "Question", progress: Progress) -> "Plan":
        """Measure what a snapshot of the source will take: reads a bounded sample, keeps and sends nothing."""

    def grants(self, source: str) -> str:
        """Give the SQL or the words that make the read-only account of the source."""


OpenAgent = Callable[[Path], AbstractContextManager[Facade]]
"""Open the agent of a folder."""
