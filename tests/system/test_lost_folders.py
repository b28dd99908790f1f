# SPDX-License-Identifier: Apache-2.0
"""Folders are lost: the agent's, whole or in parts; the center's, restored from yesterday's copy; a pack of the store.

What was lost is stated (a `gap`), what was not lost is not sent again, and a center that has forgotten something does not
go on as if it had not.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CenterDownError, CenterRefusedError
from agent.journal import State
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import CATALOG_NAME, Center
from center.errors import HeldError, StoreError
from center.registry.rebuild import rebuild_catalog
from evidence.digest import ObjectId
from evidence.manifest.entry import Level
from evidence.manifest.statement import GapCause, GapStatement, parse_statement
from evidence.note.signed import parse_note
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
    stored_pack_bytes,
)

UNIT = "X013"
CHANGE_BYTES = 120_000
"""More than one changed page with the nodes above it, its manifest and documents; far less than the hospital's data."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=20_000)
        yield world


def join(world: World, center: Center) -> Path:
    return world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))


def edit(world: World, key: int = 217) -> None:
    run_sql(world.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = ?", key)


def take(world: World) -> Outcome:
    with Agent.open(world.agent_folder(UNIT)) as agent:
        return agent.snapshot("his", Silent())


def check_only_the_change_was_sent(world: World, center: Center, outcome: Outcome, packs_before: int) -> None:
    grown = stored_pack_bytes(center, UNIT, "his") - packs_before
    assert 0 < grown < CHANGE_BYTES < packs_before / 2
    assert outcome.sent_bytes <= grown
    assert read_back(center, UNIT, "his") == outcome.rows


def test_a_destroyed_agent_folder_costs_a_gap_and_no_data(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        edit(world)
        second = world.snapshot(UNIT)
        with Agent.open(folder) as agent:
            kept = agent.journal.keys("his")
        assert kept is not None
        first_key = center.units.get(UNIT).statement_key
        shutil.rmtree(folder)

        world.enroll(center.units.rekey(UNIT).encode(), folder, sqlite_source("his", world.folder / "his.db"))
        edit(world, 9_000)
        packs = stored_pack_bytes(center, UNIT, "his")
        third = world.snapshot(UNIT)

        assert center.units.get(UNIT).statement_key != first_key
        with Agent.open(folder) as agent:
            recovered = agent.journal.keys("his")
        assert recovered is not None
        assert (recovered.row_secret, recovered.storage_key) == (kept.row_secret, kept.storage_key)
        check_only_the_change_was_sent(world, center, third, packs)
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "gap", "snapshot"]
        assert (second.sequence, third.sequence) == (2, 4)
        gap = parse_statement(parse_note(center.catalog.statement(UNIT, "his", 3).note).text)
        assert isinstance(gap, GapStatement)
        assert gap.cause is GapCause.JOURNAL
        # Statements 1 and 2 were signed by the lost key; they open and verify as before.
        assert read_back(center, UNIT, "his", 1) == read_back(center, UNIT, "his", 2)
        # And the next day is a day like any other.
        edit(world, 9_001)
        assert world.snapshot(UNIT).sequence == 5
        assert check_chain(center, UNIT, "his")[3:] == ["snapshot", "snapshot"]


def test_lost_holdings_cost_questions_and_nothing_is_sent_again(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        for path in folder.glob("holdings.sqlite*"):
            path.unlink()
        edit(world)
        packs = stored_pack_bytes(center, UNIT, "his")
        check_only_the_change_was_sent(world, center, world.snapshot(UNIT), packs)
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot"]


@pytest.mark.parametrize("damage", ["garbage", "torn"])
def test_damaged_holdings_are_begun_anew(world: World, damage: str) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        path = folder / "holdings.sqlite"
        raw = path.read_bytes()
        path.write_bytes(b"garbage" * 5_000 if damage == "garbage" else raw[:8192] + b"\xff" * (len(raw) - 8192))
        edit(world)
        packs = stored_pack_bytes(center, UNIT, "his")
        outcome = world.snapshot(UNIT)
        assert outcome.sequence == 2
        assert read_back(center, UNIT, "his") == outcome.rows
        if damage == "garbage":
            check_only_the_change_was_sent(world, center, outcome, packs)


def test_holdings_lost_and_the_run_interrupted_still_sends_only_what_changed(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        for path in folder.glob("holdings.sqlite*"):
            path.unlink()
        edit(world)
        packs = stored_pack_bytes(center, UNIT, "his")
        with Agent.open(folder) as agent, pytest.raises(Interrupted):
            agent.snapshot("his", InterruptAt("病程记录", 10_000))
        check_only_the_change_was_sent(world, center, world.snapshot(UNIT), packs)


class Interrupted(Exception):
    """The run is over, as by a power cut."""


class InterruptAt(Silent):
    """Interrupt a run when a table has come so far."""

    def __init__(self, table: str, rows: int) -> None:
        self._table = table
        self._rows = rows
        self._is_near = False

    def begin(self, label: str, total: int | None) -> None:
        self._is_near = label == self._table

    def advance(self, rows: int, size_bytes: int) -> None:
        if self._is_near:
            self._rows -= rows
            if self._rows <= 0:
                raise Interrupted


def test_a_lost_journal_goes_on_from_the_center_with_a_gap(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        for path in folder.glob("journal.sqlite*"):
            path.unlink()
        edit(world)
        packs = stored_pack_bytes(center, UNIT, "his")
        outcome = world.snapshot(UNIT)
        check_only_the_change_was_sent(world, center, outcome, packs)
        assert check_chain(center, UNIT, "his") == ["snapshot", "gap", "snapshot"]
        check_kept(center, folder, UNIT, "his")


def test_a_center_restored_from_yesterdays_copy_signs_nothing_and_says_why(world: World) -> None:
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
    shutil.copytree(world.center_folder, world.folder / "yesterday")
    with world.serving() as center:
        edit(world)
        today = world.snapshot(UNIT)
        size = center.ledger.size
        tail = list(center.ledger.entries())
    shutil.move(world.center_folder, world.folder / "lost")
    shutil.move(world.folder / "yesterday", world.center_folder)

    with world.serving() as center:
        old_size, old_checkpoint = center.ledger.size, center.ledger.checkpoint()
        assert old_size < size
        # Before anybody has called it does not know that it is old, and signs nothing all the same.
        assert center.ledger.held is not None
        edit(world, 300)
        refused = take(world)

        assert refused.stage is Stage.SPOOLED
        assert isinstance(refused.trouble, CenterDownError)
        assert f"{old_size} entries" in str(refused.trouble)
        assert "JS-3200" in str(refused.trouble)
        assert center.ledger.held is not None
        assert "was shown" in center.ledger.held
        with pytest.raises(HeldError, match="was shown") as caught:
            center.ledger.release("we looked, all is well")
        assert "import" in caught.value.hint
        assert (center.ledger.size, center.ledger.checkpoint()) == (old_size, old_checkpoint), "something was signed"
        with Agent.open(folder) as agent:
            waiting = agent.journal.unfinished()
            assert [(e.sequence, e.state) for e in waiting] == [(today.sequence + 1, State.TAKEN)]
            assert agent.spool("his").packs(), "the spool does not keep the snapshot"
            # Asked again, nothing has changed: no error but that one, no second statement, nothing forked.
            (again,) = agent.send(Silent())
            assert isinstance(again.trouble, CenterDownError)

        # The operator imports the missing tail from a mirror: exactly these entries, and no others.
        center.ledger.import_tail(tail[old_size:])
        center.ledger.release("tail imported from the mirror")
        assert center.ledger.held is None
        assert list(center.ledger.entries()) == tail
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot"]

        # What the log has and the store has not is asked for again; the agent heals it, and the chain goes on.
        outcomes = []
        for _ in range(2):
            with Agent.open(folder) as agent:
                outcomes = agent.send(Silent()) or [agent.snapshot("his", Silent())]
            if all(o.stage is Stage.STORED for o in outcomes):
                break
        assert [o.stage for o in outcomes] == [Stage.STORED]
        assert check_chain(center, UNIT, "his")[:2] == ["snapshot", "snapshot"]
        assert center.ledger.size > size
        read_back(center, UNIT, "his")


def rebuild(world: World) -> None:
    with Center.open(world.center_folder) as center:
        store, ledger, units = center.store, center.ledger, center.units
        # The catalog is let go of for the rebuild; store, ledger and units go on.
        center.catalog.close()
        report = rebuild_catalog(world.center_folder / CATALOG_NAME, store, ledger, units)
    assert report.damaged == ()


@pytest.mark.parametrize("is_kept", [True, False])
def test_any_lost_pack_is_asked_for_again_and_healed(world: World, is_kept: bool) -> None:
    make_incompressible(world.folder / "big.db", 6_000_000)
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "big.db"))
        world.snapshot(UNIT)
    packs = sorted((world.center_folder / "store" / "packs").rglob("*.pack"))
    statements = 1
    for number, lost in enumerate(packs):
        lost.unlink()
        rebuild(world)
        with world.serving() as center:
            run_sql(world.folder / "big.db", "UPDATE record SET body = body || 'x' WHERE id = ?", number + 5)
            if not is_kept:
                shutil.rmtree(folder / "spool" / "his" / "kept", ignore_errors=True)
                # Told what is missing, or refused because a difference is against what is missing: nothing is logged.
                with pytest.raises(
                    (CenterDownError, CenterRefusedError), match="lacks content|is not stored here"
                ) as caught:
                    take(world)
                assert "run the snapshot again" in caught.value.hint
                assert check_chain(center, UNIT, "his") == ["snapshot"] * statements
            # What is kept heals at once; else the run after that asks about everything, and heals.
            outcome = world.snapshot(UNIT)
            statements += 1
            assert check_chain(center, UNIT, "his") == ["snapshot"] * statements
            assert read_back(center, UNIT, "his") == outcome.rows
    assert len(packs) > 1


def test_snapshots_that_had_to_be_given_up_are_stated_as_a_gap(world: World) -> None:
    """Three days wait in the spool of an agent without a line; meanwhile the center loses what day 2 and 3 build on."""
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
    for day in range(3):
        edit(world, 100 + day)
        with Agent.open(folder) as agent:
            assert agent.snapshot("his", Silent(), send=False).stage is Stage.SPOOLED
    shutil.rmtree(folder / "spool" / "his" / "kept")
    for pack in (world.center_folder / "store" / "packs").rglob("*.pack"):
        pack.unlink()
    rebuild(world)
    with world.serving() as center:
        with Agent.open(folder) as agent, pytest.raises((CenterDownError, CenterRefusedError)):
            for outcome in agent.send(Silent()):
                assert outcome.trouble is not None
                raise outcome.trouble
        outcome = world.snapshot(UNIT)
        # The three were registered before their content was sent, and stay so.
        assert check_chain(center, UNIT, "his") == [*["snapshot"] * 4, "gap", "snapshot"]
        rows = [center.catalog.statement(UNIT, "his", sequence) for sequence in (2, 3, 4)]
        assert {row.level for row in rows} == {Level.REGISTERED}
        gap = parse_statement(parse_note(center.catalog.statement(UNIT, "his", 5).note).text)
        assert isinstance(gap, GapStatement)
        assert gap.cause is GapCause.SPOOL
        assert "his#2 to his#4" in gap.lost
        assert gap.given_up == tuple(row.digest for row in rows)
        assert read_back(center, UNIT, "his") == outcome.rows


def test_a_damaged_manifest_of_yesterday_does_not_stop_the_center(world: World) -> None:
    """Flags compare a manifest with the one before; damage there once kept the whole center from opening."""
    with world.serving() as center:
        join(world, center)
        world.snapshot(UNIT)
        row = center.catalog.statement(UNIT, "his")
        assert row.manifest_object is not None
        (place,) = center.catalog.find_places(UNIT, "his", [ObjectId(row.manifest_object)]).values()
    (path,) = (world.center_folder / "store").rglob(f"{place.pack}.pack")
    raw = bytearray(path.read_bytes())
    raw[place.offset + FRAME_HEAD_BYTES + place.stored // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)
    edit(world)
    with world.serving() as center:
        outcome = world.snapshot(UNIT)
        assert read_back(center, UNIT, "his") == outcome.rows
        with pytest.raises(StoreError, match="is damaged"):
            center.open_snapshot(UNIT, "his", 1)
    with Center.open(world.center_folder) as center:
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot"]
