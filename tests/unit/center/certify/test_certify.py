# SPDX-License-Identifier: Apache-2.0
"""Bundles that the center makes: with a real ledger, verified by the stranger's verifier."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from center.certify.certify import make_bundle, make_policy, parse_key, write_bundle
from center.errors import NotFoundError, RefusedError, StoreError
from center.ledger.ledger import Ledger
from center.registry.snapshots import Snapshot
from center.registry.unitfile import KeyPair
from center.registry.units import Unit
from evidence.digest import Sha256
from evidence.manifest.entry import Level, StoredAct
from evidence.manifest.statement import WithdrawalStatement
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note, sign_note
from evidence.objects.object import ObjectKind
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.verify.bundle import parse_bundle
from evidence.verify.command import main
from evidence.verify.policy import parse_policy
from evidence.verify.report import Report
from evidence.verify.verify import verify_bundle
from tests.builders.bundles import (
    COSIGNER,
    LOG,
    OPERATOR,
    OTHER_COSIGNER,
    OTHER_UNIT,
    RECEIVED,
    UNIT,
    VISIT,
    WITNESS,
    policy,
    signer,
    visit_lines,
)
from tests.fakes.snapshot import SourceHistory, TableContent

PAIR = Schema(
    "public.pair",
    (
        Column("no", Kind.INT, False, "int"),
        Column("code", Kind.TEXT, False, "text"),
        Column("v", Kind.TEXT, True, "text"),
    ),
    ("code", "no"),
)
KEYLESS = Schema("public.keyless", (Column("a", Kind.TEXT, True, "text"), Column("b", Kind.INT, True, "int")))
FILES = Schema(
    "@files", (Column("path", Kind.TEXT, False, "path"), Column("content", Kind.TEXT, True, "content")), ("path",)
)
SCAN = b"%PDF-1.7 " * 20_000
TOKEN = Token(hashlib.sha256(SCAN).digest(), len(SCAN))


class Clock:
    """Gives times a second apart."""

    def __init__(self) -> None:
        self.now = RECEIVED

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    Ledger.create(tmp_path / "ledger", LOG)
    with Ledger(tmp_path / "ledger", LOG, Clock()) as opened:
        for number in range(3):
            opened.append("check", Level.NONE, sign_note(b"an older act %d\n" % number, [OPERATOR]).encode())
        yield opened


def make_snapshot(ledger: Ledger, *tables: TableContent, level: Level = Level.STORED) -> Snapshot:
    """Take a snapshot and log its statement, signed; the row says where it stands."""
    usual = (
        TableContent(VISIT, visit_lines(1000)),
        TableContent(PAIR, [b"7\ta\\tb\tx", b"8\ta\\tb", b"-1\tz\ty"]),
        TableContent(KEYLESS, [b"x\t1", b"x\t1", b"\\N\t2"]),
        TableContent(FILES, [b"scan.pdf\t" + TOKEN.encode(), b"empty"], blobs=[SCAN]),
    )
    taken = SourceHistory().take(*(tables or usual))
    note = sign_note(taken.statement.encode(), [UNIT.renamed("X013/his")]).encode()
    sealed = ledger.append("statement", level, note)
    stored = sealed.index if level is Level.STORED else _log_stored(ledger, taken)
    row = replace(taken.row, note=note, index=sealed.index, stored_index=stored, level=level)
    return Snapshot(taken.statement, row, taken.objects, taken.secrets)


def _log_stored(ledger: Ledger, taken: Snapshot) -> int:
    act = StoredAct("X013", "his", 1, Sha256(taken.row.digest))
    return ledger.append("stored", Level.STORED, sign_note(act.encode(), [OPERATOR]).encode()).index


def cosign_newest(ledger: Ledger, *signers: Any, after: int = 60) -> None:
    text = parse_note(ledger.checkpoint()).text
    for cosigner in signers:
        line = cosign(text, cosigner, int(RECEIVED.timestamp()) + after)
        assert ledger.add_cosignature(line, cosigner.key)


def verify(raw: bytes) -> Report:
    return verify_bundle(raw, policy(), lambda *_: None)


def key(snapshot: Snapshot, table: str, *values: str) -> tuple[str, bytes]:
    return table, parse_key(snapshot.table(table).schema, values)


def test_stranger_verifies_rows_of_any_tables_given_in_any_order(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, OTHER_COSIGNER)
    rows = [
        key(snapshot, "public.visit", "987"),
        key(snapshot, "public.pair", "a\tb", "8"),
        key(snapshot, "public.visit", "3"),
        key(snapshot, "public.keyless", "\\N", "2"),
        key(snapshot, "public.visit", "3"),
    ]
    report = verify(make_bundle(snapshot, ledger, rows))

    assert report.exit_code == 0
    assert [(row.table, row.cells[0][1]) for row in report.rows] == [
        ("public.keyless", None), ("public.pair", "8"), ("public.visit", "3"), ("public.visit", "987"),
    ]  # fmt: skip


def test_bundle_is_the_same_whatever_the_order_of_asking(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    rows = [key(snapshot, "public.visit", str(i)) for i in (500, 3, 1000, 999)]

    assert make_bundle(snapshot, ledger, rows) == make_bundle(snapshot, ledger, rows[::-1])


def test_file_is_certified_with_its_content_beside_the_bundle(ledger: Ledger, tmp_path: Path) -> None:
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, OTHER_COSIGNER)
    raw = make_bundle(snapshot, ledger, [key(snapshot, "@files", "scan.pdf")])

    assert write_bundle(tmp_path / "F.jinsuo", raw, snapshot) == 1
    assert (tmp_path / "blobs" / TOKEN.sha256.hex()).read_bytes() == SCAN
    (tmp_path / "trust.policy").write_text(make_policy(LOG.key, OPERATOR.key, units()), encoding="utf-8")
    assert main([str(tmp_path / "F.jinsuo"), "--policy", str(tmp_path / "trust.policy"), "--json"]) == 0


def test_bundle_is_not_written_over_another(ledger: Ledger, tmp_path: Path) -> None:
    snapshot = make_snapshot(ledger)
    raw = make_bundle(snapshot, ledger, [key(snapshot, "@files", "empty")])
    assert write_bundle(tmp_path / "F.jinsuo", raw, snapshot) == 0

    with pytest.raises(RefusedError, match="exists already"):
        write_bundle(tmp_path / "F.jinsuo", raw, snapshot)


def test_checkpoint_that_most_others_cosigned_is_chosen_of_equals_the_oldest(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, COSIGNER, after=10)
    sizes = []
    for signers in ([OTHER_COSIGNER], [OTHER_COSIGNER, WITNESS], [WITNESS, OTHER_COSIGNER], []):
        ledger.append("check", Level.NONE, sign_note(b"one more act\n", [OPERATOR]).encode())
        cosign_newest(ledger, *signers)
        sizes.append(ledger.size)
    raw = make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")])

    text = parse_note(parse_bundle(raw).receipt.proof.checkpoint).text
    assert int(text.split(b"\n")[1]) == sizes[1]


def _append_and_cosign(ledger: Ledger, *signers: Any, after: int) -> int:
    ledger.append("check", Level.NONE, sign_note(b"one more act\n", [OPERATOR]).encode())
    cosign_newest(ledger, *signers, after=after)
    return ledger.size


def _size_and_time(raw: bytes) -> tuple[int, object]:
    text = parse_note(parse_bundle(raw).receipt.proof.checkpoint).text
    facts = {fact.name: fact.value for fact in verify(raw).facts}
    return int(text.split(b"\n")[1]), facts.get("proven_time")


def test_years_of_later_checkpoints_do_not_make_the_proven_time_later(ledger: Ledger) -> None:
    """A key that was lost meanwhile would leave an honest record unproven: all that proves it must be from before."""
    snapshot = make_snapshot(ledger)
    first = _append_and_cosign(ledger, OTHER_COSIGNER, after=60)
    for week in range(1, 6):
        _append_and_cosign(ledger, OTHER_COSIGNER, WITNESS, after=week * 7 * 86_400)
    raw = make_bundle(snapshot, _Few(ledger), [key(snapshot, "public.visit", "1")])

    assert _size_and_time(raw) == (first, "2026-11-22 01:21:00 UTC")
    lost = make_policy(LOG.key, OPERATOR.key, [_replaced(units()[0], RECEIVED + timedelta(days=1)), units()[1]])
    assert verify_bundle(raw, parse_policy(lost.encode()), lambda *_: None).exit_code == 0


def test_checkpoints_that_the_unit_alone_cosigned_are_passed_over_however_many(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    for minute in range(1, 8):
        _append_and_cosign(ledger, COSIGNER, after=60 * minute)
    size = _append_and_cosign(ledger, OTHER_COSIGNER, after=600)
    for minute in range(11, 18):
        _append_and_cosign(ledger, COSIGNER, after=60 * minute)
    raw = make_bundle(snapshot, _Few(ledger), [key(snapshot, "public.visit", "1")])

    assert _size_and_time(raw) == (size, "2026-11-22 01:30:00 UTC")


def test_witness_whose_clock_is_wrong_does_not_spoil_another_unit_s_record(ledger: Ledger) -> None:
    """It says that it saw the statement years before the key that signed it: the verifier would refute the record."""
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, OTHER_COSIGNER, after=-10 * 365 * 86_400)
    cosign_newest(ledger, WITNESS, after=60)
    text = make_policy(LOG.key, OPERATOR.key, units())
    text = text.replace("group units 1", f"witness w {WITNESS.key.vkey}\ngroup units 1 w")
    raw = make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")])
    report = verify_bundle(raw, parse_policy(text.encode()), lambda *_: None)

    assert report.exit_code == 0
    assert {fact.name: fact.value for fact in report.facts}["proven_time"] == "2026-11-22 01:21:00 UTC"


class _Few:
    """The ledger, giving three checkpoints at a time, as a large one gives a thousand."""

    def __init__(self, ledger: Ledger) -> None:
        self.log_key, self.receipt = ledger.log_key, ledger.receipt
        self._ledger = ledger

    def find_checkpoints(self, *args: Any, **options: Any) -> list[bytes]:
        return self._ledger.find_checkpoints(*args, **{**options, "most": 3})


def _replaced(unit: Unit, since: datetime) -> Unit:
    """Give the unit as it is when it lost its keys and enrolled others at `since`."""
    fresh = KeyPair(signer("X013", 60).key, signer("X013", 61, COSIGNER.key.kind).key, since)
    return replace(unit, keys=(*unit.keys, fresh))


def test_without_cosignatures_of_others_the_newest_checkpoint_will_do(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, COSIGNER)
    raw = make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")])

    assert parse_bundle(raw).receipt.proof.checkpoint == ledger.checkpoint()
    assert verify(raw).exit_code == 2


def test_content_that_came_later_is_proven_by_a_later_entry(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger, level=Level.REGISTERED)
    cosign_newest(ledger, OTHER_COSIGNER)
    raw = make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")])

    facts = {fact.name: fact.value for fact in verify(raw).facts}
    assert verify(raw).exit_code == 0
    assert facts["level"] == "stored"


def test_later_entries_that_are_named_come_along(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, OTHER_COSIGNER)
    withdrawal = WithdrawalStatement(
        "X013", "his", 2, Sha256(snapshot.row.digest), RECEIVED, Sha256(snapshot.row.digest), "wrong database"
    )
    sealed = ledger.append("statement", Level.NONE, sign_note(withdrawal.encode(), [UNIT.renamed("X013/his")]).encode())
    report = verify(make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")], later=[sealed.index]))

    assert report.exit_code == 0
    assert "withdrawn" in report.steps[6].finding.en


@pytest.mark.parametrize(
    ("table", "values", "complaint"),
    [
        ("public.visit", ["1001"], "has no row with id = b'1001'"),
        ("public.visit", ["007"], "is not a value of column id"),
        ("public.visit", [], "named by 1 values, found 0"),
        ("public.visit", ["1", "2"], "named by 1 values, found 2"),
        ("public.pair", ["8", "a\tb"], "is not a value of column no"),
        ("public.keyless", ["x", "7"], "has no row with all columns"),
        ("public.none", ["1"], "has no table"),
    ],
)
def test_row_that_is_not_there_is_said_with_a_hint(
    ledger: Ledger, table: str, values: list[str], complaint: str
) -> None:
    snapshot = make_snapshot(ledger)
    with pytest.raises(NotFoundError, match=complaint) as err:
        make_bundle(snapshot, ledger, [key(snapshot, table, *values)])
    assert err.value.hint


def test_keyless_rows_are_named_by_all_values(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)

    assert key(snapshot, "public.keyless", "x", "1")[1] == b"x\t1"
    assert (
        parse_bundle(make_bundle(snapshot, ledger, [key(snapshot, "public.keyless", "x", "1")])).rows[0].line == b"x\t1"
    )


def test_any_row_of_a_keyless_table_can_be_named(ledger: Ledger) -> None:
    """A text that reads as NULL or as a large cell is typed with its backslash doubled, as it stands on the line."""
    token = TOKEN.encode().decode()
    rows = {("\\\\N", "1"): b"\\\\N\t1", ("\\N", "1"): b"\\N\t1", (token, "2"): TOKEN.encode() + b"\t2",
            (f"\\{token}", "2"): b"\\" + TOKEN.encode() + b"\t2", ("\\\\x", "3"): b"\\\\\\\\x\t3"}  # fmt: skip
    snapshot = make_snapshot(ledger, TableContent(KEYLESS, sorted(rows.values()), blobs=[SCAN]))
    for values, line in rows.items():
        raw = make_bundle(snapshot, ledger, [key(snapshot, "public.keyless", *values)])
        assert [row.line for row in parse_bundle(raw).rows] == [line], values


def test_row_is_certified_although_another_table_s_schema_is_damaged(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    bodies: dict[Any, Any] = snapshot.objects.bodies  # type: ignore[attr-defined]  # the fake's dictionary
    for name, (kind, body) in list(bodies.items()):
        if kind is ObjectKind.DOCUMENT and b'"public.pair"' in body:
            del bodies[name]
    cosign_newest(ledger, OTHER_COSIGNER)

    assert verify(make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")])).exit_code == 0


def test_damaged_page_is_never_certified(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    bodies: dict[Any, Any] = snapshot.objects.bodies  # type: ignore[attr-defined]  # the fake's dictionary
    for name, (kind, body) in list(bodies.items()):
        if kind is ObjectKind.PAGE and b"\n500\t" in body:
            bodies[name] = (kind, body.replace(b"\n500\t", b"\n500\tx"))

    with pytest.raises(StoreError, match="cannot be certified") as err:
        make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "500")])
    assert "audit" in err.value.hint


def test_statement_that_the_log_does_not_hold_there_is_never_certified(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    moved = Snapshot(
        snapshot.statement, replace(snapshot.row, index=0, stored_index=0), snapshot.objects, snapshot.secrets
    )

    with pytest.raises(StoreError, match="log entry 0 does not hold the statement"):
        make_bundle(moved, ledger, [key(moved, "public.visit", "1")])


# The policy


def units() -> list[Unit]:
    early = datetime(2026, 1, 1, tzinfo=UTC)
    pairs = {"X013": (UNIT, COSIGNER), "X014": (OTHER_UNIT, OTHER_COSIGNER)}
    make = partial(Unit, disabled=False, enrolled_at=early, sources=(), last_checkpoint_size=None)
    return [
        make(
            unit=unit,
            name=f"单位 {unit}",
            statement_key=s.key,
            cosigner_key=c.key,
            keys=(KeyPair(s.key, c.key, early),),
        )
        for unit, (s, c) in pairs.items()
    ]


def test_policy_of_the_center_verifies_its_bundles(ledger: Ledger) -> None:
    snapshot = make_snapshot(ledger)
    cosign_newest(ledger, OTHER_COSIGNER)
    raw = make_bundle(snapshot, ledger, [key(snapshot, "public.visit", "1")])
    believed = parse_policy(make_policy(LOG.key, OPERATOR.key, units()).encode())

    assert verify_bundle(raw, believed, lambda *_: None).exit_code == 0


def test_policy_without_units_asks_for_no_quorum() -> None:
    believed = parse_policy(make_policy(LOG.key, OPERATOR.key, []).encode())

    assert believed.quorum == "none" and believed.logs == (LOG.key,) and believed.operators == (OPERATOR.key,)


def test_key_that_was_replaced_ends_when_the_next_begins() -> None:
    began, ended = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    pairs = (
        KeyPair(UNIT.key, COSIGNER.key, began),
        KeyPair(OTHER_UNIT.key.renamed("X013"), OTHER_COSIGNER.key.renamed("X013"), ended),
    )
    unit = replace(units()[0], keys=pairs)
    believed = parse_policy(make_policy(LOG.key, OPERATOR.key, [unit]).encode())

    assert [(k.since, k.until) for k in believed.units] == [(began, ended), (ended, None)]
    assert len(believed.witnesses) == 2
