# SPDX-License-Identifier: Apache-2.0
"""The last good settings: a mistake in agent.yaml is logged once, and what was right before goes on."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.config import CONFIG_NAME, AgentConfig, load_config
from terminal.errors import SettingsError

log = logging.getLogger(__name__)


Mark = tuple[int, int, int]
"""What tells one state of a file from another: its time, size and inode."""


def look_at(path: Path) -> Mark | None:
    """Give the mark of a file; None: there is none, or it cannot be seen."""
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


class LastGood:
    """Load the settings of a folder, again and again; a file is read again only if it has changed. One thread."""

    def __init__(self, load: Callable[[Path], AgentConfig] = load_config) -> None:
        self._load = load
        self._good: AgentConfig | None = None
        self._mark: Mark | None = None
        self._told = ""

    def load(self, folder: Path) -> AgentConfig:
        """Give the settings as they are now, or as they were when they were last right. Raises: SettingsError before that."""
        mark = look_at(folder / CONFIG_NAME)
        if self._good is not None and mark is not None and mark == self._mark:
            return self._good
        try:
            self._good, self._mark = self._load(folder), mark
        except SettingsError as err:
            if self._good is None:
                raise
            if str(err) != self._told:
                self._told = str(err)
                log.log(
                    logging.ERROR, "settings are wrong", extra={"code": err.code, "why": str(err), "hint": err.hint}
                )
            return self._good
        self._told = ""
        return self._good
