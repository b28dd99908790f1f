# SPDX-License-Identifier: Apache-2.0
"""A drop box in two folders, which a gateway or a share empties and fills.

    OUTBOX/.<bag>.part   a bag on its way in; gateways leave names with a dot alone
    OUTBOX/<bag>         a bag: whole and durable since it has its name
    INBOX/receipts-…     what comes back

Order: files copied and synced, folders synced, renamed in one step, outbox synced. A copy that was cut goes on file by file.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from agent.errors import DropBoxError
from agent.transport.base import SendPace, unpaced
from evidence.bag.receipts import is_receipts_name
from evidence.disk import NewFile, make_folder, sync_folder
from terminal.language import Text

_T = TypeVar("_T")
_CHUNK = 1 << 20


class FolderBox:
    """An outbox and an inbox of this machine, or of a share that it sees."""

    def __init__(self, outbox: Path, inbox: Path) -> None:
        """Name the folders; both must be there."""
        self._outbox = outbox
        self._inbox = inbox

    def __enter__(self) -> "FolderBox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: folders are not held open."""

    def put(self, name: str, folder: Path, pace: SendPace = unpaced, after: SendPace = unpaced) -> None:
        """Put the bag that lies in `folder` into the outbox, under `name`."""

        def act() -> None:
            if (self._outbox / name).exists():
                return
            part = self._outbox / f".{name}.part"
            self._outbox.stat()  # a share that is not mounted must not be taken for an empty one and made anew
            _copy_tree(folder, part, pace, after)
            part.rename(self._outbox / name)
            sync_folder(self._outbox)

        self._guarded(self._outbox, act)

    def check(self) -> None:
        """Raises: DropBoxError unless both folders can be read, and the outbox written."""

        def act() -> None:
            probe = self._outbox / f".probe.{os.getpid()}.part"
            probe.mkdir()
            probe.rmdir()

        self._guarded(self._outbox, act)
        self.receipts()

    def receipts(self) -> list[str]:
        """Give the names of the files of receipts in the inbox."""

        def act() -> list[str]:
            with os.scandir(self._inbox) as entries:  # files alone: a pipe of such a name would be waited at for ever
                found = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
            return sorted(name for name in found if is_receipts_name(name))

        return self._guarded(self._inbox, act)

    def read(self, name: str, most: int) -> bytes:
        """Give a file of receipts."""

        def act() -> bytes:
            with _open(self._inbox / name) as file:
                return file.read(most)

        return self._guarded(self._inbox, act)

    def remove(self, name: str) -> None:
        """Remove a file of receipts."""
        self._guarded(self._inbox, lambda: (self._inbox / name).unlink(missing_ok=True))

    def _guarded(self, folder: Path, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except OSError as err:
            raise DropBoxError(
                Text(
                    zh=f"收发目录 {folder} 不能读写：{err.strerror or err}",
                    en=f"the drop box {folder} cannot be read or written: {err.strerror or err}",
                ),
                hint=Text(
                    zh="检查该目录、共享或网闸以及权限（agent.yaml 的 road.folder）；没有丢失任何内容",
                    en="look at the folder, share or gateway, and its rights (`road.folder` in agent.yaml); nothing is lost",
                ),
            ) from err


def _open(path: Path) -> BinaryIO:
    """Open a regular file; what was put in its place since it was listed is not waited for. Raises: OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return file


def _copy_tree(source: Path, target: Path, pace: SendPace, after: SendPace) -> None:
    """Copy files that are not there in full yet, and make all of it durable. Raises: OSError."""
    make_folder(target)
    for base, _, names in os.walk(source):
        below = target / Path(base).relative_to(source)
        make_folder(below)
        if below.is_symlink():
            raise OSError(errno.ELOOP, "a link stands where the bag is to be put", str(below))
        for name in names:
            path = Path(base) / name
            with suppress(FileNotFoundError):
                if (below / name).stat().st_size == path.stat().st_size:
                    continue  # it was named only when it was whole and durable
            with NewFile(below, name) as file, path.open("rb") as reading:
                while part := reading.read(_CHUNK):
                    pace(len(part))
                    file.write(part)
                file.commit_over(below / name)
            after(path.stat().st_size)
