# SPDX-License-Identifier: Apache-2.0
"""Statements out of order, altered, unsigned or without content; and what a repeated one gets."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from center.errors import ConflictError, NotFoundError, StatementError
from evidence.digest import Sha256
from evidence.errors import EvidenceError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.entry import Level, parse_act, parse_entry
from evidence.manifest.receipt import verify_receipt
from evidence.manifest.statement import key_name, statement_digest
from evidence.note.signed import parse_note, sign_note
from tests.builders.center import Hospital, create_center, open_center, patients, wards

_SOURCES = iter(range(10_000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("statements") / "center"
    create_center(path)
    return path


@pytest.fixture
def hospital(folder: Path) -> Iterator[Hospital]:
    with open_center(folder) as center:
        yield Hospital(center, source=f"s{next(_SOURCES)}")


def submit(hospital: Hospital, note: bytes) -> object:
    return hospital.center.admission.submit(hospital.unit, hospital.source, note)


def check_refused(hospital: Hospital, note: bytes, match: str) -> None:
    before = hospital.center.ledger.size
    with pytest.raises(StatementError, match=match) as caught:
        submit(hospital, note)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert hospital.center.ledger.size == before


def test_the_same_statement_again_gets_the_same_entry(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(30)])
    hospital.send(objects)
    first = hospital.submit(statement)
    size = hospital.center.ledger.size
    again = hospital.center.admission.submit(hospital.unit, hospital.source, hospital.sign(statement))
    assert first.receipt is not None
    assert again.receipt is not None
    assert again.receipt.entry == first.receipt.entry
    assert again.receipt.proof.index == first.receipt.proof.index
    assert hospital.center.ledger.size == size


def test_another_text_under_a_used_sequence_is_a_conflict_and_a_leaf(hospital: Hospital) -> None:
    first = hospital.snapshot(patients(30))
    assert first.receipt is not None
    statement, objects = hospital.prepare([patients(31)])
    hospital.send(objects)
    forged = replace(statement, sequence=1, previous=None)
    with pytest.raises(ConflictError, match="another text") as caught:
        submit(hospital, hospital.sign(forged))
    assert caught.value.status == 409
    entry = parse_entry(hospital.center.ledger.entry(hospital.center.ledger.size - 1))
    assert entry.kind == "conflict"
    act = parse_act(parse_note(entry.note).text)
    assert statement_digest(forged.encode()).hex() in act.reason
    assert hospital.submit(statement).receipt is not None


def test_another_previous_is_refused(hospital: Hospital) -> None:
    hospital.snapshot(patients(30))
    statement, objects = hospital.prepare([patients(31)])
    hospital.send(objects)
    check_refused(
        hospital, hospital.sign(replace(statement, previous=Sha256(bytes(32)))), "does not continue the chain"
    )
    assert hospital.submit(statement).receipt is not None


def test_a_skipped_sequence_is_refused(hospital: Hospital) -> None:
    hospital.snapshot(patients(30))
    statement, objects = hospital.prepare([patients(31)])
    hospital.send(objects)
    check_refused(hospital, hospital.sign(replace(statement, sequence=3)), "expects sequence 2")


def test_missing_objects_are_named_and_nothing_is_logged(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(9_000), wards("内科")])
    size = hospital.center.ledger.size
    answer = hospital.submit(statement)
    assert (answer.receipt, answer.level) == (None, Level.NONE)
    pages = [name for name, (kind, _) in objects.bodies.items() if kind == 1]
    kept = {name: objects.bodies[name] for name in objects.bodies if name not in pages[3:5]}
    partial = type(objects)(objects.storage_key, kept, objects.hints)
    partial.hints = {name: hint for name, hint in objects.hints.items() if name in kept}
    hospital.send(partial)
    answer = hospital.submit(statement)
    assert answer.receipt is None
    assert set(answer.missing) == set(pages[3:5])
    assert hospital.center.ledger.size == size
    hospital.send(objects)
    assert hospital.submit(statement).receipt is not None


def test_registered_first_and_stored_later_are_two_leaves(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(30)])
    note = hospital.sign(statement)
    center = hospital.center
    registered = hospital.submit(statement, register_only=True)
    assert registered.level is Level.REGISTERED
    assert registered.receipt is not None
    with pytest.raises(NotFoundError):
        center.open_snapshot(hospital.unit, hospital.source, 1)
    hospital.send(objects)
    stored = center.admission.submit(hospital.unit, hospital.source, note)
    assert stored.level is Level.STORED
    assert stored.receipt is not None
    verified = [verify_receipt(r, center.ledger.log_key) for r in (registered.receipt, stored.receipt)]
    assert [v.entry.kind for v in verified] == ["statement", "stored"]
    assert verified[0].index < verified[1].index
    assert center.open_snapshot(hospital.unit, hospital.source, 1).statement == statement


def test_a_root_that_the_rows_do_not_give_is_refused(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(30)])
    hospital.send(objects)
    for changes in ({"root": Sha256(bytes(32))}, {"rows": 31}, {"bytes_": 1}, {"tables": 2}, {"position": "pg 0/1"}):
        check_refused(hospital, hospital.sign(replace(statement, **changes)), "its manifest gives")  # type: ignore[arg-type]
    assert hospital.submit(statement).receipt is not None


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text.replace(b"\nunit ", b"\nextra 1\nunit "),
        lambda text: text.replace(b"\nsequence 1\n", b"\nsequence 01\n"),
        lambda text: text.replace(b"\nsequence 1\n", b"\nsequence +1\n"),
        lambda text: text.replace(b"Z\n", b"z\n", 1),
        lambda text: text.replace(b"\nkind snapshot", b"\nkind Snapshot"),
        lambda text: text + b"more 1\n",
        lambda text: text.replace(b"statement@v1", b"statement@v2"),
        lambda text: b"\n".join(reversed(text[:-1].split(b"\n"))) + b"\n",
    ],
)
def test_text_that_is_not_canonical_is_refused(hospital: Hospital, alter: object) -> None:
    statement, objects = hospital.prepare([patients(5)])
    hospital.send(objects)
    assert callable(alter)
    signer = hospital.signer.renamed(key_name(hospital.unit, hospital.source))
    check_refused(hospital, sign_note(alter(statement.encode()), [signer]).encode(), "refused")
    assert hospital.submit(statement).receipt is not None


def test_a_statement_by_another_key_or_under_another_name_is_refused(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(5)])
    hospital.send(objects)
    text = statement.encode()
    name = key_name(hospital.unit, hospital.source)
    stranger = Ed25519Signer.from_seed(name, KeyType.ED25519, bytes(32))
    check_refused(hospital, sign_note(text, [stranger]).encode(), "known key")
    check_refused(hospital, sign_note(text, [hospital.signer.renamed(f"{hospital.unit}/other")]).encode(), "known key")
    both = sign_note(text, [hospital.signer.renamed(name), stranger]).encode()
    check_refused(hospital, both, "2 signatures")
    check_refused(hospital, hospital.sign(replace(statement, source="other")), "about")
    check_refused(hospital, b"", "refused")
    check_refused(hospital, b"\xff" * 100, "refused")


def test_a_flipped_bit_of_a_statement_is_refused(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(5)])
    hospital.send(objects)
    raw = hospital.sign(statement)
    for position in range(0, len(raw), 7):
        bad = bytearray(raw)
        bad[position] ^= 1 << position % 8
        with pytest.raises((StatementError, EvidenceError)):
            submit(hospital, bytes(bad))
    assert hospital.submit(statement).receipt is not None


def test_a_clock_that_is_off_by_a_year_is_flagged_and_locked_all_the_same(hospital: Hospital) -> None:
    statement, objects = hospital.prepare([patients(5)])
    hospital.send(objects)
    year = timedelta(days=365)
    assert (
        hospital.submit(replace(statement, began=statement.began - year, ended=statement.ended - year)).receipt
        is not None
    )
    row = hospital.center.catalog.statement(hospital.unit, hospital.source, 1)
    assert "clock" in row.flags


def test_a_drop_in_rows_a_schema_change_and_omissions_are_flagged(hospital: Hospital) -> None:
    hospital.snapshot(patients(100), wards("内科"))
    hospital.snapshot(patients(60), omitted=["secret"])
    row = hospital.center.catalog.statement(hospital.unit, hospital.source, 2)
    assert set(row.flags) >= {"fewer-rows", "schema-changed", "omitted"}


def test_an_unknown_source_is_told_so(hospital: Hospital) -> None:
    with pytest.raises(NotFoundError, match="no source"):
        hospital.center.admission.put_pack(hospital.unit, "nobody", "00" * 32, [b""])
