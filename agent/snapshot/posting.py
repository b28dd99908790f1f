# SPDX-License-Identifier: Apache-2.0
"""Deliver a source over a road that carries files: read the receipts that came, bag what waits, put the bags.

    bags/<source>/<bag>   a bag between its making and its being put; removed then

Order: a bag is made whole and durable here, noted (`agent.bagged`), put into the outbox, noted as put, removed here. Killed
between any two: put again, which is harmless, or made anew. A pack or statement that is in a bag waits there for an
answer, until the time is up; then it is bagged anew, and an answer to the old bag counts all the same when it comes. A file
of receipts is removed once all that it says has been taken in; one that cannot be read stays where it is, and does not stop
the others. Nothing counts as done but by a verified receipt (`Delivery`).
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from agent.bagged import Bagged, BagLog, Decided
from agent.errors import CenterDownError, CenterRefusedError, SpoolError
from agent.journal import Journal, JournalEntry, State
from agent.snapshot.delivering import Delivery
from agent.snapshot.progress import Progress
from agent.spool import Spool, SpooledPack
from agent.transport.base import DropBox, SendPace, unpaced
from agent.transport.posted import Posted, refused
from agent.transport.send import PACK_REFUSED
from evidence.bag.envelope import MAX_PACKS, MAX_STATEMENTS, Envelope
from evidence.bag.receipts import MAX_FILE_BYTES, BagAnswer, Receipts, Refusal, parse_receipts
from evidence.bag.seal import BagPlace
from evidence.bag.write import BagWriter, make_bag_id, remove_bag
from evidence.errors import EvidenceError
from evidence.keys.key import VerificationKey
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.statement import SnapshotStatement
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, seal_secrets
from terminal.language import Text

log = logging.getLogger(__name__)
_MOST_LATE: Final = 64
"""So many bags whose time is up are remembered: a center tells what became of as many."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who makes bags, and for whom: the unit's keys, the center's origin, operator's key and sealing key."""

    unit: str
    statement: Ed25519Signer
    cosigner: Ed25519Signer
    origin: str
    operator: VerificationKey
    sealing_key: bytes
    software: str


@dataclass(frozen=True, slots=True)
class PostSettings:
    """Packs are split over bags of about `bag_bytes`; what was not answered for `resend_after` is bagged anew."""

    bag_bytes: int
    resend_after: timedelta


