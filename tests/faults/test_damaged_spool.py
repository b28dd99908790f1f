# SPDX-License-Identifier: Apache-2.0
"""A pack that waits in the spool is damaged, on a bad disk: the nights after it go on, and it is told when it is sent."""

import os
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterRefusedError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from tests.builders.drops import Drop
from tests.builders.world import World, make_hospital, read_back, run_sql, sqlite_source

UNIT = "X013"


@pytest.mark.parametrize("left", [0, 100], ids=["nothing", "half"])
def test_nights_go_on_behind_a_pack_that_is_damaged(tmp_path: Path, left: int) -> None:
    database = make_hospital(tmp_path / "his.db", visits=50)
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", database))
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
            os.truncate(agent.spool("his").unsent()[-1].path, left)
            run_sql(database, "UPDATE 患者 SET 姓名 = '改过' WHERE 编号 = 7")
            assert agent.snapshot("his", Silent(), send=False).stage is Stage.SPOOLED
            assert [outcome.trouble for outcome in agent.send(Silent())] != [None, None]
            outcome = agent.snapshot("his", Silent())
            assert outcome.stage is Stage.STORED, outcome.trouble
        assert read_back(center, UNIT, "his") > 300


def test_road_that_carries_files_is_not_blocked_by_a_pack_that_is_damaged(tmp_path: Path) -> None:
    drop = Drop.in_folders(tmp_path)
    drop.make_center()
    with drop.center() as (center, inbox):
        drop.enroll(center, make_hospital(tmp_path / "his.db", 50))
        drop.snapshot(send=False)
        with drop.agent() as agent:
            os.truncate(agent.spool("his").unsent()[-1].path, 100)
        (outcome,) = drop.send()
        assert isinstance(outcome.trouble, CenterRefusedError), outcome.trouble
        assert drop.stages() == []
        drop.snapshot()
        drop.exchange(inbox)
        assert drop.stages() == [Stage.STORED]
        assert read_back(center, "X013", "his") > 300
