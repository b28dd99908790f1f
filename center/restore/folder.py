# SPDX-License-Identifier: Apache-2.0
"""Restore into a folder: files as files (`center.restore.files`), other tables as CSV (`center.restore.csv`) or Parquet.

Beside `NAME.csv` or `NAME.parquet` stands `NAME.schema.json`, the table's schema object, without which a cell's kind is a guess. Tables
and files get their names when they are whole; `finish` has the system write all of it to the disk.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from center.errors import TargetError
from center.restore.csv import encode_field, encode_large, encode_record, read_records
from center.restore.files import FileTree
from center.restore.names import Identifiers, split_table_name
from center.restore.rows import TableRows, join_cells
from center.restore.target import Advance, Placement
from evidence.errors import FormatError
from evidence.manifest.manifest import SCHEMA_PREFIX
from evidence.rows.line import Cell, Token
from evidence.rows.values import Kind
from terminal.errors import words_of
from terminal.language import Text

_MAX_NAME_BYTES = 200
_UNSAFE = frozenset('/\\:*?"<>|')
_STEP_ROWS = 1000


class TableForm(Protocol):
    """How a folder keeps tables. `suffix` ends the files' names."""

    suffix: str

    def write(self, rows: TableRows, file: BinaryIO, advance: Advance) -> tuple[Text, ...]:
        """Write a table; give notes, one line each. Raises: OSError."""

    def read(self, rows: TableRows, path: Path) -> Iterator[bytes]:
        """Yield the lines of a table that `write` wrote. Raises: OSError; FormatError if it is no such file."""


class CsvForm:
    """Tables as CSV."""

    suffix = ".csv"

    def write(self, rows: TableRows, file: BinaryIO, advance: Advance) -> tuple[Text, ...]:
        """Write a table."""
        _write_table(rows, file, advance)
        return ()

    def read(self, rows: TableRows, path: Path) -> Iterator[bytes]:
        """Yield the lines of a table."""
        width = len(rows.schema.columns)
        with path.open("rb", buffering=1 << 20) as file:
            records = read_records(file)
            names = next(records, None)
            if names != [c.name.encode("utf-8") for c in rows.schema.columns]:
                raise FormatError(f"the first record of {path} does not name the table's columns")
            for cells in records:
                if len(cells) != width:
                    raise FormatError(f"a record of {path} has {len(cells)} fields, expected {width}")
                yield join_cells(rows.schema, cells)


class FolderTarget:
    """A folder as a `Target`."""

    def __init__(self, path: Path, form: TableForm | None = None) -> None:
        """Open or make the folder `path`; `form` None: CSV. Raises: TargetError."""
        self._form: TableForm = form or CsvForm()
        self.description = str(path)
        self._path = path
        self._names = Identifiers(_MAX_NAME_BYTES, str.casefold)
        self._files: dict[str, Path] = {}
        self._tree: FileTree | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise TargetError(
                Text(zh=f"目录 {path} 建不了：{err}", en=f"the folder {path} cannot be made: {err}"),
                hint=Text(zh="换一个位置", en="name another place"),
            ) from err

    def find_content(self) -> Text | None:
        """Give the names of some entries."""
        names = sorted(path.name for path in self._path.iterdir())
        if not names:
            return None
        return Text(zh=f"{names[0]!r} 等 {len(names)} 项", en=f"{len(names)} entries such as {names[0]!r}")

    def load(self, rows: TableRows, advance: Advance) -> Placement:
        """Make the files of `@files`, or the file of any other table; see `Target`."""
        if rows.is_files:
            self._tree = FileTree(self._path)
            return Placement(
                Text(zh=f"{self._path} 下的文件", en=f"files below {self._path}"), self._tree.load(rows, advance)
            )
        path = self._path / (self._take_name(rows.name) + self._form.suffix)
        self._files[rows.name] = path
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with temporary.open("xb", buffering=1 << 20) as file:
                notes = self._form.write(rows, file, advance)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as err:
            raise TargetError(
                Text(zh=f"{path} 写不了：{err}", en=f"{path} cannot be written: {err}"),
                hint=Text(zh="腾出空间，或换一个位置", en="make room, or name another place"),
            ) from err
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        return Placement(words_of(path.name), notes)

    def save_document(self, name: str, body: bytes) -> str | None:
        """Write a table's schema beside its file, and any other document under its own name.

        Where files were restored, documents lie beside the folder: in it, they would be files that the source never had.
        """
        if name.startswith(SCHEMA_PREFIX):
            table = self._files.get(name.removeprefix(SCHEMA_PREFIX))
            if table is None:
                return None
            path = table.with_suffix(".schema.json")
        else:
            path = (self._path if self._tree is None else self._beside()) / self._take_name(name)
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(body)
        except OSError as err:
            raise TargetError(
                Text(zh=f"{path} 写不了：{err}", en=f"{path} cannot be written: {err}"),
                hint=Text(zh="腾出空间，或换一个位置", en="make room, or name another place"),
            ) from err
        return str(path)

    def finish(self) -> tuple[Text, ...]:
        """Have everything written to the disk."""
        os.sync()
        return ()

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the rows of the files or of the table's file, as they stand in the folder."""
        if rows.is_files:
            assert self._tree is not None
            yield from self._tree.read_back(rows)
            return
        path = self._files[rows.name]
        try:
            yield from self._form.read(rows, path)
        except OSError as err:
            raise TargetError(
                Text(zh=f"{path} 读不回来：{err}", en=f"{path} cannot be read back: {err}"),
                hint=Text(zh="检查磁盘", en="look at the disk"),
            ) from err

    def close(self) -> None:
        """Let go of the folder."""
        if self._tree is not None:
            self._tree.close()

    def _beside(self) -> Path:
        path = self._path.resolve()
        return path.with_name(f"{path.name}.documents")

    def _take_name(self, name: str) -> str:
        plain = ".".join(split_table_name(name))
        safe = "".join("_" if c in _UNSAFE or not c.isprintable() else c for c in plain)
        return self._names.take(safe.strip(". ") or "_")


def _write_table(rows: TableRows, file: BinaryIO, advance: Advance) -> None:
    file.write(encode_record([c.name.encode("utf-8") for c in rows.schema.columns]))
    count = 0
    for line in rows.lines():
        cells = rows.cells(line)
        if any(isinstance(cell, Token) for cell in cells):
            _write_large_record(rows, cells, file)
        else:
            file.write(encode_record([None if isinstance(cell, Token) else cell for cell in cells]))
        count += 1
        if count == _STEP_ROWS:
            advance(count)
            count = 0
    advance(count)


def _write_large_record(rows: TableRows, cells: list[Cell], file: BinaryIO) -> None:
    for i, (cell, column) in enumerate(zip(cells, rows.schema.columns, strict=True)):
        if i:
            file.write(b",")
        if isinstance(cell, Token):
            is_hex = column.kind is Kind.BYTES or cell.prefix == b"b:"
            head = cell.prefix + (b"\\x" if is_hex else b"")
            file.writelines(encode_large(rows.blob(cell), head=head, is_hex=is_hex))
        else:
            file.write(encode_field(cell))
    file.write(b"\r\n")
