# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center ssh-key`: where a key leads by default, what a person reads, what is refused, and what the log says."""

import io
import json
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from center.cli.main import make_program
from evidence.manifest.entry import parse_act, parse_entry
from evidence.note.signed import parse_note
from tests.builders.center import create_center, open_center

KEY = "ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode() + " jinsuo-agent\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        center.units.add("X013", "市第一医院")
    (tmp_path / "X013.pub").write_text(KEY)
    return tmp_path / "center"


def run(folder: Path, *words: str, lang: str = "en") -> int:
    return make_program().main(["-C", str(folder), "--lang", lang, *words], environ={})


def listen(folder: Path, address: str) -> None:
    path = folder / "center.yaml"
    lines = [f'listen: "{address}"' if line.startswith("listen:") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("0.0.0.0:8443", "127.0.0.1:8443"),
        ("[::]:8443", "[::1]:8443"),
        ("10.1.2.3:9", "10.1.2.3:9"),
        ("[2001:db8::5]:8443", "[2001:db8::5]:8443"),
    ],
)
def test_a_key_leads_to_where_the_center_listens(
    folder: Path, capsys: pytest.CaptureFixture[str], address: str, target: str
) -> None:
    listen(folder, address)
    assert run(folder, "--json", "ssh-key", "add", "X013", "--key", str(folder.parent / "X013.pub")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["to"], told["change"], told["file"]) == (target, "added", str(folder / "ssh" / "authorized_keys"))
    assert f'permitopen="{target}"' in (folder / "ssh" / "authorized_keys").read_text()


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_person_reads_what_was_done_and_the_log_has_it(
    folder: Path, capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    words = {
        "zh": ("已加入", "早已如此", "已删去", "没有"),
        "en": ("added", "there already", "is removed", "has no key"),
    }[lang]
    add = ("ssh-key", "add", "X013", "--key", str(folder.parent / "X013.pub"), "--file", str(folder.parent / "keys"))
    remove = ("ssh-key", "remove", "X013", "--file", str(folder.parent / "keys"))
    for line, word in ((add, words[0]), (add, words[1]), (remove, words[2]), (remove, words[3])):
        assert run(folder, *line, lang=lang) == 0
        assert word in capsys.readouterr().out
    with open_center(folder) as center:
        acts = [
            parse_act(parse_note(entry.note).text)
            for raw in center.ledger.entries()
            if (entry := parse_entry(raw)).kind == "unit"
        ]
    assert [(act.event, act.object, act.outcome) for act in acts][1:] == [
        ("ssh key", "X013", "added"),
        ("ssh key", "X013", "removed"),
    ]
    assert run(folder, "audit") == 0


def test_the_list_shows_a_line_that_somebody_altered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(folder, "ssh-key", "add", "X013", "--key", str(folder.parent / "X013.pub"), "--to", "127.0.0.1:8443") == 0
    )
    capsys.readouterr()
    assert run(folder, "ssh-key", "list") == 0
    assert "as written" in capsys.readouterr().out
    path = folder / "ssh" / "authorized_keys"
    path.write_text(path.read_text().replace("8443", "22"))
    assert run(folder, "--json", "ssh-key", "list") == 0
    assert json.loads(capsys.readouterr().out)["keys"][0]["altered"] is False  # another port, written as we write it
    path.write_text(path.read_text().replace("restrict,", ""))
    capsys.readouterr()
    assert run(folder, "ssh-key", "list") == 0
    assert "ALTERED" in capsys.readouterr().out


def test_keys_come_from_stdin_and_from_what_powershell_writes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "X013.pub").write_bytes(KEY.replace("\n", "\r\n").encode("utf-16"))
    to = ("--to", "127.0.0.1:8443")
    assert run(folder, "ssh-key", "add", "X013", "--key", str(folder.parent / "X013.pub"), *to) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(KEY))
    capsys.readouterr()
    assert run(folder, "--json", "ssh-key", "add", "X013", "--key", "-", *to) == 0
    assert json.loads(capsys.readouterr().out)["change"] == "unchanged"


@pytest.mark.parametrize(
    ("words", "code", "fact"),
    [
        (("ssh-key", "add", "X099", "--key", "KEY"), 64, "X099"),
        (("ssh-key", "add", "X013", "--key", "KEY", "--to", "8443"), 64, "no address"),
        (("ssh-key", "add", "X013", "--key", "KEY", "--to", "127.0.0.1:0"), 64, "no address"),
        (("ssh-key", "add", "X013", "--key", "nothing.pub"), 1, "nothing.pub"),
        (("ssh-key", "add", "X013", "--key", "CENTER"), 1, "no public key"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, fact: str
) -> None:
    places = {"KEY": str(folder.parent / "X013.pub"), "CENTER": str(folder / "center.yaml")}
    assert run(folder, *(places.get(word, word) for word in words)) == code
    assert fact in capsys.readouterr().err
    assert not (folder / "ssh").exists()
