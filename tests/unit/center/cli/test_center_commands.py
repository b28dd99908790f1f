# SPDX-License-Identifier: Apache-2.0
"""The commands of `jinsuo-center`: what they say, in both languages and as JSON, and their exit codes."""

import argparse
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from center.cli.main import make_program
from center.cli.opening import is_snapshot_text, parse_moment
from evidence.keys.key import parse_vkey
from evidence.manifest.statement import WithdrawalStatement
from evidence.wire.enrolment import parse_code
from terminal.command import Command
from terminal.errors import UsageError
from tests.builders.center import NOW, ORIGIN, Hospital, fill_center, open_center

Run = Callable[..., int]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "center"
    fill_center(folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "center"))


def run(folder: Path, *line: str, environ: Mapping[str, str] | None = None, lang: str = "en") -> int:
    return make_program().main(["-C", str(folder), "--lang", lang, *line], environ=environ or {})


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, object]]:
    """Run a command with --json that gives one document."""
    capsys.readouterr()
    code = run(folder, "--json", *line)
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return code, document


def stream(folder: Path, capsys: pytest.CaptureFixture[str], *line: str) -> list[dict[str, object]]:
    """Run a command with --json that streams lines."""
    capsys.readouterr()
    assert run(folder, "--json", *line) in (0, 1)
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def test_commands_of_the_contract_are_there() -> None:
    names = {command.name for command in make_program().commands}
    assert names >= {
        "init", "serve", "unit add", "unit list", "unit show", "unit disable", "unit rekey", "snapshots", "diff",
        "find", "history", "restore", "certify", "audit", "rebuild", "key",
    }  # fmt: skip


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("command", make_program().commands, ids=lambda command: command.name)
def test_every_command_teaches_with_an_example_for_each_shell(
    command: Command, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_program().main([*command.name.split(), "--lang", language, "--help"], environ={}) == 0
    text = capsys.readouterr().out
    assert command.examples.sh in text
    assert command.examples.powershell in text
    assert (command.description.zh if language == "zh" else command.description.en).split("\n")[0] in text


@pytest.mark.parametrize("command", make_program().commands, ids=lambda command: command.name)
def test_the_examples_of_every_command_are_lines_that_it_takes(command: Command) -> None:
    from terminal.language import Language

    parser = make_program().parser(Language.EN)
    for example in command.examples:
        words = _split(example)
        assert words[0] == "jinsuo-center"
        parsed: argparse.Namespace = parser.parse_args(words[1:])
        assert parsed.command.name == command.name


def _split(example: str) -> list[str]:
    import shlex

    plain = example.split(" | ")[0].split(" > ")[0].split(" < ")[0]
    return shlex.split(plain.replace("\\", "/"))


def test_init_makes_a_center_that_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    code, document = ask(tmp_path, capsys, "init", str(folder), "--origin", ORIGIN, "--listen", "127.0.0.1:0")
    assert code == 0
    assert parse_vkey(str(document["vkey"])).name == ORIGIN
    with open_center(folder) as center:
        assert center.ledger.size == 0
        assert center.config.address == ("127.0.0.1", 0)
    assert (folder / "keys" / "master.key").stat().st_mode & 0o077 == 0


def test_init_with_a_passphrase_needs_it_ever_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, secret = tmp_path / "new", {"JINSUO_CENTER_PASSPHRASE": "四个字的口令"}
    assert run(tmp_path, "init", str(folder), "--origin", ORIGIN, "--passphrase", environ=secret) == 0
    assert run(folder, "unit", "list", environ=secret) == 0
    capsys.readouterr()
    assert run(folder, "unit", "list", environ={"JINSUO_CENTER_PASSPHRASE": "wrong"}) == 1
    assert "passphrase does not open" in capsys.readouterr().err
    assert run(folder, "audit", environ=secret) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--origin", "a b"], "--origin a b: expected the name of the log"),
        (["--origin", ORIGIN, "--listen", "here"], "--listen here: expected host:port"),
        (["--origin", ORIGIN, "--listen", "a:99999"], "host:port"),
        ([], "missing: --origin"),
    ],
)
def test_init_with_a_wrong_option_makes_nothing(
    tmp_path: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "init", str(tmp_path / "new"), *options) == 64
    assert says in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_init_never_makes_a_center_over_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "init", str(folder), "--origin", ORIGIN) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_folder_without_a_center_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "snapshots") == 64
    err = capsys.readouterr().err
    assert "there is no center" in err
    assert "init DIR" in err
    assert "JS-3106" in err


