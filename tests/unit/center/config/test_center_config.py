# SPDX-License-Identifier: Apache-2.0
"""center.yaml: every key in the example, every wrong value told with its line."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from center.config import CenterConfig, Settings, load_config, parse_listen, write_config
from terminal.errors import SettingsError

EXAMPLE = Path(__file__).parents[4] / "config" / "center.example.yaml"


def keys_of(model: type[Settings], stem: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from keys_of(inner, f"{stem}{name}.")
        else:
            yield stem + name


def keys_in(document: dict[str, object], stem: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from keys_in(value, f"{stem}{name}.")
        else:
            yield stem + name


def test_the_example_has_every_key_and_no_other() -> None:
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert sorted(keys_in(document)) == sorted(keys_of(CenterConfig))


def test_the_example_states_the_defaults() -> None:
    assert load_config(EXAMPLE) == CenterConfig(origin="archives.example/jinsuo")


def test_the_example_is_what_init_writes() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == write_config("archives.example/jinsuo")


def test_every_key_of_the_example_has_a_comment_before_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if line and not line.lstrip().startswith("#") and line.strip() not in ("folders:", "limits:", "inboxes:"):
            assert before.lstrip().startswith("#"), line


def test_what_init_writes_keeps_odd_origins(tmp_path: Path) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(write_config('档案馆"x\\y#z', "[::1]:0"), encoding="utf-8")
    config = load_config(path)
    assert config.origin == '档案馆"x\\y#z'
    assert config.address == ("::1", 0)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("origin: a\nlisten: nohost\n", 2, "host:port"),
        ("origin: a\nlisten: a:70000\n", 2, "host:port"),
        ("origin: a b\n", 1, "without blanks"),
        ("origin: a+b\n", 1, "without blanks"),
        (f"origin: {'a' * 250}\n", 1, "the name of the log"),
        ("origin: a\nlistn: b:1\n", 2, "did you mean listen"),
        ("origin: a\nlimits:\n  pack_bytes: 17 MiB\n", 3, "at most 16777216"),
        ("origin: a\nlimits:\n  pack_byte: 1 MiB\n", 3, "did you mean pack_bytes"),
        ("origin: a\ndisk_reserve: 1 KiB\n", 2, "at least 16777216"),
        ("origin: a\ndisk_reserve: much\n", 2, "a size such as"),
        ("origin: a\nlimits:\n  request_timeout: fast\n", 3, "a time such as"),
        ("origin: a\nlanguage: de\n", 2, "one of"),
        ("listen: a:1\n", 1, "origin is missing"),
        ("origin: 7\n", 1, "expected text"),
        ("origin: a\norigin: b\n", 2, "stands twice"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as caught:
        load_config(path)
    assert caught.value.line == line


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:-1", "a:01", "a:١", "::1:80", "[::1]", "a b:1", "a:99999"])
def test_an_address_has_one_form(text: str) -> None:
    with pytest.raises(ValueError):
        parse_listen(text)
