# SPDX-License-Identifier: Apache-2.0
"""Restore into a SQLite database, so that every value comes back exactly (`center.restore.sqlite_cells`).

A table of a SQLite source gets its declared types again, and is STRICT if it was; of any other source, the types that
name the storage. A type text is always quoted, for it comes from outside. Rows are put in in canonical order, so the
rowid gives it back. All is one transaction: a restore that breaks off leaves the database as it was. Memory: one batch
of rows, and a row with its large cells, which SQLite bounds to 1 GB.
Source: sqlite.org/datatype3.html, stricttables.html, limits.html.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from center.errors import TargetError
from center.restore.names import Identifiers, fold_ascii, split_table_name
from center.restore.rows import TableRows, is_always_token, join_cells
from center.restore.sqlite_cells import SqlText, Value, raw_to_sqlite, reader_of, writer_of
from center.restore.target import Advance, Placement, note_names, table_named
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.language import Text

_BATCH_ROWS = 1000
_BATCH_BYTES = 8 << 20
_NO_LIMIT = 1 << 30
_STRICT_KINDS = {"INT": Kind.INT, "INTEGER": Kind.INT, "REAL": Kind.FLOAT8, "TEXT": Kind.TEXT, "BLOB": Kind.BYTES}
_STORAGE = {
    Kind.BOOL: "BOOLEAN",
    Kind.INT: "BIGINT",
    Kind.FLOAT8: "REAL",
    Kind.FLOAT4: "REAL",
    Kind.BYTES: "BLOB",
    Kind.ANY: "",
}
_LIST_OBJECTS = r"SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'"
_ROWIDS = ("rowid", "_rowid_", "oid")


@dataclass(slots=True)
class _Table:
    """A table of the target; `too_large` cells could not be taken."""

    name: str
    columns: tuple[str, ...]
    too_large: int = 0


class SqliteTarget:
    """A SQLite database file as a `Target`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file `path`; its folder must exist. Raises: TargetError."""
        self.description = str(path)
        self._path = path
        self._is_new = not path.exists()
        self._names = Identifiers(_NO_LIMIT, fold_ascii, lambda name: fold_ascii(name).startswith("sqlite_"))
        self._tables: dict[str, _Table] = {}
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.text_factory = SqlText
            self._database.execute("PRAGMA foreign_keys = OFF")
            self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as err:
            raise TargetError(
                Text(
                    zh=f"{path} 不能作为 SQLite 数据库打开：{err}",
                    en=f"{path} cannot be opened as a SQLite database: {err}",
                ),
                hint=Text(
                    zh="在已有且可写的目录中取一个新文件名",
                    en="name a new file in a folder that exists and can be written",
                ),
            ) from err
        self._limit = self._database.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)

    def find_content(self) -> Text | None:
        """Give the names of some tables and views of the database."""
        names = [bytes(n).decode("utf-8", "replace") for (n,) in self._database.execute(_LIST_OBJECTS).fetchmany(5)]
        if not names:
            return None
        return Text(zh=f"表或视图 {', '.join(names)}", en=f"the table or view {', '.join(names)}")

    def load(self, rows: TableRows, advance: Advance) -> Placement:
        """Make the table and fill it; see `Target`."""
        columns = Identifiers(_NO_LIMIT, fold_ascii).take_all(c.name for c in rows.schema.columns)
        table = _Table(self._names.take(".".join(split_table_name(rows.name))), columns)
        self._tables[rows.name] = table
        notes: list[Text] = []
        try:
            self._begin()
            try:
                self._fill(rows, table, _create(rows.schema, table), advance)
            except sqlite3.IntegrityError as err:
                # Data that break what the source declares (legacy rows, keys that nobody enforced) are still the data.
                notes.append(
                    Text(
                        zh=f"恢复时不带主键、NOT NULL 和类型，数据不符合它们：{err}",
                        en=f"restored without key, NOT NULL and types, which the data break: {err}",
                    )
                )
                self._fill(rows, table, _create_loose(table), advance)
        except sqlite3.Error as err:
            raise TargetError(
                Text(zh=f"SQLite 拒绝表 {table.name!r}：{err}", en=f"SQLite refuses table {table.name!r}: {err}"),
                hint=Text(
                    zh="确认没有别人打开该数据库，且磁盘有空间",
                    en="see that nobody else has the database open and that the disk has room",
                ),
            ) from err
        if table.too_large:
            notes.append(
                Text(
                    zh=f"{table.too_large} 个超过 {self._limit} 字节的单元格在副本中为 NULL：SQLite 的上限",
                    en=f"{table.too_large} cells of more than {self._limit} bytes, SQLite's limit, are NULL in the copy",
                )
            )
        notes += note_names(rows.schema.columns, columns)
        return Placement(table_named(table.name), tuple(notes))

    def save_document(self, name: str, body: bytes) -> str | None:
        """Write DDL beside the database file; the schemas are in the database itself."""
        if name.startswith("schema/"):
            return None
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        path = self._path.with_name(f"{self._path.name}.{safe}")
        try:
            path.write_bytes(body)
        except OSError as err:
            raise TargetError(
                Text(zh=f"{path} 写不了：{err}", en=f"{path} cannot be written: {err}"),
                hint=Text(zh="腾出空间，或换一个位置", en="make room, or name another place"),
            ) from err
        return str(path)

    def finish(self) -> tuple[Text, ...]:
        """Commit."""
        try:
            if self._database.in_transaction:
                self._database.execute("COMMIT")
        except sqlite3.Error as err:
            raise TargetError(
                Text(
                    zh=f"SQLite 不能提交到 {self.description}：{err}",
                    en=f"SQLite cannot commit to {self.description}: {err}",
                ),
                hint=Text(zh="腾出空间", en="make room"),
            ) from err
        self._is_new = False
        return ()

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the rows in the order in which they were put in."""
        table, schema = self._tables[rows.name], rows.schema
        columns = ", ".join(_quote(c) for c in table.columns)
        rowid = next((name for name in _ROWIDS if name not in map(fold_ascii, table.columns)), None)
        order = f" ORDER BY {rowid}" if rowid else ""
        sql = f"SELECT {columns} FROM {_quote(table.name)}{order}"  # noqa: S608 - quoted names
        readers = [reader_of(c.kind) for c in schema.columns]
        try:
            # A connection of its own: what is read is what the file holds, not what the writer remembers.
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as reader:
                reader.text_factory = SqlText
                for values in reader.execute(sql):
                    yield join_cells(
                        schema, [None if v is None else r(v) for r, v in zip(readers, values, strict=True)]
                    )
        except sqlite3.Error as err:
            raise TargetError(
                Text(zh=f"{self.description} 读不回来：{err}", en=f"{self.description} cannot be read back: {err}"),
                hint=Text(zh="检查磁盘", en="look at the disk"),
            ) from err

    def close(self) -> None:
        """Close the file; what was not finished is undone."""
        self._database.close()
        if self._is_new:
            self._path.unlink(missing_ok=True)

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _fill(self, rows: TableRows, table: _Table, create: str, advance: Advance) -> None:
        """Make and fill a table, or leave no trace of it."""
        table.too_large = 0
        self._database.execute("SAVEPOINT one_table")
        try:
            self._drop(table.name)
            self._database.execute(create)
            for batch in self._batches(rows, table):
                self._insert(table, batch)
                advance(len(batch))
        except BaseException:
            self._database.execute("ROLLBACK TO one_table")
            raise
        finally:
            self._database.execute("RELEASE one_table")

    def _drop(self, name: str) -> None:
        found = self._database.execute(
            "SELECT type FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')", (name,)
        ).fetchone()
        if found is not None:
            self._database.execute(f"DROP {found[0].decode()} {_quote(name)}")

    def _batches(self, rows: TableRows, table: _Table) -> Iterator[list[list[Value]]]:
        columns = rows.schema.columns
        kinds = [Kind.BYTES if is_always_token(rows.schema, i) else c.kind for i, c in enumerate(columns)]
        places = [(writer_of(kind), kind) for kind in kinds]
        batch: list[list[Value]] = []
        size = 0
        for line in rows.lines():
            values: list[Value] = []
            for (write, kind), cell in zip(places, rows.cells(line), strict=True):
                if cell is None:
                    values.append(None)
                elif isinstance(cell, Token):
                    values.append(self._large(rows, table, kind, cell))
                    size += cell.size
                else:
                    values.append(write(cell))
            batch.append(values)
            size += len(line)
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _large(self, rows: TableRows, table: _Table, kind: Kind, token: Token) -> Value:
        if token.size > self._limit:
            table.too_large += 1
            return None
        return raw_to_sqlite(kind, token.prefix, rows.raw(token))

    def _insert(self, table: _Table, batch: list[list[Value]]) -> None:
        plain = _insert_sql(table, [False] * len(table.columns))
        start = 0
        for i, values in enumerate(batch):
            casts = [isinstance(v, SqlText) for v in values]
            if any(casts):
                self._database.executemany(plain, batch[start:i])
                self._database.execute(_insert_sql(table, casts), values)
                start = i + 1
        self._database.executemany(plain, batch[start:])


