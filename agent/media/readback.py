# SPDX-License-Identifier: Apache-2.0
"""Read a written medium back: every file of its list hashed again, from the medium and not from memory where that can be."""

import os
from contextlib import suppress
from pathlib import Path

from agent.errors import MediumDamagedError
from evidence.errors import EvidenceError
from evidence.medium.files import MediumFiles, hash_file, open_medium
from evidence.medium.layout import LISTING, LISTING_AGAIN
from evidence.medium.listing import MAX_LISTING_BYTES, ListedFile, Listing, parse_listing
from evidence.medium.number import MediumNumber
from terminal.language import Text


def read_back(path: Path, number: MediumNumber) -> Listing:
    """Check the medium at `path`; give its list. Raises: MediumDamagedError, naming the first file that differs."""
    _forget_cached(path)
    try:
        with open_medium(path) as medium:
            listing = _read_listing(medium)
            if listing.number != number:
                raise _damaged(path, LISTING, f"{listing.number}")
            for file in listing.files:
                _check_file(medium, path, file)
            others = set(medium.names()) - {file.path for file in listing.files} - {LISTING, LISTING_AGAIN}
            if others:
                raise _damaged(path, min(others), "not in the list")
    except (OSError, EvidenceError) as err:
        raise _damaged(path, LISTING, str(err)) from err
    return listing


def _read_listing(medium: MediumFiles) -> Listing:
    bodies = []
    for name in (LISTING, LISTING_AGAIN):
        with medium.open(name) as file:
            bodies.append(file.read(MAX_LISTING_BYTES + 1))
    if bodies[0] != bodies[1]:
        raise OSError(f"{LISTING} and {LISTING_AGAIN} differ")
    return parse_listing(bodies[0])


def _check_file(medium: MediumFiles, path: Path, file: ListedFile) -> None:
    try:
        with medium.open(file.path) as opened:
            digest, size = hash_file(opened)
    except OSError as err:
        raise _damaged(path, file.path, err.strerror or str(err)) from err
    if (digest, size) != (file.sha256, file.size):
        raise _damaged(path, file.path, f"SHA-256 {digest.hex()[:16]}…, {size} B")


def _damaged(path: Path, name: str, why: str) -> MediumDamagedError:
    return MediumDamagedError(
        Text(
            zh=f"{path} 写后读回不符：{name}（{why}）",
            en=f"{path} does not read back as it was written: {name} ({why})",
        ),
        hint=Text(
            zh="换一张盘或另一个目标，再运行同一命令：从这一卷继续",
            en="take another medium or target and run the same command again: it goes on with this volume",
        ),
    )


def _forget_cached(path: Path) -> None:
    """Ask the system to forget what it has in memory of these files, so that they are read from the medium."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(OSError), file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
