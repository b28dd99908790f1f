# SPDX-License-Identifier: Apache-2.0
"""The files that a command left: those that were not there before it ran, or are others now. Does I/O.

A file of an earlier run that the command did not touch is not today's dump: a command may say that it succeeded and
have written nothing. Links are not followed, for others may write into the folder of dumps.
"""

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from agent.collectors.command.settings import CommandSettings
from agent.errors import SourceError
from terminal.language import Text

_OPEN = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

Identity = tuple[int, int, int, int]
"""Inode, size, times of change: another one, another content."""


@dataclass(frozen=True, slots=True)
class Left:
    """A file that was left: where it lies, and the name of its row."""

    path: Path
    name: bytes


def find_files(settings: CommandSettings) -> dict[Path, Identity]:
    """Give the regular files that are at `path` now. Raises: SourceError if the folder cannot be read."""
    assert settings.path is not None
    folder, pattern = settings.path.parent, settings.path.name
    try:
        if not settings.is_pattern:
            names = [pattern] if os.path.lexists(settings.path) else []
            folder.stat()
        else:
            names = [name for name in os.listdir(folder) if fnmatchcase(name, pattern)]  # noqa: PTH208 - names alone
        found = {folder / name: (folder / name).lstat() for name in names}
    except FileNotFoundError as err:
        if folder.is_dir():
            return find_files(settings)  # one went away between listing and looking
        raise refuse_folder(folder, err) from err
    except OSError as err:
        raise refuse_folder(folder, err) from err
    return {path: identify(status) for path, status in found.items() if stat.S_ISREG(status.st_mode)}


def find_left(settings: CommandSettings, before: dict[Path, Identity]) -> list[Left]:
    """Give the files that the command made or changed, in the order of their names' bytes. Raises: SourceError."""
    left = [path for path, identity in find_files(settings).items() if before.get(path) != identity]
    if not settings.is_pattern:
        return [Left(path, settings.name.encode()) for path in left]
    return sorted((Left(path, os.fsencode(path.name)) for path in left), key=lambda each: each.name)


def open_left(path: Path) -> int:
    """Open a file that was left; give its descriptor. Raises: OSError."""
    return os.open(path, _OPEN)


def identify(status: os.stat_result) -> Identity:
    """Give what changes when a file does."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def refuse_folder(folder: Path, err: OSError) -> SourceError:
    """Say that the folder of dumps cannot be read."""
    return SourceError(
        Text(
            zh=f"读不了转储目录 {folder}：{err.strerror or err}",
            en=f"the folder of dumps {folder} cannot be read: {err.strerror or err}",
        ),
        hint=Text(
            zh="检查 path、卷是否已挂载、采集端的账户能否读该目录",
            en="check `path`, that the volume is mounted, and that the agent's account may read the folder",
        ),
    )
