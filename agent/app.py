# SPDX-License-Identifier: Apache-2.0
"""The agent's wiring: one folder, opened; the only place that names concrete transports; `agent.sources` names collectors.

agent.yaml       settings                     keys/, center.json     who this agent is, after enrolment
journal.sqlite   taken, sent, receipted       spool/SOURCE/          packs that wait for a receipt
holdings.sqlite  disposable cache             receipts/, manifests/  a file per statement, for people and `compare`
watching/        what watched sources were like when they were last taken
media/           what was written on offline media
load/            what each run asked of its source     logins/, paused.json    refused logins, the operator's pause
remembered/      disposable cache: what files were when they were read
schedule.sqlite  what is due, and what became of each scheduled run (`agent.jobs`)
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from tzlocal import get_localzone

from agent.bagged import BagLog
from agent.collectors.base import Collector, Placed
from agent.collectors.watch import SourceWatch
from agent.config import (
    AgentConfig,
    AnySource,
    FilesSource,
    MysqlSource,
    OdbcSource,
    OracleSource,
    PostgresqlSource,
    SqliteSource,
    SqlserverSource,
    TableSource,
    age_limit_of,
    load_config,
    login_of,
)
from agent.doctor import Circumstances, examine
from agent.errors import (
    AgentError,
    BusyError,
    CenterDownError,
    DropBoxError,
    EnrolmentError,
    PinError,
    ReceiptError,
    SourceError,
)
from agent.finding import Finding, Severity
from agent.heartbeat import NO_FAILURES, make_heartbeat, send_heartbeat
from agent.holdings import Holdings
from agent.host import SystemHost, lower_priority, own_cpu_s
from agent.identity import Identity, enroll, finish_key, is_enrolled, make_key, settle_key
from agent.jobs.job import Job, Note, make_jobs
from agent.jobs.telling import Ahead, examine_schedules, find_ahead, read_notes
from agent.journal import Journal, JournalEntry, SourceKeys, State
from agent.load import LoadLog, LoadReport
from agent.lock import RunLock, is_held_to_send
from agent.logins import LoginGuard
from agent.media.desk import MediaDesk, media_folder
from agent.media.order import Choice, MediaOutcome, ReceiptOutcome, SetStatus, Wish
from agent.media.receipts import read_missing, read_receipts, tell_brought
from agent.media.sets import MediaSets
from agent.offline import Known, accept_enrolment, request_enrolment
from agent.outcome import AgentStatus, Comparison, Enrolment, KeyChange, Left, MemberEnd, Outcome, SourceStatus, Stage
from agent.pausing import PauseFile
from agent.plan.figures import Plan, Question
from agent.plan.planning import Desk as PlanDesk
from agent.plan.planning import make_plan
from agent.secrets import Secrets
from agent.snapshot.attended import GuardedCollector
from agent.snapshot.carrying import ReadPlan
from agent.snapshot.compare import compare_source
from agent.snapshot.group import Member, Show, take_group
from agent.snapshot.kept import manifest_path, receipt_path
from agent.snapshot.posting import PostSettings, Sender, SourcePost
from agent.snapshot.progress import Heed, Progress, heed_nobody
from agent.snapshot.rekey import is_logged, is_stated, state_key_change
from agent.snapshot.run import Desk, SourceRun
from agent.snapshot.splitting import SplitCollector
from agent.snapshot.supervised import COMPARED, Machine, SupervisedRun, check_pause
from agent.snapshot.take import Taken
from agent.sources import SourceMaker
from agent.spool import Spool
from agent.transport.base import DropBox, SendPace, Transport, unpaced
from agent.transport.posted import Posted
from agent.transport.roads import make_box, make_way
from agent.transport.send import Budget, Parties
from agent.transport.way import Way
from evidence.digest import Sha256
from evidence.manifest.statement import Channel, SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.wire.heartbeat import Failure
from terminal.errors import UsageError
from terminal.language import Text

JOURNAL_NAME = "journal.sqlite"
HOLDINGS_NAME = "holdings.sqlite"
SENDING_PATIENCE_S = 900.0
"""So long a snapshot waits for a sending of its source: several slices of the daemon."""
_CHANNELS = {"https": Channel.ONLINE, "ssh": Channel.SSH, "sftp": Channel.SFTP, "folder": Channel.FOLDER}
_STAGES = {State.TAKEN: Stage.SPOOLED, State.REGISTERED: Stage.REGISTERED, State.STORED: Stage.STORED}


_THIS_MACHINE = Machine(time.monotonic, time.sleep, SystemHost(), own_cpu_s)


def utc_now() -> datetime:
    """Give the agent's clock."""
    return datetime.now(UTC)


