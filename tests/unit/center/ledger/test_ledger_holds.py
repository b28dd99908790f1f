# SPDX-License-Identifier: Apache-2.0
"""What stops the ledger from signing: an agent that has seen more, another history, nobody yet who has confirmed it."""

import shutil
from pathlib import Path

import pytest

from center.errors import HeldError, RefusedError
from center.ledger.ledger import Ledger
from center.ledger.sequence import Step
from evidence.digest import Sha256
from evidence.errors import EvidenceError, SignatureError, UnknownSignerError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from evidence.manifest.entry import Level, parse_entry
from evidence.manifest.receipt import verify_receipt
from tests.builders.ledgers import (
    LOG,
    ORIGIN,
    Clock,
    Steps,
    check_files,
    drafts,
    foreign_checkpoint,
    make_ledger,
    note_of,
    open_ledger,
    published_notes,
)


def append(ledger: Ledger, number: int) -> int:
    return ledger.append("statement", Level.STORED, note_of(number)).index


def grow(ledger: Ledger, count: int) -> list[bytes]:
    """Append entries to an empty ledger, one by one; give the checkpoint after each."""
    checkpoints = []
    for number in range(count):
        append(ledger, number)
        checkpoints.append(ledger.checkpoint())
    return checkpoints


@pytest.fixture
def restored(tmp_path: Path) -> tuple[Path, Path]:
    """Give a ledger of 20 entries that was restored from a copy taken at 12, and the folder as it was."""
    folder, older, lost = tmp_path / "ledger", tmp_path / "older", tmp_path / "lost"
    make_ledger(folder, 12)
    shutil.copytree(folder, older)
    with open_ledger(folder) as ledger:
        for number in range(12, 20):
            append(ledger, number)
    folder.rename(lost)
    older.rename(folder)
    return folder, lost


def test_checkpoints_that_we_hold_hold_nothing_up(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger")) as ledger:
        seen = [ledger.checkpoint()]
        for number in range(5):
            append(ledger, number)
            seen.append(ledger.checkpoint())
        for note in [*seen, *seen]:
            ledger.observe(note)
        assert ledger.held is None
        assert append(ledger, 5) == 5


def test_ledger_restored_from_an_older_copy_stops_and_says_why_and_what_to_do(restored: tuple[Path, Path]) -> None:
    folder, lost = restored
    with open_ledger(folder) as ledger:
        ledger.observe((lost / "checkpoint").read_bytes())
        assert ledger.held == (
            "the ledger has 12 entries, but its own signature on a checkpoint of 20 entries was shown"
        )
        with pytest.raises(HeldError, match=r"12 entries.*20 entries") as caught:
            append(ledger, 99)
        assert "import the missing entries" in caught.value.hint
        assert (ledger.size, len(list(ledger.entries()))) == (12, 12)
        verify_receipt(ledger.receipt(3), LOG.key)
    assert len(check_files(folder)) == 12


def test_hold_survives_a_restart(restored: tuple[Path, Path]) -> None:
    folder, lost = restored
    with open_ledger(folder) as ledger:
        ledger.observe((lost / "checkpoint").read_bytes())
    with open_ledger(folder) as ledger:
        assert ledger.held is not None
        ledger.observe(ledger.checkpoint())
        with pytest.raises(HeldError):
            append(ledger, 99)


def test_release_before_the_tail_is_back_is_refused(restored: tuple[Path, Path]) -> None:
    folder, lost = restored
    with open_ledger(folder) as ledger:
        ledger.observe((lost / "checkpoint").read_bytes())
        with pytest.raises(HeldError):
            ledger.release("I am in a hurry")
        with pytest.raises(HeldError):
            append(ledger, 99)


def test_imported_tail_continues_the_history_that_was_seen(restored: tuple[Path, Path]) -> None:
    folder, lost = restored
    history = dict(published_notes(lost))
    with open_ledger(lost) as ledger:
        tail = list(ledger.entries(12))
    with open_ledger(folder) as ledger:
        ledger.observe((lost / "checkpoint").read_bytes())
        assert ledger.import_tail(iter(tail)) == 8
        assert ledger.held is not None
        with pytest.raises(HeldError):
            append(ledger, 99)
        ledger.release("tail imported from the mirror")
        assert ledger.held is None
        assert append(ledger, 20) == 20
        ledger.observe((lost / "checkpoint").read_bytes())
        assert ledger.held is None
    entries = check_files(folder)
    assert entries[:20] == check_files(lost)
    merged = dict(published_notes(folder))
    assert all(merged[size] == text for size, text in history.items() if size in merged)


@pytest.mark.parametrize("change", ["short", "long", "altered", "empty", "shifted"])
def test_tail_that_does_not_lead_to_the_seen_checkpoint_is_refused(restored: tuple[Path, Path], change: str) -> None:
    folder, lost = restored
    tail = check_files(lost)[12:]
    wrong = {
        "short": tail[:-1],
        "long": [*tail, tail[-1]],
        "altered": [*tail[:3], tail[3][:-1] + b"x", *tail[4:]],
        "empty": [],
        "shifted": check_files(lost)[11:19],
    }[change]
    with open_ledger(folder) as ledger:
        ledger.observe((lost / "checkpoint").read_bytes())
        with pytest.raises(RefusedError, match="do not lead to the checkpoint of 20") as caught:
            ledger.import_tail(wrong)
        assert "entries 12 to 19" in caught.value.hint
        assert ledger.size == 12
        assert ledger.import_tail(tail) == 8


def test_tail_without_a_hold_is_refused(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 3)) as ledger:
        with pytest.raises(RefusedError, match="lacks no entries"):
            ledger.import_tail([b"x"])
        ledger.release("nothing held")
        assert append(ledger, 3) == 3


