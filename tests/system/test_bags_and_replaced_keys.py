# SPDX-License-Identifier: Apache-2.0
"""A unit's key gives way to another while bags and discs are under way: what was sealed before still counts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.media.order import Choice, MediaOutcome, SetState, Wish
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.app import Center
from center.media.reading import Fate, Reading
from center.receive.inbox import Fate as BagFate
from tests.builders.drops import Drop, Opened
from tests.builders.world import World, check_chain, make_hospital, read_back, run_sql, sqlite_source


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a center that does not serve now, and X013 enrolled there with a hospital, `his.db`."""
    database = make_hospital(tmp_path / "his.db", 300)
    with World.make(tmp_path) as world:
        with world.serving() as center:
            world.add_agent(center, "X013", sqlite_source("his", database))
        yield world


def agent_of(world: World) -> Agent:
    return Agent.open(world.agent_folder("X013"))


def write_disc(agent: Agent, world: World) -> MediaOutcome:
    return agent.write_media("his", Wish(world.folder / "disc", 1 << 30), Choice.NEW, Silent())


def read_disc(center: Center, disc: MediaOutcome, world: World) -> Reading:
    reading = center.media_reader().read([medium.path for medium in disc.media], world.folder / "back")
    assert [(medium.fate, medium.reason.en) for medium in reading.media] == [(Fate.TAKEN, "")]
    return reading


def test_a_disc_that_was_written_before_the_key_gave_way_is_taken_after_it(world: World) -> None:
    with world.serving() as center:
        with agent_of(world) as agent:
            disc = write_disc(agent, world)
            agent.send(Silent())  # the statement goes ahead of the disc
            assert agent.replace_key(Silent()).is_known
        read_disc(center, disc, world)
        assert check_chain(center, "X013", "his") == ["snapshot", "key"]
        assert read_back(center, "X013", "his", 1) > 600


def test_a_disc_that_is_written_before_the_center_knows_of_the_new_key_is_taken(world: World) -> None:
    with world.serving():
        world.snapshot("X013")
    run_sql(world.folder / "his.db", "UPDATE ward SET beds = 7")
    with agent_of(world) as agent:
        assert not agent.replace_key(Silent()).is_known
        disc = write_disc(agent, world)
    with world.serving() as center:
        with agent_of(world) as agent:
            agent.greet()  # the center has been started anew
        reading = read_disc(center, disc, world)
        assert check_chain(center, "X013", "his") == ["snapshot", "key", "snapshot"]
        with agent_of(world) as agent:
            agent.take_media_receipt(reading.receipts[0])
            assert all(outcome.trouble is None for outcome in agent.send(Silent()))
        world.snapshot("X013")


def test_a_disc_with_a_statement_that_has_no_content_has_arrived_when_its_snapshots_are_stored(world: World) -> None:
    with world.serving():
        world.snapshot("X013")
    with agent_of(world) as agent:
        agent.replace_key(Silent())
        disc = write_disc(agent, world)
    with world.serving() as center, agent_of(world) as agent:
        agent.greet()
        reading = read_disc(center, disc, world)
        agent.take_media_receipt(reading.receipts[0])
        assert [status.state for status in agent.media()] == [SetState.STORED]
        assert not agent.spool("his").unsent(), "what came on the disc is still in the spool"


def test_of_a_bag_by_the_old_key_the_packs_count_and_the_statement_comes_again_under_the_new_one(
    drop: Drop, center: Opened
) -> None:
    settings = drop.agent_folder / "agent.yaml"
    lis = make_hospital(drop.folder / "lis.db", 200)
    settings.write_text(settings.read_text(encoding="utf-8") + sqlite_source("lis", lis), encoding="utf-8")
    drop.snapshot()
    drop.exchange(center[1])
    drop.source = "lis"
    drop.snapshot()
    (slow,) = drop.bags()  # by the old key; the gateway keeps it for a while
    slow = slow.rename(drop.folder / slow.name)
    with drop.agent() as agent:
        agent.replace_key(Silent())
    drop.exchange(center[1])
    drop.exchange(center[1])

    drop.carry([slow])
    assert {o.path.name: o.fate for o in center[1].scan()}[slow.name] is BagFate.TAKEN
    drop.carry_back()
    drop.send()
    drop.exchange(center[1])
    drop.exchange(center[1])
    assert drop.stages()[0] is Stage.STORED
    assert check_chain(center[0], "X013", "lis") == ["snapshot", "key"]
    assert read_back(center[0], "X013", "lis", 1) > 400


def test_a_change_that_waits_in_a_folder_from_an_old_copy_comes_behind_what_the_center_has(
    drop: Drop, center: Opened
) -> None:
    drop.snapshot()
    drop.exchange(center[1])
    old = shutil.copytree(drop.agent_folder, drop.folder / "old")
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 7")
    drop.snapshot()
    drop.exchange(center[1])
    shutil.rmtree(drop.agent_folder)
    old.rename(drop.agent_folder)
    with drop.agent() as agent:
        change = agent.replace_key(Silent())
    for _ in range(3):
        drop.exchange(center[1])
    drop.snapshot()
    drop.exchange(center[1])
    assert check_chain(center[0], "X013", "his") == ["snapshot", "snapshot", "key", "gap", "snapshot"]
    assert center[0].units.get("X013").statement_key == change.new
    assert drop.stages()[-1] is Stage.STORED
