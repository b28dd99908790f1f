# SPDX-License-Identifier: Apache-2.0
"""When a source counts as slow: against what it was before, by what nearly all answers took."""

import pytest

from agent.errors import SourceDownError
from agent.latency import BASE_QUESTIONS, Latency, Prober, percentile
from tests.builders.threads import threads_now
from tests.fakes.machine import FakeTime


def _after(before_s: float, *answers_s: float, times: float | None = 8) -> Latency:
    latency = Latency(times)
    latency.set_before([before_s] * BASE_QUESTIONS)
    for answer_s in answers_s:
        latency.add(answer_s)
    return latency


def test_source_is_slow_when_it_takes_more_than_so_many_times_what_it_took() -> None:
    assert not _after(0.02, *[0.16] * 20).is_high()
    assert _after(0.02, *[0.17] * 20).is_high()


def test_what_nobody_notices_is_not_slow_whatever_the_ratio() -> None:
    assert not _after(0.0001, *[0.05] * 20).is_high()
    assert _after(0.0001, *[0.051] * 20).is_high()


def test_one_slow_answer_in_twenty_is_chance_and_two_are_not() -> None:
    assert not _after(0.02, *[0.02] * 19, 5.0).is_high()
    assert _after(0.02, *[0.02] * 18, 5.0, 5.0).is_high()


def test_slowness_is_over_when_the_newest_answers_are_quick() -> None:
    latency = _after(0.02, *[5.0] * 20, *[0.02] * 20)
    assert not latency.is_high()
    assert latency.worst_s == 5.0


def test_few_answers_say_nothing() -> None:
    latency = _after(0.02, *[5.0] * 4)
    assert not latency.is_high()
    assert latency.worst_s is None


def test_without_a_bound_or_without_answers_from_before_nothing_is_slow() -> None:
    assert not _after(0.02, *[5.0] * 20, times=None).is_high()
    latency = Latency(8)
    latency.set_before([])
    for _ in range(20):
        latency.add(5.0)
    assert not latency.is_high()


def test_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([float(i) for i in range(1, 101)], 95) == 95.0
    assert percentile([7.0], 95) == 7.0


def test_prober_measures_what_the_question_takes_and_passes_over_failures() -> None:
    time = FakeTime()
    answers = iter([0.01, None, 0.03, *[0.02] * 100])

    def probe() -> None:
        answer = next(answers)
        if answer is None:
            raise SourceDownError("gone", hint="wait")
        time.now += answer

    latency = Latency(8)
    prober = Prober(probe, latency, time)
    prober.ask_before()
    assert latency.before_s == pytest.approx(0.03)
    for _ in range(5):
        prober.ask()
    assert latency.worst_s == pytest.approx(0.02)


def test_prober_that_is_closed_uses_the_probe_no_more() -> None:
    threads = threads_now()
    prober = Prober(lambda: None, Latency(8), FakeTime())
    prober.start()
    prober.close()
    assert threads_now() <= threads
    Prober(lambda: None, Latency(8), FakeTime()).close()
