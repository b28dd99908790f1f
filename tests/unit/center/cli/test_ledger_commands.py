# SPDX-License-Identifier: Apache-2.0
"""`ledger status|import-tail|release` and `serve --confirm`: the ways back to a log that signs."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from center.cli.main import make_program
from evidence.manifest.entry import parse_act, parse_entry
from evidence.note.signed import parse_note
from evidence.verify.command import main as verify
from tests.builders.center import Hospital, create_center, open_center, patients, wards


def run(folder: Path, *line: str) -> int:
    return make_program().main(["-C", str(folder), "--lang", "en", *line], environ={})


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = run(folder, "--json", *line)
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return code, document


@pytest.fixture
def restored(tmp_path: Path) -> tuple[Path, Path]:
    """A center restored from yesterday's copy that an agent has shown a newer checkpoint, and the newer copy."""
    newer, older = tmp_path / "newer", tmp_path / "older"
    create_center(newer)
    with open_center(newer) as center:
        hospital = Hospital(center)
        hospital.snapshot(patients(30))
        center.units.acknowledge("X013", center.ledger.size)
    shutil.copytree(newer, older)
    with open_center(newer) as center:
        center.ledger.confirm()
        for i in range(3):
            Hospital(center, source=f"s{i}").snapshot(wards("内科"))
        seen = center.ledger.checkpoint()
    with open_center(older) as center:
        center.ledger.observe(seen)
    return older, newer


