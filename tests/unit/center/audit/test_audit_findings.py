# SPDX-License-Identifier: Apache-2.0
"""What an audit says: which file, which table and keys, which snapshots; and how much it read."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from center.app import CATALOG_NAME
from center.audit.audit import audit
from center.audit.findings import AuditReport, Finding, SnapshotName, Thing
from center.audit.opening import open_audited
from center.errors import NotFoundError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import BLOBS_SPEC, Fact, ObjectPlace
from center.registry.packs import PackFile, read_pack
from center.store.folder import FolderStore
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.entry import Level
from evidence.manifest.statement import Channel, Consistency, GapCause, GapStatement, SnapshotStatement, key_name
from evidence.note.signed import sign_note
from evidence.objects.object import ObjectKind
from evidence.objects.pack import FRAME_HEAD_BYTES, Frame
from tests.builders.center import NOW, Hospital, fill_center, open_center, patients, scans, wards

HIS_1, HIS_2 = SnapshotName("X013", "his", 1), SnapshotName("X013", "his", 2)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "center"
    fill_center(folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "center"))


def run(folder: Path, percent: float = 100, chance: Callable[[], float] | None = None) -> AuditReport:
    return audit(open_audited(folder), percent, chance=chance or random.Random(7).random)


def damages(report: AuditReport) -> list[Finding]:
    return [finding for finding in report.findings if not finding.is_note]


def packs_of(folder: Path, source: str, unit: str = "X013") -> list[PackFile]:
    paths = sorted((folder / "store" / "packs" / unit / source).rglob("*.pack"))
    return [PackFile(unit, source, path.stem) for path in paths]


def frames_of(folder: Path, source: str, kind: ObjectKind) -> list[tuple[PackFile, Frame]]:
    store = FolderStore(folder / "store")
    return [
        (file, frame)
        for file in packs_of(folder, source)
        for frame in read_pack(store, file).frames
        if frame.kind is kind
    ]


def flip(folder: Path, file: PackFile, frame: Frame) -> None:
    """Flip a bit in the middle of a frame's data."""
    path = folder / "store" / file.path
    raw = bytearray(path.read_bytes())
    raw[frame.offset + FRAME_HEAD_BYTES + len(frame.data) // 2] ^= 0x10
    path.write_bytes(raw)


def test_a_sound_center_is_sound_and_the_report_says_how_much_was_read(folder: Path) -> None:
    report = run(folder)
    assert report.findings == ()
    assert report.is_sound
    read = report.reading
    stored = sum(path.stat().st_size for path in (folder / "store").rglob("*.pack"))
    assert read.bytes_ >= stored
    assert (read.packs, read.snapshots, read.statements, read.entries, read.blobs) == (7, 6, 7, 15, 12)
    assert read.receipts == 8  # seven statements, one of which was stored by a leaf of its own
    assert (read.skipped_packs, read.skipped_pages) == (0, 0)


def test_an_audit_leaves_nothing_behind_and_changes_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}
    run(folder)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}
    assert after == before


def test_a_share_reads_less_and_says_so(folder: Path) -> None:
    report = run(folder, percent=30)
    assert report.findings == ()
    assert 0 < report.reading.skipped_packs < 7
    assert report.reading.skipped_pages > 0
    assert report.reading.entries == 15


def test_a_share_finds_damage_in_what_it_reads(folder: Path) -> None:
    file, frame = frames_of(folder, "his", ObjectKind.PAGE)[3]
    flip(folder, file, frame)
    report = run(folder, percent=50, chance=lambda: 0.1)
    assert f"store/{file.path}" in {finding.where for finding in damages(report)}


def test_a_share_finds_a_pack_that_was_cut_off_though_it_does_not_read_it(folder: Path) -> None:
    file = packs_of(folder, "his")[0]
    path = folder / "store" / file.path
    path.write_bytes(path.read_bytes()[:-1])
    report = run(folder, percent=1, chance=lambda: 0.9)
    assert any(f.where == f"store/{file.path}" and "its objects need" in f.reason.en for f in damages(report))


