# SPDX-License-Identifier: Apache-2.0
"""Whoever owns a drop box, its server or the gateway before it: nothing is lost, nothing beside the box is touched."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import DropBoxError
from agent.outcome import Stage
from agent.transport.folderbox import FolderBox
from center.receive.inbox import Fate
from evidence.bag.receipts import BagAnswer, Receipts, Refusal, StatementAnswer, sign_receipts
from tests.builders.drops import ORIGIN, SETTLE, Drop, Opened, check_stored, fates, packs_of
from tests.builders.world import make_hospital, run_sql, sqlite_source

VISITS = 3000


def _take_away(bag: Path) -> None:
    packs_of(bag)[0].unlink()


def _exchange_frames(bag: Path) -> None:
    """Put frames of the second pack, which are coded against the first, into the first: each opens with the bag's key."""
    first, second = packs_of(bag)
    body, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other + body[len(other) :])


# What is lost, and by whom


@pytest.mark.parametrize("spoil", [_take_away, _exchange_frames])
def test_packs_that_are_spoilt_again_and_again_make_no_agent_give_up_what_is_coded_against_them(
    drop: Drop, center: Opened, spoil: Callable[[Path], None]
) -> None:
    drop.snapshot(send=False)
    run_sql(drop.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = 7")
    drop.snapshot(send=False)
    for _ in range(4):
        drop.send()
        for bag in drop.carry():
            spoil(bag)
        center[1].scan()
        drop.clock.now += SETTLE
        center[1].scan()
        drop.carry_back()
        outcomes = drop.send()
        assert [outcome.trouble for outcome in outcomes if outcome.trouble] == []
        assert drop.stages() == [Stage.REGISTERED] * 2
        drop.clock.now += timedelta(days=8)
    drop.send()
    drop.exchange(center[1])
    check_stored(drop, center[0], 2)


# What is beside the box


@pytest.fixture
def backups(drop: Drop) -> Path:
    """Give a folder of the archives with backups by day, as old as what is cleared away."""
    for day in ("2020-01-01", "2020-01-02"):
        (drop.folder / "backups" / day).mkdir(parents=True)
        (drop.folder / "backups" / day / "ledger.tar").write_bytes(b"the only copy")
    return drop.folder / "backups"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("shelf", ["done", "refused"])
def test_a_link_in_place_of_a_shelf_leads_nowhere(drop: Drop, center: Opened, backups: Path, shelf: str) -> None:
    before = _files(backups)
    (drop.arrivals / shelf).symlink_to(backups)
    drop.snapshot()
    if shelf == "refused":
        for bag in drop.carry():
            (bag / "data" / "more").symlink_to("/etc/passwd")
    else:
        drop.carry()
    for _ in range(2):
        (outcome,) = center[1].scan()
        assert (outcome.fate, "cannot be" in outcome.reason.en) == (Fate.WAITS, True), outcome
        drop.clock.now += timedelta(days=30)
    assert _files(backups) == before
    assert sorted(path.name for path in backups.iterdir()) == ["2020-01-01", "2020-01-02"]


def test_a_link_among_what_was_taken_in_long_ago_is_not_followed(drop: Drop, center: Opened, backups: Path) -> None:
    before = _files(backups)
    old = drop.arrivals / "done" / "2020-01-01"
    old.mkdir(parents=True)
    (old / "bag").symlink_to(backups)
    (drop.arrivals / "done" / "2020-01-02").symlink_to(backups / "2020-01-02")
    center[1].scan()
    assert _files(backups) == before
    assert not old.exists()


# One bag stops no other


def _file_in_the_way(drop: Drop) -> None:
    (drop.arrivals / "refused").write_text("no folder")


def _names_that_fill_a_name(drop: Drop) -> None:
    (drop.arrivals / ("a" * 255)).mkdir()
    (drop.arrivals / ("a" * 255) / "link").symlink_to("/etc/passwd")


@pytest.mark.parametrize("hinder", [_file_in_the_way, _names_that_fill_a_name])
def test_a_bag_that_cannot_be_moved_away_stops_no_other(
    drop: Drop, center: Opened, hinder: Callable[[Drop], None]
) -> None:
    for _ in range(2):
        hinder(drop)
        forged = drop.arrivals / "a-forged"
        forged.mkdir(exist_ok=True)
        (forged / "link").unlink(missing_ok=True)
        (forged / "link").symlink_to("/etc/passwd")
        center[1].scan()
    drop.snapshot()
    drop.exchange(center[1])
    check_stored(drop, center[0], 1)


def test_what_cannot_be_cleared_away_keeps_no_bag_waiting(drop: Drop, center: Opened) -> None:
    (drop.arrivals / "done").write_text("no folder")
    drop.snapshot()
    drop.exchange(center[1])
    check_stored(drop, center[0], 1)


# Links that stand where something is to be written


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Give what the agent would put into a box."""
    folder = tmp_path / "staged"
    (folder / "data").mkdir(parents=True)
    (folder / "bagit.txt").write_bytes(b"BagIt")
    (folder / "data" / "envelope.note").write_bytes(b"signed")
    return folder


def _box(tmp_path: Path) -> FolderBox:
    for name in ("outbox", "inbox"):
        (tmp_path / name).mkdir()
    return FolderBox(tmp_path / "outbox", tmp_path / "inbox")


def test_a_link_at_the_name_of_a_file_in_the_making_is_not_written_through(tmp_path: Path, bag: Path) -> None:
    box, victim = _box(tmp_path), tmp_path / "victim"
    victim.write_bytes(b"what must stay")
    part = tmp_path / "outbox" / ".X013-his-1.part"
    part.mkdir()
    (part / ".bagit.txt.tmp").symlink_to(victim)
    box.put("X013-his-1", bag)
    assert victim.read_bytes() == b"what must stay"
    assert (tmp_path / "outbox" / "X013-his-1" / "bagit.txt").read_bytes() == b"BagIt"


@pytest.mark.parametrize("link", [".X013-his-1.part", ".X013-his-1.part/data"])
def test_a_bag_is_not_put_where_a_link_leads(tmp_path: Path, bag: Path, link: str) -> None:
    box, elsewhere = _box(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = tmp_path / "outbox" / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere)
    with pytest.raises(DropBoxError, match="a link stands where"):
        box.put("X013-his-1", bag)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.timeout(60)
def test_a_pipe_that_takes_the_place_of_receipts_once_they_are_listed_is_not_waited_for(tmp_path: Path) -> None:
    box = _box(tmp_path)
    os.mkfifo(tmp_path / "inbox" / "receipts-X013-his-1.note")
    assert box.receipts() == []
    with pytest.raises(DropBoxError, match="it is no file"):
        box.read("receipts-X013-his-1.note", 100)


def test_a_link_that_takes_the_place_of_receipts_opens_no_key_to_others(drop: Drop, center: Opened) -> None:
    """Whoever owns the folder can act between any two steps of the center: here between name and rights."""
    secret = center[0].folder / "keys" / "operator.pem"
    drop.departures.chmod(0o755)
    is_armed = [True]

    def exchange(event: str, args: tuple[object, ...]) -> None:
        if is_armed and event == "os.chmod" and "receipts-" in str(args[0]):
            path = Path(str(args[0]))
            path.unlink()
            path.symlink_to(secret)

    sys.addaudithook(exchange)
    try:
        drop.snapshot()
        drop.carry()
        assert fates(center[1].scan()) == [Fate.TAKEN]
    finally:
        is_armed.clear()
    assert secret.stat().st_mode & 0o777 == 0o600
    (receipts,) = drop.departures.glob("receipts-*")
    assert receipts.stat().st_mode & 0o777 == 0o644


# What is kept back, and what is brought again


def test_receipts_that_are_kept_back_while_another_source_goes_on_come_with_the_next_ones(
    drop: Drop, center: Opened
) -> None:
    """And so an old file that is brought again makes no agent state that content is lost which the center has."""
    path = drop.agent_folder / "agent.yaml"
    lis = make_hospital(drop.folder / "lis.db", 20)
    path.write_text(path.read_text(encoding="utf-8") + sqlite_source("lis", lis), encoding="utf-8")
    drop.snapshot()
    for bag in drop.carry():
        _take_away(bag)
    drop.clock.now += SETTLE
    center[1].scan()
    drop.clock.now += SETTLE
    center[1].scan()
    (lacking,) = [(each.name, each.read_bytes()) for each in drop.carry_back()]
    drop.send()
    assert drop.stages() == [Stage.REGISTERED]
    drop.carry()
    center[1].scan()
    for kept_back in drop.departures.iterdir():
        kept_back.unlink()
    drop.source = "lis"
    drop.snapshot()
    drop.exchange(center[1])
    assert drop.stages() == [Stage.STORED]
    drop.source = "his"
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 3")
    drop.snapshot()
    drop.exchange(center[1])
    for _ in range(3):
        (drop.inbox / lacking[0]).write_bytes(lacking[1])
        drop.send()
        drop.exchange(center[1])
    assert drop.stages() == [Stage.STORED] * 2
    check_stored(drop, center[0], 2)


@pytest.mark.parametrize(("unit", "source"), [("Y002", "his"), ("X013", "lis")])
def test_true_receipts_of_another_unit_or_source_under_our_name_say_nothing_to_us(
    drop: Drop, center: Opened, unit: str, source: str
) -> None:
    drop.snapshot()
    with drop.agent() as agent:
        digest = agent.journal.get("his", 1).digest
        (bagged,) = agent.parts.bags.of("his")
    refusal = Refusal("JS-3102", "it does not hold", "give it up")
    answer = StatementAnswer(digest, refusal=refusal)
    others = Receipts(
        ORIGIN,
        unit,
        source,
        drop.clock.now,
        center[0].ledger.checkpoint(),
        (BagAnswer(bagged.bag),),
        statements=(answer,),
    )
    name = f"receipts-X013-his-{bagged.bag}.note"
    (drop.inbox / name).write_bytes(sign_receipts(others, center[0].operator))
    drop.send()
    assert drop.stages() == [Stage.SPOOLED]
    with drop.agent() as agent:
        assert agent.spool("his").unsent(), "nothing counts as arrived"
    drop.exchange(center[1])
    check_stored(drop, center[0], 1)
