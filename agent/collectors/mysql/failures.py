# SPDX-License-Identifier: Apache-2.0
"""From the server's errors to the agent's, by their numbers, which MySQL and MariaDB share below 4000. No I/O.

What is not recognised is an error that a person reads in full; only what surely means "try again later" is a
SourceDownError. Source: MySQL error reference; MariaDB error codes.
"""

from dataclasses import dataclass
from typing import Final

from agent.errors import AgentError, LoginError, SourceChangedError, SourceDownError, SourceError, TableLostError

_LOGIN: Final = frozenset({1045, 1130, 1251, 1275, 1396, 1524, 1698, 1820, 1862, 2049, 2054, 2059, 2061, 3118, 4151})
_BUSY: Final = frozenset({1040, 1203, 1226, 1129, 1053, 1152, 1158, 1159, 1160, 1161, 1184})
_UNREACHED: Final = frozenset({2001, 2002, 2003, 2004, 2005, 2006, 2011, 2012, 2013, 2055})
_TLS: Final = frozenset({2026, 3159, 1759})
_DOWN: Final = frozenset(
    {1053, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2014, 2055, 3169, 4031}
)
_INTERRUPTED: Final = frozenset({1317, 1028})
_UNKNOWN_VARIABLE: Final = 1193
_LOST_REASONS: Final = {
    1142: "the account has no right to SELECT from it",
    1143: "the account has no right to SELECT all of its columns",
    1044: "the account has no right to this database",
    1146: "it was dropped or renamed meanwhile",
    1051: "it was dropped or renamed meanwhile",
    1412: "it was created, altered, rebuilt or truncated after the snapshot began",
    1054: "a column was dropped or renamed meanwhile",
    1176: "its key was dropped meanwhile",
    1205: "others held it locked longer than lock_timeout",
    1213: "the server broke a deadlock at its cost",
    1317: "the server's operator cancelled reading it",
    1028: "the server's operator cancelled reading it",
    1969: "reading it took longer than max_statement_time",
    3024: "reading it took longer than max_execution_time",
    1153: "a row of it is larger than the server's max_allowed_packet",
    1021: "the server's disk is full",
    1194: "it is marked as crashed on the server",
    1195: "it is marked as crashed on the server",
    1034: "its key file is damaged on the server",
    1035: "it is from an older server and must be repaired there",
    1030: "its storage engine failed",
    1033: "its files on the server are damaged",
    1016: "its files on the server cannot be opened",
    1017: "its files on the server are missing",
    1286: "its storage engine is not there",
    1812: "its tablespace is missing on the server",
    1814: "its tablespace was discarded on the server",
    1932: "it exists in the dictionary, but not in its engine",
    1877: "its data are damaged on the server",
}


@dataclass(frozen=True, slots=True)
class Error:
    """An error as the driver tells it: the number (0 if there is none) and the words, in one line."""

    number: int
    words: str

    @classmethod
    def of(cls, err: BaseException) -> "Error":
        """Read the driver's exception."""
        number = err.args[0] if err.args and isinstance(err.args[0], int) else 0
        return cls(number, " ".join(str(err.args[-1] if err.args else err).split()))

    @property
    def is_down(self) -> bool:
        """Tell whether the connection broke or the server ended."""
        return self.number in _DOWN or self.number == 0

    @property
    def is_unknown_variable(self) -> bool:
        """Tell whether the server does not know a setting."""
        return self.number == _UNKNOWN_VARIABLE

    @property
    def is_denied(self) -> bool:
        """Tell whether a right is missing."""
        return self.number in (1044, 1142, 1143, 1227, 1370, 3530)


def refuse_connection(err: Error, address: str, user: str) -> SourceError:
    """Give what a refused connection means."""
    if err.number == 1044:
        return SourceError(
            f"the account {user!r} may not use {address}: {err.words}", hint="run what `jinsuo-agent grants` prints"
        )
    if err.number in _LOGIN:
        return LoginError(
            f"{address} refused the account {user!r}: {err.words}",
            hint="check user and password of the source, whether it has expired, and that the account may come from "
            "this host",
        )
    if err.number == 1049:
        return SourceError(
            f"the database of {address} does not exist: {err.words}", hint="check `database` of the source"
        )
    if err.number in _BUSY:
        return SourceDownError(f"{address} takes no connections now: {err.words}", hint="it is tried again later")
    if err.number in _TLS or "SSL" in err.words or "TLS" in err.words:
        return SourceError(f"no TLS with {address}: {err.words}", hint="check `ssl_mode` and `ssl_ca`")
    if err.number in _UNREACHED:
        return SourceDownError(
            f"{address} does not answer: {err.words}",
            hint="check that the server runs, its address and the firewall",
        )
    return SourceError(
        f"{address} refused the connection: {err.words} (error {err.number})", hint="the server's log says more"
    )


def refuse(err: Error, address: str) -> SourceError | SourceChangedError:
    """Give what an error outside of any one table means."""
    if err.is_down:
        return SourceDownError(
            f"the connection to {address} broke: {err.words or 'it was closed'}",
            hint="check the server's log; try again later",
        )
    if err.number in _LOGIN:
        return LoginError(f"{address} refused the account: {err.words}", hint="its password may have expired")
    if err.number in _INTERRUPTED:
        return SourceChangedError(
            f"{address} cancelled a query: {err.words}", hint="the server's operator may have done so; read again"
        )
    return SourceError(
        f"{address} refused a query: {err.words} (error {err.number})",
        hint="run `jinsuo-agent check`; the server's log says more",
    )


def lose(err: Error, address: str, table: str) -> AgentError:
    """Give what an error while reading `table` means: the table is lost, or the whole view."""
    if err.is_down:
        return refuse(err, address)
    reason = _LOST_REASONS.get(err.number, f"the server refused, error {err.number}")
    return lose_because(table, reason, err.words)


def lose_because(table: str, reason: str, detail: str = "") -> TableLostError:
    """Give the error that leaves `table` out because of `reason`."""
    full = f"{reason} ({detail})" if detail else reason
    return TableLostError(
        f"table {table} cannot be read: {full}", hint="run `jinsuo-agent check` and `jinsuo-agent grants`", reason=full
    )
