# SPDX-License-Identifier: Apache-2.0
"""Weeks without a line, or with a thin one: what is sacrificed, in which order, and that nothing vanishes unsaid.

A day's statement is registered whatever becomes of its content; the oldest and the newest day that wait stay whole; what is
given up is named in a signed gap; what was not taken is stated once for the whole outage.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.acts.runs import SENDING_PATIENCE_S
from agent.app import Agent
from agent.config import load_config
from agent.errors import BusyError, SpoolFullError, StoppedError
from agent.host import SystemHost
from agent.jobs.running import Guard
from agent.jobs.stopping import Stopping
from agent.journal import SourceKeys, State
from agent.lock import RunLock
from agent.media.desk import media_folder
from agent.media.order import Choice, Wish
from agent.media.sets import MediaSets
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from agent.snapshot.supervised import Machine
from agent.spool import Spool, SpooledPack
from agent.transport.send import Budget
from center.app import Center
from evidence.digest import Sha256
from evidence.manifest.entry import Level
from evidence.manifest.statement import GapCause, GapStatement, parse_statement
from evidence.medium.missing import Missing
from evidence.note.signed import parse_note
from tests.builders.center import NOW
from tests.builders.world import World, check_chain, check_kept, make_incompressible, read_back, run_sql, sqlite_source

UNIT = "X013"
ROWS = 250
KEYS = SourceKeys(row_secret=bytes(range(32)), storage_key=bytes(32), deposited=False)
"""The salts decide where pages end, and so what a pack needs: with salts of chance the caps below meet now one day, now two."""
NO_CAP = 1 << 30


class Days:
    """A clock that a test moves by days."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def next(self) -> None:
        self.now += timedelta(days=1)


@dataclass
class Hospital:
    """An agent with a small spool, a database that changes by the day, and the days."""

    world: World
    folder: Path
    days: Days
    cap: int = NO_CAP
    max_age: int | None = None

    def open(self) -> Agent:
        config = load_config(self.folder)
        spool = config.spool.model_copy(update={"max_size": self.cap, "max_age": self.max_age})
        return Agent(self.folder, config.model_copy(update={"spool": spool}), self.days, {})

    def change(self, day: int, rows: int = 60) -> None:
        """Change rows, the same every other day, and one that is changed every day; add a large cell."""
        run_sql(
            self.world.folder / "his.db",
            "UPDATE record SET body = substr(body, 100) || ? WHERE id % 8 = ? AND id <= ? OR id = 7",
            f"{day:099}", day % 2, 8 * rows,
        )  # fmt: skip
        run_sql(self.world.folder / "his.db", "INSERT INTO scan VALUES (?, ?)", day, bytes((day,)) * 70_000)

    def take(self) -> Outcome:
        """A night without a line."""
        self.days.next()
        with self.open() as agent:
            outcome = agent.snapshot("his", Silent(), send=False)
            newest = agent.journal.get("his", outcome.sequence)
            # The cap is looked at before each pack; these days have one each.
            assert self.waiting_bytes(agent) - newest.spooled_bytes <= self.cap
        return outcome

    def send(self, budget: Budget | None = None) -> list[Outcome]:
        with self.open() as agent:
            return agent.send(Silent(), budget=budget)

    def fill_to(self, share: float) -> None:
        """Set the cap so that what waits is `share` of it."""
        with self.open() as agent:
            self.cap = int(self.waiting_bytes(agent) / share)

    def waiting_bytes(self, agent: Agent) -> int:
        return sum(pack.size for pack in agent.spool("his").unsent())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_incompressible(tmp_path / "his.db", ROWS * 4_000)
        run_sql(tmp_path / "his.db", "CREATE TABLE scan (id INTEGER PRIMARY KEY, picture BLOB)")
        yield world


def join(world: World, center: Center) -> Hospital:
    folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))
    hospital = Hospital(world, folder, Days())
    with hospital.open() as agent:
        agent.journal.put_keys("his", KEYS)
        agent.snapshot("his", Silent())
        assert agent.journal.keys("his") == replace(KEYS, deposited=True)
    return hospital


def gaps_of(center: Center) -> list[GapStatement]:
    rows = [row for row in center.catalog.statements(UNIT, "his") if row.kind == "gap"]
    gaps = [parse_statement(parse_note(row.note).text) for row in rows]
    assert all(isinstance(gap, GapStatement) for gap in gaps)
    return [gap for gap in gaps if isinstance(gap, GapStatement)]


