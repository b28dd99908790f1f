# SPDX-License-Identifier: Apache-2.0
"""The ledger's lock: compare-and-swap of the newest checkpoint, one writer at a time."""

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from center.errors import StoreError
from center.ledger.lock import KEPT_CHECKPOINTS, Hold, HoldKind, LedgerLock, LostSwapError, Standing, WriterLock

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[LedgerLock]:
    LedgerLock.create(tmp_path / "ledger.sqlite", b"empty")
    lock = LedgerLock(tmp_path / "ledger.sqlite")
    yield lock
    lock.close()


def test_new_ledger_stands_at_zero(lock: LedgerLock) -> None:
    assert lock.standing() == Standing(b"empty", 0, 0)
    assert lock.staged(0) == []
    assert lock.hold() is None


def test_every_commit_is_synced(lock: LedgerLock, tmp_path: Path) -> None:
    """Source: SQLite's PRAGMA synchronous: 2 is FULL, which in WAL mode syncs the WAL at each commit."""
    connection = lock._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_ledger_is_never_made_over_another(lock: LedgerLock, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="already"):
        LedgerLock.create(tmp_path / "ledger.sqlite", b"other")
    assert lock.standing().note == b"empty"


def test_swap_replaces_only_what_the_caller_knows(lock: LedgerLock) -> None:
    lock.swap(b"empty", b"one", 1)
    with pytest.raises(LostSwapError, match="another writer"):
        lock.swap(b"empty", b"other one", 1)
    assert lock.standing() == Standing(b"one", 1, 0)


def test_swap_never_goes_back(lock: LedgerLock) -> None:
    lock.swap(b"empty", b"five", 5)
    for size in (0, 4, 5):
        with pytest.raises(LostSwapError):
            lock.swap(b"five", b"less", size)


def test_of_two_that_swap_at_once_one_wins(lock: LedgerLock, tmp_path: Path) -> None:
    results: list[str] = []

    def swap(name: str) -> None:
        mine = LedgerLock(tmp_path / "ledger.sqlite")
        try:
            mine.swap(b"empty", name.encode(), 1)
            results.append(name)
        except LostSwapError:
            pass
        finally:
            mine.close()

    threads = [threading.Thread(target=swap, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name.encode() for name in results] == [lock.standing().note]


def test_entries_are_staged_at_the_newest_size_once(lock: LedgerLock) -> None:
    lock.stage(0, [b"a", b"b"], 0)
    assert lock.staged(0) == [b"a", b"b"]
    assert lock.staged(1, 2) == [b"b"]
    with pytest.raises(LostSwapError):
        lock.stage(0, [b"other"], 0)
    with pytest.raises(LostSwapError):
        lock.stage(2, [b"c"], 0)
    lock.swap(b"empty", b"two", 2)
    lock.stage(2, [b"c"], 2)
    assert lock.staged(2) == [b"c"]
    assert lock.standing() == Standing(b"two", 2, 2)


def test_staged_entries_below_the_published_size_are_forgotten(lock: LedgerLock) -> None:
    lock.stage(0, [b"a", b"b"], 0)
    lock.swap(b"empty", b"two", 2)
    lock.stage(2, [b"c"], 1)
    assert lock.staged(1) == [b"b", b"c"]
    with pytest.raises(StoreError, match="lacks staged entries between 0 and 3"):
        lock.staged(0, 3)


def test_adopting_a_tail_drops_what_was_staged_there(lock: LedgerLock) -> None:
    lock.stage(0, [b"mine"], 0)
    with pytest.raises(LostSwapError):
        lock.adopt(b"unknown", b"three", 0, [b"a", b"b", b"c"])
    assert lock.staged(0) == [b"mine"]
    lock.adopt(b"empty", b"three", 0, [b"a", b"b", b"c"])
    assert lock.staged(0) == [b"a", b"b", b"c"]
    assert lock.standing() == Standing(b"three", 3, 0)


def test_cosigned_checkpoints_are_kept_and_others_forgotten_after_a_thousand(lock: LedgerLock) -> None:
    previous = b"empty"
    for size in range(1, KEPT_CHECKPOINTS + 12):
        note = b"n%d" % size
        lock.swap(previous, note, size)
        previous = note
        if size == 5:
            lock.replace_note(5, b"n5", b"n5 cosigned")
            previous = b"n5 cosigned"
    assert lock.find_note(5) == b"n5 cosigned"
    assert lock.find_note(6) is None
    assert lock.find_note(KEPT_CHECKPOINTS + 11) == previous
    assert lock.notes(4, cosigned_only=True, most=10) == [b"n5 cosigned"]
    assert lock.notes(5, cosigned_only=True, most=10) == []
    assert lock.notes(0, cosigned_only=False, most=2) == [b"n1011", b"n1010"]
    assert lock.notes(1008, cosigned_only=False, most=2, oldest_first=True) == [b"n1009", b"n1010"]
    assert len(lock.notes(-1, cosigned_only=False, most=10_000)) == KEPT_CHECKPOINTS + 1


def test_cosigned_newest_checkpoint_is_what_the_next_swap_must_know(lock: LedgerLock) -> None:
    lock.swap(b"empty", b"one", 1)
    lock.replace_note(1, b"one", b"one cosigned")
    with pytest.raises(LostSwapError):
        lock.replace_note(1, b"one", b"one otherwise")
    with pytest.raises(LostSwapError):
        lock.swap(b"one", b"two", 2)
    lock.swap(b"one cosigned", b"two", 2)


def test_furthest_hold_stands_and_a_contradiction_before_all(lock: LedgerLock) -> None:
    for size in (5, 9, 7):
        lock.add_hold(Hold(HoldKind.AHEAD, f"ahead {size}", b"n", size), NOW)
    assert lock.hold() == Hold(HoldKind.AHEAD, "ahead 9", b"n", 9)
    lock.add_hold(Hold(HoldKind.CONTRADICTION, "two", b"n", 3), NOW)
    found = lock.hold()
    assert found is not None
    assert found.kind is HoldKind.CONTRADICTION
    lock.release("looked", NOW)
    assert lock.hold() is None


def test_missing_damaged_or_newer_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(StoreError, match="no ledger") as caught:
        LedgerLock(path)
    assert "init" in caught.value.hint
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        LedgerLock(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StoreError, match="version 2"):
        LedgerLock(path)


def test_creation_that_was_cut_short_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"")
    with pytest.raises(StoreError):
        LedgerLock(path)
    LedgerLock.create(path, b"empty")
    LedgerLock(path).close()


def _take(path: Path, ready: "multiprocessing.synchronize.Event", taken: "multiprocessing.synchronize.Event") -> None:
    ready.set()
    with WriterLock(path):
        taken.set()


def test_writer_lock_excludes_threads_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "writer.lock"
    context = multiprocessing.get_context("spawn")
    ready, taken = context.Event(), context.Event()
    mine = WriterLock(path)
    other = WriterLock(path)
    got: list[str] = []
    thread = threading.Thread(target=lambda: _append_under(other, got))
    process = context.Process(target=_take, args=(path, ready, taken))
    with mine:
        process.start()
        thread.start()
        assert ready.wait(60)
        assert not taken.wait(0.1)
        assert got == []
    thread.join(60)
    assert taken.wait(60)
    process.join(60)
    assert got == ["thread"]
    mine.close()
    other.close()


def _append_under(lock: WriterLock, got: list[str]) -> None:
    with lock:
        got.append("thread")
