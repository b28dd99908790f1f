# SPDX-License-Identifier: Apache-2.0
"""The DDL of a database, as the server itself writes it: SHOW CREATE of everything, in an order in which it can be run.

The server's dictionary belongs to no snapshot: this is read just before the snapshot begins, between two readings of the
catalog that must agree. What the account may not see is named in a comment and in a note. Definers and passwords of
accounts: definers are part of what the server writes; accounts are not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import MySQLdb

from agent.collectors.mysql.catalog import SourceTable, list_names, quote
from agent.collectors.mysql.connect import Session, same_name, text_of
from agent.collectors.mysql.failures import Error

_DELIMITER: Final = "$$"
_HEAD: Final = "-- Written by SHOW CREATE; definers stand in it, accounts and rights do not.\nSET NAMES utf8mb4;\nSET foreign_key_checks = 0;\n"


@dataclass(frozen=True, slots=True)
class Ddl:
    """The text, and what a reader must know of it, in one line, if anything."""

    body: bytes
    note: str | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of objects: what SHOW CREATE calls it, which column of the answer holds the statement, how to find them."""

    title: str
    word: str
    place: int
    names: str | None
    is_program: bool


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
    hidden: list[str] = []
    # The server makes UTF-8 of what it writes; only here may it convert, for a body may be kept in another set.
    session.execute("SET SESSION character_set_results = utf8mb4")
    try:
        created = _show(session, "DATABASE", quote(database), 1)
        parts = [_HEAD, f"\n{created};\n" if created else "", f"USE {quote(database)};\n"]
        for kind in _KINDS:
            statements = list(_write_kind(session, database, tables, kind, hidden))
            if statements:
                parts.append(f"\n-- {kind.title}\n" + "".join(statements))
    finally:
        session.execute("SET SESSION character_set_results = NULL")
    note = None
    if hidden:
        note = f"ddl.sql lacks what the account may not see: {len(hidden)} objects, {hidden[0]} is the first of them"
    return Ddl("".join(parts).encode("utf-8", "backslashreplace"), note)


def _write_kind(
    session: Session, database: str, tables: list[SourceTable], kind: _Kind, hidden: list[str]
) -> Iterator[str]:
    for name in _names(session, database, tables, kind):
        said = _show(session, kind.word, f"{quote(database)}.{quote(name)}", kind.place)
        if said is None:
            hidden.append(f"{kind.word.lower()} {name}")
            yield (
                f"-- {kind.word} {quote(name)}: the account may not see it\n".replace("\r", " ").replace("\n", " ")
                + "\n"
            )
        elif kind.is_program:
            delimiter = _DELIMITER
            while delimiter in said:
                delimiter += "$"
            yield f"DELIMITER {delimiter}\n{said}\n{delimiter}\nDELIMITER ;\n"
        else:
            yield f"{said};\n"


def _names(session: Session, database: str, tables: list[SourceTable], kind: _Kind) -> list[str]:
    if kind.word == "TABLE":
        return [table.name for table in tables]
    if kind.names is None:
        return list_names(session, database, kind.word)
    column = {"TRIGGER": "TRIGGER_SCHEMA", "EVENT": "EVENT_SCHEMA"}.get(kind.word, "ROUTINE_SCHEMA")
    rows = session.query(kind.names.format(database=same_name(column, database), word=kind.word))
    return [text_of(name) for (name,) in rows]


def _show(session: Session, word: str, name: str, place: int) -> str | None:
    """Give what SHOW CREATE says; None if the account may not see it, or it is broken."""
    try:
        rows = session.query(f"SHOW CREATE {word} {name}")
    except MySQLdb.Error as err:
        if Error.of(err).is_down:
            raise
        return None
    if not rows or len(rows[0]) <= place or rows[0][place] is None:
        return None
    return text_of(rows[0][place])
