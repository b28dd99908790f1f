# SPDX-License-Identifier: Apache-2.0
"""One run per source at a time, across threads and processes. The system lets go when a process dies.

An open file's lock (flock, LockFileEx) is the lease: a killed agent leaves nothing stale behind. What stands in the file says
what its holder does, as a hint: whoever only sends lets go soon, and can be waited for.
"""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from agent.errors import BusyError
from terminal.language import Text

_SENDS = b"send"
"""Its length alone counts: on Windows the bytes of a locked file cannot be read by others."""


class RunLock:
    """Hold the run of a source. A context manager. Raises: BusyError (`busy`, if given) if another run holds it."""

    def __init__(self, path: Path, source: str, busy: BusyError | None = None, *, sends: bool = False) -> None:
        """`sends`: nothing is read under it, and it is held for a while only."""
        self.path = path
        self._source = source
        self._busy = busy
        self._sends = sends
        self._file: BinaryIO | None = None

    def __enter__(self) -> "RunLock":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        try:
            _lock(self._file)
        except OSError as err:
            self._file.close()
            raise self._busy or BusyError(
                Text(
                    zh=f"来源 {self._source} 正在由另一进程处理",
                    en=f"another run of source {self._source} is under way",
                ),
                hint=Text(
                    zh="等它结束；`jinsuo-agent status` 可查看状态",
                    en="wait until it ends; `jinsuo-agent status` tells how the source stands",
                ),
            ) from err
        with suppress(OSError):
            self._file.truncate(len(_SENDS) if self._sends else 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()


def is_held_to_send(path: Path) -> bool:
    """Tell whether whoever took a lock last only sends; a hint."""
    try:
        return path.stat().st_size == len(_SENDS)
    except OSError:
        return False


def _lock(file: BinaryIO) -> None:
    if os.name == "nt":  # pragma: no cover - Windows
        import msvcrt

        file.seek(0)  # one byte is locked from here, and it must be the same for all
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # only there on Windows
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
