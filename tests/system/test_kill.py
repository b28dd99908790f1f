# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of a run: promise 2.

Each run reads the same unchanging database of texts that do not shrink, so that many packs travel. The agent or
the center is killed somewhere in it; then the next run must end well, the log must have neither hole nor fork, every
receipted statement must be there to its last row, the root must be what an undisturbed reading gives, and the line must
not have carried more than one pack twice. Every run has a source of its own (with secrets and packs of its own), so none
profits from what an earlier one has sent. Moments are spread evenly over a run's length and drawn within their share;
the seed is printed. `-m long` draws a hundred.
"""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import pytest

from agent.app import Agent
from agent.errors import CenterDownError
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from agent.spool import TARGET_BYTES
from center.app import Center
from evidence.manifest.entry import Level
from tests.builders.world import (
    World,
    agent_process,
    check_chain,
    check_kept,
    make_incompressible,
    read_back,
    sqlite_source,
    stored_pack_bytes,
)

UNIT = "X013"
PACK_BYTES = 2 * TARGET_BYTES
"""What a pack may have at most: its last object may begin just before it is full."""
SMALL_TALK_BYTES = 1 << 20
"""Requests that are not packs: tokens, questions, statements, TLS."""

DATABASE_BYTES = 36_000_000
DEFAULT_KILLS = 12
LONG_KILLS = 100
COUNTS = (DEFAULT_KILLS, pytest.param(LONG_KILLS, marks=pytest.mark.long))


@dataclass
class Runs:
    """What an undisturbed run looks like: its seconds, the bytes on the line, and the bytes of its packs."""

    world: World
    seconds: float
    sent: int
    packs: int
    rows: int
    chance: random.Random
    sources: Iterator[str]

    def kill(self, count: int, lead_s: float, kill_one: Callable[[str, float], bool]) -> None:
        """Kill `count` runs; where most ended before that, for the machine has got faster since, as many in half the time."""
        hits = 0
        for within_s in (self.seconds, self.seconds / 2, self.seconds / 4):
            hits += sum(kill_one(next(self.sources), moment) for moment in self.moments(count, lead_s, within_s))
            if hits >= count // 3:
                return
        pytest.fail("most runs ended before the kill")

    def moments(self, count: int, lead_s: float, within_s: float) -> list[float]:
        """Give moments in random order, one in each `count`-th of `within_s`, from `lead_s` on."""
        share = max(0.0, within_s - lead_s) / count
        drawn = [lead_s + (i + self.chance.random()) * share for i in range(count)]
        self.chance.shuffle(drawn)
        return drawn


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    seed = int(os.environ.get("JINSUO_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"JINSUO_TEST_SEED={seed}\n")
    folder = tmp_path_factory.mktemp("kill")
    database = make_incompressible(folder / "his.db", DATABASE_BYTES)
    with World.make(folder) as world:
        names = [f"k{i}" for i in range(4 * (DEFAULT_KILLS + LONG_KILLS) + 3)]
        with world.serving() as center:
            world.add_agent(center, UNIT, "".join(sqlite_source(name, database) for name in names))
            seconds = []
            for name in names[:3]:
                # The first run warms files and caches; the shortest is the one that a kill must hit.
                began, before = monotonic(), world.line.sent
                process = agent_process(world.agent_folder(UNIT), "snapshot", name)
                printed, _ = process.communicate(timeout=120)
                assert process.returncode == 0, printed.decode()
                seconds.append(monotonic() - began)
            runs = Runs(
                world, min(seconds), world.line.sent - before, stored_pack_bytes(center, UNIT, name),
                read_back(center, UNIT, name), random.Random(seed), iter(names[3:]),
            )  # fmt: skip
        assert runs.packs > 2 * PACK_BYTES, "the database is too small to be cut within"
        yield runs


def check_after_kill(runs: Runs, center: Center, source: str, sent: int) -> None:
    """Hold center and agent to promise 2, after a killed run and one that ended well."""
    world = runs.world
    kept = check_kept(center, world.agent_folder(UNIT), UNIT, source)
    assert [(k.kind, k.level) for k in kept] == [("snapshot", Level.STORED.value)] * len(kept)
    assert kept, "no receipt is kept"
    assert check_chain(center, UNIT, source) == ["snapshot"] * len(kept), "the log has what the agent does not know"
    with Agent.open(world.agent_folder(UNIT)) as agent:
        undisturbed = agent.compare(source, kept[-1].sequence, Silent())
        assert undisturbed.is_equal
        assert undisturbed.live_root == undisturbed.registered_root
        assert not agent.journal.unfinished()
        assert not agent.spool(source).packs(), "the spool is not empty after the receipt"
    assert {center.open_snapshot(UNIT, source, k.sequence).statement.root for k in kept} == {
        center.open_snapshot(UNIT, source).statement.root
    }
    sys.stdout.write(f"{source}: {len(kept)} snapshots, {sent - runs.sent:+} bytes on the line\n")
    assert sent <= runs.sent + PACK_BYTES + SMALL_TALK_BYTES, f"{sent - runs.sent} bytes were sent twice"
    # Nobody reads these packs again; two hundred times their size would be much for a temporary folder. One stays: a store
    # that has none of what came last is not taken for the center's.
    for pack in sorted((world.center_folder / "store" / "packs" / UNIT / source).rglob("*.pack"))[1:]:
        pack.unlink()


def kill_agent(runs: Runs, center: Center, source: str, moment: float) -> bool:
    """Kill a run of the agent at `moment`, and run again; tell whether it was hit."""
    folder, line = runs.world.agent_folder(UNIT), runs.world.line
    before = line.sent
    process = agent_process(folder, "snapshot", source)
    try:
        process.communicate(timeout=moment)
        is_hit = False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        is_hit = True
    outcome = runs.world.snapshot(UNIT, source)
    assert outcome.rows == runs.rows
    check_after_kill(runs, center, source, line.sent - before)
    return is_hit


def kill_center(runs: Runs, source: str, moment: float) -> bool:
    """Kill the center at `moment` of an agent's run, start it again, and let the agent send; tell whether it was hit."""
    world = runs.world
    before = world.line.sent
    with Agent.open(world.agent_folder(UNIT)) as agent:
        with world.center_process() as center:
            timer = threading.Timer(moment, center.kill)
            timer.start()
            first = _try(agent, source)
            is_hit = not timer.is_alive()
            timer.cancel()
            center.kill()
            center.process.wait(60)
        with world.serving() as opened:
            if first is None or first.stage is not Stage.STORED:
                # Whatever waits is sent; what never came to be is taken.
                for sent in agent.send(Silent()):
                    assert sent.trouble is None, sent.trouble
            if not [e for e in agent.journal.all_of(source) if e.receipt is not None]:
                assert agent.snapshot(source, Silent()).stage is Stage.STORED
            check_after_kill(runs, opened, source, world.line.sent - before)
    return is_hit


def _try(agent: Agent, source: str) -> Outcome | None:
    """Take a snapshot while the center may die: a line that is down is the only excuse."""
    try:
        return agent.snapshot(source, Silent())
    except CenterDownError as err:
        assert err.hint
        return None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", COUNTS)
def test_an_agent_killed_at_random_moments_loses_nothing(runs: Runs, count: int) -> None:
    with runs.world.serving() as center:
        runs.kill(count, 0.4, lambda source, moment: kill_agent(runs, center, source, moment))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", COUNTS)
def test_a_center_killed_at_random_moments_loses_nothing(runs: Runs, count: int) -> None:
    runs.kill(count, 0.02, lambda source, moment: kill_center(runs, source, moment))
