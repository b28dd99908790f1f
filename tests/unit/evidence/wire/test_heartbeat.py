# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: one encoding, bounded, nothing else read as one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.digest import sha256
from evidence.errors import EvidenceError, FormatError, LimitError
from evidence.wire.heartbeat import (
    MAX_BEATS,
    MAX_HEARTBEAT_BYTES,
    BeatStage,
    Failure,
    HeardAnswer,
    Heartbeat,
    SourceBeat,
    parse_heard_answer,
    parse_heartbeat,
)

NOW = datetime(2026, 11, 22, 1, 2, 3, 456_789, UTC)
HIS = SourceBeat(
    "his", 412, BeatStage.REGISTERED, NOW - timedelta(hours=1), NOW - timedelta(days=1), NOW + timedelta(hours=23), 2,
    8_123_456, Failure(NOW - timedelta(minutes=5), "JS-2101"),
)  # fmt: skip
HEARTBEAT = Heartbeat(NOW, "jinsuo 0.1.0", 20 << 30, True, NOW + timedelta(hours=2), (HIS, SourceBeat("lis")))
ANSWER = HeardAnswer(NOW)
VECTOR = (
    '{"clock":"2026-11-22T01:02:03.456789Z","format":"jinsuo/heartbeat@v1","free_bytes":21474836480,"paused":true,'
    '"paused_until":"2026-11-22T03:02:03.456789Z","software":"jinsuo 0.1.0","sources":[{"failure":'
    '{"at":"2026-11-22T00:57:03.456789Z","code":"JS-2101"},"next":"2026-11-23T00:02:03.456789Z","sequence":412,'
    '"source":"his","stage":"registered","stored":"2026-11-21T01:02:03.456789Z","taken":"2026-11-22T00:02:03.456789Z",'
    '"waiting":2,"waiting_bytes":8123456},{"failure":null,"next":null,"sequence":null,"source":"lis","stage":null,'
    '"stored":null,"taken":null,"waiting":0,"waiting_bytes":0}]}'
)


def test_a_heartbeat_is_written_as_the_vector_and_read_as_itself() -> None:
    assert HEARTBEAT.encode() == VECTOR.encode()
    assert parse_heartbeat(VECTOR.encode()) == HEARTBEAT
    assert HEARTBEAT.find("his") == HIS
    assert HEARTBEAT.find("pacs") is None


def test_an_answer_is_read_as_itself() -> None:
    assert ANSWER.encode() == b'{"at":"2026-11-22T01:02:03.456789Z","format":"jinsuo/heard@v1"}'
    assert parse_heard_answer(ANSWER.encode()) == ANSWER


@pytest.mark.parametrize(("message", "parse"), [(HEARTBEAT, parse_heartbeat), (ANSWER, parse_heard_answer)])
def test_a_heartbeat_cut_at_any_byte_is_refused(message: Heartbeat | HeardAnswer, parse) -> None:  # type: ignore[no-untyped-def]  # either parser
    raw = message.encode()
    for length in range(len(raw)):
        with pytest.raises(EvidenceError):
            parse(raw[:length])


@pytest.mark.parametrize(("message", "parse"), [(HEARTBEAT, parse_heartbeat), (ANSWER, parse_heard_answer)])
def test_a_flipped_bit_of_a_heartbeat_is_refused_or_gives_another(message: Heartbeat | HeardAnswer, parse) -> None:  # type: ignore[no-untyped-def]  # either parser
    raw = message.encode()
    for place in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        try:
            other = parse(bytes(flipped))
        except EvidenceError:
            continue
        assert other != message
        assert other.encode() == bytes(flipped)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"clock"', '{ "clock"'),
        ('"waiting":2', '"waiting":2.0'),
        ('"waiting":2', '"waiting":-2'),
        ('"waiting":2', '"waiting":9007199254740992'),
        ('"sequence":412', '"sequence":0'),
        ('"sequence":412', '"sequence":null'),
        ('"sequence":412', '"sequence":true'),
        ('"stage":"registered"', '"stage":"stale"'),
        ('"stage":"registered"', '"stage":null'),
        ('"code":"JS-2101"', '"code":"JS-21011"'),
        ('"code":"JS-2101"', '"code":"JS-2１01"'),
        ('"paused":true', '"paused":false'),
        ('"paused":true', '"paused":1'),
        ('"source":"lis"', '"source":"a"'),
        ('"source":"lis"', '"source":"his"'),
        ('"source":"lis"', '"source":"l/s"'),
        ('"software":"jinsuo 0.1.0"', '"software":"a\\nb"'),
        ('"software":"jinsuo 0.1.0"', '"software":""'),
        ('"software":"jinsuo 0.1.0"', f'"software":"{"a" * 129}"'),
        ("jinsuo/heartbeat@v1", "jinsuo/heartbeat@v2"),
        (',"waiting_bytes":0}]}', ',"waiting_bytes":0,"zzz":1}]}'),
        (',"waiting_bytes":0}]}', "}]}"),
        ("2026-11-22T01:02:03.456789Z", "2026-11-22T01:02:03.456789+00:00"),
        ("2026-11-22T01:02:03.456789Z", "2026-02-30T01:02:03.456789Z"),
    ],
)
def test_another_spelling_or_value_is_refused(old: str, new: str) -> None:
    assert VECTOR.count(old) >= 1
    with pytest.raises(EvidenceError):
        parse_heartbeat(VECTOR.replace(old, new, 1).encode())


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_another_body_is_no_heartbeat(raw: bytes) -> None:
    with pytest.raises(FormatError):
        parse_heartbeat(raw)
    with pytest.raises(FormatError):
        parse_heard_answer(raw)


