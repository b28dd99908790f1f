# SPDX-License-Identifier: Apache-2.0
"""Offline media, from the agent's spool to the receipt that comes back: real discs' images, real damage, no line."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path

import bagit
import pytest

from agent.app import Agent
from agent.errors import MediumError
from agent.journal import State
from agent.media.desk import media_folder
from agent.media.image import write_image
from agent.media.order import Choice, MediaOutcome, SetState, Wish
from agent.media.sets import MediaSets, WrittenSet
from agent.outcome import Stage
from agent.settings.media import VOLUME_SIZES
from agent.snapshot.progress import Silent
from center.app import Center
from center.media.reading import Fate, Reading
from evidence.bag.envelope import read_envelope
from evidence.medium.files import MediumFiles, open_medium
from evidence.medium.missing import parse_missing
from tests.builders.world import World, check_chain, check_kept, make_incompressible, run_sql, sqlite_source

MIB = 1 << 20
EXPORT_BYTES = 6_000 * MIB
EXPORT_FILE_BYTES = 750 * MIB
PLANTED = "绝密病历-7e1f-明文"


@dataclass
class Hospital:
    """An agent with a source of some 13 MB, three packs, which fill three volumes, and where its media and what comes back lie."""

    world: World
    folder: Path
    database: Path
    media: Path
    back: Path

    def write(self, choice: Choice = Choice.NEW, **wish: object) -> MediaOutcome:
        with Agent.open(self.folder) as agent:
            return agent.write_media("his", self.wish(**wish), choice, Silent())

    def wish(self, **changes: object) -> Wish:
        facts: dict[str, object] = {"to": self.media, "volume_size": 8 * MIB, "image": True, **changes}
        return Wish(**facts)  # type: ignore[arg-type]  # the test states what it changes

    def waiting_packs(self) -> list[str]:
        with Agent.open(self.folder) as agent:
            return [pack.name for pack in agent.spool("his").unsent()]


def make_hospital(world: World, size_bytes: int = 13 * MIB) -> Hospital:
    database = make_incompressible(world.folder / "his.db", size_bytes)
    run_sql(database, "UPDATE record SET body = ? WHERE id = 77", PLANTED * 300)
    with world.serving() as center:
        folder = world.add_agent(center, "X013", sqlite_source("his", database))
    return Hospital(world, folder, database, world.folder / "media", world.folder / "back")


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    with World.make(tmp_path / "world") as world:
        yield make_hospital(world)


def read(center: Center, *paths: Path, out: Path, no_more: bool = False) -> Reading:
    return center.media_reader().read(paths, out, no_more=no_more)


def open_center(world: World) -> Center:
    return Center.open(world.center_folder)


def damage(path: Path, offset: int, size: int) -> None:
    """Spoil `size` bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(size)
        file.seek(offset)
        file.write(bytes(byte ^ 0x5A for byte in old))


