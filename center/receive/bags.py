# SPDX-License-Identifier: Apache-2.0
"""Take in one bag: what came over no line is admitted as what comes over one, by the same `Admission`.

The unit's signature on the envelope is verified before anything else of the bag counts. Packs are unsealed frame by frame
while they are admitted, so memory is that of a request. What is damaged is named and the rest is taken; a statement
whose content is not all here is registered, and completed when a later bag brings it. Everything may be done again:
packs that are stored and statements that are logged are known. Threads: one bag of a source at a time, by the caller.
Where bags come from, and where they go, is `inbox.py`'s business. Source: design section 6, format.md 12.7.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from center.errors import (
    BagError,
    CenterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PackError,
    RefusedError,
)
from center.ledger.ledger import Ledger
from center.receive.admit import Admission
from center.registry.catalog import Catalog
from center.registry.catalog_tables import StatementRow
from center.registry.seal import SealingKey
from center.registry.units import Unit, Units
from evidence.bag.envelope import BaggedPack, BaggedStatement, Envelope, read_signature_line, verify_envelope
from evidence.bag.layout import pack_path, statement_path
from evidence.bag.read import BagReader, Damage, DamagedError
from evidence.bag.receipts import MAX_IDS, BagAnswer, Refusal, StatementAnswer
from evidence.digest import Sha256
from evidence.errors import EvidenceError, UnknownSignerError
from evidence.keys.key import VerificationKey
from evidence.manifest.entry import Level
from evidence.manifest.statement import key_name
from evidence.note.signed import Note
from evidence.wire.secrets import Direction, SealedFor
from terminal.language import Language, Text

log = logging.getLogger(__name__)
_MOST_REFUSALS: Final = 256
"""Packs whose refusal is told in words; others are asked for again without."""
_FORGED = Text(
    zh="问该单位是否送过它；若没有，就是别人也能写收发目录",
    en="ask the unit whether it sent it; if not, somebody else can write to the drop box",
)


@dataclass(frozen=True, slots=True)
class OpenedBag:
    """A bag whose envelope is the unit's own.

    `is_former`: it is signed by a key that has given way since, so its packs count, and no statement that is not logged.
    """

    reader: BagReader
    unit: Unit
    is_former: bool = False

    @property
    def envelope(self) -> Envelope:
        """Give the envelope, which is verified."""
        return self.reader.envelope


@dataclass(slots=True)
class TakenBag:
    """What became of a bag. `shown`: the size of the checkpoint that it showed and that we hold, or 0.

    `is_early`: it has statements that must wait for others of their chain, which have not come yet.
    """

    envelope: Envelope
    shown: int = 0
    missing: list[str] = field(default_factory=list)
    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    refusal: Refusal | None = None
    statements: dict[bytes, StatementAnswer] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    is_early: bool = False

    @property
    def answer(self) -> BagAnswer:
        """Give what the unit is told of the packs."""
        told = self.refused[:_MOST_REFUSALS]
        again = [name for name, _ in self.refused[_MOST_REFUSALS:]]
        return BagAnswer(self.envelope.bag, (*self.missing, *again), tuple(told), self.refusal)


class BagIntake:
    """Take bags into one center. `since`: when this process was started; a bag made before shows an old checkpoint.

    `made`: told of each bag that is taken in, which unit has made it, and when by that unit's clock: a sign of life.
    """

    def __init__(
        self, admission: Admission, ledger: Ledger, catalog: Catalog, units: Units, sealing: SealingKey, since: datetime,
        made: Callable[[str, datetime], None],
    ) -> None:  # fmt: skip
        self._admission = admission
        self._ledger = ledger
        self._catalog = catalog
        self._units = units
        self._sealing = sealing
        self._since = since
        self._made = made
        self._origin = ledger.log_key.name

    def open(self, folder: Path) -> OpenedBag:
        """Open the bag in `folder` and verify that its unit has signed it.

        Raises: DamagedError: its envelope is not there, or not whole. BagError, ForbiddenError: it is refused. OSError.
        """
        try:
            reader = BagReader(folder)
        except DamagedError:
            raise
        except EvidenceError as err:
            raise BagError(
                Text(zh=f"包裹 {folder.name} 被拒绝：{err}", en=f"the bag {folder.name} is refused: {err}"),
                hint=_FORGED,
            ) from err
        envelope = reader.envelope
        where = Text(
            zh=f"{envelope.unit}/{envelope.source} 的包裹 {envelope.bag} ",
            en=f"the bag {envelope.bag} of {envelope.unit}/{envelope.source}",
        )
        if envelope.origin != self._origin:
            raise BagError(
                Text(
                    zh=f"{where.zh}是给 {envelope.origin} 的，不是给 {self._origin} 的",
                    en=f"{where.en} is for {envelope.origin}, not for {self._origin}",
                ),
                hint=Text(zh="送到那个中心", en="bring it to that center"),
            )
        try:
            unit = self._units.get(envelope.unit)
            if unit.statement_key is None:
                raise BagError(
                    Text(zh=f"{where.zh}被拒绝：该单位没有登记", en=f"{where.en} is refused: the unit is not enrolled"),
                    hint=Text(zh="先登记该单位，再把包裹放回", en="enrol it, then put the bag back"),
                )
            is_former = _verify(reader.note, envelope, unit.statement_key, unit.former_keys)
        except NotFoundError as err:
            raise BagError(
                Text(zh=f"{where.zh}被拒绝：{err.sentence(Language.ZH)}", en=f"{where.en} is refused: {err}"),
                hint=_FORGED,
            ) from err
        except EvidenceError as err:
            raise BagError(
                Text(
                    zh=f"{where.zh}不是由该单位的密钥签署的：{err}",
                    en=f"{where.en} is not signed by the unit's key: {err}",
                ),
                hint=_FORGED,
            ) from err
        if unit.disabled:
            raise ForbiddenError(
                Text(zh=f"{where.zh}被拒绝：该单位已停用", en=f"{where.en} is refused: the unit is disabled"),
                hint=Text(
                    zh=f"jinsuo-center unit enable {unit.unit}，再把包裹放回收发目录",
                    en=f"jinsuo-center unit enable {unit.unit}, then put the bag back into the drop box",
                ),
            )
        return OpenedBag(reader, unit, is_former)

    def show(self, bag: OpenedBag) -> int:
        """Show the ledger the checkpoint that the agent had seen; give its size if we hold it, else 0.

        Of all bags that wait, before the first is taken in: so that a ledger that lost its tail stops before it signs.
        Raises: BagError if it is none of this log.
        """
        checkpoint = bag.envelope.checkpoint
        if checkpoint is None:
            return 0
        try:
            size = self._ledger.observe(checkpoint, is_fresh=bag.envelope.created > self._since)
        except EvidenceError as err:
            raise BagError(
                Text(
                    zh=f"包裹 {bag.envelope.bag} 中的检查点不是本日志的：{err}",
                    en=f"the checkpoint in bag {bag.envelope.bag} is none of this log: {err}",
                ),
                hint=Text(
                    zh="采集端目录可能属于另一个中心：用新目录重新登记",
                    en="the agent's folder may be of another center: enrol it anew in a new folder",
                ),
            ) from err
        return size or 0

    def take(self, bag: OpenedBag) -> TakenBag:
        """Take in what the bag brings, and complete what it makes whole.

        Raises: HeldError, FullError, StoreError: try again later; nothing is lost.
        """
        shown = self.show(bag)
        self._ledger.finish()  # a ledger that signs nothing now would let all that follows be done in vain
        taken = TakenBag(bag.envelope, shown, damages=bag.reader.find_damaged_lists())
        try:
            data_key = self._open_key(bag)
            self._register(bag)
        except (RefusedError, ConflictError) as err:
            taken.refusal = _refusal(err)
            return taken
        self._take_packs(bag, data_key, taken)
        self._take_statements(bag, taken)
        self._complete(bag, taken)
        self._cosign(bag)
        if not bag.is_former:
            self._made(bag.envelope.unit, bag.envelope.created)
        return taken

    def logged(self, bag: OpenedBag) -> Sequence[StatementRow]:
        """Give all statements of the bag's source that are logged, in their order."""
        return self._catalog.statements(bag.envelope.unit, bag.envelope.source)

    def newest(self, bag: OpenedBag) -> int:
        """Give the newest sequence that is logged of the bag's source, or 0."""
        latest = self._catalog.latest(bag.envelope.unit, bag.envelope.source)
        return 0 if latest is None else latest.sequence

    def _open_key(self, bag: OpenedBag) -> bytes:
        envelope = bag.envelope
        try:
            return self._sealing.open_bag_key(envelope.key, envelope.place)
        except EvidenceError as err:
            other = envelope.sealing != self._sealing.public
            why = Text(zh=str(err), en=str(err))
            if other:
                why = Text(zh="它不是用本中心的封装密钥封的", en="it is sealed to another key than this center's")
            raise BagError(
                Text(
                    zh=f"{envelope.unit}/{envelope.source} 的包裹 {envelope.bag} 打不开：{why.zh}",
                    en=f"the bag {envelope.bag} of {envelope.unit}/{envelope.source} does not open: {why.en}",
                ),
                hint=Text(
                    zh="让采集端重新登记：它可能还在用旧的封装密钥",
                    en="enrol the agent anew: it may know an old sealing key",
                ),
            ) from err

    def _register(self, bag: OpenedBag) -> None:
        """Keep the source's secrets. Raises: RefusedError, ConflictError."""
        envelope = bag.envelope
        place = SealedFor(Direction.DEPOSIT, envelope.origin, envelope.unit, envelope.source)
        try:
            secrets = self._sealing.open(envelope.secrets, place)
        except EvidenceError as err:
            raise BagError(
                Text(
                    zh=f"包裹 {envelope.bag} 中的秘密打不开：{err}",
                    en=f"the secrets in bag {envelope.bag} do not open: {err}",
                ),
                hint=Text(zh="让采集端重新登记", en="enrol the agent anew"),
            ) from err
        self._units.register_source(envelope.unit, envelope.source, secrets)

    def _take_packs(self, bag: OpenedBag, data_key: bytes, taken: TakenBag) -> None:
        """Admit the packs in their order; one that is refused may be coded against a later one, and is tried again."""
        waiting: Sequence[BaggedPack] = bag.envelope.packs
        while waiting:
            refused: list[tuple[BaggedPack, Refusal]] = []
            for pack in waiting:
                parts = bag.reader.open_pack(pack, data_key)
                try:
                    self._admission.put_pack(bag.envelope.unit, bag.envelope.source, pack.name, parts)
                except PackError as err:
                    damage = _find_damage(err, parts)
                    if damage is not None:
                        taken.missing.append(pack.name)
                        taken.damages.append(Damage(pack_path(pack), str(damage)))
                    else:
                        refused.append((pack, _refusal(err)))
            if len(refused) == len(waiting):
                taken.refused = [(pack.name, refusal) for pack, refusal in refused]
                taken.damages += [Damage(pack_path(pack), refusal.message) for pack, refusal in refused]
                return
            waiting = [pack for pack, _ in refused]

    def _take_statements(self, bag: OpenedBag, taken: TakenBag) -> None:
        envelope = bag.envelope
        if bag.is_former:
            # Whoever has stolen the old key could state what he likes. The agent sends them again under the new one.
            return
        for statement in envelope.statements:
            if statement.sequence > self.newest(bag) + 1:
                taken.is_early = True
                return
            if not self._take_statement(bag, statement, taken):
                return  # those after it are of a chain that is not

    def _take_statement(self, bag: OpenedBag, statement: BaggedStatement, taken: TakenBag) -> bool:
        """Admit a statement; tell whether the chain goes on from it."""
        try:
            note = bag.reader.read_statement(statement)
        except DamagedError as err:
            taken.damages.append(Damage(statement_path(bag.envelope.source, statement), str(err)))
            return False
        return self._submit(bag, statement.digest, note, taken)

    def _complete(self, bag: OpenedBag, taken: TakenBag) -> None:
        """Complete statements that were registered before; the content of some may be whole now."""
        for row in self.logged(bag):
            if row.level is Level.REGISTERED and row.digest not in taken.statements:
                self._submit(bag, row.digest, row.note, taken)

    def _submit(self, bag: OpenedBag, digest: bytes, note: bytes, taken: TakenBag) -> bool:
        try:
            answer = self._admission.submit(bag.envelope.unit, bag.envelope.source, note, register_only=True)
        except (RefusedError, ConflictError) as err:
            taken.statements[digest] = StatementAnswer(Sha256(digest), refusal=_refusal(err))
            return False
        if answer.level is Level.REGISTERED:
            taken.statements[digest] = StatementAnswer(Sha256(digest), tuple(answer.missing[:MAX_IDS]))
        return True

    def _cosign(self, bag: OpenedBag) -> None:
        """Keep the agent's cosignature. It helps others; the unit's own evidence does not hang on it."""
        line, key = bag.envelope.cosignature, bag.unit.cosigner_key
        if line is None or key is None:
            return
        try:
            self._ledger.add_cosignature(read_signature_line(line), key)
        except EvidenceError as err:
            log.warning("a cosignature was not taken", extra={"unit": bag.envelope.unit, "reason": str(err)})


