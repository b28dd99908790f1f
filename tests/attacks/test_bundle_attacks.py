# SPDX-License-Identifier: Apache-2.0
"""Attacks on bundles: by accident (every bit), by a forger who writes good JSON, by one who holds some of the keys.

Nothing here may exit with 0, and nothing may raise. Where the attacker has a key, or the row secret, the test says so.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from evidence.digest import Sha256, audit_path, leaf_hash, sha256, tree_head
from evidence.errors import EvidenceError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint
from evidence.log.tlog_proof import TlogProof
from evidence.manifest.entry import Entry, Level
from evidence.manifest.receipt import Receipt
from evidence.note.cosign import cosign
from evidence.note.signed import Note, SignatureLine, sign_note
from evidence.rows.commit import row_key, row_leaf, row_salt
from evidence.rows.line import KeySpec
from evidence.rows.schema import Schema
from evidence.tree.proof import PathStep
from evidence.verify.bundle import Bundle, BundleRow, BundleTimestamp
from evidence.verify.contents import read_row
from evidence.verify.report import Report
from evidence.verify.verify import verify_bundle
from tests.builders.bundles import (
    COSIGNED_AT,
    DRUG,
    LOG,
    OPERATOR,
    ORIGIN,
    OTHER_COSIGNER,
    OTHER_UNIT,
    POLICY_TEXT,
    RECEIVED,
    ROW_SECRET,
    STRANGER,
    UNIT,
    VISIT,
    WITNESS,
    MadeLog,
    MadeSnapshot,
    as_json,
    make_bundle,
    policy,
    reclaim,
    signer,
    visit_lines,
    with_checksum,
)
from tests.builders.tsa import Authority, Tsa

POLICY = policy()
BUNDLE = make_bundle()
RAW = BUNDLE.encode()


def verify(bundle: Bundle | bytes) -> Report:
    return verify_bundle(bundle if isinstance(bundle, bytes) else bundle.encode(), POLICY, lambda *_: None)


def refused(bundle: Bundle | bytes, step: int) -> bool:
    """Tell whether the bundle does not hold, and `step` is the one that says so."""
    report = verify(bundle)
    return report.exit_code == 1 and len(report.steps) == step


def test_the_bundle_that_is_attacked_holds() -> None:
    assert verify(RAW).exit_code == 0


# Damage


def test_every_single_flipped_bit_is_found() -> None:
    for position in range(8 * len(RAW)):
        flipped = bytearray(RAW)
        flipped[position // 8] ^= 1 << position % 8
        assert verify(bytes(flipped)).exit_code in (1, 2), position


def test_every_single_flipped_bit_is_found_with_tokens_and_strangers_lines_in_it(tmp_path: Any) -> None:
    root = Authority("Root")
    bundle = make_bundle(cosigners=[STRANGER, OTHER_COSIGNER])
    token = Tsa(tmp_path / "tsa", Authority("TSA", root, ca=False, purpose=True)).stamp(bundle.receipt.proof.checkpoint)
    raw = replace(bundle, timestamps=(BundleTimestamp(token, (root.der,), (root.clear(),)),)).encode()
    believed = policy(f"{POLICY_TEXT}tsa sha256:{sha256(root.der).hex()}\n")
    assert verify_bundle(raw, believed, lambda *_: None).exit_code == 0

    for position in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        assert verify_bundle(bytes(flipped), believed, lambda *_: None).exit_code in (1, 2), position


def _altered(raw: bytes) -> Iterator[bytes]:
    """Give what a forger gets who flips one bit of each byte and makes the checksum anew."""
    draw = random.Random(1)
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << draw.randrange(8)
        try:
            forged = with_checksum(json.loads(bytes(flipped)))
        except (ValueError, AttributeError, EvidenceError):
            continue
        if forged != raw:
            yield forged


def test_flipped_bits_under_a_new_checksum_are_found_by_what_is_signed() -> None:
    count = 0
    for forged in _altered(RAW):
        assert verify(forged).exit_code in (1, 2)
        count += 1
    assert count > 2000


def test_flipped_bits_in_a_stranger_s_line_change_nothing_that_is_reported() -> None:
    raw = make_bundle(cosigners=[STRANGER, OTHER_COSIGNER]).encode()
    honest = verify(raw)
    for forged in _altered(raw):
        report = verify(forged)
        if report.exit_code == 0:
            assert (report.facts, report.rows, report.proven) == (honest.facts, honest.rows, honest.proven)


def test_bundle_cut_or_lengthened_anywhere_is_refused() -> None:
    for size in range(0, len(RAW), 7):
        assert verify(RAW[:size]).exit_code == 1
        assert verify(RAW[:size] + b" " + RAW[size:]).exit_code == 1
    for tail in (b"\n", b"\x00", RAW, b"{}"):
        assert verify(RAW + tail).exit_code == 1


def test_random_rubbish_never_raises() -> None:
    draw = random.Random(2)
    for _ in range(2000):
        raw = bytearray(RAW)
        for _ in range(draw.randrange(1, 6)):
            start = draw.randrange(len(raw))
            raw[start : start + draw.randrange(40)] = draw.randbytes(draw.randrange(40))
        assert bytes(raw) == RAW or verify(bytes(raw)).exit_code in (1, 2)


# Good JSON, other content


Edit: TypeAlias = Callable[[Any, Any], Any]
EDITS: tuple[tuple[str, Edit], ...] = (
    ("null", lambda p, k: p.__setitem__(k, None)),
    ("true", lambda p, k: p.__setitem__(k, True)),
    ("number", lambda p, k: p.__setitem__(k, 7)),
    ("negative", lambda p, k: p.__setitem__(k, -1)),
    ("huge", lambda p, k: p.__setitem__(k, 2**53 - 1)),
    ("text", lambda p, k: p.__setitem__(k, "x")),
    ("empty", lambda p, k: p.__setitem__(k, type(p[k])())),
    ("list", lambda p, k: p.__setitem__(k, [p[k]])),
    ("gone", lambda p, k: p.pop(k)),
    ("doubled", lambda p, k: p.insert(k, p[k]) if isinstance(p, list) else p.__setitem__(f"{k}2", p[k])),
    ("moved", lambda p, k: p.append(p.pop(k)) if isinstance(p, list) else None),
)


def _edits() -> Iterator[tuple[str, Any]]:
    """Give every JSON value inside the bundle replaced, removed, doubled or moved."""

    def walk(value: Any, path: list[Any]) -> Iterator[list[Any]]:
        if path:
            yield path
        for step in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield from walk(value[step], [*path, step])

    for path in walk(as_json(BUNDLE), []):
        for name, edit in EDITS:
            value = as_json(BUNDLE)
            place = value
            for step in path[:-1]:
                place = place[step]
            edit(place, path[-1])
            yield f"{name} at {path}", value


def test_every_json_value_replaced_removed_doubled_or_moved_is_refused() -> None:
    honest = as_json(BUNDLE)
    count = 0
    for name, value in _edits():
        forged = with_checksum(value)
        if value == honest or forged == RAW:  # a null that was null; and the checksum is made anew
            continue
        count += 1
        assert verify(forged).exit_code in (1, 2), name
    assert count > 800


def test_claim_of_another_snapshot_is_refused() -> None:
    other = MadeSnapshot(contents={VISIT: visit_lines(401), DRUG: [b"B02\t20.00"]}, sequence=3)

    assert refused(replace(BUNDLE, claims=(BUNDLE.claims[0], other.claim("public.visit"))), 8)


def test_row_of_another_table_or_snapshot_is_refused() -> None:
    other = MadeSnapshot(contents={VISIT: visit_lines(400, "b")})
    stolen = replace(other.row("public.visit", b"217"))

    assert refused(replace(BUNDLE, rows=(BUNDLE.rows[0], stolen)), 10)
    assert refused(replace(BUNDLE, rows=(replace(stolen, table="public.drug"), BUNDLE.rows[1])), 10)


def test_edited_row_is_refused_even_from_one_who_has_the_secret() -> None:
    row = BUNDLE.rows[0]
    line = row.line.replace(b"20.00", b"19.00")
    edited = replace(row, line=line, salt=row_salt(row_key(ROW_SECRET), line))

    assert line != row.line
    assert refused(replace(BUNDLE, rows=(edited, BUNDLE.rows[1])), 10)


@pytest.mark.parametrize(
    ("level", "changes"),
    [
        (0, {"index": 0}),
        (0, {"index": 1}),
        (0, {"items": 3}),
        (0, {"items": 215}),
        (1, {"index": 0}),
        (1, {"items": 1}),
        (1, {"items": 3}),
        (1, {"rows": 0}),
        (1, {"rows": 213}),
        (1, {"rows": 400}),
    ],
)
def test_path_with_wrong_places_or_sizes_is_refused(level: int, changes: dict[str, Any]) -> None:
    row = BUNDLE.rows[1]
    path = list(row.path)
    path[level] = replace(path[level], **changes)
    assert path[level] != row.path[level]

    assert refused(replace(BUNDLE, rows=(BUNDLE.rows[0], replace(row, path=tuple(path)))), 10)


def test_node_shown_as_a_row_is_refused() -> None:
    """The kinds are separated inside the hash: a path that starts at a node's entry leads nowhere."""
    row = BUNDLE.rows[1]
    top = row.path[1]

    assert refused(replace(BUNDLE, rows=(BUNDLE.rows[0], replace(row, path=(replace(top, rows=None),)))), 10)


