# SPDX-License-Identifier: Apache-2.0
"""A unit's key gives way to another while bags and discs are under way: what was sealed before still counts."""

import shutil
from pathlib import Path

from agent.app import Agent
from agent.media.order import Choice, MediaOutcome, SetState, Wish
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.media.reading import Fate
from center.receive.inbox import Fate as BagFate
from tests.builders.drops import Drop
from tests.builders.world import World, check_chain, make_hospital, read_back, run_sql, sqlite_source


def write_disc(agent: Agent, to: Path) -> MediaOutcome:
    return agent.write_media("his", Wish(to, 1 << 30), Choice.NEW, Silent())


def test_a_disc_that_was_written_before_the_key_gave_way_is_taken_after_it(tmp_path: Path) -> None:
    database = make_hospital(tmp_path / "his.db", 300)
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, "X013", sqlite_source("his", database))
        with Agent.open(folder) as agent:
            disc = write_disc(agent, tmp_path / "disc")
            agent.send(Silent())  # the statement goes ahead of the disc
            assert agent.replace_key(Silent()).is_known
        reading = center.media_reader().read([medium.path for medium in disc.media], tmp_path / "back")
        assert [(medium.fate, medium.reason.en) for medium in reading.media] == [(Fate.TAKEN, "")]
        assert check_chain(center, "X013", "his") == ["snapshot", "key"]
        assert read_back(center, "X013", "his", 1) > 600


def test_a_disc_that_is_written_before_the_center_knows_of_the_new_key_is_taken(tmp_path: Path) -> None:
    database = make_hospital(tmp_path / "his.db", 300)
    with World.make(tmp_path / "world") as world:
        with world.serving() as center:
            folder = world.add_agent(center, "X013", sqlite_source("his", database))
            world.snapshot("X013")
        run_sql(database, "UPDATE ward SET beds = 7")
        with Agent.open(folder) as agent:
            assert not agent.replace_key(Silent()).is_known
            disc = write_disc(agent, tmp_path / "disc")
        with world.serving() as center:
            with Agent.open(folder) as agent:
                agent.greet()  # the center has been started anew
            reading = center.media_reader().read([medium.path for medium in disc.media], tmp_path / "back")
            assert [(medium.fate, medium.reason.en) for medium in reading.media] == [(Fate.TAKEN, "")]
            assert check_chain(center, "X013", "his") == ["snapshot", "key", "snapshot"]
            with Agent.open(folder) as agent:
                agent.take_media_receipt(reading.receipts[0])
                assert all(outcome.trouble is None for outcome in agent.send(Silent()))
            world.snapshot("X013")


def test_of_a_bag_by_the_old_key_the_packs_count_and_the_statement_comes_again_under_the_new_one(
    tmp_path: Path,
) -> None:
    drop = Drop.in_folders(tmp_path)
    drop.make_center()
    make_hospital(tmp_path / "lis.db", 200)
    with drop.center() as (center, inbox):
        drop.enroll(center, make_hospital(tmp_path / "his.db", 300))
        settings = drop.agent_folder / "agent.yaml"
        settings.write_text(settings.read_text() + sqlite_source("lis", tmp_path / "lis.db"), encoding="utf-8")
        drop.snapshot()
        drop.exchange(inbox)
        drop.source = "lis"
        drop.snapshot()
        (slow,) = drop.bags()  # by the old key; the gateway keeps it for a while
        slow = slow.rename(tmp_path / slow.name)
        with drop.agent() as agent:
            agent.replace_key(Silent())
        drop.exchange(inbox)
        drop.exchange(inbox)

        drop.carry([slow])
        assert {o.path.name: o.fate for o in inbox.scan()}[slow.name] is BagFate.TAKEN
        drop.carry_back()
        drop.send()
        drop.exchange(inbox)
        drop.exchange(inbox)
        assert drop.stages()[0] is Stage.STORED
        assert check_chain(center, "X013", "lis") == ["snapshot", "key"]
        assert read_back(center, "X013", "lis", 1) > 400


def test_a_disc_with_a_statement_that_has_no_content_has_arrived_when_its_snapshots_are_stored(tmp_path: Path) -> None:
    database = make_hospital(tmp_path / "his.db", 300)
    with World.make(tmp_path / "world") as world:
        with world.serving() as center:
            folder = world.add_agent(center, "X013", sqlite_source("his", database))
            world.snapshot("X013")
        with Agent.open(folder) as agent:
            agent.replace_key(Silent())
            disc = write_disc(agent, tmp_path / "disc")
        with world.serving() as center, Agent.open(folder) as agent:
            agent.greet()
            reading = center.media_reader().read([medium.path for medium in disc.media], tmp_path / "back")
            agent.take_media_receipt(reading.receipts[0])
            assert [status.state for status in agent.media()] == [SetState.STORED]
            assert not agent.spool("his").unsent(), "what came on the disc is still in the spool"


def test_a_change_that_waits_in_a_folder_from_an_old_copy_comes_behind_what_the_center_has(tmp_path: Path) -> None:
    drop = Drop.in_folders(tmp_path)
    drop.make_center()
    with drop.center() as (center, inbox):
        drop.enroll(center, make_hospital(tmp_path / "his.db", 300))
        drop.snapshot()
        drop.exchange(inbox)
        old = shutil.copytree(drop.agent_folder, tmp_path / "old")
        run_sql(tmp_path / "his.db", "UPDATE ward SET beds = 7")
        drop.snapshot()
        drop.exchange(inbox)
        shutil.rmtree(drop.agent_folder)
        old.rename(drop.agent_folder)
        with drop.agent() as agent:
            change = agent.replace_key(Silent())
        for _ in range(3):
            drop.exchange(inbox)
        drop.snapshot()
        drop.exchange(inbox)
        assert check_chain(center, "X013", "his") == ["snapshot", "snapshot", "key", "gap", "snapshot"]
        assert center.units.get("X013").statement_key == change.new
        assert drop.stages()[-1] is Stage.STORED
