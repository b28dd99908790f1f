# SPDX-License-Identifier: Apache-2.0
"""The ledger cut short at every step: by an error, by the death of the process, by loss of power, by SIGKILL.

After each cut, always: what a stranger sees is whole (`checkpoint` is never ahead of its tiles); what was acknowledged
is there; the ledger opens and goes on; an entry that is appended again gets one place; no size was ever signed twice
with two roots. The matrix is that of Sunlight's TestSequenceErrors, with every step and both kinds of failure.
"""

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from center.errors import CenterError, FullError, StoreError
from center.ledger.ledger import Ledger
from center.ledger.lock import LedgerLock, LostSwapError
from center.ledger.sequence import Step
from evidence.digest import leaf_hash, tree_head
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from evidence.manifest.entry import Level, parse_entry
from evidence.manifest.receipt import verify_receipt
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note
from tests.builders.ledgers import (
    COSIGNER,
    LOG,
    Clock,
    Crash,
    RecordingSigner,
    Steps,
    check_files,
    drafts,
    make_ledger,
    note_of,
    open_ledger,
    published_notes,
    raising,
)

ROOT = Path(__file__).parents[2]
BEFORE = [0, 3, 254, 255, 256, 600]
"""Sizes before the append that is cut: in the middle of tiles, and where they become full."""


def append(ledger: Ledger, number: int) -> int:
    return ledger.append("statement", Level.STORED, note_of(number)).index


def numbers_in(entries: list[bytes]) -> list[int]:
    """Give the numbers of the notes in the log, in order."""
    return [int(parse_entry(entry).note.split(b"number ")[1].split(b"\n")[0]) for entry in entries]


def check_history(folder: Path) -> list[int]:
    """Check the files, and that every checkpoint kept of up to their size is of this history; give the numbers."""
    entries = check_files(folder)
    hashes = [leaf_hash(entry) for entry in entries]
    for size, text in published_notes(folder):
        assert size > len(entries) or parse_checkpoint(text).root == tree_head(hashes[:size])
    return numbers_in(entries)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FullError),
        (OSError(errno.EIO, "Input/output error"), StoreError),
        (Crash("the process dies here"), StoreError),
    ],
    ids=["disk full", "disk fails", "process dies"],
)
def test_append_cut_at_any_step_is_not_lost_not_doubled_and_not_forked(
    tmp_path: Path, before: int, step: Step, failure: BaseException, expected: type[CenterError]
) -> None:
    folder = make_ledger(tmp_path / "ledger", before)
    signer = RecordingSigner()
    steps = Steps(step, raising(failure))

    with Ledger(folder, signer, Clock(), steps) as ledger:
        steps.seen.clear()
        with pytest.raises(expected) as caught:
            append(ledger, before)
        assert caught.value.hint
        assert check_history(folder)[:before] == list(range(before))
        if isinstance(failure, Crash):
            with pytest.raises(StoreError, match="has ended"):
                append(ledger, before)
        else:
            assert append(ledger, before) == before
            assert append(ledger, before + 1) == before + 1

    with Ledger(folder, signer, Clock()) as ledger:
        for number in (before, before + 1):
            if number not in check_history(folder):
                assert append(ledger, number) == number
        assert append(ledger, before + 2) == before + 2
        verify_receipt(ledger.receipt(before), LOG.key)
    assert check_history(folder) == list(range(before + 3))
    signer.check_no_fork()


@pytest.mark.parametrize("step", list(Step))
def test_entry_that_a_crash_cut_off_gets_one_place_when_it_is_sent_again_after_the_start(
    tmp_path: Path, step: Step
) -> None:
    """The sender got no answer; whether the entry had reached the log is not for it to know."""
    folder = make_ledger(tmp_path / "ledger", 5)
    steps = Steps(step, raising(Crash()))
    with Ledger(folder, LOG, Clock(), steps) as ledger:
        steps.seen.clear()
        with pytest.raises(StoreError):
            append(ledger, 5)
    published = len(check_files(folder))
    with open_ledger(folder) as ledger:
        if published == 5:
            assert append(ledger, 5) == 5
        assert append(ledger, 6) == 6
    assert check_history(folder) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("second", [Step.SIGNED, Step.SWAPPED, Step.TILE, Step.TILES, Step.PUBLISHED])