@pytest.mark.parametrize(
    "changes",
    [{"rows": 399}, {"rows": 401}, {"bytes_": 30_000}, {"items": 3}, {"height": 2}, {"root": Sha256(bytes(32))}],
)
def test_claim_with_other_figures_is_refused_even_from_one_who_has_the_secret(changes: dict[str, Any]) -> None:
    assert refused(reclaim(BUNDLE, 1, **changes), 8)


def test_schema_of_another_meaning_is_refused() -> None:
    """A row whose columns are renamed would say something else."""
    renamed = replace(VISIT, columns=(VISIT.columns[0], replace(VISIT.columns[1], name="doctor"), *VISIT.columns[2:]))

    assert refused(replace(BUNDLE, schemas=(BUNDLE.schemas[0], renamed)), 9)
    assert refused(replace(BUNDLE, schemas=(BUNDLE.schemas[1], BUNDLE.schemas[0])), 9)


@pytest.mark.parametrize(
    "line",
    [
        b"B02\t20.0",
        b"B02\t020.00",
        b"B02\t20.00\t\\N",
        b"B02\t20.00\t1",
        b"B02\t2\\e1",
        b"B\\x02\t20.00",
        b"\xff\t1.00",
        b"x" * 70_000 + b"\t1.00",
    ],
)
def test_row_that_is_not_canonical_is_refused_although_it_is_in_the_tree(line: bytes) -> None:
    """The unit itself states it: hashes hold, but the line does not read in one way."""
    keyless = replace(DRUG, key=())

    assert refused(make_bundle(MadeSnapshot(contents={keyless: [line]}), [("public.drug", line)]), 11)


