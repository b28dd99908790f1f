# SPDX-License-Identifier: Apache-2.0
"""From the text that a server made of a value to its one canonical form; what is spelled otherwise is refused."""

import struct

import pytest

from agent.collectors.odbc.cells import CellError, converter
from agent.collectors.odbc.dialect import Form
from evidence.rows.values import Kind, check_value

P = Form.PLAIN


@pytest.mark.parametrize(
    ("kind", "form", "scale", "text", "canonical"),
    [
        (Kind.INT, P, None, "-5", b"-5"),
        (Kind.INT, P, None, " 0042 ", b"42"),
        (Kind.INT, P, None, "-0", b"0"),
        (Kind.INT, P, None, "+7", b"7"),
        (Kind.INT, P, None, "7.000", b"7"),
        (Kind.INT, P, None, "18446744073709551615", b"18446744073709551615"),
        (Kind.DECIMAL, P, 2, "1.50", b"1.50"),
        (Kind.DECIMAL, P, 2, ".5", b"0.50"),
        (Kind.DECIMAL, P, 2, "-.5", b"-0.50"),
        (Kind.DECIMAL, P, 2, "-0.00", b"0.00"),
        (Kind.DECIMAL, P, 2, "-0.05", b"-0.05"),
        (Kind.DECIMAL, P, 0, "7.", b"7"),
        (Kind.DECIMAL, P, -2, "12300", b"12300"),
        (Kind.DECIMAL, P, None, "1E+40", b"1" + b"0" * 40),
        (Kind.DECIMAL, P, None, "1.5e-3", b"0.0015"),
        (Kind.DECIMAL, P, 4, "12345678901234567890123456789012345678.1234", b"12345678901234567890123456789012345678.1234"),
        (Kind.DECIMAL, P, None, "NaN", b"NaN"),
        (Kind.FLOAT8, P, None, "0.1", b"0.1"),
        (Kind.FLOAT8, P, None, " 1.0000000000000001E-001", b"0.1"),
        (Kind.FLOAT8, P, None, "9.9999999999999991612e+22", b"9.999999999999999e+22"),
        (Kind.FLOAT8, P, None, "-0", b"-0"),
        (Kind.FLOAT8, P, None, "Inf", b"Infinity"),
        (Kind.FLOAT8, Form.IEEE, None, "3FB999999999999A", b"0.1"),
        (Kind.FLOAT8, Form.IEEE, None, "0x8000000000000000", b"-0"),
        (Kind.FLOAT4, Form.IEEE, None, "3DCCCCCD", b"0.1"),
        (Kind.FLOAT4, Form.SINGLE, None, "0.10000000149011612", b"0.1"),
        (Kind.BOOL, P, None, "1", b"t"),
        (Kind.BOOL, P, None, "false", b"f"),
        (Kind.BYTES, Form.HEX, None, "00FF", b"\\x00ff"),
        (Kind.BYTES, Form.HEX, None, "0x00ff", b"\\x00ff"),
        (Kind.BYTES, Form.HEX, None, "", b"\\x"),
        (Kind.BITS, P, None, "101", b"101"),
        (Kind.TEXT, P, None, "a\t😀", "a\t😀".encode()),
        (Kind.TEXT, P, None, "\ud83d\ude00", "😀".encode()),
        (Kind.TEXT, P, None, "\ud83d", b"\xed\xa0\xbd"),
        (Kind.TEXT, Form.HEX, None, "E4BD8Fff", b"\xe4\xbd\x8f\xff"),
        (Kind.TEXT, Form.HEX_UTF16, None, "4F4F3DD800DE", "住😀".encode()),
        (Kind.TEXT, Form.HEX_UTF16, None, "3DD8", b"\xed\xa0\xbd"),
        (Kind.DATE, P, None, "2026-02-28", b"2026-02-28"),
        (Kind.DATE, P, None, "2026-02-28 00:00:00.000", b"2026-02-28"),
        (Kind.DATE, P, None, "0044-03-15 BC", b"0044-03-15 BC"),
        (Kind.TIME, P, None, "10:00:00.1230000", b"10:00:00.123"),
        (Kind.TIME, P, None, "-838:59:59", b"-838:59:59"),
        (Kind.TIMESTAMP, P, None, "2026-01-02T03:04:05.000", b"2026-01-02 03:04:05"),
        (Kind.TIMESTAMP, P, None, "2026-01-02 03:04:05.123456789", b"2026-01-02 03:04:05.123456789"),
        (Kind.TIMESTAMPTZ, P, None, "2026-01-02 03:04:05.10", b"2026-01-02 03:04:05.1+00"),
        (Kind.TIMESTAMPTZ, P, None, "2026-01-02 03:04:05Z", b"2026-01-02 03:04:05+00"),
        (Kind.TIMESTAMPOFFSET, P, None, "2026-01-02 03:04:05.1200000 +08:00", b"2026-01-02 03:04:05.12+08:00"),
        (Kind.TIMESTAMPOFFSET, P, None, "2026-01-02 03:04:05 -0330", b"2026-01-02 03:04:05-03:30"),
        (Kind.UUID, P, None, "{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}", b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        (Kind.ANY, Form.SQLITE, None, "r:0.10000000000000000555", b"r:0.1"),
        (Kind.ANY, Form.SQLITE, None, "b:00FF", b"b:\\x00ff"),
        (Kind.ANY, Form.SQLITE, None, "t:610062", b"t:a\0b"),
    ],
)  # fmt: skip
def test_text_of_a_value_becomes_its_canonical_form(
    kind: Kind, form: Form, scale: int | None, text: str, canonical: bytes
) -> None:
    found = converter(kind, form, scale)(text)
    assert found == canonical
    check_value(kind, scale, found, raw_text=True)


def test_bits_have_their_full_width() -> None:
    assert converter(Kind.BITS, P, None, 10)("101") == b"0000000101"


@pytest.mark.parametrize(
    ("kind", "form", "scale", "text"),
    [
        (Kind.INT, P, None, "7.5"), (Kind.INT, P, None, ""), (Kind.INT, P, None, "1e3"), (Kind.INT, P, None, "٣"),
        (Kind.INT, P, None, "1_000"), (Kind.DECIMAL, P, 2, "1.005"), (Kind.DECIMAL, P, None, "1,5"),
        (Kind.DECIMAL, P, None, "0x10"), (Kind.FLOAT8, P, None, "1.#INF"), (Kind.FLOAT8, P, None, "1_0"),
        (Kind.FLOAT8, Form.IEEE, None, "3FB9"), (Kind.FLOAT4, P, None, "1e39"), (Kind.BOOL, P, None, "2"),
        (Kind.BYTES, Form.HEX, None, "0"), (Kind.BYTES, Form.HEX, None, "zz"), (Kind.TEXT, Form.HEX, None, "0x00"),
        (Kind.TEXT, Form.HEX_UTF16, None, "4F"), (Kind.BITS, P, None, "102"),
        (Kind.DATE, P, None, "2026-02-28 01:00:00"), (Kind.DATE, P, None, "28.02.2026"), (Kind.TIME, P, None, "1:00"),
        (Kind.TIMESTAMP, P, None, "Feb 28 2026  1:02AM"), (Kind.TIMESTAMP, P, None, "2026-01-02 03:04:05+08"),
        (Kind.TIMESTAMP, P, None, "2026-01-02 03:04:05.1234567891"), (Kind.TIMESTAMPTZ, P, None, "2026-01-02 03:04:05+08"),
        (Kind.TIMESTAMPOFFSET, P, None, "2026-01-02 03:04:05"), (Kind.UUID, P, None, "6ba7b810"),
        (Kind.ANY, Form.SQLITE, None, "5"),
    ],
)  # fmt: skip
def test_what_is_spelled_otherwise_is_refused_without_telling_what_it_was(
    kind: Kind, form: Form, scale: int | None, text: str
) -> None:
    with pytest.raises(CellError) as caught:
        converter(kind, form, scale)(text)
    assert len(text) < 3 or text not in str(caught.value)


def test_all_doubles_come_through_their_bytes() -> None:
    for number in (0.1, 1e23, 5e-324, -1.7976931348623157e308, 2.0**53 + 2):
        raw = struct.pack(">d", number).hex().upper()
        assert float(converter(Kind.FLOAT8, Form.IEEE)(raw)) == number
