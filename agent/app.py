# SPDX-License-Identifier: Apache-2.0
"""The agent's wiring: one folder, opened; the only place that names concrete transports; `agent.sources` names collectors.

agent.yaml       settings                     keys/, center.json     who this agent is, after enrolment
journal.sqlite   taken, sent, receipted       spool/SOURCE/          packs that wait for a receipt
holdings.sqlite  disposable cache             receipts/, manifests/  a file per statement, for people and `compare`
watching/        what watched sources were like when they were last taken
load/            what each run asked of its source     logins/, paused.json    refused logins, the operator's pause
remembered/      disposable cache: what files were when they were read
schedule.sqlite  what is due, and what became of each scheduled run (`agent.jobs`)
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from tzlocal import get_localzone

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
from agent.errors import AgentError, CenterDownError, EnrolmentError, PinError, ReceiptError, SourceError
from agent.finding import Finding, Severity
from agent.holdings import Holdings
from agent.host import SystemHost, lower_priority, own_cpu_s
from agent.identity import Identity, enroll, is_enrolled
from agent.jobs.job import Job, Note, make_jobs
from agent.jobs.telling import Ahead, examine_schedules, find_ahead, read_notes
from agent.journal import Journal, JournalEntry, State
from agent.load import LoadLog, LoadReport
from agent.lock import RunLock
from agent.logins import LoginGuard
from agent.outcome import AgentStatus, Comparison, Enrolment, Left, MemberEnd, Outcome, SourceStatus, Stage
from agent.pausing import PauseFile
from agent.plan.figures import Plan, Question
from agent.plan.planning import Desk as PlanDesk
from agent.plan.planning import make_plan
from agent.secrets import Secrets
from agent.snapshot.attended import GuardedCollector
from agent.snapshot.carrying import ReadPlan
from agent.snapshot.compare import compare_source
from agent.snapshot.group import Member, Show, take_group
from agent.snapshot.progress import Heed, Progress, heed_nobody
from agent.snapshot.run import Desk, SourceRun, manifest_path, receipt_path
from agent.snapshot.splitting import SplitCollector
from agent.snapshot.supervised import COMPARED, Machine, SupervisedRun, check_pause
from agent.snapshot.take import Taken
from agent.sources import SourceMaker
from agent.spool import Spool
from agent.transport.base import SendPace, Transport, unpaced
from agent.transport.send import Parties
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from terminal.errors import UsageError
from terminal.language import Text

JOURNAL_NAME = "journal.sqlite"
HOLDINGS_NAME = "holdings.sqlite"
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
        retry_login: bool = False, heed: Heed = heed_nobody,
    ) -> Outcome:  # fmt: skip
        """Take a snapshot of a source into the spool; with `send`, wait for its receipt. `remarks` go into its notes.

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
            taken = member.run.take(member.collector, progress, send=send, remarks=remarks, pace=pace)
            outcome = self._deliver(member, taken, progress, send=send)
            return replace(outcome, took=timedelta(seconds=time.monotonic() - started))

    def snapshot_group(
        self, name: str, show: Show, *, send: bool = True, remarks: Sequence[str] = (), force: bool = False,
        retry_login: bool = False, heed: Heed = heed_nobody,
    ) -> Sequence[MemberEnd]:  # fmt: skip
        """Take the sources of a group, their views opened at one moment; give what became of each, in their order.

        With `send`, receipts are waited for when all sources have been read. The others: as for `snapshot`.
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
            takings = take_group(
                name, group.sources, list(members.values()), failed, self.clock, show, send=send, remarks=remarks
            )
            for source, taken in takings.items():
                if isinstance(taken, AgentError):
                    ends[source] = taken
                    if source in members:
                        members[source].supervised.note(taken.code)
                    continue
                with show(source) as progress:
                    ends[source] = self._end_member(members[source], taken, progress, started, send=send)
        return [MemberEnd(source, end) for source, end in ends.items()]

    def _begin(self, name: str, closing: ExitStack, *, force: bool, retry_login: bool, heed: Heed) -> Member:
        """Begin a run of a source, which `closing` ends. Raises: SourceError, BusyError, PausedError, EnrolmentError."""
        guarded = self._guarded(name, retry_login)
        closing.enter_context(RunLock(self.folder / "locks" / name, name))
        supervised = closing.enter_context(self._supervised(name, force, heed))
        supervised.throttle.refuse(name)
        collector: Collector = supervised.attend(guarded)
        if self._is_split(name):
            # Outside: each view that takes another's place is attended, too.
            collector = SplitCollector(collector)
        return Member(name, self._run(name, supervised.send), collector, supervised)

    def _end_member(
        self, member: Member, taken: Taken, progress: Progress, started: float, *, send: bool
    ) -> Outcome | AgentError:
        try:
            with member.supervised.turn():
                outcome = self._deliver(member, taken, progress, send=send)
        except (PinError, ReceiptError):
            raise
        except AgentError as err:
            member.supervised.note(err.code)
            return err
        return replace(outcome, took=timedelta(seconds=time.monotonic() - started))

    def _deliver(self, member: Member, taken: Taken, progress: Progress, *, send: bool) -> Outcome:
        """With `send`, wait for the receipt of a snapshot that is in the spool; give its outcome."""
        name = member.source
        trouble: AgentError | None = None
        if send:
            try:
                member.run.deliver(progress)
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
            notes=taken.notes,
            trouble=trouble,
        )

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False, heed: Heed = heed_nobody
    ) -> list[Outcome]:
        """Drain the spool, source by source, oldest statement first; what cannot be sent yet has `trouble`.

        `sources`: only of these. What `heed` or `progress.sent` raises is the trouble of the source being sent.

        One source's trouble does not stop the others. Raises: PausedError unless `force`; PinError, ReceiptError: whoever
        answers is not our center, or two-faced, so no other source is shown to it; what was receipted before stays so.
        """
        check_pause(self.folder, self.clock, force)()
        outcomes: list[Outcome] = []
        for name in self.waiting_sources() if sources is None else sources:
            waiting = [entry for entry in self.journal.unfinished() if entry.source == name]
            trouble: AgentError | None = None
            try:
                with RunLock(self.folder / "locks" / name, name):
                    self._run(name, self._supervised(name, force, heed).send).deliver(progress)
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
        if names and is_enrolled(self.folder) and self.journal.checkpoint() is not None:
            with Identity.open(self.folder).connect(self._seen_checkpoint) as road:
                road.latest(names[0])

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
        """Give the sources of which something waits in the spool for the center."""
        return list(dict.fromkeys(entry.source for entry in self.journal.unfinished()))

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
        identity, sources = enroll(self.folder, url, code)
        address = identity.address
        return Enrolment(address.unit, address.name, address.url, address.log.name, address.log.vkey, sources)

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
            connect=(lambda: Identity.open(self.folder).connect(self._seen_checkpoint))
            if is_enrolled(self.folder)
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

    def _run(self, name: str, pace: SendPace = unpaced) -> SourceRun:
        identity = Identity.open(self.folder)
        desk = Desk(
            folder=self.folder,
            journal=self.journal,
            holdings=self._holdings,
            spool=self.spool(name),
            unit=identity.unit,
            signer=identity.statement,
            parties=Parties(identity.address.log, identity.address.operator, identity.cosigner),
            connect=lambda: self._connect(identity, pace),
            clock=self.clock,
            version=version("jinsuo"),
            plan=self._read_plan(name),
        )
        return SourceRun(name, desk)

    def _connect(self, identity: Identity, pace: SendPace) -> Transport:
        transport = identity.connect(self._seen_checkpoint, pace)
        self._closing.callback(transport.close)
        return transport

    def _find_data(self, source: AnySource) -> Path | None:
        try:
            collector = self._make_collector(source)
        except AgentError:
            return None  # the check of the source itself tells why
        return collector.data_folder() if isinstance(collector, Placed) else None

    def _ask_center(self) -> datetime | None:
        """Make a request with a token, which a center refuses to a disabled unit; give the center's own time."""
        with Identity.open(self.folder).connect(self._seen_checkpoint) as road:
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
        )


__all__ = ["Agent", "manifest_path", "utc_now"]
