# SPDX-License-Identifier: Apache-2.0
"""The collector for one folder: opens views, examines the folder, says which rights it needs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agent.collectors.base import Finding, Severity
from agent.collectors.bilingual import in_both
from agent.collectors.files.checks import judge
from agent.collectors.files.folder import open_folder
from agent.collectors.files.memory import FileMemory
from agent.collectors.files.settings import FilesSettings
from agent.collectors.files.view import FilesView, refuse
from agent.collectors.mounts import read_mounts
from terminal.language import Text


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
        """Examine the folder and what stands in it; never raises for what it finds."""
        subject = str(self._settings.path)
        try:
            root = open_folder(os.fsencode(self._settings.path))
        except OSError as err:
            refusal = refuse(err, self._settings)
            return [Finding(Severity.FAIL, subject, refusal.message, refusal.remedy)]
        try:
            return list(judge(root, self._settings, read_mounts(), time.monotonic))
        except OSError as err:
            refusal = refuse(err, self._settings)
            return [Finding(Severity.FAIL, subject, refusal.message, refusal.remedy)]
        finally:
            root.close()

    def grants(self) -> Text:
        """Give the rights that the agent's account needs."""
        path = self._settings.path
        return in_both(
            f"zh|采集端的账户要能读取 {path} 下的每个文件，并能读取和进入每个目录。\n"
            "zh|不需要写的权限。例如：\n"
            f"en|The agent's account needs to read every file below {path}, and to read and enter every folder.\n"
            "en|It needs no right to write. For example:\n"
            f"  setfacl -R -m u:jinsuo:rX {path}\n"
            f"zh|  setfacl -R -d -m u:jinsuo:rX {path}    （用于以后添加的）\n"
            f"en|  setfacl -R -d -m u:jinsuo:rX {path}    (for what is added later)\n"
        )
