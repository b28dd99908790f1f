# SPDX-License-Identifier: Apache-2.0
"""List a tree in ascending order of the bytes of its paths, while it lives. Holds one listing per level of depth.

A folder `a` comes first, then `a.txt` ('.' is 0x2E), then `a/b` ('/' is 0x2F), then `a0`. So the names of a folder are
read together with each folder's name and a `/`, which is the place where its content comes. Memory is bounded however many
names a folder has (`names`).
A listing is taken again while the folder changes under it; if it has changed when its content is read, a note says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from stat import S_ISDIR
from typing import Final

from agent.collectors.files.folder import Folder, is_link
from agent.collectors.files.names import Names, sort_names
from agent.collectors.files.notes import Notes
from agent.collectors.files.settings import FilesSettings

_LISTINGS: Final = 5

VANISHED: Final = "vanished while the tree was read"
CHANGED_FOLDER: Final = "folder changed while it was read, entries may be missing"
UNREADABLE_FOLDER: Final = "folder cannot be read, its content is missing"
EXCLUDED: Final = "excluded by the settings"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in the tree: `path` from the root, joined by `/`; `name` in `folder`, open until the next one."""

    path: bytes
    folder: Folder
    name: bytes


@dataclass(slots=True)
class _Level:
    """A folder being walked: the next name, and those behind it; `folders` among those before, with `/`, as a heap."""

    folder: Folder
    prefix: bytes
    head: bytes | None
    names: Names
    modified_ns: int
    folders: list[bytes] = field(default_factory=list)

    def next_place(self) -> bytes | None:
        """Give the next name, or the next folder with `/`, whatever comes first; None at the end."""
        if self.folders and (self.head is None or self.folders[0] < self.head):
            return heappop(self.folders)
        name, self.head = self.head, next(self.names, None)
        return name


def walk(root: Folder, settings: FilesSettings, notes: Notes) -> Iterator[Entry]:
    """Yield what is below `root` and wanted. Raises: OSError if `root` itself cannot be listed."""
    levels = [_open_level(root, b"", settings)]
    try:
        while levels:
            level = levels[-1]
            place = level.next_place()
            if place is None:
                _check_unchanged(level, notes)
                if len(levels) > 1:
                    level.folder.close()
                levels.pop()
                continue
            if place.endswith(b"/"):
                below = _enter(level, place[:-1], settings, notes)
                if below is not None:
                    levels.append(below)
            elif _is_wanted(level, place, settings, notes):
                yield Entry(level.prefix + place, level.folder, place)
    finally:
        for level in levels:
            level.names.close()
        for level in levels[1:]:
            level.folder.close()


def _is_wanted(level: _Level, name: bytes, settings: FilesSettings, notes: Notes) -> bool:
    """Tell whether an entry is wanted; if it is a folder, let it be entered at its place."""
    path = level.prefix + name
    if settings.exclusion_of(path) is not None:
        notes.add(EXCLUDED, path)
        return False
    try:
        status = level.folder.look(name)
    except FileNotFoundError:
        notes.add(VANISHED, path)
        return False
    except OSError:
        return True  # the reader of the entry says what is wrong
    if S_ISDIR(status.st_mode) and not is_link(status):
        heappush(level.folders, name + b"/")
        return True
    return settings.includes(path)


def _enter(level: _Level, name: bytes, settings: FilesSettings, notes: Notes) -> _Level | None:
    path = level.prefix + name
    try:
        folder = level.folder.enter(name)
    except FileNotFoundError:
        notes.add(VANISHED, path)
        return None
    except OSError as err:
        notes.add(f"{UNREADABLE_FOLDER} ({err.strerror})", path)
        return None
    try:
        return _open_level(folder, path + b"/", settings)
    except OSError as err:
        folder.close()
        notes.add(f"{UNREADABLE_FOLDER} ({err.strerror})", path)
        return None


def _open_level(folder: Folder, prefix: bytes, settings: FilesSettings) -> _Level:
    """List a folder while it stands still, in a few tries."""
    modified_ns = folder.status().st_mtime_ns
    for attempt in range(1, _LISTINGS + 1):
        names = sort_names(folder.names(), settings.workspace)
        head = next(names, None)  # now all were listed
        now_ns = folder.status().st_mtime_ns
        if now_ns == modified_ns or attempt == _LISTINGS:
            break
        names.close()
        modified_ns = now_ns
    return _Level(folder, prefix, head, names, modified_ns)


def _check_unchanged(level: _Level, notes: Notes) -> None:
    try:
        is_same = level.folder.status().st_mtime_ns == level.modified_ns
    except OSError:
        is_same = False
    if not is_same:
        notes.add(CHANGED_FOLDER, level.prefix.rstrip(b"/") or b".")
