# SPDX-License-Identifier: Apache-2.0
"""`install.sh` says why it failed, in pip's own last words, and what to do: one refusal is not every refusal."""

import ensurepip
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.builders.world import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script of sh")
PIP = next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))


def make_archive(folder: Path) -> Path:
    """Make an unpacked archive that has the script and pip, and no wheel of ours."""
    (folder / "wheels").mkdir(parents=True)
    text = (ROOT / "bundle" / "install.sh").read_text(encoding="utf-8").replace("@VERSION@", "0.1.0")
    (folder / "install.sh").write_text(text, encoding="utf-8")
    shutil.copy(PIP, folder / "wheels")
    return folder


def put_failing_pip(archive: Path, words: str) -> None:
    """Put in pip's place a program that fails as it does, with these last words."""
    (archive / "wheels" / PIP.name).unlink()
    with zipfile.ZipFile(archive / "wheels" / "pip-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pip/__init__.py", "")
        wheel.writestr("pip/__main__.py", f"import sys\nprint({words!r}, file=sys.stderr)\nsys.exit(1)\n")


def install(archive: Path, language: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    sums = subprocess.run(["sha256sum", "install.sh"], cwd=archive, check=True, capture_output=True).stdout
    (archive / "SHA256SUMS").write_bytes(sums)
    command = ["sh", str(archive / "install.sh"), "--prefix", str(archive / "opt"), "--python", sys.executable]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env={"PATH": path, "LANG": language}
    )


@pytest.mark.parametrize(("language", "said"), [("C.UTF-8", "has no wheels for Python"), ("zh_CN.UTF-8", "没有适合")])
def test_an_archive_without_a_fitting_wheel_says_so(tmp_path: Path, language: str, said: str) -> None:
    done = install(make_archive(tmp_path / "archive"), language)
    assert done.returncode == 69
    assert "No matching distribution found for jinsuo" in done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert "--python" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("language", "said"), [("C.UTF-8", "pip failed, as it says above"), ("zh_CN.UTF-8", "pip 没有装成")]
)
def test_a_wheel_that_pip_cannot_read_is_not_called_a_missing_one(tmp_path: Path, language: str, said: str) -> None:
    archive = make_archive(tmp_path / "archive")
    (archive / "wheels" / "jinsuo-0.1.0-py3-none-any.whl").write_bytes(b"no zip")
    done = install(archive, language)
    assert done.returncode == 1
    assert "jinsuo-0.1.0-py3-none-any.whl" in done.stderr, "pip names what it could not read"
    assert said in done.stderr.splitlines()[-1]
    assert "wheels for" not in done.stderr


@pytest.mark.parametrize(
    ("words", "zh", "en"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "磁盘已满",
            "disk is full",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/opt/x'", "sudo", "sudo"),
        ("OSError: [Errno 30] Read-only file system: '/opt/x'", "--prefix", "--prefix"),
        ("zlib.error: Error -3 while decompressing data", "排除后再运行一次", "mend that"),
    ],
)
def test_what_pip_said_last_stands_before_what_to_do(tmp_path: Path, words: str, zh: str, en: str) -> None:
    archive = make_archive(tmp_path / "archive")
    put_failing_pip(archive, words)
    for language, advice in (("zh_CN.UTF-8", zh), ("en_US.UTF-8", en)):
        done = install(archive, language)
        assert done.returncode == 1
        *_, told, last = done.stderr.splitlines()
        assert told == words
        assert advice in last


def test_a_service_that_was_stopped_runs_again_after_an_update_that_failed(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive")
    put_failing_pip(archive, "ERROR: something else")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$1" != is-active ] || [ "$3" = jinsuo-agent ]\n'
    )
    (tools / "systemctl").chmod(0o755)
    done = install(archive, "C", f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line for line in asked if "is-active" not in line] == ["stop jinsuo-agent", "start jinsuo-agent"]
