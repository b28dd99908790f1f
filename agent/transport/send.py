# SPDX-License-Identifier: Apache-2.0
"""Drive a submission over any road: packs, statement, receipt, checkpoint, cosignature.

Nothing counts as done before a receipt has been verified here: the log's signature, the inclusion of our own note
verbatim, and that the checkpoint continues the last one seen. A checkpoint is kept durably before it is cosigned, so
this agent never cosigns two histories. Only then may the spool be emptied (by the caller). Source: design sections 5
and 6; C2SP tlog-cosignature, tlog-witness ("check and persist come before the reply").
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent.errors import AgentError, CenterDownError, CenterRefusedError, ReceiptError
from agent.journal import Journal, JournalEntry, State
from agent.spool import Spool, SpooledPack
from agent.transport.base import Transport
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.keys.key import VerificationKey
from evidence.keys.signer import Signer
from evidence.log.checkpoint import Checkpoint, verify_checkpoint
from evidence.log.merkle import verify_consistency
from evidence.manifest.entry import Level, parse_stored
from evidence.manifest.receipt import VerifiedReceipt, parse_receipt, verify_receipt
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note, verify_note
from terminal.language import Text

log = logging.getLogger(__name__)
PACK_REFUSED = "JS-3101"
"""The center's code for a pack that is damaged, or coded against an object that is not stored there."""
_STOP = Text(
    zh="原样保留采集端目录，请打电话给档案馆：这种情况不应出现",
    en="keep the agent's folder as it is, and call the archives: this must not happen",
)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who is at the two ends: the log's key, the center's operator key, this unit's cosigner (type 04)."""

    log: VerificationKey
    operator: VerificationKey
    cosigner: Signer


@dataclass(frozen=True, slots=True)
class Receipted:
    """What a verified receipt says."""

    state: State
    log_index: int
    missing: tuple[ObjectId, ...] = ()


class Budget:
    """How much one act may send: seconds from now by `clock`, and bytes; None: no such bound. Asked between packs.

    So an act is over its bounds by one pack at most, and moves one at least unless it was spent before. For one thread
    at a time.
    """

    def __init__(
        self, clock: Callable[[], float], *, seconds: float | None = None, size_bytes: int | None = None
    ) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self._left = size_bytes

    @property
    def is_spent(self) -> bool:
        """Tell whether no further pack is to be sent."""
        is_late = self._end is not None and self._clock() >= self._end
        return is_late or (self._left is not None and self._left <= 0)

    def count(self, size_bytes: int) -> None:
        """Count what was sent."""
        if self._left is not None:
            self._left -= size_bytes


def send_packs(
    source: str, spool: Spool, transport: Transport, sent: Callable[[int], None], budget: Budget | None = None
) -> int:
    """Send every pack of the spool that the center has not acknowledged, oldest first; give the bytes sent.

    A pack that is refused goes to the end: it may be coded against what a later one brings. `sent` is told of the bytes
    of each. Ends early, between packs, when `budget` is spent. Raises: CenterDownError; CenterRefusedError, for packs
    once a whole round brought nothing on. What was acknowledged stays so.
    """
    total = 0
    packs = spool.unsent()
    while packs:
        refused: list[SpooledPack] = []
        refusal: CenterRefusedError | None = None
        for pack in packs:
            if budget is not None and budget.is_spent:
                return total
            try:
                send_pack(source, pack, spool, transport)
            except CenterRefusedError as err:
                if err.refusal != PACK_REFUSED:
                    raise
                refusal = refusal or err
                refused.append(pack)
                continue
            sent(pack.size)
            total += pack.size
            if budget is not None:
                budget.count(pack.size)
        if refusal is not None and len(refused) == len(packs):
            raise refusal
        packs = refused
    return total


def send_pack(source: str, pack: SpooledPack, spool: Spool, transport: Transport) -> None:
    """Send one pack and note that the center has acknowledged it."""
    transport.put_pack(source, pack.name, pack.path)
    spool.mark_sent(pack.name)


