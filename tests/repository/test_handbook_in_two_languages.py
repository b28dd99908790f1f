# SPDX-License-Identifier: Apache-2.0
"""docs/operate.md and docs/operate.zh-CN.md are one handbook: what is added to one of them and not to the other is named."""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ENGLISH, CHINESE = "operate.md", "operate.zh-CN.md"
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HAN = re.compile(r"[㐀-鿿]")


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading."""

    level: int
    title: str
    text: str

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """Give the language and the text of each block of code."""
        return _FENCE.findall(self.text)

    @property
    def prose(self) -> str:
        """Give the text without its blocks."""
        return _FENCE.sub("", self.text)

    @property
    def rows(self) -> list[list[str]]:
        """Give the cells of each row of its tables, heads and rulers too."""
        lines = [line for line in self.prose.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]

    @property
    def codes(self) -> Counter[str]:
        """Give what stands in backticks outside of tables' first rows, however its line is broken."""
        found = re.findall(r"`([^`]+)`", self.prose)
        return Counter(" ".join(code.split()) for code in found)


def _sections(name: str) -> list[Section]:
    text = (DOCS / name).read_text(encoding="utf-8")
    hidden = _FENCE.sub(lambda block: re.sub(r"^( *)#", r"\1\0", block[0], flags=re.MULTILINE), text)
    parts = re.split(r"^(#+) (.+)\n", hidden, flags=re.MULTILINE)
    assert parts[0] == ""
    return [
        Section(len(level), title, body.replace("\0", "#"))
        for level, title, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    ]


PAIRS = list(zip_longest(_sections(ENGLISH), _sections(CHINESE), fillvalue=Section(0, "(none)", "")))
IDS = [english.title for english, _ in PAIRS]
each_section = pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=IDS)


def test_both_have_the_same_headings_and_name_each_other_first() -> None:
    assert len(PAIRS) > 30
    assert [(e.level, c.level, e.title) for e, c in PAIRS if e.level != c.level] == []
    assert PAIRS[0][0].text.lstrip().splitlines()[0].count(f"]({CHINESE})") == 1
    assert PAIRS[0][1].text.lstrip().splitlines()[0].count(f"]({ENGLISH})") == 1


def _bare(language: str, block: str) -> list[str]:
    """Give the lines of a block that must be the same: without comments; of a session, the commands alone."""
    if block.lstrip().startswith("$ "):
        return [line for line in block.splitlines() if line.startswith("$ ")]
    lines = [re.sub(r"(^|\s\s+)#( .*)?$", "", line).rstrip() for line in block.splitlines()]
    if block.startswith("script/") or re.match(r"jinsuo-center today", block):
        return [line.split("  ")[0] for line in lines]
    assert language in ("", "yaml")
    return [line for line in lines if line]


@each_section
def test_blocks_of_code_are_the_same_but_for_comments(english: Section, chinese: Section) -> None:
    assert [language for language, _ in english.blocks] == [language for language, _ in chinese.blocks]
    for (language, ours), (_, theirs) in zip(english.blocks, chinese.blocks, strict=True):
        assert _bare(language, ours) == _bare(language, theirs)


@each_section
def test_figures_in_sessions_are_the_same(english: Section, chinese: Section) -> None:
    for (_, ours), (_, theirs) in zip(english.blocks, chinese.blocks, strict=True):
        assert Counter(re.findall(r"\d[\d,.]*\d|\d", ours)) == Counter(re.findall(r"\d[\d,.]*\d|\d", theirs))


@each_section
def test_tables_have_the_same_rows_codes_and_columns(english: Section, chinese: Section) -> None:
    assert [len(row) for row in english.rows] == [len(row) for row in chinese.rows]
    fixed = re.compile(r"JS-\d{4}|\d{1,3}")
    assert [row[0] for row in english.rows if fixed.fullmatch(row[0])] == [
        row[0] for row in chinese.rows if fixed.fullmatch(row[0])
    ]


@each_section
def test_what_is_named_in_backticks_is_the_same(english: Section, chinese: Section) -> None:
    assert sorted(set(english.codes) - set(chinese.codes)) == [], "in English only"
    assert sorted(set(chinese.codes) - set(english.codes)) == [], "in Chinese only"


@each_section
def test_error_codes_are_named_as_often(english: Section, chinese: Section) -> None:
    named = re.compile(r"JS-\d{4}")
    assert Counter(named.findall(english.text)) == Counter(named.findall(chinese.text))


@each_section
def test_both_lead_to_the_same_places(english: Section, chinese: Section) -> None:
    numbers = {e.title: number for number, (e, _) in enumerate(PAIRS)} | {
        c.title: number for number, (_, c) in enumerate(PAIRS)
    }
    slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-"): number for title, number in numbers.items()}

    def places(section: Section) -> Counter[object]:
        links = re.findall(r"\]\(([^)\s]+)\)", section.prose)
        return Counter(
            slugs[link[1:]] if link.startswith("#") else link for link in links if link not in (ENGLISH, CHINESE)
        )

    assert places(english) == places(chinese)


def _shape(section: Section) -> list[str]:
    """Give what each paragraph, item and table is: its first mark, `**` for words in front that stand out."""
    found: list[str] = []
    for paragraph in filter(str.strip, re.split(r"\n[ \t]*\n", section.prose)):
        begins = [re.match(r" *(\*\*|- \*\*|- |\d\. |\|)?", line) for line in paragraph.splitlines() if line.strip()]
        marks = [begin[1] or "" for begin in begins if begin is not None]
        found += marks[:1] + [mark for mark in marks[1:] if mark.startswith("-") or mark.endswith(". ")]
    return found


@each_section
def test_paragraphs_and_items_are_as_many(english: Section, chinese: Section) -> None:
    assert _shape(english) == _shape(chinese)


@each_section
def test_nothing_is_left_in_english(english: Section, chinese: Section) -> None:
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)", "", chinese.prose)
    assert re.findall(r"[A-Za-z]+(?: [a-z]{2,}){3,}", plain) == []
    if len(english.prose) > 200:
        assert len(_HAN.findall(plain)) > len(english.prose) / 12


def test_one_thing_has_one_word_in_chinese() -> None:
    """Words that were in use for the agent, an account, media, drop boxes and bundles beside the one that counts."""
    others = re.compile(r"账号|介质|收件箱|投递箱|证据包|由代理|代理[按不]")
    pages = [DOCS / CHINESE, ROOT / "README.zh-CN.md", *(ROOT / "config").iterdir()]
    sources = [path for room in ("agent", "center", "evidence", "terminal") for path in (ROOT / room).rglob("*.py")]
    found = [(path.name, others.findall(path.read_text(encoding="utf-8"))) for path in (*pages, *sources)]
    assert [pair for pair in found if pair[1]] == []
