# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent ssh-key`: one line, made once, where the settings say."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli.main import make_program
from center.registry.sshkeys import parse_public_key
from tests.fakes.agent import FakeAgent


def run(folder: Path, *words: str) -> int:
    program = make_program(FakeAgent().open, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return program.main(["-C", str(folder), "--lang", "en", *words], environ={})


def test_the_line_is_one_that_the_center_takes_and_stays_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent.yaml").write_text("sources: []\n")
    assert run(tmp_path, "ssh-key") == 0
    line = capsys.readouterr().out
    assert parse_public_key(line).fingerprint.startswith("SHA256:")
    assert run(tmp_path, "ssh-key", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"public": line.rstrip("\n"), "file": str(tmp_path / "keys" / "ssh.key"), "is_new": False}


def test_the_key_lies_where_the_settings_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ssh = f"{{host: h, user: u, host_key: 'SHA256:{'A' * 43}', key: elsewhere/key}}"
    (tmp_path / "agent.yaml").write_text(f"road: {{kind: ssh, ssh: {ssh}}}\n")
    assert run(tmp_path, "ssh-key", "--json") == 0
    assert json.loads(capsys.readouterr().out)["is_new"] is True
    assert (tmp_path / "elsewhere" / "key").is_file()


def test_a_folder_without_settings_gets_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "ssh-key") == 64
    assert "init" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "agent.yaml").write_text("sources: []\n")
    (tmp_path / "keys").write_text("a file in the folder's place")
    assert run(tmp_path, "ssh-key") == 64
    assert "JS-2333" in capsys.readouterr().err
