# SPDX-License-Identifier: Apache-2.0
"""One run of one source: settle its chain, take a snapshot, send what waits, keep the receipt.

    secrets   kept here, else given back by the center, else made and deposited there, before anything is read
    chain     the journal's newest statement; where the journal knows none, the center's, and then a `gap` is stated
    taking    packs become durable one by one and may travel meanwhile; the journal's row makes the statement exist
    sending   packs, oldest first, then statements in their order, each until its receipt is verified; where much waits,
              statements are registered before their packs

A kill at any moment leaves either no statement (whole packs serve the next run) or one that waits in the journal. The
line may be down from `take` on: then everything waits in the spool, as long as it has room (`rationing.py`). Source: design sections 5 to 7.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import NoReturn, TypeVar

from agent.collectors.base import Collector
from agent.errors import CenterDownError, CenterRefusedError
from agent.holdings import Base, Holdings
from agent.journal import Journal, JournalEntry, SourceKeys, State
from agent.snapshot.carrying import Carrying, ReadPlan, find_carrying
from agent.snapshot.chain import Chain
from agent.snapshot.gaps import GapMaker
from agent.snapshot.givingup import ANEW, GivingUp
from agent.snapshot.kept import keep, manifest_path, receipt_path
from agent.snapshot.onway import NothingOnWay, OnWay
from agent.snapshot.progress import Pace, Progress, unpaced
from agent.snapshot.rationing import Rationing
from agent.snapshot.rekey import MakeChange, make_key_change
from agent.snapshot.restock import restock
from agent.snapshot.sacrifice import registers_first
from agent.snapshot.take import Place, Taken, take_snapshot
from agent.spool import Spool, SpooledPack
from agent.transport.base import Transport
from agent.transport.send import (
    PACK_REFUSED,
    BackgroundSender,
    Budget,
    Parties,
    Receipted,
    send_packs,
    submit,
)
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.statement import (
    Channel,
    GapCause,
    SnapshotStatement,
    key_name,
    statement_digest,
)
from evidence.wire.secrets import SourceSecrets

_NOT_FOUND = "JS-3106"
_FULL = "JS-3201"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a run works with, beside its source: folders, memory, keys, the line, the clock."""

    folder: Path
    journal: Journal
    holdings: Holdings
    spool: Spool
    unit: str
    signer: Ed25519Signer
    parties: Parties
    connect: Callable[[], Transport]
    clock: Callable[[], datetime]
    version: str
    plan: ReadPlan = field(default_factory=ReadPlan)
    channel: Channel = Channel.ONLINE
    on_way: OnWay = field(default_factory=NothingOnWay)
    max_age: timedelta | None = None
    before: Ed25519Signer | None = None
    """The key that gives way to `signer` while the center may not know that yet."""