@pytest.mark.parametrize("first", [Step.STAGED, Step.SIGNED, Step.SWAPPED, Step.TILE, Step.TILES])
def test_crash_during_the_repair_of_a_crash_is_repaired(tmp_path: Path, first: Step, second: Step) -> None:
    folder = make_ledger(tmp_path / "ledger", 255)
    signer = RecordingSigner()
    steps = Steps(first, raising(Crash()))
    with Ledger(folder, signer, Clock(), steps) as ledger:
        steps.seen.clear()
        with pytest.raises(StoreError):
            ledger.append_all(drafts(range(255, 260)))
    try:
        with Ledger(folder, signer, Clock(), Steps(second, raising(Crash()))) as ledger, pytest.raises(StoreError):
            append(ledger, 260)
    except Crash:
        pass  # died while opening
    with Ledger(folder, signer, Clock()) as ledger:
        ledger.append_all(drafts([n for n in range(255, 262) if n not in check_history(folder)]))
    assert check_history(folder) == list(range(262))
    signer.check_no_fork()


def test_power_lost_at_any_step_of_a_long_run_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Each step's image of the folder is opened as if the power had gone then; the signer has seen all of them."""
    folder = make_ledger(tmp_path / "ledger")
    signer = RecordingSigner()
    images: list[tuple[Path, int]] = []
    acknowledged = 0

    def take_image(step: Step) -> None:
        image = tmp_path / f"image-{len(images)}"
        shutil.copytree(folder, image)
        images.append((image, acknowledged))

    with Ledger(folder, signer, Clock(), take_image) as ledger:
        for stop in (1, 2, 250, 256, 257, 520, 521):
            ledger.append_all(drafts(range(acknowledged, stop)))
            acknowledged = stop

    assert len(images) > 7 * 7
    for image, promised in images:
        assert numbers_in(check_files(image))[:promised] == list(range(promised))
        again = RecordingSigner({size: set(texts) for size, texts in signer.signed.items() if size <= promised})
        with Ledger(image, again, Clock()) as ledger:
            assert ledger.size >= promised
            append(ledger, 1000)
        found = check_history(image)
        assert found[:promised] == list(range(promised))
        assert found[-1] == 1000
        again.check_no_fork()
        shutil.rmtree(image)


def test_power_lost_after_signing_leads_to_the_very_same_checkpoint(tmp_path: Path) -> None:
    """The signature may have left the machine (a token's log, a debugger); so only that tree may be signed again."""
    folder, image = make_ledger(tmp_path / "ledger", 10), tmp_path / "image"
    signer = RecordingSigner()

    def take_image() -> None:
        shutil.copytree(folder, image)

    steps = Steps(Step.SIGNED, take_image)
    with Ledger(folder, signer, Clock(), steps) as ledger:
        ledger.append_all(drafts(range(10, 14)))
    later = Clock()
    later.now = later.now.replace(year=2027)
    with Ledger(image, signer, later) as ledger:
        append(ledger, 14)
    assert dict(published_notes(image))[14] == dict(published_notes(folder))[14]
    signer.check_no_fork()


def test_signer_that_fails_is_asked_again_for_the_same_tree(tmp_path: Path) -> None:
    class Failing(RecordingSigner):
        def sign(self, message: bytes) -> bytes:
            signature = super().sign(message)
            if len(self.signed) < 2:
                raise OSError(errno.EIO, "the token was pulled out")
            return signature

    folder = make_ledger(tmp_path / "ledger", 2)
    signer = Failing()
    with Ledger(folder, signer, Clock()) as ledger:
        with pytest.raises(StoreError, match="pulled out"):
            append(ledger, 2)
        with pytest.raises(StoreError, match="pulled out"):
            append(ledger, 7)
        assert ledger.size == 2
        signer.signed[0] = set()
        assert append(ledger, 2) == 2
        assert append(ledger, 7) == 3
    signer.check_no_fork()
    assert check_history(folder) == [0, 1, 2, 7]


def test_writer_that_did_not_see_another_s_checkpoint_loses_and_publishes_nothing(tmp_path: Path) -> None:
    """The compare-and-swap decides even where the writers' lock does not hold (a network disk, say)."""
    folder = make_ledger(tmp_path / "ledger", 4)
    with open_ledger(folder) as ledger:
        growth = list(ledger.entries())
    other = LedgerLock(folder / "ledger.sqlite")

    def act() -> None:
        standing = other.standing()
        entries = [*growth, *other.staged(4)]
        root = tree_head([leaf_hash(entry) for entry in entries])
        note = sign_checkpoint(Checkpoint(LOG.key.name, len(entries), root), LOG).encode()
        line = cosign(parse_note(note).text, COSIGNER, 1)
        other.swap(standing.note, parse_note(note).with_signatures([line]).encode(), len(entries))

    with Ledger(folder, LOG, Clock(), Steps(Step.SIGNED, act)) as ledger:
        with pytest.raises(LostSwapError, match="another writer") as caught:
            append(ledger, 4)
        assert "one machine" in caught.value.hint
        assert len(check_files(folder)) == 4
        assert append(ledger, 5) == 5
    other.close()
    assert check_history(folder) == [0, 1, 2, 3, 4, 5]


