# SPDX-License-Identifier: Apache-2.0
"""What the center has stored is damaged or lost, and the agent still has it: every day is logged, and what was lost is back.

Changed pages travel as differences against what the center is believed to hold; so damage there once stopped a source.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterDownError, CenterRefusedError
from agent.jobs.sending import Sender
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from agent.transport.https import HttpsTransport
from center.app import CATALOG_NAME, Center
from center.registry.rebuild import rebuild_catalog
from evidence.digest import ObjectId
from evidence.manifest.manifest import parse_manifest
from evidence.objects.object import ObjectKind
from evidence.objects.pack import FRAME_HEAD_BYTES
from tests.builders.world import (
    World,
    check_chain,
    check_kept,
    make_hospital,
    make_incompressible,
    read_back,
    run_sql,
    sqlite_source,
)

UNIT = "X013"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=20_000)
        yield world


def join(world: World, center: Center) -> Path:
    return world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))


def edit(world: World) -> None:
    run_sql(world.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || 'x' WHERE 编号 % 2999 = 5")


def stored_packs(world: World) -> list[Path]:
    return sorted((world.center_folder / "store" / "packs").rglob("*.pack"))


def damage(path: Path, first: int = 1_000, step: int = 997) -> None:
    raw = bytearray(path.read_bytes())
    for at in range(first, len(raw), step):
        raw[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)


def rebuild(world: World) -> None:
    with Center.open(world.center_folder) as center:
        center.catalog.close()
        rebuild_catalog(world.center_folder / CATALOG_NAME, center.store, center.ledger, center.units)


def take_days(world: World, folder: Path, days: int) -> None:
    """Take days that wait."""
    for _ in range(days):
        edit(world)
        with Agent.open(folder) as agent:
            assert agent.snapshot("his", Silent(), send=False).stage is Stage.SPOOLED


def test_days_coded_against_what_is_damaged_at_the_center_are_logged_all_the_same(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        for path in stored_packs(world):
            damage(path)
        for day in range(3):
            edit(world)
            outcome = world.snapshot(UNIT)
            assert outcome.sequence == day + 2
            assert read_back(center, UNIT, "his") == outcome.rows
        # The first day's objects stand in other packs now, so that day is whole again too.
        assert len(check_kept(center, folder, UNIT, "his")) == 4


@pytest.mark.parametrize("is_moved_away", [True, False])
def test_days_that_wait_outlast_a_rebuild_of_a_damaged_center(world: World, is_moved_away: bool) -> None:
    """The damaged file is moved out of the store, as the handbook says, or still stands there."""
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
    take_days(world, folder, 3)
    for path in stored_packs(world):
        damage(path)
        if is_moved_away:
            path.unlink()
    rebuild(world)
    with world.serving() as center:
        with Agent.open(folder) as agent:
            outcomes = agent.send(Silent())
        assert [(o.sequence, o.stage, o.trouble) for o in outcomes] == [(n, Stage.STORED, None) for n in (2, 3, 4)]
        assert check_chain(center, UNIT, "his") == ["snapshot"] * 4
        assert [read_back(center, UNIT, "his", o.sequence) for o in outcomes] == [o.rows for o in outcomes]
    # The manifest of day 1 came back after its statement had been read; the next rebuild finds that day whole too.
    rebuild(world)
    with world.serving() as center:
        assert len(check_kept(center, folder, UNIT, "his")) == 4


def test_objects_of_several_damaged_packs_are_sent_again_one_after_another(world: World) -> None:
    make_incompressible(world.folder / "big.db", 12_000_000)
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "big.db"))
        world.snapshot(UNIT)
        assert len(stored_packs(world)) > 2
        for path in stored_packs(world):
            damage(path)
        run_sql(world.folder / "big.db", "UPDATE record SET body = body || 'x' WHERE id % 50 = 7")
        outcome = world.snapshot(UNIT)
        assert (outcome.sequence, read_back(center, UNIT, "his")) == (2, outcome.rows)
        check_kept(center, folder, UNIT, "his")


def test_a_schema_that_is_damaged_at_the_center_is_asked_for_with_the_statement(world: World) -> None:
    with world.serving() as center:
        join(world, center)
        world.snapshot(UNIT)
        row = center.catalog.statement(UNIT, "his")
        assert row.manifest_object is not None
        manifest = parse_manifest(
            center.open_snapshot(UNIT, "his").objects.read(ObjectId(row.manifest_object), ObjectKind.MANIFEST)
        )
        schema = manifest.schema_document("病程记录").object
        (place,) = center.catalog.find_places(UNIT, "his", [schema]).values()
        (path,) = (path for path in stored_packs(world) if path.stem == place.pack)
        damage(path, place.offset + FRAME_HEAD_BYTES + 20, 1 << 30)
        edit(world)
        outcome = world.snapshot(UNIT)
        assert (outcome.sequence, read_back(center, UNIT, "his")) == (2, outcome.rows)


def test_a_kill_while_the_lost_is_sent_again_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """The process is gone."""

    def die(*_: object) -> None:
        raise Killed

    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        take_days(world, folder, 2)
        for path in stored_packs(world):
            damage(path)
        for target in (
            "agent.snapshot.restock._put_mark",
            "agent.spool.PackSpooler.flush",
            "agent.spool.Spool.mark_sent",
        ):
            with monkeypatch.context() as patch, Agent.open(folder) as agent:
                patch.setattr(target, die)
                with pytest.raises(Killed):
                    agent.send(Silent())
        with Agent.open(folder) as agent:
            outcomes = agent.send(Silent())
        assert [(o.stage, o.trouble) for o in outcomes] == [(Stage.STORED, None)] * 2
        assert check_chain(center, UNIT, "his") == ["snapshot"] * 3
        check_kept(center, folder, UNIT, "his")


def test_what_nobody_has_any_more_is_given_up_with_a_gap_and_the_next_day_is_whole(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        take_days(world, folder, 2)
        shutil.rmtree(folder / "spool" / "his" / "kept")
        for path in stored_packs(world):
            damage(path)
        with Agent.open(folder) as agent:
            assert all(isinstance(o.trouble, CenterRefusedError) for o in agent.send(Silent()))
        outcome = world.snapshot(UNIT)
        # Both days were registered before their content was refused.
        assert check_chain(center, UNIT, "his") == [*["snapshot"] * 3, "gap", "snapshot"]
        assert read_back(center, UNIT, "his") == outcome.rows


def test_a_store_that_cannot_be_read_now_costs_nothing_but_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that fails, or rights that are wrong, for an hour: nobody forgets anything and nobody gives up."""
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        edit(world)
        known = center.catalog.count_objects(UNIT, "his")
        is_base = {path.name for path in stored_packs(world)}
        real = Path.open

        def fail(path: Path, mode: str = "r", *rest: object, **more: object) -> object:
            if mode == "rb" and path.name in is_base and "store" in path.parts:
                raise PermissionError(13, "Permission denied")
            return real(path, mode, *rest, **more)  # type: ignore[call-overload]  # handed on as it came

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", fail)
            with Agent.open(folder) as agent:
                outcome = agent.snapshot("his", Silent())
        assert isinstance(outcome.trouble, CenterDownError)
        assert "JS-3202" in str(outcome.trouble)
        assert center.catalog.count_objects(UNIT, "his") == known
        with Agent.open(folder) as agent:
            (outcome,) = agent.send(Silent())
        assert (outcome.sequence, outcome.stage) == (2, Stage.STORED)


