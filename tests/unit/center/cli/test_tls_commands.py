# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center tls renew|status`, as an operator runs them."""

import json
from pathlib import Path

import pytest

from center.app import Center
from center.cli.main import make_program
from center.receive.tls import TlsFiles, check_tls, find_next, read_spki_sha256
from evidence.manifest.entry import parse_act, parse_entry
from evidence.note.signed import parse_note
from tests.builders.center import create_center


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_center(tmp_path / "center")
    return tmp_path / "center"


def run(folder: Path, *words: str) -> int:
    return make_program().main(["-C", str(folder), "--lang", "en", *words])


def test_a_new_certificate_is_for_the_same_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = TlsFiles.within(folder / "tls")
    before, key = files.certificate.read_bytes(), read_spki_sha256(files.certificate)
    assert run(folder, "tls", "renew") == 0
    assert "the key is not" in capsys.readouterr().out
    assert files.certificate.read_bytes() != before
    assert read_spki_sha256(files.certificate) == key
    check_tls(files)


def test_a_new_key_is_announced_logged_and_shown_and_nothing_changes_before_its_day(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = TlsFiles.within(folder / "tls")
    current = read_spki_sha256(files.certificate)
    assert run(folder, "--json", "tls", "renew", "--new-key", "--days", "30") == 0
    announced = json.loads(capsys.readouterr().out)["spki_sha256"]
    assert read_spki_sha256(files.certificate) == current
    assert run(folder, "--json", "tls", "status") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["spki_sha256"], status["next"]) == (current.hex(), announced)
    with Center.open(folder) as center:
        act = parse_act(parse_note(parse_entry(center.ledger.entry(center.ledger.size - 1)).note).text)
        assert (act.event, act.outcome, act.reason) == (
            "tls key change", "announced", f"{current.hex()} -> {announced}",
        )  # fmt: skip
        following = find_next(folder / "tls", center.ledger.log_key)
        assert following is not None
        assert abs((following.from_ - center.clock()).days - 30) <= 1
    # A second one would leave agents with the first alone.
    assert run(folder, "tls", "renew", "--new-key") != 0
    assert "announced already" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["-1", "3651"])
def test_days_that_cannot_be_are_wrong_usage(folder: Path, days: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "tls", "renew", "--new-key", "--days", days) == 64
    assert "such as --days 90" in capsys.readouterr().err


def test_status_without_an_announcement_names_the_key_in_use_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "tls", "status") == 0
    said = capsys.readouterr().out
    assert said == f"in use: {read_spki_sha256(folder / 'tls' / 'center.crt').hex()}\n"
