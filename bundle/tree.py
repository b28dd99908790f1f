# SPDX-License-Identifier: Apache-2.0
"""Files of a bundle: a clean copy of the checkout, the handbook, checksums, an archive whose bytes depend on its content alone."""

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

SUMS = "SHA256SUMS"
HANDBOOK = ("operate.zh-CN.md", "operate.md", "format.md", "threats.md", "benchmarks.md")


def copy_checkout(root: Path, to: Path) -> int:
    """Copy what git knows of `root`, as it is on disk; give the time of the last commit, in seconds.

    Not the folder itself: what lies about in it (builds, an environment) must not get into a wheel.
    """
    listed = _git(root, "ls-files", "-z")
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    return int(_git(root, "log", "-1", "--format=%ct").strip())


def copy_handbook(source: Path, to: Path, *, for_windows: bool = False) -> None:
    """Copy the handbook, in both languages, with the pages that it names, from `source`/docs to `to`.

    `for_windows`: with a byte order mark and CRLF, which Notepad needs before Windows 10 1809.
    """
    for path in (*(source / "docs" / name for name in HANDBOOK), *(source / "docs" / "decisions").glob("*.md")):
        target = to / path.relative_to(source / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        encoding, line_end = ("utf-8-sig", "\r\n") if for_windows else ("utf-8", "\n")
        target.write_text(text, encoding=encoding, newline=line_end)


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` for every file below `folder`, as sha256sum reads it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def write_sum_beside(path: Path) -> Path:
    """Write `NAME.sha256` beside the file, as sha256sum reads it."""
    beside = path.with_name(path.name + ".sha256")
    beside.write_text(f"{_sha256(path)}  {path.name}\n", encoding="utf-8", newline="\n")
    return beside


def pack(folder: Path, to: Path, when_s: int) -> None:
    """Write `folder` as a .tar.gz in which nothing tells where, when and by whom it was packed."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = when_s
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    with (
        to.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in (folder, *sorted(folder.rglob("*"))):
            name = (Path(folder.name) / path.relative_to(folder)).as_posix()
            archive.add(path, name, recursive=False, filter=plain)


def set_times(folder: Path, when_s: int) -> None:
    """Give every file the same time, for formats that write it down."""
    for path in folder.rglob("*"):
        os.utime(path, (when_s, when_s))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout
