# SPDX-License-Identifier: Apache-2.0
"""Properties of trees: both implementations agree, blocks do not matter, diffs and proofs are exact."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence.errors import FormatError, ProofError, TreeError
from evidence.rows.commit import commit_lines, commit_page, row_leaf, row_salt
from evidence.rows.line import KeySpec, check_order, encode_rows
from evidence.rows.order import find_disorder
from evidence.rows.values import Kind
from evidence.tree.cut import find_page_ends, judge_page_ends
from evidence.tree.diff import diff_trees
from evidence.tree.proof import prove_row, root_of_row
from evidence.tree.read import find_line, walk_lines
from tests.builders.trees import BY_ID, BY_LINE, K, MemoryObjects, build, numbered, top_of

LINES = st.lists(
    st.one_of(
        st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")),
        st.integers(0, 20_000).map(lambda n: b"y" * n),
    ),
    max_size=60,
)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(LINES)
def test_hashlib_and_compiled_leaves_are_equal(lines: list[bytes]) -> None:
    block = b"".join(line + b"\n" for line in lines)
    plain = commit_lines(K, block, compiled=False)
    fast = commit_lines(K, block, compiled=True)
    assert plain.hashes == fast.hashes
    assert list(plain.ends) == [int(end) for end in fast.ends]


@SLOW
@given(LINES, st.integers(0, 70_000))
def test_both_ways_of_cutting_agree(lines: list[bytes], open_bytes: int) -> None:
    block = b"".join(line + b"\n" for line in lines * 20)
    plain, fast = commit_lines(K, block, compiled=False), commit_lines(K, block, compiled=True)
    cuts = find_page_ends(plain.ends, plain.hashes, open_bytes, compiled=False)
    assert cuts == find_page_ends(fast.ends, fast.hashes, open_bytes)
    if lines:
        counts = [1, len(lines) * 20 - 1] if len(lines) * 20 > 1 else [1]
        judged = judge_page_ends(plain.ends, plain.hashes, counts, compiled=False)
        assert judged == judge_page_ends(fast.ends, fast.hashes, counts)


@SLOW
@given(LINES, st.integers(1, 50), st.integers(1, 50))
def test_how_rows_come_in_blocks_changes_no_root(lines: list[bytes], first: int, second: int) -> None:
    rows = sorted(lines * 7)
    one = build(rows, MemoryObjects(), BY_LINE, block_rows=first)
    assert one == build(rows, MemoryObjects(), BY_LINE, block_rows=second)


def test_a_table_changed_here_and_there_shares_its_other_pages() -> None:
    objects = MemoryObjects()
    before = numbered(range(1, 60_001))
    build(before, objects)
    known = len(objects.bodies)
    after = [line if i not in (30_000, 30_001, 59_999) else line + b"!" for i, line in enumerate(before)]
    build([*after, *numbered(range(60_001, 60_100))], objects)
    assert len(objects.bodies) - known <= 12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3000), st.integers(0, 40))
def test_the_diff_of_two_trees_is_the_diff_of_their_rows(seed: int, size: int, changes: int) -> None:
    chance = random.Random(seed)
    before = {i: b"%d\t%d" % (i, chance.randrange(5)) for i in range(size)}
    after = dict(before)
    for _ in range(changes):
        i = chance.randrange(size + 50)
        if chance.random() < 0.3:
            after.pop(i, None)
        else:
            after[i] = b"%d\tnew %d" % (i, chance.randrange(9))
    objects = MemoryObjects()
    old = top_of(build([before[i] for i in sorted(before)], objects), objects)
    new = top_of(build([after[i] for i in sorted(after)], objects), objects)
    expected = [(before.get(i), after.get(i)) for i in sorted({*before, *after}) if before.get(i) != after.get(i)]
    assert list(diff_trees(old, new, BY_ID)) == expected


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(max_size=3).map(lambda b: b.replace(b"\n", b"n")), max_size=80),
    st.lists(st.binary(max_size=3).map(lambda b: b.replace(b"\n", b"n")), max_size=80),
)
def test_without_a_key_a_diff_has_deleted_and_inserted_lines_only(before: list[bytes], after: list[bytes]) -> None:
    objects = MemoryObjects()
    old, new = (top_of(build(sorted(rows), objects, BY_LINE), objects) for rows in (before, after))
    found = list(diff_trees(old, new, BY_LINE))
    gone, come = list(before), list(after)
    for line in before:
        if line in come:
            come.remove(line)
            gone.remove(line)
    assert sorted(a for a, _ in found if a is not None) == sorted(gone)
    assert sorted(b for _, b in found if b is not None) == sorted(come)
    assert all((a is None) != (b is None) for a, b in found)


def test_equal_subtrees_are_not_read_by_a_diff() -> None:
    objects = MemoryObjects()
    before = numbered(range(1, 40_001))
    old = top_of(build(before, objects), objects)
    new = top_of(build([*before[:20_000], before[20_000] + b"!", *before[20_001:]], objects), objects)
    objects.reads = 0
    assert len(list(diff_trees(old, new, BY_ID))) == 1
    assert objects.reads <= 8


@pytest.mark.parametrize("size", [1, 2, 90, 5000, 60_000])
def test_every_row_proves_the_root_and_no_other_row_does(size: int) -> None:
    objects = MemoryObjects()
    lines = numbered(range(1, size + 1))
    tree = build(lines, objects)
    for i in sorted({0, size // 3, size - 1}):
        proof = prove_row(objects, BY_ID, lambda body: commit_page(K, body), tree.top, tree.height, b"%d" % (i + 1))
        assert proof is not None
        assert proof.line == lines[i]
        top = root_of_row(row_leaf(row_salt(K, proof.line), proof.line), proof.steps)
        assert (top.root, top.height, top.items) == (tree.root, tree.height, tree.items)
        forged = proof.line + b"0"
        assert root_of_row(row_leaf(row_salt(K, forged), forged), proof.steps).root != tree.root
        leaf = row_leaf(row_salt(K, proof.line), proof.line)
        with pytest.raises(ProofError):
            root_of_row(leaf, [replace(proof.steps[0], items=2 * proof.steps[0].items + 2), *proof.steps[1:]])
        if len(proof.steps) > 1:
            with pytest.raises(ProofError):
                root_of_row(leaf, [proof.steps[0], replace(proof.steps[1], rows=0), *proof.steps[2:]])


def test_rows_are_found_by_key_and_absent_keys_are_not() -> None:
    objects = MemoryObjects()
    tree = build(numbered(range(0, 100_000, 2)), objects)
    assert find_line(objects, BY_ID, tree.top, tree.height, b"77776").startswith(b"77776\t")  # type: ignore[union-attr]
    objects.reads = 0
    assert find_line(objects, BY_ID, tree.top, tree.height, b"77777") is None
    assert objects.reads <= tree.height + 1
    assert find_line(objects, BY_ID, tree.top, tree.height, b"-5") is None
    assert find_line(objects, BY_ID, None, 0, b"1") is None


def test_keys_longer_than_a_hint_are_still_found() -> None:
    spec = KeySpec((0,), (Kind.TEXT,))
    objects = MemoryObjects()
    lines = [b"k" * 300 + b"%06d\tvalue" % i for i in range(2000)]
    tree = build(lines, objects, spec)
    assert tree.height > 0
    for line in (lines[0], lines[999], lines[-1]):
        assert find_line(objects, spec, tree.top, tree.height, spec.key_of(line)) == line


def test_walking_gives_back_what_was_built() -> None:
    objects = MemoryObjects()
    lines = numbered(range(1, 30_001))
    tree = build(lines, objects)
    assert list(walk_lines(objects, tree.top, tree.height)) == lines


KEYS = st.lists(st.integers(-(10**20), 10**20), min_size=1, max_size=40)


@SLOW
@given(KEYS, st.integers(0, 2))
def test_fast_and_exact_order_checks_agree_on_integers(keys: list[int], column: int) -> None:
    spec = KeySpec((column,), (Kind.INT,))
    rows = [b"\t".join([b"a\\\\b"] * column + [b"%d" % key, b"rest"]) for key in keys * 30]
    block = b"".join(row + b"\n" for row in rows)
    expected = []
    for i in range(1, len(rows)):
        try:
            check_order(spec, spec.key_of(rows[i - 1]), spec.key_of(rows[i]))
        except TreeError:
            expected.append(i)
    ends = commit_lines(K, block).ends
    assert find_disorder(spec, block, ends) == find_disorder(spec, block, ends, compiled=False) == expected


CELLS = st.one_of(st.binary(max_size=6), st.sampled_from([b"", b"a", b"a\\", b"a\t", b"a\x08", "病".encode(), b"\\N"]))
PAIRS = st.lists(st.tuples(CELLS, st.integers(-120, 120), CELLS), min_size=1, max_size=60)


@SLOW
@given(PAIRS, st.permutations([0, 1, 2]), st.integers(0, 3))
def test_fast_and_exact_order_checks_agree_on_keys_of_several_columns(
    rows: list[tuple[bytes, int, bytes]], columns: list[int], count: int
) -> None:
    kinds = (Kind.TEXT, Kind.INT, Kind.TEXT)
    spec = KeySpec(tuple(columns[:count]), tuple(kinds[column] for column in columns[:count]))
    block = encode_rows([(a, b"%d" % b, c) for a, b, c in rows])
    ends = commit_lines(K, block).ends
    assert find_disorder(spec, block, ends) == find_disorder(spec, block, ends, compiled=False)


@pytest.mark.parametrize("bad", [b"007", b"-0", b"+1", b"1 ", b"", b"-", b"1.0", "１".encode(), b"abc"])
def test_a_key_that_is_not_a_canonical_integer_is_refused(bad: bytes) -> None:
    spec = KeySpec((0,), (Kind.INT,))
    block = b"".join([b"%d\tx\n" % i for i in range(600)] + [bad + b"\tx\n"])
    for compiled in (False, True):
        with pytest.raises(FormatError):
            find_disorder(spec, block, commit_lines(K, block).ends, compiled=compiled)


@pytest.mark.parametrize("compiled", [False, True])
def test_an_integer_key_that_python_does_not_read_is_refused_either_way(compiled: bool) -> None:
    block = b"1" + b"0" * 4999 + b"\n2" + b"0" * 4999 + b"\n"
    with pytest.raises(FormatError):
        find_disorder(KeySpec((0,), (Kind.INT,)), block, commit_lines(K, block).ends, compiled=compiled)


@pytest.mark.parametrize("column", [0, 1])
def test_a_null_key_is_refused(column: int) -> None:
    spec = KeySpec((column,), (Kind.INT,))
    block = b"".join([b"%d\t%d\n" % (i, i) for i in range(600)] + [b"\\N\n" if column == 0 else b"700\n"])
    for compiled in (False, True):
        with pytest.raises((TreeError, FormatError)):
            find_disorder(spec, block, commit_lines(K, block).ends, compiled=compiled)
