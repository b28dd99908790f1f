# SPDX-License-Identifier: Apache-2.0
"""What a person gets who mistypes a settings file: file, line, key, what was meant; never a trace, never a guess."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from terminal.errors import SettingsError
from terminal.language import Language, Text
from terminal.settings import MAX_SETTINGS_BYTES, Seconds, Settings, SizeBytes, mistake, parse_settings, read_settings


class Dog(Settings):
    kind: Literal["dog"]
    legs: Annotated[int, Field(ge=1, le=8)] = 4
    tricks: tuple[str, ...] = ()


class Fish(Settings):
    kind: Literal["fish"]
    fins: int


class Nap(Settings):
    length: Seconds = 60


class Zoo(Settings):
    name: str = "zoo"
    open: bool = True
    size: SizeBytes = 0
    nap: Nap = Nap()
    password: str | None = None
    language: Language | None = None
    folder: Path | None = None
    animals: tuple[Annotated[Dog | Fish, Field(discriminator="kind")], ...] = ()
    as_names: dict[str, str] = Field(default_factory=dict, alias="as")

    @field_validator("password", mode="before")
    @classmethod
    def _hide(cls, value: object) -> object:
        if value is not None and value != "secret:x":
            raise mistake(Text(zh="引用", en="a reference"), hidden=True)
        return value

    @field_validator("name")
    @classmethod
    def _no_blank(cls, name: str) -> str:
        if " " in name:
            raise ValueError(Text(zh="没有空格", en="no blank"))
        return name


def _parse(text: str | bytes) -> Zoo:
    return parse_settings(text.encode() if isinstance(text, str) else text, "zoo.yaml", Zoo)


def test_good_file_becomes_a_frozen_model() -> None:
    zoo = _parse(
        "name: 动物园\nopen: false\nsize: 20 GiB\nnap: {length: 10 min}\nlanguage: zh\nfolder: a/b\nas: {x: y}\n"
        "animals:\n- kind: dog\n  legs: 3\n  tricks: [sit, '007']\n- {kind: fish, fins: 2}\n"
    )
    assert (zoo.name, zoo.open, zoo.size, zoo.nap.length) == ("动物园", False, 20 << 30, 600)
    assert (zoo.language, zoo.folder, zoo.as_names) == (Language.ZH, Path("a/b"), {"x": "y"})
    assert zoo.animals == (Dog(kind="dog", legs=3, tricks=("sit", "007")), Fish(kind="fish", fins=2))
    with pytest.raises(ValueError, match="frozen"):
        zoo.name = "other"


def test_empty_file_is_all_defaults() -> None:
    assert _parse("") == _parse("# only a comment\n") == Zoo()


def test_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    assert _parse(b"\xef\xbb\xbfname: a\r\nopen: false\r\n").name == "a"


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ("nmae: a", 1, "nmae", "unknown key nmae (did you mean name?)"),
        ("open: true\nnap:\n  lenght: 3", 3, "nap.lenght", "unknown key lenght (did you mean length?)"),
        ("animals:\n- kind: dog\n  leg: 3", 3, "animals[0].leg", "unknown key leg (did you mean legs?)"),
        ("animals:\n- kind: dog\n- kind: dgo", 3, "animals[1]", "there is no kind dgo (did you mean dog?)"),
        ("animals:\n- legs: 3", 2, "animals[0]", "kind is missing"),
        ("animals:\n- kind: fish", 2, "animals[0]", "fins is missing"),
        ("animals:\n- kind: fish\n  fins: '2'", 3, "animals[0].fins", "expected a whole number, found '2'"),
        ("animals:\n- kind: fish\n  fins: 2.0", 3, "animals[0].fins", "expected a whole number, found 2.0"),
        ("animals:\n- kind: dog\n  legs: 9", 3, "animals[0].legs", "expected at most 8, found 9"),
        ("animals:\n- kind: dog\n  tricks: sit", 3, "animals[0].tricks", "expected a list, found 'sit'"),
        ("animals:\n- kind: dog\n  tricks: [sit, 007]", 3, "animals[0].tricks[1]", "expected text"),
        ("animals: {}", 1, "animals", "expected a list, found a mapping"),
        ("animals: [~]", 1, "animals[0]", "expected a mapping, found nothing"),
        ("name: 12", 1, "name", "expected text (in quotes if it looks like something else), found 12"),
        ("name: yes", 1, "name", "found true (YAML reads yes, no, on and off so)"),
        ("name: 22:30", 1, "name", "expected text"),
        ("name: a b", 1, "name", "expected no blank, found 'a b'"),
        ("open: 'true'", 1, "open", "expected true or false, found 'true'"),
        ("open: 1", 1, "open", "expected true or false, found 1"),
        ("size: 20 GB", 1, "size", "expected a size such as 512 MiB or 20 GiB, found '20 GB'"),
        ("size: 1.5 GiB", 1, "size", "expected a size"),
        ("nap: {length: 6 hours}", 1, "nap.length", "expected a time such as 30 s, 10 min, 6 h or 14 d"),
        ("nap: 3", 1, "nap", "expected a mapping, found 3"),
        ("language: cn", 1, "language", "expected one of 'zh' or 'en', found 'cn'"),
        ("as: [x]", 1, "as", "expected a mapping, found a list"),
        ("as: {x: 1}", 1, "as.x", "expected text"),
        ("name: a\nopen: true\nname: b", 3, "name", "key name stands twice (first in line 1)"),
        ("as:\n  x: a\n  x: b", 3, "as.x", "key x stands twice"),
        ("[1, 2]", 1, "", "expected a mapping, found a list"),
        ("just words", 1, "", "expected a mapping, found 'just words'"),
        ("name: 2024-01-01", 1, "name", "2024-01-01 reads as a date"),
        ("size: .nan", 1, "size", ".nan reads as a special number"),
        ("size: .inf", 1, "size", "special number"),
        ("name: &a x\nfolder: *a", 1, "", "anchors, aliases and tags"),
        ("name: !!python/object:os.system x", 1, "", "anchors, aliases and tags"),
        ("<<: {name: x}", 1, "", "a key must be plain text"),
        ("? [a]\n: b", 1, "", "a key must be plain text"),
        ("name:\n\tx", 2, "", "cannot start any token"),
        ("name: a: b", 1, "", "mapping values are not allowed here"),
        ("name: 'x", 1, "", "it is not YAML"),
        ("name: a\n---\nname: b", 2, "", "another document"),
        ("name: a\nfolder: \x01", 2, "", "U+0001"),
        ("name: =", 1, "name", "a meaning of its own"),
    ],
)
def test_mistake_is_told_with_its_line_and_key(text: str, line: int, key: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _parse(text)
    err = caught.value
    assert said in str(err)
    assert (err.path, err.line, err.key) == ("zoo.yaml", line, key)
    assert str(err).startswith(f"zoo.yaml line {line}")
    assert err.hint
    assert "zoo.yaml" in err.sentence(Language.ZH)
    assert err.advice(Language.ZH) != err.advice(Language.EN)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("名: 字".encode("gbk"), "not UTF-8"),
        ("name: a".encode("utf-16"), "UTF-16"),
        (b"#" * (MAX_SETTINGS_BYTES + 1), "longer than"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_file_that_is_no_settings_file_is_refused_shortly(raw: bytes, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        _parse(raw)


def test_first_of_several_mistakes_is_told_and_the_others_counted() -> None:
    with pytest.raises(SettingsError) as caught:
        _parse("animals:\n- {kind: dog, legs: x}\nnmae: b\nopen: 3\n")
    assert caught.value.line == 2
    assert caught.value.hint.endswith("2 more mistakes in this file")


def test_value_that_may_be_a_password_is_shown_nowhere() -> None:
    with pytest.raises(SettingsError) as caught:
        _parse("password: hunter2")
    chain, texts = caught.value.__cause__, [str(caught.value), caught.value.hint, repr(caught.value)]
    while chain is not None:
        texts.append(str(chain))
        chain = chain.__cause__
    assert "hunter2" not in " ".join(texts)


def test_file_that_is_not_there_is_an_error_of_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no settings file"):
        read_settings(tmp_path / "absent.yaml", Zoo)


def test_value_of_two_lines_is_shown_on_one() -> None:
    with pytest.raises(SettingsError) as caught:
        _parse("0\n\n0")
    assert r"'0\n0'" in str(caught.value)


@given(st.text(alphabet="name:opn {}[]-'\"\n\t#&*!|>1.0中\x00~", max_size=60) | st.binary(max_size=60))
def test_no_bytes_do_anything_but_parse_or_be_refused(text: str | bytes) -> None:
    try:
        assert isinstance(_parse(text), Zoo)
    except SettingsError as err:
        assert "\n" not in str(err)
