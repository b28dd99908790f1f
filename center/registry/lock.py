# SPDX-License-Identifier: Apache-2.0
"""A lock between processes: the daemon and the operator's commands change the registry one after another.

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
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
