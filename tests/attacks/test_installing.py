# SPDX-License-Identifier: Apache-2.0
"""A user of the machine on which root or an administrator installs: nothing that he has put there is run or trusted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from agent.example import make_folder
from center.app import Center
from terminal.errors import OperatorError
from terminal.service.systemd import SystemdService
from terminal.service.unit import Unit
from tests.builders.world import ROOT


def _make_center(folder: Path) -> None:
    Center.create(folder, "archives.example/log")


def _make_agent(folder: Path) -> None:
    make_folder(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="a script of sh")
def test_modules_where_the_installation_is_started_from_are_not_run(tmp_path: Path) -> None:
    """`python -m` looks for every module in the folder that one stands in first: in /tmp that is anybody's."""
    archive, downloads, prefix = tmp_path / "archive", tmp_path / "downloads", tmp_path / "jinsuo"
    (archive / "wheels").mkdir(parents=True)
    downloads.mkdir()
    shutil.copy(ROOT / "bundle" / "install.sh", archive / "install.sh")
    sums = subprocess.run(["sha256sum", "install.sh"], cwd=archive, check=True, capture_output=True).stdout
    (archive / "SHA256SUMS").write_bytes(sums)
    marker = tmp_path / "run-by-root"
    for module in ("venv", "pip", "ensurepip", "argparse", "subprocess", "json"):
        (downloads / f"{module}.py").write_text(f"open({str(marker)!r}, 'a').write({module!r} + chr(10))\n")
    command = ["sh", str(archive / "install.sh"), "--prefix", str(prefix), "--python", sys.executable]
    done = subprocess.run(command, cwd=downloads, capture_output=True, text=True, check=False, umask=0o000)
    assert (prefix / "bin" / "python").exists(), done.stderr
    assert done.returncode != 0, "the archive has no wheels: what is tried here ends before them"
    assert not marker.exists(), marker.read_text()
    writable = [path for path in prefix.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert writable == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_that_is_exchanged_for_a_link_while_it_is_handed_over_gives_nothing_away(tmp_path: Path) -> None:
    """The account acts between root's finding of a file and its giving it away: here by an audit hook."""
    keys, roots, moved = (tmp_path / path for path in ("var/lib/jinsuo-agent/keys", "roots", "moved"))
    for folder in (keys, roots, tmp_path / "etc"):
        folder.mkdir(parents=True)
        (folder / "agent.key").write_text("key")
    (tmp_path / "etc/passwd").write_text("svc:x:4242:4242::/:/bin/sh\n")
    is_armed = [True]

    def exchange(event: str, args: tuple[object, ...]) -> None:
        if is_armed and event == "os.chown" and str(args[0]).endswith("agent.key"):
            is_armed.clear()
            keys.rename(moved)
            keys.symlink_to(roots)

    unit = Unit(
        name="jinsuo-agent", title="Jinsuo agent", argv=("/bin/true",), user="svc",
        folder=PurePosixPath("/var/lib/jinsuo-agent"), memory_max="1G", steps_back=True,
    )  # fmt: skip
    sys.addaudithook(exchange)
    SystemdService(
        "jinsuo-agent", lambda _: unit, lambda text, hint: OperatorError(text, hint=hint), tmp_path
    ).install()
    assert not is_armed, "it was exchanged at that moment"
    assert (roots / "agent.key").stat().st_uid == 0
    assert (moved / "agent.key").stat().st_uid == 4242


@pytest.mark.skipif(sys.platform == "win32", reason="there the access list is inherited")
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("make", [_make_center, _make_agent])
def test_what_lies_in_a_new_folder_is_closed_to_other_accounts(
    tmp_path: Path, make: Callable[[Path], None], is_there: bool
) -> None:
    folder = tmp_path / "new"
    old_mask = os.umask(0o022)
    try:
        if is_there:
            folder.mkdir()
        make(folder)
    finally:
        os.umask(old_mask)
    assert folder.stat().st_mode & 0o777 == 0o700