def test_a_damaged_page_is_located_to_its_table_its_keys_and_its_snapshots(folder: Path) -> None:
    first = next(item for item in frames_of(folder, "his", ObjectKind.PAGE) if item[1].base is None)
    flip(folder, *first)
    with Catalog(folder / CATALOG_NAME) as catalog:
        fact = catalog.find_facts("X013", "his", "0:int", [first[1].object_id])[first[1].object_id]
    short = first[1].object_id.hex()[:16]
    hit = [f for f in damages(run(folder)) if f.thing is Thing.PAGE and f.reason.en.startswith(f"PAGE object {short}")]
    assert [f.table for f in hit] == ["patient"]
    assert hit[0].keys is not None
    assert hit[0].keys.first == fact.first_key
    assert hit[0].keys.next is not None
    assert int(hit[0].keys.next) == int(fact.last_key) + 1
    assert hit[0].where == f"store/{first[0].path}"
    assert set(hit[0].snapshots) <= {HIS_1, HIS_2}
    assert hit[0].snapshots


def test_a_page_that_both_snapshots_share_is_one_finding_that_names_both(folder: Path) -> None:
    with Catalog(folder / CATALOG_NAME) as catalog:
        shared = [
            item
            for item in frames_of(folder, "his", ObjectKind.PAGE)
            for fact in catalog.find_facts("X013", "his", "0:int", [item[1].object_id]).values()
            if int(fact.first_key) > 2_000 and int(fact.last_key) < 6_000
        ]
    flip(folder, *shared[0])
    pages = [f for f in damages(run(folder)) if f.thing is Thing.PAGE and f.where == f"store/{shared[0][0].path}"]
    assert [f.snapshots for f in pages if f.reason.en.startswith("PAGE")] == [(HIS_1, HIS_2)]


def test_a_damaged_base_is_named_and_not_the_packs_that_need_it(folder: Path) -> None:
    based = [item for item in frames_of(folder, "his", ObjectKind.PAGE) if item[1].base is not None]
    assert based, "the builder must make base-coded pages"
    base = based[0][1].base
    [origin] = [item for item in frames_of(folder, "his", ObjectKind.PAGE) if item[1].object_id == base]
    assert origin[0] != based[0][0]
    flip(folder, *origin)
    assert {f.where for f in damages(run(folder))} == {f"store/{origin[0].path}"}


def test_a_damaged_file_is_located_to_its_row(folder: Path) -> None:
    file, chunk = frames_of(folder, "pacs", ObjectKind.CHUNK)[0]
    flip(folder, file, chunk)
    found = damages(run(folder))
    assert {f.where for f in found} == {f"store/{file.path}"}
    rows = [f for f in found if f.table == "scan"]
    assert len(rows) == 1
    assert rows[0].keys is not None
    assert rows[0].keys.first.decode().startswith("影像/")
    assert rows[0].keys.next == rows[0].keys.first


def test_objects_of_a_damaged_pack_that_can_be_read_are_not_lost(folder: Path) -> None:
    pages = frames_of(folder, "his", ObjectKind.PAGE)
    file, frame = next(item for item in pages if item[1].base is None)
    flip(folder, file, frame)
    lost = [f for f in damages(run(folder)) if f.thing is Thing.PAGE]
    assert 1 <= len(lost) < sum(item[0] == file for item in pages)


def test_two_copies_of_an_object_and_one_is_damaged_the_other_serves(folder: Path) -> None:
    """The pack itself is named; nothing that a snapshot needs is missing."""
    with open_center(folder) as center:
        latest = center.catalog.latest("X013", "his")
        assert latest is not None
        his = Hospital(center, sequence=latest.sequence, previous=latest.digest)
        statement, objects = his.prepare([wards("内科")])
        his.send(objects)
        first = his.packs[-1]
        # The same objects under another name: as after a crash between store and catalog.
        import io

        from evidence.objects.pack import PackWriter

        raw = io.BytesIO()
        writer = PackWriter(raw.write, level=19)
        for name, (kind, body) in reversed(objects.bodies.items()):
            writer.add(kind, name, body)
        center.admission.put_pack("X013", "his", writer.name(), [raw.getvalue()])
        his.submit(statement)
    damaged = PackFile("X013", "his", min(first, writer.name()))
    path = folder / "store" / damaged.path
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    report = run(folder)
    assert {f.where for f in damages(report)} == {f"store/{damaged.path}"}
    assert all(f.thing is Thing.PACK for f in damages(report))


