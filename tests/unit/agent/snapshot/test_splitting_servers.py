# SPDX-License-Identifier: Apache-2.0
"""Splitting on real servers: the old view's sessions are gone before the new one's come, and every table is read whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.collectors.base import Collector
from agent.collectors.mysql import MysqlCollector
from agent.collectors.postgresql import PostgresqlCollector
from agent.errors import BudgetError
from agent.snapshot.progress import Silent
from agent.snapshot.splitting import SplitCollector
from evidence.manifest.statement import Consistency
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import settings_for as postgres_settings
from tests.servers.reading_mysql import settings_for as mysql_settings
from tests.unit.agent.snapshot.test_take import Bench

ROWS = 30_000
NAMES = ("a", "b", "c", "d")


class Hours(Silent):
    """A clock that goes on by `each` seconds for every part of a table that was read."""

    def __init__(self, each: float) -> None:
        self.now, self.each = 0.0, each

    def __call__(self) -> float:
        return self.now

    def advance(self, rows: int, size_bytes: int) -> None:
        self.now += self.each


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.holdings.close()


@pytest.fixture(params=["postgresql", "mysql"])
def make(request: pytest.FixtureRequest) -> Callable[[Hours], Collector]:
    """Give what makes a collector with four tables of several blocks each, whose views may be 100 s old."""
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        database: str = request.getfixturevalue("postgres_database")
        for name in NAMES:
            postgres.execute(
                f"CREATE TABLE {name} (id int PRIMARY KEY, body text); INSERT INTO {name} SELECT i, "
                f"repeat('{name}', 150) FROM generate_series(1, {ROWS}) i",
                database=database,
            )
        settings = postgres_settings(postgres, database, snapshot_age_limit_s=100, pg_dump=Path("/nowhere"))
        return lambda hours: PostgresqlCollector(settings, hours)
    mariadb: MariadbServer = request.getfixturevalue("mariadb_server")
    database = request.getfixturevalue("mariadb_database")
    for name in NAMES:
        mariadb.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, body text); INSERT INTO {name} SELECT seq, "
            f"REPEAT('{name}', 150) FROM seq_1_to_{ROWS}",
            database=database,
        )
    given = mysql_settings(mariadb, database, snapshot_age_limit_s=100)
    return lambda hours: MysqlCollector(given, hours)


def test_tables_are_split_over_several_states_and_each_is_whole(
    bench: Bench, make: Callable[[Hours], Collector]
) -> None:
    count = Hours(0)
    whole = bench.take(make(count), progress=count)  # type: ignore[arg-type]  # a collector, as the recipe wants one
    assert whole.statement.consistency is Consistency.CONSISTENT
    hours = Hours(19)
    taken = bench.take(SplitCollector(make(hours)), progress=hours)  # type: ignore[arg-type]  # likewise
    assert [t.claim for t in taken.manifest.tables] == [t.claim for t in whole.manifest.tables]
    assert taken.statement.consistency is Consistency.PER_TABLE
    assert [note for note in taken.notes if note.startswith("split: ")]
    assert hours.now > 100


def test_without_split_the_same_source_is_given_up(bench: Bench, make: Callable[[Hours], Collector]) -> None:
    hours = Hours(19)
    with pytest.raises(BudgetError):
        bench.take(make(hours), progress=hours)  # type: ignore[arg-type]  # likewise
