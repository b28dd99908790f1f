# SPDX-License-Identifier: Apache-2.0
"""The audit of checkpoints: the published one and those that ledger.sqlite keeps, and who has signed them.

If the log's key file has become another key, then neither the published checkpoint nor a kept one is signed by it: the
key is named, and the checkpoints count unverified. If only one of them is not signed by it, that one is damaged.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from center.audit.findings import Findings, Thing
from center.errors import CenterError
from center.ledger.lock import LedgerLock, Standing
from center.ledger.publish import LedgerFiles
from evidence.errors import EvidenceError, UnknownSignerError
from evidence.keys.key import VerificationKey
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from evidence.note.cosign import verify_cosignatures
from evidence.note.signed import Note, parse_note
from terminal.errors import words_of
from terminal.language import Text

CHECKPOINT: Final = "ledger/checkpoint"
SQLITE: Final = "ledger/ledger.sqlite"
LOG_KEY: Final = "keys/log.pem"
_MOST_CHECKPOINTS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures checkpoints may carry. None: the file that says so is damaged, so nobody can judge that."""

    log: VerificationKey | None
    cosigners: Sequence[VerificationKey] | None


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What can be relied on: the checkpoint to judge the tiles by, and those kept, the newest first."""

    newest: Checkpoint | None
    kept: tuple[Checkpoint, ...]


def judge_checkpoints(folder: Path, signers: Signers, findings: Findings) -> Checkpoints:
    """Judge all checkpoints of the ledger in `folder`."""
    published, kept = _read_published(folder, findings), _read_sqlite(folder, findings)
    notes = [published, *kept[:1]] if published is not None else kept[:1]
    if signers.log is not None and len(notes) == 2 and not any(_has_signed(signers.log, note) for note in notes):
        findings.add(
            Thing.KEY,
            LOG_KEY,
            Text(
                zh=f"其中的密钥 {signers.log.vkey} 没有签署过本日志",
                en=f"it holds the key {signers.log.vkey}, which has not signed this log",
            ),
        )
        signers = Signers(None, signers.cosigners)
    newest = None if published is None else _judge(published, signers, Thing.CHECKPOINT, CHECKPOINT, findings)
    checkpoints = [_judge(raw, signers, Thing.LEDGER, SQLITE, findings) for raw in kept]
    known = tuple(checkpoint for checkpoint in checkpoints if checkpoint is not None)
    if newest is None and known:
        newest = known[0]
    return Checkpoints(newest, known)


def _judge(raw: bytes, signers: Signers, thing: Thing, where: str, findings: Findings) -> Checkpoint | None:
    """Give the checkpoint of a note, None if it cannot be relied on; say what is wrong with it."""
    try:
        note = parse_note(raw)
        checkpoint = parse_checkpoint(note.text) if signers.log is None else verify_checkpoint(note, signers.log)
    except EvidenceError as err:
        findings.add(thing, where, err)
        return None
    trouble = _judge_cosignatures(note, signers)
    if trouble is not None:
        findings.add(
            thing,
            where,
            Text(
                zh=f"{checkpoint.size} 条的检查点：{trouble.zh}",
                en=f"the checkpoint of {checkpoint.size} entries: {trouble.en}",
            ),
        )
    return checkpoint


def _judge_cosignatures(note: Note, signers: Signers) -> Text | None:
    if signers.cosigners is None or signers.log is None:
        return None
    try:
        verify_cosignatures(note, signers.cosigners)
    except EvidenceError as err:
        return words_of(err)
    # A damaged name or key id makes a line one of a stranger, which would otherwise be passed over.
    known = {(key.name, key.key_id) for key in [signers.log, *signers.cosigners]}
    strangers = [line.name for line in note.signatures if (line.name, line.key_id) not in known]
    if not strangers:
        return None
    return Text(
        zh=f"有一行署名 {strangers[0]!r:.80}，既不是本日志，也不是哪个单位",
        en=f"it carries a line by {strangers[0]!r:.80}, which is neither the log nor a unit",
    )


def _has_signed(key: VerificationKey, raw: bytes) -> bool:
    """Tell whether a note carries a line by `key`, right or wrong; what is no note at all decides nothing."""
    try:
        verify_checkpoint(parse_note(raw), key)
    except UnknownSignerError:
        return False
    except EvidenceError:
        return True
    return True


def _read_published(folder: Path, findings: Findings) -> bytes | None:
    try:
        return LedgerFiles(folder).read_checkpoint()
    except CenterError as err:
        findings.add(Thing.CHECKPOINT, CHECKPOINT, err)
        return None


def _read_sqlite(folder: Path, findings: Findings) -> list[bytes]:
    """Give the notes that ledger.sqlite keeps, the newest first."""
    path = folder / "ledger.sqlite"
    try:
        lock = LedgerLock(path)
    except (CenterError, sqlite3.Error) as err:
        findings.add(Thing.LEDGER, SQLITE, err)
        return []
    try:
        standing = lock.standing()
        kept = lock.kept(_MOST_CHECKPOINTS)
    except (CenterError, sqlite3.Error) as err:
        findings.add(Thing.LEDGER, SQLITE, err)
        return []
    finally:
        lock.close()
    for trouble in (*_check_file(path), *_check_figures(standing, kept)):
        findings.add(Thing.LEDGER, SQLITE, trouble)
    return [standing.note, *(note for _, note, _ in kept if note != standing.note)]


def _check_figures(standing: Standing, kept: Sequence[tuple[int, bytes, bool]]) -> Iterator[str]:
    """Yield how the figures beside checkpoints differ from them: by these the ledger goes on, and finds cosigned ones."""
    if _find_size(standing.note) not in (None, standing.size):
        yield f"its newest checkpoint has {_find_size(standing.note)} entries, and is noted as one of {standing.size}"
    if not 0 <= standing.published_size <= standing.size:
        yield f"of its {standing.size} entries it notes {standing.published_size} as published"
    for size, note, is_cosigned in kept:
        found = _find_size(note)
        if found is None:
            continue  # it is judged, and named, as a checkpoint
        if found != size:
            yield f"it keeps the checkpoint of {found} entries as one of {size}"
        if not is_cosigned and len(parse_note(note).signatures) > 1:
            yield f"it keeps the cosigned checkpoint of {size} entries as one that nobody has cosigned"


def _find_size(raw: bytes) -> int | None:
    try:
        return parse_checkpoint(parse_note(raw).text).size
    except EvidenceError:
        return None


def _check_file(path: Path) -> list[str]:
    try:
        connection = sqlite3.connect(path, timeout=30)
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
        finally:
            connection.close()
    except sqlite3.Error as err:
        return [str(err)]
    return [] if found == ["ok"] else found
