# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent watch` as a loop: what it takes, what it goes on after, what ends it."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from agent.cli.main import make_program
from agent.cli.watch import WatchSources
from agent.collectors.watch import Ready
from agent.errors import BusyError, CenterDownError, PausedError, PinError, ReceiptError, SourceError
from agent.outcome import Stage
from terminal.command import Program
from tests.fakes.agent import NOW, FakeAgent, FakeWatch, StopAfter, make_outcome

SETTLED = Ready("")


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    # The daemon's own handler would take the place of pytest's.
    monkeypatch.setattr("agent.cli.watch.set_up_logging", lambda stream: None)
    caplog.set_level(logging.INFO)
    yield caplog


def _watch(agent: FakeAgent, rounds: int, *words: str, during: Callable[[int], None] = lambda _: None) -> int:
    program = make_program(agent.open, lambda: NOW)
    commands = tuple(
        WatchSources(agent.open, lambda: NOW, StopAfter(rounds, during)) if c.name == "watch" else c
        for c in program.commands
    )
    changed = Program(
        name=program.name, description=program.description, commands=commands, home=program.home,
        version=program.version,
    )  # fmt: skip
    return changed.main(["-C", "folder", "--lang", "en", "watch", *words])


def _events(logged: pytest.LogCaptureFixture, *, level: int = logging.INFO) -> list[str]:
    return [record.message for record in logged.records if record.levelno >= level]


def test_what_has_settled_is_taken_once_and_the_watch_is_closed(
    agent: FakeAgent, logged: pytest.LogCaptureFixture
) -> None:
    exports, lis = FakeWatch("exports", [None, SETTLED]), FakeWatch("lis", [None, None, SETTLED])
    agent.watched = (exports, lis)
    assert _watch(agent, 5) == 0
    assert [each for each in agent.asked if each[0] == "snapshot"] == [
        ("snapshot", "exports", True), ("snapshot", "lis", True),
    ]  # fmt: skip
    assert exports.done == lis.done == ["take", "close"]
    assert agent.remarks == []
    assert agent.opened == 0
    assert _events(logged) == ["watch started", "snapshot taken", "snapshot taken", "watch stopped"]


def test_sources_that_are_named_are_watched_once(agent: FakeAgent, logged: pytest.LogCaptureFixture) -> None:
    agent.watched = (FakeWatch("exports"), FakeWatch("lis"))
    assert _watch(agent, 1, "lis", "lis") == 0
    assert ("watches", ["lis"]) in agent.asked
    assert [watch.done for watch in agent.watched] == [[], ["close"]]


def test_remark_of_the_watch_goes_into_the_snapshot(agent: FakeAgent, logged: pytest.LogCaptureFixture) -> None:
    agent.watched = (FakeWatch("exports", [Ready("taken before it stood still")]),)
    assert _watch(agent, 1) == 0
    assert agent.remarks == ["taken before it stood still"]
    (taken,) = [record for record in logged.records if record.message == "snapshot taken"]
    assert taken.settled is False  # type: ignore[attr-defined]  # a fact of the record


@pytest.mark.parametrize(
    ("trouble", "level"),
    [
        (BusyError("another run", hint="wait"), logging.WARNING),
        (CenterDownError("no line", hint="later"), logging.WARNING),
        (PausedError("paused", hint="resume"), logging.WARNING),
        (SourceError("no rights", hint="grant"), logging.ERROR),
    ],
)
def test_trouble_of_one_source_is_logged_and_the_others_go_on(
    agent: FakeAgent, logged: pytest.LogCaptureFixture, trouble: Exception, level: int
) -> None:
    exports, lis = FakeWatch("exports", [SETTLED, None, SETTLED]), FakeWatch("lis", [SETTLED])
    agent.watched = (exports, lis)
    agent.snapshots["exports"] = trouble  # type: ignore[assignment]  # an exception is raised instead

    def mend(round_: int) -> None:
        agent.snapshots.clear()

    assert _watch(agent, 4, during=mend) == 0
    assert exports.done == ["fail", "take", "close"]
    assert lis.done == ["take", "close"]
    (record,) = [record for record in logged.records if record.message == "source not taken"]
    assert record.levelno == level


def test_source_that_cannot_be_looked_at_is_tried_again(agent: FakeAgent, logged: pytest.LogCaptureFixture) -> None:
    exports = FakeWatch("exports", [SourceError("no folder", hint="mount it"), OSError(5, "I/O error"), SETTLED])
    agent.watched = (exports,)
    assert _watch(agent, 3) == 0
    assert exports.done == ["fail", "fail", "take", "close"]


def test_snapshot_that_cannot_be_sent_counts_as_taken_and_is_sent_a_minute_later(
    agent: FakeAgent, logged: pytest.LogCaptureFixture
) -> None:
    exports = FakeWatch("exports", [None, SETTLED])
    agent.watched = (exports,)
    waiting = make_outcome("exports", stage=Stage.SPOOLED, log_index=None, trouble=CenterDownError("no line", hint="x"))
    agent.snapshots["exports"] = waiting
    agent.waiting = [[], [waiting], [make_outcome("exports")]]
    assert _watch(agent, 200) == 0
    assert exports.done == ["take", "close"]
    # At the start nothing waits; then each minute until that is so again.
    assert [words for words in agent.asked if words[0] in ("send", "greet")] == [("greet",), ("send",), ("send",)]
    assert _events(logged, level=logging.WARNING) == ["snapshot not sent", "spool not sent"]
    assert _events(logged)[-2:] == ["statement sent", "watch stopped"]


@pytest.mark.parametrize("kind", [PinError, ReceiptError])
def test_other_end_that_is_no_honest_center_ends_the_watching(
    agent: FakeAgent, logged: pytest.LogCaptureFixture, kind: type[PinError]
) -> None:
    exports = FakeWatch("exports", [SETTLED, SETTLED])
    agent.watched = (exports,)
    agent.snapshots["exports"] = kind("not our center", hint="call")  # type: ignore[assignment]  # raised instead
    assert _watch(agent, 5) == 1
    assert len(exports.steps) == 1
    assert exports.done == ["close"]


def test_deafness_is_told_once(agent: FakeAgent, logged: pytest.LogCaptureFixture) -> None:
    agent.watched = (FakeWatch("exports", deafness="inotify watch limit reached"),)
    assert _watch(agent, 5) == 0
    assert _events(logged, level=logging.WARNING) == ["no events heard, looking at intervals"]


def test_time_that_a_snapshot_took_is_told(agent: FakeAgent, logged: pytest.LogCaptureFixture) -> None:
    agent.watched = (FakeWatch("exports", [SETTLED]),)
    agent.snapshots["exports"] = make_outcome("exports", took=timedelta(seconds=2.5))
    _watch(agent, 1)
    (taken,) = [record for record in logged.records if record.message == "snapshot taken"]
    assert taken.seconds == 2.5  # type: ignore[attr-defined]  # a fact of the record
