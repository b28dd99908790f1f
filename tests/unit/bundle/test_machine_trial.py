# SPDX-License-Identifier: Apache-2.0
"""What runs in the machine of `script/test-systemd` finds nothing there but Debian's Python; and what it is told to do is begun."""

import ast
import sys
from pathlib import Path

import pytest

from bundle import checking, machine, units


@pytest.mark.parametrize("module", [checking, units])
def test_trial_needs_nothing_but_python(module: object) -> None:
    path = Path(str(getattr(module, "__file__", "")))
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign <= {"bundle.checking"}


def test_trial_lies_on_the_machine_with_the_archive_and_begins_by_itself(tmp_path: Path) -> None:
    for name in ("etc/systemd/system", "var/log", "opt"):
        (tmp_path / "root" / name).mkdir(parents=True)
    archive = tmp_path / "jinsuo-1-linux.tar.gz"
    for path in (archive, tmp_path / "jinsuo-1-linux.tar.gz.sha256"):
        path.write_text(path.name)
    root = tmp_path / "root"
    machine.furnish(root, archive, "/dev/ttyS1")
    assert {path.name for path in (root / "opt/trial").rglob("*") if path.is_file()} == {
        "__init__.py", "checking.py", "units.py", archive.name, f"{archive.name}.sha256",
    }  # fmt: skip
    wanted = root / "etc/systemd/system/multi-user.target.wants/trial.service"
    assert "append:/dev/ttyS1" in wanted.read_text(encoding="utf-8")


def test_only_the_last_word_of_the_trial_counts_as_held(tmp_path: Path) -> None:
    told = [line for line in ("test-systemd: x", "noise: all of it held") if machine.tell(line, tmp_path / "console")]
    assert told == ["test-systemd: x"]
    assert (tmp_path / "console").read_text() == "noise: all of it held\n"
