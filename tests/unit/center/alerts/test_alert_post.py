# SPDX-License-Identifier: Apache-2.0
"""The memory and the post: at least once through any crash, once without one, and nothing piles up on a dead channel."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.channels import ChannelError
from center.alerts.course import Item, Pace, What, advance
from center.alerts.letters import Letter
from center.alerts.memory import Facts, Memory
from center.alerts.post import LONGEST_WAIT, MOST_ITEMS, Post
from center.errors import FullError, StoreError
from center.registry.lock import FolderLock
from terminal.language import Language, Text
from tests.builders.receivers import MovableClock
from tests.builders.scenes import DAY, NOW

PACE = Pace(DAY, timedelta(0))


class Killed(BaseException):
    """The process ends here."""


def make(place: str = "X013", severity: Severity = Severity.WARNING) -> Alert:
    return Alert(Kind.QUIET, place, severity, NOW, Text(zh="没有音信", en="is quiet"), Text(zh="打电话", en="call"))


@dataclass
class FakeChannel:
    """A channel that keeps letters, and fails on command: before it has taken one, or just after."""

    name: str = "mail"
    least: Severity = Severity.NOTICE
    letters: list[Letter] = field(default_factory=list)
    tries: int = 0
    fail: BaseException | None = None
    fail_after: BaseException | None = None

    def send(self, letter: Letter) -> None:
        self.tries += 1
        if self.fail is not None:
            raise self.fail
        self.letters.append(letter)
        if self.fail_after is not None:
            raise self.fail_after


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    opened = Memory(tmp_path / "alerts.sqlite")
    yield opened
    opened.close()


def raise_alert(memory: Memory, *names: str, now: datetime = NOW, channels: tuple[str, ...] = ("mail",)) -> list[Item]:
    """Look once: these are amiss."""
    with memory.turn() as turn:
        before = turn.records()
        after, items = advance(before, [make(name) for name in names], now, PACE)
        turn.keep(before, after)
        turn.keep_facts(Facts(now, 7, now))
        for channel in channels:
            turn.say(channel, items)
    return items


def serve(post: Post, clock: MovableClock) -> None:
    """Serve every channel once, as the daemon does."""
    for sender in post.senders:
        post.deliver(sender, clock)


def open_post(memory: Memory, folder: Path, *channels: FakeChannel) -> Post:
    return Post(memory, channels, "archives.example/jinsuo", Language.EN, folder)


DOWN = ChannelError("it does not answer", hint="wait")


def test_what_is_said_is_sent_once(memory: Memory, tmp_path: Path, clock: MovableClock) -> None:
    channel = FakeChannel()
    post = open_post(memory, tmp_path, channel)
    raise_alert(memory, "X013")
    for _ in range(100):
        serve(post, clock)
        clock.now += timedelta(minutes=1)
    assert len(channel.letters) == 1
    assert "quiet:X013" in channel.letters[0].text


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_a_delivery_it_is_sent_once_more_at_most(
    tmp_path: Path, clock: MovableClock, moment: str
) -> None:
    channel = FakeChannel()
    setattr(channel, "fail" if moment == "before" else "fail_after", Killed())
    memory = Memory(tmp_path / "alerts.sqlite")
    raise_alert(memory, "X013")
    with pytest.raises(Killed):
        serve(open_post(memory, tmp_path, channel), clock)
    memory.close()
    channel.fail = channel.fail_after = None
    again = Memory(tmp_path / "alerts.sqlite")
    post = open_post(again, tmp_path, channel)
    serve(post, clock)
    serve(post, clock)
    again.close()
    assert len(channel.letters) == (1 if moment == "before" else 2)
    assert len({letter.id for letter in channel.letters}) == 1, "who got it twice can tell by its id"


def test_a_look_that_is_cut_off_has_decided_nothing_and_the_next_says_it_once(memory: Memory) -> None:
    with pytest.raises(Killed), memory.turn() as turn:
        after, items = advance({}, [make()], NOW, PACE)
        turn.keep({}, after)
        turn.say("mail", items)
        raise Killed
    assert memory.records() == {}
    assert memory.pending("mail", 10) == []
    raise_alert(memory, "X013")
    raise_alert(memory, "X013", now=NOW + timedelta(minutes=1))
    assert [one.item.what for one in memory.pending("mail", 10)] == [What.RAISED]


def test_a_channel_that_is_down_is_tried_less_and_less_with_one_letter(
    memory: Memory, tmp_path: Path, clock: MovableClock
) -> None:
    channel, other = FakeChannel(fail=DOWN), FakeChannel("hook")
    post = open_post(memory, tmp_path, channel, other)
    raise_alert(memory, "X013", channels=("mail", "hook"))
    for _ in range(24 * 60):
        serve(post, clock)
        clock.now += timedelta(minutes=1)
    # After 0, 1, 3, 7, 15, 31, 63 minutes, then each hour.
    assert channel.tries == 7 + 22
    assert len(other.letters) == 1
    channel.fail = None
    clock.now += LONGEST_WAIT
    serve(post, clock)
    assert len(channel.letters) == 1
    assert memory.troubles() == {}


def test_nothing_piles_up_on_a_dead_channel(memory: Memory, tmp_path: Path, clock: MovableClock) -> None:
    post = open_post(memory, tmp_path, FakeChannel(fail=DOWN))
    for day in range(200):
        clock.now = NOW + day * DAY
        raise_alert(memory, *(("X013", "X014") if day % 3 else ()), now=clock.now)
        serve(post, clock)
    assert memory.count_pending("mail") <= 4


def test_a_program_error_in_a_channel_is_a_channel_that_is_down(
    memory: Memory, tmp_path: Path, clock: MovableClock
) -> None:
    channel = FakeChannel(fail=ZeroDivisionError("hunter2"))
    raise_alert(memory, "X013")
    failed = open_post(memory, tmp_path, channel).deliver_all(clock)
    assert failed["mail"].code == "JS-3221"
    assert "hunter2" not in str(failed["mail"])


def test_a_person_who_waits_is_served_at_once_and_harms_no_daemon(
    memory: Memory, tmp_path: Path, clock: MovableClock
) -> None:
    channel = FakeChannel(fail=DOWN)
    post = open_post(memory, tmp_path, channel)
    raise_alert(memory, "X013")
    assert post.deliver_all(clock)["mail"] is DOWN
    assert memory.troubles() == {}, "the daemon, which may have the secret that a shell lacks, tries as before"
    serve(post, clock)
    assert memory.troubles()["mail"].failures == 1
    channel.fail = None
    assert post.deliver_all(clock) == {}
    assert len(channel.letters) == 1, "though the daemon would have waited"


def test_a_clock_that_was_set_back_keeps_no_channel_waiting(
    memory: Memory, tmp_path: Path, clock: MovableClock
) -> None:
    channel = FakeChannel(fail=DOWN)
    post = open_post(memory, tmp_path, channel)
    raise_alert(memory, "X013")
    serve(post, clock)
    channel.fail = None
    clock.now -= 300 * DAY
    serve(post, clock)
    assert len(channel.letters) == 1


def test_more_than_a_letter_holds_goes_in_several(memory: Memory, tmp_path: Path, clock: MovableClock) -> None:
    channel = FakeChannel()
    raise_alert(memory, *(f"X{i:03}" for i in range(MOST_ITEMS + 20)))
    open_post(memory, tmp_path, channel).deliver_all(clock)
    assert len(channel.letters) == 2
    assert memory.count_pending("mail") == 0


def test_what_waits_on_a_channel_that_is_no_more_is_let_fall(memory: Memory, tmp_path: Path) -> None:
    raise_alert(memory, "X013", channels=("fax", "mail"))
    open_post(memory, tmp_path, FakeChannel())
    assert (memory.count_pending("fax"), memory.count_pending("mail")) == (0, 1)


def test_a_channel_that_another_process_serves_is_left_to_it(
    memory: Memory, tmp_path: Path, clock: MovableClock
) -> None:
    channel = FakeChannel()
    post = open_post(memory, tmp_path, channel)
    raise_alert(memory, "X013")
    with FolderLock(tmp_path / "alerts.mail.lock").try_hold() as is_ours:
        assert is_ours
        assert post.deliver(channel, clock) is None
    assert channel.letters == []
    post.deliver(channel, clock)
    assert len(channel.letters) == 1


def test_where_the_note_of_it_cannot_be_written_one_process_sends_it_once(
    memory: Memory, tmp_path: Path, clock: MovableClock
) -> None:
    channel = FakeChannel()
    post = open_post(memory, tmp_path, channel)
    raise_alert(memory, "X013")
    with sqlite3.connect(tmp_path / "alerts.sqlite") as db:
        db.execute("CREATE TRIGGER full BEFORE DELETE ON pending BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    for _ in range(5):
        with pytest.raises((StoreError, FullError)):
            post.deliver(channel, clock)
    assert len(channel.letters) == 1
    with db:
        db.execute("DROP TRIGGER full")
    db.close()
    post.deliver(channel, clock)
    assert memory.count_pending("mail") == 0
    assert len(channel.letters) == 1


def test_a_damaged_memory_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"no database, " * 500)
    memory = Memory(path)
    assert memory.records() == {}
    assert memory.facts() is None
    assert (tmp_path / "alerts.sqlite.damaged").read_bytes().startswith(b"no database")
    memory.close()


def test_records_and_facts_are_there_after_a_restart(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "alerts.sqlite")
    raise_alert(memory, "X013")
    records, facts = memory.records(), memory.facts()
    memory.close()
    again = Memory(tmp_path / "alerts.sqlite")
    assert again.records() == records
    assert again.facts() == facts == Facts(NOW, 7, NOW)
    again.close()


def test_a_record_of_another_version_is_left_out(memory: Memory, tmp_path: Path) -> None:
    raise_alert(memory, "X013", "X014")
    with sqlite3.connect(tmp_path / "alerts.sqlite") as db:
        db.execute("UPDATE record SET body = ? WHERE id = 'quiet:X013'", (b"{}",))
        db.execute("UPDATE pending SET body = ? WHERE key = 'told quiet:X013'", (b"{}",))
    db.close()
    assert list(memory.records()) == ["quiet:X014"]
    assert [one.item.alert.id for one in memory.pending("mail", 9) if one.item.alert] == ["quiet:X014"]
    assert memory.count_pending("mail") == 1, "what nobody can read waits no longer"
