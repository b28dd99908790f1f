# SPDX-License-Identifier: Apache-2.0
"""What is amiss reaches a mail server and a webhook once, not a hundred times: days of minutes, a real center, real servers.

The clock is injected; the watch looks and tells once for each of its minutes. Units call and send snapshots as agents do.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from center.alerts.watch import Watch
from center.app import Center
from evidence.wire.heartbeat import Failure, Heartbeat, SourceBeat
from tests.builders.center import ORIGIN, Hospital, patients, wards
from tests.builders.listeners import Hook, MailBox, run_hook, run_mail
from tests.builders.receivers import MovableClock

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)  # a Monday, 09:00 in Shanghai
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
CONFIG = """\
origin: {origin}
language: en
disk_reserve: 16 MiB
alerts:
  quiet_after: 6 h
  disk: 0.001
  repeat: {repeat}
  test_day: {test_day}
  expected:
    - {{source: his, by: "20:00", level: stored}}
  channels:
    - {{name: mail, kind: mail, host: 127.0.0.1, port: {port}, tls: none, sender: jinsuo@archives.example,
       to: [duty@archives.example, boss@archives.example]}}
    - {{name: hook, kind: webhook, url: "{url}", secret: "env:HOOK"}}
"""


@dataclass
class World:
    """A center that is watched minute by minute."""

    center: Center
    watch: Watch
    clock: MovableClock
    mail: MailBox
    hook: Hook
    hospitals: dict[str, Hospital] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    free: dict[str, int] = field(default_factory=dict)
    clock_errors: dict[str, timedelta] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def add(self, unit: str) -> Hospital:
        """Add a unit that has one source with a stored snapshot."""
        hospital = Hospital(self.center, unit)
        self.hospitals[unit] = hospital
        self.snapshot(unit)
        return hospital

    def snapshot(self, unit: str, rows: int = 200, schema: bool = False) -> None:
        """Send a snapshot of a unit's source."""
        tables = [patients(rows)] + ([wards("内科")] if schema else [])
        assert self.hospitals[unit].snapshot(*tables).receipt is not None

    def minute(self, step: timedelta = MINUTE) -> None:
        """Let a minute pass: who is not silent calls each quarter of an hour; then the watch looks, and tells."""
        self.clock.now += step
        now = self.clock.now
        if now.minute % 15 == 0:
            for unit in self.hospitals.keys() - self.silent:
                self.call(unit)
        self.center.signs.keep_listening(now)
        self.watch.look()
        for sender in self.watch.senders:
            self.watch.deliver(sender)

    def call(self, unit: str) -> None:
        """Let a unit's agent send a heartbeat."""
        now = self.clock.now
        beat = Heartbeat(
            now + self.clock_errors.get(unit, timedelta(seconds=-2)), "jinsuo test", self.free.get(unit, 100 << 30),
            False, None, (SourceBeat("his", failure=self.failures.get(unit)),),
        )  # fmt: skip
        self.center.signs.see(unit, now)
        self.center.signs.hear(unit, beat, now)

    def pass_time(self, span: timedelta, step: timedelta = MINUTE) -> None:
        """Let time pass minute by minute."""
        for _ in range(int(span / step)):
            self.minute(step)

    def nights(self, count: int, rows: dict[str, int] | None = None, step: timedelta = MINUTE) -> None:
        """Let days pass; each unit that is not silent sends a snapshot at noon of each (20:00 in Shanghai comes after)."""
        for _ in range(count):
            self.pass_time(timedelta(hours=3), step)
            for unit in self.hospitals.keys() - self.silent:
                self.snapshot(unit, (rows or {}).get(unit, 200))
            self.pass_time(timedelta(hours=21), step)

    @property
    def mailed(self) -> Counter[tuple[str, str]]:
        """Count what the mails say: (what, id of the alert)."""
        words = {"alert": "raised", "still so": "repeated", "all clear": "cleared"}
        found = [
            one for text in self.mail.texts for one in re.findall(r"^([a-z ]+) \[\w+\] (\S+)\r?$", text, re.MULTILINE)
        ]
        return Counter((words[what], name) for what, name in found)


