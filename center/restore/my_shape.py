# SPDX-License-Identifier: Apache-2.0
"""A MySQL or MariaDB source's own DDL in another one: tables before the rows, sequences and views when they are there.

The document is what SHOW CREATE said (`center.restore.ddl`). A table is made by its own statement under the name that it
has until the end; a view whose definer is not here is made for the restoring account, which is noted. Programs are run
only if asked for. Views and programs are made with the settings that the document names, in the character set of the
client that made them. MariaDB's sequences get their values from `@sequences`. Source: decisions 0047, 0085.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import MySQLdb

from center.restore.ddl import Made, MadeWith, parse_mysql, rename_table, title_of, unqualify
from center.restore.my_plan import MyColumn
from center.restore.my_session import MySession, literal, quote
from center.restore.my_types import find_own_type
from center.restore.names import split_table_name
from center.restore.rows import TableRows
from center.restore.target import Advance, Placement, note_program, note_refused, note_unseen
from evidence.rows.line import Cell, encode_line
from evidence.rows.schema import Column
from evidence.rows.values import Kind
from terminal.language import Text

_QUOTED: Final = r"""(?:`(?:[^`]|``)*`|'(?:[^']|'')*'|"(?:[^"]|"")*")"""
_DEFINER: Final = re.compile(rf" DEFINER={_QUOTED}(?:@{_QUOTED})?")
_VALUES: Final = (
    "next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option, cycle_count"
)


class MyShape:
    """The DDL of one source."""

    def __init__(self, session: MySession, text: str, *, with_programs: bool) -> None:
        self._session = session
        self._ddl = parse_mysql(text)
        self._with_programs = with_programs
        self._values: dict[str, tuple[int | None, int]] = {}
        self._made: list[str] = []

    def find_table(self, name: str, staged: str) -> str | None:
        """Give the statement that makes a table under the name `staged`, which is quoted."""
        statement = self._ddl.tables.get(name)
        if statement is None:
            return None
        # Views need no such thing: the server itself leaves the database of the session away there.
        own = self._ddl.database
        return rename_table(statement if own is None else unqualify(statement, own), staged)

    def make(self) -> tuple[Text, ...]:
        """Make the sequences, for defaults of tables may need them; give notes on what was refused."""
        notes: list[Text] = []
        for name, statement in self._ddl.sequences.items():
            refused = self._run([statement])
            notes += refused
            if not refused:
                self._made.append(name)
        return tuple(notes)

    def undo(self) -> None:
        """Drop what `make` made. Raises: MySQLdb.Error."""
        for name in self._made:
            self._session.query(f"DROP SEQUENCE IF EXISTS {quote(name)}")

    def take_sequences(self, rows: TableRows, advance: Advance) -> Placement:
        """Remember the values of the sequences; `complete` sets them."""
        for line in rows.lines():
            texts = [cell.decode("utf-8") if isinstance(cell, bytes) else None for cell in rows.cells(line)]
            self._values[texts[0] or ""] = (None if texts[1] is None else int(texts[1]), int(texts[8] or 0))
            advance(1)
        unseen = [name for name, (value, _) in self._values.items() if value is None]
        return Placement(Text(zh="序列", en="sequences"), tuple(note_unseen(unseen)))

    def complete(self) -> tuple[Text, ...]:
        """Set the sequences, make views and programs; give notes on what was refused or left out."""
        notes: list[Text] = []
        for name, (value, round_) in self._values.items():
            if value is not None:
                sequence = quote(split_table_name(name)[-1])
                notes += self._run([f"SELECT SETVAL({sequence}, {value}, 0, {round_})"])
        notes += self._make_views()
        if self._with_programs:
            # Of a program in an older document, with which mode and time zone it was made is not known: the server's own.
            self._session.query("SET SESSION sql_mode = @@GLOBAL.sql_mode, time_zone = @@GLOBAL.time_zone")
            return (*notes, *(note for program in self._ddl.programs for note in self._make(program)))
        return (
            *notes,
            *(note_program(title_of(program.statement)) for program in self._ddl.programs),
        )

    def read_sequences(self, session: MySession) -> Iterator[bytes]:
        """Yield the sequences as they are. Raises: MySQLdb.Error."""
        for name in sorted(self._values, key=str.encode):
            sequence = quote(split_table_name(name)[-1])
            (values,) = session.query(f"SELECT {_VALUES} FROM {sequence}")  # noqa: S608 - quoted name
            known = values if self._values[name][0] is not None else (None,) * len(values)
            cells: list[Cell] = [name.encode("utf-8"), *known]
            yield encode_line(cells)

    def _make_views(self) -> list[Text]:
        """Make views in whatever order they need each other."""
        waiting = list(self._ddl.views.values())
        while waiting:
            refused = [(view, notes) for view in waiting if (notes := self._make(view))]
            if len(refused) == len(waiting):
                return [note for _, notes in refused for note in notes]
            waiting = [view for view, _ in refused]
        return []

    def _make(self, made: Made) -> list[Text]:
        """Run a statement with what it was made with; give notes on what was refused."""
        if made.made_with is None:
            return self._run([made.statement])
        try:
            with settings_of(self._session, made.made_with):
                return self._run([made.statement], made.made_with.client)
        except MySQLdb.Error as err:
            return [note_refused(title_of(made.statement), err)]

    def _run(self, statements: Iterable[str], client: str = "utf8mb4") -> list[Text]:
        notes: list[Text] = []
        for statement in statements:
            try:
                self._session.query_from(client, statement)
            except MySQLdb.Error as err:
                without = _DEFINER.sub("", statement, count=1)
                if without != statement and not self._run([without], client):
                    title = title_of(without)
                    notes.append(
                        Text(
                            zh=f"以本账户建立，因为原定义者被拒绝：{title}",
                            en=f"made for this account, for its definer is refused: {title}",
                        )
                    )
                else:
                    notes.append(note_refused(title_of(statement), err))
        return notes


@contextmanager
def settings_of(session: MySession, made_with: MadeWith) -> Iterator[None]:
    """Have the settings with which something was made, but for the client's character set. Raises: MySQLdb.Error."""
    ((*kept, of_database),) = session.query("SELECT @@sql_mode, @@time_zone, @@collation_database")
    mode, zone = (literal((value or b"").decode("ascii")) for value in kept)
    own = (of_database or b"").decode("ascii")
    wanted = made_with.of_database or own
    database = quote(session.place.database)
    in_zone = f", time_zone = '{made_with.time_zone}'" if made_with.time_zone else ""
    try:
        if wanted != own:
            session.query(f"ALTER DATABASE {database} COLLATE {wanted}")
        session.query(
            f"SET SESSION sql_mode = '{made_with.mode}', collation_connection = {made_with.collation}{in_zone}"
        )
        yield
    finally:
        session.query(f"SET SESSION sql_mode = {mode}, time_zone = {zone}, collation_connection = utf8mb4_general_ci")
        if wanted != own:
            session.query(f"ALTER DATABASE {database} COLLATE {own}")


def shaped_columns(planned: list[MyColumn], columns: Sequence[Column]) -> list[MyColumn]:
    """Give how the columns of a table by its own DDL are read and written: texts may be in any character set."""
    return [
        replace(plan, name=column.name, expression="CONVERT({} USING utf8mb4)") if _is_text(column) else plan
        for plan, column in zip(planned, columns, strict=True)
    ]


def find_computed(session: MySession, table: str) -> frozenset[str]:
    """Give the columns that the server computes by itself. Raises: MySQLdb.Error."""
    rows = session.query(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "  # noqa: S608 - a literal in hex
        f"AND TABLE_NAME = {literal(table)} AND (EXTRA LIKE '%VIRTUAL%' OR EXTRA LIKE '%STORED%' OR EXTRA LIKE '%PERSISTENT%')"
    )
    return frozenset((name or b"").decode("utf-8") for (name,) in rows)


def _is_text(column: Column) -> bool:
    own = find_own_type(column.type)
    return column.kind in (Kind.TEXT, Kind.JSON) and own is not None and own.is_text
