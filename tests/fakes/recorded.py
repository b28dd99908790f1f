# SPDX-License-Identifier: Apache-2.0
"""A session that answers from recorded rows, for databases of which no server can run here. It keeps what it was asked."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class RecordedSession:
    """Answer each query by the first recording whose pattern is found in it. `version`: as a server would say."""

    def __init__(self, recordings: Sequence[tuple[str, Any]], version: tuple[int, ...] = (19, 3)) -> None:
        self._recordings = [(re.compile(pattern, re.DOTALL), rows) for pattern, rows in recordings]
        self.version = version
        self.asked: list[str] = []

    def query(self, sql: str) -> list[Any]:
        self.asked.append(sql)
        for pattern, rows in self._recordings:
            if pattern.search(sql):
                if isinstance(rows, Exception):
                    raise rows
                return list(rows(sql) if callable(rows) else rows)
        raise AssertionError(f"nothing recorded for {sql}")

    def execute(self, sql: str) -> None:
        self.asked.append(sql)

    @contextmanager
    def stream(self, sql: str, at_once: int = 100) -> Iterator[Any]:
        rows = self.query(sql)
        yield _Stream(rows, at_once)


class _Stream:
    """Rows both ways: by batches, as ODBC's session gives them, and one by one."""

    def __init__(self, rows: list[Any], at_once: int) -> None:
        self._rows = rows
        self._at_once = at_once

    def take(self) -> list[Any]:
        batch, self._rows = self._rows[: self._at_once], self._rows[self._at_once :]
        return batch

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)
