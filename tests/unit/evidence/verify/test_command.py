# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-verify`: exit codes, output, and never a traceback."""

import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.verify.command import main
from tests.builders.bundles import POLICY_TEXT, ROW_SECRET, MadeSnapshot, make_bundle, visit_lines

VECTORS: Any = json.loads((Path(__file__).parents[3] / "vectors" / "vectors.json").read_text(encoding="utf-8"))
RAW = make_bundle().encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.jinsuo").write_bytes(RAW)
    (tmp_path / "trust.policy").write_text(POLICY_TEXT, encoding="utf-8")
    (tmp_path / "secret").write_text(ROW_SECRET.hex() + "\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    return main([str(folder / a) if (folder / a).exists() else a for a in arguments])


def test_bundle_that_holds_exits_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--lang", "zh") == 0

    out, err = capsys.readouterr()
    assert "结论：成立" in out and err == ""


def test_json_is_one_document_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--json") == 0

    assert json.loads(capsys.readouterr().out)["verdict"] == "holds"


def test_json_cannot_move_the_cursor_either(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C1 controls and marks of direction need no escape in JSON, but terminals obey them."""
    hostile = "\x9b2J\u202e\x7f患者\U000e0001"
    schema = Schema("t", (Column("c", Kind.TEXT, True, "text"),))
    raw = make_bundle(MadeSnapshot(contents={schema: [hostile.encode()]}), [("t", hostile.encode())]).encode()
    (folder / "b.jinsuo").write_bytes(raw)

    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--json") == 0
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out) and "患者" in out
    assert json.loads(out)["rows"][0]["cells"]["c"] == hostile


@pytest.mark.parametrize("name", ["b.jinsuo", "trust.policy"])
def test_report_is_never_written_over_what_is_verified(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / name).read_bytes()
    (folder / "link").symlink_to(folder / name)

    for path in (name, "link"):
        report = str(folder / path)
        assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--lang=en", "--report", report) == 64
        assert "is what is verified" in capsys.readouterr().err
        assert (folder / name).read_bytes() == before


def test_report_is_written_as_html(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out.html"

    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--lang=zh", "--report", str(out)) == 0
    assert out.read_text(encoding="utf-8").startswith('<!DOCTYPE html>\n<html lang="zh-CN">')


def test_damaged_bundle_exits_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.jinsuo").write_bytes(RAW[:-20] + b"x" + RAW[-19:])

    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--lang", "en") == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_bundle_on_the_center_s_word_alone_exits_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.jinsuo").write_bytes(make_bundle(cosigners=[]).encode())

    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--lang", "en") == 2
    assert "on the center's word alone" in capsys.readouterr().out


def test_receipt_is_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "r.receipt").write_bytes(make_bundle().receipt.encode())

    assert run(folder, "receipt", "r.receipt", "--policy", "trust.policy", "--lang", "en") == 0
    assert run(folder, "receipt", "b.jinsuo", "--policy", "trust.policy", "--lang", "en") == 1
    assert run(folder, "r.receipt", "--policy", "trust.policy", "--lang", "en") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["b.jinsuo"],
        ["b.jinsuo", "--policy"],
        ["b.jinsuo", "--policy", "absent.policy"],
        ["absent.jinsuo", "--policy", "trust.policy"],
        ["b.jinsuo", "--policy", "b.jinsuo"],
        ["b.jinsuo", "--policy", "trust.policy", "--lang", "fr"],
        ["b.jinsuo", "--policy", "trust.policy", "--jsn"],
        ["b.jinsuo", "--pol", "trust.policy"],
        ["b.jinsuo", "--policy", "trust.policy", "--report", "no/such/folder/out.html"],
        ["receipt"],
        ["table-root"],
        ["table-root", "--row-secret", "trust.policy"],
        ["table-root", "--row-secret", "secret", "absent.lines"],
    ],
)
def test_wrong_usage_exits_with_64_and_one_sentence(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *arguments) == 64

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jinsuo-verify: ") and len(err.splitlines()) == 2
    assert "(JS-" in err and "Traceback" not in err


def test_wrong_policy_line_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "trust.policy").write_text("quorum none\nfoo\n")

    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--lang", "en") == 64
    assert "line 2 of the policy: 'foo' is none of" in capsys.readouterr().err


def test_folder_in_place_of_a_file_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--policy", str(folder / "trust.policy")]) == 64
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["receipt"], ["table-root"]])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_help_is_given_in_both_languages(command: list[str], language: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--lang", language, "--help"])

    assert leaving.value.code == 0
    assert ("jinsuo-verify" in (out := capsys.readouterr().out)) and any(c > "\u4e00" for c in out) == (
        language == "zh"
    )


# Large cells

CONTENT = b"scanned page " * 6000
TOKEN = Token(hashlib.sha256(CONTENT).digest(), len(CONTENT))
FILES = Schema(
    "@files", (Column("path", Kind.TEXT, False, "path"), Column("content", Kind.TEXT, True, "content")), ("path",)
)


@pytest.mark.parametrize(
    ("content", "exit_code", "outcome"),
    [
        (CONTENT, 0, "holds"),
        (None, 0, "not-examined"),
        (CONTENT[:-1], 1, "does-not-hold"),
        (CONTENT + b"x", 1, "does-not-hold"),
        (b"X" + CONTENT[1:], 1, "does-not-hold"),
    ],
)
def test_large_cells_are_looked_for_beside_the_bundle(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, exit_code: int, outcome: str
) -> None:
    snapshot = MadeSnapshot(contents={FILES: [b"a.pdf\t" + TOKEN.encode()]})
    (folder / "b.jinsuo").write_bytes(replace(make_bundle(snapshot, [("@files", b"a.pdf")]), blobs="pages").encode())
    if content is not None:
        (folder / "pages").mkdir()
        (folder / "pages" / TOKEN.sha256.hex()).write_bytes(content)

    assert run(folder, "b.jinsuo", "--policy", "trust.policy", "--json") == exit_code
    assert json.loads(capsys.readouterr().out)["steps"][-1]["outcome"] == outcome


# table-root


def root_of(folder: Path, capsys: pytest.CaptureFixture[str], lines: bytes) -> dict[str, Any]:
    (folder / "lines").write_bytes(lines)
    assert run(folder, "table-root", "--row-secret", "secret", "lines") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("vector", [v for v in VECTORS["tables"] if "n" in v], ids=lambda v: f"{v['n']}{v['seed']}")
def test_tables_of_the_vectors_have_their_roots(
    folder: Path, capsys: pytest.CaptureFixture[str], vector: dict[str, Any]
) -> None:
    lines = b"".join(line + b"\n" for line in visit_lines(vector["n"], vector["seed"]))

    found = root_of(folder, capsys, lines)
    assert found == {name: vector[name] for name in ("rows", "height", "items", "root")}


@pytest.mark.parametrize(
    ("number", "lines"),
    [
        (0, (b"d" * 65_535 + b"\n") * 3000),
        (1, b"x\n" * 50_000),
        (2, b"e" * 4095 + b"\nz\n"),
        (3, (b"00174" + b"d" * 65_530 + b"\n") * 40),
    ],
)
def test_keyless_tables_of_the_vectors_have_their_roots(
    folder: Path, capsys: pytest.CaptureFixture[str], number: int, lines: bytes
) -> None:
    vector = [v for v in VECTORS["tables"] if "lines" in v][number]

    found = root_of(folder, capsys, lines)
    assert found == {name: vector[name] for name in ("rows", "height", "items", "root")}


def test_last_line_without_a_line_end_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert root_of(folder, capsys, b"a\nb") == root_of(folder, capsys, b"a\nb\n")


def test_empty_line_is_a_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert root_of(folder, capsys, b"\n")["rows"] == 1
    assert root_of(folder, capsys, b"")["rows"] == 0


def test_lines_come_from_standard_input_if_no_file_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\n" * 3)))

    assert run(folder, "table-root", "--row-secret", "secret") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3
