# SPDX-License-Identifier: Apache-2.0
"""What the agent's own SQLite files have in common: a change is one durable step or nothing; moments are whole microseconds.

Knows no table. Times are aware; those read are UTC.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from agent.errors import SpoolError
from terminal.language import Text

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def changing(
    db: sqlite3.Connection, refuse: Callable[[sqlite3.OperationalError], SpoolError]
) -> Iterator[sqlite3.Connection]:
    """Change a file in one step; what is raised within undoes it. Raises: what `refuse` gives if it cannot be written."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    except BaseException as err:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(err, sqlite3.OperationalError):
            raise refuse(err) from err
        raise


def journal_unwritten(err: sqlite3.Error) -> SpoolError:
    """Say that the journal's file, which has tables of several, cannot be written."""
    return SpoolError(
        Text(zh=f"采集端的台账写不了：{err}", en=f"the agent's journal could not be written: {err}"),
        hint=Text(
            zh="在采集端目录所在的卷上腾出空间，再运行 `jinsuo-agent send`；数据不会丢失",
            en="make room on the volume of the agent's folder, then run `jinsuo-agent send`; nothing is lost",
        ),
    )


def to_micros(moment: datetime) -> int:
    """Give a moment as microseconds since 1970.

    >>> to_micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Give the moment that `to_micros` wrote."""
    return EPOCH + timedelta(microseconds=micros)