def test_a_pack_that_is_on_its_way_in_is_noted_and_no_damage(folder: Path) -> None:
    with open_center(folder) as center:
        his = Hospital(center, sequence=2, previous=center.catalog.statement("X013", "his", 2).digest)
        _, objects = his.prepare([wards("新科室")])
        his.send(objects)
    with sqlite3.connect(folder / CATALOG_NAME) as connection:
        connection.execute("DELETE FROM objects WHERE pack = (SELECT max(id) FROM packs)")
        connection.execute("DELETE FROM facts WHERE id NOT IN (SELECT id FROM objects)")
        connection.execute("DELETE FROM packs WHERE id = (SELECT max(id) FROM packs)")
    connection.close()
    report = run(folder)
    assert report.is_sound
    assert [f.thing for f in report.findings] == [Thing.PACK]


def test_a_statement_whose_trees_are_false_is_found_though_every_hash_of_storage_holds(folder: Path) -> None:
    """Somebody with the keys of unit and log added a statement that the center never judged."""
    with open_center(folder) as center:
        row = center.catalog.statement("X013", "his", 2)
        his = Hospital(center, sequence=2, previous=row.digest)
        statement = SnapshotStatement(
            "X013", "his", 3, row.digest, NOW, NOW, Consistency.CONSISTENT, "-", Channel.ONLINE, 2, 9_103, 12,
            row.manifest_sha256 or Sha256(b""), Sha256(bytes(32)),
        )  # fmt: skip
        note = sign_note(statement.encode(), [his.signer.renamed(key_name("X013", "his"))]).encode()
        center.ledger.append("statement", Level.STORED, note)
        center.replay.catch_up()
    found = damages(run(folder))
    assert [(f.thing, f.snapshots) for f in found] == [(Thing.SNAPSHOT, (SnapshotName("X013", "his", 3),))]
    assert "root" in found[0].reason.en


def test_a_statement_that_breaks_the_chain_is_found(folder: Path) -> None:
    with open_center(folder) as center:
        his = Hospital(center, sequence=2)
        statement = SnapshotStatement(
            "X013", "his", 3, Sha256(bytes(32)), NOW, NOW, Consistency.CONSISTENT, "-", Channel.ONLINE, 1, 0, 0,
            Sha256(bytes(32)), Sha256(bytes(32)),
        )  # fmt: skip
        center.ledger.append("statement", Level.REGISTERED, his.sign(statement))
        center.replay.catch_up()
    found = damages(run(folder))
    assert [f.thing for f in found] == [Thing.STATEMENT]
    assert "does not name the statement before it" in found[0].reason.en


def test_a_statement_by_a_key_that_the_unit_never_had_is_found(folder: Path) -> None:
    with open_center(folder) as center:
        row = center.catalog.statement("X013", "his", 2)
        thief = Hospital(center, unit="Z999", source="his")
        statement = SnapshotStatement(
            "X013", "his", 3, row.digest, NOW, NOW, Consistency.CONSISTENT, "-", Channel.ONLINE, 1, 0, 0,
            Sha256(bytes(32)), Sha256(bytes(32)),
        )  # fmt: skip
        note = sign_note(statement.encode(), [thief.signer.renamed(key_name("X013", "his"))]).encode()
        sealed = center.ledger.append("statement", Level.REGISTERED, note)
    found = damages(run(folder))
    assert [(f.thing, f.where) for f in found] == [(Thing.ENTRY, f"log@{sealed.index}")]