@contextmanager
def open_world(folder: Path, repeat: str = "null", test_day: str = "null", now: datetime = NOW) -> Iterator[World]:
    clock = MovableClock(now)
    with run_mail() as mail, run_hook() as hook:
        if not folder.exists():
            Center.create(folder, ORIGIN, clock=clock)
        text = CONFIG.format(origin=ORIGIN, repeat=repeat, test_day=test_day, port=mail.port, url=hook.url)
        (folder / "center.yaml").write_text(text, encoding="utf-8")
        with Center.open(folder, clock) as center:
            center.signs.listen(clock.now)
            watch = center.watch({"HOOK": "s3cret of the hook"})
            watch.look()
            yield World(center, watch, clock, mail, hook)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path / "center") as opened:
        yield opened


def test_each_trouble_reaches_mail_and_webhook_once_and_not_a_hundred_times(world: World) -> None:
    for unit in ("X010", "X011", "X012", "X013", "X014", "X015", "X016"):
        world.add(unit)
        world.call(unit)
    world.nights(1, step=15 * MINUTE)
    assert world.hook.posts == [], "nothing is amiss"
    world.silent.add("X011")
    world.free["X012"] = 3 << 30
    world.clock_errors["X015"] = timedelta(hours=1)
    world.failures["X016"] = Failure(world.clock.now, "JS-2101")
    world.snapshot("X014", schema=True)
    world.nights(1, {"X013": 120})
    world.nights(1, {"X013": 120}, step=5 * MINUTE)
    expected = Counter(
        {
            ("raised", "quiet:X011"): 1,
            ("raised", "late:X011/his"): 1,
            ("raised", "agent-disk:X012"): 1,
            ("raised", "shrunk:X013/his#3"): 1,
            ("raised", "schema:X014/his#3"): 1,
            ("raised", "schema:X014/his#4"): 1,  # the table is gone again
            ("raised", "clock:X015"): 1,
            ("raised", "failing:X016/his"): 1,
        }
    )
    assert world.hook.told == expected
    assert world.mailed == expected


def test_what_is_mended_brings_one_all_clear(world: World) -> None:
    world.add("X011")
    world.call("X011")
    world.silent.add("X011")
    world.pass_time(timedelta(hours=7))
    assert world.hook.told == {("raised", "quiet:X011"): 1}
    world.silent.clear()
    world.pass_time(timedelta(hours=2))
    assert world.hook.told == world.mailed == {("raised", "quiet:X011"): 1, ("cleared", "quiet:X011"): 1}


def test_a_start_of_the_center_makes_no_silent_unit_heard(tmp_path: Path) -> None:
    with open_world(tmp_path / "center") as world:
        world.add("X011")
        world.call("X011")
        world.silent.add("X011")
        world.pass_time(timedelta(hours=7))
        assert world.hook.told == {("raised", "quiet:X011"): 1}
    now = world.clock.now + DAY
    with open_world(tmp_path / "center", now=now) as world:
        world.pass_time(timedelta(hours=1))
        assert world.hook.posts == [], "neither raised again nor cleared"
        world.center.signs.see("X011", world.clock.now)
        world.pass_time(timedelta(hours=1))
        assert world.hook.told == {("cleared", "quiet:X011"): 1}


def test_what_lasts_is_told_again_once_a_day_until_somebody_takes_it_on(tmp_path: Path) -> None:
    with open_world(tmp_path / "center", repeat="1 d") as world:
        world.add("X012")
        world.call("X012")
        world.free["X012"] = 3 << 30
        world.nights(3, step=15 * MINUTE)
        name = "agent-disk:X012"
        assert world.hook.told == world.mailed == {("raised", name): 1, ("repeated", name): 2}
        world.watch.acknowledge(name, "王芳", "新硬盘已订购")
        world.nights(2, step=15 * MINUTE)
        assert world.hook.told == {("raised", name): 1, ("repeated", name): 2}
        world.free["X012"] = 300 << 30
        world.nights(1, step=15 * MINUTE)
        assert world.hook.told == {("raised", name): 1, ("repeated", name): 2, ("cleared", name): 1}


