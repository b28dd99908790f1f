# SPDX-License-Identifier: Apache-2.0
"""Files of a bundle: the same content gives the same bytes, sums that sha256sum accepts, tags that promise no more than is kept."""

import configparser
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from bundle import linux, windows
from bundle.tree import SUMS, copy_checkout, copy_handbook, pack, write_sum_beside, write_sums
from bundle.wheels import (
    ROOT,
    BundleError,
    Compiler,
    build_own,
    find_glibc,
    find_machine,
    linux_target,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "jinsuo-1-linux"
    (made / "wheels").mkdir(parents=True)
    (made / "install.sh").write_text("#!/bin/sh\n")
    (made / "install.sh").chmod(0o755)
    (made / "wheels" / "金锁.whl").write_bytes(b"wheel")
    return made


def test_archive_tells_nothing_of_where_and_when_it_was_packed(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one.tar.gz", 1_700_000_000)
    os.utime(folder / "install.sh", (1, 1))
    (folder / "wheels" / "金锁.whl").chmod(0o600)
    pack(folder, tmp_path / "another.tar.gz", 1_700_000_000)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "another.tar.gz").read_bytes()


def test_sums_are_checked_by_sha256sum(folder: Path, tmp_path: Path) -> None:
    write_sums(folder)
    assert len((folder / SUMS).read_text(encoding="utf-8").splitlines()) == 2
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", SUMS], cwd=folder, check=True)
    beside = write_sum_beside(folder / "install.sh")
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", beside.name], cwd=folder, check=True)
    (folder / "install.sh").write_text("#!/bin/evil\n")
    assert subprocess.run(["sha256sum", "--quiet", "-c", SUMS], cwd=folder, capture_output=True).returncode == 1


def test_handbook_is_shipped_in_both_languages_with_all_that_it_leads_to(tmp_path: Path) -> None:
    copy_handbook(ROOT, tmp_path)
    for name in ("operate.md", "operate.zh-CN.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text == (ROOT / "docs" / name).read_text(encoding="utf-8")
        pages = {*re.findall(r"\]\(([\w/.-]+\.md)\)", text), *re.findall(r"`(\w+\.md)`", text)} - {"handover.md"}
        assert len(pages) > 5
        assert [page for page in pages if not (tmp_path / page).is_file()] == []


def test_handbook_for_windows_opens_in_notepad(tmp_path: Path) -> None:
    copy_handbook(ROOT, tmp_path, for_windows=True)
    raw = (tmp_path / "operate.zh-CN.md").read_bytes()
    assert raw.startswith("\ufeff# 金锁操作手册\r\n".encode())
    assert raw.count(b"\n") == raw.count(b"\r\n") > 1000


def test_what_needs_an_extra_works_where_there_is_no_internet() -> None:
    """Nobody there can run pip for another extra: SSH and offline media are for those without a line above all."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = set(setup["options.extras_require"]) - {"operator", "dev"}
    assert extras - set(linux.EXTRAS) == {"mysql", "parquet", "windows"}
    assert extras - set(windows.EXTRAS) == {"parquet", "center"}
    (installed,) = re.findall(
        r'install "jinsuo\[([a-z,]+)\]==', (ROOT / "bundle" / "install.sh").read_text(encoding="utf-8")
    )
    assert installed.split(",") == list(linux.EXTRAS)


def test_only_what_git_knows_gets_into_a_bundle(tmp_path: Path) -> None:
    root, to = tmp_path / "root", tmp_path / "to"
    root.mkdir()
    (root / "known").write_text("a")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (["init", "-q"], ["add", "known"], ["commit", "-qm", "one"]):
        subprocess.run(
            [*git, *words], cwd=root, check=True, env={**os.environ, "GIT_COMMITTER_DATE": "1700000000 +0000"}
        )
    (root / "stray").write_text("b")
    (root / "known").write_text("changed")
    assert copy_checkout(root, to) == 1_700_000_000
    assert {path.name: path.read_text() for path in to.rglob("*")} == {"known": "changed"}


@pytest.mark.parametrize(
    ("members", "minor"),
    [
        ({"a.py": b"GLIBC_2.99"}, None),
        ({"k.so": b"\0GLIBC_2.2.5\0GLIBC_2.14\0"}, 14),
        ({"k.so": b"\0GLIBC_2.29\0GLIBC_2.4\0"}, 29),
    ],
    ids=["no kernel", "old symbols", "a new symbol"],
)
def test_newest_symbol_of_glibc_gives_the_tag(members: dict[str, bytes], minor: int | None, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert find_glibc(tmp_path / "x.whl") == minor


@pytest.mark.parametrize(
    ("head", "machine"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00", "aarch64"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00", "x86_64"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xf3\x00", None),
        (b"MZ", None),
    ],
    ids=["aarch64", "x86-64", "another", "no ELF"],
)
def test_kernel_tells_for_which_machine_it_is(head: bytes, machine: str | None, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("evidence/kernel/_kernel.abi3.so", head)
    assert find_machine(tmp_path / "x.whl") == machine


def test_a_wheel_takes_nothing_over_from_the_one_built_before_it(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    copy_checkout(ROOT, source)
    with pytest.raises(BundleError, match="the kernel for pdp11 was compiled for"):
        build_own(source, out, Compiler("pdp11", {}))
    no_compiler = Compiler(os.uname().machine, {"CC": "false"})
    assert find_machine(build_own(source, out, no_compiler)) is None


def test_target_asks_for_nothing_newer_than_it_says() -> None:
    platforms = linux_target("aarch64", ["3.11"]).platforms
    assert platforms[0] == "manylinux_2_28_aarch64"
    assert "manylinux_2_17_aarch64" in platforms and "manylinux_2_31_aarch64" not in platforms
