# SPDX-License-Identifier: Apache-2.0
"""One look at a source: a digest of names, sizes and times, in memory that does not grow with the tree. Opens no file.

A look sees what a snapshot would read, by the same walk and patterns, but for names that programs give to what they have
not finished (`ignore`). Of a folder only path and mode count: its time changes with every such name.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from agent.collectors.files.folder import is_link, open_folder
from agent.collectors.files.notes import Notes
from agent.collectors.files.settings import FilesSettings
from agent.collectors.files.view import refuse
from agent.collectors.files.walk import walk
from agent.errors import SourceError
from terminal.language import Text

_SQLITE_FILES: Final = ("", "-wal", "-journal")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look saw. `place` tells one folder from another that was put, or mounted, in its stead."""

    digest: bytes
    is_empty: bool
    place: tuple[int, int]


class Look(Protocol):
    """A way to look at one source."""

    folder: Path
    """Where the system's events of it come from."""
    is_deep: bool
    """Whether also from the folders below."""

    def look(self) -> Seen:
        """Look. Raises: SourceError."""

    def concerns(self, path: bytes, *, is_folder: bool) -> bool:
        """Tell whether an event at this absolute path may mean a change of the source."""


class FolderLook:
    """Look at a folder of files."""

    is_deep = True

    def __init__(self, settings: FilesSettings, ignore: Sequence[str] = ()) -> None:
        """`ignore` are patterns as in `settings`. Raises: SourceError for a wrong one."""
        self.folder = settings.path
        self._settings = replace(settings, exclude=(*settings.exclude, *ignore))
        self._root = os.fsencode(settings.path)

    def look(self) -> Seen:
        """Walk the tree. Raises: SourceError if the folder itself cannot be listed."""
        state, count = hashlib.sha256(), 0
        try:
            root = open_folder(self._root)
        except OSError as err:
            raise refuse(err, self._settings) from err
        try:
            status = root.status()
            for entry in walk(root, self._settings, Notes()):
                count += 1
                try:
                    seen: object = _describe(entry.folder.look(entry.name))
                except OSError as err:
                    seen = err.errno
                state.update(b"%d %b %b\n" % (len(entry.path), entry.path, repr(seen).encode()))
        except OSError as err:
            raise refuse(err, self._settings) from err
        finally:
            root.close()
        return Seen(state.digest(), not count, (status.st_dev, status.st_ino))

    def concerns(self, path: bytes, *, is_folder: bool) -> bool:
        """Tell whether the path is wanted, and no folder above it within the tree excluded."""
        below = os.path.relpath(path, self._root).replace(os.sep.encode(), b"/")
        parts = below.split(b"/")
        above = (b"/".join(parts[: i + 1]) for i in range(len(parts)))
        if any(self._settings.exclusion_of(each) is not None for each in above):
            return False
        return is_folder or self._settings.includes(below)


class SqliteLook:
    """Look at a SQLite database: its file, and those in which changes wait."""

    is_deep = False

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self._path = path
        self._names = frozenset(os.fsencode(path.name + more) for more in _SQLITE_FILES)

    def look(self) -> Seen:
        """Look at the files. Raises: SourceError if the database's own cannot be looked at."""
        state = hashlib.sha256()
        try:
            status = self._path.stat()
        except OSError as err:
            raise SourceError(
                Text(
                    zh=f"看不到数据库 {self._path}：{err.strerror or err}",
                    en=f"the database {self._path} cannot be looked at: {err.strerror or err}",
                ),
                hint=Text(
                    zh="检查 path、卷是否已挂载、采集端的账户能否进入该目录",
                    en="check `path`, that the volume is mounted, and that the agent's account may enter the folder",
                ),
            ) from err
        for more in _SQLITE_FILES:
            try:
                found = self._path.with_name(self._path.name + more).stat()
                # Not the time of change: for root, SQLite sets the owner of the WAL whenever somebody reads.
                seen: object = (found.st_size, found.st_mtime_ns, found.st_ino)
            except OSError as err:
                seen = err.errno
            state.update(repr(seen).encode() + b"\n")
        return Seen(state.digest(), False, (status.st_dev, status.st_ino))

    def concerns(self, path: bytes, *, is_folder: bool) -> bool:  # noqa: ARG002 - the name alone decides
        """Tell whether the path is one of the files."""
        return os.path.basename(path) in self._names  # noqa: PTH119 - names are bytes


def _describe(status: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(status.st_mode) and not is_link(status):
        return (status.st_mode,)
    # The time of change, which nobody can set back, beside the time that copying programs do set back.
    return (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
