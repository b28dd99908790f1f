# SPDX-License-Identifier: Apache-2.0
"""Load reports: kept for a year, one line each, whatever a crash or a newer version left between them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.load import LoadLog, LoadReport, Reason, parse_report
from tests.fakes.agent import NOW


def make_report(ended: datetime = NOW, **changes: object) -> LoadReport:
    facts: dict[str, object] = {
        "source": "his", "sequence": 412, "began": ended - timedelta(minutes=5), "ended": ended, "outcome": "stored",
        "rows": 1000, "read_bytes": 10 << 20, "sent_bytes": 5, "transaction_s": 20.0, "lock_wait_s": 0.25,
        "blocked_s": 6.0, "gave_way": 1, "cpu_s": 3.5, "host_cpu_before": 12.0, "host_cpu_during": 60.0,
        "host_load_before": 1.5, "latency_before_s": 0.001, "latency_during_s": 0.02, "waited_s": 3.0,
        "pauses_s": {Reason.CPU: 4.0, Reason.READ_RATE: 2.0}, "hurried": True, "refused_sessions": 1,
    }  # fmt: skip
    return LoadReport(**(facts | changes))  # type: ignore[arg-type]  # the test states what it changes


def test_report_comes_back_as_it_was(tmp_path: Path) -> None:
    log = LoadLog(tmp_path)
    assert log.reports("his") == []
    assert log.newest("his") is None
    bare = LoadReport("his", None, NOW, NOW, "JS-2103")
    log.add(make_report())
    log.add(bare)
    assert log.reports("his") == [make_report(), bare]
    assert log.newest("his") == bare
    assert log.reports("lis") == []


def test_rates_are_over_the_time_that_the_view_was_open() -> None:
    report = make_report()
    assert report.read_bytes_per_s == (10 << 20) / 20
    assert report.rows_per_s == 50
    assert make_report(transaction_s=0.0).read_bytes_per_s is None
    assert make_report(transaction_s=0.0).rows_per_s is None


def test_reports_over_a_year_old_go_and_all_others_stay(tmp_path: Path) -> None:
    log = LoadLog(tmp_path)
    days = [make_report(NOW + timedelta(days=day), sequence=day) for day in range(0, 800, 50)]
    for report in days:
        log.add(report)
    assert log.reports("his") == [report for report in days if days[-1].ended - report.ended <= timedelta(days=366)]
    assert len(log.reports("his")) == 8


def test_line_that_a_crash_cut_short_costs_only_itself(tmp_path: Path) -> None:
    log = LoadLog(tmp_path)
    log.add(make_report(sequence=1))
    path = tmp_path / "load" / "his.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    log.add(make_report(sequence=3))
    assert [report.sequence for report in log.reports("his")] == [1, 3]


def test_line_of_another_version_is_passed_over() -> None:
    for line in (b"", b"x", b"[]", b"null", b'{"source": "his"}', b"\xff"):
        assert parse_report(line) is None


def test_numbers_are_rounded_to_what_they_are_worth() -> None:
    document = make_report(cpu_s=1 / 3, ended=datetime(2025, 7, 1, tzinfo=UTC)).as_document()
    assert document["cpu_s"] == 0.333333
    assert document["pauses_s"] == {"cpu": 4.0, "read rate": 2.0}
    assert document["ended"] == "2025-07-01T00:00:00Z"
