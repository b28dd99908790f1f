# SPDX-License-Identifier: Apache-2.0
"""The files in an ISO image: read by their Rock Ridge names, without mounting. Memory: the image's folders, a part of a file.

pycdlib is imported with this module only. What it cannot make sense of is an OSError, like any other bad sector. An
image that was cut off gives short files, which their digests show. Source: ISO 9660, IEEE P1282 (Rock Ridge).
"""

import io
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, cast

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

_DAMAGED: Final = (
    PyCdlibException, struct.error, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError,
    RecursionError, MemoryError,
)  # fmt: skip
"""The library meets damaged bytes in many ways of its own, and in those of the functions that it calls."""


class ImageFiles:
    """An image, opened. One thread."""

    def __init__(self, path: Path) -> None:
        """Read the folders. Raises: OSError: it is no image, or its folders are damaged."""
        self._image = PyCdlib()
        try:
            self._image.open(str(path))
            self._names = [
                f"{folder.rstrip('/')}/{name}"[1:]
                for folder, _, names in self._image.walk(rr_path="/")
                for name in names
            ]
        except _DAMAGED as err:
            raise OSError(f"{path} cannot be read as an ISO image: {err}") from err

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file. Raises: OSError."""
        return _open(self._image, path)

    def names(self) -> list[str]:
        """Give the paths of all files, ascending."""
        return sorted(self._names, key=str.encode)

    def __enter__(self) -> "ImageFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.close()


@contextmanager
def _open(image: PyCdlib, path: str) -> Iterator[BinaryIO]:
    try:
        with image.open_file_from_iso(rr_path=f"/{path}") as file:
            # A raw stream that reads and seeks; a buffered one has all of BinaryIO but `mode` and `name`.
            yield cast(BinaryIO, io.BufferedReader(file, 1 << 20))
    except _DAMAGED as err:
        raise FileNotFoundError(f"the image has no readable file {path}: {err}") from err