def test_a_heartbeat_over_its_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError, match="over the bound"):
        parse_heartbeat(b" " * (MAX_HEARTBEAT_BYTES + 1))


def test_a_heartbeat_of_too_many_sources_is_refused_both_ways() -> None:
    beats = tuple(SourceBeat(f"s{i:04}") for i in range(MAX_BEATS + 1))
    with pytest.raises(LimitError):
        replace(HEARTBEAT, sources=beats)
    full = replace(HEARTBEAT, sources=beats[:-1])
    assert parse_heartbeat(full.encode()) == full
    extra = full.encode().replace(
        b"]}",
        b',{"failure":null,"next":null,"sequence":null,"source":"t","stage":null,"stored":null,"taken":null,"waiting":0,"waiting_bytes":0}]}',
    )
    with pytest.raises(LimitError):
        parse_heartbeat(extra)


def test_a_heartbeat_of_the_longest_names_fits_its_bound() -> None:
    beats = tuple(
        replace(HIS, source=f"{i:064}", waiting=2**53 - 1, waiting_bytes=2**53 - 1, sequence=2**53 - 1)
        for i in range(MAX_BEATS)
    )
    assert len(replace(HEARTBEAT, sources=beats).encode()) <= MAX_HEARTBEAT_BYTES


_TIMES = st.datetimes(timezones=st.just(UTC))
_NUMBERS = st.integers(0, 2**53 - 1)
_FAILURES = st.builds(Failure, _TIMES, st.from_regex(r"JS-[0-9]{4}", fullmatch=True))


@st.composite
def _beats(draw: st.DrawFn) -> SourceBeat:
    name = draw(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
    stated = draw(st.none() | st.tuples(st.integers(1, 2**53 - 1), st.sampled_from(BeatStage), _TIMES)) or (None,) * 3
    return SourceBeat(
        name, *stated, draw(st.none() | _TIMES), draw(st.none() | _TIMES), draw(_NUMBERS), draw(_NUMBERS),
        draw(st.none() | _FAILURES),
    )  # fmt: skip


_HEARTBEATS = st.builds(
    lambda clock, free, until, beats: Heartbeat(
        clock, "jinsuo 测试", free, until is not None, until,
        tuple(sorted({beat.source: beat for beat in beats}.values(), key=lambda beat: beat.source.encode())),
    ),
    _TIMES, st.none() | _NUMBERS, st.none() | _TIMES, st.lists(_beats(), max_size=5),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_HEARTBEATS)
def test_any_heartbeat_is_read_as_itself(heartbeat: Heartbeat) -> None:
    assert parse_heartbeat(heartbeat.encode()) == heartbeat


def test_many_heartbeats_have_the_bytes_that_they_always_had() -> None:
    lines = b"".join(
        Heartbeat(
            NOW + i * timedelta(seconds=61), f"jinsuo {i}", None if i % 3 else i << 20, i % 2 == 1, None,
            tuple(replace(HIS, source=f"s{j}", sequence=i + 1, waiting=j) for j in range(i % 4)),
        ).encode() + b"\n"
        for i in range(200)
    )  # fmt: skip
    assert sha256(lines).hex() == "e45553586187d1fa75b8fede2d058931e08c2c0732f9219a446ddf4e3ad83ea3"
