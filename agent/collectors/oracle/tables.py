# SPDX-License-Identifier: Apache-2.0
"""From a table in the dictionary to what the source offers: its schema and its query, or why it is left out. Pure.

Every query reads `AS OF SCN`. The server orders keys of integers alone; all else is sorted by us, for how it compares texts
depends on settings.
"""

from dataclasses import dataclass

from agent.collectors.base import Omission, Table
from agent.collectors.oracle.catalog import SourceTable, quote
from agent.collectors.oracle.mapping import Lob, Reading, read_as
from agent.collectors.oracle.settings import OracleSettings
from evidence.rows.schema import MAX_COLUMNS, Column, Schema
from evidence.rows.values import UNORDERED_KINDS, Kind


@dataclass(frozen=True, slots=True)
class OfferedTable:
    """A table of the source and how it is offered."""

    source: SourceTable
    schema: Schema
    readings: tuple[Reading, ...]
    orders: bool

    def table(self) -> Table:
        """Give what the protocol offers."""
        return Table(self.schema, self.orders, self.source.estimated_rows)

    def query(self, scn: str) -> str:
        """Give the query for all rows as of `scn`: the cells in order, then the short values of LOBs in theirs."""
        cells = [reading.sql for reading in self.readings]
        cells += [reading.short for reading in self.readings if reading.lob is not Lob.NONE]
        named = ", ".join(f"{cell} AS C{i}" for i, cell in enumerate(cells))
        order = ", ".join(f"t.{quote(name)}" for name in self.schema.key)
        tail = f" ORDER BY {order}" if self.orders else ""
        return f"SELECT {named} FROM {self.source.quoted} AS OF SCN {int(scn)} t{tail}"  # noqa: S608 - quoted names


def offer_table(source: SourceTable, settings: OracleSettings) -> OfferedTable | Omission:
    """Give how a table is offered, or why it is left out."""
    reason = settings.tables.exclusion_of(source.full_name) or source.obstacle
    if reason is None and not 1 <= len(source.columns) <= MAX_COLUMNS:
        reason = f"it has {len(source.columns)} columns; 1 to {MAX_COLUMNS} can be read"
    if reason is not None:
        return Omission(source.full_name, reason)
    readings = tuple(read_as(column, f"t.{quote(column.name)}") for column in source.columns)
    kinds = {c.name: r.kind for c, r in zip(source.columns, readings, strict=True)}
    key = () if any(kinds.get(name, Kind.ANY) in UNORDERED_KINDS for name in source.key) else source.key
    notes = [f"generated {c.name}" for c in source.columns if c.is_generated] + [r.note for r in readings if r.note]
    schema = Schema(
        settings.tables.logical_name(source.full_name),
        tuple(
            Column(c.name, r.kind, c.is_null, c.declared, r.scale, c.comment)
            for c, r in zip(source.columns, readings, strict=True)
        ),
        key,
        tuple(notes),
    )
    return OfferedTable(source, schema, readings, bool(key) and all(kinds[name] is Kind.INT for name in key))
