# SPDX-License-Identifier: Apache-2.0
"""The agent's heartbeat: what it says of each source, when it is sent, and that a line that is down harms nothing."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import CenterDownError, SourceDownError
from agent.heartbeat import HeartbeatAttendant, make_heartbeat, start_thread
from agent.load import LoadReport
from agent.outcome import AgentStatus, SourceStatus, Stage
from agent.pausing import Pause
from evidence.wire.heartbeat import MAX_BEATS, BeatStage, Failure, SourceBeat, parse_heartbeat
from tests.fakes.agent import make_outcome

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FOLDER = Path("agent")


def _load(outcome: str, ended: datetime) -> LoadReport:
    return LoadReport("his", None, ended - HOUR, ended, outcome)


def _source(name: str = "his", **changes: object) -> SourceStatus:
    facts: dict[str, object] = {
        "source": name, "kind": "sqlite", "sequence": 412, "stage": Stage.SPOOLED, "taken_at": NOW - HOUR,
        "stored_sequence": 411, "stored_at": NOW - 25 * HOUR, "log_index": 9, "rows": 5, "waiting": 1,
        "waiting_bytes": 4096,
    }  # fmt: skip
    return SourceStatus(**(facts | changes))  # type: ignore[arg-type]  # the test states what it changes


def _status(*sources: SourceStatus, pause: Pause | None = None) -> AgentStatus:
    return AgentStatus(FOLDER, "X013", "https://c", sources, 4096, 20 << 30, 7 << 30, pause)


def test_a_heartbeat_says_of_each_source_what_the_status_says() -> None:
    empty = _source("arc", sequence=None, stage=None, taken_at=None, stored_at=None, waiting=0, waiting_bytes=0)
    beat = make_heartbeat(_status(_source(next_run=NOW + HOUR), empty), NOW)
    assert beat.sources == (
        SourceBeat("arc"),
        SourceBeat("his", 412, BeatStage.SPOOLED, NOW - HOUR, NOW - 25 * HOUR, NOW + HOUR, 1, 4096),
    )
    assert (beat.clock, beat.free_bytes, beat.paused, beat.paused_until) == (NOW, 7 << 30, False, None)
    assert beat.software.startswith("jinsuo ")
    assert parse_heartbeat(beat.encode()) == beat


@pytest.mark.parametrize("until", [None, NOW + HOUR])
def test_a_pause_is_told(until: datetime | None) -> None:
    beat = make_heartbeat(_status(pause=Pause(NOW - HOUR, until)), NOW)
    assert (beat.paused, beat.paused_until) == (True, until)


@pytest.mark.parametrize(
    ("load", "told", "taken", "found"),
    [
        (None, None, NOW, None),
        ("stored", None, NOW, None),
        ("RuntimeError", None, NOW - 2 * HOUR, None),
        ("JS-2103", None, NOW - 2 * HOUR, "JS-2103"),
        ("JS-2103", None, None, "JS-2103"),
        ("JS-2103", None, NOW, None),
        (None, "JS-2105", NOW - 2 * HOUR, "JS-2105"),
        (None, "JS-2105", NOW, None),
        ("JS-2103", "JS-2105", NOW - 9 * HOUR, "JS-2103"),
    ],
)
def test_the_newest_failure_that_nothing_has_followed_is_told(
    load: str | None, told: str | None, taken: datetime | None, found: str | None
) -> None:
    report = None if load is None else _load(load, NOW - HOUR)
    failures = {} if told is None else {"his": Failure(NOW - 90 * timedelta(minutes=1), told)}
    stage, sequence = (None, None) if taken is None else (Stage.SPOOLED, 412)
    source = _source(load=report, taken_at=taken, stage=stage, sequence=sequence)
    (beat,) = make_heartbeat(_status(source), NOW, failures).sources
    assert (None if beat.failure is None else beat.failure.code) == found


def test_an_agent_with_too_many_sources_tells_of_the_first() -> None:
    sources = [_source(f"s{i:05}") for i in reversed(range(MAX_BEATS + 5))]
    beat = make_heartbeat(_status(*sources), NOW)
    assert [one.source for one in beat.sources] == [f"s{i:05}" for i in range(MAX_BEATS)]


@dataclass
class FakeBeating:
    """An agent that counts its heartbeats, and fails on command."""

    sent: list[Mapping[str, Failure]] = field(default_factory=list)
    fail: Exception | None = None

    def beat(self, failures: Mapping[str, Failure]) -> timedelta | None:
        if self.fail is not None:
            raise self.fail
        self.sent.append(failures)
        return timedelta(seconds=2)

    @contextmanager
    def open(self, folder: Path) -> Iterator["FakeBeating"]:
        assert folder == FOLDER
        yield self


def _at_once(work: Callable[[], None]) -> Callable[[], bool]:
    work()
    return lambda: False


@pytest.fixture
def agent() -> FakeBeating:
    return FakeBeating()


def _attendant(agent: FakeBeating, every: timedelta | None = timedelta(minutes=15)) -> HeartbeatAttendant:
    return HeartbeatAttendant(agent.open, FOLDER, lambda: every, _at_once)


def test_a_day_of_minutes_has_a_heartbeat_every_quarter(agent: FakeBeating) -> None:
    attendant = _attendant(agent)
    for minute in range(24 * 60):
        attendant.step(NOW + timedelta(minutes=minute))
    assert len(agent.sent) == 96


def test_no_heartbeat_is_sent_where_none_is_wanted(agent: FakeBeating) -> None:
    attendant = _attendant(agent, None)
    for minute in range(600):
        attendant.step(NOW + timedelta(minutes=minute))
    assert agent.sent == []


def test_a_clock_that_is_set_back_does_not_silence_the_agent(agent: FakeBeating) -> None:
    attendant = _attendant(agent)
    attendant.step(NOW)
    attendant.step(NOW - timedelta(days=30))
    attendant.step(NOW - timedelta(days=30) + timedelta(minutes=15))
    assert len(agent.sent) == 3


@pytest.mark.parametrize("error", [CenterDownError("no line", hint="wait"), RuntimeError("a fault of ours")])
def test_whatever_stands_in_the_way_is_logged_and_tried_again(
    agent: FakeBeating, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    attendant = _attendant(agent)
    agent.fail = error
    attendant.step(NOW)
    assert [record.levelno >= logging.WARNING for record in caplog.records] == [True]
    agent.fail = None
    attendant.step(NOW + timedelta(minutes=1))
    assert agent.sent == [], "a line that is down is not hammered"
    attendant.step(NOW + timedelta(minutes=15))
    assert len(agent.sent) == 1


def test_a_failure_before_a_source_was_opened_is_told_until_a_snapshot_has_come(agent: FakeBeating) -> None:
    @dataclass
    class Ended:
        source: str
        ended: datetime
        end: object

    attendant = _attendant(agent)
    attendant.on_run(Ended("his", NOW, SourceDownError("nobody answers", hint="wait")))
    attendant.step(NOW)
    attendant.on_run(Ended("his", NOW, make_outcome()))
    attendant.step(NOW + HOUR)
    assert agent.sent == [{"his": Failure(NOW, "JS-2101")}, {}]


def test_a_line_that_hangs_keeps_nobody_waiting_and_gets_no_second_heartbeat(agent: FakeBeating) -> None:
    may_go_on, count = threading.Event(), 0

    def hang(failures: Mapping[str, Failure]) -> timedelta | None:
        nonlocal count
        count += 1
        assert may_go_on.wait(60)
        return None

    agent.beat = hang  # type: ignore[method-assign]  # the line of this test
    running: list[Callable[[], bool]] = []

    def start(work: Callable[[], None]) -> Callable[[], bool]:
        running.append(start_thread(work))
        return running[-1]

    attendant = HeartbeatAttendant(agent.open, FOLDER, lambda: timedelta(minutes=15), start=start)
    for minute in range(120):
        attendant.step(NOW + timedelta(minutes=minute))
    assert len(running) == 1
    may_go_on.set()
    attendant.close()
    while running[0]():
        pass
    assert count == 1
    attendant.step(NOW + timedelta(minutes=121))
    assert len(running) == 2


def test_the_newest_status_counts(agent: FakeBeating) -> None:
    source = _source(stored_at=NOW)
    beat = make_heartbeat(_status(replace(source, waiting=0, waiting_bytes=0)), NOW)
    assert beat.find("his") == SourceBeat("his", 412, BeatStage.SPOOLED, NOW - HOUR, NOW)