def levels_of(center: Center) -> dict[Sha256, Level]:
    return {row.digest: row.level for row in center.catalog.statements(UNIT, "his") if row.kind == "snapshot"}


def check_nothing_is_unsaid(center: Center, hospital: Hospital) -> None:
    """Every snapshot is stored and reads back, or a gap names it; nothing waits."""
    check_chain(center, UNIT, "his")
    given_up = {digest for gap in gaps_of(center) for digest in gap.given_up}
    for row in center.catalog.statements(UNIT, "his"):
        if row.kind == "snapshot" and row.level is Level.STORED:
            read_back(center, UNIT, "his", row.sequence)
            assert row.digest not in given_up
            assert "given-up" not in row.flags
        elif row.kind == "snapshot":
            assert row.digest in given_up, f"his#{row.sequence} is neither stored nor given up"
            assert "given-up" in row.flags
    with hospital.open() as agent:
        assert not agent.journal.unfinished()
        assert not agent.spool("his").packs()


def test_two_weeks_without_a_line_leave_the_oldest_the_newest_and_some_between(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    taken = []
    for day in range(1, 15):
        hospital.change(day)
        taken.append(hospital.take())
        if day == 4:
            hospital.fill_to(0.8)
    with world.serving() as center:
        outcomes = hospital.send()
        assert all(outcome.trouble is None for outcome in outcomes)
        check_nothing_is_unsaid(center, hospital)
        levels = {row.sequence: row.level for row in center.catalog.statements(UNIT, "his")}
        assert [levels[taken[0].sequence], levels[taken[-1].sequence]] == [Level.STORED] * 2
        stored = [outcome.sequence for outcome in taken if levels[outcome.sequence] is Level.STORED]
        assert 2 < len(stored) < len(taken), "no middle day was given up, or all were"
        assert {gap.cause for gap in gaps_of(center)} == {GapCause.SPOOL}
        assert all("will not come" in gap.lost and "#" in gap.lost for gap in gaps_of(center))
        # And the next day is a day like any other, coded against what is kept.
        hospital.change(30)
        with hospital.open() as agent:
            outcome = agent.snapshot("his", Silent())
        assert (outcome.stage, outcome.trouble) == (Stage.STORED, None)
        assert read_back(center, UNIT, "his") == outcome.rows


def test_content_that_is_too_old_is_given_up_but_not_of_the_oldest_and_newest_day(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    hospital.cap, hospital.max_age = NO_CAP, 3 * 86_400
    sequences = []
    for day in range(1, 8):
        hospital.change(day, rows=4)
        sequences.append(hospital.take().sequence)
    with world.serving() as center:
        hospital.send()
        check_nothing_is_unsaid(center, hospital)
        levels = {row.sequence: row.level for row in center.catalog.statements(UNIT, "his")}
        stored = [levels[sequence] is Level.STORED for sequence in sequences]
        # The night of day 7 saw what was taken on days 2 and 3 as older than three days.
        assert stored == [True, False, False, True, True, True, True]
        assert all("max_age" in gap.lost for gap in gaps_of(center))


def test_a_thin_line_locks_every_statement_before_any_content_and_then_catches_up_in_slices(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    hospital.cap = NO_CAP
    for day in range(1, 6):
        hospital.change(day, rows=300)
        hospital.take()
    with world.serving() as center:
        for outcome in hospital.send(Budget(lambda: 0.0, size_bytes=0)):
            assert (outcome.stage, outcome.trouble) == (Stage.REGISTERED, None)
        assert list(levels_of(center).values()).count(Level.REGISTERED) == 5
        slices = 0
        while any(outcome.stage is not Stage.STORED for outcome in hospital.send(Budget(lambda: 0.0, size_bytes=1))):
            slices += 1
            if slices == 2:  # the night comes: its snapshot is registered at once, though four days are before it
                hospital.change(9)
                hospital.days.next()
                with hospital.open() as agent:
                    outcome = agent.snapshot("his", Silent(), budget=Budget(lambda: 0.0, size_bytes=1))
                assert outcome.stage is Stage.REGISTERED
                assert outcome.trouble is None
        assert slices >= 4
        hospital.send()
        check_nothing_is_unsaid(center, hospital)
        assert gaps_of(center) == []
        assert set(levels_of(center).values()) == {Level.STORED}
        check_kept(center, hospital.folder, UNIT, "his")


def test_each_slice_sends_one_pack_more_at_most_and_none_twice(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
        hospital.cap = NO_CAP
        for day in range(1, 4):
            hospital.change(day)
            hospital.take()
        with hospital.open() as agent:
            packs = agent.spool("his").unsent()
        counted: list[int] = []

        class Counting(Silent):
            def sent(self, size_bytes: int) -> None:
                counted.append(size_bytes)

        for _ in packs:
            with hospital.open() as agent:
                agent.send(Counting(), budget=Budget(lambda: 0.0, size_bytes=1))
        assert counted == [pack.size for pack in packs]
        check_nothing_is_unsaid(center, hospital)


def fill(hospital: Hospital, nights: int) -> None:
    """Nights in which the spool has no room: nothing is read."""
    for night in range(nights):
        hospital.change(100 + night)
        hospital.days.next()
        with hospital.open() as agent, pytest.raises(SpoolFullError) as caught:
            agent.snapshot("his", Silent(), send=False)
        assert "spool" in str(caught.value)
        assert caught.value.hint


def test_nights_without_room_are_stated_once_for_the_whole_outage(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    for day in (1, 2):
        hospital.change(day)
        hospital.take()
    hospital.cap = 100_000
    since = hospital.days.now
    fill(hospital, 5)
    with hospital.open() as agent:
        assert len(agent.journal.unfinished()) == 2, "a gap for each night"
        assert agent.status().sources[0].no_room_since == since + timedelta(days=1)
    with world.serving() as center:
        hospital.days.next()
        hospital.send()
        (gap,) = gaps_of(center)
        assert (gap.cause, gap.given_up) == (GapCause.OUTAGE, ())
        assert (gap.from_, gap.to) == (since + timedelta(days=1), hospital.days.now)
        assert "5 tries" in gap.lost
        check_nothing_is_unsaid(center, hospital)
        with hospital.open() as agent:
            assert agent.status().sources[0].no_room_since is None
        # A second outage is another one.
        hospital.cap = NO_CAP
        hospital.change(120)
        with hospital.open() as agent:
            assert agent.snapshot("his", Silent()).stage is Stage.STORED
        assert len(gaps_of(center)) == 1


def test_a_volume_that_others_have_filled_is_stated_when_there_is_room_again(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
        free = shutil.disk_usage(hospital.folder).free
        settings = hospital.folder / "agent.yaml"
        text = settings.read_text()
        settings.write_text(text.replace("min_free: 0 MiB", f"min_free: {free // (1 << 20) + 4096} MiB"))
        fill(hospital, 2)
        settings.write_text(text)
        hospital.days.next()
        with hospital.open() as agent:
            assert agent.snapshot("his", Silent()).stage is Stage.STORED
        (gap,) = gaps_of(center)
        assert gap.cause is GapCause.SPOOL
        assert gap.to == hospital.days.now
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "gap"]


def test_what_is_on_a_disc_that_is_awaited_is_not_thinned_and_can_be_written_again(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    for day in range(3):
        hospital.change(day)
        hospital.take()
    with hospital.open() as agent:
        on_disc = [pack.name for pack in agent.spool("his").unsent()]
        agent.write_media("his", Wish(world.folder / "disc", 1 << 30), Choice.WAITING, Silent())
    hospital.cap, hospital.max_age = 1_500_000, 2 * 86_400
    for day in range(3, 12):
        hospital.change(day)
        hospital.take()
    with hospital.open() as agent:
        assert set(on_disc) <= {pack.name for pack in agent.spool("his").unsent()}
        (written,) = MediaSets(media_folder(hospital.folder)).of("his")
        set_id, volume = written.set_id, written.volumes[0].number
        lost = Missing("X013", "his", set_id, volume, ())
        (world.folder / lost.file_name).write_bytes(lost.encode())
        again = agent.rewrite_media([world.folder / lost.file_name], Wish(world.folder / "again", 1 << 30), Silent())
        entries = {entry.digest: entry for entry in agent.journal.all_of("his")}
        assert not any(entries[digest].is_given_up for digest in written.statements)
        assert any(entry.is_given_up for entry in entries.values()), "nothing was thinned, so nothing is shown"
    with world.serving() as center:
        with hospital.open() as agent:
            agent.greet()
        reading = center.media_reader().read([medium.path for medium in again.media], world.folder / "back")
        with hospital.open() as agent:
            agent.take_media_receipt(reading.receipts[0])
        hospital.send()
        check_nothing_is_unsaid(center, hospital)


def test_where_it_cannot_be_told_what_is_needed_nothing_is_given_up(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    hospital.cap = NO_CAP
    for day in range(1, 5):
        hospital.change(day)
        hospital.take()
    # The packs are gone against which nodes of those that wait are coded: as when the volume needed the room.
    shutil.rmtree(hospital.folder / "spool" / "his" / "kept")
    hospital.cap = 1_000
    fill(hospital, 1)
    hospital.cap = NO_CAP
    with world.serving() as center:
        hospital.send()
        check_nothing_is_unsaid(center, hospital)
        assert list(levels_of(center).values()) == [Level.STORED] * 5
        assert [gap.cause for gap in gaps_of(center)] == [GapCause.OUTAGE]


class Cut(BaseException):
    """The power is gone."""


def cut_at(number: int, act: Callable[..., object]) -> Callable[..., object]:
    """Give `act`, which is cut off before its call of this number."""
    left = number

    def cut(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            raise Cut
        return act(*arguments)

    return cut


@pytest.mark.parametrize("step", ["replace", "remove"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_power_cut_while_the_spool_is_thinned_loses_nothing_that_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    hospital.cap = NO_CAP
    for day in range(1, 7):
        hospital.change(day)
        hospital.take()
    hospital.fill_to(1.7)  # so much that more than one pack must go
    with monkeypatch.context() as patch, hospital.open() as agent, pytest.raises(Cut):
        patch.setattr(Spool, step, cut_at(number, getattr(Spool, step)))
        agent.snapshot("his", Silent(), send=False)
    hospital.change(8)
    newest = hospital.take()
    with world.serving() as center:
        hospital.send()
        check_nothing_is_unsaid(center, hospital)
        rows = center.catalog.statements(UNIT, "his")
        stored = [row.sequence for row in rows if row.level is Level.STORED]
        assert {1, 2, newest.sequence} <= set(stored)
        assert gaps_of(center)


def test_a_pack_in_which_little_is_needed_is_written_anew_in_its_place(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
    hospital.cap = NO_CAP
    for day in range(1, 7):
        hospital.change(day)
        hospital.take()
    with hospital.open() as agent:
        before = agent.spool("his").unsent()
    hospital.fill_to(1.35)
    hospital.change(8)
    hospital.take()
    with hospital.open() as agent:
        after = agent.spool("his").unsent()
        states = [(entry.state, entry.is_given_up) for entry in agent.journal.all_of("his") if entry.kind == "snapshot"]
    assert states.count((State.TAKEN, True)) >= 2
    assert names(after) - names(before), "no pack was written anew"
    assert sum(pack.size for pack in after) < sum(pack.size for pack in before)


def names(packs: list[SpooledPack]) -> set[str]:
    return {pack.name for pack in packs}


def test_the_nightly_run_waits_for_a_slice_of_sending_and_for_nothing_else(world: World) -> None:
    with world.serving() as center:
        hospital = join(world, center)
        hospital.change(1)
        lock = hospital.folder / "locks" / "his"
        held = RunLock(lock, "his", sends=True).__enter__()
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                held.__exit__(None, None, None)

        machine = Machine(lambda: float(len(waits)), wait, SystemHost(), lambda: 0.0)
        with Agent.open(hospital.folder, machine=machine) as agent:
            assert agent.snapshot("his", Silent()).stage is Stage.STORED
        assert len(waits) == 3
        with Agent.open(hospital.folder, machine=machine) as agent:
            with RunLock(lock, "his"), pytest.raises(BusyError):
                agent.snapshot("his", Silent())
            with RunLock(lock, "his", sends=True), pytest.raises(BusyError):
                agent.snapshot("his", Silent())  # not for ever
        assert len(waits) > SENDING_PATIENCE_S


def test_who_is_told_to_stop_does_not_wait_for_a_sending(world: World) -> None:
    waits: list[float] = []
    machine = Machine(lambda: float(len(waits)), waits.append, SystemHost(), lambda: 0.0)
    stopping = Stopping()
    guard = Guard(stopping, Days(), lambda: stopping.set() if len(waits) == 3 else None)
    with world.serving() as center:
        hospital = join(world, center)
    lock = RunLock(hospital.folder / "locks" / "his", "his", sends=True)
    with Agent.open(hospital.folder, machine=machine) as agent, lock, pytest.raises(StoppedError):
        agent.snapshot("his", Silent(), send=False, heed=guard.heed)
    assert len(waits) == 4, "attendants were called all the while, and the word to stop was heard at once"
