# SPDX-License-Identifier: Apache-2.0
"""What the verifier says of bundles that hold, and of those about which it cannot tell."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256 as sha256_state
from pathlib import Path

import pytest

from evidence.digest import sha256
from evidence.encode import encode_base64
from evidence.manifest.entry import Act, Level, StoredAct
from evidence.manifest.statement import Consistency, GapCause, GapStatement, WithdrawalStatement, statement_digest
from evidence.note.cosign import cosign
from evidence.note.signed import Note, parse_note, sign_note
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.timestamp.rfc3161 import verify_token
from evidence.verify.bundle import Bundle, BundleTimestamp
from evidence.verify.policy import Policy
from evidence.verify.report import Outcome, Report
from evidence.verify.verify import verify_bundle, verify_receipt_file
from tests.builders.bundles import (
    COSIGNED_AT,
    COSIGNER,
    OPERATOR,
    OTHER_COSIGNER,
    OTHER_UNIT,
    POLICY_TEXT,
    RECEIVED,
    STRANGER,
    UNIT,
    WITNESS,
    MadeLog,
    MadeSnapshot,
    make_bundle,
    policy,
    signer,
)
from tests.builders.tsa import Authority, Tsa

COSIGNED = datetime.fromtimestamp(COSIGNED_AT, UTC)


def no_blobs(folder: str, token: Token) -> Iterable[bytes] | None:
    return None


def verify(bundle: Bundle, believed: Policy | None = None) -> Report:
    return verify_bundle(bundle.encode(), believed or policy(), no_blobs)


def outcome_of(report: Report, number: int) -> Outcome:
    return report.steps[number - 1].outcome


def said(report: Report) -> str:
    return "\n".join(message.en for message in report.not_proven)


def facts(report: Report) -> dict[str, object]:
    return {fact.name: fact.value for fact in report.facts}


def test_honest_bundle_holds_in_twelve_steps() -> None:
    report = verify(make_bundle())

    assert report.verdict is Outcome.HOLDS and report.exit_code == 0
    assert [step.number for step in report.steps] == list(range(1, 13))
    assert {step.outcome for step in report.steps} == {Outcome.HOLDS}


def test_report_shows_the_rows_as_the_source_stated_them() -> None:
    rows = verify(make_bundle()).rows

    assert [row.table for row in rows] == ["public.drug", "public.visit"]
    assert rows[0].cells == (("code", "B02"), ("price", "20.00"))
    assert rows[1].cells[0] == ("id", "217")


def test_report_says_what_is_not_proven_even_if_all_holds() -> None:
    report = verify(make_bundle())

    assert "That the source was true, complete or the only one" in said(report)
    assert "accepted" in said(report)
    assert "no other later entries about the statement, such as its withdrawal" in said(report)
    assert all(message.zh and message.en for message in (*report.proven, *report.not_proven))


def test_equal_rows_of_a_keyless_table_are_shown_by_place() -> None:
    assert verify(make_bundle(rows=[("public.ward", b"icu")])).exit_code == 0


def test_table_of_one_row_and_snapshot_of_one_table_hold() -> None:
    schema = Schema("t", (Column("x", Kind.TEXT, True, "text"),))
    report = verify(make_bundle(MadeSnapshot(contents={schema: [b""]}, sequence=1), [("t", b"")]))

    assert report.exit_code == 0
    assert report.rows[0].cells == (("x", ""),)


def test_null_and_odd_texts_are_shown_as_they_are() -> None:
    schema = Schema(
        "t", (Column("x", Kind.TEXT, True, "text"), Column("y", Kind.TEXT, True, "text")), (), ("not-utf-8 x",)
    )
    report = verify(make_bundle(MadeSnapshot(contents={schema: [b"\xff\\t"]}), [("t", b"\xff\\t")]))

    assert report.rows[0].cells == (("x", "\\xff\t"), ("y", None))


# Time


def test_without_quorum_or_token_it_is_the_center_s_word_alone() -> None:
    report = verify(make_bundle(cosigners=[]))

    assert report.exit_code == 2
    assert outcome_of(report, 5) is Outcome.UNKNOWN
    assert "on the center's word alone" in report.steps[4].finding.en
    assert "Any time" in said(report)
    assert "proven_time" not in facts(report)


def test_all_other_steps_are_taken_although_time_is_not_proven() -> None:
    report = verify(make_bundle(cosigners=[]))

    assert len(report.steps) == 12
    assert report.rows and report.proven


def test_policy_that_asks_for_no_quorum_proves_no_time() -> None:
    assert verify(make_bundle(), policy(POLICY_TEXT.replace("quorum outside", "quorum none"))).exit_code == 2


def test_cosignature_of_the_unit_itself_does_not_count() -> None:
    assert verify(make_bundle(cosigners=[COSIGNER])).exit_code == 2


def test_cosignature_of_a_stranger_does_not_count() -> None:
    assert verify(make_bundle(cosigners=[STRANGER])).exit_code == 2


def test_stranger_s_line_beside_a_quorum_does_no_harm() -> None:
    assert verify(make_bundle(cosigners=[STRANGER, OTHER_COSIGNER])).exit_code == 0


def test_quorum_that_is_not_met_cannot_tell() -> None:
    two = policy(POLICY_TEXT.replace("outside any", "outside 2"))

    assert verify(make_bundle(cosigners=[WITNESS]), two).exit_code == 2
    assert verify(make_bundle(cosigners=[WITNESS, COSIGNER]), two).exit_code == 2
    assert verify(make_bundle(cosigners=[WITNESS, OTHER_COSIGNER]), two).exit_code == 0


def test_proven_time_is_that_of_the_quorum() -> None:
    assert facts(verify(make_bundle()))["proven_time"] == "2026-11-22 01:21:00 UTC"


def _cosigned_at(unix_s: int) -> Report:
    snapshot, log = MadeSnapshot(), MadeLog()
    bundle = make_bundle(snapshot, log=log)
    return verify(replace(bundle, receipt=log.receipt(5, log.checkpoint([OTHER_COSIGNER], unix_s))))


@pytest.mark.parametrize("unix_s", [0, 2**64 - 1])
def test_cosignature_without_a_time_of_the_calendar_proves_none(unix_s: int) -> None:
    assert _cosigned_at(unix_s).exit_code == 2


def test_clocks_that_disagree_are_mentioned() -> None:
    assert "clocks agree" in said(_cosigned_at(int(RECEIVED.timestamp()) - 60))
    assert "clocks agree" not in said(_cosigned_at(COSIGNED_AT))


# Time stamps


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("Test Root")


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory, root: Authority) -> Tsa:
    return Tsa(tmp_path_factory.mktemp("verify") / "tsa", Authority("Test TSA", root, ca=False, purpose=True))


def _believing(*lines: str) -> Policy:
    return policy("\n".join((POLICY_TEXT.replace("quorum outside", "quorum none"), *lines, "")))


def _root_line(root: Authority) -> str:
    return f"tsa sha256:{sha256(root.der).hex()}"


def _stamped(tsa: Tsa, message: bytes | None = None, *brought: bytes, revocation: tuple[bytes, ...] = ()) -> Bundle:
    bundle = make_bundle()
    token = tsa.stamp(message or bundle.receipt.proof.checkpoint)
    return replace(bundle, timestamps=(BundleTimestamp(token, brought, revocation),))


def test_token_over_the_cosigned_checkpoint_proves_the_time(tsa: Tsa, root: Authority) -> None:
    report = verify(_stamped(tsa, None, root.der), _believing(_root_line(root)))

    assert report.exit_code == 0
    assert "CN=Test TSA" in report.steps[4].finding.en
    assert "was not revoked" in said(report)


def test_token_over_the_checkpoint_before_cosignatures_came_proves_the_time(tsa: Tsa, root: Authority) -> None:
    bundle = make_bundle()
    note = bundle.receipt.proof.checkpoint
    bare = note[: note.index("— X014".encode())]

    assert verify(_stamped(tsa, bare, root.der), _believing(_root_line(root))).exit_code == 0


def test_list_as_new_as_the_token_leaves_nothing_to_say_of_revocation(tsa: Tsa, root: Authority) -> None:
    report = verify(_stamped(tsa, None, root.der, revocation=(root.clear(),)), _believing(_root_line(root)))

    assert report.exit_code == 0
    assert "was not revoked" not in said(report)


def test_earliest_of_quorum_and_token_is_the_proven_time(tsa: Tsa, root: Authority) -> None:
    believed = policy(f"{POLICY_TEXT}{_root_line(root)}\n")

    times = [COSIGNED, datetime.now(UTC)]
    stated = str(facts(verify(_stamped(tsa, None, root.der), believed))["proven_time"])
    assert stated[:10] == f"{min(times):%Y-%m-%d}"


def test_token_by_an_authority_that_the_policy_does_not_name_does_not_count(tsa: Tsa, root: Authority) -> None:
    for believed in (_believing(), _believing(_root_line(Authority("Other Root")))):
        report = verify(_stamped(tsa, None, root.der), believed)
        assert report.exit_code == 2
        assert "A time stamp did not count" in said(report)


def test_token_over_something_else_is_refused(tsa: Tsa, root: Authority) -> None:
    report = verify(_stamped(tsa, b"something else", root.der), _believing(_root_line(root)))

    assert report.exit_code == 1
    assert "about another checkpoint" in report.steps[-1].finding.en


# The unit's key


def _bounded(bounds: str) -> Policy:
    return policy(POLICY_TEXT.replace(UNIT.key.vkey, f"{UNIT.key.vkey} {bounds}"))


@pytest.mark.parametrize(
    ("bounds", "exit_code"),
    [
        ("since=2026-01-01T00:00:00.000000Z", 0),
        ("since=2026-11-22T01:20:00.000001Z", 1),
        ("until=2026-11-22T01:21:00.000001Z", 0),
        ("until=2026-11-22T01:21:00.000000Z", 2),
        ("until=2026-11-22T01:20:00.000000Z", 1),
        ("sequences=his:1-2", 0),
        ("sequences=his:2-", 0),
        ("sequences=his:3-", 1),
        ("sequences=pacs:1-", 1),
    ],
)
def test_key_s_bounds_decide(bounds: str, exit_code: int) -> None:
    assert verify(make_bundle(), _bounded(bounds)).exit_code == exit_code


def test_nothing_is_proven_by_a_key_that_may_have_ended_before() -> None:
    report = verify(make_bundle(), _bounded("until=2026-11-22T01:20:30.000000Z"))

    assert report.exit_code == 2
    assert report.proven == ()


def test_unit_that_the_policy_does_not_name_cannot_be_told() -> None:
    report = verify(make_bundle(), policy(POLICY_TEXT.replace(f"unit X013 {UNIT.key.vkey}\n", "")))

    assert report.exit_code == 2
    assert "names no key of unit X013" in report.steps[1].finding.en


def test_second_key_of_a_unit_speaks_too() -> None:
    new = signer("X013", 60)
    believed = policy(f"{POLICY_TEXT}unit X013 {new.key.vkey} since=2026-11-22T01:00:00.000000Z\n")

    assert verify(make_bundle(MadeSnapshot(key=new)), believed).exit_code == 0


def test_only_those_who_had_cosigned_by_the_proven_time_are_named_for_it() -> None:
    log = MadeLog()
    bundle = make_bundle(log=log, cosigners=[OTHER_COSIGNER])
    note = parse_note(bundle.receipt.proof.checkpoint)
    late = note.with_signatures([cosign(note.text, WITNESS, COSIGNED_AT + 86_400)])
    receipt = replace(bundle.receipt, proof=replace(bundle.receipt.proof, checkpoint=late.encode()))
    report = verify(replace(bundle, receipt=receipt))

    assert report.steps[4].finding.en == "not later than 2026-11-22 01:21:00 UTC (cosigned by X014)"


def test_key_that_began_after_the_proven_time_is_refused_for_that_reason() -> None:
    text = POLICY_TEXT.replace(UNIT.key.vkey, f"{UNIT.key.vkey} since=2026-11-22T01:20:00.000000Z")
    log = MadeLog()
    make_bundle(log=log)
    early = log.checkpoint([OTHER_COSIGNER], COSIGNED_AT - 3600)
    bundle = replace(make_bundle(), receipt=log.receipt(5, early))
    report = verify(bundle, policy(text))

    assert outcome_of(report, 6) is Outcome.FAILS
    assert "others state that it existed at 2026-11-22T00:21:00.000000Z" in report.steps[5].finding.en
    assert "began at 2026-11-22T01:20:00.000000Z" in report.steps[5].finding.en


def test_proven_time_is_never_written_earlier_than_it_is(tmp_path: Path) -> None:
    """A token that is true to half a second proves no more than the whole second after it."""
    authority = Authority("TSA", purpose=True)
    bundle = make_bundle(cosigners=[])
    token = Tsa(tmp_path / "tsa", authority, "accuracy = secs:1, millisecs:500").stamp(bundle.receipt.proof.checkpoint)
    latest = verify_token(token, bundle.receipt.proof.checkpoint, [authority.certificate]).latest
    believed = policy(f"{POLICY_TEXT}tsa {encode_base64(authority.der)}\n")
    report = verify(replace(bundle, timestamps=(BundleTimestamp(token),)), believed)

    assert latest.microsecond == 500_000
    shown = (latest + timedelta(microseconds=500_000)).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert facts(report)["proven_time"] == shown
    assert f"not later than {shown}" in report.steps[4].finding.en
    assert f"existed by {shown}" in report.proven[1].en and f"不晚于 {shown}" in report.proven[1].zh


# Level and later entries


def _later(kind: str, level: Level, text_of: object, by: object = OPERATOR) -> Bundle:
    """Make a registered bundle with one later entry; `text_of` is given the statement's digest."""
    snapshot, log = MadeSnapshot(), MadeLog()
    bundle = make_bundle(snapshot, level=Level.REGISTERED, log=log)
    text = text_of(statement_digest(snapshot.statement.encode()))  # type: ignore[operator]
    index = log.add(kind, level, sign_note(text, [by]))  # type: ignore[list-item]
    return replace(bundle, later=(log.receipt(index),))


