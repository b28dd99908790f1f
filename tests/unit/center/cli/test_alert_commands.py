# SPDX-License-Identifier: Apache-2.0
"""`alerts`, `alerts ack|check|test`, `today`, `report`: what they say, as text and JSON, and their exit codes."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from center.app import Center
from center.cli.main import make_program
from evidence.wire.heartbeat import Failure, Heartbeat, SourceBeat
from tests.builders.center import ORIGIN, Hospital, patients
from tests.builders.listeners import Hook, run_hook

CONFIG = """\
origin: {origin}
disk_reserve: 16 MiB
alerts:
  disk: 0.001
  test_day: null
  zone: UTC
  expected: [{{source: his, by: "00:00", on_holidays: true}}]
  channels: [{channels}]
"""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with run_hook() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path, hook: Hook) -> Path:
    """A center whose unit X013 has a snapshot, and whose agent reports a failure and little room."""
    folder = tmp_path / "center"
    Center.create(folder, ORIGIN)
    configure(folder, f"{{name: hook, kind: webhook, url: '{hook.url}'}}")
    now = datetime.now(UTC)
    with Center.open(folder, lambda: now) as center:
        hospital = Hospital(center)
        hospital.snapshot(patients(100))
        hospital.gap("停电一天")
        beat = SourceBeat("his", waiting=2, waiting_bytes=4096, failure=Failure(now - timedelta(hours=1), "JS-2101"))
        center.signs.see("X013", now)
        center.signs.hear("X013", Heartbeat(now, "jinsuo test", 1 << 30, False, None, (beat,)), now)
    return folder


def configure(folder: Path, channels: str) -> None:
    (folder / "center.yaml").write_text(CONFIG.format(origin=ORIGIN, channels=channels), encoding="utf-8")


def run(folder: Path, *line: str, lang: str = "en") -> int:
    return make_program().main(["-C", str(folder), "--lang", lang, *line], environ={})


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, Any]]:
    """Run a command with --json."""
    capsys.readouterr()
    code = run(folder, "--json", *line)
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return code, document


def ids(document: dict[str, Any]) -> list[str]:
    return [alert["id"] for alert in document["alerts"]]


def test_before_the_first_look_no_alert_is_open(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "alerts") == 0
    assert "no alert is open" in capsys.readouterr().out


def test_check_looks_tells_and_lists_and_tells_nothing_twice(
    folder: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = ask(folder, capsys, "alerts", "check")
    assert code == 1
    assert ids(document) == ["agent-disk:X013", "failing:X013/his"]
    assert document["failed_channels"] == {}
    assert run(folder, "alerts", "check") == 1
    out = capsys.readouterr().out
    assert "the agent of X013 reports that source his failed with JS-2101" in out
    assert "→ look JS-2101 up in the handbook" in out
    assert hook.told == {("raised", "failing:X013/his"): 1, ("raised", "agent-disk:X013"): 1}


def test_an_alert_that_somebody_takes_on_is_listed_with_the_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, "alerts", "check")
    assert run(folder, "alerts", "ack", "failing:X013/his", "--by", "王芳", "--reason", "医院停电检修") == 0
    assert "王芳 sees to failing:X013/his" in capsys.readouterr().out
    assert run(folder, "alerts", "ack", "agent-disk:X013", "--by", "王芳", "--reason", "新盘") == 0
    code, document = ask(folder, capsys, "alerts")
    assert code == 0, "nothing is open that nobody has taken on"
    assert [alert["acknowledged"]["by"] for alert in document["alerts"]] == ["王芳", "王芳"]
    assert run(folder, "alerts", lang="zh") == 0
    assert "王芳：医院停电检修" in capsys.readouterr().out


def test_an_alert_that_is_not_there_cannot_be_taken_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "alerts", "ack", "late:X013/nothing", "--reason", "x") == 64
    assert "there is no open alert late:X013/nothing" in capsys.readouterr().err


def test_what_is_over_is_listed_with_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "center.yaml").read_text(encoding="utf-8")
    (folder / "center.yaml").write_text(text.replace("  disk:", "  settle: 0 s\n  disk:"), encoding="utf-8")
    run(folder, "alerts", "check")
    now = datetime.now(UTC)
    with Center.open(folder) as center:
        center.signs.hear("X013", Heartbeat(now, "jinsuo test", None, False, None, ()), now)
    code, document = ask(folder, capsys, "alerts", "check")
    assert (code, ids(document)) == (0, [])
    code, document = ask(folder, capsys, "alerts", "--all")
    assert sorted(ids(document)) == ["agent-disk:X013", "failing:X013/his"]
    assert all(alert["cleared"] for alert in document["alerts"])


def test_the_test_alarm_reaches_each_channel_or_says_why_not(
    folder: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "import sys; sys.stdin.read(); sys.exit(3)"
    configure(
        folder,
        f"{{name: hook, kind: webhook, url: '{hook.url}'}},"
        f" {{name: sms, kind: command, argv: ['{sys.executable}', '-c', '{script}']}}",
    )
    code, document = ask(folder, capsys, "alerts", "test")
    assert code == 1
    assert document["channels"]["hook"] is None
    assert document["channels"]["sms"]["code"] == "JS-3221"
    assert hook.told == {("test", "-"): 1}
    configure(folder, f"{{name: hook, kind: webhook, url: '{hook.url}'}}")
    assert run(folder, "alerts", "test") == 0
    assert "hook: taken" in capsys.readouterr().out


def test_a_center_without_channels_says_that_nobody_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(folder, "")
    assert run(folder, "alerts", "test") == 1
    assert "nobody is told of anything" in capsys.readouterr().err


def test_today_shows_each_source_and_what_needs_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(folder, capsys, "today")
    assert code == 0
    (line,) = document["sources"]
    assert (line["unit"], line["source"], line["arrival"], line["level"]) == ("X013", "his", "in time", "stored")
    assert (line["waiting"], line["failure"]) == (2, "JS-2101")
    run(folder, "alerts", "check")
    capsys.readouterr()
    assert run(folder, "today", lang="zh") == 1
    out = capsys.readouterr().out
    assert "已到" in out
    assert "his#1" in out
    assert "JS-2101" in out
    assert "X013 的采集端磁盘仅剩 1.0 GiB" in out
    assert "中心磁盘空闲" in out


def test_today_calls_a_source_late_that_has_sent_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Center.open(folder, lambda: datetime.now(UTC) - timedelta(days=3)) as center:
        Hospital(center, "X014", "his")
    code, document = ask(folder, capsys, "today")
    assert code == 1
    assert [line["arrival"] for line in document["sources"]] == ["in time", "late"]


def test_today_calls_nobody_late_who_has_just_come(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Center.open(folder) as center:
        Hospital(center, "X014", "his")
    code, document = ask(folder, capsys, "today")
    assert code == 0
    assert [(line["arrival"], line["due"] is None) for line in document["sources"]] == [
        ("in time", False), ("not expected", True),
    ]  # fmt: skip


def test_report_tells_a_month_of_each_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Center.open(folder) as center:
        month = center.catalog.statement("X013", "his", 1).received.strftime("%Y-%m")
    code, document = ask(folder, capsys, "report", "X013", "--month", month)
    assert code == 0
    (source,) = document["sources"]
    assert (source["source"], source["runs"], source["stored"]) == ("his", 1, 1)
    assert source["last"]["rows"] == 100
    assert 0 <= source["lag_seconds"]["median"] <= source["lag_seconds"]["max"] < 60
    assert source["storing_lag_seconds"] == source["lag_seconds"]
    assert [gap["sequence"] for gap in source["gaps"]] == [2]
    assert run(folder, "report", "X013", "his", "--month", month, lang="zh") == 0
    out = capsys.readouterr().out
    assert "缺口 his#2" in out


def test_report_counts_until_content_that_came_later_was_stored(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders.receivers import MovableClock

    clock = MovableClock(datetime(2030, 5, 1, tzinfo=UTC))
    with Center.open(folder, clock) as center:
        hospital = Hospital(center, "X014", "his")
        statement, objects = hospital.prepare([patients(5)])
        hospital.submit(statement, register_only=True)
        clock.now += timedelta(days=6)
        hospital.send(objects)
        hospital.submit(statement)
    _, document = ask(folder, capsys, "report", "X014", "--month", "2030-05")
    (source,) = document["sources"]
    assert source["lag_seconds"] == {"median": 0, "max": 0}
    assert source["storing_lag_seconds"] == {"median": 6 * 86400, "max": 6 * 86400}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("report", "X013", "--month", "November"), "is no month"),
        (("report", "X099", "--month", "2026-11"), "X099"),
        (("report", "X013", "lis", "--month", "2026-11"), "lis"),
        (("report", "X013"), "--month"),
        (("alerts", "ack", "x"), "--reason"),
        (("alerts", "nothing"), "nothing"),
    ],
)
def test_a_mistyped_line_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], line: tuple[str, ...], says: str
) -> None:
    assert run(folder, *line) == 64
    assert says in capsys.readouterr().err


def test_a_calendar_that_cannot_be_read_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "center.yaml").read_text(encoding="utf-8")
    (folder / "center.yaml").write_text(text.replace("  disk:", "  calendar: holidays.txt\n  disk:"), encoding="utf-8")
    assert run(folder, "today") == 64
    assert "holidays.txt" in capsys.readouterr().err
    (folder / "holidays.txt").write_text("2026-10-01\nsome day\n", encoding="utf-8")
    assert run(folder, "today") == 64
    assert "line 2" in capsys.readouterr().err
    code, document = ask(folder, capsys, "alerts", "check")
    assert (code, ids(document)) == (1, ["watch:scene"]), "the watch goes on, and says that it cannot see"
