# SPDX-License-Identifier: Apache-2.0
"""An agent's folder restored from an older copy, a center that has lost a source: nobody is stuck, nothing is hidden."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterDownError, CenterRefusedError
from agent.identity import Identity
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.app import Center
from evidence.manifest.entry import Level, parse_entry
from evidence.manifest.statement import GapCause, GapStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.wire.secrets import SourceSecrets
from tests.builders.world import World, check_chain, check_kept, make_hospital, read_back, run_sql, sqlite_source

UNIT = "X013"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=300)
        yield world


def join(world: World, center: Center) -> Path:
    return world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))


def edit(world: World, key: int) -> None:
    run_sql(world.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = ?", key)


def lag_behind(world: World, center: Center) -> Path:
    """Take two snapshots, and put back the agent's folder as it was after the first."""
    folder = join(world, center)
    world.snapshot(UNIT)
    copy = world.folder / "yesterday"
    shutil.copytree(folder, copy)
    edit(world, 17)
    world.snapshot(UNIT)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    edit(world, 18)
    return folder


def test_an_agent_restored_from_an_old_copy_takes_up_its_chain_with_a_gap(world: World) -> None:
    with world.serving() as center:
        folder = lag_behind(world, center)
        with Agent.open(folder) as agent, pytest.raises(CenterDownError, match="older copy") as caught:
            agent.snapshot("his", Silent())
        assert "run the snapshot again" in caught.value.hint
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "gap"]
        gap = parse_statement(parse_note(center.catalog.statement(UNIT, "his", 3).note).text)
        assert isinstance(gap, GapStatement)
        assert gap.cause is GapCause.JOURNAL
        assert len(gap.given_up) == 1
        assert "conflict" in [parse_entry(raw).kind for raw in center.ledger.entries()]

        outcome = world.snapshot(UNIT)
        assert outcome.sequence == 4
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "gap", "snapshot"]
        assert read_back(center, UNIT, "his") == outcome.rows
        assert [kept.sequence for kept in check_kept(center, folder, UNIT, "his")] == [1, 2, 3, 4]
        edit(world, 19)
        assert world.snapshot(UNIT).sequence == 5


def test_what_waits_in_the_spool_of_a_restored_agent_is_named_by_the_gap(world: World) -> None:
    with world.serving() as center:
        folder = lag_behind(world, center)
        with Agent.open(folder) as agent:
            for day in range(3):
                edit(world, 30 + day)
                agent.snapshot("his", Silent(), send=False)
            outcomes = agent.send(Silent())
            assert [(o.sequence, o.stage) for o in outcomes] == [(n, Stage.SPOOLED) for n in (2, 3, 4)]
            assert all(o.trouble is not None and "older copy" in str(o.trouble) for o in outcomes)
        gap = parse_statement(parse_note(center.catalog.statement(UNIT, "his", 3).note).text)
        assert isinstance(gap, GapStatement)
        assert len(gap.given_up) == 3
        assert world.snapshot(UNIT).sequence == 4


def test_keys_from_before_a_change_open_nothing_and_a_new_code_goes_on(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        shutil.copytree(folder / "keys", world.folder / "yesterday")
        with Agent.open(folder) as agent:
            assert agent.replace_key(Silent()).is_known
        shutil.rmtree(folder / "keys")
        shutil.copytree(world.folder / "yesterday", folder / "keys")
        edit(world, 17)
        with Agent.open(folder) as agent, pytest.raises(CenterRefusedError) as caught:
            agent.snapshot("his", Silent())
        assert caught.value.refusal == "JS-3104"

        shutil.rmtree(folder)
        world.enroll(center.units.rekey(UNIT).encode(), folder, sqlite_source("his", world.folder / "his.db"))
        outcome = world.snapshot(UNIT)
        assert check_chain(center, UNIT, "his") == ["snapshot", "key", "gap", "snapshot"]
        assert read_back(center, UNIT, "his") == outcome.rows


def test_keys_put_back_alone_save_no_gap(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        kept = world.folder / "kept"
        kept.mkdir()
        for name in ("agent.yaml", "center.json", "keys"):
            shutil.move(folder / name, kept / name)
        shutil.rmtree(folder)
        shutil.move(kept, folder)
        edit(world, 17)
        outcome = world.snapshot(UNIT)
        assert check_chain(center, UNIT, "his") == ["snapshot", "gap", "snapshot"]
        assert read_back(center, UNIT, "his") == outcome.rows


@pytest.mark.parametrize("is_pack_waiting", [True, False])
def test_a_center_that_lost_a_sources_secrets_gets_them_again(world: World, is_pack_waiting: bool) -> None:
    with world.serving() as center:
        join(world, center)
        world.snapshot(UNIT)
    (world.center_folder / "units" / UNIT / "sources" / "his.json").unlink()
    if is_pack_waiting:
        edit(world, 18)
    with world.serving() as center:
        outcome = world.snapshot(UNIT)
        assert read_back(center, UNIT, "his") == outcome.rows
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot"]


def test_one_source_that_is_refused_does_not_hold_up_the_others(world: World) -> None:
    with world.serving() as center:
        make_hospital(world.folder / "lis.db", visits=50)
        sources = sqlite_source("his", world.folder / "his.db") + sqlite_source("lis", world.folder / "lis.db")
        folder = world.add_agent(center, UNIT, sources)
        with Agent.open(folder) as agent:
            for name in ("his", "lis"):
                agent.snapshot(name, Silent(), send=False)
            # Somebody has registered other secrets under the first name: its packs are refused, again and again.
            for path in (world.center_folder / "units" / UNIT / "sources").glob("his.json"):
                path.unlink()
            center.units._secrets.clear()
            center.units.register_source(UNIT, "his", SourceSecrets(bytes(32), bytes(32)))
            his, lis = agent.send(Silent())
        assert (his.source, his.stage) == ("his", Stage.SPOOLED)
        assert isinstance(his.trouble, CenterRefusedError)
        assert (lis.source, lis.stage, lis.trouble) == ("lis", Stage.STORED, None)


def register(agent: Agent) -> None:
    """Have the newest statement logged before its content, as on a road by which packs come later."""
    entry = agent.journal.unfinished()[-1]
    with Identity.open(agent.folder).connect(lambda: None) as road:
        assert road.submit("his", entry.note, register_only=True).receipt is not None


def test_a_registered_statement_becomes_stored_when_its_packs_come(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
            register(agent)
            assert center.catalog.latest(UNIT, "his").level is Level.REGISTERED  # type: ignore[union-attr]
            (outcome,) = agent.send(Silent())
            assert (outcome.stage, outcome.trouble) == (Stage.STORED, None)
            assert agent.spool("his").packs() == []
        assert [kept.level for kept in check_kept(center, folder, UNIT, "his")] == ["stored"]


def test_a_registered_statement_whose_content_is_gone_holds_nothing_up(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
            register(agent)
            for pack in agent.spool("his").packs():
                pack.path.unlink()
            (outcome,) = agent.send(Silent())
            assert outcome.stage is Stage.REGISTERED
        edit(world, 18)
        second = world.snapshot(UNIT)
        assert read_back(center, UNIT, "his", second.sequence) == second.rows
        with Agent.open(folder) as agent:
            assert agent.spool("his").packs() == [], "what was acknowledged leaves the spool"
