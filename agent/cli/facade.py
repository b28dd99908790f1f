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
from agent.load import LoadReport
from agent.outcome import AgentStatus, Comparison, Enrolment, MemberEnd, Outcome
from agent.snapshot.progress import Progress

if TYPE_CHECKING:
    from agent.collectors.watch import Ready
    from agent.media.order import Choice, MediaOutcome, ReceiptOutcome, SetStatus, Wish
    from agent.plan.figures import Plan, Question


class Watch(Protocol):
    """A source that is watched. One thread."""

    name: str
    deafness: str | None
    """Why no events of the system are heard, or None."""

    def step(self) -> "Ready | None":
        """Look, if a look is due; say so if a snapshot is due now. Raises: AgentError."""

    def take(self) -> None:
        """Take note that a snapshot was made. Raises: OSError."""

    def fail(self) -> None:
        """Take note that it was not: wait before the next try."""

    def close(self) -> None:
        """Stop listening."""


class Facade(Protocol):
    """An opened agent."""

    def source_names(self) -> Sequence[str]:
        """Give the names of the configured sources, in the order of the file."""

    def enroll(self, url: str, code: str) -> Enrolment:
        """Make this agent one of the center's. Raises: EnrolmentError, PinError, CenterDownError."""

    def request_enrolment(self, code: str) -> bytes:
        """Give a request for enrolment, for the center to answer in a file. Raises: EnrolmentError."""

    def accept_enrolment(self, code: str, answer: bytes) -> Enrolment:
        """Make this agent one of the center's, by its answer to the request. Raises: EnrolmentError, PinError."""

    def snapshot(
        self, source: str, progress: Progress, *, send: bool = True, remarks: Sequence[str] = (), force: bool = False,
        retry_login: bool = False,
    ) -> Outcome:  # fmt: skip
        """Take a snapshot; send it and verify its receipt, or leave it in the spool. `remarks` go into its notes.

        `force`: although the agent is paused or in quiet hours, which is else a PausedError. `retry_login`: although the
        login was refused twice, which is else a LoginsStoppedError. A snapshot that is whole in the spool but cannot be
        sent is an Outcome with `trouble`, not an error.
        """

    def group_names(self) -> Sequence[str]:
        """Give the names of the configured groups, in the order of the file."""

    def snapshot_group(
        self, name: str, show: Callable[[str], AbstractContextManager[Progress]], *, send: bool = True,
        force: bool = False, retry_login: bool = False,
    ) -> Sequence[MemberEnd]:  # fmt: skip
        """Take the sources of a group, their views opened at one moment; give what became of each, in their order.

        `show` gives a source's progress, more than once. A member's failure is no error: it stands in its place, as does
        its being paused or in quiet hours. `force`, `retry_login`: as for `snapshot`.
        """

    def watches(self, names: Sequence[str]) -> Sequence[Watch]:
        """Give a watch for each of these sources, or for all that are to be watched; they outlive the opened agent.

        Raises: UsageError if there are none, or one is not to be watched.
        """

    def send(self, progress: Progress, *, force: bool = False) -> Sequence[Outcome]:
        """Send what waits in the spool, oldest first; what cannot be sent yet has `trouble`.

        Raises: PausedError, unless `force`.
        """

    def greet(self) -> None:
        """Show the center the newest checkpoint that this agent has seen. Raises: CenterDownError and its kin."""

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
