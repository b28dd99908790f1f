# SPDX-License-Identifier: Apache-2.0
"""Take in a file of receipts that came back for media: verified like those that come by the line.

The proofs that the log continues come with the file; where it has none that fits (the line has brought a newer checkpoint
meanwhile), the line is asked. Nothing counts before it is verified: the operator's signature, the log's, the inclusion
of our own note, and that the checkpoint continues what this agent has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.errors import MediumUnknownError, ReceiptError
from agent.journal import Journal, JournalEntry, State
from agent.media.order import ReceiptOutcome
from agent.transport.base import LogRoad, Transport
from agent.transport.send import Parties, advance, check_receipt
from evidence.bag.receipts import MAX_FILE_BYTES, Receipts, parse_receipts
from evidence.digest import Sha256
from evidence.errors import EvidenceError
from evidence.manifest.entry import Level, parse_entry, parse_stored
from evidence.manifest.receipt import Receipt
from evidence.medium.missing import MAX_MISSING_BYTES, Missing, parse_missing
from evidence.note.signed import SignatureLine, parse_note
from terminal.language import Text

_STOP = "keep the agent's folder as it is, and call the archives: this must not happen"


@dataclass(frozen=True, slots=True)
class Brought:
    """What a file has brought: statements that changed their state, and what the center still lacks or has refused."""

    source: str
    receipted: tuple[JournalEntry, ...]
    missing_packs: int
    refused: tuple[str, ...]


def read_receipts(path: Path, unit: str, parties: Parties) -> Receipts:
    """Read a file of receipts for this unit. Raises: MediumUnknownError."""
    try:
        receipts = parse_receipts(_read(path, MAX_FILE_BYTES), parties.operator)
    except (OSError, EvidenceError) as err:
        raise _unknown(path, str(err)) from err
    if receipts.unit != unit:
        raise _unknown(path, f"it is for unit {receipts.unit}")
    return receipts


def read_missing(path: Path) -> Missing:
    """Read a file that names what is lacking. Raises: MediumUnknownError."""
    try:
        return parse_missing(_read(path, MAX_MISSING_BYTES))
    except (OSError, EvidenceError) as err:
        raise MediumUnknownError(
            Text(zh=f"{path} 不是缺失清单：{err}", en=f"{path} names nothing that is lacking: {err}"),
            hint=Text(
                zh="取 `jinsuo-center media read` 写出的 missing-….txt，原样不动",
                en="take the file missing-….txt that `jinsuo-center media read` has written, as it is",
            ),
        ) from err


def tell_brought(brought: "Brought", waiting: int) -> ReceiptOutcome:
    """Give what a file has brought as people want to know it; `waiting`: statements that are not stored yet."""
    stored = [entry.sequence for entry in brought.receipted if entry.state is State.STORED]
    registered = [entry.sequence for entry in brought.receipted if entry.state is State.REGISTERED]
    return ReceiptOutcome(
        brought.source, tuple(stored), tuple(registered), brought.missing_packs, brought.refused, waiting
    )


def take_receipts(
    receipts: Receipts,
    journal: Journal,
    parties: Parties,
    clock: Callable[[], datetime],
    connect: Callable[[], Transport],
) -> Brought:
    """Verify and keep what a file of receipts says of this agent's statements.

    Raises: ReceiptError; CenterDownError: the line is needed for a proof, and is down.
    """
    road = _FileRoad(receipts, connect)
    advance(receipts.checkpoint, road, journal, parties, clock)
    changed: list[JournalEntry] = []
    for receipt in receipts.receipts:
        entry = _find_entry(receipt, journal.all_of(receipts.source))
        if entry is None or entry.state is State.STORED:
            continue
        raw = receipt.encode()
        verified = check_receipt(raw, entry, parties)
        advance(verified.note.encode(), road, journal, parties, clock)
        state = State.STORED if verified.entry.level is Level.STORED else State.REGISTERED
        journal.mark_receipted(entry.source, entry.sequence, state, verified.index, raw, entry.sent_bytes)
        changed.append(journal.get(entry.source, entry.sequence))
    refused = [answer.refusal.message for answer in receipts.statements if answer.refusal is not None]
    refused += [answer.refusal.message for answer in receipts.bags if answer.refusal is not None]
    # Of the bag that is answered: what bags before it lacked may have come since.
    missing = len(receipts.bags[0].missing)
    return Brought(receipts.source, tuple(changed), missing, tuple(refused))


class _FileRoad(LogRoad):
    """The proofs of a file; the line where they do not do."""

    def __init__(self, receipts: Receipts, connect: Callable[[], Transport]) -> None:
        self._proofs = {(proof.size, receipts.size): list(proof.hashes) for proof in receipts.proofs}
        self._connect = connect

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Give the proof from the file, else from the line."""
        found = self._proofs.get((old_size, new_size))
        return self._connect().consistency(old_size, new_size) if found is None else found

    def cosign(self, size: int, line: SignatureLine) -> None:
        """Leave it: the next bag carries a cosignature over the checkpoint that was kept."""


def _find_entry(receipt: Receipt, entries: list[JournalEntry]) -> JournalEntry | None:
    """Find the statement that a receipt is about; whether it is true is still to be checked."""
    try:
        entry = parse_entry(receipt.entry)
        if entry.kind == "stored":
            digest = parse_stored(parse_note(entry.note).text).statement
            return next((known for known in entries if known.digest == digest), None)
    except EvidenceError as err:
        raise ReceiptError(f"a receipt that came back does not verify: {err}", hint=_STOP) from err
    return next((known for known in entries if known.note == entry.note), None)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)


def _unknown(path: Path, why: str) -> MediumUnknownError:
    return MediumUnknownError(
        Text(zh=f"{path} 不是给本采集端的回执：{why}", en=f"{path} holds no receipts for this agent: {why}"),
        hint=Text(
            zh="取 `jinsuo-center media read` 写出的 receipts-….note，原样不动",
            en="take the file receipts-….note that `jinsuo-center media read` has written, as it is",
        ),
    )
