# SPDX-License-Identifier: Apache-2.0
"""A store that leaves room for the log."""

from pathlib import Path

import pytest

from center.errors import FullError
from center.store.folder import FolderStore
from center.store.reserve import ReservedStore, free_bytes


def make(folder: Path, free: int) -> ReservedStore:
    folder.mkdir(exist_ok=True)
    return ReservedStore(FolderStore(folder), folder, 100, lambda _: free)


def test_a_blob_is_taken_while_there_is_more_than_the_reserve(tmp_path: Path) -> None:
    store = make(tmp_path / "store", free=100)
    with store.create("packs/a") as blob:
        blob.write(b"abc")
        assert blob.commit()
    assert store.read("packs/a", 1, 2) == b"bc"
    assert store.size("packs/a") == 3
    assert list(store.names("packs/")) == ["packs/a"]


def test_a_blob_is_refused_when_only_the_reserve_is_left(tmp_path: Path) -> None:
    store = make(tmp_path / "store", free=99)
    with pytest.raises(FullError, match="99 bytes free, and 100 are reserved") as caught:
        store.create("packs/a")
    assert "disk_reserve" in caught.value.hint
    assert store.size("packs/a") is None


def test_free_space_is_that_of_the_disk(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
    assert free_bytes(tmp_path / "not" / "yet") > 0
