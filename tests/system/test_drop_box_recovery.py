# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between two who never talk: an old copy of the agent, content lost at the center, refused packs."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from agent.errors import CenterRefusedError, SpoolError
from agent.outcome import Stage
from center.receive.inbox import Fate
from tests.builders.commands import wait_until
from tests.builders.drops import Drop, Opened, check_stored, fates, lose_packs
from tests.builders.world import (
    CenterProcess,
    check_chain,
    check_kept,
    make_incompressible,
    read_back,
    run_sql,
)


def test_an_agent_restored_from_an_old_copy_finds_its_chain_and_states_a_gap(drop: Drop, center: Opened) -> None:
    drop.snapshot()
    drop.exchange(center[1])
    old = drop.folder / "old"
    shutil.copytree(drop.agent_folder, old)
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 1")
    drop.snapshot()
    drop.exchange(center[1])
    shutil.rmtree(drop.agent_folder)
    shutil.copytree(old, drop.agent_folder)
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 2")
    drop.snapshot()
    # The center refuses the second #2, the answer says where its chain stands, and the gap goes on from there.
    drop.exchange(center[1])
    drop.exchange(center[1])
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 3")
    drop.snapshot()
    drop.exchange(center[1])
    assert check_chain(center[0], "X013", "his") == ["snapshot", "snapshot", "gap", "snapshot"]
    kept = check_kept(center[0], drop.agent_folder, "X013", "his")
    assert [(entry.kind, entry.level) for entry in kept][-2:] == [("gap", "-"), ("snapshot", "stored")]


def test_content_that_the_center_has_lost_is_put_again_out_of_what_was_kept(drop: Drop, center: Opened) -> None:
    drop.snapshot()
    drop.exchange(center[1])
    center[0].close()
    lose_packs(drop)
    with drop.center() as (again, inbox):
        run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 5")
        drop.snapshot()
        drop.exchange(inbox)
        assert drop.stages()[-1] is Stage.REGISTERED
        assert len(drop.bags()) == 1, "what the center lacks is on its way again"
        drop.exchange(inbox)
        assert drop.stages()[-1] is Stage.STORED
        assert read_back(again, "X013", "his", 2) > 600


def marks(drop: Drop) -> list[str]:
    """Give what the agent remembers to have done once."""
    with closing(sqlite3.connect(drop.agent_folder / "journal.sqlite")) as db:
        return [what for (what,) in db.execute("SELECT what FROM bag_mark ORDER BY what")]


def test_what_was_put_again_is_remembered_until_it_is_stored_and_no_longer(drop: Drop, center: Opened) -> None:
    drop.snapshot()
    drop.exchange(center[1])
    center[0].close()
    for beds in range(3):
        lose_packs(drop)
        with drop.center() as (_, inbox):
            run_sql(drop.folder / "his.db", "UPDATE ward SET beds = ?", beds)
            drop.snapshot()
            drop.exchange(inbox)
            with drop.agent() as agent:
                (waiting,) = agent.journal.unfinished()
            assert marks(drop) == [f"refilled {waiting.digest.hex()}"]
            drop.exchange(inbox)
            assert drop.stages()[-1] is Stage.STORED


