# SPDX-License-Identifier: Apache-2.0
"""Who signed what: the statement's note, the log's checkpoint, the operator's acts, and what later entries say. Pure.

A line by a key that the policy does not name proves nothing and refutes nothing (UnknownSignerError: cannot tell); a
false line by a key that it names refutes. Source: design section 5, C2SP signed-note.
"""

from collections.abc import Iterable

from evidence.digest import Sha256
from evidence.errors import (
    FormatError,
    ProofError,
    SignatureError,
    UnknownSignerError,
)
from evidence.keys.trust import Standing, UnitKey
from evidence.log.checkpoint import Checkpoint
from evidence.manifest.entry import KIND_STATEMENT, KIND_STORED, Act, Entry, Level, parse_act, parse_entry, parse_stored
from evidence.manifest.receipt import Receipt, VerifiedReceipt, verify_receipt
from evidence.manifest.statement import (
    SnapshotStatement,
    Statement,
    WithdrawalStatement,
    key_name,
    parse_statement,
)
from evidence.note.signed import Note, parse_note, verify_note
from evidence.verify.findings import Findings
from evidence.verify.policy import Policy
from evidence.verify.report import Message


def read_snapshot(raw: bytes) -> tuple[SnapshotStatement, Note]:
    """Read the statement's note. Raises: FormatError if it is not a snapshot's."""
    note = parse_note(raw)
    statement = parse_statement(note.text)
    if not isinstance(statement, SnapshotStatement):
        raise FormatError(f"the statement is of kind {statement.kind}; a bundle shows rows of a snapshot")
    return statement, note


def verify_statement(note: Note, statement: Statement, policy: Policy) -> UnitKey:
    """Give the key that signed; a statement of kind key may carry the old key's line too."""
    name = key_name(statement.unit, statement.source)
    most = 2 if statement.kind == "key" else 1
    if len(note.signatures) > most or any(line.name != name for line in note.signatures):
        names = ", ".join(line.name for line in note.signatures)
        raise FormatError(f"a statement of {name} carries one signature, by {name}; found {names}")
    trust = policy.trust
    if statement.unit not in trust.units():
        raise UnknownSignerError(f"the policy names no key of unit {statement.unit}")
    allowed = {
        key.key.renamed(name): key for key in trust.keys_for(statement.unit, statement.source, statement.sequence)
    }
    try:
        return allowed[verify_note(note, allowed)[0]]
    except UnknownSignerError:
        _refuse_keys_out_of_range(note, policy, statement)
        raise


def _refuse_keys_out_of_range(note: Note, policy: Policy, statement: Statement) -> None:
    """Raises: SignatureError if a key of the unit has signed that the policy bounds to other sequence numbers."""
    name = key_name(statement.unit, statement.source)
    for unit_key in policy.units:
        key = unit_key.key.renamed(name)
        if unit_key.unit != statement.unit:
            continue
        if any(line.key_id == key.key_id for line in note.signatures) and statement.kind != "key":
            raise SignatureError(
                f"the key {key.key_id.hex()} does not speak for statement {statement.sequence} of {name}"
            )


def read_statement_entry(data: bytes, statement: bytes) -> Entry:
    """Read the entry.

    Raises: ProofError unless it holds `statement` verbatim; FormatError unless it is a statement's and says its level.
    """
    entry = parse_entry(data)
    if entry.kind != KIND_STATEMENT:
        raise FormatError(f"the entry is of kind {entry.kind}, not a statement's")
    if entry.note != statement:
        raise ProofError("the entry holds another note than the bundle's statement")
    if entry.level is Level.NONE:
        raise FormatError("the entry of a snapshot's statement says neither registered nor stored")
    return entry


def verify_log(receipt: Receipt, policy: Policy) -> VerifiedReceipt:
    """Verify a receipt under the one of the policy's logs that signed its checkpoint."""
    note = parse_note(receipt.proof.checkpoint)
    for key in policy.logs:
        if any((line.name, line.key_id) == (key.name, key.key_id) for line in note.signatures):
            return verify_receipt(receipt, key)
    names = ", ".join(line.name for line in note.signatures)
    raise UnknownSignerError(f"the checkpoint is signed by {names}, none of which is a log that the policy names")


