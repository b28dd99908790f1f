# SPDX-License-Identifier: Apache-2.0
"""Both daemons as systemd would run them: the real processes, and a real socket that hears what they say."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.app import Agent
from center.app import Center
from tests.builders.world import AGENT_COMMAND, CENTER_COMMAND, ROOT


@contextmanager
def supervised(
    folder: Path, argv: Sequence[str], **environ: str
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Start a daemon as systemd does; give its process and what hears it. It wants a beat each 0.3 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(60)
        process = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "900000", **environ},
        )  # fmt: skip
        try:
            yield process, manager
        finally:
            process.kill()
            process.communicate()


def hear(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def hear_the_end(manager: socket.socket) -> str:
    """Give the first word that is no beat."""
    return next(word for word in iter(lambda: hear(manager), "") if word != "WATCHDOG=1")


def test_agent_is_ready_beats_and_ends_within_seconds(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "agent.yaml").write_text("sources: []\n")
    with Agent.open(folder):
        pass
    with supervised(tmp_path, [*AGENT_COMMAND, "-C", str(folder), "run"]) as (process, manager):
        assert hear(manager) == "READY=1\nSTATUS=at work"
        assert [hear(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
        process.send_signal(signal.SIGTERM)
        assert hear_the_end(manager) == "STOPPING=1"
        assert process.wait(60) == 0


def test_agent_whose_settings_are_wrong_is_never_ready(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("sourcez: []\n")
    with supervised(tmp_path, [*AGENT_COMMAND, "-C", str(tmp_path), "run"]) as (process, manager):
        assert process.wait(60) == 64
        manager.setblocking(False)
        try:
            heard = hear(manager)
        except BlockingIOError:
            heard = ""
    assert heard == ""


def test_center_is_ready_when_it_takes_connections_and_reads_its_passphrase_from_a_credential(tmp_path: Path) -> None:
    folder, secrets = tmp_path / "center", tmp_path / "credentials"
    Center.create(folder, "archives.example/service", "127.0.0.1:0", passphrase="金锁 passphrase".encode())
    secrets.mkdir()
    (secrets / "passphrase").write_text("金锁 passphrase\n", encoding="utf-8")
    argv = [*CENTER_COMMAND, "-C", str(folder), "serve"]
    with supervised(tmp_path, argv, CREDENTIALS_DIRECTORY=str(secrets)) as (process, manager):
        ready = hear(manager)
        address = ready.removeprefix("READY=1\nSTATUS=listening on https://")
        assert address != ready
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), 60).close()
        assert [hear(manager) for _ in range(2)] == ["WATCHDOG=1"] * 2
        process.send_signal(signal.SIGTERM)
        assert hear_the_end(manager) == "STOPPING=1"
        assert process.wait(60) == 0
