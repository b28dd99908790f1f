# SPDX-License-Identifier: Apache-2.0
"""Read the files that come back for media: receipts, and what is lacking; tell what receipts have brought.

What a file of receipts says is taken in as from any road that carries files (`agent.transport.posted`), and counts by
verified receipts alone. Here it is only read: the operator's signature, and that it is for this unit.
"""

from collections.abc import Sequence
from pathlib import Path

from agent.errors import MediumUnknownError
from agent.journal import JournalEntry, State
from agent.media.order import ReceiptOutcome
from evidence.bag.receipts import MAX_FILE_BYTES, Receipts, parse_receipts
from evidence.errors import EvidenceError
from evidence.keys.key import VerificationKey
from evidence.medium.missing import MAX_MISSING_BYTES, Missing, parse_missing
from terminal.errors import words_of
from terminal.language import Text


def read_receipts(path: Path, unit: str, operator: VerificationKey) -> Receipts:
    """Read a file of receipts for this unit. Raises: MediumUnknownError."""
    try:
        receipts = parse_receipts(_read(path, MAX_FILE_BYTES), operator)
    except (OSError, EvidenceError) as err:
        raise _unknown(path, words_of(err)) from err
    if receipts.unit != unit:
        raise _unknown(path, Text(zh=f"它是给单位 {receipts.unit} 的", en=f"it is for unit {receipts.unit}"))
    return receipts


def read_missing(path: Path) -> Missing:
    """Read a file that names what is lacking. Raises: MediumUnknownError."""
    try:
        return parse_missing(_read(path, MAX_MISSING_BYTES))
    except (OSError, EvidenceError) as err:
        raise MediumUnknownError(
            Text(zh=f"{path} 不是缺失清单：{err}", en=f"{path} names nothing that is lacking: {err}"),
            hint=Text(
                zh="取 `jinsuo-center media read` 写出的 missing-….txt，原样不动",
                en="take the file missing-….txt that `jinsuo-center media read` has written, as it is",
            ),
        ) from err


def tell_brought(receipts: Receipts, before: Sequence[JournalEntry], after: Sequence[JournalEntry]) -> ReceiptOutcome:
    """Give what a file has brought, by the source's statements before it was taken in, and after."""
    states = {entry.digest: entry.state for entry in before}
    changed = [entry for entry in after if states.get(entry.digest) is not entry.state]
    refusals = [*(bag.refusal for bag in receipts.bags), *(statement.refusal for statement in receipts.statements)]
    # Of the bag that is answered: what bags before it lacked may have come since.
    return ReceiptOutcome(
        receipts.source,
        tuple(entry.sequence for entry in changed if entry.state is State.STORED),
        tuple(entry.sequence for entry in changed if entry.state is State.REGISTERED),
        len(receipts.bags[0].missing),
        tuple(refusal.message for refusal in refusals if refusal is not None),
        sum(1 for entry in after if entry.kind == "snapshot" and entry.state is not State.STORED),
    )


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)


def _unknown(path: Path, why: Text) -> MediumUnknownError:
    return MediumUnknownError(
        Text(zh=f"{path} 不是给本采集端的回执：{why.zh}", en=f"{path} holds no receipts for this agent: {why.en}"),
        hint=Text(
            zh="取 `jinsuo-center media read` 写出的 receipts-….note，原样不动",
            en="take the file receipts-….note that `jinsuo-center media read` has written, as it is",
        ),
    )