def test_a_pack_that_is_refused_twice_is_given_up_and_the_next_snapshot_goes_on(drop: Drop, center: Opened) -> None:
    drop.snapshot()
    drop.exchange(center[1])
    with drop.agent() as agent:
        kept = {path.name for path in (drop.agent_folder / "spool" / "his" / "kept").iterdir()}
        assert kept and agent.spool("his").packs() == []
    # What the next pack is coded against is gone at the center, and here nobody has kept it.
    center[0].close()
    lose_packs(drop)
    run_sql(drop.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = 17")
    drop.snapshot(send=False)
    shutil.rmtree(drop.agent_folder / "spool" / "his" / "kept")
    with drop.center() as (again, inbox):
        drop.send()
        drop.carry()
        drop.clock.now += timedelta(minutes=1)
        inbox.scan()
        drop.clock.now += timedelta(minutes=11)
        (outcome,) = inbox.scan()
        assert outcome.fate is Fate.TAKEN
        assert any("coded against object" in damage.reason for damage in outcome.damages)
        drop.carry_back()
        drop.send()
        drop.carry()
        inbox.scan(is_settled=True)
        drop.carry_back()
        troubles = [outcome.trouble for outcome in drop.send() if outcome.trouble is not None]
        assert troubles and isinstance(troubles[0], CenterRefusedError)
        drop.snapshot()
        for _ in range(2):
            drop.exchange(inbox)
        assert drop.stages()[-1] is Stage.STORED
        assert read_back(again, "X013", "his", None) > 600


def test_the_daemon_takes_what_arrives_and_answers_it_while_it_serves(drop: Drop) -> None:
    path = drop.folder / "center" / "center.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("poll: 1 min", "poll: 1 s"), encoding="utf-8")
    with CenterProcess(drop.folder / "center", drop.folder / "center.log") as process:
        drop.snapshot()
        drop.carry()
        assert wait_until(lambda: any(drop.departures.glob("receipts-*")), 60)
        drop.carry_back()
        drop.send()
        process.process.terminate()
        assert process.wait() == 0
    assert drop.stages() == [Stage.STORED]
    assert "a bag is taken in unit=X013" in (drop.folder / "center.log").read_text(encoding="utf-8")


def test_content_that_nobody_has_any_more_is_stated_as_given_up(drop: Drop, center: Opened) -> None:
    drop.snapshot()
    drop.exchange(center[1])
    center[0].close()
    lose_packs(drop)
    shutil.rmtree(drop.agent_folder / "spool" / "his" / "kept")
    with drop.center() as (again, inbox):
        for edit in ("UPDATE ward SET beds = 5", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 % 7 = 3"):
            run_sql(drop.folder / "his.db", edit)
            drop.snapshot()
            for _ in range(4):
                drop.exchange(inbox)
        assert check_chain(again, "X013", "his") == ["snapshot", "snapshot", "snapshot", "gap"]
        assert read_back(again, "X013", "his", 3) > 600
        with drop.agent() as agent:
            assert not agent.journal.unfinished()


@pytest.mark.parametrize("first", ["his", "his-x"])
def test_two_sources_of_one_name_and_more_do_not_take_each_others_receipts(
    drop: Drop, center: Opened, first: str
) -> None:
    # `his` and `his-x`: the names of their files begin alike; and the receipts of either may come first.
    path = drop.agent_folder / "agent.yaml"
    path.write_text(path.read_text() + f"  - {{name: his-x, kind: sqlite, path: {drop.folder / 'his.db'}}}\n")
    drop.snapshot()
    other = Drop(drop.folder, drop.road, drop.outbox, drop.inbox, source="his-x", clock=drop.clock)
    other.snapshot()
    drop.carry()
    assert fates(center[1].scan()) == [Fate.TAKEN] * 2
    files = sorted(drop.departures.iterdir(), key=lambda path: path.name.startswith(f"receipts-X013-{first}-") is False)
    for path in files:
        path.rename(drop.inbox / path.name)
        drop.send()
    assert list(drop.inbox.iterdir()) == []
    check_stored(drop, center[0], 1)
    check_stored(other, center[0], 1)


@pytest.mark.long
def test_a_spool_over_its_limit_is_emptied_by_bags_all_the_same(drop: Drop, center: Opened) -> None:
    make_incompressible(drop.folder / "large.db", 90_000_000)
    path = drop.agent_folder / "agent.yaml"
    text = path.read_text(encoding="utf-8").replace(str(drop.folder / "his.db"), str(drop.folder / "large.db"))
    path.write_text(text, encoding="utf-8")
    drop.snapshot(send=False)
    path.write_text(text.replace("min_free: 0 MiB", "min_free: 0 MiB, max_size: 64 MiB"), encoding="utf-8")
    run_sql(drop.folder / "large.db", "UPDATE record SET body = body || '!' WHERE id = 1")
    with pytest.raises(SpoolError, match="its limit is 64 MiB"):
        drop.snapshot(send=False)
    drop.send()
    drop.exchange(center[1])
    check_stored(drop, center[0], 1)
    drop.snapshot()
    drop.exchange(center[1])
    kept = check_kept(center[0], drop.agent_folder, drop.unit, drop.source)
    assert [(entry.kind, entry.level) for entry in kept] == [
        ("snapshot", "stored"), ("snapshot", "stored"), ("gap", "-"),
    ], "the night for which there was no room is stated"  # fmt: skip


def test_a_bag_for_which_the_volume_has_no_room_is_not_made(drop: Drop, center: Opened) -> None:
    drop.snapshot(send=False)
    path = drop.agent_folder / "agent.yaml"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("min_free: 0 MiB", "min_free: 900000 GiB"), encoding="utf-8")
    (outcome,) = drop.send()
    assert isinstance(outcome.trouble, SpoolError)
    assert (drop.bags(), list(drop.agent_folder.glob("bags/his/*"))) == ([], [])
    path.write_text(whole, encoding="utf-8")
    drop.send()
    drop.exchange(center[1])
    check_stored(drop, center[0], 1)
