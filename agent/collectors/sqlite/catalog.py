# SPDX-License-Identifier: Apache-2.0
"""What tables a SQLite database has, how their columns map to kinds, and in which order they can be read.

Reads the catalog through an open connection, within its transaction; keeps no state.
Kinds: a rowid alias is int; columns of STRICT tables are int, float8, text, bytes or any, as typed; all other columns
hold any type in any row and are any. Orders: by a key of int, text or bytes where SQLite walks an index to do so
(ORDER BY … COLLATE BINARY compares bytes, which is the canonical order; in a UTF-16 database it is not).
Source: sqlite.org/datatype3.html, stricttables.html, rowidtable.html, gencol.html, pragma.html#pragma_table_list.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from agent.collectors.base import Document, Omission, Table
from agent.collectors.naming import check_names
from agent.collectors.sqlite.settings import SqliteSettings
from evidence.rows.names import encode_name
from evidence.rows.schema import MAX_COLUMNS, Column, Schema
from evidence.rows.values import UNORDERED_KINDS, Kind

_STRICT_KINDS = {"INT": Kind.INT, "INTEGER": Kind.INT, "REAL": Kind.FLOAT8, "TEXT": Kind.TEXT, "BLOB": Kind.BYTES}
_ROWIDS = ("rowid", "_rowid_", "oid")
_HIDDEN_VIRTUAL, _HIDDEN_STORED = 2, 3


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table and how to read it.

    `order` are SQL expressions that the rows ascend by and that identify a row, or none; `order_places` where their
    values stand in a row. `rowid` is the name by which the rowid is reached, for streaming large cells, or None.
    `hidden_rowid`: it stands behind the columns of a row.
    `plain`: for each column, whether its cells can be opened as blobs (generated columns cannot).
    """

    table: Table
    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    order_places: tuple[int, ...]
    rowid: str | None
    hidden_rowid: bool
    plain: tuple[bool, ...]

    def select(self, where: str = "", what: str | None = None) -> str:
        """Give the query for all columns, and the rowid if it is hidden (or for `what`), in `order`."""
        if what is None:
            what = ", ".join([*map(quote, self.columns), *([self.rowid or ""] if self.hidden_rowid else [])])
        order = f" ORDER BY {', '.join(self.order)}" if self.order else ""
        return f"SELECT {what} FROM main.{quote(self.name)} {where}{order}"  # noqa: S608 - quoted names


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a database holds."""

    tables: tuple[SourceTable, ...]
    omitted: tuple[Omission, ...]
    documents: tuple[Document, ...]
    notes: tuple[str, ...]
    is_utf8: bool


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    is_null: bool
    key_place: int
    hidden: int


def quote(identifier: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def read_catalog(connection: sqlite3.Connection, settings: SqliteSettings) -> Catalog:
    """Read what there is. Raises: sqlite3.Error; SourceError if settings and database do not fit together."""
    encoding = _text(connection.execute("PRAGMA encoding").fetchone()[0])
    is_utf8 = encoding == "UTF-8"
    tables: list[SourceTable] = []
    omitted: list[Omission] = []
    for raw_name, kind, is_without_rowid, is_strict in _list_tables(connection):
        outcome = _read_table(connection, settings, raw_name, kind, is_without_rowid, is_strict, is_utf8)
        if isinstance(outcome, SourceTable):
            tables.append(outcome)
        elif outcome is not None:
            omitted.append(outcome)
    known = {encode_name([table.name]) for table in tables} | {omission.name for omission in omitted}
    omitted += check_names(settings.tables, [table.table.schema.name for table in tables], known)
    notes = (
        () if is_utf8 else (f"the database keeps text as {encoding}; text stands here as SQLite converts it to UTF-8",)
    )
    return Catalog(tuple(tables), tuple(omitted), tuple(_documents(connection, encoding)), notes, is_utf8)


def _list_tables(connection: sqlite3.Connection) -> Iterator[tuple[bytearray, str, bool, bool]]:
    """Give tables that are not SQLite's own and not views: raw name, kind, WITHOUT ROWID, STRICT."""
    rows = connection.execute("PRAGMA main.table_list").fetchall()
    for schema, name, kind, _, is_without_rowid, is_strict in sorted(rows, key=lambda row: bytes(row[1])):
        if schema != b"main" or kind == b"view" or bytes(name[:7]).lower() == b"sqlite_":
            continue
        yield name, _text(kind), bool(is_without_rowid), bool(is_strict)


