# SPDX-License-Identifier: Apache-2.0
"""What is given up first: decisions alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.journal import JournalEntry, State
from agent.snapshot.sacrifice import (
    REGISTER_FIRST_BYTES,
    choose_middle,
    expected_bytes,
    find_too_old,
    find_whole,
    registers_first,
)
from agent.transport.send import Budget
from evidence.digest import Sha256

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


def entry(sequence: int, kind: str = "snapshot", spooled: int = 10, *, is_given_up: bool = False) -> JournalEntry:
    return JournalEntry(
        "his", sequence, kind, Sha256(bytes([sequence]) * 32), b"note", State.TAKEN, NOW + timedelta(days=sequence),
        1, 1, 1, 0, None, None, "", is_given_up, spooled,
    )  # fmt: skip


def sequences(entries: list[JournalEntry]) -> list[int]:
    return [each.sequence for each in entries]


@pytest.mark.parametrize(
    ("waiting", "waiting_bytes", "expected"),
    [
        ([], 0, False),
        ([], REGISTER_FIRST_BYTES + 1, False),
        ([entry(1)], REGISTER_FIRST_BYTES, False),
        ([entry(1)], REGISTER_FIRST_BYTES + 1, True),
        ([entry(1), entry(2)], 0, True),
        ([entry(1), entry(2, "gap")], 0, False),
    ],
)
def test_statements_go_first_where_several_days_or_much_content_wait(
    waiting: list[JournalEntry], waiting_bytes: int, expected: bool
) -> None:
    assert registers_first(waiting, waiting_bytes) is expected


def test_the_oldest_and_the_newest_day_are_never_chosen() -> None:
    for number in range(12):
        waiting = [entry(sequence) for sequence in range(1, number + 1)]
        chosen = sequences(choose_middle(waiting))
        assert not {1, number} & set(chosen)
        assert bool(chosen) == (number > 2)


def test_what_stays_after_any_number_of_times_is_spread_over_the_outage() -> None:
    waiting = [entry(sequence) for sequence in range(1, 18)]
    rounds = []
    while chosen := choose_middle(waiting):
        waiting = [replace(e, is_given_up=True) if e in chosen else e for e in waiting]
        rounds.append(sequences(find_whole(waiting)))
    assert rounds == [[1, 3, 5, 7, 9, 11, 13, 15, 17], [1, 5, 9, 13, 17], [1, 9, 17], [1, 17]]


def test_gaps_between_days_are_no_days() -> None:
    assert sequences(choose_middle([entry(1), entry(2, "gap"), entry(3), entry(4, "gap")])) == []


def test_too_old_are_middle_days_beyond_the_age_and_none_without_one() -> None:
    waiting = [entry(sequence) for sequence in range(1, 7)]
    now = NOW + timedelta(days=6)
    assert sequences(find_too_old(waiting, now, timedelta(days=2))) == [2, 3]
    assert find_too_old(waiting, now, None) == []
    assert find_too_old(waiting[:2], now, timedelta(0)) == []


def test_the_next_day_is_expected_to_be_like_the_last_two_not_like_the_first() -> None:
    seed = entry(1, spooled=1_000)
    assert expected_bytes([]) == 0
    assert expected_bytes([seed, entry(2)]) == 0
    assert expected_bytes([seed, entry(2, spooled=30), entry(3, spooled=20)]) == 30
    assert expected_bytes([seed, entry(2, spooled=30, is_given_up=True), entry(3), entry(4)]) == 10


def test_a_budget_of_bytes_is_over_by_one_pack_at_most() -> None:
    budget = Budget(lambda: 0.0, size_bytes=10)
    sent = 0
    while not budget.is_spent:
        budget.count(4)
        sent += 4
    assert sent == 12


def test_a_budget_of_time_ends_by_the_clock_and_one_without_bounds_never() -> None:
    now = [100.0]
    budget = Budget(lambda: now[0], seconds=5)
    budget.count(1 << 40)
    assert not budget.is_spent
    now[0] = 105.0
    assert budget.is_spent
    assert not Budget(lambda: now[0]).is_spent
