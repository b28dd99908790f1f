# SPDX-License-Identifier: Apache-2.0
"""A unit that has its keys and means harm: it floods the log with conflicts and sources, and claims blobs without end."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from center.app import Center
from center.errors import ConflictError, RefusedError, StatementError
from center.receive.conflicts import MOST_OF_SOURCE, MOST_OF_UNIT
from evidence.digest import ObjectId, sha256
from evidence.manifest.blobtable import encode_blob_line
from evidence.manifest.entry import Act, Level, parse_act, parse_entry
from evidence.manifest.manifest import parse_manifest
from evidence.manifest.statement import GapCause, GapStatement, SnapshotStatement
from evidence.note.signed import parse_note
from evidence.objects.blobs import encode_chunk_list
from evidence.objects.object import ObjectKind, name_object
from evidence.wire.secrets import SourceSecrets
from tests.builders.center import NOW, Hospital, Objects, create_center, open_center, wards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_center(tmp_path / "center")
    return tmp_path / "center"


@pytest.fixture
def center(folder: Path) -> Iterator[Center]:
    with open_center(folder) as center:
        yield center


def conflicts(center: Center) -> Counter[str]:
    """Count the conflicts in the log by source."""
    entries = [entry for entry in map(parse_entry, center.ledger.entries()) if entry.kind == "conflict"]
    return Counter(parse_act(parse_note(entry.note).text).object.rpartition("#")[0] for entry in entries)


def begin(center: Center, unit: str = "X013", source: str = "his") -> Hospital:
    """Give a source that has one statement."""
    hospital = Hospital(center, unit=unit, source=source)
    hospital.gap()
    return hospital


def contradict(hospital: Hospital, number: int) -> str:
    """Submit another text for sequence 1; give the words of the refusal."""
    moment = NOW + timedelta(seconds=number)
    statement = GapStatement(hospital.unit, hospital.source, 1, None, NOW, moment, GapCause.OUTAGE, "a lie")
    with pytest.raises(ConflictError, match="was admitted before with another text") as caught:
        hospital.center.admission.submit(hospital.unit, hospital.source, hospital.sign(statement))
    return str(caught.value)


# Conflicts


def test_one_false_text_sent_a_hundred_times_is_logged_once(center: Center) -> None:
    hospital = begin(center)
    assert "the conflict is logged" in contradict(hospital, 1)
    for _ in range(99):
        assert "was logged before" in contradict(hospital, 1)
    assert conflicts(center) == {"X013/his": 1}


def test_many_false_texts_are_all_refused_and_the_first_of_a_day_logged(center: Center) -> None:
    hospital = begin(center)
    words = [contradict(hospital, number) for number in range(3 * MOST_OF_SOURCE)]
    assert ["is logged" in text for text in words] == [True] * MOST_OF_SOURCE + [False] * 2 * MOST_OF_SOURCE
    assert "not logged" in words[-1]
    assert conflicts(center) == {"X013/his": MOST_OF_SOURCE}
    # One that was logged is known, and one that was not may be logged on another day.
    assert "was logged before" in contradict(hospital, 0)
    center.clock.now += timedelta(days=1, minutes=5)  # type: ignore[attr-defined]  # the builder's clock
    assert "is logged" in contradict(hospital, 2 * MOST_OF_SOURCE)
    assert conflicts(center) == {"X013/his": MOST_OF_SOURCE + 1}


def test_many_sources_do_not_help_a_flooding_unit_and_its_neighbour_is_not_its_victim(center: Center) -> None:
    for i in range(MOST_OF_UNIT // MOST_OF_SOURCE + 2):
        hospital = begin(center, source=f"s{i}")
        for number in range(MOST_OF_SOURCE):
            contradict(hospital, number)
    assert sum(conflicts(center).values()) == MOST_OF_UNIT
    neighbour = begin(center, unit="Y002")
    assert "is logged" in contradict(neighbour, 1)
    assert neighbour.snapshot(wards("内科")).level is Level.STORED


def test_a_restart_does_not_open_the_log_to_a_second_flood(folder: Path) -> None:
    with open_center(folder) as center:
        hospital = begin(center)
        for number in range(MOST_OF_SOURCE):
            contradict(hospital, number)
        for _ in range(300):  # what others log meanwhile does not hide it
            center.record("decision", Act("test", "ledger", "an entry", "center", "to pass the time"))
    with open_center(folder, NOW + timedelta(hours=1)) as center:
        again = Hospital(center)
        assert "was logged before" in contradict(again, 3)
        assert "not logged" in contradict(again, 77)
        assert conflicts(center) == {"X013/his": MOST_OF_SOURCE}


# Sources


def test_a_unit_that_makes_up_sources_is_stopped_and_keeps_those_it_has(folder: Path) -> None:
    settings = folder / "center.yaml"
    text = settings.read_text(encoding="utf-8")
    assert "sources_per_unit: 1000" in text
    settings.write_text(text.replace("sources_per_unit: 1000", "sources_per_unit: 3"), encoding="utf-8")
    with open_center(folder) as center:
        for i in range(3):
            Hospital(center, source=f"s{i}")
        size = center.ledger.size
        for i in range(3, 50):
            with pytest.raises(RefusedError, match="has 3 sources, and may have no more than 3") as caught:
                center.units.register_source("X013", f"s{i}", SourceSecrets(bytes([i] * 32), bytes([i] * 32)))
            assert "sources_per_unit" in caught.value.hint
        assert center.ledger.size == size
        assert Hospital(center, source="s1").snapshot(wards("内科")).level is Level.STORED
        assert Hospital(center, unit="Y002", source="docs").snapshot(wards("内科")).level is Level.STORED


# Blobs


def forge(hospital: Hospital, objects: Objects, statement: SnapshotStatement, page: ObjectId) -> SnapshotStatement:
    """Give a statement whose manifest lists the blobs of `page`."""
    name = next(name for name, (kind, _) in objects.bodies.items() if kind is ObjectKind.MANIFEST)
    body = replace(parse_manifest(objects.bodies.pop(name)[1]), blobs=page).encode()
    objects.put(ObjectKind.MANIFEST, body)
    return replace(statement, manifest_sha256=sha256(body))


def claim_blob(
    hospital: Hospital, chunk: bytes, counts: tuple[int, ...], digest: bytes, size: int
) -> SnapshotStatement:
    """Send a blob made of `chunk` alone, `counts` times at each level of its lists; give a statement that claims it."""
    statement, objects = hospital.prepare([wards("内科")])
    top, below = objects.put(ObjectKind.CHUNK, chunk), len(chunk)
    for level, count in enumerate(counts):
        body = encode_chunk_list(level, [(below, top)] * count)
        top, below = name_object(hospital.secrets.storage_key, ObjectKind.CHUNK_LIST, body), below * count
        objects.bodies[top] = (ObjectKind.CHUNK_LIST, body)
    forged = forge(hospital, objects, statement, objects.put_page(encode_blob_line(digest, size, top)))
    hospital.send(objects)
    return forged


def test_a_blob_of_many_tib_from_one_chunk_is_refused_before_it_is_read(center: Center) -> None:
    # Read, it would keep a thread for weeks: 2 MiB, 4,096 times 4,096 times 64 times.
    size = (2 << 20) * 4096 * 4096 * 64
    for unit in ("X013", "Y002"):
        hospital = Hospital(center, unit=unit)
        forged = claim_blob(hospital, bytes(2 << 20), (4096, 4096, 64), bytes(32), size)
        with pytest.raises(StatementError, match=f"claim {size} bytes or more, the chunks .* have 2097152") as caught:
            hospital.submit(forged)
        assert "limits.repeated_bytes" in str(caught.value)
    assert hospital.snapshot(wards("外科")).level is Level.STORED


def test_a_blob_whose_lists_give_another_size_than_its_token_is_refused_before_it_is_read(center: Center) -> None:
    hospital = Hospital(center)
    forged = claim_blob(hospital, bytes(2 << 20), (4096, 4096), bytes(32), 70_000)
    with pytest.raises(StatementError, match="is not what its token"):
        hospital.submit(forged)


def test_many_blobs_that_share_chunks_are_bounded_together(folder: Path) -> None:
    allow_repeats(folder, "1 MiB")
    with open_center(folder) as center:
        hospital = Hospital(center)
        statement, objects = hospital.prepare([wards("内科")])
        chunks = [objects.put(ObjectKind.CHUNK, bytes([i]) * 100_000) for i in range(4)]
        lines = []
        for i in range(64):  # each of four chunks, in another order: no chunk is twice in one list
            order = sorted(range(4), key=lambda k: hashlib.sha256(bytes([i, k])).digest())
            content = b"".join(bytes([k]) * 100_000 for k in order)
            body = encode_chunk_list(0, [(100_000, chunks[k]) for k in order])
            top = name_object(hospital.secrets.storage_key, ObjectKind.CHUNK_LIST, body)
            objects.bodies[top] = (ObjectKind.CHUNK_LIST, body)
            lines.append(encode_blob_line(hashlib.sha256(content).digest(), 400_000, top))
        page = objects.put_page(b"\n".join(sorted(set(lines))))
        hospital.send(objects)
        forged = forge(hospital, objects, statement, page)
        hospital.send(objects)
        with pytest.raises(StatementError, match="the chunks that the source has sent have 400000"):
            hospital.submit(forged)


def test_honest_repetition_within_the_bound_is_stored(folder: Path) -> None:
    allow_repeats(folder, "8 MiB")
    with open_center(folder) as center:
        hospital = Hospital(center)
        content = bytes(64 << 10) * 128  # 8 MiB of zeros, as the builder cuts it: one chunk, 128 times
        statement, objects = hospital.prepare([wards("内科")], [content])
        assert sum(kind is ObjectKind.CHUNK for kind, _ in objects.bodies.values()) == 1
        hospital.send(objects)
        assert hospital.submit(statement).level is Level.STORED


def test_what_does_not_repeat_is_not_bounded(folder: Path) -> None:
    allow_repeats(folder, "0 B")
    with open_center(folder) as center:
        contents = [hashlib.sha256(bytes([i])).digest() * 3_000 for i in range(20)]
        assert Hospital(center).snapshot(wards("内科"), contents=contents).level is Level.STORED


def allow_repeats(folder: Path, size: str) -> None:
    settings = folder / "center.yaml"
    text = settings.read_text(encoding="utf-8")
    assert "repeated_bytes: 64 GiB" in text
    settings.write_text(text.replace("repeated_bytes: 64 GiB", f"repeated_bytes: {size}"), encoding="utf-8")
