# SPDX-License-Identifier: Apache-2.0
"""A center that takes no packs for want of room goes on locking statements; one that is slow is asked again, once counts."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterDownError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from agent.transport import https
from evidence.manifest.entry import Level
from tests.builders.world import World, check_chain, check_kept, make_hospital, read_back, run_sql, sqlite_source

UNIT = "X013"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=500)
        yield world


def join(world: World) -> Path:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))
        world.snapshot(UNIT)
    return folder


def edit(world: World, key: int) -> None:
    run_sql(world.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = ?", key)


def reserve(world: World, mib: int) -> None:
    """Have the center keep so much of its disk for the log."""
    path = world.center_folder / "center.yaml"
    path.write_text(re.sub(r"(?m)^disk_reserve: .*$", f"disk_reserve: {mib} MiB", path.read_text("utf-8")), "utf-8")


@pytest.mark.parametrize("days", [1, 3])
def test_a_center_without_room_for_packs_registers_what_it_is_told_and_stores_it_later(world: World, days: int) -> None:
    folder = join(world)
    for day in range(days - 1):
        edit(world, day + 1)
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
    edit(world, 100)
    reserve(world, shutil.disk_usage(world.center_folder).total // (1 << 20) + 1024)
    with world.serving() as center:
        with Agent.open(folder) as agent:
            outcome = agent.snapshot("his", Silent())
        assert outcome.stage is Stage.REGISTERED
        assert isinstance(outcome.trouble, CenterDownError)
        assert "JS-3201" in str(outcome.trouble)
        levels = [row.level for row in center.catalog.statements(UNIT, "his")]
        assert levels == [Level.STORED, *[Level.REGISTERED] * days]
        packs = list(center.store.names(f"packs/{UNIT}/his/"))
        # Again and again, as a timer does: nothing is logged twice, nothing is taken.
        for _ in range(2):
            with Agent.open(folder) as agent:
                assert all(isinstance(sent.trouble, CenterDownError) for sent in agent.send(Silent()))
        assert list(center.store.names(f"packs/{UNIT}/his/")) == packs
        assert check_chain(center, UNIT, "his") == ["snapshot"] * (days + 1)
    reserve(world, 16)
    with world.serving() as center:
        with Agent.open(folder) as agent:
            assert [sent.stage for sent in agent.send(Silent())] == [Stage.STORED] * days
            assert not agent.journal.unfinished()
        assert check_chain(center, UNIT, "his") == ["snapshot"] * (days + 1)
        check_kept(center, folder, UNIT, "his")
        assert read_back(center, UNIT, "his") == outcome.rows


def test_a_statement_whose_answer_came_too_late_is_logged_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The center is at work on it for longer than the agent waits; the agent asks again while that is still so."""
    folder = join(world)
    edit(world, 1)
    with world.serving() as center:
        size = center.ledger.size
        with center.admission._lock(UNIT, "his"), monkeypatch.context() as patch:
            patch.setattr(https, "STATEMENT_TIMEOUT_S", 0.2)
            with Agent.open(folder) as agent:
                outcome = agent.snapshot("his", Silent())
                assert isinstance(outcome.trouble, CenterDownError)
                assert "nothing is lost" in outcome.trouble.hint
                assert all(isinstance(sent.trouble, CenterDownError) for sent in agent.send(Silent()))
                assert not agent.spool("his").unsent(), "packs would be sent again"
        with Agent.open(folder) as agent:
            assert [sent.stage for sent in agent.send(Silent())] == [Stage.STORED]
        assert center.ledger.size == size + 1
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot"]
        check_kept(center, folder, UNIT, "his")