def test_receipt_of_a_gap_does_not_say_that_content_is_lacking() -> None:
    gap = GapStatement("X013", "his", 2, sha256(b"x"), RECEIVED, RECEIVED, GapCause.OUTAGE, "a night")
    log = MadeLog()
    index = log.add("statement", Level.NONE, sign_note(gap.encode(), [UNIT.renamed("X013/his")]))
    report = verify_receipt_file(log.receipt(index).encode(), policy())

    assert report.exit_code == 0
    assert "registered" not in said(report)


def test_registered_is_not_stored() -> None:
    report = verify(make_bundle(level=Level.REGISTERED))

    assert report.exit_code == 0
    assert facts(report)["level"] == "registered"
    assert "`registered`, not `stored`" in said(report)


def test_later_entry_of_the_operator_makes_it_stored() -> None:
    report = verify(_later("stored", Level.STORED, lambda digest: StoredAct("X013", "his", 2, digest).encode()))

    assert report.exit_code == 0
    assert facts(report)["level"] == "stored"


def test_stored_by_an_operator_whom_the_policy_does_not_name_does_not_count() -> None:
    bundle = _later("stored", Level.STORED, lambda digest: StoredAct("X013", "his", 2, digest).encode())
    report = verify(bundle, policy(POLICY_TEXT.replace(f"operator {OPERATOR.key.vkey}\n", "")))

    assert report.exit_code == 0
    assert facts(report)["level"] == "registered"
    assert "not counted" in report.steps[6].finding.en


