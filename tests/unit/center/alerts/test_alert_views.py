# SPDX-License-Identifier: Apache-2.0
"""What people and Prometheus are shown: today, the monthly report, the metrics."""

import urllib.error
import urllib.request
from datetime import UTC, date, datetime, timedelta

import pytest

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.course import Acknowledgement, Record
from center.alerts.lateness import Arrival
from center.alerts.metrics import Figures, MetricsAddressError, open_metrics, write_metrics
from center.alerts.report import Lag, make_report, parse_month
from center.alerts.scene import SourceScene
from center.alerts.today import make_today
from center.registry.signs import Heard
from center.settings.alerts import AlertSettings, Expected
from evidence.manifest.entry import Level
from evidence.wire.heartbeat import SourceBeat
from terminal.language import Text
from tests.builders.scenes import DAY, HOUR, NOW, make_beat, make_row, make_scene, make_unit

SETTINGS = AlertSettings(expected=(Expected(source="his", by="08:00"),))


def make_record(kind: Kind, place: str, severity: Severity, **changes: object) -> Record:
    alert = Alert(kind, place, severity, NOW, Text(zh="甲", en="a"), Text(zh="乙", en="b"))
    return Record(alert, NOW, **changes)  # type: ignore[arg-type]  # as the test says


OPEN = make_record(Kind.QUIET, "X013", Severity.WARNING)
BAD = make_record(Kind.LATE, "X013/his", Severity.ERROR)
TAKEN = make_record(Kind.DISK, "center", Severity.ERROR, acknowledged=Acknowledgement(NOW, "王芳", "已订购"))
OVER = make_record(Kind.HELD, "center", Severity.ERROR, cleared=NOW)
RECORDS = {record.alert.id: record for record in (OVER, TAKEN, OPEN, BAD)}


def test_today_says_of_each_source_whether_it_came() -> None:
    units = (
        make_unit("X013", sources=("his", "lis")),
        make_unit("X014", disabled=True),
        make_unit("X015", heard=Heard(NOW, make_beat(NOW, 1, SourceBeat("his", waiting=3, waiting_bytes=9)))),
    )
    row = make_row()
    newest = {("X013", "his"): SourceScene(row, row), ("X013", "lis"): SourceScene(row, row)}
    today = make_today(make_scene(*units, newest=newest), RECORDS, SETTINGS)
    assert [(line.unit, line.source, line.arrival) for line in today.lines] == [
        ("X013", "his", Arrival.IN_TIME), ("X013", "lis", Arrival.NOT_EXPECTED), ("X014", "his", Arrival.DISABLED),
        ("X015", "his", Arrival.LATE),
    ]  # fmt: skip
    assert today.lines[0].due == datetime(2026, 11, 25, 0, tzinfo=UTC)
    assert today.lines[3].beat is not None
    assert today.lines[3].beat.waiting == 3


def test_today_shows_open_alerts_the_worst_first_and_those_taken_on_last() -> None:
    today = make_today(make_scene(), RECORDS, SETTINGS)
    assert [record.alert.id for record in today.open] == ["late:X013/his", "quiet:X013", "disk:center"]
    assert today.needs_person
    assert not make_today(make_scene(), {"disk:center": TAKEN, "held:center": OVER}, SETTINGS).needs_person


def test_today_names_content_that_is_overdue() -> None:
    old, young = (make_row(n, level=Level.REGISTERED, received=NOW - n * DAY) for n in (15, 13))
    today = make_today(make_scene(waiting=(old, young)), {}, SETTINGS)
    assert today.overdue == (old,)


def run_at(day: int, hour: int = 1, lag: timedelta = HOUR, **changes: object):  # type: ignore[no-untyped-def]  # a row
    ended = datetime(2026, 11, day, hour, tzinfo=UTC)
    return make_row(day, ended=ended, began=ended - HOUR, received=ended + lag, **changes)


def test_a_months_report_counts_runs_levels_lags_gaps_and_pauses() -> None:
    rows = [
        make_row(1, ended=datetime(2026, 10, 31, 15, 59, tzinfo=UTC)),  # 23:59 in Shanghai: October's
        make_row(
            2, ended=datetime(2026, 10, 31, 16, 0, tzinfo=UTC), received=datetime(2026, 10, 31, 16, 30, tzinfo=UTC)
        ),
        run_at(3, lag=2 * HOUR, rows=10),
        run_at(4, lag=-HOUR, level=Level.REGISTERED, stored_index=None),
        run_at(5, kind="gap"),
        run_at(10, lag=9 * HOUR, rows=500, flags=("fewer-rows",)),
        run_at(30, hour=16),  # 1 December in Shanghai
    ]
    report = make_report("X013", "his", rows, date(2026, 11, 1), "Asia/Shanghai", lambda row: row.received + HOUR, NOW)
    assert (report.runs, report.stored, report.registered, report.flagged) == (4, 3, 1, 1)
    assert report.lag == Lag(timedelta(minutes=75), 9 * HOUR)  # of 0, 30 min, 2 h, 9 h
    assert report.storing_lag == Lag(3 * HOUR, 10 * HOUR)
    assert [gap.sequence for gap in report.gaps] == [5]
    assert report.longest_pause == 20 * DAY + 15 * HOUR, "until the first snapshot of December"
    assert (report.first, report.last) == (rows[1], rows[5])


