# SPDX-License-Identifier: Apache-2.0
"""The center's sorting, bounded in memory."""

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from center.sorting import sort_lines


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b""))), st.integers(1, 2000))
def test_lines_come_out_sorted_whatever_the_memory(lines: list[bytes], memory: int) -> None:
    assert list(sort_lines(lines, bytes, memory_bytes=memory)) == sorted(lines)


def test_more_runs_than_can_be_merged_at_once_are_merged_in_steps(tmp_path: Path) -> None:
    lines = [b"%d" % (i * 7919 % 1000) for i in range(1000)]
    assert list(sort_lines(lines, int, folder=tmp_path, memory_bytes=3000, fan_in=3)) == sorted(lines, key=int)
    assert list(tmp_path.iterdir()) == []


def test_equal_keys_keep_their_order(tmp_path: Path) -> None:
    lines = [b"%d %d" % (i % 3, i) for i in range(300)]
    found = list(sort_lines(lines, lambda line: line[:1], folder=tmp_path, memory_bytes=5000))
    assert found == sorted(lines, key=lambda line: line[:1])


def test_the_runs_are_gone_when_the_reader_gives_up(tmp_path: Path) -> None:
    found: Iterator[bytes] = sort_lines([b"%d" % i for i in range(1000)], int, folder=tmp_path, memory_bytes=5000)
    next(found)
    assert list(tmp_path.iterdir())
    found.close()  # type: ignore[attr-defined]  # it is a generator
    assert list(tmp_path.iterdir()) == []
