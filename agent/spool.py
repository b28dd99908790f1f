# SPDX-License-Identifier: Apache-2.0
"""The spool: packs that wait for the center's receipt, content-addressed, in the agent's folder.

    spool/<source>/<name>.pack      whole and durable since it has its name; the name is the BLAKE3 of its bytes
    spool/<source>/sent             names that the center has acknowledged, a line each (a cache: asking again is harmless)

A pack belongs to a source, not to a statement: objects are addressed by content, so what an interrupted run has left
serves the next. Packs are removed only after a receipt `stored` for a statement taken later has been verified.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.errors import SpoolError
from evidence.digest import ObjectId
from evidence.disk import NewFile, remove_leftovers
from evidence.objects.object import ObjectKind
from evidence.objects.pack import PackWriter, read_frames
from terminal.language import Text

TARGET_BYTES = 4 << 20
"""A pack is closed from this size on: small enough that little is sent twice, and that the center's checking of one
overlaps with the reading of the next; large enough that fsync and request cost little."""


@dataclass(frozen=True, slots=True)
class SpooledPack:
    """A pack in the spool."""

    path: Path
    name: str
    size: int


class Spool:
    """The durable outbox of one source. One writer at a time; reading is thread-safe."""

    def __init__(self, folder: Path, *, max_bytes: int, min_free_bytes: int, level: int) -> None:
        """Open the spool in `folder`; `level` is zstd's. Nothing is changed: another process may be writing there."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._level = level
        self._sent_lock = threading.Lock()
        self._sent: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def packs(self) -> list[SpooledPack]:
        """Give all whole packs, oldest first."""
        found = []
        for path in self._folder.glob("*.pack"):
            with suppress(FileNotFoundError):  # a run in another process may have just sent and removed it
                found.append((path, path.stat()))
        found.sort(key=lambda item: (item[1].st_mtime_ns, item[0].name))
        return [SpooledPack(path, path.stem, stat.st_size) for path, stat in found]

    def unsent(self) -> list[SpooledPack]:
        """Give the packs that the center has not acknowledged."""
        sent = self._sent_names()
        return [pack for pack in self.packs() if pack.name not in sent]

    def mark_sent(self, name: str) -> None:
        """Note that the center has acknowledged a pack."""
        with self._sent_lock:
            self._sent.add(name)
            # A full disk must not stop the sending, which is what makes room: at worst the pack is sent twice.
            with suppress(OSError), (self._folder / "sent").open("a", encoding="ascii") as file:
                file.write(name + "\n")

    def forget_sent(self) -> bool:
        """Take every pack for not acknowledged: the center may have lost some. Tell whether there are packs at all."""
        with self._sent_lock:
            self._sent.clear()
            (self._folder / "sent").unlink(missing_ok=True)
        return bool(self.packs())

    def remove_sent(self) -> None:
        """Remove the packs that the center has acknowledged; call when no statement of the source waits for a receipt."""
        sent = self._sent_names()
        for pack in self.packs():
            if pack.name in sent:
                pack.path.unlink(missing_ok=True)
        if not any(self._folder.glob("*.pack")):
            self.forget_sent()

    def clear(self) -> None:
        """Remove all packs: no statement needs them any more."""
        for pack in self.packs():
            pack.path.unlink(missing_ok=True)
        self.forget_sent()

    def object_ids(self, pack: SpooledPack) -> list[ObjectId]:
        """Give the ids of the objects in a pack."""
        with pack.path.open("rb") as file:
            return [frame.object_id for frame in read_frames(iter(lambda: file.read(1 << 20), b""))]

    def writer(self, committed: Callable[[SpooledPack, list[ObjectId]], None]) -> "PackSpooler":
        """Give a writer of new packs; `committed` is told of each as soon as it is durable. Clears what a crash left."""
        # Who writes holds the source's run lock: what is unfinished here is of a run that was cut.
        remove_leftovers(self._folder)
        return PackSpooler(self, self._folder, self._level, committed)

    def check_room(self) -> None:
        """Raises: SpoolError if the spool or its volume is at its limit."""
        used = sum(pack.size for pack in self.packs())
        if used > self._max_bytes:
            raise SpoolError(
                Text(
                    zh=f"发件箱 {self._folder} 已有 {used >> 20} MiB，上限为 {self._max_bytes >> 20} MiB",
                    en=f"the spool {self._folder} holds {used >> 20} MiB, its limit is {self._max_bytes >> 20} MiB",
                ),
                hint=Text(
                    zh="恢复线路后运行 `jinsuo-agent send`，或在 agent.yaml 中调大 spool.max_size",
                    en="bring the line up and run `jinsuo-agent send`, or raise spool.max_size in agent.yaml",
                ),
            )
        free = shutil.disk_usage(self._folder).free
        if free < self._min_free_bytes:
            raise SpoolError(
                Text(
                    zh=f"发件箱 {self._folder} 所在的卷剩余 {free >> 20} MiB，低于须保留的 {self._min_free_bytes >> 20} MiB",
                    en=f"the volume of the spool {self._folder} has {free >> 20} MiB free, less than the"
                    f" {self._min_free_bytes >> 20} MiB kept",
                ),
                hint=Text(
                    zh="腾出空间，或把发件箱（agent.yaml 的 spool.folder）移到另一个卷；没有丢失任何内容",
                    en="free space or move the spool (spool.folder in agent.yaml) to another volume; nothing is lost",
                ),
            )

    def _sent_names(self) -> set[str]:
        with self._sent_lock:
            try:
                noted = (self._folder / "sent").read_bytes().decode("ascii", "replace").split()
            except FileNotFoundError:
                noted = []
            return {*noted, *self._sent}


