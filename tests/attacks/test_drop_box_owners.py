# SPDX-License-Identifier: Apache-2.0
"""Whoever owns a drop box, its server or the gateway before it: nothing is lost, nothing beside the box is touched."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.outcome import Stage
from center.app import Center
from center.receive.inbox import Inbox
from tests.builders.drops import SETTLE, Drop, check_stored, packs_of
from tests.builders.world import make_hospital, run_sql

Opened = tuple[Center, Inbox]


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop.in_folders(tmp_path)


@pytest.fixture
def center(drop: Drop) -> Iterator[Opened]:
    """Give a center, and an agent that has taken nothing yet."""
    drop.make_center()
    with drop.center() as opened:
        drop.enroll(opened[0], make_hospital(drop.folder / "his.db", 3000))
        yield opened


def _take_away(bag: Path) -> None:
    packs_of(bag)[0].unlink()


def _exchange_frames(bag: Path) -> None:
    """Put frames of the second pack, which are coded against the first, into the first: each opens with the bag's key."""
    first, second = packs_of(bag)
    body, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other + body[len(other) :])


# What is lost, and by whom


@pytest.mark.parametrize("spoil", [_take_away, _exchange_frames])
def test_packs_that_are_spoilt_again_and_again_make_no_agent_give_up_what_is_coded_against_them(
    drop: Drop, center: Opened, spoil: Callable[[Path], None]
) -> None:
    drop.snapshot(send=False)
    run_sql(drop.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = 7")
    drop.snapshot(send=False)
    for _ in range(4):
        drop.send()
        for bag in drop.carry():
            spoil(bag)
        center[1].scan()
        drop.clock.now += SETTLE
        center[1].scan()
        drop.carry_back()
        outcomes = drop.send()
        assert [outcome.trouble for outcome in outcomes if outcome.trouble] == []
        assert drop.stages() == [Stage.REGISTERED] * 2
        drop.clock.now += timedelta(days=8)
    drop.send()
    drop.exchange(center[1])
    check_stored(drop, center[0], 2)
