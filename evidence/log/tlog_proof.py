# SPDX-License-Identifier: Apache-2.0
"""tlog-proofs: an entry's place, its inclusion path and the checkpoint that it leads to, in one text. Pure.

    c2sp.org/tlog-proof@v1 LF  [extra <base64> LF]  index <decimal> LF  (base64(hash[32]) LF)*  LF  checkpoint, verbatim

Hashes go from the leaf to the root, at most 63. The *first* empty line ends the head; the checkpoint, a signed note,
has its own. A proof has one spelling. Nothing is verified by reading. Source: C2SP tlog-proof.
"""

from dataclasses import dataclass
from typing import Final

from evidence.digest import HASH_SIZE, Sha256
from evidence.encode import encode_base64, parse_base64, parse_decimal
from evidence.errors import FormatError, LimitError
from evidence.log.tiles import MAX_TREE_SIZE
from evidence.note.signed import MAX_NOTE_BYTES, parse_note

MAX_HASHES: Final = 63
MAX_EXTRA_BYTES: Final = 65_535
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + (1 << 17)
_HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A path and the checkpoint's note as bytes. `extra` is what its maker adds; Jinsuo writes none."""

    index: int
    hashes: tuple[Sha256, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_TREE_SIZE:
            raise FormatError(f"a tlog-proof's index is 0 to {MAX_TREE_SIZE}, found {self.index}")
        if len(self.hashes) > MAX_HASHES:
            raise LimitError(f"a tlog-proof has {len(self.hashes)} hashes; at most {MAX_HASHES} are read")
        if any(len(value) != HASH_SIZE for value in self.hashes):
            raise FormatError("every hash of a tlog-proof has 32 bytes")
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise LimitError(f"a tlog-proof's extra data has 1 to {MAX_EXTRA_BYTES} bytes, found {len(self.extra)}")
        parse_note(self.checkpoint)

    def encode(self) -> bytes:
        """Write the proof."""
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(encode_base64, self.hashes)
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint


def parse_tlog_proof(raw: bytes) -> TlogProof:
    """Read a tlog-proof strictly. Raises: FormatError, LimitError."""
    what = "a tlog-proof"
    if len(raw) > MAX_PROOF_BYTES:
        raise LimitError(f"{what} of {len(raw)} bytes is over the bound of {MAX_PROOF_BYTES}")
    head, empty_line, checkpoint = raw.partition(b"\n\n")
    if not empty_line or not head.isascii():
        raise FormatError(f"{what} is ASCII lines, an empty line and a checkpoint")
    lines = head.decode("ascii").split("\n")
    if lines.pop(0) != _HEADER:
        raise FormatError(f"{what} starts with the line {_HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "), f"the extra data of {what}")
    if not lines or not lines[0].startswith("index "):
        raise FormatError(f"{what} must have a line that starts with 'index '")
    index = parse_decimal(lines.pop(0).removeprefix("index "), f"the index of {what}", MAX_TREE_SIZE)
    if len(lines) > MAX_HASHES:
        raise LimitError(f"{what} has {len(lines)} hashes; at most {MAX_HASHES} are read")
    hashes = tuple(Sha256(parse_base64(line, f"a hash of {what}", HASH_SIZE)) for line in lines)
    proof = TlogProof(index, hashes, checkpoint, extra)
    if proof.encode() != raw:
        raise FormatError(f"{what} is not in its one form")
    return proof
