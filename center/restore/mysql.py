# SPDX-License-Identifier: Apache-2.0
"""Restore into a MySQL or MariaDB database by INSERTs of many rows; read it back in bounded memory.

These servers commit whatever changes a table's shape, so tables are filled under names of our own, and `finish` gives
them their names: before it nothing that was there has changed, and `close` without it drops ours. One restore at a time
(GET_LOCK); what a broken one left is dropped by the next. Types: `center.restore.my_plan`. A table is tried in the types
of its source with its key, then in types that hold all, then without key and NOT NULL; the notes say what it became.
Large cells: `center.restore.my_large`. Source: decision 0046.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import MySQLdb

from center.errors import TargetError
from center.restore.my_large import LargeCells
from center.restore.my_plan import MyColumn, plan_column
from center.restore.my_reading import read_table
from center.restore.my_session import MyPlace, MySession, is_lost, literal, quote
from center.restore.my_shape import MyShape, find_computed, shaped_columns
from center.restore.my_survey import Survey, survey_rows
from center.restore.names import Identifiers, split_table_name
from center.restore.rows import SEQUENCES_TABLE, TableRows, is_always_token
from center.restore.target import Advance, Placement, note_names, one_line, table_named
from evidence.rows.line import Token
from evidence.rows.schema import Schema
from terminal.language import NOTHING, Text

_STAGED: Final = "~jinsuo~"
_LOCK_WAIT_S: Final = 5
_MOST_CHARACTERS: Final = 64
_MOST_FILE_BYTES: Final = 240
_BATCH_BYTES: Final = 1 << 20
_STEP_ROWS: Final = 2000
_MOST_INDEXED: Final = 3072
_PLAIN_SCHEMAS: Final = frozenset({"public", "dbo"})


@dataclass(slots=True)
class _Table:
    """A table of the target: the name that it will have, the one that it has until then, and its columns."""

    name: str
    staged: str
    columns: list[MyColumn]
    key: tuple[str, ...] = ()
    computed: frozenset[str] = frozenset()
    """Columns that the server fills by itself."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A way to make a table; `note` says what is lost by it. `statement`: the source's own, for the staged name."""

    is_own: bool
    has_rules: bool
    note: Text
    statement: str | None = None


_NOT_BY_DDL: Final = Text(
    zh="没有用来源自己的 DDL，服务器不接受", en="not by the source's own DDL, which the server refuses"
)
_NOT_IN_TYPES: Final = Text(
    zh="没有用来源自己的类型，服务器不接受", en="not in the source's own types, which the server refuses"
)
_WITHOUT_RULES: Final = Text(
    zh="不带主键和 NOT NULL，服务器不接受", en="without key and NOT NULL, which the server refuses"
)


