# SPDX-License-Identifier: Apache-2.0
"""The promises of a store of blobs. No I/O here; `tests/contract/test_store.py` holds every implementation to them.

There is no call that deletes or replaces: what the center acknowledged stays (design section 6). Names are ASCII
paths such as `packs/X013/his/ab/<64 hex>.pack`: segments of `[A-Za-z0-9._-]`, 1 to 255 bytes, neither `.` nor `..`,
joined by `/`, at most 1,024 bytes; the first segment does not start with a dot (such names are the store's own).
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Protocol

from center.errors import StoreError
from terminal.language import Text

MAX_NAME_BYTES: Final = 1024
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)


class NewBlob(Protocol):
    """A blob on its way in. Nothing is visible under its name before `commit`. Not thread-safe."""

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`. Raises: FullError, StoreError; the blob is lost then."""

    def commit(self) -> bool:
        """Give the blob its name, durably; tell whether this call did, or it was there already and stays as it was.

        Call once, as the last thing. Raises: FullError, StoreError.
        """


class Store(Protocol):
    """Blobs by name. Thread-safe; several processes may use one store at once.

    Every method raises StoreError for a name that does not follow the grammar and for a device that fails.
    """

    def create(self, name: str) -> AbstractContextManager[NewBlob]:
        """Start a blob; leaving the context without `commit` leaves nothing behind. Of two writers the first stays."""

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Give `size` bytes from `offset`, or all from there. Raises: LostError if absent or shorter than that."""

    def size(self, name: str) -> int | None:
        """Give the number of bytes, or None if there is no such blob."""

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names that start with `prefix`, ascending by folder; what is added meanwhile may be missed."""


def check_blob_name(name: str) -> None:
    """Raises: StoreError unless `name` follows the grammar above."""
    segments = name.split("/")
    well_formed = all(_SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments)
    if not well_formed or len(name) > MAX_NAME_BYTES or name.startswith("."):
        raise StoreError(
            Text(zh=f"{name!r:.120} 不能用作存储中的名称", en=f"{name!r:.120} cannot name a blob in the store"),
            hint=Text(
                zh="这是程序的错误；请连同本信息报告", en="this is a fault of the program; report it with this message"
            ),
        )
