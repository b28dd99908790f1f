# SPDX-License-Identifier: Apache-2.0
"""The files of a medium, whatever it is: a folder, a mounted disc, an image. Reading only; a bad sector is an OSError."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

from evidence.digest import Sha256
from evidence.medium.layout import LISTING, LISTING_AGAIN, README

IMAGE_SUFFIX = ".iso"
_READ_BYTES = 1 << 20


class MediumFiles(Protocol):
    """A medium, opened. Paths are those of `layout`. Use as a context manager."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading and seeking. Raises: OSError, also while it is read."""

    def names(self) -> list[str]:
        """Give the paths of all files, ascending. Raises: OSError."""

    def __enter__(self) -> "MediumFiles":
        """Give the medium itself."""

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""


class FolderFiles:
    """A medium that is a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file. Raises: OSError."""
        return (self._root / path).open("rb")

    def names(self) -> list[str]:
        """Give the paths of all files, ascending. Raises: OSError."""
        found = (path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file())
        return sorted(found, key=str.encode)

    def __enter__(self) -> "FolderFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""


def open_medium(path: Path) -> MediumFiles:
    """Open the medium at `path`: a folder or an image. Raises: OSError."""
    if path.is_dir():
        return FolderFiles(path)
    from evidence.medium.image import ImageFiles  # only who reads images needs the library

    return ImageFiles(path)


def find_media(path: Path) -> list[Path]:
    """Give the media at `path`: itself, or the folders and images in it, by name. Raises: OSError."""
    if not path.is_dir():
        return [path]
    if is_medium(path):
        return [path]
    return sorted(
        child
        for child in path.iterdir()
        if child.suffix.lower() == IMAGE_SUFFIX or (child.is_dir() and is_medium(child))
    )


def is_medium(folder: Path) -> bool:
    """Tell whether a folder is the root of a medium."""
    return any((folder / name).is_file() for name in (README, LISTING, LISTING_AGAIN))


def read_parts(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's bytes to its end, in parts of 1 MiB. Raises: OSError."""
    while part := file.read(_READ_BYTES):
        yield part


def hash_file(file: BinaryIO) -> tuple[Sha256, int]:
    """Give SHA-256 and size of what is left in `file`. Raises: OSError."""
    state, size = hashlib.sha256(), 0
    for part in read_parts(file):
        state.update(part)
        size += len(part)
    return Sha256(state.digest()), size
