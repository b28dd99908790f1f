# SPDX-License-Identifier: Apache-2.0
"""The promise, as numbered steps: what a stranger checks before believing a bundle or a receipt. Pure.

Read `verify_bundle` from top to bottom: each step states what must hold for the next to mean anything. A step that does
not hold ends the examination; a step that cannot tell (an unknown signer, no proof of time) lets it go on where it can.
Nothing is believed but what the policy names; everything else is hashed or verified here. The bytes of large cells come
through `find_blob`. Source: design section 5.
"""

from contextlib import suppress

from evidence.manifest.entry import KIND_STATEMENT, parse_entry
from evidence.manifest.receipt import parse_receipt
from evidence.manifest.statement import (
    parse_statement,
    statement_digest,
)
from evidence.note.signed import parse_note
from evidence.verify.bundle import parse_bundle
from evidence.verify.contents import (
    FindBlob,
    describe_blobs,
    read_row,
    verify_blobs,
    verify_claims,
    verify_order,
    verify_row,
    verify_schema,
)
from evidence.verify.findings import Findings, report_on_bundle, report_on_receipt
from evidence.verify.policy import Policy
from evidence.verify.report import Outcome, Report
from evidence.verify.signers import (
    describe_later,
    describe_place,
    read_later,
    read_snapshot,
    read_statement_entry,
    verify_log,
    verify_operator,
    verify_statement,
)
from evidence.verify.steps import ExaminationEnded, Steps
from evidence.verify.times import find_times, judge_standing, judge_times


def verify_bundle(raw: bytes, policy: Policy, find_blob: FindBlob) -> Report:
    """Examine a bundle's bytes under `policy`. Nothing that is read makes it raise: the report says what came of it."""
    steps, findings = Steps(), Findings()
    with suppress(ExaminationEnded):
        _examine_bundle(raw, policy, find_blob, steps, findings)
    return report_on_bundle(steps.taken, findings)


def verify_receipt_file(raw: bytes, policy: Policy) -> Report:
    """Examine a receipt's bytes under `policy`, as `verify_bundle` does: what the log holds, and since when."""
    steps, findings = Steps(), Findings()
    with suppress(ExaminationEnded):
        _examine_receipt(raw, policy, steps, findings)
    return report_on_receipt(steps.taken, findings)