class MysqlTarget:
    """A MySQL or MariaDB database as a `Target`."""

    def __init__(self, place: MyPlace) -> None:
        """Connect. Raises: TargetError."""
        self.description = place.description
        self._place = place
        self._session = MySession(place)
        fold = str.casefold if self._session.folds_names else str
        self._names = Identifiers(_MOST_CHARACTERS, fold, _is_refused, _size_of_table)
        self._tables: dict[str, _Table] = {}
        self._is_named = False
        self._is_alone = False
        self._shape: MyShape | None = None

    def prepare(self, rows: TableRows, ddl: bytes, *, with_programs: bool) -> tuple[Text, ...]:
        """Take the source's own tables, sequences and views; see `ShapedTarget`."""
        if not rows.is_mysql:
            raise TargetError(
                Text(
                    zh="来源不是 MySQL 或 MariaDB，它的 DDL 在这里没有意义",
                    en="the source is no MySQL or MariaDB, so its DDL says nothing to one",
                ),
                hint=Text(zh="不用 --with-ddl 恢复", en="restore without --with-ddl"),
            )
        self._shape = MyShape(self._session, ddl.decode("utf-8", "replace"), with_programs=with_programs)
        return self._shape.make()

    def find_content(self) -> Text | None:
        """Give the names of some tables, views and sequences. Raises: TargetError if another restore is running."""
        self._be_alone()
        names = [name for name, _ in self._list() if not name.startswith(_STAGED)]
        if not names:
            return None
        some = ", ".join(names[:5])
        return Text(zh=f"表或视图 {some}", en=f"the tables or views {some}")

    def load(self, rows: TableRows, advance: Advance) -> Placement:
        """Make the table under a name of ours and fill it; see `Target`."""
        self._be_alone()
        if self._shape is not None and rows.name == SEQUENCES_TABLE:
            return self._shape.take_sequences(rows, advance)
        names = Identifiers(_MOST_CHARACTERS, str.casefold, size_of=len).take_all(
            _clean(c.name) for c in rows.schema.columns
        )
        table = _Table(self._name_of(rows), f"{_STAGED}{len(self._tables)}", [])
        surveys = survey_rows(rows)
        try:
            notes = self._load_as_can_be(rows, table, names, surveys, advance)
        except MySQLdb.Error as err:
            with suppress(MySQLdb.Error):
                self._session.query(f"DROP TABLE IF EXISTS {quote(table.staged)}")
            raise TargetError(
                Text(
                    zh=f"{self.description} 拒绝 {table.name!r}：{one_line(err)}",
                    en=f"{self.description} refuses {table.name!r}: {one_line(err)}",
                ),
                hint=Text(
                    zh="检查该账户在那里能否 CREATE、DROP、ALTER、INSERT、SELECT，以及磁盘空间",
                    en="see that the account may CREATE, DROP, ALTER, INSERT, SELECT there, and that the disk has room",
                ),
            ) from err
        self._tables[rows.name] = table
        notes += note_names(rows.schema.columns, names)
        return Placement(table_named(quote(table.name)), tuple(notes))

    def save_document(self, name: str, body: bytes) -> str | None:  # noqa: ARG002 - see below
        """Keep none: a database has no place for documents."""
        return None

    def finish(self) -> tuple[Text, ...]:
        """Give all tables their names, in one step; what had these names is dropped just before."""
        self._is_named = True
        if self._tables:
            self._name_tables()
        return () if self._shape is None else self._shape.complete()

    def _name_tables(self) -> None:
        fold = str.casefold if self._session.folds_names else str
        wanted = {fold(table.name) for table in self._tables.values()}
        try:
            for name, type_ in self._list():
                if fold(name) in wanted:
                    word = {"VIEW": "VIEW", "SEQUENCE": "SEQUENCE"}.get(type_, "TABLE")
                    self._session.query(f"DROP {word} IF EXISTS {quote(name)}")
            moves = ", ".join(f"{quote(t.staged)} TO {quote(t.name)}" for t in self._tables.values())
            self._session.query(f"RENAME TABLE {moves}")
        except MySQLdb.Error as err:
            raise TargetError(
                Text(
                    zh=f"{self.description} 不能给表定名：{one_line(err)}",
                    en=f"{self.description} cannot name the tables: {one_line(err)}",
                ),
                hint=Text(
                    zh=f"各行已在以 {_STAGED} 开头的表中；排除原因后重新恢复",
                    en=f"the rows are there, in tables that begin with {_STAGED}; mend the cause and restore again",
                ),
            ) from err

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the rows as a new connection sees them."""
        session, aside = MySession(self._place), MySession(self._place)
        try:
            if rows.name not in self._tables:
                assert self._shape is not None
                yield from self._shape.read_sequences(session)
                return
            table = self._tables[rows.name]
            yield from read_table(session, aside, table.name, table.columns, rows.schema, has_key=bool(table.key))
        except MySQLdb.Error as err:
            raise TargetError(
                Text(
                    zh=f"{rows.name!r} 读不回来：{one_line(err)}",
                    en=f"{rows.name!r} cannot be read back: {one_line(err)}",
                ),
                hint=Text(zh="查看服务器日志", en="look at the server's log"),
            ) from err
        finally:
            session.close()
            aside.close()

    def close(self) -> None:
        """Disconnect; what was not finished is dropped."""
        if self._is_alone and not self._is_named:
            with suppress(MySQLdb.Error):
                self._drop_staged()
                if self._shape is not None:
                    self._shape.undo()
        self._session.close()

    def _list(self) -> list[tuple[str, str]]:
        rows = self._session.query(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1"
        )
        return [((name or b"").decode("utf-8"), (type_ or b"").decode()) for name, type_ in rows]

    def _be_alone(self) -> None:
        """Take the lock that only one restore into this database has, and drop what a broken one left."""
        if self._is_alone:
            return
        lock = "jinsuo-restore-" + hashlib.sha256(self._place.database.encode()).hexdigest()[:32]
        # One that was broken off a moment ago has its lock until the server learns of it.
        if self._session.query(f"SELECT GET_LOCK({literal(lock)}, {_LOCK_WAIT_S})") != [(b"1",)]:
            raise TargetError(
                Text(
                    zh=f"另一次到 {self.description} 的恢复正在进行",
                    en=f"another restore into {self.description} is running",
                ),
                hint=Text(zh="等它结束，或恢复到别处", en="wait for it, or restore elsewhere"),
            )
        self._is_alone = True
        self._drop_staged()

    def _drop_staged(self) -> None:
        for name, type_ in self._list():
            if name.startswith(_STAGED) and type_ == "BASE TABLE":
                self._session.query(f"DROP TABLE {quote(name)}")

    def _name_of(self, rows: TableRows) -> str:
        """Give the table's name: the target is one database, so the source's is left away, and `public`."""
        parts = split_table_name(rows.name)
        if len(parts) > 1 and (rows.is_mysql or parts[0] in _PLAIN_SCHEMAS):
            parts = parts[1:]
        return self._names.take(_clean(".".join(parts)))

    def _load_as_can_be(
        self, rows: TableRows, table: _Table, names: Sequence[str], surveys: list[Survey], advance: Advance
    ) -> list[Text]:
        is_own = rows.is_mysql and not rows.name.startswith("@")
        own = None if self._shape is None else self._shape.find_table(table.name, quote(table.staged))
        attempts = [
            *([_Attempt(True, True, NOTHING, own)] if own is not None else []),
            *([_Attempt(True, True, _NOT_BY_DDL if own else NOTHING)] if is_own else []),
            _Attempt(False, True, _NOT_IN_TYPES if is_own else NOTHING),
            _Attempt(False, False, _WITHOUT_RULES),
        ]
        refused = ""
        while True:
            attempt = attempts.pop(0)
            notes = _plan(rows, table, names, surveys, attempt, self._text)
            if attempt.statement is not None:
                table.columns, notes = shaped_columns(table.columns, rows.schema.columns), []
            if attempt.note != NOTHING:
                why = attempt.note
                notes.insert(0, Text(zh=f"{why.zh}：{refused}", en=f"{why.en}: {refused}"))
            try:
                self._fill(rows, table, attempt, advance)
            except MySQLdb.Error as err:
                if not attempts or is_lost(err):
                    raise
                refused = one_line(err)
            else:
                return notes

    @property
    def _text(self) -> str:
        """Give what makes a type one of texts that are equal only if their code points are."""
        if self._session.is_mariadb:
            return "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
        collation = "utf8mb4_0900_bin" if self._session.version >= (8, 0, 17) else "utf8mb4_bin"
        return f"CHARACTER SET utf8mb4 COLLATE {collation}"

    def _fill(self, rows: TableRows, table: _Table, attempt: _Attempt, advance: Advance) -> None:
        self._session.query(f"DROP TABLE IF EXISTS {quote(table.staged)}")
        self._session.query(attempt.statement or _create(rows.schema, table, attempt))
        table.computed = find_computed(self._session, table.staged) if attempt.statement else frozenset()
        kept = ", ".join(quote(c.name) for c in table.columns if c.name not in table.computed)
        head = f"INSERT INTO {quote(table.staged)} ({kept}) VALUES ".encode()  # noqa: S608 - quoted names
        large = LargeCells(self._session, rows)
        limit = min(_BATCH_BYTES, self._session.max_packet // 4)
        batch: list[bytes] = []
        size = done = 0
        for line in rows.lines():
            values = _write_row(rows, table, line, large)
            batch.append(values)
            size += len(values) + 1
            done += 1
            if size >= limit or large.is_used or done >= _STEP_ROWS:
                self._session.execute(head + b",".join(batch))
                large.forget()
                advance(done)
                batch, size, done = [], 0, 0
        if batch:
            self._session.execute(head + b",".join(batch))
        advance(done)


def _plan(
    rows: TableRows, table: _Table, names: Sequence[str], surveys: list[Survey], attempt: _Attempt, text: str
) -> list[Text]:
    schema = rows.schema
    table.columns, table.key, notes = [], (), []
    for i, (name, column, survey) in enumerate(zip(names, schema.columns, surveys, strict=True)):
        planned, note = plan_column(
            name, column, survey, is_key=column.name in schema.key, is_own=attempt.is_own,
            is_content=is_always_token(schema, i), text=text,
        )  # fmt: skip
        table.columns.append(planned)
        notes += [note] if note != NOTHING else []
    key = [table.columns[schema.index(k)] for k in schema.key]
    if key and attempt.has_rules:
        if sum(c.indexed or _MOST_INDEXED + 1 for c in key) <= _MOST_INDEXED:
            table.key = tuple(c.name for c in key)
        else:
            named = ", ".join(schema.key)
            notes.append(
                Text(
                    zh=f"副本不强制主键（{named}）：它太长，建不了索引",
                    en=f"the key ({named}) is not enforced in the copy: it is too long for an index",
                )
            )
    return notes


def _create(schema: Schema, table: _Table, attempt: _Attempt) -> str:
    parts = []
    for column, planned in zip(schema.columns, table.columns, strict=True):
        is_stamp = planned.type.startswith("timestamp")
        rule = " NOT NULL" if attempt.has_rules and not column.null else " NULL"
        default = " DEFAULT '0000-00-00 00:00:00'" if is_stamp and rule == " NOT NULL" else ""
        parts.append(f"{quote(planned.name)} {planned.type.removesuffix(' NULL')}{rule}{default}")
    if table.key:
        parts.append(f"PRIMARY KEY ({', '.join(map(quote, table.key))})")
    columns = ",\n".join(parts)
    return (
        f"CREATE TABLE {quote(table.staged)} (\n{columns}\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4"
    )


def _write_row(rows: TableRows, table: _Table, line: bytes, large: LargeCells) -> bytes:
    values = []
    for column, cell in zip(table.columns, rows.cells(line), strict=True):
        if column.name in table.computed:
            continue
        if cell is None:
            values.append(b"NULL")
        elif isinstance(cell, Token):
            values.append(large.put(column, cell))
        else:
            values.append(column.write(cell))
    return b"(" + b",".join(values) + b")"


def _clean(name: str) -> str:
    """Give the name without what the servers refuse in any: characters beyond U+FFFF, blanks at the end."""
    plain = "".join("_" if ord(c) > 0xFFFF or "\ud800" <= c <= "\udfff" or c == "\0" else c for c in name)
    return plain.rstrip() + "_" if plain != plain.rstrip() else plain


def _is_refused(name: str) -> bool:
    return name.startswith((_STAGED, "#mysql50#"))


def _size_of_table(name: str) -> int:
    """Give the part of the longest name that `name` takes: 64 characters, or what its file's name has room for."""
    # Each character but these is written as five bytes: MySQL manual 11.2.4.
    in_file = sum(1 if c.isascii() and (c.isalnum() or c == "_") else 5 for c in name)
    return max(len(name), -(-in_file * _MOST_CHARACTERS // _MOST_FILE_BYTES))
