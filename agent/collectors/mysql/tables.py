# SPDX-License-Identifier: Apache-2.0
"""From a table in the catalog to what the source offers: its schema and its query, or why it is left out.

`check_still` takes the lock that reading takes and then compares the table with what the catalog said when the snapshot
began: while the lock is held nothing can be altered. InnoDB itself refuses a table that was rebuilt, truncated or made
after the snapshot (error 1412). The server's order is asked for only where it is the canonical one and comes from the
primary key of a transactional engine, so that the server never sorts for us.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.collectors.base import Omission, Table
from agent.collectors.lost import lose_because
from agent.collectors.mysql.catalog import ELSEWHERE, Index, SourceColumn, SourceTable, quote, read_tables
from agent.collectors.mysql.connect import Session
from agent.collectors.mysql.mapping import Reading, is_padded, is_spatial, keeps_other_text, locates, orders, read_as
from agent.collectors.mysql.settings import MysqlSettings
from evidence.rows.schema import MAX_COLUMNS, Column, Schema
from evidence.rows.values import UNORDERED_KINDS


@dataclass(frozen=True, slots=True)
class OfferedTable:
    """A table of the source and how it is offered. `locator`: by what one row of it is found again, if by anything."""

    source: SourceTable
    schema: Schema
    readings: tuple[Reading, ...]
    orders: bool
    locator: Index | None

    def table(self) -> Table:
        """Give what the protocol offers."""
        return Table(self.schema, self.orders, self.source.estimated_rows)

    @property
    def located_by(self) -> tuple[SourceColumn, ...]:
        """Give the columns of the locator, in its order."""
        by_name = {column.name: column for column in self.source.columns}
        return tuple(by_name[name] for name in self.locator.columns) if self.locator else ()

    def query(self, expressions: Sequence[str]) -> str:
        """Give the query for all rows, in the key's order if the server's is the canonical one."""
        source = self.source
        if self.orders:
            order = ", ".join(f"t.{quote(name)}" for name in self.schema.key)
            tail = f" FORCE INDEX (PRIMARY) ORDER BY {order}"
        else:
            tail = ""
        return f"SELECT {', '.join(expressions)} FROM {source.quoted} AS t{tail}"  # noqa: S608 - quoted names

    def page(self, expressions: Sequence[str], after: Sequence[str], rows: int) -> str:
        """Give the query for the next rows by the locator, behind the row where it has these values (SQL); none: first."""
        assert self.locator is not None
        names = [f"t.{quote(name)}" for name in self.locator.columns]
        where = f" WHERE {_behind(names, after)}" if after else ""
        return (
            f"SELECT {', '.join(expressions)} FROM {self.source.quoted} AS t "  # noqa: S608 - quoted names
            f"FORCE INDEX ({quote(self.locator.name)}){where} ORDER BY {', '.join(names)} LIMIT {rows}"
        )

    def row(self, expression: str, at: Sequence[str]) -> str:
        """Give the query for one row, where the locator has these values (SQL)."""
        assert self.locator is not None
        where = " AND ".join(
            f"t.{quote(name)} = {value}" for name, value in zip(self.locator.columns, at, strict=True)
        )  # fmt: skip
        return f"SELECT {expression} FROM {self.source.quoted} AS t WHERE {where}"  # noqa: S608 - quoted names


def offer_table(source: SourceTable, settings: MysqlSettings) -> OfferedTable | Omission:
    """Give how a table is offered, or why it is left out."""
    reason = settings.tables.exclusion_of(source.full_name) or _find_obstacle(source)
    if reason is not None:
        return Omission(source.full_name, reason)
    readings = tuple(read_as(column, f"t.{quote(column.name)}") for column in source.columns)
    schema = _make_schema(source, settings.tables.logical_name(source.full_name), readings)
    by_name = {column.name: column for column in source.columns}
    is_ordered = (
        source.is_transactional
        and bool(schema.key)
        and source.key is not None
        and source.key.is_whole
        and all(orders(by_name[name]) for name in schema.key)
    )
    # Of an engine without transactions, two queries see two states.
    locators = source.locators if source.is_transactional else ()
    locator = next(
        (index for index in locators if index.is_whole and all(locates(by_name[n]) for n in index.columns)), None
    )
    return OfferedTable(source, schema, readings, is_ordered, locator)


def check_still(reader: Session, watcher: Session, offered: OfferedTable) -> None:
    """Take the lock that reading takes, and make sure that the table still is what the catalog said.

    Raises: TableLostError, MySQLdb.Error (also where the account lacks a right to a column).
    """
    source = offered.source
    reader.query(f"SELECT * FROM {source.quoted} LIMIT 0")  # noqa: S608 - quoted names
    found = read_tables(watcher, source.database, source.name)
    if not found or not source.is_defined_as(found[0]):
        raise lose_because(source.full_name, "it was altered after the snapshot began")


def _behind(names: Sequence[str], values: Sequence[str]) -> str:
    """Give the condition for rows behind `values`, in a form for which the server walks the index from there."""
    steps = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        same = "".join(f"{n} = {v} AND " for n, v in zip(names[:i], values[:i], strict=True))
        steps.append(f"({same}{name} > {value})")
    start = f"{names[0]} >= {values[0]} AND " if len(names) > 1 else ""
    return f"{start}({' OR '.join(steps)})"


def _find_obstacle(source: SourceTable) -> str | None:
    """Give why a table cannot be read as one state, or None."""
    if not source.engine:
        return f"the server cannot open it: {source.trouble or 'it names no engine'}"
    if source.engine.lower() in ELSEWHERE:
        return f"a table of engine {source.engine}: its rows live outside of the server"
    if any(not column.is_readable for column in source.columns):
        return "the account has no right to SELECT all of its columns"
    if not 1 <= len(source.columns) <= MAX_COLUMNS:
        return f"it has {len(source.columns)} columns; 1 to {MAX_COLUMNS} can be read"
    return None


def _make_schema(source: SourceTable, logical: str, readings: Sequence[Reading]) -> Schema:
    columns = tuple(
        Column(c.name, r.kind, c.is_null, c.declared, r.scale, c.comment)
        for c, r in zip(source.columns, readings, strict=True)
    )
    kinds = {c.name: c.kind for c in columns}
    key = source.key.columns if source.key is not None else ()
    if any(kinds[name] in UNORDERED_KINDS for name in key):
        key = ()
    notes = [f"generated {c.name}" for c in source.columns if c.is_generated]
    notes += [f"padded {c.name}" for c in source.columns if is_padded(c)]
    notes += [f"charset {c.name}: {c.charset}" for c in source.columns if keeps_other_text(c)]
    notes += [f"srid and wkb {c.name}" for c in source.columns if is_spatial(c)]
    return Schema(logical, columns, key, tuple(notes))
