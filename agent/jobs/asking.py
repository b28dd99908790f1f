# SPDX-License-Identifier: Apache-2.0
"""What the daemon asks of the agent. `agent.app.Agent` keeps these promises, and so does the agent of the tests.

One process uses one opened agent at a time, from one thread; it is opened anew for each act. Names of sources that are
not in the settings raise SourceError. Everything may raise AgentError and SettingsError.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.jobs.job import Job
from agent.outcome import MemberEnd, Outcome
from agent.snapshot.progress import Heed, Progress, heed_nobody

if TYPE_CHECKING:
    from agent.collectors.watch import Ready


class Watch(Protocol):
    """A source that is watched. One thread."""

    name: str
    deafness: str | None
    """Why no events of the system are heard, or None."""
    is_seen: bool
    """Whether the last look found the source."""

    def step(self) -> "Ready | None":
        """Look, if a look is due; say so if a snapshot is due now. Raises: AgentError."""

    def take(self) -> None:
        """Take note that a snapshot was made. Raises: OSError."""

    def fail(self) -> None:
        """Take note that it was not: wait before the next try."""

    def close(self) -> None:
        """Stop listening."""


class Working(Protocol):
    """An opened agent, as far as the daemon needs it."""

    def jobs(self) -> Sequence[Job]:
        """Give what is scheduled, groups first, in the order of the file."""

    def newest(self, sources: Sequence[str]) -> Mapping[str, int]:
        """Give the sequence of the newest snapshot of each of these sources, by the journal; 0: none yet."""

    def waiting_sources(self) -> Sequence[str]:
        """Give the sources of which something waits in the spool for the center."""

    def resting_mark(self, source: str) -> Hashable | None:
        """Give a mark of how one of them stands, if the center has all of it that can be given now; else None.

        All its statements are logged, and their content comes by another road, or not at all. The mark is another one as
        soon as anything of that changes: a statement more, a receipt, a medium that is written, given up, or awaited no longer.
        """

    def snapshot(
        self, source: str, progress: Progress, *, send: bool = True, remarks: Sequence[str] = (), force: bool = False,
        retry_login: bool = False, heed: Heed = heed_nobody,
    ) -> Outcome:  # fmt: skip
        """Take a snapshot; send it and verify its receipt, or leave it in the spool. `remarks` go into its notes.

        `force`: although the agent is paused or in quiet hours, which is else a PausedError. `retry_login`: although the
        login was refused twice, which is else a LoginsStoppedError. `heed` is called between blocks and within packs;
        what it raises ends the reading. A snapshot that is whole in the spool but cannot be sent is an Outcome with
        `trouble`, not an error.
        """

    def snapshot_group(
        self, name: str, show: Callable[[str], AbstractContextManager[Progress]], *, send: bool = True,
        remarks: Sequence[str] = (), force: bool = False, retry_login: bool = False, heed: Heed = heed_nobody,
    ) -> Sequence[MemberEnd]:  # fmt: skip
        """Take the sources of a group, their views opened at one moment; give what became of each, in their order.

        `show` gives a source's progress, more than once. A member's failure is no error: it stands in its place, as does
        its being paused or in quiet hours. The others: as for `snapshot`.
        """

    def watches(self, names: Sequence[str]) -> Sequence[Watch]:
        """Give a watch for each of these sources, or for all that are to be watched; they outlive the opened agent.

        Raises: UsageError if there are none, or one is not to be watched.
        """

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False, heed: Heed = heed_nobody
    ) -> Sequence[Outcome]:
        """Send what waits in the spool, oldest first, of these sources (None: of all); what cannot be sent has `trouble`.

        `heed` is called within packs, `progress.sent` after each: what they raise is the trouble of that source.
        Raises: PausedError, unless `force`.
        """

    def greet(self) -> None:
        """Show the center the newest checkpoint that this agent has seen. Raises: CenterDownError and its kin."""


OpenWorking = Callable[[Path], AbstractContextManager[Working]]
"""Open the agent of a folder."""
