# SPDX-License-Identifier: Apache-2.0
"""Notes of a group: two forms, each with one spelling."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evidence.errors import FormatError
from evidence.manifest.group import GroupId, GroupLack, GroupView, parse_group_note

BEGAN = datetime(2026, 11, 22, 1, tzinfo=UTC)
GROUP = GroupId("nightly", BEGAN)
VIEW = GroupView(
    GROUP, 2, 3, BEGAN + timedelta(microseconds=5), BEGAN + timedelta(seconds=1), timedelta(seconds=1, microseconds=7)
)
LACK = GroupLack(GROUP, "lis", "JS-2102")
VIEW_NOTE = (
    "group nightly@2026-11-22T01:00:00.000000Z 2/3 view 2026-11-22T01:00:00.000005Z 2026-11-22T01:00:01.000000Z"
    " spread 1.000007"
)
LACK_NOTE = "group nightly@2026-11-22T01:00:00.000000Z without lis JS-2102"


def test_notes_are_written_as_the_authority_says_and_read_back() -> None:
    assert (VIEW.encode(), LACK.encode()) == (VIEW_NOTE, LACK_NOTE)
    assert parse_group_note(VIEW_NOTE) == VIEW
    assert parse_group_note(LACK_NOTE) == LACK


@pytest.mark.parametrize("note", ["", "group", "grouped by ward", "a group of tables", "read from a standby"])
def test_other_notes_are_none_of_a_group(note: str) -> None:
    assert parse_group_note(note) is None


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (VIEW_NOTE, VIEW_NOTE.replace("2/3", "02/3")),
        (VIEW_NOTE, VIEW_NOTE.replace("2/3", "4/3")),
        (VIEW_NOTE, VIEW_NOTE.replace("2/3", "0/3")),
        (VIEW_NOTE, VIEW_NOTE.replace("2/3", "2/65")),
        (VIEW_NOTE, VIEW_NOTE.replace("1.000007", "01.000007")),
        (VIEW_NOTE, VIEW_NOTE.replace("1.000007", "1.7")),
        (VIEW_NOTE, VIEW_NOTE.replace("1.000007", "0.000007")),
        (VIEW_NOTE, VIEW_NOTE.replace("01:00:00.000005Z", "01:00:02.000000Z")),
        (VIEW_NOTE, VIEW_NOTE.replace("nightly", "night ly")),
        (VIEW_NOTE, VIEW_NOTE + " "),
        (VIEW_NOTE, VIEW_NOTE + "\n"),
        (VIEW_NOTE, VIEW_NOTE.replace(" view", "  view")),
        (VIEW_NOTE, VIEW_NOTE.replace("2/3", "２/3")),
        (LACK_NOTE, LACK_NOTE.replace("JS-2102", "JS-21")),
        (LACK_NOTE, LACK_NOTE.replace("lis", "l@s")),
        (LACK_NOTE, LACK_NOTE.replace(".000000Z", "Z")),
    ],
)
def test_note_that_begins_as_a_groups_and_is_not_in_its_one_form_is_refused(good: str, bad: str) -> None:
    assert bad != good
    with pytest.raises(FormatError):
        parse_group_note(bad)


def test_note_cut_anywhere_is_refused_or_none_of_a_group() -> None:
    for note in (VIEW_NOTE, LACK_NOTE):
        for end in range(len("group "), len(note)):
            with pytest.raises(FormatError):
                parse_group_note(note[:end])


def test_view_outside_of_the_groups_span_cannot_be_made() -> None:
    for change in ({"opening": BEGAN - timedelta(seconds=1)}, {"spread": timedelta(0)}, {"place": 4}):
        with pytest.raises(FormatError):
            replace(VIEW, **change)  # type: ignore[arg-type]  # the members differ in type
