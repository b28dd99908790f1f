# SPDX-License-Identifier: Apache-2.0
"""A unit that sends trees which hash rightly, but are not the one tree of their rows.

Every forgery here is signed by the unit's real key, every object has its id, every root follows from what is below it.
The center must refuse each with one sentence, log nothing, stay alive, and admit the honest statement afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from center.app import Center
from center.errors import StatementError
from evidence.digest import Sha256, leaf_hash, tree_head
from evidence.errors import EvidenceError
from evidence.manifest.claim import Claim
from evidence.rows.commit import commit_lines, commit_page, row_key
from evidence.rows.line import KeySpec
from evidence.tree.cut import find_page_ends, is_node_end
from evidence.tree.nodes import Entry, Tree, encode_node
from tests.builders.center import (
    PATIENT,
    WARD,
    Hospital,
    Objects,
    TableLines,
    create_center,
    open_center,
    patients,
    wards,
)

Pages = list[list[bytes]]


@dataclass
class Forger(Hospital):
    """A unit whose trees are assembled by hand: `pages`, `groups` of them per node, and what it says of children."""

    pages: Callable[[Pages], Pages] = staticmethod(lambda pages: pages)
    groups: Callable[[list[int]], list[int]] = staticmethod(lambda sizes: sizes)
    entry: Callable[[int, Entry], Entry] = staticmethod(lambda i, entry: entry)
    tree: Callable[[Tree], Tree] = staticmethod(lambda tree: tree)
    single_top: bool = False

    def _build(self, lines: Sequence[bytes], spec: KeySpec, objects: Objects) -> Tree:
        if not lines:
            return super()._build(lines, spec, objects)
        key = row_key(self.secrets.row_secret)
        level = [
            self.entry(i, _page_entry(page, key, spec, objects))
            for i, page in enumerate(self.pages(_cut(list(lines), key)))
        ]
        height = 0
        while len(level) > 1 or (self.single_top and height == 0):
            level = list(self._close(level, height, objects))
            height += 1
        top = level[0]
        size = sum(len(line) + 1 for line in lines)
        return self.tree(Tree(top.child, top.root, height, top.items, top.rows, size))

    def _close(self, level: list[Entry], height: int, objects: Objects) -> Iterator[Entry]:
        sizes = [0]
        for entry in level:
            sizes[-1] += 1
            if is_node_end(sizes[-1], leaf_hash(entry.leaf_data(height))):
                sizes.append(0)
        start = 0
        for size in self.groups([s for s in sizes if s]):
            entries = level[start : start + size]
            start += size
            root = tree_head([leaf_hash(e.leaf_data(height)) for e in entries])
            child = objects.put_node(encode_node(height, entries))
            yield Entry(len(entries), sum(e.rows for e in entries), root, child, entries[0].hint)


def _cut(lines: list[bytes], key: bytes) -> Pages:
    leaves = commit_lines(key, b"".join(line + b"\n" for line in lines), compiled=False)
    bounds = [0, *(row + 1 for row in find_page_ends(leaves.ends, leaves.hashes, 0)), len(lines)]
    return [lines[a:b] for a, b in pairwise(bounds) if a < b]


def _page_entry(page: list[bytes], key: bytes, spec: KeySpec, objects: Objects) -> Entry:
    body = b"\n".join(page)
    root = tree_head(commit_page(key, body))
    return Entry(len(page), len(page), root, objects.put_page(body), spec.hint_of(page[0]))


def swap(pages: Pages, a: tuple[int, int], b: tuple[int, int]) -> Pages:
    pages = [list(page) for page in pages]
    pages[a[0]][a[1]], pages[b[0]][b[1]] = pages[b[0]][b[1]], pages[a[0]][a[1]]
    return pages


def repeat(pages: Pages, page: int, row: int) -> Pages:
    pages = [list(p) for p in pages]
    pages[page][row] = pages[page][row - 1].partition(b"\t")[0] + b"\tzweimal"
    return pages


def repeat_across(pages: Pages) -> Pages:
    pages = [list(p) for p in pages]
    pages[1][0] = pages[0][-1].partition(b"\t")[0] + b"\tnoch einmal"
    return pages


def split(pages: Pages, page: int) -> Pages:
    half = len(pages[page]) // 2
    return [*pages[:page], pages[page][:half], pages[page][half:], *pages[page + 1 :]]


def join(pages: Pages, page: int) -> Pages:
    return [*pages[:page], pages[page] + pages[page + 1], *pages[page + 2 :]]


def null_key(pages: Pages) -> Pages:
    pages = [list(p) for p in pages]
    pages[0][0] = b"\\N\tkein Schlussel"
    return pages


def odd_key(text: bytes) -> Callable[[Pages], Pages]:
    def apply(pages: Pages) -> Pages:
        pages = [list(p) for p in pages]
        pages[0][0] = text + b"\tx"
        return pages

    return apply


def at(i: int, **changes: object) -> Callable[[int, Entry], Entry]:
    return lambda n, entry: replace(entry, **changes) if n == i else entry  # type: ignore[arg-type]


PAGE_FORGERIES: dict[str, Callable[[Pages], Pages]] = {
    "rows out of order within a page": lambda p: swap(p, (1, 3), (1, 4)),
    "the last rows of a page out of order": lambda p: swap(p, (2, -2), (2, -1)),
    "rows out of order across two pages": lambda p: swap(p, (1, -1), (2, 0)),
    "pages out of order": lambda p: [p[0], p[2], p[1], *p[3:]],
    "pages of two nodes exchanged": lambda p: [p[-1], *p[1:-1], p[0]],
    "the same key twice in a page": lambda p: repeat(p, 1, 4),
    "the same key twice across pages": repeat_across,
    "the same page twice": lambda p: [p[0], p[0], *p[1:]],
    "a page that ends too early": lambda p: split(p, 1),
    "a page that goes on too long": lambda p: join(p, 1),
    "the first page cut after one row": lambda p: [p[0][:1], p[0][1:], *p[1:]],
    "a key that is NULL": null_key,
    "a key with a leading zero": odd_key(b"01"),
    "a key with a plus sign": odd_key(b"+1"),
    "a key that is a word": odd_key(b"eins"),
}

ENTRY_FORGERIES: dict[str, Callable[[int, Entry], Entry]] = {
    "too many items": at(2, items=5),
    "too many rows": at(2, rows=100_000),
    "too few rows": at(0, rows=1),
    "another root": at(1, root=Sha256(bytes(32))),
    "a false first key": at(3, hint=b"1"),
    "an empty first key": at(0, hint=b""),
    "a cut first key": at(3, hint=b"9"),
}

TREE_FORGERIES: dict[str, Callable[[Tree], Tree]] = {
    "another root": lambda t: replace(t, root=Sha256(bytes(31) + b"\x01")),
    "more rows": lambda t: replace(t, rows=t.rows + 1),
    "fewer bytes": lambda t: replace(t, bytes_=t.bytes_ - 1),
    "another height": lambda t: replace(t, height=t.height + 1),
    "other items": lambda t: replace(t, items=t.items + 1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacks") / "center"
    create_center(path)
    return path


@pytest.fixture
def center(folder: Path) -> Iterator[Center]:
    with open_center(folder) as opened:
        yield opened


_NAMES = iter(range(10_000))


def source_name() -> str:
    return f"his{next(_NAMES)}"


def check_refused(center: Center, forger: Forger, *tables: TableLines) -> None:
    before = center.ledger.size
    with pytest.raises(StatementError) as caught:
        forger.snapshot(*tables)
    assert center.ledger.size == before
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    honest = Hospital(center, source=forger.source)
    answer = honest.snapshot(*tables)
    assert answer.receipt is not None
    assert center.open_snapshot(forger.unit, forger.source).statement.rows == sum(len(t.lines) for t in tables)


@pytest.mark.parametrize("name", PAGE_FORGERIES)
def test_pages_that_are_not_of_the_one_tree_are_refused(center: Center, name: str) -> None:
    forger = Forger(center, source=source_name(), pages=PAGE_FORGERIES[name])
    check_refused(center, forger, patients(9_000))


@pytest.mark.parametrize("name", ENTRY_FORGERIES)
def test_a_node_that_says_something_false_of_a_child_is_refused(center: Center, name: str) -> None:
    forger = Forger(center, source=source_name(), entry=ENTRY_FORGERIES[name])
    check_refused(center, forger, patients(9_000))


@pytest.mark.parametrize("name", TREE_FORGERIES)
def test_a_claim_that_the_rows_do_not_give_is_refused(center: Center, name: str) -> None:
    source = source_name()
    forger = Forger(center, source=source, tree=TREE_FORGERIES[name])
    try:
        check_refused(center, forger, patients(9_000))
    except EvidenceError:
        # Some claims cannot even be written down: then nothing was sent at all.
        assert center.catalog.latest(forger.unit, source) is None


def test_nodes_cut_elsewhere_are_refused(center: Center) -> None:
    for groups in (
        lambda sizes: [sizes[0] - 1, sizes[0] - (sizes[0] - 1) + sum(sizes[1:])],
        lambda sizes: [sum(sizes[:1]) // 2, sum(sizes) - sum(sizes[:1]) // 2],
    ):
        forger = Forger(center, source=source_name(), groups=_once(groups))
        check_refused(center, forger, patients(9_000))


def test_a_node_over_the_one_item_of_a_level_is_refused(center: Center) -> None:
    forger = Forger(center, source=source_name(), single_top=True)
    with pytest.raises((StatementError, EvidenceError)):
        forger.snapshot(patients(20))
    assert Hospital(center, source=forger.source).snapshot(patients(20)).receipt is not None


def test_lines_of_a_keyless_table_that_descend_are_refused(center: Center) -> None:
    names = [f"病区{i:05d}" + "x" * 60 for i in range(3_000)]
    forger = Forger(center, source=source_name(), pages=lambda p: swap(p, (0, 1), (0, 2)))
    check_refused(center, forger, wards(*names))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"7\t\xff\xfe", "no canonical text"),
        (b"7\ta\x01b\\q", "an escape that is not one of ours"),
        (b"7\ta\x08b", "a control character"),
        (b"7\t\\N", "a NULL that must not be written"),
        (b"7" + b"\tx" * 12, "13 fields"),
    ],
)
def test_a_line_that_is_no_row_of_its_table_is_refused(center: Center, line: bytes, reason: str) -> None:
    """Its tree holds in every hash; but nobody could ever show the row to anybody."""
    forger = Hospital(center, source=source_name())
    with pytest.raises(StatementError, match=reason) as caught:
        forger.snapshot(TableLines(PATIENT, [b"6\tgut", line, b"8\tgut"]))
    assert "row 1 of" in str(caught.value)
    assert Hospital(center, source=forger.source).snapshot(TableLines(PATIENT, [b"6\tgut"])).receipt is not None


def test_pages_judged_under_another_order_do_not_count(center: Center) -> None:
    """Pages in the order of their text are valid without a key; a claim that they are ordered by id is still refused."""
    lines = sorted(patients(3_000).lines)
    keyless = TableLines(replace(PATIENT, key=()), lines)
    source = source_name()
    assert Hospital(center, source=source).snapshot(keyless).receipt is not None
    forger = Hospital(center, source=source)
    latest = center.catalog.latest(forger.unit, source)
    assert latest is not None
    forger.sequence, forger.previous = latest.sequence, latest.digest
    with pytest.raises(StatementError, match="order"):
        forger.snapshot(TableLines(PATIENT, lines))


def test_a_schema_of_another_table_is_refused(center: Center) -> None:
    forger = Hospital(center, source=source_name())
    renamed = TableLines(replace(WARD, name="patient"), [b"x"])
    _, objects = forger.prepare([renamed])
    swapped = {
        n: (k, b.replace(b'"name":"patient"', b'"name":"ward"') if k == 6 and b.startswith(b'{"columns"') else b)
        for n, (k, b) in objects.bodies.items()
    }
    objects.bodies.update(swapped)
    with pytest.raises(Exception, match="damaged|refused"):
        forger.send(objects)
    assert center.catalog.latest(forger.unit, forger.source) is None


def test_two_claims_of_one_name_cannot_be_stated(center: Center) -> None:
    forger = Hospital(center, source=source_name())
    with pytest.raises(EvidenceError, match="name|ascend"):
        forger.prepare([patients(3), patients(4)])


def test_a_claim_that_belongs_to_no_possible_tree_is_refused() -> None:
    with pytest.raises(EvidenceError):
        Claim("t", Sha256(bytes(32)), Sha256(bytes(32)), 1, 1, 1, 5)


def _once(groups: Callable[[list[int]], list[int]]) -> Callable[[list[int]], list[int]]:
    """Regroup the lowest level only; above, the rule's own groups."""
    done = False

    def apply(sizes: list[int]) -> list[int]:
        nonlocal done
        if done:
            return sizes
        done = True
        return groups(sizes)

    return apply