def _read_table(
    connection: sqlite3.Connection,
    settings: SqliteSettings,
    raw_name: bytearray,
    kind: str,
    is_without_rowid: bool,
    is_strict: bool,
    is_utf8: bool,
) -> SourceTable | Omission:
    try:
        name = raw_name.decode("utf-8")
    except UnicodeDecodeError:
        shown = encode_name([_text(raw_name)])
        return Omission(shown, "its name is not valid UTF-8, so no query can name it: rename it with the application")
    full_name = encode_name([name])
    excluded = settings.tables.exclusion_of(full_name)
    if excluded is not None:
        return Omission(full_name, excluded)
    if kind == "virtual":
        return Omission(full_name, "a virtual table: its rows are made by a module, often from other tables")
    if kind == "shadow":
        return Omission(full_name, "a shadow table: the inner storage of a virtual table")
    columns = _read_columns(connection, name)
    if columns is None:
        return Omission(full_name, "the name of a column is not valid UTF-8, so no query can name it")
    if not 1 <= len(columns) <= MAX_COLUMNS:
        return Omission(full_name, f"it has {len(columns)} columns; 1 to {MAX_COLUMNS} can be read")
    shape = _Shape(
        name, tuple(columns), is_without_rowid, is_strict, _is_alias(connection, name, columns, is_without_rowid)
    )
    logical = settings.tables.logical_name(full_name)
    return _plan(connection, shape, logical, is_utf8)


@dataclass(frozen=True, slots=True)
class _Shape:
    name: str
    columns: tuple[_Column, ...]
    is_without_rowid: bool
    is_strict: bool
    alias: str | None

    def kind_of(self, column: _Column) -> Kind:
        if column.name == self.alias:
            return Kind.INT
        return _STRICT_KINDS.get(column.type.upper(), Kind.ANY) if self.is_strict else Kind.ANY

    def key(self) -> tuple[_Column, ...]:
        key = tuple(sorted((c for c in self.columns if c.key_place), key=lambda c: c.key_place))
        return () if any(self.kind_of(c) in UNORDERED_KINDS for c in key) else key

    def rowid(self) -> str | None:
        if self.is_without_rowid:
            return None
        if self.alias is not None:
            return quote(self.alias)
        taken = {c.name.lower() for c in self.columns}
        return next((word for word in _ROWIDS if word not in taken), None)


def _plan(connection: sqlite3.Connection, shape: _Shape, logical: str, is_utf8: bool) -> SourceTable:
    key, rowid = shape.key(), shape.rowid()
    order = _key_order(connection, shape, key, is_utf8)
    is_ordered = bool(order)
    names = [c.name for c in shape.columns]
    places = tuple(names.index(c.name) for c in key)
    if not order:
        order, places = ((rowid,), (len(names),)) if rowid else ((), ())
    schema = Schema(
        logical,
        tuple(Column(c.name, shape.kind_of(c), c.is_null and c.name != shape.alias, c.type) for c in shape.columns),
        tuple(c.name for c in key),
        tuple(f"generated {c.name}" for c in shape.columns if c.hidden),
    )
    return SourceTable(
        Table(schema, is_ordered, _estimate_rows(connection, shape.name, rowid)),
        shape.name,
        tuple(c.name for c in shape.columns),
        order,
        places,
        rowid,
        rowid is not None and shape.alias is None,
        tuple(not c.hidden for c in shape.columns),
    )


