# SPDX-License-Identifier: Apache-2.0
"""Sending in slices: between two packs, source after source, without an end to what is never through."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.errors import AgentError, CenterDownError, StoppedError
from agent.jobs.sending import Sender
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Heed, Progress, heed_nobody
from tests.fakes.agent import FakeAgent, make_outcome
from tests.fakes.machine import FakeTime


class Backlog(FakeAgent):
    """An agent with so many packs of each source in its spool; the line takes one after another."""

    def __init__(self, **packs: int) -> None:
        super().__init__()
        self.packs = packs
        self.sent: list[str] = []
        self.is_down = False

    def waiting_sources(self) -> Sequence[str]:
        return [name for name, count in self.packs.items() if count]

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False, heed: Heed = heed_nobody
    ) -> Sequence[Outcome]:
        (name,) = sources or ()
        trouble: AgentError | None = CenterDownError("down", hint="later") if self.is_down else None
        try:
            while self.packs[name] and trouble is None:
                heed()
                self.packs[name] -= 1
                self.sent.append(name)
                progress.sent(1)
        except StoppedError as err:
            trouble = err
        return [make_outcome(name, stage=Stage.SPOOLED if trouble else Stage.STORED, trouble=trouble)]


def _after(agent: Backlog, packs: int) -> bool:
    return len(agent.sent) >= packs


def test_everything_is_sent_if_nothing_is_more_urgent() -> None:
    agent = Backlog(his=3, lis=2)
    sender = Sender(agent.open, Path(), FakeTime())
    assert sender.send().is_empty
    assert agent.sent == ["his", "his", "his", "lis", "lis"]
    assert ("greet",) not in agent.asked
    assert sender.send().is_empty
    assert ("greet",) in agent.asked


def test_slice_ends_behind_a_pack_and_the_next_one_begins_with_the_next_source() -> None:
    agent = Backlog(his=10, lis=10, pacs=1)
    sender = Sender(agent.open, Path(), FakeTime())
    first = sender.send(lambda: _after(agent, 2))
    assert (first.is_empty, first.is_cut) == (False, True)
    assert agent.sent == ["his", "his"]
    sender.send(lambda: _after(agent, 5))
    assert agent.sent[2:] == ["lis", "lis", "lis"]
    sender.send(lambda: _after(agent, 7))
    assert agent.sent[5:] == ["pacs", "his"]


def test_each_slice_sends_at_least_a_pack_though_something_is_always_due() -> None:
    agent = Backlog(his=3, lis=3)
    sender = Sender(agent.open, Path(), FakeTime())
    slices = 0
    while agent.waiting_sources():
        sender.send(lambda: True)
        slices += 1
    assert slices == len(agent.sent) == 6


def test_line_that_is_down_is_asked_once_and_not_by_each_source() -> None:
    agent = Backlog(his=1, lis=1)
    agent.is_down = True
    sender = Sender(agent.open, Path(), FakeTime())
    sent = sender.send()
    assert (sent.is_empty, sent.is_cut) == (False, False)
    assert agent.sent == []
    agent.is_down = False
    assert sender.send().is_empty
    assert agent.sent == ["lis", "his"]


def test_word_to_stop_ends_it_within_a_pack() -> None:
    agent = Backlog(his=9)

    def stop() -> None:
        if _after(agent, 4):
            raise StoppedError("stop", hint="")

    Sender(agent.open, Path(), FakeTime(), stop).send()
    assert len(agent.sent) == 4


class Disc(FakeAgent):
    """An agent whose statements are logged, and whose content is awaited on a disc."""

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeTime(0.0)
        self.marks = {"his": "on a disc"}
        self.sent_at: list[float] = []
        self.trouble: AgentError | None = None

    def waiting_sources(self) -> Sequence[str]:
        return ["his"]

    def send(
        self, progress: Progress, *, sources: Sequence[str] | None = None, force: bool = False, heed: Heed = heed_nobody
    ) -> Sequence[Outcome]:
        self.sent_at.append(self.time.now / 60)
        return [make_outcome("his", stage=Stage.REGISTERED, trouble=self.trouble)]

    def live(self, sender: Sender, minutes: int) -> list[float]:
        """Let minutes pass, each with a slice; give those in which something was sent."""
        self.sent_at.clear()
        for _ in range(minutes):
            sender.send()
            self.time.sleep(60)
        return self.sent_at


def test_center_that_has_all_that_can_be_given_is_asked_more_and_more_seldom() -> None:
    agent = Disc()
    sender = Sender(agent.open, Path(), agent.time)
    assert agent.live(sender, 60 * 24)[:9] == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert len(agent.sent_at) == 29
    assert agent.asked.count(("greet",)) == 60 * 24 - 29, "a center that was started anew waits for a word"
    agent.time.now = 0
    assert agent.live(Sender(agent.open, Path(), agent.time), 4) == [0, 1, 3], "a start begins anew"


def test_whatever_befalls_a_source_that_is_left_alone_has_it_asked_for_at_once() -> None:
    agent = Disc()
    sender = Sender(agent.open, Path(), agent.time)
    agent.live(sender, 120)
    agent.marks = {"his": "on another disc"}
    assert agent.live(sender, 8) == [120, 121, 123, 127]
    agent.marks = {}
    assert agent.live(sender, 3) == [128, 129, 130], "what is sent by the line does not rest"


def test_what_is_left_alone_is_asked_for_as_soon_as_the_line_is_up_again() -> None:
    agent = Disc()
    sender = Sender(agent.open, Path(), agent.time)
    agent.live(sender, 20)
    agent.greet_error = CenterDownError("down", hint="later")
    agent.trouble = CenterDownError("down", hint="later")
    assert agent.live(sender, 3) == [21, 22]
    agent.greet_error = agent.trouble = None
    assert agent.live(sender, 4) == [23, 24, 26]


def test_how_far_a_statement_has_come_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    agent = Disc()
    sender = Sender(agent.open, Path(), agent.time)
    agent.live(sender, 200)
    assert len([record for record in caplog.records if record.message == "statement sent"]) == 1
