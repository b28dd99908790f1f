# SPDX-License-Identifier: Apache-2.0
"""Every interactive road over a line that delays, breaks and flips bits: promises 1 and 2.

Whole snapshots of a database that does not change, by real agents to a real center; all bytes go over a relay of our own.
However bad the line was: the root is the one that the source gives, nothing is lost, every receipt holds, each cut costs
less than one pack sent twice, and no flipped bit gets in, or is taken for anything but a line that is down. Moments are
drawn; the seed is printed. `-m long` draws more, and goes by proxies too.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from agent.app import Agent
from agent.errors import CenterDownError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from agent.spool import TARGET_BYTES
from center.app import Center
from evidence.manifest.statement import Channel
from tests.builders.roads import admit
from tests.builders.world import (
    World,
    check_chain,
    check_kept,
    make_incompressible,
    sqlite_source,
)
from tests.fakes.line import FaultyLine
from tests.fakes.proxy import ConnectProxy
from tests.servers.sshd import SshServer

UNIT = "X013"
DATABASE_BYTES = 20_000_000
SMALL_TALK_BYTES = 256 << 10
"""What a new connection and repeated questions may cost."""

_DIRECT = ("https", "ssh")
_BY_PROXY = ("https by proxy", "ssh by proxy")
ROADS = (*_DIRECT, *(pytest.param(name, marks=pytest.mark.long) for name in _BY_PROXY))


@dataclass
class Traffic:
    """An agent on one road. `sent`, `received`: what an undisturbed run puts on the line; `pack`: its largest pack."""

    road: str
    world: World
    line: FaultyLine
    center: Center
    agent: Agent
    sources: Iterator[str]
    chance: random.Random
    sent: int = 0
    received: int = 0
    pack: int = 0

    def moments(self, count: int) -> list[int]:
        """Give counts of bytes from now on, in the midst of a run's packs: one in each `count`-th of it, ascending."""
        share = (self.sent - (1 << 20)) / count
        return [self.line.sent + int((i + self.chance.random()) * share) + (1 << 19) for i in range(count)]

    def run(self, source: str, tries: int) -> int:
        """Take a snapshot and send until it is stored; give how often that failed. The only excuse: a line that is down."""
        failures = 0
        while not self.agent.journal.all_of(source):
            try:
                failures += self.agent.snapshot(source, Silent()).trouble is not None
            except CenterDownError as err:
                assert err.hint
                failures += 1
            assert failures <= tries, "more failures than faults"
        while self.agent.journal.unfinished():
            for outcome in self.agent.send(Silent()):
                assert outcome.trouble is None or type(outcome.trouble) is CenterDownError, repr(outcome.trouble)
                failures += outcome.stage is not Stage.STORED
            assert failures <= tries, "more failures than faults"
        return failures

    def check(self, source: str, before: int, cuts: int) -> None:
        """Hold what came of it to the promises; `before`: the bytes on the line when it began."""
        kept = check_kept(self.center, self.world.agent_folder(UNIT), UNIT, source)
        assert [k.kind for k in kept] == check_chain(self.center, UNIT, source) == ["snapshot"]
        equal = self.agent.compare(source, None, Silent())
        assert equal.is_equal
        assert equal.live_root == equal.registered_root
        assert not self.agent.spool(source).packs(), "the spool is not empty after the receipt"
        twice = self.line.sent - before - self.sent
        sys.stdout.write(f"{self.road} {source}: {self.line.hits} faults so far, {twice:+} bytes on the line\n")
        assert twice < cuts * self.pack + (cuts + 1) * SMALL_TALK_BYTES, f"{twice} bytes were sent twice"


