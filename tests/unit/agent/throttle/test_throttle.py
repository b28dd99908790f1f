# SPDX-License-Identifier: Apache-2.0
"""The pace of a run as rules: whom it waits for, how long, and when it must not wait any longer."""

import re
from datetime import UTC, datetime, time
from itertools import pairwise

import pytest

from agent.errors import BudgetError, PausedError, TableLostError
from agent.latency import Latency
from agent.load import Reason
from agent.throttle import Bucket, Limits, QuietHours, Surroundings, Throttle, parse_quiet_hours
from tests.fakes.machine import FakeHost, FakeTime

MIB = 1 << 20
DAY = parse_quiet_hours("07:30-18:00")


class Bench:
    """A throttle and what it works with. `hour` is what the local clock shows."""

    def __init__(
        self,
        limits: Limits,
        *,
        age_limit_s: float | None = 1000,
        expected_bytes: int | None = None,
        hour: int = 2,
        latency: Latency | None = None,
        force: bool = False,
    ) -> None:
        self.time = FakeTime()
        self.host = FakeHost(self.time)
        self.hour = hour
        self.paused: PausedError | None = None
        around = Surroundings(self.time, self.time.sleep, self._local_time, self.host, self._check_pause)
        self.throttle = Throttle(
            limits, around, latency or Latency(None), age_limit_s=age_limit_s, expected_bytes=expected_bytes,
            force=force,
        )  # fmt: skip

    def read(self, *sizes: int, working_s: float = 0.0) -> float:
        """Read blocks, each of which takes so long to come; give the seconds that were paused."""
        before = sum(self.throttle.pauses_s.values())
        for size in sizes:
            self.time.now += working_s
            self.throttle.read(size)
        return sum(self.throttle.pauses_s.values()) - before

    def _local_time(self) -> datetime:
        return datetime(2026, 11, 26, self.hour, tzinfo=UTC)

    def _check_pause(self) -> None:
        if self.paused is not None:
            raise self.paused


def test_without_limits_nothing_is_looked_at_and_nobody_sleeps() -> None:
    bench = Bench(Limits())
    looks = bench.host.looks
    bench.throttle.wait_to_begin("his")
    bench.throttle.begin()
    looks_begun = bench.host.looks
    assert bench.read(*[4 * MIB] * 1000) == 0
    assert bench.time.slept == []
    assert bench.host.looks == looks_begun <= looks + 1
    assert bench.throttle.read_bytes == 4000 * MIB


def test_reading_is_as_fast_as_its_rate_over_any_number_of_blocks() -> None:
    bench = Bench(Limits(read_rate=10 * MIB), age_limit_s=None)
    bench.throttle.begin()
    began = bench.time.now
    bench.read(*[4 * MIB] * 100, working_s=0.1)
    # The first second's worth is in the bucket from the start.
    assert bench.time.now - began == pytest.approx(39.0, abs=0.2)
    assert max(bench.time.slept) <= 1.0


def test_source_that_is_slower_than_the_rate_is_never_waited_for() -> None:
    bench = Bench(Limits(read_rate=10 * MIB))
    bench.throttle.begin()
    assert bench.read(*[4 * MIB] * 100, working_s=0.5) == 0


def test_time_that_passed_idle_buys_no_more_than_a_second() -> None:
    bucket = Bucket(100.0, 0.0)
    assert bucket.take(100, 0.0) == 0
    assert bucket.take(100, 3600.0) == 0
    assert bucket.take(100, 3600.0) == 1.0


def test_line_has_a_rate_of_its_own_that_no_age_shortens() -> None:
    bench = Bench(Limits(send_rate=MIB), age_limit_s=1)
    bench.throttle.begin()
    began = bench.time.now
    for _ in range(320):
        bench.throttle.send(128 << 10)
    assert bench.time.now - began == pytest.approx(39.0, abs=0.01)
    assert bench.throttle.pauses_s[Reason.SEND_RATE] == pytest.approx(39.0, abs=0.01)
    assert not bench.throttle.is_hurried


