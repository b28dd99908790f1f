# SPDX-License-Identifier: Apache-2.0
"""What tables a database has, as the dictionary shows them to the account. Keeps no state.

The dictionary belongs to no system change number: what was altered after it is refused by the server (ORA-01466).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agent.collectors.oracle.mapping import SourceColumn, Value
from evidence.rows.names import encode_name

Row = Sequence[Value]

_ORACLES_OWN: Final = (
    "SYS", "SYSTEM", "OUTLN", "XDB", "MDSYS", "CTXSYS", "WMSYS", "ORDSYS", "ORDDATA", "OLAPSYS", "DBSNMP", "APPQOSSYS",
    "AUDSYS", "GSMADMIN_INTERNAL", "LBACSYS", "DVSYS", "OJVMSYS", "EXFSYS", "SYSMAN", "FLOWS_FILES", "APEX_030200",
)  # fmt: skip
_OWN: Final = "t.OWNER NOT IN (" + ", ".join(f"'{name}'" for name in _ORACLES_OWN) + ")"

TABLES: Final = f"""
    SELECT t.OWNER, t.TABLE_NAME, TO_CHAR(t.NUM_ROWS),
        CASE WHEN x.TABLE_NAME IS NOT NULL THEN 'an external table: its rows live in files outside of the database'
             WHEN m.CONTAINER_NAME IS NOT NULL THEN 'a materialized view: it can be filled from the tables' END
    FROM ALL_TABLES t
        LEFT JOIN ALL_EXTERNAL_TABLES x ON x.OWNER = t.OWNER AND x.TABLE_NAME = t.TABLE_NAME
        LEFT JOIN ALL_MVIEWS m ON m.OWNER = t.OWNER AND m.CONTAINER_NAME = t.TABLE_NAME
    WHERE {_OWN} AND t.TEMPORARY = 'N' AND t.NESTED = 'NO' AND t.SECONDARY = 'N' AND t.DROPPED = 'NO'
        AND (t.IOT_TYPE IS NULL OR t.IOT_TYPE = 'IOT') ORDER BY 1, 2"""  # noqa: S608 - constants

COLUMNS: Final = f"""
    SELECT t.OWNER, t.TABLE_NAME, t.COLUMN_NAME, t.DATA_TYPE, TO_CHAR(t.DATA_LENGTH), TO_CHAR(t.DATA_PRECISION),
        TO_CHAR(t.DATA_SCALE), t.NULLABLE, t.VIRTUAL_COLUMN, c.COMMENTS, TO_CHAR(t.CHAR_LENGTH), t.CHAR_USED
    FROM ALL_TAB_COLS t LEFT JOIN ALL_COL_COMMENTS c
        ON c.OWNER = t.OWNER AND c.TABLE_NAME = t.TABLE_NAME AND c.COLUMN_NAME = t.COLUMN_NAME
    WHERE {_OWN} AND t.USER_GENERATED = 'YES' ORDER BY 1, 2, t.INTERNAL_COLUMN_ID"""  # noqa: S608 - constants
# Before 12.1 there is no USER_GENERATED; hidden columns are the server's there.
OLD_COLUMNS: Final = COLUMNS.replace("t.USER_GENERATED = 'YES'", "t.HIDDEN_COLUMN = 'NO'")

KEYS: Final = f"""
    SELECT t.OWNER, t.TABLE_NAME, c.COLUMN_NAME
    FROM ALL_CONSTRAINTS t JOIN ALL_CONS_COLUMNS c ON c.OWNER = t.OWNER AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME
    WHERE t.CONSTRAINT_TYPE = 'P' AND t.STATUS = 'ENABLED' AND t.VALIDATED = 'VALIDATED' AND {_OWN}
    ORDER BY 1, 2, c.POSITION"""  # noqa: S608 - constants


class Queries(Protocol):
    """What answers queries about the dictionary."""

    def query(self, sql: str) -> list[Row]:
        """Give all rows. Raises: OracleError."""

    @property
    def version(self) -> tuple[int, ...]:
        """Give the server's version."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table. `obstacle`: why it cannot be read, or None."""

    owner: str
    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    estimated_rows: int | None
    obstacle: str | None

    @property
    def full_name(self) -> str:
        """Give the name of design section 2."""
        return encode_name([self.owner, self.name])

    @property
    def quoted(self) -> str:
        """Give the name for SQL."""
        return f"{quote(self.owner)}.{quote(self.name)}"


def quote(identifier: str) -> str:
    """Quote an identifier for SQL; Oracle's cannot hold a quote."""
    return f'"{identifier}"'


def read_tables(session: Queries) -> list[SourceTable]:
    """Read all tables. Raises: OracleError."""
    columns: defaultdict[tuple[Value, Value], list[SourceColumn]] = defaultdict(list)
    for row in session.query(COLUMNS if session.version >= (12, 1) else OLD_COLUMNS):
        columns[row[0], row[1]].append(_make_column(row))
    keys: defaultdict[tuple[Value, Value], list[str]] = defaultdict(list)
    for owner, table, column in session.query(KEYS):
        keys[owner, table].append(str(column))
    return [
        SourceTable(
            str(owner), str(name), tuple(columns[owner, name]), tuple(keys[owner, name]), _int(estimate),
            str(obstacle) if obstacle else None,
        )
        for owner, name, estimate, obstacle in session.query(TABLES)
    ]  # fmt: skip


def _make_column(row: Row) -> SourceColumn:
    _, _, name, kind, length, precision, scale, nullable, is_virtual, comment, characters, used = row
    bytes_ = _int(length) or 0
    return SourceColumn(
        str(name), str(kind), _declare(str(kind), bytes_, _int(precision), _int(scale), _int(characters), str(used or "")),
        bytes_, _int(precision), _int(scale), nullable != "N", is_virtual == "YES", str(comment) if comment else None,
    )  # fmt: skip


def _declare(
    kind: str, length: int, precision: int | None, scale: int | None, characters: int | None, used: str
) -> str:
    """Write a type as it was declared."""
    if kind in ("VARCHAR2", "CHAR", "NVARCHAR2", "NCHAR"):
        unit = " CHAR" if used == "C" and not kind.startswith("N") else ""
        return f"{kind}({characters if used == 'C' else length}{unit})"
    if kind == "RAW":
        return f"RAW({length})"
    if kind == "NUMBER" and (precision is not None or scale is not None):
        shown = "*" if precision is None else str(precision)
        return f"NUMBER({shown},{scale})" if scale else f"NUMBER({shown})" if precision is not None else "INTEGER"
    return f"FLOAT({precision})" if kind == "FLOAT" and precision is not None else kind


def _int(value: Value) -> int | None:
    return None if value is None or value == "" else int(str(value))
