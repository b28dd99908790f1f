# SPDX-License-Identifier: Apache-2.0
"""The compiled twin: equal to the reference in registers of every width, and safe with buffers that lie."""

import importlib
import sys
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import kernel as room
from evidence.digest import tree_head
from evidence.kernel import Kernel, find_kernel
from evidence.rows.commit import commit_lines
from evidence.rows.line import encode_rows, join_rows

K = bytes(range(32))


@pytest.fixture(params=[4, 8, 16])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    found = find_kernel()
    assert found is not None, "script/test installs a C compiler: the extension must have been built"
    if found.use_lanes(request.param) != request.param:
        pytest.skip(f"this processor has no registers of {request.param} lanes")
    yield found
    found.use_lanes(16)


def test_lines_of_every_length_in_every_company_hash_as_by_hashlib(kernel: Kernel) -> None:
    # Lengths run through all places where a block of SHA-256 or its padding ends, beside short and long neighbours.
    for longest in (0, 1, 63, 300, 5000):
        lines = [b"%c" % (65 + n % 26) * n for n in range(260)] + [b"x" * longest, b""] * 20
        block = b"\n".join(lines) + b"\n"
        reference = commit_lines(K, block, compiled=False)
        ends, hashes = kernel.commit_lines(K, block)
        assert hashes == reference.hashes
        assert list(memoryview(ends).cast("q")) == list(reference.ends)


def test_trees_of_every_size_fold_as_the_reference_folds_them(kernel: Kernel) -> None:
    hashes = kernel.commit_lines(K, b"".join(b"%d\n" % i for i in range(2000)))[1]
    counts = array("q", [*range(1, 60), 1, 1, 128, 5])
    heads, start = [], 0
    for count in counts:
        heads.append(tree_head([hashes[32 * i : 32 * i + 32] for i in range(start, start + count)]))
        start += count
    assert kernel.tree_heads(hashes, counts) == b"".join(heads)


def test_no_rows_are_no_leaves(kernel: Kernel) -> None:
    assert kernel.commit_lines(K, b"") == (b"", b"")
    assert kernel.tree_heads(b"", array("q")) == b""
    assert kernel.encode_rows([]) == b""


@settings(deadline=None)
@given(st.lists(st.lists(st.none() | st.binary(max_size=40), min_size=1, max_size=6), max_size=30))
def test_rows_are_written_as_the_reference_writes_them(rows: list[list[bytes | None]]) -> None:
    assert encode_rows(rows) == join_rows(rows)


def test_every_byte_is_escaped_as_the_reference_escapes_it() -> None:
    rows = [(bytes((byte,)) * 3, b"x" + bytes((byte,)) + b"y" * 40, None) for byte in range(256)]
    assert encode_rows(rows) == join_rows(rows)


@pytest.mark.parametrize(
    "call",
    [
        lambda k: k.commit_lines(K[:31], b"a\n"),
        lambda k: k.commit_lines(K, b"a\nb"),
        lambda k: k.tree_heads(bytes(31), array("q", [1])),
        lambda k: k.tree_heads(bytes(64), array("q", [3])),
        lambda k: k.tree_heads(bytes(64), array("q", [0])),
        lambda k: k.tree_heads(bytes(64), array("q", [-1])),
        lambda k: k.tree_heads(bytes(64), array("q", [1, 2**62])),
        lambda k: k.tree_heads(bytes(64), array("b", [1])),
        lambda k: k.find_page_ends(array("q", [2]), bytes(64), 0),
        lambda k: k.find_page_ends(array("q", [2, 2]), bytes(64), 0),
        lambda k: k.judge_page_ends(array("q", [2]), bytes(32), array("q", [2])),
        lambda k: k.judge_page_ends(array("q", [2]), bytes(32), array("q", [0])),
        lambda k: k.find_disorder(b"a\nb\n", array("q", [2, 9]), b"", b""),
        lambda k: k.find_disorder(b"a\nb\n", array("q", [2, 3]), b"", b""),
        lambda k: k.find_disorder(b"a\n", array("q", [2]), bytes(2), bytes(1)),
        lambda k: k.find_disorder(b"a\n", array("q", [2]), bytes(17), bytes(17)),
        lambda k: k.encode_rows([[]]),
    ],
)
def test_sizes_that_do_not_fit_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        call(find_kernel())  # type: ignore[operator]  # a lambda of the list above


@pytest.mark.parametrize("row", [[1], ["text"], 5, [bytearray(b"x")]])
def test_what_is_no_row_is_refused(row: object) -> None:
    with pytest.raises(TypeError):
        encode_rows([row])  # type: ignore[list-item]  # that is the point


def test_without_the_extension_the_reference_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    block = b"1\ta\n2\tb\n"
    compiled = commit_lines(K, block)
    monkeypatch.setitem(sys.modules, "evidence.kernel._kernel", None)
    monkeypatch.delattr(room, "_kernel", raising=False)
    find_kernel.cache_clear()
    try:
        assert find_kernel() is None
        assert commit_lines(K, block).hashes == compiled.hashes
        assert encode_rows([(b"a", None)]) == b"a\n"
    finally:
        monkeypatch.undo()
        find_kernel.cache_clear()
    assert find_kernel() is not None


def test_a_kernel_that_hashes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = importlib.import_module("evidence.kernel._kernel")
    honest = compiled.commit_lines

    def lie(key: bytes, block: bytes) -> tuple[bytes, bytes]:
        ends, hashes = honest(key, block)
        return ends, hashes[:-1] + bytes((hashes[-1] ^ 1,))

    monkeypatch.setattr(compiled, "commit_lines", lie)
    find_kernel.cache_clear()
    try:
        assert find_kernel() is None
    finally:
        monkeypatch.undo()
        find_kernel.cache_clear()