def test_a_key_that_was_slipped_into_a_unit_is_found(folder: Path) -> None:
    path = folder / "units" / "X013" / "unit.json"
    with open_center(folder) as center:
        stranger = center.units.get("Y002").keys[0]
        own = center.units.get("X013").keys[0]
    text = path.read_text()
    forged = stranger.statement.renamed("X013").vkey
    path.write_text(text.replace(own.statement.vkey, forged))
    found = damages(run(folder))
    assert any(f.where == "units/X013/unit.json" and forged in f.reason.en for f in found)


def test_a_unit_that_the_log_says_is_disabled_cannot_be_enabled_by_editing_a_file(folder: Path) -> None:
    with open_center(folder) as center:
        center.units.disable("Y002", reason="密钥泄露")
    assert run(folder).is_sound
    path = folder / "units" / "Y002" / "unit.json"
    path.write_text(path.read_text().replace('"disabled":true', '"disabled":false'))
    found = damages(run(folder))
    assert [(f.thing, f.where) for f in found] == [(Thing.UNIT, "units/Y002/unit.json")]


def test_secrets_of_a_source_that_were_removed_are_missed(folder: Path) -> None:
    (folder / "units" / "X013" / "sources" / "pacs.json").unlink()
    found = damages(run(folder))
    assert {f.where for f in found} == {"units/X013/sources/pacs.json"}
    assert {name for f in found for name in f.snapshots} == {SnapshotName("X013", "pacs", n) for n in (1, 2)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE statements SET rows = rows + 1 WHERE sequence = 2", "says rows"),
        ("DELETE FROM statements WHERE sequence = 1", "it lacks statement"),
        ("UPDATE statements SET level = 'registered', stored_index = NULL WHERE sequence = 1", "says"),
        ("UPDATE objects SET offset = offset + 1 WHERE kind = 5", "where it does not"),
        ("UPDATE objects SET codec = 0 WHERE kind = 6", "where it does not"),
        ("DELETE FROM objects WHERE kind = 1", "it lacks object"),
        ("UPDATE facts SET rows = rows + 1 WHERE level = 0 AND rows > 0", "is false"),
        ("UPDATE facts SET last_key = x'31' WHERE level = 1", "is false"),
        ("DELETE FROM facts WHERE spec = (SELECT id FROM specs WHERE name = '@tokens')", "is false"),
    ],
)
def test_a_false_row_of_the_catalog_is_found_and_only_the_catalog_is_blamed(
    folder: Path, change: str, says: str
) -> None:
    with sqlite3.connect(folder / CATALOG_NAME) as connection:
        assert connection.execute(change).rowcount > 0
    connection.close()
    found = damages(run(folder))
    assert {f.where for f in found} == {CATALOG_NAME}
    assert any(says in f.reason.en for f in found)
    assert "rebuild" in found[0].hint.en


def test_a_catalog_that_knows_an_object_that_is_nowhere_is_found(folder: Path) -> None:
    ghost = ObjectId(b"\x07" * 32)
    with Catalog(folder / CATALOG_NAME) as catalog:
        name = catalog.packs("X013", "his")[0]
        catalog.add_pack("X013", "his", name, [(ghost, ObjectPlace(name, 15, 10, 10, 1, 0, None))])
        catalog.add_facts("X013", "his", [(ghost, BLOBS_SPEC, Fact(Sha256(ghost), 0, 1, 1, 1, b"", b"", True))])
    assert {f.where for f in damages(run(folder))} == {CATALOG_NAME}


def test_with_a_damaged_catalog_even_a_share_reads_everything(folder: Path) -> None:
    (folder / CATALOG_NAME).write_bytes(b"noise" * 999)
    report = run(folder, percent=5)
    assert {f.where for f in damages(report)} == {CATALOG_NAME}
    assert report.reading.packs == 7
    assert report.percent == 100


def test_a_snapshot_that_does_not_list_a_file_of_its_rows_is_found(folder: Path) -> None:
    """The row was judged in an earlier snapshot that listed the file: that must not count for this one."""
    content = b"x" * 90_000
    with open_center(folder) as center:
        pacs = Hospital(center, source="ct")
        pacs.snapshot(scans({"a": content}), contents=[content])
        statement, objects = pacs.prepare([scans({"a": content})], contents=[])
        pacs.send(objects)
        center.ledger.append("statement", Level.STORED, pacs.sign(statement))
        center.replay.catch_up()
    found = damages(run(folder))
    assert [(f.thing, f.table, f.snapshots) for f in found] == [(Thing.BLOB, "scan", (SnapshotName("X013", "ct", 2),))]
    assert "does not list" in found[0].reason.en


