# SPDX-License-Identifier: Apache-2.0
"""A text file that a daemon writes where nobody else keeps its log, bounded: UTF-8, a few older ones beside it.

    NAME.log · NAME.log.1 · NAME.log.2 …      the newest first; each at most so large, but for its last line

Invariant: a line is in one file. Trouble of the disk loses lines of the log and never ends the daemon. Thread-safe.
"""

import io
import threading
from contextlib import suppress
from pathlib import Path
from typing import TextIO


class RotatingText(io.TextIOBase):
    """The file, as a stream to print to."""

    def __init__(self, path: Path, most_bytes: int = 8 << 20, kept: int = 4) -> None:
        """Write to the end of `path`; keep `kept` older files. Raises: OSError."""
        self._path = path
        self._most = most_bytes
        self._kept = kept
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = self._open()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the stub has an attribute
        """Give the encoding."""
        return "utf-8"

    def write(self, text: str) -> int:
        """Write text; after a line end a file that is full makes way for the next."""
        with self._lock, suppress(OSError):
            self._file.write(text)
            if text.endswith("\n"):
                self._file.flush()
                if self._file.tell() >= self._most:
                    self._turn()
        return len(text)

    def flush(self) -> None:
        """Hand what was written to the system."""
        with self._lock, suppress(OSError, ValueError):
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(OSError):
            self._file.close()
        super().close()

    def isatty(self) -> bool:
        """Tell that nobody sits there."""
        return False

    def _turn(self) -> None:
        self._file.close()
        try:
            for number in range(self._kept, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
        finally:
            # On Windows somebody may be reading an older file: then this one goes on growing until the next turn.
            self._file = self._open()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def _open(self) -> TextIO:
        return self._path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