def _verify(note: Note, envelope: Envelope, now: VerificationKey, former: Sequence[VerificationKey]) -> bool:
    """Verify who has signed an envelope; tell whether it was by a key that has given way. Raises: EvidenceError.

    A medium may travel for months, and bags lie in a drop box, while the change of the key comes by another one.
    """
    try:
        verify_envelope(note, envelope, now)
    except UnknownSignerError:
        name = key_name(envelope.unit, envelope.source)
        key = next((key for key in former if key.renamed(name).key_id == note.signatures[0].key_id), None)
        if key is None:
            raise
        verify_envelope(note, envelope, key)
        return True
    return False


def _find_damage(err: PackError, parts: Iterator[bytes]) -> DamagedError | None:
    """Give what is wrong with the file of a pack that was refused; None if it is what the unit has put into the bag.

    What is refused before its end is read to its end, which tells. For each frame opens with the bag's key, in whatever
    file somebody has put it: a unit that is told of a refusal gives up what it is only to send again.
    """
    try:
        for _ in parts:
            pass
    except DamagedError as damage:
        return damage
    except EvidenceError:
        return None
    return err.__cause__ if isinstance(err.__cause__, DamagedError) else None


def _refusal(err: CenterError) -> Refusal:
    return Refusal(err.code, str(err), err.hint)
