# SPDX-License-Identifier: Apache-2.0
"""What `check` finds at a folder, over real trees."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.collectors.base import Finding, Severity
from agent.collectors.files import FilesCollector, FilesSettings
from agent.collectors.files.checks import MOST_ENTRIES, judge
from agent.collectors.files.folder import open_folder
from agent.collectors.mounts import Mount
from terminal.language import Language

_AS_NOBODY = """
import os, sys
from pathlib import Path
from agent.collectors.files import FilesCollector, FilesSettings
from terminal.language import Language
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for f in FilesCollector(FilesSettings(Path(sys.argv[1]))).check():
    print(f.severity, f.sentence(Language.EN))
"""


def _said(findings: list[Finding], severity: Severity) -> str:
    for finding in findings:
        assert finding.sentence(Language.ZH)
    return "\n".join(finding.sentence(Language.EN) for finding in findings if finding.severity is severity)


def _judge(path: Path, *mounts: Mount, clock: float = 0.0) -> list[Finding]:
    ticks = iter([0.0])
    root = open_folder(os.fsencode(path))
    try:
        return list(judge(root, FilesSettings(path), list(mounts), lambda: next(ticks, clock)))
    finally:
        root.close()


@pytest.fixture
def public() -> Iterator[Path]:
    """Give a folder whose parents every account may enter."""
    with tempfile.TemporaryDirectory(prefix="jinsuo-files-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another account")
def test_folders_and_files_that_cannot_be_read_are_found_at_any_depth(public: Path) -> None:
    deep = public / "2024" / "01"
    deep.mkdir(parents=True)
    (deep / "fine").write_text("x")
    (deep / "secret").write_text("x")
    (deep / "secret").chmod(0o600)
    (deep / "closed").mkdir(mode=0o700)
    source = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, public], capture_output=True, text=True, check=True, cwd=source
    )
    assert "FAIL 1 folders cannot be read, and all below them would be missing" in done.stdout
    assert "2024/01/closed" in done.stdout
    assert "WARN 1 files may not be read: 2024/01/secret" in done.stdout
    assert "could write" not in done.stdout


def test_file_system_that_is_mounted_within_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    inner = Mount(tmp_path.resolve() / "disk2", "xfs")
    assert "(xfs at" in _said(_judge(tmp_path, Mount(Path("/"), "ext4"), inner), Severity.WARN)
    assert "mounted within" not in _said(_judge(tmp_path, Mount(Path("/"), "ext4")), Severity.WARN)


def test_folder_on_a_network_file_system_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    assert "network file system (nfs4" in _said(_judge(tmp_path, Mount(tmp_path.resolve(), "nfs4")), Severity.WARN)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of any bytes")
def test_names_that_are_not_utf8_are_warned_of(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xb2\xa1\xc0\xfa.txt")).write_text("x")
    assert "1 names are not UTF-8" in _said(_judge(tmp_path), Severity.WARN)


def test_look_at_a_tree_ends_in_time_and_says_that_it_was_not_whole(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("x")
    assert _said(_judge(tmp_path), Severity.OK) == "3 entries"
    # An empty look would read as an empty folder: the first entry is seen whatever the clock says.
    assert "entries were looked at, not all" in _said(_judge(tmp_path, clock=11.0), Severity.OK)
    assert MOST_ENTRIES >= 10_000


def test_empty_folder_is_warned_of(tmp_path: Path) -> None:
    findings = FilesCollector(FilesSettings(tmp_path)).check()
    assert [finding.severity for finding in findings] == [Severity.WARN]
    assert "is empty" in findings[0].sentence(Language.EN)
