# SPDX-License-Identifier: Apache-2.0
"""One run of one source: settle its secrets and its chain, take a snapshot; what it leaves to deliver is `delivering.py`'s.

    secrets   kept here, else given back by the center, else made and deposited there, before anything is read (`line.py`)
    chain     the journal's newest statement; where the journal knows none, the center's, and then a `gap` is stated
    taking    packs become durable one by one and may travel meanwhile; the journal's row makes the statement exist

A kill at any moment leaves either no statement (whole packs serve the next run) or one that waits in the journal. The
line may be down from `take` on: then everything waits in the spool, as long as it has room (`rationing.py`). Source: design sections 5 to 7.
"""

import logging
import shutil
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from agent.collectors.base import Collector
from agent.errors import CenterDownError
from agent.holdings import Base
from agent.journal import JournalEntry, SourceKeys, State
from agent.snapshot.carrying import Carrying, find_carrying
from agent.snapshot.chain import Chain
from agent.snapshot.delivering import Delivery
from agent.snapshot.desk import Desk
from agent.snapshot.gaps import GapMaker
from agent.snapshot.givingup import GivingUp
from agent.snapshot.kept import keep, manifest_path
from agent.snapshot.line import SourceLine
from agent.snapshot.progress import Pace, Progress, unpaced
from agent.snapshot.rationing import Rationing
from agent.snapshot.rekey import MakeChange, make_key_change
from agent.snapshot.take import Place, Taken, take_snapshot
from agent.spool import SpooledPack
from agent.transport.send import BackgroundSender, Budget
from evidence.digest import ObjectId
from evidence.errors import EvidenceError
from evidence.manifest.statement import key_name, statement_digest

log = logging.getLogger(__name__)


class SourceRun:
    """The acts on one source. One at a time: the caller holds the source's `RunLock`. Attribute: `delivery`."""

    def __init__(self, name: str, desk: Desk) -> None:
        self._name = name
        self._desk = desk
        self._signer = desk.signer.renamed(key_name(desk.unit, name))
        gaps = GapMaker(desk.unit, name, self._signer, desk.clock)
        self._line = SourceLine(name, desk.journal, desk.connect)
        change = _find_change(name, desk)
        self._chain = Chain(desk.journal, desk.parties, gaps, change)
        self._rationing = Rationing(
            desk.journal, desk.holdings, desk.spool, desk.folder, desk.max_age, gaps, desk.on_way
        )  # fmt: skip
        giving_up = GivingUp(desk.folder, desk.journal, desk.holdings, desk.spool, gaps, self._rationing, change)
        self.delivery = Delivery(name, desk, self._line, self._chain, self._rationing, giving_up)

    def settle(self, *, offline: bool = False) -> SourceKeys:
        """Have the secrets and the chain of the source, and room for a snapshot; give its keys. Again is harmless.

        Where room is short, content of middle days makes it; where that does not do, a `gap` will say so (decision 0060).
        `offline`: a line that is down is no error: a source that nobody knows begins here, and its secrets travel sealed.
        Raises: CenterDownError where the center must be asked: about a source that this agent has not taken before.
        CenterRefusedError, ReceiptError; SpoolFullError.
        """
        keys = self._line.settle_keys(offline=offline)
        self._chain.settle(self._line.latest, offline=offline)
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
        if whole:
            desk.holdings.forget(self._name)
        else:
            self._recall_newest()
        # A chain without whole holdings: the center has what this agent does not remember. Ask, rather than send all.
        asks = latest is not None and not whole and not desk.holdings.is_complete(self._name)
        ask = partial(self._find_missing, offline=offline) if asks else None
        sender = None
        if send and not self.delivery.holds_packs():
            sender = BackgroundSender(self._name, desk.spool, self._line.transport, progress.sent, budget)
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
                    collector, self._find_place(latest), keys, spooler, desk.holdings, temporary,
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
                self.delivery.count_sent(sender.sent_bytes)
        return taken

    def _find_place(self, latest: JournalEntry | None) -> Place:
        desk = self._desk
        return Place(
            unit=desk.unit,
            source=self._name,
            sequence=1 if latest is None else latest.sequence + 1,
            previous=None if latest is None else latest.digest,
            signer=self._signer,
            version=desk.version,
            channel=desk.channel,
        )

    def _recall_newest(self) -> None:
        """Learn the objects of packs that became durable in the moment of a kill, before the holdings were told.

        They are the newest ones; else their objects would be written, and travel, a second time.
        """
        desk = self._desk
        for pack in reversed(desk.spool.unsent()):
            try:
                ids = desk.spool.object_ids(pack)
            except (OSError, EvidenceError) as err:
                # The center refuses it, and what becomes of it then is `give_up_on_pack`'s; the night must not wait for that.
                log.warning(
                    "a pack of the spool is damaged",
                    extra={"source": self._name, "pack": pack.name, "reason": str(err)},
                )
                continue
            if desk.holdings.known(self._name, ids).issuperset(ids):
                return
            desk.holdings.add(self._name, ids)

    def _find_missing(self, ids: Sequence[ObjectId], *, offline: bool) -> set[ObjectId]:
        try:
            return self._line.missing(ids)
        except CenterDownError:
            if not offline:
                raise
            return set(ids)

    def _find_carrying(self) -> Carrying:
        desk = self._desk
        manifests = manifest_path(desk.folder, self._name, 1).parent
        return find_carrying(self._name, desk.plan, desk.journal, desk.holdings, manifests, desk.clock())

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


def _find_change(name: str, desk: Desk) -> MakeChange | None:
    """Give what states once more that a key gives way to the one in use, while the center may not know that yet."""
    old = desk.before
    if old is None:
        return None
    return lambda latest: make_key_change(desk.unit, name, latest, old, desk.signer, desk.clock())
