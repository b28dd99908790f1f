# SPDX-License-Identifier: Apache-2.0
"""Passwords: kept privately, found by reference, never told."""

import os
from pathlib import Path

import pytest

from agent.errors import NotTheServiceError, SecretError
from agent.secrets import SECRETS_NAME, Secrets, variable_of


def test_kept_password_is_found_again_by_another_process(tmp_path: Path) -> None:
    Secrets(tmp_path, {}).set("his", "口令 p@ss\"w'ord")
    Secrets(tmp_path, {}).set("lis", "second")
    assert Secrets(tmp_path, {}).find("secret:his") == "口令 p@ss\"w'ord"
    assert Secrets(tmp_path, {}).names() == ["his", "lis"]


def test_later_password_replaces_the_earlier(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {})
    secrets.set("his", "one")
    secrets.set("his", "two")
    assert secrets.find("secret:his") == "two"


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_file_is_for_its_owner_only_even_under_a_loose_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Secrets(tmp_path, {}).set("his", "one")
        assert os.umask(0) == 0, "the process's umask is as it was"
    finally:
        os.umask(before)
    assert (tmp_path / SECRETS_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_file_that_others_can_use_is_not_read(tmp_path: Path, mode: int) -> None:
    secrets = Secrets(tmp_path, {})
    secrets.set("his", "one")
    (tmp_path / SECRETS_NAME).chmod(mode)
    for act in (lambda: secrets.find("secret:his"), secrets.names, lambda: secrets.set("lis", "x")):
        with pytest.raises(SecretError, match=f"{mode:04o}") as caught:
            act()
        assert "chmod 600" in caught.value.hint


def test_environment_goes_before_the_file(tmp_path: Path) -> None:
    Secrets(tmp_path, {}).set("his-2.x", "filed")
    assert variable_of("his-2.x") == "JINSUO_SECRET_HIS_2_X"
    assert Secrets(tmp_path, {"JINSUO_SECRET_HIS_2_X": "from outside"}).find("secret:his-2.x") == "from outside"
    assert Secrets(tmp_path, {"JINSUO_SECRET_HIS_2_X": ""}).find("secret:his-2.x") == "filed"


def test_other_references_lead_to_environment_and_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from a file\n")
    path.chmod(0o600)
    secrets = Secrets(tmp_path, {"PGPASSWORD": "from outside"})
    assert secrets.find("env:PGPASSWORD") == "from outside"
    assert secrets.find(f"file:{path}") == "from a file"


@pytest.mark.parametrize("reference", ["secret:absent", "env:ABSENT", "file:/nonexistent/password"])
def test_password_that_is_not_there_is_told_with_what_to_do(tmp_path: Path, reference: str) -> None:
    with pytest.raises(SecretError) as caught:
        Secrets(tmp_path, {}).find(reference)
    assert caught.value.hint
    assert caught.value.exit_code == 64


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(SecretError, match="0644"):
        Secrets(tmp_path, {}).find(f"file:{path}")


def test_empty_password_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("\n")
    path.chmod(0o600)
    with pytest.raises(SecretError, match="empty"):
        Secrets(tmp_path, {}).find(f"file:{path}")


@pytest.mark.parametrize("value", ["", "a\0b", "x" * 5000])
def test_password_that_no_database_takes_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    with pytest.raises(SecretError) as caught:
        Secrets(tmp_path, {}).set("his", value)
    assert "xxxx" not in str(caught.value)
    assert not (tmp_path / SECRETS_NAME).exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "x" * 65])
def test_name_that_settings_could_not_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretError, match="cannot name a secret"):
        Secrets(tmp_path, {}).set(name, "x")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"a": 1}', b"\xff\xfe", b'{"a": "x"} '[:-4]])
def test_damaged_file_is_told_and_never_shown(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / SECRETS_NAME
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(SecretError, match="is damaged"):
        Secrets(tmp_path, {}).names()


def test_no_folder_is_made_for_a_password(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="there is no folder"):
        Secrets(tmp_path / "mistyped", {}).set("his", "x")
    assert not (tmp_path / "mistyped").exists()


class Backwards:
    """A seal that anybody can break, and that refuses what it did not make."""

    def close(self, plain: bytes) -> bytes:
        return b"sealed:" + plain[::-1]

    def open(self, sealed: bytes) -> bytes:
        if not sealed.startswith(b"sealed:"):
            raise OSError(13, "bad data")
        return sealed.removeprefix(b"sealed:")[::-1]


def test_sealed_secret_is_not_in_the_file_and_comes_back(tmp_path: Path) -> None:
    Secrets(tmp_path, {}, Backwards()).set("his", "planted 口令")
    kept = (tmp_path / SECRETS_NAME).read_bytes()
    assert b"planted" not in kept and "口令".encode() not in kept
    assert Secrets(tmp_path, {}, Backwards()).find("secret:his") == "planted 口令"
    assert Secrets(tmp_path, {}, Backwards()).names() == ["his"]


def test_secret_kept_in_the_open_is_read_where_there_is_a_seal(tmp_path: Path) -> None:
    Secrets(tmp_path, {}, None).set("his", "old")
    secrets = Secrets(tmp_path, {}, Backwards())
    secrets.set("lis", "new")
    assert (secrets.find("secret:his"), secrets.find("secret:lis")) == ("old", "new")


@pytest.mark.parametrize("sealed", ["bm90IG91cnM=", "!!!"], ids=["another machine's", "no base64"])
def test_secret_that_another_machine_sealed_says_so(sealed: str, tmp_path: Path) -> None:
    path = tmp_path / SECRETS_NAME
    path.write_text(f'{{"his": {{"dpapi": "{sealed}"}}}}')
    path.chmod(0o600)
    with pytest.raises(SecretError, match="cannot be decrypted on this machine"):
        Secrets(tmp_path, {}, Backwards()).find("secret:his")


def test_sealed_secret_cannot_be_read_where_there_is_no_seal(tmp_path: Path) -> None:
    Secrets(tmp_path, {}, Backwards()).set("his", "x")
    with pytest.raises(SecretError, match="cannot be decrypted on this machine"):
        Secrets(tmp_path, {}, None).find("secret:his")


def test_credential_of_the_service_is_read_from_systemds_folder(tmp_path: Path) -> None:
    (tmp_path / "his").write_text("口令\n", encoding="utf-8")
    # systemd's right for the account shows as the group's.
    (tmp_path / "his").chmod(0o440)
    assert Secrets(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).find("credential:his") == "口令"


@pytest.mark.parametrize("name", ["lis", "empty", "raw", ".."])
def test_credential_that_is_not_there_or_is_none_is_refused_without_its_bytes(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "raw").write_bytes(b"planted\xff")
    with pytest.raises(SecretError, check=lambda err: not isinstance(err, NotTheServiceError)) as caught:
        Secrets(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).find(f"credential:{name}")
    assert "planted" not in str(caught.value) + caught.value.hint


def test_no_credential_outside_a_service(tmp_path: Path) -> None:
    with pytest.raises(NotTheServiceError, match="the credential his is given to the service alone"):
        Secrets(tmp_path, {}).find("credential:his")
