# SPDX-License-Identifier: Apache-2.0
"""A run of a source, from its lock to its receipt: what taking, sending, comparing and writing media have in common.

Invariant: a source is read only under its lock, by a collector that keeps to the throttle and, where it has a login,
stops before refused logins lock the account.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

from agent.acts.outcomes import make_outcome
from agent.acts.parts import Parts
from agent.acts.road import Road
from agent.collectors.base import Collector
from agent.errors import AgentError, BusyError, CenterDownError
from agent.lock import RunLock, is_held_to_send
from agent.logins import LoginGuard
from agent.outcome import Left, Outcome
from agent.settings.sources import (
    MysqlSource,
    OdbcSource,
    OracleSource,
    PostgresqlSource,
    SqlserverSource,
    TableSource,
    age_limit_of,
    login_of,
)
from agent.snapshot.attended import GuardedCollector
from agent.snapshot.carrying import ReadPlan
from agent.snapshot.delivering import Delivery
from agent.snapshot.desk import Desk
from agent.snapshot.group import Member
from agent.snapshot.posting import PostSettings, Sender, SourcePost
from agent.snapshot.progress import Heed, Progress, heed_nobody
from agent.snapshot.run import SourceRun
from agent.snapshot.splitting import SplitCollector
from agent.snapshot.supervised import SupervisedRun
from agent.snapshot.take import Taken
from agent.transport.base import SendPace, Transport, unpaced
from agent.transport.send import Budget, Parties
from evidence.manifest.statement import Channel
from terminal.language import Text

SENDING_PATIENCE_S = 900.0
"""So long a snapshot waits for a sending of its source: several slices of the daemon."""
_CHANNELS = {"https": Channel.ONLINE, "ssh": Channel.SSH, "sftp": Channel.SFTP, "folder": Channel.FOLDER}


class Runs:
    """Makes and delivers the runs of one opened agent."""

    def __init__(self, parts: Parts, road: Road) -> None:
        self._parts = parts
        self._road = road

    def begin(
        self, name: str, closing: ExitStack, *, force: bool, retry_login: bool, heed: Heed = heed_nobody,
        channel: Channel | None = None,
    ) -> Member:  # fmt: skip
        """Begin a run of a source, which `closing` ends. Raises: SourceError, BusyError, PausedError, EnrolmentError."""
        guarded = self.guarded(name, retry_login)
        closing.push(self._lock_for_reading(name, heed))
        supervised = closing.enter_context(self.supervised(name, force, heed))
        supervised.throttle.refuse(name)
        collector: Collector = supervised.attend(guarded)
        source = self._parts.config.find_source(name)
        if isinstance(source, TableSource) and source.split:
            # Outside: each view that takes another's place is attended, too.
            collector = SplitCollector(collector)
        return Member(name, self.run(name, supervised.send, channel=channel), collector, supervised)

    def _lock_for_reading(self, name: str, heed: Heed) -> RunLock:
        """Hold a source for a run, after waiting for one that only sends: it ends, or pauses between slices.

        Gives the lock, held. `heed` may end the waiting. Raises: BusyError.
        """
        machine = self._parts.machine
        end = machine.clock() + SENDING_PATIENCE_S
        while True:
            lock = self._parts.lock(name)
            try:
                return lock.__enter__()
            except BusyError:
                if not is_held_to_send(lock.path) or machine.clock() >= end:
                    raise
            heed()
            machine.sleep(1.0)

    def guarded(self, name: str, retry_login: bool = False) -> GuardedCollector:
        """Give the collector of a configured source; with a login, refused ones are counted. Raises: SourceError."""
        source, sources = self._parts.get_source(name), self._parts.sources
        guard: LoginGuard | None = None
        if isinstance(source, PostgresqlSource | MysqlSource | SqlserverSource | OracleSource | OdbcSource):
            login = (*login_of(source), sources.password(source))
            guard = LoginGuard(self._parts.folder, name, login, source.password)
            if retry_login:
                guard.clear()
        return GuardedCollector(sources.collector(source), guard)

    def supervised(self, name: str, force: bool, heed: Heed = heed_nobody) -> SupervisedRun:
        """Give the supervision of a run, to be entered."""
        parts = self._parts
        source = parts.config.find_source(name)
        # What waits in the spool may be of a source that is no longer configured.
        settings = parts.config.throttle if source is None else parts.config.throttle_of(source.throttle)
        limit = None if source is None else age_limit_of(source)
        return SupervisedRun(
            name, parts.folder, settings, parts.clock, parts.machine, age_limit_s=limit, force=force, heed=heed
        )

    def run(
        self, name: str, pace: SendPace = unpaced, channel: Channel | None = None, line: Transport | None = None
    ) -> SourceRun:
        """Give a run of a source, whose lock the caller holds. `line`: what answers it, if not the road of the settings.

        Raises: EnrolmentError; SpoolError, as `Parts.working_spool`.
        """
        parts, identity = self._parts, self._road.identity()
        source, max_age = parts.config.find_source(name), parts.config.spool.max_age
        desk = Desk(
            folder=parts.folder,
            journal=parts.journal,
            holdings=parts.holdings,
            spool=parts.working_spool(name),
            unit=identity.unit,
            signer=identity.statement,
            parties=Parties(identity.address.log, identity.address.operator, identity.cosigner),
            connect=lambda: line or self._road.connect(identity, pace, name),
            clock=parts.clock,
            version=parts.version,
            plan=ReadPlan(tuple(source.read.items())) if isinstance(source, TableSource) else ReadPlan(),
            channel=channel or _CHANNELS[parts.config.road.kind],
            on_way=parts.media_desk(name),
            max_age=None if max_age is None else timedelta(seconds=max_age),
            before=identity.before,
        )
        return SourceRun(name, desk)

    def deliver(
        self, member: Member, taken: Taken, progress: Progress, *, send: bool, budget: Budget | None = None
    ) -> Outcome:
        """With `send`, wait for the receipt of a snapshot that is in the spool; give its outcome."""
        name, journal = member.source, self._parts.journal
        trouble: AgentError | None = None
        told: Sequence[Text] = ()
        if send:
            try:
                told = self.send(name, member.run.delivery, progress, member.supervised.throttle.send, budget)
            except CenterDownError as err:
                if all(entry.note != taken.note for entry in journal.all_of(name)):
                    raise  # given up: it does not wait, it must be taken anew
                trouble = err
        outcome = make_outcome(journal.get(name, taken.statement.sequence), self._parts.folder)
        member.supervised.note(
            outcome.stage.value, sequence=outcome.sequence, rows=outcome.rows, sent_bytes=outcome.sent_bytes
        )
        return replace(
            outcome,
            omitted=tuple(Left(o.name, o.reason) for o in taken.omitted),
            notes=(*taken.notes, *told),
            trouble=trouble,
        )

    def send(
        self, name: str, delivery: Delivery, progress: Progress, pace: SendPace, budget: Budget | None
    ) -> Sequence[Text]:
        """Send what a source's spool holds, over whatever road; give what a person should know of it."""
        if not self._road.carries_files:
            delivery.deliver(progress, budget)
            return ()
        bags = self._post(name, delivery, pace).deliver(self._road.box, progress)
        return (
            (
                Text(
                    zh=f"已放入收发目录：{bags} 个包裹；回执由它带回",
                    en=f"put into the drop box: {bags} bag{'s' if bags > 1 else ''}; the receipt comes back by it",
                ),
            )
            if bags
            else ()
        )

    def _post(self, name: str, delivery: Delivery, pace: SendPace) -> SourcePost:
        parts, identity = self._parts, self._road.identity()
        address, settings = identity.address, parts.config.road.bags
        sender = Sender(
            identity.unit, identity.before or identity.statement, identity.cosigner, address.log.name, address.operator,
            address.sealing_key, f"jinsuo {parts.version}",
        )  # fmt: skip
        return SourcePost(
            name, delivery, self._road.posted[name], sender, parts.journal, parts.bags, parts.spool(name), parts.folder,
            parts.clock, PostSettings(settings.size, timedelta(seconds=settings.resend_after)), pace,
        )  # fmt: skip
