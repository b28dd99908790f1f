# SPDX-License-Identifier: Apache-2.0
"""As whom root's commands work: as the account whose the folder is. Each in a process of its own, for there is no way back."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from terminal.account import become_owner
from terminal.errors import OperatorError

ROOT = Path(__file__).parents[3]
NOBODY = pwd.getpwnam("nobody")


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")


def run_python(code: str, *words: str) -> list[object]:
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[object] = json.loads(done.stdout)
    return found


def test_process_is_the_account_for_good() -> None:
    code = (
        "import json, os; from terminal.account import become_account; become_account('nobody')\n"
        "try: os.setuid(0); back = True\n"
        "except PermissionError: back = False\n"
        "print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), back]))"
    )
    assert run_python(code) == [[NOBODY.pw_uid] * 3, [NOBODY.pw_gid] * 3, [NOBODY.pw_gid], False]


def test_root_becomes_nobody_where_the_folder_is_nobodys_alone(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    code = (
        "import json, os, sys; from pathlib import Path; from terminal.account import become_owner\n"
        "print(json.dumps([[become_owner(Path(each), []), os.geteuid()] for each in sys.argv[1:]]))"
    )
    asked = [str(tmp_path), str(tmp_path / "missing"), str(folder), str(folder)]
    assert run_python(code, *asked) == [[None, 0], [None, 0], ["nobody", NOBODY.pw_uid], [None, NOBODY.pw_uid]]


def test_root_stays_what_it_is_where_the_owner_could_not_go_on(tmp_path: Path) -> None:
    # A Python in root's home: whatever it loads after it has become another account is closed to that one.
    folder, closed = tmp_path / "agent", tmp_path / "closed"
    folder.mkdir()
    closed.mkdir(mode=0o700)
    (closed / "os.py").touch()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(
        OperatorError, match="is nobody's, so root's commands run as that account, and .* is closed to it"
    ):
        become_owner(folder, [closed / "os.py"])
    assert os.geteuid() == 0
