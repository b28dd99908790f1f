# SPDX-License-Identifier: Apache-2.0
"""The external sort: the same lines, in the canonical order, in bounded memory, leaving nothing behind."""

import os
import random
import resource
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import sorting as sort
from agent.errors import SpoolError
from agent.sorting import find_key_function, sort_lines
from evidence.errors import FormatError, TreeError
from evidence.rows.line import KeySpec, encode_line
from evidence.rows.values import Kind

KEYLESS = KeySpec((), ())
INT = KeySpec((0,), (Kind.INT,))
TEXT = KeySpec((1,), (Kind.TEXT,))
PAIR = KeySpec((1, 0), (Kind.TEXT, Kind.INT))
DECIMAL = KeySpec((2,), (Kind.DECIMAL,))
SPECS = (KEYLESS, INT, TEXT, PAIR, DECIMAL)

ROWS = st.lists(
    st.tuples(
        st.integers(-(10**20), 10**20).map(lambda n: b"%d" % n),
        st.binary(max_size=6) | st.text("ab\t\\\n\0é", max_size=4).map(str.encode),
        st.sampled_from([b"NaN", b"-Infinity", b"Infinity", b"0", b"1.50", b"1.5", b"-0.01", b"10", b"9"]),
    ),
    max_size=60,
)


def blocks_of(lines: list[bytes], size: int = 7) -> Iterator[bytes]:
    for i in range(0, len(lines), size):
        yield b"".join(line + b"\n" for line in lines[i : i + size])


def lines_of(blocks: Iterator[bytes]) -> list[bytes]:
    joined = b"".join(blocks)
    assert not joined or joined.endswith(b"\n")
    return joined.split(b"\n")[:-1]


def canonical(lines: list[bytes], spec: KeySpec) -> list[bytes]:
    return sorted(lines, key=lambda line: spec.order_of(spec.key_of(line)))


@given(ROWS, st.sampled_from(SPECS))
@settings(max_examples=200, deadline=None)
def test_sorts_as_the_order_of_keys_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[bytes, ...]], spec: KeySpec
) -> None:
    lines = [encode_line(row) for row in rows]
    result = lines_of(sort_lines(blocks_of(lines), spec, tmp_path_factory.getbasetemp() / "sort"))
    assert sorted(result) == sorted(lines)
    keys = [spec.order_of(spec.key_of(line)) for line in result]
    assert keys == sorted(keys)


@given(ROWS, st.sampled_from(SPECS))
@settings(deadline=None)
def test_quick_keys_compare_as_the_keys_of_the_design(rows: list[tuple[bytes, ...]], spec: KeySpec) -> None:
    key = find_key_function(spec)
    for a in map(encode_line, rows[:8]):
        for b in map(encode_line, rows[:8]):
            assert (key(a) < key(b)) == (spec.order_of(spec.key_of(a)) < spec.order_of(spec.key_of(b)))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
@pytest.mark.parametrize("shape", ["shuffled", "ascending", "descending", "nearly"])
def test_runs_on_disk_in_several_levels_give_the_same_order(tmp_path: Path, spec: KeySpec, shape: str) -> None:
    rng = random.Random(11)
    rows = [(b"%d" % i, b"t%07d\\n" % (i % 5000), b"%d.5" % i) for i in range(12_000)]
    lines = canonical([encode_line(row) for row in rows], spec)
    if shape == "shuffled":
        rng.shuffle(lines)
    elif shape == "descending":
        lines.reverse()
    elif shape == "nearly":
        for i in range(0, len(lines) - 1, 1000):
            lines[i], lines[i + 1] = lines[i + 1], lines[i]
    # 12,000 lines in chunks of 32 KiB are over thirty-two runs: two levels of merging.
    result = lines_of(sort_lines(blocks_of(lines, 50), spec, tmp_path, memory_bytes=1))
    assert sorted(result) == sorted(lines)
    if spec is TEXT:  # its keys are not unique: equal ones may stand in any order
        assert [spec.key_of(line) for line in result] == [spec.key_of(line) for line in canonical(lines, spec)]
    else:
        assert result == canonical(lines, spec)


