# SPDX-License-Identifier: Apache-2.0
"""Sending: what waits in the spool, and the words that the daemon has for the center beside it."""

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from agent.acts.outcomes import make_outcome
from agent.acts.parts import Parts
from agent.acts.road import Road
from agent.acts.runs import Runs
from agent.acts.standing import Standing
from agent.errors import AgentError, PinError, ReceiptError
from agent.heartbeat import NO_FAILURES, make_heartbeat, send_heartbeat
from agent.journal import State
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Heed, Progress, heed_nobody
from agent.snapshot.supervised import check_pause
from agent.transport.send import Budget
from evidence.wire.heartbeat import Failure


class Sending:
    """The acts that speak to the center, and read no source."""

    def __init__(self, parts: Parts, road: Road, runs: Runs, standing: Standing) -> None:
        self._parts = parts
        self._road = road
        self._runs = runs
        self._standing = standing

    def waiting_sources(self) -> Sequence[str]:
        """Give the sources of which something waits in the spool, or for which receipts have come by files."""
        waiting = (entry.source for entry in self._parts.journal.unfinished())
        return list(dict.fromkeys([*waiting, *self._road.answered()]))

    def resting_mark(self, source: str) -> Hashable | None:
        """Give a mark that changes with anything, if the center has all that can be given now of `source`; else None."""
        if self._road.carries_files:
            return None  # whoever sends looks at the drop box: it is how answers come
        parts = self._parts
        standing = tuple((entry.digest, entry.state) for entry in parts.journal.unfinished_of(source))
        if not standing or any(state is not State.REGISTERED for _, state in standing):
            return None
        with suppress(AgentError):  # it is met when the source is sent
            desk = parts.media_desk(source)
            if desk.holds() or not parts.spool(source).unsent():
                return standing, tuple((status.set_id, status.state) for status in desk.statuses())
        return None

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False,
        heed: Heed = heed_nobody, budget: Budget | None = None,
    ) -> list[Outcome]:  # fmt: skip
        """Drain the spool, source by source, oldest statement first; what cannot be sent yet has `trouble`.

        `sources`: only of these. What `heed` or `progress.sent` raises is the trouble of the source being sent.

        When `budget` is spent, no further pack is sent of any source, and what is left waits without trouble; statements
        are registered all the same. So a caller catches up in slices, between which snapshots are taken.

        One source's trouble does not stop the others. Raises: PausedError unless `force`; PinError, ReceiptError: whoever
        answers is not our center, or two-faced, so no other source is shown to it; what was receipted before stays so.
        """
        parts = self._parts
        check_pause(parts.folder, parts.clock, force)()
        outcomes: list[Outcome] = []
        for name in self.waiting_sources() if sources is None else sources:
            waiting = parts.journal.unfinished_of(name)
            trouble: AgentError | None = None
            try:
                with parts.lock(name, sends=True):
                    pace = self._runs.supervised(name, force, heed).send
                    self._runs.send(name, self._runs.run(name, pace).delivery, progress, pace, budget)
            except (PinError, ReceiptError):
                raise
            except AgentError as err:
                trouble = err
            # By digest: where the chain was taken up anew, another statement may have the sequence.
            kept = {entry.digest: entry for entry in parts.journal.all_of(name)}
            for entry in waiting:
                outcome = make_outcome(kept.get(entry.digest, entry), parts.folder)
                outcomes.append(outcome if outcome.stage is Stage.STORED else replace(outcome, trouble=trouble))
        return outcomes

    def greet(self) -> None:
        """Show the center the newest checkpoint that this agent has seen, if there is one: a started center waits for it.

        Raises: CenterDownError (also where the center waits for another's word), CenterRefusedError, PinError.
        """
        names = self._parts.source_names()
        if self._road.carries_files:
            return  # nobody is there; each bag shows it
        if names and self._road.is_enrolled() and self._road.seen_checkpoint() is not None:
            with self._road.line() as line:
                line.latest(names[0])

    def beat(self, failures: Mapping[str, Failure] = NO_FAILURES) -> timedelta | None:
        """Send a heartbeat; give how far this clock is ahead of the center's.

        None: nothing was sent, for this agent is not enrolled, or its road carries files.

        `failures`: what the daemon knows beside the journal (`agent.heartbeat.make_heartbeat`).
        Raises: CenterDownError, CenterRefusedError, PinError.
        """
        if self._road.carries_files or not self._road.is_enrolled():
            return None  # by files nobody is there to hear it; each bag is a sign of life
        with self._road.line() as line:
            return send_heartbeat(make_heartbeat(self._standing.status(), self._parts.clock(), failures), line)
