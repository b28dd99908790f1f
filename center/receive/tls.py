# SPDX-License-Identifier: Apache-2.0
"""The receiver's TLS key and certificate, for agents that pin the key; and the way to another key. Reads and writes files.

    tls/center.key PKCS#8 PEM, EC P-256, for its owner's eyes only
    tls/center.crt PEM, X.509, signed by the key itself, ten years
    tls/next/      the same two of a key that is announced and not used yet
    tls/old/       keys that were used before, by the first digits of their hash: never used again
    tls/announced.json  the announcements of new keys that the log's key has signed, as they are served

Agents compare the SHA-256 of the public key and look at nothing else of the certificate; the name in it is for browsers
and people. A certificate from an authority may take its place, if it is for the same key (`renew_tls`): enrolled agents
do not notice. A new key is announced first: agents learn of it while the old one is in use, and the next start of the
daemon after its day takes it (decision 0061). Source: RFC 5280; RFC 7469 section 2.4.
"""

import ipaddress
import shutil
from collections.abc import Callable
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

from center.errors import ConflictError, StoreError
from evidence.digest import Sha256, sha256
from evidence.disk import write_new, write_over
from evidence.errors import EvidenceError
from evidence.keys.key import VerificationKey
from evidence.keys.signer import Signer
from evidence.note.signed import parse_note
from evidence.wire.announcement import (
    MAX_ANNOUNCEMENTS,
    TlsAnnouncement,
    encode_announcements,
    follow_announcements,
    parse_announcement,
    parse_announcements,
    sign_announcement,
)
from terminal.language import Text

ANNOUNCED_NAME: Final = "announced.json"
LIFETIME: Final = timedelta(days=3653)
_BACKDATED: Final = timedelta(days=2)
_RESTORE = Text(
    zh="从备份恢复 `tls` 目录；换成别的密钥会使所有采集端断开",
    en="restore the folder `tls` from the backup; another key would cut off every agent",
)


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


def announce_key(
    folder: Path,
    host: str,
    now: datetime,
    from_: datetime,
    signer: Signer,
    record: Callable[[TlsAnnouncement], object],
) -> TlsAnnouncement:
    """Make a key that is used from `from_` on, and announce it by `signer`, the log's key. Nothing changes yet.

    Order: key and certificate durable, then logged through `record`, then the note, which makes the announcement exist; a
    key without a note is made anew. Raises: what `record` raises; StoreError; ConflictError if one is announced already and
    not used yet, or too many were.
    """
    files, following = TlsFiles.within(folder), TlsFiles.within(folder / "next")
    notes = read_announcements(folder)
    current = read_spki_sha256(files.certificate)
    if find_next(folder, signer.key) is not None:
        raise ConflictError(
            Text(zh="已公告的新 TLS 密钥尚未启用", en="a new TLS key is announced already, and not in use yet"),
            hint=Text(
                zh="到期后重新启动 jinsuo-center serve 即启用",
                en="start `jinsuo-center serve` again after its day; it is in use then",
            ),
        )
    if len(notes) == MAX_ANNOUNCEMENTS:
        raise ConflictError(
            Text(
                zh=f"已公告 {len(notes)} 个 TLS 密钥，不能再多",
                en=f"{len(notes)} TLS keys have been announced, and no more can be",
            ),
            hint=Text(
                zh="更新证书时不用 --new-key：采集端只认公钥",
                en="renew the certificate without --new-key: agents look at the key alone",
            ),
        )
    shutil.rmtree(folder / "next", ignore_errors=True)
    create_tls(folder / "next", host, now)
    announcement = TlsAnnouncement(signer.key.name, current, read_spki_sha256(following.certificate), from_)
    note = sign_announcement(announcement, signer).encode()
    record(announcement)
    write_over(folder / ANNOUNCED_NAME, encode_announcements([*notes, note]))
    return announcement


def find_next(folder: Path, log_key: VerificationKey) -> TlsAnnouncement | None:
    """Give the announcement of the key that is to follow the one in use; None if there is none. Raises: StoreError."""
    try:
        current = read_spki_sha256(TlsFiles.within(folder).certificate)
        followed = follow_announcements(read_announcements(folder), log_key, current)
    except EvidenceError as err:
        raise StoreError(
            Text(zh=f"{folder / ANNOUNCED_NAME} 已损坏：{err}", en=f"{folder / ANNOUNCED_NAME} is damaged: {err}"),
            hint=_RESTORE,
        ) from err
    return followed[0] if followed else None


