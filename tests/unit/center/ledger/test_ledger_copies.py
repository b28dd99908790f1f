# SPDX-License-Identifier: Apache-2.0
"""Back from an old `ledger/` with another copy of the log at hand, and what if no copy has all that is lacking."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from center.app import Center
from center.errors import HeldError, RefusedError, StoreError
from center.ledger.ledger import Ledger
from center.ledger.publish import LedgerFiles
from center.ledger.published import read_entries
from evidence.log.checkpoint import parse_checkpoint, sign_checkpoint
from evidence.manifest.entry import Level, parse_act, parse_entry
from evidence.manifest.receipt import verify_receipt
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note
from tests.builders.bundles import OTHER_COSIGNER
from tests.builders.center import Hospital, create_center, open_center, wards
from tests.builders.ledgers import (
    LOG,
    check_files,
    drafts,
    foreign_checkpoint,
    make_ledger,
    note_of,
    open_ledger,
    published_notes,
)

OLD, WHOLE = 12, 20


def append(ledger: Ledger, number: int) -> int:
    return ledger.append("statement", Level.STORED, note_of(number)).index


def shown_at(mirror: Path, size: int) -> bytes:
    """Give the checkpoint of `size` as an agent kept it."""
    return sign_checkpoint(parse_checkpoint(dict(published_notes(mirror))[size]), LOG).encode()


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A ledger of 20 entries, one checkpoint for each."""
    folder = make_ledger(tmp_path / "mirror")
    with open_ledger(folder) as ledger:
        for number in range(WHOLE):
            append(ledger, number)
            if ledger.size == OLD:
                shutil.copytree(folder, tmp_path / "old")
    return folder


@pytest.fixture
def old(tmp_path: Path, mirror: Path) -> Iterator[Ledger]:
    """The copy of it taken at 12, which waits for X013, who has seen 20."""
    assert mirror.is_dir()
    with open_ledger(tmp_path / "old") as ledger:
        ledger.require_confirmation({"X013": WHOLE, "Y002": 15})
        yield ledger


@pytest.mark.parametrize("seen", [None, 15, 20])
def test_whole_copy_gives_all_that_is_lacking_whoever_has_called(old: Ledger, mirror: Path, seen: int | None) -> None:
    if seen is not None:
        old.observe(shown_at(mirror, seen))
    assert old.lacking == range(OLD, WHOLE)
    assert old.import_from(mirror) == WHOLE - OLD
    assert list(old.entries()) == check_files(mirror)
    assert not old.lacking
    with pytest.raises(HeldError, match="was shown"):
        append(old, 99)
    assert old.release("taken back from the mirror")
    assert append(old, WHOLE) == WHOLE


def test_what_is_known_to_be_lacking_is_said_before_anybody_has_called(old: Ledger) -> None:
    assert old.held == "the ledger has 12 entries, but X013 acknowledged a checkpoint of 20"
    with pytest.raises(HeldError, match="X013 acknowledged") as caught:
        append(old, 99)
    assert "import-tail" in caught.value.hint
    assert "--confirm" not in caught.value.hint


def test_copy_without_more_than_we_hold_is_refused_and_confirms_nothing(tmp_path: Path, mirror: Path) -> None:
    copy = Path(shutil.copytree(mirror, tmp_path / "copy"))
    with open_ledger(mirror) as ledger:
        ledger.require_confirmation({"X013": WHOLE})
        for folder in (copy, mirror):
            with pytest.raises(RefusedError, match="lacks no entries"):
                ledger.import_from(folder)
        with pytest.raises(HeldError, match="until an agent"):
            append(ledger, WHOLE)
        ledger.require_confirmation({"X013": WHOLE + 1})
        with pytest.raises(RefusedError, match=r"has 20 entries, not the 21 entries"):
            ledger.import_from(copy)


def test_copy_whose_entries_are_damaged_gives_nothing_and_its_checkpoint_is_not_forgotten(
    old: Ledger, mirror: Path, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(mirror, tmp_path / "damaged"))
    bundle = max((damaged / "tile" / "entries").rglob("*[0-9]"), key=lambda path: path.stat().st_size)
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
    short = make_ledger(tmp_path / "short", 15)
    with pytest.raises(RefusedError, match="do not lead to the checkpoint of 20"):
        old.import_from(damaged)
    bundle.unlink()
    with pytest.raises(StoreError):
        old.import_from(damaged)
    assert (old.size, old.held) == (
        OLD,
        "the ledger has 12 entries, but its own signature on a checkpoint of 20 entries was shown",
    )
    with pytest.raises(RefusedError, match="has 15 entries, not the 20"):
        old.import_from(short)
    assert old.import_from(mirror) == WHOLE - OLD


@pytest.mark.parametrize("count", [5, OLD])
def test_copy_of_another_history_stops_the_ledger_for_good(old: Ledger, tmp_path: Path, count: int) -> None:
    other = tmp_path / "other"
    Ledger.create(other, LOG)
    with open_ledger(other) as ledger:
        ledger.append_all(drafts(range(100, 100 + count)))
    for _ in range(2):
        with pytest.raises(HeldError, match=f"{count} entries whose root is not the root") as caught:
            old.import_from(other)
        assert "two histories" in caught.value.hint
    with pytest.raises(HeldError):
        old.release("never mind")


