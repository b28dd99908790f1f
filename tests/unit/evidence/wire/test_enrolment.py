# SPDX-License-Identifier: Apache-2.0
"""Enrolment codes: one canonical text, kind reading, and no typing error that gets through."""

import pytest

from evidence.errors import FormatError, UnsupportedError
from evidence.wire.enrolment import EnrolmentCode, encode_code_file, parse_code, parse_code_file

CODE = EnrolmentCode(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
TEXT = "JS1-04002-0G30G-2GC1R-81450-P30D1-R7H04-8J2CA-1A5GQ-30CHM-6RW3M-F1Y81-148HJ-89964-WM2JA-HB5GP-JWBT3-MB6Q5-WXT"


def test_a_code_has_this_text() -> None:
    assert CODE.encode() == TEXT
    assert [len(group) for group in TEXT.split("-")[1:]] == [5] * 17 + [3]
    assert parse_code(TEXT) == CODE


def test_a_code_is_read_as_people_type_it() -> None:
    text = CODE.encode()
    typed = [
        text.lower(),
        text.replace("-", ""),
        text.replace("-", " "),
        f"  {text}\n",
        "JS1-" + text.removeprefix("JS1-").replace("0", "O").replace("1", "l"),
    ]
    assert [parse_code(one) for one in typed] == [CODE] * len(typed)


def test_every_mistyped_character_is_found() -> None:
    text = CODE.encode()
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    for place in range(4, len(text)):
        if text[place] == "-":
            continue
        other = alphabet[(alphabet.index(text[place]) + 7) % 32]
        with pytest.raises((FormatError, UnsupportedError), match=r"typing error|begins with"):
            parse_code(text[:place] + other + text[place + 1 :])


def test_two_swapped_neighbours_are_found() -> None:
    digits = CODE.encode().replace("-", "")
    for place in range(3, len(digits) - 1):
        if digits[place] != digits[place + 1]:
            swapped = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
            with pytest.raises(FormatError, match="typing error"):
                parse_code(swapped)


def test_every_shorter_code_is_refused() -> None:
    text = CODE.encode()
    for length in range(len(text)):
        with pytest.raises((FormatError, UnsupportedError)):
            parse_code(text[:length])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with JS1-"),
        ("hello", "begins with JS1-"),
        ("JS2-00000", "update Jinsuo"),
        ("JS1-ABU", "character 3 after JS1- is 'U'"),
        ("JS1-AAAAA", "88 characters"),
        (CODE.encode() + "0", "88 characters"),
        ("JS1-٣" + "0" * 87, "which no enrolment code contains"),
    ],
)
def test_a_wrong_code_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises((FormatError, UnsupportedError), match=says):
        parse_code(text)


def test_a_code_of_a_later_version_is_told_from_a_typing_error() -> None:
    from evidence.digest import sha256
    from evidence.wire.enrolment import _COUNT, _DIGITS

    body = b"\x02" + bytes(48)
    number = int.from_bytes(body + sha256(body)[:6], "big")
    digits = "".join(_DIGITS[number >> 5 * place & 31] for place in range(_COUNT - 1, -1, -1))
    with pytest.raises(UnsupportedError, match="version 2"):
        parse_code("JS1-" + digits)


def test_a_code_travels_as_a_file_that_editors_may_touch() -> None:
    raw = encode_code_file(CODE)
    assert parse_code_file(raw) == CODE
    assert parse_code_file(b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n")) == CODE
    for bad in (b"\xff\xfe" + raw, raw * 100, b""):
        with pytest.raises(FormatError):
            parse_code_file(bad)


def test_a_code_does_not_show_its_secret() -> None:
    assert CODE.secret.hex() not in repr(CODE)


def test_a_code_names_center_and_log_by_the_first_half_of_their_hashes() -> None:
    from evidence.digest import sha256

    code = EnrolmentCode.of(bytes(range(32)), "log.example+1+key", bytes(16))
    assert (code.spki_pin, code.vkey_pin) == (bytes(range(16)), sha256(b"log.example+1+key")[:16])
    with pytest.raises(FormatError):
        EnrolmentCode(b"", bytes(16), bytes(16))
