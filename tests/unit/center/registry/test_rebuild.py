# SPDX-License-Identifier: Apache-2.0
"""The catalog made again from store and ledger: equal to the old one, whatever became of that."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from center.app import CATALOG_NAME, Center
from center.audit.opening import open_audited
from center.errors import StoreError
from center.ledger.ledger import Ledger
from center.registry.catalog import Catalog
from center.registry.packs import PackFile, list_packs, read_pack
from center.registry.rebuild import RebuildReport, fill_catalog, rebuild_catalog
from center.store.folder import FolderStore
from evidence.keys.key import KeyType
from evidence.keys.signer import open_signer
from evidence.objects.pack import PackWriter, decode_frame
from tests.builders.center import ORIGIN, Hospital, TickingClock, fill_center, open_center, patients


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rebuild") / "center"
    fill_center(folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "center"))


def dump(path: Path) -> list[str]:
    """Give all but the facts of pages: those are computed anew when they are needed."""
    with Catalog(path) as catalog:
        return [line for line in catalog.file.dump() if not line.startswith("facts") or "\t@manifest\t" in line]


def rebuild(folder: Path) -> RebuildReport:
    parts = open_audited(folder)
    assert parts.units is not None
    signer = open_signer(f"file:{folder / 'keys' / 'log.pem'}", ORIGIN, KeyType.ED25519)
    with Ledger(folder / "ledger", signer, TickingClock()) as ledger:
        return rebuild_catalog(folder / CATALOG_NAME, parts.store, ledger, parts.units)


def pack_of(folder: Path, source: str) -> Path:
    return sorted((folder / "store" / "packs" / "X013" / source).rglob("*.pack"))[0]


def test_a_rebuilt_catalog_equals_the_old_one(folder: Path) -> None:
    before = dump(folder / CATALOG_NAME)
    report = rebuild(folder)
    assert dump(folder / CATALOG_NAME) == before
    assert report.damaged == ()
    assert (report.packs, report.statements) == (7, 7)


@pytest.mark.parametrize("damage", ["removed", "emptied", "filled with noise"])
def test_a_lost_catalog_comes_back_equal(folder: Path, damage: str) -> None:
    before = dump(folder / CATALOG_NAME)
    if damage == "removed":
        (folder / CATALOG_NAME).unlink()
    else:
        (folder / CATALOG_NAME).write_bytes(b"" if damage == "emptied" else b"noise" * 5000)
    rebuild(folder)
    assert dump(folder / CATALOG_NAME) == before


def test_a_stale_write_ahead_log_is_not_read_into_the_new_catalog(folder: Path) -> None:
    before = dump(folder / CATALOG_NAME)
    (folder / f"{CATALOG_NAME}-wal").write_bytes(b"stale" * 4000)
    (folder / f"{CATALOG_NAME}-shm").write_bytes(b"stale" * 4000)
    rebuild(folder)
    assert dump(folder / CATALOG_NAME) == before


def test_a_rebuild_that_was_cut_off_is_begun_anew(folder: Path) -> None:
    before = dump(folder / CATALOG_NAME)
    (folder / f"{CATALOG_NAME}.new").write_bytes(b"half a catalog")
    rebuild(folder)
    assert dump(folder / CATALOG_NAME) == before
    assert not (folder / f"{CATALOG_NAME}.new").exists()


def test_the_center_goes_on_with_a_rebuilt_catalog(folder: Path) -> None:
    (folder / CATALOG_NAME).unlink()
    rebuild(folder)
    with open_center(folder) as center:
        latest = center.catalog.latest("X013", "his")
        assert latest is not None
        his = Hospital(center, sequence=latest.sequence, previous=latest.digest)
        assert his.snapshot(patients(9_100, {17: "又改"})).level == "stored"


def test_what_is_damaged_in_the_store_is_asked_for_again_after_a_rebuild(folder: Path) -> None:
    path = pack_of(folder, "his")
    raw = bytearray(path.read_bytes())
    reading = read_pack(FolderStore(folder / "store"), next(f for f in _files(folder) if f.name == path.stem))
    hit = reading.frames[1]
    raw[hit.offset + 46 + len(hit.data) // 2] ^= 1
    path.write_bytes(raw)
    report = rebuild(folder)
    assert [line for line in report.damaged if path.stem in line.en]
    with open_center(folder) as center:
        asked = [frame.object_id for frame in reading.frames]
        assert center.admission.missing("X013", "his", asked) == [hit.object_id]


def test_what_is_coded_against_a_lost_base_is_asked_for_again_too(folder: Path) -> None:
    readings = [read_pack(FolderStore(folder / "store"), file) for file in _files(folder)]
    frames = [(reading.file, frame) for reading in readings for frame in reading.frames]
    based = next(frame for _, frame in frames if frame.base is not None)
    [(file, base)] = [item for item in frames if item[1].object_id == based.base]
    path = folder / "store" / file.path
    raw = bytearray(path.read_bytes())
    raw[base.offset + 46 + len(base.data) // 2] ^= 1
    path.write_bytes(raw)
    rebuild(folder)
    with open_center(folder) as center:
        lost = center.admission.missing(file.unit, file.source, [base.object_id, based.object_id])
    assert lost == [base.object_id, based.object_id]


def test_of_two_copies_the_whole_one_counts_after_a_rebuild(folder: Path) -> None:
    reading = next(read_pack(FolderStore(folder / "store"), file) for file in _files(folder) if file.source == "docs")
    frame = reading.frames[0]
    body = decode_frame(frame)
    raw = io.BytesIO()
    writer = PackWriter(raw.write, level=19)
    writer.add(frame.kind, frame.object_id, body)
    writer.add(frame.kind, frame.object_id, body)
    with open_center(folder) as center:
        center.admission.put_pack("Y002", "docs", writer.name(), [raw.getvalue()])
    lesser = folder / "store" / PackFile("Y002", "docs", min(reading.file.name, writer.name())).path
    content = bytearray(lesser.read_bytes())
    content[-5] ^= 1
    content[70] ^= 1
    lesser.write_bytes(content)
    rebuild(folder)
    with open_center(folder) as center:
        assert center.objects("Y002", "docs").read(frame.object_id, frame.kind) == body


def test_a_running_center_is_not_rebuilt_under_its_feet(folder: Path) -> None:
    with open_center(folder), pytest.raises(StoreError, match="in use by another process"):
        rebuild(folder)


def test_nobody_opens_the_catalog_during_a_rebuild(folder: Path) -> None:
    def intrude(_: Catalog) -> None:
        with pytest.raises(StoreError, match="in use") as caught:
            Center.open(folder)
        assert "rebuild" in caught.value.hint

    parts = open_audited(folder)
    assert parts.units is not None
    signer = open_signer(f"file:{folder / 'keys' / 'log.pem'}", ORIGIN, KeyType.ED25519)
    with Ledger(folder / "ledger", signer, TickingClock()) as ledger:
        rebuild_catalog(folder / CATALOG_NAME, parts.store, ledger, parts.units, warm=intrude)


def test_a_file_among_the_packs_that_is_none_is_reported_and_left_alone(folder: Path) -> None:
    stray = folder / "store" / "packs" / "X013" / "his" / "notes.txt"
    stray.write_text("not a pack")
    report = rebuild(folder)
    assert any("notes.txt" in line.en for line in report.damaged)
    assert stray.exists()


def test_the_order_of_packs_in_the_store_does_not_matter(folder: Path, tmp_path: Path) -> None:
    """A pack sent twice under another name must not change which place counts."""
    parts = open_audited(folder)
    assert parts.units is not None
    signer = open_signer(f"file:{folder / 'keys' / 'log.pem'}", ORIGIN, KeyType.ED25519)
    dumps = []
    with Ledger(folder / "ledger", signer, TickingClock()) as ledger:
        for name, store in (("a", parts.store), ("b", _Reversed(folder / "store"))):
            with Catalog.create(tmp_path / name) as catalog:
                fill_catalog(catalog, store, ledger, parts.units)
                dumps.append(list(catalog.file.dump()))
    assert dumps[0] == dumps[1]


class _Reversed(FolderStore):
    def names(self, prefix: str) -> Iterator[str]:
        yield from reversed(list(super().names(prefix)))


def _files(folder: Path) -> list:  # type: ignore[type-arg]  # of PackFile
    return [file for file in list_packs(FolderStore(folder / "store")) if not isinstance(file, str)]
