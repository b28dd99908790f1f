# SPDX-License-Identifier: Apache-2.0
"""A time-stamp authority for tests: OpenSSL's own (`openssl ts`), under roots and intermediates made here.

Certificates and revocation lists are made with `cryptography`; the tokens are OpenSSL's, so that the verifier meets
another implementation's bytes. Tokens carry the true time of the test.
"""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import decode_timestamp_response

_CONFIG = """\
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384
ess_cert_id_alg = sha256
{accuracy}
"""
_DAY = timedelta(days=1)


class Authority:
    """A certificate with its key; it can issue others, and revoke them."""

    def __init__(self, name: str, issuer: "Authority | None" = None, *, ca: bool = True, purpose: bool = False) -> None:
        """Make it; without an issuer it is a root. `purpose`: for time-stamping, critically."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        parent = issuer or self
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(parent.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        self.certificate = builder.sign(parent.key, hashes.SHA256())

    def twin(self, issuer: "Authority", purpose: x509.ObjectIdentifier) -> bytes:
        """Give a certificate of the same key, names, serial number and length (DER), for another purpose."""
        mine = self.certificate
        while True:
            other = (
                x509.CertificateBuilder(mine.issuer, mine.subject, mine.public_key(), mine.serial_number)
                .not_valid_before(mine.not_valid_before_utc)
                .not_valid_after(mine.not_valid_after_utc)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
                .sign(issuer.key, hashes.SHA256())
                .public_bytes(Encoding.DER)
            )
            if len(other) == len(self.der):
                return other

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(Encoding.DER)

    def revoke(
        self, other: "Authority", at: datetime, reason: x509.ReasonFlags | None, issued: datetime | None = None
    ) -> bytes:
        """Give a DER revocation list that names `other`."""
        entry = x509.RevokedCertificateBuilder().serial_number(other.certificate.serial_number).revocation_date(at)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        return (
            self._list(issued)
            .add_revoked_certificate(entry.build())
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def clear(self, issued: datetime | None = None) -> bytes:
        """Give a DER revocation list that names nobody."""
        return self._list(issued).sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def _list(self, issued: datetime | None) -> x509.CertificateRevocationListBuilder:
        moment = issued or datetime.now(UTC) + timedelta(minutes=1)
        return (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(moment)
            .next_update(moment + 30 * _DAY)
        )


class Tsa:
    """An authority that answers requests, in a folder of its own."""

    def __init__(self, folder: Path, authority: Authority, accuracy: str = "") -> None:
        """Prepare `folder`; `accuracy` is a line of OpenSSL's configuration."""
        self._folder = folder
        folder.mkdir()
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder, accuracy=accuracy))
        (folder / "tsa.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        (folder / "tsa.key").write_bytes(authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def stamp(self, message: bytes, *, digest: str = "sha256", with_certificate: bool = True) -> bytes:
        """Give a token over `message`, DER."""
        (self._folder / "message").write_bytes(message)
        query = ["openssl", "ts", "-query", "-data", "message", f"-{digest}", "-out", "q.tsq"]
        self._run(query + (["-cert"] if with_certificate else []))
        reply = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "q.tsq", "-out", "r.tsr"]
        self._run([*reply, "-signer", "tsa.pem", "-inkey", "tsa.key"])
        return decode_timestamp_response((self._folder / "r.tsr").read_bytes()).time_stamp_token()

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)
