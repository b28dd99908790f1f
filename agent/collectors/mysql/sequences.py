# SPDX-License-Identifier: Apache-2.0
"""MariaDB's sequences, as a table of ours: `@sequences`.

A sequence is not part of any snapshot; its values are those of the moment of reading, at or after it (never behind the
rows that used them). MySQL has none. Source: MariaDB "SEQUENCE Overview".
"""

from typing import Final

import MySQLdb

from agent.collectors.mysql.catalog import list_names, quote
from agent.collectors.mysql.connect import Row, Session
from agent.collectors.mysql.failures import Error
from evidence.rows.line import Cell, encode_line
from evidence.rows.names import encode_name
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind

SEQUENCES: Final = Schema(
    "@sequences",
    (
        Column("name", Kind.TEXT, False, "text"),
        Column("next_not_cached_value", Kind.INT, True, "bigint(21)"),
        Column("minimum_value", Kind.INT, True, "bigint(21)"),
        Column("maximum_value", Kind.INT, True, "bigint(21)"),
        Column("start_value", Kind.INT, True, "bigint(21)"),
        Column("increment", Kind.INT, True, "bigint(21)"),
        Column("cache_size", Kind.INT, True, "bigint(21) unsigned"),
        Column("cycle_option", Kind.INT, True, "tinyint(1) unsigned"),
        Column("cycle_count", Kind.INT, True, "bigint(21)"),
    ),
    ("name",),
    ("next_not_cached_value is that of the moment of reading; all are NULL where the account may not see them",),
)
_VALUES: Final = ", ".join(column.name for column in SEQUENCES.columns[1:])


def list_sequences(session: Session, database: str) -> list[str]:
    """Give the names of the sequences of a database. Raises: MySQLdb.Error."""
    return list_names(session, database, "SEQUENCE")


def read_sequences(session: Session, database: str, names: list[str]) -> bytes:
    """Give the lines of `@sequences`, by the bytes of the names. Raises: MySQLdb.Error."""
    rows: dict[bytes, Row] = {}
    for name in names:
        try:
            (values,) = session.query(
                f"SELECT {_VALUES} FROM {quote(database)}.{quote(name)}"  # noqa: S608 - quoted names
            )
        except MySQLdb.Error as err:
            if Error.of(err).is_down:
                raise
            values = (None,) * (len(SEQUENCES.columns) - 1)
        rows[encode_name([database, name]).encode()] = values
    lines = []
    for full_name in sorted(rows):
        cells: list[Cell] = [full_name, *rows[full_name]]
        lines.append(encode_line(cells) + b"\n")
    return b"".join(lines)
