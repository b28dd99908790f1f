# SPDX-License-Identifier: Apache-2.0
"""TLS to one known key: the other end is who the enrolment code names, or not a byte of ours is sent.

The pin is the SHA-256 of the center's public key (SubjectPublicKeyInfo), or its first 16 bytes as an enrolment code
has them. It is compared after every handshake, before anything is sent: TLS 1.3 has then proven that the other end
holds the private key. Names, issuers and dates in the certificate say nothing that the pin does not say better, so
they are not looked at: a certificate renewed with the same key is fine, and an agent whose clock is off by a year still
finds its center. Invariant: whichever way TLS is used, over a socket or over bytes that somebody else carries, a
handshake ends with the comparison. Source: RFC 8446 section 4.4.3; RFC 7469 section 2.4 (what is hashed).
"""

import socket
import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import PinError
from evidence.digest import Sha256, sha256
from terminal.language import Text


class _PinnedObject(ssl.SSLObject):
    """TLS without a socket, whose handshake ends with the comparison."""

    def do_handshake(self) -> None:
        """Shake hands as far as there are bytes to. Raises: PinError, ssl.SSLWantReadError, OSError."""
        super().do_handshake()
        context = self.context
        assert isinstance(context, PinnedContext)
        context.check_peer(self.getpeercert(binary_form=True))


class PinnedContext(ssl.SSLContext):
    """A client's TLS context that accepts one public key. Attribute `pin`: 32 bytes, or the first 16."""

    pin: bytes
    peer: Sha256 | None

    def __new__(cls, pin: bytes) -> "PinnedContext":
        """Make the context: TLS 1.3, no certificate authorities."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the pin decides, in wrap_socket
        context.pin = pin
        context.peer = None
        context.sslobject_class = _PinnedObject
        return context

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:  # Any: as the base class
        """Shake hands, and compare the peer's key with the pin. Raises: PinError, OSError."""
        wrapped = super().wrap_socket(sock, *args, **options)
        try:
            self.check_peer(wrapped.getpeercert(binary_form=True))
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def check_peer(self, certificate: bytes | None) -> None:
        """Compare the key in the certificate that the peer has shown, and keep its digest. Raises: PinError."""
        found = Sha256(b"") if certificate is None else spki_sha256(certificate)
        if len(self.pin) not in (16, 32) or found[: len(self.pin)] != self.pin:
            raise PinError(
                Text(
                    zh=f"对方的 TLS 公钥是 {found.hex()[:32]}，登记码指明的是 {self.pin.hex()[:32]}；没有向它发送任何内容",
                    en=f"the other end holds the TLS key {found.hex()[:32]}, but the enrolment code names "
                    f"{self.pin.hex()[:32]}; nothing was sent to it",
                ),
                hint=Text(
                    zh="线路上可能有人窃听，或地址有误：不要继续，打电话给档案馆",
                    en="somebody may be listening on the line, or the address is wrong: do not go on, call the archives",
                ),
            )
        self.peer = found


def spki_sha256(certificate: bytes) -> Sha256:
    """Give the SHA-256 of the public key in a DER certificate."""
    public = x509.load_der_x509_certificate(certificate).public_key()
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
