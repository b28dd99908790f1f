# SPDX-License-Identifier: Apache-2.0
"""The two secrets of a source, and how they are sealed on their way between agent and center.

`row_secret[32]` makes siblings' content unguessable; `storage_key[32]` addresses the source's objects. The agent makes
them, deposits them at the center, and gets them back when it is enrolled again. On the way they are sealed twice: by
TLS, and by HPKE to the one who may open them, so that neither a proxy nor a log of requests ever holds them.

    sealed   HPKE(row_secret[32] ‖ storage_key[32]), base mode: enc[32] ‖ ciphertext[64] ‖ tag[16], 112 bytes
    info     `jinsuo/deposit@v1` or `jinsuo/recover@v1` LF origin LF unit LF source LF

`info` binds the box to its place: what was sealed for one source does not open for another. Draws randomness through
HPKE's key encapsulation, does no I/O. Source: RFC 9180, X25519 / HKDF-SHA256 / AES-256-GCM; design section 4, Secrets.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from evidence.errors import FormatError, SignatureError
from evidence.manifest.grammar import check_source_name, check_unit_name

SECRET_BYTES: Final = 32
SEALED_BYTES: Final = 32 + 2 * SECRET_BYTES + 16
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Direction(StrEnum):
    """Which way sealed secrets travel: from the agent to the center, or back to an agent enrolled again."""

    DEPOSIT = "deposit"
    RECOVER = "recover"


@dataclass(frozen=True, slots=True)
class SourceSecrets:
    """The secrets of a source, 32 bytes each. They last for the life of the source; `repr` does not show them."""

    row_secret: bytes
    storage_key: bytes

    def __post_init__(self) -> None:
        for name, value in (("row secret", self.row_secret), ("storage key", self.storage_key)):
            if len(value) != SECRET_BYTES:
                raise FormatError(f"the {name} of a source has {SECRET_BYTES} bytes, found {len(value)}")

    def __repr__(self) -> str:
        return "SourceSecrets(…)"

    def encode(self) -> bytes:
        """Write `row_secret[32] ‖ storage_key[32]`."""
        return self.row_secret + self.storage_key


def parse_secrets(raw: bytes) -> SourceSecrets:
    """Read what `SourceSecrets.encode` writes. Raises: FormatError."""
    if len(raw) != 2 * SECRET_BYTES:
        raise FormatError(f"the secrets of a source have {2 * SECRET_BYTES} bytes, found {len(raw)}")
    return SourceSecrets(raw[:SECRET_BYTES], raw[SECRET_BYTES:])


@dataclass(frozen=True, slots=True)
class SealedFor:
    """The place to which sealed secrets are bound."""

    direction: Direction
    origin: str
    unit: str
    source: str

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)

    @property
    def info(self) -> bytes:
        """Give HPKE's `info`."""
        return f"jinsuo/{self.direction}@v1\n{self.origin}\n{self.unit}\n{self.source}\n".encode()


def seal_secrets(secrets: SourceSecrets, place: SealedFor, public: bytes) -> bytes:
    """Seal `secrets` so that only the holder of the X25519 key `public[32]` can open them, and only for `place`.

    Raises: FormatError: `public` is not a usable X25519 key.
    """
    try:
        return _SUITE.encrypt(secrets.encode(), X25519PublicKey.from_public_bytes(public), info=place.info)
    except ValueError as err:
        raise FormatError(f"the sealing key {public.hex()} is not a usable X25519 key") from err


def open_secrets(sealed: bytes, place: SealedFor, private: X25519PrivateKey) -> SourceSecrets:
    """Open what `seal_secrets` made for `private` and `place`.

    Raises:
        FormatError: another size than 112 bytes.
        SignatureError: it was sealed to another key, for another place, or was altered.
    """
    if len(sealed) != SEALED_BYTES:
        raise FormatError(f"sealed secrets have {SEALED_BYTES} bytes, found {len(sealed)}")
    try:
        return parse_secrets(_SUITE.decrypt(sealed, private, info=place.info))
    except (InvalidTag, ValueError) as err:
        raise SignatureError(
            f"the sealed secrets of {place.unit}/{place.source} do not open: they were sealed to another key or altered"
        ) from err
