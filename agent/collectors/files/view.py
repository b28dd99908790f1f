# SPDX-License-Identifier: Apache-2.0
"""A folder tree behind the protocol of views: one table, `@files`, read while the tree lives."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from stat import S_ISREG
from typing import Final

from agent.collectors.base import BlobSink, Document, Omission, Table, TableSize
from agent.collectors.files.folder import Folder
from agent.collectors.files.memory import FileMemory
from agent.collectors.files.notes import Notes
from agent.collectors.files.reading import SCHEMA, EntryReader
from agent.collectors.files.settings import FilesSettings
from agent.collectors.files.walk import walk
from agent.errors import SourceError
from evidence.encode import encode_time
from evidence.manifest.statement import Consistency
from evidence.rows.line import encode_line
from evidence.rows.schema import RAW_TEXT_NOTE
from terminal.language import Text

_BLOCK_BYTES: Final = 1 << 20
_TEXTS: Final = ((0, "path"), (5, "link"))


class FilesView:
    """A folder tree. Not thread-safe. Reading again gives the tree as it is then: `consistency` is live."""

    consistency: Consistency = Consistency.LIVE
    position: str = "-"
    is_copy: bool = False

    def __init__(
        self,
        root: Folder,
        settings: FilesSettings,
        pause: Callable[[float], None] = time.sleep,
        memory: FileMemory | None = None,
    ) -> None:
        self._root = root
        self._settings = settings
        self._pause = pause
        self._memory = memory
        self._trust = ""
        self._notes = Notes()
        self._raw_columns: set[str] = set()

    def tables(self) -> Sequence[Table]:
        """Give `@files`; after reading, with `not-utf-8` notes if paths or links need them."""
        notes = tuple(RAW_TEXT_NOTE + name for _, name in _TEXTS if name in self._raw_columns)
        return [Table(replace(SCHEMA, notes=notes), ordered=True)]

    def sizes(self, is_over: Callable[[], bool]) -> Mapping[str, TableSize]:
        """Walk the tree and add what its files hold; nothing if there is no time to see all of it."""
        count = content = 0
        try:
            for entry in walk(self._root, self._settings, Notes()):
                if is_over():
                    return {}
                count += 1
                with suppress(OSError):  # reading will say what is wrong with it
                    status = entry.folder.look(entry.name)
                    content += status.st_size if S_ISREG(status.st_mode) else 0
        except OSError as err:
            raise refuse(err, self._settings) from err
        return {SCHEMA.name: TableSize(count, content, content)}

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:  # noqa: ARG002 - there is one table
        """Yield blocks of lines in the order of paths. Raises: SourceError if the folder itself cannot be listed."""
        self._notes, self._raw_columns, self._trust = Notes(), set(), ""
        with ExitStack() as closing:
            memory = None if self._memory is None else closing.enter_context(self._memory.reading())
            reader = EntryReader(self._settings, blobs, self._notes, self._pause, memory)
            yield from self._blocks(reader)
            self._trust = _tell_trust(reader)

    def _blocks(self, reader: EntryReader) -> Iterator[bytes]:
        block: list[bytes] = []
        size = 0
        try:
            for entry in walk(self._root, self._settings, self._notes):
                cells = reader.read(entry)
                if cells is None:
                    continue
                self._raw_columns.update(name for i, name in _TEXTS if not _is_utf8(cells[i]))
                block.append(encode_line(cells) + b"\n")
                size += len(block[-1])
                if size >= _BLOCK_BYTES:
                    yield b"".join(block)
                    block, size = [], 0
        except OSError as err:
            raise refuse(err, self._settings) from err
        if block:
            yield b"".join(block)

    def documents(self) -> Sequence[Document]:
        """Give nothing: a tree has no DDL."""
        return ()

    def omitted(self) -> Sequence[Omission]:
        """Give nothing: what is missing in the one table stands in the notes."""
        return ()

    def notes(self) -> Sequence[str]:
        """Give what vanished, changed, could not be read, or was excluded; and how many files were not opened."""
        return (*self._notes.lines(), *([self._trust] if self._trust else []))


def refuse(err: OSError, settings: FilesSettings) -> SourceError:
    """Say that the folder itself cannot be read."""
    return SourceError(
        Text(
            zh=f"目录 {settings.path} 读不了：{err.strerror or err}",
            en=f"the folder {settings.path} cannot be read: {err.strerror or err}",
        ),
        hint=Text(
            zh="检查 `path`、该卷是否已挂载，以及采集端的账户能否读取和进入该目录",
            en="check `path`, that the volume is mounted, and that the agent's account may read and enter the folder",
        ),
    )


def _tell_trust(reader: EntryReader) -> str:
    if reader.oldest is None:
        return ""
    return (
        f"{reader.trusted} files were not opened: size, times, inode and device are those of an earlier reading, the oldest"
        f" of {encode_time(datetime.fromtimestamp(reader.oldest, UTC))}"
    )


def _is_utf8(cell: object) -> bool:
    if not isinstance(cell, bytes):
        return True
    try:
        cell.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
