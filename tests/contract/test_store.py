# SPDX-License-Identifier: Apache-2.0
"""What every store promises (`center.store.base`), for each store that there is."""

import threading
from pathlib import Path

import pytest

from center.errors import StoreError
from center.store.base import Store
from center.store.folder import FolderStore
from tests.fakes.store import MemoryStore

NAME = "packs/X013/his/ab/" + "ab" * 32 + ".pack"
LONG = 256 * "x"
DEEP = 128 * "abcdefg/" + "a"


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "store") if request.param == "folder" else MemoryStore()


def put(store: Store, name: str, *parts: bytes | memoryview) -> bool:
    with store.create(name) as blob:
        for part in parts:
            blob.write(part)
        return blob.commit()


def test_blob_is_read_back_whole(store: Store) -> None:
    assert put(store, NAME, b"one ", b"two", memoryview(b"!"))
    assert store.read(NAME) == b"one two!"
    assert store.size(NAME) == 8


def test_empty_blob_is_a_blob(store: Store) -> None:
    assert put(store, NAME)
    assert store.size(NAME) == 0
    assert store.read(NAME) == b""


def test_first_writer_of_a_name_stays(store: Store) -> None:
    assert put(store, NAME, b"first")
    assert not put(store, NAME, b"second")
    assert store.read(NAME) == b"first"


def test_blob_is_invisible_before_commit_and_gone_without_it(store: Store) -> None:
    with store.create(NAME) as blob:
        blob.write(b"half")
        assert store.size(NAME) is None
        assert list(store.names("")) == []
    assert store.size(NAME) is None
    with pytest.raises(RuntimeError, match="cut"), store.create(NAME) as blob:
        blob.write(b"half")
        raise RuntimeError("the line was cut")
    assert store.size(NAME) is None
    assert put(store, NAME, b"whole")


def test_two_that_write_at_once_do_not_mix(store: Store) -> None:
    with store.create(NAME) as one, store.create(NAME) as two:
        one.write(b"one")
        two.write(b"two")
        assert two.commit()
        assert not one.commit()
    assert store.read(NAME) == b"two"


def test_of_many_threads_one_makes_the_blob(store: Store) -> None:
    won: list[bytes] = []

    def race(data: bytes) -> None:
        if put(store, NAME, data):
            won.append(data)

    threads = [threading.Thread(target=race, args=(b"%d" % i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read(NAME) == won[0]


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [(0, None, b"0123456789"), (4, None, b"456789"), (10, None, b""), (2, 3, b"234"), (0, 0, b""), (10, 0, b"")],
)
def test_parts_are_read(store: Store, offset: int, size: int | None, expected: bytes) -> None:
    put(store, NAME, b"0123456789")
    assert store.read(NAME, offset, size) == expected


@pytest.mark.parametrize(("offset", "size"), [(11, None), (0, 11), (9, 2), (11, 0), (1 << 40, 1)])
def test_reading_beyond_the_end_is_an_error(store: Store, offset: int, size: int | None) -> None:
    put(store, NAME, b"0123456789")
    with pytest.raises(StoreError):
        store.read(NAME, offset, size)


def test_absent_blob_has_no_size_and_cannot_be_read(store: Store) -> None:
    put(store, NAME, b"x")
    for name in ("packs/none", NAME + ".other", "packs", NAME + "/below"):
        assert store.size(name) is None
        with pytest.raises(StoreError) as caught:
            store.read(name)
        assert caught.value.hint


def test_names_are_given_by_prefix_in_order(store: Store) -> None:
    names = ["packs/A/s/00/x.pack", "packs/A/s/01/a.pack", "packs/A/s/01/b.pack", "packs/AB/s/00/x.pack", "tile/0/000"]
    for name in reversed(names):
        put(store, name, b"")
    assert list(store.names("")) == names
    assert list(store.names("packs/A/")) == names[:3]
    assert list(store.names("packs/A")) == names[:4]
    assert list(store.names("packs/A/s/01/")) == names[1:3]
    assert list(store.names("packs/A/s/01/b")) == names[2:3]
    assert list(store.names("none/")) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/.",
        ".hidden/a",
        "a b",
        "a\\b",
        "ä",
        "a\n",
        "a\0",
        LONG,
        DEEP,
    ],
)
def test_names_that_could_leave_the_store_are_refused(store: Store, name: str) -> None:
    for ask in (store.create, store.read, store.size):
        with pytest.raises(StoreError, match="cannot name a blob"):
            ask(name)