def test_tail_must_reach_the_furthest_checkpoint_that_was_seen(restored: tuple[Path, Path]) -> None:
    folder, lost = restored
    history = dict(published_notes(lost))
    tail = check_files(lost)[12:]
    with open_ledger(folder) as ledger:
        ledger.observe(sign_checkpoint(parse_checkpoint(history[15]), LOG).encode())
        ledger.observe((lost / "checkpoint").read_bytes())
        ledger.observe(sign_checkpoint(parse_checkpoint(history[17]), LOG).encode())
        with pytest.raises(RefusedError, match="checkpoint of 20"):
            ledger.import_tail(tail[:3])
        ledger.import_tail(tail)
        ledger.release("done")
        assert append(ledger, 20) == 20


def test_large_tail_is_imported_and_a_lost_ledger_is_rebuilt_from_its_tiles_alone(tmp_path: Path) -> None:
    lost = make_ledger(tmp_path / "lost", 3000)
    entries = check_files(lost)
    with open_ledger(make_ledger(tmp_path / "new")) as ledger:
        ledger.observe((lost / "checkpoint").read_bytes())
        assert ledger.import_tail(entries) == 3000
        ledger.release("ledger.sqlite was lost")
        assert append(ledger, 3000) == 3000
        assert verify_receipt(ledger.receipt(1234), LOG.key).entry_bytes == entries[1234]
    assert check_files(tmp_path / "new")[:3000] == entries


def test_two_histories_stop_the_ledger_for_good(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 12)
    with open_ledger(folder) as ledger:
        ledger.observe(foreign_checkpoint(5))
        assert ledger.held is not None
        assert "5 entries whose root is not the root that we hold" in ledger.held
        for _ in range(2):
            with pytest.raises(HeldError) as caught:
                append(ledger, 99)
            assert "two histories" in caught.value.hint
            with pytest.raises(HeldError):
                ledger.release("never mind")
        with pytest.raises(RefusedError):
            ledger.import_tail([])
    assert len(check_files(folder)) == 12


def test_sqlite_older_than_the_files_beside_it_holds_and_turns_nothing_back(restored: tuple[Path, Path]) -> None:
    """Only `ledger.sqlite` was restored: `checkpoint` and tiles are ahead of it."""
    folder, lost = restored
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (lost / name).unlink(missing_ok=True)
    shutil.copy(folder / "ledger.sqlite", lost / "ledger.sqlite")
    newest = (lost / "checkpoint").read_bytes()
    entries = check_files(lost)
    with open_ledger(lost) as ledger:
        assert (lost / "checkpoint").read_bytes() == newest
        with pytest.raises(HeldError, match=r"12 entries.*20 entries"):
            append(ledger, 99)
        assert ledger.import_tail(entries[12:]) == 8
        ledger.release("its own tiles had the tail")
        assert append(ledger, 20) == 20
    assert check_files(lost)[:20] == entries


