# SPDX-License-Identifier: Apache-2.0
"""Names of one folder come in the order of their bytes, whether they fit into memory or not."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.collectors.files.names import sort_names
from agent.errors import SpoolError

# What a name may hold: any byte but `/` and NUL. Those that a line escapes are drawn often.
BYTES = st.sampled_from(b"\t\n\r\\\x08\x0b\x0cNabt.-0@:\x01\x7f\xff\xe7") | st.integers(1, 255).filter(
    lambda b: b != 0x2F
)
NAMES = st.lists(st.lists(BYTES, min_size=1, max_size=12).map(bytes), unique=True, max_size=200)


@given(NAMES, st.integers(1, 2000))
@settings(max_examples=200, deadline=None)
def test_order_is_that_of_the_bytes_wherever_memory_ends(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes], most_bytes: int
) -> None:
    workspace = tmp_path_factory.getbasetemp()
    assert list(sort_names(iter(names), workspace, most_bytes)) == sorted(names)
    assert list(sort_names(iter(names), None, most_bytes)) == sorted(names)


def test_names_that_look_like_lines_of_ours_come_back_as_they_are(tmp_path: Path) -> None:
    names = [
        b"\\N",
        b"\\@sha256:" + b"0" * 64 + b":70000",
        b"a\\nb",
        b"a\nb",
        b"\\\\",
        b"i:\\@sha256:" + b"0" * 64 + b":1",
    ]
    assert list(sort_names(iter(names), tmp_path, 1)) == sorted(names)


def test_memory_does_not_grow_with_the_names(tmp_path: Path) -> None:
    count = 40_000

    def names() -> Iterator[bytes]:
        # 7919 has no divisor with it: each number once, in an order that no sort likes.
        yield from (b"%0200d" % (i * 7919 % count) for i in range(count))

    tracemalloc.start()
    try:
        found = sum(1 for _ in sort_names(names(), tmp_path, 1 << 17))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == count
    # Held, they take 9.6 MB; blocks of the sort are of 1 MiB.
    assert peak < 5 << 20
    assert list(tmp_path.iterdir()) == [], "files without a name leave nothing behind"


def test_nothing_is_left_of_names_that_are_not_taken(tmp_path: Path) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("no list of open files here")
    before = len(list(open_files.iterdir()))
    # More than one block of the sort.
    names = sort_names((b"%0200d" % i for i in range(10_000, 0, -1)), tmp_path, 1 << 16)
    assert next(names) == b"%0200d" % 1
    assert len(list(open_files.iterdir())) > before
    names.close()
    assert len(list(open_files.iterdir())) == before


def test_full_workspace_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError):
        list(sort_names((b"%07d" % i for i in range(10_000, 0, -1)), tmp_path / "file", 1 << 10))
