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
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_POSTGRESQL: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$(?:[^\W\d]\w*)?\$).*?\1|;""",
    re.DOTALL,
)
_MYSQL: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|;""", re.DOTALL
)
_DELIMITED: Final = re.compile(r"^DELIMITER \$\$\n(.*?)\$\$\nDELIMITER ;$", re.DOTALL | re.MULTILINE)
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
class MysqlDdl:
    """What SHOW CREATE said: statements by name for tables, in order for the others."""

    tables: dict[str, str]
    sequences: dict[str, str]
    views: dict[str, str]
    programs: tuple[str, ...]
    database: str | None


def parse_mysql(text: str) -> MysqlDdl:
    """Read a document of SHOW CREATE."""
    programs = tuple(match[1].strip() for match in _DELIMITED.finditer(text))
    found: dict[str, dict[str, str]] = {"TABLE": {}, "SEQUENCE": {}, "VIEW": {}}
    start = 0
    rest = _DELIMITED.sub("", text)
    for match in _MYSQL.finditer(rest):
        if match[0] != ";":
            continue
        statement = _strip(rest[start : match.start()])
        start = match.end()
        head = _MYSQL_HEAD.match(statement)
        if head is not None:
            found[head[1]][head[2].replace("``", "`")] = statement
    used = _USE.search(rest)
    return MysqlDdl(
        found["TABLE"], found["SEQUENCE"], found["VIEW"], programs, used[1].replace("``", "`") if used else None
    )


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
