# SPDX-License-Identifier: Apache-2.0
"""The rules of settling, second by second, on a clock that the test moves."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.watch import Pace, Settling, Verdict

PACE = Pace(settle_s=30, most_wait_s=900, poll_s=60)


@dataclass
class Simulation:
    """A source whose state is a number, looked at as the rules ask, once a second at most."""

    pace: Pace = PACE
    state: int = 0
    now: float = 0.0
    look_s: float = 0.0
    taken: list[tuple[float, int, Verdict]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = Settling(self.pace, b"0")

    def run(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        end = self.now + seconds
        while self.now < end:
            if self.now >= self.rules.due():
                self.look()
            self.now += 1

    def look(self) -> None:
        self.looks.append(self.now)
        seen = b"%d" % self.state
        verdict = self.rules.judge(seen, self.now, self.now + self.look_s)
        if verdict in (Verdict.SETTLED, Verdict.OVERDUE):
            self.taken.append((self.now, self.state, verdict))
            self.rules.take()

    def change(self, *, hint: bool = True) -> None:
        self.state += 1
        if hint:
            self.rules.hint(self.now)


def test_change_is_taken_once_it_has_stood_still_for_the_settle_time() -> None:
    source = Simulation()
    source.run(10)
    source.change()
    source.run(200)
    assert source.taken == [(40, 1, Verdict.SETTLED)]


def test_growing_file_is_not_taken_until_it_stands_still() -> None:
    source = Simulation()
    for _ in range(30):
        source.change()
        source.run(20)
    assert source.taken == []
    source.run(60)
    assert [(state, verdict) for _, state, verdict in source.taken] == [(30, Verdict.SETTLED)]
    assert source.taken[0][0] >= 580 + 30


def test_growing_file_is_not_taken_where_nobody_hints() -> None:
    source = Simulation()
    for _ in range(10):
        source.change(hint=False)
        source.run(20)
    assert source.taken == []
    source.run(60 + 30 + 1)
    assert [state for _, state, _ in source.taken] == [10]


def test_what_never_stands_still_is_taken_when_it_is_overdue_and_not_more_often() -> None:
    source = Simulation()
    source.run(1)
    for _ in range(4000):
        source.change()
        source.run(1)
    assert [verdict for _, _, verdict in source.taken] == [Verdict.OVERDUE] * 4
    times = [at for at, _, _ in source.taken]
    assert all(900 <= later - before <= 910 for before, later in zip([0, *times], times, strict=False))


def test_lost_event_is_made_good_by_the_look_at_intervals() -> None:
    source = Simulation()
    source.run(5)
    source.change(hint=False)
    source.run(60 + 30)
    assert [(state, verdict) for _, state, verdict in source.taken] == [(1, Verdict.SETTLED)]


def test_known_loss_of_events_brings_a_look_at_once() -> None:
    source = Simulation()
    source.run(5)
    source.change(hint=False)
    source.rules.lose()
    source.run(32)
    assert [at for at, _, _ in source.taken] == [35]


def test_hint_alone_is_no_change() -> None:
    source = Simulation()
    for _ in range(100):
        source.rules.hint(source.now)
        source.run(7)
    assert source.taken == []


def test_change_that_is_turned_back_is_none() -> None:
    source = Simulation()
    source.run(5)
    source.change()
    source.run(10)
    source.state = 0
    source.rules.hint(source.now)
    source.run(500)
    assert source.taken == []


def test_first_look_after_a_start_finds_what_changed_meanwhile_and_takes_nothing_else() -> None:
    same = Simulation()
    same.run(500)
    assert same.taken == []
    other = Simulation(state=7)
    other.run(500)
    assert other.taken == [(30, 7, Verdict.SETTLED)]


def test_hint_between_two_equal_looks_means_that_things_did_not_stand_still() -> None:
    source = Simulation()
    source.run(1)
    source.change()
    source.run(20)
    source.rules.hint(source.now)  # written over, with the same size and times
    source.run(25)
    assert source.taken == []
    source.run(10)
    assert len(source.taken) == 1


def test_hint_that_comes_while_a_look_passes_brings_another_look() -> None:
    rules = Settling(PACE, b"0")
    rules.hint(105)
    assert rules.judge(b"0", 100, 110) is Verdict.NOTHING_NEW
    assert rules.due() == 150  # four times as long as the look took, rather than a poll later
    rules.judge(b"0", 150, 151)
    assert rules.due() == 211


def test_looking_takes_a_fifth_of_the_time_at_most() -> None:
    source = Simulation(look_s=30)
    for _ in range(1000):
        source.change()
        source.run(1)
    assert all(later - before >= 30 + 4 * 30 for before, later in zip(source.looks, source.looks[1:], strict=False))
    assert len(source.looks) >= 5


def test_time_of_a_long_look_does_not_count_as_standing_still() -> None:
    rules = Settling(PACE, b"0")
    rules.judge(b"1", 0, 100)
    assert rules.judge(b"1", 110, 200) is Verdict.MOVING
    assert rules.judge(b"1", 230, 231) is Verdict.SETTLED


def test_failure_is_tried_again_after_longer_and_longer_pauses_and_forgotten_after_a_success() -> None:
    rules = Settling(PACE, None)
    pauses = []
    for _ in range(7):
        rules.fail(1000)
        pauses.append(rules.due() - 1000)
    assert pauses == [60, 120, 240, 480, 600, 600, 600]
    rules.judge(b"1", 2000, 2000)
    rules.judge(b"1", 2030, 2030)
    rules.take()
    rules.fail(3000)
    assert rules.due() == 3060


def test_failed_snapshot_is_due_again_though_nothing_more_changes() -> None:
    rules = Settling(PACE, None)
    rules.judge(b"1", 0, 0)
    assert rules.judge(b"1", 30, 30) is Verdict.SETTLED
    rules.fail(31)
    assert rules.due() == 91
    assert rules.judge(b"1", 91, 91) is Verdict.SETTLED


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 40),
    st.integers(1, 90),
    st.sampled_from([0.0, 0.5, 3.0]),
)
def test_whatever_happens_only_what_stood_still_is_settled_and_the_end_is_always_taken(
    changes: list[tuple[int, bool]], settle: int, poll: int, look_s: float
) -> None:
    source = Simulation(Pace(settle, 10_000, poll), look_s=look_s)
    last_change = 0.0
    moments = [0.0]
    for pause, hint in changes:
        source.run(pause)
        source.change(hint=hint)
        last_change = source.now
        moments.append(last_change)
    source.run(poll + 2 * settle + 10 * look_s + 5)
    for at, _, verdict in source.taken:
        assert verdict is Verdict.SETTLED
        assert at - max(moment for moment in moments if moment <= at) >= (settle if at >= moments[1] else 0)
    assert source.taken[-1][1] == source.state
    assert source.taken[-1][0] >= last_change + settle


@pytest.mark.parametrize("pace", [Pace(), PACE])
def test_pace_is_what_the_example_says(pace: Pace) -> None:
    assert pace == PACE