class BackgroundSender:
    """Send packs while the snapshot is still being read. One thread; `close` waits for it.

    A line that is down stops the sending, not the snapshot: the packs stay in the spool. So does a pack that is refused,
    until `send_packs` has seen to it that it does not only lack what others bring; so does what `budget` leaves.
    Attribute after `close`: `sent_bytes`.
    """

    def __init__(
        self, source: str, spool: Spool, transport: Transport, sent: Callable[[int], None], budget: Budget | None = None
    ) -> None:
        self._budget = budget
        self._source = source
        self._spool = spool
        self._transport = transport
        self._sent = sent
        self._queue: queue.Queue[SpooledPack | None] = queue.Queue()
        self.sent_bytes = 0
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name=f"send {source}", daemon=True)
        self._thread.start()

    def put(self, pack: SpooledPack) -> None:
        """Take a pack that is durable in the spool."""
        self._queue.put(pack)

    def close(self) -> None:
        """Wait until what was put is sent, or cannot be."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (pack := self._queue.get()) is not None:
            if self._is_stopped or (self._budget is not None and self._budget.is_spent):
                continue
            try:
                send_pack(self._source, pack, self._spool, self._transport)
            except AgentError as err:
                # Whatever it is, it is met again, and answered, when all is sent that still waits.
                self._is_stopped = not (isinstance(err, CenterRefusedError) and err.refusal == PACK_REFUSED)
                continue
            self.sent_bytes += pack.size
            if self._budget is not None:
                self._budget.count(pack.size)
            self._sent(pack.size)


def submit(
    entry: JournalEntry,
    transport: Transport,
    journal: Journal,
    parties: Parties,
    clock: Callable[[], datetime],
    *,
    register_only: bool = False,
    sent_bytes: int = 0,
) -> Receipted | None:
    """Submit a statement, verify the receipt, keep it, cosign its checkpoint.

    None: content is missing at the center, which has not logged the statement.
    Raises: ReceiptError, CenterDownError, CenterRefusedError.
    """
    answer = transport.submit(entry.source, entry.note, register_only)
    if answer.receipt is None:
        return None
    verified = check_receipt(answer.receipt, entry, parties)
    advance(verified.note.encode(), transport, journal, parties, clock)
    state = State.STORED if verified.entry.level is Level.STORED else State.REGISTERED
    journal.mark_receipted(entry.source, entry.sequence, state, verified.index, answer.receipt, sent_bytes)
    return Receipted(state, verified.index, answer.missing)


def check_receipt(raw: bytes, entry: JournalEntry, parties: Parties) -> VerifiedReceipt:
    """Give the receipt of a statement, verified. Raises: ReceiptError."""
    what = Text(zh=f"{entry.source}#{entry.sequence} 的回执", en=f"the receipt for {entry.source}#{entry.sequence}")
    try:
        verified = verify_receipt(parse_receipt(raw), parties.log)
        if verified.entry.kind == "stored":
            note = parse_note(verified.entry.note)
            verify_note(note, [parties.operator])
            about: Sha256 | None = parse_stored(note.text).statement
        else:
            is_ours = verified.entry.kind == "statement" and verified.entry.note == entry.note
            about = entry.digest if is_ours else None
    except EvidenceError as err:
        raise ReceiptError(
            Text(zh=f"{what.zh}核验不通过：{err}", en=f"{what.en} does not verify: {err}"), hint=_STOP
        ) from err
    if about != entry.digest:
        raise ReceiptError(Text(zh=f"{what.zh}说的是别的声明", en=f"{what.en} is about another statement"), hint=_STOP)
    return verified


def advance(
    raw: bytes, transport: Transport, journal: Journal, parties: Parties, clock: Callable[[], datetime]
) -> None:
    """Verify that a checkpoint continues the last one seen; keep it durably, then cosign it.

    Runs of other sources may be at this at the same time, in other processes too: a checkpoint is kept only in the
    place of the very one that it was held against, so all that are cosigned are one history.

    Raises: ReceiptError if the log has two histories.
    """
    try:
        note = parse_note(raw)
        new = verify_checkpoint(note, parties.log)
        while True:
            known = journal.checkpoint()
            if known is not None and not _continues(new, known[1], transport, parties):
                return
            if journal.advance_checkpoint(None if known is None else known[1], new.size, raw):
                break
    except EvidenceError as err:
        raise ReceiptError(
            Text(
                zh=f"中心的日志没有接续本采集端见过的日志：{err}",
                en=f"the center's log does not continue what this agent has seen: {err}",
            ),
            hint=_STOP,
        ) from err
    line = cosign(note.text, parties.cosigner, int(clock().timestamp()))
    try:
        transport.cosign(new.size, line)
    except (CenterDownError, CenterRefusedError) as err:
        # The cosignature helps others; this unit's own evidence does not hang on it, and the next one covers it.
        log.warning("the cosignature was not taken", extra={"size": new.size, "reason": str(err)})


def _continues(new: Checkpoint, known: bytes, transport: Transport, parties: Parties) -> bool:
    """Tell whether `new` goes on from the checkpoint that is kept; False: it is of the same history, and not newer.

    Raises: EvidenceError if they are of two histories.
    """
    old = verify_checkpoint(parse_note(known), parties.log)
    first, second = sorted((old, new), key=lambda c: c.size)
    proof = transport.consistency(first.size, second.size) if 0 < first.size < second.size else []
    verify_consistency(first.size, first.root, second.size, second.root, proof)
    return new.size > old.size
