# SPDX-License-Identifier: Apache-2.0
"""The chain of one source where journal and center differ: which is the newer, and the gap with which it goes on from there.

The journal knows nothing where its folder was lost; it is older than the center's chain where it was restored from a copy,
or where the folder is in use twice. Nothing is sent here. Invariants: the journal takes in the center's newest statement, and
the gap after it, in one step, and only with a receipt that verifies; while one key gives way to another, nothing is signed by
the new one alone in a chain that does not say so before. Source: design section 5, decisions 0021, 0084.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agent.errors import CenterDownError, CenterRefusedError, ReceiptError
from agent.journal import Journal, JournalEntry, State
from agent.snapshot.gaps import GapMaker
from agent.snapshot.rekey import MakeChange, is_signed_by
from agent.transport.send import Parties, check_receipt
from evidence.errors import EvidenceError, FormatError
from evidence.manifest.statement import (
    MAX_GIVEN_UP,
    GapCause,
    KeyStatement,
    SnapshotStatement,
    Statement,
    parse_statement,
    statement_digest,
)
from evidence.note.signed import parse_note, verify_note
from terminal.language import Text

STATEMENT_REFUSED = "JS-3102"
"""The center's code for a statement whose content does not hold, or whose place in the chain is another's."""
_CONFLICT = "JS-3103"

AskLatest = Callable[[], tuple[bytes, bytes] | None]
"""Ask the center for its newest statement of the source, as note and receipt."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain of the source that `gaps` is for.

    `make_change`: while the key of `gaps` follows another, and the center may not know yet, states that once more.
    """

    journal: Journal
    parties: Parties
    gaps: GapMaker
    make_change: MakeChange | None = None

    def settle(self, ask: AskLatest, *, offline: bool = False) -> None:
        """Where the journal knows nothing of a source that the center knows, go on from there, and state a gap.

        `offline`: where nobody can be asked, a source that the journal does not know begins here.
        Raises: ReceiptError; what `ask` raises.
        """
        if self.journal.latest(self.gaps.source) is not None:
            return
        try:
            found = ask()
        except CenterDownError:
            if not offline:
                raise
            found = None
        if found is not None:
            newest, received = self._read_latest(*found)
            self._go_on(
                (),
                newest,
                received,
                "the agent's journal was lost: snapshots that were taken and not sent, if there were any",
            )
        elif self.make_change is not None:
            self.journal.exchange((), [self.make_change(None)])

    def rejoin(self, err: CenterRefusedError, ask: AskLatest) -> JournalEntry | None:
        """Go on from the center's chain where the journal is older than it, as after a restore from a backup.

        What was taken on the old journal contradicts what was logged, so it is given up, in a `gap`, and taken anew. Gives
        the center's newest statement; None: the chain is as the journal has it.
        Raises: `err`, if the chain has nothing to do with it; ReceiptError; what `ask` raises.
        """
        if err.refusal not in (_CONFLICT, STATEMENT_REFUSED):
            raise err
        source = self.gaps.source
        found = ask()
        known = [entry for entry in self.journal.all_of(source) if entry.state is not State.TAKEN]
        if found is None:
            if known:
                raise err
            return None
        newest, received = self._read_latest(*found)
        if any(entry.digest == newest.digest for entry in known):
            return None
        if known and known[-1].sequence >= newest.sequence:
            raise ReceiptError(
                Text(
                    zh=f"中心说 {source}#{newest.sequence} 是它最新的声明，而本采集端持有 #{known[-1].sequence} 的回执",
                    en=f"the center says that {source}#{newest.sequence} is its newest statement, but this agent has its "
                    f"receipt for #{known[-1].sequence}",
                ),
                hint=Text(
                    zh="原样保留采集端目录，请打电话给档案馆：这种情况不应出现",
                    en="keep the agent's folder as it is, and call the archives: this must not happen",
                ),
            ) from err
        dropped = [entry for entry in self.journal.all_of(source) if entry.state is State.TAKEN]
        self._go_on(
            dropped, newest, min([received, *(entry.taken_at for entry in dropped)]),
            f"the agent's journal was older than its chain, which another copy of it had brought to #{newest.sequence}",
        )  # fmt: skip
        return newest

    def _go_on(self, dropped: Sequence[JournalEntry], newest: JournalEntry, since: datetime, lost: str) -> None:
        """Go on from `newest` without `dropped`, in one step: the change of keys, if one waits, then the gap.

        A change that is dropped is not named in the gap: it is stated anew, unless the chain has passed on with `newest`.
        """
        added = [newest]
        if self.make_change is not None and not is_signed_by(newest, self.gaps.signer.key):
            added.append(self.make_change(newest))
        given_up = [e.digest for e in dropped if e.digest != newest.digest and e.kind != KeyStatement.kind]
        gap = self.gaps.make(added[-1], since, GapCause.JOURNAL, lost, given_up[:MAX_GIVEN_UP])
        self.journal.exchange(dropped, [*added, gap])

    def _read_latest(self, note: bytes, receipt: bytes) -> tuple[JournalEntry, datetime]:
        """Give the center's newest statement as an entry, and when it was received. Raises: ReceiptError."""
        source = self.gaps.source
        try:
            statement, text = self._read_own(note)
        except EvidenceError as err:
            raise ReceiptError(
                Text(
                    zh=f"中心给出的 {source} 最新声明核验不通过：{err}",
                    en=f"the center's latest statement of {source} does not verify: {err}",
                ),
                hint=Text(
                    zh="原样保留采集端目录，请打电话给档案馆",
                    en="keep the agent's folder as it is, and call the archives",
                ),
            ) from err
        snapshot = statement if isinstance(statement, SnapshotStatement) else None
        now = self.gaps.clock()
        entry = JournalEntry(
            source, statement.sequence, statement.kind, statement_digest(text), note, State.STORED,
            snapshot.ended if snapshot else now, snapshot.tables if snapshot else 0, snapshot.rows if snapshot else 0,
            snapshot.bytes_ if snapshot else 0, 0, None, receipt, "",
        )  # fmt: skip
        verified = check_receipt(receipt, entry, self.parties)
        return replace(entry, log_index=verified.index), min(verified.entry.received, now)

    def _read_own(self, raw: bytes) -> tuple[Statement, bytes]:
        """Read a statement of this source that the center gives back, and its text.

        A signature by this agent's key must verify; one by a key that was lost with an older folder cannot be checked
        here, and the log's receipt stands for it. Raises: EvidenceError.
        """
        note = parse_note(raw)
        own = self.gaps.signer.key
        for line in note.signatures:
            if line.name != own.name:
                raise FormatError(f"it is signed as {line.name}, not as {own.name}")
            if line.key_id == own.key_id:
                verify_note(note, [own])
        statement = parse_statement(note.text)
        if (statement.unit, statement.source) != (self.gaps.unit, self.gaps.source):
            raise FormatError(f"it is about {statement.unit}/{statement.source}")
        return statement, note.text
