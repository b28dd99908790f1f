# SPDX-License-Identifier: Apache-2.0
"""Files: a folder tree as the table `@files`, read while it lives.

`settings` says what may be set, `walk` lists a tree in the order of its paths, `reading` turns one entry into a row,
`memory` knows files that need not be read again,
`view` and `collector` put them behind the protocol of `agent.collectors.base`.
"""

from agent.collectors.files.collector import FilesCollector
from agent.collectors.files.memory import FileMemory
from agent.collectors.files.settings import FilesSettings

__all__ = ["FileMemory", "FilesCollector", "FilesSettings"]
