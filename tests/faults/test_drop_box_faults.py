# SPDX-License-Identifier: Apache-2.0
"""Drop boxes when lines are cut, bits flip, disks are full, and processes die: nothing is lost, little is sent twice."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import DropBoxError, HostKeyError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from agent.transport.folderbox import FolderBox
from center.receive.inbox import Fate
from evidence.bag.read import BagReader
from tests.builders.drops import Drop, check_stored, fates
from tests.builders.world import AGENT_COMMAND, CENTER_COMMAND, ROOT, check_chain, make_incompressible
from tests.contract.test_drop_boxes import make_sftp_drop
from tests.fakes.line import FaultyLine
from tests.servers.sshd import SshServer, make_host_key

BYTES = 14_000_000


@contextmanager
def _behind(line: FaultyLine, folder: Path, server: SshServer) -> Iterator[Drop]:
    """Give an enrolled agent whose SFTP server is behind a line; the center is closed."""
    drop = make_sftp_drop(folder, server, line.port)
    drop.make_center()
    with drop.center() as (center, _):
        drop.enroll(center, make_incompressible(folder / "large.db", BYTES))
    yield drop


def _put(drop: Drop) -> DropBoxError | None:
    """Send once; give what was in the way."""
    with drop.agent() as agent:
        (outcome,) = agent.send(Silent())
    assert outcome.trouble is None or isinstance(outcome.trouble, DropBoxError), outcome.trouble
    return outcome.trouble


def test_an_upload_that_is_cut_goes_on_where_it_was(tmp_path: Path, ssh_server: SshServer) -> None:
    with FaultyLine(ssh_server.port) as line, _behind(line, tmp_path, ssh_server) as drop:
        drop.snapshot(send=False)
        line.cuts.extend([3_000_000, 7_000_000, 11_000_000])
        troubles = 0
        while _put(drop) is not None:
            troubles += 1
            assert drop.bags() == [], "a bag that is not whole has no name"
        assert troubles == line.hits == 3
        (bag,) = drop.bags()
        size = sum(path.stat().st_size for path in bag.rglob("*") if path.is_file())
        # What was under way when the line was cut goes again, at most a window of it; and SSH has words of its own.
        assert size < line.sent < size * 1.02 + 4 * (4 << 20)
        with drop.center() as (center, inbox):
            drop.exchange(inbox)
            check_stored(drop, center, 1)


def test_flipped_bits_on_the_line_never_get_into_a_bag(tmp_path: Path, ssh_server: SshServer) -> None:
    with FaultyLine(ssh_server.port) as line, _behind(line, tmp_path, ssh_server) as drop:
        drop.snapshot(send=False)
        line.flips.extend([100_000, 5_000_000])
        line.answer_flips.append(1_500)
        while _put(drop) is not None:
            assert drop.bags() == []
        assert line.hits >= 2
        (bag,) = drop.bags()
        reader = BagReader(bag)
        assert (reader.find_absent(), reader.find_damaged_lists()) == ([], [])
        with drop.center() as (center, inbox):
            assert fates(drop.exchange(inbox)) == [Fate.TAKEN]
            check_stored(drop, center, 1)


def test_a_server_with_another_host_key_is_shown_nothing(tmp_path: Path, ssh_server: SshServer) -> None:
    drop = make_sftp_drop(tmp_path, ssh_server)
    drop.make_center()
    make_host_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    with drop.center() as (center, _):
        drop.enroll(
            center, make_incompressible(tmp_path / "s.db", 20_000), drop.road.replace(ssh_server.host_key, other)
        )
    before = len(ssh_server.log)
    drop.snapshot(send=False)
    with drop.agent() as agent, pytest.raises(HostKeyError):
        agent.send(Silent())
    assert list(drop.outbox.iterdir()) == []
    assert not any("Accepted" in line for line in ssh_server.log[before:])


def test_a_share_that_is_gone_is_told_and_nothing_is_lost(drop: Drop) -> None:
    with drop.center() as (center, inbox):
        drop.outbox.rmdir()
        drop.snapshot(send=False)
        trouble = _put(drop)
        assert trouble is not None and str(drop.outbox) in str(trouble)
        assert not drop.outbox.exists(), "a share that is not mounted is not made anew"
        drop.outbox.mkdir()
        assert _put(drop) is None
        drop.exchange(inbox)
        check_stored(drop, center, 1)


def test_a_copy_that_was_cut_goes_on_file_by_file(tmp_path: Path) -> None:
    bag, outbox = tmp_path / "bag", tmp_path / "outbox"
    for path, body in (("bagit.txt", b"whole"), ("data/one", b"x" * 100), ("data/two", b"y" * 100)):
        (bag / path).parent.mkdir(parents=True, exist_ok=True)
        (bag / path).write_bytes(body)
    part = outbox / ".name.part"
    shutil.copytree(bag, part)
    (part / "data" / "two").unlink()
    (part / "data" / ".two.tmp").write_bytes(b"y" * 50)
    whole = (part / "data" / "one").stat().st_ino
    box = FolderBox(outbox, tmp_path)
    for _ in range(2):
        box.put("name", bag)
    target = outbox / "name"
    assert (target / "data" / "two").read_bytes() == b"y" * 100
    assert (target / "data" / "one").stat().st_ino == whole, "what is there in full is not copied again"
    assert sorted(path.name for path in outbox.rglob("*")) == ["bagit.txt", "data", "name", "one", "two"]


def test_what_lies_in_an_inbox_under_the_name_of_receipts_and_is_no_file_is_left_alone(tmp_path: Path) -> None:
    name = f"receipts-X013-his-{'0' * 32}.note"
    os.mkfifo(tmp_path / name)
    (tmp_path / name.replace("his", "lis")).symlink_to("/etc/passwd")
    (tmp_path / name.replace("his", "pacs")).write_bytes(b"")
    assert FolderBox(tmp_path, tmp_path).receipts() == [name.replace("his", "pacs")]


def _run_killed(words: list[str], after_s: float | None) -> int:
    """Run a command; kill it with SIGKILL after a while."""
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "JINSUO_LANG": "en"},
    ) as process:  # fmt: skip
        try:
            return process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.long)])
def test_killed_at_any_moment_on_either_side_nothing_is_lost_or_logged_twice(drop_box: Drop, kills: int) -> None:
    seed = int(os.environ.get("JINSUO_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"JINSUO_TEST_SEED={seed}\n")
    chance = random.Random(seed)
    with drop_box.center() as (center, _):
        drop_box.enroll(center, make_incompressible(drop_box.folder / "large.db", BYTES))
    drop_box.snapshot(send=False)
    sending = [*AGENT_COMMAND, "-C", str(drop_box.agent_folder), "send"]
    taking = [*CENTER_COMMAND, "-C", str(drop_box.folder / "center"), "inbox"]
    # Starting an interpreter takes a part of a run; the moments are spread over what comes after, too.
    for _ in range(kills):
        _run_killed(sending, chance.uniform(0.2, 1.5))
    assert _run_killed(sending, None) in (0, 2)
    drop_box.carry()
    for _ in range(kills):
        _run_killed(taking, chance.uniform(0.3, 2.0))
    assert _run_killed(taking, None) == 0
    drop_box.carry_back()
    for _ in range(kills):
        _run_killed(sending, chance.uniform(0.2, 1.0))
    assert _run_killed(sending, None) == 0
    assert drop_box.stages() == [Stage.STORED]
    with drop_box.center() as (center, _):
        check_stored(drop_box, center, 1)
        assert check_chain(center, "X013", "his") == ["snapshot"]
    with drop_box.agent() as agent:
        assert agent.spool("his").packs() == []
        assert list(agent.folder.glob("bags/his/*")) == []
