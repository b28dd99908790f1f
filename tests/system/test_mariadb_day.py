# SPDX-License-Identifier: Apache-2.0
"""A live MariaDB from settings to receipt to proven copy; and money that moves all the time, whose sum never varies."""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.collectors.base import View
from agent.collectors.mysql import MysqlCollector
from agent.errors import SourceDownError
from center.restore import open_target, restore
from evidence.rows.line import Cell
from tests.builders.world import World, check_chain
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import read_rows
from tests.servers.reading_mysql import settings_for

ACCOUNTS = 200
VIEWS = 15
WRITERS = 3


def test_snapshot_of_a_live_mariadb_is_stored_and_comes_back_proven(
    mariadb_server: MariadbServer, mariadb_database: str, tmp_path: Path
) -> None:
    mariadb_server.execute(
        "CREATE TABLE visit (id bigint unsigned PRIMARY KEY, name varchar(40) CHARACTER SET gbk, fee decimal(10,2), seen "
        "datetime(3), stamp timestamp NULL, scan longblob, flags bit(5), ratio float, born date, lasted time(1), kind "
        "enum('急','普'), note json);"
        "INSERT INTO visit SELECT seq, CONCAT('病人', seq), seq / 7, '2026-11-22 01:02:03.5' + INTERVAL seq SECOND, "
        "'2026-11-22 01:02:03', IF(seq % 100 = 0, REPEAT(X'00ff', 200000), X'0102'), seq % 32, seq / 3, '0000-00-00', "
        "'-800:00:01.5', '急', JSON_OBJECT('n', seq) FROM seq_1_to_2000;"
        "INSERT INTO visit (id) VALUES (18446744073709551615);"
        "CREATE TABLE old (code varchar(20), n int) ENGINE=MyISAM; INSERT INTO old VALUES ('b', 1), ('b', 1), (NULL, 2);"
        "CREATE SEQUENCE numbers; CREATE VIEW v AS SELECT id FROM visit",
        database=mariadb_database, sql_mode="ALLOW_INVALID_DATES",
    )  # fmt: skip
    (tmp_path / "password").write_text(mariadb_server.password)
    (tmp_path / "password").chmod(0o600)
    source = (
        f"  - {{name: pacs, kind: mysql, host: {mariadb_server.host}, port: {mariadb_server.port}, "
        f"database: {mariadb_database}, user: {mariadb_server.user}, password: 'file:{tmp_path / 'password'}', "
        f"as: {{{mariadb_database}.visit: ward.visit}}}}\n"
    )
    with World.make(tmp_path) as world, world.serving() as center:
        world.add_agent(center, "X013", source)
        first = world.snapshot("X013", "pacs")
        assert (first.sequence, first.tables, first.rows, first.consistency) == (1, 3, 2_005, "per-table")
        mariadb_server.execute("UPDATE visit SET fee = 1 WHERE id = 217", database=mariadb_database)
        second = world.snapshot("X013", "pacs")
        assert 0 < second.sent_bytes < first.sent_bytes / 5
        assert check_chain(center, "X013", "pacs") == ["snapshot", "snapshot"]
        snapshot = center.open_snapshot("X013", "pacs", 2)
        target = open_target(f"sqlite:///{tmp_path / 'copy.db'}")
        try:
            restored = restore(snapshot, target)
        finally:
            target.close()
        assert restored.is_equal, [(t.name, t.error, t.differences) for t in restored.tables]


@pytest.mark.parametrize("lock_guard", [False, True])
def test_sum_never_varies_under_transfers_across_tables(
    mariadb_server: MariadbServer, mariadb_database: str, lock_guard: bool
) -> None:
    for name in ("a_现金", "z_bank"):
        mariadb_server.execute(
            f"CREATE TABLE `{name}` (id int PRIMARY KEY, amount decimal(12,2) NOT NULL);"
            f"INSERT INTO `{name}` SELECT seq, 1000 FROM seq_1_to_{ACCOUNTS}",
            database=mariadb_database,
        )
    mariadb_server.execute(
        "CREATE TABLE transfers (id bigint AUTO_INCREMENT PRIMARY KEY, amount decimal(12,2) NOT NULL)",
        database=mariadb_database,
    )
    moves: list[int] = []
    collector = MysqlCollector(settings_for(mariadb_server, mariadb_database, lock_guard=lock_guard))
    with _transfers(mariadb_server, mariadb_database) as count:
        for _ in range(VIEWS):
            before = count()
            while count() < before + WRITERS:
                pass
            with _patiently(collector) as view:
                cash = read_rows(view, f"{mariadb_database}.a_现金")
                moved = read_rows(view, f"{mariadb_database}.transfers")
                bank = read_rows(view, f"{mariadb_database}.z_bank")
            assert _sum(cash) + _sum(bank) == 2 * ACCOUNTS * 100_000
            # What the ledger of transfers says is what has left the cash accounts.
            assert _sum(cash) == ACCOUNTS * 100_000 - _sum(moved)
            moves.append(len(moved))
    assert moves == sorted(set(moves)), "between any two views money moved"


@contextmanager
def _patiently(collector: MysqlCollector) -> Iterator[View]:
    """Open a view as the next night would: the guard gives up rather than let writers wait for it, and is tried again."""
    with ExitStack() as closing:
        for attempt in range(20):
            try:
                view = closing.enter_context(collector.open_view())
            except SourceDownError:
                if attempt == 19:
                    raise
                continue
            yield view
            return


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
def _transfers(server: MariadbServer, database: str) -> Iterator[_Counter]:
    """Move money in several threads until the end; give what counts the transfers."""
    stop, counter = threading.Event(), _Counter()
    failed: list[BaseException] = []

    def move(seed: int) -> None:
        chosen = random.Random(seed)
        connection = server.connect(database, autocommit=False)
        try:
            cursor = connection.cursor()
            while not stop.is_set():
                amount = chosen.randrange(-5000, 5000) / 100
                source, target = chosen.randrange(1, ACCOUNTS + 1), chosen.randrange(1, ACCOUNTS + 1)
                # One order of locks, so that writers do not deadlock; each statement is a chance to be seen half-way.
                cursor.execute("UPDATE `a_现金` SET amount = amount - %s WHERE id = %s", (amount, source))
                cursor.execute("INSERT INTO transfers (amount) VALUES (%s)", (amount,))
                cursor.execute("UPDATE z_bank SET amount = amount + %s WHERE id = %s", (amount, target))
                connection.commit()
                counter.add()
        except BaseException as err:  # noqa: BLE001 - handed to the test
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
