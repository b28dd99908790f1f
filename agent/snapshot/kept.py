# SPDX-License-Identifier: Apache-2.0
"""Where an agent keeps a file for each of its statements, for people and for later runs, and the durable write.

Beside them what a watched source was like when it was taken: no statement's, but it says that none need be taken.
"""

from pathlib import Path

from agent.errors import SpoolError
from agent.journal import JournalEntry
from evidence.disk import write_over
from terminal.language import Text


def manifest_path(folder: Path, source: str, sequence: int) -> Path:
    """Give where an agent in `folder` keeps the manifest of a statement."""
    return folder / "manifests" / source / f"{sequence}.json"


def refused_path(folder: Path, source: str, entry: JournalEntry) -> Path:
    """Give where an agent in `folder` keeps the note of a statement that it gave up; another may get its sequence."""
    return folder / "refused" / source / f"{entry.sequence}.{entry.digest.hex()[:8]}.note"


def receipt_path(folder: Path, source: str, sequence: int) -> Path:
    """Give where an agent in `folder` keeps the receipt of a statement."""
    return folder / "receipts" / source / f"{sequence}.json"


def watching_path(folder: Path, source: str) -> Path:
    """Give where an agent in `folder` keeps what a watched source was like when it was last taken."""
    return folder / "watching" / source


def keep(path: Path, data: bytes) -> None:
    """Write such a file, durably. Raises: SpoolError."""
    try:
        write_over(path, data)
    except OSError as err:
        raise SpoolError(
            Text(zh=f"{path} 写不了：{err.strerror or err}", en=f"{path} cannot be written: {err.strerror or err}"),
            hint=Text(
                zh="在采集端目录所在的卷上腾出空间后再运行；数据不会丢失",
                en="make room on the volume of the agent's folder, then run again; nothing is lost",
            ),
        ) from err
