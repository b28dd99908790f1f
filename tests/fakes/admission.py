# SPDX-License-Identifier: Apache-2.0
"""An admission that keeps the promises of the real one, in memory: packs by name, statements once, receipts real.

What it leaves out is looking into packs and below statements; the packs that it takes are any bytes whose BLAKE3 is the
name. A statement counts as stored if each object that `needs` names is here. It fails on command (`fail_next`).
"""

import threading
from collections.abc import Iterable, Sequence

from center.errors import CenterError, NotFoundError, PackError, StatementError
from center.ledger.ledger import Ledger
from center.receive.admit import PackAnswer, StatementAnswer
from center.registry.units import Units
from evidence.digest import ObjectId, PackNamer, Sha256
from evidence.errors import EvidenceError
from evidence.manifest.entry import Level
from evidence.manifest.receipt import Receipt
from evidence.manifest.statement import key_name, parse_statement, statement_digest
from evidence.note.signed import parse_note, verify_note


class FakeAdmission:
    """Packs and statements of all units, in memory."""

    def __init__(self, ledger: Ledger, units: Units) -> None:
        self._ledger = ledger
        self._units = units
        self._lock = threading.Lock()
        self.packs: dict[tuple[str, str, str], bytes] = {}
        self.objects: dict[tuple[str, str], set[ObjectId]] = {}
        self.needs: tuple[ObjectId, ...] = ()
        self.statements: dict[Sha256, tuple[str, str, bytes, int]] = {}
        self.fail_next: Exception | None = None
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def missing(self, unit: str, source: str, ids: Sequence[ObjectId]) -> list[ObjectId]:
        self._fail()
        self._units.secrets(unit, source)
        return [object_id for object_id in ids if object_id not in self.objects.get((unit, source), set())]

    def put_pack(self, unit: str, source: str, name: str, parts: Iterable[bytes]) -> PackAnswer:
        self._fail()
        self._units.secrets(unit, source)
        if (unit, source, name) in self.packs:
            return PackAnswer(False, 0)
        namer, kept = PackNamer(), bytearray()
        for part in parts:
            namer.update(part)
            kept += part
        if namer.name() != name:
            raise PackError(f"pack {name} of {unit}/{source} gives the name {namer.name()}", hint="send it again")
        with self._lock:
            self.packs[unit, source, name] = bytes(kept)
        return PackAnswer(True, 1)

    def submit(self, unit: str, source: str, raw: bytes, register_only: bool = False) -> StatementAnswer:
        self.entered.set()
        assert self.may_go_on.wait(240)
        self._fail()
        self._units.secrets(unit, source)
        key = self._units.get(unit).statement_key
        assert key is not None
        try:
            note = parse_note(raw)
            verify_note(note, [key.renamed(key_name(unit, source))])
            parse_statement(note.text)
        except EvidenceError as err:
            raise StatementError(f"the statement is refused: {err}", hint="call the archives") from err
        digest = statement_digest(note.text)
        with self._lock:
            known = self.statements.get(digest)
            if known is not None:
                return StatementAnswer(Level.STORED, self._ledger.receipt(known[3]))
            missing = tuple(self.missing(unit, source, self.needs))
            if missing and not register_only:
                return StatementAnswer(Level.NONE, None, missing)
            level = Level.REGISTERED if missing else Level.STORED
            index = self._ledger.append("statement", level, raw).index
            self.statements[digest] = (unit, source, raw, index)
            return StatementAnswer(level, self._ledger.receipt(index), missing)

    def latest(self, unit: str, source: str) -> tuple[bytes, Receipt] | None:
        self._fail()
        self._units.secrets(unit, source)
        found = [entry for entry in self.statements.values() if entry[:2] == (unit, source)]
        return (found[-1][2], self._ledger.receipt(found[-1][3])) if found else None

    def receipt(self, unit: str, digest: Sha256) -> Receipt:
        self._fail()
        known = self.statements.get(digest)
        if known is None or known[0] != unit:
            raise NotFoundError(f"no statement of {unit} has the digest {digest.hex()}", hint="submit it again")
        return self._ledger.receipt(known[3])

    def _fail(self) -> None:
        err, self.fail_next = self.fail_next, None
        if isinstance(err, CenterError | OSError | RuntimeError):
            raise err