@pytest.mark.parametrize(
    ("limits", "busy", "reason"),
    [
        (Limits(max_cpu=80), {"cpu_percent": 95.0}, Reason.CPU),
        (Limits(max_io_wait=20), {"io_wait_percent": 30.0}, Reason.IO_WAIT),
        (Limits(min_free_memory=1 << 30), {"free_memory_bytes": 1 << 20}, Reason.MEMORY),
        (Limits(max_load=4), {"load": 9.0}, Reason.LOAD),
    ],
)
def test_reading_waits_while_the_machine_is_over_a_limit_and_goes_on_below_it(
    limits: Limits, busy: dict[str, float], reason: Reason
) -> None:
    bench = Bench(limits)
    calm = {name: getattr(bench.host, name) for name in busy}
    bench.throttle.begin()
    assert bench.read(MIB, working_s=2.0) == 0
    for name, value in busy.items():
        setattr(bench.host, name, value)

    def calm_down() -> None:
        if len(bench.time.slept) == 7:
            for name, value in calm.items():
                setattr(bench.host, name, value)

    bench.time.during = calm_down
    assert bench.read(MIB, working_s=2.0) == pytest.approx(8.0, abs=1.0)
    assert bench.throttle.pauses_s[reason] == pytest.approx(8.0, abs=1.0)
    assert not bench.throttle.is_hurried


def test_pauses_take_at_most_half_of_the_age_where_the_size_is_not_known() -> None:
    bench = Bench(Limits(max_load=1), age_limit_s=1000)
    bench.host.load = 9
    bench.time.now += 2  # so that the next question looks at the machine anew
    bench.throttle.begin()
    assert bench.read(*[MIB] * 100) == pytest.approx(500, abs=0.01)
    assert bench.throttle.is_hurried


def test_reading_keeps_to_the_least_rate_where_the_size_is_known() -> None:
    bench = Bench(Limits(max_load=1), age_limit_s=1000, expected_bytes=100 * MIB)
    bench.host.load = 9
    bench.time.now += 2  # so that the next question looks at the machine anew
    bench.throttle.begin()
    began = bench.time.now
    spent = []
    for _ in range(100):
        bench.read(MIB, working_s=0.1)
        spent.append(bench.time.now - began)
    # A straight line to half of the age, for a source that has grown by a tenth.
    assert spent[49] == pytest.approx(500 * 50 / 110, abs=2)
    assert spent[99] == pytest.approx(500 * 100 / 110, abs=2)


def test_source_that_grew_beyond_all_expectation_is_read_without_pauses_after_half_of_the_age() -> None:
    bench = Bench(Limits(max_load=1), age_limit_s=1000, expected_bytes=10 * MIB)
    bench.host.load = 9
    bench.time.now += 2  # so that the next question looks at the machine anew
    bench.throttle.begin()
    bench.read(*[MIB] * 1000)
    assert bench.time.now == pytest.approx(1502, abs=0.01)


def test_rate_gives_way_to_the_age_of_the_view() -> None:
    bench = Bench(Limits(read_rate=64 << 10), age_limit_s=100, expected_bytes=1000 * MIB)
    bench.throttle.begin()
    began = bench.time.now
    bench.read(*[4 * MIB] * 250)
    assert bench.time.now - began < 50.01
    assert bench.throttle.is_hurried


def test_view_that_keeps_the_application_from_writing_is_not_stretched() -> None:
    bench = Bench(Limits(max_load=1, read_rate=64 << 10))
    bench.host.load = 9
    bench.time.now += 2
    bench.throttle.begin()
    bench.throttle.may_stretch = False
    assert bench.read(*[4 * MIB] * 10) == 0
    assert bench.throttle.is_hurried
    bench.throttle.end()
    assert bench.throttle.may_stretch


def test_source_without_an_age_waits_as_long_as_it_takes() -> None:
    bench = Bench(Limits(max_load=1), age_limit_s=None)
    bench.host.load = 9
    bench.time.now += 2  # so that the next question looks at the machine anew
    bench.throttle.begin()

    def calm_down() -> None:
        if bench.time.now > 50_000:
            bench.host.load = 0

    bench.time.during = calm_down
    assert bench.read(MIB) > 48_000
    assert not bench.throttle.is_hurried


def test_view_looks_at_its_own_limits_about_every_second_of_a_pause() -> None:
    bench = Bench(Limits(max_load=1))
    bench.host.load = 9
    bench.time.now += 2  # so that the next question looks at the machine anew
    bench.throttle.begin()
    seen: list[float] = []

    def attend() -> None:
        seen.append(bench.time.now)
        if len(seen) == 20:
            raise TableLostError("others wait", hint="wait", reason="others wait")

    bench.throttle.attend = attend
    with pytest.raises(TableLostError):
        bench.throttle.read(MIB)
    assert [after - before for before, after in pairwise(seen)] == [1.0] * 19
    assert bench.throttle.transaction_s == 0
    bench.throttle.end()
    assert bench.throttle.transaction_s == 20.0
    assert bench.throttle.attend is None


