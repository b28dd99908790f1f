# SPDX-License-Identifier: Apache-2.0
"""Taking snapshots: of one source, or of a group whose views are opened at one moment."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

from agent.acts.parts import Parts
from agent.acts.road import Road
from agent.acts.runs import Runs
from agent.config import GroupSettings
from agent.errors import AgentError, EnrolmentError, PinError, ReceiptError, SourceError
from agent.outcome import MemberEnd, Outcome
from agent.snapshot.group import Member, Show, take_group
from agent.snapshot.progress import Heed, Progress, heed_nobody
from agent.snapshot.take import Taken
from agent.transport.send import Budget
from terminal.language import Text


class Taking:
    """The acts that read sources into the spool."""

    def __init__(self, parts: Parts, road: Road, runs: Runs) -> None:
        self._parts = parts
        self._road = road
        self._runs = runs

    def snapshot(
        self, name: str, progress: Progress, *, send: bool = True, remarks: Sequence[str] = (), force: bool = False,
        retry_login: bool = False, heed: Heed = heed_nobody, budget: Budget | None = None,
    ) -> Outcome:  # fmt: skip
        """Take a snapshot of a source into the spool; with `send`, wait for its receipt. `remarks` go into its notes.

        `budget` bounds what is sent, also of what waited before; what it leaves waits, and is no trouble.

        A line that is down does not fail the snapshot: it waits in the spool, and the outcome says so. `force`: although
        the agent is paused, or in quiet hours. `retry_login`: although the login was refused twice. `heed` may end it.
        Raises: PausedError, BudgetError if it may not begin, or must end;
        SourceError and its kin, SpoolError, EnrolmentError, CenterRefusedError, ReceiptError; CenterDownError if the
        center must be asked before anything is read, or lacks what it held, so that the snapshot is taken anew.
        """
        with ExitStack() as closing:
            member = self._runs.begin(name, closing, force=force, retry_login=retry_login, heed=heed)
            started = time.monotonic()
            travels = send and not self._road.carries_files
            taken = member.run.take(
                member.collector, progress, send=travels, remarks=remarks, pace=member.supervised.throttle.read,
                budget=budget,
            )  # fmt: skip
            outcome = self._runs.deliver(member, taken, progress, send=send, budget=budget)
            return replace(outcome, took=timedelta(seconds=time.monotonic() - started))

    def snapshot_group(
        self, name: str, show: Show, *, send: bool = True, remarks: Sequence[str] = (), force: bool = False,
        retry_login: bool = False, heed: Heed = heed_nobody, budget: Budget | None = None,
    ) -> Sequence[MemberEnd]:  # fmt: skip
        """Take the sources of a group, their views opened at one moment; give what became of each, in their order.

        With `send`, receipts are waited for when all sources have been read. `budget` is for all of them together; the
        others: as for `snapshot`.
        Raises: SourceError if there is no such group; PinError, ReceiptError.
        """
        group = self._get_group(name)
        started = time.monotonic()
        members: dict[str, Member] = {}
        ends: dict[str, AgentError | Outcome] = {}
        with ExitStack() as closing:
            failed: dict[str, AgentError] = {}
            for source in group.sources:
                try:
                    members[source] = self._runs.begin(source, closing, force=force, retry_login=retry_login, heed=heed)
                except EnrolmentError:
                    raise
                except AgentError as err:
                    failed[source] = err
            travels = send and not self._road.carries_files
            takings = take_group(
                name, group.sources, list(members.values()), failed, self._parts.clock, show,
                send=travels, remarks=remarks, budget=budget,
            )  # fmt: skip
            for source, taken in takings.items():
                if isinstance(taken, AgentError):
                    ends[source] = taken
                    if source in members:
                        members[source].supervised.note(taken.code)
                    continue
                with show(source) as progress:
                    ends[source] = self._end_member(members[source], taken, progress, started, send=send, budget=budget)
        return [MemberEnd(source, end) for source, end in ends.items()]

    def _get_group(self, name: str) -> GroupSettings:
        config = self._parts.config
        group = config.find_group(name)
        if group is None:
            known = ", ".join(each.name for each in config.groups) or "none"
            raise SourceError(
                Text(zh=f"agent.yaml 中没有组 {name!r}", en=f"agent.yaml has no group {name!r}"),
                hint=Text(zh=f"现有的组：{known}；见 `groups:`", en=f"its groups are: {known}; see `groups:`"),
            )
        return group

    def _end_member(
        self, member: Member, taken: Taken, progress: Progress, started: float, *, send: bool, budget: Budget | None
    ) -> Outcome | AgentError:
        try:
            with member.supervised.turn():
                outcome = self._runs.deliver(member, taken, progress, send=send, budget=budget)
        except (PinError, ReceiptError):
            raise
        except AgentError as err:
            member.supervised.note(err.code)
            return err
        return replace(outcome, took=timedelta(seconds=time.monotonic() - started))
