# SPDX-License-Identifier: Apache-2.0
"""What a database holds, read from PostgreSQL's catalogs within the snapshot: tables, columns, types, keys, storage.

Everything here is as the snapshot saw it. What the server does later by name or by lock sees the catalogs as they are
*then*; `Storage` is what `tables.check_still` compares, so that a table swapped, truncated or rewritten in between is
noticed and not read as an empty or another one. Names come through psycopg2, whose session has an empty search_path:
unqualified names here are pg_catalog's. Source: PostgreSQL documentation chapter 53.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.connect import RAW_ENCODING, query
from agent.collectors.postgresql.mapping import SourceType
from evidence.rows.names import encode_name


class RelationKind(StrEnum):
    """`pg_class.relkind` of what has rows."""

    TABLE = "r"
    PARTITIONED = "p"
    MATERIALIZED_VIEW = "m"
    FOREIGN = "f"


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as declared. `number` is attnum; `declared` the server's own text of the type."""

    number: int
    name: str
    type: SourceType
    declared: str
    is_null: bool
    is_generated: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the rows lie: (oid, file node) of the table and all its partitions, 0 where there is no file."""

    files: frozenset[tuple[int, int]]

    @property
    def oids(self) -> list[int]:
        """Give the relations."""
        return sorted(oid for oid, _ in self.files)


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table, partitioned table (with all partitions), materialized view or foreign table. `key` are column names."""

    oid: int
    schema: str
    name: str
    kind: RelationKind
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    storage: Storage
    estimated_rows: int | None
    is_readable: bool
    is_filtered: bool
    is_populated: bool
    is_unlogged: bool
    has_foreign_partition: bool

    @property
    def full_name(self) -> str:
        """Give the name of design section 2."""
        return encode_name([self.schema, self.name])

    @property
    def quoted(self) -> str:
        """Give the name for SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"


@dataclass(frozen=True, slots=True)
class Server:
    """The server and the database as a whole."""

    version: int
    encoding: str
    is_standby: bool
    money_scale: int

    @property
    def is_raw(self) -> bool:
        """Tell whether the database keeps texts in no encoding."""
        return self.encoding == RAW_ENCODING

    @property
    def keeps_utf8(self) -> bool:
        """Tell whether the server compares the bytes that we read."""
        return self.is_raw or self.encoding == "UTF8"


@dataclass(frozen=True, slots=True)
class _Relation:
    oid: int
    kind: str
    file: int
    rows: float


def quote(identifier: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def read_server(connection: Connection) -> Server:
    """Read what the server is. Raises: psycopg2.Error."""
    (row,) = query(
        connection,
        "SELECT current_setting('server_encoding'), pg_is_in_recovery(), scale(0::money::numeric)",
    )
    return Server(connection.server_version, *row)


_TABLES: Final = """
    SELECT c.oid, n.nspname, c.relname, c.relkind,
           has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'),
           row_security_active(c.oid), c.relispopulated, c.relpersistence = 'u'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_)'
    ORDER BY c.oid"""

_RELATIONS: Final = """
    WITH RECURSIVE tree(root, oid) AS (
        SELECT oid, oid FROM unnest(%s::oid[]) AS r(oid)
        UNION ALL
        SELECT t.root, i.inhrelid FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p'
                                              JOIN pg_inherits i ON i.inhparent = t.oid)
    SELECT t.root, c.oid, c.relkind, c.relfilenode, c.reltuples FROM tree t JOIN pg_class c ON c.oid = t.oid"""

# Without an encoding, a comment may be anything, and one that is not UTF-8 would stop the whole query.
_COLUMNS: Final = """
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation,
           format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '',
           a.attlen = -1 AND a.attstorage <> 'p',
           CASE WHEN current_setting('server_encoding') <> 'SQL_ASCII' THEN d.description END
    FROM pg_attribute a LEFT JOIN pg_description d
      ON d.classoid = 'pg_class'::regclass AND d.objoid = a.attrelid AND d.objsubid = a.attnum
    WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum"""

# A domain may be over a domain: each step down gives the modifier that is in force, NOT NULL anywhere holds.
_TYPES: Final = """
    WITH RECURSIVE down(start, oid, modifier, is_not_null) AS (
        SELECT oid, oid, -1, typnotnull FROM pg_type WHERE oid = ANY(%s::oid[])
        UNION ALL
        SELECT d.start, t.typbasetype, t.typtypmod, d.is_not_null OR t.typnotnull
        FROM down d JOIN pg_type t ON t.oid = d.oid AND t.typtype = 'd')
    SELECT d.start, d.modifier, d.is_not_null, t.oid, n.nspname, t.typname, t.typtype, t.typcategory
    FROM down d JOIN pg_type t ON t.oid = d.oid AND t.typtype <> 'd' JOIN pg_namespace n ON n.oid = t.typnamespace"""

# datlocprovider exists since 15; provider b (built in, since 17) always compares bytes.
_COLLATIONS: Final = """
    SELECT c.oid FROM pg_collation c
    WHERE c.collprovider = 'b' OR (c.collprovider = 'c' AND c.collcollate IN ('C', 'POSIX'))
    UNION ALL
    SELECT 'pg_catalog."default"'::regcollation::oid FROM pg_database d WHERE d.datname = current_database()
      AND (coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'b'
           OR (coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' AND d.datcollate IN ('C', 'POSIX')))"""

_KEYS: Final = """
    SELECT k.conrelid, a.attname FROM pg_constraint k
    CROSS JOIN unnest(k.conkey) WITH ORDINALITY AS u(number, place)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
    WHERE k.contype = 'p' AND k.conrelid = ANY(%s::oid[]) ORDER BY k.conrelid, u.place"""


_UNREADABLE: Final = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_)'
      AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
    ORDER BY c.oid"""


def list_unreadable(connection: Connection) -> list[str]:
    """Give the quoted names of tables and partitions that the account may not read. Raises: psycopg2.Error."""
    return [f"{quote(schema)}.{quote(name)}" for schema, name in query(connection, _UNREADABLE)]


def read_tables(connection: Connection) -> list[SourceTable]:
    """Read all tables that are not the system's, nor temporary. Raises: psycopg2.Error."""
    rows = query(connection, _TABLES)
    oids = [row[0] for row in rows]
    relations = _read_relations(connection, oids)
    columns = _read_columns(connection, oids)
    keys: defaultdict[int, list[str]] = defaultdict(list)
    for oid, name in query(connection, _KEYS, [oids]):
        keys[oid].append(name)
    tables = []
    for oid, schema, name, kind, is_readable, is_filtered, is_populated, is_unlogged in rows:
        parts = relations[oid]
        known = [part.rows for part in parts if part.kind != RelationKind.PARTITIONED]
        tables.append(
            SourceTable(
                oid, schema, name, RelationKind(kind), tuple(columns[oid]), tuple(keys[oid]),
                Storage(frozenset((part.oid, part.file) for part in parts)),
                _sum_rows(known), bool(is_readable), bool(is_filtered), is_populated, is_unlogged,
                any(part.kind == RelationKind.FOREIGN and part.oid != oid for part in parts),
            )
        )  # fmt: skip
    return tables


def _read_relations(connection: Connection, oids: list[int]) -> Mapping[int, list[_Relation]]:
    found: defaultdict[int, list[_Relation]] = defaultdict(list)
    for root, *values in query(connection, _RELATIONS, [oids]):
        found[root].append(_Relation(*values))
    return found


def _read_columns(connection: Connection, oids: list[int]) -> Mapping[int, list[SourceColumn]]:
    rows = query(connection, _COLUMNS, [oids])
    types = _read_types(connection, sorted({row[3] for row in rows}))
    bytewise = {row[0] for row in query(connection, _COLLATIONS)}
    found: defaultdict[int, list[SourceColumn]] = defaultdict(list)
    for table, number, name, type_oid, modifier, collation, declared, is_not_null, *rest in rows:
        is_generated, is_long, comment = rest
        domain_modifier, is_never_null, base_oid, schema, base_name, sort, category = types[type_oid]
        # A modifier of -1 says that there is none.
        modifier = max(modifier, domain_modifier)
        source = SourceType(base_oid, schema, base_name, sort, category, modifier, collation in bytewise, is_long)
        is_null = not (is_not_null or is_never_null)
        found[table].append(SourceColumn(number, name, source, declared, is_null, is_generated, comment))
    return found


def _read_types(connection: Connection, oids: list[int]) -> dict[int, tuple[Any, ...]]:
    """Give of each type: modifier and NOT NULL of the domain, then oid, schema, name, sort and category of the base."""
    return {row[0]: row[1:] for row in query(connection, _TYPES, [oids])}


def _sum_rows(rows: list[float]) -> int | None:
    """Add the server's estimates; -1 says that a table was never analysed."""
    known = [count for count in rows if count >= 0]
    return round(sum(known)) if known else None
