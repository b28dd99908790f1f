# SPDX-License-Identifier: Apache-2.0
"""Who may confirm a center after a start: not an agent that was away, not one that knows only what the center told it.

Real agents over the real line. The worst that can happen is a second history: each test ends by looking for one.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterDownError
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import Center
from center.errors import HeldError
from tests.builders.world import World, check_chain, make_hospital, run_sql, sqlite_source

AWAY, BUSY = "A001", "B002"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=50)
        yield world


def join(world: World, center: Center, unit: str) -> Path:
    return world.add_agent(center, unit, sqlite_source("his", world.folder / "his.db"))


def take(world: World, unit: str) -> Outcome:
    with Agent.open(world.agent_folder(unit)) as agent:
        return agent.snapshot("his", Silent())


def send(world: World, unit: str) -> list[Outcome]:
    with Agent.open(world.agent_folder(unit)) as agent:
        return agent.send(Silent())


def check_refused(outcome: Outcome) -> None:
    assert outcome.stage is Stage.SPOOLED
    assert isinstance(outcome.trouble, CenterDownError)
    assert "JS-3200" in str(outcome.trouble)


def copy_center(world: World) -> Path:
    return Path(shutil.copytree(world.center_folder, world.folder / "copy"))


def put_back(world: World, copy: Path) -> Path:
    """Lose the center's folder, and put the old copy in its place; give where the lost one is."""
    lost = world.center_folder.rename(world.folder / "lost")
    copy.rename(world.center_folder)
    return lost


@pytest.fixture
def two_units(world: World) -> World:
    """A unit that has sent once and went away, and one that sent since."""
    with world.serving() as center:
        for unit in (AWAY, BUSY):
            join(world, center, unit)
            world.snapshot(unit)
        for _ in range(2):
            world.snapshot(BUSY)
    return world


def test_an_agent_that_was_away_for_weeks_does_not_confirm_an_old_copy(two_units: World) -> None:
    world = two_units
    copy = copy_center(world)
    with world.serving() as center:
        world.snapshot(BUSY)
        tail = list(center.ledger.entries())
    put_back(world, copy)

    # The agent that was away calls first, and again, and after another start: nothing is signed, nothing is lost.
    for start in range(3):
        with world.serving() as center:
            old = center.ledger.checkpoint()
            assert center.ledger.held is not None
            assert BUSY in center.ledger.held
            check_refused(take(world, AWAY) if start == 0 else send(world, AWAY)[0])
            for outcome in send(world, AWAY):
                check_refused(outcome)
            assert center.ledger.checkpoint() == old
            assert center.units.get(AWAY).last_checkpoint_size is not None

    # The agent that has seen what the copy lacks calls: now it is known.
    with world.serving() as center:
        run_sql(world.folder / "his.db", "UPDATE ward SET beds = beds + 1")
        check_refused(take(world, BUSY))
        assert "was shown" in str(center.ledger.held)
        center.ledger.import_tail(tail[center.ledger.size :])
        center.ledger.release("taken back from the mirror")
        for unit in (BUSY, AWAY):
            assert all(outcome.stage is Stage.STORED for outcome in send(world, unit)), unit
            assert check_chain(center, unit, "his")[0] == "snapshot"
        assert list(center.ledger.entries())[: len(tail)] == tail


def test_the_agent_that_acknowledged_last_confirms_and_the_others_follow(two_units: World) -> None:
    world = two_units
    with world.serving() as center:
        check_refused(take(world, AWAY))
        world.snapshot(BUSY)
        assert center.ledger.held is None
        (outcome,) = send(world, AWAY)
        assert outcome.stage is Stage.STORED
        assert check_chain(center, AWAY, "his") == ["snapshot", "snapshot"]


def test_a_unit_that_was_disabled_is_not_waited_for(two_units: World) -> None:
    world = two_units
    with Center.open(world.center_folder) as center:
        center.confirm("operator", "they have closed down")
        center.units.disable(BUSY)
    with world.serving() as center:
        assert AWAY in str(center.ledger.held)
        world.snapshot(AWAY)


def test_an_agent_with_nothing_to_send_confirms_by_its_greeting(two_units: World) -> None:
    world = two_units
    with world.serving() as center:
        with Agent.open(world.agent_folder(AWAY)) as agent, pytest.raises(CenterDownError, match="JS-3200"):
            agent.greet()
        assert center.ledger.held is not None
        with Agent.open(world.agent_folder(BUSY)) as agent:
            agent.greet()
        assert center.ledger.held is None
        with Agent.open(world.agent_folder(AWAY)) as agent:
            agent.greet()


def test_a_center_whose_only_agent_was_enrolled_anew_starts(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center, BUSY)
        world.snapshot(BUSY)
        shutil.rmtree(folder)
        world.enroll(center.units.rekey(BUSY).encode(), folder, sqlite_source("his", world.folder / "his.db"))
    with world.serving() as center:
        assert center.ledger.held is None
        world.snapshot(BUSY)
        assert check_chain(center, BUSY, "his") == ["snapshot", "gap", "snapshot"]
    with world.serving() as center:
        assert center.ledger.held is not None, "the new agent has acknowledged, and is waited for from now on"
        world.snapshot(BUSY)


def test_a_center_whose_only_agent_has_lost_its_journal_starts_by_an_operators_word_once(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center, BUSY)
        world.snapshot(BUSY)
    for path in folder.glob("journal.sqlite*"):
        path.unlink()
    with world.serving() as center:
        # It has no memory of its own; what it would show after asking would be the center's own word.
        for _ in range(2):
            with pytest.raises(CenterDownError, match="JS-3200"):
                take(world, BUSY)
        assert center.ledger.held is not None
        center.confirm("operator", "the agent's journal is lost, the center's folder is the newest")
        world.snapshot(BUSY)
        assert check_chain(center, BUSY, "his") == ["snapshot", "gap", "snapshot"]
    with world.serving() as center:
        world.snapshot(BUSY)


def test_registry_newer_than_the_ledger_is_known_to_be_one_and_nobody_can_vouch(two_units: World) -> None:
    world = two_units
    copy = copy_center(world)
    with world.serving():
        world.snapshot(BUSY)
    lost = put_back(world, copy)
    shutil.rmtree(world.center_folder / "units")
    shutil.copytree(lost / "units", world.center_folder / "units")
    with world.serving() as center:
        with pytest.raises(HeldError, match=f"{BUSY} acknowledged"):
            center.confirm("operator", "all is well")
        check_refused(take(world, AWAY))
