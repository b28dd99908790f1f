# SPDX-License-Identifier: Apache-2.0
"""Restore a file tree: names, contents, times, modes, links; and read it back as rows of `@files`.

A path comes from outside: it is refused if it is absolute, has an empty, `.` or `..` component or a NUL, and every
folder on the way is opened relative to the one above without following links, so no link, restored or planted, leads
out of the target. Files get their name when they are whole. The bits setuid and setgid are not given to files: the
restoring account would lend its rights to them. Needs POSIX (`openat`). Source: CWE-22, CWE-59; POSIX openat(2).
"""

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from center.errors import NotFoundError, StoreError, TargetError
from center.restore.descent import FOLDER_MODE, OPEN_FOLDER, Descent, RefusedPathError
from center.restore.moment import format_moment, parse_moment
from center.restore.rows import TableRows, join_cells
from center.restore.target import Advance
from evidence.errors import EvidenceError, FormatError
from evidence.rows.line import Cell, Token
from terminal.errors import words_of
from terminal.language import Text

_COLUMNS: Final = ("path", "type", "size", "mtime", "mode", "link", "content")
_FILE_MODE: Final = 0o640
_LENT_BITS: Final = stat.S_ISUID | stat.S_ISGID
_READ_BYTES: Final = 1 << 20
_SHOWN: Final = 5
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of `@files`."""

    path: bytes
    type: bytes
    size: bytes | None
    mtime: bytes | None
    mode: bytes | None
    link: bytes | None
    content: Token | None

    @classmethod
    def read(cls, rows: TableRows, line: bytes) -> "_Entry":
        cells = rows.cells(line)
        path, kind, size, mtime, mode, link = (c if isinstance(c, bytes) else None for c in cells[:6])
        content = cells[6] if isinstance(cells[6], Token) else None
        return cls(path or b"", kind or b"", size, mtime, mode, link, content)


_NO_LENT_BITS: Final = Text(zh="恢复时去掉了 setuid 和 setgid 位", en="restored without their setuid and setgid bits")


class _Refusals:
    """Count refused paths by reason, and keep the first few of each."""

    def __init__(self) -> None:
        self._counts: Counter[Text] = Counter()
        self._first: dict[Text, list[str]] = {}

    def add(self, reason: Text, path: bytes) -> None:
        self._counts[reason] += 1
        if self._counts[reason] <= _SHOWN:
            self._first.setdefault(reason, []).append(ascii(path[:200].decode("utf-8", "backslashreplace")))

    def notes(self) -> tuple[Text, ...]:
        return tuple(self._note(reason, count) for reason, count in self._counts.items())

    def _note(self, reason: Text, count: int) -> Text:
        shown = ", ".join(self._first[reason]) + (", …" if count > _SHOWN else "")
        return Text(zh=f"{count} 个路径：{reason.zh}：{shown}", en=f"{count} paths: {reason.en}: {shown}")


class FileTree:
    """A folder into which the rows of `@files` are restored. Not thread-safe."""

    def __init__(self, root: Path) -> None:
        if os.open not in os.supports_dir_fd:  # pragma: no cover
            raise TargetError(
                Text(zh="文件只能恢复到 POSIX 系统", en="files can be restored on POSIX systems only"),
                hint=Text(zh="在 Linux 上恢复", en="run the restore on Linux"),
            )
        self._root = root
        self._descent = Descent(root)

    def load(self, rows: TableRows, advance: Advance) -> tuple[Text, ...]:
        """Make every entry; give notes on what was not made, or not fully."""
        self._check_schema(rows)
        refusals = _Refusals()
        for line in rows.lines():
            entry = _Entry.read(rows, line)
            try:
                self._make(rows, entry, refusals)
            except RefusedPathError as err:
                refusals.add(err.words, entry.path)
            except (StoreError, NotFoundError, EvidenceError) as err:
                # One damaged file must not keep the others from their owner.
                refusals.add(Text(zh=f"没有恢复：{words_of(err).zh}", en=f"not restored: {err}"), entry.path)
            except OSError as err:
                if err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                    raise TargetError(
                        Text(zh=f"{self._root} 装不下了：{err}", en=f"{self._root} cannot take more: {err}"),
                        hint=Text(zh="腾出空间后重新恢复", en="make room, then restore again"),
                    ) from err
                refusals.add(words_of(err.strerror or err), entry.path)
            advance(1)
        self._finish_folders(rows, refusals)
        return refusals.notes()

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the row of everything in the folder, in the order of paths.

        What the source has no value for (modes on Windows, sizes of folders) has none here; a `dump` is a file.
        """
        originals = (_Entry.read(rows, line) for line in rows.lines())
        original = next(originals, None)
        try:
            for path, folder, name in self._descent.walk():
                while original is not None and original.path < path:
                    original = next(originals, None)
                known = original if original is not None and original.path == path else None
                yield join_cells(rows.schema, _look(path, folder, name, known))
        except OSError as err:
            raise TargetError(
                Text(
                    zh=f"{self._root} 中的副本读不回来：{err}",
                    en=f"the copy in {self._root} cannot be read back: {err}",
                ),
                hint=Text(zh="用可以读取所有文件的账户运行", en="run as an account that may read all files"),
            ) from err

    def close(self) -> None:
        """Let go of open folders."""
        self._descent.close()

    def _check_schema(self, rows: TableRows) -> None:
        if tuple(c.name for c in rows.schema.columns) != _COLUMNS:
            raise TargetError(
                Text(
                    zh=f"表 {rows.name!r} 的列不是文件的列",
                    en=f"the table {rows.name!r} has other columns than files have",
                ),
                hint=Text(zh="恢复到数据库", en="restore it to a database"),
            )

    def _make(self, rows: TableRows, entry: _Entry, refusals: _Refusals) -> None:
        folder, name = self._descent.enter_parent(entry.path)
        if entry.type == b"dir":
            self._make_folder(folder, name)
        elif entry.type == b"link" and entry.link is not None:
            _clear(folder, name)
            os.symlink(entry.link, name, dir_fd=folder)
            _set_time(folder, name, entry)
        elif entry.type in (b"file", b"dump") and entry.content is not None:
            _write_file(rows, folder, name, entry, entry.content)
            if int(entry.mode or b"0", 8) & _LENT_BITS:
                refusals.add(_NO_LENT_BITS, entry.path)
        else:
            raise RefusedPathError(Text(zh="快照中没有其内容", en="the snapshot has no content of them"))

    def _make_folder(self, folder: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
                os.mkdir(name, 0o700, dir_fd=folder)

    def _finish_folders(self, rows: TableRows, refusals: _Refusals) -> None:
        """Give folders their times and modes, when nothing is made in them any more.

        A folder that its owner may not enter is closed last and from below, or what is under it would be out of reach.
        """
        closed: list[_Entry] = []
        for line in rows.lines():
            if b"\tdir\t" not in line and not line.endswith(b"\tdir"):
                continue
            entry = _Entry.read(rows, line)
            if entry.type == b"dir":
                mode = FOLDER_MODE if entry.mode is None else int(entry.mode, 8)
                if mode & 0o700 == 0o700:
                    self._finish_folder(entry, mode, refusals)
                else:
                    closed.append(entry)
        for entry in reversed(closed):
            self._finish_folder(entry, int(entry.mode or b"0750", 8), refusals)

    def _finish_folder(self, entry: _Entry, mode: int, refusals: _Refusals) -> None:
        try:
            folder, name = self._descent.enter_parent(entry.path)
            found = os.open(name, OPEN_FOLDER, dir_fd=folder)
        except (RefusedPathError, OSError):
            return  # refused before, and noted
        try:
            if entry.mtime is not None:
                moment = parse_moment(entry.mtime)
                os.utime(found, ns=(moment, moment))
            os.fchmod(found, mode)
        except (OSError, OverflowError, FormatError) as err:
            refusals.add(
                Text(zh=f"时间或权限设不了（{err}）", en=f"the time or mode cannot be set ({err})"), entry.path
            )
        finally:
            os.close(found)


def _write_file(rows: TableRows, folder: int, name: bytes, entry: _Entry, content: Token) -> None:
    temporary = b".jinsuo-restore-%d" % os.getpid()
    file = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        try:
            for chunk in rows.blob(content):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(file, view) :]
            os.fchmod(file, _FILE_MODE if entry.mode is None else int(entry.mode, 8) & ~_LENT_BITS)
            if entry.mtime is not None:
                moment = parse_moment(entry.mtime)
                os.utime(file, ns=(moment, moment))
        finally:
            os.close(file)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise


