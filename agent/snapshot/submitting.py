# SPDX-License-Identifier: Apache-2.0
"""Packs and single statements of one source on their way to the center, and the content that it turns out to lack.

What the center lacks is sent from the spool, if packs that it had acknowledged are lost there; else it is written anew out
of what was kept (`restock.py`). Which statement goes when is `delivering.py`'s.
"""

from agent.errors import CenterRefusedError
from agent.journal import JournalEntry, State
from agent.snapshot.desk import Desk
from agent.snapshot.givingup import GivingUp
from agent.snapshot.kept import keep, receipt_path
from agent.snapshot.line import SourceLine
from agent.snapshot.progress import Progress
from agent.snapshot.restock import restock
from agent.spool import SpooledPack
from agent.transport.send import PACK_REFUSED, Budget, Receipted, send_packs, submit
from evidence.digest import ObjectId
from evidence.errors import EvidenceError
from evidence.manifest.statement import SnapshotStatement


class Submitting:
    """The acts that bring on one pack or one statement. One at a time.

    Attribute: `sent_bytes`, the bytes of packs that went since the last receipt, which is noted to have cost them.
    """

    def __init__(self, name: str, desk: Desk, line: SourceLine, giving_up: GivingUp) -> None:
        self._name = name
        self._desk = desk
        self._line = line
        self._giving_up = giving_up
        self._restocked: set[ObjectId] = set()
        self.sent_bytes = 0

    def send_packs(self, progress: Progress, budget: Budget | None = None) -> bool:
        """Send the packs that wait, within `budget`; tell whether all went.

        Raises: CenterDownError; CenterRefusedError: a pack is refused, also with all that is kept, and was given up.
        """
        while True:
            try:
                self.sent_bytes += self._line.ask(
                    lambda transport: send_packs(self._name, self._desk.spool, transport, progress.sent, budget)
                )
                return not self._desk.spool.unsent()
            except CenterRefusedError as err:
                if err.refusal != PACK_REFUSED or not self.restock():
                    self._giving_up.give_up_on_pack(err)

    def submit(self, entry: JournalEntry, *, register_only: bool = False) -> Receipted | None:
        """Submit a statement as it is; None: the center lacks content, and has not logged it. Raises: as `send.submit`."""
        desk = self._desk
        return self._line.ask(
            lambda transport: submit(
                entry, transport, desk.journal, desk.parties, desk.clock,
                register_only=register_only, sent_bytes=self.sent_bytes,
            )
        )  # fmt: skip

    def submit_whole(self, entry: JournalEntry, progress: Progress) -> Receipted | None:
        """Submit a statement; what the center says that it lacks is sent, as far as this agent has it."""
        receipted = self.submit(entry)
        if lacks_content(entry, receipted) and self._desk.spool.forget_lost(self._is_lost):
            # The center has lost what it acknowledged, as after a restore from an old copy: the spool has it still. Only
            # that: in slices, each of which would begin anew, what it has would be sent to it for ever.
            self.send_packs(progress)
            receipted = self.submit(entry)
        while lacks_content(entry, receipted) and self.restock():
            self.send_packs(progress)
            receipted = self.submit(entry)
        return receipted

    def restock(self) -> int:
        """Put into the spool, in new packs, what the center lacks and this agent has kept; give the number of objects.

        An object is tried once in a run.
        """
        desk, keys = self._desk, self._desk.journal.keys(self._name)
        if keys is None:
            return 0
        with desk.spool.writer(lambda *_: None) as spooler:
            return restock(desk.spool.acknowledged(), spooler, keys.storage_key, self._line.missing, self._restocked)

    def keep_receipt(self, sequence: int) -> None:
        """Keep the receipt that the journal has of a statement, if any, as a file. Raises: SpoolError."""
        entry = self._desk.journal.get(self._name, sequence)
        if entry.receipt is not None:
            keep(receipt_path(self._desk.folder, self._name, sequence), entry.receipt)

    def _is_lost(self, pack: SpooledPack) -> bool:
        try:
            ids = self._desk.spool.object_ids(pack)
        except (OSError, EvidenceError):
            return False
        return bool(self._line.missing(ids))


def lacks_content(entry: JournalEntry, receipted: Receipted | None) -> bool:
    """Tell whether the center lacks content of a statement, logged (registered) or not."""
    is_registered = receipted is not None and receipted.state is State.REGISTERED
    return receipted is None or (is_registered and entry.kind == SnapshotStatement.kind)
