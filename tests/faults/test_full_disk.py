# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up, on either side, at whatever byte: a clear error, nothing lost, alive, and well once there is room.

The disk is a small tmpfs (mounting needs root). A filler leaves so much room and no more; from nothing at all to almost
enough, so that each kind of file meets the end of the disk at some step.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import AgentError, CenterDownError, SpoolError
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.app import Center
from tests.builders.world import World, check_chain, check_kept, make_incompressible, run_sql, sqlite_source

UNIT = "X013"
DISK_BYTES = 64 << 20
RESERVE_BYTES = 16 << 20
AGENT_ROOMS_KIB = (0, 4, 16, 64, 160, 640, 1_300, 2_020, 2_100)
CENTER_ROOMS_KIB = (0, 4, 12, 24, 48, 96, 160, 256)
STORE_ROOMS_KIB = (-16_000, -9_000, -1_000, -4, 40, 1_000)
"""From nothing to about what a run needs; for the store, beyond the reserve, which packs leave alone."""

pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")


class SmallDisk:
    """A disk of 64 MiB that can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)

    def fill(self, room_bytes: int) -> None:
        """Leave `room_bytes` of room."""
        self.clear()
        spare = shutil.disk_usage(self.folder).free - room_bytes
        with (self.folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(spare, 1))

    def clear(self) -> None:
        """Make room."""
        (self.folder / "filler").unlink(missing_ok=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.unmount()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_incompressible(tmp_path / "his.db", 3_000_000)


def change_much(database: Path, seed: int) -> None:
    """Change every row, so that the next snapshot needs as much room as the first."""
    run_sql(database, "UPDATE record SET body = substr(body, 100) || ?", f"{seed:099}")


def join(world: World, center: Center, database: Path, folder: Path) -> None:
    world.enroll(center.units.add(UNIT, "医院").encode(), folder, sqlite_source("his", database))


def check_clear(err: Exception) -> None:
    """An error says what to do, in a sentence, and is one of ours."""
    assert isinstance(err, AgentError), repr(err)
    assert err.hint
    assert "\n" not in str(err)
    assert "Traceback" not in str(err)


def test_a_full_disk_at_the_agent_loses_nothing(tmp_path: Path, disk: SmallDisk, database: Path) -> None:
    folder = disk.folder / "agent"
    failed = 0
    with World.make(tmp_path / "world") as world, world.serving() as center:
        join(world, center, database, folder)
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent())
        for room in AGENT_ROOMS_KIB:
            change_much(database, room)
            disk.fill(room << 10)
            trouble = try_snapshot(folder)
            if trouble is not None:
                check_clear(trouble)
                failed += 1
            disk.clear()
            with Agent.open(folder) as agent:
                outcome = agent.snapshot("his", Silent())
                assert outcome.stage is Stage.STORED, outcome.trouble
                assert not agent.journal.unfinished()
                assert not agent.spool("his").packs()
                for entry in agent.journal.all_of("his"):
                    assert (folder / "receipts" / "his" / f"{entry.sequence}.json").read_bytes() == entry.receipt
        kinds = check_chain(center, UNIT, "his")
        assert len(check_kept(center, folder, UNIT, "his")) == len(kinds)
    assert failed > len(AGENT_ROOMS_KIB) // 2, "the disk was hardly ever full"


def try_snapshot(folder: Path) -> Exception | None:
    """Take a snapshot; give whatever kept it from its receipt."""
    try:
        with Agent.open(folder) as agent:
            return agent.snapshot("his", Silent()).trouble
    except Exception as err:  # noqa: BLE001 - whatever it is: it must be one of ours, and the caller checks that
        return err


def test_a_full_spool_volume_alone_is_told_apart(tmp_path: Path, disk: SmallDisk, database: Path) -> None:
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = tmp_path / "agent"
        join(world, center, database, folder)
        settings = folder / "agent.yaml"
        text = settings.read_text().replace("min_free: 0 MiB", f"min_free: 1 MiB, folder: {disk.folder / 'spool'}")
        settings.write_text(text)
        disk.fill(900 << 10)
        with Agent.open(folder) as agent:
            with pytest.raises(SpoolError, match="free, less than the 1 MiB kept") as caught:
                agent.snapshot("his", Silent())
            assert "spool.folder" in caught.value.hint
            assert not agent.journal.all_of("his")
            disk.clear()
            assert agent.snapshot("his", Silent()).stage is Stage.STORED


def settle_center(world: World, disk: SmallDisk, kept_elsewhere: Path | None) -> None:
    """Put the center's folder on the small disk; the store with it, or `kept_elsewhere`."""
    shutil.copytree(world.center_folder, disk.folder / "center")
    shutil.rmtree(world.center_folder)
    world.center_folder.symlink_to(disk.folder / "center")
    settings = world.center_folder / "center.yaml"
    text = settings.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^disk_reserve: .*$", f"disk_reserve: {RESERVE_BYTES >> 20} MiB", text)
    if kept_elsewhere is not None:
        text = text.replace("store: store", f"store: {kept_elsewhere}")
    settings.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("full", ["the store", "ledger, catalog and units"])
def test_a_full_disk_at_the_center_loses_nothing_and_the_daemon_lives(
    tmp_path: Path, disk: SmallDisk, database: Path, full: str
) -> None:
    is_store = full == "the store"
    rooms = [(RESERVE_BYTES >> 10) + room for room in STORE_ROOMS_KIB] if is_store else CENTER_ROOMS_KIB
    failed = 0
    with World.make(tmp_path / "world") as world:
        settle_center(world, disk, None if is_store else tmp_path / "elsewhere")
        folder = world.agent_folder(UNIT)
        with world.serving() as center:
            join(world, center, database, folder)
            world.snapshot(UNIT)
        with world.center_process() as process:
            for room in rooms:
                change_much(database, room)
                disk.fill(room << 10)
                with Agent.open(folder) as agent:
                    outcome = agent.snapshot("his", Silent())
                    if outcome.trouble is None:
                        assert outcome.stage is Stage.STORED
                    else:
                        failed += 1
                        check_clear(outcome.trouble)
                        assert isinstance(outcome.trouble, CenterDownError)
                        assert "JS-3201" in str(outcome.trouble), outcome.trouble
                    assert process.is_alive, "the daemon has died"
                    disk.clear()
                    # The same daemon, the same statement: it only needed room.
                    for sent in agent.send(Silent()):
                        assert sent.stage is Stage.STORED, sent.trouble
                    assert not agent.journal.unfinished()
            assert process.is_alive
        with Center.open(world.center_folder) as center:
            kinds = check_chain(center, UNIT, "his")
            assert kinds == ["snapshot"] * (len(rooms) + 1)
            assert len(check_kept(center, folder, UNIT, "his")) == len(kinds)
    assert failed >= 3, "the disk was hardly ever full"