def _clear(folder: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _set_time(folder: int, name: bytes, entry: _Entry) -> None:
    if entry.mtime is not None:
        moment = parse_moment(entry.mtime)
        os.utime(name, ns=(moment, moment), dir_fd=folder, follow_symlinks=False)


def _look(path: bytes, folder: int, name: bytes, known: _Entry | None) -> list[Cell]:
    """Give the cells of what stands under `name`."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    mode: bytes | None = b"%04o" % stat.S_IMODE(status.st_mode)
    mtime: bytes | None = format_moment(status.st_mtime_ns)
    size: bytes | None = None
    link = content = None
    if stat.S_ISLNK(status.st_mode):
        kind, link, mode = b"link", os.readlink(name, dir_fd=folder), None
    elif stat.S_ISDIR(status.st_mode):
        kind = b"dir"
    elif stat.S_ISREG(status.st_mode):
        kind, size = b"file", b"%d" % status.st_size
        content = _hash_file(folder, name)
    else:
        kind = b"other"
    if known is not None:
        kind = b"dump" if (kind, known.type) == (b"file", b"dump") else kind
        mode, mtime, size = (
            None if was is None else now for was, now in ((known.mode, mode), (known.mtime, mtime), (known.size, size))
        )
    return [path, kind, size, mtime, mode, link, content]


def _hash_file(folder: int, name: bytes) -> Token:
    state, size = hashlib.sha256(), 0
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        while part := os.read(file, _READ_BYTES):
            state.update(part)
            size += len(part)
    finally:
        os.close(file)
    return Token(state.digest(), size)
