# SPDX-License-Identifier: Apache-2.0
"""What the rules of the command collector say without running anything: masks, limits, forms, environment, settings."""

import gzip
import lzma
import subprocess
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.command import CommandSettings, Output
from agent.collectors.command.environment import MASKED, Mask, child_environment
from agent.collectors.command.forms import describe_form, find_compressing_word
from agent.collectors.command.patience import Patience
from agent.collectors.command.streams import last_words
from agent.errors import BudgetError, SourceError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _patience(clock: Clock) -> Patience:
    return Patience("expdp", timeout_s=100, stall_s=10, clock=clock)


def test_signs_of_life_count_only_if_they_differ() -> None:
    clock = Clock()
    patience = _patience(clock)
    for clock.now, signs in ((9, 1), (18, 2), (27, 3), (36.9, 3)):
        patience.look(signs)
    clock.now = 37
    with pytest.raises(BudgetError, match="no byte for 10 s"):
        patience.look(3)


def test_time_in_which_the_command_waited_for_us_is_not_its_own() -> None:
    clock = Clock()
    patience = _patience(clock)
    clock.now = 60
    patience.rest()
    clock.now = 69
    patience.look(None)


def test_whole_is_bounded_however_lively_the_command() -> None:
    clock = Clock()
    patience = _patience(clock)
    for clock.now in range(100):
        patience.look(clock.now)
    clock.now = 100
    with pytest.raises(BudgetError, match="did not end within 100 s"):
        patience.look("alive")


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4), st.binary(max_size=30), st.data())
def test_mask_leaves_no_secret_wherever_the_text_was_cut(secrets: list[str], noise: bytes, data: st.DataObject) -> None:
    mask = Mask(secrets)
    words = [s.encode() for s in secrets if "*" not in s]
    raw = b"".join(data.draw(st.permutations([noise, *words, noise, *words])))
    begin = data.draw(st.integers(0, min(mask.longest, len(raw))))
    said = mask.apply(raw, begin)
    assert len(said) <= len(raw) - begin + len(MASKED) * (len(raw) + 1)
    for part in said.split(MASKED):
        assert not [word for word in words if word in part]


def test_secret_that_the_cut_runs_through_is_masked() -> None:
    mask = Mask(["hunter2"])
    assert mask.longest == 14  # as wide text
    assert mask.apply(b"ab hunter2 cd hunter2", 6) == b"*** cd ***"
    assert Mask([]).apply(b"as it is", 3) == b"it is"
    assert Mask(["abc", "abcdef"]).apply(b"abcdef abc") == b"*** ***"


def test_environment_is_a_few_of_the_systems_and_what_the_settings_give() -> None:
    system = {"PATH": r"C:\bin", "SystemRoot": r"C:\Windows", "HOME": "/h", "JINSUO_SECRET_HIS": "x", "PGPASSWORD": "y"}
    assert child_environment({"HOME": "/h", "X": "1"}, {"HOME": "/o", "A": "b"}, "/bin") == {
        "HOME": "/o", "A": "b", "PATH": "/bin",
    }  # fmt: skip
    assert set(child_environment(system, {}, "/bin")) == {"PATH", "SystemRoot", "HOME"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ""),
        (b"\n \n\t\n", ""),
        (b"first\nlast\n\n", "last"),
        ("错误：连接失败\r\n".encode(), "错误：连接失败"),
        ("错误：连接失败\r\n".encode("gb18030"), "错误：连接失败"),
        (b"\x1b[31mred\x07", "[31mred"),
        (b"ok\xff\xff\xff\xff", "ok�"),
    ],
)
def test_last_words_are_one_line_that_can_be_printed(text: bytes, words: str) -> None:
    assert last_words(text)[: len(words) or None] == words
    assert last_words(text).isprintable()


def test_forms_are_told_by_what_the_programs_write(tmp_path: Path) -> None:
    plain = b"-- PostgreSQL database dump\n" * 100
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a", plain)
    assert describe_form(gzip.compress(plain)[:32]) == "compressed (gzip)"
    assert describe_form(lzma.compress(plain)[:32]) == "compressed (xz)"
    assert describe_form(zstandard.compress(plain)[:32]) == "compressed (zstd)"
    assert describe_form((tmp_path / "a.zip").read_bytes()[:32]) == "compressed (zip)"
    encrypt = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", "pass:x"]
    salted = subprocess.run(encrypt, input=plain, capture_output=True, check=True).stdout
    assert describe_form(salted[:32]) == "encrypted (openssl)"
    for head in (plain[:32], b"", b"P", b"PGDMP", b"TAPE\0\0", bytes(32), "住院".encode(), b"\xff\xfe<\0", b"\x85"):
        assert describe_form(head) is None, head


def test_openpgp_packets_are_told_apart_from_other_bytes() -> None:
    assert describe_form(bytes((0x85, 0x02, 0x0C, 0x03)) + bytes(28)) == "encrypted (OpenPGP)"
    assert describe_form(bytes((0x8C, 0x0D, 0x04, 0x09)) + bytes(28)) == "encrypted (OpenPGP)"
    assert describe_form(bytes((0x85, 0x02, 0x0C, 0x41)) + bytes(28)) is None


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("pg_dump his", None),
        ("pg_dump -Fc his", "-Fc"),
        ("pg_dump -F c his", "c"),
        ("pg_dump --format=custom -Z0 his", None),
        ("pg_dump -Fc -Z 0 his", None),
        ("pg_dump -Fc --compress=none his", None),
        ("pg_dump -Fp --compress=0 his", None),
        ("pg_dump -Z9 his", "-Z9"),
        ("mongodump --archive --gzip", "--gzip"),
        ("mongodump --archive", None),
        ("expdp / DUMPFILE=a.dmp COMPRESSION=ALL", "COMPRESSION=ALL"),
        ("expdp / DUMPFILE=a.dmp COMPRESSION=NONE", None),
        ("/usr/bin/zstd -c x", "/usr/bin/zstd"),
        ("tool --out a.sql.gz", "a.sql.gz"),
    ],
)
def test_word_that_asks_for_compression_is_found(words: str, found: str | None) -> None:
    assert find_compressing_word(words.split()) == found


def test_backup_with_compression_is_found_in_a_query() -> None:
    query = "BACKUP DATABASE his TO DISK='d' WITH {}, CHECKSUM"
    assert find_compressing_word(["sqlcmd", "-Q", query.format("COMPRESSION")]) is not None
    assert find_compressing_word(["sqlcmd", "-Q", query.format("NO_COMPRESSION")]) is None
    assert find_compressing_word(["sqlcmd", "-Q", query.format("INIT")]) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0", "a\nb"])
def test_dump_whose_name_is_no_single_component_is_refused(name: str) -> None:
    with pytest.raises(SourceError):
        CommandSettings(("x",), name)


def test_settings_that_do_not_fit_together_are_refused_and_values_of_env_are_not_shown() -> None:
    for wrong in (
        lambda: CommandSettings((), "a"),
        lambda: CommandSettings(("",), "a"),
        lambda: CommandSettings(("x",), "a", output=Output.FILE),
        lambda: CommandSettings(("x",), "a", path=Path("a")),
    ):
        with pytest.raises(SourceError):
            wrong()
    assert "hunter2" not in repr(CommandSettings(("x",), "a", env={"P": "hunter2"}, secrets=("hunter2",)))
    assert CommandSettings(("/opt/oracle/bin/expdp", "scott/tiger"), "a").program == "expdp"
