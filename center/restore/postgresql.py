# SPDX-License-Identifier: Apache-2.0
"""Restore into a PostgreSQL database through COPY, in one transaction; read it back through COPY.

Canonical lines are COPY's text format but for large cells, whose content is put in, and NULLs at the end, which are
written. Types: `center.restore.pg_plan`. A table of a PostgreSQL source is first tried in those of the source's own
types that the target has; if it refuses a value, the table is made again in types that hold all values. The key and
NOT NULL are added when the rows are there; what the data do not allow is noted. Rows are put in in canonical order, and
a table that nobody touched gives them back so. Source: postgresql.org/docs/15/sql-copy.html.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2

from center.errors import TargetError
from center.restore.names import Identifiers, split_table_name
from center.restore.pg_copy import READ_BYTES, LineReader, copy_out
from center.restore.pg_extras import Extra, find_extra
from center.restore.pg_plan import (
    PgColumn,
    Survey,
    decode_fields,
    encode_fields,
    encode_raw,
    is_own_type,
    keep_type,
    plan_column,
)
from center.restore.pg_session import Session, quote
from center.restore.pg_shape import PgShape
from center.restore.rows import TableRows, is_always_token, join_cells, raw_as_value
from center.restore.target import Advance, Placement, note_names, one_line, table_named
from evidence.rows.line import MAX_CELL_BYTES, NULL, Token, encode_field
from terminal.language import NOTHING, Text

_MAX_NAME_BYTES = 63
_MOST_FIELD_BYTES = 1_000_000_000
_STEP_ROWS = 2000
_TRAILING_NULL = b"\t" + NULL
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
_LIST_OBJECTS = """
    SELECT n.nspname || '.' || c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                        AND d.deptype = 'e')
    ORDER BY 1 LIMIT 5"""


@dataclass(slots=True)
class _Table:
    """A table of the target. `too_large` cells could not be taken."""

    schema: str
    name: str
    columns: list[PgColumn]
    too_large: int = 0
    computed: frozenset[str] = frozenset()
    """Columns that the server fills by itself."""

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"


_EXTRAS: Final = {
    "@sequences": Text(zh="序列", en="sequences"),
    "@large_objects": Text(zh="大对象", en="large objects"),
}


class PostgresqlTarget:
    """A PostgreSQL database as a `Target`."""

    def __init__(self, dsn: str, description: str) -> None:
        """Connect; `description` names the database without a password. Raises: TargetError."""
        self.description = description
        self._dsn = dsn
        self._schemas = Identifiers(_MAX_NAME_BYTES, str, lambda n: n.startswith("pg_") or n == "information_schema")
        self._schema_names: dict[str, str] = {}
        self._table_names: dict[str, Identifiers] = {}
        self._tables: dict[str, _Table] = {}
        self._extras: dict[str, Extra] = {}
        self._session = Session(dsn, description)
        self._shape: PgShape | None = None

    def prepare(self, rows: TableRows, ddl: bytes, *, with_programs: bool) -> tuple[Text, ...]:
        """Make the source's own types, sequences and tables; see `ShapedTarget`."""
        if not rows.is_postgresql:
            raise TargetError(
                Text(
                    zh="来源不是 PostgreSQL，它的 DDL 在这里没有意义",
                    en="the source is no PostgreSQL, so its DDL says nothing to one",
                ),
                hint=Text(zh="不用 --with-ddl 恢复", en="restore without --with-ddl"),
            )
        self._shape = PgShape(self._session, ddl.decode("utf-8", "replace"), with_programs=with_programs)
        return self._shape.make()

    def find_content(self) -> Text | None:
        """Give the names of some tables, views and sequences that no extension brought."""
        names = [row[0] for row in self._session.query(_LIST_OBJECTS)]
        if names:
            return Text(zh=f"关系 {', '.join(names)}", en=f"the relations {', '.join(names)}")
        ((objects,),) = self._session.query("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")
        return Text(zh=f"{objects} 个大对象", en=f"{objects} large objects") if objects else None

    def load(self, rows: TableRows, advance: Advance) -> Placement:
        """Make the table and fill it; see `Target`."""
        extra = find_extra(rows, is_shaped=self._shape is not None)
        if extra is not None:
            return self._load_extra(rows, extra, advance)
        columns = rows.schema.columns
        names = Identifiers(_MAX_NAME_BYTES, str, _SYSTEM_COLUMNS.__contains__).take_all(c.name for c in columns)
        schema, name = self._place(rows.name)
        try:
            if self._shape is not None and self._shape.has_table(schema, name):
                table = self._load_shaped(rows, self._shape, schema, name, advance)
                notes: list[Text] = []
            else:
                table, notes = self._load_as_can_be(rows, schema, name, names, advance)
                notes += self._add_rules(rows, table)
        except psycopg2.Error as err:
            raise self._refuse(name, err) from err
        self._tables[rows.name] = table
        if table.too_large:
            notes.append(
                Text(
                    zh=f"{table.too_large} 个约 1 GB 的单元格在副本中为 NULL：PostgreSQL 的上限",
                    en=f"{table.too_large} cells of about 1 GB, PostgreSQL's limit, are NULL in the copy",
                )
            )
        notes += note_names(columns, names)
        return Placement(table_named(table.sql), tuple(notes))

    def save_document(self, name: str, body: bytes) -> str | None:  # noqa: ARG002 - see below
        """Keep none: a database has no place for documents."""
        return None

    def finish(self) -> tuple[Text, ...]:
        """Make what the source's DDL has beside the tables, if it was given; commit."""
        notes = self._shape.complete() if self._shape is not None else ()
        self._session.commit()
        return notes

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the rows as a new connection sees them."""
        if rows.name in self._extras:
            yield from self._read_extra(rows)
            return
        table = self._tables[rows.name]
        parts = ", ".join(f"{quote(c.name)}{c.cast}" for c in table.columns)
        is_plain = all(not c.read and not c.prefix for c in table.columns)
        session = Session(self._dsn, self.description)
        try:
            sql = f"COPY (SELECT {parts} FROM {table.sql}) TO STDOUT"  # noqa: S608 - quoted names
            for line in copy_out(session.connection, sql):
                if is_plain and len(line) <= MAX_CELL_BYTES:
                    yield _trim(line)
                else:
                    yield join_cells(rows.schema, list(decode_fields(table.columns, line)))
        except psycopg2.Error as err:
            raise TargetError(
                Text(
                    zh=f"{table.sql} 读不回来：{one_line(err)}", en=f"{table.sql} cannot be read back: {one_line(err)}"
                ),
                hint=Text(zh="查看它的日志", en="look at its log"),
            ) from err
        finally:
            session.close()

    def close(self) -> None:
        """Disconnect; what was not finished is undone."""
        self._session.close()

    def _place(self, name: str) -> tuple[str, str]:
        """Give schema and table; a name of one part goes to `public`."""
        parts = split_table_name(name)
        wanted, table = (parts[0], ".".join(parts[1:])) if len(parts) > 1 else ("public", parts[0])
        if wanted not in self._schema_names:
            self._schema_names[wanted] = self._schemas.take(wanted)
        schema = self._schema_names[wanted]
        return schema, self._table_names.setdefault(schema, Identifiers(_MAX_NAME_BYTES, str)).take(table)

    def _load_as_can_be(
        self, rows: TableRows, schema: str, name: str, names: Sequence[str], advance: Advance
    ) -> tuple[_Table, list[Text]]:
        """Fill the table in the source's own types as far as they are known here, else in types that hold all."""
        columns, notes = _plan(rows, names, self._is_own)
        table = _Table(schema, name, columns)
        try:
            self._fill(rows, table, advance)
        except (psycopg2.DataError, psycopg2.ProgrammingError, psycopg2.NotSupportedError) as err:
            if not rows.is_postgresql:
                raise
            columns, notes = _plan(rows, names, lambda _: False)
            table = _Table(schema, name, columns)
            self._fill(rows, table, advance)
            refused = one_line(err)
            notes.insert(
                0,
                Text(
                    zh=f"没有用来源自己的类型，数据库不接受：{refused}",
                    en=f"not in the source's own types, which the database refuses: {refused}",
                ),
            )
        return table, notes

    def _load_shaped(self, rows: TableRows, shape: PgShape, schema: str, name: str, advance: Advance) -> _Table:
        """Fill a table that the source's DDL has made."""
        columns = [keep_type(c.name, c) for c in rows.schema.columns]
        table = _Table(schema, name, columns, computed=frozenset(shape.generated_columns(schema, name)))
        with self._session.savepoint():
            self._copy_in(table, _copy_lines(rows, table, advance))
        return table

    def _load_extra(self, rows: TableRows, extra: Extra, advance: Advance) -> Placement:
        try:
            with self._session.savepoint():
                notes = extra.load(self._session, rows, advance)
        except psycopg2.Error as err:
            raise self._refuse(rows.name, err) from err
        self._extras[rows.name] = extra
        return Placement(_EXTRAS[rows.name], tuple(notes))

    def _read_extra(self, rows: TableRows) -> Iterator[bytes]:
        session = Session(self._dsn, self.description)
        try:
            yield from self._extras[rows.name].read_back(session)
        except psycopg2.Error as err:
            raise TargetError(
                Text(
                    zh=f"{rows.name} 读不回来：{one_line(err)}", en=f"{rows.name} cannot be read back: {one_line(err)}"
                ),
                hint=Text(zh="查看它的日志", en="look at its log"),
            ) from err
        finally:
            session.close()

    def _refuse(self, name: str, err: psycopg2.Error) -> TargetError:
        return TargetError(
            Text(
                zh=f"{self.description} 拒绝 {name!r}：{one_line(err)}",
                en=f"{self.description} refuses {name!r}: {one_line(err)}",
            ),
            hint=Text(
                zh="检查该账户能否建模式和表，以及磁盘空间",
                en="see that the account may create schemas and tables, and that the disk has room",
            ),
        )

    def _is_own(self, type_: str) -> bool:
        return is_own_type(type_) and self._session.knows_type(type_)

    def _fill(self, rows: TableRows, table: _Table, advance: Advance) -> None:
        """Make and fill a table, or leave no trace of it. Raises: psycopg2.Error."""
        run = self._session.execute
        with self._session.savepoint():
            run(f"CREATE SCHEMA IF NOT EXISTS {quote(table.schema)}")
            run(f"DROP TABLE IF EXISTS {table.sql}")
            columns = ",\n".join(f"{quote(c.name)} {c.type}" for c in table.columns)
            run(f"CREATE TABLE {table.sql} (\n{columns}\n)")
            self._copy_in(table, _copy_lines(rows, table, advance))

    def _copy_in(self, table: _Table, lines: Iterator[bytes]) -> None:
        reader = LineReader(lines)
        try:
            with self._session.connection.cursor() as cursor:
                columns = ", ".join(quote(c.name) for c in table.columns if c.name not in table.computed)
                cursor.copy_expert(f"COPY {table.sql} ({columns}) FROM STDIN", reader, READ_BYTES)
        except psycopg2.Error:
            if reader.error is not None:
                raise reader.error from None
            raise

    def _add_rules(self, rows: TableRows, table: _Table) -> list[Text]:
        """Add NOT NULL and the key; give notes on what the data or the types do not allow."""
        schema = rows.schema
        names = {c.name: quote(own.name) for c, own in zip(schema.columns, table.columns, strict=True)}
        rules = [
            (
                f"ALTER COLUMN {names[c.name]} SET NOT NULL",
                Text(zh=f"列 {c.name!r} 的 NOT NULL", en=f"NOT NULL of column {c.name!r}"),
            )
            for c in schema.columns
            if not c.null
        ]
        if schema.key:
            key, named = ", ".join(names[k] for k in schema.key), ", ".join(schema.key)
            rules.append((f"ADD PRIMARY KEY ({key})", Text(zh=f"主键（{named}）", en=f"the key ({named})")))
        notes: list[Text] = []
        for sql, what in rules:
            try:
                with self._session.savepoint():
                    self._session.execute(f"ALTER TABLE {table.sql} {sql}")
            except psycopg2.Error as err:
                why = one_line(err)
                notes.append(Text(zh=f"副本不强制{what.zh}：{why}", en=f"{what.en} is not enforced in the copy: {why}"))
        return notes


