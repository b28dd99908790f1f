# SPDX-License-Identifier: Apache-2.0
"""Receipts: a leaf of the log and the proof that a published checkpoint covers it. Pure.

    JCS {"entry":base64,"format":"jinsuo/receipt@v1","proof":text of a C2SP tlog-proof}

Reading verifies nothing; `verify_receipt` does, against the log's key. Who else has cosigned the checkpoint, and since
when, is the policy's business (`evidence.verify`). Source: formats.md; C2SP tlog-proof; RFC 9162 section 2.1.3.
"""

from dataclasses import dataclass
from typing import Final

from evidence.digest import leaf_hash
from evidence.encode import Json, encode_base64, encode_json, expect_text, parse_base64, parse_json, parse_members
from evidence.errors import FormatError, LimitError
from evidence.keys.key import VerificationKey
from evidence.log.checkpoint import Checkpoint, verify_checkpoint
from evidence.log.merkle import verify_inclusion
from evidence.log.tlog_proof import TlogProof, parse_tlog_proof
from evidence.manifest.entry import MAX_ENTRY_BYTES, Entry, parse_entry
from evidence.note.signed import Note, parse_note

FORMAT: Final = "jinsuo/receipt@v1"
MAX_RECEIPT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Receipt:
    """An entry's bytes and its proof. Nothing is verified yet."""

    entry: bytes
    proof: TlogProof

    def __post_init__(self) -> None:
        if self.proof.extra is not None:
            raise FormatError("the proof of a receipt has no extra data: nobody would have signed it")

    def to_json(self) -> dict[str, Json]:
        """Give the receipt as JSON, as it stands in a bundle."""
        return {"entry": encode_base64(self.entry), "format": FORMAT, "proof": self.proof.encode().decode()}

    def encode(self) -> bytes:
        """Write the receipt."""
        return encode_json(self.to_json())


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """An entry that stands at `index` in the log, by the log's own signature on `checkpoint`.

    `note` is the checkpoint's note with whatever cosignatures it carries; those are not verified yet.
    """

    entry: Entry
    entry_bytes: bytes
    index: int
    checkpoint: Checkpoint
    note: Note


def parse_receipt(raw: bytes) -> Receipt:
    """Read a receipt. Raises: FormatError, LimitError."""
    if len(raw) > MAX_RECEIPT_BYTES:
        raise LimitError(f"a receipt of {len(raw)} bytes is over the bound of {MAX_RECEIPT_BYTES}")
    return read_receipt(parse_json(raw, "a receipt"))


def read_receipt(value: Json) -> Receipt:
    """Read a receipt from JSON that has been parsed strictly. Raises: FormatError, LimitError."""
    members = parse_members(value, "a receipt", {"entry", "format", "proof"})
    if members["format"] != FORMAT:
        raise FormatError(f"a receipt's format must be {FORMAT}, found {members['format']!r:.60}")
    entry = parse_base64(expect_text(members["entry"], "a receipt's entry"), "a receipt's entry")
    if len(entry) > MAX_ENTRY_BYTES:
        raise LimitError(f"a receipt's entry has {len(entry)} bytes; at most {MAX_ENTRY_BYTES} fit into the log")
    return Receipt(entry, parse_tlog_proof(expect_text(members["proof"], "a receipt's proof").encode()))


def verify_receipt(receipt: Receipt, log_key: VerificationKey) -> VerifiedReceipt:
    """Verify that the log with `log_key` holds the entry, under the checkpoint that the receipt carries.

    Raises:
        UnknownSignerError: the checkpoint is not signed by `log_key`.
        SignatureError: the log's signature does not verify.
        ProofError: the entry is not under the checkpoint.
        FormatError: entry or checkpoint do not follow their grammar.
    """
    note = parse_note(receipt.proof.checkpoint)
    checkpoint = verify_checkpoint(note, log_key)
    verify_inclusion(
        leaf_hash(receipt.entry), receipt.proof.index, checkpoint.size, receipt.proof.hashes, checkpoint.root
    )
    return VerifiedReceipt(parse_entry(receipt.entry), receipt.entry, receipt.proof.index, checkpoint, note)
