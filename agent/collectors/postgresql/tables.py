# SPDX-License-Identifier: Apache-2.0
"""From a table in the catalogs to what the source offers: its schema and its query, or why it is left out.

`check_still` makes sure, under the lock that reading takes, that the table's name, columns and files are those of the
snapshot. It must: TRUNCATE and rewriting ALTERs are not MVCC-safe, a snapshot older than them sees the table *empty*;
REFRESH shows new rows to old snapshots; and names resolve to what they mean now. Source: PostgreSQL documentation 13.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg2.extensions import connection as Connection

from agent.collectors.base import Omission, Table
from agent.collectors.lost import lose_because
from agent.collectors.postgresql.catalog import RelationKind, Server, SourceColumn, SourceTable, quote
from agent.collectors.postgresql.connect import query
from agent.collectors.postgresql.mapping import (
    Native,
    expression_of,
    find_literal,
    is_padded,
    kind_of,
    native_order,
    scale_of,
)
from agent.collectors.postgresql.settings import PostgresqlSettings
from evidence.rows.line import parse_field
from evidence.rows.schema import MAX_COLUMNS, Column, Schema
from evidence.rows.values import UNORDERED_KINDS

FILTERED: Final = "row-level security would hide rows of it from this account: grant BYPASSRLS"


@dataclass(frozen=True, slots=True)
class OfferedTable:
    """A table of the source and how it is offered. `dated` are key columns that order only within four-digit years."""

    source: SourceTable
    schema: Schema
    orders: bool
    dated: tuple[SourceColumn, ...]

    def table(self, dates_fit: bool) -> Table:
        """Give what the protocol offers, once it is known whether the dates of the key allow the server's order."""
        return Table(self.schema, self.orders and (dates_fit or not self.dated), self.source.estimated_rows)

    @property
    def relation(self) -> str:
        """Give what stands behind FROM: children that inherit from a table are tables of their own."""
        only = "ONLY " if self.source.kind is RelationKind.TABLE else ""
        return only + self.source.quoted

    def query(self, expressions: Sequence[str] | None = None, after: Sequence[str] = (), within: str = "") -> str:
        """Give the query for all rows, in the key's order if the server's is the canonical one.

        `after`: only for rows behind the one whose key has these values (SQL), which `locate` gives. `within`: only for
        rows of this condition (SQL).
        """
        if expressions is None:
            expressions = [expression_of(c.type, f"t.{quote(c.name)}") for c in self.source.columns]
        order = ", ".join(f"t.{quote(name)}" for name in self.schema.key)
        behind = f"({order}) > ({', '.join(after)})" if after else ""
        where = " WHERE " + " AND ".join(filter(None, (behind, within))) if behind or within else ""
        tail = f" ORDER BY {order}" if self.orders else ""
        return f"SELECT {', '.join(expressions)} FROM {self.relation} AS t{where}{tail}"  # noqa: S608 - quoted names

    def locate(self, line: bytes) -> list[str]:
        """Give the key of a line as SQL; nothing if rows do not come in its order, or it cannot be written.

        A key cell that has a mark instead of its value is none of its type, or over what is taken here.
        """
        if not self.orders:
            return []
        places = {column.name: i for i, column in enumerate(self.source.columns)}
        fields = line.split(b"\t")
        values: list[str] = []
        for name in self.schema.key:
            place = places[name]
            cell = parse_field(fields[place], "a key cell") if place < len(fields) else None
            text = find_literal(self.source.columns[place].type, cell) if isinstance(cell, bytes) else None
            if text is None:
                return []
            values.append(text)
        return values


def offer_table(source: SourceTable, settings: PostgresqlSettings, server: Server) -> OfferedTable | Omission:
    """Give how a table is offered, or why it is left out."""
    reason = settings.tables.exclusion_of(source.full_name) or _find_obstacle(source, server)
    if reason is not None:
        return Omission(source.full_name, reason)
    schema = _make_schema(source, settings.tables.logical_name(source.full_name), server)
    natives = {c.name: native_order(c.type, server.keeps_utf8) for c in source.columns}
    orders = bool(schema.key) and all(natives[name] is not Native.NEVER for name in schema.key)
    dated = tuple(
        c for c in source.columns if c.name in schema.key and natives[c.name] is Native.WITHIN_FOUR_DIGITS
    )  # fmt: skip
    return OfferedTable(source, schema, orders, dated)