def test_a_channel_that_was_down_gets_all_in_one_letter_and_the_other_does_not_wait(world: World) -> None:
    for unit in ("X011", "X012"):
        world.add(unit)
        world.call(unit)
    world.mail.refuse = "451 later"
    world.silent.add("X011")
    world.free["X012"] = 3 << 30
    world.pass_time(timedelta(hours=12))
    assert world.mail.letters == []
    told = {("raised", "quiet:X011"): 1, ("raised", "agent-disk:X012"): 1, ("raised", "channel:mail"): 1}
    assert {key: world.hook.told[key] for key in told} == told
    world.mail.refuse = None
    world.pass_time(timedelta(hours=2))
    (letter,) = world.mail.letters[:1]
    assert [world.mailed[key] for key in told] == [1, 1, 1]
    assert letter.get_content().count("[warning]") >= 2
    assert world.hook.told["cleared", "channel:mail"] == 1


def test_a_mail_is_whole_in_chinese_and_the_webhook_is_signed(tmp_path: Path) -> None:
    import hashlib
    import hmac

    with open_world(tmp_path / "center") as world:
        (tmp_path / "center" / "center.yaml").write_text(
            (tmp_path / "center" / "center.yaml").read_text(encoding="utf-8").replace("language: en", "language: zh"),
            encoding="utf-8",
        )
        world.add("X012")
        world.free["X012"] = 3 << 30
        world.call("X012")
        with Center.open(tmp_path / "center", world.clock) as center:
            watch = center.watch({"HOOK": "s3cret of the hook"})
            watch.look()
            assert watch.tell() == {}
        (letter,) = world.mail.letters
        assert letter["Subject"] == f"[{ORIGIN}] 告警: X012 的采集端磁盘仅剩 3.0 GiB"
        assert letter["To"] == "duty@archives.example, boss@archives.example"
        assert letter["Auto-Submitted"] == "auto-generated"
        assert "请该单位腾出空间" in letter.get_content()
        assert world.mail.recipients == [["duty@archives.example", "boss@archives.example"]]
        ((body, headers),) = world.hook.posts
        mac = hmac.new(b"s3cret of the hook", body, hashlib.sha256).hexdigest()
        assert headers["Jinsuo-Signature"] == f"sha256={mac}"
        assert headers["Jinsuo-Letter"] == world.hook.documents[0]["id"]


def test_once_a_month_a_test_alarm_comes_and_only_then(tmp_path: Path) -> None:
    with open_world(tmp_path / "center", test_day="24") as world:
        world.pass_time(timedelta(hours=23, minutes=59))
        assert world.hook.posts == []
        world.pass_time(timedelta(minutes=2))
        assert world.hook.told == {("test", "-"): 1}
        world.pass_time(DAY)
        world.clock.now += 40 * DAY  # the center was off: it is made up once
        world.pass_time(timedelta(hours=1))
        assert world.hook.told["test", "-"] == 2
        assert len(world.mail.letters) == len(world.hook.posts)


def test_two_watches_at_once_tell_nothing_twice(world: World, tmp_path: Path) -> None:
    world.add("X011")
    world.call("X011")
    world.silent.add("X011")
    with Center.open(tmp_path / "center", world.clock) as center:
        other = center.watch({"HOOK": "s3cret of the hook"})
        for _ in range(8 * 60):
            world.minute()
            other.look()
            for sender in other.senders:
                other.deliver(sender)
    assert world.hook.told == world.mailed == {("raised", "quiet:X011"): 1}
