# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL source's own DDL, run in a PostgreSQL: shapes before the rows, rules when they are there.

Every statement stands alone in a savepoint: what is refused is noted, and the others are run. Source: decision 0047.
"""

from collections.abc import Iterable

import psycopg2

from center.restore.ddl import Stage, split_postgresql, stage_of, title_of
from center.restore.pg_session import Session
from center.restore.target import note_program, note_refused
from terminal.language import Text


class PgShape:
    """The DDL of one source."""

    def __init__(self, session: Session, text: str, *, with_programs: bool) -> None:
        self._session = session
        self._with_programs = with_programs
        staged = [(stage_of(statement), statement) for statement in split_postgresql(text)]
        self._before = [s for stage, s in staged if stage is Stage.SHAPE or (stage is Stage.PROGRAM and _is_early(s))]
        self._after = [s for stage, s in staged if stage is Stage.RULE or (stage is Stage.PROGRAM and not _is_early(s))]

    def make(self) -> tuple[Text, ...]:
        """Make types, sequences and tables; give notes on what was refused."""
        self._session.execute("SET LOCAL check_function_bodies = off")
        return self._run(self._before)

    def complete(self) -> tuple[Text, ...]:
        """Make constraints, indexes, views and comments; give notes on what was refused or left out."""
        return self._run(self._after)

    def _run(self, statements: Iterable[str]) -> tuple[Text, ...]:
        notes: list[Text] = []
        for statement in statements:
            if stage_of(statement) is Stage.PROGRAM and not self._with_programs:
                notes.append(note_program(title_of(statement)))
                continue
            try:
                with self._session.savepoint():
                    self._session.execute(statement)
            except psycopg2.Error as err:
                notes.append(note_refused(title_of(statement), err))
        return tuple(notes)

    def has_table(self, schema: str, name: str) -> bool:
        """Tell whether a table is there."""
        return bool(self._session.query(_FIND, (schema, name)))

    def generated_columns(self, schema: str, name: str) -> set[str]:
        """Give the columns that the server computes by itself."""
        return {row[0] for row in self._session.query(_GENERATED, (schema, name))}


def _is_early(program: str) -> bool:
    """Tell whether tables may need a program: all but what is bound to a table."""
    return " TRIGGER" not in program[:40] and not program.startswith(("CREATE RULE", "ALTER TABLE", "COMMENT ON"))


_FIND = """
    SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"""
_GENERATED = """
    SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND a.attgenerated <> '' AND NOT a.attisdropped"""