def test_later_entries_about_something_else_are_refused() -> None:
    for kind, level, text in (
        ("stored", Level.STORED, StoredAct("X013", "his", 2, sha256(b"other")).encode()),
        ("stored", Level.STORED, StoredAct("X014", "his", 2, sha256(b"other")).encode()),
        ("check", Level.NONE, Act("fixity check", "statement of others", "ok", "li", "-").encode()),
    ):
        assert verify(_later(kind, level, lambda _, text=text: text)).exit_code == 1


def test_later_entry_by_a_false_operator_does_not_count() -> None:
    false = signer(OPERATOR.key.name, 61)
    bundle = _later("stored", Level.STORED, lambda digest: StoredAct("X013", "his", 2, digest).encode(), false)

    assert facts(verify(bundle))["level"] == "registered"
    assert "not counted" in verify(bundle).steps[6].finding.en


def test_acts_of_the_center_are_told() -> None:
    bundle = _later("decision", Level.NONE, lambda digest: Act("accept", digest.hex(), "accepted", "li", "-").encode())
    report = verify(bundle)

    assert "log@6: accept, outcome accepted" in report.steps[6].finding.en
    assert "have accepted" not in said(report)


def test_snapshot_that_the_archives_refused_to_accept_is_not_accepted() -> None:
    bundle = _later("decision", Level.NONE, lambda digest: Act("accept", digest.hex(), "refused", "li", "-").encode())
    report = verify(bundle)

    assert "log@6: accept, outcome refused" in report.steps[6].finding.en
    assert "That the archives have accepted" in said(report)