class SourcePost:
    """The delivery of one source, whose `RunLock` the caller holds."""

    def __init__(
        self, name: str, delivery: Delivery, posted: Posted, sender: Sender, journal: Journal, bags: BagLog, spool: Spool,
        folder: Path, clock: Callable[[], datetime], settings: PostSettings, pace: SendPace = unpaced,
    ) -> None:  # fmt: skip
        """`posted` is the transport of `delivery`; `folder` the agent's; `pace`: of bags on their way."""
        self._name = name
        self._delivery = delivery
        self._posted = posted
        self._sender = sender
        self._journal = journal
        self._bags = bags
        self._spool = spool
        self._staging = folder / "bags" / name
        self._clock = clock
        self._settings = settings
        self._pace = pace

    def deliver(self, box: DropBox, progress: Progress) -> int:
        """Read what came, put what waits; give the number of bags that were put.

        Raises: DropBoxError (everything stays for the next time), SpoolError, ReceiptError; CenterRefusedError: the center
        refused something, and what was to be done about it is done.
        """
        trouble = self._receive(box)
        put = self._put_rest(box, progress)
        put += self._put_new(box, progress)
        if trouble is not None:
            raise trouble
        return put

    def _receive(self, box: DropBox) -> CenterRefusedError | None:
        """Take in the files of receipts of this source; give the first refusal, once all were read."""
        files = [found for name in box.receipts() if (found := self._read(box, name)) is not None]
        trouble: CenterRefusedError | None = None
        for name, receipts in sorted(files, key=lambda file: (file[1].size, file[1].created)):
            try:
                self._take(receipts)
            except CenterRefusedError as err:
                trouble = trouble or err
            except CenterDownError as err:
                log.warning("receipts wait", extra={"file": name, "reason": str(err)})
                continue
            box.remove(name)
        return trouble

    def _read(self, box: DropBox, name: str) -> tuple[str, Receipts] | None:
        """Give a file of receipts of this source."""
        if not name.startswith(f"receipts-{self._sender.unit}-{self._name}-"):
            return None
        try:
            receipts = parse_receipts(box.read(name, MAX_FILE_BYTES + 1), self._sender.operator)
        except EvidenceError as err:
            # Maybe it is not whole yet; or it is forged, and then nothing comes of it.
            log.warning("receipts cannot be read", extra={"file": name, "reason": str(err)})
            return None
        is_ours = (receipts.unit, receipts.source) == (self._sender.unit, self._name)
        return (name, receipts) if is_ours else None

    def _take(self, receipts: Receipts) -> None:
        """Take in one file. Raises: CenterRefusedError, CenterDownError (a proof is lacking yet), ReceiptError."""
        self._bags.keep_proofs(receipts.size, [(proof.size, b"".join(proof.hashes)) for proof in receipts.proofs])
        self._posted.take(receipts)
        known = {bagged.bag: bagged for bagged in self._bags.of(self._name)}
        answered = [(known[answer.bag], answer) for answer in receipts.bags if answer.bag in known]
        refusals = [refusal for bagged, answer in answered if (refusal := self._settle(bagged, answer)) is not None]
        self._hear_refusals(answered)
        self._delivery.accept(lambda entry: self._posted.answers(entry.digest))
        self._refill()
        if refusals:
            raise refused(refusals[0])

    def _settle(self, bagged: Bagged, answer: BagAnswer) -> Refusal | None:
        """Take note of what became of a bag; give why all of it was refused, if so: it is made anew when its time is up."""
        if answer.refusal is not None:
            if self._is_late(bagged):
                self._bags.forget([bagged.bag])
            return answer.refusal
        lost = {*answer.missing, *(name for name, _ in answer.refused)}
        for pack in bagged.packs:
            if pack not in lost:
                self._spool.mark_sent(pack)
        self._bags.forget([bagged.bag])
        return None

    def _hear_refusals(self, answered: Sequence[tuple[Bagged, BagAnswer]]) -> None:
        """Send again all that is here, once, where the oldest pack that the center has not is refused.

        What it is coded against may be lost there. Any other pack may be coded against one before it, which whoever is on the
        road has kept back or spoilt: it goes again with that one. And a refusal counts when nothing that the pack is coded
        against is on its way: in a bag before, in what is sent again.
        Raises: CenterRefusedError: that was done, and did not help; the pack is given up.
        """
        packs = {
            name: (refusal, bagged.made_at) for bagged, answer in answered for name, refusal in answer.refused
            if refusal.code == PACK_REFUSED
        }  # fmt: skip
        oldest = next(iter(self._spool.unsent()), None)
        if oldest is None or oldest.name not in packs or any(answer.missing for _, answer in answered):
            return
        refusal, made_at = packs[oldest.name]
        if any(other.made_at < made_at and not self._is_late(other) for other in self._bags.of(self._name)):
            return
        if self._is_under_way(packs, is_sent=True):
            return
        if not self._bags.mark(self._name, _refused_mark(oldest.name), self._live_marks()):
            self._delivery.give_up_on_pack(refused(refusal))
        self._delivery.refill(again=False)
        self._decide(f"pack {oldest.name}")

    def _refill(self) -> None:
        """Where the center lacks content, though it has all that was here when this was last decided, send what there is.

        What is on its way may be what is lacking. Of a gateway that takes days something always is, and it is of later nights:
        so only what was unsent then is waited for; where sending it has not helped, a snapshot taken since as well.
        """
        lacking = [e for e in self._waiting() if e.state is State.REGISTERED and self._posted.lacks(e.digest)]
        if not lacking or self._is_under_way():
            return
        about = lacking[0].digest.hex()
        decided = self._bags.decided(self._name)
        if decided is None or decided.about != about:
            self._decide(about, is_sent=False)
            if self._is_under_way():
                return
        is_first = self._bags.mark(self._name, _refilled_mark(lacking[0]), self._live_marks())
        self._delivery.refill(again=not is_first)
        self._decide(about, 0 if is_first else self._journal.latest_snapshot(self._name))

    def _decide(self, about: str, sequence: int = 0, *, is_sent: bool = True) -> None:
        """Decide nothing more until what is unsent now is answered, and a snapshot after `sequence`."""
        unsent = frozenset(pack.name for pack in self._spool.unsent())
        self._bags.decide(self._name, Decided(about, is_sent, sequence, unsent))

    def _live_marks(self) -> set[str]:
        """Give the marks that may be asked for again: of packs that are in the spool, and of statements that wait.

        A pack that has left it was taken, or given up; so was what no longer waits.
        """
        packs = {_refused_mark(pack.name) for pack in self._spool.packs()}
        return packs | {_refilled_mark(entry) for entry in self._waiting()}

    def _is_under_way(self, but: Collection[str] = (), *, is_sent: bool = False) -> bool:
        """Tell whether something that was waited for when it was last decided, `but` these packs, is not answered.

        `is_sent`: only of what was sent again.
        """
        decided = self._bags.decided(self._name)
        if decided is None or (is_sent and not decided.is_sent):
            return False
        unsent = {pack.name for pack in self._spool.unsent()}
        return not (decided.packs & unsent).issubset(but) or not self._is_logged_after(decided.sequence)

    def _is_logged_after(self, sequence: int) -> bool:
        return any(
            entry.sequence > sequence and entry.kind == SnapshotStatement.kind and entry.state is not State.TAKEN
            for entry in self._journal.all_of(self._name)
        )

    def _put_rest(self, box: DropBox, progress: Progress) -> int:
        """Put the bags that a kill or the line has left here; forget those that are gone, or of which nothing waits any more."""
        put = 0
        late = [bagged for bagged in self._bags.of(self._name) if bagged.is_put and self._is_late(bagged)]
        awaited = {pack.name for pack in self._spool.unsent()} if late else set()
        stated = {entry.digest for entry in self._waiting() if entry.state is State.TAKEN}
        for number, bagged in enumerate(reversed(late)):
            if number >= _MOST_LATE or (awaited.isdisjoint(bagged.packs) and stated.isdisjoint(bagged.statements)):
                self._bags.forget([bagged.bag])
        for bagged in self._bags.of(self._name):
            staged = self._staging / bagged.bag
            if not bagged.is_put and staged.is_dir():
                self._put(box, bagged, staged, progress)
                put += 1
            elif not bagged.is_put:
                self._bags.forget([bagged.bag])
        if self._staging.is_dir():
            for left in self._staging.iterdir():
                remove_bag(left)
        return put

    def _is_late(self, bagged: Bagged) -> bool:
        return self._clock() - bagged.made_at >= self._settings.resend_after

    def _put_new(self, box: DropBox, progress: Progress) -> int:
        """Bag what is in no bag and put it, if there is anything that waits for it."""
        noted = self._bags.of(self._name)
        under_way = [bagged for bagged in noted if not self._is_late(bagged)]
        bagged_packs = {pack for bagged in under_way for pack in bagged.packs}
        bagged_notes = {digest for bagged in under_way for digest in bagged.statements}
        waiting = self._waiting()
        # What is on media that are awaited is on its way: statements go ahead without it.
        unsent = [] if self._delivery.holds_packs() else self._spool.unsent()
        packs = [pack for pack in unsent if pack.name not in bagged_packs]
        notes = [e for e in waiting if e.state is State.TAKEN and e.digest not in bagged_notes][:MAX_STATEMENTS]
        if not notes and not (packs and waiting):
            return 0
        again = {*(pack.name for pack in packs), *(entry.digest for entry in notes)}
        for bagged in noted:
            if not again.isdisjoint([*bagged.packs, *bagged.statements]):
                log.warning("a bag was not answered", extra={"source": self._name, "bag": bagged.bag})
        notes = sorted([*self._logged(waiting, MAX_STATEMENTS - len(notes)), *notes], key=lambda e: e.sequence)
        volumes = _split(packs, self._settings.bag_bytes)
        set_ = make_bag_id()
        for number, volume in enumerate(volumes, 1):
            is_last = number == len(volumes)
            bagged = self._make(volume, notes if is_last else [], set_, number, len(volumes))
            self._put(box, bagged, self._staging / bagged.bag, progress)
        return len(volumes)

    def _logged(self, waiting: Sequence[JournalEntry], most: int) -> list[JournalEntry]:
        """Give what is logged and waits for content, to be asked for once more.

        The receipt may have been lost on its way, or kept back: the center gives anew only those that the checkpoint we show
        does not cover, and that may have come with another source's. Without it we would state content as lost in the end.
        """
        logged = [e for e in waiting if e.state is State.REGISTERED and not e.is_given_up]
        return logged[-most:] if most else []

    def _waiting(self) -> list[JournalEntry]:
        return self._journal.unfinished_of(self._name)

    def _make(
        self, packs: Sequence[SpooledPack], notes: Sequence[JournalEntry], set_: str, volume: int, volumes: int
    ) -> Bagged:
        """Make a bag here, whole, durable and noted.

        Raises: SpoolError; CenterRefusedError: a pack is damaged here, which the center would refuse, and is given up.
        """
        sender = self._sender
        # Not the spool's own cap: bags are how it gets empty again.
        self._spool.check_free(sum(pack.size for pack in packs))
        place = BagPlace(sender.origin, sender.unit, self._name, make_bag_id())
        try:
            writer = BagWriter(self._staging / place.bag, place, sender.sealing_key)
            for pack in packs:
                writer.add_pack(pack.name, pack.path)
            for entry in notes:
                writer.add_statement(entry.sequence, entry.digest, entry.note)
            envelope = self._finish(writer, set_, volume, volumes)
        except EvidenceError as err:
            remove_bag(self._staging / place.bag)
            # No bag can carry it, and by a line the center would refuse it: the same is done as there.
            why = Text(
                zh=f"发件箱中 {self._name} 的一个数据包已损坏，发不出去：{err}",
                en=f"a pack of {self._name} is damaged in the spool and cannot be sent: {err}",
            )
            self._delivery.give_up_on_pack(CenterRefusedError(why, hint="", refusal=PACK_REFUSED))
        except OSError as err:
            remove_bag(self._staging / place.bag)
            raise SpoolError(
                Text(
                    zh=f"{self._name} 的包裹无法在 {self._staging} 中做成：{err.strerror or err}",
                    en=f"the bag for {self._name} cannot be made in {self._staging}: {err.strerror or err}",
                ),
                hint=Text(
                    zh="在采集端目录所在的卷上腾出空间，再运行 `jinsuo-agent send`；数据不会丢失",
                    en="make room on the volume of the agent's folder, then run `jinsuo-agent send`; nothing is lost",
                ),
            ) from err
        bagged = Bagged(
            place.bag, self._name, envelope.folder_name, False, self._clock(), tuple(pack.name for pack in packs),
            tuple(entry.digest for entry in notes),
        )  # fmt: skip
        self._bags.add(bagged)
        return bagged

    def _finish(self, writer: BagWriter, set_: str, volume: int, volumes: int) -> Envelope:
        """Sign the envelope, with the secrets of the source and our word on the newest checkpoint."""
        sender, now = self._sender, self._clock()
        keys = self._journal.keys(self._name)
        assert keys is not None  # made or found before anything was read
        secrets = seal_secrets(
            SourceSecrets(keys.row_secret, keys.storage_key),
            SealedFor(Direction.DEPOSIT, sender.origin, sender.unit, self._name),
            sender.sealing_key,
        )
        known = self._journal.checkpoint()
        checkpoint = line = None
        if known is not None:
            # It was kept durably before this: `advance`. The bag carries what a request's header and a cosigning would.
            checkpoint = known[1]
            line = cosign(parse_note(checkpoint).text, sender.cosigner, int(now.timestamp())).encode().encode()
        return writer.finish(
            sender.statement, now, sender.software, secrets=secrets, checkpoint=checkpoint, cosignature=line,
            set_=set_, volume=volume, volumes=volumes,
        )  # fmt: skip

    def _put(self, box: DropBox, bagged: Bagged, staged: Path, progress: Progress) -> None:
        # Told of each file: so a slice of sending ends within a bag, which may take hours, and the next one goes on there.
        box.put(bagged.name, staged, self._pace, progress.sent)
        self._bags.mark_put(bagged.bag)
        remove_bag(staged)
        sizes = {pack.name: pack.size for pack in self._spool.packs()}
        size = sum(sizes.get(pack, 0) for pack in bagged.packs)
        self._delivery.count_sent(size)
        log.info("a bag is put", extra={"source": self._name, "bag": bagged.bag, "bytes": size})


def _split(packs: Sequence[SpooledPack], most: int) -> list[list[SpooledPack]]:
    """Split packs, in their order, into volumes of about `most` bytes; at least one, which may be empty."""
    volumes: list[list[SpooledPack]] = [[]]
    size = 0
    for pack in packs:
        if volumes[-1] and (size + pack.size > most or len(volumes[-1]) == MAX_PACKS):
            volumes.append([])
            size = 0
        volumes[-1].append(pack)
        size += pack.size
    return volumes


def _refused_mark(pack: str) -> str:
    """Name the mark that all was sent again because of this pack."""
    return f"refused {pack}"


def _refilled_mark(entry: JournalEntry) -> str:
    """Name the mark that all was sent again because the content of this statement is lacking."""
    return f"refilled {entry.digest.hex()}"
