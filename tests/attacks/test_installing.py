# SPDX-License-Identifier: Apache-2.0
"""A user of the machine on which root or an administrator installs: nothing that he has put there is run or trusted."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.world import ROOT


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
