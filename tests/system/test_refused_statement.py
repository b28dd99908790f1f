# SPDX-License-Identifier: Apache-2.0
"""A snapshot that the center refuses for what is in it: named, kept, stated as a gap, and never in the way of the next."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import agent.snapshot.tables as tables
from agent.app import Agent
from agent.errors import CenterRefusedError
from agent.identity import Identity
from agent.journal import Journal
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from agent.transport.send import Parties, submit
from center.app import Center
from evidence.manifest.entry import Level
from evidence.manifest.statement import GapCause, GapStatement, parse_statement, statement_digest
from evidence.note.signed import parse_note
from tests.builders.world import World, check_chain, check_kept, make_hospital, read_back, run_sql, sqlite_source

UNIT = "X013"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=200)
        yield world


@pytest.fixture
def misspell(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Make the agent spell one value otherwise than its kind is spelled, as a program with a fault does; or mend it."""
    right = tables._shorten

    def wrong(blocks: Iterable[bytes], *rest: object) -> Iterator[bytes]:
        for block in right(blocks, *rest):  # type: ignore[arg-type]  # handed on as they come
            yield block.replace(b"t:1980-01-01\n", b"q:1980-01-01\n", 1)

    return lambda is_wrong: monkeypatch.setattr(tables, "_shorten", wrong if is_wrong else right)


def join(world: World, center: Center) -> Path:
    return world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))


def edit(world: World, key: int) -> None:
    run_sql(world.folder / "his.db", "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 = ?", key)


def read_gap(center: Center, sequence: int) -> GapStatement:
    gap = parse_statement(parse_note(center.catalog.statement(UNIT, "his", sequence).note).text)
    assert isinstance(gap, GapStatement)
    return gap


def refused_notes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "refused" / "his").iterdir())]


@pytest.mark.parametrize("days_before", [0, 1])
def test_a_refused_snapshot_is_named_and_the_next_one_goes_on(
    world: World, misspell: Callable[[bool], None], days_before: int
) -> None:
    with world.serving() as center:
        folder = join(world, center)
        for _ in range(days_before):
            world.snapshot(UNIT)
        misspell(True)
        with Agent.open(folder) as agent, pytest.raises(CenterRefusedError) as caught:
            agent.snapshot("his", Silent())
        assert caught.value.refusal == "JS-3102"
        # The center's own words are there: which table, which row, which column.
        assert all(word in str(caught.value) for word in ("患者", "row", "出生", "a gap is stated")), caught.value
        assert "refused" in caught.value.hint
        (kept,) = refused_notes(folder)

        misspell(False)
        outcome = world.snapshot(UNIT)
        assert check_chain(center, UNIT, "his") == ["snapshot"] * days_before + ["gap", "snapshot"]
        gap = read_gap(center, days_before + 1)
        assert gap.cause is GapCause.OTHER
        assert gap.given_up == (statement_digest(parse_note(kept).text),)
        assert read_back(center, UNIT, "his") == outcome.rows
        check_kept(center, folder, UNIT, "his")
        edit(world, 3)
        assert world.snapshot(UNIT).sequence == outcome.sequence + 1


def test_a_refused_snapshot_takes_none_of_those_with_it_that_wait_behind_it(
    world: World, misspell: Callable[[bool], None]
) -> None:
    """As when the center is updated while snapshots wait that an older agent has taken: all were registered first."""
    with world.serving() as center:
        folder = join(world, center)
        world.snapshot(UNIT)
        with Agent.open(folder) as agent:
            for day in range(3):
                misspell(day == 1)
                edit(world, day + 1)
                agent.snapshot("his", Silent(), send=False)
            waiting = [entry.digest for entry in agent.journal.unfinished()]
            outcomes = agent.send(Silent())
            assert [o.stage for o in outcomes] == [Stage.STORED, Stage.REGISTERED, Stage.STORED]
            assert isinstance(outcomes[1].trouble, CenterRefusedError)
            assert all(word in str(outcomes[1].trouble) for word in ("患者", "his#3 is given up", "a gap is stated"))
            assert agent.send(Silent()) == []
        assert check_chain(center, UNIT, "his") == [*["snapshot"] * 4, "gap"]
        kept = [statement_digest(parse_note(note).text) for note in refused_notes(folder)]
        assert list(read_gap(center, 5).given_up) == kept == [waiting[1]]
        outcome = world.snapshot(UNIT)
        assert (outcome.sequence, read_back(center, UNIT, "his")) == (6, outcome.rows)


class Killed(BaseException):
    """The process is gone."""


def test_a_kill_while_a_refused_snapshot_is_given_up_hides_nothing(
    world: World, misspell: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after the one step that gives up: the statement waits, or its gap does."""
    with world.serving() as center:
        folder = join(world, center)
        misspell(True)
        exchange = Journal.exchange
        for is_done in (False, True):

            def die(
                journal: Journal, dropped: list[object], added: list[object], *rest: object, is_done: bool = is_done,
                **more: object,
            ) -> None:  # fmt: skip
                if is_done or not dropped:
                    exchange(journal, dropped, added, *rest, **more)  # type: ignore[arg-type]
                if dropped:
                    raise Killed

            monkeypatch.setattr(Journal, "exchange", die)
            with Agent.open(folder) as agent, pytest.raises(Killed):
                agent.send(Silent()) if is_done else agent.snapshot("his", Silent())
            with Agent.open(folder) as agent:
                assert [entry.kind for entry in agent.journal.unfinished()] == ["gap" if is_done else "snapshot"]
            assert len(refused_notes(folder)) == 1
        monkeypatch.setattr(Journal, "exchange", exchange)
        misspell(False)
        outcome = world.snapshot(UNIT)
        assert check_chain(center, UNIT, "his") == ["gap", "snapshot"]
        assert read_back(center, UNIT, "his") == outcome.rows


def test_a_registered_snapshot_whose_content_is_refused_stays_and_holds_nothing_up(
    world: World, misspell: Callable[[bool], None]
) -> None:
    with world.serving() as center:
        folder = join(world, center)
        misspell(True)
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
            # Logged before its content, as on a road by which packs come later.
            identity, (entry,) = Identity.open(folder), agent.journal.unfinished()
            parties = Parties(identity.address.log, identity.address.operator, identity.cosigner)
            with identity.connect(lambda: None) as road:
                submit(entry, road, agent.journal, parties, agent.clock, register_only=True)
            (outcome,) = agent.send(Silent())
            assert outcome.stage is Stage.REGISTERED
            assert isinstance(outcome.trouble, CenterRefusedError)
        misspell(False)
        edit(world, 3)
        outcome = world.snapshot(UNIT)
        assert read_back(center, UNIT, "his") == outcome.rows
        levels = [row.level for row in center.catalog.statements(UNIT, "his")]
        assert levels == [Level.REGISTERED, Level.NONE, Level.STORED]
        assert read_gap(center, 2).given_up == (entry.digest,)
