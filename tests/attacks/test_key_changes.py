# SPDX-License-Identifier: Apache-2.0
"""Whoever would bring another key into a unit's name, or go on by one that has given way."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from center.errors import CenterError, RefusedError, StatementError, UnauthorizedError
from center.receive.auth import Doorkeeper, Nonces
from center.registry.unitfolder import UnitFolder
from evidence.digest import sha256
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.statement import GapCause, GapStatement, KeyStatement, key_name, statement_digest
from evidence.note.signed import sign_note
from evidence.wire.token import Request, Token, encode_authorization
from tests.builders.center import ORIGIN, Hospital, create_center, open_center, patients

_UNITS = iter(range(10_000))


def make_signer(seed: str, unit: str) -> Ed25519Signer:
    return Ed25519Signer.from_seed(unit, KeyType.ED25519, sha256(seed.encode()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "center"
    create_center(path)
    return path


@pytest.fixture
def hospital(folder: Path) -> Iterator[Hospital]:
    """A unit of its own with one snapshot."""
    with open_center(folder) as center:
        hospital = Hospital(center, unit=f"K{next(_UNITS):03}", source="his")
        hospital.snapshot(patients(30))
        yield hospital


def change(hospital: Hospital, new: Ed25519Signer, **changes: object) -> KeyStatement:
    sequence = hospital.sequence + 1
    statement = KeyStatement(
        hospital.unit, hospital.source, sequence, hospital.previous, hospital.center.clock(), hospital.signer.key, new.key,
        sequence + 1, attested=True,
    )  # fmt: skip
    return replace(statement, **changes)  # type: ignore[arg-type]  # the test states what it changes


def note(statement: KeyStatement | GapStatement, *signers: Ed25519Signer) -> bytes:
    name = key_name(statement.unit, statement.source)
    return sign_note(statement.encode(), [signer.renamed(name) for signer in signers]).encode()


def submit(hospital: Hospital, raw: bytes, source: str = "his") -> None:
    hospital.center.admission.submit(hospital.unit, source, raw)


def check_refused(hospital: Hospital, raw: bytes, match: str, kind: type[CenterError] = StatementError) -> None:
    size, key = hospital.center.ledger.size, hospital.center.units.get(hospital.unit).statement_key
    with pytest.raises(kind, match=match):
        submit(hospital, raw)
    assert hospital.center.ledger.size == size
    assert hospital.center.units.get(hospital.unit).statement_key == key


def pass_on(hospital: Hospital, new: Ed25519Signer) -> None:
    """Have the unit's key changed, by his."""
    statement = change(hospital, new)
    submit(hospital, note(statement, hospital.signer, new))
    hospital.sequence, hospital.previous = statement.sequence, statement_digest(statement.encode())


def gap(hospital: Hospital) -> GapStatement:
    now = hospital.center.clock()
    return GapStatement(
        hospital.unit, hospital.source, hospital.sequence + 1, hospital.previous, now, now, GapCause.OUTAGE, "one night"
    )


def test_a_change_that_both_keys_sign_is_logged_and_the_new_one_counts(hospital: Hospital) -> None:
    new = make_signer("new", hospital.unit)
    pass_on(hospital, new)
    unit = hospital.center.units.get(hospital.unit)
    assert unit.statement_key == new.key
    assert [pair.statement for pair in unit.keys] == [hospital.signer.key, new.key]
    assert unit.keys[0].cosigner == unit.keys[1].cosigner
    assert b"attested" in hospital.center.ledger.entry(hospital.center.ledger.size - 1)
    submit(hospital, note(gap(hospital), new))


def test_the_same_change_again_gets_the_same_entry_and_changes_nothing(hospital: Hospital) -> None:
    new = make_signer("again", hospital.unit)
    raw = note(change(hospital, new), hospital.signer, new)
    submit(hospital, raw)
    size = hospital.center.ledger.size
    submit(hospital, raw)
    assert hospital.center.ledger.size == size
    assert len(hospital.center.units.get(hospital.unit).keys) == 2


