# SPDX-License-Identifier: Apache-2.0
"""Media that attack whoever reads them: nothing outside the reader's own folder is read or written, nothing false is taken."""

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from agent.app import Agent
from agent.identity import Identity
from agent.media.image import write_image
from agent.media.order import Choice, Wish
from agent.snapshot.progress import Silent
from center.app import Center
from center.media.reading import Fate
from center.media.repairing import repair
from evidence.bag.envelope import Envelope, read_envelope, sign_envelope
from evidence.bag.receipts import BagAnswer, parse_receipts
from evidence.digest import Sha256
from evidence.manifest.entry import Level
from evidence.medium.files import FolderFiles
from evidence.medium.image import ImageFiles
from evidence.medium.layout import LISTING, LISTING_AGAIN
from evidence.medium.listing import ListedFile, parse_listing
from evidence.medium.recovery import find_names, find_program
from terminal.language import Text
from tests.builders.world import World, make_incompressible, run_sql, sqlite_source

FOREIGN = Text(zh="修复数据涉及不属于包裹的文件", en="the recovery data speak of files that are none of a bag's")


@dataclass(frozen=True)
class Written:
    """A world, what its unit has written one after the other (each one medium), and the medium of another unit."""

    world: World
    first: Path
    second: Path
    others: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("media")

    def write(unit: str, source: str) -> Path:
        with Agent.open(world.agent_folder(unit)) as agent:
            done = agent.write_media(source, Wish(folder / "out", volume_size=8 << 20), Choice.NEW, Silent())
        return done.media[0].path

    with World.make(folder / "world") as world:
        his = make_incompressible(world.folder / "his.db", 1_000_000)
        lis = make_incompressible(world.folder / "lis.db", 100_000)
        with world.serving() as center:
            world.add_agent(center, "X013", sqlite_source("his", his))
            world.add_agent(center, "Y002", sqlite_source("lis", lis))
        first = write("X013", "his")
        run_sql(his, "UPDATE record SET body = body || '!' WHERE id = 1")
        yield Written(world, first, write("X013", "his"), write("Y002", "lis"))


@pytest.fixture
def medium(written: Written, tmp_path: Path) -> Path:
    """Give a copy of the medium, to spoil."""
    return copy_of(written.first, tmp_path / "disc")


@pytest.fixture
def others(written: Written, tmp_path: Path) -> Path:
    """Give a copy of the other unit's medium."""
    return copy_of(written.others, tmp_path / "others")


def copy_of(medium: Path, target: Path) -> Path:
    return Path(shutil.copytree(medium, target))


@pytest.fixture
def center(written: Written, tmp_path: Path) -> Iterator[Center]:
    """Give a copy of the center that has read nothing yet."""
    folder = tmp_path / "center"
    shutil.copytree(written.world.center_folder, folder)
    with Center.open(folder) as center:
        yield center


SPARSE_BYTES = 120 << 30


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
    assert repair(tmp_path) == FOREIGN
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
    assert repair(tmp_path) == FOREIGN


def test_an_image_with_one_bad_byte_among_its_folders_stops_no_other_and_is_mended(
    center: Center, medium: Path, others: Path, tmp_path: Path
) -> None:
    number = parse_listing((medium / LISTING).read_bytes()).number
    image = tmp_path / "disc.iso"
    write_image(medium, image, number, datetime(2026, 11, 26, tzinfo=UTC))
    raw = bytearray(image.read_bytes())
    stamps = raw.index(b"TF\x1a\x01", raw.index(b"TF\x1a\x01") + 1)  # of times that a file has, and how many
    raw[stamps + 4] = 0x7F
    image.write_bytes(raw)
    with pytest.raises(OSError, match="cannot be read as an ISO image"):
        ImageFiles(image)
    reading = center.media_reader().read([image, others], tmp_path / "back")
    assert [report.fate for report in reading.media] == [Fate.TAKEN] * 2, reading.media