def test_operators_pause_ends_a_reading_at_the_next_block_and_within_a_second_of_a_wait() -> None:
    bench = Bench(Limits(max_load=1))
    bench.throttle.begin()
    bench.throttle.read(MIB)
    bench.paused = PausedError("paused", hint="resume")
    with pytest.raises(PausedError):
        bench.throttle.read(MIB)
    bench.paused = None
    bench.host.load = 9

    def pause() -> None:
        if len(bench.time.slept) == 5:
            bench.paused = PausedError("paused", hint="resume")

    bench.time.now += 2
    bench.time.during = pause
    with pytest.raises(PausedError):
        bench.throttle.read(MIB)
    assert len(bench.time.slept) == 5


def test_busy_machine_is_waited_for_before_the_view_is_opened() -> None:
    bench = Bench(Limits(max_cpu=50))
    bench.host.cpu_percent = 90

    def calm_down() -> None:
        if bench.time.now >= 1100:
            bench.host.cpu_percent = 20

    bench.time.during = calm_down
    bench.throttle.wait_to_begin("his")
    assert bench.throttle.waited_s == pytest.approx(101, abs=1)
    assert bench.throttle.host_cpu_before == pytest.approx(20)
    assert sum(bench.throttle.pauses_s.values()) == 0, "nothing was held, so nothing was paused"


def test_machine_that_stays_too_busy_is_told_with_what_it_was_busy() -> None:
    bench = Bench(Limits(max_cpu=50, begin_within_s=60))
    bench.host.cpu_percent = 90
    with pytest.raises(BudgetError, match=r"his was not begun: .* 60 s \(CPU 90 %, max_cpu 50\)"):
        bench.throttle.wait_to_begin("his")


def test_no_run_begins_in_quiet_hours_without_a_rate_for_them() -> None:
    bench = Bench(Limits(quiet_hours=DAY), hour=9)
    with pytest.raises(PausedError, match="07:30-18:00"):
        bench.throttle.wait_to_begin("his")
    bench.hour = 19
    bench.throttle.wait_to_begin("his")


def test_force_overrules_quiet_hours() -> None:
    bench = Bench(Limits(quiet_hours=DAY), hour=9, force=True)
    bench.throttle.wait_to_begin("his")
    bench.throttle.begin()
    assert bench.read(*[MIB] * 10) == 0


def test_run_in_quiet_hours_keeps_to_their_rate_and_goes_on_faster_after_them() -> None:
    bench = Bench(Limits(quiet_hours=DAY, quiet_rate=MIB), age_limit_s=None, hour=9)
    bench.throttle.wait_to_begin("his")
    bench.throttle.begin()
    assert bench.read(*[MIB] * 30) == pytest.approx(29)
    bench.hour = 19
    assert bench.read(*[MIB] * 30) == 0
    assert bench.throttle.pauses_s[Reason.QUIET_HOURS] == pytest.approx(29)


def test_run_that_quiet_hours_find_under_way_keeps_to_the_least_rate() -> None:
    bench = Bench(Limits(quiet_hours=DAY), age_limit_s=1000, expected_bytes=100 * MIB)
    bench.throttle.begin()
    began = bench.time.now
    bench.hour = 9
    bench.read(*[MIB] * 100)
    assert bench.time.now - began == pytest.approx(500 * 100 / 110, abs=1)
    assert bench.throttle.pauses_s[Reason.QUIET_HOURS] > 400


def test_while_the_source_answers_slowly_reading_takes_a_fifth_of_the_time() -> None:
    latency = Latency(8)
    latency.set_before([0.01] * 20)
    for _ in range(20):
        latency.add(0.5)
    bench = Bench(Limits(), latency=latency)
    bench.throttle.begin()
    assert bench.read(*[MIB] * 10, working_s=0.5) == pytest.approx(20)
    for _ in range(20):
        latency.add(0.01)
    assert bench.read(*[MIB] * 10, working_s=0.5) == 0


def test_reading_works_for_its_share_of_the_time_and_pauses_for_the_rest() -> None:
    bench = Bench(Limits(share=10), age_limit_s=None)
    assert bench.read(MIB, MIB, working_s=0.05) == pytest.approx(2 * 0.45)
    # On a busy machine the same block takes longer, and so does the pause.
    assert bench.read(MIB, working_s=0.2) == pytest.approx(1.8)
    assert bench.throttle.pauses_s[Reason.SHARE] == pytest.approx(2.7)


