# SPDX-License-Identifier: Apache-2.0
"""The DDL of a database, as the server itself writes it: SHOW CREATE of everything, in an order in which it can be run.

The server's dictionary belongs to no snapshot: this is read just before the snapshot begins, between two readings of the
catalog that must agree. What the account may not see is named in a comment and in a note. Definers and passwords of
accounts: definers are part of what the server writes; accounts are not read.

A program means what it meant under the settings that it was made with, which the server keeps beside it: they stand before
it as SET and ALTER DATABASE, as in the dumps of the server's own tool. But this text is UTF-8 throughout: a statement that
is not ASCII is read in that, and the character set of the client that made it is a comment. Source: decision 0085.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import MySQLdb

from agent.collectors.mysql.catalog import SourceTable, list_names, quote
from agent.collectors.mysql.connect import Row, Session, same_name, text_of
from agent.collectors.mysql.failures import Error

_DELIMITER: Final = "$$"
_MODE: Final = "NO_ENGINE_SUBSTITUTION"
"""What tables and views are made in: their text, as it is written here, depends on no mode."""
_HEAD: Final = (
    "-- Written by SHOW CREATE; definers stand in it, accounts and rights do not.\n"
    f"SET NAMES utf8mb4;\nSET sql_mode = '{_MODE}';\nSET foreign_key_checks = 0;\n"
)
_UTF8: Final = ("utf8", "utf8mb3", "utf8mb4")


@dataclass(frozen=True, slots=True)
class Ddl:
    """The text, and what a reader must know of it, in one line, if anything."""

    body: bytes
    note: str | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of objects: what SHOW CREATE calls it, which column of the answer holds the statement, how to find them.

    What it was made with stands around the statement: the client's character set, the connection's collation and, of
    programs, the database's behind it; of programs the mode in the second column, and of events the time zone in the third.
    """

    title: str
    word: str
    place: int
    names: str | None
    is_program: bool

    @property
    def keeps_settings(self) -> bool:
        """Tell whether the server keeps what it was made with."""
        return self.is_program or self.word == "VIEW"


_ROUTINES: Final = (
    "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE {database} AND ROUTINE_TYPE = '{word}' ORDER BY 1"
)
_TRIGGERS: Final = (
    "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE {database} "
    "ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
)
_EVENTS: Final = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE {database} ORDER BY 1"
_KINDS: Final = (
    _Kind("sequences", "SEQUENCE", 1, None, is_program=False),
    _Kind("tables", "TABLE", 1, None, is_program=False),
    _Kind("functions", "FUNCTION", 2, _ROUTINES, is_program=True),
    _Kind("procedures", "PROCEDURE", 2, _ROUTINES, is_program=True),
    _Kind("packages", "PACKAGE", 2, _ROUTINES, is_program=True),
    _Kind("package bodies", "PACKAGE BODY", 2, _ROUTINES, is_program=True),
    _Kind("views", "VIEW", 1, None, is_program=False),
    _Kind("triggers", "TRIGGER", 2, _TRIGGERS, is_program=True),
    _Kind("events", "EVENT", 3, _EVENTS, is_program=True),
)


def write_ddl(session: Session, database: str, tables: list[SourceTable]) -> Ddl:
    """Give the DDL of a database, as UTF-8. Raises: MySQLdb.Error if the connection broke."""
    # The server makes UTF-8 of what it writes; only here may it convert, for a body may be kept in another set.
    session.execute("SET SESSION character_set_results = utf8mb4")
    try:
        writer = _Writer(session, database, tables)
        body = writer.write()
    finally:
        session.execute("SET SESSION character_set_results = NULL")
    hidden, note = writer.hidden, None
    if hidden:
        note = f"ddl.sql lacks what the account may not see: {len(hidden)} objects, {hidden[0]} is the first of them"
    return Ddl(body.encode("utf-8", "backslashreplace"), note)


class _Writer:
    """Writes one document. Attribute: `hidden`, what the account may not see."""

    def __init__(self, session: Session, database: str, tables: list[SourceTable]) -> None:
        self.hidden: list[str] = []
        self._session = session
        self._database = database
        self._tables = tables
        self._collation = ""
        """The database's, where the text has come to; empty: whatever the target has."""

    def write(self) -> str:
        created = _show(self._session, "DATABASE", quote(self._database))
        parts = [_HEAD, f"\n{text_of(created[1])};\n" if created else "", f"USE {quote(self._database)};\n"]
        for kind in _KINDS:
            statements = list(self._write_kind(kind))
            if statements:
                parts.append(f"\n-- {kind.title}\n" + "".join(statements))
        if self._collation:
            ((own,),) = self._session.query("SELECT @@collation_database")
            parts.append("\n" + self._set_collation(text_of(own)) + f"SET NAMES utf8mb4;\nSET sql_mode = '{_MODE}';\n")
        return "".join(parts)

    def _write_kind(self, kind: _Kind) -> Iterator[str]:
        for name in _names(self._session, self._database, self._tables, kind):
            row = _show(self._session, kind.word, f"{quote(self._database)}.{quote(name)}")
            if row is None or len(row) <= kind.place or row[kind.place] is None:
                self.hidden.append(f"{kind.word.lower()} {name}")
                line = f"-- {kind.word} {quote(name)}: the account may not see it"
                yield line.replace("\r", " ").replace("\n", " ") + "\n"
                continue
            said = text_of(row[kind.place])
            settings = self._settings_of(kind, row, said) if kind.keeps_settings else ""
            if kind.is_program:
                delimiter = _DELIMITER
                while delimiter in said:
                    delimiter += "$"
                yield f"{settings}DELIMITER {delimiter}\n{said}\n{delimiter}\nDELIMITER ;\n"
            else:
                yield f"{settings}{said};\n"

    def _settings_of(self, kind: _Kind, row: Row, said: str) -> str:
        """Write what an object was made with."""
        client, collation = (text_of(row[kind.place + i]) for i in (1, 2))
        mode = text_of(row[1]) if kind.is_program else _MODE
        if not said.isascii() and client not in _UTF8:
            client = f"utf8mb4 /* {client} */"
        zone = f", time_zone = '{text_of(row[2])}'" if kind.word == "EVENT" else ""
        before = self._set_collation(text_of(row[kind.place + 3])) if kind.is_program else ""
        return f"{before}SET sql_mode = '{mode}', character_set_client = {client}, collation_connection = {collation}{zone};\n"

    def _set_collation(self, collation: str) -> str:
        if collation == self._collation:
            return ""
        self._collation = collation
        return f"ALTER DATABASE {quote(self._database)} COLLATE {collation};\n"


def _names(session: Session, database: str, tables: list[SourceTable], kind: _Kind) -> list[str]:
    if kind.word == "TABLE":
        return [table.name for table in tables]
    if kind.names is None:
        return list_names(session, database, kind.word)
    column = {"TRIGGER": "TRIGGER_SCHEMA", "EVENT": "EVENT_SCHEMA"}.get(kind.word, "ROUTINE_SCHEMA")
    rows = session.query(kind.names.format(database=same_name(column, database), word=kind.word))
    return [text_of(name) for (name,) in rows]


def _show(session: Session, word: str, name: str) -> "Row | None":
    """Give what SHOW CREATE says; None if the account may not see it, or it is broken."""
    try:
        rows = session.query(f"SHOW CREATE {word} {name}")
    except MySQLdb.Error as err:
        if Error.of(err).is_down:
            raise
        return None
    return rows[0] if rows else None
