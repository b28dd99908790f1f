# SPDX-License-Identifier: Apache-2.0
"""What is given up first while the line is poor or down: decisions only. Pure; no clock, no I/O.

    1. order     statements go before content: some hundred bytes lock what was taken, level `registered`
    2. content   of middle days; the oldest day that waits and the newest stay whole, and what stays is spread evenly
    3. days      nothing new is taken; one `gap` states the time, when it is over

Statements are never given up here: what a day said of its data is registered, whatever becomes of the data.
Source: docs/decisions/0060.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.journal import JournalEntry
from evidence.manifest.statement import SnapshotStatement

REGISTER_FIRST_BYTES: Final = 64 << 20
"""More than this takes a line of 1 Mbit/s nine minutes: too long for a statement to wait behind it."""


def registers_first(waiting: Sequence[JournalEntry], waiting_bytes: int) -> bool:
    """Tell whether statements go before the packs: more than one snapshot waits, or much content."""
    snapshots = sum(entry.kind == SnapshotStatement.kind for entry in waiting)
    return snapshots > 1 or (snapshots > 0 and waiting_bytes > REGISTER_FIRST_BYTES)


def find_whole(waiting: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Give the snapshots whose content waits and is not given up, oldest first."""
    return [entry for entry in waiting if entry.kind == SnapshotStatement.kind and not entry.is_given_up]


def find_too_old(waiting: Sequence[JournalEntry], now: datetime, max_age: timedelta | None) -> list[JournalEntry]:
    """Give the middle days whose content has waited for longer than `max_age` (None: for ever)."""
    return [e for e in find_whole(waiting)[1:-1] if max_age is not None and now - e.taken_at > max_age]


def choose_middle(waiting: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Choose the days whose content makes room: every second one between the oldest and the newest.

    Every second: so that after any number of times those that stay are spread over the whole outage.
    """
    return find_whole(waiting)[1:-1][::2]


def expected_bytes(waiting: Sequence[JournalEntry]) -> int:
    """Estimate what the next snapshot adds: as much as the larger of the last two. Nothing before there is a middle day.

    The first one of a source is many times as large as those after it, and is the oldest while it waits.
    """
    whole = find_whole(waiting)
    return max((entry.spooled_bytes for entry in whole[-2:]), default=0) if len(whole) > 2 else 0