def check_still(connection: Connection, offered: OfferedTable) -> None:
    """Take the lock that reading takes, and make sure that the table still is what the snapshot saw.

    Call in the transaction that reads. Raises: TableLostError, psycopg2.Error.
    """
    source = offered.source
    with connection.cursor() as cursor:
        columns = ", ".join(quote(c.name) for c in source.columns)
        cursor.execute(f"SELECT {columns} FROM {offered.relation} LIMIT 0".encode())  # noqa: S608 - quoted names
        assert cursor.description is not None
        types = [d.type_code for d in cursor.description]
    if types != [c.type.oid for c in source.columns]:
        raise lose_because(source.full_name, "the type of a column was altered after the snapshot began")
    ((oid, files, parts),) = query(
        connection,
        "SELECT to_regclass(%s)::oid,"
        " (SELECT array_agg(ARRAY[o::int8, coalesce(pg_relation_filenode(o), 0)::int8]) FROM unnest(%s::oid[]) AS u(o)),"
        " (SELECT array_agg(relid::oid) FROM pg_partition_tree(%s::oid))",
        [source.quoted, source.storage.oids, source.oid],
    )
    if oid != source.oid:
        raise lose_because(source.full_name, "another table was put in its place after the snapshot began")
    if {(relation, file) for relation, file in files} != source.storage.files:
        raise lose_because(source.full_name, "it was truncated, rewritten or refreshed after the snapshot began")
    if source.kind is RelationKind.PARTITIONED and sorted(parts or ()) != source.storage.oids:
        raise lose_because(source.full_name, "it was repartitioned after the snapshot began")
    _check_columns(connection, source)


def dates_fit(connection: Connection, offered: OfferedTable) -> bool:
    """Tell whether all dates of the key have years of four digits. Walks an index where there is one."""
    for column in offered.dated:
        name = f"t.{quote(column.name)}"
        ((fits,),) = query(
            connection,
            f"SELECT coalesce(min({name}) >= '0001-01-01' AND max({name}) < '10000-01-01', true) "  # noqa: S608
            f"FROM {offered.relation} AS t",
        )
        if not fits:
            return False
    return True


def _check_columns(connection: Connection, source: SourceTable) -> None:
    """Names may have been exchanged without rewriting anything: compare them by number, as they are now."""
    numbers = [c.number for c in source.columns]
    rows = query(
        connection,
        "SELECT a.object_names[3] FROM unnest(%s::int4[]) WITH ORDINALITY AS u(number, place),"
        " LATERAL pg_identify_object_as_address('pg_class'::regclass, %s, u.number) AS a ORDER BY u.place",
        [numbers, source.oid],
    )
    if [row[0] for row in rows] != [c.name for c in source.columns]:
        raise lose_because(source.full_name, "its columns were renamed after the snapshot began")


def _find_obstacle(source: SourceTable, server: Server) -> str | None:
    """Give why a table cannot be read as one state, or None."""
    if source.kind is RelationKind.FOREIGN:
        return "a foreign table: its rows live on another server, outside of the snapshot"
    if source.has_foreign_partition:
        return "a partition of it is a foreign table, whose rows live on another server, outside of the snapshot"
    if not source.is_readable:
        return "the account has no right to SELECT from it"
    if source.is_filtered:
        return FILTERED
    if not 1 <= len(source.columns) <= MAX_COLUMNS:
        return f"it has {len(source.columns)} columns; 1 to {MAX_COLUMNS} can be read"
    if source.kind is RelationKind.MATERIALIZED_VIEW and not source.is_populated:
        return "a materialized view that was never filled"
    if source.is_unlogged and server.is_standby:
        return "an unlogged table has no rows on a standby"
    return None


def _make_schema(source: SourceTable, logical: str, server: Server) -> Schema:
    columns = tuple(
        Column(c.name, kind_of(c.type), c.is_null, c.declared, scale_of(c.type, server.money_scale), c.comment)
        for c in source.columns
    )
    kinds = {c.name: c.kind for c in columns}
    key = () if any(kinds[name] in UNORDERED_KINDS for name in source.key) else source.key
    generated = [f"generated {c.name}" for c in source.columns if c.is_generated]
    padded = [f"padded {c.name}" for c in source.columns if is_padded(c.type)]
    return Schema(logical, columns, key, (*generated, *padded))
