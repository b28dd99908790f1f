# SPDX-License-Identifier: Apache-2.0
"""What a person reads of two cells tells them apart, and NULL from every text."""

import io

import pytest

from center.cli.history import _show_version
from center.cli.words import show_cell, show_change
from center.compare import Reading, Row, Version
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.language import Language
from terminal.printer import Printer
from tests.fakes.snapshot import DAY_ONE


def test_null_is_no_text() -> None:
    shown = [show_cell(text) for text in (None, "NULL", '"NULL"', "null", "")]
    assert shown == ["NULL", '"NULL"', '""NULL""', "null", ""]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "NULL"),
        (None, ""),
        ("a" * 100 + "1", "a" * 100 + "2"),
        ("a" * 100, "a" * 101),
        ("line\nend", "line\\nend"),
        ("blank", "blank "),
        ("\t", "\\t"),
        ('"', '\\"'),
    ],
)
def test_a_change_is_to_be_seen(before: str | None, after: str | None) -> None:
    left, right = show_change(before, after).split(" → ")
    assert left.strip() != right.strip()
    assert max(len(left), len(right)) < 140


def test_the_part_that_differs_is_shown_with_what_stands_before_it() -> None:
    assert show_change("甲" * 90 + "旧的", "甲" * 90 + "新的") == f'…"{"甲" * 20}旧的" → …"{"甲" * 20}新的"'
    assert show_change("张三", "李四") == "张三 → 李四"


def test_history_shows_the_columns_that_a_version_has_no_more() -> None:
    wide = Schema("patient", (Column("id", Kind.INT, False, "int"), Column("phone", Kind.TEXT, True, "text")), ("id",))
    narrow = Schema("patient", wide.columns[:1], ("id",))
    first, second = (Reading(n, (DAY_ONE, DAY_ONE)) for n in (1, 2))
    before = Version(Row.read(wide, b"7\t139"), None, first, first)
    printed = io.StringIO()
    after = Version(Row.read(narrow, b"7"), first, second, second)
    _show_version(after, before, "his", Printer(Language.EN, False, printed))
    assert "  phone: 139 → (no such column)\n" in printed.getvalue()
    printed.truncate(0)
    _show_version(before, after, "his", Printer(Language.ZH, False, printed))
    assert "  phone: （没有这一列） → 139\n" in printed.getvalue()
