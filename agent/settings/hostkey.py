# SPDX-License-Identifier: Apache-2.0
"""The host key that an SSH server must hold: a fingerprint, or the key itself as known_hosts writes it. Pure.

A fingerprint does not say which of its keys a server should show, so it shows the one that both prefer: Ed25519 where it
has one. A line says it. Source: RFC 4253 section 6.6; sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_PROVEN_WITH: Final = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""What a key of each kind may prove itself with; SHA-1 is not among them."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """The pin. `algorithms`: what the server may prove its key with; empty: whatever both prefer."""

    fingerprint: str
    algorithms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.fingerprint

    def fits(self, raw: bytes) -> bool:
        """Tell whether the key with this encoding is the pinned one."""
        return hmac.compare_digest(_fingerprint(raw).encode(), self.fingerprint.encode())


def parse_host_key(text: str) -> HostKey:
    """Read `SHA256:…`, or a line `[hosts] kind key [comment]`. Raises: ValueError."""
    if _FINGERPRINT.fullmatch(text):
        return HostKey(text)
    words = text.split()
    at = next((i for i, word in enumerate(words[:2]) if word in _PROVEN_WITH), None)
    if at is None or len(words) < at + 2:
        raise ValueError("neither a fingerprint nor the line of a key")
    kind = words[at]
    try:
        raw = b64decode(words[at + 1], validate=True)
    except binascii.Error as err:
        raise ValueError(str(err)) from err
    if not raw.startswith(len(kind).to_bytes(4, "big") + kind.encode()) or len(raw) < 40:
        raise ValueError(f"the key is none of the kind {kind}")
    return HostKey(_fingerprint(raw), _PROVEN_WITH[kind])


def _fingerprint(raw: bytes) -> str:
    return "SHA256:" + b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
