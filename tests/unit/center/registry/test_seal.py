# SPDX-License-Identifier: Apache-2.0
"""The master key and what it wraps; the sealing key."""

import stat
from pathlib import Path

import pytest

from center.errors import StoreError
from center.registry.seal import (
    MasterKey,
    create_master_key,
    create_sealing_key,
    needs_passphrase,
    open_master_key,
    open_sealing_key,
)
from evidence.errors import SignatureError
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, seal_secrets

PLACE = SealedFor(Direction.DEPOSIT, "log.example/t", "X013", "his")
SECRETS = SourceSecrets(bytes(range(32)), bytes(32))


def test_a_wrapped_secret_opens_for_its_purpose_only() -> None:
    master = MasterKey(bytes(32))
    wrapped = master.wrap("source X013/his", b"secret")
    assert master.unwrap("source X013/his", wrapped) == b"secret"
    assert b"secret" not in wrapped
    for purpose, key, box in (
        ("source X013/lis", master, wrapped),
        ("source X013/his", MasterKey(b"\1" * 32), wrapped),
        ("source X013/his", master, wrapped[:-1]),
        ("source X013/his", master, b""),
    ):
        with pytest.raises(StoreError, match="does not open"):
            key.unwrap(purpose, box)


def test_a_secret_is_wrapped_differently_each_time() -> None:
    master = MasterKey(bytes(32))
    assert master.wrap("a", b"x") != master.wrap("a", b"x")


@pytest.mark.parametrize("passphrase", [None, "金锁 correct horse".encode()])
def test_a_master_key_is_opened_again(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "keys" / "master.key"
    wrapped = create_master_key(path, passphrase).wrap("a", b"secret")
    assert needs_passphrase(path) is (passphrase is not None)
    assert open_master_key(path, passphrase).unwrap("a", wrapped) == b"secret"


def test_a_master_key_under_a_passphrase_does_not_open_without_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    create_master_key(path, b"right")
    with pytest.raises(StoreError, match="wrapped by a passphrase"):
        open_master_key(path)
    with pytest.raises(StoreError, match="does not open the master key"):
        open_master_key(path, b"wrong")


def test_key_files_are_for_their_owner_and_never_overwritten(tmp_path: Path) -> None:
    master = create_master_key(tmp_path / "master.key")
    create_sealing_key(tmp_path / "sealing.key", master)
    for name in ("master.key", "sealing.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        create_master_key(tmp_path / "master.key")
    with pytest.raises(FileExistsError):
        create_sealing_key(tmp_path / "sealing.key", master)


def test_a_master_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    create_master_key(tmp_path / "master.key")
    (tmp_path / "master.key").chmod(0o640)
    with pytest.raises(StoreError, match="can be read by others") as caught:
        open_master_key(tmp_path / "master.key")
    assert "chmod 600" in caught.value.hint


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    master = create_master_key(tmp_path / "master.key")
    create_sealing_key(tmp_path / "sealing.key", master)
    for name in ("master.key", "sealing.key"):
        path = tmp_path / name
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes((whole[place] ^ 2,)) + whole[place + 1 :])
            try:
                opened = open_master_key(path) if name == "master.key" else open_sealing_key(path, master)
            except StoreError as err:
                assert str(path) in str(err) or "sealing-key" in str(err)
            else:
                # A plain master key has no checksum of its own: what it wraps tells.
                assert isinstance(opened, MasterKey)
        path.write_bytes(whole)
    with pytest.raises(StoreError, match="cannot be read"):
        open_master_key(tmp_path / "none")


def test_the_sealing_key_opens_what_was_sealed_to_it(tmp_path: Path) -> None:
    master = create_master_key(tmp_path / "master.key")
    public = create_sealing_key(tmp_path / "sealing.key", master).public
    key = open_sealing_key(tmp_path / "sealing.key", master)
    assert key.public == public
    sealed = seal_secrets(SECRETS, PLACE, public)
    assert key.open(sealed, PLACE) == SECRETS
    with pytest.raises(SignatureError):
        key.open(sealed, SealedFor(Direction.DEPOSIT, "log.example/t", "X014", "his"))


def test_the_sealing_key_does_not_open_under_another_master_key(tmp_path: Path) -> None:
    create_sealing_key(tmp_path / "sealing.key", MasterKey(bytes(32)))
    with pytest.raises(StoreError, match="does not open"):
        open_sealing_key(tmp_path / "sealing.key", MasterKey(b"\1" * 32))
