# SPDX-License-Identifier: Apache-2.0
"""Which tables are wanted and what they are called, whatever the database."""

import pytest

from agent.collectors.naming import ALL_TABLES, TableChoice


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (ALL_TABLES, None),
        (TableChoice(include=("his.*",)), None),
        (TableChoice(include=("lis.*",)), "not among the tables that the settings include"),
        (TableChoice(exclude=("*.visit",)), "excluded by the settings (*.visit)"),
        (TableChoice(include=("his.visit",), exclude=("his.*",)), "excluded by the settings (his.*)"),
        (TableChoice(include=("HIS.*",)), "not among the tables that the settings include"),
    ],
)
def test_what_is_excluded_is_left_out_though_included_and_nothing_included_means_all(
    choice: TableChoice, reason: str | None
) -> None:
    assert choice.exclusion_of("his.visit") == reason


def test_what_is_merely_not_included_is_not_excluded() -> None:
    assert not TableChoice(include=("lis.*",)).is_excluded("his.visit")
    assert TableChoice(exclude=("his.*",)).is_excluded("his.visit")


def test_a_table_without_a_name_of_the_settings_keeps_its_own() -> None:
    choice = TableChoice(as_names={"his.visit": "visits"})
    assert [choice.logical_name(name) for name in ("his.visit", "his.bed")] == ["visits", "his.bed"]
