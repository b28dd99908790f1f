# SPDX-License-Identifier: Apache-2.0
"""What a database holds, read from information_schema: tables, columns, keys, sequences.

The server's dictionary belongs to no snapshot: it is read before and after the snapshot begins (`snapshot`), and again
for each table under the lock that reading takes (`tables.check_still`). An account sees there only what it has some
right to; `rights` tells whether that is all. Source: MySQL manual chapter 28, MariaDB "Information Schema".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import MySQLdb

from agent.collectors.mysql.connect import Row, Session, literal, same_name, text_of
from agent.collectors.mysql.failures import Error
from evidence.rows.names import encode_name

TRANSACTIONAL: Final = frozenset({"innodb", "rocksdb", "tokudb"})
"""Engines whose rows belong to the snapshot."""
ELSEWHERE: Final = frozenset({"federated", "spider", "connect"})
"""Engines whose rows live outside of the server."""

_PRIMARY: Final = "PRIMARY"
_VIEWS: Final = frozenset({"VIEW", "SYSTEM VIEW"})


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as declared. `octets`: the most bytes of a value, if the server says; `precision`: of a time."""

    name: str
    type: str
    declared: str
    octets: int | None
    scale: int | None
    precision: int
    charset: str | None
    collation: str | None
    is_null: bool
    is_generated: bool
    is_readable: bool
    is_json: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Index:
    """A unique index over columns that are never NULL. `is_whole`: over their whole values, not prefixes."""

    name: str
    columns: tuple[str, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table. `key` is the primary key; `locators` are unique indexes by which a row can be found, that first."""

    database: str
    name: str
    type: str
    engine: str
    columns: tuple[SourceColumn, ...]
    key: Index | None
    locators: tuple[Index, ...]
    estimated_rows: int | None
    data_bytes: int
    trouble: str

    @property
    def full_name(self) -> str:
        """Give the name of design section 2."""
        return encode_name([self.database, self.name])

    @property
    def quoted(self) -> str:
        """Give the name for SQL."""
        return f"{quote(self.database)}.{quote(self.name)}"

    @property
    def is_transactional(self) -> bool:
        """Tell whether its rows belong to the snapshot."""
        return self.engine.lower() in TRANSACTIONAL

    def is_defined_as(self, other: "SourceTable | None") -> bool:
        """Tell whether another reading of the catalog says the same of its shape."""
        return other is not None and (self.type, self.engine.lower(), self.columns, self.locators) == (
            other.type, other.engine.lower(), other.columns, other.locators,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """The server. `version` as numbers, such as (10, 11, 6)."""

    version: tuple[int, ...]
    text: str
    is_mariadb: bool
    max_packet: int
    has_binlog: bool
    lower_case_names: int
    database_charset: str
    is_read_only: bool
    database: str

    @property
    def title(self) -> str:
        """Give product and version, for people."""
        return f"{'MariaDB' if self.is_mariadb else 'MySQL'} {'.'.join(map(str, self.version))}"


def quote(identifier: str) -> str:
    """Quote an identifier for SQL."""
    return "`" + identifier.replace("`", "``") + "`"


def read_server(session: Session, database: str) -> Server:
    """Read what the server is, and how it spells the name of `database`. Raises: MySQLdb.Error."""
    ((text, packet, binlog, lower, charset, read_only),) = session.query(
        "SELECT VERSION(), @@max_allowed_packet, @@log_bin, @@lower_case_table_names, @@character_set_database, @@read_only"
    )
    words = text_of(text)
    numbers = words.removeprefix("5.5.5-").split("-")[0].split(".")
    version = tuple(int(number) for number in numbers if number.isdigit())
    return Server(
        version, words, "mariadb" in words.lower(), int(packet or 0), binlog == b"1", int(lower or 0), text_of(charset),
        read_only != b"0", _spell(session, database),
    )  # fmt: skip


def read_tables(session: Session, database: str, name: str | None = None) -> list[SourceTable]:
    """Read all tables of the database that are no views and no sequences, or one. Raises: MySQLdb.Error."""
    where = _where(database, name)
    rows = session.query(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, "  # noqa: S608 - literals in hex
        f"IF(ENGINE IS NULL, TABLE_COMMENT, '') FROM information_schema.TABLES {where} ORDER BY TABLE_NAME"
    )
    columns = _read_columns(session, where, _read_json_checks(session, where))
    indexes = _read_indexes(session, where, columns)
    tables = []
    for raw, kind, engine, count, size, trouble in rows:
        if text_of(kind) in _VIEWS or kind in (b"SEQUENCE", b"TEMPORARY"):
            continue
        table = text_of(raw)
        locators = tuple(indexes[table])
        key = next((index for index in locators if index.name == _PRIMARY), None)
        tables.append(
            SourceTable(
                database, table, text_of(kind), text_of(engine), tuple(columns[table]), key, locators,
                None if count is None else int(count), int(size or 0), text_of(trouble),
            )
        )  # fmt: skip
    return tables


def _spell(session: Session, database: str) -> str:
    """Give a database's name as the server keeps it, which may take no notice of case."""
    rows = session.query(
        f"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {literal(database)}"  # noqa: S608
    )
    names = [text_of(name) for (name,) in rows]
    return names[0] if len(names) == 1 else database


def list_names(session: Session, database: str, kind: str) -> list[str]:
    """Give the names of tables of a type: `VIEW`, `SEQUENCE`. Raises: MySQLdb.Error."""
    rows = session.query(
        f"SELECT TABLE_NAME FROM information_schema.TABLES {_where(database)} "  # noqa: S608 - literals in hex
        f"AND TABLE_TYPE = {literal(kind)}"
    )
    return sorted(text_of(name) for (name,) in rows)


def _where(database: str, name: str | None = None) -> str:
    one = "" if name is None else f" AND {same_name('TABLE_NAME', name)}"
    return f"WHERE {same_name('TABLE_SCHEMA', database)}{one}"


def _read_columns(
    session: Session, where: str, json_checks: set[tuple[str, str]]
) -> defaultdict[str, list[SourceColumn]]:
    rows = session.query(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_OCTET_LENGTH, NUMERIC_SCALE, "  # noqa: S608 - literals in hex
        "DATETIME_PRECISION, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, EXTRA, PRIVILEGES, COLUMN_COMMENT "
        f"FROM information_schema.COLUMNS {where} ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )
    found: defaultdict[str, list[SourceColumn]] = defaultdict(list)
    for table, *values in rows:
        found[text_of(table)].append(_make_column(values, json_checks, text_of(table)))
    return found


def _make_column(values: Sequence[bytes | None], json_checks: set[tuple[str, str]], table: str) -> SourceColumn:
    name, kind, declared, octets, scale, precision, charset, collation, null, extra, rights, comment = values
    title = text_of(name)
    return SourceColumn(
        name=title,
        type=text_of(kind).lower(),
        declared=text_of(declared),
        octets=None if octets is None else int(octets),
        scale=None if scale is None else int(scale),
        precision=int(precision or 0),
        charset=None if charset is None else text_of(charset).lower(),
        collation=None if collation is None else text_of(collation).lower(),
        is_null=null == b"YES",
        is_generated=b"GENERATED" in (extra or b"").upper().replace(b"DEFAULT_GENERATED", b""),
        is_readable=b"select" in (rights or b"").lower(),
        is_json=(table, title) in json_checks,
        comment=text_of(comment) or None,
    )


def _read_json_checks(session: Session, where: str) -> set[tuple[str, str]]:
    """Give table and column of what MariaDB declares as JSON: a text with this very check, which it adds by itself."""
    try:
        rows = session.query(
            "SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS "  # noqa: S608 - literals in hex
            f"{where.replace('TABLE_SCHEMA', 'CONSTRAINT_SCHEMA')} AND LEVEL = 'Column'"
        )
    except MySQLdb.Error as err:
        if Error.of(err).is_down:
            raise
        return set()
    names = [(text_of(table), text_of(name), text_of(clause)) for table, name, clause in rows]
    return {(table, name) for table, name, clause in names if clause == f"json_valid({quote(name)})"}


def _read_indexes(
    session: Session, where: str, columns: defaultdict[str, list[SourceColumn]]
) -> defaultdict[str, list[Index]]:
    """Give the unique indexes whose columns are never NULL, the primary key first."""
    rows: list[Row] = session.query(
        "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS "  # noqa: S608 - literals in hex
        f"{where} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    )
    parts: defaultdict[tuple[str, str], list[tuple[str | None, bool]]] = defaultdict(list)
    for table, name, column, prefix in rows:
        parts[text_of(table), text_of(name)].append((None if column is None else text_of(column), prefix is None))
    found: defaultdict[str, list[Index]] = defaultdict(list)
    for (title, index), members in parts.items():
        never_null = {column.name for column in columns[title] if not column.is_null}
        names = tuple(column for column, _ in members if column in never_null)
        # An index over an expression has no name for that part.
        if len(names) == len(members):
            found[title].append(Index(index, names, all(is_whole for _, is_whole in members)))
    for indexes in found.values():
        indexes.sort(key=lambda one: (one.name != _PRIMARY, len(one.columns), one.name))
    return found
