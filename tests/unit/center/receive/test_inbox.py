# SPDX-License-Identifier: Apache-2.0
"""Drop boxes at the center: when a bag is taken, where it goes, and that nothing in one stops the others."""

import json
import os
import shutil
import subprocess
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from center.app import Center
from center.errors import InboxError, ServedError
from center.receive.answers import Answers
from center.receive.bags import TakenBag
from center.receive.inbox import Fate, InboxPoller
from evidence.bag.layout import ENVELOPE_PATH
from evidence.bag.read import BagReader
from evidence.bag.receipts import parse_receipts
from tests.builders.commands import wait_until
from tests.builders.drops import SETTLE, Drop, Opened, check_stored, fates, packs_of
from tests.builders.world import CENTER_COMMAND, ROOT, run_sql

pytestmark = pytest.mark.usefixtures("first_bag")


def test_a_bag_that_comes_file_by_file_in_any_order_is_taken_when_it_is_whole(drop: Drop, center: Opened) -> None:
    (bag,) = drop.bags()
    target = drop.arrivals / bag.name
    files = sorted((path for path in bag.rglob("*") if path.is_file()), reverse=True)
    needed = {ENVELOPE_PATH, *(str(p.relative_to(bag)) for p in packs_of(bag)), "data/statements/his/1.note"}
    come: set[str] = set()
    for path in files:
        name = str(path.relative_to(bag))
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
        come.add(name)
        expected = Fate.TAKEN if needed <= come else Fate.WAITS
        assert fates(center[1].scan()) == [expected], name
        if expected is Fate.TAKEN:
            break
    drop.carry_back()
    drop.send()
    check_stored(drop, center[0], 1)


