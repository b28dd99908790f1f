# SPDX-License-Identifier: Apache-2.0
"""However scenes flicker: nobody is told a hundred times, and what lasts is told.

A sequence is minutes to wait, which alerts are there then and how bad they are, whether somebody acknowledges one, and
jumps of the clock backwards.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.course import MOST_EVENTS, Item, Pace, Record, What, acknowledge, advance, read_record
from evidence.encode import encode_json, parse_json
from terminal.language import Text

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SETTLE = timedelta(minutes=10)
STATES = ("quiet:X013", "late:X013/his", "disk:center")
HAPPENED = ("gap:X013/his#4", "shrunk:X013/his#5")


def make(name: str, severity: int, now: datetime) -> Alert:
    kind, _, place = name.partition(":")
    return Alert(Kind(kind), place, Severity(severity), now, Text(zh="甲", en="a"), Text(zh="乙", en="b"))


@dataclass
class Told:
    """What one alert's people have heard."""

    tellings: list[tuple[datetime, Severity]] = field(default_factory=list)
    clears: int = 0


@dataclass
class Play:
    """A course that is played, and all that was said."""

    pace: Pace
    now: datetime = NOW
    records: dict[str, Record] = field(default_factory=dict)
    said: list[Item] = field(default_factory=list)

    def step(self, wait: timedelta, present: dict[str, int]) -> list[Item]:
        self.now += wait
        alerts = [make(name, severity, self.now) for name, severity in present.items()]
        self.records, items = advance(self.records, alerts, self.now, self.pace)
        self.said += items
        return items

    def acknowledge(self, name: str) -> None:
        if name in self.records and self.records[name].is_open:
            self.records[name] = acknowledge(self.records[name], self.now, "王芳", "知道了")

    def told(self, name: str) -> Told:
        told = Told()
        for item in self.said:
            if item.alert is None or item.alert.id != name:
                continue
            if item.what is What.CLEARED:
                told.clears += 1
            else:
                told.tellings.append((item.at, item.alert.severity))
        return told


PACES = st.sampled_from([Pace(DAY, SETTLE), Pace(None, SETTLE), Pace(3 * DAY, timedelta(0))])
PRESENT = st.dictionaries(st.sampled_from(STATES), st.integers(1, 3))
WAITS = st.integers(1, 40 * 60).map(lambda minutes: timedelta(minutes=minutes))
ACKS = st.none() | st.sampled_from((*STATES, *HAPPENED))
STEPS = st.lists(st.tuples(WAITS, PRESENT, ACKS), max_size=60)


@settings(max_examples=300, deadline=None)
@given(PACES, STEPS)
def test_nobody_is_told_more_often_than_once_a_period_but_for_worse(
    pace: Pace, steps: list[tuple[timedelta, dict[str, int], str | None]]
) -> None:
    play = Play(pace)
    for wait, present, ack in steps:
        play.step(wait, present)
        if ack is not None:
            play.acknowledge(ack)
    for name in STATES:
        told = play.told(name)
        assert told.clears <= len(told.tellings), "an all-clear follows a telling"
        for (before, bad), (after, worse) in zip(told.tellings, told.tellings[1:], strict=False):
            assert after - before >= pace.period or worse > bad
        periods = int((play.now - NOW) / pace.period) + 1
        assert len(told.tellings) <= len(Severity) * periods


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 0.99))
def test_a_day_of_minutes_that_flicker_is_told_a_handful_of_times(seed: int, often: float) -> None:
    chance = Random(seed)
    play = Play(Pace(DAY, SETTLE))
    for _ in range(24 * 60 - 1):
        present = {"quiet:X013": chance.randint(1, 3)} if chance.random() < often else {}
        play.step(timedelta(minutes=1), present)
    told = play.told("quiet:X013")
    assert len(told.tellings) <= len(Severity)
    assert told.clears <= len(Severity)


@settings(max_examples=200, deadline=None)
@given(PACES, STEPS)
def test_what_lasts_longer_than_a_period_is_told_whatever_came_before(
    pace: Pace, steps: list[tuple[timedelta, dict[str, int], str | None]]
) -> None:
    play = Play(pace)
    for wait, present, _ in steps:
        play.step(wait, present)
    play.step(pace.period + SETTLE, {})
    play.step(pace.period + SETTLE, {})
    before = len(play.told("late:X013/his").tellings)
    items = play.step(timedelta(minutes=1), {"late:X013/his": 2})
    assert [item.what for item in items if item.alert and item.alert.id == "late:X013/his"] == [What.RAISED]
    assert len(play.told("late:X013/his").tellings) == before + 1


@settings(max_examples=200, deadline=None)
@given(PACES, STEPS, st.integers(1, 3))
def test_an_alert_that_is_open_and_not_taken_on_has_been_told(
    pace: Pace, steps: list[tuple[timedelta, dict[str, int], str | None]], severity: int
) -> None:
    play = Play(pace)
    for wait, present, _ in steps:
        play.step(wait, present)
    began = play.now
    while play.now - began <= pace.period:
        play.step(timedelta(hours=1), {"quiet:X013": severity})
    told = play.records["quiet:X013"].told
    assert told is not None
    assert told >= play.records["quiet:X013"].raised


@settings(max_examples=200, deadline=None)
@given(STEPS, st.lists(st.sampled_from(HAPPENED), max_size=6))
def test_what_happened_is_told_once_and_has_no_all_clear(
    steps: list[tuple[timedelta, dict[str, int], str | None]], happened: list[str]
) -> None:
    play = Play(Pace(DAY, SETTLE))
    waiting = list(dict.fromkeys(happened))
    for wait, present, _ in steps:
        events = {waiting.pop(): 3} if waiting else {}
        play.step(wait, present | events)
    for name in HAPPENED:
        told = play.told(name)
        assert len(told.tellings) == (name in happened and name not in waiting)
        assert told.clears == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 200))
def test_an_agent_that_runs_wild_floods_nobody(per_minute: int, minutes_apart: int) -> None:
    play = Play(Pace(DAY, SETTLE))
    letters = told = 0
    for minute in range(0, 3 * 24 * 60, minutes_apart):
        events = {f"gap:X013/his#{minute}{i:03}": 3 for i in range(per_minute)} | {"gap:X014/his#1": 3}
        items = play.step(timedelta(minutes=minutes_apart), events)
        letters += bool(items)
        told += len(items)
    assert letters <= 1 + 3
    assert 2 <= told <= MOST_EVENTS + 1
    assert len(play.records) <= MOST_EVENTS + 1
    assert len({item.alert.id for item in play.said if item.alert}) == told, "each is told once"


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 400))
def test_a_clock_that_is_set_back_hides_nothing_for_longer_than_a_period(
    steps: list[tuple[timedelta, dict[str, int], str | None]], days: int
) -> None:
    play = Play(Pace(DAY, SETTLE))
    for wait, present, _ in steps:
        play.step(wait, present)
    play.now -= days * DAY
    heard = 0
    for _ in range(30):
        items = play.step(timedelta(hours=1), {"late:X013/his": 3})
        heard += sum(item.alert is not None and item.alert.id == "late:X013/his" for item in items)
    assert 1 <= heard <= 3


@settings(max_examples=200, deadline=None)
@given(PACES, STEPS)
def test_records_are_kept_as_they_are(pace: Pace, steps: list[tuple[timedelta, dict[str, int], str | None]]) -> None:
    play = Play(pace)
    for wait, present, ack in steps:
        play.step(wait, present)
        if ack is not None:
            play.acknowledge(ack)
    for record in play.records.values():
        assert read_record(parse_json(encode_json(record.to_json()), "a record")) == record