def _plan(rows: TableRows, names: Sequence[str], is_own: Callable[[str], bool]) -> tuple[list[PgColumn], list[Text]]:
    """Keep the types of a PostgreSQL source that `is_own` knows; look at all values of the other columns."""
    columns = rows.schema.columns
    keeps = [rows.is_postgresql and not rows.name.startswith("@") and is_own(c.type) for c in columns]
    surveys = [Survey(c.kind) for c in columns]
    if not all(keeps):
        for line in rows.lines():
            for survey, cell in zip(surveys, rows.cells(line), strict=True):
                if isinstance(cell, Token):
                    survey.look_at_large(cell, rows.blob(cell))
                elif cell is not None:
                    survey.look(cell)
    planned: list[PgColumn] = []
    notes: list[Text] = []
    for i, (name, column) in enumerate(zip(names, columns, strict=True)):
        if keeps[i]:
            planned.append(keep_type(name, column))
            continue
        chosen, note = plan_column(name, column, surveys[i], is_content=is_always_token(rows.schema, i))
        planned.append(chosen)
        if note == NOTHING and rows.is_postgresql and not rows.name.startswith("@"):
            note = Text(
                zh=f"列 {name!r} 为 {chosen.type}：没有用它自己的类型 {column.type!r}",
                en=f"column {name!r} is {chosen.type}: its own type {column.type!r} is not used here",
            )
        notes += [note] if note != NOTHING else []
    return planned, notes