def test_unit_add_prints_a_code_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(folder, capsys, "unit", "add", "Z100", "--name", "第二医院")
    assert code == 0
    parse_code(str(document["code"]))
    _, listed = ask(folder, capsys, "unit", "list")
    units = {unit["unit"]: unit for unit in listed["units"]}  # type: ignore[attr-defined]  # a list of objects
    assert units["Z100"]["name"] == "第二医院"
    assert str(document["code"]) not in json.dumps(listed)


def test_unit_add_writes_the_code_to_a_file_for_its_owner_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Z100.code"
    code, document = ask(folder, capsys, "unit", "add", "Z100", "--name", "院", "--out", str(path))
    assert (code, document["file"]) == (0, str(path))
    assert "code" not in document
    parse_code(path.read_text())
    assert path.stat().st_mode & 0o077 == 0


def test_a_code_file_is_never_written_over_and_then_no_unit_is_added(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old"
    path.write_text("precious")
    assert run(folder, "unit", "add", "Z100", "--name", "院", "--out", str(path)) == 64
    assert path.read_text() == "precious"
    assert run(folder, "unit", "show", "Z100") == 64


@pytest.mark.parametrize("days", ["0", "-3", "400"])
def test_a_code_lasts_a_sensible_time(folder: Path, days: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "unit", "add", "Z100", "--name", "院", "--days", days) == 64
    assert "--days" in capsys.readouterr().err


def test_unit_disable_and_enable_are_logged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "unit", "disable", "X013", "--reason", "密钥泄露") == 0
    _, shown = ask(folder, capsys, "unit", "show", "X013")
    assert shown["disabled"] is True
    assert run(folder, "unit", "rekey", "X013") == 1
    assert run(folder, "unit", "enable", "X013") == 0
    assert run(folder, "unit", "rekey", "X013") == 0
    with open_center(folder) as center:
        log = b"".join(center.ledger.entries())
    assert "密钥泄露".encode() in log


def test_snapshots_lists_what_is_locked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(folder, capsys, "snapshots")
    assert code == 0
    rows = document["snapshots"]
    assert isinstance(rows, list)
    assert [(r["source"], r["sequence"], r["kind"], r["level"]) for r in rows] == [
        ("his", 1, "snapshot", "stored"), ("his", 2, "snapshot", "stored"), ("pacs", 1, "snapshot", "stored"),
        ("pacs", 2, "snapshot", "stored"), ("docs", 1, "snapshot", "stored"), ("docs", 2, "gap", "-"),
        ("docs", 3, "snapshot", "stored"),
    ]  # fmt: skip
    assert rows[6]["stored_index"] > rows[6]["log_index"]
    assert rows[4]["flags"] == ["omitted"]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_tables_are_aligned_with_wide_characters(folder: Path, lang: str, capsys: pytest.CaptureFixture[str]) -> None:
    from terminal.printer import display_width

    assert run(folder, "snapshots", lang=lang) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert all("log@" in line for line in lines[1:])
    assert len({display_width(line[: line.index("log@")]) for line in lines[1:]}) == 1


def test_snapshots_of_a_unit_that_is_not_there_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "snapshots", "X999") == 64
    assert "X999" in capsys.readouterr().err


def test_diff_shows_an_edit_before_and_after(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "diff", "X013", "his", "1", "2") == 0
    text = capsys.readouterr().out
    assert "id=17" in text
    assert "→ 改过的病历" in text
    assert "2 updated" in text
    assert "100 inserted" in text


