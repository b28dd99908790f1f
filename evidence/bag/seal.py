# SPDX-License-Identifier: Apache-2.0
"""How a bag is sealed to the center: a data key for the bag, and packs sealed frame by frame under it. Draws randomness.

    data key   32 random bytes, for one bag
    sealed     HPKE(data key), base mode, to the center's sealing key: enc[32] ‖ ciphertext[32] ‖ tag[16], 80 bytes
    info       `jinsuo/bag-key@v1` LF origin LF unit LF source LF bag id LF
    pack       the same frames in the same order, each with codec + 4 (`evidence.objects.pack.seal_frame`)

Unsealing gives the pack back byte for byte, so it has its name again, and is the same pack as one that came by a line.
What stays readable of a sealed pack: kinds, keyed ids and sizes of its objects. Nonces are random: 2^31 frames at most
lie under one key. Source: design section 4; RFC 9180, X25519 / HKDF-SHA256 / AES-256-GCM.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from evidence.errors import FormatError, SignatureError
from evidence.objects.pack import MAGIC, MAX_SEALED_PACK_BYTES, read_frames, seal_frame, unseal_frame

DATA_KEY_BYTES: Final = 32
SEALED_KEY_BYTES: Final = 32 + DATA_KEY_BYTES + 16
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class BagPlace:
    """The bag to which a data key is bound: `bag` is its id, 32 hex digits."""

    origin: str
    unit: str
    source: str
    bag: str

    @property
    def info(self) -> bytes:
        """Give HPKE's `info`."""
        return f"jinsuo/bag-key@v1\n{self.origin}\n{self.unit}\n{self.source}\n{self.bag}\n".encode()


def make_data_key() -> bytes:
    """Make the data key of a new bag."""
    return os.urandom(DATA_KEY_BYTES)


def seal_key(data_key: bytes, place: BagPlace, public: bytes) -> bytes:
    """Seal a data key so that only the holder of the X25519 key `public[32]` can open it, and only for `place`.

    Raises: FormatError: `public` is not a usable X25519 key.
    """
    try:
        return _SUITE.encrypt(data_key, X25519PublicKey.from_public_bytes(public), info=place.info)
    except ValueError as err:
        raise FormatError(f"the sealing key {public.hex()} is not a usable X25519 key") from err


def open_key(sealed: bytes, place: BagPlace, private: X25519PrivateKey) -> bytes:
    """Open what `seal_key` made for `private` and `place`.

    Raises:
        FormatError: another size than 80 bytes.
        SignatureError: it was sealed to another key, for another bag, or was altered.
    """
    if len(sealed) != SEALED_KEY_BYTES:
        raise FormatError(f"a bag's sealed key has {SEALED_KEY_BYTES} bytes, found {len(sealed)}")
    try:
        return _SUITE.decrypt(sealed, private, info=place.info)
    except (InvalidTag, ValueError) as err:
        raise SignatureError(
            f"the key of bag {place.bag} of {place.unit}/{place.source} does not open: it was sealed to another key or"
            " altered"
        ) from err


def seal_pack(parts: Iterable[bytes], data_key: bytes) -> Iterator[bytes]:
    """Seal a pack whose bytes come in `parts`; the sealed one's bytes come out as they are made, a frame at a time.

    Raises: FormatError, LimitError, as `read_frames`; also if a frame is sealed already.
    """
    yield MAGIC
    for frame in read_frames(parts):
        yield seal_frame(frame, data_key).encode()


def unseal_pack(parts: Iterable[bytes], data_key: bytes) -> Iterator[bytes]:
    """Give back the bytes of a pack that `seal_pack` sealed; memory: one frame and one part.

    Raises: FormatError, LimitError: damaged, not sealed, or sealed under another key.
    """
    yield MAGIC
    for frame in read_frames(parts, max_bytes=MAX_SEALED_PACK_BYTES):
        yield unseal_frame(frame, data_key).encode()