def test_an_old_copy_says_what_it_lacks_takes_it_back_and_signs_again(
    restored: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = restored
    with open_center(newer) as center:
        entries = list(center.ledger.entries())
    code, status = ask(older, capsys, "ledger", "status")
    assert code == 1
    assert status["lacking"] == [status["size"], len(entries)]
    assert "was shown" in str(status["held"])
    assert run(older, "ledger", "release", "--reason", "all is well") == 2
    assert "import-tail" in capsys.readouterr().err

    assert ask(older, capsys, "ledger", "import-tail", str(newer / "ledger")) == (
        0, {"taken": len(entries) - int(str(status["size"])), "size": len(entries)},
    )  # fmt: skip
    code, status = ask(older, capsys, "ledger", "status")
    assert (code, status["lacking"]) == (1, None)
    assert ask(older, capsys, "ledger", "release", "--reason", "taken back") == (0, {"released": True})
    with open_center(older) as center:
        assert list(center.ledger.entries())[: len(entries)] == entries
        act = parse_act(parse_note(parse_entry(center.ledger.entry(len(entries))).note).text)
    assert (act.event, act.reason) == ("release", "taken back")


def test_a_copy_that_is_short_foreign_or_not_one_is_refused(
    restored: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, _ = restored
    create_center(tmp_path / "other")
    short = Path(shutil.copytree(older / "ledger", tmp_path / "short"))
    for copy in (short, tmp_path / "other" / "ledger", tmp_path / "nothing"):
        assert run(older, "ledger", "import-tail", str(copy)) == 1
        assert "up to the checkpoint that was shown" in capsys.readouterr().err


@pytest.fixture
def ended(tmp_path: Path) -> tuple[Path, Path, int]:
    """A center whose `ledger/` alone is an older copy, the whole one, and its size; nobody has called since."""
    folder, yesterday, mirror = tmp_path / "center", tmp_path / "yesterday", tmp_path / "mirror"
    create_center(folder)
    with open_center(folder) as center:
        hospital = Hospital(center)
        hospital.snapshot(patients(30))
        shutil.copytree(folder / "ledger", yesterday)
        Hospital(center, source="later").snapshot(wards("内科"))
        size = center.ledger.size
        center.units.acknowledge("X013", size)
    (folder / "ledger").rename(mirror)
    yesterday.rename(folder / "ledger")
    return folder, mirror, size


def test_an_old_ledger_beside_newer_units_names_what_it_lacks_and_takes_it_back_before_any_agent_calls(
    ended: tuple[Path, Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, mirror, size = ended
    code, status = ask(folder, capsys, "ledger", "status")
    old_size = int(str(status["size"]))
    assert (code, status["lacking"]) == (1, [old_size, size])
    assert run(folder, "unit", "disable", "X013", "--reason", "gone") == 2
    assert "import-tail" in capsys.readouterr().err
    answer = {"taken": size - old_size, "size": size}
    assert ask(folder, capsys, "ledger", "import-tail", str(mirror)) == (0, answer)
    assert ask(folder, capsys, "ledger", "release", "--reason", "taken back") == (0, {"released": True})
    # From here on it is a center whose agent is gone: `serve --confirm` and `unit disable` go on.
    code, status = ask(folder, capsys, "ledger", "status")
    assert (code, status["size"], status["lacking"]) == (1, size + 1, None)
    with open_center(folder) as center:
        center.confirm("operator", "X013 has burnt")
        center.units.disable("X013")


def test_a_log_that_has_ended_can_be_read_and_certified_and_its_heir_names_it(
    ended: tuple[Path, Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, _ = ended
    with open_center(folder) as center:
        before = list(center.ledger.entries())
    bundle = tmp_path / "p.jinsuo"
    assert run(folder, "find", "X013", "his", "1", "patient", "--where", "id=17") == 0
    assert run(folder, "history", "X013", "his", "patient", "17") == 0
    assert run(folder, "restore", "X013", "his", "1", "--to", f"sqlite:///{tmp_path / 'back.db'}") == 0
    assert "is not in the log" in capsys.readouterr().err
    assert run(folder, "rebuild") == 0
    assert run(folder, "audit") == 1
    damages = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DAMAGED")]
    assert len(damages) == 1
    assert "X013/later is there, but the log never registered it" in damages[0]
    assert run(folder, "certify", "X013", "his", "1", "patient", "17", "--out", str(bundle)) == 2
    assert "JS-3200" in capsys.readouterr().err
    with open_center(folder) as center:
        assert list(center.ledger.entries()) == before
        origin, key = center.config.origin, center.ledger.log_key
    assert run(folder, "key", "--policy", "--out", str(tmp_path / "trust.policy")) == 0
    assert verify([str(bundle), "--policy", str(tmp_path / "trust.policy")]) == 2  # the time is on the center's word
    assert "患者17" in capsys.readouterr().out

    create_center(tmp_path / "heir")
    with open_center(tmp_path / "heir") as heir:
        heir.confirm("operator", f"continues {origin}, which ended at {len(before)} entries")
        act = parse_act(parse_note(parse_entry(heir.ledger.entry(0)).note).text)
        assert heir.ledger.log_key != key
    assert act.reason == f"continues {origin}, which ended at {len(before)} entries"


def test_release_of_a_ledger_that_is_not_held_logs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_center(tmp_path / "center")
    assert ask(tmp_path / "center", capsys, "ledger", "release", "--reason", "just so") == (0, {"released": False})
    assert ask(tmp_path / "center", capsys, "ledger", "status") == (0, {"size": 0, "held": None, "lacking": None})


def test_a_center_whose_only_agent_is_lost_gets_a_new_one_by_the_operators_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "center"
    create_center(folder)
    with open_center(folder) as center:
        Hospital(center).snapshot(patients(30))
        center.units.acknowledge("X013", center.ledger.size)
    assert run(folder, "unit", "rekey", "X013") == 2
    assert "--confirm" in capsys.readouterr().err

    command = [sys.executable, "-m", "center.cli.main", "-C", str(folder), "serve", "--confirm", "the agent has burnt"]
    (folder / "center.yaml").write_text(
        "\n".join(
            "listen: 127.0.0.1:0" if line.startswith("listen:") else line
            for line in (folder / "center.yaml").read_text(encoding="utf-8").splitlines()
        ),
        encoding="utf-8",
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline()
            assert run(folder, "unit", "rekey", "X013") == 0
        finally:
            daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    with open_center(folder) as center:
        acts = [parse_entry(raw) for raw in center.ledger.entries()]
        decisions = [parse_act(parse_note(entry.note).text) for entry in acts if entry.kind == "decision"]
    assert [(act.event, act.reason) for act in decisions] == [("confirmation", "the agent has burnt")]


def test_an_operators_word_does_not_lift_a_hold(restored: tuple[Path, Path]) -> None:
    older, _ = restored
    command = [
        sys.executable,
        "-m",
        "center.cli.main",
        "-C",
        str(older),
        "--lang",
        "en",
        "serve",
        "--confirm",
        "all well",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "was shown" in ended.stderr
