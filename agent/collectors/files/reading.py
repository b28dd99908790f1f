# SPDX-License-Identifier: Apache-2.0
"""Turn one entry of a tree into its row in `@files`, content and all. Does I/O; never follows links.

    path (key) · type file|dir|link · size of files · mtime · mode of files, folders (POSIX) · link's target · content

A file is read again while it changes under the reader (size, times, or fewer or more bytes than it says). If it never
stands still the last reading is kept and noted. A file that cannot be read keeps its row, with content NULL, and is
noted: without the row a comparison would say that it was deleted. Sockets, pipes, devices are noted, and have no row.
Where there is a memory, a file that is as it was when it was last read is not opened, as long as that reading counts and
the sink has its content: `trusted` counts those.
"""

import errno
import io
import os
import stat
import time
from collections.abc import Callable
from typing import BinaryIO, Final, cast

from agent.collectors.base import BlobSink
from agent.collectors.files.folder import is_link
from agent.collectors.files.memory import FileMemory
from agent.collectors.files.notes import Notes
from agent.collectors.files.settings import FilesSettings
from agent.collectors.files.walk import VANISHED, Entry
from evidence.rows.line import Cell, Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind

CHANGED_FILE: Final = "file changed while it was read, each time"
UNREADABLE_FILE: Final = "file cannot be read, its content is missing"
UNREADABLE: Final = "cannot be looked at, it is missing"
NO_FILE: Final = "neither file, folder nor link, it is missing"
REPLACED: Final = "replaced while the tree was read, it is missing"

_GONE: Final = {errno.ENOENT: VANISHED, errno.ENOTDIR: VANISHED, errno.ELOOP: REPLACED}
_READ_BYTES: Final = 1 << 20
_LEAST_BYTES: Final = 4096
_DAY_NS: Final = 86_400_000_000_000

SCHEMA: Final = Schema(
    "@files",
    tuple(
        Column(name, kind, name not in ("path", "type"), name)
        for name, kind in (
            ("path", Kind.TEXT),
            ("type", Kind.TEXT),
            ("size", Kind.INT),
            ("mtime", Kind.TIMESTAMPTZ),
            ("mode", Kind.TEXT),
            ("link", Kind.TEXT),
            ("content", Kind.TEXT),
        )
    ),
    ("path",),
)


class _ReadError(Exception):
    """The file, not the sink, failed."""


class EntryReader:
    """Read entries. `pause` waits between two readings of a file that changes."""

    def __init__(
        self,
        settings: FilesSettings,
        blobs: BlobSink,
        notes: Notes,
        pause: Callable[[float], None] = time.sleep,
        memory: FileMemory | None = None,
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._notes = notes
        self._pause = pause
        self._memory = memory
        self.trusted = 0
        self.oldest: float | None = None

    def read(self, entry: Entry) -> list[Cell] | None:
        """Give the row of `entry`, or None if it has none. Raises: what the sink raises."""
        try:
            status = entry.folder.look(entry.name)
            if is_link(status):
                return _row(entry, b"link", status, link=entry.folder.target(entry.name))
        except FileNotFoundError:
            self._notes.add(VANISHED, entry.path)
            return None
        except OSError as err:
            self._notes.add(f"{UNREADABLE} ({err.strerror})", entry.path)
            return None
        if stat.S_ISDIR(status.st_mode):
            return _row(entry, b"dir", status)
        if stat.S_ISREG(status.st_mode):
            return self._read_file(entry, status)
        self._notes.add(NO_FILE, entry.path)
        return None

    def _read_file(self, entry: Entry, status: os.stat_result) -> list[Cell] | None:
        known = self._memory.find(entry.path, status) if self._memory is not None else None
        if known is not None and self._blobs.put_again(known.token):
            self.trusted += 1
            self.oldest = known.read_at if self.oldest is None else min(self.oldest, known.read_at)
            return _row(entry, b"file", status, token=known.token)
        for attempt in range(1, self._settings.attempts + 1):
            began = self._memory.clock() if self._memory is not None else 0.0
            try:
                descriptor = entry.folder.open_file(entry.name)
            except OSError as err:
                if err.errno in _GONE:
                    self._notes.add(_GONE[err.errno], entry.path)
                    return None
                return self._keep_unread(entry, status, err)
            try:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    self._notes.add(REPLACED, entry.path)
                    return None
                token = self._put(descriptor, before.st_size)
                after = os.fstat(descriptor)
            except _ReadError as err:
                return self._keep_unread(entry, status, cast(OSError, err.__cause__))
            finally:
                os.close(descriptor)
            if _is_same(before, after) and token.size == after.st_size:
                if self._memory is not None:
                    self._memory.keep(entry.path, after, token, began)
                return _row(entry, b"file", after, token=token)
            if attempt < self._settings.attempts:
                self._pause(self._settings.pause_s)
        self._notes.add(CHANGED_FILE, entry.path)
        return _row(entry, b"file", after, token=token)

    def _put(self, descriptor: int, size: int) -> Token:
        # Most files are small: a large buffer for each costs more than the reading.
        with io.BufferedReader(_Content(descriptor), min(max(size + 1, _LEAST_BYTES), _READ_BYTES)) as content:
            # A buffered reader has all of BinaryIO but `mode` and `name`, which no sink asks for.
            return self._blobs.put(cast(BinaryIO, content))

    def _keep_unread(self, entry: Entry, status: os.stat_result, err: OSError) -> list[Cell]:
        self._notes.add(f"{UNREADABLE_FILE} ({err.strerror})", entry.path)
        return _row(entry, b"file", status)


class _Content(io.RawIOBase):
    """Reads a descriptor, without owning it; tells its failures apart from the sink's."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # narrower than Buffer
        try:
            part = os.read(self._descriptor, len(buffer))
        except OSError as err:
            raise _ReadError from err
        buffer[: len(part)] = part
        return len(part)


def format_mtime(modified_ns: int) -> bytes:
    """Write nanoseconds since 1970 as a canonical timestamptz, for any year.

    >>> format_mtime(1_795_309_953_120_000_000), format_mtime(-1)
    (b'2026-11-22 01:12:33.12+00', b'1969-12-31 23:59:59.999999999+00')
    """
    days, rest = divmod(modified_ns, _DAY_NS)
    seconds, fraction = divmod(rest, 1_000_000_000)
    year, month, day = _civil(days)
    era = b" BC" if year < 1 else b""
    clock = b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    point = (b".%09d" % fraction).rstrip(b"0") if fraction else b""
    return b"%04d-%02d-%02d %b%b+00%b" % (year if year > 0 else 1 - year, month, day, clock, point, era)


def _civil(days: int) -> tuple[int, int, int]:
    """Give year, month, day of the proleptic Gregorian calendar. Source: Hinnant, chrono-compatible date algorithms."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def _row(
    entry: Entry, kind: bytes, status: os.stat_result, *, link: bytes | None = None, token: Token | None = None
) -> list[Cell]:
    size = token.size if token else status.st_size
    has_mode = os.name != "nt" and kind != b"link"
    return [
        entry.path,
        kind,
        b"%d" % size if kind == b"file" else None,
        format_mtime(status.st_mtime_ns),
        b"%04o" % stat.S_IMODE(status.st_mode) if has_mode else None,
        link,
        token,
    ]


def _is_same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
