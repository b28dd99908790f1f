# SPDX-License-Identifier: Apache-2.0
"""The daemon keeps watch: an agent's heartbeat over TLS, an alert by webhook, metrics, and kill -9 in between."""

import json
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.app import Agent
from center.app import Center
from tests.builders.listeners import run_hook
from tests.builders.world import ROOT, World, make_hospital, sqlite_source
from tests.servers.ports import free_port


def test_an_agent_whose_clock_is_off_is_told_once_through_kills_of_the_center(tmp_path: Path) -> None:
    port = free_port()
    with run_hook() as hook, World.make(tmp_path) as world:
        settings = world.center_folder / "center.yaml"
        settings.write_text(
            settings.read_text(encoding="utf-8")
            .replace("  channels: []", f"  channels: [{{name: hook, kind: webhook, url: '{hook.url}'}}]")
            .replace("  disk: 10\n", "  disk: 0.001\n")  # this machine's disk is not the matter here
            .replace("  listen:\n", f"  listen: 127.0.0.1:{port}\n"),
            encoding="utf-8",
        )
        database = make_hospital(tmp_path / "his.db", 100)
        with world.serving() as center:
            world.add_agent(center, "X013", sqlite_source("his", database))
            world.snapshot("X013")
            entries = center.ledger.size
        with world.center_process():
            wrong = datetime.now(UTC) + timedelta(hours=3)
            with Agent.open(world.agent_folder("X013"), clock=lambda: wrong) as agent:
                ahead = agent.beat()
            assert ahead is not None
            assert timedelta(hours=2, minutes=58) < ahead <= timedelta(hours=3)
            figures = _scrape(port)
            assert 10_000 < figures['jinsuo_unit_clock_error_seconds{unit="X013"}'] <= 10_800
            assert figures['jinsuo_statements{kind="snapshot",level="stored",unit="X013"}'] == 1
            assert figures['jinsuo_requests_total{status="200"}'] >= 1
        # The watch looks at its start, and once a minute: so it is started anew.
        with world.center_process():
            assert hook.came.wait(60), "the alert did not come"
        process = world.center_process()
        said = _center(world.center_folder, "alerts", "check")
        process.kill()
        process.wait()
        assert [alert["id"] for alert in said["alerts"]] == ["clock:X013"]
        _center(world.center_folder, "alerts", "check")
        assert hook.told["raised", "clock:X013"] == 1
    with Center.open(tmp_path / "center") as center:
        assert center.ledger.size == entries, "neither alerts nor heartbeats are evidence"


def test_a_center_that_cannot_watch_takes_snapshots_all_the_same(tmp_path: Path) -> None:
    with World.make(tmp_path) as world:
        settings = world.center_folder / "center.yaml"
        text = settings.read_text(encoding="utf-8").replace("  listen:\n", f"  listen: 127.0.0.1:{free_port()}\n")
        settings.write_text(text, encoding="utf-8")
        (world.center_folder / "alerts.sqlite").unlink()
        (world.center_folder / "alerts.sqlite").mkdir()
        database = make_hospital(tmp_path / "his.db", 100)
        code = json.loads(_run(world.center_folder, "unit", "add", "X013", "--name", "X013"))["code"]
        with world.center_process():
            world.enroll(code, world.agent_folder("X013"), sqlite_source("his", database))
            assert world.snapshot("X013").stage.value == "stored"
        said = (tmp_path / "center.log").read_text(encoding="utf-8")
        assert said.count("ERROR center.cli.serve not begun beside the receiver code=JS-3202") == 2, "watch and metrics"


def _scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}


def _center(folder: Path, *words: str) -> dict[str, list[dict[str, str]]]:
    document: dict[str, list[dict[str, str]]] = json.loads(_run(folder, *words))
    return document


def _run(folder: Path, *words: str) -> bytes:
    command = [sys.executable, "-m", "center.cli.main", "-C", str(folder), "--json", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=120).stdout
