# SPDX-License-Identifier: Apache-2.0
"""The collector for one folder: opens views, examines the folder, says which rights it needs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agent.collectors.base import Finding, Severity
from agent.collectors.files.folder import open_folder
from agent.collectors.files.memory import FileMemory
from agent.collectors.files.notes import show
from agent.collectors.files.settings import FilesSettings
from agent.collectors.files.view import FilesView, refuse


class FilesCollector:
    """Read one folder tree. Never writes to it. `pause` waits between two readings of a file that changes.

    `memory`: what its files were when they were read; None: each file is read each time.
    """

    def __init__(
        self,
        settings: FilesSettings,
        pause: Callable[[float], None] = time.sleep,
        memory: FileMemory | None = None,
    ) -> None:
        self._settings = settings
        self._pause = pause
        self._memory = memory

    @contextmanager
    def open_view(self) -> Iterator[FilesView]:
        """Open the folder. Raises: SourceError."""
        try:
            root = open_folder(os.fsencode(self._settings.path))
        except OSError as err:
            raise refuse(err, self._settings) from err
        try:
            yield FilesView(root, self._settings, self._pause, self._memory)
        finally:
            root.close()

    def check(self) -> Sequence[Finding]:
        """Examine the folder and what stands right in it; never raises for what it finds."""
        subject = str(self._settings.path)
        try:
            root = open_folder(os.fsencode(self._settings.path))
        except OSError as err:
            refusal = refuse(err, self._settings)
            return [Finding(Severity.FAIL, subject, refusal.message, refusal.remedy)]
        try:
            names = root.names()
            barred = [name for name in sorted(names) if not _is_readable(subject, name)]
        except OSError as err:
            refusal = refuse(err, self._settings)
            return [Finding(Severity.FAIL, subject, refusal.message, refusal.remedy)]
        finally:
            root.close()
        if not names:
            hint = "check `path`, and that the volume is mounted"
            return [Finding(Severity.WARN, subject, "the folder is empty", hint)]
        findings = [Finding(Severity.OK, subject, f"readable, {len(names)} entries at the top")]
        hint = "give the agent's account the right to read"
        return findings + [Finding(Severity.WARN, f"{subject}/{show(n)}", "may not be read", hint) for n in barred[:20]]

    def grants(self) -> str:
        """Give the rights that the agent's account needs."""
        path = self._settings.path
        return (
            f"The agent's account needs to read every file below {path}, and to read and enter every folder.\n"
            f"It needs no right to write. For example:\n"
            f"  setfacl -R -m u:jinsuo:rX {path}\n"
            f"  setfacl -R -d -m u:jinsuo:rX {path}    (for what is added later)\n"
        )


def _is_readable(folder: str, name: bytes) -> bool:
    path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 - names are bytes
    return os.path.islink(path) or os.access(path, os.R_OK)  # noqa: PTH114
