# SPDX-License-Identifier: Apache-2.0
"""Offline media: writing them, after a snapshot where one is wanted, and taking in the receipts that come back.

What goes on them and in which volumes is a matter of `agent.media`; here it meets runs, locks and the identity.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from agent.acts.parts import Parts
from agent.acts.road import Road
from agent.acts.runs import Runs
from agent.errors import CenterDownError
from agent.media.order import Choice, MediaOutcome, ReceiptOutcome, SetStatus, Wish
from agent.media.receipts import read_missing, read_receipts, tell_brought
from agent.snapshot.progress import Progress
from evidence.manifest.statement import Channel


class OfflineMedia:
    """The acts on offline media."""

    def __init__(self, parts: Parts, road: Road, runs: Runs) -> None:
        self._parts = parts
        self._road = road
        self._runs = runs

    def write_media(
        self, name: str, wish: Wish, choice: Choice, progress: Progress, *, anew: bool = False, force: bool = False,
        retry_login: bool = False,
    ) -> MediaOutcome:  # fmt: skip
        """Write what the center lacks of a source on media, after a new snapshot unless `choice` says otherwise.

        A writing that was cut goes on, and no snapshot is taken; `anew`: it is given up first. For `Choice.ALL` the source is
        read only if the packs that are here do not hold all of the newest snapshot. The line is not needed.
        Raises: MediumError; as `snapshot`.
        """
        parts = self._parts
        order, identity = wish.settle(parts.config.media), self._road.identity()
        desk, whole = parts.media_desk(name), None
        with ExitStack() as closing:
            if choice is not Choice.WAITING:
                parts.get_source(name)
            cut = desk.unfinished()
            if cut is not None and anew:
                desk.abandon(cut)
                cut = None
            if cut is None and choice is Choice.ALL:
                whole = desk.find_whole(parts.folder)
            if cut is not None or whole is not None or choice is Choice.WAITING:
                closing.enter_context(parts.lock(name))
            else:
                member = self._runs.begin(name, closing, force=force, retry_login=retry_login, channel=Channel.MEDIA)
                taken = member.run.take(
                    member.collector, progress, send=False, pace=member.supervised.throttle.read,
                    whole=choice is Choice.ALL, offline=True,
                )  # fmt: skip
                self._runs.deliver(member, taken, progress, send=False)
            return desk.write(order, identity, parts.version, progress.sent, whole or ())

    def rewrite_media(self, files: Sequence[Path], wish: Wish, progress: Progress) -> MediaOutcome:
        """Write again what files of the center name as lacking. Raises: MediumError, MediumUnknownError."""
        parts = self._parts
        missing = [read_missing(path) for path in files]
        name = missing[0].source
        with parts.lock(name):
            desk, identity = parts.media_desk(name), self._road.identity()
            return desk.rewrite(missing, wish.settle(parts.config.media), identity, parts.version, progress.sent)

    def take_media_receipt(self, path: Path) -> ReceiptOutcome:
        """Take in a file of receipts that came back; packs that have arrived leave the spool.

        Raises: MediumUnknownError: not for this agent. ReceiptError; CenterRefusedError: content was refused, and is given
        up in a `gap`; CenterDownError: no file has brought a proof that is needed, and the line that has it is down.
        """
        address, journal = self._road.identity().address, self._parts.journal
        receipts = read_receipts(path, address.unit, address.operator)
        name = receipts.source
        with self._parts.lock(name):
            before = journal.all_of(name)
            self._parts.bags.keep_proofs(
                receipts.size, [(proof.size, b"".join(proof.hashes)) for proof in receipts.proofs]
            )
            posted = self._road.posted_or_asked(name)
            posted.take(receipts)
            try:
                self._runs.run(name, line=posted).delivery.accept(lambda entry: posted.answers(entry.digest))
            except CenterDownError:
                if journal.all_of(name) == before:
                    raise
                # What was refused is given up in a `gap`, which travels with the next writing: told by its refusal.
            return tell_brought(receipts, before, journal.all_of(name))

    def media(self) -> Sequence[SetStatus]:
        """Tell what was written on media, and how it stands, source by source."""
        names = dict.fromkeys(written.source for written in self._parts.media_sets().all())
        return [status for name in names for status in self._parts.media_desk(name).statuses()]
