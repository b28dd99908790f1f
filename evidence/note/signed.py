# SPDX-License-Identifier: Apache-2.0
"""Signed notes: a text with signatures under it. Pure; one note has one encoding.

    text (ends in LF) ‖ LF ‖ one or more lines `— <name> <base64(keyID[4] ‖ signature)>` LF

The text ends at the *last* empty line. Bytes: UTF-8, none below 0x20 but LF. Source: C2SP signed-note 1.0.0.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from evidence.encode import encode_base64, parse_base64
from evidence.errors import FormatError, LimitError, SignatureError, UnknownSignerError
from evidence.keys.key import KeyType, VerificationKey, check_key_name
from evidence.keys.signer import Signer

MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100
_PREFIX = "— "


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One line under a note: who, the key's id[4], and what follows the id (64 bytes for Ed25519)."""

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> str:
        """Write the line, with its LF."""
        return f"{_PREFIX}{self.name} {encode_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note; nothing is verified by parsing. `text` ends in LF and is what is signed."""

    text: bytes
    signatures: tuple[SignatureLine, ...]

    def encode(self) -> bytes:
        """Write the note."""
        return self.text + b"\n" + "".join(line.encode() for line in self.signatures).encode()

    def with_signatures(self, lines: Iterable[SignatureLine]) -> "Note":
        """Give the note with `lines` added below, without those that it has already."""
        added = tuple(line for line in lines if line not in self.signatures)
        return Note(self.text, self.signatures + added)


def parse_note(raw: bytes, max_bytes: int = MAX_NOTE_BYTES) -> Note:
    """Read a note strictly.

    Raises:
        LimitError: over `max_bytes`, or over 100 signatures.
        FormatError: anything else that is not the one encoding of a note.
    """
    if len(raw) > max_bytes:
        raise LimitError(f"a note of {len(raw)} bytes is over the bound of {max_bytes}")
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise FormatError(f"a note must be UTF-8: byte {err.start} is not") from err
    if any(c < " " and c != "\n" for c in content):
        raise FormatError("a note has no control characters but line ends")
    text, separator, tail = content.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise FormatError("a note is a text, an empty line and signature lines, each ending in a line end")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise LimitError(f"a note has {len(lines)} signature lines; at most {MAX_SIGNATURES} are read")
    return Note((text + "\n").encode(), tuple(_parse_line(line) for line in lines))


def sign_note(text: bytes, signers: Sequence[Signer], max_bytes: int = MAX_NOTE_BYTES) -> Note:
    """Sign `text` (which must end in LF) by every one of `signers`, Ed25519 over the text. Raises: as `parse_note`."""
    if not text.endswith(b"\n") or not signers:
        raise FormatError("a note's text ends in a line end and has at least one signer")
    lines = tuple(SignatureLine(s.key.name, s.key.key_id, s.sign(text)) for s in signers)
    note = Note(text, lines)
    if parse_note(note.encode(), max_bytes) != note:
        raise FormatError("the text cannot be a note: it has control characters or is not UTF-8")
    return note


def verify_note(note: Note, keys: Iterable[VerificationKey]) -> tuple[VerificationKey, ...]:
    """Give those of the Ed25519 `keys` that signed the note, at least one.

    Lines by unknown (name, id) are ignored; cosignatures are `evidence.note.cosign`'s business.

    Raises:
        SignatureError: a line by a known key does not verify, or a known key stands twice.
        UnknownSignerError: no line is by a known key.
    """
    known = group_by_id(key for key in keys if key.kind is KeyType.ED25519)
    found: list[VerificationKey] = []
    for line in note.signatures:
        named = known.get((line.name, line.key_id))
        if named is None:
            continue
        key = _find_signer(line, named, note.text)
        if key in found:
            raise SignatureError(f"the note carries two signatures by {key.name}")
        found.append(key)
    if not found:
        names = ", ".join(sorted({line.name for line in note.signatures}))
        raise UnknownSignerError(f"the note is signed by {names}, none of whom is a known key")
    return tuple(found)


def group_by_id(keys: Iterable[VerificationKey]) -> dict[tuple[str, bytes], list[VerificationKey]]:
    """Give the keys that a line's name and key id may mean.

    Mostly one; but an id has 32 bits, and whoever makes keys can make two with the same: neither may hide the other.
    """
    grouped: dict[tuple[str, bytes], list[VerificationKey]] = {}
    for key in dict.fromkeys(keys):
        grouped.setdefault((key.name, key.key_id), []).append(key)
    return grouped


def _find_signer(line: SignatureLine, named: Sequence[VerificationKey], text: bytes) -> VerificationKey:
    """Raises: SignatureError if none of the keys that the line may mean has signed."""
    for key in named[:-1]:
        with suppress(SignatureError):
            key.verify(line.signature, text)
            return key
    named[-1].verify(line.signature, text)
    return named[-1]


def _parse_line(line: str) -> SignatureLine:
    name, space, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not space:
        raise FormatError(f"a signature line looks like '— name base64', found {line!r:.80}")
    check_key_name(name)
    raw = parse_base64(encoded, f"the signature by {name}")
    if len(raw) < 5:
        raise FormatError(f"the signature by {name} has {len(raw)} bytes, too few for a key id and a signature")
    return SignatureLine(name, raw[:4], raw[4:])