def test_row_whose_key_is_null_is_refused_although_it_is_in_the_tree() -> None:
    keyless = replace(DRUG, key=())
    snapshot = MadeSnapshot(contents={keyless: [b"\\N\t1.00"]})
    assert verify(make_bundle(snapshot, [("public.drug", b"\\N\t1.00")])).exit_code == 0

    keyed = MadeSnapshot(contents={DRUG: [b"\\N\t1.00"]})
    path = snapshot.row("public.drug", b"\\N\t1.00")
    bundle = make_bundle(MadeSnapshot(contents={DRUG: [b"A\t1.00"]}), [("public.drug", b"A")], note=keyed.note())
    assert refused(replace(bundle, claims=(keyed.claim("public.drug"),), rows=(path,)), 11)


@pytest.mark.parametrize(
    ("schema", "lines"),
    [
        (DRUG, [b"B02\t1.50", b"B02\t20.00"]),
        (DRUG, [b"B02\t1.50", b"A01\t20.00"]),
        (replace(DRUG, key=()), [b"B02\t1.50", b"A01\t20.00"]),
    ],
)
def test_two_rows_that_cannot_stand_in_one_table_so_are_refused(schema: Schema, lines: list[bytes]) -> None:
    """The unit states a tree with one key twice, or out of order, so that each reader finds another row under it."""
    snapshot = MadeSnapshot(contents={schema: lines})
    leaves = [row_leaf(row_salt(row_key(ROW_SECRET), line), line) for line in lines]
    rows = [
        BundleRow(
            schema.name,
            line,
            row_salt(row_key(ROW_SECRET), line),
            (PathStep(i, 2, None, tuple(audit_path(leaves, i))),),
        )
        for i, line in enumerate(lines)
    ]
    bundle = make_bundle(snapshot, [(schema.name, KeySpec.of(schema).key_of(lines[0]))], level=Level.REGISTERED)

    assert verify(replace(bundle, rows=tuple(rows[:1]))).exit_code == 0
    assert refused(replace(bundle, rows=tuple(rows)), 11)


