# SPDX-License-Identifier: Apache-2.0
"""The spool: packs that wait for the center's receipt, content-addressed, in the agent's folder.

    spool/<source>/<name>.pack      whole and durable since it has its name; the name is the BLAKE3 of its bytes
    spool/<source>/sent             names that the center has acknowledged, a line each (a cache: asking again is harmless)
    spool/<source>/kept/            packs that no statement waits for: tomorrow's objects are coded against theirs (a cache)

A pack belongs to a source, not to a statement: objects are addressed by content, so what an interrupted run has left
serves the next. Packs leave the spool only after a receipt `stored` for a statement taken later has been verified; they
are kept aside up to a bound, and given up as soon as the volume needs the room. Before that only what a `gap` has given up
leaves it: other packs take the places of those that held it (`agent.snapshot.thin`).
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from agent.errors import SpoolError, SpoolFullError
from agent.holdings import Base, BaseKey
from evidence.digest import ObjectId
from evidence.disk import NewFile, make_folder, remove_leftovers
from evidence.objects.object import ObjectKind
from evidence.objects.pack import CODEC_BASE, Frame, PackWriter, read_frames
from terminal.language import Text

TARGET_BYTES = 4 << 20
"""A pack is closed from this size on: small enough that little is sent twice, and that the center's checking of one
overlaps with the reading of the next; large enough that fsync and request cost little."""


Committed: TypeAlias = "Callable[[SpooledPack, list[ObjectId], list[Base]], None]"
"""Told of a pack as soon as it is durable: its objects, and which of them may be bases of later ones."""


@dataclass(frozen=True, slots=True)
class SpooledPack:
    """A pack in the spool."""

    path: Path
    name: str
    size: int


class Spool:
    """The durable outbox of one source. One writer at a time; reading is thread-safe."""

    def __init__(self, folder: Path, *, max_bytes: int, min_free_bytes: int, keep_bytes: int, level: int) -> None:
        """Open the spool in `folder`, which need not be there; `level` is zstd's.

        Nothing is changed: another process may be writing there, and a folder that is missing tells something (`Parts`).
        """
        self._folder = folder
        self._kept = folder / "kept"
        self._keep_bytes = keep_bytes
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._level = level
        self._sent_lock = threading.Lock()
        self._sent: set[str] = set()

    def packs(self) -> list[SpooledPack]:
        """Give all whole packs, oldest first."""
        return _list_packs(self._folder)

    def put_last(self, path: Path) -> None:
        """Make a new pack the newest, whatever the clock says: it may be coded against those before it."""
        with suppress(OSError):  # a help only: packs that come in another order are sent again (`send_packs`)
            times = [path.stat().st_mtime_ns]
            for folder in (self._folder, self._kept):
                times += [other.path.stat().st_mtime_ns + 1000 for other in _list_packs(folder) if other.path != path]
            os.utime(path, ns=(max(times), max(times)))

    def unsent(self) -> list[SpooledPack]:
        """Give the packs that the center has not acknowledged."""
        sent = self._sent_names()
        return [pack for pack in self.packs() if pack.name not in sent]

    def acknowledged(self) -> list[SpooledPack]:
        """Give the packs that the center has acknowledged and that are still here, oldest first."""
        sent = self._sent_names()
        return [*_list_packs(self._kept), *(pack for pack in self.packs() if pack.name in sent)]

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

    def forget_lost(self, is_lost: Callable[[SpooledPack], bool]) -> bool:
        """Take those packs for not acknowledged of which `is_lost` says that the center lacks some; tell whether there are any."""
        sent = self._sent_names()
        lost = {pack.name for pack in self.packs() if pack.name in sent and is_lost(pack)}
        if lost:
            with self._sent_lock:
                self._sent = sent - lost
                (self._folder / "sent").unlink(missing_ok=True)
                with suppress(OSError):  # see `mark_sent`
                    (self._folder / "sent").write_text("".join(f"{name}\n" for name in self._sent), encoding="ascii")
        return bool(lost)

    def retire_sent(self, find_pinned: Callable[[], set[str]]) -> list[str]:
        """Put the packs that the center has acknowledged aside; call when no statement of the source waits for a receipt.

        Gives the names of those that had to go for the bound: the oldest, those of `find_pinned` after all others.
        """
        self.put_aside_sent()
        if not any(self._folder.glob("*.pack")):
            self.forget_sent()
        kept = _list_packs(self._kept)
        excess = sum(pack.size for pack in kept) - self._keep_bytes
        pinned = find_pinned() if excess > 0 else set()
        gone: list[str] = []
        for pack in sorted(kept, key=lambda pack: pack.name in pinned):
            if excess <= 0:
                break
            if _try_remove(pack):
                excess -= pack.size
                gone.append(pack.name)
        return gone

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """Give bytes of a pack that waits or is kept; None if it is gone or not so long."""
        for folder in (self._kept, self._folder):
            with suppress(OSError), (folder / f"{name}.pack").open("rb") as file:
                file.seek(offset)
                part = file.read(size)
                return part if len(part) == size else None
        return None

    def clear(self) -> None:
        """Remove all packs: no statement needs them any more."""
        for pack in [*self.packs(), *_list_packs(self._kept)]:
            _try_remove(pack)
        self.forget_sent()

    def object_ids(self, pack: SpooledPack) -> list[ObjectId]:
        """Give the ids of the objects in a pack."""
        with pack.path.open("rb") as file:
            return [frame.object_id for frame in read_frames(iter(lambda: file.read(1 << 20), b""))]

    def writer(self, committed: Committed) -> "PackSpooler":
        """Give a writer of new packs; `committed` is told of each as soon as it is durable. Clears what a crash left."""
        # Who writes holds the source's run lock: what is unfinished here is of a run that was cut.
        remove_leftovers(self._folder)
        return PackSpooler(self, self._folder, self._level, committed)

    def check_room(self) -> None:
        """Raises: SpoolFullError if the spool or its volume is at its limit."""
        used = sum(pack.size for pack in self.packs())
        if used > self._max_bytes:
            raise SpoolFullError(
                Text(
                    zh=f"发件箱 {self._folder} 已有 {used >> 20} MiB，上限为 {self._max_bytes >> 20} MiB",
                    en=f"the spool {self._folder} holds {used >> 20} MiB, its limit is {self._max_bytes >> 20} MiB",
                ),
                hint=Text(
                    zh="恢复线路后运行 `jinsuo-agent send`，或在 agent.yaml 中调大 spool.max_size",
                    en="bring the line up and run `jinsuo-agent send`, or raise spool.max_size in agent.yaml",
                ),
            )
        self.check_free(0)

    def check_free(self, size_bytes: int) -> None:
        """Raises: SpoolError unless the volume has what must stay free even with `size_bytes` more on it."""
        free = self._free_bytes() - size_bytes
        if free < self._min_free_bytes:
            raise SpoolFullError(
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

    def is_near(self, next_bytes: int) -> bool:
        """Tell whether `next_bytes` more would bring the spool or its volume to its limit, whatever is only kept."""
        used = sum(pack.size for pack in self.packs())
        kept = sum(pack.size for pack in _list_packs(self._kept))
        free = self._measure() + kept
        return used + next_bytes > self._max_bytes or free - next_bytes < self._min_free_bytes

    def put_aside_sent(self) -> None:
        """Put packs that the center has acknowledged with those that are only kept: they are the first to make room."""
        sent = self._sent_names()
        make_folder(self._kept)
        for pack in self.packs():
            if pack.name in sent:
                with suppress(OSError):  # it is being read: there it stays, acknowledged, until the next time
                    pack.path.replace(self._kept / pack.path.name)

    def remove(self, packs: Iterable[SpooledPack]) -> None:
        """Remove packs of which nothing is needed any more. Raises: SpoolError if one cannot be removed now."""
        try:
            for pack in packs:
                pack.path.unlink(missing_ok=True)
        except OSError as err:
            raise _no_room(self._folder, err) from err

    def replace(self, packs: Sequence[SpooledPack], frames: Iterable[Frame]) -> SpooledPack:
        """Put one durable pack of `frames`, which fit one, in the place of `packs`; then remove these.

        Raises: SpoolFullError, SpoolError; `packs` are there then.
        """
        try:
            with NewFile(self._folder, f"pack.{os.getpid()}") as file:
                writer = PackWriter(file.write, level=self._level)
                for frame in frames:
                    writer.copy(frame)
                path = self._folder / f"{writer.name()}.pack"
                file.commit_new(path)
            times = max(pack.path.stat().st_mtime_ns for pack in packs)
            os.utime(path, ns=(times, times))
        except OSError as err:
            raise _no_room(self._folder, err) from err
        self.remove(pack for pack in packs if pack.path != path)
        return SpooledPack(path, path.stem, writer.size)

    def _free_bytes(self) -> int:
        """Give what the volume has free, after what is only kept has made room for what must wait."""
        free = self._measure()
        for pack in _list_packs(self._kept):
            if free >= self._min_free_bytes:
                break
            _try_remove(pack)
            free = self._measure()
        return free

    def _measure(self) -> int:
        try:
            make_folder(self._folder)
            return shutil.disk_usage(self._folder).free
        except OSError as err:
            raise _no_room(self._folder, err) from err

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

    def __init__(self, spool: Spool, folder: Path, level: int, committed: Committed) -> None:
        self._spool = spool
        self._folder = folder
        self._level = level
        self._committed = committed
        self._file: NewFile | None = None
        self._pack: PackWriter | None = None
        self._ids: list[ObjectId] = []
        self._bases: list[Base] = []
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

    def add(
        self,
        kind: ObjectKind,
        name: ObjectId,
        body: bytes,
        base: tuple[ObjectId, bytes] | None = None,
        key: BaseKey | None = None,
    ) -> None:
        """Append an object, coded against `base` where that pays; if it is not, it may be a base itself under `key`.

        Raises: SpoolError if there is no room; packs before it stay.
        """
        prologue = self._prologue if kind is ObjectKind.PAGE else None
        most = len(body) if prologue is None else len(body) + len(prologue[1])
        if self._pack is not None and (self._pack.size >= TARGET_BYTES or not self._pack.has_room(most)):
            self._commit()
        if prologue is not None and self._document != prologue[0]:
            self._add(ObjectKind.DOCUMENT, *prologue, None, None)
        self._add(kind, name, body, base, key)

    def read_kept(self, name: str, offset: int, size: int) -> bytes | None:
        """Give bytes of an older pack; None if it is gone."""
        return self._spool.read(name, offset, size)

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

    def _add(
        self, kind: ObjectKind, name: ObjectId, body: bytes, base: tuple[ObjectId, bytes] | None, key: BaseKey | None
    ) -> None:
        try:
            pack = self._pack or self._begin()
            offset = pack.size
            codec = pack.add(kind, name, body, base)
        except OSError as err:
            raise _no_room(self._folder, err) from err
        self._ids.append(name)
        if key is not None and codec != CODEC_BASE:
            self._bases.append(Base(key, name, offset, pack.size - offset))
        if kind is ObjectKind.DOCUMENT:
            self._document = name

    def _begin(self) -> PackWriter:
        self._spool.check_room()
        self._file = NewFile(self._folder, f"pack.{os.getpid()}")
        self._pack = PackWriter(self._file.write, level=self._level)
        self._ids, self._bases = [], []
        return self._pack

    def _commit(self) -> None:
        if self._pack is None or self._file is None:
            return
        name = self._pack.name()
        path = self._folder / f"{name}.pack"
        try:
            with self._file as file:
                file.commit_new(path)
            self._spool.put_last(path)
        except OSError as err:
            raise _no_room(self._folder, err) from err
        finally:
            self._file = None
        size, ids, bases = self._pack.size, self._ids, self._bases
        self._pack = self._document = None
        self._committed(SpooledPack(path, name, size), ids, bases)


def _list_packs(folder: Path) -> list[SpooledPack]:
    """Give the packs of a folder, oldest first."""
    found = []
    for path in folder.glob("*.pack"):
        with suppress(FileNotFoundError):  # a run in another process may have just sent and removed it
            found.append((path, path.stat()))
    found.sort(key=lambda item: (item[1].st_mtime_ns, item[0].name))
    return [SpooledPack(path, path.stem, stat.st_size) for path, stat in found]


def _try_remove(pack: SpooledPack) -> bool:
    """Remove a pack that is only kept; tell whether it is gone. On Windows none goes while it is being read."""
    try:
        pack.path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _no_room(folder: Path, err: OSError) -> SpoolError:
    full = err.errno in (errno.ENOSPC, errno.EDQUOT)
    kind = SpoolFullError if full else SpoolError
    return kind(
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
