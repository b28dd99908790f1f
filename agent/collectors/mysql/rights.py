# SPDX-License-Identifier: Apache-2.0
"""What the account may do, from SHOW GRANTS. It matters for completeness: what an account may not see, it cannot miss.

A server shows an account only those tables to which it has some right, and only those columns. So only the right to
SELECT from the whole database says that nothing is missing without a trace. Parsing is pure.
Source: MySQL manual 8.2.2, 15.7.7.21; MariaDB "GRANT".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import MySQLdb

from agent.collectors.mysql.catalog import Server
from agent.collectors.mysql.connect import Session, text_of
from agent.collectors.mysql.failures import Error

_GRANT: Final = re.compile(
    r"(GRANT|REVOKE) (.+?) ON (?:(?:TABLE|FUNCTION|PROCEDURE|PACKAGE BODY|PACKAGE) )?"
    r"(\*|`(?:[^`]|``)*`)\.(\*|`(?:[^`]|``)*`) (?:TO|FROM) ",
    re.DOTALL,
)
_ALL: Final = "ALL PRIVILEGES"
_CHANGING: Final = frozenset({
    _ALL, "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "CREATE", "INDEX", "SUPER", "CREATE USER", "FILE",
    "DELETE HISTORY", "ALTER ROUTINE", "CREATE ROUTINE", "CREATE VIEW", "GRANT OPTION", "SHUTDOWN", "SYSTEM_USER",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights on `database`.`table`, each `*` for all. A right to columns is none here."""

    rights: frozenset[str]
    database: str
    table: str
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """What an account may do. `ignores_case`: the server takes names of databases that differ in case alone for one."""

    grants: tuple[Grant, ...]
    ignores_case: bool = False

    def may(self, right: str, database: str) -> bool:
        """Tell whether the account has a right to all of a database."""
        return self._has(right, database, is_revoked=False) and not self._has(right, database, is_revoked=True)

    def may_globally(self, *rights: str) -> bool:
        """Tell whether the account has one of these rights on the whole server."""
        return any({*rights, _ALL} & g.rights for g in self.grants if g.database == "*" and not g.is_revoked)

    def changing(self, database: str) -> list[str]:
        """Give the rights by which the account could change something of the database."""
        found: set[str] = set()
        for grant in self.grants:
            if not grant.is_revoked and self._is_about(grant, database):
                found |= grant.rights & _CHANGING
        return sorted(found)

    def _is_about(self, grant: Grant, database: str) -> bool:
        return grant.database == "*" or _covers(grant.database, database, re.IGNORECASE if self.ignores_case else 0)

    def _has(self, right: str, database: str, *, is_revoked: bool) -> bool:
        return any(
            {right, _ALL} & grant.rights and self._is_about(grant, database)
            for grant in self.grants
            if grant.table == "*" and grant.is_revoked is is_revoked
        )


def read_rights(session: Session, server: Server) -> Rights:
    """Ask the server. Raises: MySQLdb.Error."""
    lines = [text_of(line) for (line,) in session.query(f"SHOW GRANTS{_find_roles(session)}")]
    return parse_rights(lines, ignores_case=server.lower_case_names > 0)


def parse_rights(lines: Sequence[str], *, ignores_case: bool = False) -> Rights:
    r"""Read what SHOW GRANTS says; lines of other things (roles, proxies) are passed over.

    >>> rights = parse_rights(["GRANT SELECT, SHOW VIEW ON `h\\_is`.* TO `j`@`%`", "GRANT USAGE ON *.* TO `j`@`%`"])
    >>> rights.may("SELECT", "h_is"), rights.may("SELECT", "hxis"), rights.changing("h_is")
    (True, False, [])
    """
    grants = []
    for line in lines:
        found = _GRANT.match(line)
        if found is None:
            continue
        # `SELECT (a, b)` is a right to columns alone.
        named = [right.strip().upper() for right in re.sub(r"\w[\w ]*\([^)]*\)", "", found[2]).split(",")]
        rights = frozenset(right for right in named if right)
        extra = {"GRANT OPTION"} if "WITH GRANT OPTION" in line else set()
        grants.append(Grant(rights | extra, _bare(found[3]), _bare(found[4]), found[1] == "REVOKE"))
    return Rights(tuple(grants), ignores_case)


def _find_roles(session: Session) -> str:
    """Give what makes SHOW GRANTS tell of the roles in force: MySQL must be told which; MariaDB tells by itself."""
    try:
        ((roles,),) = session.query("SELECT CURRENT_ROLE()")
    except MySQLdb.Error as err:
        if Error.of(err).is_down:
            raise
        return ""
    named = text_of(roles)
    return f" FOR CURRENT_USER() USING {named}" if "@" in named else ""


def _bare(name: str) -> str:
    return name if name == "*" else name[1:-1].replace("``", "`")


def _covers(pattern: str, database: str, flags: int) -> bool:
    r"""Tell whether a database of a grant, in which `%` and `_` stand for others unless behind `\`, is this one."""
    parts = re.split(r"(\\[%_\\]|%|_)", pattern)
    expression = "".join(
        {"%": ".*", "_": "."}.get(part, re.escape(part[1:] if part.startswith("\\") else part)) for part in parts
    )
    return re.fullmatch(expression, database, re.DOTALL | flags) is not None
