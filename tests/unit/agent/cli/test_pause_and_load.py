# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent pause`, `resume`, `load`, and what they add to other commands: words, JSON, exit codes."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.main import make_program
from agent.errors import PausedError
from agent.load import LoadReport, Reason
from agent.pausing import Pause, PauseFile
from tests.fakes.agent import NOW, FakeAgent
from tests.fakes.machine import FakeTime

RUN = LoadReport(
    "his", 412, NOW, NOW + timedelta(minutes=5), "stored", 5000, 200 << 20, 1 << 20, 20.0, 0.5, 6.0, 1, 12.5, 10.0, 55.0,
    1.0, 0.001, 0.02, 3.0, {Reason.CPU: 7.0, Reason.READ_RATE: 2.0}, True, 1,
)  # fmt: skip


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _run(agent: FakeAgent, folder: Path, *line: str) -> int:
    return make_program(agent.open, lambda: NOW).main(["-C", str(folder), "--lang", "en", *line], environ={})


def test_pause_needs_no_settings_and_resume_ends_it(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(agent, tmp_path, "pause") == 0
    assert "until `jinsuo-agent resume`" in capsys.readouterr().out
    assert PauseFile(tmp_path).find(NOW) == Pause(NOW, None)
    assert _run(agent, tmp_path, "resume", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"was_paused": True}
    assert _run(agent, tmp_path, "resume") == 0
    assert "no pause" in capsys.readouterr().out
    assert agent.asked == [], "neither settings nor the journal need be in order"


@pytest.mark.parametrize(
    ("words", "until"),
    [
        # In Shanghai it is 09:02:03 of July 1.
        (["--until", "18:00"], datetime(2025, 7, 1, 10, tzinfo=UTC)),
        (["--until", "6:00"], datetime(2025, 7, 1, 22, tzinfo=UTC)),
        (["--until", "2025-07-03 06:00"], datetime(2025, 7, 2, 22, tzinfo=UTC)),
        (["--until", "2025-07-03T06:00:00Z"], datetime(2025, 7, 3, 6, tzinfo=UTC)),
        (["--for", "2h"], NOW + timedelta(hours=2)),
        (["--for", "30 min"], NOW + timedelta(minutes=30)),
    ],
)
def test_end_of_a_pause_is_local_time_or_a_duration(
    agent: FakeAgent, tmp_path: Path, shanghai: None, words: list[str], until: datetime
) -> None:
    assert _run(agent, tmp_path, "pause", *words) == 0
    assert PauseFile(tmp_path).find(NOW) == Pause(NOW, until)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "25:00"], "is no time"),
        (["--until", "tomorrow"], "is no time"),
        (["--until", "2020-01-01 06:00"], "is over"),
        (["--for", "2 weeks"], "is no duration"),
        (["--for", "0 s"], "is no duration"),
        (["--until", "06:00", "--for", "1h"], "exclude each other"),
    ],
)
def test_end_that_cannot_be_meant_pauses_nothing(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert _run(agent, tmp_path, "pause", *words) == 64
    assert said in capsys.readouterr().err
    assert PauseFile(tmp_path).find(NOW) is None


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_folder_that_is_not_there_is_told(agent: FakeAgent, tmp_path: Path, command: str) -> None:
    assert _run(agent, tmp_path / "mistyped", command) == 64
    assert not (tmp_path / "mistyped").exists()


def test_status_shows_the_pause_and_a_line_of_the_last_run(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.pause = Pause(NOW, None)
    agent.load_reports = (RUN,)
    assert _run(agent, tmp_path, "status") == 0
    said = capsys.readouterr().out
    assert "paused until `jinsuo-agent resume`" in said
    assert "his, last run: transaction 20 s, read 10.0 MiB/s, waited 0.5 s for locks, blocked others 6.0 s" in said
    assert _run(agent, tmp_path, "status", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pause"] == {"since": "2025-07-01T01:02:03Z", "until": None}
    assert [source["load"] and source["load"]["sequence"] for source in told["sources"]] == [412, None]


def test_load_tells_each_run_in_a_line_with_why_it_paused(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.load_reports = (RUN,)
    assert _run(agent, tmp_path, "load") == 0
    said = capsys.readouterr().out
    for part in ("his#412", "20.0 s", "0.5 s / 6.0 s / 1", "10.0 MiB/s", "10 % → 55 %", "1.0 ms / 20.0 ms"):
        assert part in said
    assert "before it 3 s, CPU 7 s, read rate 2 s, cut short for the transaction's age, sessions refused: 1" in said
    assert make_program(agent.open, lambda: NOW).main(["-C", "x", "--lang", "zh", "load"], environ={}) == 0
    assert "因事务年龄而缩短, 被拒绝的会话 1 个" in capsys.readouterr().out


def test_load_as_json_has_the_rates(agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent.load_reports = (RUN,)
    assert _run(agent, tmp_path, "load", "his", "--json") == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["read_bytes_per_s"] == 10 << 20
    assert run["rows_per_s"] == 250
    assert run["pauses_s"] == {"cpu": 7.0, "read rate": 2.0}


def test_load_of_nobody_and_of_nothing_is_told(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(agent, tmp_path, "load", "hsi") == 64
    assert "there is no source hsi" in capsys.readouterr().err
    assert _run(agent, tmp_path, "load", "lis") == 0
    assert "no run has been noted" in capsys.readouterr().out


def test_load_shows_the_newest_twenty_unless_all_are_asked_for(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.load_reports = [LoadReport("his", n, NOW + timedelta(days=n), NOW, "stored") for n in range(1, 31)]
    for words, count in (([], 20), (["--all"], 30)):
        assert _run(agent, tmp_path, "load", "--json", *words) == 0
        runs = json.loads(capsys.readouterr().out)["runs"]
        assert [run["sequence"] for run in runs] == list(range(31 - count, 31))


def test_force_and_retry_login_are_handed_on(agent: FakeAgent, tmp_path: Path) -> None:
    assert _run(agent, tmp_path, "snapshot", "his", "--force", "--retry-login") == 0
    assert _run(agent, tmp_path, "send", "--force") == 0
    assert _run(agent, tmp_path, "compare", "his", "--with", "3", "--force") == 0
    assert _run(agent, tmp_path, "check", "--retry-login") == 0
    assert [each for each in agent.asked if each[0] != "open"] == [
        ("snapshot", "his", True, "force", "retry login"), ("send", "force"), ("compare", "his", 3, "force"),
        ("check", False, "retry login"),
    ]  # fmt: skip


def test_daemon_that_is_paused_waits_without_alarm(
    agent: FakeAgent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    from agent.jobs.sending import Sender

    caplog.set_level(logging.INFO)
    agent.waiting = [PausedError("paused", hint="resume")]
    assert not Sender(agent.open, tmp_path, FakeTime()).send().is_empty
    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.INFO, "spool not sent")]