def test_later_entry_of_another_log_is_refused() -> None:
    """Another center, in which the verifier believes too, has never had the content of this one's statement."""
    origin = "other.example/center"
    other, operator = signer(origin, 70), signer(f"{origin}/operator", 71)
    believed = policy(f"log {other.key.vkey}\noperator {operator.key.vkey}\n{POLICY_TEXT}")
    snapshot, log = MadeSnapshot(), MadeLog(other, [f"an entry {i}".encode() for i in range(9)])
    act = StoredAct("X013", "his", 2, statement_digest(snapshot.statement.encode()))
    index = log.add("stored", Level.STORED, sign_note(act.encode(), [operator]))
    bundle = replace(make_bundle(snapshot, level=Level.REGISTERED), later=(log.receipt(index),))

    assert outcome_of(verify(bundle, believed), 7) is Outcome.FAILS


def test_later_entry_from_before_the_statement_is_refused() -> None:
    snapshot, log = MadeSnapshot(), MadeLog()
    act = StoredAct("X013", "his", 2, statement_digest(snapshot.statement.encode()))
    index = log.add("stored", Level.STORED, sign_note(act.encode(), [OPERATOR]))
    bundle = make_bundle(snapshot, level=Level.REGISTERED, log=log)

    assert outcome_of(verify(replace(bundle, later=(log.receipt(index),))), 7) is Outcome.FAILS


