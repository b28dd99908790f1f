# SPDX-License-Identifier: Apache-2.0
"""From samples to figures, and from figures to advice: what rests on nothing measured is not said."""

import pytest

from agent.collectors.base import TableSize
from agent.finding import Severity
from agent.plan.estimate import order_for_sample
from agent.plan.figures import Line, Question, parse_rate
from agent.snapshot.carrying import ReadPlan
from tests.builders.plans import GIB, MIB, find_advice, make_plan, make_sample, make_surroundings, make_table

HOUR = 3600.0
SLOW = Line(10_000_000, False)


def test_table_read_to_its_end_has_its_own_figures_whatever_the_source_says() -> None:
    plan = make_plan(make_table("a", rows=999_999), samples=(make_sample("a", is_whole=True),))
    assert (plan.content_bytes, plan.seed_bytes, plan.seconds) == (10 * MIB, 4 * MIB, 1.0)


def test_beginning_of_a_table_stands_for_all_its_rows() -> None:
    plan = make_plan(make_table("a", rows=5000), samples=(make_sample("a"),))
    assert (plan.content_bytes, plan.seed_bytes, plan.seconds) == (50 * MIB, 20 * MIB, 5.0)


def test_old_count_of_the_source_cannot_make_a_table_smaller_than_what_was_read() -> None:
    plan = make_plan(make_table("a", rows=10), samples=(make_sample("a"),))
    assert plan.content_bytes == 10 * MIB


def test_known_content_counts_more_than_rows() -> None:
    plan = make_plan(
        make_table("@files"),
        sizes={"@files": TableSize(3, GIB, GIB)},
        samples=(make_sample("@files", rows=0, content_bytes=MIB, packed_bytes=MIB),),
    )
    assert plan.content_bytes == GIB
    assert plan.seconds == 1024.0


def test_table_that_was_not_read_goes_by_its_bytes_on_disk_and_the_rates_of_the_others() -> None:
    plan = make_plan(
        make_table("a", rows=1000), make_table("b"),
        sizes={"a": TableSize(1000, 20 * MIB), "b": TableSize(None, 40 * MIB)},
        samples=(make_sample("a", is_whole=True),),
    )  # fmt: skip
    assert plan.tables[1].content_bytes == 20 * MIB
    assert plan.tables[1].packed_bytes == 8 * MIB
    assert plan.seconds == 3.0
    assert plan.unmeasured == ()


def test_table_of_which_nothing_is_known_is_named_and_the_sums_are_a_least() -> None:
    plan = make_plan(make_table("a"), make_table("b"), samples=(make_sample("a", is_whole=True),))
    assert plan.unmeasured == ("b",)
    assert plan.content_bytes == 10 * MIB
    assert "at least 1.0 s" in str(find_advice(plan, "read").message)


def test_without_a_sample_nothing_is_said_of_time_size_road_or_nights() -> None:
    plan = make_plan(make_table("a", rows=10**9), sizes={"a": TableSize(10**9, GIB)}, samples=(), line=SLOW)
    assert (plan.seconds, plan.content_bytes, plan.seed_bytes, plan.nights) == (None, None, None, None)
    for subject in ("read", "spool", "first snapshot", "nightly"):
        assert find_advice(plan, subject).severity is Severity.NOT_EXAMINED


def test_sample_that_gave_no_row_measures_nothing() -> None:
    empty = make_sample("a", rows=0, content_bytes=0, packed_bytes=0)
    plan = make_plan(make_table("a", rows=10**9), samples=(empty,))
    assert plan.seconds is None


def test_largest_tables_are_read_first_and_those_of_unknown_size_last() -> None:
    tables = [make_table(name) for name in "abcd"]
    sizes = {"a": TableSize(5, None), "b": TableSize(1, 10), "c": TableSize(1, 20)}
    assert [t.schema.name for t in order_for_sample(tables, sizes)] == ["c", "b", "a", "d"]