class SourceRun:
    """The acts on one source. One at a time: the caller holds the source's `RunLock`."""

    def __init__(self, name: str, desk: Desk) -> None:
        self._name = name
        self._desk = desk
        self._signer = desk.signer.renamed(key_name(desk.unit, name))
        gaps = GapMaker(desk.unit, name, self._signer, desk.clock)
        self._chain = Chain(desk.journal, desk.parties, gaps, self._find_change())
        self._rationing = Rationing(
            desk.journal, desk.holdings, desk.spool, desk.folder, desk.max_age, gaps, desk.on_way
        )  # fmt: skip
        self._giving_up = GivingUp(
            desk.folder, desk.journal, desk.holdings, desk.spool, gaps, self._rationing, self._find_change()
        )
        self.sent_bytes = 0
        self._refusal: CenterRefusedError | None = None
        self._restocked: set[ObjectId] = set()

    def settle(self, *, offline: bool = False) -> SourceKeys:
        """Have the secrets and the chain of the source, and room for a snapshot; give its keys. Again is harmless.

        Where room is short, content of middle days makes it; where that does not do, a `gap` will say so (decision 0060).
        `offline`: a line that is down is no error: a source that nobody knows begins here, and its secrets travel sealed.
        Raises: CenterDownError where the center must be asked: about a source that this agent has not taken before.
        CenterRefusedError, ReceiptError; SpoolFullError.
        """
        keys = self._settle_keys(offline=offline)
        self._chain.settle(self._find_latest, offline=offline)
        with self._rationing.stating_no_room():
            self._rationing.make_room(keys)
            self._desk.spool.check_room()
        return keys

    def take(
        self,
        collector: Collector,
        progress: Progress,
        *,
        send: bool,
        began: datetime | None = None,
        remarks: Sequence[str] = (),
        pace: Pace = unpaced,
        budget: Budget | None = None,
        whole: bool = False,
        offline: bool = False,
    ) -> Taken:
        """Take a snapshot into the spool; with `send`, packs travel while the source is still being read.

        `began`, `remarks`: see `take_snapshot`; `budget` bounds what travels. `whole`: every object goes into the spool,
        whatever the center holds; `offline`: see `settle`; objects about which the center cannot be asked are taken to be
        absent there.

        Raises: SpoolFullError, if it can be before the source is asked for anything; SourceError and its kin, SpoolError;
        CenterDownError only where the center must be asked first: for the secrets and the chain of a source that this agent
        has not taken before. CenterRefusedError.
        """
        keys = self.settle(offline=offline)
        desk = self._desk
        latest = desk.journal.latest(self._name)
        place = Place(
            unit=desk.unit,
            source=self._name,
            sequence=1 if latest is None else latest.sequence + 1,
            previous=None if latest is None else latest.digest,
            signer=self._signer,
            version=desk.version,
            channel=desk.channel,
        )
        if whole:
            desk.holdings.forget(self._name)
        else:
            self._recall_newest()
        # A chain without whole holdings: the center has what this agent does not remember. Ask, rather than send all.
        ask = None
        if latest is not None and not whole and not desk.holdings.is_complete(self._name):
            ask = lambda ids: self._find_missing(ids, offline=offline)  # noqa: E731
        travels = send and not self.holds_packs()
        sender = BackgroundSender(self._name, desk.spool, self._transport, progress.sent, budget) if travels else None
        temporary = desk.folder / "reading" / self._name
        shutil.rmtree(temporary, ignore_errors=True)

        written = 0

        def committed(pack: SpooledPack, ids: list[ObjectId], bases: list[Base]) -> None:
            nonlocal written
            written += pack.size
            desk.holdings.add(self._name, ids)
            desk.holdings.add_bases(self._name, pack.name, bases)
            if sender is not None:
                sender.put(pack)

        try:
            if sender is not None:
                for pack in desk.spool.unsent():
                    sender.put(pack)
            with self._rationing.stating_no_room(), desk.spool.writer(committed) as spooler:
                taken = take_snapshot(
                    collector, place, keys, spooler, desk.holdings, temporary,
                    ask=ask, clock=desk.clock, progress=progress, pace=pace, began=began, remarks=remarks,
                    carrying=self._find_carrying(),
                )  # fmt: skip
            self._note(taken, written)
            desk.holdings.mark_complete(self._name)
            # Only now: a spool that is filled again while it is read from would else state a gap each night.
            self._rationing.end_outage(taken.statement.began)
        finally:
            if sender is not None:
                sender.close()
                self.sent_bytes += sender.sent_bytes
        return taken

    def _find_missing(self, ids: Sequence[ObjectId], *, offline: bool) -> set[ObjectId]:
        try:
            return self._with_source(lambda: self._transport.missing(self._name, ids))
        except CenterDownError:
            if not offline:
                raise
            return set(ids)

    def _find_carrying(self) -> Carrying:
        desk = self._desk
        manifests = manifest_path(desk.folder, self._name, 1).parent
        return find_carrying(self._name, desk.plan, desk.journal, desk.holdings, manifests, desk.clock())

    def _recall_newest(self) -> None:
        """Learn the objects of packs that became durable in the moment of a kill, before the holdings were told.

        They are the newest ones; else their objects would be written, and travel, a second time.
        """
        desk = self._desk
        for pack in reversed(desk.spool.unsent()):
            ids = desk.spool.object_ids(pack)
            if all(desk.holdings.has(self._name, name) for name in ids):
                return
            desk.holdings.add(self._name, ids)

    def deliver(self, progress: Progress, budget: Budget | None = None) -> bool:
        """Send what the spool holds, and the statements in their order, until each has its verified receipt.

        Statements go first where much waits. Oldest content first: later days build on it. False: `budget` was spent before
        all was sent; the rest waits. Raises: CenterDownError (everything stays for the next time), ReceiptError,
        CenterRefusedError, of content that was registered before it came when all else has been brought.
        """
        desk = self._desk
        self._refusal = None
        latest = desk.journal.latest(self._name, State.STORED)
        if latest is not None and not receipt_path(desk.folder, self._name, latest.sequence).exists():
            self._keep_receipt(latest.sequence)  # the disk was full, or the run was cut, after the journal had it
        if self.holds_packs():
            self._register_alone()
        self._mark_arrived()
        if self.holds_packs():
            self._retire()
            return True
        has_moved = self.sent_bytes > 0
        fresh: set[Sha256] = set()
        if registers_first(self._waiting(), sum(pack.size for pack in desk.spool.unsent())):
            fresh = self._register()
        try:
            is_whole = self._send_packs(progress, budget)
        except CenterDownError as err:
            if err.refusal == _FULL:
                # It takes no packs, and has kept room for its log: so what was taken is locked at least.
                with suppress(CenterDownError):
                    self._register()
            raise
        has_moved |= self.sent_bytes > 0
        is_lagging = False
        for entry in self._each_waiting():
            if is_lagging and entry.state is State.REGISTERED:
                continue  # it builds on one before it, and lacks as much
            is_new = has_moved or entry.state is State.TAKEN or entry.digest in fresh
            # What could not be found of one before cannot be found now: over a thin line, to ask each minute fills it.
            searches = is_whole and (is_new or desk.holdings.is_complete(self._name))
            receipted = self._bring(entry, progress, is_whole=searches)
            if receipted is None:
                continue
            if _lacks_content(entry, receipted) and not entry.is_given_up:
                is_lagging = not is_whole
                if searches:
                    # Its content is gone here too: the next snapshot asks, and sends what the source still has.
                    desk.holdings.forget(self._name)
        if is_whole:
            if self._give_up_hopeless():
                self._register()
            if self._rationing.end_outage_with_the_line():
                self._register()
            self._retire()
        if self._refusal is not None:
            raise self._refusal
        return is_whole

    def holds_packs(self) -> bool:
        """Tell whether the packs of the source are to stay here, because media that bring them are awaited."""
        return self._desk.on_way.holds()

    def accept(self, is_answered: Callable[[JournalEntry], bool]) -> None:
        """Take in what a road without a line has brought for the statements that wait, in their order.

        Raises: as `deliver`; what was taken in stays so.
        """
        self._refusal = None
        for entry in self._waiting():
            if not is_answered(entry):
                continue
            try:
                self._submit(entry)
            except CenterRefusedError as err:
                self._yield_to(err, entry)
                continue
            self._keep_receipt(entry.sequence)
        self._mark_arrived()
        self._retire()
        if self._refusal is not None:
            raise self._refusal

    def refill(self, *, again: bool) -> None:
        """Send once more what the center lacks although it had acknowledged it: all of the spool, and what was kept.

        `again`: that was done before and did not help; then what a later one that is stored has not brought is given up; if
        there is none, the next snapshot sends what the source still has.
        """
        if again:
            if not self._give_up_hopeless():
                self._desk.holdings.forget(self._name)
            return
        self._desk.spool.forget_sent()
        self._restock()

    def give_up_on_pack(self, err: CenterRefusedError) -> NoReturn:
        """Let go of what needs a pack that the center refuses again and again. Raises: CenterRefusedError."""
        self._giving_up.give_up_on_pack(err)

    def _register_alone(self) -> None:
        """Have the statements logged ahead of their content, which comes on media; those whose content has come are stored."""
        for entry in self._each_waiting():
            self._bring(entry, None, is_whole=False)

    def _mark_arrived(self) -> None:
        for name in self._desk.on_way.arrived():
            self._desk.spool.mark_sent(name)

    def _retire(self) -> None:
        """Let go of the packs that the center has, once no statement waits for them."""
        desk = self._desk
        if all(entry.state is State.REGISTERED for entry in self._waiting()):
            gone = desk.spool.retire_sent(lambda: desk.holdings.pinned_packs(self._name))
            desk.holdings.forget_packs(self._name, gone)

    def _each_waiting(self) -> Iterator[JournalEntry]:
        """Yield the statements that wait, in their order, each once; also those that are stated meanwhile."""
        seen: set[Sha256] = set()
        while (entry := next((e for e in self._waiting() if e.digest not in seen), None)) is not None:
            seen.add(entry.digest)
            yield entry

    def _register(self) -> set[Sha256]:
        """Have the statements that wait logged ahead of their content, oldest first; give the digests of those logged."""
        logged: set[Sha256] = set()
        for entry in self._each_waiting():
            if entry.state is State.TAKEN and self._bring(entry, None, is_whole=False) is not None:
                logged.add(entry.digest)
        return logged

    def _bring(self, entry: JournalEntry, progress: Progress | None, *, is_whole: bool) -> Receipted | None:
        """Submit one statement and keep its receipt; None: the center refused its content, and it is given up.

        `is_whole`: all that is here has been sent, so what the center still lacks must be found; else the statement is
        logged ahead of it.
        """
        try:
            if progress is None or not is_whole or entry.is_given_up:
                receipted = self._submit(entry, register_only=True)
            else:
                receipted = self._submit_whole(entry, progress)
        except CenterRefusedError as err:
            self._yield_to(err, entry)
            return None
        if receipted is None:
            self._giving_up.give_up(entry.sequence, GapCause.SPOOL, "the center lacks content that they need")
            raise CenterDownError(
                f"the center lacks content of {self._name}#{entry.sequence} that was sent before; the statement was not logged",
                hint=ANEW,
            )
        self.sent_bytes = 0
        self._keep_receipt(entry.sequence)
        return receipted

    def _give_up_hopeless(self) -> bool:
        """State which registered statements will not get their content: a later one is stored, and nothing here has it.

        Tell whether there are any.
        """
        stored = self._desk.journal.latest(self._name, State.STORED)
        waiting = [entry for entry in self._waiting() if entry.kind == SnapshotStatement.kind]
        hopeless = [e for e in waiting if e.state is State.REGISTERED and stored and e.sequence < stored.sequence]
        if hopeless:
            why = "the center lacks content that is not kept here any more"
            self._rationing.give_up_content(hopeless, GapCause.SPOOL, why)
        return bool(hopeless)

    @cached_property
    def _transport(self) -> Transport:
        return self._desk.connect()

    def _waiting(self) -> list[JournalEntry]:
        return self._desk.journal.unfinished_of(self._name)

    def _settle_keys(self, *, offline: bool) -> SourceKeys:
        journal = self._desk.journal
        keys = journal.keys(self._name)
        try:
            return self._deposited_keys(keys)
        except CenterDownError:
            # A source that was begun offline goes on so; its secrets travel in its bags.
            if not offline and (keys is None or journal.latest(self._name) is None):
                raise
        return keys or journal.make_keys(self._name)

    def _deposited_keys(self, keys: SourceKeys | None) -> SourceKeys:
        """Give the keys that the center holds, too; they are made if neither side has any."""
        journal = self._desk.journal
        if keys is None:
            found = self._transport.recover(self._name)
            if found is None:
                keys = journal.make_keys(self._name)
            else:
                keys = SourceKeys(found.row_secret, found.storage_key, True)
                journal.put_keys(self._name, keys)
        if not keys.deposited:
            self._transport.deposit(self._name, SourceSecrets(keys.row_secret, keys.storage_key))
            journal.mark_deposited(self._name)
        return keys

    def _find_latest(self) -> tuple[bytes, bytes] | None:
        return self._transport.latest(self._name)

    def _yield_to(self, err: CenterRefusedError, entry: JournalEntry) -> None:
        """Answer the refusal of a statement: go on from the center's chain if that is newer, else give the statement up.

        A refusal of what was logged before is raised when all else is done.
        Raises: CenterDownError, when the center's chain is taken up and the gap is logged; else CenterRefusedError.
        """
        newest = self._chain.rejoin(err, self._find_latest)
        if newest is None:
            refusal = self._giving_up.yield_to(err, entry)
            self._refusal = self._refusal or refusal
            return
        for waiting in self._waiting():
            self._submit(waiting)
            self._keep_receipt(waiting.sequence)
        raise CenterDownError(
            f"the center has other statements of {self._name} up to #{newest.sequence}: the agent's folder was restored "
            "from an older copy, or is in use twice; this agent goes on from there, and a gap is logged",
            hint="see that no other copy of the agent's folder is in use, then run the snapshot again",
        ) from err

    def _note(self, taken: Taken, spooled_bytes: int) -> None:
        statement = taken.statement
        keep(manifest_path(self._desk.folder, self._name, statement.sequence), taken.manifest.encode())
        # The statement comes to exist here, in one durable step: everything below it is in the spool or at the center.
        self._desk.journal.add(
            JournalEntry(
                self._name,
                statement.sequence,
                statement.kind,
                statement_digest(statement.encode()),
                taken.note,
                State.TAKEN,
                statement.ended,
                statement.tables,
                statement.rows,
                statement.bytes_,
                0,
                None,
                None,
                "\n".join(f"{o.name}\t{o.reason}" for o in taken.omitted),
                spooled_bytes=spooled_bytes,
            )
        )

    def _send_packs(self, progress: Progress, budget: Budget | None = None) -> bool:
        """Send the packs that wait, within `budget`; tell whether all went."""

        def act() -> int:
            return send_packs(self._name, self._desk.spool, self._transport, progress.sent, budget)

        while True:
            try:
                self.sent_bytes += self._with_source(act)
                return not self._desk.spool.unsent()
            except CenterRefusedError as err:
                if err.refusal != PACK_REFUSED or not self._restock():
                    self._giving_up.give_up_on_pack(err)

    def _restock(self) -> int:
        """Put into the spool, in new packs, what the center lacks and this agent has kept; give the number of objects.

        An object is tried once in a run.
        """
        desk, keys = self._desk, self._desk.journal.keys(self._name)
        if keys is None:
            return 0
        with desk.spool.writer(lambda *_: None) as spooler:
            return restock(
                desk.spool.acknowledged(), spooler, keys.storage_key,
                lambda ids: self._with_source(lambda: self._transport.missing(self._name, ids)), self._restocked,
            )  # fmt: skip

    def _submit_whole(self, entry: JournalEntry, progress: Progress) -> Receipted | None:
        """Submit a statement; what the center says that it lacks is sent, as far as this agent has it."""
        receipted = self._submit(entry)
        if _lacks_content(entry, receipted) and self._desk.spool.forget_lost(self._is_lost):
            # The center has lost what it acknowledged, as after a restore from an old copy: the spool has it still. Only
            # that: in slices, each of which would begin anew, what it has would be sent to it for ever.
            self._send_packs(progress)
            receipted = self._submit(entry)
        while _lacks_content(entry, receipted) and self._restock():
            self._send_packs(progress)
            receipted = self._submit(entry)
        return receipted

    def _is_lost(self, pack: SpooledPack) -> bool:
        try:
            ids = self._desk.spool.object_ids(pack)
        except (OSError, EvidenceError):
            return False
        return bool(self._with_source(lambda: self._transport.missing(self._name, ids)))

    def _submit(self, entry: JournalEntry, *, register_only: bool = False) -> Receipted | None:
        desk = self._desk
        return self._with_source(
            lambda: submit(
                entry, self._transport, desk.journal, desk.parties, desk.clock,
                register_only=register_only, sent_bytes=self.sent_bytes,
            )
        )  # fmt: skip

    def _with_source(self, act: Callable[[], _T]) -> _T:
        """Do `act`; where the center knows the source no more (restored from an older copy), deposit its secrets again."""
        try:
            return act()
        except CenterRefusedError as err:
            keys = self._desk.journal.keys(self._name)
            if err.refusal != _NOT_FOUND or keys is None or self._transport.recover(self._name) is not None:
                raise
            self._transport.deposit(self._name, SourceSecrets(keys.row_secret, keys.storage_key))
            return act()

    def _find_change(self) -> MakeChange | None:
        """Give what states once more that a key gives way to the one in use, while the center may not know that yet."""
        desk = self._desk
        old = desk.before
        if old is None:
            return None
        return lambda latest: make_key_change(desk.unit, self._name, latest, old, desk.signer, desk.clock())

    def _keep_receipt(self, sequence: int) -> None:
        entry = self._desk.journal.get(self._name, sequence)
        if entry.receipt is not None:
            keep(receipt_path(self._desk.folder, self._name, sequence), entry.receipt)


def _lacks_content(entry: JournalEntry, receipted: Receipted | None) -> bool:
    """Tell whether the center lacks content of a statement, logged (registered) or not."""
    is_registered = receipted is not None and receipted.state is State.REGISTERED
    return receipted is None or (is_registered and entry.kind == SnapshotStatement.kind)
