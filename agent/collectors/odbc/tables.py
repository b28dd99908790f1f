# SPDX-License-Identifier: Apache-2.0
"""From a table in the catalog to what the source offers: its schema and its queries, or why it is left out. Pure.

The server's own order is used for keys of integers alone: how it compares anything else is its own affair, and the rows
are sorted by us. A *locator* finds a row again, so that large cells can be fetched apart from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.collectors.base import Omission, Table
from agent.collectors.odbc.catalog import SourceColumn, SourceTable
from agent.collectors.odbc.cells import Convert, converter
from agent.collectors.odbc.dialect import Cast, Dialect, Form, fill
from agent.collectors.odbc.settings import OdbcSettings
from evidence.rows.line import MAX_CELL_BYTES
from evidence.rows.schema import MAX_COLUMNS, Column, Schema
from evidence.rows.values import UNORDERED_KINDS, Kind


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column and how it is read. `is_long`: values may be over 65,536 bytes."""

    source: SourceColumn
    cast: Cast
    quoted: str

    @property
    def is_long(self) -> bool:
        """Tell whether a value may be large."""
        long = self.cast.long
        most = min(MAX_CELL_BYTES, long.most or MAX_CELL_BYTES) if long is not None else 0
        return long is not None and (self.source.octets is None or self.source.octets > most)

    @property
    def scale(self) -> int | None:
        """Give the declared scale of a decimal; None for other kinds."""
        return self.source.scale if self.cast.kind is Kind.DECIMAL else None

    @property
    def sql(self) -> str:
        """Give the SQL of its cells."""
        return fill(self.cast.sql, c=self.quoted)

    @property
    def length(self) -> str:
        """Give the SQL of a value's length. For what is long."""
        assert self.cast.long is not None
        return fill(self.cast.long.length, c=self.quoted)

    def part(self, start: int, count: int) -> str:
        """Give the SQL of a part of a value, from 1. For what is long."""
        assert self.cast.long is not None
        return fill(self.cast.long.part, c=self.quoted, start=str(start), count=str(count))

    def converter(self) -> Convert:
        """Give what makes canonical values of cells."""
        declared = "".join(ch for ch in self.source.declared if ch.isdigit())
        width = int(declared) if self.cast.kind is Kind.BITS and declared else None
        return converter(self.cast.kind, self.cast.form, self.scale, width)


@dataclass(frozen=True, slots=True)
class Locator:
    """What finds a row again: SQL expressions, how each is read as text, and of what kind its values are."""

    expressions: tuple[str, ...]
    texts: tuple[str, ...]
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class OfferedTable:
    """A table of the source and how it is offered."""

    source: SourceTable
    schema: Schema
    columns: tuple[ReadColumn, ...]
    orders: bool
    locator: Locator | None
    dialect: Dialect

    def table(self) -> Table:
        """Give what the protocol offers."""
        return Table(self.schema, self.orders, self.source.estimated_rows)

    @property
    def _relation(self) -> str:
        return self.source.before + self.source.quoted(self.dialect)

    def query(self, expressions: Sequence[str]) -> str:
        """Give the query for all rows, in the key's order if the server's is the canonical one."""
        order = ", ".join(f"t.{self.dialect.quote(name)}" for name in self.schema.key)
        tail = f" ORDER BY {order}" if self.orders else ""
        return f"SELECT {_name_all(expressions)} FROM {self._relation} t{tail}"  # noqa: S608 - quoted names

    def page(self, expressions: Sequence[str], after: Sequence[str], rows: int) -> str:
        """Give the query for the next rows by the locator, behind the row where it has these values (SQL); none: first."""
        assert self.locator is not None
        names = self.locator.expressions
        return fill(
            self.dialect.page, what=_name_all(expressions), t=self._relation,
            where=f" WHERE {_behind(names, after)}" if after else "", order=", ".join(names), rows=str(rows),
        )  # fmt: skip

    def row(self, expression: str, at: Sequence[str]) -> str:
        """Give the query for one row, where the locator has these values (SQL)."""
        assert self.locator is not None
        where = " AND ".join(f"{n} = {v}" for n, v in zip(self.locator.expressions, at, strict=True))
        return f"SELECT {_name_all([expression])} FROM {self._relation} t WHERE {where}"  # noqa: S608 - quoted names

    def locate(self, values: Sequence[str]) -> list[str]:
        """Write a row's place for SQL. Raises: ValueError if a value is not of its kind."""
        assert self.locator is not None
        return [_literal(self.dialect, kind, v) for kind, v in zip(self.locator.kinds, values, strict=True)]


