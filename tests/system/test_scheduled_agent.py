# SPDX-License-Identifier: Apache-2.0
"""The daemon as a process: told to stop, or killed, in the midst of a run that its schedule made due."""

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import StoppedError
from agent.jobs.job import Fate, JobState, Note
from agent.jobs.memory import ScheduleMemory
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from tests.builders.commands import wait_until
from tests.builders.world import World, agent_process, check_kept, make_incompressible, run_sql

UNIT = "X013"
_SLOW = "throttle: {read_rate: 64 KiB}"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def _make_due(folder: Path) -> None:
    """Have the memory believe that yesterday's runs are not decided: one is made up at once."""
    with Agent.open(folder) as agent, ScheduleMemory(folder) as memory:
        (job,) = agent.jobs()
        memory.put(job.name, JobState(job.words, datetime.now(UTC) - timedelta(days=2)))


def _notes(folder: Path) -> list[Note]:
    with ScheduleMemory(folder) as memory:
        return memory.notes("his")


def _taken(folder: Path) -> list[Note]:
    return [note for note in _notes(folder) if note.fate is Fate.TAKEN]


def _wait(daemon: "subprocess.Popen[bytes]", folder: Path, is_there: str) -> None:
    """Wait until the daemon is so far: reading, or done."""

    def is_so() -> bool:
        return bool(list((folder / "reading").glob("his/*")) if is_there == "reading" else _taken(folder))

    wait_until(lambda: is_so() or daemon.poll() is not None)
    if not is_so():
        daemon.kill()
        raise AssertionError((is_there, daemon.communicate()[0].decode()))


def test_daemon_that_is_stopped_or_killed_within_a_run_takes_it_once(tmp_path: Path) -> None:
    database = make_incompressible(tmp_path / "his.db", 12 << 20)
    run_sql(database, "PRAGMA journal_mode=WAL")  # else no reading pauses
    # A time of day that is half a day away, so that nothing else falls due meanwhile.
    at = datetime.now(UTC) + timedelta(hours=12)
    source = f"  - {{name: his, kind: sqlite, path: {database}, schedule: {{run: 'daily at {at:%H:%M}', time_zone: UTC}}, {_SLOW}}}\n"
    with World.make(tmp_path) as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, source)
        _make_due(folder)

        daemon = agent_process(folder, "run")
        _wait(daemon, folder, "reading")
        daemon.terminate()
        printed, _ = daemon.communicate(timeout=60)  # reading to the end would take three minutes
        assert daemon.returncode == 0, printed.decode()
        assert b"reading ended source=his code=JS-2401" in printed
        assert [note.fate for note in _notes(folder)] == [Fate.MISSED], "yesterday's; today's is still due"

        daemon = agent_process(folder, "run")
        _wait(daemon, folder, "reading")
        daemon.send_signal(signal.SIGKILL)
        daemon.communicate(timeout=60)

        settings = (folder / "agent.yaml").read_text(encoding="utf-8")
        (folder / "agent.yaml").write_text(settings.replace(_SLOW, "throttle: null"), encoding="utf-8")
        with ScheduleMemory(folder) as memory:
            state = memory.states()["his"]
            assert state.pending is not None
            assert state.pending.began is not None, "it was under way"
        daemon = agent_process(folder, "run", "--every", "1")
        try:
            # The kill counts as an attempt: the next one is ten minutes away, unless the clock says that it is later.
            def is_put_off() -> bool:
                with ScheduleMemory(folder) as memory:
                    pending = memory.states()["his"].pending
                if pending is None or pending.attempts != 1:
                    return False
                assert pending.not_before > datetime.now(UTC) + timedelta(minutes=8)
                return True

            assert wait_until(is_put_off)
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)
        _make_due(folder)
        daemon = agent_process(folder, "run", "--every", "1")
        _wait(daemon, folder, "done")
        daemon.terminate()
        printed, _ = daemon.communicate(timeout=60)
        assert daemon.returncode == 0, printed.decode()
        assert len(_taken(folder)) == 1
        with Agent.open(folder) as agent:
            agent.send(Silent())
        assert [kept.level for kept in check_kept(center, folder, UNIT, "his")] == ["stored"]


def test_sending_that_is_stopped_within_a_pack_goes_on_from_there(tmp_path: Path) -> None:
    database = make_incompressible(tmp_path / "his.db", 9 << 20)
    with World.make(tmp_path) as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, f"  - {{name: his, kind: sqlite, path: {database}}}\n")
        asked = 0

        def stop_in_the_second_pack() -> None:
            nonlocal asked
            asked += 1
            if asked > 45:  # of 128 KiB each; a pack is 4 MiB
                raise StoppedError("stop", hint="")

        with Agent.open(folder) as agent:
            assert agent.snapshot("his", Silent(), send=False).stage is Stage.SPOOLED
            before = len(agent.spool("his").unsent())
            (outcome,) = agent.send(Silent(), heed=stop_in_the_second_pack)
            assert isinstance(outcome.trouble, StoppedError)
            assert len(agent.spool("his").unsent()) == before - 1
            (outcome,) = agent.send(Silent())
            assert outcome.stage is Stage.STORED
        assert [kept.level for kept in check_kept(center, folder, UNIT, "his")] == ["stored"]