def test_a_disc_of_which_nothing_is_left_does_not_make_the_center_say_that_all_of_it_is_there(
    center: Center, medium: Path, tmp_path: Path
) -> None:
    without_recovery(medium)
    (pack,) = records(medium, ".pack")
    pack.unlink()

    def answered() -> BagAnswer:
        (path,) = center.media_reader().read([medium], tmp_path / "back").receipts
        return parse_receipts(path.read_bytes(), center.operator.key).bags[0]

    first = answered()
    assert len(first.missing) == 1
    shutil.rmtree(medium / "电子档案")
    assert answered() == first


def test_an_image_whose_folders_lead_back_is_not_walked_for_ever(medium: Path, tmp_path: Path) -> None:
    image = tmp_path / "disc.iso"
    write_image(
        medium, image, parse_listing((medium / LISTING).read_bytes()).number, datetime(2026, 11, 26, tzinfo=UTC)
    )
    disc = PyCdlib()
    disc.open(str(image))
    below, above = (disc.get_record(rr_path=path).extent_location() for path in ("/电子档案", "/"))
    disc.close()
    # Where a folder lies stands in both orders of bytes.
    old, new = (struct.pack("<I", place) + struct.pack(">I", place) for place in (below, above))
    assert old in image.read_bytes()
    image.write_bytes(image.read_bytes().replace(old, new))
    with pytest.raises(OSError, match="loop"):
        ImageFiles(image)


# Another unit, whose key signs what it likes


def _sign_anew(written: Written, disc: Path, **changes: object) -> None:
    """Let the unit that has written a disc sign another envelope."""
    (path,) = records(disc, "envelope.note")
    _, envelope = read_envelope(path.read_bytes())
    values = {name: getattr(envelope, name) for name in Envelope.__slots__}
    signer = Identity.open(written.world.agent_folder(envelope.unit)).statement
    path.write_bytes(sign_envelope(Envelope(**(values | changes)), signer))


@pytest.mark.parametrize("takes_number", [True, False])
def test_a_unit_that_signs_anothers_set_takes_nobodys_place_in_it(
    written: Written, center: Center, medium: Path, others: Path, tmp_path: Path, takes_number: bool
) -> None:
    listing = parse_listing((medium / LISTING).read_bytes())
    without_recovery(others)
    for name in (LISTING, LISTING_AGAIN):
        (others / name).unlink()
    _sign_anew(written, others, set_=listing.set_id)
    if takes_number:
        (bag,) = (others / "电子档案").glob("*/*/*")
        bag.rename(bag.with_name(listing.number.volume_name))
    forged = center.media_reader().read([others], tmp_path / "back")
    assert forged.media[0].fate is (Fate.REFUSED if takes_number else Fate.TAKEN), forged.media[0]
    reading = center.media_reader().read([medium], tmp_path / "back")
    assert reading.media[0].fate is Fate.TAKEN, reading.media[0]
    assert [(report.name.unit, report.is_stored) for report in reading.sets] == [("X013", True)]
    latest = center.catalog.latest("X013", "his")
    assert latest is not None
    assert latest.level is Level.STORED


def test_a_waiting_bag_of_a_unit_that_was_disabled_stops_nobody(
    written: Written, center: Center, others: Path, tmp_path: Path
) -> None:
    second = copy_of(written.second, tmp_path / "second")
    without_recovery(second)
    (path,) = records(second, "envelope.note")
    _sign_anew(written, second, statements=read_envelope(path.read_bytes())[1].statements[1:])
    early = center.media_reader().read([second], tmp_path / "back")
    assert early.media[0].fate is Fate.WAITS
    center.units.disable("X013")
    reading = center.media_reader().read([others], tmp_path / "back")
    assert reading.media[0].fate is Fate.TAKEN
    assert len(reading.receipts) == 1
    center.units.enable("X013")
    late = center.media_reader().read([written.first], tmp_path / "back")
    assert [report.stored for report in late.sets] == [(1,)]
    latest = center.catalog.latest("X013", "his")
    assert latest is not None
    assert (latest.sequence, latest.level) == (2, Level.STORED), "what waited was not thrown away"


# Lists and files that claim what is not so