@pytest.mark.parametrize(
    ("limit_s", "severity"), [(9.0, Severity.FAIL), (19.0, Severity.WARN), (21.0, Severity.OK)]
)  # fmt: skip
def test_read_is_held_against_the_age_that_a_snapshot_may_have(limit_s: float, severity: Severity) -> None:
    plan = make_plan(around=make_surroundings(age_limit_s=limit_s))
    assert plan.seconds == 10.0
    assert find_advice(plan, "read").severity is severity


def test_source_without_a_transaction_has_no_age_to_keep() -> None:
    plan = make_plan(around=make_surroundings(kind="files", age_limit_s=None))
    assert [f for f in plan.advice if f.subject == "read"] == []


def test_first_snapshot_that_the_spool_cannot_hold_until_its_receipt_fails_beforehand() -> None:
    assert find_advice(make_plan(around=make_surroundings(spool_room_bytes=40 * MIB)), "spool").severity is Severity.OK
    small = make_plan(around=make_surroundings(spool_room_bytes=40 * MIB - 1))
    assert find_advice(small, "spool").severity is Severity.FAIL


def test_once_the_first_snapshot_is_stored_the_spool_needs_room_for_a_night_only() -> None:
    around = make_surroundings(is_seeded=True, sent=(MIB, 3 * MIB), spool_room_bytes=3 * MIB)
    plan = make_plan(around=around, line=SLOW)
    assert plan.nightly_bytes == 2 * MIB
    assert find_advice(plan, "spool").severity is Severity.OK
    assert find_advice(plan, "first snapshot").severity is Severity.OK


def test_more_than_a_week_of_nights_asks_for_an_offline_medium() -> None:
    # 40 MiB over 10 kbit/s are 33,554 s: more than seven windows of 4,793 s, exactly seven of 4,794 s.
    line = Line(10_000, False)
    road = [
        find_advice(make_plan(question=Question(line=line, window_s=window)), "first snapshot")
        for window in (4793, 4794)
    ]
    assert [finding.severity for finding in road] == [Severity.WARN, Severity.OK]
    assert "offline medium" in str(road[0].hint)


def test_night_that_does_not_fit_its_window_is_told() -> None:
    around = make_surroundings(is_seeded=True, sent=(10 * MIB,))
    fits = [
        find_advice(make_plan(around=around, line=SLOW, question=Question(window_s=window)), "nightly").severity
        for window in (9.0, 8.0)
    ]
    assert fits == [Severity.OK, Severity.WARN]


def test_fewest_tables_are_named_without_which_the_rest_fits_a_night() -> None:
    plan = make_plan(
        make_table("small"), make_table("huge"), make_table("large"),
        samples=(
            make_sample("small", is_whole=True, seconds=HOUR),
            make_sample("huge", is_whole=True, seconds=9 * HOUR),
            make_sample("large", is_whole=True, seconds=4 * HOUR),
        ),
        around=make_surroundings(age_limit_s=20 * HOUR),
        question=Question(window_s=6 * HOUR),
    )  # fmt: skip
    said = str(find_advice(plan, "weekly").message)
    assert "without 1 table(s)" in said
    assert "huge (9.0 h)" in said
    assert "large" not in said


def test_table_that_is_read_weekly_is_no_part_of_a_usual_night() -> None:
    plan = make_plan(
        make_table("image"), make_table("visit"),
        samples=(
            make_sample("image", is_whole=True, seconds=9 * HOUR), make_sample("visit", is_whole=True, seconds=HOUR)
        ),
        around=make_surroundings(age_limit_s=20 * HOUR), question=Question(window_s=6 * HOUR),
        reads=ReadPlan((("im*", "weekly"),)),
    )  # fmt: skip
    assert (plan.seconds, plan.usual_seconds) == (10 * HOUR, HOUR)
    assert "10.0 h (usually 60.0 min)" in str(find_advice(plan, "read").message)
    assert "weekly" not in {finding.subject for finding in plan.advice}


