# SPDX-License-Identifier: Apache-2.0
"""Time-stamp tokens that OpenSSL made: what holds, what is refused, and that nothing crashes the reader."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from evidence.errors import EvidenceError, FormatError, LimitError, ProofError, SignatureError, UnknownSignerError
from evidence.timestamp.rfc3161 import MAX_TOKEN_BYTES, Timestamp, is_about, parse_certificate, verify_token
from tests.builders.tsa import Authority, Tsa

MESSAGE = b"log.example/center\n6\n...\n"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("Test Root")


@pytest.fixture(scope="module")
def authority(root: Authority) -> Authority:
    return Authority("Test TSA", root, ca=False, purpose=True)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> bytes:
    return Tsa(tmp_path_factory.mktemp("ts") / "tsa", authority).stamp(MESSAGE)


def verify(token: bytes, root: Authority, *certificates: bytes, revocation: tuple[bytes, ...] = ()) -> Timestamp:
    return verify_token(token, MESSAGE, [root.certificate], certificates, revocation)


def test_token_tells_time_and_authority(token: bytes, root: Authority) -> None:
    stamped = verify(token, root)

    assert abs(datetime.now(UTC) - stamped.latest) < HOUR
    assert stamped.authority == "CN=Test TSA"
    assert not stamped.revocation_checked


def test_accuracy_makes_the_proven_time_later(tmp_path: Path, authority: Authority, root: Authority) -> None:
    before = datetime.now(UTC)
    token = Tsa(tmp_path / "tsa", authority, "accuracy = secs:3600, millisecs:500").stamp(MESSAGE)

    assert verify(token, root).latest >= before.replace(microsecond=0) + timedelta(seconds=3600, milliseconds=500)


def test_token_about_another_message_is_refused(token: bytes, root: Authority) -> None:
    assert is_about(token, MESSAGE) and not is_about(token, MESSAGE + b"x")
    with pytest.raises(ProofError, match="another message"):
        verify_token(token, MESSAGE + b"x", [root.certificate])


def test_token_under_another_root_is_by_an_unknown_signer(token: bytes) -> None:
    with pytest.raises(UnknownSignerError, match="CN=Test TSA is not certified by a root"):
        verify(token, Authority("Test Root"))


def test_token_without_roots_is_by_an_unknown_signer(token: bytes) -> None:
    with pytest.raises(UnknownSignerError):
        verify_token(token, MESSAGE, [])


def test_root_that_only_came_along_is_not_trusted(token: bytes, root: Authority) -> None:
    with pytest.raises(UnknownSignerError):
        verify(token, Authority("Another Root"), root.der)


def test_chain_over_an_intermediate_needs_it_to_come_along(tmp_path: Path, root: Authority) -> None:
    middle = Authority("Test Intermediate", root)
    leaf = Authority("Deep TSA", middle, ca=False, purpose=True)
    token = Tsa(tmp_path / "tsa", leaf).stamp(MESSAGE)

    assert verify(token, root, middle.der).authority == "CN=Deep TSA"
    with pytest.raises(UnknownSignerError):
        verify(token, root)


def test_intermediate_that_may_not_issue_is_not_used(tmp_path: Path, root: Authority) -> None:
    middle = Authority("Not An Issuer", root, ca=False)
    token = Tsa(tmp_path / "tsa", Authority("Deep TSA", middle, ca=False, purpose=True)).stamp(MESSAGE)

    with pytest.raises(UnknownSignerError):
        verify(token, root, middle.der)


def test_certificate_for_another_purpose_is_refused(token: bytes, root: Authority, authority: Authority) -> None:
    same = authority.twin(root, ExtendedKeyUsageOID.TIME_STAMPING)
    other = authority.twin(root, ExtendedKeyUsageOID.CODE_SIGNING)

    assert verify(token.replace(authority.der, same), root).authority == "CN=Test TSA"
    with pytest.raises(SignatureError):
        verify(token.replace(authority.der, other), root)


def test_token_without_its_certificate_is_refused(tmp_path: Path, root: Authority, authority: Authority) -> None:
    token = Tsa(tmp_path / "tsa", authority).stamp(MESSAGE, with_certificate=False)

    with pytest.raises(FormatError, match="certReq"):
        verify(token, root, authority.der)


def test_token_with_another_hash_is_refused(tmp_path: Path, root: Authority, authority: Authority) -> None:
    token = Tsa(tmp_path / "tsa", authority).stamp(MESSAGE, digest="sha384")

    with pytest.raises(FormatError, match="SHA-256"):
        verify(token, root)


def test_list_as_new_as_the_token_checks_the_authority(token: bytes, root: Authority) -> None:
    assert verify(token, root, revocation=(root.clear(),)).revocation_checked


def test_older_list_does_not_check_the_authority(token: bytes, root: Authority) -> None:
    assert not verify(token, root, revocation=(root.clear(datetime.now(UTC) - HOUR),)).revocation_checked


def test_list_by_a_stranger_of_the_same_name_does_not_count(
    token: bytes, root: Authority, authority: Authority
) -> None:
    stranger = Authority("Test Root")
    lists = (stranger.clear(), stranger.revoke(authority, datetime.now(UTC) - HOUR, None))

    assert not verify(token, root, revocation=lists).revocation_checked


@pytest.mark.parametrize("reason", [None, x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise])
def test_compromised_authority_spoils_even_earlier_tokens(
    token: bytes, root: Authority, authority: Authority, reason: x509.ReasonFlags | None
) -> None:
    with pytest.raises(SignatureError, match="was revoked"):
        verify(token, root, revocation=(root.revoke(authority, datetime.now(UTC) + HOUR, reason),))


def test_authority_that_ceased_later_does_not_spoil_earlier_tokens(
    token: bytes, root: Authority, authority: Authority
) -> None:
    later = root.revoke(authority, datetime.now(UTC) + HOUR, x509.ReasonFlags.cessation_of_operation)
    earlier = root.revoke(authority, datetime.now(UTC) - HOUR, x509.ReasonFlags.cessation_of_operation)

    assert verify(token, root, revocation=(later,)).revocation_checked
    with pytest.raises(SignatureError, match="was revoked"):
        verify(token, root, revocation=(earlier,))


def test_no_flipped_bit_changes_what_a_token_says_or_crashes_the_reader(token: bytes, root: Authority) -> None:
    expected = verify(token, root)
    for position in range(8 * len(token)):
        flipped = bytearray(token)
        flipped[position // 8] ^= 1 << position % 8
        try:
            stamped = verify(bytes(flipped), root)
        except EvidenceError:
            continue
        assert stamped == expected


def test_token_cut_anywhere_or_with_a_tail_is_refused(token: bytes, root: Authority) -> None:
    for size in range(len(token)):
        with pytest.raises(EvidenceError):
            verify(token[:size], root)
    with pytest.raises(EvidenceError):
        verify(token + b"\x00", root)


def test_sizes_are_bounded(root: Authority) -> None:
    for size in (0, MAX_TOKEN_BYTES + 1):
        with pytest.raises(LimitError):
            verify(bytes(size), root)


@pytest.mark.parametrize("rubbish", [b"", b"\x30\x00", b"rubbish", bytes(100)])
def test_rubbish_that_came_along_is_refused(token: bytes, root: Authority, rubbish: bytes) -> None:
    with pytest.raises(FormatError):
        parse_certificate(rubbish)
    with pytest.raises(FormatError):
        verify(token, root, rubbish)
    with pytest.raises(FormatError):
        verify(token, root, revocation=(rubbish,))