def test_a_source_that_has_stopped_pauses_until_today_and_in_no_month_longer_than_to_its_end() -> None:
    rows = [run_at(day) for day in (1, 2, 3)]

    def find_pause(month: int, now: datetime) -> timedelta | None:
        return make_report("X013", "his", rows, date(2026, month, 1), "UTC", lambda _: None, now).longest_pause

    assert find_pause(11, rows[2].ended + 12 * DAY) == 12 * DAY
    assert find_pause(11, datetime(2027, 2, 1, tzinfo=UTC)) == datetime(2026, 12, 1, tzinfo=UTC) - rows[2].ended
    assert find_pause(12, datetime(2027, 2, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC) - rows[2].ended
    assert find_pause(12, datetime(2026, 11, 20, tzinfo=UTC)) is None, "that month has not come"
    assert make_report("X013", "his", rows, date(9999, 12, 1), "UTC", lambda _: None, NOW).longest_pause is None
    assert make_report("X013", "his", rows, date(1, 1, 1), "Asia/Shanghai", lambda _: None, NOW).longest_pause is None
    assert find_pause(10, datetime(2026, 11, 20, tzinfo=UTC)) is None, "it had not begun"


def test_a_month_without_runs_has_no_lag() -> None:
    report = make_report("X013", "his", [], date(2026, 11, 1), "Asia/Shanghai", lambda _: None, NOW)
    assert (report.runs, report.lag, report.storing_lag, report.longest_pause) == (0, None, None, None)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-1", "11-2026", "２０２６-11", "2026-11-01"])
def test_a_month_has_one_form(text: str) -> None:
    assert parse_month(text) is None
    assert parse_month("2026-11") == date(2026, 11, 1)


def figures() -> Figures:
    levels = {("X013", "snapshot", "stored"): 411, ("X013", "gap", "-"): 1}
    heard = Heard(NOW, make_beat(NOW + timedelta(seconds=2.5), 7 << 30))
    return Figures(
        make_scene(make_unit(heard=heard), held="old"), RECORDS, levels, {200: 7, 401: 1}, 12345, 900, NOW - HOUR,
        {"mail": 2},
    )  # fmt: skip


def test_metrics_have_every_figure_in_the_text_format() -> None:
    text = write_metrics(figures())
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples == {
        "jinsuo_up": "1",
        'jinsuo_unit_last_seen_timestamp_seconds{unit="X013"}': str(int(NOW.timestamp())),
        'jinsuo_unit_clock_error_seconds{unit="X013"}': "2.5",
        'jinsuo_unit_free_bytes{unit="X013"}': str(7 << 30),
        'jinsuo_source_last_stored_timestamp_seconds{source="his",unit="X013"}': str(int((NOW - 2 * HOUR).timestamp())),
        'jinsuo_source_lag_seconds{source="his",unit="X013"}': "7200",
        'jinsuo_source_rows{source="his",unit="X013"}': "1000",
        'jinsuo_statements{kind="gap",level="-",unit="X013"}': "1",
        'jinsuo_statements{kind="snapshot",level="stored",unit="X013"}': "411",
        'jinsuo_requests_total{status="200"}': "7",
        'jinsuo_requests_total{status="401"}': "1",
        "jinsuo_received_bytes_total": "12345",
        "jinsuo_log_size": "900",
        "jinsuo_checkpoint_age_seconds": "3600",
        "jinsuo_ledger_held": "1",
        "jinsuo_disk_free_bytes": str(500 << 30),
        "jinsuo_disk_size_bytes": str(1000 << 30),
        'jinsuo_alerts_open{severity="notice"}': "0",
        'jinsuo_alerts_open{severity="warning"}': "1",
        'jinsuo_alerts_open{severity="error"}': "2",
        'jinsuo_alerts_pending{channel="mail"}': "2",
    }
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == text.count("# HELP")


def test_metrics_are_served_and_nothing_else_is() -> None:
    answers: list[str | Exception] = ["jinsuo_up 1\n", RuntimeError("a secret in a trace")]

    def write() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = open_metrics("127.0.0.1", 0, write)
    with server.running():
        url = f"http://127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            assert answer.read() == b"jinsuo_up 1\n"
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        for path, host, status in (
            ("/", "127.0.0.1", 404), ("/metrics", "127.0.0.1", 500), ("/metrics", "evil.example", 421),
        ):  # fmt: skip
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(url + path, headers={"Host": host}), timeout=60)
            assert caught.value.code == status
            assert b"secret" not in caught.value.read()
            caught.value.close()


def test_an_address_that_is_taken_is_told() -> None:
    server = open_metrics("127.0.0.1", 0, lambda: "")
    with server.running(), pytest.raises(MetricsAddressError, match=f"127.0.0.1:{server.port}"):
        open_metrics("127.0.0.1", server.port, lambda: "")
