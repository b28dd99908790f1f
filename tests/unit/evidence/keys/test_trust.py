# SPDX-License-Identifier: Apache-2.0
"""Who speaks for whom: bounds of time and of sequence numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from evidence.errors import FormatError
from evidence.keys.trust import SequenceRange, Standing, Trust, UnitKey
from tests.builders.bundles import COSIGNER, OTHER_UNIT, UNIT

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BOUNDED = UnitKey(UNIT.key, SINCE, UNTIL)


@pytest.mark.parametrize(
    ("received", "proven", "standing"),
    [
        (SINCE, SINCE, Standing.VALID),
        (SINCE - DAY, SINCE + DAY, Standing.INVALID),
        (SINCE + DAY, SINCE - DAY, Standing.INVALID),
        (UNTIL - DAY, UNTIL - DAY, Standing.VALID),
        (UNTIL - DAY, UNTIL, Standing.UNPROVEN),
        (UNTIL - DAY, None, Standing.UNPROVEN),
        (UNTIL, UNTIL, Standing.INVALID),
        (UNTIL, None, Standing.INVALID),
        (UNTIL + DAY, UNTIL - DAY, Standing.VALID),
    ],
)
def test_bounded_key_is_judged_by_what_is_proven(
    received: datetime, proven: datetime | None, standing: Standing
) -> None:
    assert BOUNDED.standing(received, proven) is standing


def test_unbounded_key_is_always_valid() -> None:
    assert UnitKey(UNIT.key).standing(UNTIL, None) is Standing.VALID


def test_key_speaks_for_its_sequences_alone() -> None:
    trust = Trust([UnitKey(UNIT.key, sequences=(SequenceRange("his", 1, 17), SequenceRange("pacs", 3)))])

    spoken = [(s, n) for s in ("his", "pacs", "lis") for n in (1, 2, 3, 17, 18) if trust.keys_for("X013", s, n)]
    assert spoken == [
        ("his", 1), ("his", 2), ("his", 3), ("his", 17), ("pacs", 3), ("pacs", 17), ("pacs", 18),
    ]  # fmt: skip


def test_units_are_kept_apart() -> None:
    trust = Trust([UnitKey(UNIT.key), UnitKey(OTHER_UNIT.key)])

    assert trust.units() == ("X013", "X014")
    assert [key.key for key in trust.keys_for("X014", "his", 1)] == [OTHER_UNIT.key]
    assert trust.keys_for("X015", "his", 1) == ()


def test_one_key_for_two_units_is_refused() -> None:
    with pytest.raises(FormatError, match="two units"):
        Trust([UnitKey(UNIT.key), UnitKey(UNIT.key.renamed("X014"))])


def test_impossible_bounds_are_refused() -> None:
    with pytest.raises(FormatError, match="before it begins"):
        UnitKey(UNIT.key, UNTIL, SINCE)
    with pytest.raises(FormatError, match="from 5 to 4"):
        SequenceRange("his", 5, 4)
    with pytest.raises(FormatError, match="from 0"):
        SequenceRange("his", 0)
    with pytest.raises(FormatError, match="type 01"):
        UnitKey(COSIGNER.key)
