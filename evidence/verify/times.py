# SPDX-License-Identifier: Apache-2.0
"""Since when: what proves that others held the checkpoint at a time, and whether the unit's key spoke then. Pure.

The proven time is the earliest of: the moment when a quorum of the policy's witnesses had cosigned; the time of a token
by an authority whose root the policy names. `received` is the center's word and proves nothing.
Source: design section 5.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from evidence.digest import sha256
from evidence.encode import encode_time
from evidence.errors import (
    ProofError,
    SignatureError,
    UnknownSignerError,
)
from evidence.keys.trust import Standing
from evidence.manifest.receipt import VerifiedReceipt
from evidence.note.cosign import Cosignature, verify_cosignatures
from evidence.note.signed import Note
from evidence.timestamp.rfc3161 import Timestamp, is_about, parse_certificate, verify_token
from evidence.verify.bundle import BundleTimestamp
from evidence.verify.findings import Findings, TimeProof
from evidence.verify.policy import Policy
from evidence.verify.report import Message, format_bound
from evidence.verify.steps import OpenStep

_LAST_SECOND: Final = 253_402_300_799  # of the year 9999


def find_times(
    receipt: VerifiedReceipt,
    timestamps: Iterable[BundleTimestamp],
    policy: Policy,
    unit: str,
    findings: Findings,
) -> list[TimeProof]:
    """Give what proves that the checkpoint existed by some time, earliest first.

    Raises: SignatureError if the proof of a signer that the policy names is false.
    """
    cosignatures = verify_cosignatures(receipt.note, (witness.key for witness in policy.witnesses))
    times: list[TimeProof] = []
    unix_s = policy.quorum_time((c for c in cosignatures if _is_calendar_time(c)), except_key_name=unit)
    if unix_s is not None:
        # Who cosigned later says nothing of this time, and must not seem to.
        by_then = (c.key.name for c in cosignatures if 0 < c.unix_s <= unix_s and c.key.name != unit)
        names = ", ".join(dict.fromkeys(by_then))
        times.append(TimeProof(datetime.fromtimestamp(unix_s, UTC), Message(f"见证：{names}", f"cosigned by {names}")))
    for timestamp in timestamps:
        try:
            proven = _verify_timestamp(timestamp, receipt.note, policy)
        except UnknownSignerError as err:
            findings.unknown_authorities.append(str(err))
            continue
        findings.revocation_unchecked |= not proven.revocation_checked
        by = Message(f"时间戳机构 {proven.authority}", f"time-stamped by {proven.authority}")
        times.append(TimeProof(proven.latest, by))
    return sorted(times, key=lambda time: time.moment)


def _is_calendar_time(cosignature: Cosignature) -> bool:
    return cosignature.unix_s <= _LAST_SECOND


def _verify_timestamp(timestamp: BundleTimestamp, note: Note, policy: Policy) -> Timestamp:
    """Verify a token over the checkpoint as it stood at some time: with the first k of its signature lines.

    Cosignatures are added below, so the checkpoint that was stamped may have had fewer.
    """
    brought = [der for der in timestamp.certificates if sha256(der) in policy.root_hashes]
    roots = [*policy.roots, *(parse_certificate(der) for der in brought)]
    if not roots:
        raise UnknownSignerError("the policy names no time-stamp authority")
    for count in range(len(note.signatures), 0, -1):
        stamped = Note(note.text, note.signatures[:count]).encode()
        if is_about(timestamp.token, stamped):
            return verify_token(timestamp.token, stamped, roots, timestamp.certificates, timestamp.revocation)
    raise ProofError("a time-stamp token is about another checkpoint")


def judge_times(findings: Findings, step: OpenStep) -> None:
    """Record the proven time, or that there is none."""
    if findings.times:
        first = findings.times[0]
        step.found(
            f"不晚于 {format_bound(first.moment)}（{first.by.zh}）",
            f"not later than {format_bound(first.moment)} ({first.by.en})",
        )
        return
    step.unsure(
        "没有达到策略要求的见证签名，也没有时间戳：仅凭中心自己的说法",
        "no quorum of cosignatures as the policy asks, and no time stamp: on the center's word alone",
    )


def judge_standing(findings: Findings, step: OpenStep) -> None:
    """Judge the unit's key at the proven time. Raises: SignatureError if it did not speak for the unit."""
    assert findings.unit_key is not None and findings.entry is not None
    key, received = findings.unit_key, findings.entry.received
    proven = findings.times[0].moment if findings.times else None
    standing = key.standing(received, proven)
    if standing is Standing.INVALID:
        if proven is not None and key.since is not None and proven < key.since <= received:
            raise SignatureError(
                f"others state that it existed at {encode_time(proven)}; the key of unit {key.unit} that signed it began at"
                f" {encode_time(key.since)}"
            )
        raise SignatureError(
            f"the key did not speak for unit {key.unit} when the center received this, {encode_time(received)}"
        )
    if standing is Standing.UNPROVEN:
        findings.key_unproven = True
        step.unsure(
            "该密钥已停用，而签名早于停用一事只有中心的说法",
            "the key has ended since, and only the center says that it signed before",
        )
