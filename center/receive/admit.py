# SPDX-License-Identifier: Apache-2.0
"""Admission: every byte re-checked, before it counts for anything.

A pack is stored once each object in it has its id; pages are hashed on the way, while they are at hand (`intake.py`). A statement is
logged once everything below it is here and is the one tree that the statement claims (`content.py`); only then is it
`stored`. The order is the promise: objects durable, then the log, then the catalog, then the answer; after a crash the
catalog is caught up from the log. Threads and processes: any; statements of one source are admitted one after another.
Source: design sections 4 to 6, promise 1.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from center.errors import ConflictError, NotFoundError, PackError, StatementError, StoreError
from center.ledger.ledger import Ledger
from center.receive.conflicts import Conflicts
from center.receive.content import ContentCheck
from center.receive.intake import Intake
from center.receive.signers import Signers
from center.registry.catalog import Catalog
from center.registry.catalog_tables import StatementRow
from center.registry.lock import FolderLock
from center.registry.objects import SourceObjects, pack_path
from center.registry.replay import Replay
from center.registry.units import Units
from center.store.base import Store
from evidence.digest import ObjectId, PackNamer, Sha256, pack_name
from evidence.errors import EvidenceError, FormatError
from evidence.keys.signer import Signer
from evidence.manifest.entry import Level, StoredAct
from evidence.manifest.receipt import Receipt
from evidence.manifest.statement import KeyStatement, SnapshotStatement, Statement, statement_digest
from evidence.note.signed import Note, parse_note, sign_note
from evidence.objects.pack import MAX_PACK_BYTES, read_frames
from terminal.language import Text

MAX_STATEMENT_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class PackAnswer:
    """What became of a pack: `new` False if it was here already; the number of its objects."""

    new: bool
    objects: int


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """A receipt, or what is still missing. `missing` empty and no receipt: the manifest itself."""

    level: Level
    receipt: Receipt | None
    missing: tuple[ObjectId, ...] = ()


class Admission:
    """Take in packs and statements of all units."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        catalog: Catalog,
        units: Units,
        replay: Replay,
        operator: Signer,
        clock: Callable[[], datetime],
        repeated_bytes: int,
        locks: Path,
    ) -> None:
        """Admit into these; `repeated_bytes` bounds what the new blobs of a statement claim (`Closure`).

        `locks`: a folder for the locks by which processes take turns: the daemon, and whoever reads media beside it.
        """
        self._store = store
        self._ledger = ledger
        self._catalog = catalog
        self._units = units
        self._replay = replay
        self._operator = operator
        self._signers = Signers(units, catalog)
        self._conflicts = Conflicts(ledger, operator, clock)
        self._content = ContentCheck(store, catalog, units, repeated_bytes)
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._locks_lock = threading.Lock()
        self._locks_folder = locks

    def missing(self, unit: str, source: str, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Give those of `ids` that the source does not have here. Raises: NotFoundError: no such source."""
        self._units.secrets(unit, source)
        return self._catalog.absent(unit, source, ids)

    def put_pack(self, unit: str, source: str, name: str, parts: Iterable[bytes]) -> PackAnswer:
        """Store a pack whose bytes come in `parts`; durable when this returns. The same pack again is no error.

        Raises:
            PackError: it is damaged, over its bounds, has another name, or an object is not of this source.
            FullError: the disk is full; nothing of the pack is kept.
            NotFoundError: the unit has no such source.
        """
        secrets = self._units.secrets(unit, source)
        path = pack_path(unit, source, name)
        if self._catalog.has_pack(unit, source, name) and self._has_whole(path, name):
            return PackAnswer(False, 0)
        namer = PackNamer()
        objects = SourceObjects(self._store, self._catalog, unit, source, secrets.storage_key)
        find_facts, doubt = partial(self._catalog.find_facts, unit, source), partial(self._content.doubt, unit, source)
        intake = Intake(objects, secrets, name, find_facts, doubt)
        with self._store.create(path) as blob:
            try:
                for frame in read_frames(_tee(parts, blob.write), namer):
                    intake.take(frame)
                intake.finish()
                if namer.name() != name:
                    raise FormatError(f"its bytes give the name {namer.name()}")
            except EvidenceError as err:
                raise PackError(
                    Text(
                        zh=f"{unit}/{source} 的数据包 {name} 被拒绝：{err}",
                        en=f"pack {name} of {unit}/{source} is refused: {err}",
                    ),
                    hint=Text(
                        zh="从发件箱重新发送；若再被拒绝，重新取快照",
                        en="send it again from the spool; if it is refused again, take the snapshot anew",
                    ),
                ) from err
            if not blob.commit():
                self._has_whole(path, name)
        self._catalog.add_pack(unit, source, name, intake.places, intake.facts)
        return PackAnswer(True, len(intake.places))

    def submit(self, unit: str, source: str, raw: bytes, register_only: bool = False) -> StatementAnswer:
        """Admit a statement, a signed note. The same text again gives the same receipt.

        `register_only` logs a snapshot statement at level `registered` although content is missing.

        Raises:
            StatementError: wrong signature, grammar, previous, or content that does not hold.
            ConflictError: another statement has this sequence; that is logged, within bounds (`conflicts.py`).
            HeldError, FullError: nothing was admitted; try again later.
        """
        note, statement = self._read_statement(unit, source, raw)
        digest = statement_digest(note.text)
        self._ledger.check_confirmed()
        with self._lock(unit, source):
            self._replay.catch_up()
            known = self._catalog.by_digest(digest)
            if known is None:
                # A ledger that lacks its tail would call the next statement of the chain a wrong one; and what a crash
                # or a full disk has left staged comes before this one.
                self._ledger.finish()
                self._replay.catch_up()
                known = self._catalog.by_digest(digest)
            if known is None:
                self._check_place(statement, digest)
            if not isinstance(statement, SnapshotStatement):
                answer = self._admit_plain(raw, known)
                if isinstance(statement, KeyStatement):
                    # Logged first: no key counts that is not in the log. After a crash between the two it is sent again.
                    self._signers.follow(statement)
                return answer
            if known is not None and known.level is Level.STORED:
                return StatementAnswer(Level.STORED, self._ledger.receipt(_latest_index(known)))
            missing = self._content.check(statement)
            if known is not None:
                return self._complete(known, digest) if missing is None else self._still_missing(known, missing)
            if missing is not None and not register_only:
                return StatementAnswer(Level.NONE, None, tuple(missing))
            level = Level.STORED if missing is None else Level.REGISTERED
            sealed = self._ledger.append("statement", level, raw)
            self._replay.catch_up()
            return StatementAnswer(level, self._ledger.receipt(sealed.index), tuple(missing or ()))

    def latest(self, unit: str, source: str) -> tuple[bytes, Receipt] | None:
        """Give the newest statement of a source and its receipt, or None. Raises: HeldError."""
        self._units.secrets(unit, source)
        self._ledger.check_confirmed()
        self._replay.catch_up()
        row = self._catalog.latest(unit, source)
        return None if row is None else (row.note, self._ledger.receipt(_latest_index(row)))

    def receipt(self, unit: str, digest: Sha256) -> Receipt:
        """Give the receipt of a unit's statement by its digest, under the newest checkpoint.

        Raises: NotFoundError; HeldError while nobody has confirmed the ledger since the start.
        """
        self._ledger.check_confirmed()
        row = self._catalog.by_digest(digest)
        if row is None or row.unit != unit:
            raise NotFoundError(
                Text(
                    zh=f"{unit} 没有摘要为 {digest.hex()} 的声明",
                    en=f"no statement of {unit} has the digest {digest.hex()}",
                ),
                hint=Text(zh="重新提交该声明", en="submit the statement again"),
            )
        return self._ledger.receipt(_latest_index(row))

    def _has_whole(self, path: str, name: str) -> bool:
        """Tell whether a pack stands in the store, with the bytes of its name. Raises: StoreError if with others."""
        size = self._store.size(path)
        if size is None:
            return False
        if size > MAX_PACK_BYTES or pack_name([self._store.read(path)]) != name:
            raise StoreError(
                Text(
                    zh=f"存储中的数据包 {path} 已损坏，挡住了重新送来的同一个包",
                    en=f"the pack {path} in the store is damaged, and stands in the way of the same one that was sent again",
                ),
                hint=Text(
                    zh="把损坏的文件移出存储，运行 `jinsuo-center rebuild`，再让采集端发送",
                    en="move the damaged file out of the store, run `jinsuo-center rebuild`, and let the agent send again",
                ),
            )
        return True

    def _read_statement(self, unit: str, source: str, raw: bytes) -> tuple[Note, Statement]:
        try:
            note = parse_note(raw, MAX_STATEMENT_BYTES)
            return note, self._signers.verify(unit, source, note)
        except EvidenceError as err:
            raise StatementError(
                Text(
                    zh=f"{unit}/{source} 送来的声明被拒绝：{err}",
                    en=f"the statement sent for {unit}/{source} is refused: {err}",
                ),
                hint=Text(
                    zh="这不是我们的采集端写的；保留发件箱，请打电话给档案馆",
                    en="this is not what our agent writes; keep the spool and call the archives",
                ),
            ) from err

    def _check_place(self, statement: Statement, digest: Sha256) -> None:
        """Raises: unless the statement is the next of its source's chain."""
        where = f"{statement.source}#{statement.sequence} of {statement.unit}"
        latest = self._catalog.latest(statement.unit, statement.source)
        next_sequence = 1 if latest is None else latest.sequence + 1
        if statement.sequence < next_sequence:
            first = self._catalog.statement(statement.unit, statement.source, statement.sequence)
            noted = self._conflicts.note(
                f"{statement.unit}/{statement.source}", statement.sequence,
                f"another text, {digest.hex()}, was sent for the statement {first.digest.hex()}",
            )  # fmt: skip
            raise ConflictError(
                Text(
                    zh=f"{where} 先前已按另一份文字受理（{first.digest.hex()[:16]}…）；{noted}",
                    en=f"{where} was admitted before with another text, {first.digest.hex()[:16]}…; {noted}",
                ),
                hint=Text(
                    zh="向中心查询最新的声明，从那里接着做",
                    en="ask the center for the latest statement, and go on from there",
                ),
            )
        previous = None if latest is None else latest.digest
        if statement.sequence > next_sequence or statement.previous != previous:
            ours, theirs = _name(previous), _name(statement.previous)
            raise StatementError(
                Text(
                    zh=f"{where} 没有接上声明链：中心等的是接在{ours.zh}之后的序号 {next_sequence}，它写的是{theirs.zh}",
                    en=f"{where} does not continue the chain: the center expects sequence {next_sequence} after {ours.en}, "
                    f"it names {theirs.en}",
                ),
                hint=Text(
                    zh="向中心查询最新的声明，从那里接着做",
                    en="ask the center for the latest statement, and go on from there",
                ),
            )

    def _admit_plain(self, raw: bytes, known: StatementRow | None) -> StatementAnswer:
        if known is not None:
            return StatementAnswer(Level.NONE, self._ledger.receipt(known.index))
        sealed = self._ledger.append("statement", Level.NONE, raw)
        self._replay.catch_up()
        return StatementAnswer(Level.NONE, self._ledger.receipt(sealed.index))

    def _complete(self, known: StatementRow, digest: Sha256) -> StatementAnswer:
        """Log that the content of a registered statement is stored now."""
        act = StoredAct(known.unit, known.source, known.sequence, digest)
        note = sign_note(act.encode(), [self._operator]).encode()
        sealed = self._ledger.append("stored", Level.STORED, note)
        self._replay.catch_up()
        return StatementAnswer(Level.STORED, self._ledger.receipt(sealed.index))

    def _still_missing(self, known: StatementRow, missing: Sequence[ObjectId]) -> StatementAnswer:
        return StatementAnswer(Level.REGISTERED, self._ledger.receipt(known.index), tuple(missing))

    @contextmanager
    def _lock(self, unit: str, source: str) -> Iterator[None]:
        """Let threads and processes take turns with the statements of a source: each sees what the one before did."""
        with self._locks_lock:
            lock = self._locks.setdefault((unit, source), threading.Lock())
            self._locks_folder.mkdir(exist_ok=True)
        with lock, FolderLock(self._locks_folder / f"{unit}~{source}.lock").hold():
            yield


def _latest_index(row: StatementRow) -> int:
    return row.index if row.stored_index is None else row.stored_index


def _tee(parts: Iterable[bytes], write: Callable[[bytes], object]) -> Iterator[bytes]:
    for part in parts:
        write(part)
        yield part


def _name(digest: Sha256 | None) -> Text:
    """Name the statement that another one follows."""
    if digest is None:
        return Text(zh="“无”", en="nothing")
    return Text(zh=f" {digest.hex()[:16]}… ", en=f"{digest.hex()[:16]}…")
