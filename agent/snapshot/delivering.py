# SPDX-License-Identifier: Apache-2.0
"""What waits of one source goes to the center, in an order, until each statement has its verified receipt.

    packs        oldest first, for later days build on them; none while media that bring them are awaited
    statements   in the order of the chain; before their packs where much waits, or where the center takes no packs
    refused      the chain is taken up anew where the center's is newer (`chain.py`), else what it refuses is given up
    the end      packs that are acknowledged leave the spool, once no statement waits for them

How one pack or statement is brought on is `submitting.py`'s. A kill or a line that goes down at any moment leaves what waited
to the next time. Source: design sections 5 to 7.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

from agent.errors import CenterDownError, CenterRefusedError
from agent.journal import JournalEntry, State
from agent.snapshot.chain import Chain
from agent.snapshot.desk import Desk
from agent.snapshot.givingup import ANEW, GivingUp
from agent.snapshot.kept import receipt_path, watching_path
from agent.snapshot.line import SourceLine
from agent.snapshot.progress import Progress
from agent.snapshot.rationing import Rationing
from agent.snapshot.sacrifice import registers_first
from agent.snapshot.submitting import Submitting, lacks_content
from agent.transport.send import Budget, Receipted
from evidence.digest import Sha256
from evidence.manifest.statement import GapCause, SnapshotStatement
from terminal.language import Text

_FULL = "JS-3201"


class Delivery:
    """The delivery of the source `name`. One act at a time: the caller holds the source's `RunLock`."""

    def __init__(
        self, name: str, desk: Desk, line: SourceLine, chain: Chain, rationing: Rationing, giving_up: GivingUp
    ) -> None:
        self._name = name
        self._desk = desk
        self._line = line
        self._chain = chain
        self._rationing = rationing
        self._giving_up = giving_up
        self._submitting = Submitting(name, desk, line, giving_up)
        self._refusal: CenterRefusedError | None = None

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
            # The disk was full, or the run was cut, after the journal had it.
            self._submitting.keep_receipt(latest.sequence)
        if self.holds_packs():
            self._register_alone()
        self._mark_arrived()
        if self.holds_packs():
            self._retire()
            return True
        has_moved = self._submitting.sent_bytes > 0
        fresh: set[Sha256] = set()
        if registers_first(self._waiting(), sum(pack.size for pack in desk.spool.unsent())):
            fresh = self._register()
        try:
            is_whole = self._submitting.send_packs(progress, budget)
        except CenterDownError as err:
            if err.refusal == _FULL:
                # It takes no packs, and has kept room for its log: so what was taken is locked at least.
                with suppress(CenterDownError):
                    self._register()
            raise
        has_moved |= self._submitting.sent_bytes > 0
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
            if lacks_content(entry, receipted) and not entry.is_given_up:
                is_lagging = not is_whole
                if searches:
                    # Its content is gone here too: the next snapshot asks, and sends what the source still has.
                    desk.holdings.forget(self._name)
                    self._want_another()
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

    def count_sent(self, size_bytes: int) -> None:
        """Take note of bytes of packs that went by another's hand, for the receipt that they lead to."""
        self._submitting.sent_bytes += size_bytes

    def accept(self, is_answered: Callable[[JournalEntry], bool]) -> None:
        """Take in what a road without a line has brought for the statements that wait, in their order.

        Raises: as `deliver`; what was taken in stays so.
        """
        self._refusal = None
        for entry in self._waiting():
            if not is_answered(entry):
                continue
            try:
                self._submitting.submit(entry)
            except CenterRefusedError as err:
                self._yield_to(err, entry)
                continue
            self._submitting.keep_receipt(entry.sequence)
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
                self._want_another()
            return
        self._desk.spool.forget_sent()
        self._submitting.restock()

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

    def _waiting(self) -> list[JournalEntry]:
        return self._desk.journal.unfinished_of(self._name)

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
                receipted = self._submitting.submit(entry, register_only=True)
            else:
                receipted = self._submitting.submit_whole(entry, progress)
        except CenterRefusedError as err:
            self._yield_to(err, entry)
            return None
        if receipted is None:
            self._giving_up.give_up(entry.sequence, GapCause.SPOOL, "the center lacks content that they need")
            self._want_another()
            raise CenterDownError(
                Text(
                    zh=f"中心缺少 {self._name}#{entry.sequence} 以前送过的内容；该声明没有记入日志",
                    en=f"the center lacks content of {self._name}#{entry.sequence} that was sent before; the statement was not logged",
                ),
                hint=ANEW,
            )
        self._submitting.sent_bytes = 0
        self._submitting.keep_receipt(entry.sequence)
        return receipted

    def _want_another(self) -> None:
        """Have a watched source taken again though it is as it was: no change would bring the snapshot that is wanted."""
        with suppress(OSError):
            watching_path(self._desk.folder, self._name).unlink(missing_ok=True)

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

    def _yield_to(self, err: CenterRefusedError, entry: JournalEntry) -> None:
        """Answer the refusal of a statement: go on from the center's chain if that is newer, else give the statement up.

        A refusal of what was logged before is raised when all else is done.
        Raises: CenterDownError, when the center's chain is taken up and the gap is logged; else CenterRefusedError.
        """
        newest = self._chain.rejoin(err, self._line.latest)
        if newest is None:
            refusal = self._giving_up.yield_to(err, entry)
            self._refusal = self._refusal or refusal
            return
        for waiting in self._waiting():
            self._submitting.submit(waiting)
            self._submitting.keep_receipt(waiting.sequence)
        self._want_another()
        raise CenterDownError(
            Text(
                zh=f"中心的 {self._name} 已有别的声明，直到 #{newest.sequence}：采集端目录是从旧副本恢复的，或有两份同时在用；"
                "采集端从那里接着做，缺口已记入日志",
                en=f"the center has other statements of {self._name} up to #{newest.sequence}: the agent's folder was restored "
                "from an older copy, or is in use twice; this agent goes on from there, and a gap is logged",
            ),
            hint=Text(
                zh="确认没有别的采集端目录副本在用，再取一次快照",
                en="see that no other copy of the agent's folder is in use, then run the snapshot again",
            ),
        ) from err
