# SPDX-License-Identifier: Apache-2.0
"""Policy files: the grammar of C2SP and our three lines, quorums, and errors that name the line."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest

from evidence.digest import sha256
from evidence.errors import PolicyError
from evidence.keys.trust import SequenceRange
from evidence.note.cosign import Cosignature
from evidence.verify.policy import MAX_POLICY_BYTES, Policy, parse_policy
from tests.builders.bundles import (
    COSIGNER,
    LOG,
    OPERATOR,
    OTHER_COSIGNER,
    OTHER_UNIT,
    POLICY_TEXT,
    STRANGER,
    UNIT,
    WITNESS,
    policy,
)
from tests.builders.tsa import Authority

WITNESSES = f"witness A {COSIGNER.key.vkey}\nwitness B {OTHER_COSIGNER.key.vkey}\nwitness C {WITNESS.key.vkey}\n"


def test_policy_reads_as_it_is_written() -> None:
    read = policy()

    assert read.logs == (LOG.key,)
    assert read.operators == (OPERATOR.key,)
    assert [w.name for w in read.witnesses] == ["unit-X013", "unit-X014", "w1"]
    assert parse_policy(read.encode().encode()) == read


def test_bounds_of_units_read_as_they_are_written() -> None:
    line = (
        f"unit X013 {UNIT.key.vkey} since=2026-01-01T00:00:00.000000Z until=2027-01-01T00:00:00.000000Z"
        " sequences=his:1-17 sequences=pacs:3-"
    )
    read = policy(f"quorum none\n{line}\n")

    assert read.units[0].since == datetime(2026, 1, 1, tzinfo=UTC)
    assert read.units[0].until == datetime(2027, 1, 1, tzinfo=UTC)
    assert read.units[0].sequences == (SequenceRange("his", 1, 17), SequenceRange("pacs", 3))
    assert line in read.encode()


def test_roots_of_time_stamp_authorities_are_read() -> None:
    root = Authority("Root")
    read = policy(f"quorum none\ntsa {b64encode(root.der).decode()}\ntsa sha256:{sha256(root.der).hex()}\n")

    assert read.roots == (root.certificate,)
    assert read.root_hashes == (sha256(root.der),)
    assert parse_policy(read.encode().encode()) == read


def test_tabs_spaces_comments_urls_and_carriage_returns_are_taken() -> None:
    read = policy(f"  # comment\r\n\n\tlog \t{LOG.key.vkey}   https://log.example/ \r\nquorum none")

    assert read.logs == (LOG.key,)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no quorum line"),
        ("quorum none\nquorum none\n", "line 2 .* one quorum line"),
        ("quorum nobody\n", "line 1 .* named 'nobody'"),
        ("quorum\n", "line 1 .* found 0 items"),
        ("qourum none\n", "line 1 .*'qourum' is none of"),
        (f"log {LOG.key.vkey} url more\nquorum none\n", "line 1 .* found 3 items"),
        (f"log {COSIGNER.key.vkey}\nquorum none\n", "line 1 .* type 04; a log has a key of type 01"),
        (f"log {LOG.key.vkey}\nlog {LOG.key.vkey}\nquorum none\n", "line 2 .* stands twice"),
        (f"log {LOG.key.renamed('other').vkey}\nlog {LOG.key.vkey}\nquorum none\n", "line 2 .* stands twice"),
        (f"log {LOG.key.vkey[:-1]}\nquorum none\n", "line 1 .*base64"),
        (f"operator {OPERATOR.key.vkey}\nquorum none\n", "belongs to none of the policy's logs"),
        (f"log {LOG.key.vkey}\noperator {LOG.key.vkey}\nquorum none\n", "line 2 .*named <origin>/operator"),
        (f"witness none {COSIGNER.key.vkey}\nquorum none\n", "line 1 .*'none' is taken"),
        (f"witness A {LOG.key.vkey}\nquorum none\n", "line 1 .* type 01; a witness"),
        (f"witness A {COSIGNER.key.vkey}\nwitness A {WITNESS.key.vkey}\nquorum none\n", "line 2 .*'A' is taken"),
        (f"witness A {COSIGNER.key.vkey}\nwitness B {COSIGNER.key.vkey}\nquorum none\n", "line 2 .* stands twice"),
        (f"{WITNESSES}group G 0 A B\nquorum G\n", "line 4 .*asks for 0 of 2"),
        (f"{WITNESSES}group G 3 A B\nquorum G\n", "line 4 .*asks for 3 of 2"),
        (f"{WITNESSES}group G 02 A B\nquorum G\n", "line 4 .*decimal"),
        (f"{WITNESSES}group G some A B\nquorum G\n", "line 4 .*decimal"),
        (f"{WITNESSES}group G any\nquorum G\n", "line 4 .*found 2 items"),
        (f"{WITNESSES}group G any D\nquorum G\n", "line 4 .*named 'D'"),
        (f"{WITNESSES}group G any none\nquorum G\n", "line 4 .*named 'none'"),
        (f"{WITNESSES}group G any A A\nquorum G\n", "line 4 .*'A' is a member of a group already"),
        (f"{WITNESSES}group G any A\ngroup H any A B\nquorum G\n", "line 5 .*'A' is a member"),
        (f"{WITNESSES}group A any B\nquorum A\n", "line 4 .*'A' is taken"),
        (f"group G any A\n{WITNESSES}quorum G\n", "line 1 .*named 'A'"),
        (f"unit X014 {UNIT.key.vkey}\nquorum none\n", "line 1 .*key of unit X014 is named X013"),
        (f"unit X013 {COSIGNER.key.vkey}\nquorum none\n", "line 1 .*type 04; a unit has"),
        (f"unit X013 {UNIT.key.vkey} til=1\nquorum none\n", "line 1 .*found 'til=1'"),
        (f"unit X013 {UNIT.key.vkey} since=2026-01-01\nquorum none\n", "line 1 .*since must look like"),
        (f"unit X013 {UNIT.key.vkey} sequences=his\nquorum none\n", "line 1 .*sequences= looks like"),
        (f"unit X013 {UNIT.key.vkey} sequences=his:07-\nquorum none\n", "line 1 .*decimal"),
        ("tsa sha256:00\nquorum none\n", "line 1 .*64 lower-case hex"),
        ("tsa QUJD\nquorum none\n", "line 1 .*certificate cannot be read"),
        ("quorum none\n\x07\n", "line 2 .*control character"),
    ],
)
def test_wrong_line_is_named_with_its_number(text: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        policy(text)


def test_policy_that_is_not_utf_8_or_too_long_is_refused() -> None:
    with pytest.raises(PolicyError, match="UTF-8"):
        parse_policy(b"\xff")
    with pytest.raises(PolicyError, match="at most"):
        parse_policy(b"#" * (MAX_POLICY_BYTES + 1))


@pytest.mark.parametrize(
    ("groups", "enough", "short"),
    [
        ("quorum A\n", ["A", "AB"], ["", "BC"]),
        ("group G any A B\nquorum G\n", ["A", "B", "AC"], ["", "C"]),
        ("group G all A B\nquorum G\n", ["AB", "ABC"], ["A", "B", "BC"]),
        ("group G 2 A B C\nquorum G\n", ["AB", "AC", "BC", "ABC"], ["A", "B", "C"]),
        ("group G any A B\ngroup H all G C\nquorum H\n", ["AC", "BC"], ["AB", "C"]),
        ("quorum none\n", [], ["", "ABC"]),
    ],
)
def test_quorum_is_counted(groups: str, enough: list[str], short: list[str]) -> None:
    read = policy(WITNESSES + groups)

    assert all(read.is_quorum(set(names)) for names in enough)
    assert not any(read.is_quorum(set(names)) for names in short)


def _two_of_three() -> Policy:
    return policy(f"{WITNESSES}group G 2 A B C\nquorum G\n")


def test_quorum_time_is_when_the_last_needed_witness_cosigned() -> None:
    cosignatures = [Cosignature(WITNESS.key, 30), Cosignature(COSIGNER.key, 10), Cosignature(OTHER_COSIGNER.key, 20)]

    assert _two_of_three().quorum_time(cosignatures, "nobody") == 20


def test_own_cosignature_strangers_and_time_zero_do_not_count() -> None:
    own = [Cosignature(COSIGNER.key, 10), Cosignature(OTHER_COSIGNER.key, 20)]

    assert _two_of_three().quorum_time(own, "X013") is None
    assert _two_of_three().quorum_time([*own, Cosignature(WITNESS.key, 30)], "X013") == 30
    assert _two_of_three().quorum_time([own[0], Cosignature(STRANGER.key, 20)], "X099") is None
    assert _two_of_three().quorum_time([own[0], Cosignature(WITNESS.key, 0)], "X099") is None


def test_a_key_may_be_a_units_and_a_witness_of_its_own_name() -> None:
    assert {key.unit for key in policy(POLICY_TEXT).units} == {UNIT.key.name, OTHER_UNIT.key.name}
