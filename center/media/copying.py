# SPDX-License-Identifier: Apache-2.0
"""Bring a medium to the disk, once, from its beginning to its end: what cannot be read is told and filled with zeros.

A disc is read at its own speed and wears by seeking, so all that follows (repair, admission) works on the copy. A file
that was copied whole by a run that was cut is not read again. One bad sector costs one sector: what is around it is
what PAR2 mends it from.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from evidence.digest import Sha256
from evidence.errors import EvidenceError
from evidence.medium.files import MediumFiles, hash_file
from evidence.medium.layout import LISTING, LISTING_AGAIN, RECORDS, RECOVERY, check_path
from evidence.medium.listing import MAX_LISTING_BYTES, ListedFile, Listing, parse_listing
from terminal.errors import words_of
from terminal.language import Text

_PART_BYTES: Final = 1 << 20
_SECTOR_BYTES: Final = 2048
_MOST_UNLISTED_BYTES: Final = 128 << 30
_NO_NAME: Final = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""The fault of a name: too long, not of this file system, or in another file's place. Not the disk's."""


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A file of a medium that is not as its list says, and why."""

    path: str
    reason: Text


def read_listing(medium: MediumFiles) -> Listing | None:
    """Give the list of a medium, from either of its places; None if neither can be read."""
    for path in (LISTING, LISTING_AGAIN):
        try:
            with medium.open(path) as file:
                return parse_listing(_read_small(file))
        except (OSError, EvidenceError):
            continue
    return None


def measure_medium(medium: MediumFiles, listing: Listing | None) -> dict[str, int]:
    """Give the size of each file that is to be copied, by its path: as it is found, whatever the list claims.

    A list may lie, and so may files that share their sectors: what is copied never has more bytes than are told here.
    Raises: OSError: the medium's folders cannot be read.
    """
    listed = None if listing is None else {file.path: file.size for file in listing.files}
    sizes: dict[str, int] = {}
    for path in _names(medium) if listed is None else listed:
        if not is_wanted(path):
            continue
        try:
            with medium.open(path) as file:
                size = _size(file)
        except OSError:
            size = 0  # told when it is copied
        sizes[path] = size if listed is None else min(size, listed[path])
    return sizes


def copy_medium(
    medium: MediumFiles, listing: Listing | None, sizes: Mapping[str, int], root: Path, done: Callable[[int], None]
) -> list[FileDamage]:
    """Copy bags and recovery data into `root`, and read all other files too; give what is damaged.

    `sizes`: by `measure_medium`. Without a list everything found is copied, and nothing is known to be damaged but what
    cannot be read. `done` is told of bytes. Raises: TargetError: the disk that is written to refuses.
    """
    if listing is not None:
        found = (_copy_listed(medium, file, sizes.get(file.path, 0), root, done) for file in listing.files)
        return [damage for damage in found if damage is not None]
    damages: list[FileDamage] = []
    for path, size in sizes.items():
        reason = _copy(medium, path, root / path, None, size, done)
        damages += [] if reason is None else [FileDamage(path, reason)]
    return damages


def copy_raw(image: Path, target: Path, done: Callable[[int], None]) -> None:
    """Copy an image or a drive sector by sector, bad ones as zeros. Raises: OSError; TargetError."""
    try:
        copy = target.open("wb")
    except OSError as err:
        raise TargetError(err) from err
    with copy, image.open("rb", buffering=0) as source:
        raw = cast(BinaryIO, source)
        end, place = raw.seek(0, os.SEEK_END), 0
        while place < end:
            part, _ = _read_part(raw, place, min(_PART_BYTES, end - place))
            if not part:
                return
            place += len(part)
            _write(copy, part)
            done(len(part))


def is_wanted(path: str) -> bool:
    """Tell whether a file is copied: bags, and what they are repaired from."""
    return path.startswith((f"{RECORDS}/", f"{RECOVERY}/"))


def check_copy(root: Path, file: ListedFile) -> bool:
    """Tell whether the copy of a file is what the list says."""
    try:
        with (root / file.path).open("rb") as copy:
            return hash_file(copy) == (file.sha256, file.size)
    except OSError:
        return False


_OTHER_BYTES: Final = Text(zh="字节与清单所说的不同", en="other bytes than its list says")


class TargetError(Exception):
    """The disk that the copy goes to refuses. Attribute: `error`."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _copy_listed(
    medium: MediumFiles, file: ListedFile, size: int, root: Path, done: Callable[[int], None]
) -> FileDamage | None:
    if not is_wanted(file.path):
        try:
            with medium.open(file.path) as opened:
                found = hash_file(opened)
        except OSError as err:
            return FileDamage(file.path, words_of(err.strerror or err))
        done(file.size)
        return None if found == (file.sha256, file.size) else FileDamage(file.path, _OTHER_BYTES)
    if check_copy(root, file):
        done(file.size)
        return None
    reason = _copy(medium, file.path, root / file.path, file, size, done)
    return None if reason is None else FileDamage(file.path, reason)