def _insert_sql(table: _Table, casts: Sequence[bool]) -> str:
    """Give the INSERT; only a CAST makes a TEXT of bytes that are not UTF-8."""
    values = ", ".join("CAST(? AS TEXT)" if cast else "?" for cast in casts)
    return f"INSERT INTO {_quote(table.name)} VALUES ({values})"  # noqa: S608 - quoted name


def _create(schema: Schema, table: _Table) -> str:
    is_sqlite = _is_sqlite_shape(schema)
    alias = _find_alias(schema) if is_sqlite else None
    parts = [
        " ".join(filter(None, (_quote(name), _declare(column, is_sqlite, column.name == alias))))
        for name, column in zip(table.columns, schema.columns, strict=True)
    ]
    if schema.key and alias is None:
        parts.append(f"PRIMARY KEY ({', '.join(_quote(table.columns[schema.index(k)]) for k in schema.key)})")
    strict = " STRICT" if is_sqlite and _is_strict(schema, alias) else ""
    return f"CREATE TABLE {_quote(table.name)} ({', '.join(parts)}){strict}"


def _create_loose(table: _Table) -> str:
    """Give a table without any rule: columns without a type change no value."""
    return f"CREATE TABLE {_quote(table.name)} ({', '.join(_quote(c) for c in table.columns)})"


def _declare(column: Column, is_sqlite: bool, is_alias: bool) -> str:
    if is_alias:
        return "INTEGER PRIMARY KEY"
    storage = _STORAGE.get(column.kind, "TEXT")
    declared = (_quote(column.type) if column.type else "") if is_sqlite else storage
    return " ".join(filter(None, (declared, "" if column.null else "NOT NULL")))


def _is_sqlite_shape(schema: Schema) -> bool:
    """Tell whether all columns are of types that SQLite itself would give these kinds."""
    return all(c.kind is Kind.ANY or _STRICT_KINDS.get(c.type.upper()) is c.kind for c in schema.columns)


def _find_alias(schema: Schema) -> str | None:
    """Give the column that is the rowid itself."""
    if len(schema.key) != 1:
        return None
    column = schema.column(schema.key[0])
    return column.name if column.kind is Kind.INT and column.type.upper() == "INTEGER" else None


def _is_strict(schema: Schema, alias: str | None) -> bool:
    others = [c for c in schema.columns if c.name != alias]
    known = all(c.type.upper() in (*_STRICT_KINDS, "ANY") for c in others)
    return known and any(c.kind is not Kind.ANY or c.type.upper() == "ANY" for c in others)


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
