# SPDX-License-Identifier: Apache-2.0
"""A simulated stretch of time: real agents' daemons and a real center, an injected clock, and waiting that takes no time.

Each computer's daemon lives in a thread of its own, but only one of them ever runs: whoever waits hands over to whoever
wakes first. So a run of the simulation is the same each time, but for what TLS and threads of the center do in between.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from agent.app import Agent
from agent.jobs.attending import RunEnd
from agent.jobs.daemon import Daemon, Hands
from agent.jobs.settings import LastGood
from agent.snapshot.supervised import Machine
from center.app import Center
from tests.builders.world import World
from tests.fakes.machine import FakeHost, FakeTime

_WITHIN_S = 120
_NOWHERE = 1
"""A port of loopback on which nobody listens."""


class PowerCut(BaseException):
    """The machine is off, at this very step: nothing of the agent may catch it."""


@dataclass(order=True)
class _Wake:
    at: datetime
    number: int
    act: Callable[[], None] = field(compare=False)


class Simulation:
    """True time, and what happens at which moment of it. Attributes: `now`; `center`, while it is up."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.center: Center | None = None
        self._start = start
        self._wakes: list[_Wake] = []
        self._numbers = itertools.count()
        self._serving = ExitStack()
        self._port = _NOWHERE

    def at(self, moment: datetime, act: Callable[[], None]) -> None:
        """Have `act` done at `moment`."""
        heapq.heappush(self._wakes, _Wake(moment, next(self._numbers), act))

    def clock(self) -> datetime:
        """Give the true time: the center's clock is right."""
        return self.now

    def monotonic(self) -> float:
        """Give seconds since the start."""
        return (self.now - self._start).total_seconds()

    def run_until(self, end: datetime) -> None:
        """Let time pass."""
        while self._wakes and self._wakes[0].at <= end:
            wake = heapq.heappop(self._wakes)
            self.now = max(self.now, wake.at)
            wake.act()
        self.now = end

    def start_center(self, world: World) -> None:
        """Have the center serve."""
        self.center = self._serving.enter_context(world.serving())
        self._port = world.line.target

    def stop_center(self, world: World) -> None:
        """Have it serve no more."""
        self.center = None
        self._serving.close()
        world.line.target = _NOWHERE

    def cut_line(self, world: World) -> None:
        """Break the line, for good."""
        world.line.target = _NOWHERE
        world.line.cut()

    def mend_line(self, world: World) -> None:
        """Have the line lead to the center again."""
        if self.center is not None:
            world.line.target = self._port


class Computer:
    """A machine with an agent's folder: its clock may be wrong, its power may fail. Attribute `runs`: what its daemons told."""

    def __init__(self, simulation: Simulation, folder: Path, every_s: float) -> None:
        self.folder = folder
        self.error = timedelta(0)
        self.runs: list[RunEnd] = []
        self.cuts = 0
        self._sim = simulation
        self._every_s = every_s
        self._cut_in: int | None = None
        self._told_to_stop = False
        self._turn = threading.Event()
        self._rests = threading.Event()
        self._waits_for = 0
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def is_on(self) -> bool:
        return self._thread is not None

    # What the daemon gets

    def clock(self) -> datetime:
        """Give the time as this machine has it."""
        self._count_down()
        return self._sim.now + self.error

    def wait(self, seconds: float) -> bool:
        """Let others go on for so long."""
        self._waits_for += 1
        mine = self._waits_for
        self._sim.at(self._sim.now + timedelta(seconds=max(seconds, 0.001)), lambda: self._wake(mine))
        self._rests.set()
        self._turn.wait()
        self._turn.clear()
        return self.is_set()

    def is_set(self) -> bool:
        """Tell whether the daemon was told to stop."""
        self._count_down()
        return self._told_to_stop

    def step(self, now: datetime) -> None:
        """Go along."""

    def on_run(self, run: RunEnd) -> None:
        """Keep what became of a run."""
        self.runs.append(run)

    def close(self) -> None:
        """Go home."""

    # What befalls it

    def switch_on(self) -> None:
        """Start the machine, and the daemon on it."""
        if self._thread is None:
            self._told_to_stop, self._cut_in = False, None
            self._thread = threading.Thread(target=self._live, name=str(self.folder), daemon=True)
            self._thread.start()
            self._await_rest()

    def shut_down(self) -> None:
        """Tell the daemon to stop, and wait until it has."""
        self._told_to_stop = True
        self._let_go()

    def cut_power_in(self, steps: int) -> None:
        """Cut the power when the daemon has asked so many times more for time or leave to go on: in the midst of anything."""
        self._cut_in = steps

    def _count_down(self) -> None:
        if self._cut_in is not None and threading.current_thread() is self._thread:
            self._cut_in -= 1
            if self._cut_in < 0:
                self._cut_in = None
                raise PowerCut

    def _live(self) -> None:
        settings = LastGood()
        time = FakeTime()
        machine = Machine(time, time.sleep, FakeHost(time), lambda: 0.0)
        hands = Hands(self.clock, self._sim.monotonic, self, [self], self._every_s)
        try:
            Daemon(self.folder, lambda f: Agent(f, settings.load(f), self.clock, {}, machine), hands).run()
        except PowerCut:
            self.cuts += 1
        except BaseException as err:  # noqa: BLE001 - the test shall see it
            self._failure = err
        finally:
            self._thread = None
            self._rests.set()

    def _wake(self, mine: int) -> None:
        if self._thread is not None and mine == self._waits_for:
            self._let_go()

    def _let_go(self) -> None:
        if self._thread is not None:
            self._turn.set()
            self._await_rest()

    def _await_rest(self) -> None:
        assert self._rests.wait(_WITHIN_S), "the daemon hangs"
        self._rests.clear()
        if self._failure is not None:
            raise self._failure
