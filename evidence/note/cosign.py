# SPDX-License-Identifier: Apache-2.0
r"""Witness cosignatures: a second key's word that it saw a checkpoint at a time. Pure; the time is an argument.

    message   `cosignature/v1\ntime <unix seconds>\n` ‖ the whole note text
    blob      keyID[4] ‖ time u64be ‖ Ed25519 signature[64]

Source: C2SP tlog-cosignature 1.0.1. A cosigner's key has type 04.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from evidence.errors import FormatError, SignatureError
from evidence.keys.key import KeyType, VerificationKey
from evidence.keys.signer import Signer
from evidence.note.signed import Note, SignatureLine, group_by_id

_BLOB_BYTES = 8 + 64


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: by whom, and the cosigner's clock in Unix seconds."""

    key: VerificationKey
    unix_s: int


def cosign(text: bytes, signer: Signer, unix_s: int) -> SignatureLine:
    """Cosign a checkpoint's note text at `unix_s` by a key of type 04.

    The caller has checked that the checkpoint continues the last one it cosigned, and has stored it durably.
    """
    if signer.key.kind is not KeyType.COSIGNATURE:
        raise FormatError(f"{signer.key.name} is not a cosigner's key")
    return SignatureLine(
        signer.key.name, signer.key.key_id, unix_s.to_bytes(8, "big") + signer.sign(_message(text, unix_s))
    )


def claimed_unix_s(line: SignatureLine) -> int:
    """Give the time that a cosignature states; nothing is verified. What is too short for one states 0."""
    return int.from_bytes(line.signature[:8], "big") if len(line.signature) == _BLOB_BYTES else 0


def verify_cosignature(text: bytes, line: SignatureLine, key: VerificationKey) -> Cosignature:
    """Verify one line by `key`. Raises: SignatureError."""
    if key.kind is not KeyType.COSIGNATURE or (line.name, line.key_id) != (key.name, key.key_id):
        raise SignatureError(f"the line is by {line.name} ({line.key_id.hex()}), not by {key.name}")
    if len(line.signature) != _BLOB_BYTES:
        raise SignatureError(f"a cosignature has {_BLOB_BYTES} bytes, the one by {key.name} has {len(line.signature)}")
    unix_s = int.from_bytes(line.signature[:8], "big")
    key.verify(line.signature[8:], _message(text, unix_s))
    return Cosignature(key, unix_s)


def verify_cosignatures(note: Note, keys: Iterable[VerificationKey]) -> tuple[Cosignature, ...]:
    """Give the cosignatures of `note` by those of `keys` that signed it; maybe none, one line per key.

    Raises: SignatureError if a line by a known key does not verify, or one key has two lines.
    """
    known = group_by_id(key for key in keys if key.kind is KeyType.COSIGNATURE)
    found: dict[VerificationKey, Cosignature] = {}
    for line in note.signatures:
        named = known.get((line.name, line.key_id))
        if named is None:
            continue
        cosignature = _find_cosignature(note.text, line, named)
        if cosignature.key in found:
            raise SignatureError(f"the note carries two cosignatures by {cosignature.key.name}")
        found[cosignature.key] = cosignature
    return tuple(found.values())


def _find_cosignature(text: bytes, line: SignatureLine, named: Sequence[VerificationKey]) -> Cosignature:
    """Raises: SignatureError if none of the keys that the line may mean has cosigned."""
    for key in named[:-1]:
        with suppress(SignatureError):
            return verify_cosignature(text, line, key)
    return verify_cosignature(text, line, named[-1])


def _message(text: bytes, unix_s: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % unix_s + text
