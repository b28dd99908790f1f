# SPDX-License-Identifier: Apache-2.0
"""Sending in slices: between two packs, source after source, without an end to what is never through."""

from collections.abc import Sequence
from pathlib import Path

from agent.errors import AgentError, CenterDownError, StoppedError
from agent.jobs.sending import Sender
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Heed, Progress, heed_nobody
from tests.fakes.agent import FakeAgent, make_outcome


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
    sender = Sender(agent.open, Path())
    assert sender.send().is_empty
    assert agent.sent == ["his", "his", "his", "lis", "lis"]
    assert ("greet",) not in agent.asked
    assert sender.send().is_empty
    assert ("greet",) in agent.asked


def test_slice_ends_behind_a_pack_and_the_next_one_begins_with_the_next_source() -> None:
    agent = Backlog(his=10, lis=10, pacs=1)
    sender = Sender(agent.open, Path())
    first = sender.send(lambda: _after(agent, 2))
    assert (first.is_empty, first.is_cut) == (False, True)
    assert agent.sent == ["his", "his"]
    sender.send(lambda: _after(agent, 5))
    assert agent.sent[2:] == ["lis", "lis", "lis"]
    sender.send(lambda: _after(agent, 7))
    assert agent.sent[5:] == ["pacs", "his"]


def test_each_slice_sends_at_least_a_pack_though_something_is_always_due() -> None:
    agent = Backlog(his=3, lis=3)
    sender = Sender(agent.open, Path())
    slices = 0
    while agent.waiting_sources():
        sender.send(lambda: True)
        slices += 1
    assert slices == len(agent.sent) == 6


def test_line_that_is_down_is_asked_once_and_not_by_each_source() -> None:
    agent = Backlog(his=1, lis=1)
    agent.is_down = True
    sender = Sender(agent.open, Path())
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

    Sender(agent.open, Path(), stop).send()
    assert len(agent.sent) == 4
