# SPDX-License-Identifier: Apache-2.0
"""A session with the MySQL or MariaDB that is restored into: every setting pinned that changes what is kept or printed.

Imports MySQLdb (extra `mysql`), so it is itself imported only when such a target is opened. Raw bytes both ways. What
does not fit is an error, never cut (`sql_mode`); a warning is an error, too. The server cannot ask for files of ours
(`local_infile`): a center has keys. Knows no tables. Source: MySQL manual 5.1.11; decision 0046.
"""

import configparser
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import MySQLdb
from MySQLdb import _mysql

from center.errors import TargetError
from center.restore.target import one_line
from terminal.language import Text

Row: TypeAlias = "tuple[bytes | None, ...]"

_PINNED: Final = (
    "SET NAMES utf8mb4",
    # Dates as other servers have kept them are data; a number 0 is not "the next one"; no other mode changes a value.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', "
    "character_set_results = NULL, time_zone = '+00:00', autocommit = 1, foreign_key_checks = 0, unique_checks = 1, "
    "sql_select_limit = 18446744073709551615, sql_auto_is_null = 0, sql_big_selects = 1, "
    # Between two statements we may read the store for long, and between two rows hash large ones.
    "wait_timeout = 86400, net_write_timeout = 3600",
)
_WHERE_KNOWN: Final = ("SET SESSION innodb_strict_mode = 0", "SET SESSION max_statement_time = 0")
_UTF8: Final = ("utf8", "utf8mb3", "utf8mb4")
"""Character sets in which a statement is sent as it stands."""
_CONNECT_S: Final = 20
_SILENT_S: Final = 3600
_UNKNOWN: Final = (1193, 1227, 1238)


@dataclass(frozen=True, slots=True)
class MyPlace:
    """Where the database is; the password is not part of it."""

    user: str
    host: str
    port: int
    database: str
    socket: str | None = None
    ssl_mode: str | None = None
    ssl_ca: str | None = None

    @property
    def description(self) -> str:
        """Name it for people."""
        return f"mysql://{self.user}@{self.socket or self.host}:{self.port}/{self.database}"


class MySession:
    """A session. One result at a time. Not thread-safe; close it in any case.

    Attributes: `max_packet`, the longest statement and value that the server takes; `is_mariadb`; `version`.
    """

    def __init__(self, place: MyPlace) -> None:
        """Connect and pin. Raises: TargetError."""
        self.place = place
        try:
            self._connection: Any = _connect(place)  # Any: the driver has no types
            self._pin()
        except MySQLdb.Error as err:
            raise TargetError(
                Text(
                    zh=f"{place.description} 打不开：{one_line(err)}",
                    en=f"{place.description} cannot be opened: {one_line(err)}",
                ),
                hint=Text(
                    zh="检查主机、端口、账户，以及数据库是否存在（CREATE DATABASE … CHARACTER SET utf8mb4）；口令取自 MYSQL_PWD 或 ~/.my.cnf",
                    en="check host, port, account and that the database exists (CREATE DATABASE … CHARACTER SET utf8mb4); "
                    "the password comes from MYSQL_PWD or ~/.my.cnf",
                ),
            ) from err

    def execute(self, sql: str | bytes) -> None:
        """Run a command; a warning is an error. Raises: MySQLdb.Error."""
        self.query(sql)
        if self._connection.warning_count():
            warnings = self.query("SHOW WARNINGS")
            for level, code, message in warnings:
                if level != b"Note":
                    raise MySQLdb.DataError(int(code or 0), (message or b"").decode("utf-8", "replace"))

    def query(self, sql: str | bytes) -> list[Row]:
        """Run a query; give its rows. Raises: MySQLdb.Error."""
        self._connection.query(sql.encode() if isinstance(sql, str) else sql)
        result = self._connection.store_result()
        return [] if result is None else list(result.fetch_row(maxrows=0))

    def query_from(self, client: str, sql: str) -> None:
        """Run a command as a client of another character set would: the server itself puts it into that.

        Raises: MySQLdb.Error, also if it cannot be said in that set.
        """
        raw = sql.encode()
        if client not in _UTF8:
            ((raw_or_none, is_same),) = self.query(
                f"SELECT CAST(CONVERT({literal(sql)} USING {client}) AS BINARY), "
                f"BINARY CONVERT(CONVERT({literal(sql)} USING {client}) USING utf8mb4) = BINARY {literal(sql)}"
            )
            if raw_or_none is None or is_same != b"1":
                raise MySQLdb.DataError(1300, f"it has characters that {client} has not")
            raw = raw_or_none
        self.query(f"SET SESSION character_set_client = {client}")
        try:
            self.query(raw)
        finally:
            self.query("SET SESSION character_set_client = utf8mb4")

    def stream(self, sql: str, rows_at_once: int) -> Iterator[Row]:
        """Yield the rows of a query as they come; the session is of no other use until they are all taken."""
        self._connection.query(sql.encode())
        result = self._connection.use_result()
        while rows := result.fetch_row(maxrows=rows_at_once):
            yield from rows

    def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(MySQLdb.Error):
            self._connection.close()

    def _pin(self) -> None:
        for statement in _PINNED:
            self.query(statement)
        for statement in _WHERE_KNOWN:
            try:
                self.query(statement)
            except MySQLdb.Error as err:
                if err.args[0] not in _UNKNOWN:
                    raise
        ((version, packet, fold),) = self.query("SELECT VERSION(), @@max_allowed_packet, @@lower_case_table_names")
        text = (version or b"").decode()
        self.is_mariadb = "mariadb" in text.lower()
        digits = text.removeprefix("5.5.5-").split("-")[0].split(".")
        self.version = tuple(int(d) for d in digits if d.isdigit())
        self.max_packet = int(packet or 0)
        self.folds_names = fold != b"0"


def is_lost(err: MySQLdb.Error) -> bool:
    """Tell whether the connection is gone, so that nothing else will work either."""
    return bool(err.args) and err.args[0] in (2006, 2013, 2055, 1053, 1927)


def quote(identifier: str) -> str:
    """Quote an identifier for SQL."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Write a text for SQL, so that no setting of the session changes its meaning."""
    return f"_utf8mb4 X'{text.encode().hex()}'" if text else "''"


def _connect(place: MyPlace) -> object:
    options: dict[str, Any] = {"host": place.host, "port": place.port}
    if place.socket is not None:
        options = {"host": "localhost", "unix_socket": place.socket}
    if place.ssl_mode is not None:
        options["ssl_mode"] = place.ssl_mode.replace("-", "_").upper()
    if place.ssl_ca is not None:
        options["ssl"] = {"ca": place.ssl_ca}
    password = os.environ.get("MYSQL_PWD") or _read_password(Path("~/.my.cnf").expanduser())
    if password:
        options["password"] = password
    return _mysql.connect(
        user=place.user,
        database=place.database,
        conv={},
        charset="utf8mb4",
        # The driver's own reading of option files could turn this on again, so we read the password from them ourselves.
        local_infile=0,
        connect_timeout=_CONNECT_S,
        read_timeout=_SILENT_S,
        write_timeout=_SILENT_S,
        **options,
    )


def _read_password(path: Path) -> str | None:
    """Give the password for clients from an option file, if there is one."""
    parser = configparser.ConfigParser(
        allow_no_value=True, strict=False, interpolation=None, inline_comment_prefixes=None, delimiters=("=",)
    )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        parser.read_string("\n".join(line for line in lines if not line.startswith("!")))
    except (OSError, ValueError, configparser.Error):
        return None
    found = parser.get("client", "password", fallback=None)
    return None if found is None else found.removeprefix('"').removesuffix('"')
