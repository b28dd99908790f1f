# SPDX-License-Identifier: Apache-2.0
"""Durable writes: after a call returns, the file survives power loss, whole, under its name.

The order is the safety argument: write a temporary file in the same folder, flush, fsync, give it its name in one
atomic step, fsync the folder. What a crash leaves behind is a `*.tmp` file, which `remove_leftovers` clears at start.
Threads: different paths may be written at once. Source: POSIX fsync/link/rename; "Files are hard" (Luu, 2015).
Windows: folders cannot be fsynced; NTFS journals the rename, and FlushFileBuffers on the file precedes it.
"""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_SUFFIX = ".tmp"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_BUFFER_BYTES = 256 << 10
"""Files are written in small frames: fewer, larger writes halve what they cost."""


class NewFile:
    """A file that gets its name only when it is whole and durable.

    Use as a context manager; leaving without `commit_*` removes what was written. Not thread-safe.
    """

    def __init__(self, folder: Path, token: str, mode: int = 0o666) -> None:
        """Open a temporary file in `folder`; `token` keeps concurrent writers apart, `mode` is less the umask.

        What is there under its name goes first: a crash has left it, or somebody else who can write into the folder has put a
        link there, to have another file overwritten.
        """
        make_folder(folder)
        self._path: Path | None = folder / f".{token}{_SUFFIX}"
        try:
            descriptor = os.open(self._path, _NEW, mode)
        except FileExistsError:
            self._path.unlink(missing_ok=True)
            descriptor = os.open(self._path, _NEW, mode)
        self._file: BinaryIO = os.fdopen(descriptor, "w+b", buffering=_BUFFER_BYTES)

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`. Raises: OSError (ENOSPC among others); nothing gets its name then."""
        self._file.write(data)

    def allow(self, mode: int) -> None:
        """Give the file exactly these rights, before it has its name: by that, it could be another file's by then."""
        os.fchmod(self._file.fileno(), mode)

    def commit_new(self, path: Path) -> bool:
        """Name the file `path` unless that exists; tell whether this call made it. An existing file is never touched.

        The name is durable either way: whoever was first may not have synced it yet, or may have died before.
        """
        self._settle()
        assert self._path is not None
        is_new = True
        try:
            if os.name == "nt":  # pragma: no cover - os.rename refuses an existing target there
                self._path.rename(path)
            else:
                os.link(self._path, path)
                self._path.unlink()
        except FileExistsError:
            self._path.unlink()
            is_new = False
        self._path = None
        sync_folder(path.parent)
        return is_new

    def commit_over(self, path: Path) -> None:
        """Name the file `path`, replacing what was there in one step."""
        self._settle()
        assert self._path is not None
        self._path.replace(path)
        self._path = None
        sync_folder(path.parent)

    def __enter__(self) -> "NewFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A full disk refuses what is still buffered even at closing; what was not committed is not wanted any more.
        with suppress(OSError):
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _settle(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def write_new(path: Path, data: bytes, mode: int = 0o666) -> bool:
    """Write `data` durably under `path` unless it exists; tell whether this call made it.

    A secret is written with `mode` 0o600: there is no moment at which others can read it.
    """
    with NewFile(path.parent, f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}", mode) as file:
        file.write(data)
        return file.commit_new(path)


def write_over(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write `data` durably under `path`, replacing what was there in one step; a secret with `mode` 0o600."""
    with NewFile(path.parent, f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}", mode) as file:
        file.write(data)
        file.commit_over(path)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it, durably: else a synced file could vanish together with its new folder."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def make_private_folder(folder: Path) -> None:
    """Make `folder`, durably, for its owner alone, whatever the umask; one that is there already is closed to others.

    What lies in it needs no rights of its own then: files are made by many, SQLite among them. On Windows: inherited.
    Raises: OSError.
    """
    make_folder(folder)
    if os.name == "posix":
        folder.chmod(0o700)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (nothing to do on Windows)."""
    if os.name == "nt":  # pragma: no cover
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> int:
    """Remove temporary files that a crash left in `folder`, not below it; give their number. Call before writing starts."""
    count = 0
    if folder.is_dir():
        for path in folder.glob(f".*{_SUFFIX}"):
            path.unlink(missing_ok=True)
            count += 1
    return count