def test_diff_streams_json_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = stream(folder, capsys, "diff", "X013", "his", "his#1", "latest", "--table", "patient")
    assert [event["event"] for event in events[:2]] == ["snapshots", "table"]
    updated = [event for event in events if event.get("action") == "updated"]
    assert [event["key"] for event in updated] == [["17"], ["8000"]]
    assert updated[0]["cells"][0]["after"] == "改过的病历"  # type: ignore[index]  # a list of objects
    assert events[-1]["event"] == "totals"


def test_diff_shows_so_many_rows_and_says_that_there_are_more(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "diff", "X013", "his", "1", "2", "--limit", "5") == 0
    text = capsys.readouterr().out
    assert sum(line.startswith("  + id=") for line in text.splitlines()) == 3
    assert "--limit 0" in text


def test_compare_groups_differences_of_two_systems_by_cause(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "compare", "X013", "his", "1", "--with", "X013", "his", "2", "--table", "patient") == 1
    text = capsys.readouterr().out
    assert "really different, 2 cells" in text
    assert "[17] 病历17 → 改过的病历" in text or "→ 改过的病历" in text
    assert "different: X013/his#1 and X013/his#2" in text
    assert run(folder, "compare", "X013", "his", "2", "--with", "X013", "his", "latest", lang="zh") == 0
    assert "一致：X013/his#2 与 X013/his#2" in capsys.readouterr().out


def test_compare_streams_json_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = stream(folder, capsys, "compare", "X013", "his", "1", "--with", "X013", "his", "2", "--accept", "scale")
    assert (events[0]["event"], events[0]["accepted"]) == ("snapshots", ["scale"])
    tables = {event["before"]: event for event in events if event["event"] == "table"}
    assert tables["patient"]["causes"] == {"different": 2}
    assert tables["patient"]["matched_by"] == ["id"]
    assert events[-1] == {"event": "verdict", "equal": False}


def test_ddl_of_the_whole_and_one_table_exclude_each_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    line = ("restore", "X013", "his", "2", "--to", target)
    assert run(folder, *line, "--with-ddl", "--table", "patient") == 64
    assert "exclude each other" in capsys.readouterr().err
    assert run(folder, *line, "--with-programs") == 1
    assert "takes no DDL" in capsys.readouterr().err


def test_find_gives_rows_and_exit_code_1_without_any(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = stream(folder, capsys, "find", "X013", "his", "2", "patient", "--where", "name=患者5")
    assert [row["row"]["id"] for row in found] == ["5"]  # type: ignore[index]  # an object
    assert run(folder, "find", "X013", "his", "2", "patient", "--where", "id=999999") == 1
    assert "no such row" in capsys.readouterr().out


def test_a_time_stands_for_n(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["2026-11-22T01:00:11Z", "patient"], ["patient", "--at", "2026-11-22T01:00:11Z"]):
        found = stream(folder, capsys, "find", "X013", "his", *line, "--where", "id=17")
        assert [row["sequence"] for row in found] == [1]
    assert run(folder, "find", "X013", "his", "patient", "--at", "2020-01-01") == 64


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["find", "X013", "his", "patient"], "give either N or --at"),
        (["find", "X013", "his", "1", "patient", "--at", "2026-11-23"], "give either N or --at"),
        (["diff", "X013", "his", "first", "2"], "is no sequence"),
        (["diff", "X013", "his", "lis#1", "2"], "no snapshot of source his"),
        (["diff", "X013", "his", "0", "2"], "is no sequence"),
        (["find", "X013", "his", "7", "patient"], "his#7"),
        (["find", "X013", "his", "1", "patients"], "patients"),
        (["find", "X013", "his", "1", "patient", "--where", "nmae=x"], "did you mean"),
        (["find", "X013", "his", "1", "patient", "--where", "id=x"], "not a value"),
        (["find", "Y002", "docs", "2", "ward"], "gap statement, not a snapshot"),
        (["history", "X013", "his", "patient", "17", "18"], "has 1 columns"),
        (["audit", "--read", "half"], "--read half"),
        (["audit", "--read", "0"], "--read 0"),
        (["audit", "--read", "101"], "--read 101"),
        (["key"], "either --vkey or --policy"),
        (["restore", "X013", "his", "1", "--to", "oracle://x"], "no kind of target"),
    ],
)
def test_wrong_usage_is_told_in_one_sentence_with_exit_code_64(
    folder: Path, line: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *line) == 64
    err = capsys.readouterr().err
    assert says in err
    assert "What to do" in err
    assert "Traceback" not in err


