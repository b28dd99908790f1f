# SPDX-License-Identifier: Apache-2.0
"""What a center and an agent keep in memory does not grow with the number of statements. Counted in objects, not in time.

A whole bundle of the log apart: what comes and goes with one (its edge, proofs) stands as it stood. SQLite's page caches are
not counted: they are bounded by their settings, and fill as the files grow.
"""

import gc
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import center.ledger.ledger
import center.store.folder
from evidence.log.tiles import TILE_WIDTH
from tests.builders.receivers import MovableClock
from tests.builders.world import World, run_sql, sqlite_source

WARM_UP = 100
MOST_OF_A_KIND = TILE_WIDTH // 8
"""Threads of the pool, and what each has, come one by one."""
MOST_BLOCKS = TILE_WIDTH
"""Of the interpreter's memory: one for each statement. A text that is remembered takes two."""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_neither_center_nor_agent_remembers_each_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Caches that take a year to fill are made so small that it is seen whether they have a bound.
    monkeypatch.setattr(center.ledger.ledger, "_KNOWN_TEXTS", 16)
    monkeypatch.setattr(center.store.folder, "_MOST_KNOWN", 16)
    clock = MovableClock(datetime(2027, 1, 1, tzinfo=UTC))
    database = tmp_path / "his.db"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, text TEXT)")
    with World.make(tmp_path / "world", clock=clock) as world, world.serving() as served:
        world.add_agent(served, "X013", sqlite_source("his", database))
        _live(world, clock, database, WARM_UP)
        kinds, blocks = _count()
        _live(world, clock, database, TILE_WIDTH)
        grown, blocks_after = _count()
        assert served.ledger.size > WARM_UP + TILE_WIDTH
    grown.subtract(kinds)
    assert {kind: count for kind, count in grown.items() if count > MOST_OF_A_KIND} == {}
    assert blocks_after - blocks < MOST_BLOCKS


def _live(world: World, clock: MovableClock, database: Path, statements: int) -> None:
    for _ in range(statements):
        run_sql(database, "INSERT INTO visit (text) VALUES (?)", "x" * 50)
        clock.now += timedelta(hours=6)
        world.snapshot("X013")


def _count() -> tuple[Counter[str], int]:
    """Count what the collector knows, by kind, and the blocks of memory of small objects.

    Without weak references: each connection of `sqlite3` keeps up to 200 to cursors that are gone.
    """
    gc.collect()
    kinds = Counter(type(found).__qualname__ for found in gc.get_objects())
    return kinds, sys.getallocatedblocks() - kinds.pop("ReferenceType", 0)