def test_a_center_cut_off_between_its_log_and_its_registry_follows_when_the_statement_comes_again(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = make_signer("cut", hospital.unit)
    raw = note(change(hospital, new), hospital.signer, new)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(UnitFolder, "save", die)
        submit(hospital, raw)
    assert hospital.center.units.get(hospital.unit).statement_key == hospital.signer.key
    submit(hospital, raw)
    assert hospital.center.units.get(hospital.unit).statement_key == new.key
    rows = hospital.center.catalog.statements(hospital.unit, "his")
    assert [row.kind for row in rows] == ["snapshot", "key"]


@pytest.mark.parametrize("who", ["new", "old", "old and a third", "new twice"])
def test_a_change_that_not_both_keys_sign_is_refused(hospital: Hospital, who: str) -> None:
    new, third = make_signer(who, hospital.unit), make_signer(f"third {who}", hospital.unit)
    signers = {
        "new": (new,), "old": (hospital.signer,), "old and a third": (hospital.signer, third), "new twice": (new, new),
    }[who]  # fmt: skip
    check_refused(hospital, note(change(hospital, new), *signers), "refused")


def test_a_thief_of_nothing_cannot_name_himself_the_old_key(hospital: Hospital) -> None:
    thief, new = make_signer("thief", hospital.unit), make_signer("thief's", hospital.unit)
    check_refused(hospital, note(change(hospital, new, old=thief.key), thief, new), "does not speak")


def test_a_change_without_the_old_keys_word_is_not_a_statement_of_the_units(hospital: Hospital) -> None:
    new = make_signer("unattested", hospital.unit)
    statement = change(hospital, new, attested=False)
    for signers in ((hospital.signer, new), (hospital.signer,)):
        check_refused(hospital, note(statement, *signers), "another is enrolled")


def test_a_change_that_begins_elsewhere_is_refused(hospital: Hospital) -> None:
    new = make_signer("elsewhere", hospital.unit)
    for start in (hospital.sequence + 1, hospital.sequence + 3):
        raw = note(change(hospital, new, from_sequence=start), hospital.signer, new)
        check_refused(hospital, raw, "expected")


def test_a_key_of_another_unit_or_a_cosigners_does_not_become_a_units(hospital: Hospital) -> None:
    other = Hospital(hospital.center, unit="OTHER")
    cosigner_seed = sha256(sha256(hospital.unit.encode()))
    as_statement_key = Ed25519Signer.from_seed(hospital.unit, KeyType.ED25519, cosigner_seed)
    assert as_statement_key.key.public == hospital.cosigner.key.public
    for new in (other.signer.renamed(hospital.unit), as_statement_key):
        check_refused(hospital, note(change(hospital, new), hospital.signer, new), "in use already", RefusedError)


def test_a_statement_that_is_no_change_carries_one_signature(hospital: Hospital) -> None:
    new = make_signer("two", hospital.unit)
    check_refused(hospital, note(gap(hospital), hospital.signer, new), "2 signatures")


def test_after_the_change_the_old_key_signs_nothing_in_that_chain(hospital: Hospital) -> None:
    pass_on(hospital, make_signer("after", hospital.unit))
    check_refused(hospital, note(gap(hospital), hospital.signer), "known key")
    third = make_signer("back door", hospital.unit)
    check_refused(hospital, note(change(hospital, third), hospital.signer, third), "does not speak")


def test_a_chain_that_has_not_passed_on_may_bring_what_waited_by_the_old_key_and_then_passes_on(
    hospital: Hospital,
) -> None:
    other = Hospital(hospital.center, unit=hospital.unit, source="lis")
    other.snapshot(patients(10))
    new = make_signer("second chain", hospital.unit)
    pass_on(hospital, new)
    submit(other, note(gap(other), hospital.signer), "lis")
    other.sequence, other.previous = 2, statement_digest(gap_text(other))
    statement = change(other, new)
    submit(other, note(statement, hospital.signer, new), "lis")
    other.sequence, other.previous = 3, statement_digest(statement.encode())
    assert len(hospital.center.units.get(hospital.unit).keys) == 2
    check_refused_in(other, note(gap(other), hospital.signer))
    submit(other, note(gap(other), new), "lis")


def gap_text(hospital: Hospital) -> bytes:
    row = hospital.center.catalog.latest(hospital.unit, hospital.source)
    assert row is not None
    return row.note.rpartition(b"\n\n")[0] + b"\n"


def check_refused_in(hospital: Hospital, raw: bytes) -> None:
    with pytest.raises(StatementError):
        submit(hospital, raw, hospital.source)


def test_requests_by_the_old_key_are_refused_from_the_change_on(hospital: Hospital) -> None:
    """So its thief can send nothing at all, whatever it might still sign."""
    new = make_signer("requests", hospital.unit)
    nonces = Nonces(hospital.center.clock)
    door = Doorkeeper(ORIGIN, hospital.center.units, nonces)

    def ask(signer: Ed25519Signer) -> None:
        request = Request.of("POST", "/v1/missing", b"")
        token = Token(ORIGIN, hospital.unit, request, nonces.give())
        door.admit(encode_authorization(token, signer), "POST", "/v1/missing", 0)

    ask(hospital.signer)
    with pytest.raises(UnauthorizedError):
        ask(new)
    pass_on(hospital, new)
    ask(new)
    with pytest.raises(UnauthorizedError):
        ask(hospital.signer)


def test_a_lost_key_that_was_replaced_by_enrolment_signs_nothing_any_more(hospital: Hospital) -> None:
    secret = hospital.center.units.rekey(hospital.unit).secret
    fresh = [sha256(f"{hospital.unit} {name}".encode()) for name in ("statement", "cosigner")]
    keys = [Ed25519Signer.from_seed(hospital.unit, KeyType.ED25519, seed).key.public for seed in fresh]
    hospital.center.units.enroll(secret, *keys)
    check_refused(hospital, note(gap(hospital), hospital.signer), "known key")
    new = make_signer("from the lost", hospital.unit)
    check_refused(hospital, note(change(hospital, new), hospital.signer, new), "does not speak")
