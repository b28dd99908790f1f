# SPDX-License-Identifier: Apache-2.0
"""Numbers, lists and what is lacking: each has one spelling, and anything else is refused."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evidence.digest import sha256
from evidence.errors import FormatError, LimitError
from evidence.medium.layout import check_path
from evidence.medium.listing import ListedFile, Listing, parse_listing
from evidence.medium.missing import Missing, parse_missing
from evidence.medium.number import MediumNumber, fonds_of, parse_number

NUMBER = MediumNumber("X013", "SJ", 2026, 3, 1, 6, "A")
LISTING = Listing(
    NUMBER, "X013", "his", "5e" * 16, datetime(2026, 11, 26, 8, tzinfo=UTC),
    (ListedFile("其他/MD5.TXT", 5, sha256(b"md5")), ListedFile("电子档案/2026/SJ/b/bagit.txt", 55, sha256(b"b"))),
)  # fmt: skip
MISSING = Missing("X013", "his", "5e" * 16, NUMBER, (f"{1:064x}", f"{2:064x}"))


@pytest.mark.parametrize(
    "number", [NUMBER, NUMBER.as_copy("C"), replace(NUMBER, volume=100, volumes=120), replace(NUMBER, fonds="a.b_c")]
)
def test_number_reads_back(number: MediumNumber) -> None:
    assert parse_number(str(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "X013-SJ-2026-003-01of06", "X013-SJ-2026-003-1of6-A", "X013-SJ-2026-003-07of06-A", "X013-SJ-2026-000-01of06-A",
        "X013-SJ-2026-003-001of006-A", "X013-sj-2026-003-01of06-A", "X013-SJ-２０２６-003-01of06-A", "X-1-SJ-2026-003-01of06-A",
        "X013-SJ-2026-003-01of06-A\n", "../-SJ-2026-003-01of06-A",
    ],
)  # fmt: skip
def test_other_spellings_of_a_number_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_number(text)


def test_label_has_the_characters_and_the_length_of_a_volume_identifier() -> None:
    label = replace(NUMBER, fonds=fonds_of("hospital-of-the-second-district")).label
    assert len(label) == 32
    assert label.endswith("_SJ_2026_003_01OF06_A")


def test_copies_of_a_volume_share_all_but_the_letter() -> None:
    assert NUMBER.volume_name == NUMBER.as_copy("B").volume_name == "X013-SJ-2026-003-01of06"
    assert NUMBER.label[:-1] == NUMBER.as_copy("B").label[:-1]


def test_listing_reads_back() -> None:
    assert parse_listing(LISTING.encode()) == LISTING


def test_missing_reads_back() -> None:
    for missing in (MISSING, replace(MISSING, packs=())):
        assert parse_missing(missing.encode()) == missing


@pytest.mark.parametrize("raw", [LISTING.encode(), MISSING.encode(), replace(MISSING, packs=()).encode()])
def test_every_shortening_and_every_other_bit_is_refused_or_another_value(raw: bytes) -> None:
    parse = parse_listing if raw.startswith(b"jinsuo/medium") else parse_missing
    whole = parse(raw)
    for end in range(len(raw)):
        with pytest.raises((FormatError, LimitError)):
            parse(raw[:end])
    for place in range(len(raw)):
        for bit in range(8):
            other = bytearray(raw)
            other[place] ^= 1 << bit
            try:
                assert parse(bytes(other)) != whole
            except (FormatError, LimitError):
                continue


def test_files_that_do_not_ascend_and_packs_named_twice_are_refused() -> None:
    with pytest.raises(FormatError):
        replace(LISTING, files=LISTING.files[::-1])
    with pytest.raises(FormatError):
        replace(MISSING, packs=(f"{1:064x}", f"{1:064x}"))


@pytest.mark.parametrize(
    "path", ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "C:/a", "a\n", "a/b ", "a.", "x" * 1025]
)
def test_a_path_that_leads_elsewhere_has_no_place_on_a_medium(path: str) -> None:
    with pytest.raises(FormatError):
        check_path(path)
