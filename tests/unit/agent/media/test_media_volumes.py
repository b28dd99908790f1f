# SPDX-License-Identifier: Apache-2.0
"""Packs are placed on volumes: none lost, none twice, none over the size, in their order."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import MediumError
from agent.media.volumes import MOST_PACKS, Item, Room, needed_bytes, plan_volumes

MIB = 1 << 20


def _items(*sizes: int) -> list[Item]:
    return [Item(f"{i:064x}", size) for i, size in enumerate(sizes)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(1, 17 * MIB), max_size=60),
    st.integers(0, 100),
    st.integers(24 * MIB, 300 * MIB),
    st.integers(0, MIB),
)
def test_no_pack_is_lost_none_twice_none_over_the_size(
    sizes: list[int], percent: int, capacity: int, fixed: int
) -> None:
    items = _items(*sizes)
    room = Room(2 * capacity, fixed, 12, percent)
    volumes = plan_volumes(items, room)
    assert [item for volume in volumes for item in volume] == items
    assert all(needed_bytes(volume, room) <= room.capacity for volume in volumes)
    assert all(volumes) or not items


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 5 * MIB), min_size=2, max_size=40))
def test_a_volume_ends_only_where_the_next_pack_would_not_fit(sizes: list[int]) -> None:
    items, room = _items(*sizes), Room(40 * MIB, 300_000, 12, 10)
    volumes = plan_volumes(items, room)
    for volume, following in pairwise(volumes):
        assert needed_bytes([*volume, following[0]], room) > room.capacity


def test_nothing_to_write_is_one_volume_with_the_statement_alone() -> None:
    assert plan_volumes([], Room(8 * MIB, 300_000, 12, 10)) == [()]


def test_a_pack_that_fits_on_no_volume_is_told_before_anything_is_written() -> None:
    with pytest.raises(MediumError, match="too small"):
        plan_volumes(_items(9 * MIB), Room(8 * MIB, 300_000, 12, 10))


def test_a_volume_of_tiny_packs_keeps_within_the_blocks_of_par2() -> None:
    volumes = plan_volumes(_items(*[100] * (MOST_PACKS + 5)), Room(10**11, 300_000, 12, 10))
    assert [len(volume) for volume in volumes] == [MOST_PACKS, 5]