def test_pauses_for_another_reason_count_for_the_share() -> None:
    bench = Bench(Limits(share=50, read_rate=MIB), age_limit_s=None)
    bench.read(MIB, MIB, working_s=0.2)
    # The first second's worth is free; then the rate's own pause is longer than what the share asks for.
    assert bench.throttle.pauses_s[Reason.SHARE] == pytest.approx(0.2)
    assert bench.throttle.pauses_s[Reason.READ_RATE] == pytest.approx(0.6)


def test_share_gives_way_to_the_age_of_the_view() -> None:
    bench = Bench(Limits(share=1), age_limit_s=100)
    bench.throttle.begin()
    assert bench.read(*[MIB] * 10, working_s=1.0) == pytest.approx(50)
    assert bench.throttle.is_hurried


def test_use_of_the_machine_during_the_reading_is_the_average_of_it() -> None:
    bench = Bench(Limits())
    bench.throttle.begin()
    bench.host.cpu_percent = 100
    bench.time.now += 30
    bench.host.look()
    bench.host.cpu_percent = 0
    bench.time.now += 10
    bench.throttle.end()
    assert bench.throttle.host_cpu_during == pytest.approx(75)
    assert bench.throttle.transaction_s == 40


@pytest.mark.parametrize(
    ("hours", "within", "without"),
    [
        ("07:30-18:00", ["07:30", "12:00", "17:59"], ["07:29", "18:00", "00:00"]),
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "21:59", "12:00"]),
    ],
)
def test_quiet_hours_begin_on_the_minute_and_may_pass_midnight(
    hours: str, within: list[str], without: list[str]
) -> None:
    parsed = parse_quiet_hours(hours)
    assert str(parsed) == hours
    assert [moment for moment in within if not parsed.holds(time.fromisoformat(moment))] == []
    assert [moment for moment in without if parsed.holds(time.fromisoformat(moment))] == []
    assert isinstance(parsed, QuietHours)


@pytest.mark.parametrize(
    "text", ["", "07:30", "7:30-18:00", "07:30-24:00", "07:30 - 18:00", "08:00-08:00", "0٧:30-18:00"]
)
def test_what_is_no_part_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(text)}$"):
        parse_quiet_hours(text)


def test_view_that_takes_anothers_place_is_of_the_run_under_way_and_has_an_age_of_its_own() -> None:
    bench = Bench(Limits(quiet_hours=DAY, max_load=1), age_limit_s=100)
    bench.throttle.wait_to_begin("his")
    bench.throttle.begin()
    bench.hour = 9
    bench.read(MIB)
    assert bench.throttle.pauses_s[Reason.QUIET_HOURS] == pytest.approx(50)
    assert bench.read(MIB) == 0, "the first view has had its share"
    bench.throttle.end()
    bench.throttle.wait_to_begin("his")
    bench.throttle.begin()
    bench.read(MIB)
    assert bench.throttle.pauses_s[Reason.QUIET_HOURS] == pytest.approx(100)
    bench.throttle.end()
    bench.paused = PausedError("paused", hint="resume")
    with pytest.raises(PausedError, match="paused"):
        bench.throttle.wait_to_begin("his")


def test_what_a_view_stood_open_before_its_turn_is_no_work_and_gone_from_its_share() -> None:
    latency = Latency(2)
    latency.set_before([0.1] * 20)
    for _ in range(20):
        latency.add(1.0)
    bench = Bench(Limits(), age_limit_s=1000, latency=latency)
    bench.throttle.begin()
    bench.time.now += 400
    bench.throttle.resume()
    assert bench.read(MIB, working_s=1) == pytest.approx(4), "four times the work, not four times the waiting"
    assert bench.read(*[MIB] * 100, working_s=1) == pytest.approx(100 - 4)


def test_view_whose_turn_comes_late_still_has_a_straight_line_to_keep_to() -> None:
    bench = Bench(Limits(read_rate=MIB), age_limit_s=1000, expected_bytes=100 * MIB)
    bench.throttle.begin()
    began = bench.time.now
    bench.time.now += 400
    bench.throttle.resume()
    bench.read(*[MIB] * 100)
    assert bench.time.now - began == pytest.approx(400 + 100 * 100 / 110, abs=2)
