# SPDX-License-Identifier: Apache-2.0
"""Public keys of signed notes: their names, ids and texts. Pure.

keyID = SHA-256(name ‖ 0x0A ‖ type u8 ‖ public key)[0:4]; vkey = `name+hex(keyID)+base64(type u8 ‖ public key)`.
Source: C2SP signed-note 1.0.0. Types that are not listed here are unknown to us, and lines by them are ignored.
"""

import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence.digest import sha256
from evidence.encode import encode_base64, parse_base64, parse_hex
from evidence.errors import FormatError, SignatureError, UnsupportedError

MAX_NAME_BYTES = 255
_P: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _ORDER_8, _P - _ORDER_8, _P - 1, _P, _P + 1})
"""The y of the points whose multiples are eight at most, as RFC 8032 and laxer readers would take them."""


class KeyType(IntEnum):
    """What a key's signatures mean: 1 Ed25519 over a note's text, 4 Ed25519 over a timed cosignature."""

    ED25519 = 1
    COSIGNATURE = 4


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key with the name under which it signs; `public` is 32 bytes."""

    name: str
    kind: KeyType
    public: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public) != 32:
            raise FormatError(f"an Ed25519 public key has 32 bytes, the one of {self.name} has {len(self.public)}")
        if int.from_bytes(self.public, "little") & ~(1 << 255) in _SMALL_ORDER:
            # Nobody has to know a secret for such a key: who enrolled it could disown all that it has signed.
            raise FormatError(f"the public key of {self.name} is of small order: anybody can sign in its name")

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before this key's signatures."""
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public)[:4]

    @property
    def vkey(self) -> str:
        """The key as one line of text."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes((self.kind,)) + self.public)}"

    def renamed(self, name: str) -> "VerificationKey":
        """Give the same key under another name (a unit's key signs for each of its sources)."""
        return VerificationKey(name, self.kind, self.public)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises: SignatureError unless `signature[64]` is this key's over `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError) as err:
            raise SignatureError(f"the signature by {self.name} ({self.key_id.hex()}) does not verify") from err


def parse_vkey(text: str) -> VerificationKey:
    """Read a vkey line.

    Raises:
        FormatError: not of the grammar, or the id is not the one that the key has.
        UnsupportedError: the type is none that we know.
    """
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise FormatError(f"a verifier key looks like name+id+key, found {text!r:.80}")
    name, key_id, encoded = parts
    check_key_name(name)
    raw = parse_base64(encoded, f"the key of {name}")
    if not raw or raw[0] not in (KeyType.ED25519, KeyType.COSIGNATURE):
        raise UnsupportedError(f"the key of {name} has a type that this version does not know; update Jinsuo")
    key = VerificationKey(name, KeyType(raw[0]), raw[1:])
    if parse_hex(key_id, f"the key id of {name}", 4) != key.key_id:
        raise FormatError(f"the key of {name} has the id {key.key_id.hex()}, but its text says {key_id}")
    return key


def check_key_name(name: str) -> None:
    """Raises: FormatError unless `name` is non-empty and free of spaces, controls and `+`."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise FormatError(f"a key name has 1 to {MAX_NAME_BYTES} bytes, found {name!r:.80}")
    if any(c == "+" or c.isspace() or unicodedata.category(c) in ("Cc", "Cs", "Zs", "Zl", "Zp") for c in name):
        raise FormatError(f"a key name has no spaces, controls or '+', found {name!r:.80}")
