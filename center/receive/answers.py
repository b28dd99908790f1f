# SPDX-License-Identifier: Apache-2.0
"""What goes back for a bag: a file of receipts, and the memory by which one file stands for those before it.

    inboxes/UNIT/SOURCE.json   JCS {"bags":[{…}],"format":"jinsuo/bags@v1"}: the answers, newest first
    inboxes/UNIT/sizes         a decimal and LF each, newest first: of the checkpoints that the unit was given, by any source

An agent without a line cannot ask. So each file tells what became of the last bags too, gives every receipt that the
checkpoint shown does not cover, and proves that the newest checkpoint continues each one that a file before it has
brought. Order: the memory is durable before the file is there, so no file brings a checkpoint that a later one does not
prove from. Reads and writes files; the time is an argument. Source: format.md 12.8.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from center.errors import InboxError, StoreError
from center.ledger.ledger import Ledger
from center.receive.bags import TakenBag
from center.registry.catalog_tables import StatementRow
from center.registry.lock import FolderLock
from evidence.bag.receipts import (
    MAX_PROOFS,
    MAX_RECEIPTS,
    BagAnswer,
    Proof,
    Receipts,
    read_bag_answer,
    sign_receipts,
)
from evidence.disk import NewFile, make_folder, write_over
from evidence.encode import Json, encode_json, expect_list, parse_decimal, parse_json, parse_members
from evidence.errors import EvidenceError
from evidence.keys.signer import Signer
from evidence.log.checkpoint import parse_checkpoint
from evidence.manifest.receipt import Receipt
from evidence.note.signed import parse_note
from terminal.language import Text

FORMAT: Final = "jinsuo/bags@v1"
_MOST_BAGS: Final = 64
_MOST_NAMES: Final = 8_192
"""Packs that are named for bags before the one that is answered."""
_MOST_RECEIPT_BYTES: Final = 8 << 20


class Answers:
    """Answer bags, in one center. Threads and processes take turns: the daemon's drop boxes, and whoever reads media beside it."""

    def __init__(self, folder: Path, ledger: Ledger, operator: Signer, clock: Callable[[], datetime]) -> None:
        """Keep what was answered in `folder`."""
        self._folder = folder
        self._ledger = ledger
        self._operator = operator
        self._clock = clock

    def write(self, taken: TakenBag, logged: Sequence[StatementRow], target: Path) -> Path:
        """Write the file of receipts for a bag into the folder `target`, durable and whole; give its path.

        Raises: HeldError while nobody has confirmed the ledger; InboxError: the folder cannot be written; StoreError.
        """
        self._ledger.check_confirmed()
        make_folder(self._folder)
        with FolderLock(self._folder / ".lock").hold():
            return self._write(taken, logged, target)

    def _write(self, taken: TakenBag, logged: Sequence[StatementRow], target: Path) -> Path:
        checkpoint = self._ledger.checkpoint()
        size = parse_checkpoint(parse_note(checkpoint).text).size
        before = [known for known in self._read(taken) if known.bag != taken.envelope.bag]
        given = self._given(taken.envelope.unit)
        receipts = Receipts(
            origin=self._ledger.log_key.name,
            unit=taken.envelope.unit,
            source=taken.envelope.source,
            created=self._clock(),
            checkpoint=checkpoint,
            bags=(taken.answer, *before),
            receipts=tuple(self._receipts(taken, logged, checkpoint)),
            statements=tuple(taken.statements.values()),
            proofs=tuple(self._proofs({taken.shown, *given}, size)),
            latest=None if not logged else (logged[-1].note, self._receipt(logged[-1], checkpoint)),
        )
        self._keep(taken, [taken.answer, *before])
        sizes = list(dict.fromkeys([size, *given]))[: MAX_PROOFS - 1]
        write_over(self._sizes(taken.envelope.unit), "".join(f"{known}\n" for known in sizes).encode())
        path = target / receipts.name
        try:
            with NewFile(target, f"{receipts.name}.{os.getpid()}.{os.urandom(4).hex()}") as file:
                file.write(sign_receipts(receipts, self._operator))
                if os.name == "posix":  # who may read the folder may read what is put into it, whatever our umask is
                    file.allow(0o600 | target.stat().st_mode & 0o044)
                file.commit_over(path)
        except OSError as err:
            raise InboxError(
                Text(
                    zh=f"回执 {path} 写不了：{err.strerror or err}",
                    en=f"the receipts {path} cannot be written: {err.strerror or err}",
                ),
                hint=Text(
                    zh="检查 center.yaml 中 `receipts` 目录的权限和空间",
                    en="look at the rights and the room of the folder `receipts` in center.yaml",
                ),
            ) from err
        return path

    def _receipts(self, taken: TakenBag, logged: Sequence[StatementRow], checkpoint: bytes) -> list[Receipt]:
        """Give receipts of what is new to the agent, oldest first; what does not fit comes with the next file."""
        sent = {statement.digest for statement in taken.envelope.statements}
        found: list[Receipt] = []
        size = 0
        for row in logged:
            if _newest_index(row) < taken.shown and row.digest not in sent:
                continue
            receipt = self._receipt(row, checkpoint)
            size += len(receipt.entry) * 4 // 3 + len(checkpoint)
            if len(found) == MAX_RECEIPTS or size > _MOST_RECEIPT_BYTES:
                break
            found.append(receipt)
        return found

    def _receipt(self, row: StatementRow, checkpoint: bytes) -> Receipt:
        return self._ledger.receipt(_newest_index(row), checkpoint)

    def _proofs(self, sizes: set[int], size: int) -> list[Proof]:
        return [
            Proof(known, tuple(self._ledger.consistency(known, size))) for known in sorted(sizes) if 0 < known < size
        ]

    def _given(self, unit: str) -> list[int]:
        """Give the sizes of checkpoints that the unit was given, newest first. Raises: StoreError."""
        path = self._sizes(unit)
        try:
            lines = path.read_bytes().decode("ascii", "replace").split("\n")
            return [parse_decimal(line, "a size") for line in lines[:-1]]
        except FileNotFoundError:
            return []
        except EvidenceError as err:
            raise StoreError(
                Text(zh=f"{path} 已损坏：{err}", en=f"{path} is damaged: {err}"),
                hint=Text(
                    zh="把它移开；无法证明的，等下一个包裹",
                    en="move it away; what cannot be proven waits for a bag more",
                ),
            ) from err

    def _read(self, taken: TakenBag) -> list[BagAnswer]:
        """Give what was answered before, newest first. Raises: StoreError if the file is damaged."""
        path = self._path(taken)
        what = "the memory of a drop box"
        try:
            members = parse_members(parse_json(path.read_bytes(), what), what, {"bags", "format"})
            return [read_bag_answer(item) for item in expect_list(members["bags"], "bags", _MOST_BAGS)]
        except FileNotFoundError:
            return []
        except EvidenceError as err:
            raise StoreError(
                Text(zh=f"{path} 已损坏：{err}", en=f"{path} is damaged: {err}"),
                hint=Text(
                    zh="把它移开：只答复新的包裹，其余的采集端会再送",
                    en="move it away: agents are answered about new bags, and send others again",
                ),
            ) from err

    def _keep(self, taken: TakenBag, answered: Sequence[BagAnswer]) -> None:
        kept: list[BagAnswer] = []
        names = 0
        for known in answered[:_MOST_BAGS]:
            names += len(known.missing) + len(known.refused)
            if kept and names > _MOST_NAMES:
                break
            kept.append(known)
        bags: list[Json] = [known.to_json() for known in kept]
        write_over(self._path(taken), encode_json({"bags": bags, "format": FORMAT}))

    def _sizes(self, unit: str) -> Path:
        return self._folder / unit / "sizes"

    def _path(self, taken: TakenBag) -> Path:
        return self._folder / taken.envelope.unit / f"{taken.envelope.source}.json"


def _newest_index(row: StatementRow) -> int:
    return row.index if row.stored_index is None else row.stored_index