def take_next(folder: Path, log_key: VerificationKey, now: datetime) -> TlsAnnouncement | None:
    """Put the announced key in the place of the one in use, if its day has come; None: nothing changed.

    The old pair is kept aside first. A crash between the two files leaves a pair that does not fit (`check_tls`): the
    certificate is put last, and doing this again puts it there. Raises: StoreError.
    """
    files, following = TlsFiles.within(folder), TlsFiles.within(folder / "next")
    announcement = find_next(folder, log_key)
    if announcement is None or now < announcement.from_:
        return None
    check_tls(following)
    if read_spki_sha256(following.certificate) != announcement.spki:
        raise StoreError(
            Text(
                zh=f"{following.certificate} 不是已公告密钥的证书",
                en=f"{following.certificate} is not for the key that was announced",
            ),
            hint=_RESTORE,
        )
    old = TlsFiles.within(folder / "old" / announcement.replaces.hex()[:16])
    for source, kept in ((files.key, old.key), (files.certificate, old.certificate)):
        write_new(kept, source.read_bytes(), mode=0o600)
    write_over(files.key, following.key.read_bytes(), mode=0o600)
    write_over(files.certificate, following.certificate.read_bytes())
    return announcement


def read_announcements(folder: Path) -> tuple[bytes, ...]:
    """Give the notes that announce TLS keys, oldest first; empty if none was ever announced. Raises: StoreError."""
    path = folder / ANNOUNCED_NAME
    try:
        return parse_announcements(path.read_bytes())
    except FileNotFoundError:
        return ()
    except EvidenceError as err:
        raise StoreError(Text(zh=f"{path} 已损坏：{err}", en=f"{path} is damaged: {err}"), hint=_RESTORE) from err


class Announcements:
    """What is announced, as the receiver serves it. Looks at the disk each time, for the operator announces meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[tuple[int, int], str] | None = None

    def body(self) -> bytes:
        """Give the answer to whoever asks for all announcements. Raises: StoreError."""
        return encode_announcements(read_announcements(self._folder))

    def newest(self) -> str | None:
        """Give the hash of the key announced last, in hex; None if none was."""
        try:
            status = (self._folder / ANNOUNCED_NAME).stat()
        except OSError:
            return None
        mark = (status.st_ino, status.st_mtime_ns)
        if self._known is None or self._known[0] != mark:
            notes = read_announcements(self._folder)
            newest = parse_announcement(parse_note(notes[-1]).text).spki.hex() if notes else ""
            self._known = (mark, newest)
        return self._known[1] or None


def read_spki_sha256(certificate: Path) -> Sha256:
    """Give the SHA-256 of the public key in the PEM file `certificate`, by which agents know the center.

    Raises: StoreError.
    """
    try:
        public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    except OSError as err:
        raise StoreError(
            Text(
                zh=f"证书 {certificate} 读不了：{err.strerror}",
                en=f"the certificate {certificate} cannot be read: {err.strerror}",
            ),
            hint=_RESTORE,
        ) from err
    except ValueError as err:
        raise StoreError(
            Text(zh=f"证书 {certificate} 已损坏：{err}", en=f"the certificate {certificate} is damaged: {err}"),
            hint=_RESTORE,
        ) from err
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def check_tls(files: TlsFiles) -> None:
    """Raises: StoreError unless certificate and key can be read, and are for one key."""
    own = _load_key(files.key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if read_spki_sha256(files.certificate) != sha256(own):
        raise StoreError(
            Text(
                zh=f"证书 {files.certificate} 与密钥 {files.key} 不是一对",
                en=f"the certificate {files.certificate} is for another key than {files.key}",
            ),
            hint=_RESTORE,
        )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as err:
        raise StoreError(
            Text(zh=f"TLS 密钥 {path} 读不了：{err.strerror}", en=f"the TLS key {path} cannot be read: {err.strerror}"),
            hint=_RESTORE,
        ) from err
    except (ValueError, TypeError) as err:
        raise StoreError(
            Text(zh=f"TLS 密钥 {path} 已损坏：{err}", en=f"the TLS key {path} is damaged: {err}"), hint=_RESTORE
        ) from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StoreError(
            Text(zh=f"TLS 密钥 {path} 不是 EC 密钥", en=f"the TLS key {path} is not an EC key"), hint=_RESTORE
        )
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