def _examine_bundle(raw: bytes, policy: Policy, find_blob: FindBlob, steps: Steps, findings: Findings) -> None:
    # 1. The file is one bundle, whole, in its one encoding: nobody can read two things in it.
    with steps.take("文件是一份完整的证明包", "The file is one whole bundle") as step:
        bundle = parse_bundle(raw)
        step.found(
            f"{len(bundle.rows)} 条记录，{len(bundle.claims)} 张表",
            f"{len(bundle.rows)} rows of {len(bundle.claims)} tables",
        )

    # 2. The statement is one snapshot's, with one signature by a key that the policy gives to the unit it names.
    with steps.take("单位的密钥签署了快照声明", "The unit's key signed the snapshot's statement") as step:
        statement, note = read_snapshot(bundle.statement)
        findings.statement, findings.digest = statement, statement_digest(note.text)
        findings.unit_key = verify_statement(note, statement, policy)
        key_id = findings.unit_key.key.renamed(note.signatures[0].name).key_id.hex()
        step.found(f"{note.signatures[0].name}（密钥 {key_id}）", f"{note.signatures[0].name} (key {key_id})")

    # 3. The log's entry holds this very note, so what is proven of the entry is proven of the statement.
    with steps.take("日志条目原样包含该声明", "The log's entry holds the statement verbatim") as step:
        findings.entry = read_statement_entry(bundle.receipt.entry, bundle.statement)
        step.found(f"级别 {findings.entry.level}", f"level {findings.entry.level}")

    # 4. A log that the policy names has signed a checkpoint, and the entry is under it.
    with steps.take("条目在日志签名的检查点之下", "The entry is under a checkpoint that the log signed") as step:
        receipt = verify_log(bundle.receipt, policy)
        findings.index, findings.checkpoint = receipt.index, receipt.checkpoint
        step.found(*describe_place(receipt))

    # 5. Others than the center and the unit held the checkpoint at a time that they themselves state.
    with steps.take("第三方证明了时间", "Others prove the time") as step:
        findings.times = find_times(receipt, bundle.timestamps, policy, statement.unit, findings)
        judge_times(findings, step)

    # 6. The unit's key spoke for the unit at that time.
    with steps.take("当时该密钥有权代表该单位", "The key spoke for the unit at that time") as step:
        judge_standing(findings, step)

    # 7. What the log holds about the statement later on: stored since, withdrawn, acts of the center.
    with steps.take("后续日志条目", "Later entries about the statement") as step:
        read_later(bundle.later, policy, findings)
        step.found(*describe_later(findings))

    # 8. The claims shown are leaves of the tree over all tables of the snapshot, whose root was stated.
    with steps.take("各表的声明属于该快照", "The tables' claims belong to the snapshot") as step:
        verify_claims(bundle.claims, statement)
        step.found(f"快照根 {statement.root.hex()}", f"snapshot root {statement.root.hex()}")

    # 9. The schemas are those that the claims name.
    with steps.take("表结构与声明一致", "The schemas are those that the claims name"):
        for claim, schema in zip(bundle.claims, bundle.schemas, strict=True):
            verify_schema(claim, schema)

    # 10. Each row, under its salt, leads to its table's claimed root, through the very tree that the claim describes.
    with steps.take("记录属于各自的表", "The rows belong to their tables") as step:
        claims = {claim.claim.name: claim for claim in bundle.claims}
        for row in bundle.rows:
            verify_row(row, claims[row.table])
        step.found(f"{len(bundle.rows)} 条记录", f"{len(bundle.rows)} rows")

    # 11. Each row reads in one way under its schema: every field canonical for its kind, and in the order of its table.
    with steps.take("记录的每个字段均为规范形式", "Every field of the rows is in its canonical form"):
        for row in bundle.rows:
            schema = bundle.schema_of(row.table)
            findings.rows.append((schema, read_row(row, schema)))
        verify_order(bundle)

    # 12. The large cells beside the bundle have the hashes and sizes that the rows give.
    with steps.take("附带的大字段内容与记录一致", "The large cells beside the bundle are those of the rows") as step:
        verify_blobs(bundle, find_blob, findings)
        step.outcome = Outcome.SKIPPED if findings.blobs_absent else Outcome.HOLDS
        step.found(*describe_blobs(findings))


def _examine_receipt(raw: bytes, policy: Policy, steps: Steps, findings: Findings) -> None:
    # 1. The file is one receipt, in its one encoding.
    with steps.take("文件是一份回执", "The file is one receipt"):
        receipt = parse_receipt(raw)
        findings.entry = parse_entry(receipt.entry)

    # 2. A log that the policy names has signed a checkpoint, and the entry is under it.
    with steps.take("条目在日志签名的检查点之下", "The entry is under a checkpoint that the log signed") as step:
        verified = verify_log(receipt, policy)
        findings.index, findings.checkpoint = verified.index, verified.checkpoint
        step.found(*describe_place(verified))

    # 3. The note in the entry is signed by whom it must be: a unit's key, or the log's operator.
    with steps.take("条目中的文书由应签者签署", "The note in the entry is signed by whom it must be") as step:
        note = parse_note(findings.entry.note)
        if findings.entry.kind == KIND_STATEMENT:
            statement = parse_statement(note.text)
            findings.statement, findings.digest = statement, statement_digest(note.text)
            findings.unit_key = verify_statement(note, statement, policy)
        else:
            verify_operator(note, verified.checkpoint, policy)
        step.found(note.signatures[0].name, note.signatures[0].name)

    # 4. Others held the checkpoint at a time that they themselves state.
    with steps.take("第三方证明了时间", "Others prove the time") as step:
        unit = "" if findings.statement is None else findings.statement.unit
        findings.times = find_times(verified, (), policy, unit, findings)
        judge_times(findings, step)

    # 5. The unit's key spoke for the unit at that time.
    if findings.unit_key is not None:
        with steps.take("当时该密钥有权代表该单位", "The key spoke for the unit at that time") as step:
            judge_standing(findings, step)
