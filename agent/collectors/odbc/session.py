# SPDX-License-Identifier: Apache-2.0
"""A session over ODBC: connected, with what the dialect pins, its rows as text. One result at a time.

The password goes to the driver's process by its standard input, never by an argument or the environment.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from agent.collectors.odbc.dialect import Dialect, fill
from agent.collectors.odbc.failures import refuse, refuse_connection
from agent.collectors.odbc.process import COMMAND, DriverProcess, StatementError, Watch
from agent.collectors.odbc.settings import OdbcSettings
from agent.errors import DriverError, SourceError
from terminal.language import Text

Row = Sequence[str | None]

_MOST_CATALOG: Final = 64 << 20
"""Characters that a query outside of tables may give."""


def connection_text(settings: OdbcSettings, dialect: Dialect) -> str:
    """Write the connection string: what a person set, what the dialect adds to it, account and password.

    >>> from agent.collectors.odbc.dialects import DIALECTS
    >>> settings = OdbcSettings("sqlite", "Driver=SQLite3;Database=file:x.db?mode=ro;StepAPI=0", user="u", password="a}b")
    >>> connection_text(settings, DIALECTS["sqlite"])
    'Driver=SQLite3;Database=file:x.db?mode=ro;StepAPI=0;NoTXN=1;Timeout=10000;UID=u;PWD={a}}b}'
    """
    given = settings.connection.strip().rstrip(";")
    known = {part.partition("=")[0].strip().lower() for part in given.split(";")}
    added = [f"{name}={_fill(value, settings)}" for name, value in dialect.options if name.lower() not in known]
    if settings.user is not None:
        added.append(f"UID={_brace(settings.user)}")
        added.append(f"PWD={_brace(settings.password)}")
    return ";".join([given, *added])


class Session:
    """A session. One thread; `close` it. `watch` is called while answers are waited for, and may raise."""

    def __init__(
        self, settings: OdbcSettings, dialect: Dialect, watch: Watch, command: Sequence[str] = COMMAND
    ) -> None:
        """Connect. Raises: SourceError and its kin."""
        self._settings = settings
        self._stream: Stream | None = None
        if dialect.must is not None and dialect.must[0] not in settings.connection:
            raise SourceError(
                Text(
                    zh=f"方言 {dialect.name} 的 `connection` 中必须有 {dialect.must[0]!r}",
                    en=f"`connection` of dialect {dialect.name} must have {dialect.must[0]!r} in it",
                ),
                hint=dialect.must[1],
            )
        self._process = DriverProcess(settings.address, settings.stall_limit_s, watch, command)
        try:
            self._connect(dialect)
        except StatementError as err:
            self.close()
            raise refuse(err, settings) from err
        except BaseException:
            self.close()
            raise

    def _connect(self, dialect: Dialect) -> None:
        settings = self._settings
        try:
            found = self._process.ask(
                b"C", text=connection_text(settings, dialect), timeout_s=max(2, round(settings.connect_timeout_s))
            )
        except StatementError as err:
            raise refuse_connection(err, settings, dialect) from err
        self.server, self.driver = str(found["server"]), str(found["driver"])
        for statement in dialect.session:
            self.execute(_fill(statement, settings))

    def begin(self, statements: Sequence[str], *, is_whole: bool) -> None:
        """Begin the state that is read, by statements that are whole, or with the next one. Raises: StatementError."""
        for statement in statements:
            self.execute(statement)
        if not is_whole:
            self._process.ask(b"T")

    def execute(self, sql: str) -> None:
        """Run a statement. Raises: StatementError, DriverError."""
        self._let_go()
        self._process.ask(b"E", sql=sql)

    def query(self, sql: str) -> list[Row]:
        """Give all rows of a query of bounded size. Raises: StatementError, DriverError."""
        rows: list[Row] = []
        size = 0
        with self.stream(sql) as stream:
            while batch := stream.take():
                rows += batch
                size += sum(len(cell or "") for row in batch for cell in row)
                if size > _MOST_CATALOG:
                    raise DriverError(
                        Text(
                            zh=f"查询 {self._settings.address} 的目录得到超过 {_MOST_CATALOG >> 20} Mi 个字符",
                            en=f"a query about the catalog of {self._settings.address} gave more than {_MOST_CATALOG >> 20} Mi characters",
                        ),
                        hint=Text(
                            zh="让该账户看不到无关的模式（schema）", en="leave schemas out of the account's sight"
                        ),
                    )
        return rows

    def ask_catalog(self, function: str, columns: Sequence[str], arguments: Mapping[str, object]) -> list[Row]:
        """Give what one of ODBC's catalog functions says. Raises: StatementError, DriverError."""
        self._let_go()
        answer = self._process.ask(b"G", function=function, columns=list(columns), arguments=dict(arguments))
        return _check_rows(answer, len(columns))

    @contextmanager
    def stream(self, sql: str) -> Iterator["Stream"]:
        """Give the rows of a query as they come. Raises: StatementError, DriverError."""
        self._let_go()
        stream = self._stream = Stream(self._process, sql)
        try:
            yield stream
        finally:
            if self._stream is stream:
                self._let_go()

    def close(self) -> None:
        """End the session and its process."""
        self._process.close()

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class Stream:
    """Rows of a query. While one batch is worked on, the next is fetched."""

    def __init__(self, process: DriverProcess, sql: str) -> None:
        self._process = process
        self._width = int(process.ask(b"Q", sql=sql)["width"])
        self._is_waiting = False
        self._is_over = self._width == 0
        if not self._is_over:
            self._send()

    def take(self) -> list[Row]:
        """Give the next rows, none at the end. Raises: StatementError, DriverError."""
        if not self._is_waiting:
            return []
        self._is_waiting = False
        answer = self._process.receive()
        if answer.get("last") is True:
            self._is_over = True
        else:
            self._send()
        return _check_rows(answer, self._width)

    def close(self) -> None:
        """Let go of the rows that were not taken. Raises: StatementError, DriverError."""
        if self._is_waiting:
            self._is_waiting = False
            self._is_over = self._process.receive().get("last") is True
        if not self._is_over:
            self._is_over = True
            self._process.ask(b"S")

    def _send(self) -> None:
        self._process.send(b"N")
        self._is_waiting = True


def _check_rows(answer: Any, width: int) -> list[Row]:
    rows = answer.get("rows")
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != width for row in rows):
        raise DriverError(
            Text(
                zh=f"ODBC 驱动进程给出的行不是 {width} 列",
                en=f"the ODBC driver's process gave rows that are not of {width} columns",
            ),
            hint=Text(zh="更新驱动", en="update the driver"),
        )
    if any(cell is not None and type(cell) is not str for row in rows for cell in row):
        raise DriverError(
            Text(zh="ODBC 驱动进程给出的单元格不是文字", en="the ODBC driver's process gave a cell that is no text"),
            hint=Text(zh="更新驱动", en="update the driver"),
        )
    return rows


def _fill(template: str, settings: OdbcSettings) -> str:
    return fill(
        template,
        lock_ms=str(max(1, round(settings.lock_timeout_s * 1000))),
        lock_s=str(max(1, round(settings.lock_timeout_s))),
        age_ms=str(round((settings.snapshot_age_limit_s + 60) * 1000)),
    )


def _brace(value: str) -> str:
    # Only where it must be: psqlodbc takes the braces of an account's name as part of it.
    if re.fullmatch(r"[^;{}\[\]()?*!@=\s]*", value):
        return value
    return "{" + value.replace("}", "}}") + "}"
