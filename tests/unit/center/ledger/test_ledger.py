# SPDX-License-Identifier: Apache-2.0
"""Appending, reading, proving and cosigning; what stops signing is in test_ledger_holds.py, crashes in tests/faults."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest

from center.errors import NotFoundError, StoreError
from center.ledger.ledger import Ledger
from center.ledger.sequence import Sealed, Step
from evidence.digest import EMPTY_ROOT, leaf_hash, tree_head
from evidence.encode import encode_time
from evidence.errors import FormatError, LimitError, ProofError, SignatureError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import verify_checkpoint
from evidence.log.merkle import verify_consistency
from evidence.log.tiles import all_tiles
from evidence.manifest.entry import Entry, Level, parse_entry
from evidence.manifest.receipt import parse_receipt, verify_receipt
from evidence.note.cosign import cosign, verify_cosignatures
from evidence.note.signed import SignatureLine, parse_note, sign_note
from tests.builders.ledgers import (
    COSIGNER,
    LOG,
    ORIGIN,
    START,
    UNIT,
    Clock,
    Steps,
    check_files,
    drafts,
    make_ledger,
    note_of,
    open_ledger,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(make_ledger(tmp_path / "ledger")) as ledger:
        yield ledger


def test_new_ledger_has_a_signed_checkpoint_of_no_entries(ledger: Ledger, tmp_path: Path) -> None:
    checkpoint = verify_checkpoint(parse_note(ledger.checkpoint()), LOG.key)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 0, EMPTY_ROOT)
    assert check_files(tmp_path / "ledger") == []
    assert list(ledger.entries()) == []


def test_ledger_is_made_once(tmp_path: Path) -> None:
    make_ledger(tmp_path / "ledger", 3)
    with pytest.raises(StoreError, match="already"):
        Ledger.create(tmp_path / "ledger", LOG)
    assert len(check_files(tmp_path / "ledger")) == 3


def test_appended_entry_carries_its_note_and_is_proven_by_its_receipt(ledger: Ledger) -> None:
    first = ledger.append("statement", Level.STORED, note_of(0))
    second = ledger.append("decision", Level.NONE, note_of(1))

    assert (first.index, second.index, ledger.size) == (0, 1, 2)
    assert ledger.entry(1) == second.entry.encode()
    receipt = parse_receipt(ledger.receipt(1).encode())
    verified = verify_receipt(receipt, ledger.log_key)
    assert verified.entry == second.entry
    assert (verified.entry.kind, verified.entry.level, verified.entry.note) == ("decision", Level.NONE, note_of(1))
    assert (verified.index, verified.checkpoint.size) == (1, 2)


def test_entry_is_under_the_published_checkpoint_when_append_returns(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger")
    with open_ledger(folder) as ledger:
        for number in range(5):
            sealed = ledger.append("statement", Level.STORED, note_of(number))
            assert check_files(folder)[sealed.index] == sealed.entry.encode()


def test_one_entry_of_an_idle_ledger_waits_for_no_other(tmp_path: Path) -> None:
    steps = Steps()
    with open_ledger(make_ledger(tmp_path / "ledger"), steps) as ledger:
        steps.seen.clear()
        ledger.append("statement", Level.STORED, note_of(0))
        assert [step for step in steps.seen if step is not Step.TILE] == [
            Step.STAGING,
            Step.STAGED,
            Step.SIGNED,
            Step.SWAPPED,
            Step.TILES,
            Step.PUBLISHED,
        ]


def test_entries_that_wait_together_share_one_checkpoint(tmp_path: Path) -> None:
    futures: list[Future[list[Sealed]]] = []
    steps = Steps(Step.STAGING, lambda: futures.extend(ledger._sequencer.submit([entry]) for entry in others))
    others = [Entry("statement", Level.STORED, START, note_of(number)) for number in range(1, 9)]
    with open_ledger(make_ledger(tmp_path / "ledger"), steps) as ledger:
        ledger.append("statement", Level.STORED, note_of(0))  # the others come while this one is being written
        assert [future.result()[0].index for future in futures] == list(range(1, 9))
        assert steps.seen.count(Step.SIGNED) == 2
    assert len(check_files(tmp_path / "ledger")) == 9


def test_large_batch_makes_the_tiles_of_its_size(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 1500)
    with open_ledger(folder) as ledger:
        assert [sealed.index for sealed in ledger.append_all(drafts(range(1500, 1600)))] == list(range(1500, 1600))
        assert ledger.append_all([]) == []
        for tile in all_tiles(1600):
            assert ledger.tile(tile.path) == (folder / tile.path).read_bytes()
        assert list(ledger.entries(255, 258)) == [ledger.entry(index) for index in (255, 256, 257)]
        assert list(ledger.entries(1599)) == [ledger.entry(1599)]
        assert list(ledger.entries(1600)) == []
        assert sum(1 for _ in ledger.entries()) == 1600
    assert len(check_files(folder)) == 1600


def test_received_never_decreases_when_the_clock_goes_back(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger")
    clock = Clock(tick=timedelta(0))
    with Ledger(folder, LOG, clock) as ledger:
        ledger.append("statement", Level.STORED, note_of(0))
        clock.now = START - timedelta(days=365)
        assert ledger.append("statement", Level.STORED, note_of(1)).entry.received == START
    with Ledger(folder, LOG, clock) as ledger:
        assert ledger.append("statement", Level.STORED, note_of(2)).entry.received == START
        clock.now = START + timedelta(seconds=1)
        sealed = ledger.append("statement", Level.STORED, note_of(3))
        assert sealed.entry.received == clock.now
        assert encode_time(clock.now).encode() in ledger.entry(3)


def test_received_is_known_again_when_the_last_bundle_is_full(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 256)
    with Ledger(folder, LOG, lambda: START - timedelta(days=1)) as ledger:
        last = parse_entry(ledger.entry(255)).received
        assert ledger.append("statement", Level.STORED, note_of(256)).entry.received == last


def test_every_checkpoint_is_consistent_with_every_other(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger")
    sizes = [1, 2, 3, 7, 8, 255, 256, 257, 600]
    with open_ledger(folder) as ledger:
        for size in sizes:
            ledger.append_all(drafts(range(ledger.size, size)))
        kept = [verify_checkpoint(parse_note(raw), LOG.key) for raw in ledger.find_checkpoints()][::-1]
        assert [checkpoint.size for checkpoint in kept] == [0, *sizes]
        for old in kept:
            for new in kept:
                if old.size <= new.size:
                    proof = ledger.consistency(old.size, new.size)
                    verify_consistency(old.size, old.root, new.size, new.root, proof)
        with pytest.raises(ProofError):
            ledger.consistency(0, 601)


def test_entry_can_be_proven_under_an_earlier_checkpoint(ledger: Ledger) -> None:
    for number in range(6):
        ledger.append("statement", Level.STORED, note_of(number))
    *_, earliest = ledger.find_checkpoints(above=3)
    verified = verify_receipt(ledger.receipt(3, earliest), LOG.key)
    assert (verified.index, verified.checkpoint.size) == (3, 4)
    with pytest.raises(NotFoundError, match="no entry 4"):
        ledger.receipt(4, earliest)


@pytest.mark.parametrize("index", [-1, 3, 10**6])
def test_entry_that_is_not_there_is_not_found(tmp_path: Path, index: int) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 3)) as ledger:
        for ask in (ledger.entry, ledger.receipt):
            with pytest.raises(NotFoundError, match=f"no entry {index}"):
                ask(index)


def test_tiles_are_served_by_their_paths_and_no_others(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 300)) as ledger:
        hashes = [leaf_hash(entry) for entry in ledger.entries()]
        assert ledger.tile("tile/0/000") == b"".join(hashes[:256])
        assert ledger.tile("tile/0/001.p/44") == b"".join(hashes[256:])
        assert ledger.tile("tile/1/000.p/1") == tree_head(hashes[:256])
        for path in ("tile/0/001", "tile/0/001.p/45", "tile/0/002.p/1", "tile/1/000.p/2", "tile/entries/002.p/1"):
            with pytest.raises(NotFoundError, match="has no"):
                ledger.tile(path)
        for path in ("tile/0/../ledger.sqlite", "checkpoint", "tile/0/000.p/256"):
            with pytest.raises(FormatError):
                ledger.tile(path)


def test_outgrown_partial_tiles_go_and_are_still_served_from_the_full_one(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger")
    with open_ledger(folder) as ledger:
        ledger.append_all(drafts(range(10)))
        partial = {path: ledger.tile(path) for path in ("tile/0/000.p/10", "tile/entries/000.p/10")}
        ledger.append_all(drafts(range(10, 300)))
        assert all((folder / path).exists() for path in partial)  # a reader of the last checkpoint may want them yet
        ledger.append_all(drafts(range(300, 520)))
        assert not any((folder / path).exists() for path in partial)
        assert {path: ledger.tile(path) for path in partial} == partial
    assert sorted(path.name for path in (folder / "tile" / "0").iterdir()) == ["000", "001", "001.p", "002.p"]


def test_what_cannot_be_an_entry_is_refused_before_it_is_staged(ledger: Ledger) -> None:
    big = sign_note(b"jinsuo/test@v1\n" + b"x" * 66_000 + b"\n", [UNIT]).encode()
    for kind, level, note, kind_of_error in [
        ("statement", Level.STORED, big, LimitError),
        ("Statement", Level.STORED, note_of(0), FormatError),
        ("statement", Level.STORED, b"no note", FormatError),
        ("stored", Level.NONE, note_of(0), FormatError),
    ]:
        with pytest.raises(kind_of_error):
            ledger.append_all([("statement", Level.STORED, note_of(1)), (kind, level, note)])
    assert ledger.size == 0
    assert ledger.append("statement", Level.STORED, note_of(0)).index == 0


def test_ledger_opens_with_its_own_key_only(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 2)
    for signer in (Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(32)), LOG.renamed("other.example")):
        with pytest.raises(StoreError, match="is not signed by") as caught:
            Ledger(folder, signer, Clock())
        assert "log key" in caught.value.hint


def test_closed_ledger_appends_nothing(tmp_path: Path) -> None:
    ledger = open_ledger(make_ledger(tmp_path / "ledger"))
    ledger.close()
    with pytest.raises(StoreError, match="has ended"):
        ledger.append("statement", Level.STORED, note_of(0))


def append_one_by_one(ledger: Ledger, numbers: range) -> None:
    for number in numbers:
        ledger.append("statement", Level.STORED, note_of(number))


def test_two_processes_share_one_ledger_and_one_history(tmp_path: Path) -> None:
    """A second `Ledger` on the folder stands for a command beside the running receiver; locks are per open file."""
    folder = make_ledger(tmp_path / "ledger")
    with open_ledger(folder) as one, open_ledger(folder) as two:
        threads = [
            threading.Thread(target=append_one_by_one, args=(one, range(150))),
            threading.Thread(target=append_one_by_one, args=(two, range(150, 300))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.size == two.size == 300
        assert verify_receipt(one.receipt(299), LOG.key).index == 299
    entries = check_files(folder)
    assert sorted(parse_entry(entry).note for entry in entries) == sorted(map(note_of, range(300)))


# Cosignatures


def line_for(raw: bytes, unix_s: int = 1_700_000_000, signer: Ed25519Signer = COSIGNER) -> SignatureLine:
    return cosign(parse_note(raw).text, signer, unix_s)


def test_cosignature_is_published_with_the_newest_checkpoint(ledger: Ledger) -> None:
    ledger.append("statement", Level.STORED, note_of(0))
    assert ledger.add_cosignature(line_for(ledger.checkpoint()), COSIGNER.key)

    note = parse_note(ledger.checkpoint())
    (found,) = verify_cosignatures(note, [COSIGNER.key])
    assert found.unix_s == 1_700_000_000
    assert parse_note(verify_receipt(ledger.receipt(0), LOG.key).note.encode()) == note


def test_ledger_goes_on_after_a_cosignature_and_keeps_it(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 1)
    with open_ledger(folder) as ledger:
        ledger.add_cosignature(line_for(ledger.checkpoint()), COSIGNER.key)
        ledger.append("statement", Level.STORED, note_of(1))
        assert verify_cosignatures(parse_note(ledger.checkpoint()), [COSIGNER.key]) == ()
    with open_ledger(folder) as ledger:
        (cosigned,) = ledger.find_checkpoints(above=0, cosigned_only=True)
        assert verify_receipt(ledger.receipt(0, cosigned), LOG.key).checkpoint.size == 1
        assert len(verify_cosignatures(parse_note(cosigned), [COSIGNER.key])) == 1
    assert len(check_files(folder)) == 2


def test_late_cosignature_on_an_older_checkpoint_is_kept_there(ledger: Ledger) -> None:
    seen = []
    for number in range(4):
        ledger.append("statement", Level.STORED, note_of(number))
        seen.append(ledger.checkpoint())
    assert ledger.add_cosignature(line_for(seen[1]), COSIGNER.key)
    assert ledger.add_cosignature(line_for(seen[2]), COSIGNER.key, size=3)
    assert ledger.checkpoint() == seen[3]
    kept = ledger.find_checkpoints(cosigned_only=True)
    assert [verify_checkpoint(parse_note(raw), LOG.key).size for raw in kept] == [3, 2]


def test_second_cosignature_of_one_key_does_not_replace_the_earlier(ledger: Ledger) -> None:
    ledger.append("statement", Level.STORED, note_of(0))
    raw = ledger.checkpoint()
    assert ledger.add_cosignature(line_for(raw, 1000), COSIGNER.key)
    assert not ledger.add_cosignature(line_for(raw, 1000), COSIGNER.key)
    assert not ledger.add_cosignature(line_for(raw, 2000), COSIGNER.key)
    assert [c.unix_s for c in verify_cosignatures(parse_note(ledger.checkpoint()), [COSIGNER.key])] == [1000]


def test_false_cosignature_is_refused_and_nothing_changes(ledger: Ledger) -> None:
    ledger.append("statement", Level.STORED, note_of(0))
    raw = ledger.checkpoint()
    good = line_for(raw)
    other = Ed25519Signer.from_seed("X013", KeyType.COSIGNATURE, bytes(32))
    bad = SignatureLine(good.name, good.key_id, good.signature[:-1] + bytes((good.signature[-1] ^ 1,)))
    for line, key, size in [
        (bad, COSIGNER.key, None),
        (line_for(raw, signer=other), COSIGNER.key, None),
        (cosign(b"another text\n", COSIGNER, 1), COSIGNER.key, None),
        (good, COSIGNER.key, 0),
        (good, COSIGNER.key, 77),
    ]:
        with pytest.raises(SignatureError):
            ledger.add_cosignature(line, key, size)
    assert ledger.checkpoint() == raw


def test_note_takes_no_more_cosignatures_than_a_reader_reads(ledger: Ledger) -> None:
    ledger.append("statement", Level.STORED, note_of(0))
    raw = ledger.checkpoint()
    signers = [Ed25519Signer.from_seed(f"U{i}", KeyType.COSIGNATURE, i.to_bytes(32, "big")) for i in range(100)]
    added = [ledger.add_cosignature(line_for(raw, signer=signer), signer.key, 1) for signer in signers]
    assert added == [True] * 99 + [False]
    assert len(parse_note(ledger.checkpoint()).signatures) == 100


# Damage


def test_damaged_or_missing_checkpoint_file_is_written_anew(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 5)
    good = (folder / "checkpoint").read_bytes()
    for bad in (b"", good[:-10], good.replace(b"5", b"6", 1), b"\xff" * 100):
        (folder / "checkpoint").write_bytes(bad)
        with open_ledger(folder) as ledger:
            assert ledger.checkpoint() == good
    (folder / "checkpoint").unlink()
    with open_ledger(folder) as ledger:
        assert ledger.checkpoint() == good


def test_damaged_checkpoint_file_of_a_running_ledger_is_an_error_not_a_size(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger" / "checkpoint").write_bytes(b"nonsense")
    with pytest.raises(StoreError, match="checkpoint is damaged"):
        _ = ledger.size


@pytest.mark.parametrize("path", ["tile/0/001.p/44", "tile/1/000.p/1"])
def test_damaged_edge_is_found_when_the_ledger_is_opened(tmp_path: Path, path: str) -> None:
    folder = make_ledger(tmp_path / "ledger", 300)
    data = bytearray((folder / path).read_bytes())
    data[5] ^= 1
    (folder / path).write_bytes(data)
    with pytest.raises(StoreError, match="give the root"):
        open_ledger(folder)
    (folder / path).write_bytes(bytes(data[:-1]))
    with pytest.raises(StoreError, match="damaged"):
        open_ledger(folder)
    (folder / path).unlink()
    with pytest.raises(StoreError, match="not in the store"):
        open_ledger(folder)


@pytest.mark.parametrize("path", ["tile/0/000", "tile/entries/000"])
def test_damaged_tile_gives_no_false_receipt(tmp_path: Path, path: str) -> None:
    folder = make_ledger(tmp_path / "ledger", 300)
    data = bytearray((folder / path).read_bytes())
    data[100] ^= 1
    (folder / path).write_bytes(data)
    with open_ledger(folder) as ledger, pytest.raises(StoreError, match=r"do not prove|damaged") as caught:
        ledger.receipt(0 if "entries" in path else 2)
    assert "audit" in caught.value.hint


def test_published_tile_with_other_bytes_is_not_written_over(tmp_path: Path) -> None:
    folder = make_ledger(tmp_path / "ledger", 3)
    foreign = folder / "tile" / "0" / "000.p" / "4"
    foreign.write_bytes(b"x" * 128)
    with open_ledger(folder) as ledger, pytest.raises(StoreError, match="other bytes"):
        ledger.append("statement", Level.STORED, note_of(3))
    assert foreign.read_bytes() == b"x" * 128
    assert len(check_files(folder)) == 3