@pytest.fixture(scope="module", params=ROADS)
def traffic(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, ssh_server: SshServer
) -> Iterator[Traffic]:
    seed = int(os.environ.get("JINSUO_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"JINSUO_TEST_SEED={seed}\n")
    folder = tmp_path_factory.mktemp("roads")
    names = [f"s{i}" for i in range(40)]
    sources = "".join(sqlite_source(name, folder / "his.db") for name in names)
    make_incompressible(folder / "his.db", DATABASE_BYTES)
    with ExitStack() as closing:
        line = FaultyLine()
        world = closing.enter_context(World.make(folder, line))
        center = closing.enter_context(world.serving())
        port = world.line.target
        road = _lead(request.param, world, closing, ssh_server)
        by_proxy = request.param == "https by proxy"
        folder = world.add_agent(center, UNIT, sources, road, port if by_proxy else None)
        agent = closing.enter_context(Agent.open(folder))
        found = Traffic(request.param, world, line, center, agent, iter(names[2:]), random.Random(seed))
        for name in names[:2]:  # the first run deposits more
            sent, received = line.sent, line.received
            assert found.run(name, 0) == 0
            found.sent, found.received = line.sent - sent, line.received - received
        sizes = [center.store.size(name) or 0 for name in center.store.names(f"packs/{UNIT}/{names[1]}/")]
        packs, found.pack = sum(sizes), max(sizes)
        assert packs > 3 * TARGET_BYTES, "the database is too small to be cut within"
        assert found.sent < packs * 1.02 + SMALL_TALK_BYTES, "the road adds more than its frames"
        yield found


def _lead(road: str, world: World, closing: ExitStack, server: SshServer) -> str:
    """Lay the road from the line to the center; give its settings."""
    line, target = world.line, world.line.target
    proxy = ""
    if road.endswith("by proxy"):
        line.target = closing.enter_context(ConnectProxy()).port
        proxy = f"proxy: {{url: 'http://127.0.0.1:{line.port}'}}"
    elif road == "ssh":
        line.target = server.port
    if road.startswith("https"):
        return f"{{{proxy}}}"
    admit(server, world.agent_folder(UNIT) / "keys" / "ssh.key", f"127.0.0.1:{target}")
    ssh = (
        f"ssh: {{host: 127.0.0.1, port: {server.port if proxy else line.port}, user: {server.user}, "
        f"host_key: '{server.host_key}', forward: '127.0.0.1:{target}'}}"
    )
    return f"{{kind: ssh, {ssh}, {proxy}}}"


@pytest.fixture(autouse=True)
def healed(traffic: Traffic) -> Iterator[None]:
    yield
    traffic.line.heal()


def test_a_slow_line_is_only_slow(traffic: Traffic) -> None:
    source, before = next(traffic.sources), traffic.line.sent
    traffic.line.delay_s = 0.005
    assert traffic.run(source, 0) == 0
    traffic.check(source, before, cuts=0)


@pytest.mark.parametrize("count", [3, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 8, 12, 12))])
def test_a_line_that_breaks_costs_less_than_a_pack_each_time(traffic: Traffic, count: int) -> None:
    source, before, hits = next(traffic.sources), traffic.line.sent, traffic.line.hits
    traffic.line.cuts.extend(traffic.moments(count))
    failures = traffic.run(source, count)
    assert traffic.line.hits - hits == count
    assert failures <= count
    traffic.check(source, before, cuts=count)


@pytest.mark.parametrize("count", [2, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 4, 12, 12))])
def test_flipped_bits_never_get_in(traffic: Traffic, count: int) -> None:
    source, before, hits = next(traffic.sources), traffic.line.sent, traffic.line.hits
    traffic.line.flips.extend(traffic.moments(count))
    traffic.run(source, count)
    assert traffic.line.hits - hits == count
    traffic.check(source, before, cuts=count)


def test_flipped_bits_of_answers_are_not_taken_for_answers(traffic: Traffic) -> None:
    source, before, hits = next(traffic.sources), traffic.line.sent, traffic.line.hits
    share = traffic.received / 3
    traffic.line.answer_flips.extend(
        traffic.line.received + int((i + traffic.chance.random()) * share) for i in range(2)
    )
    traffic.run(source, 2)
    assert traffic.line.hits - hits == 2
    traffic.check(source, before, cuts=2)


def test_statements_say_which_road_they_took(traffic: Traffic) -> None:
    channel = traffic.center.open_snapshot(UNIT, "s1").statement.channel
    assert channel is (Channel.SSH if traffic.road.startswith("ssh") else Channel.ONLINE)
