# SPDX-License-Identifier: Apache-2.0
"""What tables a database has, read by the dialect's catalog queries, or by ODBC's own catalog functions.

The rows' columns are listed in `dialect`. Keeps no state.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.collectors.odbc.dialect import Dialect, fill
from agent.collectors.odbc.process import StatementError
from agent.collectors.odbc.session import Row, Session
from evidence.rows.names import encode_name


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column. `type` is a key of the dialect's casts, `declared` what a person wrote; `octets` None: no limit."""

    name: str
    type: str
    declared: str
    octets: int | None
    scale: int | None
    is_null: bool
    is_generated: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table. `obstacle`: why it cannot be read; `address`: SQL that finds a row again, where there is no key for it.

    `before`: what stands before its name behind FROM.
    """

    schema: str
    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    estimated_rows: int | None
    obstacle: str | None
    address: str | None
    is_transactional: bool
    fingerprint: str | None
    before: str

    @property
    def full_name(self) -> str:
        """Give the name of design section 2."""
        return encode_name([self.schema, self.name] if self.schema else [self.name])

    def quoted(self, dialect: Dialect) -> str:
        """Give the name for SQL."""
        return ".".join(dialect.quote(part) for part in (self.schema, self.name) if part)

    def fill(self, template: str, dialect: Dialect) -> str:
        """Put the table's names into SQL."""
        quoted = self.quoted(dialect)
        return fill(
            template, **{
                "t": quoted, "t'": dialect.write_text(quoted), "n'": dialect.write_text(self.name),
                "s'": dialect.write_text(self.schema),
            },
        )  # fmt: skip


def read_tables(session: Session, dialect: Dialect) -> list[SourceTable]:
    """Read all tables. Raises: StatementError, DriverError."""
    if dialect.tables is None or dialect.columns is None or dialect.keys is None:
        tables, columns, keys = _ask_driver(session)
    else:
        tables, columns, keys = (session.query(sql) for sql in (dialect.tables, dialect.columns, dialect.keys))
    by_table: defaultdict[tuple[str, str], list[SourceColumn]] = defaultdict(list)
    for row in columns:
        by_table[row[0] or "", row[1] or ""].append(_make_column(row))
    key_of: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for schema, table, column, *_ in keys:
        key_of[schema or "", table or ""].append(column or "")
    return [_make_table(row, by_table, key_of) for row in tables]


def _make_table(
    row: Row, columns: defaultdict[tuple[str, str], list[SourceColumn]], keys: defaultdict[tuple[str, str], list[str]]
) -> SourceTable:
    schema, name, estimate, obstacle, address, transactional, fingerprint, before = row
    place = schema or "", name or ""
    return SourceTable(
        *place, tuple(columns[place]), tuple(keys[place]), _int(estimate), " ".join(obstacle.split()) if obstacle else None,
        address, transactional == "1", fingerprint, before or "",
    )  # fmt: skip


def _make_column(row: Row) -> SourceColumn:
    _, _, name, type_name, declared, octets, scale, null, generated, comment, *_ = row
    return SourceColumn(
        name or "", (type_name or "").strip(), (type_name or "" if declared is None else declared).strip(), _int(octets), _int(scale),
        null != "0", generated not in ("0", None, ""), comment or None,
    )  # fmt: skip


def _int(text: str | None) -> int | None:
    """Read a number of the catalog, which some drivers print with a point."""
    return None if text is None or not text.strip() else int(float(text))


def _ask_driver(session: Session) -> tuple[list[Row], list[Row], list[Row]]:
    """Ask ODBC's catalog functions: SQLTables, SQLColumns, SQLPrimaryKeys."""
    tables: list[Row] = []
    columns: list[Row] = []
    keys: list[Row] = []
    found = session.ask_catalog("tables", ("table_schem", "table_name"), {"tableType": "TABLE"})
    for schema, name in found:
        tables.append((schema, name, None, None, None, "1", None, None))
        place = {"table": name} if schema is None else {"table": name, "schema": schema}
        columns += _describe(session, place)
        keys += _find_key(session, place)
    return tables, columns, keys


def _describe(session: Session, place: dict[str, str | None]) -> Iterator[Row]:
    wanted = (
        "table_schem",
        "table_name",
        "column_name",
        "data_type",
        "type_name",
        "column_size",
        "decimal_digits",
        "nullable",
    )
    # The function takes patterns: `_` in a name fits other names too.
    for schema, table, name, number, type_name, size, scale, nullable in session.ask_catalog("columns", wanted, place):
        if table == place["table"]:
            yield (schema, table, name, number, type_name, size or None, scale, nullable or "1", None, None)


def _find_key(session: Session, place: dict[str, str | None]) -> list[Row]:
    wanted = ("table_schem", "table_name", "column_name", "key_seq")
    try:
        rows = session.ask_catalog("primaryKeys", wanted, place)
    except StatementError:
        return []  # not every driver has the function: then the rows are ordered by their lines
    ordered: Sequence[Row] = sorted(rows, key=lambda row: int(row[3] or 0))
    return [row[:3] for row in ordered]