def _key_order(
    connection: sqlite3.Connection, shape: _Shape, key: tuple[_Column, ...], is_utf8: bool
) -> tuple[str, ...]:
    """Give the ORDER BY that is the canonical order, if SQLite can walk it without sorting; else nothing."""
    if not key or any(c.is_null and c.name != shape.alias for c in key):
        return ()
    if not is_utf8 and any(shape.kind_of(c) is Kind.TEXT for c in key):
        return ()
    order = tuple(quote(c.name) + (" COLLATE BINARY" if shape.kind_of(c) is Kind.TEXT else "") for c in key)
    columns = ", ".join(quote(c.name) for c in shape.columns)
    query = f"EXPLAIN QUERY PLAN SELECT {columns} FROM main.{quote(shape.name)} ORDER BY {', '.join(order)}"  # noqa: S608
    plan = connection.execute(query).fetchall()
    return () if any(b"TEMP B-TREE" in bytes(row[3]) for row in plan) else order


def _read_columns(connection: sqlite3.Connection, table: str) -> list[_Column] | None:
    """Give the columns, generated ones too; None if a name is not UTF-8."""
    query = "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?, 'main')"
    columns: list[_Column] = []
    for name, declared, is_not_null, key_place, hidden in connection.execute(query, (table,)):
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError:
            return None
        columns.append(_Column(text, _text(declared), not is_not_null, key_place, hidden))
    return columns


def _is_alias(connection: sqlite3.Connection, table: str, columns: list[_Column], is_without_rowid: bool) -> str | None:
    """Give the column that is the rowid itself: the one INTEGER key column, if SQLite made no index for the key.

    `INTEGER PRIMARY KEY DESC` in a column's definition is no alias (an old mistake that SQLite keeps), hence the index.
    """
    key = [c for c in columns if c.key_place]
    if is_without_rowid or len(key) != 1 or key[0].type.upper() != "INTEGER":
        return None
    origins = connection.execute("SELECT origin FROM pragma_index_list(?, 'main')", (table,)).fetchall()
    return None if any(row[0] == b"pk" for row in origins) else key[0].name


def _estimate_rows(connection: sqlite3.Connection, table: str, rowid: str | None) -> int | None:
    """Give the largest rowid: one seek, where counting would read the table."""
    if rowid is None:
        return None
    try:
        found = connection.execute(f"SELECT max({rowid}) FROM main.{quote(table)}").fetchone()[0]  # noqa: S608 - quoted
    except sqlite3.Error:
        return None  # a damaged table: reading it will say so, and costs the others nothing
    return max(0, int(found)) if isinstance(found, int) else 0


def _documents(connection: sqlite3.Connection, encoding: str) -> Iterator[Document]:
    """Give `ddl.sql`, which makes the empty database, and `sequences.sql`, its AUTOINCREMENT counters."""
    parts = [f"PRAGMA encoding = '{encoding}';\n".encode()]
    for pragma in ("application_id", "user_version"):
        parts.append(f"PRAGMA {pragma} = {connection.execute(f'PRAGMA {pragma}').fetchone()[0]};\n".encode())
    rows = connection.execute(
        "SELECT name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
    ).fetchall()
    parts += [bytes(sql) + b";\n" for name, sql in rows if bytes(name[:7]).lower() != b"sqlite_"]
    yield Document("ddl.sql", b"".join(parts))
    if any(name == b"sqlite_sequence" for name, _ in rows):
        counters = connection.execute(
            "SELECT quote(name), quote(seq) FROM main.sqlite_sequence ORDER BY name"
        ).fetchall()
        lines = [b"INSERT INTO sqlite_sequence(name, seq) VALUES(%b, %b);\n" % (name, seq) for name, seq in counters]
        yield Document("sequences.sql", b"".join([b"DELETE FROM sqlite_sequence;\n", *lines]))


def _text(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "backslashreplace")
