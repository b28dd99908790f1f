# SPDX-License-Identifier: Apache-2.0
"""The evidence log as the rest of the center sees it: append, prove, listen to those who have seen its checkpoints.

Everything that is read comes from the published files alone (`published.py`); everything that is written goes through
`Sequencer`, or through the `WriterLock` here. Thread-safe; several processes on one machine may open one ledger, each with
the log's key: the lock lets one of them write at a time. Source: design section 5, C2SP tlog-checkpoint.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from center.errors import RefusedError, StoreError
from center.ledger.edge import EMPTY_EDGE
from center.ledger.gate import Awaited, Gate, ahead_hold, contradiction_hold, held_error
from center.ledger.lock import HoldKind, LedgerLock, WriterLock
from center.ledger.publish import LedgerFiles
from center.ledger.published import PublishedLog, read_entries, read_root
from center.ledger.sequence import MAX_BATCH, Sealed, Sequencer, Step
from evidence.disk import make_folder
from evidence.errors import EvidenceError, SignatureError
from evidence.keys.key import VerificationKey
from evidence.keys.signer import Signer
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from evidence.manifest.entry import Entry, Level
from evidence.note.cosign import verify_cosignature
from evidence.note.signed import MAX_SIGNATURES, Note, SignatureLine, parse_note
from terminal.language import Text

_TRIED_CHECKPOINTS: Final = 64
_KNOWN_TEXTS: Final = 1024
log = logging.getLogger(__name__)


def _go_on(_step: Step) -> None:
    """Do nothing between the steps of a round."""


class Ledger:
    """One evidence log. A context manager; close it, so that what waits is finished."""

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        clock: Callable[[], datetime],
        step: Callable[[Step], None] = _go_on,
    ) -> None:
        """Open the ledger in `folder` and repair what a crash has left; sign nothing.

        `signer` is the log's key, named as its origin. `step` is told of every step of a round (tests cut it there).

        Raises: StoreError if the ledger is missing, damaged, or of another key.
        """
        self._signer = signer
        self._clock = clock
        self._known_texts: dict[bytes, int] = {}
        with ExitStack() as opened:
            self._lock = opened.enter_context(closing(LedgerLock(folder / "ledger.sqlite")))
            _check_key(self._lock.standing().note, signer.key, folder)
            self._writer_lock = opened.enter_context(closing(WriterLock(folder / "writer.lock")))
            self._gate = opened.enter_context(closing(Gate(self._lock, folder / "confirmed.lock")))
            self._files = LedgerFiles(folder)
            self._published = PublishedLog(self._files)
            self._sequencer = Sequencer(self._lock, self._writer_lock, self._gate, self._files, signer, clock, step)
            self._sequencer.start()
            opened.callback(self._sequencer.stop)
            self._opened = opened.pop_all()
        # What is read is asked of the published log as it stands.
        self.checkpoint = self._published.checkpoint
        self.tile = self._published.tile
        self.entry = self._published.entry
        self.entries = self._published.entries
        self.receipt = self._published.receipt
        self.consistency = self._published.consistency

    @staticmethod
    def create(folder: Path, signer: Signer) -> None:
        """Make an empty ledger in `folder`, with a signed checkpoint of size 0. Raises: StoreError if one is there."""
        make_folder(folder)
        empty = Checkpoint(signer.key.name, 0, EMPTY_EDGE.root)
        note = sign_checkpoint(empty, signer).encode()
        LedgerLock.create(folder / "ledger.sqlite", note)
        LedgerFiles(folder).write_checkpoint(note)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what waits, and let go of the folder."""
        self._opened.close()

    # Appending

    def append(self, kind: str, level: Level, note: bytes) -> Sealed:
        """Append one entry and give its place, once it is under a published checkpoint.

        Raises:
            HeldError: the ledger signs nothing now; the message says why.
            FullError: no space. The same entry, appended again later, gets one place, not two.
            StoreError: the ledger is damaged, or its disk fails.
            FormatError, LimitError: this cannot be an entry.
        """
        return self.append_all([(kind, level, note)])[0]

    def append_all(self, drafts: Iterable[tuple[str, Level, bytes]]) -> list[Sealed]:
        """Append entries in order, in as few rounds as possible. Raises: as `append`; earlier rounds then stand."""
        entries = [Entry(kind, level, self._clock(), note) for kind, level, note in drafts]
        for entry in entries:
            entry.encode()
        sealed: list[Sealed] = []
        for i in range(0, len(entries), MAX_BATCH):
            sealed += self._sequencer.submit(entries[i : i + MAX_BATCH]).result()
        return sealed

    def finish(self) -> None:
        """Seal and publish what a crash or a failure has left staged; nothing, as a rule.

        Raises: HeldError if the ledger signs nothing now, also if nothing is staged; else as `append`.
        """
        self._sequencer.submit([]).result()

    @property
    def log_key(self) -> VerificationKey:
        """The key that verifies this log's checkpoints; its name is the origin."""
        return self._signer.key

    @property
    def size(self) -> int:
        """The number of entries under the newest published checkpoint."""
        return self._published.size

    def find_checkpoints(
        self, above: int = -1, cosigned_only: bool = False, most: int = 1000, *, oldest_first: bool = False
    ) -> list[bytes]:
        """Give up to `most` kept checkpoints of more than `above` entries: those that cover entry `above`.

        The newest first, unless asked otherwise.
        """
        return self._lock.notes(above, cosigned_only, most, oldest_first=oldest_first)

    # What others have seen and signed

    @property
    def held(self) -> str | None:
        """Why nothing is signed, as a sentence; None if the ledger signs."""
        reason = self.hold_reason
        return reason.en if isinstance(reason, Text) else reason

    @property
    def hold_reason(self) -> Text | None:
        """`held`, in all languages in which it is known."""
        with self._writer_lock:
            return self._gate.find_reason()

    @property
    def has_hold(self) -> bool:
        """Whether a hold stands; False also while only somebody's word is waited for after a start."""
        with self._writer_lock:
            return self._lock.hold() is not None

    @property
    def lacking(self) -> range:
        """The indexes of the entries that are lacking up to a checkpoint that was shown or acknowledged; empty, as a rule."""
        with self._writer_lock:
            size = self._lock.standing().size
            return range(size, max(size, self._find_shown(), self._gate.awaited_size))

    def require_confirmation(self, marks: Mapping[str, int]) -> None:
        """Sign nothing until `observe` has seen a checkpoint that we hold and that is as large as the largest mark.

        `marks` are the sizes that units have acknowledged; without any, nobody is waited for.
        """
        self._gate.require_confirmation(Awaited.among(marks))

    def confirm(self) -> None:
        """Sign by an operator's word, where no agent is left that could confirm us; a hold stands all the same.

        Raises: HeldError if a unit is known to have acknowledged more entries than we hold.
        """
        with self._writer_lock:
            self._gate.vouch(self._lock.standing().size)

    def check_confirmed(self) -> None:
        """Raises: HeldError as long as nobody has confirmed us since the start.

        Till then agents are given no checkpoint: what they show afterwards would be our own word, not theirs.
        """
        if self._gate.is_waiting:  # else the writer need not be waited for
            with self._writer_lock:
                self._gate.check_confirmed()

    def observe(self, checkpoint_note: bytes, *, is_fresh: bool = True) -> int | None:
        """Take notice of the newest checkpoint of ours that somebody has seen; give its size if we hold its tree.

        That confirms us, if it is large enough; unless it may have been shown before we were started (not `is_fresh`):
        an old word on an old ledger says nothing. If it is ahead of ours, or of another history, signing stops, for this
        and later processes, and `held` says why; whoever called may go on reading.

        Raises: FormatError, SignatureError, UnknownSignerError if this is no checkpoint of ours.
        """
        note = parse_note(checkpoint_note)
        known = self._known_texts.get(note.text)
        if known is not None:
            if is_fresh:
                self._gate.hear(known)
            return known
        seen = verify_checkpoint(note, self._signer.key)
        with self._writer_lock:
            if not self._is_ours(checkpoint_note, seen):
                return None
            if is_fresh:
                self._gate.hear(seen.size)
            self._remember_text(note.text, seen.size)
        return seen.size

    def import_tail(self, entries: Iterable[bytes]) -> int:
        """Take back the entries that are missing up to the checkpoint that we are held for; give their number.

        They are admitted if they lead to the root of that checkpoint, which this log has signed before; nothing is
        signed. The hold stands until `release`.

        Raises:
            RefusedError: the ledger lacks nothing, or these entries do not lead there.
        """
        with self._writer_lock:
            hold = self._lock.hold()
            edge = self._sequencer.catch_up()
            if hold is None or hold.kind is not HoldKind.AHEAD or hold.size <= edge.size:
                raise RefusedError(
                    Text(zh="日志并不缺少它所知道的条目", en="the ledger lacks no entries that it knows of"),
                    hint=Text(zh="只在 `held` 说缺少时才导入", en="import only when `held` says that it does"),
                )
            tail = list(entries)
            wanted = verify_checkpoint(parse_note(hold.note), self._signer.key)
            grown = edge
            for i in range(0, len(tail), MAX_BATCH):
                grown = grown.grow(tail[i : i + MAX_BATCH]).edge
            if (grown.size, grown.root) != (wanted.size, wanted.root):
                raise RefusedError(
                    Text(
                        zh=f"前 {edge.size} 条之后的 {len(tail)} 条，推不出出示过的 {wanted.size} 条的检查点",
                        en=f"{len(tail)} entries after the first {edge.size} do not lead to the checkpoint of {wanted.size}"
                        " entries that was shown",
                    ),
                    hint=Text(
                        zh=f"依次导入日志原有的第 {edge.size} 至 {wanted.size - 1} 条，一条不多一条不少",
                        en=f"import exactly the entries {edge.size} to {wanted.size - 1}, in order, as the log had them",
                    ),
                )
            self._sequencer.adopt(hold.note, tail)
            return len(tail)

    def import_from(self, folder: Path) -> int:
        """Take all entries that another copy of this log has and we lack; give their number.

        The copy's own checkpoint counts as shown: it bears this log's signature, so signing on without it would fork the
        log even if its entries turn out to be damaged. It confirms nothing: a copy has no memory of what came after it. Source: decision 0056.

        Raises:
            RefusedError: nothing is lacking, or the copy is of another log, shorter than what was shown, or damaged.
            HeldError: the copy is of another history, or there are two already.
        """
        files = LedgerFiles(folder)
        raw, copy = _find_signed(files, self._signer.key)
        with self._writer_lock:
            if copy is not None:
                self._is_ours(raw, copy)
            hold, size = self._lock.hold(), self._lock.standing().size
            shown, known = self._find_shown(), self._gate.awaited_size
        if hold is not None and hold.kind is HoldKind.CONTRADICTION:
            raise held_error(hold)
        if copy is None or copy.size < max(size, shown) or copy.size == size < known:
            has = Text(zh="没有本日志的检查点", en="no checkpoint of this log")
            if copy is not None:
                has = Text(zh=f"只有 {copy.size} 条", en=f"{copy.size} entries")
            raise RefusedError(
                Text(
                    zh=f"{folder} 中{has.zh}；需要出示过的检查点以内的 {max(size, shown, known)} 条",
                    en=f"{folder} has {has.en}, not the {max(size, shown, known)} entries up to the checkpoint that was shown",
                ),
                hint=Text(
                    zh="给出含有 `checkpoint` 和 `tile/` 的副本的目录：镜像，或较新的备份",
                    en="name the folder of a copy that holds `checkpoint` and `tile/`: a mirror, or a newer backup",
                ),
            )
        return self.import_tail(read_entries(files, copy.size, size, max(size, shown)))

    def release(self, reason: str) -> bool:
        """Sign again after a hold; the operator's `reason` is kept on record. False: nothing was held.

        Raises: HeldError if entries are still missing, or there are two histories: then this log cannot go on.
        """
        with self._writer_lock:
            # Each that was shown, not the furthest alone: what was imported up to that one may deny a smaller one.
            for shown in self._lock.ahead_notes(self._lock.standing().size):
                self._is_ours(shown, verify_checkpoint(parse_note(shown), self._signer.key))
            hold = self._lock.hold()
            if hold is None:
                return False
            if hold.kind is HoldKind.CONTRADICTION or self._lock.standing().size < hold.size:
                raise held_error(hold)
            # Vouched for first: a unit that is known to have acknowledged still more keeps the hold standing.
            self._gate.vouch(self._lock.standing().size)
            self._lock.release(reason, self._clock())
        log.warning("the ledger signs again", extra={"reason": reason})
        return True

    def add_cosignature(self, line: SignatureLine, key: VerificationKey, size: int | None = None) -> bool:
        """Keep a cosignature on one of our recent checkpoints (of `size`, if known); tell whether it is new.

        A key's second cosignature on one checkpoint is not kept: the first says the earlier time.

        Raises:
            SignatureError: it verifies against none of the checkpoints that are kept.
        """
        with self._writer_lock:
            self._sequencer.catch_up()
            found = self._find_cosigned(line, key, size)
            signers = {(known.name, known.key_id) for known in found.signatures}
            if (line.name, line.key_id) in signers or len(found.signatures) >= MAX_SIGNATURES:
                return False
            grown = found.with_signatures([line]).encode()
            of = parse_checkpoint(found.text).size
            self._lock.replace_note(of, found.encode(), grown)
            if of == self._lock.standing().size:
                published = self._files.find_published(self._signer.key)
                # Larger, where ledger.sqlite came back older than the files beside it: `checkpoint` is never turned back.
                if published is None or published.size <= of:
                    self._files.write_checkpoint(grown)
            return True

    def _is_ours(self, raw: bytes, seen: Checkpoint) -> bool:
        """Tell whether we hold the tree of a checkpoint that we signed; else stop signing. Under the `WriterLock`."""
        own_size = self._lock.standing().size
        if seen.size > own_size:
            hold = ahead_hold(raw, seen.size, own_size)
        elif read_root(self._files, self._sequencer.catch_up().size, seen.size) != seen.root:
            hold = contradiction_hold(raw, seen.size)
        else:
            return True
        log.error("the ledger stops signing", extra={"reason": hold.reason})
        self._lock.add_hold(hold, self._clock())
        return False

    def _find_shown(self) -> int:
        """Give the size of the checkpoint furthest ahead that was shown, or 0. Under the `WriterLock`."""
        hold = self._lock.hold()
        return hold.size if hold is not None and hold.kind is HoldKind.AHEAD else 0

    def _find_cosigned(self, line: SignatureLine, key: VerificationKey, size: int | None) -> Note:
        if size is None:
            candidates = self._lock.notes(-1, cosigned_only=False, most=_TRIED_CHECKPOINTS)
        else:
            kept = self._lock.find_note(size)
            candidates = [] if kept is None else [kept]
        failure = SignatureError(f"the cosignature by {key.name} is on none of the checkpoints that are kept")
        for raw in candidates:
            note = parse_note(raw)
            try:
                verify_cosignature(note.text, line, key)
            except SignatureError as err:
                failure = err
            else:
                return note
        raise failure

    def _remember_text(self, text: bytes, size: int) -> None:
        self._known_texts[text] = size
        if len(self._known_texts) > _KNOWN_TEXTS:
            self._known_texts.pop(next(iter(self._known_texts)))


def _find_signed(files: LedgerFiles, key: VerificationKey) -> tuple[bytes, Checkpoint | None]:
    """Give the published checkpoint, verbatim and read, or no such if it is missing or not signed by `key`."""
    try:
        raw = files.read_checkpoint()
        return raw, verify_checkpoint(parse_note(raw), key)
    except (StoreError, EvidenceError):
        return b"", None


def _check_key(note: bytes, key: VerificationKey, folder: Path) -> None:
    try:
        verify_checkpoint(parse_note(note), key)
    except EvidenceError as err:
        raise StoreError(
            Text(
                zh=f"{folder} 中日志的最新检查点不是由 {key.vkey} 签署的：{err}",
                en=f"the newest checkpoint of the ledger in {folder} is not signed by {key.vkey}: {err}",
            ),
            hint=Text(
                zh="用建立该日志时的日志密钥打开；密钥文件写在 center.yaml 中",
                en="open the ledger with the log key that it was made with; the key's file is named in center.yaml",
            ),
        ) from err
