# SPDX-License-Identifier: Apache-2.0
"""Disks that fill up while media are written or read, at whatever byte: told, nothing lost, gone on with once there is room.

The disk is a small tmpfs (mounting needs root).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import MediumError
from agent.media.order import Choice, MediaOutcome, Wish
from agent.snapshot.progress import Silent
from center.app import Center
from center.media.reading import Fate
from tests.builders.world import World, check_kept, make_incompressible, sqlite_source

MIB = 1 << 20

pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")


class SmallDisk:
    """A disk of so many MiB."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        folder.mkdir()
        self.resize(mib, "")

    def resize(self, mib: int, how: str = "remount,") -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{how}size={mib}m", "tmpfs", self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", 64)
    yield disk
    disk.unmount()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path / "world") as world:
        database = make_incompressible(world.folder / "his.db", 7 * MIB)
        with world.serving() as center:
            world.add_agent(center, "X013", sqlite_source("his", database))
        yield world


def write(world: World, to: Path, *, image: bool = True) -> MediaOutcome:
    with Agent.open(world.agent_folder("X013")) as agent:
        return agent.write_media("his", Wish(to, 8 * MIB, image), Choice.NEW, Silent())


def test_a_target_that_is_too_small_is_told_before_anything_is_written(world: World, disk: SmallDisk) -> None:
    disk.resize(10)
    with pytest.raises(MediumError, match="are needed"):
        write(world, disk.folder)
    assert list(disk.folder.iterdir()) == []
    with Agent.open(world.agent_folder("X013")) as agent:
        assert not agent.parts.media_desk("his").holds(), "nothing is on its way yet"


class Filling(Silent):
    """Somebody else fills the disk once the first pack is sealed, and leaves so much room."""

    def __init__(self, disk: SmallDisk, room_mib: int) -> None:
        self._disk = disk
        self._room_mib = room_mib

    def sent(self, size_bytes: int) -> None:
        usage = shutil.disk_usage(self._disk.folder)
        self._disk.resize(usage.used // MIB + 1 + self._room_mib)
        self._room_mib = 1 << 20


@pytest.mark.parametrize("image", [True, False])
def test_a_target_that_fills_up_is_told_and_gone_on_with(world: World, disk: SmallDisk, image: bool) -> None:
    for room_mib in (0, 1, 2, 3) if image else (0,):
        disk.resize(64)
        with Agent.open(world.agent_folder("X013")) as agent, pytest.raises(MediumError) as caught:
            agent.write_media("his", Wish(disk.folder, 8 * MIB, image), Choice.NEW, Filling(disk, room_mib))
        assert "goes on" in caught.value.hint or "run it again" in caught.value.hint
        left = [path.name for path in disk.folder.iterdir()]
        assert not any(name.startswith(".") or name.endswith(".iso") for name in left), left
    disk.resize(64)
    last = write(world, disk.folder, image=image)
    assert last.resumed and last.statements == (1,)
    with Center.open(world.center_folder) as center:
        reading = center.media_reader().read([disk.folder], world.folder / "back")
        assert reading.sets[0].is_stored


def test_a_center_whose_disk_fills_up_while_it_reads_goes_on_later(world: World, disk: SmallDisk) -> None:
    written = write(world, world.folder / "out")
    folder = disk.folder / "center"
    shutil.copytree(world.center_folder, folder)
    settings = (folder / "center.yaml").read_text(encoding="utf-8")
    small = settings.replace("disk_reserve: 256 MiB", "disk_reserve: 16 MiB")
    (folder / "center.yaml").write_text(small, encoding="utf-8")
    paths = [medium.path for medium in written.media]
    used = shutil.disk_usage(disk.folder).used // MIB + 1
    # No room for the copy; for the copy but not the packs; for packs, but little for anything else.
    postponed = 0
    for room_mib in (17, 20, 22, 24, 26):
        disk.resize(used + room_mib)
        with Center.open(folder) as center:
            media = center.media_reader().read(paths, world.folder / "back").media
        reasons = [medium.reason.en for medium in media if medium.fate is Fate.POSTPONED]
        assert all("room" in reason for reason in reasons), reasons
        postponed += bool(reasons)
    assert postponed >= 2
    disk.resize(200)
    with Center.open(folder) as center:
        reading = center.media_reader().read(paths, world.folder / "back")
        assert reading.sets[0].is_stored
        with Agent.open(world.agent_folder("X013")) as agent:
            assert agent.take_media_receipt(reading.receipts[0]).stored == (1,)
        check_kept(center, world.agent_folder("X013"), "X013", "his")
