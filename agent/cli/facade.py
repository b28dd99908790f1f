# SPDX-License-Identifier: Apache-2.0
"""What the commands ask of the agent. `agent.app.Agent` keeps these promises; tests have an agent of their own.

One process uses one opened agent at a time, from one thread. Names of sources that are not in the settings raise
SourceError. Everything may raise AgentError and SettingsError.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.finding import Finding
from agent.jobs.asking import Working
from agent.load import LoadReport
from agent.outcome import AgentStatus, Comparison, Enrolment, KeyChange, Outcome
from agent.snapshot.progress import Heed, Progress, heed_nobody
from terminal.language import Text

if TYPE_CHECKING:
    from agent.media.order import Choice, MediaOutcome, ReceiptOutcome, SetStatus, Wish
    from agent.plan.figures import Plan, Question
    from agent.transport.send import Budget
    from evidence.wire.heartbeat import Failure


class Facade(Working, Protocol):
    """An opened agent."""

    def source_names(self) -> Sequence[str]:
        """Give the names of the configured sources, in the order of the file."""

    def enroll(self, url: str, code: str) -> Enrolment:
        """Make this agent one of the center's. Raises: EnrolmentError, PinError, CenterDownError."""

    def request_enrolment(self, code: str) -> bytes:
        """Give a request for enrolment, for the center to answer in a file. Raises: EnrolmentError."""

    def accept_enrolment(self, code: str, answer: bytes) -> Enrolment:
        """Make this agent one of the center's, by its answer to the request. Raises: EnrolmentError, PinError."""

    def group_names(self) -> Sequence[str]:
        """Give the names of the configured groups, in the order of the file."""

    def beat(self, failures: Mapping[str, "Failure"]) -> timedelta | None:
        """Tell the center how this agent is; give how far this clock is ahead of the center's. None: not enrolled.

        `failures`: what the daemon knows beside the journal. Raises: CenterDownError and its kin.
        """

    def replace_key(self, progress: Progress) -> KeyChange:
        """Give the agent another statement key, attested by the old one. Raises: KeyChangeError, BusyError."""

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False,
        heed: Heed = heed_nobody, budget: "Budget | None" = None,
    ) -> Sequence[Outcome]:  # fmt: skip
        """As the daemon asks it. When `budget` is spent, what is left waits, and is no trouble."""

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

    def grants(self, source: str) -> Text:
        """Give the SQL or the words that make the read-only account of the source."""

    def write_media(
        self, name: str, wish: "Wish", choice: "Choice", progress: Progress, *, anew: bool = False, force: bool = False,
        retry_login: bool = False,
    ) -> "MediaOutcome":  # fmt: skip
        """Write what the center lacks of a source on media, or go on with a writing that was cut; `anew`: give that up.

        Raises: MediumError; as `snapshot`.
        """

    def rewrite_media(self, files: Sequence[Path], wish: "Wish", progress: Progress) -> "MediaOutcome":
        """Write again what files of the center name as lacking. Raises: MediumError, MediumUnknownError."""

    def take_media_receipt(self, path: Path) -> "ReceiptOutcome":
        """Take in a file of receipts that came back. Raises: MediumUnknownError, ReceiptError."""

    def media(self) -> "Sequence[SetStatus]":
        """Tell what was written on media, and how it stands."""


OpenAgent = Callable[[Path], AbstractContextManager[Facade]]
"""Open the agent of a folder."""