class PackSpooler:
    """Write objects into packs in the spool; a full pack is made durable and the next begun. Not thread-safe.

    Use as a context manager: leaving by an exception drops the open pack, leaving normally commits it.
    """

    def __init__(
        self, spool: Spool, folder: Path, level: int, committed: Callable[[SpooledPack, list[ObjectId]], None]
    ) -> None:
        self._spool = spool
        self._folder = folder
        self._level = level
        self._committed = committed
        self._file: NewFile | None = None
        self._pack: PackWriter | None = None
        self._ids: list[ObjectId] = []
        self._prologue: tuple[ObjectId, bytes] | None = None
        self._document: ObjectId | None = None

    def begin_table(self, schema: ObjectId, body: bytes) -> None:
        """Say whose pages follow: the schema object is written before the first of them, again in each pack.

        So the center can judge them at once; and a table of which no page is new costs nothing.
        """
        self._prologue = (schema, body)

    def end_table(self) -> None:
        """Say that the objects that follow are not of that table."""
        self._prologue = None

    def add(self, kind: ObjectKind, name: ObjectId, body: bytes, base: tuple[ObjectId, bytes] | None = None) -> int:
        """Append an object; give the codec of its frame. Raises: SpoolError if there is no room; packs before it stay."""
        prologue = self._prologue if kind is ObjectKind.PAGE else None
        most = len(body) if prologue is None else len(body) + len(prologue[1])
        if self._pack is not None and (self._pack.size >= TARGET_BYTES or not self._pack.has_room(most)):
            self._commit()
        if prologue is not None and self._document != prologue[0]:
            self._add(ObjectKind.DOCUMENT, *prologue, None)
        return self._add(kind, name, body, base)

    def __enter__(self) -> "PackSpooler":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: object) -> None:
        if kind is None:
            self._commit()
        elif self._file is not None:
            self._file.__exit__(None, None, None)
            self._file = None

    def flush(self) -> None:
        """Make all objects so far durable."""
        self._commit()

    def _add(self, kind: ObjectKind, name: ObjectId, body: bytes, base: tuple[ObjectId, bytes] | None) -> int:
        try:
            codec = (self._pack or self._begin()).add(kind, name, body, base)
        except OSError as err:
            raise _no_room(self._folder, err) from err
        self._ids.append(name)
        if kind is ObjectKind.DOCUMENT:
            self._document = name
        return codec

    def _begin(self) -> PackWriter:
        self._spool.check_room()
        self._file = NewFile(self._folder, f"pack.{os.getpid()}")
        self._pack = PackWriter(self._file.write, level=self._level)
        self._ids = []
        return self._pack

    def _commit(self) -> None:
        if self._pack is None or self._file is None:
            return
        name = self._pack.name()
        path = self._folder / f"{name}.pack"
        try:
            with self._file as file:
                file.commit_new(path)
        except OSError as err:
            raise _no_room(self._folder, err) from err
        finally:
            self._file = None
        size, ids = self._pack.size, self._ids
        self._pack = self._document = None
        self._committed(SpooledPack(path, name, size), ids)


def _no_room(folder: Path, err: OSError) -> SpoolError:
    full = err.errno in (errno.ENOSPC, errno.EDQUOT)
    return SpoolError(
        Text(
            zh=f"发件箱 {folder} 写不进去：{'磁盘已满' if full else err.strerror or err}",
            en=f"the spool {folder} cannot be written: {'the disk is full' if full else err.strerror or err}",
        ),
        hint=Text(
            zh="腾出空间，或移动发件箱（agent.yaml 的 spool.folder）；完整的数据包仍在，快照须重做",
            en="make room or move the spool (spool.folder in agent.yaml); packs that are whole stay, the snapshot is"
            " taken anew",
        ),
    )
