# SPDX-License-Identifier: Apache-2.0
"""Names of tables: one spelling for each list of identifiers, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import FormatError
from evidence.rows.names import encode_name, parse_name

PARTS = st.lists(st.text("ab.\\@病 '", max_size=4) | st.text(max_size=4), min_size=1, max_size=3)


@given(PARTS)
def test_name_leads_back_to_its_identifiers(parts: list[str]) -> None:
    assert parse_name(encode_name(parts)) == parts


@given(st.text("a.\\@", max_size=6))
def test_only_one_spelling_is_taken(name: str) -> None:
    try:
        parts = parse_name(name)
    except FormatError:
        return
    assert encode_name(parts) == name


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["public", "visit"], "public.visit"),
        (["a.b", "c\\d"], "a\\.b.c\\\\d"),
        (["@files"], "\\@files"),
        (["a", "@b"], "a.@b"),
        (["\\@a"], "\\\\@a"),
        (["", ""], "."),
    ],
)
def test_spelling(parts: list[str], name: str) -> None:
    assert encode_name(parts) == name


@pytest.mark.parametrize("name", ["@files", "@", "a\\", "a\\b", "\\a", "a.\\@b", "\\@a\\@"])
def test_other_spellings_and_our_own_names_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        parse_name(name)


def test_name_that_is_not_utf8_asks_for_as() -> None:
    with pytest.raises(FormatError, match="as:"):
        encode_name(["a\udcff"])


def test_no_identifiers_have_no_name() -> None:
    with pytest.raises(FormatError):
        encode_name([])
