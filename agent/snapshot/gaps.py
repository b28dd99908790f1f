# SPDX-License-Identifier: Apache-2.0
"""Gaps of one source, signed: what its chain does not cover, or what content will not come. Nothing is kept here.

A gap is next in the chain after a given statement and waits in the journal like any other. Source: design section 5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.journal import JournalEntry, State
from evidence.digest import Sha256
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.statement import MAX_GIVEN_UP, GapCause, GapStatement, statement_digest
from evidence.note.signed import sign_note


@dataclass(frozen=True, slots=True)
class GapMaker:
    """Who states gaps of which source. `signer` is named UNIT/SOURCE."""

    unit: str
    source: str
    signer: Ed25519Signer
    clock: Callable[[], datetime]

    def make(
        self,
        latest: JournalEntry | None,
        since: datetime,
        cause: GapCause,
        lost: str,
        given_up: Sequence[Sha256] = (),
        until: datetime | None = None,
    ) -> JournalEntry:
        """Sign a gap from `since` until `until` (None: now), next in the chain after `latest`."""
        now = self.clock()
        to = now if until is None else until
        gap = GapStatement(
            self.unit, self.source, 1 if latest is None else latest.sequence + 1,
            None if latest is None else latest.digest, min(since, to), to, cause, lost, tuple(given_up),
        )  # fmt: skip
        text = gap.encode()
        note = sign_note(text, [self.signer]).encode()
        return JournalEntry(
            self.source,
            gap.sequence,
            gap.kind,
            statement_digest(text),
            note,
            State.TAKEN,
            now,
            0,
            0,
            0,
            0,
            None,
            None,
            "",
        )

    def make_for_content(
        self, latest: JournalEntry, given_up: Sequence[JournalEntry], cause: GapCause, why: str
    ) -> list[JournalEntry]:
        """Sign that the content of statements will not come, though they are registered, or will be.

        One gap for each 256 of them; each spans the days that it names. `given_up` is not empty, oldest first.
        """
        gaps: list[JournalEntry] = []
        for start in range(0, len(given_up), MAX_GIVEN_UP):
            part = given_up[start : start + MAX_GIVEN_UP]
            lost = f"{why}: the content of {name_all(part)} will not come; what they state stays registered"
            digests = [entry.digest for entry in part]
            gaps.append(self.make(latest, part[0].taken_at, cause, lost, digests, part[-1].taken_at))
            latest = gaps[-1]
        return gaps


def name_all(entries: Sequence[JournalEntry]) -> str:
    """Give the labels of statements in few words: `his#2`, or `3 snapshots from his#2 to his#9`."""
    first, last = (f"{entry.source}#{entry.sequence}" for entry in (entries[0], entries[-1]))
    return first if len(entries) == 1 else f"{len(entries)} snapshots from {first} to {last}"
