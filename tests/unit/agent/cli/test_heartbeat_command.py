# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent heartbeat`, and how often the daemon sends one: as the settings say by then."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.cli.heartbeat import EverySetting, make_attendant
from agent.cli.main import make_program
from agent.errors import CenterDownError
from tests.fakes.agent import NOW, FakeAgent


def _run(agent: FakeAgent, *line: str) -> int:
    return make_program(agent.open, lambda: NOW).main(["-C", "folder", "--lang", "en", *line], environ={})


def test_a_heartbeat_is_sent_and_the_clocks_difference_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    agent = FakeAgent()
    assert _run(agent, "heartbeat") == 0
    assert agent.asked[1:] == [("beat", {})]
    assert capsys.readouterr().out == "the center has it; this clock is +1.2 s ahead of its\n"
    assert _run(agent, "heartbeat", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"clock_ahead_seconds": 1.2}


def test_an_agent_that_is_not_enrolled_has_nobody_to_tell(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(FakeAgent(beats=[None]), "heartbeat") == 64
    assert "not enrolled" in capsys.readouterr().err


def test_a_line_that_is_down_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(FakeAgent(beats=[CenterDownError("no line", hint="wait")]), "heartbeat") == 2
    assert "no line" in capsys.readouterr().err


def _write(folder: Path, text: str, at: int) -> None:
    path = folder / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(at, at))


def test_how_often_follows_the_settings_and_a_wrong_file_changes_nothing(tmp_path: Path) -> None:
    every = EverySetting(tmp_path)
    assert every.find() is None, "without settings there is no agent"
    _write(tmp_path, "sources: []\n", 1)
    assert every.find() == timedelta(minutes=15)
    _write(tmp_path, "heartbeat: {every: 2 min}\n", 2)
    assert every.find() == timedelta(minutes=2)
    _write(tmp_path, "heartbeat: {every: soon}\n", 3)
    assert every.find() == timedelta(minutes=2)
    _write(tmp_path, "heartbeat: {every: null}\n", 4)
    assert every.find() is None
    (tmp_path / "agent.yaml").unlink()
    assert every.find() is None


def test_the_attendant_of_a_folder_sends_as_its_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = FakeAgent()
    _write(tmp_path, "heartbeat: {every: 1 h}\n", 1)
    attendant = make_attendant(agent.open, tmp_path)

    def at_once(work: Callable[[], None]) -> Callable[[], bool]:
        work()
        return lambda: False

    monkeypatch.setattr(attendant, "_start", at_once)
    for minute in range(0, 180, 10):
        attendant.step(NOW + timedelta(minutes=minute))
    assert agent.asked.count(("beat", {})) == 3