def test_what_was_staged_but_not_signed_gives_way_to_the_imported_tail(restored: tuple[Path, Path]) -> None:
    folder, lost = restored
    steps = Steps(Step.STAGED, lambda: (_ for _ in ()).throw(OSError("pulled plug")))
    with open_ledger(folder, steps) as ledger:
        with pytest.raises(Exception, match="pulled plug"):
            append(ledger, 77)
        ledger.observe((lost / "checkpoint").read_bytes())
        ledger.import_tail(check_files(lost)[12:])
        ledger.release("imported")
        assert append(ledger, 77) == 20
    notes = [parse_entry(entry).note for entry in check_files(folder)]
    assert notes == [note_of(number) for number in [*range(20), 77]]


@pytest.mark.parametrize("size", [3, 30])
def test_checkpoint_of_somebody_else_is_an_error_and_holds_nothing(tmp_path: Path, size: int) -> None:
    checkpoint = Checkpoint(ORIGIN, size, Sha256(bytes(32)))
    elsewhere = Checkpoint("other.example", size, Sha256(bytes(32)))
    thief = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(32))
    stranger = Ed25519Signer.from_seed("other.example", KeyType.ED25519, bytes(32))
    forged = foreign_checkpoint(size).replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1))
    with open_ledger(make_ledger(tmp_path / "ledger", 12)) as ledger:
        for raw, kind in [
            (sign_checkpoint(checkpoint, thief).encode(), UnknownSignerError),
            (sign_checkpoint(elsewhere, stranger).encode(), UnknownSignerError),
            (forged, SignatureError),
            (b"", EvidenceError),
        ]:
            with pytest.raises(kind):
                ledger.observe(raw)
        assert ledger.held is None
        assert append(ledger, 12) == 12


# Confirmation after a start


def test_after_a_start_nothing_is_signed_until_an_agent_has_shown_what_we_hold(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 12)
    steps = Steps()
    with open_ledger(folder, steps) as ledger:
        ledger.require_confirmation({"X013": 12, "Y002": 3})
        assert ledger.held is not None
        with pytest.raises(HeldError, match="until an agent") as caught:
            append(ledger, 12)
        assert caught.value.hint
        assert Step.SIGNED not in steps.seen
        assert Step.STAGED not in steps.seen
        ledger.observe(ledger.checkpoint())
        assert ledger.held is None
        assert append(ledger, 12) == 12


def test_foreign_or_ahead_checkpoints_do_not_confirm(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 12)) as ledger:
        ledger.require_confirmation({"X013": 12})
        with pytest.raises(EvidenceError):
            ledger.observe(b"nonsense\n")
        ledger.observe(foreign_checkpoint(13))
        with pytest.raises(HeldError, match="13 entries"):
            append(ledger, 12)