def test_longest_night_is_held_against_the_age_although_a_usual_one_would_fit() -> None:
    plan = make_plan(
        make_table("image"), make_table("visit"),
        samples=(make_sample("image", is_whole=True, seconds=9.0), make_sample("visit", is_whole=True)),
        around=make_surroundings(age_limit_s=5.0), reads=ReadPlan((("image", "monthly"),)),
    )  # fmt: skip
    assert find_advice(plan, "read").severity is Severity.FAIL


def test_sorting_takes_no_room_in_memory_and_twice_the_packed_size_while_many_runs_are_merged() -> None:
    def room(content: int) -> int:
        sample = make_sample("a", is_whole=True, rows=0, content_bytes=content, packed_bytes=content // 2)
        return make_plan(make_table("a", key=False), samples=(sample,)).sort_bytes

    assert [room(20 * MIB), room(100 * MIB), room(2 * GIB)] == [0, 50 * MIB, 2 * GIB]


def test_keyless_and_unordered_tables_are_sorted_here_and_only_they() -> None:
    plan = make_plan(make_table("a", key=False), make_table("b", ordered=False), make_table("c"))
    assert [table.sorted_here for table in plan.tables] == [True, True, False]
    assert "2 table(s)" in str(find_advice(plan, "sorting").message)
    assert "NOT MEASURED" in str(find_advice(plan, "sorting").message)


def test_room_that_sorting_lacks_fails_beforehand() -> None:
    sample = make_sample("a", is_whole=True, content_bytes=100 * MIB, packed_bytes=50 * MIB)
    plan = make_plan(
        make_table("a", key=False), samples=(sample,), around=make_surroundings(sort_room_bytes=50 * MIB - 1)
    )
    assert find_advice(plan, "sorting").severity is Severity.FAIL


@pytest.mark.parametrize(
    ("kind", "is_copy", "told"),
    [("postgresql", False, True), ("mysql", False, True), ("postgresql", True, False), ("sqlite", False, False)],
)
def test_long_read_of_a_server_that_works_asks_for_a_standby(kind: str, is_copy: bool, told: bool) -> None:
    long = make_sample("a", is_whole=True, seconds=2 * HOUR)
    plan = make_plan(make_table("a"), samples=(long,), around=make_surroundings(kind=kind), is_copy=is_copy)
    assert ("standby" in {finding.subject for finding in plan.advice}) is told


@pytest.mark.parametrize(
    ("kind", "sessions", "ordered", "limit_s", "told"),
    [
        ("postgresql", 1, True, HOUR, True),
        ("postgresql", 2, True, HOUR, False),
        ("mysql", None, True, HOUR, False),
        ("postgresql", 1, False, HOUR, False),
        ("postgresql", 1, True, 3 * HOUR, False),
    ],
)
def test_table_that_one_session_cannot_read_in_time_is_told_of_more_where_they_can_help(
    kind: str, sessions: int | None, ordered: bool, limit_s: float, told: bool
) -> None:
    # 7,200 s: longer than one hour, and `split` cannot help a single table.
    plan = make_plan(
        make_table("visit", rows=7_200_000, ordered=ordered),
        samples=(make_sample("visit"),),
        around=make_surroundings(kind=kind, read_sessions=sessions, age_limit_s=limit_s),
    )
    found = [finding for finding in plan.advice if finding.subject == "read_sessions"]
    assert bool(found) is told
    if told:
        assert "visit (2.0 h)" in str(found[0].message)
        assert "idle" in str(found[0].hint)


def test_what_fails_stands_first() -> None:
    plan = make_plan(around=make_surroundings(age_limit_s=1.0), line=SLOW)
    ranks = [Severity.FAIL, Severity.WARN, Severity.NOT_EXAMINED, Severity.OK]
    found = [ranks.index(finding.severity) for finding in plan.advice]
    assert found == sorted(found)
    assert plan.advice[0].subject == "read"


@pytest.mark.parametrize("text", ["10", "10MB/s", "-1Mbit/s", "0Mbit/s", "10 Mbps", "", "1e9bit/s"])
def test_what_is_no_rate_is_none(text: str) -> None:
    assert parse_rate(text) is None
