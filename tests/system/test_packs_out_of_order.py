# SPDX-License-Identifier: Apache-2.0
"""Packs that come before those they are coded against: a spool copied without times, a clock that was set back.

Nothing is wrong with them, so nothing may be lost.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterRefusedError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.app import Center
from evidence.objects.pack import read_frames
from tests.builders.world import World, check_chain, check_kept, make_hospital, read_back, run_sql, sqlite_source

UNIT = "X013"
DAYS = (
    "INSERT INTO 病程记录 SELECT 编号 + 100000, 患者, 内容 || 编号 || hex(randomblob(8)), NULL FROM 病程记录",
    "UPDATE 病程记录 SET 内容 = 内容 || 'x' WHERE 编号 % 2999 = 5",
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=20_000)
        yield world


def wait_two_days(world: World, center: Center) -> Path:
    """Take day 1, and two more that wait, the last coded against the one before; the newest packs look the oldest."""
    folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))
    world.snapshot(UNIT)
    with Agent.open(folder) as agent:
        for sql in DAYS:
            run_sql(world.folder / "his.db", sql)
            assert agent.snapshot("his", Silent(), send=False).stage is Stage.SPOOLED
        packs = agent.spool("his").packs()
        assert len(packs) > 1
        for number, pack in enumerate(packs):
            os.utime(pack.path, (1_700_000_000 - number, 1_700_000_000 - number))
        bases = {frame.base for frame in read_frames([packs[-1].path.read_bytes()])}
        assert bases & {name for pack in packs[:-1] for name in agent.spool("his").object_ids(pack)}
    return folder


def test_two_days_that_wait_in_the_wrong_order_are_both_logged(world: World) -> None:
    with world.serving() as center:
        folder = wait_two_days(world, center)
        with Agent.open(folder) as agent:
            outcomes = agent.send(Silent())
        assert [(o.sequence, o.stage, o.trouble) for o in outcomes] == [(n, Stage.STORED, None) for n in (2, 3)]
        assert check_chain(center, UNIT, "his") == ["snapshot"] * 3
        check_kept(center, folder, UNIT, "his")


def test_a_day_that_is_read_while_they_are_sent_comes_to_no_harm(world: World) -> None:
    with world.serving() as center:
        folder = wait_two_days(world, center)
        run_sql(world.folder / "his.db", DAYS[1])
        outcome = world.snapshot(UNIT)
        assert check_chain(center, UNIT, "his") == ["snapshot"] * 4
        assert read_back(center, UNIT, "his") == outcome.rows
        check_kept(center, folder, UNIT, "his")


def test_a_pack_that_is_damaged_is_given_up_when_all_others_are_sent(world: World) -> None:
    with world.serving() as center:
        folder = wait_two_days(world, center)
        with Agent.open(folder) as agent:
            (first, *_) = agent.spool("his").packs()
            raw = first.path.read_bytes()
            first.path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
            outcomes = agent.send(Silent())
            assert all(isinstance(outcome.trouble, CenterRefusedError) for outcome in outcomes)
            agent.send(Silent())
        # Both days were registered before their content was refused.
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "snapshot", "gap"]
        outcome = world.snapshot(UNIT)
        assert read_back(center, UNIT, "his") == outcome.rows
