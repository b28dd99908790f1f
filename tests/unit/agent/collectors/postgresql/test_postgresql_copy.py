# SPDX-License-Identifier: Apache-2.0
"""The stream of a COPY: whole lines, no NULLs at their ends, whatever the pieces in which it comes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.postgresql.copy import _Sink, strip_nulls
from evidence.rows.line import encode_line

_cells = st.one_of(st.none(), st.binary(max_size=4), st.sampled_from([b"\\N", b"N", b"\t", b"\n", b""]))


def _as_copy_prints(row: list[bytes | None]) -> bytes:
    return b"\t".join(encode_line([cell]) for cell in row) + b"\n"


@given(st.lists(st.lists(_cells, min_size=1, max_size=6), max_size=20))
def test_copy_lines_without_their_last_nulls_are_canonical(rows: list[list[bytes | None]]) -> None:
    assert strip_nulls(b"".join(map(_as_copy_prints, rows))) == b"".join(encode_line(row) + b"\n" for row in rows)


def test_any_number_of_last_nulls_is_taken() -> None:
    for count in (*range(70), 1599):
        assert strip_nulls(b"1" + b"\t\\N" * count + b"\n" + b"\\N" + b"\t\\N" * count + b"\n") == b"1\n\\N\n"


@given(st.binary(max_size=60), st.lists(st.integers(1, 9), min_size=1))
def test_pieces_of_any_size_become_blocks_of_whole_lines(data: bytes, sizes: list[int]) -> None:
    data = data.replace(b"x", b"\n") + b"\n"
    blocks: list[bytes] = []
    sink = _Sink(blocks.append)
    at = 0
    for i in range(len(data)):
        size = sizes[i % len(sizes)]
        sink.write(memoryview(data)[at : at + size])
        at += size
    sink.finish()
    assert b"".join(blocks) == data
    assert all(re.fullmatch(rb"(?s).*\n", block) for block in blocks)
