# SPDX-License-Identifier: Apache-2.0
"""Room in the spool while the line is poor or down: what is given up for it, and the gaps that say so.

Decides by `sacrifice.py`, acts by `thin.py`. Invariant: a `gap` is durable in the journal before anything that it names goes;
and where nothing was taken for want of room, the time is kept until a `gap` states it. Source: docs/decisions/0060.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from agent.errors import SpoolError, SpoolFullError
from agent.holdings import Holdings
from agent.journal import Journal, JournalEntry, SourceKeys, State
from agent.snapshot.gaps import GapMaker
from agent.snapshot.kept import manifest_path
from agent.snapshot.onway import OnWay
from agent.snapshot.sacrifice import choose_middle, expected_bytes, find_too_old, find_whole
from agent.snapshot.thin import find_needed, thin
from agent.spool import Spool
from evidence.digest import ObjectId, sha256
from evidence.errors import EvidenceError
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.statement import GapCause, SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.objects.object import ObjectKind, name_object

log = logging.getLogger(__name__)


class Rationing:
    """The room of one source's spool. The caller holds the source's `RunLock`."""

    def __init__(
        self,
        journal: Journal,
        holdings: Holdings,
        spool: Spool,
        folder: Path,
        max_age: timedelta | None,
        gaps: GapMaker,
        on_way: OnWay,
    ) -> None:
        """`folder` is the agent's; `max_age`: how long content of middle days waits, None: for ever.

        `on_way`: what of it is on media. That is nowhere given up: the medium brings it, or is written again from here.
        """
        self._journal = journal
        self._holdings = holdings
        self._spool = spool
        self._folder = folder
        self._max_age = max_age
        self._gaps = gaps
        self._on_way = on_way
        self._name = gaps.source

    def make_room(self, keys: SourceKeys) -> None:
        """Give up content of middle days that is too old, or in whose place the next snapshot is to stand.

        Raises: SpoolError if the journal cannot be written, or frames cannot be moved.
        """
        old = find_too_old(self._here(), self._gaps.clock(), self._max_age)
        if old:
            self._thin(keys, old, "it has waited for longer than spool.max_age")
        if self._is_near():
            self._spool.put_aside_sent()
        if self._is_near() and find_whole(self._waiting()):
            self._thin(keys, [], "")  # what a run that did not end has left belongs to no day
        while self._is_near() and (chosen := choose_middle(self._here())):
            if not self._thin(keys, chosen, "the spool was at its limit while the line was down"):
                return

    def give_up_content(self, entries: Sequence[JournalEntry], cause: GapCause, why: str) -> None:
        """State that the content of statements will not come; they are registered, or will be, all the same."""
        latest = self._journal.latest(self._name)
        assert latest is not None
        self._journal.exchange((), self._gaps.make_for_content(latest, entries, cause, why), entries)

    @contextmanager
    def stating_no_room(self) -> Iterator[None]:
        """Remember that there was no room, so that a `gap` states it when there is. Raises: what is raised within."""
        try:
            yield
        except SpoolFullError:
            # Content waits: it is the line. Nothing waits: somebody else has filled the volume.
            cause = GapCause.OUTAGE if self._spool.unsent() else GapCause.SPOOL
            with suppress(SpoolError):  # the journal may lie on the full volume; the next try notes it
                self._journal.note_outage(self._name, self._gaps.clock(), cause.value)
            raise

    def end_outage(self, until: datetime | None = None) -> None:
        """There is room again: state the time in which nothing was taken, up to `until` (None: now), once for all tries."""
        outage = self._journal.outage(self._name)
        if outage is None:
            return
        why = "the spool was full while the line was down" if outage.cause == GapCause.OUTAGE else "the spool was full"
        gap = self._gaps.make(
            self._journal.latest(self._name), outage.since, GapCause(outage.cause),
            f"{why}: nothing was taken of {self._name} in this time, in {outage.tries} tries", until=until,
        )  # fmt: skip
        self._journal.exchange((), [gap], ends_outage_of=self._name)

    def end_outage_with_the_line(self) -> bool:
        """When all was sent, state at once what was not taken, rather than with the next snapshot; tell whether it was."""
        if self._journal.outage(self._name) is None:
            return False
        self._spool.put_aside_sent()
        try:
            self._spool.check_room()
        except SpoolFullError:
            return False
        self.end_outage()
        return True

    def _waiting(self) -> list[JournalEntry]:
        return self._journal.unfinished_of(self._name)

    def _here(self) -> list[JournalEntry]:
        on_media = self._on_way.statements()
        return [entry for entry in self._waiting() if entry.digest not in on_media]

    def _is_near(self) -> bool:
        return self._spool.is_near(expected_bytes(self._waiting()))

    def _thin(self, keys: SourceKeys, given_up: Sequence[JournalEntry], why: str) -> bool:
        """State that the content of statements will not come, then let go of what they alone need.

        Tell whether it was done: not where it cannot be told what the other days need.
        """
        tops: list[ObjectId] = []
        staying: list[tuple[ObjectId, Manifest]] = []
        dropped = {entry.digest for entry in given_up}
        for entry in self._journal.all_of(self._name):
            if entry.kind != SnapshotStatement.kind or entry.state is State.STORED:
                continue
            found = self._find_manifest(entry)
            stays = not entry.is_given_up and entry.digest not in dropped
            if found is not None:
                tops.append(name_object(keys.storage_key, ObjectKind.MANIFEST, found[0]))
                staying += [(tops[-1], found[1])] if stays else []
            elif stays:
                return self._cannot_thin(f"the manifest of {self._name}#{entry.sequence} is not kept")
        try:
            scratch = self._folder / "reading" / f"{self._name}.thin"
            with find_needed(self._spool, keys.storage_key, staying, tops, scratch) as needed:
                if given_up:
                    self.give_up_content(given_up, GapCause.SPOOL, why)
                freed = thin(self._name, self._spool, self._holdings, needed, self._on_way.packs())
        except EvidenceError as err:
            return self._cannot_thin(str(err))
        log.warning("spool thinned", extra={"source": self._name, "given_up": len(given_up), "freed_bytes": freed})
        return True

    def _cannot_thin(self, reason: str) -> bool:
        log.error("spool not thinned", extra={"source": self._name, "reason": reason})
        return False

    def _find_manifest(self, entry: JournalEntry) -> tuple[bytes, Manifest] | None:
        """Find the manifest of a snapshot as it is kept here; None if it is gone or another's."""
        statement = parse_statement(parse_note(entry.note).text)
        assert isinstance(statement, SnapshotStatement)
        try:
            body = manifest_path(self._folder, self._name, entry.sequence).read_bytes()
            return (body, parse_manifest(body)) if sha256(body) == statement.manifest_sha256 else None
        except (OSError, EvidenceError):
            return None
