# SPDX-License-Identifier: Apache-2.0
"""A session with the PostgreSQL that is restored into: every setting pinned that changes what is printed or read.

Imports psycopg2 (extra `postgresql`), so it is itself imported only when such a target is opened. Knows no tables.
Source: formats.md, "Pinned for PostgreSQL".
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from center.errors import TargetError
from center.restore.target import one_line
from terminal.language import Text

_SETTINGS = (
    "SET client_encoding = 'UTF8'",
    "SET bytea_output = 'hex'",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET standard_conforming_strings = on",
    # A scan that starts where another one is would not give back the order in which rows were put in.
    "SET synchronize_seqscans = off",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    # As the collector has it: names of types, and of what values refer to, are in full.
    "SET search_path = ''",
)


class Session:
    """A connection with a transaction open in it. Not thread-safe; close it in any case."""

    def __init__(self, dsn: str, description: str) -> None:
        """Connect and pin. Raises: TargetError."""
        self.description = description
        try:
            self.connection: Connection = psycopg2.connect(dsn, application_name="jinsuo-center restore")
        except psycopg2.Error as err:
            raise TargetError(
                Text(
                    zh=f"{description} 打不开：{one_line(err)}", en=f"{description} cannot be opened: {one_line(err)}"
                ),
                hint=Text(
                    zh="检查主机、端口、名称和账户；口令取自 PGPASSWORD 或 ~/.pgpass",
                    en="check host, port, name and account; the password comes from PGPASSWORD or ~/.pgpass",
                ),
            ) from err
        encoding = self.query("SHOW server_encoding")[0][0]
        if encoding != "UTF8":
            self.close()
            raise TargetError(
                Text(
                    zh=f"{description} 的文字编码是 {encoding}，装不下所有文字",
                    en=f"{description} keeps text as {encoding}, which cannot hold every text",
                ),
                hint=Text(zh="用 ENCODING 'UTF8' 建数据库", en="make the database with ENCODING 'UTF8'"),
            )
        for setting in _SETTINGS:
            self.execute(setting)
        self.connection.commit()

    def execute(self, sql: str) -> None:
        """Run a command. Raises: psycopg2.Error."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:  # Any: columns of a row
        """Run a query and give its rows. Raises: psycopg2.Error."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside if it raises, and raise on."""
        self.execute("SAVEPOINT one_step")
        try:
            yield
        except BaseException:
            if not self.connection.closed:
                self.execute("ROLLBACK TO one_step")
                self.execute("RELEASE one_step")
            raise
        self.execute("RELEASE one_step")

    def knows_type(self, text: str) -> bool:
        """Tell whether `text` is the name of a type and nothing else: it comes from outside, and is put into SQL."""
        if "--" in text or "/*" in text or "\0" in text:
            return False
        try:
            with self.savepoint():
                return self.query("SELECT pg_catalog.to_regtype(%s) IS NOT NULL", (text,)) == [(True,)]
        except psycopg2.Error:
            return False

    def commit(self) -> None:
        """Make everything durable. Raises: TargetError."""
        try:
            self.connection.commit()
        except psycopg2.Error as err:
            raise TargetError(
                Text(
                    zh=f"{self.description} 不能提交：{one_line(err)}",
                    en=f"{self.description} cannot commit: {one_line(err)}",
                ),
                hint=Text(zh="查看它的日志", en="look at its log"),
            ) from err

    def close(self) -> None:
        """Disconnect; what was not committed is undone."""
        self.connection.close()


def quote(identifier: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + identifier.replace('"', '""') + '"'
