# SPDX-License-Identifier: Apache-2.0
"""The machine that the agent runs on: how busy it is, and how the agent steps back on it. Asks the system, by psutil.

Counters grow since the machine's start; whoever wants a percentage takes the difference of two looks (`agent.throttle`
does). A system that keeps no count of waiting for disks (Windows) gives 0 there; so does one without a load, such as a
Windows whose performance counters are off.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil

_NICE = 10
_LAST_OF_ITS_CLASS = 7


@dataclass(frozen=True, slots=True)
class Look:
    """The machine at one moment: seconds of all its cores together, free memory, and the load of the last minute."""

    busy_s: float
    io_wait_s: float
    total_s: float
    free_memory_bytes: int
    load: float


class Host(Protocol):
    """A machine."""

    def look(self) -> Look:
        """Look at it now. Thread-safe, cheap."""


class SystemHost:
    """This machine."""

    def look(self) -> Look:
        """Look at it now."""
        times = psutil.cpu_times()
        # Linux counts guests a second time, within `user` and `nice`.
        counted = {name: value for name, value in times._asdict().items() if not name.startswith("guest")}
        total, io_wait = sum(counted.values()), counted.get("iowait", 0.0)
        return Look(
            busy_s=total - counted["idle"] - io_wait,
            io_wait_s=io_wait,
            total_s=total,
            free_memory_bytes=psutil.virtual_memory().available,
            load=read_load(psutil.getloadavg),
        )


def read_load(ask: Callable[[], tuple[float, float, float]]) -> float:
    """Give the load of the last minute that `ask` tells; 0 where the system keeps none."""
    try:
        return ask()[0]
    except (RuntimeError, OSError):
        return 0.0


def lower_priority() -> None:
    """Let this process and its children step back behind everybody else, for processors and disks.

    Not to the idle class: starved of the disk, a snapshot would hold its transaction for longer. Where the system does
    not allow it, nothing changes.
    """
    process = psutil.Process()
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        elif process.nice() < _NICE:
            process.nice(_NICE)
    with suppress(psutil.Error, OSError, AttributeError):
        if sys.platform == "win32":
            process.ionice(psutil.IOPRIO_LOW)
        else:
            process.ionice(psutil.IOPRIO_CLASS_BE, _LAST_OF_ITS_CLASS)


def own_cpu_s() -> float:
    """Give the CPU seconds that this process and its ended children have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
