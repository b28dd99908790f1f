# SPDX-License-Identifier: Apache-2.0
"""This machine, as the system tells of it; and that the agent's processes step back on it."""

import subprocess
import sys
from datetime import UTC, datetime

import psutil
import pytest

from agent.errors import BudgetError
from agent.host import SystemHost, own_cpu_s, read_load
from agent.latency import Latency
from agent.load import Reason
from agent.throttle import Limits, Surroundings, Throttle, _share
from tests.fakes.machine import FakeTime


def test_look_at_this_machine_counts_what_grows() -> None:
    host = SystemHost()
    first = host.look()
    began = own_cpu_s()
    while own_cpu_s() - began < 0.2:
        pass
    second = host.look()
    assert second.total_s > first.total_s
    assert second.busy_s > first.busy_s
    assert second.io_wait_s >= first.io_wait_s >= 0
    assert 0 < second.busy_s + second.io_wait_s <= second.total_s
    assert second.free_memory_bytes > 1 << 20
    assert second.load >= 0
    used = _share(first, second, lambda look: look.busy_s)
    assert used is not None
    assert 0 < used <= 100


@pytest.mark.skipif(sys.platform == "win32", reason="nice is POSIX's")
@pytest.mark.parametrize(("before", "after"), [(0, 19), (19, 19)])
def test_process_that_steps_back_never_steps_forward(before: int, after: int) -> None:
    code = "import os; from agent.host import lower_priority; lower_priority(); print(os.nice(0))"
    now = int(
        subprocess.run([sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True, check=True).stdout
    )
    if now > before:
        before, after = now, max(now, after)
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.nice({before - now}); {code}"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) == after


@pytest.mark.skipif(sys.platform != "linux", reason="classes of the disk queue are Linux's")
def test_process_that_steps_back_and_its_children_are_the_last_for_disks() -> None:
    code = (
        "import subprocess, sys; from agent.host import lower_priority; lower_priority(); "
        "subprocess.run([sys.executable, '-c', 'import psutil; p = psutil.Process(); print(*p.ionice(), p.nice())'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    io_class, place, nice = map(int, done.stdout.split())
    # Not the idle class: starved of the disk, a snapshot holds its transaction for longer.
    assert (io_class, place, nice) == (psutil.IOPRIO_CLASS_BE, 7, 19)


def test_run_does_not_begin_while_psutil_says_that_this_machine_is_over_a_limit() -> None:
    time = FakeTime()
    busy = Limits(min_free_memory=1 << 60, begin_within_s=30)
    around = Surroundings(time, time.sleep, lambda: datetime(2026, 11, 26, tzinfo=UTC), SystemHost(), lambda: None)
    throttle = Throttle(busy, around, Latency(None))
    began = time.now
    with pytest.raises(BudgetError, match="too busy for 30 s .*MiB of memory free"):
        throttle.wait_to_begin("his")
    assert time.now - began == 30


def test_reading_pauses_while_psutil_says_that_this_machine_is_over_a_limit_as_long_as_the_view_allows() -> None:
    time = FakeTime()
    around = Surroundings(time, time.sleep, lambda: datetime(2026, 11, 26, tzinfo=UTC), SystemHost(), lambda: None)
    throttle = Throttle(Limits(min_free_memory=1 << 60), around, Latency(None), age_limit_s=100)
    throttle.begin()
    throttle.read(1 << 20)
    assert throttle.pauses_s[Reason.MEMORY] == 50
    assert throttle.is_hurried, "half of the view's age is all that pauses may take"


def test_system_without_performance_counters_has_no_load() -> None:
    def off() -> tuple[float, float, float]:
        raise RuntimeError("PdhAddEnglishCounterW failed. Performance counters may be disabled.")

    assert read_load(off) == 0.0
    assert read_load(lambda: (1.5, 1.0, 0.5)) == 1.5
