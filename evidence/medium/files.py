# SPDX-License-Identifier: Apache-2.0
"""The files of a medium, whatever it is: a folder, a mounted disc, an image. Reading only; a bad sector is an OSError."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Protocol, cast

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
    """A medium that is a folder. Regular files alone: a link, wherever it leads, is not read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file. Raises: OSError."""
        place = self._root
        for part in path.split("/"):
            place = place / part
            if place.is_symlink():
                raise FileNotFoundError(f"{place} is a link")
        if not place.is_file():
            raise FileNotFoundError(f"{place} is no file")
        return cast(AbstractContextManager[BinaryIO], place.open("rb", buffering=0))

    def names(self) -> list[str]:
        """Give the paths of all files, ascending. Raises: OSError."""
        found: list[str] = []
        for base, folders, names in os.walk(self._root, onerror=_raise):
            folders[:] = [name for name in folders if not (Path(base) / name).is_symlink()]
            found += [(Path(base) / name).relative_to(self._root).as_posix() for name in names]
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
    found = (child for child in path.iterdir() if not child.name.startswith("."))
    return sorted(child for child in found if _is_image(child) or (child.is_dir() and is_medium(child)))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() == IMAGE_SUFFIX and path.is_file()


def _raise(err: OSError) -> NoReturn:
    raise err


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