def _copy_lines(rows: TableRows, table: _Table, advance: Advance) -> Iterator[bytes]:
    """Yield lines for COPY FROM."""
    columns = table.columns
    is_plain = all(not c.write and not c.prefix for c in columns) and not table.computed
    kept = [i for i, c in enumerate(columns) if c.name not in table.computed]
    width = len(columns)
    large = _large_cell(rows, table)
    count = 0
    for line in rows.lines():
        if is_plain and b"\\@" not in line:
            yield line + _TRAILING_NULL * (width - 1 - line.count(b"\t"))
        else:
            fields = line.split(b"\t")
            fields += [NULL] * (width - len(fields))
            yield encode_fields([columns[i] for i in kept], [fields[i] for i in kept], large)
        count += 1
        if count == _STEP_ROWS:
            advance(count)
            count = 0
    advance(count)


def _large_cell(rows: TableRows, table: _Table) -> Callable[[PgColumn, Token], bytes]:
    """Give what writes the field of a large cell."""

    def give(column: PgColumn, token: Token) -> bytes:
        size = 2 * token.size if column.is_binary else token.size
        if size > _MOST_FIELD_BYTES:
            table.too_large += 1
            return NULL
        raw = rows.raw(token)
        if column.prefix or (column.is_binary and column.write is None):
            return encode_raw(raw) if column.is_binary else encode_field(raw)
        value = raw_as_value(column.kind, token, raw)
        return encode_raw(value) if column.is_binary else encode_field(value)

    return give


def _trim(line: bytes) -> bytes:
    """Leave away the NULLs at the end."""
    while line.endswith(_TRAILING_NULL):
        line = line[: -len(_TRAILING_NULL)]
    return line
