# SPDX-License-Identifier: Apache-2.0
"""The registry's folder: how the files of units lie, are read, and are changed by one process at a time.

    units/UNIT/unit.json             replaced in one durable step: name, keys now and before, codes, disabled or not
    units/UNIT/sources/SOURCE.json   written once: the source's secrets, wrapped by the master key
    units/UNIT/seen                  the largest checkpoint that the unit's agent has acknowledged: size, cosigner's key id

The daemon and commands of the operator share it: readers look at the disk each time (a file's identity tells whether it
changed), changes hold a lock across processes. Threads: any. What the files say is `unitfile.py`'s, what may change
`units.py`'s.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from center.errors import NotFoundError, StoreError
from center.registry.lock import FolderLock
from center.registry.unitfile import SourceRecord, UnitRecord, parse_source, parse_unit
from evidence.disk import make_folder, remove_leftovers, write_new, write_over
from evidence.errors import EvidenceError
from evidence.manifest.grammar import check_unit_name
from terminal.language import Text

_T = TypeVar("_T")
_MARK: Final = re.compile(rb"([0-9]{1,16}) ([0-9a-f]{8})\n")
_BACKUP = Text(zh="从中心的备份恢复它", en="restore it from the backup of the center")


class UnitFolder:
    """The files of all units. Reading needs no lock; whatever writes is to be called within `changing`."""

    def __init__(self, folder: Path) -> None:
        """Open the registry in `folder`, which is made if there is none."""
        make_folder(folder)
        self._folder = folder
        self._changes = threading.Lock()
        self._file_lock = FolderLock(folder / ".lock")
        self._records: dict[str, tuple[tuple[int, int, int], UnitRecord]] = {}
        self._is_swept = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let threads and processes take turns with changes."""
        with self._changes, self._file_lock.hold():
            if not self._is_swept:  # under the lock, so that no temporary file of another process is taken for debris
                for unit in self.names():
                    remove_leftovers(self._folder / unit)
                    remove_leftovers(self._folder / unit / "sources")
                self._is_swept = True
            yield

    def names(self) -> tuple[str, ...]:
        """Give the names of all units, ascending."""
        return tuple(
            sorted(
                path.name for path in self._folder.iterdir() if is_name(path.name) and (path / "unit.json").is_file()
            )
        )

    def load(self, unit: str) -> UnitRecord:
        """Give a unit's record as it is on the disk now. Raises: NotFoundError, StoreError."""
        path = self._unit_path(unit)
        try:
            status = path.stat() if is_name(unit) else None
        except FileNotFoundError:
            status = None
        if status is None:
            raise NotFoundError(
                Text(zh=f"没有单位 {unit!r:.80}", en=f"there is no unit {unit!r:.80}"),
                hint=Text(zh="查看：jinsuo-center unit list", en="see: jinsuo-center unit list"),
            )
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._records.get(unit)
        if known is not None and known[0] == mark:
            return known[1]
        record = _read(path, parse_unit)
        if record is None or record.unit != unit:
            raise StoreError(
                Text(zh=f"{path} 不是单位 {unit} 的记录", en=f"{path} is not the record of unit {unit}"), hint=_BACKUP
            )
        self._records[unit] = (mark, record)
        return record

    def add(self, record: UnitRecord) -> None:
        """Write the record of a new unit, durably."""
        write_new(self._unit_path(record.unit), record.encode())

    def save(self, record: UnitRecord) -> None:
        """Write another record of a unit in the place of its old one, durably."""
        write_over(self._unit_path(record.unit), record.encode())
        self._records.pop(record.unit, None)

    def sources(self, unit: str) -> tuple[str, ...]:
        """Give the names of a unit's sources, ascending."""
        folder = self._unit_path(unit).with_name("sources")
        if not folder.is_dir():
            return ()
        return tuple(sorted(path.stem for path in folder.iterdir() if path.suffix == ".json" and is_name(path.stem)))

    def find_source(self, unit: str, source: str) -> SourceRecord | None:
        """Find the record of a source. Raises: StoreError."""
        path = self._source_path(unit, source)
        record = _read(path, parse_source) if is_name(source) else None
        if record is not None and (record.unit, record.source) != (unit, source):
            raise StoreError(
                Text(
                    zh=f"{path} 是 {record.unit}/{record.source} 的记录",
                    en=f"{path} is the record of {record.unit}/{record.source}",
                ),
                hint=_BACKUP,
            )
        return record

    def add_source(self, record: SourceRecord) -> None:
        """Write the record of a new source, durably."""
        write_new(self._source_path(record.unit, record.source), record.encode())

    def find_seen(self, record: UnitRecord) -> int | None:
        """Give what the agent that is enrolled now has acknowledged; None: nothing."""
        try:
            mark = _MARK.fullmatch(self._unit_path(record.unit).with_name("seen").read_bytes())
        except FileNotFoundError:
            return None
        is_its = mark is not None and record.keys and mark[2].decode() == record.keys[-1].cosigner.key_id.hex()
        return int(mark[1]) if mark is not None and is_its else None

    def save_seen(self, record: UnitRecord, size: int) -> None:
        """Write down, durably, what the agent that is enrolled now has acknowledged."""
        mark = f"{size} {record.keys[-1].cosigner.key_id.hex()}\n"
        write_over(self._unit_path(record.unit).with_name("seen"), mark.encode())

    def _unit_path(self, unit: str) -> Path:
        return self._folder / unit / "unit.json"

    def _source_path(self, unit: str, source: str) -> Path:
        return self._folder / unit / "sources" / f"{source}.json"


def is_name(name: str) -> bool:
    """Tell whether `name` can name a unit or source here: as in statements, but it begins with a letter or digit.

    So no name is a hidden file, `.`, `..`, or an option of a command; nor `-`, which tokens use for "nobody yet".
    """
    try:
        check_unit_name(name)
    except EvidenceError:
        return False
    return name[0].isalnum() and name.isascii()


def _read(path: Path, parse: Callable[[bytes], _T]) -> _T | None:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return parse(raw)
    except EvidenceError as err:
        raise StoreError(Text(zh=f"{path} 已损坏：{err}", en=f"{path} is damaged: {err}"), hint=_BACKUP) from err
