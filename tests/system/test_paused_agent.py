# SPDX-License-Identifier: Apache-2.0
"""A pause across processes: what runs lets go of the source, nothing begins, and nothing that was read is lost."""

import json
from pathlib import Path

import pytest

from agent.app import Agent
from agent.cli.main import make_program
from agent.errors import PausedError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from tests.builders.commands import wait_until
from tests.builders.world import (
    World,
    agent_process,
    check_kept,
    make_hospital,
    make_incompressible,
    run_sql,
    sqlite_source,
)
from tests.fakes.agent import NOW

UNIT = "X013"


def _cli(folder: Path, *words: str) -> int:
    def open_agent(folder: Path) -> Agent:
        return Agent.open(folder, environ={})

    return make_program(open_agent, lambda: NOW).main(["-C", str(folder), "--lang", "en", *words], environ={})


def test_running_snapshot_of_another_process_ends_at_a_pause_and_the_next_one_goes_on(tmp_path: Path) -> None:
    database = make_incompressible(tmp_path / "his.db", 24 << 20)
    run_sql(database, "PRAGMA journal_mode=WAL")  # else its writers would wait for us, and no reading pauses
    # So slow that it cannot be through before the pause, however fast the machine is: 24 MiB at 64 KiB/s.
    source = f"  - {{name: his, kind: sqlite, path: {database}, throttle: {{read_rate: 64 KiB}}}}\n"
    with World.make(tmp_path) as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, source)
        process = agent_process(folder, "snapshot", "his", "--json")
        try:
            assert wait_until(lambda: bool(list((folder / "reading").glob("his/*"))))
            assert _cli(folder, "pause") == 0
            printed, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 2, printed.decode()
        assert b"JS-2104" in printed
        with Agent.open(folder) as agent:
            assert agent.journal.all_of("his") == [], "there is no statement of what was not read to its end"
            with pytest.raises(PausedError):
                agent.snapshot("his", Silent())
            with pytest.raises(PausedError):
                agent.send(Silent())
            status = agent.status()
            assert status.pause is not None
        assert _cli(folder, "resume") == 0
        settings = (folder / "agent.yaml").read_text(encoding="utf-8")
        (folder / "agent.yaml").write_text(settings.replace("64 KiB", "1 GiB"), encoding="utf-8")
        outcome = world.snapshot(UNIT)
        assert outcome.sequence == 1
        assert [kept.level for kept in check_kept(center, folder, UNIT, "his")] == ["stored"]


def test_every_command_that_touches_a_source_refuses_while_paused_and_force_lets_one_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = make_hospital(tmp_path / "his.db", 50)
    with World.make(tmp_path) as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", database))
        assert _cli(folder, "snapshot", "his") == 0
        assert _cli(folder, "pause") == 0
        for words in (["snapshot", "his"], ["send"], ["compare", "his", "--with", "latest"]):
            capsys.readouterr()
            assert _cli(folder, *words) == 2, words
            assert "JS-2104" in capsys.readouterr().err
            assert _cli(folder, *words, "--force") == 0, words
        capsys.readouterr()
        assert _cli(folder, "status", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["pause"] == {"since": "2025-07-01T01:02:03Z", "until": None}
        assert told["sources"][0]["load"]["outcome"] == "compared"
        assert _cli(folder, "load", "his", "--json") == 0
        runs = json.loads(capsys.readouterr().out)["runs"]
        assert [run["outcome"] for run in runs] == ["stored", "stored", "compared"]
        assert all(run["read_bytes"] > 0 and run["transaction_s"] > 0 for run in runs)


def test_pack_travels_at_the_set_rate_and_arrives(tmp_path: Path) -> None:
    from agent.snapshot.supervised import Machine
    from tests.fakes.machine import FakeHost, FakeTime

    database = make_incompressible(tmp_path / "his.db", 6 << 20)
    source = f"  - {{name: his, kind: sqlite, path: {database}, throttle: {{send_rate: 1 MiB}}}}\n"
    clock = FakeTime()
    with World.make(tmp_path) as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, source)
        with Agent.open(folder, machine=Machine(clock, clock.sleep, FakeHost(clock), lambda: 0.0)) as agent:
            outcome = agent.snapshot("his", Silent())
            assert outcome.stage is Stage.STORED
            (report,) = agent.loads("his")
        assert outcome.sent_bytes > 4 << 20
        assert sum(clock.slept) == pytest.approx(outcome.sent_bytes / (1 << 20) - 1, abs=0.05)
        assert report.sent_bytes == outcome.sent_bytes
        assert list(report.pauses_s) == ["send rate"]