def _withdraw(digest: bytes) -> bytes:
    return (
        WithdrawalStatement("X013", "his", 3, sha256(b"x"), RECEIVED, sha256(b""), "wrong")
        .encode()
        .replace(sha256(b"").hex().encode(), digest.hex().encode())
    )


def test_withdrawal_by_a_key_that_had_ended_is_refused() -> None:
    old = signer("X013", 72)
    believed = policy(f"{POLICY_TEXT}unit X013 {old.key.vkey} until=2026-11-22T01:00:00.000000Z\n")
    bundle = _later("statement", Level.NONE, _withdraw, old.renamed("X013/his"))

    assert outcome_of(verify(bundle, believed), 7) is Outcome.FAILS


def test_withdrawal_by_the_unit_is_told() -> None:
    report = verify(_later("statement", Level.NONE, _withdraw, UNIT.renamed("X013/his")))

    assert report.exit_code == 0
    assert "has withdrawn" in said(report)


def test_withdrawal_by_another_source_or_unit_is_refused() -> None:
    for unit, source, key in (("X014", "his", OTHER_UNIT), ("X013", "pacs", UNIT)):

        def text(digest: bytes, unit: str = unit, source: str = source) -> bytes:
            return (
                WithdrawalStatement(unit, source, 3, sha256(b"x"), RECEIVED, sha256(b""), "wrong")
                .encode()
                .replace(sha256(b"").hex().encode(), digest.hex().encode())
            )

        assert verify(_later("statement", Level.NONE, text, key.renamed(f"{unit}/{source}"))).exit_code == 1


def test_snapshot_that_is_not_consistent_says_so() -> None:
    assert "consistency is `per-table`" in said(verify(make_bundle(MadeSnapshot(consistency=Consistency.PER_TABLE))))


def test_snapshot_that_may_carry_tables_over_does_not_prove_when_they_were_read() -> None:
    """A table that is read monthly stands in each night's snapshot; only the manifest, which no bundle has, says so."""
    sentence = "That the records were read between these two times"

    assert sentence not in said(verify(make_bundle()))
    for consistency in (Consistency.PER_TABLE, Consistency.LIVE):
        assert sentence in said(verify(make_bundle(MadeSnapshot(consistency=consistency))))


