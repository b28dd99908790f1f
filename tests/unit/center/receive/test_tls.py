# SPDX-License-Identifier: Apache-2.0
"""The receiver's key and certificate."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.transport.pinned import spki_sha256
from center.errors import StoreError
from center.receive.tls import LIFETIME, TlsFiles, check_tls, create_tls, read_spki_sha256, renew_tls

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


def test_a_certificate_is_for_its_host_and_lasts_ten_years(tmp_path: Path) -> None:
    files = create_tls(tmp_path, "archives.example", NOW)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["archives.example"]
    assert certificate.not_valid_after_utc == NOW + LIFETIME > NOW + timedelta(days=3650)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_an_address_is_named_as_one(tmp_path: Path, host: str) -> None:
    files = create_tls(tmp_path, host, NOW)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == [host]


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    create_tls(tmp_path, "a.example", NOW)
    with pytest.raises(FileExistsError):
        create_tls(tmp_path, "a.example", NOW)


def test_agent_and_center_hash_the_same_key(tmp_path: Path) -> None:
    files = create_tls(tmp_path, "a.example", NOW)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert spki_sha256(certificate.public_bytes(Encoding.DER)) == read_spki_sha256(files.certificate)


def test_a_renewed_certificate_has_the_same_key(tmp_path: Path) -> None:
    files = create_tls(tmp_path, "a.example", NOW)
    before, pin = files.certificate.read_bytes(), read_spki_sha256(files.certificate)
    renew_tls(tmp_path, "b.example", NOW + timedelta(days=3000))
    assert files.certificate.read_bytes() != before
    assert read_spki_sha256(files.certificate) == pin
    check_tls(files)


def test_a_certificate_for_another_key_is_found(tmp_path: Path) -> None:
    files = create_tls(tmp_path / "a", "a.example", NOW)
    other = create_tls(tmp_path / "b", "a.example", NOW)
    with pytest.raises(StoreError, match="is for another key"):
        check_tls(TlsFiles(other.certificate, files.key))


@pytest.mark.parametrize("name", ["certificate", "key"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    files = create_tls(tmp_path, "a.example", NOW)
    path: Path = getattr(files, name)
    path.write_bytes(b"-----BEGIN NOTHING-----\n")
    with pytest.raises(StoreError, match="is damaged"):
        check_tls(files)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        check_tls(files)
