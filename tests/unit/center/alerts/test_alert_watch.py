# SPDX-License-Identifier: Apache-2.0
"""The watch: a part that fails is told and stops nothing; nothing unknown is cleared; threads come and go with it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.course import What
from center.alerts.letters import Letter
from center.alerts.look import Center as Looked
from center.alerts.look import Looker
from center.alerts.memory import Memory
from center.alerts.post import Post
from center.alerts.scene import Fresh, Scene
from center.alerts.watch import ALL_RULES, Rules, Watch
from center.app import Center
from center.errors import NotFoundError
from center.settings.alerts import AlertSettings
from terminal.language import Language, Text
from tests.builders.center import ORIGIN, Hospital, patients
from tests.builders.receivers import MovableClock
from tests.builders.scenes import DAY, NOW
from tests.builders.threads import threads_now

TEXT = Text(zh="甲", en="a")


@dataclass
class FakeChannel:
    """A channel that keeps letters."""

    name: str = "mail"
    least: Severity = Severity.NOTICE
    letters: list[Letter] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def send(self, letter: Letter) -> None:
        self.letters.append(letter)
        self.came.set()


@dataclass
class Stage:
    """A watch over a real center, whose rules, disk and channels the test holds."""

    center: Center
    clock: MovableClock
    memory: Memory
    free_bytes: int = 500 << 30
    failing: set[Kind] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    channels: list[FakeChannel] = field(default_factory=lambda: [FakeChannel()])

    def watch(self, settings: AlertSettings | None = None, rules: Rules | None = None) -> Watch:
        looked = Looked(
            self.center.folder, self.center.folder / "store", 16 << 20, self.center.units, self.center.catalog,
            self.center.ledger, self.center.store, self.center.signs, self.center.replay.catch_up, self.measure,
        )  # fmt: skip
        post = Post(self.memory, self.channels, ORIGIN, Language.EN, self.center.folder)
        chosen = settings or AlertSettings(test_day=None, settle=0)
        return Watch(Looker(looked, chosen), self.memory, post, self.clock, rules or ALL_RULES)

    def measure(self, folder: Path) -> tuple[int, int]:
        if self.free_bytes < 0:
            raise OSError(5, "Input/output error", str(folder))
        return self.free_bytes, 1000 << 30

    def rules(self) -> Rules:
        """Give two rules that the test holds, and one of events."""

        def make(kind: Kind) -> Iterator[Alert]:
            if kind in self.failing:
                raise ZeroDivisionError("a fault of ours")
            if kind.value in self.present:
                yield Alert(kind, "X013", Severity.ERROR, NOW, TEXT, TEXT)

        def quiet(_scene: Scene, _settings: AlertSettings) -> Iterator[Alert]:
            return make(Kind.QUIET)

        def late(_scene: Scene, _settings: AlertSettings) -> Iterator[Alert]:
            return make(Kind.LATE)

        def gap(_fresh: Fresh, _settings: AlertSettings) -> Iterator[Alert]:
            return make(Kind.GAP)

        return Rules({Kind.QUIET: quiet, Kind.LATE: late}, {Kind.GAP: gap})


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    clock = MovableClock(NOW)
    Center.create(tmp_path / "center", ORIGIN, clock=clock)
    memory = Memory(tmp_path / "alerts.sqlite")
    with Center.open(tmp_path / "center", clock) as center:
        center.signs.listen(NOW)
        yield Stage(center, clock, memory)
    memory.close()


def said(watch: Watch) -> list[tuple[str, str]]:
    return [(item.what.value, item.alert.id if item.alert else "-") for item in watch.look()]


def test_the_centers_own_disk_is_told_when_it_fills_and_when_there_is_room_again(stage: Stage) -> None:
    watch = stage.watch()
    assert said(watch) == []
    stage.free_bytes = 50 << 30
    for _ in range(600):
        stage.clock.now += timedelta(minutes=1)
        watch.look()
        watch.tell()
    assert [letter.subject for letter in stage.channels[0].letters] == [
        f"[{ORIGIN}] alert: the center's disk has 50.0 GiB left (5 %)"
    ]
    stage.free_bytes = 500 << 30
    stage.clock.now += timedelta(minutes=1)
    assert said(watch) == [("cleared", "disk:center")]


def test_a_channel_for_the_worst_hears_the_all_clear_although_it_became_less_bad_before(stage: Stage) -> None:
    pager = FakeChannel("pager", Severity.ERROR)
    stage.channels.append(pager)
    watch = stage.watch()
    for free_bytes in (10 << 20, 50 << 30, 500 << 30, 500 << 30):
        stage.free_bytes = free_bytes
        stage.clock.now += timedelta(minutes=1)
        watch.look()
        watch.tell()
    assert [letter.subject for letter in pager.letters] == [
        f"[{ORIGIN}] alert: the center's disk has 10.0 MiB left (0 %)",
        f"[{ORIGIN}] all clear: the center's disk has 50.0 GiB left (5 %)",
    ]
    stage.free_bytes = 50 << 30
    for wait in (timedelta(minutes=1), 2 * DAY):
        stage.clock.now += wait
        watch.look()
    stage.free_bytes = 500 << 30
    stage.clock.now += timedelta(minutes=1)
    watch.look()
    watch.tell()
    assert len(pager.letters) == 2, "of what was never so bad again it hears nothing"


def test_a_rule_that_fails_is_told_and_the_others_are_asked_all_the_same(stage: Stage) -> None:
    watch = stage.watch(rules=stage.rules())
    stage.present = {"quiet", "late"}
    assert said(watch) == [("raised", "quiet:X013"), ("raised", "late:X013")]
    stage.failing, stage.present = {Kind.QUIET, Kind.GAP}, set()
    stage.clock.now += timedelta(minutes=1)
    assert said(watch) == [("raised", "watch:quiet"), ("raised", "watch:gap"), ("cleared", "late:X013")]
    assert watch.records()["quiet:X013"].is_open, "nothing is known of it, so it is not mended"
    stage.failing = set()
    stage.clock.now += timedelta(minutes=1)
    assert said(watch) == [("cleared", "quiet:X013"), ("cleared", "watch:quiet"), ("cleared", "watch:gap")]


def test_a_scene_that_cannot_be_looked_at_is_told_and_nothing_is_cleared(stage: Stage) -> None:
    watch = stage.watch(rules=stage.rules())
    stage.present = {"late"}
    watch.look()
    stage.present, stage.free_bytes = {"gap"}, -1
    stage.clock.now += timedelta(minutes=1)
    assert said(watch) == [("raised", "watch:scene"), ("raised", "gap:X013")], "the log is looked at all the same"
    assert "Input/output error" in watch.records()["watch:scene"].alert.what.en


def test_a_channel_gets_nothing_below_its_least(stage: Stage) -> None:
    sms = FakeChannel("sms", Severity.ERROR)
    stage.channels.append(sms)
    stage.free_bytes = 50 << 30
    watch = stage.watch()
    watch.look()
    watch.tell()
    assert (len(stage.channels[0].letters), len(sms.letters)) == (1, 0)
    stage.free_bytes = 1 << 20
    stage.clock.now += timedelta(minutes=1)
    watch.look()
    watch.tell()
    assert (len(stage.channels[0].letters), len(sms.letters)) == (2, 1)


def test_what_was_in_the_log_before_the_first_look_is_told_to_nobody(stage: Stage) -> None:
    hospital = Hospital(stage.center)
    hospital.gap("long ago")
    watch = stage.watch()
    assert said(watch) == []
    hospital.gap("just now")
    assert said(watch) == [("raised", "gap:X013/his#2")]
    assert said(watch) == []


def test_a_snapshot_that_has_shrunk_is_told_though_the_center_was_started_anew_meanwhile(stage: Stage) -> None:
    hospital = Hospital(stage.center)
    hospital.snapshot(patients(100))
    assert said(stage.watch()) == []
    hospital.snapshot(patients(60))
    assert said(stage.watch()) == [("raised", "shrunk:X013/his#2")]


def test_only_an_open_alert_can_be_taken_on(stage: Stage) -> None:
    watch = stage.watch(rules=stage.rules())
    stage.present = {"late"}
    watch.look()
    record = watch.acknowledge("late:X013", "王芳", "知道了")
    assert record.acknowledged is not None
    stage.present = set()
    stage.clock.now += timedelta(minutes=1)
    assert said(watch) == [("cleared", "late:X013")]
    with pytest.raises(NotFoundError, match="no open alert"):
        watch.acknowledge("late:X013", "王芳", "知道了")


def test_an_event_that_is_taken_on_is_settled(stage: Stage) -> None:
    watch = stage.watch(rules=stage.rules())
    stage.present = {"gap"}
    watch.look()
    stage.present = set()
    stage.clock.now += 20 * DAY
    assert said(watch) == []
    assert watch.records()["gap:X013"].is_open
    assert not watch.acknowledge("gap:X013", "王芳", "停电").is_open


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 12, 1, 0, 59, tzinfo=UTC), False),  # 08:59 in Shanghai
        (datetime(2026, 12, 1, 1, 0, tzinfo=UTC), True),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), True),
        (datetime(2027, 2, 1, 0, 0, tzinfo=UTC), True),  # January's, made up
    ],
)
def test_the_test_alarm_is_due_on_its_day_at_its_hour_and_made_up(stage: Stage, now: datetime, due: bool) -> None:
    watch = stage.watch(AlertSettings(disk=0.1))
    assert said(watch) == [], "not at the first look"
    stage.clock.now = now
    tests = [what for what, _ in said(watch) if what == What.TEST.value]
    assert tests == (["test"] if due else [])
    stage.clock.now += timedelta(minutes=1) if due else timedelta(0)
    assert What.TEST.value not in [what for what, _ in said(watch)]


def test_it_watches_in_threads_of_its_own_and_they_end_with_it(stage: Stage) -> None:
    before = threads_now()
    stage.free_bytes = 1 << 20
    stage.clock.now += DAY
    watch = stage.watch()
    with watch.running():
        assert stage.channels[0].came.wait(60), "the first look is told at once"
        assert stage.center.signs.listening().started == stage.clock.now
    assert threads_now() <= before
    assert len(stage.channels[0].letters) == 1


def test_what_another_process_has_noted_meanwhile_is_not_noted_again(stage: Stage) -> None:
    hospital = Hospital(stage.center)
    other = stage.watch()
    other.look()
    hospital.gap("just now")

    def gap_and_another_look(fresh: Fresh, settings: AlertSettings) -> Iterator[Alert]:
        assert said(other) == [("raised", "gap:X013/his#1")]
        return ALL_RULES.events[Kind.GAP](fresh, settings)

    slow = stage.watch(rules=Rules({}, {Kind.GAP: gap_and_another_look}))
    assert said(slow) == []
    facts = stage.memory.facts()
    assert facts is not None
    assert facts.examined == stage.center.ledger.size
    assert stage.memory.count_pending("mail") == 1
