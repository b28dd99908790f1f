# SPDX-License-Identifier: Apache-2.0
"""What is particular to the store in a folder: its files, its temporary files, and the system's errors."""

import errno
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import center.store.folder as folder_store
from center.errors import FullError, StoreError
from center.store.folder import FolderStore, explain_os_error

NAME = "packs/X013/his/ab/cd.pack"


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_blob_is_a_file_under_its_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for _ in range(2):
        with store.create(NAME) as blob:
            blob.write(b"data")
            blob.commit()
    with store.create("packs/other") as blob:
        blob.write(b"dropped")
    assert files_of(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"data"


def test_what_a_crash_left_is_not_listed_and_can_be_removed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    crashed = store.create(NAME)
    crashed.__enter__().write(b"half")
    assert len(files_of(tmp_path)) == 1
    assert list(store.names("")) == []
    assert FolderStore(tmp_path).remove_leftovers() == 1
    assert files_of(tmp_path) == []
    crashed.__exit__(None, None, None)


def test_file_that_became_shorter_is_reported(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.create(NAME) as blob:
        blob.write(b"0123456789")
        blob.commit()
    os.truncate(tmp_path / NAME, 5)
    with pytest.raises(StoreError, match="has 5 bytes in the store, 10 were expected"):
        store.read(NAME, 0, 10)


def test_names_of_a_store_that_does_not_exist_yet_are_none(tmp_path: Path) -> None:
    assert list(FolderStore(tmp_path / "new").names("")) == []


def test_folder_in_the_place_of_a_blob_is_no_blob(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir(parents=True)
    store = FolderStore(tmp_path)
    assert store.size(NAME) is None
    with pytest.raises(StoreError):
        store.read(NAME)


def test_file_in_the_place_of_a_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "packs").write_bytes(b"")
    store = FolderStore(tmp_path)
    with pytest.raises(StoreError, match="packs"), store.create(NAME) as blob:
        blob.commit()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, FullError), (errno.EDQUOT, FullError), (errno.EIO, StoreError)]
)
def test_system_s_errors_say_what_to_do(number: int, kind: type[Exception]) -> None:
    err = explain_os_error(OSError(number, os.strerror(number)), Path("/store/x"))
    assert type(err) is kind
    assert "/store/x" in str(err)
    assert err.hint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_refuses_a_blob_and_keeps_the_others(small_disk: Path) -> None:
    store = FolderStore(small_disk)
    with store.create("packs/first") as blob:
        blob.write(bytes(100_000))
        assert blob.commit()
    with pytest.raises(FullError) as caught, store.create(NAME) as blob:
        for _ in range(300):
            blob.write(bytes(1000))
        blob.commit()
    assert caught.value.hint
    assert store.size(NAME) is None
    assert store.read("packs/first") == bytes(100_000)
    assert files_of(small_disk) == ["packs/first"]
    shutil.rmtree(small_disk / "packs")
    with store.create("packs/third") as blob:
        blob.write(bytes(100_000))
        assert blob.commit()


def test_of_folders_that_are_durable_only_so_many_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_store, "_MOST_KNOWN", 8)
    store = FolderStore(tmp_path)
    synced: list[Path] = []
    monkeypatch.setattr(folder_store, "sync_folder", synced.append)
    often = tmp_path / "often"
    for number in range(100):
        store.make_durable(tmp_path / f"{number:02}")
        store.make_durable(often)
    assert synced.count(tmp_path) == 101, "a folder that is used all the time was forgotten"
    store.make_durable(tmp_path / "00")
    assert synced.count(tmp_path) == 102
    gc.collect()
    known = [found for found in gc.get_objects() if isinstance(found, Path) and tmp_path in found.parents]
    assert len(known) < 20, "a folder is remembered for each that ever was"
