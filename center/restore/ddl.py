# SPDX-License-Identifier: Apache-2.0
"""The statements of a DDL document, and which of them a restore runs. Pure; knows the text of pg_dump and of SHOW CREATE.

    SHAPE    what rows are put into: types, sequences, tables with their columns and defaults
    RULE     what comes when the rows are there: constraints, indexes, views, comments
    PROGRAM  what would run by itself later: functions, triggers, rules, events; only if asked for, else listed
    NONE     settings of the session, owners, rights, databases: not a restore's business

A document comes from a unit. What is run of it is run only because the archivist said so, by an account that he chose.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

_POSTGRESQL: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$(?:[^\W\d]\w*)?\$).*?\1|;""",
    re.DOTALL,
)
_MYSQL: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|;""", re.DOTALL
)
_DELIMITED: Final = re.compile(r"^DELIMITER (\$\$+)\n(.*?)\1\nDELIMITER ;$", re.DOTALL | re.MULTILINE)
# What a program or view was made with, as the agent writes it; whatever is spelled otherwise is not believed.
_MADE_WITH: Final = re.compile(
    r"SET sql_mode = '([A-Z0-9_,]*)', character_set_client = (\w+)(?: /\* (\w+) \*/)?, collation_connection = (\w+)"
    r"(?:, time_zone = '([A-Za-z0-9_/+:-]+)')?",
    re.ASCII,
)
_OF_DATABASE: Final = re.compile(r"ALTER DATABASE `(?:[^`]|``)+` COLLATE (\w+)", re.ASCII)
_ATOMIC: Final = re.compile(r"\bBEGIN ATOMIC\b")
_COMMANDS: Final = re.compile(r"^\\[a-z]+.*$", re.MULTILINE)
_LEADING: Final = re.compile(r"(?:\s+|--[^\n]*\n)*")
_NAME: Final = r"`((?:[^`]|``)+)`"
_USE: Final = re.compile(rf"^USE {_NAME};$", re.MULTILINE)
_MYSQL_HEAD: Final = re.compile(rf"CREATE (?:(?:ALGORITHM|DEFINER|SQL)\b.*? )?(TABLE|SEQUENCE|VIEW) {_NAME}", re.DOTALL)


class Stage(Enum):
    """When a statement is run."""

    NONE = auto()
    SHAPE = auto()
    RULE = auto()
    PROGRAM = auto()


_STAGES: Final = (
    (
        Stage.NONE,
        re.compile(
            r"SET |SELECT pg_catalog\.set_config|GRANT |REVOKE |ALTER DEFAULT PRIVILEGES|SECURITY LABEL|CREATE DATABASE|"
            r"ALTER [^;]* OWNER TO (?:\S+|\"(?:[^\"]|\"\")+\")$"
        ),
    ),
    (
        Stage.PROGRAM,
        re.compile(
            r"(?:CREATE|ALTER|COMMENT ON) (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|ROUTINE|TRIGGER|CONSTRAINT TRIGGER|RULE|AGGREGATE|"
            r"OPERATOR|EVENT TRIGGER|CAST|(?:TRUSTED )?(?:PROCEDURAL )?LANGUAGE|TRANSFORM|PUBLICATION|SUBSCRIPTION|SERVER|"
            r"FOREIGN DATA WRAPPER|USER MAPPING|FOREIGN TABLE)\b|ALTER TABLE [^;]* (?:ENABLE|DISABLE) (?:\w+ )?(?:TRIGGER|RULE)\b"
        ),
    ),
    (
        Stage.RULE,
        re.compile(
            r"ALTER TABLE [^;]*\bADD CONSTRAINT\b|CREATE (?:UNIQUE )?INDEX|ALTER INDEX|CREATE (?:OR REPLACE )?VIEW|"
            r"CREATE (?:RECURSIVE |MATERIALIZED )VIEW|CREATE POLICY|ALTER TABLE [^;]* ROW LEVEL SECURITY$|CREATE STATISTICS|"
            r"ALTER TABLE [^;]* (?:REPLICA IDENTITY|CLUSTER ON)|COMMENT ON|REFRESH "
        ),
    ),
)


def split_postgresql(text: str) -> Iterator[str]:
    """Yield the statements of pg_dump's text, without the `;`; psql's own commands are left out."""
    statement_from = at = 0
    for match in _POSTGRESQL.finditer(text):
        if match[0] != ";":
            continue
        statement = text[statement_from : match.start()]
        at = match.end()
        # A body in standard SQL has semicolons of its own, up to its END.
        if _ATOMIC.search(statement) and not re.search(r"\bEND\s*\Z", statement):
            continue
        statement_from = at
        found = _strip(statement)
        if found:
            yield found


def stage_of(statement: str) -> Stage:
    """Tell when a statement of PostgreSQL is run; whatever is not known makes a shape."""
    return next((stage for stage, pattern in _STAGES if pattern.match(statement)), Stage.SHAPE)


def title_of(statement: str) -> str:
    """Give the beginning of a statement on one line, for people."""
    line = " ".join(statement.split())
    return line if len(line) <= 70 else line[:69] + "…"


@dataclass(frozen=True, slots=True)
class MadeWith:
    """The settings under which a program or view of MySQL was made, and means what it means.

    `mode`: its sql_mode; `client`, `collation`: character set of the client, collation of the connection; `time_zone` of
    an event; `of_database`: collation of the database at that time, None if it is of no matter.
    """

    mode: str
    client: str
    collation: str
    time_zone: str | None
    of_database: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """A statement that makes a program or view, and with what it is run; None: an older document did not say."""

    statement: str
    made_with: MadeWith | None


@dataclass(frozen=True, slots=True)
class MysqlDdl:
    """What SHOW CREATE said: statements by name for tables, in order for the others."""

    tables: dict[str, str]
    sequences: dict[str, str]
    views: dict[str, Made]
    programs: tuple[Made, ...]
    database: str | None


def parse_mysql(text: str) -> MysqlDdl:
    """Read a document of SHOW CREATE."""
    found: dict[str, dict[str, str]] = {"TABLE": {}, "SEQUENCE": {}}
    views: dict[str, Made] = {}
    programs: list[Made] = []
    made_with: MadeWith | None = None
    of_database: str | None = None
    for statement, is_program in _split_mysql(text):
        head = None if is_program else _MYSQL_HEAD.match(statement)
        if is_program:
            programs.append(Made(statement, made_with))
        elif head is not None and head[1] == "VIEW":
            views[head[2].replace("``", "`")] = Made(
                statement, replace(made_with, of_database=None) if made_with else None
            )
        elif head is not None:
            found[head[1]][head[2].replace("``", "`")] = statement
        elif (own := _OF_DATABASE.fullmatch(statement)) is not None:
            of_database = own[1]
            continue
        elif (said := _MADE_WITH.fullmatch(statement)) is not None:
            mode, client, of_client, collation, zone = said.groups()
            made_with = MadeWith(mode, of_client or client, collation, zone, of_database)
            continue
        # It is said before each.
        made_with = None
    used = _USE.search(_DELIMITED.sub("", text))
    return MysqlDdl(
        found["TABLE"], found["SEQUENCE"], views, tuple(programs), used[1].replace("``", "`") if used else None
    )


def _split_mysql(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the statements of a document, and whether one is a program."""
    at = 0
    for match in _DELIMITED.finditer(text):
        yield from ((statement, False) for statement in _split_plain(text[at : match.start()]))
        yield match[2].strip(), True
        at = match.end()
    yield from ((statement, False) for statement in _split_plain(text[at:]))


