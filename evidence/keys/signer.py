# SPDX-License-Identifier: Apache-2.0
"""Private keys: making them, finding them by URI, signing with them. Reads and writes key files, no clock.

A key is named by a URI, so that a token in hardware can take a file's place without touching callers:
`file:PATH` is a PKCS#8 PEM file that only its owner may read. Invariant: a private key is written once, durably,
and never overwritten. Source: RFC 8410 (Ed25519 in PKCS#8).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from evidence.disk import write_new
from evidence.errors import EvidenceError, FormatError
from evidence.keys.key import KeyType, VerificationKey


class Signer(Protocol):
    """Sign as one key. Thread-safe."""

    @property
    def key(self) -> VerificationKey:
        """The key that verifies what this signer signs."""

    def sign(self, message: bytes) -> bytes:
        """Give the 64-byte Ed25519 signature over `message`."""


class Ed25519Signer:
    """Sign with a private key held in memory."""

    def __init__(self, name: str, kind: KeyType, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._key = VerificationKey(name, kind, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def from_seed(cls, name: str, kind: KeyType, seed: bytes) -> "Ed25519Signer":
        """Make a signer from a 32-byte seed."""
        return cls(name, kind, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def key(self) -> VerificationKey:
        """The key that verifies what this signer signs."""
        return self._key

    def renamed(self, name: str) -> "Ed25519Signer":
        """Sign with the same private key under another name."""
        return Ed25519Signer(name, self._key.kind, self._private)

    def sign(self, message: bytes) -> bytes:
        """Give the 64-byte Ed25519 signature over `message`."""
        return self._private.sign(message)


def create_key_file(path: Path) -> None:
    """Make a new Ed25519 key in the file `path`, readable by its owner only.

    Raises: FileExistsError; a key is never overwritten.
    """
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if not write_new(path, pem, mode=0o600):
        raise FileExistsError(f"the key file {path} exists; a key is never overwritten")


def open_signer(uri: str, name: str, kind: KeyType) -> Ed25519Signer:
    """Open the key that `uri` names, to sign as `name`.

    Raises:
        EvidenceError: no such scheme or key; the message says what to do.
        FormatError: the file is not an Ed25519 key.
    """
    scheme, _, rest = uri.partition(":")
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise EvidenceError(f"the key {uri} has no scheme that we know; use one of {sorted(_OPENERS)}, as file:PATH")
    return Ed25519Signer(name, kind, opener(rest))


def _open_file(path: str) -> Ed25519PrivateKey:
    try:
        private = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as err:
        raise EvidenceError(f"the key file {path} cannot be read: {err.strerror}; restore it from the backup") from err
    except (ValueError, TypeError) as err:
        raise FormatError(f"the key file {path} is not a PKCS#8 PEM key; restore it from the backup") from err
    if not isinstance(private, Ed25519PrivateKey):
        raise FormatError(f"the key file {path} holds another kind of key than Ed25519")
    return private


_OPENERS: dict[str, Callable[[str], Ed25519PrivateKey]] = {"file": _open_file}
