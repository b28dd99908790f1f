# SPDX-License-Identifier: Apache-2.0
"""Money moves between accounts, tables and partitions all the time; no view ever sees it on the way."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from agent.collectors.postgresql import PostgresqlCollector
from center.restore import restore
from center.restore.postgresql import PostgresqlTarget
from evidence.rows.line import Cell
from tests.fakes.recipe import take_with_agent
from tests.fakes.snapshot import SourceHistory
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import KeptBlobs, read_rows, settings_for

ACCOUNTS = 300
EACH = 1000
VIEWS = 50
WRITERS = 3
RESTORES = 5
TOTAL = 2 * ACCOUNTS * EACH


def test_sum_never_varies_under_transfers_across_tables(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    _open_accounts(postgres_server, postgres_database)
    seen: list[tuple[int, int]] = []
    collector = PostgresqlCollector(settings_for(postgres_server, postgres_database, pg_dump=Path("/nowhere")))
    with _transfers(postgres_server, postgres_database) as count:
        for _ in range(VIEWS):
            before = count()
            while count() < before + WRITERS:
                pass
            with collector.open_view() as view:
                cash = read_rows(view, "public.a_现金", KeptBlobs())
                moved = read_rows(view, "public.transfers", KeptBlobs())
                bank = read_rows(view, "public.z_bank", KeptBlobs())
            seen.append((_sum(cash) + _sum(bank), len(moved)))
            # What the ledger of transfers says is what has left the cash accounts.
            assert _sum(cash) == ACCOUNTS * EACH * 100 - _sum(moved)
    assert [total for total, _ in seen] == [TOTAL * 100] * VIEWS
    moves = [moved for _, moved in seen]
    assert moves == sorted(set(moves)), "between any two views money moved"


def test_the_sum_is_whole_in_restored_databases_too(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    _open_accounts(postgres_server, postgres_database)
    collector = PostgresqlCollector(settings_for(postgres_server, postgres_database, pg_dump=Path("/nowhere")))
    history = SourceHistory()
    with _transfers(postgres_server, postgres_database) as count:
        for i in range(RESTORES):
            before = count()
            while count() < before + WRITERS:
                pass
            snapshot = take_with_agent(history, collector, tmp_path / str(i))
            copy = f"{postgres_database}_copy{i}"
            postgres_server.create_database(copy)
            target = PostgresqlTarget(postgres_server.dsn_of(copy), "the copy")
            try:
                report = restore(snapshot, target)
            finally:
                target.close()
            assert report.is_equal
            ((total,),) = postgres_server.execute(
                'SELECT (SELECT sum(amount) FROM "a_现金") + (SELECT sum(amount) FROM z_bank)', database=copy
            )
            postgres_server.drop_database(copy)
            assert total == TOTAL


def _open_accounts(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(
        f"""CREATE TABLE "a_现金" (id int PRIMARY KEY, amount numeric(12,2) NOT NULL);
        CREATE TABLE z_bank (id int PRIMARY KEY, amount numeric(12,2) NOT NULL) PARTITION BY HASH (id);
        CREATE TABLE z_bank_0 PARTITION OF z_bank FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE z_bank_1 PARTITION OF z_bank FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE transfers (id bigserial PRIMARY KEY, amount numeric(12,2) NOT NULL);
        INSERT INTO "a_现金" SELECT n, {EACH} FROM generate_series(1, {ACCOUNTS}) n;
        INSERT INTO z_bank SELECT n, {EACH} FROM generate_series(1, {ACCOUNTS}) n""",
        database=postgres_database,
    )


def _sum(rows: list[list[Cell]]) -> int:
    """Add the amounts, in hundredths."""
    return sum(int(amount.replace(b".", b"")) for _, amount in rows if isinstance(amount, bytes))


class _Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self) -> None:
        with self._lock:
            self._count += 1

    def __call__(self) -> int:
        return self._count


@contextmanager
def _transfers(server: PostgresServer, database: str) -> Iterator[_Counter]:
    """Move money in several threads until the end; give what counts the transfers."""
    stop, counter, failed = threading.Event(), _Counter(), []

    def move(seed: int) -> None:
        chosen = random.Random(seed)
        connection = psycopg2.connect(server.dsn_of(database))
        try:
            cursor = connection.cursor()
            while not stop.is_set():
                amount = chosen.randrange(-5000, 5000) / 100
                source, target = chosen.randrange(1, ACCOUNTS + 1), chosen.randrange(1, ACCOUNTS + 1)
                # One order of locks, so that writers do not deadlock; each statement is a chance to be seen half-way.
                cursor.execute('UPDATE "a_现金" SET amount = amount - %s WHERE id = %s', (amount, source))
                cursor.execute("INSERT INTO transfers (amount) VALUES (%s)", (amount,))
                cursor.execute("UPDATE z_bank SET amount = amount + %s WHERE id = %s", (amount, target))
                connection.commit()
                counter.add()
        except psycopg2.Error as err:
            failed.append(err)
        finally:
            connection.close()

    threads = [threading.Thread(target=move, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield counter
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
