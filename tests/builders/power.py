# SPDX-License-Identifier: Apache-2.0
"""What a power cut leaves of files: what POSIX promises, not what one file system does besides.

The bytes of a file survive if it was synced, its name if its folder was synced since it has it, and so on up to a root. Sees
what goes through `os.fsync`; SQLite syncs its own files, and their folder, by itself.
"""

import os
import stat
from pathlib import Path
from typing import TypeAlias

import pytest

_Node: TypeAlias = tuple[int, int]


class Power:
    """Remember all that is synced from now on below `root`, which survives itself."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._files: set[_Node] = set()
        self._names: dict[_Node, dict[str, _Node]] = {}
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._note)

    def survives(self, path: Path) -> bool:
        """Tell whether a file or folder would be there, under this name, if the power were cut now."""
        if path.is_file() and _node(path.stat()) not in self._files:
            return False
        while path != self._root:
            if self._names.get(_node(path.parent.stat()), {}).get(path.name) != _node(path.stat()):
                return False
            path = path.parent
        return True

    def _note(self, descriptor: int) -> None:
        self._sync(descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode):
            self._files.add(_node(status))
            return
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries]
        self._names[_node(status)] = {
            name: _node(os.stat(name, dir_fd=descriptor, follow_symlinks=False)) for name in names
        }


def _node(status: os.stat_result) -> _Node:
    return status.st_dev, status.st_ino