def test_longer_copy_of_another_history_gives_nothing_and_leaves_the_ledger_held(old: Ledger, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Ledger.create(other, LOG)
    with open_ledger(other) as ledger:
        ledger.append_all(drafts(range(100, 130)))
    with pytest.raises(RefusedError, match="do not lead to the checkpoint of 30"):
        old.import_from(other)
    assert old.size == OLD
    with pytest.raises(HeldError, match="30 entries was shown"):
        old.release("never mind")


def test_smaller_checkpoint_that_the_imported_history_denies_is_not_released(old: Ledger, mirror: Path) -> None:
    """The copy leads beyond what an agent has shown, and past it: two histories, which the release must not bury."""
    old.observe(foreign_checkpoint(15))
    assert old.import_from(mirror) == WHOLE - OLD
    for _ in range(2):
        with pytest.raises(HeldError, match="15 entries whose root is not the root"):
            old.release("taken back from the mirror")
    with pytest.raises(HeldError, match="15 entries"):
        append(old, WHOLE)


def test_tail_that_no_copy_has_ends_the_log_which_can_still_be_read(old: Ledger, tmp_path: Path, mirror: Path) -> None:
    shorter = make_ledger(tmp_path / "shorter")
    with open_ledger(shorter) as ledger:
        ledger.observe(shown_at(mirror, 18))
        ledger.import_tail(check_files(mirror)[:18])
    assert old.import_from(shorter) == 18 - OLD
    assert old.lacking == range(18, WHOLE)
    for act in (lambda: old.release("it is all there is"), old.confirm, lambda: append(old, 99)):
        with pytest.raises(HeldError):
            act()
    with pytest.raises(HeldError, match="18 entries, but X013 acknowledged a checkpoint of 20") as caught:
        old.release("it is all there is")
    assert "this log has ended" in caught.value.hint
    assert verify_receipt(old.receipt(17), LOG.key).entry_bytes == check_files(mirror)[17]


# A whole center: an old `ledger/` beside newer `units/`, the agent that has seen most is gone


@pytest.fixture
def center(tmp_path: Path) -> Iterator[tuple[Center, bytes]]:
    """The center, and the checkpoint that Y002 has seen; `mirror` beside it is whole."""
    folder, ledger = tmp_path / "center", tmp_path / "center" / "ledger"
    create_center(folder)
    with open_center(folder) as opened:
        Hospital(opened).snapshot(wards("1"))
        Hospital(opened, unit="Y002", source="s").snapshot(wards("2"))
    shutil.copytree(ledger, tmp_path / "yesterday")
    with open_center(folder) as opened:
        Hospital(opened, unit="Y002", source="s2").snapshot(wards("3"))
        seen = opened.ledger.checkpoint()
        opened.units.acknowledge("Y002", opened.ledger.size)
        Hospital(opened, source="his2").snapshot(wards("4"))
        opened.units.acknowledge("X013", opened.ledger.size)
    ledger.rename(tmp_path / "mirror")
    (tmp_path / "yesterday").rename(ledger)
    with open_center(folder) as opened:
        yield opened, seen


@pytest.mark.parametrize("has_called", [True, False])
def test_old_ledger_beside_newer_units_is_mended_from_a_mirror_without_the_agent_that_is_gone(
    center: tuple[Center, bytes], tmp_path: Path, has_called: bool
) -> None:
    opened, seen = center
    if has_called:
        opened.ledger.observe(seen)
    with pytest.raises(HeldError, match=r"X013|was shown"):
        opened.units.disable("X013")
    assert opened.ledger.import_from(tmp_path / "mirror") == 4
    opened.replay.catch_up()
    assert opened.release("operator", "taken back from the mirror")
    opened.units.disable("X013")
    Hospital(opened, unit="Y002", source="s3").snapshot(wards("5"))
    entries = list(opened.ledger.entries())
    assert entries[:12] == list(read_entries(LedgerFiles(tmp_path / "mirror"), 12, 0, 12))
    acts = [parse_act(parse_note(entry.note).text) for entry in map(parse_entry, entries) if entry.kind == "decision"]
    assert [(act.event, act.reason) for act in acts] == [("release", "taken back from the mirror")]


def test_a_cosignature_does_not_turn_the_published_checkpoint_back(tmp_path: Path, mirror: Path) -> None:
    """`ledger.sqlite` came back older than the files beside it: what strangers have seen stays what they see."""
    for path in (tmp_path / "old").glob("ledger.sqlite*"):
        shutil.copy2(path, mirror / path.name)
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        if not (tmp_path / "old" / name).exists():
            (mirror / name).unlink(missing_ok=True)
    with open_ledger(mirror) as ledger:
        assert ledger.has_hold and ledger.size == WHOLE
        (newest,) = ledger.find_checkpoints(most=1)
        assert parse_checkpoint(parse_note(newest).text).size == OLD
        line = cosign(parse_note(newest).text, OTHER_COSIGNER, 1_800_000_000)
        assert ledger.add_cosignature(line, OTHER_COSIGNER.key)
        assert ledger.size == WHOLE
