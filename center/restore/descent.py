# SPDX-License-Identifier: Apache-2.0
"""Ways into a folder that cannot be led out of it: each step is opened relative to the one above, never through a link.

Paths are bytes as the system gives them, relative, joined by `/`; one that is absolute, or has an empty, `.` or `..`
component or a NUL, is refused. Needs POSIX (`openat`). Source: CWE-22, CWE-59; POSIX openat(2).
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from terminal.language import Text

FOLDER_MODE: Final = 0o750
"""Of folders that the snapshot says no mode of."""
OPEN_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class RefusedPathError(Exception):
    """A path is not followed; the message says why. Attribute: `words`."""

    def __init__(self, words: Text) -> None:
        super().__init__(words.en)
        self.words = words


class Descent:
    """Open folders below a root, one inside another, never through a link."""

    def __init__(self, root: Path) -> None:
        """Open `root`; a link there is followed, for a person has named it. Raises: OSError."""
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self._open: list[tuple[bytes, int]] = []

    def enter_parent(self, path: bytes) -> tuple[int, bytes]:
        """Open the folder of `path`, or make it; give its descriptor, open until the next call, and the name."""
        *folders, name = path.split(b"/")
        for part in (*folders, name):
            if part in (b"", b".", b"..") or b"\0" in part:
                raise RefusedPathError(Text(zh="路径不在目标之下", en="the path is not one below the target"))
        same = 0
        while same < min(len(folders), len(self._open)) and self._open[same][0] == folders[same]:
            same += 1
        self._close_from(same)
        for part in folders[same:]:
            above = self._open[-1][1] if self._open else self._root
            self._open.append((part, _open_or_make(above, part)))
        return (self._open[-1][1] if self._open else self._root), name

    def walk(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield path, folder and name of everything below the root, in the order of the paths' bytes."""
        self._close_from(0)
        yield from self._walk_folder(self._root, b"")

    def _walk_folder(self, folder: int, prefix: bytes) -> Iterator[tuple[bytes, int, bytes]]:
        # The content of `a` stands where `a/` sorts: behind `a.txt`, before `a0`.
        places: list[bytes] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                places.append(name)
                if entry.is_dir(follow_symlinks=False):
                    places.append(name + b"/")
        for place in sorted(places):
            if not place.endswith(b"/"):
                yield prefix + place, folder, place
                continue
            below = os.open(place[:-1], OPEN_FOLDER, dir_fd=folder)
            try:
                yield from self._walk_folder(below, prefix + place)
            finally:
                os.close(below)

    def close(self) -> None:
        """Let go of everything."""
        self._close_from(0)
        os.close(self._root)

    def _close_from(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])


def _open_or_make(folder: int, name: bytes) -> int:
    try:
        return os.open(name, OPEN_FOLDER, dir_fd=folder)
    except FileNotFoundError:
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)
        return os.open(name, OPEN_FOLDER, dir_fd=folder)
    except OSError as err:
        if err.errno in (errno.ELOOP, errno.ENOTDIR):
            raise RefusedPathError(
                Text(zh="路径中应为目录之处是文件或链接", en="a file or a link stands where the path has a folder")
            ) from err
        raise
