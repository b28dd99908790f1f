# SPDX-License-Identifier: Apache-2.0
"""Installing and removing a unit, by the real systemctl and systemd-sysusers, in the folder of an image."""

import os
import pwd
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from terminal.errors import OperatorError, UsageError
from terminal.language import Text
from terminal.service.systemd import SystemdService, patience_s
from terminal.service.unit import Unit

OWN = pwd.getpwuid(os.geteuid()).pw_name
UNIT = Unit(
    name="jinsuo-agent",
    title="Jinsuo agent",
    argv=("/bin/true", "run"),
    user=OWN,
    folder=PurePosixPath("/var/lib/jinsuo-agent"),
    memory_max="1G",
    steps_back=True,
)


def refuse(message: Text, hint: Text) -> OperatorError:
    return OperatorError(message, hint=hint)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give the root of an image with an agent's folder."""
    keys = tmp_path / "var/lib/jinsuo-agent/keys"
    keys.mkdir(parents=True)
    (keys / "agent.key").write_text("key")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"{OWN}:x:{os.geteuid()}:{os.getegid()}::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text(f"{OWN}:x:{os.getegid()}:\n")
    return tmp_path


def make(image: Path, unit: Unit = UNIT) -> SystemdService:
    return SystemdService("jinsuo-agent", lambda installed: unit, refuse, image)


def test_installed_unit_is_enabled_and_says_so(image: Path) -> None:
    service = make(image)
    assert service.state().is_installed is False
    assert service.install() == []
    assert service.unit_path.read_text(encoding="utf-8") == UNIT.encode()
    assert (image / "etc/systemd/system/multi-user.target.wants/jinsuo-agent.service").is_symlink()
    state = service.state()
    assert (state.is_installed, state.starts_at_boot, state.account, state.is_current) == (True, True, OWN, True)


def test_changed_settings_ask_for_a_new_unit_and_installing_again_gives_it(image: Path) -> None:
    make(image).install()
    changed = make(image, replace(UNIT, sees_tmp=True))
    assert changed.state().is_current is False
    changed.install()
    assert changed.state().is_current is True


def test_unit_whose_settings_are_broken_is_not_current_and_can_be_removed(image: Path) -> None:
    make(image).install()

    def broken(installed: str | None) -> Unit:
        raise UsageError("agent.yaml is wrong", hint="mend it")

    service = SystemdService("jinsuo-agent", broken, refuse, image)
    assert service.state().is_current is False
    assert service.uninstall() == [image / "var/lib/jinsuo-agent"]


def test_uninstalling_keeps_the_folder_and_says_where_it_is(image: Path) -> None:
    service = make(image)
    service.install()
    assert service.uninstall() == [image / "var/lib/jinsuo-agent"]
    assert not service.unit_path.exists()
    assert not (image / "etc/systemd/system/multi-user.target.wants/jinsuo-agent.service").is_symlink()
    assert (image / "var/lib/jinsuo-agent/keys/agent.key").read_text() == "key"
    assert service.uninstall() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes accounts")
def test_own_account_is_made_by_systemd_and_owns_folder_and_spool(image: Path) -> None:
    title = "Jinsuo agent: consistent snapshots"
    unit = replace(UNIT, title=title, user="jinsuo-agent", also_own=(PurePosixPath("/srv/spool"),))
    make(image, unit).install()
    line = next(each for each in (image / "etc/passwd").read_text().splitlines() if each.startswith("jinsuo-agent:"))
    number = int(line.split(":")[2])
    assert line.endswith(":/var/lib/jinsuo-agent:/usr/sbin/nologin")
    for path in ("var/lib/jinsuo-agent", "var/lib/jinsuo-agent/keys/agent.key", "srv/spool"):
        assert (image / path).stat().st_uid == number, path
    assert (image / "srv/spool").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_link_in_the_folder_is_not_followed_when_it_is_handed_over(image: Path) -> None:
    other = image / "other"
    other.write_text("root's")
    (image / "var/lib/jinsuo-agent/link").symlink_to(other)
    make(image, replace(UNIT, user="jinsuo-agent")).install()
    assert other.stat().st_uid == 0


def test_missing_folder_is_refused_and_nothing_is_written(image: Path) -> None:
    service = make(image, replace(UNIT, folder=PurePosixPath("/var/lib/elsewhere")))
    with pytest.raises(OperatorError, match="there is no folder"):
        service.install()
    assert not service.unit_path.exists()


def test_unknown_account_is_refused_and_nothing_is_written(image: Path) -> None:
    service = make(image, replace(UNIT, user="nobody-knows"))
    with pytest.raises(OperatorError, match="has no account nobody-knows"):
        service.install()
    assert not service.unit_path.exists()


def test_program_that_the_account_cannot_reach_is_refused(image: Path, tmp_path: Path) -> None:
    program = tmp_path / "closed" / "jinsuo-agent"
    program.parent.mkdir(mode=0o700)
    program.symlink_to(sys.executable)
    with pytest.raises(OperatorError, match="is closed to it"):
        make(image, replace(UNIT, argv=(str(program), "run"))).install()


def test_program_whose_python_the_account_cannot_reach_is_refused(image: Path, tmp_path: Path) -> None:
    # A venv of a Python in root's home: its script lies where everybody may read, and cannot be run all the same.
    closed = tmp_path / "closed" / "python3"
    closed.parent.mkdir(mode=0o700)
    shutil.copy("/bin/true", closed)
    place = Path(tempfile.mkdtemp())
    try:
        place.chmod(0o755)
        (place / "python").symlink_to(closed)
        program = place / "jinsuo-agent"
        program.write_text(f"#!{place}/python\n")
        program.chmod(0o755)
        with pytest.raises(OperatorError, match="cannot run .*: .*closed.* is closed to it"):
            make(image, replace(UNIT, argv=(str(program), "run"))).install()
    finally:
        shutil.rmtree(place)


def test_what_is_not_installed_cannot_be_started(image: Path) -> None:
    for act in (make(image).start, make(image).stop):
        with pytest.raises(OperatorError, match="is not installed"):
            act()


def test_start_is_awaited_longer_than_systemd_awaits_it() -> None:
    # A center with a large store may take a quarter of an hour, and is not to be called failed before systemd says so.
    assert patience_s(replace(UNIT, start_s=900).encode()) > 900


def test_start_that_fails_tells_what_the_daemon_said_last(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make(image)
    service.install()
    programs = image / "programs"
    programs.mkdir()
    asked = image / "asked"
    scripts = {
        "systemctl": 'case $1 in show) echo 5eed ;; *) echo "Job failed." >&2; exit 1 ;; esac',
        "journalctl": f'echo "$@" > {asked}; echo "Error JS-0065: agent.yaml, line 3"',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(OperatorError, match=r"Job failed\.; jinsuo-agent: Error JS-0065: agent.yaml, line 3"):
        service.start()
    # Of this very start, and not of one before it.
    assert "_SYSTEMD_INVOCATION_ID=5eed" in asked.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whether a credential is there")
def test_start_without_its_credential_is_refused_with_the_path(image: Path) -> None:
    service = make(image, replace(UNIT, credentials=("his",)))
    service.install()
    with pytest.raises(OperatorError, match="there is no /etc/credstore/jinsuo-agent.his"):
        service.start()
