# SPDX-License-Identifier: Apache-2.0
"""Media that attack whoever reads them: nothing outside the reader's own folder is read or written, nothing false is taken."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.media.order import Choice, Wish
from agent.snapshot.progress import Silent
from center.app import Center
from center.media.reading import Fate
from center.media.repairing import repair
from evidence.medium.files import FolderFiles
from evidence.medium.layout import LISTING, LISTING_AGAIN
from evidence.medium.listing import parse_listing
from evidence.medium.recovery import find_names, find_program
from tests.builders.world import World, make_incompressible, sqlite_source


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path]]:
    """Give a world, and the one medium that its unit has written."""
    folder = tmp_path_factory.mktemp("media")
    with World.make(folder / "world") as world:
        database = make_incompressible(world.folder / "his.db", 1_000_000)
        with world.serving() as center:
            agent_folder = world.add_agent(center, "X013", sqlite_source("his", database))
        with Agent.open(agent_folder) as agent:
            done = agent.write_media("his", Wish(folder / "out", volume_size=8 << 20), Choice.NEW, Silent())
        yield world, done.media[0].path


@pytest.fixture
def medium(written: tuple[World, Path], tmp_path: Path) -> Path:
    """Give a copy of the medium, to spoil."""
    copy = tmp_path / "disc"
    shutil.copytree(written[1], copy)
    return copy


@pytest.fixture
def center(written: tuple[World, Path], tmp_path: Path) -> Iterator[Center]:
    """Give a copy of the center that has read nothing yet."""
    folder = tmp_path / "center"
    shutil.copytree(written[0].center_folder, folder)
    with Center.open(folder) as center:
        yield center


def records(medium: Path, suffix: str) -> list[Path]:
    return sorted(path for path in (medium / "电子档案").rglob(f"*{suffix}") if path.is_file())


def without_recovery(medium: Path) -> None:
    shutil.rmtree(medium / "其他" / "recovery")


def check_nothing_taken(center: Center, medium: Path, out: Path, *fates: Fate) -> None:
    entries = center.ledger.size
    reading = center.media_reader().read([medium], out)
    assert reading.media[0].fate in fates, reading.media[0]
    assert center.ledger.size == entries
    assert reading.receipts == ()
    assert not list(center.store.names("packs/"))


def test_an_envelope_that_the_unit_has_not_signed_is_refused(center: Center, medium: Path, tmp_path: Path) -> None:
    without_recovery(medium)
    (envelope,) = records(medium, "envelope.note")
    body = bytearray(envelope.read_bytes())
    place = body.rindex(b"\n", 0, -1) + 60
    body[place] = ord("A") if body[place] != ord("A") else ord("B")
    envelope.write_bytes(body)
    check_nothing_taken(center, medium, tmp_path / "back", Fate.REFUSED)


def test_a_bag_of_a_disabled_unit_is_refused(center: Center, medium: Path, tmp_path: Path) -> None:
    center.units.disable("X013")
    check_nothing_taken(center, medium, tmp_path / "back", Fate.REFUSED)


def test_links_on_a_medium_are_not_followed(center: Center, medium: Path, tmp_path: Path) -> None:
    without_recovery(medium)
    secret = tmp_path / "master.key"
    secret.write_bytes(b"secret")
    for pack in records(medium, ".pack"):
        pack.unlink()
        pack.symlink_to(secret)
    (medium / "其他" / "elsewhere").symlink_to(tmp_path)
    files = FolderFiles(medium)
    with pytest.raises(FileNotFoundError, match="link"):
        files.open(records_name(medium))
    assert not any(name.startswith("其他/elsewhere/") for name in files.names())
    reading = center.media_reader().read([medium], tmp_path / "back")
    assert reading.media[0].fate is Fate.LACKING
    assert secret.read_bytes() == b"secret"


def records_name(medium: Path) -> str:
    return next(path.relative_to(medium).as_posix() for path in (medium / "电子档案").rglob("*.pack"))


def test_a_pipe_in_place_of_a_file_does_not_hang_the_reader(center: Center, medium: Path, tmp_path: Path) -> None:
    without_recovery(medium)
    pack = records(medium, ".pack")[0]
    pack.unlink()
    os.mkfifo(pack)
    assert center.media_reader().read([medium], tmp_path / "back").media[0].fate is Fate.LACKING


def test_a_list_that_leads_elsewhere_is_no_list(center: Center, medium: Path, tmp_path: Path) -> None:
    raw = (medium / LISTING).read_bytes()
    listing = parse_listing(raw)
    evil = raw.replace(listing.files[0].path.encode(), b"../../../evil")
    for name in (LISTING, LISTING_AGAIN):
        (medium / name).write_bytes(evil)
    reading = center.media_reader().read([medium], tmp_path / "back")
    # Without a list the bag is still what its signed envelope says.
    assert reading.media[0].fate is Fate.TAKEN
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("name", ["keys.pem", "其他/x"])
def test_recovery_data_that_name_other_files_are_not_used(tmp_path: Path, name: str) -> None:
    program = find_program()
    assert program is not None
    victim = tmp_path / name
    victim.parent.mkdir(parents=True, exist_ok=True)
    victim.write_bytes(b"what the attacker wants there" * 100)
    folder = tmp_path / "其他" / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "recovery.par2"
    subprocess.run(
        [program, "create", "-q", "-q", "-B", tmp_path, "-s4096", "-c2", "-n1", target, victim],
        check=True,
        capture_output=True,
    )
    assert set(find_names(target.read_bytes())) == {name}
    victim.write_bytes(b"what must stay")
    assert repair(tmp_path) == "the recovery data speak of files that are none of a bag's"
    assert victim.read_bytes() == b"what must stay"


@pytest.mark.parametrize("name", ["../../keys.pem", "/etc/passwd", "电子档案/../../x", "电子档案\\..\\x"])
def test_paths_of_forged_recovery_data_are_seen_wherever_they_stand(tmp_path: Path, name: str) -> None:
    body = bytes(56) + name.encode()
    body += bytes(-len(body) % 4)
    packet = b"PAR2\0PKT" + (64 + len(body)).to_bytes(8, "little") + bytes(32) + b"PAR 2.0\0FileDesc" + body
    folder = tmp_path / "其他" / "recovery"
    folder.mkdir(parents=True)
    (folder / "recovery.par2").write_bytes(b"PAR2\0PKT" + os.urandom(999) + packet + os.urandom(99))
    assert name in set(find_names((folder / "recovery.par2").read_bytes()))
    assert repair(tmp_path) == "the recovery data speak of files that are none of a bag's"
