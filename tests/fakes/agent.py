# SPDX-License-Identifier: Apache-2.0
"""An agent for tests of the commands: keeps the promises of `agent.cli.facade.Facade`, and fails on command."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from agent.collectors.watch import Ready
from agent.errors import AgentError, SourceError
from agent.finding import Finding, Severity
from agent.jobs.job import Job
from agent.load import LoadReport
from agent.media.order import Choice, MediaOutcome, ReceiptOutcome, SetStatus, Wish, WrittenMedium
from agent.outcome import (
    AgentStatus,
    Comparison,
    Enrolment,
    KeyChange,
    MemberEnd,
    Outcome,
    SourceStatus,
    Stage,
    TableComparison,
    Verdict,
)
from agent.pausing import Pause
from agent.plan.figures import Plan, Question
from agent.snapshot.progress import Heed, Progress, heed_nobody
from agent.transport.send import Budget
from evidence.medium.number import MediumNumber
from evidence.wire.heartbeat import Failure
from terminal.language import Text
from tests.builders.plans import make_plan

_T = TypeVar("_T")
NOW = datetime(2025, 7, 1, 1, 2, 3, tzinfo=UTC)


def make_outcome(source: str = "his", sequence: int = 412, **changes: object) -> Outcome:
    """Give a stored snapshot, but for `changes`."""
    facts: dict[str, object] = {
        "source": source,
        "sequence": sequence,
        "stage": Stage.STORED,
        "tables": 2,
        "rows": 5094311,
        "bytes_": 812345678,
        "sent_bytes": 1 << 20,
        "taken_at": NOW,
        "took": timedelta(seconds=12.5),
        "consistency": "consistent",
        "root": "ab" * 32,
        "log_index": 90211,
        "receipt_path": Path("receipts/his/412.json"),
    }
    return Outcome(**(facts | changes))  # type: ignore[arg-type]  # the test states what it changes


@dataclass
class FakeWatch:
    """A watch whose every step is given; an exception is raised instead."""

    name: str
    steps: list[Ready | Exception | None] = field(default_factory=list)
    deafness: str | None = None
    is_seen: bool = True
    done: list[str] = field(default_factory=list)

    def step(self) -> Ready | None:
        if not self.steps:
            return None
        self.is_seen = not isinstance(self.steps[0], Exception)
        return _give(self.steps.pop(0))

    def take(self) -> None:
        self.done.append("take")

    def fail(self) -> None:
        self.done.append("fail")

    def close(self) -> None:
        self.done.append("close")


@dataclass
class FakeAgent:
    """What the test gives is what the commands get; an exception is raised instead."""

    names: tuple[str, ...] = ("his", "lis")
    snapshots: dict[str, Outcome | Exception] = field(default_factory=dict)
    waiting: list[list[Outcome] | Exception] = field(default_factory=list)
    comparison: Comparison | None = None
    findings: Sequence[Finding] = (Finding(Severity.OK, "settings", "fine"),)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asked: list[tuple[object, ...]] = field(default_factory=list)
    opened: int = 0
    open_error: Exception | None = None
    greet_error: Exception | None = None
    beats: list[timedelta | Exception | None] = field(default_factory=list)
    plans: dict[str, Plan] = field(default_factory=dict)
    watched: Sequence["FakeWatch"] = ()
    remarks: list[str] = field(default_factory=list)
    key_change: KeyChange | None = None
    budgets: list[Budget | None] = field(default_factory=list)
    load_reports: Sequence[LoadReport] = ()
    pause: Pause | None = None
    written: MediaOutcome | Exception = field(default_factory=lambda: make_media_outcome())
    brought: ReceiptOutcome | Exception = ReceiptOutcome("his", (412,), (), 0, (), 0)
    media_sets: Sequence[SetStatus] = ()
    scheduled: Sequence[Job] = ()
    made: dict[str, int] = field(default_factory=dict)
    before_snapshot: Callable[[], None] = lambda: None
    marks: Mapping[str, Hashable] = field(default_factory=dict)

    @contextmanager
    def open(self, folder: Path) -> Iterator["FakeAgent"]:
        self.asked.append(("open", folder))
        if self.open_error is not None:
            raise self.open_error
        self.opened += 1
        try:
            yield self
        finally:
            self.opened -= 1

    def source_names(self) -> Sequence[str]:
        return self.names

    def enroll(self, url: str, code: str) -> Enrolment:
        self.asked.append(("enroll", url, code))
        return Enrolment("X013", "市第一医院", url, "archives.example/jinsuo", "vkey", ("his",))

    def request_enrolment(self, code: str) -> bytes:
        self.asked.append(("request enrolment", code))
        return b"request"

    def accept_enrolment(self, code: str, answer: bytes) -> Enrolment:
        self.asked.append(("accept enrolment", code, answer))
        return Enrolment("X013", "市第一医院", "https://archives", "archives.example/jinsuo", "vkey", ("his",))

    def snapshot(
        self, source: str, progress: Progress, *, send: bool = True, remarks: Sequence[str] = (), force: bool = False,
        retry_login: bool = False, heed: Heed = heed_nobody, budget: Budget | None = None,
    ) -> Outcome:  # fmt: skip
        self.before_snapshot()
        heed()
        self.remarks += remarks
        flags = [name for name, is_set in (("force", force), ("retry login", retry_login)) if is_set]
        self.asked.append(("snapshot", source, send, *flags))
        progress.begin("public.visit", 10)
        progress.advance(10, 1000)
        progress.sent(500)
        return _give(self.snapshots.get(source, make_outcome(source)))

    def group_names(self) -> Sequence[str]:
        return tuple(self.groups)

    def snapshot_group(
        self, name: str, show: Callable[[str], AbstractContextManager[Progress]], *, send: bool = True,
        remarks: Sequence[str] = (), force: bool = False, retry_login: bool = False, heed: Heed = heed_nobody,
        budget: Budget | None = None,
    ) -> Sequence[MemberEnd]:  # fmt: skip
        heed()
        self.remarks += remarks
        flags = [flag for flag, is_set in (("force", force), ("retry login", retry_login)) if is_set]
        self.asked.append(("group", name, send, *flags))
        ends: list[MemberEnd] = []
        for source in self.groups[name]:
            with show(source) as progress:
                progress.begin("public.visit", 10)
            end = self.snapshots.get(source, make_outcome(source))
            if isinstance(end, Exception) and not isinstance(end, AgentError):
                raise end
            ends.append(MemberEnd(source, end))
        return ends

    def watches(self, names: Sequence[str]) -> Sequence["FakeWatch"]:
        self.asked.append(("watches", list(names)))
        return [watch for watch in self.watched if not names or watch.name in names]

    def jobs(self) -> Sequence[Job]:
        return self.scheduled

    def newest(self, sources: Sequence[str]) -> Mapping[str, int]:
        return {name: self.made.get(name, 0) for name in sources}

    def waiting_sources(self) -> Sequence[str]:
        """Give the sources of the next answer to `send`; what it raises is met with the first source."""
        if not self.waiting:
            return []
        answer = self.waiting[0]
        if isinstance(answer, Exception):
            return self.names[:1]
        if not answer:
            self.waiting.pop(0)
        return list(dict.fromkeys(outcome.source for outcome in answer))

    def resting_mark(self, source: str) -> Hashable | None:
        return self.marks.get(source)

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False,
        heed: Heed = heed_nobody, budget: Budget | None = None,
    ) -> Sequence[Outcome]:  # fmt: skip
        heed()
        self.asked.append(("send", "force") if force else ("send",))
        self.budgets.append(budget)
        progress.sent(500)
        return _give(self.waiting.pop(0)) if self.waiting else []

    def greet(self) -> None:
        self.asked.append(("greet",))
        if self.greet_error is not None:
            raise self.greet_error

    def beat(self, failures: Mapping[str, Failure]) -> timedelta | None:
        self.asked.append(("beat", dict(failures)))
        return _give(self.beats.pop(0)) if self.beats else timedelta(seconds=1.25)

    def replace_key(self, progress: Progress) -> KeyChange:
        self.asked.append(("replace key",))
        assert self.key_change is not None
        return self.key_change

    def compare(self, source: str, sequence: int | None, progress: Progress, *, force: bool = False) -> Comparison:
        self.asked.append(("compare", source, sequence, "force") if force else ("compare", source, sequence))
        return self.comparison or make_comparison(Verdict.EQUAL)

    def status(self) -> AgentStatus:
        his = SourceStatus(
            "his", "postgresql", 412, Stage.SPOOLED, NOW, 411, NOW - timedelta(days=1, hours=2), 90211, 5, 1, 1 << 20
        )
        lis = SourceStatus("lis", "sqlite", None, None, None, None, None, None, None, 0, 0, last_error="no rights")
        his = replace(
            his, load=next(iter(self.loads("his")), None), schedule="daily at 01:30", next_run=NOW + timedelta(hours=2)
        )
        lis = replace(
            lis, schedule="on change", missed_at=NOW - timedelta(days=1), missed_why="the agent was not running"
        )
        return AgentStatus(Path("folder"), "X013", "https://c:1", (his, lis), 1 << 20, 20 << 30, 5 << 30, self.pause)

    def loads(self, source: str | None) -> Sequence[LoadReport]:
        return [load for load in self.load_reports if source in (None, load.source)]

    def check(self, *, as_service: bool = False, retry_login: bool = False) -> Sequence[Finding]:
        self.asked.append(("check", as_service, "retry login") if retry_login else ("check", as_service))
        return self.findings

    def plan(self, source: str, question: Question, progress: Progress) -> Plan:
        self.asked.append(("plan", source, question))
        progress.begin("public.visit", 10)
        return self.plans.get(source) or make_plan(source=source, question=question)

    def grants(self, source: str) -> Text:
        if source not in self.names:
            raise SourceError(f"agent.yaml has no source {source!r}", hint="see agent.yaml")
        return Text(zh=f"-- 只读： \nGRANT SELECT ON {source};\n", en=f"-- Only to read:\nGRANT SELECT ON {source};\n")

    def write_media(
        self, name: str, wish: Wish, choice: Choice, progress: Progress, *, anew: bool = False, force: bool = False,
        retry_login: bool = False,
    ) -> MediaOutcome:  # fmt: skip
        flags = [flag for flag, is_set in (("anew", anew), ("force", force), ("retry login", retry_login)) if is_set]
        self.asked.append(("write media", name, wish, choice.value, *flags))
        progress.sent(500)
        return _give(self.written)

    def rewrite_media(self, files: Sequence[Path], wish: Wish, progress: Progress) -> MediaOutcome:
        self.asked.append(("rewrite media", tuple(files), wish))
        return _give(self.written)

    def take_media_receipt(self, path: Path) -> ReceiptOutcome:
        self.asked.append(("media receipt", path))
        return _give(self.brought)

    def media(self) -> Sequence[SetStatus]:
        return self.media_sets


def make_media_outcome(**changes: object) -> MediaOutcome:
    """Give a writing of one medium, but for `changes`."""
    number = MediumNumber("X013", "SJ", 2025, 3, 1, 1, "A")
    medium = WrittenMedium(number, Path("out/X013-SJ-2025-003-01of01-A"), 7, 30 << 20)
    made = MediaOutcome("his", "X013-SJ-2025-003", 1, (412,), (medium,), NOW + timedelta(days=60), False, 0)
    return replace(made, **changes)  # type: ignore[arg-type]  # the test states what it changes


def make_comparison(*verdicts: Verdict) -> Comparison:
    """Give a comparison with one table of each verdict."""
    tables = tuple(TableComparison(f"t{i}", verdict, 3, 4, "why") for i, verdict in enumerate(verdicts))
    return Comparison("his", 412, NOW, tables, "ab" * 32, None if Verdict.NOT_READ in verdicts else "cd" * 32)


@dataclass
class StopAfter:
    """A word to stop that comes after so many waits, none of which lasts; `during` is told of each."""

    rounds: int
    during: Callable[[int], None] = lambda _: None
    count: int = 0
    passed_s: float = 0.0

    def monotonic(self) -> float:
        """Give a clock by which the waits last."""
        return self.passed_s

    def wait(self, seconds: float) -> bool:
        self.count += 1
        self.passed_s += seconds
        self.during(self.count)
        return self.is_set()

    def is_set(self) -> bool:
        return self.count >= self.rounds


def _give(value: _T | Exception) -> _T:
    if isinstance(value, Exception):
        raise value
    return value
