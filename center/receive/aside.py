# SPDX-License-Identifier: Apache-2.0
"""Put bags aside in a drop box, and clear away what was put aside long ago, where others can write at the same time.

Whoever delivers into a drop box can put links, files and folders of any name and mode into it, and exchange them between
two of our steps. So each folder on the way is opened without following links, and what is done, is done from there: nothing
outside the drop box is ever written, moved or removed, whatever stands in it. Names are cut so that they fit.
Windows has no such opening: there a link that stands in the way is refused by a look. Source: openat(2), O_NOFOLLOW.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_MOST_NAME_BYTES: Final = 200
"""File systems take 255: room for a number and for what is written beside a bag."""
_MOST_NUMBERS: Final = 100
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_HAS_DIR_FD: Final = os.open in os.supports_dir_fd


class Shelf:
    """A folder of a drop box, opened, such as `refused` or `done/<day>`. From `open_shelf`."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor

    def take_in(self, bag: Path, box: int | None) -> str:
        """Move a bag here, beside whatever lies here already; give the name that it has now. Raises: OSError."""
        stem, number = _fit(bag.name), 1
        name = stem
        while self._has(name):
            number += 1
            # Whoever brings one name again and again shall not make each look at all those before it.
            name = f"{stem}.{number}" if number < _MOST_NUMBERS else f"{stem}.{os.urandom(8).hex()}"
        if self._descriptor is None:  # pragma: no cover - Windows
            bag.rename(self._path / name)
        else:
            os.rename(bag.name, name, src_dir_fd=box, dst_dir_fd=self._descriptor)
            os.fsync(self._descriptor)
        return name

    def write(self, name: str, body: bytes) -> None:
        """Write a new file, durably; one of this name that is there already is not ours, and goes. Raises: OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self._name(name), dir_fd=self._descriptor)
        with os.fdopen(os.open(self._name(name), _NEW, 0o666, dir_fd=self._descriptor), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())

    def folders(self) -> list[str]:
        """Give the names of the folders in it. Raises: OSError."""
        with os.scandir(self._path if self._descriptor is None else self._descriptor) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def clear(self, name: str) -> None:
        """Remove a folder with all that is in it, and follow no link there; what cannot be removed stays."""
        shutil.rmtree(self._name(name), ignore_errors=True, dir_fd=self._descriptor)

    def _has(self, name: str) -> bool:
        try:
            os.stat(self._name(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _name(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._path / name)


@contextmanager
def open_shelf(box: Path, parts: Sequence[str], *, make: bool = False) -> Iterator[tuple[Shelf, int | None]]:
    """Open the folder `parts` below the drop box, and give it with the opened box; `make`: what is not there is made.

    Raises: FileNotFoundError; OSError: a link or a file stands in the way.
    """
    if not _HAS_DIR_FD:  # pragma: no cover - Windows
        yield Shelf(_walk(box, parts, make=make), None), None
        return
    opened = [os.open(box, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for part in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=opened[-1])
                    os.fsync(opened[-1])
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
        yield Shelf(box.joinpath(*parts), opened[-1]), opened[0]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _walk(box: Path, parts: Sequence[str], *, make: bool) -> Path:  # pragma: no cover - Windows
    place = box
    for part in parts:
        place /= part
        if make:
            place.mkdir(exist_ok=True)
        if place.resolve() != place.parent.resolve() / part:
            raise OSError(errno.ELOOP, "a link stands in the way", str(place))
    return place


def _fit(name: str) -> str:
    raw = os.fsencode(name)
    return name if len(raw) <= _MOST_NAME_BYTES else os.fsdecode(raw[:_MOST_NAME_BYTES])
