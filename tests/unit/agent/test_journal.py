# SPDX-License-Identifier: Apache-2.0
"""The agent's durable memory."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import SpoolError
from agent.journal import Journal, JournalEntry, Outage, SourceKeys, State
from evidence.digest import Sha256

TAKEN = datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC)


def entry(sequence: int, source: str = "his", state: State = State.TAKEN, kind: str = "snapshot") -> JournalEntry:
    digest = Sha256(bytes([sequence]) * 32)
    return JournalEntry(
        source, sequence, kind, digest, b"note %d" % sequence, state, TAKEN, 2, 30, 400, 0, None, None, ""
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def test_what_was_noted_is_there_after_a_new_start(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j.sqlite")
    first.add(entry(1))
    first.mark_receipted("his", 1, State.STORED, 90211, b"receipt", 512)
    keys = first.make_keys("his")
    first.advance_checkpoint(None, 7, b"checkpoint")
    first.close()
    again = Journal(tmp_path / "j.sqlite")
    kept = again.get("his", 1)
    assert kept == replace(entry(1), state=State.STORED, log_index=90211, receipt=b"receipt", sent_bytes=512)
    assert kept.taken_at == TAKEN
    assert again.keys("his") == keys
    assert again.checkpoint() == (7, b"checkpoint")
    again.close()


def test_the_secrets_of_a_source_are_never_replaced(journal: Journal) -> None:
    keys = journal.make_keys("his")
    journal.put_keys("his", SourceKeys(bytes(32), bytes(32), True))
    assert journal.keys("his") == keys
    assert not keys.deposited
    journal.mark_deposited("his")
    assert journal.keys("his") == replace(keys, deposited=True)
    assert "row_secret" not in repr(keys)
    journal.close()


def test_unfinished_statements_come_in_their_order(journal: Journal) -> None:
    for made in (entry(2), entry(1), entry(3, state=State.STORED), entry(1, "lis"), entry(4, kind="gap")):
        journal.add(made)
    journal.mark_receipted("his", 4, State.REGISTERED, 5, b"r", 0)
    assert [(e.source, e.sequence) for e in journal.unfinished()] == [("his", 1), ("his", 2), ("lis", 1)]
    assert journal.latest("his") is not None
    assert journal.latest("his").sequence == 4  # type: ignore[union-attr]
    assert journal.latest("his", State.STORED).sequence == 3  # type: ignore[union-attr]
    assert journal.latest("nobody") is None
    journal.close()


def test_only_a_statement_that_was_never_admitted_can_be_removed(journal: Journal) -> None:
    journal.add(entry(1, state=State.STORED))
    journal.add(entry(2))
    journal.exchange([entry(1), entry(2)], [])
    assert [e.sequence for e in journal.all_of("his")] == [1]
    with pytest.raises(KeyError):
        journal.get("his", 2)
    journal.close()


def test_statements_are_exchanged_for_others_whole_or_not_at_all(journal: Journal) -> None:
    for sequence in (1, 2, 3):
        journal.add(entry(sequence))
    broken = replace(entry(9), tables="many")  # type: ignore[arg-type]  # the file refuses it, as a crash would
    with pytest.raises(sqlite3.IntegrityError):
        journal.exchange([entry(2), entry(3)], [entry(2, kind="gap"), broken])
    assert [(e.sequence, e.kind) for e in journal.all_of("his")] == [(n, "snapshot") for n in (1, 2, 3)]
    journal.exchange([entry(2), entry(3)], [entry(2, kind="gap")])
    assert [(e.sequence, e.kind) for e in journal.all_of("his")] == [(1, "snapshot"), (2, "gap")]
    journal.close()


def test_the_newest_checkpoint_only_moves_forward(journal: Journal) -> None:
    assert journal.advance_checkpoint(None, 9, b"nine")
    assert not journal.advance_checkpoint(b"nine", 8, b"eight")
    assert not journal.advance_checkpoint(b"nine", 9, b"another nine")
    assert journal.checkpoint() == (9, b"nine")


def test_a_checkpoint_takes_the_place_only_of_the_one_it_was_held_against(journal: Journal) -> None:
    assert journal.advance_checkpoint(None, 7, b"seven")
    assert not journal.advance_checkpoint(None, 8, b"eight")
    assert not journal.advance_checkpoint(b"six", 8, b"eight")
    assert journal.advance_checkpoint(b"seven", 8, b"eight")
    assert journal.checkpoint() == (8, b"eight")
    journal.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    Journal(tmp_path / "j.sqlite").close()
    assert (tmp_path / "j.sqlite").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_journal_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_bytes(b"not a database, " * 100)
    with pytest.raises(SpoolError) as caught:
        Journal(tmp_path / "j.sqlite")
    assert "move the file aside" in caught.value.hint


def test_a_statement_whose_content_is_given_up_waits_only_until_it_is_registered(journal: Journal) -> None:
    for sequence in (1, 2):
        journal.add(entry(sequence))
    journal.exchange((), [entry(3, kind="gap")], [entry(1)])
    assert [(e.sequence, e.is_given_up) for e in journal.unfinished()] == [(1, True), (2, False), (3, False)]
    for sequence in (1, 2, 3):
        journal.mark_receipted("his", sequence, State.REGISTERED, sequence, b"r", 0)
    assert [e.sequence for e in journal.unfinished()] == [2]
    journal.close()


def test_bytes_that_were_sent_are_added_up_over_receipts(journal: Journal) -> None:
    journal.add(replace(entry(1), spooled_bytes=70))
    journal.mark_receipted("his", 1, State.REGISTERED, 1, b"r", 30)
    journal.mark_receipted("his", 1, State.STORED, 2, b"r", 40)
    assert (journal.get("his", 1).sent_bytes, journal.get("his", 1).spooled_bytes) == (70, 70)
    journal.close()


def test_an_outage_keeps_its_first_time_and_counts_its_tries_until_a_gap_ends_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    assert journal.outage("his") is None
    journal.note_outage("his", TAKEN, "outage")
    journal.note_outage("his", TAKEN + timedelta(days=1), "spool")
    journal.note_outage("lis", TAKEN, "spool")
    journal.close()
    journal = Journal(tmp_path / "j.sqlite")
    assert journal.outage("his") == Outage(TAKEN, "outage", 2)
    journal.exchange((), [entry(1, kind="gap")], ends_outage_of="his")
    assert journal.outage("his") is None
    assert journal.outage("lis") == Outage(TAKEN, "spool", 1)
    journal.close()
