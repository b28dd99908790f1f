# SPDX-License-Identifier: Apache-2.0
"""Copying a medium: a bad sector costs a sector, a file that cannot be opened costs that file, a full disk is told apart."""

import errno
import hashlib
import io
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from center.media.copying import TargetError, copy_medium, copy_raw, measure_medium, read_listing
from evidence.digest import Sha256
from evidence.medium.layout import LISTING, LISTING_AGAIN
from evidence.medium.listing import ListedFile, Listing
from evidence.medium.number import parse_number

SECTOR = 2048
PACK = "电子档案/2026/SJ/bag/data/packs/a.pack"
OTHER = "其他/slip.txt"


class BadFile(io.BytesIO):
    """A file of which some sectors cannot be read."""

    def __init__(self, body: bytes, bad: set[int]) -> None:
        super().__init__(body)
        self.bad = bad

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        end = min(len(self.getvalue()), start + (size if size is not None and size >= 0 else len(self.getvalue())))
        if any(start < (sector + 1) * SECTOR and sector * SECTOR < end for sector in self.bad):
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


class BadMedium:
    """A medium with bad sectors, and files that cannot be opened."""

    def __init__(self, bodies: dict[str, bytes], bad: dict[str, set[int]] | None = None) -> None:
        self.bodies = bodies
        self.bad = bad or {}
        self.opened: list[str] = []

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        self.opened.append(path)
        if path not in self.bodies:
            raise OSError(errno.EIO, "Input/output error")
        return cast(AbstractContextManager[BinaryIO], closing(BadFile(self.bodies[path], self.bad.get(path, set()))))

    def names(self) -> list[str]:
        return sorted(self.bodies)

    def __enter__(self) -> "BadMedium":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def make_listing(bodies: dict[str, bytes]) -> Listing:
    files = [ListedFile(path, len(body), Sha256(hashlib.sha256(body).digest())) for path, body in bodies.items()]
    files.sort(key=lambda file: file.path.encode())
    number = parse_number("X013-SJ-2026-003-01of06-A")
    return Listing(number, "X013", "his", "5e" * 16, datetime(2026, 11, 26, tzinfo=UTC), tuple(files))


@pytest.fixture
def bodies() -> dict[str, bytes]:
    return {PACK: random.Random(3).randbytes(3_000_001), OTHER: b"slip"}


def copied(medium: BadMedium, listing: Listing | None, root: Path) -> dict[str, str]:
    done: list[int] = []
    sizes = measure_medium(medium, listing)
    medium.opened.clear()
    found = {damage.path: damage.reason.en for damage in copy_medium(medium, listing, sizes, root, done.append)}
    assert sum(done) <= sum(map(len, medium.bodies.values()))
    return found


def test_a_sound_medium_is_copied_and_other_files_are_read_only(bodies: dict[str, bytes], tmp_path: Path) -> None:
    medium = BadMedium(bodies)
    assert copied(medium, make_listing(bodies), tmp_path) == {}
    assert (tmp_path / PACK).read_bytes() == bodies[PACK]
    assert not (tmp_path / OTHER).exists()
    assert OTHER in medium.opened


@pytest.mark.parametrize("bad", [{0}, {700}, {1464}, {5, 6, 900}])
def test_a_bad_sector_costs_that_sector_alone(bodies: dict[str, bytes], bad: set[int], tmp_path: Path) -> None:
    medium = BadMedium(bodies, {PACK: bad})
    assert copied(medium, make_listing(bodies), tmp_path) == {PACK: f"{len(bad)} sectors cannot be read"}
    copy = (tmp_path / PACK).read_bytes()
    assert len(copy) == len(bodies[PACK])
    for sector in range(len(copy) // SECTOR + 1):
        part = slice(sector * SECTOR, (sector + 1) * SECTOR)
        assert copy[part] == (bytes(len(copy[part])) if sector in bad else bodies[PACK][part])


def test_a_file_that_cannot_be_opened_or_was_changed_is_named(bodies: dict[str, bytes], tmp_path: Path) -> None:
    listing = make_listing(bodies)
    assert copied(BadMedium({OTHER: b"slip"}), listing, tmp_path / "a") == {PACK: "Input/output error"}
    changed = bodies | {PACK: bodies[PACK][:-1], OTHER: b"sl1p"}
    assert copied(BadMedium(changed), listing, tmp_path / "b").keys() == {PACK, OTHER}


def test_what_was_copied_whole_is_not_read_again(bodies: dict[str, bytes], tmp_path: Path) -> None:
    listing = make_listing(bodies)
    copied(BadMedium(bodies), listing, tmp_path)
    again = BadMedium(bodies)
    assert copied(again, listing, tmp_path) == {}
    assert PACK not in again.opened


def test_without_a_list_bags_are_copied_as_they_are_found(bodies: dict[str, bytes], tmp_path: Path) -> None:
    medium = BadMedium(bodies | {"../../evil": b"x"}, {PACK: {3}})
    assert copied(medium, None, tmp_path / "a") == {PACK: "1 sectors cannot be read"}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.pack"]


def test_either_place_of_the_list_will_do(bodies: dict[str, bytes]) -> None:
    listing = make_listing(bodies)
    raw = listing.encode()
    assert read_listing(BadMedium({LISTING: raw, LISTING_AGAIN: raw}, {LISTING: {0}})) == listing
    assert read_listing(BadMedium({LISTING: raw[:-5], LISTING_AGAIN: raw})) == listing
    assert read_listing(BadMedium({LISTING: raw[:-5]})) is None


def test_a_disk_that_refuses_is_not_taken_for_a_bad_medium(bodies: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / PACK).parent.mkdir(parents=True)
    (tmp_path / PACK).symlink_to("/dev/full")
    with pytest.raises(TargetError):
        copied(BadMedium(bodies), None, tmp_path)


def test_a_name_that_this_disk_does_not_take_costs_that_file(bodies: dict[str, bytes], tmp_path: Path) -> None:
    long = f"电子档案/{'长' * 100}"
    found = copied(BadMedium(bodies | {long: b"x"}), make_listing(bodies | {long: b"x"}), tmp_path)
    assert list(found) == [long]
    assert (tmp_path / PACK).read_bytes() == bodies[PACK]


def test_raw_bytes_are_copied_to_the_last(tmp_path: Path) -> None:
    image, count = tmp_path / "image", []
    image.write_bytes(random.Random(4).randbytes(2_500_000))
    told: Callable[[int], None] = count.append
    copy_raw(image, tmp_path / "copy", told)
    assert (tmp_path / "copy").read_bytes() == image.read_bytes()
    assert sum(count) == 2_500_000
