# SPDX-License-Identifier: Apache-2.0
"""The operator's pause: durable, over by itself, and in force when nobody can read it."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import PausedError
from agent.pausing import PAUSE_NAME, Pause, PauseFile
from agent.snapshot.supervised import check_pause
from tests.fakes.agent import NOW

HOUR = timedelta(hours=1)


def test_pause_without_an_end_lasts_until_it_is_taken_back(tmp_path: Path) -> None:
    pauses = PauseFile(tmp_path)
    assert pauses.find(NOW) is None
    pauses.set(Pause(NOW, None))
    assert PauseFile(tmp_path).find(NOW + 10_000 * HOUR) == Pause(NOW, None)
    pauses.clear()
    pauses.clear()
    assert pauses.find(NOW) is None


def test_pause_is_over_when_its_end_has_come(tmp_path: Path) -> None:
    pauses = PauseFile(tmp_path)
    pauses.set(Pause(NOW, NOW + HOUR))
    assert pauses.find(NOW + HOUR - timedelta(microseconds=1)) == Pause(NOW, NOW + HOUR)
    assert pauses.find(NOW + HOUR) is None


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b"null", b"\xff", b'{"since": 1, "until": 2}', b'{"since": "2025-07-01T00:00:00", "until": null}'],
)
def test_pause_that_cannot_be_read_is_in_force_without_end(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / PAUSE_NAME).write_bytes(damage)
    pause = PauseFile(tmp_path).find(NOW)
    assert pause is not None
    assert pause.until is None
    assert pause == PauseFile(tmp_path).find(NOW)


def test_force_overrules_the_pause_that_is_there_and_no_later_one(tmp_path: Path) -> None:
    pauses = PauseFile(tmp_path)
    pauses.set(Pause(NOW, None))
    with pytest.raises(PausedError, match="until it is resumed"):
        check_pause(tmp_path, lambda: NOW, False)()
    check = check_pause(tmp_path, lambda: NOW, True)
    check()
    pauses.set(Pause(NOW + HOUR, NOW + 3 * HOUR))
    with pytest.raises(PausedError, match="is paused until 20"):
        check()
