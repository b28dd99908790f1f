# SPDX-License-Identifier: Apache-2.0
"""One run per source at a time, across threads and processes. The system lets go when a process dies.

An open file's lock (flock, LockFileEx) is the lease: a killed agent leaves nothing stale behind.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from agent.errors import BusyError
from terminal.language import Text


class RunLock:
    """Hold the run of a source. A context manager. Raises: BusyError (`busy`, if given) if another run holds it."""

    def __init__(self, path: Path, source: str, busy: BusyError | None = None) -> None:
        self._path = path
        self._source = source
        self._busy = busy
        self._file: BinaryIO | None = None

    def __enter__(self) -> "RunLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab")
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()


def _lock(file: BinaryIO) -> None:
    if os.name == "nt":  # pragma: no cover - Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # only there on Windows
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