def test_damaged_discs_are_mended_or_named_written_again_stored_and_receipted(tmp_path: Path) -> None:
    with World.make(tmp_path / "world") as world:
        hospital = make_hospital(world, 30 * MIB)
        written = hospital.write(volume_size=14 * MIB)
        assert written.media[0].number.label == f"{written.batch.replace('-', '_')}_01OF03_A"
        tell_the_story(hospital, written, within=300_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_six_gigabytes_in_dvd_volumes_are_mended_or_named_written_again_stored_and_receipted(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    for number in range(EXPORT_BYTES // EXPORT_FILE_BYTES):
        with (export / f"导出{number:02}.dmp").open("wb") as file:
            for _ in range(EXPORT_FILE_BYTES // MIB):
                file.write(os.urandom(MIB))
    with World.make(tmp_path / "world") as world:
        with world.serving() as center:
            folder = world.add_agent(center, "X013", f"  - {{name: his, kind: files, path: {export}}}\n")
        hospital = Hospital(world, folder, export, world.folder / "media", world.folder / "back")
        written = hospital.write(volume_size=VOLUME_SIZES["dvd"])
        shutil.rmtree(export)
        assert written.volumes == 2
        assert all(medium.path.stat().st_size <= VOLUME_SIZES["dvd"] for medium in written.media)
        tell_the_story(hospital, written, within=written.media[0].size // 25)
    shutil.rmtree(tmp_path)


def tell_the_story(hospital: Hospital, written: MediaOutcome, within: int) -> None:
    """Damage the first disc by `within` bytes, which PAR2 can mend, and a whole stretch of the second, which it cannot.

    The discs are read in the order third, first, second.
    """
    first, second, *others = (medium.path for medium in written.media)
    spoiled = spoil_packs(second)
    damage(first, first.stat().st_size // 3, within)

    with open_center(hospital.world) as center:
        if others:
            early = read(center, *others, out=hospital.back)
            assert [medium.fate for medium in early.media] == [Fate.TAKEN] * len(others)
            assert (early.sets[0].unread, early.missing) == ((1, 2), ())
        late = read(center, first, second, out=hospital.back)
    assert [medium.fate for medium in late.media] == [Fate.TAKEN, Fate.LACKING]
    assert late.media[0].mended
    assert not late.sets[0].is_stored
    (named,) = late.missing
    missing = parse_missing(named.read_bytes())
    assert named.name == f"missing-{written.batch}-02of{written.volumes:02}.txt"
    assert sorted(missing.packs) == sorted(spoiled), "exactly the packs that were spoiled are named"
    with Agent.open(hospital.folder) as agent:
        again = agent.rewrite_media([named], hospital.wish(to=hospital.media / "again", volume_size=None), Silent())
    assert sum(medium.packs for medium in again.media) == len(spoiled)

    with open_center(hospital.world) as center:
        last = read(center, hospital.media / "again", out=hospital.back)
        assert all(report.is_stored for report in last.sets)
        whole = read(center, second, out=hospital.back)
        assert [medium.fate for medium in whole.media] == [Fate.KNOWN]
        assert not named.exists(), "what is lacking no more is not named any longer"
        (receipts,) = last.receipts
        check_receipt_comes_back(center, hospital, receipts)


def spoil_packs(image: Path) -> list[str]:
    """Spoil a byte in each sector of some packs, more than PAR2 can mend; give the names of these packs."""
    with open_medium(image) as medium:
        names = medium.names()
        recovery = sum(_size(medium, name) for name in names if name.endswith(".par2"))
        (note,) = (name for name in names if name.endswith("envelope.note"))
        with medium.open(note) as file:
            envelope = read_envelope(file.read())[1]
        spoiled: list[str] = []
        size = 0
        for pack in envelope.packs:
            if size > recovery:
                break
            (name,) = (name for name in names if name.endswith(f"{pack.sealed}.pack"))
            with medium.open(name) as file:
                start = find_in_image(image, file.read(4096))
            with image.open("r+b") as raw:
                for place in range(start, start + pack.size, 2048):
                    raw.seek(place + 7)
                    byte = raw.read(1)[0]
                    raw.seek(place + 7)
                    raw.write(bytes([byte ^ 1]))
            spoiled.append(pack.name)
            size += pack.size
    return spoiled


def find_in_image(image: Path, head: bytes) -> int:
    with image.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as raw:
        return raw.find(head)


def _size(medium: MediumFiles, name: str) -> int:
    with medium.open(name) as file:
        return file.seek(0, os.SEEK_END)


def agent_sets(agent: Agent) -> list[WrittenSet]:
    return MediaSets(media_folder(agent.folder)).all()


def check_receipt_comes_back(center: Center, hospital: Hospital, receipts: Path) -> None:
    assert hospital.waiting_packs()
    with Agent.open(hospital.folder) as agent:
        brought = agent.take_media_receipt(receipts)
        assert (brought.stored, brought.missing_packs, brought.refused, brought.waiting) == ((1,), 0, (), 0)
        assert {status.state for status in agent.media()} == {SetState.STORED}
        outcome = agent.last_outcome("his")
        assert outcome is not None and outcome.stage is Stage.STORED
    assert hospital.waiting_packs() == []
    kept = check_kept(center, hospital.folder, "X013", "his")
    assert [(each.sequence, each.level) for each in kept] == [(1, "stored")]


@pytest.fixture(scope="module")
def two_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hospital, MediaOutcome]]:
    """Give what was written once, in two copies, as folders; for tests that only look."""
    with World.make(tmp_path_factory.mktemp("copies") / "world") as world:
        hospital = make_hospital(world)
        yield hospital, hospital.write(image=False, copies="A,B")


def test_bags_are_valid_for_other_tools(two_copies: tuple[Hospital, MediaOutcome]) -> None:
    hospital, written = two_copies
    assert len(written.media) == 2 * written.volumes >= 4
    bags = [path.parent for path in hospital.media.rglob("bagit.txt")]
    assert len(bags) == len(written.media)
    for bag in bags:
        assert bagit.Bag(str(bag)).validate()


def test_nothing_can_be_read_without_the_key(two_copies: tuple[Hospital, MediaOutcome]) -> None:
    hospital, _ = two_copies
    with Agent.open(hospital.folder) as agent:
        keys = agent.journal.keys("his")
        packs = [pack.path.read_bytes() for pack in agent.spool("his").packs()]
    assert keys is not None
    frames = [pack[60:100] for pack in packs]
    secrets = [
        PLANTED.encode(),
        PLANTED.encode("gbk"),
        keys.row_secret,
        keys.storage_key,
        keys.row_secret.hex().encode(),
    ]
    files = [path for path in hospital.media.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        body = path.read_bytes()
        assert not any(secret in body for secret in [*secrets, *frames]), path


def test_copies_of_a_volume_differ_only_where_the_number_stands(two_copies: tuple[Hospital, MediaOutcome]) -> None:
    _, written = two_copies
    first = [medium for medium in written.media if medium.number.volume == 1]
    bodies = [_read_all(medium.path) for medium in first]
    assert bodies[0].keys() == bodies[1].keys()
    assert {name for name, body in bodies[0].items() if body != bodies[1][name]} == {
        "说明文件.TXT", "文件目录.XML", "其他/slip.html", "其他/slip.txt", "其他/medium.txt", "其他/medium-2.txt",
    }  # fmt: skip
    for name in ("说明文件.TXT", "文件目录.XML", "其他/slip.html"):
        assert str(first[0].number).encode() in bodies[0][name]


def test_digests_for_the_forms_are_those_of_other_programs(two_copies: tuple[Hospital, MediaOutcome]) -> None:
    _, written = two_copies
    root = written.media[0].path
    for name, program in (("MD5.TXT", "md5sum"), ("SM3.TXT", "openssl")):
        lines = [line.split("  ", 1) for line in (root / "其他" / name).read_text().splitlines()]
        assert {path for _, path in lines} == {
            path.relative_to(root).as_posix() for path in (root / "电子档案").rglob("*") if path.is_file()
        }
        for digest, path in lines:
            words = [program, path] if program == "md5sum" else [program, "dgst", "-sm3", "-r", path]
            done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
            assert done.stdout.split()[0] == digest


@pytest.mark.parametrize("program", ["7z", "xorriso"])
def test_images_are_read_by_other_programs(
    program: str, two_copies: tuple[Hospital, MediaOutcome], tmp_path: Path
) -> None:
    """7z reads UDF, as Windows does; xorriso Rock Ridge, as Linux may."""
    medium = two_copies[1].media[0]
    image, there = tmp_path / "disc.iso", tmp_path / "there"
    write_image(medium.path, image, medium.number, datetime(2026, 11, 26, tzinfo=UTC))
    words = {
        "7z": ["7z", "x", "-y", f"-o{there}", str(image)],
        "xorriso": ["xorriso", "-osirrox", "on", "-indev", f"stdio:{image}", "-extract", "/", str(there)],
    }[program]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _read_all(there) == _read_all(medium.path)
    assert medium.number.label in image.read_bytes()[16 * 2048 : 17 * 2048].decode("latin-1")


def _read_all(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_copy_b_makes_up_for_copy_a(hospital: Hospital) -> None:
    written = hospital.write(copies="A,B")
    a, b = [[m.path for m in written.media if m.number.copy == copy] for copy in "AB"]
    damage(a[1], a[1].stat().st_size // 4, 3 * MIB)
    with open_center(hospital.world) as center:
        assert not read(center, *a, out=hospital.back).sets[0].is_stored
        assert read(center, b[1], out=hospital.back).sets[0].is_stored


def test_a_disc_whose_folders_are_gone_is_brought_forth_from_its_bytes(hospital: Hospital) -> None:
    written = hospital.write()
    for medium in written.media:
        damage(medium.path, 16 * 2048, 300 * 2048)
        with pytest.raises(OSError, match="ISO image"):
            open_medium(medium.path)
    with open_center(hospital.world) as center:
        reading = read(center, *(medium.path for medium in written.media), out=hospital.back)
        assert [medium.fate for medium in reading.media] == [Fate.TAKEN] * 3
        assert reading.sets[0].is_stored


def test_a_lost_disc_is_named_as_a_whole_and_written_again(hospital: Hospital) -> None:
    written = hospital.write()
    with open_center(hospital.world) as center:
        reading = read(center, written.media[0].path, written.media[2].path, out=hospital.back, no_more=True)
        (named,) = reading.missing
        assert parse_missing(named.read_bytes()).packs == ()
        with Agent.open(hospital.folder) as agent:
            again = agent.rewrite_media([named], hospital.wish(to=hospital.media / "again"), Silent())
        assert sum(medium.packs for medium in again.media) == written.media[1].packs
        last = read(center, hospital.media / "again", out=hospital.back)
        assert last.sets[0].is_stored
        check_receipt_comes_back(center, hospital, last.receipts[0])


def test_nights_in_between_are_registered_and_push_nothing_up_the_line(hospital: Hospital) -> None:
    written = hospital.write(Choice.ALL)
    with hospital.world.serving() as center:
        before = hospital.world.line.sent
        run_sql(hospital.database, "UPDATE record SET body = 'edited at night' WHERE id = 5")
        with Agent.open(hospital.folder) as agent:
            night = agent.snapshot("his", Silent())
        assert night.stage is Stage.REGISTERED
        assert hospital.world.line.sent - before < 200_000
        reading = read(center, *(medium.path for medium in written.media), out=hospital.back)
        assert reading.sets[0].is_stored
        # The line tells, too, that the disc has come; then what is new goes by it.
        with Agent.open(hospital.folder) as agent:
            sent = agent.send(Silent())
        assert [(outcome.sequence, outcome.stage) for outcome in sent] == [(1, Stage.STORED), (2, Stage.STORED)]
        assert hospital.world.line.sent - before < 600_000
        check_kept(center, hospital.folder, "X013", "his")
    with Agent.open(hospital.folder) as agent:
        statements = [entry.note for entry in agent.journal.all_of("his")]
    assert b"channel media" in statements[0] and b"channel online" in statements[1]
    assert hospital.waiting_packs() == []


def test_all_of_a_snapshot_that_is_here_is_written_without_reading_the_source(hospital: Hospital) -> None:
    with hospital.world.serving() as center:
        hospital.world.snapshot("X013")
        run_sql(hospital.database, "UPDATE record SET body = 'changed' WHERE id % 50 = 0")
        with Agent.open(hospital.folder) as agent:
            agent.snapshot("his", Silent(), send=False)
        away = hospital.database.rename(hospital.database.with_suffix(".away"))
        written = hospital.write(Choice.ALL)
        assert written.statements == (2,)
        with Agent.open(hospital.folder) as agent:
            check_whole(agent, agent_sets(agent)[0])
        reading = read(center, *(medium.path for medium in written.media), out=hospital.back)
        assert reading.sets[0].is_stored
        check_kept_after(hospital, reading.receipts[0], center)
    assert away.exists()


def check_whole(agent: Agent, written: WrittenSet) -> None:
    """The packs on the media hold every object of the newest snapshot; without any one of them they do not."""
    desk = agent.parts.media_desk("his")
    on_media = {name for volume in written.volumes for name in volume.packs}
    found = desk.find_whole(agent.folder)
    assert found is not None and {pack.name for pack in found} <= on_media
    for pack in found:
        hidden = pack.path.rename(pack.path.with_suffix(".hidden"))
        assert desk.find_whole(agent.folder) is None
        hidden.rename(pack.path)


def check_kept_after(hospital: Hospital, receipts: Path, center: Center) -> None:
    with Agent.open(hospital.folder) as agent:
        assert agent.take_media_receipt(receipts).stored == (2,)
    assert [each.level for each in check_kept(center, hospital.folder, "X013", "his")] == ["stored", "stored"]


def test_all_of_a_folder_is_written_without_opening_a_file_again(tmp_path: Path) -> None:
    folder = tmp_path / "pacs"
    folder.mkdir()
    for number, size in enumerate((0, 70_000, 3 * MIB)):
        (folder / f"影像{number}.dcm").write_bytes(os.urandom(size))
    with World.make(tmp_path / "world") as world, world.serving() as center:
        agent_folder = world.add_agent(center, "X013", f"  - {{name: his, kind: files, path: {folder}}}\n")
        hospital = Hospital(world, agent_folder, folder, world.folder / "media", world.folder / "back")
        with Agent.open(agent_folder) as agent:
            agent.snapshot("his", Silent(), send=False)
        shutil.rmtree(folder)
        written = hospital.write(Choice.ALL)
        assert written.statements == (1,)
        with Agent.open(agent_folder) as agent:
            check_whole(agent, agent_sets(agent)[0])
        assert read(center, *(medium.path for medium in written.media), out=hospital.back).sets[0].is_stored


def test_all_of_a_snapshot_that_is_not_here_any_more_is_read_anew(hospital: Hospital) -> None:
    with hospital.world.serving():
        hospital.world.snapshot("X013")
    kept = sorted((hospital.folder / "spool" / "his" / "kept").glob("*.pack"))
    kept[0].unlink()
    written = hospital.write(Choice.ALL)
    assert written.statements == (2,)
    assert sum(medium.packs for medium in written.media) == len(kept)


def test_after_the_time_limit_everything_goes_by_the_line_and_a_late_disc_does_no_harm(hospital: Hospital) -> None:
    late = hospital.write()
    (note,) = (hospital.folder / "media").glob("*.json")
    with Agent.open(hospital.folder) as agent:
        (written,) = agent_sets(agent)
        agent.parts.media_desk("his").abandon(written)
        assert [status.state for status in agent.media()] == [SetState.LATE]
    assert note.exists()
    with hospital.world.serving():
        hospital.world.snapshot("X013")
    assert hospital.world.line.sent > 8 * MIB
    with Agent.open(hospital.folder) as agent:
        assert [entry.state for entry in agent.journal.all_of("his")] == [State.STORED, State.STORED]
    with hospital.world.serving() as center:
        with Agent.open(hospital.folder) as agent:
            agent.greet()
        before = (center.ledger.size, sorted(center.store.names("packs/")))
        reading = read(center, *(medium.path for medium in late.media), out=hospital.back)
        assert reading.sets[0].is_stored
        assert (center.ledger.size, sorted(center.store.names("packs/"))) == before
        with Agent.open(hospital.folder) as agent:
            assert agent.take_media_receipt(reading.receipts[0]).stored == ()


def test_a_medium_pulled_midway_is_gone_on_with_elsewhere(hospital: Hospital) -> None:
    other = hospital.media.with_name("other-disk")

    class Pulled(Silent):
        def __init__(self) -> None:
            self.sent_bytes = 0

        def sent(self, size_bytes: int) -> None:
            self.sent_bytes += size_bytes
            if self.sent_bytes > 5 * MIB:
                shutil.rmtree(hospital.media)
                hospital.media.write_bytes(b"")

    with Agent.open(hospital.folder) as agent, pytest.raises(MediumError) as caught:
        agent.write_media("his", hospital.wish(image=False), Choice.NEW, Pulled())
    assert "cannot be written" in str(caught.value)
    with Agent.open(hospital.folder) as agent:
        assert [status.state for status in agent.media()] == [SetState.UNFINISHED]
    written = hospital.write(to=other, image=False)
    assert (written.resumed, written.skipped, len(written.media)) == (True, 1, 2)
    assert written.statements == (1,)


def test_a_reading_that_was_cut_goes_on_and_takes_nothing_twice(hospital: Hospital) -> None:
    written = hospital.write()
    paths = [medium.path for medium in written.media]

    class Cut(BaseException):
        pass

    with open_center(hospital.world) as center:
        reader = center.media_reader()
        opened = reader._open
        count = 0

        def cut(path: Path):  # type: ignore[no-untyped-def]  # as `open_medium`
            nonlocal count
            count += 1
            if count == 2:
                raise Cut
            return opened(path)

        reader._open = cut
        with pytest.raises(Cut):
            reader.read(paths, hospital.back)
    with open_center(hospital.world) as center:
        reading = read(center, *paths, out=hospital.back)
        assert [medium.fate for medium in reading.media] == [Fate.KNOWN, Fate.TAKEN, Fate.TAKEN]
        assert reading.sets[0].is_stored
        assert not list((center.folder / "media" / "work").iterdir())
        check_receipt_comes_back(center, hospital, reading.receipts[0])


def test_media_of_another_center_are_refused_and_nothing_is_logged(hospital: Hospital, tmp_path: Path) -> None:
    written = hospital.write()
    with World.make(tmp_path / "elsewhere") as elsewhere, open_center(elsewhere) as center:
        center.units.add("X013", "同名单位")
        size = center.ledger.size
        reading = read(center, written.media[0].path, out=hospital.back)
        assert [medium.fate for medium in reading.media] == [Fate.REFUSED]
        assert (center.ledger.size, reading.receipts, reading.missing) == (size, (), ())


def test_an_agent_restored_from_an_old_copy_is_told_by_its_receipts_and_states_a_gap(hospital: Hospital) -> None:
    old = hospital.folder.with_name("old")
    with Agent.open(hospital.folder) as agent:
        agent.write_media("his", hospital.wish(to=hospital.media / "none"), Choice.NEW, Silent())
    shutil.copytree(hospital.folder, old)
    with Agent.open(old) as agent:
        agent.journal.exchange([agent.journal.get("his", 1)], [])
    first = hospital.write(Choice.WAITING)
    with open_center(hospital.world) as center:
        assert read(center, *(medium.path for medium in first.media), out=hospital.back).sets[0].is_stored

        run_sql(hospital.database, "UPDATE record SET body = 'later' WHERE id = 9")
        again = replace(hospital, folder=old, media=hospital.media / "again")
        second = again.write()
        reading = read(center, *(medium.path for medium in second.media), out=hospital.back)
        assert any("JS-3103" in refusal for medium in reading.media for refusal in medium.refusals)
        with Agent.open(old) as agent:
            brought = agent.take_media_receipt(reading.receipts[0])
        assert brought.refused and "admitted before with another text" in brought.refused[0]
        third = replace(again, media=hospital.media / "third").write()
        assert third.statements == (2, 3)
        assert read(center, *(medium.path for medium in third.media), out=hospital.back).sets[0].is_stored
        assert check_chain(center, "X013", "his") == ["snapshot", "gap", "snapshot"]


def test_several_nights_on_media_are_stored_whatever_volume_is_read_first(hospital: Hospital) -> None:
    with Agent.open(hospital.folder) as agent:
        for night in range(3):
            run_sql(hospital.database, "UPDATE record SET body = ? WHERE id % 40 = ?", f"night {night} " * 300, night)
            if night:
                agent.snapshot("his", Silent(), send=False)
            else:
                agent.write_media("his", hospital.wish(to=hospital.media / "lost in the post"), Choice.NEW, Silent())
        late = agent.write_media("his", hospital.wish(), Choice.WAITING, Silent())
    assert late.statements == (1, 2, 3)
    with open_center(hospital.world) as center:
        reading = read(center, *reversed([medium.path for medium in late.media]), out=hospital.back)
        assert reading.sets[0].is_stored
        assert reading.sets[0].stored == (1, 2, 3)
        fates = {medium.fate for medium in reading.media}
        assert fates == {Fate.TAKEN, Fate.WAITS}, "what builds on a volume that is read later waits for it"
        assert not list((center.folder / "media" / "waiting").glob("*/*"))


def test_the_verifier_on_the_medium_runs(two_copies: tuple[Hospital, MediaOutcome]) -> None:
    _, written = two_copies
    folder = written.media[0].path / "其他" / "verifier"
    archive = folder / "jinsuo-verify.pyz"
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in (folder / "README.TXT").read_text("utf-8-sig")
    done = subprocess.run([sys.executable, "-I", str(archive), "--help"], capture_output=True, text=True, check=True)
    assert "--policy" in done.stdout
