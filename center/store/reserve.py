# SPDX-License-Identifier: Apache-2.0
"""A store that leaves room on its disk, so that the ledger beside it can always finish what it has begun.

A full disk must stop packs first: a pack that is refused is sent again, but a log that cannot write holds everybody.
Looks at the disk when a blob begins; blobs under way may take a little of the reserve (a pack has at most 16 MiB).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from center.errors import FullError
from center.store.base import NewBlob, Store
from terminal.language import Text


def free_bytes(folder: Path) -> int:
    """Give the bytes that this account may still write to the disk of `folder`, which need not be there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


class ReservedStore:
    """A `Store` that refuses new blobs when less than `reserve` bytes are free on the disk of `folder`."""

    def __init__(self, store: Store, folder: Path, reserve: int, measure: Callable[[Path], int] = free_bytes) -> None:
        self._store = store
        self._folder = folder
        self._reserve = reserve
        self._measure = measure

    def create(self, name: str) -> AbstractContextManager[NewBlob]:
        """Start a blob. Raises: FullError if the disk has only the reserve left."""
        free = self._measure(self._folder)
        if free < self._reserve:
            raise FullError(
                Text(
                    zh=f"{self._folder} 所在的磁盘剩余 {free} 字节，其中 {self._reserve} 字节为日志保留",
                    en=f"the disk of {self._folder} has {free} bytes free, and {self._reserve} are reserved for the log",
                ),
                hint=Text(
                    zh="腾出空间或扩大磁盘（或调低 center.yaml 的 disk_reserve）；采集端会重发",
                    en="make room or enlarge the disk (or lower disk_reserve in center.yaml); the agents send again",
                ),
            )
        return self._store.create(name)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Give `size` bytes from `offset`, or all from there."""
        return self._store.read(name, offset, size)

    def size(self, name: str) -> int | None:
        """Give the number of bytes, or None if there is no such blob."""
        return self._store.size(name)

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names that start with `prefix`."""
        return self._store.names(prefix)
