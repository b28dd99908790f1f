# SPDX-License-Identifier: Apache-2.0
"""A unit that says of a table that it was read in an earlier snapshot: only what that snapshot read, and when, is taken."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from center.audit.audit import audit
from center.audit.opening import open_audited
from center.errors import StatementError
from center.receive.admit import StatementAnswer
from center.registry.carried import MAX_NAMED
from evidence.digest import sha256
from evidence.manifest.entry import Level
from evidence.manifest.manifest import Manifest, ManifestTable, parse_manifest
from evidence.manifest.statement import Consistency, SnapshotStatement
from evidence.objects.object import ObjectKind
from tests.builders.center import Hospital, Objects, TableLines, create_center, open_center, patients, wards

Change = Callable[[ManifestTable], ManifestTable]
_SOURCES = iter(range(10_000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("carried") / "center"
    create_center(path)
    return path


@pytest.fixture
def hospital(folder: Path) -> Iterator[Hospital]:
    with open_center(folder) as center:
        yield Hospital(center, source=f"v{next(_SOURCES)}")


def _manifest_of(hospital: Hospital, sequence: int) -> Manifest:
    return hospital.center.open_snapshot(hospital.unit, hospital.source, sequence).manifest


def _carry(
    hospital: Hospital,
    tables: Sequence[TableLines],
    source: int,
    name: str = "patient",
    change: Change = lambda table: table,
    consistency: Consistency = Consistency.PER_TABLE,
) -> StatementAnswer:
    """Take a snapshot of `tables` that says of one of them that it was read in `source`, as that manifest says it."""
    statement, objects = hospital.prepare(tables)
    read = _manifest_of(hospital, source).table(name)
    assert read is not None

    def say(table: ManifestTable) -> ManifestTable:
        if table.claim.name != name:
            return table
        return change(replace(table, read_at=read.read_at, carried_from=source))

    statement = _forge(objects, statement, consistency, say)
    hospital.send(objects)
    return hospital.submit(statement)


def _forge(objects: Objects, statement: SnapshotStatement, consistency: Consistency, say: Change) -> SnapshotStatement:
    name = next(name for name, (kind, _) in objects.bodies.items() if kind is ObjectKind.MANIFEST)
    manifest = parse_manifest(objects.bodies.pop(name)[1])
    body = replace(manifest, consistency=consistency, tables=tuple(say(t) for t in manifest.tables)).encode()
    objects.put(ObjectKind.MANIFEST, body)
    return replace(statement, consistency=consistency, manifest_sha256=sha256(body))


def test_table_that_the_named_snapshot_read_so_is_taken_and_flagged(hospital: Hospital) -> None:
    hospital.snapshot(patients(300), wards("内科"))
    assert _carry(hospital, [patients(300), wards("外科")], 1).level is Level.STORED
    assert _carry(hospital, [patients(300), wards("急诊")], 1).level is Level.STORED, "as the snapshot before says too"
    rows = hospital.center.catalog.statements(hospital.unit, hospital.source)
    assert ["carried" in row.flags for row in rows] == [False, True, True]
    third = hospital.center.open_snapshot(hospital.unit, hospital.source, 3)
    assert third.table("patient").carried_from == 1
    assert third.statement.consistency is Consistency.PER_TABLE


def test_table_read_again_in_between_may_still_name_its_own_reading(hospital: Hospital) -> None:
    hospital.snapshot(patients(300))
    hospital.snapshot(patients(300))
    assert _carry(hospital, [patients(300)], 1).level is Level.STORED, "it names a reading that was one"


def test_other_rows_than_were_read_then_are_refused(hospital: Hospital) -> None:
    hospital.snapshot(patients(300))
    with pytest.raises(StatementError, match="did not read it so"):
        _carry(hospital, [patients(300, {7: "altered"})], 1)


def test_table_that_the_named_snapshot_never_had_is_refused(hospital: Hospital) -> None:
    hospital.snapshot(wards("内科"))
    hospital.snapshot(patients(300), wards("内科"))
    with pytest.raises(StatementError, match="did not read it so"):
        _carry(hospital, [patients(300), wards("内科")], 2, change=lambda table: replace(table, carried_from=1))


def test_another_time_of_reading_than_was_stated_then_is_refused(hospital: Hospital) -> None:
    hospital.snapshot(patients(300))

    def later(table: ManifestTable) -> ManifestTable:
        moment = table.read_at[1] + timedelta(days=20)
        return replace(table, read_at=(moment, moment))

    with pytest.raises(StatementError, match="did not read it so"):
        _carry(hospital, [patients(300)], 1, change=later)


def test_snapshot_that_only_carried_the_table_is_not_where_it_was_read(hospital: Hospital) -> None:
    hospital.snapshot(patients(300))
    _carry(hospital, [patients(300)], 1)
    hospital.snapshot(patients(300))
    with pytest.raises(StatementError, match="did not read it so"):
        _carry(hospital, [patients(300)], 2)


def test_statement_that_is_no_snapshot_is_refused(hospital: Hospital) -> None:
    hospital.snapshot(patients(300))
    hospital.gap()
    hospital.snapshot(wards("内科"))
    with pytest.raises(StatementError, match="carried over from 2, which is no snapshot"):
        _carry(hospital, [patients(300)], 1, change=lambda table: replace(table, carried_from=2))


def test_reading_whose_content_is_still_to_come_is_waited_for(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(300), wards("内科")])
    assert hospital.submit(statement, register_only=True).level is Level.REGISTERED
    later, more = hospital.prepare([patients(300)])
    read_at = later.began, later.began
    moment = parse_manifest(next(b for k, b in objects.bodies.values() if k is ObjectKind.MANIFEST)).tables[0].read_at
    assert moment != read_at
    forged = _forge(more, later, Consistency.PER_TABLE, lambda t: replace(t, carried_from=1, read_at=moment))
    hospital.send(more)
    answer = hospital.submit(forged)
    assert (answer.level, answer.receipt, answer.missing) == (Level.NONE, None, ())
    hospital.send(objects)
    assert (
        hospital.center.admission.submit(hospital.unit, hospital.source, hospital.sign(statement)).level is Level.STORED
    )
    assert hospital.submit(forged).level is Level.STORED


def test_another_sources_reading_is_refused(hospital: Hospital) -> None:
    other = Hospital(hospital.center, source=f"v{next(_SOURCES)}")
    other.snapshot(patients(300))
    hospital.snapshot(wards("内科"))
    statement, objects = hospital.prepare([patients(300)])
    read_at = _manifest_of(other, 1).tables[0].read_at
    forged = _forge(
        objects, statement, Consistency.PER_TABLE, lambda t: replace(t, carried_from=1, read_at=read_at)
    )  # fmt: skip
    hospital.send(objects)
    with pytest.raises(StatementError, match="did not read it so"):
        hospital.submit(forged)


def test_snapshot_with_a_carried_table_may_not_call_itself_consistent(hospital: Hospital) -> None:
    hospital.snapshot(patients(300))
    with pytest.raises(StatementError, match="cannot be consistent"):
        _carry(hospital, [patients(300)], 1, consistency=Consistency.CONSISTENT)
    assert _carry(hospital, [patients(300)], 1, consistency=Consistency.LIVE).level is Level.STORED


def test_statement_that_names_very_many_earlier_snapshots_is_refused(hospital: Hospital) -> None:
    count = MAX_NAMED + 1
    tables = [replace(wards("内科"), schema=replace(wards().schema, name=f"w{i:03}")) for i in range(count)]
    for table in tables:
        hospital.snapshot(table)
    statement, objects = hospital.prepare(tables)
    times = {f"w{i:03}": _manifest_of(hospital, i + 1).tables[0].read_at for i in range(count)}

    def say(table: ManifestTable, most: int = count) -> ManifestTable:
        number = int(table.claim.name[1:])
        return table if number >= most else replace(table, carried_from=number + 1, read_at=times[table.claim.name])

    kept = dict(objects.bodies)
    forged = _forge(objects, statement, Consistency.PER_TABLE, say)
    hospital.send(objects)
    # The snapshot before says the last of them, so one less must be looked up: name one more.
    answer = hospital.submit(forged)
    assert answer.level is Level.STORED
    hospital.snapshot(wards("内科"))
    statement, objects = hospital.prepare(tables)
    assert objects.bodies.keys() & kept.keys()
    forged = _forge(objects, statement, Consistency.PER_TABLE, say)
    hospital.send(objects)
    with pytest.raises(StatementError, match="more than 64 earlier snapshots"):
        hospital.submit(forged)


def test_without_the_snapshot_before_the_named_one_is_read(hospital: Hospital, folder: Path) -> None:
    from center.registry.carried import check_carried, manifests_of
    from center.registry.catalog import Catalog
    from center.registry.objects import SourceObjects
    from evidence.errors import FormatError

    hospital.snapshot(patients(300))
    _carry(hospital, [patients(300)], 1)
    catalog: Catalog = hospital.center.catalog
    objects = SourceObjects(
        hospital.center.store, catalog, hospital.unit, hospital.source, hospital.secrets.storage_key
    )  # fmt: skip
    find = manifests_of(catalog, objects, hospital.unit, hospital.source)
    manifest = _manifest_of(hospital, 2)
    check_carried(manifest, None, find)
    forged = replace(manifest, sequence=4, tables=(replace(manifest.tables[0], carried_from=3),))
    with pytest.raises(FormatError, match="which is not here"):
        check_carried(forged, manifest, find)


def test_center_that_looked_away_at_admission_is_found_out_by_the_audit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A center with a changed program: its own check says yes to everything. The audit is another's, over the same files.
    monkeypatch.setattr("center.receive.content.check_carried", lambda *_: True)
    with open_center(folder) as center:
        hospital = Hospital(center, source="looked-away")
        hospital.snapshot(patients(300))

        def later(table: ManifestTable) -> ManifestTable:
            moment = table.read_at[1] + timedelta(days=20)
            return replace(table, read_at=(moment, moment))

        assert _carry(hospital, [patients(300)], 1).level is Level.STORED
        assert _carry(hospital, [patients(300)], 1, change=later).level is Level.STORED, "the lie is logged"
    findings = [finding for finding in audit(open_audited(folder)).findings if not finding.is_note]
    assert [(f.where, "carried over from 1, which did not read it so" in f.reason.en) for f in findings] == [
        (f"{hospital.unit} {hospital.source}#3", True)
    ]