def _split_plain(text: str) -> Iterator[str]:
    start = 0
    for match in _MYSQL.finditer(text):
        if match[0] == ";":
            yield _strip(text[start : match.start()])
            start = match.end()


def unqualify(statement: str, database: str) -> str:
    """Take the source's own database away before names, so that the copy does not refer to the original."""
    own = "`" + database.replace("`", "``") + "`"
    parts: list[str] = []
    at = 0
    for match in _MYSQL.finditer(statement):
        is_first = not statement.endswith(".", 0, match.start())
        if match[0] == own and is_first and statement.startswith(".", match.end()):
            parts.append(statement[at : match.start()])
            at = match.end() + 1
    return "".join(parts) + statement[at:]


def rename_table(statement: str, name: str) -> str:
    """Give CREATE TABLE for another name; `name` is quoted already."""
    head = _MYSQL_HEAD.match(statement)
    assert head is not None
    assert head[1] == "TABLE"
    return f"CREATE TABLE {name}{statement[head.end() :]}"


def _strip(statement: str) -> str:
    """Take away comments and commands of psql before a statement, and blanks around it."""
    at = 0
    while True:
        match = _LEADING.match(statement, at)
        at = match.end() if match else at
        command = _COMMANDS.match(statement, at)
        if command is None:
            return statement[at:].strip()
        at = command.end()