def test_a_bag_that_is_never_whole_is_taken_in_part_once_it_stands_still(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    packs_of(bag)[0].unlink()
    for _ in range(3):
        assert fates(center[1].scan()) == [Fate.WAITS]
        drop.clock.now += SETTLE / 2
        (bag / "bag-info.txt").write_text(f"still changing at {drop.clock.now}")
    assert fates(center[1].scan()) == [Fate.WAITS]
    drop.clock.now += SETTLE
    assert fates(center[1].scan()) == [Fate.TAKEN]


def test_who_knows_that_nothing_more_will_come_need_not_wait(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    packs_of(bag)[0].unlink()
    (outcome,) = center[1].scan(is_settled=True)
    assert (outcome.fate, outcome.packs, outcome.statements) == (Fate.TAKEN, 0, 1)


def test_taken_bags_stay_for_a_while_and_refused_ones_until_a_person_looks(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    shutil.copytree(bag, drop.arrivals / "another")
    (drop.arrivals / "another" / "link").symlink_to("/etc")
    assert sorted(fates(center[1].scan())) == [Fate.REFUSED, Fate.TAKEN]
    done = drop.arrivals / "done" / drop.clock.now.date().isoformat() / bag.name
    refused = drop.arrivals / "refused" / "another"
    assert done.is_dir()
    drop.clock.now += timedelta(days=7)
    center[1].scan()
    assert done.is_dir()
    drop.clock.now += timedelta(days=1)
    center[1].scan()
    assert not done.exists()
    assert refused.is_dir()


def test_a_bag_of_a_name_that_was_there_before_is_kept_beside_it(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    for _ in range(3):
        shutil.copytree(bag, drop.folder / "again", dirs_exist_ok=True)
        center[1].scan()
        shutil.move(drop.folder / "again", bag)
    names = sorted(path.name for path in (drop.arrivals / "done").glob("*/*"))
    assert names == [bag.name, f"{bag.name}.2", f"{bag.name}.3"]


def test_names_that_are_no_text_do_no_harm(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    odd = os.fsencode(drop.arrivals) + b"/\xff\xfe\n"
    os.mkdir(odd)  # noqa: PTH102 - a name that is no text
    with open(odd + b"/\xff", "wb") as file:
        file.write(b"x")
    with open(os.fsencode(bag) + b"/data/\xff.txt", "wb") as file:
        file.write(b"x")
    assert sorted(fates(center[1].scan())) == [Fate.TAKEN, Fate.WAITS]
    drop.clock.now += SETTLE
    assert fates(center[1].scan()) == [Fate.REFUSED]
    assert fates(center[1].scan()) == []


def test_a_drop_box_that_cannot_be_read_is_told_after_the_others_were_looked_at(drop: Drop, center: Opened) -> None:
    center[0].close()
    path = drop.folder / "center" / "center.yaml"
    gone = f"{{folder: {drop.folder / 'gone'}, receipts: {drop.departures}}}"
    path.write_text(path.read_text(encoding="utf-8").replace("boxes: [", f"boxes: [{gone}, "), encoding="utf-8")
    with drop.center() as (again, inbox):
        drop.carry()
        with pytest.raises(InboxError, match="gone"):
            inbox.scan()
        drop.carry_back()
        drop.send()
        check_stored(drop, again, 1)


def test_receipts_that_cannot_be_written_leave_the_bag_where_it_is(drop: Drop, center: Opened) -> None:
    drop.carry()
    drop.departures.rmdir()
    drop.departures.write_text("a file in its way")
    assert fates(center[1].scan()) == [Fate.WAITS]
    drop.departures.unlink()
    drop.departures.mkdir()
    drop.clock.now += SETTLE
    assert fates(center[1].scan()) == [Fate.TAKEN]
    drop.carry_back()
    drop.send()
    check_stored(drop, center[0], 1)


def test_one_process_looks_at_the_drop_boxes(drop: Drop, center: Opened) -> None:
    with Center.open(drop.folder / "center", drop.clock) as other, pytest.raises(ServedError):
        other.inbox()


def test_the_daemon_looks_by_itself(drop: Drop, center: Opened) -> None:
    drop.carry()
    poller = InboxPoller(center[1], 0.01)
    poller.start()
    assert wait_until(lambda: any(drop.departures.glob("receipts-*")))
    poller.stop()
    drop.carry_back()
    drop.send()
    check_stored(drop, center[0], 1)


def test_who_may_read_the_folder_may_read_the_receipts(drop: Drop, center: Opened) -> None:
    drop.departures.chmod(0o750)
    before = os.umask(0o077)
    try:
        drop.carry()
        center[1].scan()
    finally:
        os.umask(before)
    (path,) = drop.departures.iterdir()
    assert path.stat().st_mode & 0o777 == 0o640


def test_each_answer_stands_for_those_before_it(drop: Drop, center: Opened) -> None:
    for night in range(3):
        run_sql(drop.folder / "his.db", "UPDATE ward SET beds = ?", 70 + night)
        drop.snapshot()
        drop.carry()
        center[1].scan()
    files = [parse_receipts(p.read_bytes(), center[0].operator.key) for p in drop.departures.iterdir()]
    newest = max(files, key=lambda receipts: receipts.size)
    assert len(newest.bags) == 4
    assert len(newest.receipts) == 4
    assert newest.latest is not None
    assert [proof.size for proof in newest.proofs] == sorted({r.size for r in files if r.size < newest.size})


def test_who_reads_media_beside_the_daemon_takes_turns_with_its_drop_boxes(drop: Drop, center: Opened) -> None:
    drop.carry()
    center[1].scan()
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 70")
    drop.snapshot()
    bags = [*drop.carry(), *(drop.arrivals / "done").glob("*/*")]
    first, second = (TakenBag(replace(BagReader(bags[0]).envelope, bag=f"{n:032x}")) for n in (1, 2))
    folder = drop.folder / "answers"
    facts = (folder, center[0].ledger, center[0].operator, drop.clock)
    other = threading.Thread(target=lambda: Answers(*facts).write(second, (), drop.departures))

    class Slow(Answers):
        """The other one comes in the midst of it."""

        def _given(self, unit: str) -> list[int]:
            given = super()._given(unit)
            other.start()
            other.join(0.3)
            return given

    Slow(*facts).write(first, (), drop.departures)
    other.join()
    third = TakenBag(replace(first.envelope, bag=f"{3:032x}"))
    raw = Answers(*facts).write(third, (), drop.departures).read_bytes()
    assert {answer.bag for answer in parse_receipts(raw, center[0].operator.key).bags} == {
        f"{n:032x}" for n in (1, 2, 3)
    }


def test_the_command_takes_them_once_and_says_what_became_of_each(drop: Drop, center: Opened) -> None:
    center[0].close()
    (bag,) = drop.carry()
    (drop.arrivals / "odd").mkdir()
    command = [*CENTER_COMMAND, "-C", str(drop.folder / "center"), "--lang", "en", "--json", "inbox"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    told = {each["bag"]: each for each in json.loads(done.stdout)["bags"]}
    assert (told[bag.name]["fate"], told[bag.name]["packs"], told[bag.name]["statements"]) == ("taken", 1, 1)
    assert told["odd"]["fate"] == "waits"
    assert ENVELOPE_PATH in told["odd"]["reason"]


def test_a_bag_is_a_sign_of_life_of_the_time_when_it_was_made(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    made = BagReader(bag).envelope.created
    drop.clock.now += timedelta(hours=5)
    center[1].scan()
    assert center[0].signs.last_seen() == {"X013": made}
    center[0].signs.see("X013", drop.clock.now)
    shutil.copytree(next((drop.arrivals / "done").glob("*/*")), drop.arrivals / "again")
    assert fates(center[1].scan()) == [Fate.TAKEN]
    assert center[0].signs.last_seen() == {"X013": drop.clock.now}, "an old bag has made the unit look silent"
