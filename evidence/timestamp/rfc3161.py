# SPDX-License-Identifier: Apache-2.0
"""Time-stamp tokens of authorities: verifying them, nothing else. Pure; roots and revocation lists are arguments.

A token is the DER of a TimeStampToken (CMS SignedData) whose imprint is SHA-256 of a message. It holds if its signature
leads to a root that the caller trusts, at the token's own time, through a certificate with the critical purpose
timeStamping. Certificates that come along are not trusted for coming along: an intermediate is used only if a root, or
one used already, has issued it.
Revocation lists come along too. RFC 3161 section 4: a revoked certificate spoils the tokens after its revocation, and
all of them if the list gives no reason or says that the key was compromised.
Source: RFC 3161, RFC 5280 sections 5.3.1 and 6; the parsing and the CMS signature are rfc3161-client's (OpenSSL).
"""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from rfc3161_client import Accuracy, TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response

from evidence.digest import sha256
from evidence.errors import FormatError, LimitError, ProofError, SignatureError, UnknownSignerError

MAX_TOKEN_BYTES: Final = 1 << 18
_SHA256_OID = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_HARMLESS_REASONS = frozenset(
    {
        x509.ReasonFlags.unspecified,
        x509.ReasonFlags.affiliation_changed,
        x509.ReasonFlags.superseded,
        x509.ReasonFlags.cessation_of_operation,
    }
)
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_GRANTED = bytes.fromhex("3003020100")  # PKIStatusInfo of status 0, as an answer has it before the token


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A verified token: the message existed at `latest` (the token's time and its accuracy), by `authority`'s word.

    `revocation_checked`: a list issued at or after the token's time says of the authority's certificate that it stands.
    """

    latest: datetime
    authority: str
    revocation_checked: bool


def verify_token(
    token: bytes,
    message: bytes,
    roots: Sequence[x509.Certificate],
    certificates: Sequence[bytes] = (),
    revocation: Sequence[bytes] = (),
) -> Timestamp:
    """Verify `token` over `message`. `certificates` are DER intermediates, `revocation` DER CRLs, in any order.

    Raises:
        FormatError: token, certificate or list cannot be read.
        ProofError: the token is about another message.
        SignatureError: the token's signature, purpose, chain or revocation speaks against it.
        UnknownSignerError: there are no roots, or the chain leads to none of them.
    """
    with _refusing("the time-stamp token or what came with it"):
        return _verify_token(token, message, roots, certificates, revocation)


def _verify_token(
    token: bytes,
    message: bytes,
    roots: Sequence[x509.Certificate],
    certificates: Sequence[bytes],
    revocation: Sequence[bytes],
) -> Timestamp:
    answer = _parse_token(token)
    facts = answer.tst_info
    if facts.message_imprint.hash_algorithm != _SHA256_OID:
        raise FormatError("a token's imprint must be SHA-256")
    if facts.message_imprint.message != sha256(message):
        raise ProofError("the token is about another message")
    moment = facts.gen_time.astimezone(UTC)
    authority = _find_authority(answer)
    chain = _find_chain(
        authority, roots, _parse_certificates((*certificates, *answer.signed_data.certificates)), moment
    )
    _verify_signature(answer, chain)
    checked = _check_revocation(chain, revocation, moment)
    return Timestamp(moment + _accuracy(answer), authority.subject.rfc4514_string(), checked)


def is_about(token: bytes, message: bytes) -> bool:
    """Tell whether the token's imprint is that of `message`; nothing is verified. Raises: FormatError."""
    with _refusing("the time-stamp token"):
        return bytes(_parse_token(token).tst_info.message_imprint.message) == sha256(message)


def parse_certificate(der: bytes) -> x509.Certificate:
    """Read a DER certificate. Raises: FormatError."""
    with _refusing("the certificate"):
        certificate = x509.load_der_x509_certificate(der)
        if certificate.public_bytes(Encoding.DER) != der:
            raise FormatError("a certificate has bytes that are not its own")
        return certificate


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn what the libraries raise on bytes that they cannot read into FormatError.

    They read lazily, so any access may raise; and of some bad values they only warn.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            yield
    except _UNREADABLE as err:
        raise FormatError(f"{what} cannot be read: {err}") from err


def _parse_token(token: bytes) -> TimeStampResponse:
    if not 1 <= len(token) <= MAX_TOKEN_BYTES:
        raise LimitError(f"a token has 1 to {MAX_TOKEN_BYTES} bytes, found {len(token)}")
    return decode_timestamp_response(_der_sequence(_GRANTED + token))


def _der_sequence(content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((0x30, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x30, 0x80 | len(length))) + length + content


def _find_authority(answer: TimeStampResponse) -> x509.Certificate:
    """Give the certificate of the token's one signer, from the token."""
    signers = answer.signed_data.signer_infos
    if len(signers) != 1:
        raise FormatError(f"a token has one signer, found {len(signers)}")
    signer = next(iter(signers))
    for certificate in _parse_certificates(answer.signed_data.certificates):
        if certificate.issuer == signer.issuer and certificate.serial_number == signer.serial_number:
            return certificate
    raise FormatError("the token does not hold its signer's certificate; ask the authority for it with certReq")


def _parse_certificates(ders: Collection[bytes]) -> list[x509.Certificate]:
    return [parse_certificate(der) for der in ders]


def _find_chain(
    authority: x509.Certificate,
    roots: Sequence[x509.Certificate],
    pool: Sequence[x509.Certificate],
    moment: datetime,
) -> list[x509.Certificate]:
    """Give the chain from the authority to a root, both included.

    Raises: UnknownSignerError if there is none of certificates that were valid at `moment`.
    """
    chain = [authority]
    while len(chain) <= 8:
        if any(_is_same(chain[-1], root) for root in roots):
            return chain
        issuer = next((c for c in (*roots, *pool) if _has_issued(c, chain[-1], moment) and c not in chain), None)
        if issuer is None:
            break
        chain.append(issuer)
    name = authority.subject.rfc4514_string()
    raise UnknownSignerError(f"the time-stamp authority {name} is not certified by a root that the policy names")


def _is_same(one: x509.Certificate, other: x509.Certificate) -> bool:
    return one.public_bytes(Encoding.DER) == other.public_bytes(Encoding.DER)


def _has_issued(issuer: x509.Certificate, subject: x509.Certificate, moment: datetime) -> bool:
    if not issuer.not_valid_before_utc <= moment <= issuer.not_valid_after_utc:
        return False
    try:
        subject.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False


def _verify_signature(answer: TimeStampResponse, chain: Sequence[x509.Certificate]) -> None:
    """Raises: SignatureError unless the signature holds, under `chain` at the token's time, for time-stamping."""
    builder = VerifierBuilder(intermediates=list(chain[1:-1]), roots=[chain[-1]])
    try:
        builder.build().verify(answer, answer.tst_info.message_imprint.message)
    except (VerificationError, ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise SignatureError(f"the time-stamp token does not verify: {err}") from err


def _accuracy(answer: TimeStampResponse) -> timedelta:
    accuracy: Accuracy | None = answer.tst_info.accuracy  # None where the token gives none, whatever the stub says
    if accuracy is None:
        return timedelta(0)
    return timedelta(
        seconds=accuracy.seconds or 0, milliseconds=accuracy.millis or 0, microseconds=accuracy.micros or 0
    )


def _check_revocation(chain: Sequence[x509.Certificate], lists: Sequence[bytes], moment: datetime) -> bool:
    """Tell whether lists as new as the token cover all certificates of `chain` but its root.

    Raises: SignatureError if one is revoked so that the token is spoilt.
    """
    covered: set[int] = set()
    for der in lists:
        revoked = x509.load_der_x509_crl(der)
        for i, (certificate, issuer) in enumerate(pairwise(chain)):
            if revoked.issuer != issuer.subject or not _is_signed(revoked, issuer):
                continue
            if revoked.last_update_utc >= moment:
                covered.add(i)
            _check_not_revoked(certificate, revoked, moment)
    return len(covered) == len(chain) - 1


def _is_signed(revoked: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    try:
        return revoked.is_signature_valid(key)  # type: ignore[arg-type]  # other kinds of keys raise TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _check_not_revoked(
    certificate: x509.Certificate, revoked: x509.CertificateRevocationList, moment: datetime
) -> None:
    entry = revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None:
        return
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        reason = None
    if entry.revocation_date_utc <= moment or reason not in _HARMLESS_REASONS:
        name = certificate.subject.rfc4514_string()
        raise SignatureError(
            f"the certificate of {name} was revoked at {entry.revocation_date_utc}, which spoils the token of {moment}"
        )