def test_notes_of_a_schema_are_not_searched_again_for_each_cell() -> None:
    """With 65,536 notes and 4,096 columns a row took five seconds, and a bundle has up to 10,000."""

    class Searched(tuple[str, ...]):
        def __contains__(self, note: object) -> bool:
            raise AssertionError(f"the notes are searched from the start for {note!r}")

    schema = replace(DRUG, notes=Searched(("not-utf-8 code", "another")))
    row = BundleRow(schema.name, b"\xff\t1.00", bytes(16), ())

    assert read_row(row, schema) == [b"\xff", b"1.00"]


# Signers


def test_statement_signed_by_another_unit_s_key_is_refused() -> None:
    statement = MadeSnapshot().statement.encode()
    own_name = sign_note(statement, [OTHER_UNIT.renamed("X014/his")])
    false_name = sign_note(statement, [OTHER_UNIT.renamed("X013/his")])

    assert refused(make_bundle(note=own_name), 2)
    assert verify(make_bundle(note=false_name)).exit_code == 2


def _twins(name: str, kind: KeyType, *seeds: int) -> list[Ed25519Signer]:
    """Give keys with the same name and key id: of 32 bits, so among 80,000 keys two have the same, found in seconds."""
    return [Ed25519Signer.from_seed(name, kind, seed.to_bytes(32, "big")) for seed in seeds]


def test_unit_cannot_disown_its_records_by_a_later_key_with_the_same_id() -> None:
    old, new = _twins("X013", KeyType.ED25519, 45_303, 83_281)
    assert old.renamed("X013/his").key.key_id == new.renamed("X013/his").key.key_id
    lines = [f"unit X013 {old.key.vkey} sequences=his:1-2\n", f"unit X013 {new.key.vkey}\n"]
    rest = POLICY_TEXT.replace(f"unit X013 {UNIT.key.vkey}\n", "")

    for text in (rest + lines[0] + lines[1], rest + lines[1] + lines[0]):
        for sequence, key in ((2, old), (3, new)):
            raw = make_bundle(MadeSnapshot(sequence=sequence, key=key)).encode()
            assert verify_bundle(raw, policy(text), lambda *_: None).exit_code == 0, (sequence, text)
        other = make_bundle(MadeSnapshot(sequence=3, key=old)).encode()
        assert verify_bundle(other, policy(text), lambda *_: None).exit_code == 1


def test_two_cosigners_with_the_same_id_both_count() -> None:
    first, second = _twins("X014", KeyType.COSIGNATURE, 16_351, 40_397)
    assert first.key.key_id == second.key.key_id
    lines = f"witness a {first.key.vkey}\nwitness b {second.key.vkey}\ngroup both all a b\nquorum both\n"
    believed = policy(POLICY_TEXT.replace("quorum outside\n", lines))

    for cosigners, exit_code in (([first, second], 0), ([second, first], 0), ([first], 2), ([second], 2)):
        raw = make_bundle(cosigners=cosigners).encode()
        assert verify_bundle(raw, believed, lambda *_: None).exit_code == exit_code
    assert verify_bundle(make_bundle(cosigners=[first, first]).encode(), believed, lambda *_: None).exit_code == 1


def test_statement_signed_under_another_source_or_bare_unit_name_is_refused() -> None:
    statement = MadeSnapshot().statement.encode()
    for name in ("X013/pacs", "X013", "X013/his/x"):
        assert refused(make_bundle(note=sign_note(statement, [UNIT.renamed(name)])), 2)


def test_statement_with_two_signatures_is_refused() -> None:
    note = MadeSnapshot().note()
    for other in (UNIT.renamed("X013/his"), STRANGER, OTHER_UNIT.renamed("X014/his")):
        line = SignatureLine(other.key.name, other.key.key_id, other.sign(note.text))
        twice = Note(note.text, (*note.signatures, line))
        assert refused(make_bundle(note=twice), 2)


def test_statement_whose_text_was_altered_is_refused() -> None:
    note = MadeSnapshot().note()
    altered = Note(note.text.replace(b"consistency consistent", b"consistency per-table"), note.signatures)

    assert refused(make_bundle(note=altered), 2)


def test_entry_that_holds_another_note_is_refused() -> None:
    other = MadeSnapshot(sequence=3).note()

    assert refused(make_bundle(logged=other), 3)