# Large cells

CONTENT = b"x" * 70_000
TOKEN = Token(sha256_state(CONTENT).digest(), len(CONTENT))
FILES = Schema(
    "@files", (Column("path", Kind.TEXT, False, "path"), Column("content", Kind.TEXT, True, "content")), ("path",)
)


def _with_blob(blobs: str | None = "blobs") -> bytes:
    snapshot = MadeSnapshot(contents={FILES: [b"a.pdf\t" + TOKEN.encode()]})
    return replace(make_bundle(snapshot, [("@files", b"a.pdf")]), blobs=blobs).encode()


def test_large_cell_beside_the_bundle_is_hashed() -> None:
    asked: list[tuple[str, Token]] = []

    def find(folder: str, token: Token) -> Iterable[bytes]:
        asked.append((folder, token))
        return [CONTENT[:100], CONTENT[100:]]

    report = verify_bundle(_with_blob(), policy(), find)

    assert report.exit_code == 0 and outcome_of(report, 12) is Outcome.HOLDS
    assert asked == [("blobs", TOKEN)]


@pytest.mark.parametrize("parts", [[], [CONTENT[:-1]], [CONTENT, b"x"], [b"y" + CONTENT[1:]]])
def test_false_large_cell_is_refused(parts: list[bytes]) -> None:
    report = verify_bundle(_with_blob(), policy(), lambda *_: parts)

    assert report.exit_code == 1
    assert TOKEN.sha256.hex() in report.steps[-1].finding.en


def test_absent_large_cell_is_said_and_does_no_harm() -> None:
    report = verify_bundle(_with_blob(), policy(), no_blobs)

    assert report.exit_code == 0 and outcome_of(report, 12) is Outcome.SKIPPED
    assert "The content of 1 large cells" in said(report)


def test_folder_is_named_if_and_only_if_there_are_large_cells() -> None:
    assert verify_bundle(_with_blob(None), policy(), no_blobs).exit_code == 1
    assert verify(replace(make_bundle(), blobs="blobs")).exit_code == 1


# Receipts


def _receipt(kind: str, level: Level, note: Note) -> bytes:
    log = MadeLog()
    return log.receipt(log.add(kind, level, note)).encode()


def test_receipt_of_a_statement_holds() -> None:
    report = verify_receipt_file(_receipt("statement", Level.STORED, MadeSnapshot().note()), policy())

    assert report.exit_code == 0 and len(report.steps) == 5
    assert facts(report)["unit"] == "X013"
    assert "holds no rows" in said(report)


def test_receipt_of_an_act_holds_by_the_operator() -> None:
    note = sign_note(Act("restore", "his#2", "equal", "li", "-").encode(), [OPERATOR])

    assert verify_receipt_file(_receipt("restore", Level.NONE, note), policy()).exit_code == 0
    assert verify_receipt_file(_receipt("restore", Level.NONE, note), policy("quorum none\n")).exit_code == 2


def test_receipt_signed_by_the_wrong_party_does_not_hold() -> None:
    act = sign_note(Act("restore", "his#2", "equal", "li", "-").encode(), [UNIT])
    statement = sign_note(MadeSnapshot().statement.encode(), [OTHER_UNIT.renamed("X014/his")])

    assert verify_receipt_file(_receipt("restore", Level.NONE, act), policy()).exit_code == 2
    assert verify_receipt_file(_receipt("statement", Level.STORED, statement), policy()).exit_code == 1


def test_receipt_without_proof_of_time_cannot_tell() -> None:
    log = MadeLog()
    raw = log.receipt(log.add("statement", Level.STORED, MadeSnapshot().note()), log.checkpoint()).encode()

    assert verify_receipt_file(raw, policy()).exit_code == 2


def test_rubbish_is_no_receipt_and_no_bundle() -> None:
    for raw in (b"", b"\x00", b"null", b"{}", b"[]", "金".encode(), make_bundle().receipt.encode()[:-1]):
        assert verify_receipt_file(raw, policy()).exit_code == 1
        assert verify_bundle(raw, policy(), no_blobs).exit_code == 1
