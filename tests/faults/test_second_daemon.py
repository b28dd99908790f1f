# SPDX-License-Identifier: Apache-2.0
"""Two daemons on one center: the second is refused, in whatever way the first one died; commands run beside it.

Real processes. The first daemon's lock is the system's, so no file that it leaves keeps the next one from starting.
"""

import subprocess
from pathlib import Path

import pytest

from center.app import Center
from center.errors import ServedError
from tests.builders.center import ORIGIN, Hospital, fill_center, open_center, wards
from tests.builders.world import CENTER_COMMAND, ROOT, CenterProcess


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CENTER_COMMAND, "-C", str(folder), "--lang", "en", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A center that listens on any free port, so that it is not the port which refuses a second daemon."""
    Center.create(tmp_path / "center", ORIGIN, "127.0.0.1:0")
    return tmp_path / "center"


def test_a_second_daemon_is_refused_and_says_why(folder: Path, tmp_path: Path) -> None:
    with CenterProcess(folder, tmp_path / "log") as first:
        refused = command(folder, "serve")
        assert refused.returncode == 1
        assert "JS-3205" in refused.stderr
        assert "another daemon serves the center" in refused.stderr
        assert "stop" in refused.stderr
        assert "listening" not in refused.stdout
        assert first.is_alive


def test_a_second_daemon_vouches_for_nothing(folder: Path, tmp_path: Path) -> None:
    with CenterProcess(folder, tmp_path / "log"):
        assert command(folder, "serve", "--confirm", "I am sure").returncode == 1
    with Center.open(folder) as center:
        assert center.ledger.size == 0, "a daemon that was refused has logged that an operator vouches"


def test_a_second_daemon_leaves_the_half_taken_packs_of_the_first_alone(folder: Path) -> None:
    with Center.open(folder) as center, Center.open(folder) as beside:
        center.receiver()
        with center.store.create("packs/X013/his/half") as half:
            half.write(b"half of a pack")
            with pytest.raises(ServedError):
                beside.receiver()
            half.write(b", and the rest")
            assert half.commit()
        assert center.store.read("packs/X013/his/half") == b"half of a pack, and the rest"


def test_a_daemon_that_was_killed_keeps_nobody_from_starting(folder: Path, tmp_path: Path) -> None:
    for _ in range(3):
        with CenterProcess(folder, tmp_path / "log") as process:
            process.kill()
    with CenterProcess(folder, tmp_path / "log") as process:
        assert process.is_alive


def test_a_daemon_that_was_stopped_keeps_nobody_from_starting(folder: Path) -> None:
    for _ in range(2):
        with Center.open(folder) as center:
            center.receiver()


def test_commands_run_beside_the_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "center"
    fill_center(folder)
    settings = folder / "center.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("127.0.0.1:8443", "127.0.0.1:0"), encoding="utf-8")
    with CenterProcess(folder, tmp_path / "log"):
        added = command(folder, "unit", "add", "Z009", "--name", "档案局")
        assert added.returncode == 0, added.stderr
        differs = command(folder, "diff", "X013", "his", "1", "2")
        assert differs.returncode in (0, 1), differs.stderr
        assert "也改过" in differs.stdout
        restored = command(folder, "restore", "X013", "his", "2", "--to", f"sqlite:///{tmp_path / 'copy.db'}")
        assert restored.returncode == 0, restored.stderr
    with open_center(folder) as center:
        assert Hospital(center, unit="Z100").snapshot(wards("内科")).receipt is not None
