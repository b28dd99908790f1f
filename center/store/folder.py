# SPDX-License-Identifier: Apache-2.0
"""A store in a folder of a local file system: one file per blob.

A blob is written to `<root>/.incoming/`, synced, linked to its name (which fails if the name exists, so nothing is ever
replaced), and the folder is synced. A crash leaves at most a file in `.incoming`. Threads and processes may write at
once. Needs hard links: ext4, xfs, zfs, NTFS have them, FAT has not. Source: `evidence.disk`.
"""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from center.errors import CenterError, FullError, LostError, StoreError
from center.store.base import NewBlob, check_blob_name
from evidence.disk import NewFile, make_folder, remove_leftovers, sync_folder
from terminal.language import Text

_INCOMING: Final = ".incoming"
_MOST_KNOWN: Final = 4096
"""So many folders are remembered to be durable: those of the packs of a night. Sources have 256 each, in the course of a year."""
_DAMAGED: Final = Text(
    zh="运行 `jinsuo-center audit` 查看缺少什么；从镜像或备份恢复",
    en="run `jinsuo-center audit` to see what is missing; restore it from a mirror or a backup",
)


class FolderStore:
    """Blobs as files below `root`. Keeps the promises of `Store`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: dict[Path, None] = {}
        self._place: int | None = None
        self._lock = threading.Lock()

    def create(self, name: str) -> "NewFileBlob":
        """Start a blob. Raises: StoreError if another folder stands in the place of the one that the first blob went to."""
        check_blob_name(name)
        self._check_place()
        return NewFileBlob(self, self._root / _INCOMING, self._root / name)

    def make_durable(self, folder: Path) -> None:
        """Make `folder` below the root so that it survives power loss, whoever made it.

        A folder that another thread has just made may not be synced yet, so each process syncs the way down to each
        folder once itself; again where it was not asked for in a long time.
        """
        if self._is_known(folder):
            return
        make_folder(folder)
        level = folder
        while level != self._root:
            sync_folder(level.parent)
            level = level.parent
        with self._lock:
            self._durable[folder] = None
            while len(self._durable) > _MOST_KNOWN:
                self._durable.pop(next(iter(self._durable)))

    def _is_known(self, folder: Path) -> bool:
        """Tell whether `folder` is durable, as far as is remembered; it is remembered for longer then."""
        with self._lock:
            if folder not in self._durable:
                return False
            self._durable[folder] = self._durable.pop(folder)
        return folder.is_dir()

    def _check_place(self) -> None:
        """What is written below a mount point while its volume is away would be hidden as soon as that is back.

        The number of the folder tells; that of its device changes when a network disk is mounted again.
        """
        try:
            if self._place is None:
                make_folder(self._root)
            found = self._root.stat().st_ino
        except FileNotFoundError:
            found = 0
        except OSError as err:
            raise explain_os_error(err, self._root) from err
        with self._lock:
            if self._place is None:
                self._place = found
        if self._place != found:
            raise StoreError(
                Text(
                    zh=f"{self._root} 已不是先前的目录：其卷可能已被卸载",
                    en=f"{self._root} is not the folder that it was: its volume may not be mounted any more",
                ),
                hint=Text(
                    zh="重新挂载；若目录无误，重新启动中心；没有接收任何内容，采集端会重发",
                    en="mount it again; if it is the right folder, start the center again; nothing was taken in, and the"
                    " agents send again",
                ),
            )

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Give `size` bytes from `offset`, or all from there."""
        check_blob_name(name)
        path = self._root / name
        try:
            with path.open("rb") as file:
                stands = os.fstat(file.fileno()).st_size
                wanted = max(0, stands - offset) if size is None else size
                if offset > stands or offset + wanted > stands:
                    raise LostError(
                        Text(
                            zh=f"存储中的 {name} 有 {stands} 字节，应有 {offset + wanted}",
                            en=f"{name} has {stands} bytes in the store, {offset + wanted} were expected",
                        ),
                        hint=_DAMAGED,
                    )
                file.seek(offset)
                data = file.read(wanted)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as err:
            raise LostError(
                Text(zh=f"{name} 不在存储 {self._root} 中", en=f"{name} is not in the store at {self._root}"),
                hint=_DAMAGED,
            ) from err
        except OSError as err:
            raise explain_os_error(err, path) from err
        if len(data) != wanted:
            raise StoreError(
                Text(
                    zh=f"{name} 从 {offset} 起读得 {len(data)} 字节，应有 {wanted}",
                    en=f"{name} gave {len(data)} bytes from {offset}, {wanted} were expected",
                ),
                hint=_DAMAGED,
            )
        return data

    def size(self, name: str) -> int | None:
        """Give the number of bytes, or None if there is no such blob."""
        check_blob_name(name)
        path = self._root / name
        try:
            return path.stat().st_size if path.is_file() else None
        except FileNotFoundError:
            return None
        except OSError as err:
            raise explain_os_error(err, path) from err

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names that start with `prefix`, ascending by folder."""
        yield from self._names_below(self._root, "", prefix)

    def remove_leftovers(self) -> int:
        """Remove what a crash left half written; give their number. Only while nobody else writes to this store."""
        return remove_leftovers(self._root / _INCOMING)

    def _names_below(self, folder: Path, stem: str, prefix: str) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as err:
            raise explain_os_error(err, folder) from err
        for entry in entries:
            name = stem + entry.name
            if not stem and entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below = name + "/"
                if below.startswith(prefix) or prefix.startswith(below):
                    yield from self._names_below(folder / entry.name, below, prefix)
            elif name.startswith(prefix):
                yield name


class NewFileBlob:
    """A `NewBlob` in a folder; also the context that makes it."""

    def __init__(self, store: FolderStore, incoming: Path, path: Path) -> None:
        self._store = store
        self._incoming = incoming
        self._path = path
        self._file: NewFile | None = None

    def __enter__(self) -> NewBlob:
        try:
            self._file = NewFile(self._incoming, f"{os.getpid()}.{os.urandom(8).hex()}")
        except OSError as err:
            raise explain_os_error(err, self._path) from err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.__exit__(kind, err, trace)

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as err:
            raise explain_os_error(err, self._path) from err

    def commit(self) -> bool:
        """Give the blob its name, durably, unless the name is taken."""
        assert self._file is not None
        try:
            self._store.make_durable(self._path.parent)
            return self._file.commit_new(self._path)
        except OSError as err:
            raise explain_os_error(err, self._path) from err


def explain_os_error(err: OSError, path: Path) -> CenterError:
    """Give the error to raise for `err` at `path`: FullError if there is no space, else StoreError."""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return FullError(
            Text(
                zh=f"磁盘已满，写不了 {path}：{err.strerror}",
                en=f"there is no space left to write {path}: {err.strerror}",
            ),
            hint=Text(
                zh="腾出空间或扩大磁盘后再试；没有接收任何内容，也没有丢失",
                en="make room or enlarge the disk, then try again; nothing was admitted and nothing is lost",
            ),
        )
    return StoreError(
        Text(
            zh=f"{path} 不能读写：{err.strerror or err}", en=f"{path} cannot be read or written: {err.strerror or err}"
        ),
        hint=Text(
            zh="检查磁盘，以及中心的账户对该目录的权限",
            en="check the disk and the rights of the center's account on this folder",
        ),
    )
