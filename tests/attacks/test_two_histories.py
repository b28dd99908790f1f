# SPDX-License-Identifier: Apache-2.0
"""A center that keeps two histories, or rewrites the one it has: an agent that has seen more refuses, and cosigns nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from agent.errors import CenterRefusedError, ReceiptError
from agent.journal import Journal, JournalEntry, State
from agent.transport.base import SubmitAnswer, Transport
from agent.transport.send import Parties, advance, submit
from evidence.digest import Sha256, leaf_hash
from evidence.log.merkle import consistency_proof
from evidence.manifest.entry import Level
from evidence.manifest.statement import statement_digest
from evidence.note.cosign import verify_cosignature
from evidence.note.signed import SignatureLine
from tests.builders.bundles import COSIGNER, LOG, OPERATOR, OTHER_UNIT, RECEIVED, MadeLog, MadeSnapshot, signer

PARTIES = Parties(LOG.key, OPERATOR.key, COSIGNER)


@dataclass
class FalseCenter:
    """A center's end of the road, over a log that the test may alter; it takes whatever it is given."""

    log: MadeLog = field(default_factory=MadeLog)
    cosigned: list[tuple[int, SignatureLine]] = field(default_factory=list)
    index: int | None = None

    def submit(self, source: str, note: bytes, register_only: bool = False) -> SubmitAnswer:
        """Log a statement, or show the entry that the test has chosen."""
        index = self.index
        if index is None:
            snapshot = _by_note(note)
            index = self.log.add("statement", Level.STORED, snapshot.note())
        return SubmitAnswer(self.log.receipt(index, self.log.checkpoint()).encode())

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Prove from the log as it is now."""
        return consistency_proof([leaf_hash(entry) for entry in self.log.entries[:new_size]], old_size)

    def cosign(self, size: int, line: SignatureLine) -> None:
        """Keep a cosignature."""
        self.cosigned.append((size, line))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def _by_note(note: bytes) -> MadeSnapshot:
    return next(s for s in (MadeSnapshot(sequence=1), MadeSnapshot(sequence=2)) if s.note().encode() == note)


def _send(center: FalseCenter, journal: Journal, sequence: int) -> None:
    snapshot = MadeSnapshot(sequence=sequence)
    text = snapshot.statement.encode()
    entry = JournalEntry(
        "his", sequence, "snapshot", statement_digest(text), snapshot.note().encode(), State.TAKEN, RECEIVED,
        3, 404, 0, 0, None, None, "",
    )  # fmt: skip
    journal.add(entry)
    # The rest of the road is not walked by a submission.
    submit(entry, cast(Transport, center), journal, PARTIES, lambda: RECEIVED)


def _assert_refused(center: FalseCenter, journal: Journal, what: str) -> None:
    before, cosigned = journal.checkpoint(), len(center.cosigned)
    with pytest.raises(ReceiptError, match=what):
        _send(center, journal, 2)
    assert journal.checkpoint() == before, "the newest checkpoint that was verified stays"
    assert len(center.cosigned) == cosigned, "a false history gets no cosignature"
    assert journal.get("his", 2).state is State.TAKEN, "the spool must not be emptied"
    assert journal.get("his", 2).receipt is None


def test_one_history_that_grows_is_taken_and_cosigned(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    _send(center, journal, 2)

    assert journal.get("his", 2).state is State.STORED
    assert [size for size, _ in center.cosigned] == [6, 7]
    size, line = center.cosigned[-1]
    verify_cosignature(center.log.checkpoint().text, line, COSIGNER.key)
    assert journal.checkpoint() is not None and size == 7


@pytest.mark.parametrize("position", range(6))
def test_an_entry_rewritten_after_it_was_seen_is_refused(journal: Journal, position: int) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    center.log.entries[position] = b"another entry in its place"
    _assert_refused(center, journal, "does not continue")


def test_an_entry_taken_out_is_refused(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    del center.log.entries[2]
    _assert_refused(center, journal, "does not continue")


def test_entries_exchanged_are_refused(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    entries = center.log.entries
    entries[1], entries[2] = entries[2], entries[1]
    _assert_refused(center, journal, "does not continue")


def test_a_shorter_history_that_is_another_one_is_refused(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    center.log.entries[:] = [b"a history from its beginning"]
    _assert_refused(center, journal, "does not continue")


def test_a_log_by_another_key_is_refused(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    center.log = MadeLog(signer=signer(LOG.key.name, 99), entries=center.log.entries)
    _assert_refused(center, journal, "does not verify")


def test_a_receipt_for_another_statement_is_refused(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    center.index = 5  # the entry of statement 1
    _assert_refused(center, journal, "about another statement")


def test_a_receipt_for_the_same_statement_signed_by_another_is_refused(journal: Journal) -> None:
    center = FalseCenter()
    _send(center, journal, 1)
    forged = MadeSnapshot(sequence=2, key=OTHER_UNIT)
    center.index = center.log.add("statement", Level.STORED, forged.note())
    _assert_refused(center, journal, "about another statement")


def test_two_runs_at_once_do_not_cosign_two_histories(journal: Journal) -> None:
    """A center that shows each of two runs another history: both continue what was kept when they looked."""
    shown, other = FalseCenter(), FalseCenter()
    _send(shown, journal, 1)
    other.log.entries[:] = [*shown.log.entries, b"what only the other run is shown", b"and more"]
    cosigned = len(shown.cosigned)
    prove = shown.consistency

    def consistency(old_size: int, new_size: int) -> list[Sha256]:
        """Let the other run finish between this run's look at what is kept and its own keeping."""
        shown.consistency = prove  # type: ignore[method-assign]  # once
        advance(other.log.checkpoint().encode(), cast(Transport, other), journal, PARTIES, lambda: RECEIVED)
        return prove(old_size, new_size)

    shown.consistency = consistency  # type: ignore[method-assign]
    with pytest.raises(ReceiptError, match="does not continue"):
        _send(shown, journal, 2)
    assert len(other.cosigned) == 1
    assert len(shown.cosigned) == cosigned, "the second history is not cosigned"


def test_a_refused_cosignature_does_not_lose_the_receipt(journal: Journal) -> None:
    center = FalseCenter()

    def refuse(size: int, line: SignatureLine) -> None:
        raise CenterRefusedError(f"the checkpoint of {size} is not kept ({line.name})", hint="none")

    center.cosign = refuse  # type: ignore[method-assign]
    _send(center, journal, 1)
    assert journal.get("his", 1).state is State.STORED