def test_cosignature_cut_short_leaves_a_valid_checkpoint(tmp_path: Path) -> None:
    """The line was stored, the file not yet replaced: the next start publishes it."""
    folder = make_ledger(tmp_path / "ledger", 4)
    before = (folder / "checkpoint").read_bytes()
    with open_ledger(folder) as ledger:
        ledger.add_cosignature(cosign(parse_note(before).text, COSIGNER, 1), COSIGNER.key)
        after = ledger.checkpoint()
    (folder / "checkpoint").write_bytes(before)
    with open_ledger(folder) as ledger:
        assert ledger.checkpoint() == after != before


def test_failed_append_of_many_threads_fails_them_all_and_none_twice(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger")
    steps = Steps(Step.TILES, raising(OSError(errno.ENOSPC, "No space left on device")), nth=2)
    with open_ledger(folder, steps) as ledger:
        ledger.append_all(drafts(range(10)))
        with pytest.raises(FullError):
            ledger.append_all(drafts(range(10, 20)))
        again = ledger.append_all(drafts([*range(5, 15), *range(15, 20), 30]))
    # 5 to 9 were acknowledged before: sent again they are new entries; 10 to 19 were refused: they get their places.
    assert [sealed.index for sealed in again] == [20, 21, 22, 23, 24, *range(10, 20), 25]
    assert check_history(folder) == [*range(20), *range(5, 10), 30]


# Real processes


def start_writer(folder: Path, *args: object) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "tests" / "faults" / "ledger_writer.py"), str(folder), *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: "subprocess.Popen[str]", lines: list[str]) -> tuple[dict[int, int], str]:
    """Give what was acknowledged (number → index), and stderr."""
    rest, errors = process.communicate(timeout=240)
    acknowledged = [line.split() for line in [*lines, *rest.splitlines()] if line.endswith("\n") or line in rest]
    return {int(number): int(index) for word, number, index in acknowledged if word == "ack"}, errors


def check_acknowledged(folder: Path, acknowledged: dict[int, int]) -> None:
    with open_ledger(folder) as ledger:
        found = check_history(folder)
        for number, index in acknowledged.items():
            assert found[index] == number
            verify_receipt(ledger.receipt(index), LOG.key)
        assert len(found) == len(set(found))


def test_sigkill_at_every_step_loses_nothing_acknowledged(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 253)
    acknowledged: dict[int, int] = {}
    first = 1000
    for step in Step:
        # The second append at least, since the first may also have to finish what the last kill left.
        process = start_writer(folder, first, 6, 1, step.name, 9 if step is Step.TILE else 3)
        new, errors = finish(process, [])
        assert process.returncode == -9, errors
        acknowledged |= new
        check_acknowledged(folder, acknowledged)
        first += 6
    assert len(acknowledged) >= len(Step)


def test_sigkill_at_any_moment_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    sys.stderr.write(f"seed {seed}\n")
    chance = random.Random(seed)
    folder = make_ledger(tmp_path / "ledger", 200)
    acknowledged: dict[int, int] = {}
    for run in range(8):
        process = start_writer(folder, 1000 * (run + 1), 1000, 4)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randrange(1, 60))]
        process.kill()
        new, _ = finish(process, lines)
        assert len(new) >= len(lines)
        acknowledged |= new
        check_acknowledged(folder, acknowledged)


def test_two_processes_that_append_at_once_make_one_history(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 100)
    writers = [start_writer(folder, 1000 * (i + 1), 120, 3) for i in range(2)]
    acknowledged: dict[int, int] = {}
    for writer in writers:
        new, errors = finish(writer, [])
        assert writer.returncode == 0, errors
        assert len(new) == 120
        acknowledged |= new
    assert sorted(acknowledged.values()) == list(range(100, 340))
    check_acknowledged(folder, acknowledged)


# A real full disk


@pytest.fixture
def mount_small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(size_kib: int) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)], check=True)
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_refuses_entries_until_there_is_room_and_loses_none(
    mount_small_disk: Callable[[int], Path],
) -> None:
    disk = mount_small_disk(1500)
    folder = make_ledger(disk / "ledger", 300)
    signer = RecordingSigner()
    ballast = disk / "ballast"
    with Ledger(folder, signer, Clock()) as ledger:
        number = 300
        for keep_kib in (0, 4, 8, 16, 24, 32, 40, 48, 64):
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            ballast.write_bytes(bytes(max(0, free - 1024 * keep_kib)))
            refused = None
            for _ in range(60):
                try:
                    append(ledger, number)
                except CenterError as err:
                    refused = err
                    break
                number += 1
            assert isinstance(refused, FullError), refused
            assert check_history(folder)[:number] == list(range(number))
            ballast.unlink()
            assert append(ledger, number) == number
            number += 1
    assert check_history(folder) == list(range(number))
    signer.check_no_fork()