def test_history_shows_every_version(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    versions = stream(folder, capsys, "history", "X013", "his", "patient", "17")
    assert [version["first"]["sequence"] for version in versions] == [1, 2]  # type: ignore[index]  # an object
    assert run(folder, "history", "X013", "his", "patient", "17", lang="zh") == 0
    assert "→ 改过的病历" in capsys.readouterr().out


def test_restore_proves_the_copy_and_logs_the_act(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    code, document = ask(folder, capsys, "restore", "X013", "his", "1", "--to", f"sqlite:///{copy}")
    assert (code, document["equal"]) == (0, True)
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM patient").fetchone() == (9_000,)
    connection.close()
    with open_center(folder) as center:
        assert b"event recovery\nobject X013/his#1\noutcome equal" in center.ledger.entry(center.ledger.size - 1)
    assert run(folder, "restore", "X013", "his", "1", "--to", f"sqlite:///{copy}") == 1
    assert "is not empty" in capsys.readouterr().err


def test_certify_writes_a_bundle_that_its_policy_verifies(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evidence.verify.command import main as verify

    bundle, policy = tmp_path / "p.jinsuo", tmp_path / "trust.policy"
    code, document = ask(folder, capsys, "certify", "X013", "his", "2", "patient", "17", "--out", str(bundle))
    assert (code, document["sequence"], document["rows"]) == (0, 2, 1)
    assert run(folder, "key", "--policy", "--out", str(policy)) == 0
    capsys.readouterr()
    # Only X013 itself has cosigned here, so the time is on the center's word alone: cannot tell.
    assert verify([str(bundle), "--policy", str(policy)]) == 2
    assert "改过的病历" in capsys.readouterr().out


def test_certify_shows_that_the_unit_has_withdrawn_the_statement(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evidence.verify.command import main as verify

    with open_center(folder) as center:
        second = center.catalog.statement("X013", "his", 2).digest
        his = Hospital(center, sequence=2, previous=second)
        his.submit(WithdrawalStatement("X013", "his", 3, second, NOW, second, "wrong database"))
        assert center.catalog.latest("X013", "his").previous == second  # type: ignore[union-attr]  # it was admitted
    assert run(folder, "key", "--policy", "--out", str(tmp_path / "trust.policy")) == 0
    for sequence, is_withdrawn in (("1", False), ("2", True)):
        bundle = tmp_path / f"{sequence}.jinsuo"
        assert run(folder, "certify", "X013", "his", sequence, "patient", "17", "--out", str(bundle)) == 0
        assert ("has withdrawn" in capsys.readouterr().err) == is_withdrawn
        verify([str(bundle), "--policy", str(tmp_path / "trust.policy"), "--lang", "en"])
        assert ("the unit has withdrawn the statement" in capsys.readouterr().out) == is_withdrawn


def test_certify_takes_several_rows_and_their_contents(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["certify", "X013", "pacs", "scan", "影像/003.dcm", "--at", "2026-11-22T01:00:20Z"]
    more = ["--row", "scan", "影像/001.dcm", "--out", str(tmp_path / "s.jinsuo")]
    code, document = ask(folder, capsys, *line, *more)
    assert (code, document["rows"], document["blobs"]) == (0, 2, 2)
    assert len(list((tmp_path / "s-blobs").iterdir())) == 2


def test_a_bundle_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.jinsuo"
    path.write_text("old")
    assert run(folder, "certify", "X013", "his", "2", "patient", "17", "--out", str(path)) == 1
    assert path.read_text() == "old"


def test_audit_of_a_sound_center_exits_0_and_can_be_logged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = ask(folder, capsys, "audit", "--log")
    assert (code, document["sound"], document["findings"]) == (0, True, [])
    assert document["read"]["packs"] == 7  # type: ignore[index]  # an object
    with open_center(folder) as center:
        assert b"event fixity check" in center.ledger.entry(center.ledger.size - 1)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_audit_of_a_damaged_center_exits_1_and_names_the_file(
    folder: Path, lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = sorted((folder / "store" / "packs" / "X013" / "his").rglob("*.pack"))[0]
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 1
    pack.write_bytes(raw)
    assert run(folder, "audit", lang=lang) == 1
    text = capsys.readouterr().out
    assert pack.relative_to(folder).as_posix() in text
    assert "his#" in text
    assert ("损坏" if lang == "zh" else "DAMAGED") in text


def test_a_center_with_a_lost_catalog_is_audited_rebuilt_and_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "catalog.sqlite").unlink()
    assert run(folder, "snapshots") == 1
    assert "rebuild" in capsys.readouterr().err
    code, document = ask(folder, capsys, "audit")
    assert code == 1
    assert [finding["where"] for finding in document["findings"]] == ["catalog.sqlite"]  # type: ignore[attr-defined]
    code, document = ask(folder, capsys, "rebuild")
    assert (code, document["statements"], document["damaged"]) == (0, 7, [])
    assert run(folder, "audit") == 0
    assert run(folder, "find", "X013", "his", "latest", "patient", "--where", "id=17") == 0


def test_rebuild_remembers_what_admission_had_computed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def facts() -> set[str]:
        with open_center(folder) as center:
            return {line for line in center.catalog.file.dump() if line.startswith("facts")}

    before = facts()
    assert run(folder, "rebuild") == 0
    assert facts() == before
    assert run(folder, "rebuild", "--quick") == 0
    assert facts() < before


def test_rebuild_beside_a_running_center_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_center(folder):
        assert run(folder, "rebuild") == 1
    assert "stop the center" in capsys.readouterr().err


def test_serve_says_where_it_listens_and_ends_at_a_signal(folder: Path) -> None:
    path = folder / "center.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("127.0.0.1:8443", "127.0.0.1:0"), encoding="utf-8")
    line = [sys.executable, "-m", "center.cli.main", "-C", str(folder), "--json", "serve"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            started = json.loads(process.stdout.readline())
            assert started["event"] == "listening"
            host, _, port = started["address"].removeprefix("https://").rpartition(":")
            with socket.create_connection((host, int(port)), timeout=60):
                pass
            # Commands work beside the daemon.
            assert run(folder, "snapshots") == 0
            assert run(folder, "audit") == 0
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def test_key_prints_the_vkey_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "key", "--vkey") == 0
    assert parse_vkey(capsys.readouterr().out.strip()).name == ORIGIN


def test_key_policy_is_a_policy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from evidence.verify.policy import parse_policy

    assert run(folder, "key", "--policy") == 0
    policy = parse_policy(capsys.readouterr().out.encode())
    assert [key.name for key in policy.logs] == [ORIGIN]
    assert len(policy.units) == 2


def test_the_settings_language_is_used_unless_another_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "center.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("language:", "language: zh"), encoding="utf-8")
    assert make_program().main(["-C", str(folder), "unit", "list"], environ={}) == 0
    assert "单位" in capsys.readouterr().out.splitlines()[0]
    assert run(folder, "unit", "list") == 0
    assert capsys.readouterr().out.startswith("UNIT")


def test_a_wrong_setting_is_told_by_every_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "center.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("listen:", "listn:"), encoding="utf-8")
    for line in (["snapshots"], ["audit"], ["rebuild"], ["serve"]):
        assert run(folder, *line) == 64
        assert "did you mean listen" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["latest", "1", "412", "his#412", "2026-11-22", "2026-11-22T08:30", "2026-11-22T08:30+08:00"]
)
def test_these_stand_for_n(text: str) -> None:
    assert is_snapshot_text(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "01", "1.5", "patient", "#1", "his#", "2026-13-01", "２"])
def test_these_do_not_stand_for_n(text: str) -> None:
    assert not is_snapshot_text(text)


def test_a_time_without_a_zone_is_local() -> None:
    assert parse_moment("2026-11-22T08:30") == datetime(2026, 11, 22, 8, 30).astimezone()
    assert parse_moment("2026-11-22T08:30Z").utcoffset() is not None
    with pytest.raises(UsageError):
        parse_moment("yesterday")