def offer_table(source: SourceTable, settings: OdbcSettings, dialect: Dialect) -> OfferedTable | Omission:
    """Give how a table is offered, or why it is left out."""
    reason = settings.tables.exclusion_of(source.full_name) or source.obstacle
    if reason is None and not 1 <= len(source.columns) <= MAX_COLUMNS:
        reason = f"it has {len(source.columns)} columns; 1 to {MAX_COLUMNS} can be read"
    if reason is not None:
        return Omission(source.full_name, reason)
    columns = tuple(ReadColumn(c, dialect.cast_of(c.type), f"t.{dialect.quote(c.name)}") for c in source.columns)
    schema = _make_schema(source, settings.tables.logical_name(source.full_name), columns)
    kinds = {c.source.name: c.cast.kind for c in columns}
    orders = bool(schema.key) and all(kinds[name] is Kind.INT for name in schema.key)
    return OfferedTable(source, schema, columns, orders, _find_locator(source, columns, dialect), dialect)


def _make_schema(source: SourceTable, logical: str, columns: Sequence[ReadColumn]) -> Schema:
    kinds = {c.source.name: c.cast.kind for c in columns}
    key = () if any(kinds.get(name, Kind.ANY) in UNORDERED_KINDS for name in source.key) else source.key
    notes = [f"generated {c.source.name}" for c in columns if c.source.is_generated]
    notes += [f"padded {c.source.name}" for c in columns if c.cast.is_padded]
    return Schema(
        logical,
        tuple(
            Column(c.source.name, c.cast.kind, c.source.is_null, c.source.declared, c.scale, c.source.comment)
            for c in columns
        ),
        key,
        tuple(notes),
    )


def _find_locator(source: SourceTable, columns: Sequence[ReadColumn], dialect: Dialect) -> Locator | None:
    by_name = {c.source.name: c for c in columns}
    key = [by_name[name] for name in source.key if name in by_name]
    if not dialect.page:
        return None
    can = key and len(key) == len(source.key) and source.is_transactional
    if can and all(c.cast.kind in dialect.locates and not c.source.is_null and not c.is_long for c in key):
        return Locator(tuple(c.quoted for c in key), tuple(c.sql for c in key), tuple(c.cast.kind for c in key))
    if source.address is not None:
        return Locator((source.address,), (source.address,), (dialect.address_kind,))
    return None


def _literal(dialect: Dialect, kind: Kind, value: str) -> str:
    if kind in (Kind.INT, Kind.DECIMAL):
        return converter(kind, Form.PLAIN)(value).decode("ascii")
    return dialect.write_text(value)


def _name_all(expressions: Sequence[str]) -> str:
    """Give each expression a short name: some drivers take its text for one, and lose themselves in it."""
    return ", ".join(f"{expression} AS c{i}" for i, expression in enumerate(expressions))


def _behind(names: Sequence[str], values: Sequence[str]) -> str:
    """Give the condition for rows behind `values`, in a form for which a server walks the index from there."""
    steps = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        same = "".join(f"{n} = {v} AND " for n, v in zip(names[:i], values[:i], strict=True))
        steps.append(f"({same}{name} > {value})")
    start = f"{names[0]} >= {values[0]} AND " if len(names) > 1 else ""
    return f"{start}({' OR '.join(steps)})"
