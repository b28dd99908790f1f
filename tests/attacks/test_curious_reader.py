# SPDX-License-Identifier: Apache-2.0
"""A curious reader of a bundle: what he gets of the records beside the one shown, and whether a guess can be tested."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from evidence.digest import Sha256
from evidence.encode import Json
from evidence.manifest.claim import claim_leaf, claim_salt
from evidence.rows.commit import row_key, row_leaf, row_salt
from evidence.verify.bundle import Bundle
from tests.builders.bundles import ROW_SECRET, VISIT, MadeSnapshot, as_json, make_bundle, visit_lines

SHOWN = 217
ROWS = [("public.visit", str(SHOWN).encode())]


@pytest.fixture(scope="module")
def snapshot() -> MadeSnapshot:
    return MadeSnapshot()


@pytest.fixture(scope="module")
def bundle(snapshot: MadeSnapshot) -> Bundle:
    return make_bundle(snapshot, ROWS)


def _neighbours() -> list[bytes]:
    """Give the rows before and behind: one of them is the sibling of the leaf shown."""
    lines = visit_lines(400)
    return [lines[SHOWN - 2], lines[SHOWN]]


def _shown_hashes(bundle: Bundle) -> set[Sha256]:
    paths = [step.hashes for row in bundle.rows for step in row.path] + [claim.hashes for claim in bundle.claims]
    return {value for path in paths for value in path}


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _is_confirmed(bundle: Bundle, guess: bytes, salts: Sequence[bytes]) -> bool:
    return any(row_leaf(salt, guess) in _shown_hashes(bundle) for salt in salts)


def test_who_has_the_row_secret_could_test_a_guess(bundle: Bundle) -> None:
    # Otherwise the tests below would prove nothing: a right guess under the right salt is found in the path.
    key = row_key(ROW_SECRET)
    assert any(_is_confirmed(bundle, line, [row_salt(key, line)]) for line in _neighbours())


def test_a_right_guess_of_a_neighbour_is_not_confirmed_by_anything_in_the_bundle(bundle: Bundle) -> None:
    known = [row.salt for row in bundle.rows] + [claim.salt for claim in bundle.claims]
    known += [bytes(16), bytes(range(16))]
    known += [row_salt(row_key(wrong), _neighbours()[0]) for wrong in (bytes(32), bundle.rows[0].salt * 2)]
    for line in _neighbours():
        assert not _is_confirmed(bundle, line, known)


def test_no_text_of_a_bundle_holds_a_neighbour_s_content(bundle: Bundle) -> None:
    raw = bundle.encode()
    texts = "\n".join(_texts(as_json(bundle)))
    for line in _neighbours():
        note = line.split(b"\t")[4]
        assert line not in raw and line.decode() not in texts
        assert len(note) < 4 or note not in raw


def test_a_bundle_shows_no_table_that_was_not_asked_for(snapshot: MadeSnapshot, bundle: Bundle) -> None:
    raw = bundle.encode()
    for name, table in snapshot.tables.items():
        if name == VISIT.name:
            continue
        assert name.encode() not in raw
        assert table.claim.root.hex().encode() not in raw


def test_a_guess_of_another_table_s_figures_is_not_confirmed(snapshot: MadeSnapshot, bundle: Bundle) -> None:
    claims = [table.claim for name, table in snapshot.tables.items() if name != VISIT.name]
    # The sibling of the claim shown is the salted leaf of another claim: with its salt the guess would be confirmed.
    assert any(claim_leaf(claim_salt(ROW_SECRET, claim), claim) in _shown_hashes(bundle) for claim in claims)
    for claim in claims:
        for salt in (bytes(16), bundle.claims[0].salt, bundle.rows[0].salt):
            assert claim_leaf(salt, claim) not in _shown_hashes(bundle)


def test_equal_rows_of_two_sources_have_nothing_in_common(bundle: Bundle) -> None:
    line = bundle.rows[0].line
    other = row_salt(row_key(bytes(reversed(ROW_SECRET))), line)
    assert other != bundle.rows[0].salt
    assert row_leaf(other, line) != row_leaf(bundle.rows[0].salt, line)


def test_an_edited_neighbour_changes_nothing_but_hashes() -> None:
    lines = visit_lines(400)
    lines[SHOWN] = lines[SHOWN].replace(b"2026", b"2025")
    before, after = (make_bundle(s, ROWS) for s in (MadeSnapshot(), MadeSnapshot(contents={VISIT: lines})))
    assert before.rows[0].line == after.rows[0].line
    assert before.rows[0].salt == after.rows[0].salt
    paths = [tuple(replace(step, hashes=()) for step in made.rows[0].path) for made in (before, after)]
    assert paths[0][0] == paths[1][0], "the page has the same number of rows, and the row its place"
