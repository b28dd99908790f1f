# SPDX-License-Identifier: Apache-2.0
"""Giving up what the center refuses, or lacks for good, so that the next snapshot goes on: never in silence.

A statement that was never logged goes from the journal; one that was logged stays and loses its content. Invariant: the note
of what goes is kept for the archives first, and going and the `gap` that says so are one step of the journal.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from agent.errors import CenterRefusedError
from agent.holdings import Holdings
from agent.journal import Journal, JournalEntry, State
from agent.snapshot.chain import STATEMENT_REFUSED
from agent.snapshot.gaps import GapMaker
from agent.snapshot.kept import keep, refused_path
from agent.snapshot.rationing import Rationing
from agent.snapshot.rekey import MakeChange
from agent.spool import Spool
from agent.transport.send import PACK_REFUSED
from evidence.manifest.statement import MAX_GIVEN_UP, GapCause, KeyStatement, SnapshotStatement
from terminal.language import Language, Text

log = logging.getLogger(__name__)
ANEW = Text(
    zh="再取一次快照：会向中心逐一核对对象，补送缺少的",
    en="run the snapshot again: it asks the center about every object and sends what is missing",
)


@dataclass(frozen=True, slots=True)
class GivingUp:
    """What is given up of the source that `gaps` is for. `folder` is the agent's.

    `make_change`: while one key gives way to another, and the center may not know yet, states that once more.
    """

    folder: Path
    journal: Journal
    holdings: Holdings
    spool: Spool
    gaps: GapMaker
    rationing: Rationing
    make_change: MakeChange | None = None

    def yield_to(self, err: CenterRefusedError, entry: JournalEntry) -> CenterRefusedError:
        """Let go of a snapshot whose content the center refuses for good, so that the next one goes on.

        It, and what was taken on top of it, is given up in a `gap`; their notes are kept for the archives, which have the
        objects too: every pack had been sent. One that was logged before its content came stays registered, and a `gap` says that
        its content will not come: for that, gives the center's words, and what was done.
        Raises: CenterRefusedError, such words, where it was not logged; `err`, if it is about something else.
        """
        if err.refusal != STATEMENT_REFUSED or entry.kind != SnapshotStatement.kind:
            raise err
        source = self.gaps.source
        if entry.state is not State.TAKEN:
            log.error("content is refused", extra={"source": source, "sequence": entry.sequence, "reason": str(err)})
            keep(refused_path(self.folder, source, entry), entry.note)
            self.rationing.give_up_content([entry], GapCause.OTHER, "the center refused it")
            return self._explain(err, entry, entry)
        dropped = self.give_up(
            entry.sequence, GapCause.OTHER, f"the center refused the content of {source}#{entry.sequence}", least=1
        )
        raise self._explain(err, entry, dropped[-1]) from err

    def give_up_on_pack(self, err: CenterRefusedError) -> NoReturn:
        """Raise what the center has refused; a pack that it refuses now is refused again, and blocks the spool no more.

        It may be coded against an object that the center has lost.
        """
        if err.refusal != PACK_REFUSED:
            raise err
        waiting = self.journal.unfinished_of(self.gaps.source)
        first = min((entry.sequence for entry in waiting if entry.kind == SnapshotStatement.kind), default=None)
        self.give_up(first, GapCause.SPOOL, "the center refused a pack that they need")
        raise CenterRefusedError(
            err.message,
            hint=Text(
                zh=f"{ANEW.zh}；若再被拒绝，请打电话给档案馆", en=f"{ANEW.en}; call the archives if it is refused again"
            ),
            refusal=err.refusal,
        )

    def give_up(self, first: int | None, cause: GapCause, why: str, least: int = 2) -> list[JournalEntry]:
        """Drop the statements from `first` on, which were not logged, and what the center is believed to hold.

        Their notes are kept. `least` or more of them are stated as a `gap`; of a single one that the next snapshot replaces
        nothing is lost but time. Gives those that were dropped.
        """
        source = self.gaps.source
        self.holdings.forget(source)
        waiting = self.journal.unfinished_of(source)
        gone = [e for e in waiting if first is not None and e.sequence >= first and e.state is State.TAKEN]
        dropped = [entry for entry in gone if entry.kind != KeyStatement.kind]
        for entry in dropped:
            keep(refused_path(self.folder, source, entry), entry.note)
        earlier = [e for e in self.journal.all_of(source) if gone and e.sequence < gone[0].sequence]
        latest = earlier[-1] if earlier else None
        gaps: list[JournalEntry] = []
        if len(dropped) < len(gone) and self.make_change is not None:
            # Without it the center would know nobody who signs what follows.
            gaps.append(self.make_change(latest))
        if len(dropped) >= least:
            names = [f"{source}#{entry.sequence}" for entry in dropped]
            span = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
            gaps.append(
                self.gaps.make(
                    gaps[-1] if gaps else latest, dropped[0].taken_at, cause,
                    f"{why}: taken and never logged: {span}",
                    tuple(entry.digest for entry in dropped[:MAX_GIVEN_UP]),
                )
            )  # fmt: skip
        # Those that are logged lose their content with the spool.
        logged = [e for e in waiting if e.state is State.REGISTERED and e.kind == SnapshotStatement.kind]
        before = [e for e in self.journal.all_of(source) if e not in gone]
        if logged:
            gaps += self.gaps.make_for_content([*before, *gaps][-1], logged, cause, why)
        self.journal.exchange(gone, gaps, logged)
        self.spool.clear()
        return dropped

    def _explain(self, err: CenterRefusedError, first: JournalEntry, last: JournalEntry) -> CenterRefusedError:
        """Give the center's words, and what was done about it."""
        folder = self.folder / "refused" / self.gaps.source
        span_zh = span_en = f"{self.gaps.source}#{first.sequence}"
        if last.sequence > first.sequence:
            span_zh, span_en = f"{span_zh} 至 #{last.sequence}", f"{span_en} to #{last.sequence}"
        verb = "are" if last.sequence > first.sequence else "is"
        return CenterRefusedError(
            Text(
                zh=f"{err.sentence(Language.ZH)}；{span_zh} 已放弃，并签署了缺口声明（gap）",
                en=f"{err}; {span_en} {verb} given up, and a gap is stated",
            ),
            hint=Text(
                zh=f"其声明保存在 {folder}：请将此句告知档案馆；更正后再做快照即可继续",
                en=f"what was refused is kept in {folder}: show this sentence to the archives; once its cause is mended,"
                " the next snapshot goes on",
            ),
            refusal=err.refusal,
        )