def _copy(
    medium: MediumFiles, path: str, target: Path, file: ListedFile | None, end: int, done: Callable[[int], None]
) -> Text | None:
    """Copy the first `end` bytes of a file as far as they can be read; give what is wrong with it, if that is known."""
    bad = 0
    state = hashlib.sha256()
    size = 0
    try:
        with medium.open(path) as source, _create(target) as copy:
            while size < end:
                part, is_bad = _read_part(source, size, min(_PART_BYTES, end - size))
                bad += is_bad
                if not part:
                    break
                state.update(part)
                size += len(part)
                _write(copy, part)
                done(len(part))
    except OSError as err:
        return words_of(err.strerror or err)
    if bad:
        return Text(zh=f"{bad} 个扇区读不了", en=f"{bad} sectors cannot be read")
    if file is not None and (Sha256(state.digest()), size) != (file.sha256, file.size):
        return _OTHER_BYTES
    return None


@contextmanager
def _create(target: Path) -> Iterator[BinaryIO]:
    """Open the copy of a file, made anew. Raises: OSError: no file can be named so here; TargetError: the disk refuses."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = target.open("wb", buffering=0)
    except OSError as err:
        if err.errno in _NO_NAME:
            raise
        raise TargetError(err) from err
    with copy:
        yield cast(BinaryIO, copy)


def _read_part(source: BinaryIO, offset: int, size: int) -> tuple[bytes, int]:
    """Read a part; sectors of it that cannot be read are zeros, and are counted. Empty at the end of the file."""
    try:
        return _read_exactly(source, offset, size), 0
    except OSError:
        sectors: list[bytes] = []
        bad = 0
        for place in range(offset, offset + size, _SECTOR_BYTES):
            wanted = min(_SECTOR_BYTES, offset + size - place)
            try:
                sectors.append(_read_exactly(source, place, wanted))
            except OSError:
                sectors.append(bytes(wanted))
                bad += 1
        return b"".join(sectors), bad


def _read_exactly(source: BinaryIO, offset: int, size: int) -> bytes:
    source.seek(offset)
    parts: list[bytes] = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _size(source: BinaryIO) -> int:
    size = source.seek(0, os.SEEK_END)
    if size > _MOST_UNLISTED_BYTES:
        raise OSError(f"a file of {size} bytes is none of ours")
    return size


def _write(copy: BinaryIO, part: bytes) -> None:
    left = memoryview(part)
    try:
        while left:
            left = left[copy.write(left) :]
    except OSError as err:
        raise TargetError(err) from err


def _read_small(file: BinaryIO) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= MAX_LISTING_BYTES and (part := file.read(_PART_BYTES)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _names(medium: MediumFiles) -> list[str]:
    """Give the paths of a medium that lead nowhere else."""
    found: list[str] = []
    for path in medium.names():
        try:
            check_path(path)
        except EvidenceError:
            continue
        found.append(path)
    return found
