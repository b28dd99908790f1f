# SPDX-License-Identifier: Apache-2.0
"""A lock between processes: changes of the registry come one after another, and a center has one daemon at a time.

The lock is the operating system's, on an open file, so it ends with the process that held it: no lock is ever stale.
Not for threads of one process among themselves (they take a `threading.Lock` first). Source: flock(2); LockFile.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderLock:
    """An advisory lock named by a file, which is made and stays empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock, and keep it for the block."""
        with self._opened() as descriptor:
            _lock(descriptor)
            yield

    @contextmanager
    def try_hold(self) -> Iterator[bool]:
        """Keep the lock for the block if it is free; give whether it was. Nobody is waited for."""
        with self._opened() as descriptor:
            yield _try_lock(descriptor)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
