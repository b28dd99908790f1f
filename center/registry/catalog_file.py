# SPDX-License-Identifier: Apache-2.0
"""The catalog's file: how SQLite is opened, what its errors mean to an operator, and who may replace the file.

WAL mode with `synchronous=FULL`: readers never wait, and what was committed survives power loss. Every open catalog
holds a shared lock on `<catalog>.lock`, and a rebuild an exclusive one, so a file is never replaced under a reader.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import sqlalchemy as sa

from center.errors import FullError, StoreError

REBUILD: Final = "run `jinsuo-center rebuild`: it makes the catalog again from store and ledger; nothing is lost"
_BUSY_S: Final = 60


class CatalogLock:
    """The right to use the catalog at a path, or alone to replace it. Ends with the process. A context manager."""

    def __init__(self, path: Path, exclusive: bool = False) -> None:
        """Take the lock. Raises: StoreError if somebody else has it; nobody waits."""
        self._file: BinaryIO = path.with_name(path.name + ".lock").open("ab")
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as err:
            self._file.close()
            raise StoreError(
                f"the catalog {path} is in use by another process",
                hint="stop the center (`jinsuo-center serve`) and other commands, then try again"
                if exclusive
                else "a rebuild is under way; try again when it has ended",
            ) from err

    def close(self) -> None:
        """Let go."""
        self._file.close()

    def __enter__(self) -> "CatalogLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_engine(path: Path) -> sa.Engine:
    """Give connections to the file, a new one per thread that needs one; it need not exist yet."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        pool_size=4,
        max_overflow=60,
        connect_args={"timeout": _BUSY_S, "check_same_thread": False},
    )

    def connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # else sqlite3 begins transactions of its own, and late
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16384", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: sa.Connection) -> None:
        is_write = connection.get_execution_options().get("jinsuo_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "begin", begin)
    return engine


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite says into what an operator can act on."""
    try:
        yield
    except sa.exc.DBAPIError as err:
        text = str(err.orig)
        if "full" in text:
            raise FullError(f"the disk of the catalog {path} is full", hint="free some space and try again") from err
        raise StoreError(f"the catalog {path} cannot be read or written: {text}", hint=REBUILD) from err
    except sqlite3.Error as err:
        raise StoreError(f"the catalog {path} cannot be opened: {err}", hint=REBUILD) from err
