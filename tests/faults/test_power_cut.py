# SPDX-License-Identifier: Apache-2.0
"""A power cut takes what was not synced: names and folders, too, though every byte of a file was."""

import os
from pathlib import Path

import pytest

from agent.spool import Spool, SpooledPack
from center.ledger.lock import LedgerLock
from center.registry.unitfolder import UnitFolder
from evidence.disk import make_private_folder, sync_folder, write_new
from evidence.objects.object import ObjectKind, name_object
from tests.builders.power import Power
from tests.builders.trees import STORAGE_KEY


def leave_unsynced_name(path: Path) -> None:
    """Do what a process does that is killed between the naming of a file and the syncing of its folder."""
    half = path.with_name("half")
    with half.open("wb") as file:
        file.write(b"whole")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    half.rename(path)


def test_name_that_a_killed_writer_left_is_durable_once_the_next_one_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = Power(tmp_path, monkeypatch)
    leave_unsynced_name(tmp_path / "file")
    assert not power.survives(tmp_path / "file")
    assert not write_new(tmp_path / "file", b"whole")
    assert power.survives(tmp_path / "file")


def test_private_folder_is_durable_with_those_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(tmp_path, monkeypatch)
    folder = tmp_path / "srv" / "center"
    make_private_folder(folder)
    write_new(folder / "center.yaml", b"origin: archives.example")
    assert power.survives(folder / "center.yaml")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_first_pack_of_a_source_is_durable_when_it_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(tmp_path, monkeypatch)
    spool = Spool(tmp_path / "spool" / "his", max_bytes=1 << 30, min_free_bytes=0, keep_bytes=0, level=1)
    durable: list[bool] = []

    def committed(pack: SpooledPack, *_: object) -> None:
        durable.append(power.survives(pack.path))

    with spool.writer(committed) as writer:
        writer.add(ObjectKind.CHUNK, name_object(STORAGE_KEY, ObjectKind.CHUNK, b"bytes"), b"bytes")
    assert durable == [True]


def test_registry_of_units_is_durable_before_the_first_unit_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = Power(tmp_path, monkeypatch)
    UnitFolder(tmp_path / "center" / "units")
    assert power.survives(tmp_path / "center" / "units")


def test_checkpoint_that_a_killed_writer_left_is_durable_before_it_is_published(tmp_path: Path) -> None:
    """Killed after the commit was written and before it was synced: who opens the ledger next reads it all the same."""
    path, log = tmp_path / "ledger.sqlite", tmp_path / "ledger.sqlite-wal"
    killed, left = tmp_path / "killed", tmp_path / "left"
    LedgerLock.create(path, b"empty")
    lock = LedgerLock(path)
    lock.swap(b"empty", b"newest", 1)
    for folder, files in ((killed, (path, log)), (left, ())):
        folder.mkdir()
        for file in files:
            (folder / file.name).write_bytes(file.read_bytes())
    lock.close()
    reopened = LedgerLock(killed / path.name)
    assert reopened.standing().note == b"newest"
    # What is only in the file beside it need not have been synced by anybody.
    (left / path.name).write_bytes((killed / path.name).read_bytes())
    reopened.close()
    after = LedgerLock(left / path.name)
    assert after.standing().note == b"newest"
    after.close()
