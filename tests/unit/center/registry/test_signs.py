# SPDX-License-Identifier: Apache-2.0
"""Signs of life: kept through a restart, made anew when damaged, never in the way."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from center.errors import StoreError
from center.registry.signs import WRITTEN_EVERY, Signs
from evidence.wire.heartbeat import Heartbeat, SourceBeat

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
BEAT = Heartbeat(NOW - timedelta(seconds=30), "jinsuo test", 1 << 30, False, None, (SourceBeat("his"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signs.sqlite"


@pytest.fixture
def signs(path: Path) -> Iterator[Signs]:
    opened = Signs(path)
    yield opened
    opened.close()


def test_signs_and_heartbeats_are_there_after_a_restart(signs: Signs, path: Path) -> None:
    signs.listen(NOW)
    signs.see("X013", NOW)
    signs.hear("X013", BEAT, NOW)
    again = Signs(path)
    assert again.last_seen() == {"X013": NOW}
    assert again.heartbeats()["X013"].heartbeat == BEAT
    assert again.heartbeats()["X013"].clock_error == timedelta(seconds=-30)
    assert again.listening_since() == NOW
    again.close()


def test_a_newer_heartbeat_takes_the_place_of_the_one_before(signs: Signs) -> None:
    signs.hear("X013", BEAT, NOW)
    newer = replace(BEAT, clock=NOW, sources=())
    signs.hear("X013", newer, NOW + timedelta(minutes=15))
    assert signs.heartbeats()["X013"].heartbeat == newer
    assert len(signs.heartbeats()) == 1


def test_calls_within_a_minute_are_written_once(signs: Signs) -> None:
    for second in range(120):
        signs.see("X013", NOW + timedelta(seconds=second))
    assert signs.last_seen() == {"X013": NOW + WRITTEN_EVERY}


def test_a_clock_that_was_set_back_is_written_at_once(signs: Signs) -> None:
    signs.see("X013", NOW)
    signs.see("X013", NOW - timedelta(days=1))
    assert signs.last_seen() == {"X013": NOW - timedelta(days=1)}


def test_a_damaged_file_is_made_anew(path: Path) -> None:
    path.write_bytes(b"no database at all, " * 100)
    signs = Signs(path)
    assert signs.last_seen() == {}
    signs.see("X013", NOW)
    assert signs.last_seen() == {"X013": NOW}
    signs.close()


def test_a_heartbeat_of_another_version_is_left_out(signs: Signs, path: Path) -> None:
    signs.hear("X013", BEAT, NOW)
    signs.hear("X014", BEAT, NOW)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE heartbeat SET body = ? WHERE unit = 'X013'", (b'{"format":"jinsuo/heartbeat@v9"}',))
    db.close()
    assert set(signs.heartbeats()) == {"X014"}


def test_a_sign_that_cannot_be_written_holds_nothing_up(signs: Signs, path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE seen")
    db.close()
    signs.see("X013", NOW)
    with pytest.raises(StoreError, match="cannot be read or written"):
        signs.last_seen()


def test_a_file_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        Signs(tmp_path / "nowhere" / "signs.sqlite")