def verify_operator(note: Note, checkpoint: Checkpoint, policy: Policy) -> None:
    """Raises: UnknownSignerError, SignatureError unless the operator of the checkpoint's log signed the note."""
    operators = [key for key in policy.operators if key.name == f"{checkpoint.origin}/operator"]
    if not operators:
        raise UnknownSignerError(f"the policy names no operator of the log {checkpoint.origin}")
    verify_note(note, operators)


def read_later(receipts: Iterable[Receipt], policy: Policy, findings: Findings) -> None:
    """Take what later entries say of the statement. Raises: EvidenceError if one is false or about something else."""
    assert isinstance(findings.statement, SnapshotStatement) and findings.digest is not None
    for receipt in receipts:
        verified = verify_log(receipt, policy)
        _check_is_later(verified, findings)
        note = parse_note(verified.entry.note)
        if verified.entry.kind == KIND_STATEMENT:
            _take_withdrawal(verified.entry, note, policy, findings.statement, findings.digest)
            findings.withdrawn = True
            continue
        try:
            verify_operator(note, verified.checkpoint, policy)
        except UnknownSignerError as err:
            findings.unknown_operators.append(str(err))
            continue
        if verified.entry.kind == KIND_STORED:
            _check_stored(note, findings.statement, findings.digest)
            findings.stored_later = verified.index
        else:
            findings.acts.append((verified.index, _read_act(note, findings.digest)))


def _check_is_later(verified: VerifiedReceipt, findings: Findings) -> None:
    """Raises: ProofError unless an entry stands after the statement's, in the same log: each center speaks for itself."""
    assert findings.checkpoint is not None and findings.index is not None
    origin, index = findings.checkpoint.origin, findings.index
    if verified.checkpoint.origin != origin or verified.index <= index:
        raise ProofError(
            f"entry {verified.index} of {verified.checkpoint.origin} is said to be later than entry {index} of {origin}"
        )


def _take_withdrawal(entry: Entry, note: Note, policy: Policy, statement: SnapshotStatement, digest: Sha256) -> None:
    withdrawal = parse_statement(note.text)
    if not isinstance(withdrawal, WithdrawalStatement) or withdrawal.statement != digest:
        raise FormatError("a later entry holds another statement than the withdrawal of this one")
    if (withdrawal.unit, withdrawal.source) != (statement.unit, statement.source):
        raise FormatError(f"the withdrawal is by {withdrawal.unit}/{withdrawal.source}, whose statement this is not")
    key = verify_statement(note, withdrawal, policy)
    if key.standing(entry.received, None) is Standing.INVALID:
        raise SignatureError(f"the key of the withdrawal did not speak for unit {key.unit} when the center received it")


def _check_stored(note: Note, statement: SnapshotStatement, digest: Sha256) -> None:
    stored = parse_stored(note.text)
    found = (stored.unit, stored.source, stored.sequence, stored.statement)
    if found != (statement.unit, statement.source, statement.sequence, digest):
        raise ProofError(f"a later entry says that statement {stored.statement.hex()} is stored, not {digest.hex()}")


def _read_act(note: Note, digest: Sha256) -> Act:
    act = parse_act(note.text)
    if digest.hex() not in act.object:
        raise ProofError(f"a later entry is about {act.object!r:.120}, not about statement {digest.hex()}")
    return act


def describe_later(findings: Findings) -> tuple[str, str]:
    """Say what later entries hold, in Chinese and English."""
    parts: list[Message] = []
    if findings.stored_later is not None:
        index = findings.stored_later
        parts.append(Message(f"log@{index}：内容已入库", f"log@{index}: the content is stored"))
    if findings.withdrawn:
        parts.append(Message("该声明已被单位撤回", "the unit has withdrawn the statement"))
    parts += [
        Message(f"log@{index}：{act.event}，结果 {act.outcome}", f"log@{index}: {act.event}, outcome {act.outcome}")
        for index, act in findings.acts
    ]
    parts += [Message(f"未计入：{text}", f"not counted: {text}") for text in findings.unknown_operators]
    if not parts:
        return "未附带", "none came along"
    return "；".join(part.zh for part in parts), "; ".join(part.en for part in parts)


def describe_place(receipt: VerifiedReceipt) -> tuple[str, str]:
    """Say where in which log the entry stands, in Chinese and English."""
    origin, size = receipt.checkpoint.origin, receipt.checkpoint.size
    return (
        f"日志 {origin}，条目 log@{receipt.index}，检查点大小 {size}",
        f"log {origin}, entry log@{receipt.index}, checkpoint of size {size}",
    )