def test_an_older_copy_of_ledger_sqlite_is_found(folder: Path) -> None:
    old = (folder / "ledger" / "ledger.sqlite").read_bytes()
    with open_center(folder) as center:
        Hospital(center, unit="Z001", source="a").snapshot(patients(3))
    (folder / "ledger" / "ledger.sqlite").write_bytes(old)
    found = damages(run(folder))
    assert {f.where for f in found} == {"ledger/ledger.sqlite"}
    assert "an older copy" in found[0].reason.en


def test_another_log_key_in_the_key_file_is_blamed_on_the_key_file(folder: Path) -> None:
    from evidence.keys.signer import create_key_file

    (folder / "keys" / "log.pem").unlink()
    create_key_file(folder / "keys" / "log.pem")
    assert {f.where for f in damages(run(folder))} == {"keys/log.pem"}


def test_another_operator_key_in_the_key_file_is_blamed_on_the_key_file(folder: Path) -> None:
    from evidence.keys.signer import create_key_file

    (folder / "keys" / "operator.pem").unlink()
    create_key_file(folder / "keys" / "operator.pem")
    assert {f.where for f in damages(run(folder))} == {"keys/operator.pem"}


def test_a_folder_that_is_no_center_is_an_error_and_not_a_finding(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no center"):
        open_audited(tmp_path)


def test_several_damages_are_all_named(folder: Path) -> None:
    files = packs_of(folder, "his")
    for file in files[:2]:
        path = folder / "store" / file.path
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "ledger" / "tile" / "0" / "000.p" / "15").write_bytes(b"short")
    (folder / "units" / "Y002" / "sources" / "docs.json").write_bytes(b"{}")
    where = {f.where for f in damages(run(folder))}
    assert {f"store/{file.path}" for file in files[:2]} <= where
    assert {"ledger/tile/0/000.p/15", "units/Y002/sources/docs.json"} <= where


def test_damage_is_never_raised(folder: Path) -> None:
    for path in (folder / "store").rglob("*.pack"):
        path.write_bytes(b"")
    for path in (folder / "ledger" / "tile").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    try:
        report = run(folder)
    except EvidenceError as err:
        pytest.fail(f"an audit raised {err!r}")
    assert len(damages(report)) > 10


def test_statement_by_a_key_that_was_lost_before_is_named(folder: Path) -> None:
    """Who has the lost key and can write at the center logs what he likes in the unit's name; admission is passed by."""
    with open_center(folder, NOW + timedelta(days=1)) as center:
        latest = center.catalog.latest("X013", "his")
        assert latest is not None
        thief = Hospital(center, sequence=latest.sequence, previous=latest.digest)
        fresh = [Ed25519Signer.from_seed("X013", kind, bytes(31) + bytes((kind,))) for kind in KeyType]
        center.units.enroll(center.units.rekey("X013").secret, fresh[0].key.public, fresh[1].key.public)
        before = center.ledger.size
        moment = center.clock()
        lie = GapStatement(
            "X013", "his", latest.sequence + 1, latest.digest, moment, moment, GapCause.OTHER, "all of last year"
        )
        center.ledger.append("statement", Level.NONE, thief.sign(lie))

    assert [(finding.thing, finding.where) for finding in damages(run(folder))] == [(Thing.ENTRY, f"log@{before}")]


@pytest.mark.parametrize("where", ["units/Y002/unit.json", "units/X013/sources/pacs.json"])
def test_file_of_a_unit_that_the_disk_does_not_give_is_named(folder: Path, where: str) -> None:
    """A folder in its place stands for a bad sector: the system, not the file's content, says no."""
    (folder / where).unlink()
    (folder / where).mkdir()

    assert {finding.where for finding in damages(run(folder))} == {where}
