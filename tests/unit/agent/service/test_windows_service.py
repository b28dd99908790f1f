# SPDX-License-Identifier: Apache-2.0
"""What of the Windows service can be seen without Windows; the rest is seen under wine, by script/test-windows."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from agent.service.hosting import EventLogHandler
from agent.service.windows import host_command, service_sid


@pytest.mark.parametrize(
    ("name", "sid"),
    [
        ("TrustedInstaller", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"),
        ("trustedinstaller", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"),
    ],
)
def test_sid_of_a_service_is_windows_own(name: str, sid: str) -> None:
    assert service_sid(name) == sid


def test_folder_with_blanks_stays_one_word_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", r"C:\Program Files\Jinsuo\python\python.exe")
    command = host_command(Path(r"D:\金锁 数据\agent"))
    assert command == (r'"C:\Program Files\Jinsuo\python\python.exe" -X utf8 -m agent.cli.hosted "D:\金锁 数据\agent"')


def test_a_busy_machine_hears_from_the_service_before_the_agent_is_loaded() -> None:
    # Windows ends a service that has not reported within 30 s of its start ("1053"), and Python begins each one anew.
    ask = "import sys, agent.cli.hosted; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert "terminal" in loaded
    assert not {"pydantic", "yaml", "cryptography", "sqlite3", "apscheduler", "psutil", "httpx"} & set(loaded)


def test_only_warnings_and_errors_go_to_the_event_log() -> None:
    told: list[tuple[int, str]] = []
    log = logging.getLogger("agent.test-event-log")
    handler = EventLogHandler(lambda level, line: told.append((level, line)))
    log.addHandler(handler)
    try:
        log.setLevel(logging.INFO)
        log.info("snapshot sent")
        log.warning("spool not sent")
        log.error("stop")
    finally:
        log.removeHandler(handler)
    assert told == [(logging.WARNING, "spool not sent"), (logging.ERROR, "stop")]


def test_event_log_that_fails_does_not_end_the_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    def full(level: int, line: str) -> None:
        raise OSError("the event log is full")

    log = logging.getLogger("agent.test-event-log")
    handler = EventLogHandler(full)
    log.addHandler(handler)
    try:
        log.error("stop")
    finally:
        log.removeHandler(handler)
    assert "the event log is full" in capsys.readouterr().err
