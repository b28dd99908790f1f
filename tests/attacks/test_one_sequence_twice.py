# SPDX-License-Identifier: Apache-2.0
"""One sequence, two texts, and a crash or a full disk between them: the log gets one, and no unit stops the others."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from center.errors import ConflictError, FullError
from center.ledger.sequence import Step
from evidence.manifest.entry import Level, parse_entry
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.objects.pack import PackWriter
from tests.builders.center import Hospital, create_center, open_center, patients, wards


def sequences(hospital: Hospital) -> list[int]:
    entries = map(parse_entry, hospital.center.ledger.entries())
    return [parse_statement(parse_note(e.note).text).sequence for e in entries if e.kind == "statement"]


@pytest.mark.parametrize("at", [Step.STAGED, Step.SIGNED, Step.SWAPPED, Step.TILES])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_a_full_disk_left_staged_counts_before_another_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Step, is_restarted: bool
) -> None:
    create_center(tmp_path / "center")

    def cut(step: Step) -> None:
        if step is at:
            raise FullError("there is no space left", hint="make room")

    with open_center(tmp_path / "center") as center:
        hospital = Hospital(center)
        statement, objects = hospital.prepare([patients(30)])
        hospital.send(objects)
        # A round cannot be cut from outside, but for its own hook.
        monkeypatch.setattr(center.ledger._sequencer, "_step", cut)
        with pytest.raises(FullError):
            hospital.submit(statement)
        monkeypatch.undo()
        if not is_restarted:
            _check_the_first_wins(hospital, statement)
    if is_restarted:
        with open_center(tmp_path / "center") as center:
            _check_the_first_wins(Hospital(center), statement)
    with open_center(tmp_path / "center") as center:
        assert center.catalog.statement("X013", "his", 1).note


def _check_the_first_wins(hospital: Hospital, statement: SnapshotStatement) -> None:
    other = replace(statement, ended=statement.ended + timedelta(seconds=1))
    with pytest.raises(ConflictError, match="another text"):
        hospital.submit(other)
    assert hospital.submit(statement).level is Level.STORED
    assert sequences(hospital) == [1]
    neighbour = Hospital(hospital.center, unit="Y002")
    assert neighbour.snapshot(wards("内科")).level is Level.STORED


def test_a_log_that_has_two_texts_of_one_sequence_stops_nobody(tmp_path: Path) -> None:
    """Whoever has the log's key can write such a log; the first text counts, and the center goes on."""
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        hospital = Hospital(center)
        statement, objects = hospital.prepare([patients(30)])
        hospital.send(objects)
        hospital.submit(statement)
        other = replace(statement, ended=center.clock())
        center.ledger.append("statement", Level.STORED, hospital.sign(other))
        assert hospital.snapshot(patients(31)).level is Level.STORED
    with open_center(tmp_path / "center") as center:
        first = parse_statement(parse_note(center.catalog.statement("X013", "his", 1).note).text)
        assert first == statement
        assert [row.sequence for row in center.catalog.statements()] == [1, 2]


def test_texts_of_one_sequence_at_the_same_moment_make_one_statement_and_conflicts(tmp_path: Path) -> None:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        hospital = Hospital(center)
        statement, objects = hospital.prepare([patients(300)])
        hospital.send(objects)
        notes = [hospital.sign(replace(statement, ended=statement.ended + timedelta(seconds=i % 4))) for i in range(16)]

        def submit(note: bytes) -> bytes | None:
            try:
                answer = center.admission.submit("X013", "his", note)
            except ConflictError:
                return None
            assert answer.receipt is not None
            return answer.receipt.entry

        with ThreadPoolExecutor(16) as threads:
            entries = list(threads.map(submit, notes))
        assert sequences(hospital) == [1]
        assert len({entry for entry in entries if entry is not None}) == 1
        assert sum(entry is not None for entry in entries) == 4


def test_the_same_pack_from_many_threads_is_one_pack(tmp_path: Path) -> None:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        hospital = Hospital(center)
        statement, objects = hospital.prepare([patients(300)])
        out = io.BytesIO()
        writer = PackWriter(out.write)
        for name, (kind, body) in objects.bodies.items():
            writer.add(kind, name, body)

        pack = writer.name()  # a writer is one thread's

        def put(_: int) -> None:
            center.admission.put_pack("X013", "his", pack, [out.getvalue()])

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(put, range(16)))
        assert hospital.submit(statement).level is Level.STORED
        assert [path.stem for path in (center.folder / "store").rglob("*.pack")] == [pack]
