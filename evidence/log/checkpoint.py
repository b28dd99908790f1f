# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one log's word on its size and root, as the text of a signed note. Pure.

    origin LF  size (decimal) LF  base64(root[32]) LF

No extension lines; the origin is the name of the log's key; size 0 has the root SHA-256(""). A checkpoint has one
spelling. Source: C2SP tlog-checkpoint 1.0.0.
"""

from dataclasses import dataclass

from evidence.digest import EMPTY_ROOT, HASH_SIZE, Sha256
from evidence.encode import encode_base64, parse_base64, parse_decimal
from evidence.errors import FormatError, SignatureError
from evidence.keys.key import VerificationKey, check_key_name
from evidence.keys.signer import Signer
from evidence.log.tiles import MAX_TREE_SIZE
from evidence.note.signed import Note, sign_note, verify_note


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's origin, its number of entries, and the root over them."""

    origin: str
    size: int
    root: Sha256

    def __post_init__(self) -> None:
        check_key_name(self.origin)
        if not 0 <= self.size <= MAX_TREE_SIZE or len(self.root) != HASH_SIZE:
            raise FormatError(f"a checkpoint has a size of 0 to {MAX_TREE_SIZE} and a root of 32 bytes, found {self!r}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise FormatError(f"a checkpoint of size 0 has the root {EMPTY_ROOT.hex()}, found {self.root.hex()}")

    def encode(self) -> bytes:
        """Write the text."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read a checkpoint's text strictly. Raises: FormatError."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as err:
        raise FormatError(f"a checkpoint must be UTF-8: byte {err.start} is not") from err
    if len(lines) != 4 or lines[3]:
        raise FormatError(f"a checkpoint has three lines (origin, size, root), found {len(lines) - 1}")
    size = parse_decimal(lines[1], "a checkpoint's size", MAX_TREE_SIZE)
    return Checkpoint(lines[0], size, Sha256(parse_base64(lines[2], "a checkpoint's root", HASH_SIZE)))


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> Note:
    """Sign a checkpoint by its log's key. The caller has made sure that no other one of its size was ever signed."""
    if signer.key.name != checkpoint.origin:
        raise FormatError(f"the key {signer.key.name} cannot sign for the log {checkpoint.origin}")
    return sign_note(checkpoint.encode(), [signer])


def verify_checkpoint(note: Note, log_key: VerificationKey) -> Checkpoint:
    """Give the checkpoint that the log with `log_key` signed; cosignatures are `evidence.note.cosign`'s business.

    Raises:
        UnknownSignerError: not signed by `log_key`.
        SignatureError: its signature does not verify, or it has signed for another log.
        FormatError: the text is not a checkpoint.
    """
    verify_note(note, [log_key])
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != log_key.name:
        raise SignatureError(f"the checkpoint is for the log {checkpoint.origin}, but signed by {log_key.name}")
    return checkpoint