def test_without_agents_nobody_need_confirm(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger")) as ledger:
        for marks in ({}, {"X013": 0}):
            ledger.require_confirmation({"X013": 1})
            with pytest.raises(HeldError):
                ledger.finish()
            ledger.require_confirmation(marks)
            ledger.finish()
        assert append(ledger, 0) == 0


@pytest.mark.parametrize("marks", [{"X013": 9, "Y002": 4}, {"X013": 4, "Y002": 9}, {"X013": 9, "Y002": 9, "Z003": 1}])
def test_only_who_has_seen_the_largest_acknowledged_checkpoint_confirms(tmp_path: Path, marks: dict[str, int]) -> None:
    folder = make_ledger(tmp_path / "ledger")
    with open_ledger(folder) as ledger:
        seen = grow(ledger, 12)
    with open_ledger(folder) as ledger:
        ledger.require_confirmation(marks)
        for size in range(1, 9):
            assert ledger.observe(seen[size - 1]) == size
            with pytest.raises(HeldError, match="at least 9 entries"):
                append(ledger, 12)
            with pytest.raises(HeldError):
                ledger.check_confirmed()
        # Shown again it is known, and says no more than the first time.
        ledger.observe(seen[7])
        assert ledger.held is not None
        ledger.observe(seen[8])
        ledger.check_confirmed()
        assert append(ledger, 12) == 12


@pytest.mark.parametrize("size", [10, 11, 12])
def test_a_larger_checkpoint_than_any_acknowledged_confirms_too(tmp_path: Path, size: int) -> None:
    folder = make_ledger(tmp_path / "ledger")
    with open_ledger(folder) as ledger:
        seen = grow(ledger, 12)
    with open_ledger(folder) as ledger:
        ledger.require_confirmation({"X013": 9})
        ledger.observe(seen[size - 1])
        assert append(ledger, 12) == 12


def test_who_is_waited_for_is_named(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 12)) as ledger:
        ledger.require_confirmation({f"X{i}": 12 for i in range(1, 6)} | {"Y": 3})
        assert ledger.held is not None
        assert "X1, X2, X3 and 2 more" in ledger.held
        assert "Y" not in ledger.held


def test_registry_that_knows_more_than_the_ledger_stops_it_and_an_operators_word_does_not_help(
    restored: tuple[Path, Path],
) -> None:
    folder, lost = restored
    tail = check_files(lost)[12:]
    with open_ledger(folder) as ledger:
        ledger.require_confirmation({"X013": 20, "Y002": 12})
        ledger.observe(ledger.checkpoint())
        for act in (ledger.confirm, ledger.finish):
            with pytest.raises(HeldError, match="20"):
                act()
        ledger.observe((lost / "checkpoint").read_bytes())
        ledger.import_tail(tail)
        ledger.release("taken back")
        assert append(ledger, 20) == 20


def test_hold_by_a_smaller_checkpoint_is_not_released_while_more_is_known_to_be_lacking(
    restored: tuple[Path, Path],
) -> None:
    folder, lost = restored
    history = dict(published_notes(lost))
    with open_ledger(folder) as ledger:
        ledger.require_confirmation({"X013": 20})
        ledger.observe(sign_checkpoint(parse_checkpoint(history[15]), LOG).encode())
        ledger.import_tail(check_files(lost)[12:15])
        with pytest.raises(HeldError, match="15 entries, but X013 acknowledged a checkpoint of 20"):
            ledger.release("it leads to what was shown")
        with pytest.raises(HeldError):
            append(ledger, 99)


def test_operators_word_counts_where_nobody_can_be_heard(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 12)) as ledger:
        ledger.require_confirmation({"X013": 12})
        ledger.confirm()
        ledger.check_confirmed()
        assert append(ledger, 12) == 12


def test_confirmation_of_the_running_receiver_covers_a_command_beside_it_while_it_runs(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 2)
    receiver = open_ledger(folder)
    receiver.require_confirmation({"X013": 2})
    with Ledger(folder, LOG, Clock()) as command:
        command.require_confirmation({"X013": 2})
        with pytest.raises(HeldError):
            append(command, 2)
        receiver.observe(receiver.checkpoint())
        assert command.held is None
        assert append(command, 2) == 2
        receiver.close()
        with pytest.raises(HeldError):
            append(command, 3)
    with open_ledger(folder) as restarted:
        restarted.require_confirmation({"X013": 2})
        with pytest.raises(HeldError):
            append(restarted, 3)


def test_hold_set_by_one_process_stops_the_other(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 2)
    with open_ledger(folder) as one, open_ledger(folder) as two:
        assert append(two, 2) == 2
        one.observe(foreign_checkpoint(9))
        with pytest.raises(HeldError):
            append(two, 3)


def test_checkpoint_of_another_process_is_not_ahead(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 2)
    with open_ledger(folder) as one, open_ledger(folder) as two:
        two.append_all(drafts(range(2, 300)))
        one.observe(two.checkpoint())
        assert one.held is None
        assert append(one, 300) == 300
