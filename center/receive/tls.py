# SPDX-License-Identifier: Apache-2.0
"""The receiver's TLS key and certificate: made once, for agents that pin the key. Reads and writes two files.

    tls/center.key PKCS#8 PEM, EC P-256, for its owner's eyes only
    tls/center.crt PEM, X.509, signed by the key itself, ten years

Agents compare the SHA-256 of the public key and look at nothing else of the certificate; the name in it is for browsers
and people. A certificate from an authority may take its place, if it is for the same key (`renew_tls`): enrolled agents
do not notice. Source: RFC 5280; RFC 7469 section 2.4.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from center.errors import StoreError
from evidence.digest import Sha256, sha256
from evidence.disk import write_new, write_over

LIFETIME: Final = timedelta(days=3653)
_BACKDATED: Final = timedelta(days=2)
_RESTORE = "restore the folder `tls` from the backup; another key would cut off every agent"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate and key lie."""

    certificate: Path
    key: Path

    @classmethod
    def within(cls, folder: Path) -> "TlsFiles":
        """Give the files of the folder `tls`."""
        return cls(folder / "center.crt", folder / "center.key")


def create_tls(folder: Path, host: str, now: datetime) -> TlsFiles:
    """Make a new key and certificate for `host` in `folder`. Raises: FileExistsError; a key is never overwritten."""
    files = TlsFiles.within(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if not write_new(files.key, pem, mode=0o600):
        raise FileExistsError(f"the key file {files.key} exists; a key is never overwritten")
    write_over(files.certificate, _certify(key, host, now))
    return files


def renew_tls(folder: Path, host: str, now: datetime) -> None:
    """Make a new certificate for the same key. Agents do not notice. Raises: StoreError."""
    files = TlsFiles.within(folder)
    write_over(files.certificate, _certify(_load_key(files.key), host, now))


def read_spki_sha256(certificate: Path) -> Sha256:
    """Give the SHA-256 of the public key in the PEM file `certificate`, by which agents know the center.

    Raises: StoreError.
    """
    try:
        public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    except OSError as err:
        raise StoreError(f"the certificate {certificate} cannot be read: {err.strerror}", hint=_RESTORE) from err
    except ValueError as err:
        raise StoreError(f"the certificate {certificate} is damaged: {err}", hint=_RESTORE) from err
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def check_tls(files: TlsFiles) -> None:
    """Raises: StoreError unless certificate and key can be read, and are for one key."""
    own = _load_key(files.key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if read_spki_sha256(files.certificate) != sha256(own):
        raise StoreError(f"the certificate {files.certificate} is for another key than {files.key}", hint=_RESTORE)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as err:
        raise StoreError(f"the TLS key {path} cannot be read: {err.strerror}", hint=_RESTORE) from err
    except (ValueError, TypeError) as err:
        raise StoreError(f"the TLS key {path} is damaged: {err}", hint=_RESTORE) from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StoreError(f"the TLS key {path} is not an EC key", hint=_RESTORE)
    return key


def _certify(key: ec.EllipticCurvePrivateKey, host: str, now: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
