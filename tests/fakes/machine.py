# SPDX-License-Identifier: Apache-2.0
"""A machine for tests: time that passes only while somebody sleeps, and a host whose every look is given."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.host import Look


@dataclass
class FakeTime:
    """A monotonic clock and a sleep that moves it. `during` is told of each sleep, after it."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    during: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds
        self.during()


@dataclass
class FakeHost:
    """Two cores that have been busy and waiting for disks by these shares ever since `time` began."""

    time: FakeTime
    cpu_percent: float = 10.0
    io_wait_percent: float = 0.0
    free_memory_bytes: int = 8 << 30
    load: float = 0.5
    looks: int = 0

    def __post_init__(self) -> None:
        self._at = self.time.now
        self._busy_s = self._io_wait_s = self._total_s = 0.0

    def look(self) -> Look:
        cores_s = 2 * (self.time.now - self._at)
        self._at = self.time.now
        self._total_s += cores_s
        self._busy_s += cores_s * self.cpu_percent / 100
        self._io_wait_s += cores_s * self.io_wait_percent / 100
        self.looks += 1
        return Look(self._busy_s, self._io_wait_s, self._total_s, self.free_memory_bytes, self.load)