class Agent:
    """An agent, opened. Use as a context manager; one act at a time."""

    def __init__(
        self, folder: Path, config: AgentConfig, clock: Callable[[], datetime], environ: Mapping[str, str],
        machine: Machine = _THIS_MACHINE,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.config = config
        self.clock = clock
        self._environ = environ
        self._sources = SourceMaker(folder, environ, clock)
        self._machine = machine
        self._pauses = PauseFile(folder)
        self._loads = LoadLog(folder)
        self._closing = ExitStack()
        self.journal = Journal(folder / JOURNAL_NAME)
        self._closing.callback(self.journal.close)
        self._holdings = Holdings(folder / HOLDINGS_NAME)
        self._closing.callback(self._holdings.close)
        self._bags = BagLog(folder / JOURNAL_NAME)
        self._closing.callback(self._bags.close)
        self._posted: defaultdict[str, Posted] = defaultdict(lambda: Posted(self._bags.find_proof))

    @classmethod
    def open(
        cls, folder: Path, clock: Callable[[], datetime] = utc_now, environ: Mapping[str, str] | None = None,
        machine: Machine = _THIS_MACHINE,
    ) -> "Agent":  # fmt: skip
        """Open the agent in `folder`. Raises: SettingsError, SpoolError."""
        return cls(folder, load_config(folder), clock, environ or {}, machine)

    def close(self) -> None:
        """Close journal, holdings and lines."""
        self._closing.close()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def step_back(self) -> None:
        """Let everybody else on this machine go first, if that is set; for the whole process, for good."""
        if self.config.throttle.priority == "low":
            lower_priority()

    # Acts

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
            member = self._begin(name, closing, force=force, retry_login=retry_login, heed=heed)
            started = time.monotonic()
            pace = member.supervised.throttle.read
            travels = send and not self.config.road.carries_files
            taken = member.run.take(
                member.collector, progress, send=travels, remarks=remarks, pace=pace, budget=budget
            )  # fmt: skip
            outcome = self._deliver(member, taken, progress, send=send, budget=budget)
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
        group = self.config.find_group(name)
        if group is None:
            known = ", ".join(self.group_names()) or "none"
            raise SourceError(f"agent.yaml has no group {name!r}", hint=f"its groups are: {known}; see `groups:`")
        started = time.monotonic()
        members: dict[str, Member] = {}
        ends: dict[str, AgentError | Outcome] = {}
        with ExitStack() as closing:
            failed: dict[str, AgentError] = {}
            for source in group.sources:
                try:
                    members[source] = self._begin(source, closing, force=force, retry_login=retry_login, heed=heed)
                except EnrolmentError:
                    raise
                except AgentError as err:
                    failed[source] = err
            travels = send and not self.config.road.carries_files
            takings = take_group(
                name,
                group.sources,
                list(members.values()),
                failed,
                self.clock,
                show,
                send=travels,
                remarks=remarks,
                budget=budget,
            )
            for source, taken in takings.items():
                if isinstance(taken, AgentError):
                    ends[source] = taken
                    if source in members:
                        members[source].supervised.note(taken.code)
                    continue
                with show(source) as progress:
                    ends[source] = self._end_member(members[source], taken, progress, started, send=send, budget=budget)
        return [MemberEnd(source, end) for source, end in ends.items()]

    def _begin(
        self, name: str, closing: ExitStack, *, force: bool, retry_login: bool, heed: Heed = heed_nobody,
        channel: Channel | None = None,
    ) -> Member:  # fmt: skip
        """Begin a run of a source, which `closing` ends. Raises: SourceError, BusyError, PausedError, EnrolmentError."""
        guarded = self._guarded(name, retry_login)
        closing.push(self._lock_for_reading(name, heed))
        supervised = closing.enter_context(self._supervised(name, force, heed))
        supervised.throttle.refuse(name)
        collector: Collector = supervised.attend(guarded)
        if self._is_split(name):
            # Outside: each view that takes another's place is attended, too.
            collector = SplitCollector(collector)
        return Member(name, self._run(name, supervised.send, channel=channel), collector, supervised)

    def _lock_for_reading(self, name: str, heed: Heed) -> RunLock:
        """Hold a source for a run, after waiting for one that only sends: it ends, or pauses between slices.

        Gives the lock, held. `heed` may end the waiting. Raises: BusyError.
        """
        path = self.folder / "locks" / name
        end = self._machine.clock() + SENDING_PATIENCE_S
        while True:
            try:
                return RunLock(path, name).__enter__()
            except BusyError:
                if not is_held_to_send(path) or self._machine.clock() >= end:
                    raise
            heed()
            self._machine.sleep(1.0)

    def _end_member(
        self, member: Member, taken: Taken, progress: Progress, started: float, *, send: bool, budget: Budget | None
    ) -> Outcome | AgentError:
        try:
            with member.supervised.turn():
                outcome = self._deliver(member, taken, progress, send=send, budget=budget)
        except (PinError, ReceiptError):
            raise
        except AgentError as err:
            member.supervised.note(err.code)
            return err
        return replace(outcome, took=timedelta(seconds=time.monotonic() - started))

    def _deliver(
        self, member: Member, taken: Taken, progress: Progress, *, send: bool, budget: Budget | None = None
    ) -> Outcome:
        """With `send`, wait for the receipt of a snapshot that is in the spool; give its outcome."""
        name = member.source
        trouble: AgentError | None = None
        told: Sequence[str] = ()
        if send:
            try:
                told = self._send_source(name, member.run, progress, member.supervised.throttle.send, budget)
            except CenterDownError as err:
                if all(entry.note != taken.note for entry in self.journal.all_of(name)):
                    raise  # given up: it does not wait, it must be taken anew
                trouble = err
        outcome = self._outcome(self.journal.get(name, taken.statement.sequence))
        member.supervised.note(
            outcome.stage.value, sequence=outcome.sequence, rows=outcome.rows, sent_bytes=outcome.sent_bytes
        )
        return replace(
            outcome,
            omitted=tuple(Left(o.name, o.reason) for o in taken.omitted),
            notes=(*taken.notes, *told),
            trouble=trouble,
        )

    def _send_source(
        self, name: str, run: SourceRun, progress: Progress, pace: SendPace, budget: Budget | None
    ) -> Sequence[str]:
        """Send what a source's spool holds, over whatever road; give what a person should know of it."""
        road = self.config.road
        if not road.carries_files:
            run.deliver(progress, budget)
            return ()
        identity = self._identity()
        address = identity.address
        sender = Sender(
            identity.unit, identity.before or identity.statement, identity.cosigner, address.log.name, address.operator,
            address.sealing_key, f"jinsuo {version('jinsuo')}",
        )  # fmt: skip
        settings = PostSettings(road.bags.size, timedelta(seconds=road.bags.resend_after))
        post = SourcePost(
            name, run, self._posted[name], sender, self.journal, self._bags, self.spool(name), self.folder, self.clock,
            settings, pace,
        )  # fmt: skip
        bags = post.deliver(self._box, progress)
        return (
            (f"put into the drop box: {bags} bag{'s' if bags > 1 else ''}; the receipt comes back by it",)
            if bags
            else ()
        )

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
        check_pause(self.folder, self.clock, force)()
        outcomes: list[Outcome] = []
        for name in self.waiting_sources() if sources is None else sources:
            waiting = [entry for entry in self.journal.unfinished() if entry.source == name]
            trouble: AgentError | None = None
            try:
                with RunLock(self.folder / "locks" / name, name, sends=True):
                    pace = self._supervised(name, force, heed).send
                    self._send_source(name, self._run(name, pace), progress, pace, budget)
            except (PinError, ReceiptError):
                raise
            except AgentError as err:
                trouble = err
            # By digest: where the chain was taken up anew, another statement may have the sequence.
            kept = {entry.digest: entry for entry in self.journal.all_of(name)}
            for entry in waiting:
                outcome = self._outcome(kept.get(entry.digest, entry))
                outcomes.append(outcome if outcome.stage is Stage.STORED else replace(outcome, trouble=trouble))
        return outcomes

    def greet(self) -> None:
        """Show the center the newest checkpoint that this agent has seen, if there is one: a started center waits for it.

        Raises: CenterDownError (also where the center waits for another's word), CenterRefusedError, PinError.
        """
        names = self.source_names()
        if self.config.road.carries_files:
            return  # nobody is there; each bag shows it
        if names and is_enrolled(self.folder) and self.journal.checkpoint() is not None:
            with self._identity().connect(self._seen_checkpoint, way=self._way()) as road:
                road.latest(names[0])

    def beat(self, failures: Mapping[str, Failure] = NO_FAILURES) -> timedelta | None:
        """Send a heartbeat; give how far this clock is ahead of the center's.

        None: nothing was sent, for this agent is not enrolled, or its road carries files.

        `failures`: what the daemon knows beside the journal (`agent.heartbeat.make_heartbeat`).
        Raises: CenterDownError, CenterRefusedError, PinError.
        """
        if self.config.road.carries_files or not is_enrolled(self.folder):
            return None  # by files nobody is there to hear it; each bag is a sign of life
        with self._identity().connect(self._seen_checkpoint, way=self._way()) as road:
            return send_heartbeat(make_heartbeat(self.status(), self.clock(), failures), road)

    def replace_key(self, progress: Progress) -> KeyChange:
        """Give this agent another statement key, attested by the old one; try to tell the center at once.

        From then on statements are signed by the new key, though the center may hear of it later. Begun before and not
        known to the center yet: the same change goes on.
        Raises: KeyChangeError: no source has a chain; EnrolmentError, BusyError, SpoolError, PinError, ReceiptError.
        """
        identity = self._identity()
        if identity.before is None:
            with ExitStack() as locks:
                sources = self.journal.sources()
                for name in sources:
                    locks.enter_context(RunLock(self.folder / "locks" / name, name))
                made = make_key(self.folder, identity.unit)
                state_key_change(self.journal, identity.unit, sources, identity.statement, made, self.clock())
            identity = self._identity()
        assert identity.before is not None
        change = (identity.before.key, identity.statement.key)
        outcomes = self.send(progress, force=True)
        trouble = next((outcome.trouble for outcome in outcomes if outcome.trouble is not None), None)
        return KeyChange(*change, is_known=is_logged(self.journal, change[1]), trouble=trouble)

    def compare(self, name: str, sequence: int | None, progress: Progress, *, force: bool = False) -> Comparison:
        """Tell whether a source equals what this agent registered as `sequence` (None: the newest snapshot).

        Raises: SourceError if the manifest of that statement is not kept here; as `snapshot`.
        """
        guarded = self._guarded(name)
        with RunLock(self.folder / "locks" / name, name), self._supervised(name, force) as supervised:
            supervised.throttle.refuse(name)
            comparison = compare_source(
                name, supervised.attend(guarded), self.folder, self.journal, sequence, progress,
                self.folder / "reading" / name, supervised.throttle.read,
            )  # fmt: skip
            rows = sum(table.rows_live or 0 for table in comparison.tables)
            supervised.note(COMPARED, sequence=comparison.sequence, rows=rows)
            return comparison

    def loads(self, source: str | None) -> Sequence[LoadReport]:
        """Give the load reports of a source (None: of all), oldest first. Raises: SourceError if there is no such source."""
        names = self.source_names() if source is None else [self._find(source).name]
        return [report for name in names for report in self._loads.reports(name)]

    def source_names(self) -> Sequence[str]:
        """Give the names of the configured sources, in the order of the file."""
        return [source.name for source in self.config.sources]

    def group_names(self) -> Sequence[str]:
        """Give the names of the configured groups, in the order of the file."""
        return [group.name for group in self.config.groups]

    def jobs(self) -> Sequence[Job]:
        """Give what is scheduled, groups first, in the order of the file."""
        return make_jobs(self.config, get_localzone())

    def scheduled_runs(self, name: str | None, since: datetime) -> Sequence[Note]:
        """Give what became of the scheduled runs of a source or group (None: of all) that were due from `since` on."""
        return read_notes(self.folder, name, since)

    def newest(self, sources: Sequence[str]) -> Mapping[str, int]:
        """Give the sequence of the newest snapshot of each of these sources; 0: none yet."""
        return {name: self.journal.latest_snapshot(name) for name in sources}

    def waiting_sources(self) -> Sequence[str]:
        """Give the sources of which something waits in the spool, or for which receipts have come by files."""
        return list(dict.fromkeys([*(entry.source for entry in self.journal.unfinished()), *self._answered()]))

    def watches(self, names: Sequence[str]) -> Sequence[SourceWatch]:
        """Give a watch for each of these sources, or for all that are to be watched. They outlive this agent.

        Raises: UsageError if there are none, or one is not to be watched.
        """
        watched = [s for s in self.config.sources if isinstance(s, FilesSource | SqliteSource) and s.watch is not None]
        known = {source.name for source in watched}
        wrong = next((name for name in names if name not in known), None)
        if wrong is not None or not known:
            listed = ", ".join(sorted(known)) or "-"
            raise UsageError(
                Text(
                    zh=f"来源 {wrong} 没有设置监视" if wrong else "没有来源设置了监视",
                    en=f"source {wrong} is not set to be watched" if wrong else "no source is set to be watched",
                ),
                hint=Text(
                    zh=f"在 agent.yaml 中为 files 或 sqlite 来源加入 watch；已设置的：{listed}",
                    en=f"add `watch:` to a files or sqlite source in agent.yaml; those that have it: {listed}",
                ),
            )
        return [self._sources.watch(source) for source in watched if not names or source.name in names]

    def enroll(self, url: str, code: str) -> Enrolment:
        """Make this agent one of the center's. Raises: EnrolmentError, PinError, CenterDownError, CenterRefusedError."""
        identity, sources = enroll(self.folder, url, code, self._way())
        if self.config.road.carries_files and sources:
            # There will be nobody to ask: the secrets and the chains of older sources come now, over this line.
            with identity.connect(self._seen_checkpoint, way=self._way()) as line:
                for source in sources:
                    self._run(source, line=line).settle()
        address = identity.address
        return Enrolment(address.unit, address.name, address.url, address.log.name, address.log.vkey, sources)

    def request_enrolment(self, code: str) -> bytes:
        """Give a request for enrolment, for the center to answer in a file. Raises: EnrolmentError."""
        return request_enrolment(self.folder, code)

    def accept_enrolment(self, code: str, answer: bytes) -> Enrolment:
        """Make this agent one of the center's, by its answer to the request. Raises: EnrolmentError, PinError, ReceiptError."""

        def keep(known: Sequence[Known]) -> None:
            for each in known:
                secrets = each.secrets
                self.journal.put_keys(each.source, SourceKeys(secrets.row_secret, secrets.storage_key, True))

        identity, known = accept_enrolment(self.folder, code, answer, keep)
        for each in known:
            if each.latest is not None:
                # The chain goes on from there, as with a line; a kill before this is mended by the first bag's answer.
                self._posted[each.source].tell_latest(*each.latest)
                if self.config.road.carries_files:
                    self._run(each.source).settle()
        address = identity.address
        names = tuple(each.source for each in known)
        return Enrolment(address.unit, address.name, address.url, address.log.name, address.log.vkey, names)

    def check(self, *, as_service: bool = False, retry_login: bool = False) -> Sequence[Finding]:
        """Examine settings, folder, line and every source."""
        findings = examine(
            Circumstances(
                folder=self.folder,
                config=self.config,
                secrets=Secrets(self.folder, self._environ),
                environ=frozenset(self._environ),
                ask_center=self._ask_center if is_enrolled(self.folder) else None,
                clock=self.clock,
                find_data=self._find_data,
                environ_counts=not as_service,
            )
        )
        findings += examine_schedules(self.config, self.jobs(), self.clock(), get_localzone())
        for source in self.config.sources:
            try:
                findings += self._guarded(source.name, retry_login).check()
            except AgentError as err:
                findings.append(Finding(Severity.FAIL, source.name, err.message, err.remedy))
        return findings

    def grants(self, source: str) -> str:
        """Give the SQL or the words that make the read-only account of the source."""
        return self.collector(source).grants()

    def collector(self, name: str) -> Collector:
        """Give the collector of a configured source, as it is. Raises: SourceError if there is no such source."""
        return self._make_collector(self._find(name))

    def plan(self, name: str, question: Question, progress: Progress) -> Plan:
        """Measure what a snapshot of the source will take. Raises: SourceError and its kin."""
        source = self._find(name)
        desk = PlanDesk(
            folder=self.folder,
            config=self.config,
            spool=self.spool(name),
            entries=self.journal.all_of(name),
            last=self.last_outcome(name),
            connect=(lambda: self._identity().connect(self._seen_checkpoint, way=self._way()))
            if is_enrolled(self.folder) and not self.config.road.carries_files
            else None,
            find_data=self._find_data,
            clock=time.monotonic,
        )
        with RunLock(self.folder / "locks" / name, name):
            return make_plan(source, lambda source: self._guarded(source.name), desk, question, progress)

    def status(self) -> AgentStatus:
        """Tell where everything stands, without asking the center."""
        address = Identity.open(self.folder).address if is_enrolled(self.folder) else None
        ahead = find_ahead(self.folder, self.jobs(), self.clock())
        sources = tuple(
            self._status(source.name, source.kind, ahead.get(source.name)) for source in self.config.sources
        )
        return AgentStatus(
            folder=self.folder,
            unit=address.unit if address else None,
            center=address.url if address else None,
            sources=sources,
            spool_bytes=sum(source.waiting_bytes for source in sources),
            spool_limit_bytes=self.config.spool.max_size,
            spool_free_bytes=self.spool_free_bytes(),
            pause=self._pauses.find(self.clock()),
        )

    def last_outcome(self, name: str) -> Outcome | None:
        """Give the newest snapshot of a source that was taken here, or None."""
        entries = [entry for entry in self.journal.all_of(name) if entry.kind == SnapshotStatement.kind]
        return self._outcome(entries[-1]) if entries else None

    def spool(self, name: str) -> Spool:
        """Give the spool of a source."""
        settings = self.config.spool
        return Spool(
            settings.folder / name,
            max_bytes=settings.max_size,
            min_free_bytes=settings.min_free,
            keep_bytes=settings.keep,
            level=settings.compression,
        )

    def spool_free_bytes(self) -> int:
        """Give the bytes free on the spool's volume."""
        folder = self.config.spool.folder
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(folder).free

    # Offline media

    def write_media(
        self, name: str, wish: Wish, choice: Choice, progress: Progress, *, anew: bool = False, force: bool = False,
        retry_login: bool = False,
    ) -> MediaOutcome:  # fmt: skip
        """Write what the center lacks of a source on media, after a new snapshot unless `choice` says otherwise.

        A writing that was cut goes on, and no snapshot is taken; `anew`: it is given up first. For `Choice.ALL` the source is
        read only if the packs that are here do not hold all of the newest snapshot. The line is not needed.
        Raises: MediumError; as `snapshot`.
        """
        order, identity = wish.settle(self.config.media), self._identity()
        desk, whole = self._media_desk(name), None
        with ExitStack() as closing:
            if choice is not Choice.WAITING:
                self._find(name)
            cut = desk.unfinished()
            if cut is not None and anew:
                desk.abandon(cut)
                cut = None
            if cut is None and choice is Choice.ALL:
                whole = desk.find_whole(self.folder)
            if cut is not None or whole is not None or choice is Choice.WAITING:
                closing.enter_context(RunLock(self.folder / "locks" / name, name))
            else:
                member = self._begin(name, closing, force=force, retry_login=retry_login, channel=Channel.MEDIA)
                taken = member.run.take(
                    member.collector, progress, send=False, pace=member.supervised.throttle.read,
                    whole=choice is Choice.ALL, offline=True,
                )  # fmt: skip
                self._deliver(member, taken, progress, send=False)
            return desk.write(order, identity, version("jinsuo"), progress.sent, whole or ())

    def rewrite_media(self, files: Sequence[Path], wish: Wish, progress: Progress) -> MediaOutcome:
        """Write again what files of the center name as lacking. Raises: MediumError, MediumUnknownError."""
        missing = [read_missing(path) for path in files]
        name = missing[0].source
        with RunLock(self.folder / "locks" / name, name):
            desk, identity = self._media_desk(name), self._identity()
            return desk.rewrite(missing, wish.settle(self.config.media), identity, version("jinsuo"), progress.sent)

    def take_media_receipt(self, path: Path) -> ReceiptOutcome:
        """Take in a file of receipts that came back; packs that have arrived leave the spool.

        Raises: MediumUnknownError: not for this agent. ReceiptError; CenterRefusedError: content was refused, and is given
        up in a `gap`; CenterDownError: no file has brought a proof that is needed, and the line that has it is down.
        """
        address = self._identity().address
        receipts = read_receipts(path, address.unit, address.operator)
        name = receipts.source
        with RunLock(self.folder / "locks" / name, name):
            before = self.journal.all_of(name)
            self._bags.keep_proofs(receipts.size, [(proof.size, b"".join(proof.hashes)) for proof in receipts.proofs])
            posted = self._posted_or_asked(name)
            posted.take(receipts)
            try:
                self._run(name, line=posted).accept(lambda entry: posted.answers(entry.digest))
            except CenterDownError:
                if self.journal.all_of(name) == before:
                    raise
                # What was refused is given up in a `gap`, which travels with the next writing: told by its refusal.
            return tell_brought(receipts, before, self.journal.all_of(name))

    def _posted_or_asked(self, name: str) -> Posted:
        """Give the answers of files; proofs that none has brought, because the line has brought more, are asked for there."""
        if self.config.road.carries_files:
            return self._posted[name]

        def find_proof(old: int, new: int) -> list[Sha256]:
            found = self._bags.find_proof(old, new)
            return self._connect(self._identity(), unpaced, name).consistency(old, new) if found is None else found

        return Posted(find_proof)

    def media(self) -> Sequence[SetStatus]:
        """Tell what was written on media, and how it stands, source by source."""
        names = dict.fromkeys(written.source for written in MediaSets(media_folder(self.folder)).all())
        return [status for name in names for status in self._media_desk(name).statuses()]

    def _media_desk(self, name: str) -> MediaDesk:
        sets = MediaSets(media_folder(self.folder))
        return MediaDesk(name, sets, self.spool(name), self.journal, self.config.media, self.clock)

    # Inside

    def _find(self, name: str) -> AnySource:
        source = self.config.find_source(name)
        if source is None:
            known = ", ".join(s.name for s in self.config.sources) or "none"
            raise SourceError(
                f"agent.yaml has no source {name!r}", hint=f"its sources are: {known}; add one under `sources:`"
            )
        return source

    def _make_collector(self, source: AnySource) -> Collector:
        return self._sources.collector(source)

    def _supervised(self, name: str, force: bool, heed: Heed = heed_nobody) -> SupervisedRun:
        source = self.config.find_source(name)
        # What waits in the spool may be of a source that is no longer configured.
        settings = self.config.throttle if source is None else self.config.throttle_of(source.throttle)
        limit = None if source is None else age_limit_of(source)
        return SupervisedRun(
            name, self.folder, settings, self.clock, self._machine, age_limit_s=limit, force=force, heed=heed
        )

    def _guarded(self, name: str, retry_login: bool = False) -> GuardedCollector:
        """Give the collector of a configured source; with a login, refused ones are counted. Raises: SourceError."""
        source = self._find(name)
        guard: LoginGuard | None = None
        if isinstance(source, PostgresqlSource | MysqlSource | SqlserverSource | OracleSource | OdbcSource):
            guard = LoginGuard(self.folder, name, (*login_of(source), self._sources.password(source)), source.password)
            if retry_login:
                guard.clear()
        return GuardedCollector(self._make_collector(source), guard)

    def _is_split(self, name: str) -> bool:
        source = self.config.find_source(name)
        return isinstance(source, TableSource) and source.split

    def _read_plan(self, name: str) -> ReadPlan:
        source = self.config.find_source(name)
        return ReadPlan(tuple(source.read.items())) if isinstance(source, TableSource) else ReadPlan()

    def _run(
        self, name: str, pace: SendPace = unpaced, channel: Channel | None = None, line: Transport | None = None
    ) -> SourceRun:
        identity = self._identity()
        desk = Desk(
            folder=self.folder,
            journal=self.journal,
            holdings=self._holdings,
            spool=self.spool(name),
            unit=identity.unit,
            signer=identity.statement,
            parties=Parties(identity.address.log, identity.address.operator, identity.cosigner),
            connect=lambda: line or self._connect(identity, pace, name),
            clock=self.clock,
            version=version("jinsuo"),
            plan=self._read_plan(name),
            channel=channel or _CHANNELS[self.config.road.kind],
            on_way=self._media_desk(name),
            max_age=None if self.config.spool.max_age is None else timedelta(seconds=self.config.spool.max_age),
            before=identity.before,
        )
        return SourceRun(name, desk)

    def _identity(self) -> Identity:
        """Open who this agent is, after what a change of keys has left to do. Raises: EnrolmentError."""
        if is_enrolled(self.folder):
            identity = Identity.open(self.folder)
            settle_key(self.folder, identity.unit, lambda key: is_stated(self.journal, key))
            if identity.before is not None and is_logged(self.journal, identity.statement.key):
                finish_key(self.folder)
        return Identity.open(self.folder)

    def _way(self) -> Way:
        """Give the way that bytes take by the settings. Raises: RoadError."""
        return make_way(self.config.road, Secrets(self.folder, self._environ))

    def _connect(self, identity: Identity, pace: SendPace, name: str) -> Transport:
        if self.config.road.carries_files:
            return self._posted[name]
        transport = identity.connect(self._seen_checkpoint, pace, self._way())
        self._closing.callback(transport.close)
        return transport

    def _find_data(self, source: AnySource) -> Path | None:
        try:
            collector = self._make_collector(source)
        except AgentError:
            return None  # the check of the source itself tells why
        return collector.data_folder() if isinstance(collector, Placed) else None

    @cached_property
    def _box(self) -> DropBox:
        """The drop box of a road that carries files, until this agent is closed. Raises: RoadError, SecretError."""
        box = make_box(self.config.road, Secrets(self.folder, self._environ))
        self._closing.callback(box.close)
        return box

    def _answered(self) -> Sequence[str]:
        """Give the sources for which receipts have come by a road that carries files, whether any are waited for or not."""
        if not self.config.road.carries_files or not is_enrolled(self.folder):
            return ()
        try:
            files = self._box.receipts()
        except AgentError as err:
            if isinstance(err, DropBoxError) or self.journal.unfinished():
                return ()  # those that wait for some are told
            raise
        unit = self._identity().unit
        return [name for name in self.source_names() if any(f.startswith(f"receipts-{unit}-{name}-") for f in files)]

    def _ask_center(self) -> datetime | None:
        """Make a request with a token, which a center refuses to a disabled unit; give the center's own time.

        Over a road that carries files nobody answers, so its drop box is looked at.
        """
        if self.config.road.carries_files:
            self._box.check()
            return None
        with self._identity().connect(self._seen_checkpoint, way=self._way()) as road:
            road.latest(next(iter(self.source_names()), "check"))
            return road.center_time

    def _seen_checkpoint(self) -> bytes | None:
        known = self.journal.checkpoint()
        return None if known is None else known[1]

    def _outcome(self, entry: JournalEntry) -> Outcome:
        statement = parse_statement(parse_note(entry.note).text)
        snapshot = statement if isinstance(statement, SnapshotStatement) else None
        return Outcome(
            source=entry.source,
            sequence=entry.sequence,
            stage=_STAGES[entry.state],
            tables=entry.tables,
            rows=entry.rows,
            bytes_=entry.bytes_,
            sent_bytes=entry.sent_bytes,
            taken_at=entry.taken_at,
            took=timedelta(0),
            consistency=snapshot.consistency.value if snapshot else "-",
            root=snapshot.root.hex() if snapshot else "-",
            log_index=entry.log_index,
            receipt_path=receipt_path(self.folder, entry.source, entry.sequence) if entry.receipt else None,
        )

    def _status(self, name: str, kind: str, ahead: Ahead | None) -> SourceStatus:
        missed = ahead.missed if ahead else None
        entries = self.journal.all_of(name)
        newest = entries[-1] if entries else None
        outage = self.journal.outage(name)
        stored = next((e for e in reversed(entries) if e.state is State.STORED and e.kind == "snapshot"), None)
        return SourceStatus(
            source=name,
            kind=kind,
            sequence=newest.sequence if newest else None,
            stage=_STAGES[newest.state] if newest else None,
            taken_at=newest.taken_at if newest else None,
            stored_sequence=stored.sequence if stored else None,
            stored_at=stored.taken_at if stored else None,
            log_index=stored.log_index if stored else None,
            rows=stored.rows if stored else None,
            waiting=sum(1 for e in entries if e.state is State.TAKEN),
            waiting_bytes=sum(pack.size for pack in self.spool(name).unsent()),
            load=self._loads.newest(name),
            schedule=ahead.words if ahead else "",
            next_run=ahead.next_run if ahead else None,
            missed_at=missed.last if missed else None,
            missed_why=missed.reason if missed else "",
            no_room_since=None if outage is None else outage.since,
        )


__all__ = ["Agent", "manifest_path", "utc_now"]