def test_equal_lines_come_out_as_often_as_they_came_in(tmp_path: Path) -> None:
    lines = [b"b", b"", b"a", b"b", b"", b"b"] * 5000
    assert lines_of(sort_lines(blocks_of(lines), KEYLESS, tmp_path, 1)) == sorted(lines)


def test_no_lines_give_no_blocks(tmp_path: Path) -> None:
    assert list(sort_lines(iter(()), KEYLESS, tmp_path)) == []


def test_lines_that_fit_into_memory_touch_no_disk(tmp_path: Path) -> None:
    folder = tmp_path / "never made"
    assert lines_of(sort_lines(blocks_of([b"2", b"1"]), INT, folder)) == [b"1", b"2"]
    assert not folder.exists()


def test_lines_in_order_make_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[sort._Run] = []

    class Counting(sort._Run):
        def __init__(self, *args: object) -> None:
            made.append(self)
            super().__init__(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sort, "_Run", Counting)
    lines = [b"%d" % i for i in range(20_000)]
    assert lines_of(sort_lines(blocks_of(lines), INT, tmp_path, 1)) == lines
    assert len(made) == 1


@pytest.mark.parametrize("bad", [b"\\N\tx", b"\\@sha256:" + b"0" * 64 + b":70000\tx"])
@pytest.mark.parametrize("spec", [INT, KeySpec((0,), (Kind.TEXT,)), KeySpec((0, 1), (Kind.TEXT, Kind.TEXT))])
def test_key_cell_that_is_null_or_a_token_is_refused(tmp_path: Path, bad: bytes, spec: KeySpec) -> None:
    with pytest.raises(TreeError):
        list(sort_lines(blocks_of([b"1\ta", bad, b"2\tb"]), spec, tmp_path))


def test_trailing_null_in_the_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TreeError):
        list(sort_lines(blocks_of([b"1\ta", b"2"]), TEXT, tmp_path))


def test_key_that_is_no_integer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        list(sort_lines(blocks_of([b"1", b"x"]), INT, tmp_path))


def test_nothing_is_left_behind_even_while_it_sorts(tmp_path: Path) -> None:
    blocks = sort_lines(blocks_of([b"%d" % (i * 7919 % 20_011) for i in range(20_011)]), INT, tmp_path, 1)
    next(blocks)
    if sys.platform == "linux":
        assert list(tmp_path.iterdir()) == []
    blocks.close()  # type: ignore[attr-defined]  # a generator
    assert list(tmp_path.iterdir()) == []


def test_error_of_the_reader_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def break_off() -> Iterator[bytes]:
        yield from blocks_of([b"%d" % (9**9 - i) for i in range(20_000)])
        raise ConnectionError("the server is gone")

    with pytest.raises(ConnectionError):
        list(sort_lines(break_off(), INT, tmp_path, 1))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_used_is_a_spool_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(SpoolError) as caught:
        list(sort_lines(blocks_of([b"%d" % -i for i in range(20_000)]), INT, file, 1))
    assert str(file) in str(caught.value)
    assert caught.value.hint


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files there")
def test_full_disk_is_a_spool_error(tmp_path: Path) -> None:
    lines = [os.urandom(40).hex().encode() for _ in range(20_000)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(SpoolError):
            list(sort_lines(blocks_of(lines, 500), KEYLESS, tmp_path, 1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_memory_stays_within_its_bound(tmp_path: Path) -> None:
    def many() -> Iterator[bytes]:
        for i in range(40):
            yield b"".join(b"%d\t%s\n" % (i * 1000 + j * 7919 % 100_003, b"x" * 120) for j in range(3000))

    limit = 4 << 20
    tracemalloc.start()
    try:
        size = sum(len(block) for block in sort_lines(many(), INT, tmp_path, limit))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 3 * limit
    assert peak < limit + (3 << 20)  # the block that goes in and the one that comes out are the callers'