def test_entry_of_another_kind_is_refused() -> None:
    """The operator logs a refused statement as a conflict: its note stands in the log, but was not admitted."""
    log = MadeLog()
    index = log.add("conflict", Level.NONE, MadeSnapshot().note())

    assert refused(replace(BUNDLE, receipt=log.receipt(index)), 3)


def test_entry_without_a_level_is_refused() -> None:
    assert refused(make_bundle(level=Level.NONE), 3)


def test_entry_beside_the_log_is_refused() -> None:
    """The center promises an entry that it never logged."""
    entry = Entry("statement", Level.STORED, RECEIVED, MadeSnapshot().note().encode()).encode()

    assert refused(replace(BUNDLE, receipt=replace(BUNDLE.receipt, entry=entry.replace(b"01:20:00", b"01:10:00"))), 4)


def test_checkpoint_of_another_origin_is_unknown() -> None:
    report = verify(make_bundle(log=MadeLog(signer("other.example/log", 50))))

    assert report.exit_code == 2 and len(report.steps) == 4


def test_checkpoint_of_another_origin_signed_by_the_log_s_key_is_refused() -> None:
    root = tree_head([leaf_hash(BUNDLE.receipt.entry)])
    text = Checkpoint("other.example/log", 1, Sha256(root)).encode()
    note = sign_note(text, [LOG])
    receipt = Receipt(BUNDLE.receipt.entry, TlogProof(0, (), note.encode()))

    assert refused(replace(BUNDLE, receipt=receipt), 4)


def test_unit_cannot_sign_a_checkpoint() -> None:
    root = tree_head([leaf_hash(BUNDLE.receipt.entry)])
    for key in (UNIT, OTHER_UNIT, OPERATOR):
        note = sign_checkpoint(Checkpoint(ORIGIN, 1, Sha256(root)), key.renamed(ORIGIN))
        receipt = Receipt(BUNDLE.receipt.entry, TlogProof(0, (), note.encode()))
        assert verify(replace(BUNDLE, receipt=receipt)).exit_code == 2


def _with_checkpoint(note: Note) -> Bundle:
    return replace(
        BUNDLE, receipt=replace(BUNDLE.receipt, proof=replace(BUNDLE.receipt.proof, checkpoint=note.encode()))
    )


def _bare() -> Note:
    log = MadeLog()
    make_bundle(log=log)
    return log.checkpoint()


def test_cosignature_of_a_stranger_under_a_known_name_proves_nothing() -> None:
    false = signer(OTHER_COSIGNER.key.name, 51, OTHER_COSIGNER.key.kind)
    note = _bare()

    assert verify(_with_checkpoint(note.with_signatures([cosign(note.text, false, COSIGNED_AT)]))).exit_code == 2


def test_cosignature_on_another_checkpoint_is_refused() -> None:
    note = _bare()
    elsewhere = cosign(MadeLog().checkpoint().text, OTHER_COSIGNER, COSIGNED_AT)

    assert refused(_with_checkpoint(note.with_signatures([elsewhere])), 5)


def test_cosignature_with_another_time_is_refused() -> None:
    note = _bare()
    line = cosign(note.text, OTHER_COSIGNER, COSIGNED_AT)
    earlier = replace(line, signature=(COSIGNED_AT - 86_400).to_bytes(8, "big") + line.signature[8:])

    assert refused(_with_checkpoint(note.with_signatures([earlier])), 5)


def test_plain_signature_of_a_witness_is_no_cosignature() -> None:
    note = _bare()
    plain = SignatureLine(WITNESS.key.name, WITNESS.key.key_id, WITNESS.sign(note.text))

    assert refused(_with_checkpoint(note.with_signatures([plain])), 5)


def test_witness_that_cosigned_twice_is_refused() -> None:
    note = _bare()
    lines = [cosign(note.text, OTHER_COSIGNER, COSIGNED_AT + i) for i in range(2)]

    assert refused(_with_checkpoint(note.with_signatures(lines)), 5)


def test_quorum_not_met_is_not_proven() -> None:
    for cosigners in ([], [STRANGER]):
        assert verify(make_bundle(cosigners=cosigners)).exit_code == 2


def test_false_cosignature_is_refused_although_the_quorum_is_met_without_it() -> None:
    note = _bare()
    good = cosign(note.text, OTHER_COSIGNER, COSIGNED_AT)
    false = replace(cosign(note.text, WITNESS, COSIGNED_AT), signature=bytes(72))

    assert refused(_with_checkpoint(note.with_signatures([good, false])), 5)
