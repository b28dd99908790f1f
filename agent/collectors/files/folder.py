# SPDX-License-Identifier: Apache-2.0
"""One open folder: its names, and what stands behind each. Never follows a link, never writes.

Names are bytes as the system gives them (Windows: UTF-8, unpaired surrogates as WTF-8, which is what `os` gives for
bytes there). Where the system has descriptors of folders (POSIX), everything is opened relative to one: a folder that
somebody swaps for a link between two steps cannot lead the agent out of the tree, and paths of any depth can be read.
Elsewhere paths are joined.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final, Protocol

_HAS_DESCRIPTORS: Final = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FILE_FLAGS: Final = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_NO_ACCESS_TIME: Final = getattr(os, "O_NOATIME", 0)
_JUNCTION: Final = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT: a folder on Windows that stands for another one."""


class Folder(Protocol):
    """An open folder. Every method but `close` raises OSError."""

    def names(self) -> Iterator[bytes]:
        """Yield the names in it, in no order."""

    def status(self) -> os.stat_result:
        """Give the folder's own status."""

    def look(self, name: bytes) -> os.stat_result:
        """Give the status of what stands under `name`; of a link, the link's own."""

    def target(self, name: bytes) -> bytes:
        """Give where a link points to, as it is written."""

    def open_file(self, name: bytes) -> int:
        """Open a file for reading; give its descriptor. Does not wait for a pipe's other end."""

    def enter(self, name: bytes) -> "Folder":
        """Open a folder in it."""

    def close(self) -> None:
        """Let it go; it is not used after that."""


def open_folder(path: bytes) -> Folder:
    """Open the folder `path`; a link there is followed, for a person has named it. Raises: OSError."""
    if _HAS_DESCRIPTORS:
        return _ByDescriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    return _ByPath(path)


def is_link(status: os.stat_result) -> bool:
    """Tell whether it is a symbolic link, or a junction on Windows."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


class _ByDescriptor:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def names(self) -> Iterator[bytes]:
        # The descriptor's position is shared with what scandir duplicates: begin at the start each time.
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with os.scandir(self._descriptor) as entries:
            for entry in entries:
                yield os.fsencode(entry.name)

    def status(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def look(self, name: bytes) -> os.stat_result:
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def target(self, name: bytes) -> bytes:
        return os.readlink(name, dir_fd=self._descriptor)

    def open_file(self, name: bytes) -> int:
        try:
            # Reading leaves no trace where the system lets us (own files, or root).
            return os.open(name, _FILE_FLAGS | _NO_ACCESS_TIME, dir_fd=self._descriptor)
        except PermissionError:
            return os.open(name, _FILE_FLAGS, dir_fd=self._descriptor)

    def enter(self, name: bytes) -> Folder:
        return _ByDescriptor(os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW, dir_fd=self._descriptor))

    def close(self) -> None:
        os.close(self._descriptor)


class _ByPath:
    def __init__(self, path: bytes) -> None:
        self._path = path
        if not stat.S_ISDIR(self.status().st_mode):
            raise NotADirectoryError(20, "Not a directory", path)

    def names(self) -> Iterator[bytes]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                yield entry.name

    def status(self) -> os.stat_result:
        return os.stat(self._path)  # noqa: PTH116 - names are bytes

    def look(self, name: bytes) -> os.stat_result:
        return os.lstat(self._join(name))

    def target(self, name: bytes) -> bytes:
        return os.readlink(self._join(name))  # noqa: PTH115 - names are bytes

    def open_file(self, name: bytes) -> int:
        return os.open(self._join(name), _FILE_FLAGS)

    def enter(self, name: bytes) -> Folder:
        if is_link(self.look(name)):
            raise NotADirectoryError(20, "Not a directory", name)
        return _ByPath(self._join(name))

    def close(self) -> None:
        pass

    def _join(self, name: bytes) -> bytes:
        return os.path.join(self._path, name)  # noqa: PTH118 - names are bytes
