# SPDX-License-Identifier: Apache-2.0
"""What travels in bags, in the journal's file: a thing that was done once is known as long as it can come up again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.bagged import BagLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def bags(path: Path) -> Iterator[BagLog]:
    with closing(BagLog(path)) as log:
        yield log


def test_a_second_time_is_known_as_long_as_it_can_come_up_again(bags: BagLog, path: Path) -> None:
    assert bags.mark("his", "refused a", {"refused a"})
    for number in range(50):
        live = {"refused a", f"refused {number}"}
        assert bags.mark("his", f"refused {number}", live)
        assert not bags.mark("his", "refused a", live)
        with closing(BagLog(path)) as anew:  # a kill in between
            assert not anew.mark("his", "refused a", live)


def test_marks_of_what_is_over_go_with_the_next_and_those_of_other_sources_stay(bags: BagLog, path: Path) -> None:
    assert bags.mark("lis", "refused x", {"refused x"})
    for number in range(50):
        assert bags.mark("his", f"refused {number}", {f"refused {number}"})
    with closing(sqlite3.connect(path)) as db:
        kept = db.execute("SELECT source, what FROM bag_mark ORDER BY source").fetchall()
    assert kept == [("his", "refused 49"), ("lis", "refused x")]
    assert not bags.mark("lis", "refused x", {"refused x"})
