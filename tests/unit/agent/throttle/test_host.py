# SPDX-License-Identifier: Apache-2.0
"""This machine, as the system tells of it; and that the agent's processes step back on it."""

import subprocess
import sys

import pytest

from agent.host import SystemHost, own_cpu_s, read_load
from agent.throttle import _share


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
@pytest.mark.parametrize(("before", "after"), [(0, 10), (15, 15)])
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


def test_system_without_performance_counters_has_no_load() -> None:
    def off() -> tuple[float, float, float]:
        raise RuntimeError("PdhAddEnglishCounterW failed. Performance counters may be disabled.")

    assert read_load(off) == 0.0
    assert read_load(lambda: (1.5, 1.0, 0.5)) == 1.5
