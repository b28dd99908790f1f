# SPDX-License-Identifier: Apache-2.0
"""A volume that is not mounted leaves an empty folder in its place: that is no empty spool, and no empty store."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import SpoolError
from agent.journal import State
from agent.outcome import Stage
from agent.snapshot.kept import watching_path
from agent.snapshot.progress import Silent
from center.app import Center
from center.errors import StoreError
from center.store.folder import FolderStore
from tests.builders.world import World, make_hospital, make_incompressible, read_back, run_sql, sqlite_source

UNIT = "X013"


@contextmanager
def unmounted(volume: Path) -> Iterator[None]:
    """Have an empty folder in the place of `volume`; what was written there is hidden afterwards, as below a mount."""
    volume.rename(volume.with_name("device"))
    volume.mkdir()
    yield
    volume.rename(volume.with_name("hidden"))
    volume.with_name("device").rename(volume)


def test_days_that_wait_on_a_spool_that_is_not_mounted_are_not_given_up(tmp_path: Path) -> None:
    database, volume = make_hospital(tmp_path / "his.db", visits=50), tmp_path / "volume"
    volume.mkdir()
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", database))
        settings = folder / "agent.yaml"
        settings.write_text(settings.read_text().replace("min_free: 0 MiB", f"min_free: 0 MiB, folder: {volume}"))
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
            agent.snapshot("his", Silent(), send=False)
        with unmounted(volume), Agent.open(folder) as agent:
            agent.status()
            troubles = [outcome.trouble for outcome in agent.send(Silent())]
            assert troubles
            assert all(isinstance(trouble, SpoolError) for trouble in troubles)
            with pytest.raises(SpoolError, match="mounted"):
                agent.snapshot("his", Silent())
            assert [entry.state for entry in agent.journal.all_of("his")] == [State.TAKEN] * 2
        with Agent.open(folder) as agent:
            assert [outcome.stage for outcome in agent.send(Silent())] == [Stage.STORED] * 2


def test_spool_that_is_gone_for_good_goes_on_when_its_folder_is_made_by_hand(tmp_path: Path) -> None:
    database, volume = make_hospital(tmp_path / "his.db", visits=50), tmp_path / "volume"
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", database))
        settings = folder / "agent.yaml"
        settings.write_text(settings.read_text().replace("min_free: 0 MiB", f"min_free: 0 MiB, folder: {volume}"))
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
        watching_path(folder, "his").parent.mkdir()
        watching_path(folder, "his").write_text("00")
        with unmounted(volume), Agent.open(folder) as agent:
            (volume / "his").mkdir()
            assert not isinstance(agent.send(Silent())[0].trouble, SpoolError)
            assert not watching_path(folder, "his").exists(), "a watched source would not be taken before it changes"
            assert agent.snapshot("his", Silent()).stage is Stage.STORED


def test_center_takes_nothing_into_a_store_that_is_not_mounted(tmp_path: Path) -> None:
    database = make_hospital(tmp_path / "his.db", visits=50)
    with World.make(tmp_path / "world") as world:
        with world.serving() as center:
            world.add_agent(center, UNIT, sqlite_source("his", database))
            world.snapshot(UNIT)
        with unmounted(world.center_folder / "store"), Center.open(world.center_folder) as center:
            with pytest.raises(StoreError, match="mounted"):
                center.receiver()
            with pytest.raises(StoreError, match="mounted"):
                center.media_reader()
        with world.serving():
            world.snapshot(UNIT)


def test_store_whose_folder_is_another_one_all_at_once_takes_nothing(tmp_path: Path) -> None:
    volume = tmp_path / "store"
    store = FolderStore(volume)
    with store.create("packs/a") as blob:
        blob.commit()
    with unmounted(volume):
        with pytest.raises(StoreError, match="mounted"), store.create("packs/b"):
            pass
        assert list(volume.iterdir()) == []
    with store.create("packs/b") as blob:
        assert blob.commit()


def test_store_that_lacks_what_came_last_is_asked_for_it_before_stored_is_said_again(tmp_path: Path) -> None:
    """The store's disk was restored from last night's copy, catalog and ledger are on another one."""
    database = make_incompressible(tmp_path / "his.db", 400_000)
    run_sql(database, "CREATE TABLE ward (name TEXT PRIMARY KEY)")
    run_sql(database, "INSERT INTO ward VALUES ('内科')")
    with World.make(tmp_path / "world") as world:
        store = world.center_folder / "store"
        with world.serving() as center:
            world.add_agent(center, UNIT, sqlite_source("his", database))
            world.snapshot(UNIT)
            shutil.copytree(store, tmp_path / "copy")
            run_sql(database, "UPDATE record SET body = '改过' WHERE id % 10 = 0")
            world.snapshot(UNIT)
            lost = [name for name, _ in center.catalog.pack_places(*center.catalog.newest_packs(1)[0])]
        shutil.rmtree(store)
        (tmp_path / "copy").rename(store)
        run_sql(database, "INSERT INTO ward VALUES ('外科')")
        with world.serving() as center:
            assert center.admission.missing(UNIT, "his", lost) == lost
            world.snapshot(UNIT)
            assert read_back(center, UNIT, "his") == 102
            assert read_back(center, UNIT, "his", 2) == 101, "what the agent has kept makes older days whole, too"
