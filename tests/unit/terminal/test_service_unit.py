# SPDX-License-Identifier: Apache-2.0
"""The unit's text: systemd itself reads it, and no word can add a line to it."""

import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from terminal.service.unit import Unit, find_setting

UNIT = Unit(
    name="jinsuo-agent",
    title="Jinsuo agent",
    argv=("/bin/true", "-C", "/var/lib/jinsuo-agent", "run"),
    user="root",
    folder=PurePosixPath("/var/lib/jinsuo-agent"),
    memory_max="1G",
    steps_back=True,
)
NASTY = PurePosixPath('/srv/金锁 "50%" $HOME\\x')


def verify(unit: Unit, folder: Path) -> str:
    """Let systemd read the unit; give its complaints."""
    path = folder / unit.file_name
    path.write_text(unit.encode(), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stderr + ("" if done.returncode == 0 else f"exit {done.returncode}")


@pytest.mark.parametrize(
    "unit",
    [
        UNIT,
        replace(UNIT, steps_back=False, memory_max="75%", low_ports=True, reads_any_file=True),
        replace(UNIT, credentials=("his", "lis-2"), writable=(PurePosixPath("/srv/his"),), sees_tmp=True),
        replace(UNIT, also_own=(NASTY,), argv=("/bin/true", str(NASTY), "a b", 'c"d', "e\nf")),
    ],
    ids=["plain", "rights", "credentials", "nasty"],
)
def test_systemd_reads_the_unit_without_a_complaint(unit: Unit, tmp_path: Path) -> None:
    assert verify(unit, tmp_path) == ""


def test_systemd_complains_of_a_directive_that_it_does_not_know(tmp_path: Path) -> None:
    class Wrong(Unit):
        def encode(self) -> str:
            return super().encode().replace("ProtectSystem=", "ProtectSystems=")

    wrong = Wrong(**{name: getattr(UNIT, name) for name in Unit.__dataclass_fields__})
    assert "ProtectSystems" in verify(wrong, tmp_path)


def test_no_word_adds_a_line() -> None:
    plain = UNIT.encode().splitlines()
    nasty = replace(UNIT, title="x\nExecStartPre=/bin/sh", argv=("/bin/true", "a\n[Service]", "b\r", "c\x85")).encode()
    assert len(nasty.splitlines()) == len(plain)
    assert "\nExecStartPre" not in nasty


def test_specifiers_and_variables_stand_for_themselves() -> None:
    words = find_setting(replace(UNIT, argv=("/bin/true", "100%", "$HOME")).encode(), "ExecStart")
    assert '"100%%" "$$HOME"' in replace(UNIT, argv=("/bin/true", "100%", "$HOME")).encode()
    assert words == '"/bin/true" "100%" "$$HOME"'


def test_unit_closes_what_a_daemon_does_not_need() -> None:
    text = UNIT.encode()
    assert [find_setting(text, name) for name in ("Type", "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp")] == [
        "notify", "yes", "strict", "read-only", "yes",
    ]  # fmt: skip
    assert find_setting(text, "CapabilityBoundingSet") == "" == find_setting(text, "AmbientCapabilities")
    assert find_setting(text, "Restart") == "on-failure"
    assert find_setting(text, "OOMScoreAdjust") == "500"


def test_account_keeps_its_own_group() -> None:
    # `oracle` is of the group `oinstall`: a group of the account's name need not be there, and then nothing starts (216/GROUP).
    assert find_setting(replace(UNIT, user="oracle").encode(), "Group") is None


def test_daemon_that_crashes_leaves_no_keys_in_a_core() -> None:
    assert find_setting(UNIT.encode(), "LimitCORE") == "0"


def test_rights_are_only_those_that_were_asked_for() -> None:
    text = replace(UNIT, reads_any_file=True).encode()
    assert (
        find_setting(text, "CapabilityBoundingSet")
        == "CAP_DAC_READ_SEARCH"
        == find_setting(text, "AmbientCapabilities")
    )


def test_own_folders_must_be_there_and_others_may_be_missing() -> None:
    unit = replace(UNIT, also_own=(PurePosixPath("/spool"),), writable=(PurePosixPath("/srv/his"), UNIT.folder))
    assert find_setting(unit.encode(), "ReadWritePaths") == '"/var/lib/jinsuo-agent" "/spool" "-/srv/his"'
    assert find_setting(unit.encode(), "RequiresMountsFor") == '"/var/lib/jinsuo-agent" "/spool"'


def test_credential_is_a_file_of_root_named_after_the_service() -> None:
    text = replace(UNIT, credentials=("his",)).encode()
    assert "LoadCredential=his:/etc/credstore/jinsuo-agent.his\n" in text
