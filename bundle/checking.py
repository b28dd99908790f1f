# SPDX-License-Identifier: Apache-2.0
"""What the trials of installed programs share: whether something holds, how long it took, a small hospital's database.

Python alone, no package: a trial runs with nothing but a system's Python, too.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")


class TrialError(Exception):
    """Something did not hold."""


def check(holds: bool, what: str) -> None:
    """Raises: TrialError unless it holds."""
    if not holds:
        raise TrialError(what)


def wait_for(look: Callable[[], _T | None], what: str, within_s: float = 180) -> _T:
    """Look until there is something that is true. Raises: TrialError if there is nothing in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(1)
    raise TrialError(f"not within {within_s:.0f} s: {what}")


def took(act: Callable[[], object]) -> float:
    """Give the seconds that `act` took."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def make_database(path: Path) -> None:
    """Make a small hospital."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE 患者 (编号 INTEGER PRIMARY KEY, 姓名 TEXT NOT NULL, 出生 TEXT)")
        db.executemany("INSERT INTO 患者 VALUES (?, ?, ?)", ((i, f"患者{i}", "1980-01-01") for i in range(1, 5001)))


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """Give the rows of the hospital in `path`."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM 患者 ORDER BY 编号").fetchall()
