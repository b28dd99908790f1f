# SPDX-License-Identifier: Apache-2.0
"""What `plan` foretells is what the nights then are: the first snapshot's bytes, and the mean of those after it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.app import Agent
from agent.finding import Severity
from agent.plan.figures import Plan, Question
from agent.snapshot.progress import Silent
from tests.builders.plans import find_advice
from tests.builders.world import World, make_hospital, run_sql, sqlite_source


def _plan(world: World, sample_s: float = 20.0) -> Plan:
    with Agent.open(world.agent_folder("X013")) as agent:
        return agent.plan("his", Question(sample_s=sample_s), Silent())


def test_plan_foretells_the_first_snapshot_and_learns_the_nights(tmp_path: Path) -> None:
    with World.make(tmp_path) as world, world.serving() as center:
        his = tmp_path / "his.db"
        make_hospital(his)
        run_sql(his, "UPDATE 病程记录 SET 影像 = NULL")  # its cell is read in full, and registered as a token
        with closing(sqlite3.connect(his)) as db, db:
            rows = ((100_000 + i, f"note {i * 7919 % 10_007} of a longer text") for i in range(60_000))
            db.execute("CREATE TABLE journal (id INTEGER PRIMARY KEY, note TEXT)")
            db.executemany("INSERT INTO journal VALUES (?, ?)", rows)
        world.add_agent(center, "X013", sqlite_source("his", his))

        before = _plan(world)
        assert before.unmeasured == ()
        assert before.nightly_bytes is None
        assert before.line is not None, before.line_trouble
        assert before.line.is_measured
        assert before.nights == 1
        assert find_advice(before, "read").severity is Severity.OK
        assert before.seed_bytes is not None
        assert not list((world.agent_folder("X013") / "spool" / "his").glob("*")), "a plan writes nothing"
        assert not (world.agent_folder("X013") / "reading" / "his").exists()

        first = world.snapshot("X013")
        assert before.content_bytes == first.bytes_
        assert before.seed_bytes == pytest.approx(first.sent_bytes, rel=0.1)

        sent = []
        for night in range(2):
            run_sql(his, f"UPDATE journal SET note = 'changed {night}' WHERE id % 1000 = {night}")
            sent.append(world.snapshot("X013").sent_bytes)
        after = _plan(world, sample_s=0)
        assert after.around.sent == tuple(sent)
        assert after.nightly_bytes == round(sum(sent) / 2)
        assert after.around.is_seeded
        assert after.seconds is None, "nothing was read, so nothing is said"
        assert find_advice(after, "nightly").severity is Severity.OK