def _list_anew(disc: Path, more: Mapping[str, int], *, size: int | None = None) -> None:
    """Write another list: `more` files, and another size of the first pack."""
    listing = parse_listing((disc / LISTING).read_bytes())
    files = {file.path: file for file in listing.files}
    if size is not None:
        path = records_name(disc)
        files[path] = replace(files[path], size=size)
    files |= {path: ListedFile(path, claimed, Sha256(bytes(32))) for path, claimed in more.items()}
    found = tuple(sorted(files.values(), key=lambda file: file.path.encode()))
    for name in (LISTING, LISTING_AGAIN):
        (disc / name).write_bytes(replace(listing, files=found).encode())


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ({f"电子档案/{'长' * 120}": 1}, None),
        ({"电子档案/2026": 1}, None),
        ({"电子档案/2026/SJ/x": 1, "电子档案/2026/SJ/x/y": 1}, None),
        ({"电子档案/2026/SJ/x": 1 << 52}, None),
        ({}, 1 << 52),
    ],
)
def test_a_list_that_lies_costs_what_it_lies_about_and_nothing_else(
    center: Center, medium: Path, others: Path, tmp_path: Path, more: Mapping[str, int], size: int | None
) -> None:
    _list_anew(medium, more, size=size)
    reading = center.media_reader().read([medium, others], tmp_path / "back")
    assert [report.fate for report in reading.media] == [Fate.TAKEN] * 2, reading.media
    assert reading.media[0].damaged
    assert all(report.is_stored for report in reading.sets)


def test_a_disc_without_a_list_never_takes_the_reserve(
    center: Center, medium: Path, others: Path, tmp_path: Path
) -> None:
    for name in (LISTING, LISTING_AGAIN):
        (medium / name).unlink()
    for number in range(400):
        with (medium / "电子档案" / f"sparse{number}").open("wb") as file:
            file.truncate(SPARSE_BYTES)
    reading = center.media_reader().read([medium, others], tmp_path / "back")
    assert [report.fate for report in reading.media] == [Fate.POSTPONED, Fate.TAKEN], reading.media


def test_a_medium_that_is_named_by_two_dots_is_copied_where_all_others_are(
    center: Center, medium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (LISTING, LISTING_AGAIN):
        (medium / name).unlink()
    kept = center.folder / "media" / "waiting" / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"another bag")
    monkeypatch.chdir(medium / "其他")
    reading = center.media_reader().read([Path("..")], tmp_path / "back")
    assert reading.media[0].fate is Fate.TAKEN
    assert kept.read_bytes() == b"another bag"


def test_recovery_data_in_capitals_are_looked_at_as_well(tmp_path: Path) -> None:
    """The program takes `recovery.….PAR2` beside `recovery.par2` by itself."""
    program = find_program()
    assert program is not None
    victim = tmp_path / "keys.pem"
    victim.write_bytes(b"what the attacker wants there" * 100)
    folder = tmp_path / "其他" / "recovery"
    folder.mkdir(parents=True)
    target = folder / "recovery.par2"
    subprocess.run(
        [program, "create", "-q", "-q", "-B", tmp_path, "-s4096", "-c2", "-n1", target, victim],
        check=True,
        capture_output=True,
    )
    (volume,) = folder.glob("recovery.vol*.par2")
    volume.rename(volume.with_suffix(".PAR2"))
    # The index says no name: what it says of its files is in the other file alone.
    packets = target.read_bytes().split(b"PAR2\0PKT")[1:]
    target.write_bytes(b"".join(b"PAR2\0PKT" + packet for packet in packets if b"FileDesc" not in packet[:56]))
    assert not list(find_names(target.read_bytes()))
    victim.write_bytes(b"what must stay")
    assert repair(tmp_path) == FOREIGN
    assert victim.read_bytes() == b"what must stay"


def test_recovery_data_of_packets_that_overlap_are_looked_through_in_time(tmp_path: Path) -> None:
    head = b"PAR2\0PKT" + (1 << 20).to_bytes(8, "little") + bytes(32) + b"PAR 2.0\0Creator\0"
    began = time.process_time()
    assert list(find_names(head * (64 << 20 >> 6))) == []
    assert time.process_time() - began < 8, "each of a million packets was cut out: 1 TiB"
