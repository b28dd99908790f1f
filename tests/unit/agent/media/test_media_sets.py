# SPDX-License-Identifier: Apache-2.0
"""The note of a writing: one spelling, awaited until stored or late, numbers that never come twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import MediumError, MediumUnknownError
from agent.journal import State
from agent.media.order import Order
from agent.media.sets import MediaSets, WrittenSet, WrittenVolume, parse_set
from agent.media.volumes import Item
from agent.media.write import check_target
from evidence.digest import sha256
from evidence.errors import EvidenceError
from evidence.medium.number import MediumNumber
from tests.builders.power import Power

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
FIRST, SECOND = sha256(b"1"), sha256(b"2")


def make_set(batch: int = 3, **changes: object) -> WrittenSet:
    numbers = [MediumNumber("X013", "SJ", 2026, batch, volume, 2, "A") for volume in (1, 2)]
    volumes = tuple(WrittenVolume(number, (f"{number.volume:064x}",)) for number in numbers)
    made = WrittenSet(
        f"{batch:032x}", "X013", "his", NOW, NOW + timedelta(days=60), (FIRST, SECOND), volumes, "AB", 10**9, 10
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the test states what it changes


def test_the_note_of_a_writing_reads_back_and_has_one_spelling() -> None:
    written = make_set(done=(MediumNumber("X013", "SJ", 2026, 3, 1, 2, "B"),))
    raw = written.encode()
    assert parse_set(raw) == written
    for end in range(len(raw)):
        with pytest.raises(EvidenceError):
            parse_set(raw[:end])
    with pytest.raises(EvidenceError):
        parse_set(raw.replace(b'"AB"', b'"AA"'))


@pytest.mark.parametrize(
    ("states", "days", "awaited", "arrived"),
    [
        ({}, 1, False, False),
        ({FIRST: State.TAKEN, SECOND: State.TAKEN}, 1, True, False),
        ({FIRST: State.STORED, SECOND: State.REGISTERED}, 59, True, False),
        ({FIRST: State.STORED, SECOND: State.REGISTERED}, 61, False, False),
        ({FIRST: State.STORED, SECOND: State.STORED}, 1, False, True),
        ({FIRST: State.STORED}, 1, False, False),
    ],
)
def test_a_writing_is_awaited_until_all_is_stored_or_the_time_is_up(
    states: dict[bytes, State], days: int, awaited: bool, arrived: bool
) -> None:
    written = make_set()
    assert written.is_awaited(states, NOW + timedelta(days=days)) is awaited  # type: ignore[arg-type]  # digests
    assert written.has_arrived(states) is arrived  # type: ignore[arg-type]  # digests


def test_what_is_to_do_is_what_is_not_done() -> None:
    written = make_set()
    assert [number.copy for number in written.todo(written.volumes[0])] == ["A", "B"]
    done = replace(written, done=tuple(written.todo(written.volumes[0])))
    assert done.todo(done.volumes[0]) == []
    assert not done.is_finished
    assert replace(done, done=(*done.done, *done.todo(done.volumes[1]))).is_finished


def test_numbers_of_batches_go_on_and_end(tmp_path: Path) -> None:
    sets = MediaSets(tmp_path)
    assert sets.next_batch("X013", "SJ", 2026) == 1
    sets.keep(make_set(41))
    assert sets.next_batch("X013", "SJ", 2026) == 42
    assert sets.next_batch("X013", "SJ", 2027) == sets.next_batch("X013", "WS", 2026) == 1
    sets.keep(make_set(999))
    with pytest.raises(MediumError, match="used up"):
        sets.next_batch("X013", "SJ", 2026)


def test_writings_are_found_by_source_and_id(tmp_path: Path) -> None:
    sets = MediaSets(tmp_path)
    sets.keep(make_set(1))
    sets.keep(make_set(2, source="lis"))
    assert [written.batch_name for written in sets.of("lis")] == ["X013-SJ-2026-002"]
    assert sets.get(f"{1:032x}").source == "his"
    with pytest.raises(MediumUnknownError):
        sets.get(f"{9:032x}")


def test_a_damaged_note_is_told_with_what_to_do(tmp_path: Path) -> None:
    sets = MediaSets(tmp_path)
    sets.keep(make_set())
    next(tmp_path.glob("*.json")).write_bytes(b"{}")
    with pytest.raises(MediumError) as caught:
        sets.all()
    assert "move the file aside" in caught.value.hint


def test_new_folder_on_a_disk_is_durable_before_a_medium_in_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a disk that is pulled out may have nothing of what was written, read back, and noted as done."""
    power = Power(tmp_path, monkeypatch)
    written = make_set()
    items = {name: Item(name, 1000) for volume in written.volumes for name in volume.packs}
    order = Order(tmp_path / "disk" / "jinsuo" / "2026", written.capacity, False, written.copies, written.redundancy)
    check_target(order, written, items, [])
    assert power.survives(order.to)
