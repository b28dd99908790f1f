# SPDX-License-Identifier: Apache-2.0
"""Signs of life: kept through a restart, made anew when damaged, never in the way."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from center.errors import StoreError
from center.registry.signs import WRITTEN_EVERY, Listening, Signs
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
    assert again.listening() == Listening(((NOW, NOW),))
    again.close()


def test_a_newer_heartbeat_takes_the_place_of_the_one_before(signs: Signs) -> None:
    signs.hear("X013", BEAT, NOW)
    newer = replace(BEAT, clock=NOW, sources=())
    signs.hear("X013", newer, NOW + timedelta(minutes=15))
    assert signs.heartbeats()["X013"].heartbeat == newer
    assert len(signs.heartbeats()) == 1


def test_what_the_center_has_listened_is_kept_through_its_starts(signs: Signs) -> None:
    hour = timedelta(hours=1)
    assert signs.listening() == Listening()
    signs.keep_listening(NOW)
    assert signs.listening().started is None, "nobody has begun"
    signs.listen(NOW)
    for minute in range(61):
        signs.keep_listening(NOW + timedelta(minutes=minute))
    signs.listen(NOW + 5 * hour)
    signs.keep_listening(NOW + 6 * hour)
    listening = signs.listening()
    assert listening == Listening(((NOW, NOW + hour), (NOW + 5 * hour, NOW + 6 * hour)))
    assert listening.started == NOW + 5 * hour
    assert listening.since(NOW - hour) == 2 * hour
    assert listening.since(NOW + hour / 2) == 1.5 * hour
    assert listening.since(NOW + 3 * hour) == hour
    assert listening.since(NOW + 7 * hour) == timedelta(0)


def test_a_clock_that_was_set_back_makes_no_span_longer_than_it_was(signs: Signs) -> None:
    signs.listen(NOW)
    signs.keep_listening(NOW + timedelta(days=9))
    signs.listen(NOW + timedelta(days=2))
    signs.keep_listening(NOW + timedelta(days=1))
    one = NOW + timedelta(days=1)
    assert signs.listening() == Listening(((NOW, one), (one, one)))


def test_a_center_that_started_while_its_clock_was_ahead_listens_once_it_is_right(signs: Signs) -> None:
    hour = timedelta(hours=1)
    signs.listen(NOW + 9000 * hour)
    signs.keep_listening(NOW + 9000 * hour)
    signs.keep_listening(NOW)
    signs.keep_listening(NOW + 7 * hour)
    assert signs.listening() == Listening(((NOW, NOW + 7 * hour),))


def test_a_call_that_was_noted_while_the_clock_was_ahead_makes_nobody_heard_for_ever(signs: Signs) -> None:
    hour = timedelta(hours=1)
    signs.listen(NOW)
    signs.see("X013", NOW + 9000 * hour)
    signs.see("X014", NOW - hour)
    signs.keep_listening(NOW)
    signs.keep_listening(NOW + 7 * hour)
    assert signs.last_seen() == {"X013": NOW, "X014": NOW - hour}
    assert signs.listening().since(signs.last_seen()["X013"]) == 7 * hour


def test_only_so_many_spans_are_kept(signs: Signs) -> None:
    for day in range(300):
        signs.listen(NOW + timedelta(days=day))
    spans = signs.listening().spans
    assert (len(spans), spans[-1][0]) == (200, NOW + timedelta(days=299))


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