def test_content_that_nobody_has_does_not_send_the_spool_round_and_round_in_slices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_incompressible(world.folder / "big.db", 1_000_000)
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "big.db"))
        world.snapshot(UNIT)
    shutil.rmtree(folder / "spool" / "his" / "kept")
    for number in range(3):
        run_sql(world.folder / "big.db", f"CREATE TABLE more{number} (id INTEGER PRIMARY KEY, body BLOB)")
        for row in range(90):
            run_sql(world.folder / "big.db", f"INSERT INTO more{number} VALUES (?, ?)", row, os.urandom(50_000))
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
    for path in stored_packs(world):
        path.unlink()
    rebuild(world)
    put: list[str] = []
    really_put = HttpsTransport.put_pack

    def count(self: HttpsTransport, source: str, name: str, path: Path) -> None:
        put.append(name)
        really_put(self, source, name, path)

    monkeypatch.setattr(HttpsTransport, "put_pack", count)
    with world.serving():
        for _ in range(11):
            Sender(Agent.open, folder, time.monotonic).send(lambda: True)
        assert len(put) >= 3
        assert len(put) == len(set(put)), "what the center had was sent to it again"
        asked: list[str] = []
        monkeypatch.setattr(HttpsTransport, "missing", lambda _self, source, _ids: asked.append(source) or set())
        with Agent.open(folder) as agent:
            assert [o.stage for o in agent.send(Silent())][-1] is Stage.REGISTERED
        assert not asked, "the center is asked every minute about all that is kept"
