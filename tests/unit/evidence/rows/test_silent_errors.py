# SPDX-License-Identifier: Apache-2.0
"""Errors about rows stand in logs of agent and center: none says what a cell or a key holds."""

from collections.abc import Callable

import pytest

from center.registry.validity import judge_pages
from evidence.errors import EvidenceError
from evidence.rows.commit import commit_lines
from evidence.rows.line import KeySpec, check_order, parse_line
from evidence.rows.order import check_ascends
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind

CELL = b"SECRET"
TEXT = KeySpec((0,), (Kind.TEXT,))
INT = KeySpec((0,), (Kind.INT,))
SCHEMA = Schema("t", (Column("a", Kind.TEXT, False, "text"),), (), ())


def ascend(block: bytes, spec: KeySpec) -> None:
    check_ascends(spec, block, commit_lines(bytes(32), block).ends)


@pytest.mark.parametrize(
    "act",
    [
        lambda: check_order(TEXT, CELL, CELL),
        lambda: check_order(TEXT, CELL + b"2", CELL + b"1"),
        lambda: INT.order_of(CELL),
        lambda: TEXT.order_of(CELL + b"\\q"),
        lambda: TEXT.order_of(CELL + b"\x08"),
        lambda: KeySpec((0, 1), (Kind.TEXT, Kind.TEXT)).order_of(CELL + b"\t\\N"),
        lambda: parse_line(CELL + b"\\q", SCHEMA),
        lambda: parse_line(CELL + b"\x08", SCHEMA),
        lambda: ascend(CELL + b"2\n" + CELL + b"1\n", TEXT),
        lambda: ascend(CELL + b"\n1\n", INT),
    ],
)
def test_no_error_about_a_row_says_what_is_in_it(act: Callable[[], object]) -> None:
    with pytest.raises(EvidenceError) as caught:
        act()
    assert "SECRET" not in str(caught.value)


def test_no_verdict_about_a_page_says_what_is_in_it() -> None:
    for spec in (TEXT, INT):
        (verdict,) = judge_pages([CELL + b"2\n" + CELL + b"1"], spec, bytes(32), None)
        assert verdict.fact is None
        assert "SECRET" not in verdict.reason
